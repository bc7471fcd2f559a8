//! Manifests of any times, texts and lengths: tags are in balance and nothing ends a value early.
#![no_main]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corecast_media::track::{TrackCodec, TrackFormat};
use corecast_protocol::dash::{
    Clock, MANIFEST_BYTES_MAX, Manifest, Period, Representation, Segment,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [head @ .., _] = data else { return };
    let word = |at: usize| {
        let bytes = data.get(at * 8..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    };
    let text = String::from_utf8_lossy(head.get(40..).unwrap_or_default());
    let text = &text[..text.floor_char_boundary(text.len().min(200))];
    let codec = if head.len() % 2 == 0 {
        TrackCodec::H264
    } else {
        TrackCodec::Opus
    };
    let format = TrackFormat {
        codec,
        config: Bytes::new(),
        rfc6381: Arc::from(text),
        width: word(0) as u16,
        height: word(1) as u16,
        frame_rate_millihz: word(2) as u32,
        sample_rate_hz: word(3) as u32,
        channels: word(4) as u8,
    };
    let segments: Vec<Segment> = data
        .chunks_exact(4)
        .map(|chunk| Segment {
            start_ticks: word(0).wrapping_add(u64::from(chunk[0]) << (chunk[1] & 63)),
            duration_ticks: u64::from(chunk[2]) << (chunk[3] & 63),
        })
        .collect();
    let representations = [Representation {
        id: text,
        format: &format,
        frame_rate_millihz: 0,
        bandwidth_bps: word(1),
        timescale: (word(2) as u32).max(1),
        zero_ticks: word(3),
        first_number: word(4),
        init_uri: text,
        media_uri: text,
        number: word(4).wrapping_add(word(3) & 0xff),
        segments: &segments,
        has_titles: true,
    }];
    let periods = [Period {
        number: 0,
        start: Duration::from_micros(word(1)),
        representations: &representations,
    }];
    let manifest = Manifest {
        start: text,
        published: text,
        target: Duration::from_micros(word(2)),
        window: Duration::from_micros(word(3)),
        delay: Duration::from_micros(word(4)),
        live: None,
        clock: Clock::Body(text),
        periods: &periods,
        is_ended: word(0) & 1 == 1,
    };
    check(&manifest.write());
});

fn check(text: &str) {
    assert!(text.len() <= MANIFEST_BYTES_MAX + 16 * 1024);
    let mut open = Vec::new();
    for line in text.lines().skip(1).map(str::trim) {
        let inner = line
            .strip_prefix('<')
            .and_then(|line| line.strip_suffix('>'));
        let inner = inner.expect("a line is a tag");
        assert!(!inner.contains(['<', '>']) && inner.matches('"').count() % 2 == 0);
        let name = inner.split(' ').next().expect("a name");
        if let Some(name) = name.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !inner.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty());
}
