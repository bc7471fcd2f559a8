use bytes::Bytes;
use corecast_media::frame::MediaEvent;
use corecast_media::metadata::Metadata;
use corecast_media::track::{AccessUnit, TrackCodec, TrackFormat};

use super::RadioUnits;
use crate::audio::Framer;
use crate::ogg::page;

const CONTINUED: u8 = 1;
const FIRST: u8 = 2;
const LAST: u8 = 4;

/// What becomes of a whole stream.
fn events(content_type: &str, stream: &[u8]) -> Vec<MediaEvent> {
    let mut framer = Framer::for_content_type(content_type);
    let mut units = RadioUnits::new();
    let mut out = Vec::new();
    framer.push(Bytes::copy_from_slice(stream));
    framer.finish();
    while let Some(event) = framer.poll() {
        units.push(&event, &mut out);
    }
    out
}

fn formats(events: &[MediaEvent]) -> Vec<Option<TrackFormat>> {
    let format = |event: &MediaEvent| match event {
        MediaEvent::Tracks(tracks) => Some(tracks.first().map(|track| track.format.clone())),
        _ => None,
    };
    events.iter().filter_map(format).collect()
}

fn units(events: &[MediaEvent]) -> Vec<&AccessUnit> {
    fn unit(event: &MediaEvent) -> Option<&AccessUnit> {
        match event {
            MediaEvent::Unit(unit) => Some(unit),
            _ => None,
        }
    }
    events.iter().filter_map(unit).collect()
}

/// Times of units, in samples of `rate_hz`.
fn times(events: &[MediaEvent], rate_hz: u32) -> Vec<i64> {
    units(events)
        .iter()
        .map(|unit| unit.dts.to_ticks(rate_hz))
        .collect()
}

fn mp3_frame(header: [u8; 4], fill: u8) -> Vec<u8> {
    let parsed = crate::mpa::header::Header::parse(header).expect("a header");
    let mut bytes = header.to_vec();
    bytes.resize(parsed.frame_bytes(), fill);
    bytes
}

#[test]
fn mpeg_frames_are_units_on_a_clock_of_samples() {
    let header = [0xff, 0xfb, 0x90, 0x00];
    let mut table = mp3_frame(header, 0);
    table.splice(36..40, *b"Xing");
    let frames: Vec<Vec<u8>> = (0..100).map(|fill| mp3_frame(header, fill)).collect();
    let said = events("audio/mpeg", &[table, frames.concat()].concat());
    let told = formats(&said);
    let [Some(format)] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(
        (format.codec, &*format.rfc6381),
        (TrackCodec::Mp3, "mp4a.40.34")
    );
    assert_eq!((format.sample_rate_hz, format.channels), (44_100, 2));
    assert!(matches!(said.first(), Some(MediaEvent::Tracks(_))));
    let expected: Vec<i64> = (0..100).map(|at| at * 1_152).collect();
    assert_eq!(times(&said, 44_100), expected);
    for (unit, frame) in units(&said).iter().zip(&frames) {
        assert_eq!(unit.payload, frame);
        assert!(unit.keyframe && unit.pts == unit.dts);
    }
}

#[test]
fn another_rate_is_another_track_and_the_clock_goes_on() {
    let first: Vec<u8> = (0..4)
        .flat_map(|n| mp3_frame([0xff, 0xfb, 0x90, 0], n))
        .collect();
    let second: Vec<u8> = (0..4)
        .flat_map(|n| mp3_frame([0xff, 0xfb, 0x94, 0xc0], n))
        .collect();
    let said = events("audio/mpeg", &[first, second].concat());
    let rates: Vec<_> = formats(&said)
        .iter()
        .flatten()
        .map(|format| (format.sample_rate_hz, format.channels))
        .collect();
    assert_eq!(rates, [(44_100, 2), (48_000, 1)]);
    let nanos: Vec<i64> = units(&said)
        .iter()
        .map(|unit| unit.dts.as_nanos())
        .collect();
    let joint = 4 * 1_152 * 1_000_000_000 / 44_100 + 1;
    assert_eq!(nanos.get(4..6), Some(&[joint, joint + 24_000_000][..]));
}

#[test]
fn layers_and_codecs_without_a_place_have_no_units() {
    let layer_two: Vec<u8> = (0..5)
        .flat_map(|n| mp3_frame([0xff, 0xfd, 0xe8, 0], n))
        .collect();
    let mut vorbis =
        b"\x01vorbis\0\0\0\0\x02\x44\xac\0\0\0\0\0\0\0\xee\x02\0\0\0\0\0\xb8\x01".to_vec();
    vorbis = ogg_page(FIRST, 0, 1, 0, &[&vorbis]);
    for (content_type, stream) in [("audio/mpeg", &layer_two), ("audio/ogg", &vorbis)] {
        assert_eq!(
            formats(&events(content_type, stream)),
            [None],
            "{content_type}"
        );
        assert!(units(&events(content_type, stream)).is_empty());
    }
    assert_eq!(events("video/webm", b"anything"), []);
}

/// An ADTS frame of AAC-LC with `block`.
fn adts_frame(rate_index: u8, has_crc: bool, blocks: u8, block: &[u8]) -> Vec<u8> {
    let head = if has_crc { 9 } else { 7 };
    let bytes = (head + block.len()) as u16;
    let mut frame = vec![
        0xff,
        0xf0 | u8::from(!has_crc),
        0x40 | rate_index << 2,
        2 << 6 | (bytes >> 11) as u8,
        (bytes >> 3) as u8,
        ((bytes & 0b111) as u8) << 5 | 0x1f,
        0xfc | (blocks - 1),
    ];
    frame.resize(head, 0xc7);
    frame.extend_from_slice(block);
    frame
}

#[test]
fn adts_headers_become_a_configuration() {
    for has_crc in [false, true] {
        let blocks: Vec<Vec<u8>> = (1..60).map(|fill| vec![fill; 200]).collect();
        let frames = blocks.iter().map(|block| adts_frame(4, has_crc, 1, block));
        let said = events("audio/aac", &frames.collect::<Vec<_>>().concat());
        let told = formats(&said);
        let [Some(format)] = &told[..] else {
            panic!("{told:?}")
        };
        assert_eq!(&format.config[..], [0x12, 0x10]);
        assert_eq!(&*format.rfc6381, "mp4a.40.2");
        assert_eq!((format.sample_rate_hz, format.channels), (44_100, 2));
        assert!(
            units(&said)
                .iter()
                .map(|unit| &unit.payload)
                .eq(blocks.iter())
        );
        let expected: Vec<i64> = (0..59).map(|at| at * 1_024).collect();
        assert_eq!(times(&said, 44_100), expected);
    }
}

#[test]
fn frames_of_several_blocks_take_time_only() {
    let frames = [1, 1, 1, 4, 1].map(|blocks| adts_frame(4, false, blocks, &[1; 99]));
    let said = events("audio/aac", &frames.concat());
    assert_eq!(
        times(&said, 44_100),
        [0, 1_024, 2_048, 3 * 1_024 + 4 * 1_024]
    );
}

#[test]
fn a_band_in_the_sound_is_found() {
    // A fill element of two bytes with SBR data, and the end.
    let with_band = [0xa7, 0x16, 0xd5, 0x57];
    let without = [0xa7, 0x10, 0x55, 0x57];
    for (block, rfc6381, rate_hz, step) in [
        (with_band, "mp4a.40.5", 44_100, 2_048),
        (without, "mp4a.40.2", 22_050, 1_024),
    ] {
        // Encoders begin without.
        let blocks = [[without; 2].as_slice(), &[block; 6]].concat();
        let frames: Vec<u8> = blocks
            .iter()
            .flat_map(|block| adts_frame(7, false, 1, block))
            .collect();
        let said = events("audio/aacp", &frames);
        let told = formats(&said);
        let [Some(format)] = &told[..] else {
            panic!("{told:?}")
        };
        assert_eq!(
            (&*format.rfc6381, format.sample_rate_hz),
            (rfc6381, rate_hz)
        );
        // The configuration stays silent about it.
        assert_eq!(&format.config[..], [0x13, 0x90]);
        let expected: Vec<i64> = (0..8).map(|at| at * step).collect();
        assert_eq!(times(&said, rate_hz), expected);
    }
}

/// One page of `packets`; the last one goes on where it is as long as whole segments.
fn ogg_page(flags: u8, granule: i64, serial: u32, sequence: u32, packets: &[&[u8]]) -> Vec<u8> {
    let mut lacing = Vec::new();
    for (at, packet) in packets.iter().enumerate() {
        lacing.resize(lacing.len() + packet.len() / 255, 255);
        if packet.len() % 255 != 0 || at + 1 < packets.len() {
            lacing.push((packet.len() % 255) as u8);
        }
    }
    let mut bytes = b"OggS\0".to_vec();
    bytes.push(flags);
    bytes.extend(granule.to_le_bytes());
    bytes.extend(serial.to_le_bytes());
    bytes.extend(sequence.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.push(lacing.len() as u8);
    bytes.extend(&lacing);
    bytes.extend(packets.concat());
    let sum = page::checksum(&bytes).expect("a header");
    bytes.splice(22..26, sum.to_le_bytes());
    bytes
}

const OPUS_HEAD: &[u8] = b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0";
const OPUS_TAGS: &[u8] = b"OpusTags\0\0\0\0\x01\0\0\0\x07\0\0\0TITLE=t";

fn opus_set_up(serial: u32) -> Vec<u8> {
    let head = ogg_page(FIRST, 0, serial, 0, &[OPUS_HEAD]);
    [head, ogg_page(0, 0, serial, 1, &[OPUS_TAGS])].concat()
}

/// 20 ms of CELT with `fill` behind its first byte.
fn opus_packet(fill: u8, bytes: usize) -> Vec<u8> {
    let mut packet = vec![fill; bytes];
    packet.splice(..1, [0xfc]);
    packet
}

#[test]
fn opus_packets_come_out_of_their_pages() {
    let packets: Vec<Vec<u8>> = (0..6).map(|fill| opus_packet(fill, 40)).collect();
    let long = opus_packet(9, 600);
    let (start, rest) = long.split_at(510);
    let stream = [
        opus_set_up(1),
        ogg_page(0, 1_920, 1, 2, &[&packets[0], &packets[1]]),
        ogg_page(0, 3_840, 1, 3, &[&packets[2], &packets[3], start]),
        ogg_page(CONTINUED, 5_760, 1, 4, &[rest, &packets[4]]),
        ogg_page(LAST, 6_300, 1, 5, &[&packets[5]]),
        opus_set_up(2),
        ogg_page(0, 960, 2, 2, &[&packets[0]]),
    ];
    let said = events("audio/ogg", &stream.concat());
    let expected = [0, 1, 2, 3].map(|at| &packets[at][..]);
    let expected = [
        &expected[..],
        &[&long, &packets[4], &packets[5], &packets[0]],
    ]
    .concat();
    assert!(
        units(&said)
            .iter()
            .map(|unit| &unit.payload[..])
            .eq(expected)
    );
    let told = formats(&said);
    let [Some(first), Some(second)] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((first.codec, &*first.rfc6381), (TrackCodec::Opus, "Opus"));
    assert_eq!(first, second);
    assert_eq!(&first.config[..], OPUS_HEAD);
    // 312 samples are dropped by the decoder; the last page ends 420 samples early.
    let joint = 6 * 960 + 540 - 312;
    let times = times(&said, 48_000);
    assert_eq!(times.get(..3), Some(&[0, 960 - 312, 2 * 960 - 312][..]));
    assert_eq!(times.last(), Some(&joint));
    let titles = said
        .iter()
        .filter(|event| matches!(event, MediaEvent::Metadata(_)));
    assert!(titles.eq([&MediaEvent::Metadata(Metadata::from_parts("", "t")); 2]));
}

#[test]
fn what_is_lost_takes_its_time() {
    let packet = opus_packet(1, 40);
    let long = opus_packet(2, 510);
    let (start, rest) = long.split_at(255);
    let at = |samples: i64| 48_000 + samples;
    let stream = [
        opus_set_up(1),
        // Joined in its course: the clock starts at the first packet.
        ogg_page(0, at(960), 1, 7, &[&packet]),
        // A page of two packets was lost.
        ogg_page(0, at(3_840), 1, 9, &[&packet]),
        // The page with the rest of a packet is lost, and so is the packet.
        ogg_page(0, at(4_800), 1, 10, &[&packet, start]),
        ogg_page(CONTINUED, at(7_680), 1, 12, &[rest, b"", &packet]),
        // Rounding by the encoder counts as nothing, and so does a jump of its clock.
        ogg_page(0, at(8_650), 1, 13, &[&packet]),
        ogg_page(0, at(99_000_000), 1, 14, &[&packet]),
        ogg_page(0, at(5), 1, 15, &[&packet]),
        ogg_page(0, at(965), 1, 16, &[&packet]),
    ];
    let said = events("audio/ogg", &stream.concat());
    let skipped: Vec<i64> = times(&said, 48_000).iter().map(|at| at + 312).collect();
    let expected = [312, 2_880, 3_840, 6_720, 7_680, 8_640, 9_600, 10_560];
    assert_eq!(skipped, expected);
}

#[test]
fn flac_frames_come_with_their_stream_info() {
    let mut head = b"\x7fFLAC\x01\0\0\x01fLaC\0\0\0\x22".to_vec();
    head.extend(b"\x10\0\x10\0\0\0\x0e\0\x10\x1c\x0a\xc4\x42\xf5\0\0\x01\x02");
    head.extend([0xab; 16]);
    let frames = [0, 1, 2].map(|number| [0xff, 0xf8, 0xc9, 0x18, number, 0x55, 0x66]);
    let last = [0xff, 0xf8, 0x69, 0x18, 3, 99, 0x55, 0x66];
    let [first, second, third] = &frames;
    let stream = [
        ogg_page(FIRST, 0, 1, 0, &[&head]),
        ogg_page(0, 0, 1, 1, &[b"\x84\0\0\x08\0\0\0\0\0\0\0\0"]),
        ogg_page(0, 2 * 4_096, 1, 2, &[first, second]),
        ogg_page(LAST, 3 * 4_096 + 100, 1, 3, &[third, &last]),
    ];
    let said = events("application/ogg", &stream.concat());
    let told = formats(&said);
    let [Some(format)] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((format.codec, &*format.rfc6381), (TrackCodec::Flac, "fLaC"));
    assert_eq!((format.sample_rate_hz, format.channels), (44_100, 2));
    // Sizes of blocks, rate, channels and bits stay; what only a file has is zero.
    let info = b"\x10\0\x10\0\0\0\0\0\0\0\x0a\xc4\x42\xf0\0\0\0\0";
    assert_eq!(&format.config[..], [&info[..], &[0; 16]].concat());
    assert_eq!(times(&said, 44_100), [0, 4_096, 8_192, 12_288]);
    let payloads = units(&said);
    assert_eq!(
        payloads.last().map(|unit| &unit.payload[..]),
        Some(&last[..])
    );
}

#[test]
fn packets_without_end_are_dropped() {
    let piece = vec![0xfc; 255 * 255];
    let packet = opus_packet(1, 40);
    let mut stream = opus_set_up(1);
    for sequence in 2..40 {
        stream.extend(ogg_page(CONTINUED, -1, 1, sequence, &[&piece]));
    }
    stream.extend(ogg_page(CONTINUED, 960, 1, 40, &[b"end", &packet]));
    let mut framer = Framer::for_content_type("audio/ogg");
    let mut radio = RadioUnits::new();
    let mut said = Vec::new();
    framer.push(Bytes::from(stream));
    while let Some(event) = framer.poll() {
        radio.push(&event, &mut said);
        assert!(radio.buffered_bytes() <= super::PACKET_BYTES_MAX);
    }
    let payloads: Vec<_> = units(&said).iter().map(|unit| &unit.payload).collect();
    assert_eq!(payloads, [&packet]);
}
