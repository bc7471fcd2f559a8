//! Tracks to tags, and back.

use bytes::{BufMut, Bytes, BytesMut};
use corecast_media::frame::{FrameKind, MediaEvent};
use corecast_media::metadata::Metadata;
use corecast_media::track::{AccessUnit, MediaTime, TrackCodec, TrackId};

use super::testing::{stream, tracks_of};
use super::*;
use crate::output::StreamWriter;
use crate::rtmp::chunk::ChunkReader;
use crate::rtmp::{CHUNK_BYTES, MediaKind, MessageType};

/// What a writer says, as one stream: what joiners get once, then every frame.
fn written(writer: &mut dyn StreamWriter, events: &[MediaEvent]) -> (Vec<MediaEvent>, Bytes) {
    let mut out = Vec::new();
    for event in events {
        writer.write(event, &mut out);
    }
    let mut bytes = BytesMut::new();
    for event in &out {
        match event {
            MediaEvent::InitHeaders(headers) if bytes.is_empty() => bytes.put_slice(headers),
            MediaEvent::Frame(frame) => bytes.put_slice(&frame.payload),
            _ => {}
        }
    }
    (out, bytes.freeze())
}

fn demuxed(tags: impl IntoIterator<Item = Tag>) -> Vec<MediaEvent> {
    let mut demuxer = Demuxer::new();
    let mut events = Vec::new();
    for tag in tags {
        let taken = demuxer.push(tag.kind, tag.timestamp_ms, tag.payload, &mut events);
        assert_eq!(taken, Ok(()));
    }
    assert_eq!((demuxer.dropped_units(), demuxer.damaged_units()), (0, 0));
    events
}

fn tags_of(bytes: &[u8]) -> Vec<Tag> {
    let mut reader = TagReader::new();
    reader.push(bytes);
    let tags = std::iter::from_fn(|| reader.poll().expect("right")).collect();
    assert_eq!(reader.buffered_bytes(), 0);
    tags
}

/// The payloads of unmasked binary messages (RFC 6455 section 5.2).
fn messages_of(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while let [0x82, length, rest @ ..] = bytes {
        let (size, rest) = match length {
            126 => (
                u64::from(u16::from_be_bytes(*rest.first_chunk().expect("whole"))),
                &rest[2..],
            ),
            127 => (
                u64::from_be_bytes(*rest.first_chunk().expect("whole")),
                &rest[8..],
            ),
            length => (u64::from(*length), rest),
        };
        let (message, rest) = rest.split_at(size as usize);
        messages.push(message);
        bytes = rest;
    }
    assert!(bytes.is_empty());
    messages
}

/// Media messages as tags; their times unwrapped as a session does it.
fn tags_of_chunks(bytes: Bytes) -> Vec<Tag> {
    let mut input = BytesMut::from(&[2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0][..]);
    input.put_u32(CHUNK_BYTES);
    input.put_slice(&bytes);
    let mut input = input.freeze();
    let mut reader = ChunkReader::default();
    reader.set_trusted(true);
    let mut tags = Vec::new();
    while let Some(message) = reader.read(&mut input).expect("right") {
        tags.push(Tag {
            kind: match message.kind {
                MessageType::AUDIO => MediaKind::Audio,
                MessageType::VIDEO => MediaKind::Video,
                kind => {
                    assert_eq!(kind, MessageType::DATA);
                    MediaKind::Script
                }
            },
            timestamp_ms: i64::from(message.timestamp_ms),
            payload: message.payload,
        });
    }
    tags
}

#[test]
fn what_joiners_get_opens_with_the_file_header_and_goes_on_with_a_tag() {
    let tracks = MediaEvent::Tracks(tracks_of(&[TrackCodec::H264, TrackCodec::Aac]));
    let (_, file) = written(&mut FlvWriter::new(), std::slice::from_ref(&tracks));
    let (_, messages) = written(&mut WsFlvWriter::new(), &[tracks]);
    let (header, tags) = file.split_at(FlvWriter::OPENING_BYTES as usize);
    assert_eq!(header, b"FLV\x01\x05\0\0\0\x09\0\0\0\0");
    assert_eq!(tags.first(), Some(&MediaKind::Script.code()));
    let (opening, rest) = messages.split_at(WsFlvWriter::OPENING_BYTES as usize);
    assert_eq!(messages_of(opening), [header]);
    assert_eq!(messages_of(rest).concat(), tags);
}

#[test]
fn every_coding_comes_back_as_it_was_written() {
    use TrackCodec::*;
    for codecs in [
        &[H264, Aac][..],
        &[H265, Opus],
        &[Av1, Flac],
        &[Vp9, Ac3],
        &[H264, Eac3],
        &[H264, Mp3],
        &[H264],
        &[Aac],
        &[Mp3],
        // Further tracks of each kind, mixed.
        &[H264, Aac, H265, Opus, Aac, H264, Flac, Av1],
    ] {
        let events = stream(codecs);
        let (out, bytes) = written(&mut FlvWriter::new(), &events);
        let again = demuxed(tags_of(&bytes));
        assert_eq!(again, events, "{codecs:?}");
        assert_eq!(out.len(), events.len(), "one frame for each unit");

        let (_, bytes) = written(&mut WsFlvWriter::new(), &events);
        let messages = messages_of(&bytes);
        // The file header, and the script tag, and each tag apart.
        assert!(messages[0].starts_with(b"FLV\x01") && messages[0].len() == 13);
        assert_eq!(demuxed(tags_of(&messages.concat())), events, "{codecs:?}");

        let (_, bytes) = written(&mut RtmpWriter::new(), &events);
        assert_eq!(demuxed(tags_of_chunks(bytes)), events, "{codecs:?}");
    }
}

#[test]
fn long_payloads_cross_chunks_and_message_lengths() {
    use TrackCodec::*;
    for size in [100, 110, 60_000, 66_000, 200_000] {
        let mut payload = BytesMut::new();
        payload.put_u32(size + 1);
        payload.put_u8(0x65);
        payload.put_bytes(7, size as usize);
        let events = vec![
            MediaEvent::Tracks(tracks_of(&[H264, Aac])),
            MediaEvent::Unit(AccessUnit {
                track: TrackId(0),
                dts: MediaTime::from_millis(0x0123_4567),
                pts: MediaTime::from_millis(0x0123_4567),
                keyframe: true,
                payload: payload.freeze(),
            }),
        ];
        let (_, bytes) = written(&mut WsFlvWriter::new(), &events);
        assert_eq!(demuxed(tags_of(&messages_of(&bytes).concat())), events);
        let (_, bytes) = written(&mut RtmpWriter::new(), &events);
        assert_eq!(demuxed(tags_of_chunks(bytes)), events);
    }
}

#[test]
fn joiners_start_with_the_pictures_or_with_any_sound() {
    use TrackCodec::*;
    let kinds = |codecs: &[TrackCodec]| {
        let (out, _) = written(&mut FlvWriter::new(), &stream(codecs)[..5]);
        let kinds = out.iter().filter_map(|event| match event {
            MediaEvent::Frame(frame) => Some(frame.kind),
            _ => None,
        });
        kinds.collect::<Vec<_>>()
    };
    use FrameKind::{Entry, Inner};
    assert_eq!(kinds(&[H264, Aac]), [Entry, Inner, Inner, Inner]);
    assert_eq!(kinds(&[Aac, Opus]), [Entry, Inner, Entry, Inner]);
    assert_eq!(kinds(&[Aac]), [Entry; 4]);
}

#[test]
fn what_changes_goes_to_readers_and_joiners() {
    use TrackCodec::*;
    let mut writer = FlvWriter::new();
    let title = MediaEvent::Metadata(Metadata::from_title("one"));
    let (out, _) = written(&mut writer, std::slice::from_ref(&title));
    assert_eq!(out, [], "nobody reads before there are tracks");
    let first = stream(&[H264, Aac]);
    let (out, _) = written(&mut writer, &first);
    let Some(MediaEvent::InitHeaders(headers)) = out.first() else {
        panic!("no headers first: {out:?}");
    };
    assert!(headers.starts_with(b"FLV\x01\x05\0\0\0\x09\0\0\0\0"));
    let events = demuxed(tags_of(headers));
    assert_eq!(
        events,
        std::slice::from_ref(&title),
        "a title, and configurations without units"
    );
    // Said again, nothing is new.
    assert_eq!(written(&mut writer, &[title, first[0].clone()]).0, []);
    for event in [
        MediaEvent::Metadata(Metadata::from_title("two")),
        MediaEvent::Tracks(tracks_of(&[H265, Aac])),
    ] {
        let (out, _) = written(&mut writer, &[event]);
        let [MediaEvent::Frame(frame), MediaEvent::InitHeaders(headers)] = &out[..] else {
            panic!("not a frame and headers: {out:?}");
        };
        assert_eq!(frame.kind, FrameKind::Header);
        // The same tags, at the time of the stream and at the start.
        let frame = [b"FLV\x01\x05\0\0\0\x09\0\0\0\0", &frame.payload[..]].concat();
        let (now, start) = (tags_of(&frame), tags_of(headers));
        assert!(now.iter().all(|tag| tag.timestamp_ms == 0xffff_0001));
        assert!(start.iter().all(|tag| tag.timestamp_ms == 0));
        assert!(
            start
                .iter()
                .map(|tag| &tag.payload)
                .any(|body| *body == now[0].payload)
        );
    }
}

#[test]
fn whatever_is_cut_off_nothing_panics() {
    use TrackCodec::*;
    let events = stream(&[H264, Aac, H265, Opus, Av1, Vp9, Flac, Ac3, Eac3, Mp3]);
    let (_, bytes) = written(&mut FlvWriter::new(), &events);
    for tag in tags_of(&bytes).iter().take(30) {
        for end in 0..tag.payload.len() {
            let mut demuxer = Demuxer::new();
            for body in [tag.payload.slice(..end), tag.payload.clone()] {
                let _ = demuxer.push(tag.kind, tag.timestamp_ms, body, &mut Vec::new());
            }
        }
    }
}

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
            (MediaKind::Video, 0xffff_fff0_i64, &b"ab"[..]),
            (MediaKind::Audio, 0x1_0000_0004, b"c"),
        ];
        let expected = expected.map(|(kind, timestamp_ms, body)| Tag {
            kind,
            timestamp_ms,
            payload: Bytes::from_static(body),
        });
        assert_eq!(found, expected);
        assert_eq!(reader.buffered_bytes(), 0);
    }
    for (bytes, is_fault) in [
        (&b"FLX"[..], true),
        (b"FLV\x01\x05\0\0\0\x08\0\0\0\0", true),
        (b"FLV\x01\x05\xff\xff\xff\xff\0\0\0\0", true),
        (
            b"FLV\x01\x05\0\0\0\x09\0\0\0\0\x29\0\0\x01\0\0\0\0\0\0\0",
            true,
        ),
        (
            b"FLV\x01\x05\0\0\0\x09\0\0\0\0\x09\xff\xff\xff\0\0\0\0\0\0\0",
            false,
        ),
    ] {
        let mut reader = TagReader::new();
        reader.push(bytes);
        assert_eq!(reader.poll().is_err(), is_fault, "{bytes:02x?}");
    }
}
