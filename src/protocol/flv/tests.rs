//! Tags in and out.

use bytes::Bytes;
use corecast_media::frame::MediaEvent;

use super::*;

#[test]
fn tags_are_cut_whatever_the_reads() {
    let mut file = b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec();
    for (kind, time, body) in [
        (9u8, 0xffff_fff0_u32, &b"ab"[..]),
        (8, 4, b"c"),
        (1, 5, b"d"),
    ] {
        let [t3, t2, t1, t0] = time.to_be_bytes();
        file.extend_from_slice(&[kind, 0, 0, body.len() as u8, t2, t1, t0, t3, 0, 0, 0]);
        file.extend_from_slice(body);
        file.extend_from_slice(&(body.len() as u32 + 11).to_be_bytes());
    }
    for piece in [1, 7, file.len()] {
        let mut reader = TagReader::new();
        let mut found = Vec::new();
        for bytes in file.chunks(piece) {
            reader.push(bytes);
            while let Some(tag) = reader.poll().expect("right") {
                found.push(tag);
            }
        }
        let expected = [
            (TagKind::Video, 0xffff_fff0_i64, &b"ab"[..]),
            (TagKind::Audio, 0x1_0000_0004, b"c"),
        ];
        let expected = expected.map(|(kind, timestamp_ms, body)| Tag {
            kind,
            timestamp_ms,
            payload: Bytes::from_static(body),
        });
        assert_eq!(found, expected);
        assert_eq!(reader.buffered_bytes(), 0);
    }
}

#[test]
fn units_before_their_configuration_are_dropped() {
    let mut demuxer = Demuxer::new();
    let mut out: Vec<MediaEvent> = Vec::new();
    let unit = Bytes::from_static(&[0x17, 1, 0, 0, 0, 0, 0, 0, 1, 0x65]);
    assert_eq!(demuxer.push(TagKind::Video, 0, unit, &mut out), Ok(()));
    assert_eq!((demuxer.dropped_units(), out.len()), (1, 0));
}
