//! What the frames of HTTP/2 (RFC 9113 section 4.1) cost who has to handle them, read from their
//! heads as they pass. The machine that speaks HTTP/2 checks them; this only counts, so that a
//! peer that sends much which is cheap for it and dear for us is found (RFC 9113 section 10.5).

/// Bytes of the preface that comes before the first frame (RFC 9113 section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of a frame's head.
const HEAD_BYTES: usize = 9;

/// Bytes of `DATA` from which on its payload and not its frame is what costs.
const DATA_BYTES_FREE: usize = 256;

/// Follows the frames of one connection.
#[derive(Debug)]
pub struct FrameMeter {
    head: [u8; HEAD_BYTES],
    /// Bytes of the head that have come.
    filled: usize,
    /// Bytes that belong to the preface or to a payload and are still to come.
    skip: usize,
}

impl Default for FrameMeter {
    fn default() -> Self {
        FrameMeter {
            head: [0; HEAD_BYTES],
            filled: 0,
            skip: PREFACE.len(),
        }
    }
}

impl FrameMeter {
    /// Takes what came next on the connection, its preface included, and says what the frames
    /// cost that begin in it: 1 for one that is only looked at, more for one that asks for an
    /// answer or undoes work. Frames that are what a connection is for cost nothing.
    pub fn take(&mut self, mut bytes: &[u8]) -> u32 {
        let mut cost = 0u32;
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            if bytes.is_empty() {
                return cost;
            }
            let room = self.head.get_mut(self.filled..).unwrap_or_default();
            let n = room.len().min(bytes.len());
            for (to, from) in room.iter_mut().zip(bytes) {
                *to = *from;
            }
            self.filled += n;
            bytes = bytes.get(n..).unwrap_or_default();
            if self.filled == HEAD_BYTES {
                self.filled = 0;
                let [a, b, c, kind, ..] = self.head;
                self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
                cost = cost.saturating_add(cost_of(kind, self.skip));
            }
        }
    }
}

/// What a frame of this type (RFC 9113 section 6) and length costs.
fn cost_of(kind: u8, length: usize) -> u32 {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    match kind {
        DATA if length >= DATA_BYTES_FREE => 0,
        HEADERS => 0,
        RST_STREAM | SETTINGS => 8,
        PING => 4,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, 0, 0, 0, 0, 1];
        frame.resize(HEAD_BYTES + usize::from(length), 4);
        frame
    }

    #[test]
    fn frames_are_counted_wherever_they_are_cut() {
        let mut all = PREFACE.to_vec();
        for (kind, length) in [
            (4, 18),
            (1, 40),
            (0, 255),
            (6, 8),
            (8, 4),
            (3, 4),
            (0, 0),
            (99, 7),
        ] {
            all.extend(frame(kind, length));
        }
        let mut long = vec![0, 1, 0, 0, 0, 0, 0, 0, 1];
        long.resize(HEAD_BYTES + 256, 6);
        all.extend(long);
        for step in 1..=all.len() {
            let mut meter = FrameMeter::default();
            let cost: u32 = all.chunks(step).map(|part| meter.take(part)).sum();
            assert_eq!(cost, 8 + 1 + 4 + 1 + 8 + 1 + 1, "by {step}");
        }
    }
}
