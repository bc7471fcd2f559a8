use bytes::Bytes;
use corecast_media::codec::{AudioFormat, Codec};
use corecast_media::frame::{FrameKind, MediaEvent};

use super::demux::{BUFFER_BYTES_MAX, Framer};
use super::header::Header;
use crate::framing::testing::{Splits, payloads, run};

/// One frame: these header bytes, then a filler that holds no sync word.
fn frame(header: [u8; 4], fill: u8) -> Vec<u8> {
    let parsed = Header::parse(header).expect("a header");
    let mut bytes = header.to_vec();
    bytes.resize(parsed.frame_bytes(), fill);
    bytes
}

const MP3_128: [u8; 4] = [0xff, 0xfb, 0x90, 0x00];
const MP3_320: [u8; 4] = [0xff, 0xfb, 0xe0, 0x00];
const MP3_MONO_22: [u8; 4] = [0xff, 0xf3, 0x40, 0xc0];

fn frames(header: [u8; 4], count: u8) -> Vec<u8> {
    (0..count).flat_map(|index| frame(header, index)).collect()
}

fn mp3(sample_rate_hz: u32, channels: u8, bitrate_bps: u32) -> AudioFormat {
    AudioFormat {
        codec: Codec::Mp3,
        sample_rate_hz,
        channels,
        bitrate_bps,
    }
}

/// Runs `input` whole, byte by byte and in seeded splits; all must say the same.
fn events(input: &[u8]) -> (Vec<MediaEvent>, u64) {
    run(input, || (Framer::new(), BUFFER_BYTES_MAX), Splits::all())
}

#[test]
fn headers_tell_length_samples_and_format() {
    for (bytes, expected) in [
        (
            [0xff, 0xfb, 0x90, 0x00],
            Some((417, 1_152, 44_100, 2, 128_000, Codec::Mp3)),
        ),
        (
            [0xff, 0xfb, 0x92, 0x00],
            Some((418, 1_152, 44_100, 2, 128_000, Codec::Mp3)),
        ),
        (
            [0xff, 0xfa, 0x94, 0xc0],
            Some((384, 1_152, 48_000, 1, 128_000, Codec::Mp3)),
        ),
        (
            [0xff, 0xf3, 0x40, 0xc0],
            Some((104, 576, 22_050, 1, 32_000, Codec::Mp3)),
        ),
        (
            [0xff, 0xe3, 0x48, 0xc0],
            Some((288, 576, 8_000, 1, 32_000, Codec::Mp3)),
        ),
        (
            [0xff, 0xfd, 0xe8, 0x00],
            Some((1_728, 1_152, 32_000, 2, 384_000, Codec::Mp2)),
        ),
        (
            [0xff, 0xff, 0x10, 0x00],
            Some((32, 384, 44_100, 2, 32_000, Codec::Mp1)),
        ),
        // Free format, bad bit rate, bad sampling rate, reserved version, layer and emphasis.
        ([0xff, 0xfb, 0x00, 0x00], None),
        ([0xff, 0xfb, 0xf0, 0x00], None),
        ([0xff, 0xfb, 0x9c, 0x00], None),
        ([0xff, 0xeb, 0x90, 0x00], None),
        ([0xff, 0xf9, 0x90, 0x00], None),
        ([0xff, 0xfb, 0x90, 0x02], None),
        ([0xfe, 0xfb, 0x90, 0x00], None),
    ] {
        let told = Header::parse(bytes).map(|header| {
            let format = header.format();
            let rate = format.sample_rate_hz;
            let bytes = header.frame_bytes();
            (
                bytes,
                header.samples(),
                rate,
                format.channels,
                format.bitrate_bps,
                format.codec,
            )
        });
        assert_eq!(told, expected, "{bytes:02x?}");
    }
}

#[test]
fn no_frame_is_longer_than_the_bound() {
    let mut longest = 0;
    for bits in 0..=0x00ff_ffff_u32 {
        let [_, b1, b2, b3] = bits.to_be_bytes();
        // Only the first byte's low bits, rates and padding matter for the length.
        if b1 & 0xe0 == 0xe0 && b3 == 0 {
            let header = Header::parse([0xff, b1, b2, b3]);
            longest = longest.max(header.map_or(0, |header| header.frame_bytes()));
        }
    }
    assert_eq!(longest, super::header::FRAME_BYTES_MAX);
}

#[test]
fn a_clean_stream_comes_out_byte_for_byte() {
    let input = frames(MP3_128, 40);
    let (events, discarded) = events(&input);
    assert!(payloads(&events) == input);
    assert_eq!(discarded, 0);
    assert_eq!(
        events.first(),
        Some(&MediaEvent::Format(mp3(44_100, 2, 128_000)))
    );
    let mut duration_us = 0;
    for event in events.get(1..).expect("frames") {
        let MediaEvent::Frame(frame) = event else {
            panic!("{event:?}")
        };
        assert_eq!((frame.kind, frame.payload.len()), (FrameKind::Entry, 417));
        duration_us += u64::from(frame.duration_us);
    }
    assert_eq!(duration_us, 40 * 1_152 * 1_000_000 / 44_100);
}

#[test]
fn payloads_are_slices_of_the_push() {
    let input = Bytes::from(frames(MP3_128, 10));
    let mut framer = Framer::new();
    framer.push(input.clone());
    let within = input.as_ptr_range();
    let mut count = 0;
    while let Some(event) = framer.poll() {
        if let MediaEvent::Frame(frame) = event {
            assert!(within.contains(&frame.payload.as_ptr()));
            count += 1;
        }
    }
    assert_eq!(count, 10);
}

#[test]
fn tags_and_junk_are_dropped_and_counted() {
    let mut id3v2 = b"ID3\x04\0\0\0\0\x07\x76".to_vec();
    // A picture inside a tag may look like frames.
    id3v2.extend(frames(MP3_320, 1).iter().take(7 * 128 + 0x76));
    let mut id3v1 = b"TAG".to_vec();
    id3v1.resize(128, 0xff);
    let mut ape = b"APETAGEX\xd0\x07\0\0\x40\0\0\0\x01\0\0\0\0\0\0\xa0".to_vec();
    ape.resize(96, 0xff);
    for junk in [
        &b"hello"[..],
        &[0xff; 9],
        &[0xff, 0xfb, 0x90],
        &id3v2,
        &id3v1,
        &ape,
    ] {
        let (before, after) = (frames(MP3_128, 5), frames(MP3_128, 6));
        let (events, discarded) = events(&[junk, &before, junk, &after, junk].concat());
        assert!(payloads(&events) == [before, after].concat(), "{junk:02x?}");
        assert_eq!(discarded, 3 * junk.len() as u64, "{junk:02x?}");
    }
}

#[test]
fn a_header_that_nothing_bears_out_starts_no_stream() {
    // The first bytes fit the stream behind them, but not the distance.
    let good = frames(MP3_128, 6);
    let (events, discarded) = events(&[&[0xff, 0xfb, 0x90, 0x00, 7], &good[..]].concat());
    assert!(payloads(&events) == good);
    assert_eq!(discarded, 5);
}

#[test]
fn the_format_is_said_first_and_on_change() {
    let parts = [
        frames(MP3_128, 4),
        frames(MP3_320, 2),
        frames(MP3_MONO_22, 4),
    ];
    let (events, discarded) = events(&parts.concat());
    let formats: Vec<_> = events
        .iter()
        .enumerate()
        .filter_map(|(at, event)| match event {
            MediaEvent::Format(format) => Some((at, *format)),
            _ => None,
        })
        .collect();
    let expected = [
        (0, mp3(44_100, 2, 128_000)),
        (5, mp3(44_100, 2, 0)),
        (8, mp3(22_050, 1, 32_000)),
    ];
    assert_eq!((formats.as_slice(), discarded), (&expected[..], 0));
}

#[test]
fn a_table_of_contents_is_kept_at_the_start_only() {
    for (name, at) in [(b"Xing", 36), (b"Info", 36), (b"VBRI", 36)] {
        let mut table = frame(MP3_128, 0);
        table.splice(at..at + 4, name.iter().copied());
        let input = [&table[..], &frames(MP3_128, 3), &table, &frames(MP3_128, 3)].concat();
        let (events, discarded) = events(&input);
        let expected = [&table[..], &frames(MP3_128, 3), &frames(MP3_128, 3)].concat();
        assert!(payloads(&events) == expected);
        assert_eq!(discarded, table.len() as u64);
    }
}

#[test]
fn the_end_decides_what_waited() {
    for (input, frames_out) in [
        (frames(MP3_128, 1), 1),
        (frames(MP3_128, 2), 2),
        // Cut inside the third frame: what is whole goes out.
        (frames(MP3_128, 3).into_iter().take(1_000).collect(), 2),
        // One header and nothing that bears it out.
        (frames(MP3_128, 1).into_iter().take(400).collect(), 0),
    ] {
        let (events, discarded) = events(&input);
        let out = events
            .iter()
            .filter(|event| matches!(event, MediaEvent::Frame(_)))
            .count();
        assert_eq!(out, frames_out);
        assert_eq!(
            payloads(&events).len() as u64 + discarded,
            input.len() as u64
        );
    }
}

#[test]
fn the_bit_rate_of_a_table_of_contents_does_not_count() {
    let mut table = frame(MP3_320, 0);
    table.splice(36..40, *b"Info");
    let (events, _) = events(&[table, frames(MP3_128, 5)].concat());
    let formats = events
        .iter()
        .filter(|event| matches!(event, MediaEvent::Format(_)));
    assert_eq!(
        formats.collect::<Vec<_>>(),
        [&MediaEvent::Format(mp3(44_100, 2, 128_000))]
    );
}
