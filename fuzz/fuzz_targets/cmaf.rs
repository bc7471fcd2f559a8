//! Fragmented MP4. Any bytes are read within bounds; half of the inputs describe a header and a
//! fragment, which are then read as they were written.
#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use corecast_media::metadata::Metadata;
use corecast_media::track::{Track, TrackCodec, TrackFormat, TrackId};
use corecast_protocol::cmaf::{self, Fragment, Produced, Sample, TimedId3, reader};
use libfuzzer_sys::fuzz_target;

const CODECS: [TrackCodec; 10] = [
    TrackCodec::H264,
    TrackCodec::H265,
    TrackCodec::Av1,
    TrackCodec::Vp9,
    TrackCodec::Aac,
    TrackCodec::Mp3,
    TrackCodec::Opus,
    TrackCodec::Flac,
    TrackCodec::Ac3,
    TrackCodec::Eac3,
];

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    if first & 0x80 == 0 {
        // Whatever is said about a file holds inside of it.
        let _ = reader::read_init(rest);
        if let Ok(fragments) = reader::read_fragments(rest) {
            let samples: usize = fragments.iter().map(|f| f.samples.len()).sum();
            assert!(samples <= reader::SAMPLES_MAX);
        }
        return;
    }
    write_and_read(CODECS[usize::from(*first) % CODECS.len()], rest);
});

fn write_and_read(codec: TrackCodec, data: &[u8]) {
    let (config, rest) = data.split_at(data.len().min(40));
    let track = Track {
        id: TrackId(1),
        format: TrackFormat {
            codec,
            config: Bytes::copy_from_slice(config),
            rfc6381: Arc::from(""),
            width: 16,
            height: 9,
            frame_rate_millihz: 0,
            sample_rate_hz: config.first().map_or(0, |&byte| u32::from(byte) << 10),
            channels: 2,
        },
    };
    let init = cmaf::write_init(&track);
    let read = reader::read_init(&init).expect("our own header");
    assert_eq!(read.timescale, cmaf::timescale(&track.format));

    let samples: Vec<Sample> = rest
        .chunks(9)
        .map(|chunk| Sample {
            payload: Bytes::copy_from_slice(chunk),
            duration_ticks: u32::from(chunk[0]) << 8,
            composition_offset_ticks: i32::from(chunk[chunk.len() - 1].cast_signed()) << 12,
            keyframe: chunk[0] & 1 == 1,
        })
        .collect();
    let events = [TimedId3 {
        id: 1,
        timescale: 1,
        time_ticks: 0,
        metadata: Metadata::from_title(&String::from_utf8_lossy(rest)),
    }];
    let fragment = Fragment {
        sequence: 1,
        track: track.id,
        codec,
        decode_time_ticks: rest.len() as u64,
        samples: &samples,
        events: &events,
        produced: Some(Produced { unix_nanos: 1 }),
    };
    let bytes = cmaf::write_fragment(&fragment);
    let read = reader::read_fragments(&bytes).expect("our own fragment");
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].samples.len(), samples.len());
    for (read, written) in read[0].samples.iter().zip(&samples) {
        assert_eq!(read.payload, &written.payload[..]);
        assert_eq!(read.duration_ticks, written.duration_ticks);
        let offset = i64::from(written.composition_offset_ticks);
        assert_eq!(read.composition_offset_ticks, offset);
    }
}
