use corecast_media::codec::{AudioFormat, Codec};
use corecast_media::frame::MediaEvent;

use super::demux::{BUFFER_BYTES_MAX, Framer};
use super::header::Header;
use crate::framing::testing::{Splits, payloads, run};

/// The parts of a frame that vary in the tests.
#[derive(Clone, Copy)]
struct Plan {
    has_crc: bool,
    rate_index: u8,
    channels: u8,
    blocks: u8,
    bytes: u16,
}

const PLAIN: Plan = Plan {
    has_crc: false,
    rate_index: 4,
    channels: 2,
    blocks: 1,
    bytes: 371,
};

fn header(plan: Plan) -> [u8; 7] {
    [
        0xff,
        0xf0 | u8::from(!plan.has_crc),
        0x40 | plan.rate_index << 2 | plan.channels >> 2,
        plan.channels << 6 | (plan.bytes >> 11) as u8,
        (plan.bytes >> 3) as u8,
        ((plan.bytes & 0b111) as u8) << 5 | 0x1f,
        0xfc | (plan.blocks - 1),
    ]
}

fn frame(plan: Plan, fill: u8) -> Vec<u8> {
    let mut bytes = header(plan).to_vec();
    bytes.resize(usize::from(plan.bytes), fill);
    bytes
}

fn events(input: &[u8]) -> (Vec<MediaEvent>, u64) {
    run(input, || (Framer::new(), BUFFER_BYTES_MAX), Splits::all())
}

#[test]
fn headers_tell_length_samples_and_format() {
    let longest = Plan {
        bytes: 8_191,
        ..PLAIN
    };
    let blocks = Plan {
        blocks: 4,
        has_crc: true,
        rate_index: 3,
        channels: 7,
        bytes: 16,
    };
    for (plan, expected) in [
        (PLAIN, Some((371, 1_024, 44_100, 2))),
        (longest, Some((8_191, 1_024, 44_100, 2))),
        (blocks, Some((16, 4_096, 48_000, 8))),
        (
            Plan {
                channels: 0,
                ..PLAIN
            },
            Some((371, 1_024, 44_100, 0)),
        ),
        (
            Plan {
                rate_index: 13,
                ..PLAIN
            },
            None,
        ),
        (Plan { bytes: 7, ..PLAIN }, None),
        (
            Plan {
                bytes: 9,
                has_crc: true,
                ..PLAIN
            },
            None,
        ),
    ] {
        let told = Header::parse(header(plan)).map(|header| {
            let AudioFormat {
                sample_rate_hz,
                channels,
                ..
            } = header.format();
            (
                header.frame_bytes(),
                header.samples(),
                sample_rate_hz,
                channels,
            )
        });
        assert_eq!(told, expected, "{:02x?}", header(plan));
    }
    // MPEG audio has other layer bits.
    assert_eq!(Header::parse([0xff, 0xfb, 0x90, 0, 0, 0, 0]), None);
}

#[test]
fn a_clean_stream_comes_out_byte_for_byte() {
    let sizes = [7 + 1, 200, 371, 8_191, 420, 64];
    let plans = sizes.map(|bytes| Plan { bytes, ..PLAIN });
    let input: Vec<u8> = plans.iter().flat_map(|&plan| frame(plan, 0x55)).collect();
    let (events, discarded) = events(&input);
    assert!(payloads(&events) == input);
    assert_eq!(discarded, 0);
    let format = AudioFormat {
        codec: Codec::Aac,
        sample_rate_hz: 44_100,
        channels: 2,
        bitrate_bps: 0,
    };
    assert_eq!(events.first(), Some(&MediaEvent::Format(format)));
    assert_eq!(events.len(), 1 + sizes.len());
}

#[test]
fn junk_is_dropped_and_a_new_format_is_said() {
    let first: Vec<u8> = (0..4).flat_map(|_| frame(PLAIN, 1)).collect();
    let mono = Plan {
        channels: 1,
        rate_index: 6,
        has_crc: true,
        ..PLAIN
    };
    let second: Vec<u8> = (0..4).flat_map(|_| frame(mono, 2)).collect();
    for junk in [
        &b""[..],
        b"junk",
        b"\xff\xf1\x50",
        b"ID3\x03\0\0\0\0\0\x04\xff\xf1\x50\x80",
    ] {
        let (events, discarded) = events(&[junk, &first, junk, &second].concat());
        assert!(
            payloads(&events) == [&first[..], &second].concat(),
            "{junk:02x?}"
        );
        assert_eq!(discarded, 2 * junk.len() as u64, "{junk:02x?}");
        let formats: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                MediaEvent::Format(format) => Some((format.sample_rate_hz, format.channels)),
                _ => None,
            })
            .collect();
        assert_eq!(formats, [(44_100, 2), (24_000, 1)]);
    }
}

#[test]
fn a_replicated_band_doubles_the_rate_once_it_is_sure() {
    let low = Plan {
        rate_index: 7,
        bytes: 7 + 4,
        ..PLAIN
    };
    // Sound, a fill element of two bytes with a band or with other data, and the end.
    let with_band = [0b1011_1000, 0b1011_0101, 0b0101_0101, 0b0111_1000];
    let without = [0b1011_1000, 0b1010_1101, 0b0101_0101, 0b0111_1000];
    let stream = |plan: Plan, blocks: &[[u8; 4]]| -> Vec<u8> {
        let frames = blocks
            .iter()
            .map(|block| [&header(plan)[..], block].concat());
        frames.collect::<Vec<_>>().concat()
    };
    let rates = |input: &[u8]| -> Vec<(usize, u32)> {
        let (events, _) = events(input);
        assert!(payloads(&events) == input);
        let at = |(at, event): (usize, &MediaEvent)| match event {
            MediaEvent::Format(format) => Some((at, format.sample_rate_hz)),
            _ => None,
        };
        events.iter().enumerate().filter_map(at).collect()
    };
    // Encoders begin with blocks that have none.
    let he = [&[without; 2][..], &[with_band; 20]].concat();
    assert_eq!(rates(&stream(low, &he)), [(0, 22_050), (8, 44_100)]);
    let by_chance = [[with_band; 5], [without; 5]].concat().repeat(2);
    assert_eq!(rates(&stream(low, &by_chance)), [(0, 22_050)]);
    let high = Plan {
        bytes: 7 + 4,
        ..PLAIN
    };
    assert_eq!(rates(&stream(high, &he)), [(0, 44_100)]);
    // Another stream in the same connection is looked at again.
    let both = [stream(low, &he), stream(high, &he), stream(low, &he)].concat();
    assert_eq!(rates(&both).len(), 5, "{:?}", rates(&both));
}
