//! Parameter sets, configurations and payloads of H.264 and HEVC: what is read can be written and
//! read again, and every payload is either whole or refused.
#![no_main]

use bytes::Bytes;
use corecast_media::codec::{describe, h264, h265, nal};
use corecast_media::track::TrackCodec;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&kind, rest)) = data.split_first() else {
        return;
    };
    let rest = Bytes::copy_from_slice(rest);
    match kind % 4 {
        0 => check_sets(&rest),
        1 => check_h264(&rest),
        2 => check_h265(&rest),
        _ => check_payload(&rest),
    }
});

/// Units between start codes as parameter sets.
fn check_sets(stream: &Bytes) {
    let units: Vec<Bytes> = nal::annex_b_units(stream)
        .map(Bytes::copy_from_slice)
        .collect();
    for unit in &units {
        let _ = (h264::Sps::parse(unit), h265::Sps::parse(unit));
    }
    if let Ok(config) = h265::Config::from_parameter_sets(units.clone()) {
        check_h265(&config.record());
    }
    let (sps, pps) = units
        .into_iter()
        .partition(|unit| h264::unit_type(unit) == 7);
    if let Ok(config) = h264::Config::from_parameter_sets(sps, pps) {
        check_h264(&config.record());
    }
}

fn check_h264(record: &Bytes) {
    if let Ok(config) = h264::Config::parse(record) {
        assert_eq!(h264::Config::parse(&config.record()), Ok(config));
        if let Ok(format) = describe::from_config(TrackCodec::H264, record) {
            assert!(format.width > 0 && format.height > 0 && format.rfc6381.len() == 11);
        }
    }
}

fn check_h265(record: &Bytes) {
    if let Ok(config) = h265::Config::parse(record) {
        assert_eq!(h265::Config::parse(&config.record()), Ok(config));
        if let Ok(format) = describe::from_config(TrackCodec::H265, record) {
            assert!(format.width > 0 && format.rfc6381.starts_with("hvc1."));
        }
    }
}

fn check_payload(payload: &Bytes) {
    let mut stream = Vec::new();
    if nal::to_annex_b(payload, &mut stream).is_ok() {
        let whole = nal::from_annex_b(&stream);
        assert!(nal::units(&whole).all(|unit| unit.is_ok()));
        assert!(h264::Content::parse(payload).is_ok() && h265::Content::parse(payload).is_ok());
    }
    for length_bytes in [1, 2, 4] {
        if let Ok(wide) = nal::widen(payload, length_bytes) {
            let narrow = nal::Units::new(payload, length_bytes);
            assert!(nal::units(&wide).eq(narrow));
        }
    }
}
