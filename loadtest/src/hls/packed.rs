//! Packed sound of layer III (draft-pantos-hls-rfc8216bis section 3.4): a tag with the time, and
//! frames one after another.

use super::history::PackedContent;

const OWNER: &[u8] = b"com.apple.streaming.transportStreamTimestamp\0";

/// Ticks per second of the time in the tag.
const TIMESCALE: u64 = 90_000;

/// Kilobits per second by their number in a frame's header (ISO/IEC 11172-3 section 2.4.2.3), and
/// those of lower sampling rates (13818-3 section 2.4.2.3).
const RATES_KBPS: [u64; 14] = [
    32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
];
const LOW_RATES_KBPS: [u64; 14] = [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];

/// Reads a segment or a part; the fault where not every byte belongs to a tag or a whole frame.
pub(super) fn read(bytes: &[u8]) -> Result<PackedContent, &'static str> {
    let (mut rest, mut start_ticks) = (bytes, None);
    while let Some((body, behind)) = tag(rest) {
        let at = body.windows(OWNER.len()).position(|found| found == OWNER);
        let time = at.and_then(|at| body.get(at + OWNER.len()..)?.first_chunk::<8>());
        start_ticks = start_ticks.or(time.map(|time| u64::from_be_bytes(*time)));
        rest = behind;
    }
    let start_ticks = start_ticks.ok_or("packed sound without a time")?;
    let (mut frames, mut samples, mut rate_hz) = (0, 0, 0);
    while !rest.is_empty() {
        let frame = frame(rest).ok_or("something between frames")?;
        rest = rest.get(frame.bytes..).ok_or("a frame that is cut off")?;
        frames += 1;
        samples += frame.samples;
        rate_hz = frame.rate_hz;
    }
    if frames == 0 {
        return Err("packed sound without a frame");
    }
    Ok(PackedContent {
        start_ticks,
        duration_ticks: samples * TIMESCALE / rate_hz,
        frames,
    })
}

/// The body of an ID3 tag and what is behind it (ID3v2.4.0 section 3.1).
fn tag(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(10)?;
    let length = head.strip_prefix(b"ID3")?.get(3..)?;
    let length = length
        .iter()
        .fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7f));
    rest.split_at_checked(length)
}

struct Frame {
    bytes: usize,
    samples: u64,
    rate_hz: u64,
}

fn frame(bytes: &[u8]) -> Option<Frame> {
    let &[0xff, second, third, _] = bytes.first_chunk::<4>()? else {
        return None;
    };
    if second & 0xe6 != 0xe2 {
        return None;
    }
    let (rates, samples, divisor) = match second >> 3 & 3 {
        3 => (&RATES_KBPS, 1_152, 1),
        2 => (&LOW_RATES_KBPS, 576, 2),
        0 => (&LOW_RATES_KBPS, 576, 4),
        _ => return None,
    };
    let rate_hz = [44_100, 48_000, 32_000].get(usize::from(third >> 2 & 3))? / divisor;
    let kbps = rates.get(usize::from(third >> 4).checked_sub(1)?)?;
    let padding = u64::from(third >> 1 & 1);
    Some(Frame {
        bytes: usize::try_from(samples / 8 * kbps * 1_000 / rate_hz + padding).ok()?,
        samples,
        rate_hz,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two frames of 128 kbit/s at 44,100 Hz behind a time.
    fn packed() -> Vec<u8> {
        let mut bytes = b"ID3\x04\0\0\0\0\0\x3fPRIV\0\0\0\x35\0\0".to_vec();
        bytes.extend_from_slice(OWNER);
        bytes.extend_from_slice(&90_000_u64.to_be_bytes());
        for (third, length) in [(0x90, 417), (0x92, 418)] {
            let at = bytes.len();
            bytes.resize(at + length, 0);
            bytes[at..at + 3].copy_from_slice(&[0xff, 0xfb, third]);
        }
        bytes
    }

    #[test]
    fn times_and_frames_are_read() {
        let content = PackedContent {
            start_ticks: 90_000,
            duration_ticks: 2 * 1_152 * 90_000 / 44_100,
            frames: 2,
        };
        assert_eq!(read(&packed()), Ok(content));
    }

    #[test]
    fn what_is_not_whole_is_a_fault() {
        let bytes = packed();
        let whole = bytes.len();
        for length in (0..whole).filter(|length| *length != whole - 418) {
            assert!(read(&bytes[..length]).is_err(), "{length} bytes");
        }
        let mut other = bytes.clone();
        other[whole - 418] = 0;
        assert!(read(&other).is_err());
    }
}
