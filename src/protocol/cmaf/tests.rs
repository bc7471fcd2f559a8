use std::sync::Arc;

use bytes::Bytes;
use corecast_media::metadata::Metadata;
use corecast_media::track::{Track, TrackCodec, TrackFormat, TrackId};

use super::*;

fn format(codec: TrackCodec, config: &'static [u8]) -> TrackFormat {
    TrackFormat {
        codec,
        config: Bytes::from_static(config),
        rfc6381: Arc::from(""),
        width: 640,
        height: 360,
        frame_rate_millihz: 25_000,
        sample_rate_hz: 44_100,
        channels: 2,
    }
}

fn sample(payload: &'static [u8], duration: u32, offset: i32, keyframe: bool) -> Sample {
    Sample {
        payload: Bytes::from_static(payload),
        duration_ticks: duration,
        composition_offset_ticks: offset,
        keyframe,
    }
}

fn fragment(codec: TrackCodec, samples: &[Sample]) -> Fragment<'_> {
    Fragment {
        sequence: 7,
        track: TrackId(3),
        codec,
        decode_time_ticks: 1 << 40,
        samples,
        events: &[],
        produced: None,
    }
}

#[test]
fn a_fragment_says_what_it_was_given() {
    let samples = [
        sample(b"key", 3_600, 7_200, true),
        sample(b"b-frame", 3_601, -3_600, false),
        sample(b"", 3_599, 0, false),
    ];
    let bytes = write_fragment(&fragment(TrackCodec::H264, &samples));
    let read = reader::read_fragments(&bytes).expect("our own boxes");
    let [read] = &read[..] else {
        panic!("{read:?}")
    };
    assert_eq!((read.sequence, read.track_id), (7, FILE_TRACK_ID));
    assert_eq!(read.decode_time_ticks, 1 << 40);
    assert_eq!(read.duration_ticks(), 10_800);
    assert_eq!(read.samples.len(), samples.len());
    for (read, written) in read.samples.iter().zip(&samples) {
        assert_eq!(read.payload, &written.payload[..]);
        assert_eq!(read.duration_ticks, written.duration_ticks);
        assert_eq!(
            read.composition_offset_ticks,
            i64::from(written.composition_offset_ticks)
        );
        assert_eq!(read.keyframe, written.keyframe);
    }
}

#[test]
fn a_header_says_the_format() {
    let track = Track {
        id: TrackId(3),
        format: format(TrackCodec::H264, b"\x01\x64\0\x1f"),
    };
    let bytes = write_init(&track);
    let init = reader::read_init(&bytes).expect("our own boxes");
    assert_eq!((init.track_id, init.timescale), (FILE_TRACK_ID, 90_000));
    assert_eq!((init.width, init.height), (640, 360));
    assert_eq!((&init.handler, &init.entry), (b"vide", b"avc1"));
    let avcc = reader::child(init.config, *b"avcC").expect("the configuration");
    assert_eq!(avcc.body, b"\x01\x64\0\x1f");
}

#[test]
fn titles_and_the_clock_stand_in_front() {
    let samples = [sample(b"a", 1_024, 0, true)];
    let events = [TimedId3 {
        id: 9,
        timescale: 44_100,
        time_ticks: 5,
        metadata: Metadata::from_title("T"),
    }];
    let mut fragment = fragment(TrackCodec::Aac, &samples);
    fragment.events = &events;
    fragment.produced = Some(Produced {
        unix_nanos: 1_500_000_000,
    });
    let bytes = write_fragment(&fragment);
    let kinds: Vec<_> = reader::atoms(&bytes)
        .map(|atom| atom.expect("our own boxes").kind)
        .collect();
    assert_eq!(kinds, [*b"prft", *b"emsg", *b"moof", *b"mdat"]);
    let prft = reader::child(&bytes, *b"prft").expect("the clock").body;
    let expected = [
        &[1, 0, 0, 24, 0, 0, 0, 1][..],
        &2_208_988_801_u32.to_be_bytes(),
        &0x8000_0000_u32.to_be_bytes(),
        &(1_u64 << 40).to_be_bytes(),
    ];
    assert_eq!(prft, expected.concat());
}
