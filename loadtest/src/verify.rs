//! Compares what a listener heard with what the source sent, byte by byte.
//!
//! Nothing of corecast's own protocol code is used here: an oracle must not share code with what
//! it judges.

use serde::{Deserialize, Serialize};

use crate::stream::{FRAME_BYTES_MAX, Stream, frame_len, frame_start, parse_counter};

/// Bytes that must be there before a broken place is judged: the frame after it must be whole.
const LOOKAHEAD_BYTES: usize = 4 * FRAME_BYTES_MAX;
/// Bytes without any whole frame after which the place is given up as wrong.
const UNKNOWN_BYTES_MAX: usize = 16 * FRAME_BYTES_MAX;

/// What was found wrong with a stream, and how much of it was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Findings {
    /// Streams that were looked at.
    pub(crate) streams: u64,
    /// Audio bytes that were looked at.
    pub(crate) bytes: u64,
    /// Whole frames that were right.
    pub(crate) frames: u64,
    /// Streams that began inside a frame (Icecast does that; a late joiner hears a click).
    pub(crate) unaligned_starts: u64,
    /// Places where whole frames are missing, and how many frames.
    pub(crate) gaps: u64,
    /// Frames missing in those places.
    pub(crate) frames_lost: u64,
    /// Places where frames come again.
    pub(crate) repeats: u64,
    /// Places where bytes were lost or inserted inside a frame.
    pub(crate) torn: u64,
    /// Bytes that are not what the source sent at that place.
    pub(crate) wrong_bytes: u64,
}

impl Findings {
    /// Adds the findings of another stream.
    pub(crate) fn add(&mut self, other: &Findings) {
        self.streams += other.streams;
        self.bytes += other.bytes;
        self.frames += other.frames;
        self.unaligned_starts += other.unaligned_starts;
        self.gaps += other.gaps;
        self.frames_lost += other.frames_lost;
        self.repeats += other.repeats;
        self.torn += other.torn;
        self.wrong_bytes += other.wrong_bytes;
    }

    /// Whether every byte was right and in its place; a reader that was slow may still have gaps.
    pub(crate) const fn bytes_right(&self) -> bool {
        self.repeats == 0 && self.torn == 0 && self.wrong_bytes == 0
    }

    /// Whether nothing at all was wrong.
    pub(crate) const fn flawless(&self) -> bool {
        self.bytes_right() && self.gaps == 0
    }
}

/// Follows one listener's audio.
#[derive(Debug)]
pub(crate) struct Verifier {
    stream: Stream,
    pending: Vec<u8>,
    next: Next,
    findings: Findings,
    scratch: Vec<u8>,
}

/// What is expected at the front of the pending bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The stream's first bytes.
    Start,
    /// Frame `n`.
    Frame(u64),
    /// Any frame: the place was lost.
    Lost,
}

impl Verifier {
    /// A verifier for one listener of `stream`.
    pub(crate) fn new(stream: Stream) -> Self {
        let findings = Findings {
            streams: 1,
            ..Findings::default()
        };
        Verifier {
            stream,
            pending: Vec::new(),
            next: Next::Start,
            findings,
            scratch: Vec::new(),
        }
    }

    /// Takes the next audio bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.findings.bytes += bytes.len() as u64;
        self.pending.extend_from_slice(bytes);
        self.judge(false);
    }

    /// What was found, the last incomplete frame included.
    pub(crate) fn finish(mut self) -> Findings {
        self.judge(true);
        if let Next::Frame(n) = self.next {
            let rest = std::mem::take(&mut self.pending);
            self.judge_tail(n, &rest);
        }
        self.findings
    }

    /// Compares the incomplete frame at the end, which should be frame `n`.
    fn judge_tail(&mut self, n: u64, rest: &[u8]) {
        let wrong = self.count_wrong(frame_start(n), rest);
        if wrong == 0 {
            return;
        }
        match parse_counter(rest) {
            Some(found) if self.count_wrong(frame_start(found), rest) == 0 => {
                self.on_jump(n, found);
            }
            Some(_) => self.findings.wrong_bytes += wrong,
            // Cut off before its counter, a frame after a gap differs by its padding bit only.
            None => {
                let any = (n..n + 49)
                    .map(|n| self.count_wrong(frame_start(n), rest))
                    .min();
                self.findings.wrong_bytes += any.unwrap_or(wrong);
            }
        }
    }

    /// At a frame's border, frame `found` came instead of frame `n`.
    fn on_jump(&mut self, n: u64, found: u64) {
        if found > n {
            self.findings.gaps += 1;
            self.findings.frames_lost += found - n;
        } else {
            self.findings.repeats += 1;
        }
    }

    fn judge(&mut self, last: bool) {
        let mut bytes = std::mem::take(&mut self.pending);
        let mut used = 0;
        loop {
            let pending = bytes.get(used..).unwrap_or_default();
            let taken = match self.next {
                Next::Frame(n) if pending.len() < frame_len(n) => break,
                Next::Frame(n)
                    if self.stream.match_frame(pending, &mut self.scratch) == Some(n) =>
                {
                    self.findings.frames += 1;
                    self.next = Next::Frame(n + 1);
                    frame_len(n)
                }
                _ if pending.len() < LOOKAHEAD_BYTES && !last => break,
                _ => self.judge_break(pending, last),
            };
            if taken == 0 {
                break;
            }
            used += taken;
        }
        bytes.drain(..used);
        self.pending = bytes;
    }

    /// Judges a place where the expected frame is not; answers how many bytes are dealt with.
    fn judge_break(&mut self, pending: &[u8], last: bool) -> usize {
        let Some((skip, found)) = self.find_frame(pending) else {
            return self.judge_unknown(pending, last);
        };
        match self.next {
            Next::Start => {
                self.findings.unaligned_starts += u64::from(skip > 0);
                let head = pending.get(..skip).unwrap_or_default();
                self.findings.wrong_bytes += match frame_start(found).checked_sub(skip as u64) {
                    Some(from) => self.count_wrong(from, head),
                    None => skip as u64,
                };
            }
            Next::Lost => {
                self.findings.torn += 1;
                self.findings.wrong_bytes += skip as u64;
            }
            Next::Frame(n) if skip == 0 => self.on_jump(n, found),
            Next::Frame(n) if frame_start(n) + skip as u64 == frame_start(found) => {
                let damaged = pending.get(..skip).unwrap_or_default();
                self.findings.wrong_bytes += self.count_wrong(frame_start(n), damaged);
            }
            Next::Frame(_) => {
                self.findings.torn += 1;
                self.findings.wrong_bytes += skip as u64;
            }
        }
        self.findings.frames += 1;
        self.next = Next::Frame(found + 1);
        skip + frame_len(found)
    }

    /// No whole frame in sight: waits for more, or gives the bytes up.
    fn judge_unknown(&mut self, pending: &[u8], last: bool) -> usize {
        if last {
            return match self.next {
                // The tail is compared with the expected frame by the caller.
                Next::Frame(_) => 0,
                // Too short to hold a whole frame for certain: nothing is known.
                Next::Start if pending.len() < LOOKAHEAD_BYTES => 0,
                Next::Start | Next::Lost => {
                    self.findings.wrong_bytes += pending.len() as u64;
                    pending.len()
                }
            };
        }
        if pending.len() < UNKNOWN_BYTES_MAX {
            return 0;
        }
        let given_up = pending.len() - FRAME_BYTES_MAX;
        self.findings.wrong_bytes += given_up as u64;
        self.next = Next::Lost;
        given_up
    }

    /// The first whole frame in `bytes`: where it begins and which it is.
    fn find_frame(&mut self, bytes: &[u8]) -> Option<(usize, u64)> {
        let starts = bytes.iter().enumerate().filter(|&(_, &byte)| byte == 0xff);
        for (at, _) in starts {
            let candidate = bytes.get(at..).unwrap_or_default();
            if let Some(n) = self.stream.match_frame(candidate, &mut self.scratch) {
                return Some((at, n));
            }
        }
        None
    }

    /// How many of `bytes` differ from what stands at position `from` of the stream.
    fn count_wrong(&self, from: u64, bytes: &[u8]) -> u64 {
        let mut expected = Vec::with_capacity(bytes.len());
        self.stream
            .write_range(from, from + bytes.len() as u64, &mut expected);
        expected.iter().zip(bytes).filter(|(a, b)| a != b).count() as u64
    }
}

#[cfg(test)]
mod tests;
