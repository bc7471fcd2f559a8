//! The stream that the source sends: valid 128 kbit/s MPEG-1 Layer III frames that decode to
//! silence and say, each of them, which frame they are. Every byte follows from the seed and the
//! position, so a listener may join anywhere and still know each byte that it must get.

/// Bytes per second of the stream.
pub(crate) const RATE_BYTES: u64 = 16_000;

/// Length of the longest frame.
pub(crate) const FRAME_BYTES_MAX: usize = 418;

/// MPEG-1 Layer III, no CRC, 128 kbit/s, 44.1 kHz, stereo, original; padding bit clear.
const HEADER: [u8; 4] = [0xff, 0xfb, 0x90, 0x04];
const PADDING_BIT: u8 = 0x02;
/// Side information of a stereo frame; all zero means no coded data, which decodes to silence.
const SIDE_INFO_BYTES: usize = 32;
const COUNTER_AT: usize = HEADER.len() + SIDE_INFO_BYTES;
/// Six digits of seven bits last for 3,600 years and leave no product to overflow.
const COUNTER_BYTES: usize = 6;
const PAYLOAD_AT: usize = COUNTER_AT + COUNTER_BYTES;

/// 144 x 128,000 / 44,100 bytes a frame, as a fraction.
const FRAME_NUMERATOR: u64 = 20_480;
const FRAME_DENOMINATOR: u64 = 49;

/// Position of the first byte of frame `n`.
pub(crate) const fn frame_start(n: u64) -> u64 {
    n * FRAME_NUMERATOR / FRAME_DENOMINATOR
}

/// Length of frame `n` in bytes: 417, or 418 with padding.
pub(crate) const fn frame_len(n: u64) -> usize {
    (frame_start(n + 1) - frame_start(n)) as usize
}

/// The frame that the byte at `position` belongs to.
pub(crate) const fn frame_at(position: u64) -> u64 {
    ((position + 1) * FRAME_DENOMINATOR - 1) / FRAME_NUMERATOR
}

/// One endless stream; streams of different seeds share no payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    seed: u64,
}

impl Stream {
    /// The stream of `seed`.
    pub(crate) const fn new(seed: u64) -> Self {
        Stream { seed }
    }

    /// Replaces what is in `frame` by frame `n`.
    pub(crate) fn write_frame(&self, n: u64, frame: &mut Vec<u8>) {
        let len = frame_len(n);
        frame.clear();
        frame.extend_from_slice(&HEADER);
        if len == FRAME_BYTES_MAX
            && let Some(third) = frame.get_mut(2)
        {
            *third |= PADDING_BIT;
        }
        frame.resize(COUNTER_AT, 0);
        for shift in (0..COUNTER_BYTES).rev() {
            frame.push(((n >> (7 * shift)) & 0x7f) as u8);
        }
        let mut word = mix(self.seed ^ mix(n));
        while frame.len() < len {
            // Seven bits a byte: the payload never looks like a sync word.
            let bytes = (word & 0x7f7f_7f7f_7f7f_7f7f).to_le_bytes();
            let take = bytes.len().min(len - frame.len());
            frame.extend(bytes.iter().take(take));
            word = mix(word);
        }
    }

    /// Appends the bytes at positions `from..to` to `out`.
    pub(crate) fn write_range(&self, from: u64, to: u64, out: &mut Vec<u8>) {
        let mut frame = Vec::with_capacity(FRAME_BYTES_MAX);
        let mut position = from;
        while position < to {
            let n = frame_at(position);
            self.write_frame(n, &mut frame);
            let start = frame_start(n);
            let skip = (position - start) as usize;
            let end = frame.len().min((to - start) as usize);
            out.extend(frame.iter().take(end).skip(skip));
            position = start + end as u64;
        }
    }

    /// The number of the frame that `bytes` begins with, if all of that frame is there and is
    /// exactly this stream's.
    pub(crate) fn match_frame(&self, bytes: &[u8], scratch: &mut Vec<u8>) -> Option<u64> {
        let n = parse_counter(bytes)?;
        self.write_frame(n, scratch);
        (bytes.get(..scratch.len()) == Some(scratch.as_slice())).then_some(n)
    }
}

/// The counter of the frame whose head `bytes` begins with.
pub(crate) fn parse_counter(bytes: &[u8]) -> Option<u64> {
    let head = bytes.get(..PAYLOAD_AT)?;
    let [0xff, 0xfb, third, 0x04, ..] = head else {
        return None;
    };
    if third & !PADDING_BIT != HEADER[2] {
        return None;
    }
    let digits = head.get(COUNTER_AT..)?;
    digits.iter().try_fold(0, |n: u64, &digit| {
        (digit < 0x80).then(|| n << 7 | u64::from(digit))
    })
}

/// One step of splitmix64.
pub(crate) const fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_follow_each_other_without_holes_at_the_nominal_rate() {
        let mut frame = Vec::new();
        let mut at = 0;
        for n in 0..4_900 {
            assert_eq!(frame_start(n), at);
            Stream::new(7).write_frame(n, &mut frame);
            assert!(frame.len() == 417 || frame.len() == 418);
            assert_eq!(frame_at(at), n);
            assert_eq!(frame_at(at + frame.len() as u64 - 1), n);
            at += frame.len() as u64;
        }
        assert_eq!(at, 4_900 / 49 * 20_480);
        // 4,900 frames of 1,152 samples at 44.1 kHz last 128 s.
        assert_eq!(at, 128 * RATE_BYTES);
    }

    #[test]
    fn any_range_is_the_same_bytes_as_the_frames() {
        let stream = Stream::new(3);
        let mut whole = Vec::new();
        stream.write_range(0, 20_000, &mut whole);
        assert_eq!(whole.len(), 20_000);
        for (from, to) in [
            (0, 1),
            (416, 419),
            (417, 418),
            (1_000, 5_000),
            (19_999, 20_000),
        ] {
            let mut part = Vec::new();
            stream.write_range(from, to, &mut part);
            assert_eq!(part, &whole[from as usize..to as usize]);
        }
    }

    #[test]
    fn a_frame_names_itself_and_no_other_seed_takes_it() {
        let mut frame = Vec::new();
        let mut scratch = Vec::new();
        for n in [0, 1, 127, 128, 1 << 20, 1 << 40] {
            Stream::new(1).write_frame(n, &mut frame);
            assert_eq!(Stream::new(1).match_frame(&frame, &mut scratch), Some(n));
            assert_eq!(Stream::new(2).match_frame(&frame, &mut scratch), None);
            assert!(frame.iter().skip(2).all(|&byte| byte != 0xff));
        }
    }
}
