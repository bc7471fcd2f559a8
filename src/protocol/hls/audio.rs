//! How long a frame of sound lasts, by its own bytes and the decoder's configuration.

use corecast_media::codec::aac;
use corecast_media::track::{TrackCodec, TrackFormat};

use crate::cmaf;

/// Opus frame lengths in units of 2.5 ms, by the low two bits of the configuration, for SILK,
/// hybrid and CELT (RFC 6716 table 2).
const OPUS_SILK: [u64; 4] = [4, 8, 16, 24];
const OPUS_HYBRID: [u64; 2] = [4, 8];
const OPUS_CELT: [u64; 4] = [1, 2, 4, 8];

/// Samples of a FLAC frame by its block size code (RFC 9639 table 14); 0 for those written out.
const FLAC_BLOCKS: [u64; 16] = [
    0, 192, 576, 1_152, 2_304, 4_608, 0, 0, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384, 32_768,
];

/// The length of one frame in ticks of [`cmaf::timescale`]; 0 where it is not known.
pub(super) fn frame_ticks(format: &TrackFormat, payload: &[u8]) -> u64 {
    let timescale = u64::from(cmaf::timescale(format));
    match format.codec {
        TrackCodec::Aac => match aac::Config::parse(&format.config) {
            Ok(config) => {
                let samples = u64::from(config.frame_samples);
                samples * timescale / u64::from(config.core_rate_hz.max(1))
            }
            Err(_) => 1_024,
        },
        TrackCodec::Opus => opus_packet(payload),
        TrackCodec::Mp3 => match payload.get(1) {
            // ISO/IEC 11172-3 section 2.4.2.3: version 1 has two granules.
            Some(second) if second & 0x08 == 0 => 576,
            _ => 1_152,
        },
        TrackCodec::Flac => flac_frame(payload),
        TrackCodec::Ac3 => 1_536,
        TrackCodec::Eac3 => eac3_frame(payload),
        TrackCodec::H264 | TrackCodec::H265 | TrackCodec::Av1 | TrackCodec::Vp9 => 0,
    }
}

/// RFC 6716 section 3.1, in ticks of 48 kHz.
fn opus_packet(payload: &[u8]) -> u64 {
    let Some(&first) = payload.first() else {
        return 0;
    };
    let config = usize::from(first >> 3);
    let quarters = match config {
        0..12 => OPUS_SILK[config % 4],
        12..16 => OPUS_HYBRID[config % 2],
        _ => OPUS_CELT[config % 4],
    };
    let frames = match first & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => payload.get(1).map_or(0, |count| u64::from(count & 0x3f)),
    };
    quarters * frames * 120
}

/// RFC 9639 section 9.1: the block size, behind the coded number where it is written out.
fn flac_frame(payload: &[u8]) -> u64 {
    let (Some(third), Some(fifth)) = (payload.get(2), payload.get(4)) else {
        return 0;
    };
    let code = usize::from(third >> 4);
    // The coded number is one byte, or as many as its first has leading ones.
    let number_bytes = (fifth.leading_ones() as usize).max(1);
    let written = |at: usize| payload.get(4 + number_bytes + at).copied().map(u64::from);
    match (code, written(0), written(1)) {
        (6, Some(low), _) => low + 1,
        (7, Some(high), Some(low)) => ((high << 8) | low) + 1,
        _ => FLAC_BLOCKS[code & 15],
    }
}

/// ETSI TS 102 366 section E.1.3.1: blocks of 256 samples.
fn eac3_frame(payload: &[u8]) -> u64 {
    let Some(fifth) = payload.get(4) else {
        return 1_536;
    };
    let blocks = match (fifth >> 6, (fifth >> 4) & 3) {
        (3, _) | (_, 3) => 6,
        (_, code) => u64::from(code) + 1,
    };
    blocks * 256
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;

    fn format(codec: TrackCodec, config: &'static [u8], sample_rate_hz: u32) -> TrackFormat {
        TrackFormat {
            codec,
            config: Bytes::from_static(config),
            rfc6381: Arc::from(""),
            width: 0,
            height: 0,
            frame_rate_millihz: 0,
            sample_rate_hz,
            channels: 2,
        }
    }

    #[test]
    fn frames_last_as_long_as_their_samples() {
        let lc = format(TrackCodec::Aac, &[0x11, 0x90], 48_000);
        // SBR over 24 kHz, said in the configuration: 2,048 samples of the decoded sound.
        let he = format(TrackCodec::Aac, &[0x2b, 0x11, 0x88, 0x00], 48_000);
        let opus = format(TrackCodec::Opus, &[], 48_000);
        let mp3 = format(TrackCodec::Mp3, &[], 44_100);
        let flac = format(TrackCodec::Flac, &[], 44_100);
        let eac3 = format(TrackCodec::Eac3, &[], 48_000);
        for (format, payload, expected) in [
            (&lc, &[][..], 1_024),
            (&he, &[], 2_048),
            (&opus, &[0xfc], 960),
            (&opus, &[0xfd], 1_920),
            (&opus, &[0xe3, 0x03], 360),
            (&opus, &[0x18], 2_880),
            (&opus, &[0x68], 960),
            (&opus, &[], 0),
            (&mp3, &[0xff, 0xfb], 1_152),
            (&mp3, &[0xff, 0xf3], 576),
            (&flac, &[0xff, 0xf8, 0xc9, 0x18, 0x00], 4_096),
            (
                &flac,
                &[0xff, 0xf8, 0x79, 0x18, 0xc2, 0x80, 0x0f, 0xff],
                4_096,
            ),
            (&flac, &[0xff, 0xf8, 0x69, 0x18, 0x00, 0x63], 100),
            (&flac, &[], 0),
            (&eac3, &[0x0b, 0x77, 0, 0, 0x3f], 1_536),
            (&eac3, &[0x0b, 0x77, 0, 0, 0x00], 256),
        ] {
            let codec = format.codec;
            assert_eq!(
                frame_ticks(format, payload),
                expected,
                "{codec} {payload:x?}"
            );
        }
    }
}
