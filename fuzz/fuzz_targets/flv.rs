//! FLV in any split: the same tags, events in their order, nothing waits without bound; and what is
//! written from the events is read back as the same.
#![no_main]

use bytes::Bytes;
use corecast_media::frame::{FrameKind, MediaEvent};
use corecast_media::timeline::Timeline;
use corecast_media::track::TRACKS_MAX;
use corecast_protocol::flv::{Demuxer, FlvWriter, RtmpWriter, Tag, TagReader, WsFlvWriter};
use corecast_protocol::output::StreamWriter;
use corecast_protocol::rtmp::MediaKind;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (lengths, stream) = corecast_fuzz::cut(data);
    let tags = match data.first() {
        // Bodies without the trouble of a file around them.
        Some(first) if first & 0x80 != 0 => compose(stream),
        _ => {
            let tags = read(stream, &[]);
            assert!(
                tags == read(stream, lengths),
                "the split changes what is said"
            );
            tags
        }
    };
    let events = demux(&tags);
    check(&events);
    let mut timeline = Timeline::new();
    for event in &events {
        if let MediaEvent::Unit(unit) = event {
            let (placed, _) = timeline.place(unit.clone());
            assert!(placed.dts.as_nanos() >= 0 && placed.payload == unit.payload);
        }
    }
    let written = write(&mut FlvWriter::new(), &events);
    check_again(&events, &demux(&read(&written, &[])));
    write(&mut WsFlvWriter::new(), &events);
    write(&mut RtmpWriter::new(), &events);
});

fn read(stream: &[u8], lengths: &[u8]) -> Vec<Tag> {
    let mut reader = TagReader::new();
    let mut tags = Vec::new();
    for piece in corecast_fuzz::pieces(stream, lengths) {
        reader.push(&piece);
        loop {
            match reader.poll() {
                Ok(Some(tag)) => tags.push(tag),
                Ok(None) => break,
                Err(_) => return tags,
            }
        }
    }
    tags
}

/// Bodies behind a byte of kind, two of time and one of length.
fn compose(plan: &[u8]) -> Vec<Tag> {
    let mut plan = Bytes::copy_from_slice(plan);
    let mut tags = Vec::new();
    while let Some(&[kind, t1, t0, length]) = plan.first_chunk::<4>() {
        let body = plan.slice(4..plan.len().min(4 + usize::from(length)));
        plan = plan.slice(4 + body.len()..);
        tags.push(Tag {
            kind: match kind % 3 {
                0 => MediaKind::Audio,
                1 => MediaKind::Video,
                _ => MediaKind::Script,
            },
            timestamp_ms: i64::from(u16::from_be_bytes([t1, t0])) << (kind >> 4),
            payload: body,
        });
    }
    tags
}

fn demux(tags: &[Tag]) -> Vec<MediaEvent> {
    let mut demuxer = Demuxer::new();
    let mut events = Vec::new();
    for tag in tags {
        let _ = demuxer.push(tag.kind, tag.timestamp_ms, tag.payload.clone(), &mut events);
    }
    events
}

/// Tracks are said before units of them.
fn check(events: &[MediaEvent]) {
    let mut known = 0;
    for event in events {
        match event {
            MediaEvent::Tracks(tracks) => {
                assert!(!tracks.is_empty() && tracks.len() <= TRACKS_MAX && tracks.len() >= known);
                let ids = tracks.iter().map(|track| usize::from(track.id.0));
                assert!(ids.eq(0..tracks.len()));
                known = tracks.len();
            }
            MediaEvent::Unit(unit) => {
                assert!(usize::from(unit.track.0) < known && !unit.payload.is_empty());
            }
            MediaEvent::Metadata(metadata) => assert!(!metadata.title.is_empty()),
            other => panic!("{other:?}"),
        }
    }
}

/// The stream that a writer makes: what joiners get, and every frame.
fn write(writer: &mut dyn StreamWriter, events: &[MediaEvent]) -> Vec<u8> {
    let mut out = Vec::new();
    for event in events {
        writer.write(event, &mut out);
    }
    let mut stream = Vec::new();
    for event in &out {
        match event {
            MediaEvent::InitHeaders(headers) if stream.is_empty() => {
                stream.extend_from_slice(headers);
            }
            MediaEvent::InitHeaders(_) => {}
            MediaEvent::Frame(frame) => {
                assert!(!stream.is_empty() && !frame.payload.is_empty());
                assert!(matches!(
                    frame.kind,
                    FrameKind::Entry | FrameKind::Inner | FrameKind::Header
                ));
                stream.extend_from_slice(&frame.payload);
            }
            other => panic!("{other:?}"),
        }
    }
    stream
}

/// What comes back are units that were written, in their order.
fn check_again(events: &[MediaEvent], again: &[MediaEvent]) {
    let payloads = |events: &[MediaEvent]| {
        let units = events.iter().filter_map(|event| match event {
            MediaEvent::Unit(unit) => Some(unit.payload.clone()),
            _ => None,
        });
        units.collect::<Vec<Bytes>>()
    };
    // What waited for the other kind may be gone, at the end or with its format.
    let (mut before, after) = (payloads(events).into_iter(), payloads(again));
    for payload in after {
        assert!(before.any(|written| written == payload), "{payload:02x?}");
    }
}
