//! AV1 and VP9: units, headers and configurations.
#![no_main]

use bytes::Bytes;
use corecast_media::codec::{av1, describe, vp9};
use corecast_media::track::TrackCodec;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let data = Bytes::copy_from_slice(data);
    let _ = av1::SequenceHeader::parse(&data);
    if let Ok(record) = av1::record(&data) {
        let config = av1::Config::parse(&record).expect("made here");
        assert!(config.header.is_some());
        assert_eq!(av1::record(&config.sequence), Ok(record.clone()));
        assert!(describe::from_config(TrackCodec::Av1, &record).is_ok());
        assert_eq!(config.changed_by(&config.sequence), Ok(None));
        let _ = config.changed_by(&data);
    }
    let _ = describe::from_config(TrackCodec::Av1, &data);
    if let Ok(content) = av1::Content::parse(&data) {
        let bare = av1::without_delimiter(&data).expect("it consists of units");
        let again = av1::Content::parse(&bare).expect("the rest does too");
        assert_eq!(content.is_keyframe(), again.is_keyframe());
        let bytes: usize = av1::obus(&data).flatten().map(|obu| obu.whole.len()).sum();
        assert_eq!(bytes, data.len());
    }
    if let Ok(config) = vp9::Config::parse(&data) {
        assert_eq!(vp9::Config::parse(&config.record()), Ok(config));
    }
    if let Ok(header) = vp9::FrameHeader::parse(&data) {
        assert_eq!(
            header.is_key,
            header.picture.is_some() && header.config.is_some()
        );
        assert_eq!(
            header.is_key,
            describe::from_unit(TrackCodec::Vp9, &data).is_ok()
        );
    }
});
