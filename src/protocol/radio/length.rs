//! How many samples one packet plays.

/// Samples of one Opus packet at 48 kHz (RFC 6716 sections 3.1 and 3.2); `None` for one that no
/// decoder takes.
pub(super) fn opus(packet: &[u8]) -> Option<u32> {
    /// Section 3.2.5: 120 ms.
    const SAMPLES_MAX: u32 = 5_760;
    let (&toc, rest) = packet.split_first()?;
    let frame_samples = match toc >> 3 {
        // SILK: 10, 20, 40 and 60 ms.
        config @ 0..=11 => [480, 960, 1_920, 2_880].get(usize::from(config & 0b11)),
        // Hybrid: 10 and 20 ms.
        config @ 12..=15 => [480, 960].get(usize::from(config & 0b1)),
        // CELT: 2.5, 5, 10 and 20 ms.
        config => [120, 240, 480, 960].get(usize::from(config & 0b11)),
    }?;
    let frames = match toc & 0b11 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(rest.first()? & 0x3f),
    };
    Some(frame_samples * frames).filter(|samples| (1..=SAMPLES_MAX).contains(samples))
}

/// Samples of one FLAC frame (RFC 9639 section 9.1); `None` where the packet is no frame.
pub(super) fn flac(packet: &[u8]) -> Option<u32> {
    let [0xff, sync, codes, channels, rest @ ..] = packet else {
        return None;
    };
    // Section 9.1: 14 bits of sync code, a zero, and the blocking strategy.
    if sync & 0xfe != 0xf8 || channels & 1 != 0 {
        return None;
    }
    // Section 9.1.5: a number coded like UTF-8, whose first byte tells how many follow.
    let first = rest.first()?;
    let number_bytes = match first.leading_ones() {
        0 => 1,
        count @ 2..=7 => count as usize,
        _ => return None,
    };
    let behind = rest.get(number_bytes..)?;
    match codes >> 4 {
        1 => Some(192),
        code @ 2..=5 => Some(576 << (code - 2)),
        6 => Some(u32::from(*behind.first()?) + 1),
        7 => Some(u32::from(u16::from_be_bytes(*behind.first_chunk()?)) + 1),
        code @ 8..=15 => Some(256 << (code - 8)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opus_packets_tell_their_length() {
        for (packet, expected) in [
            (&[0x00][..], Some(480)),
            (&[0x18], Some(2_880)),
            (&[0x68], Some(960)),
            (&[0x60], Some(480)),
            (&[0x80], Some(120)),
            (&[0xfc], Some(960)),
            (&[0xfd], Some(1_920)),
            (&[0xfe], Some(1_920)),
            (&[0xff, 0x06], Some(5_760)),
            (&[0xff, 0x07], None),
            (&[0xff, 0x00], None),
            (&[0xff], None),
            (&[], None),
        ] {
            assert_eq!(opus(packet), expected, "{packet:02x?}");
        }
    }

    #[test]
    fn flac_frames_tell_their_length() {
        for (packet, expected) in [
            (&[0xff, 0xf8, 0x19, 0x18, 0x00][..], Some(192)),
            (&[0xff, 0xf8, 0x59, 0x18, 0x00], Some(4_608)),
            (&[0xff, 0xf9, 0xc9, 0x18, 0xc2, 0x80], Some(4_096)),
            (&[0xff, 0xf8, 0x69, 0x18, 0x7f, 0x0f], Some(16)),
            (
                &[0xff, 0xf8, 0x79, 0x18, 0xc2, 0x80, 0x03, 0xff],
                Some(1_024),
            ),
            (&[0xff, 0xf8, 0x79, 0x18, 0xc2, 0x80, 0x03], None),
            (&[0xff, 0xf8, 0x09, 0x18, 0x00], None),
            (&[0xff, 0xf8, 0x59, 0x19, 0x00], None),
            (&[0xff, 0xf8, 0x59, 0x18, 0x80], None),
            (&[0xff, 0xf8, 0x59, 0x18, 0xff], None),
            (&[0xff, 0xfb, 0x90, 0x00], None),
            (&[0x84, 0, 0, 0], None),
        ] {
            assert_eq!(flac(packet), expected, "{packet:02x?}");
        }
    }
}
