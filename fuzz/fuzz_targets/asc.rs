//! Configurations and headers of sound: AudioSpecificConfig, OpusHead, STREAMINFO, and the frames
//! that say themselves what they are.
#![no_main]

use bytes::Bytes;
use corecast_media::codec::{aac, ac3, describe, sound};
use corecast_media::track::TrackCodec;
use libfuzzer_sys::fuzz_target;

/// No unit of sound plays longer: a second of it at the lowest rate there is.
const NANOS_MAX: u64 = 70_000_000_000;

fuzz_target!(|data: &[u8]| {
    let data = Bytes::copy_from_slice(data);
    if let Ok(config) = aac::Config::parse(&data) {
        assert!(config.frame_nanos() > 0 && config.sample_rate_hz() > 0);
        assert!(config.rfc6381().starts_with("mp4a.40."));
    }
    if let Ok(block) = sound::stream_info(&data) {
        assert_eq!(block.len(), sound::STREAM_INFO_BYTES);
    }
    if let Ok(header) = ac3::Header::parse(&data) {
        assert_eq!(
            header.specific_box().len(),
            if header.is_enhanced { 5 } else { 3 }
        );
        assert!(header.sound.sample_rate_hz > 0 && header.frame_bytes > 0);
    }
    for codec in [
        TrackCodec::Aac,
        TrackCodec::Opus,
        TrackCodec::Flac,
        TrackCodec::Mp3,
        TrackCodec::Ac3,
        TrackCodec::Eac3,
    ] {
        let formats = [
            describe::from_config(codec, &data),
            describe::from_unit(codec, &data),
        ];
        for format in formats.into_iter().flatten() {
            assert!(describe::sound_nanos(&format, &data) <= NANOS_MAX);
        }
    }
});
