//! What the fuzz targets share: one input in two splits, what holds for every framer, and what
//! holds for every import.

use bytes::Bytes;
use corecast_config::import::Imported;
use corecast_config::{Fault, File, Sources, load};
use corecast_media::frame::{FrameKind, MediaEvent};
use corecast_protocol::audio::Framer;

/// Cuts `data` into a stream and the lengths of its pushes: the first byte says how many bytes
/// behind it are lengths.
pub fn cut(data: &[u8]) -> (&[u8], &[u8]) {
    let Some((&count, rest)) = data.split_first() else {
        return (&[], &[]);
    };
    rest.split_at(rest.len().min(usize::from(count % 16)))
}

/// The pieces of `stream`, as long as `lengths` says, over and over.
pub fn pieces(stream: &[u8], lengths: &[u8]) -> Vec<Bytes> {
    let mut rest = Bytes::copy_from_slice(stream);
    let mut pieces = Vec::new();
    let mut lengths = lengths.iter().cycle();
    while !rest.is_empty() {
        // Small and large ones: the square of a byte, and never nothing.
        let length = lengths
            .next()
            .map_or(rest.len(), |&byte| usize::from(byte).pow(2) + 1);
        pieces.push(rest.split_to(length.min(rest.len())));
    }
    pieces
}

/// What a framer said, and how many bytes it dropped.
fn run(mut framer: Framer, pieces: Vec<Bytes>, buffer_bytes_max: usize) -> (Vec<MediaEvent>, u64) {
    let mut events = Vec::new();
    for piece in pieces {
        framer.push(piece);
        events.extend(std::iter::from_fn(|| framer.poll()));
        assert!(framer.buffered_bytes() <= buffer_bytes_max);
    }
    framer.finish();
    events.extend(std::iter::from_fn(|| framer.poll()));
    (events, framer.discarded_bytes())
}

/// Runs the framer of `content_type` over `stream`, in one push, in pushes of `lengths` and in
/// single bytes, and checks what holds for every framer.
pub fn check_framer(content_type: &str, buffer_bytes_max: usize, stream: &[u8], lengths: &[u8]) {
    let fresh = || Framer::for_content_type(content_type);
    let whole = run(fresh(), pieces(stream, &[]), buffer_bytes_max);
    let split = run(fresh(), pieces(stream, lengths), buffer_bytes_max);
    assert!(whole == split, "the split changes what is said");
    let single = run(fresh(), pieces(stream, &[0]), buffer_bytes_max);
    assert!(whole == single, "single bytes change what is said");

    let (events, discarded_bytes) = whole;
    check_order(&events);
    // Every byte is either in a frame or dropped, and frames have the stream's bytes in its order.
    let mut frame_bytes = 0;
    let mut rest = stream;
    for event in &events {
        let MediaEvent::Frame(frame) = event else {
            continue;
        };
        assert!(!frame.payload.is_empty());
        frame_bytes += frame.payload.len() as u64;
        let at = rest
            .windows(frame.payload.len())
            .position(|window| window == frame.payload);
        let at = at.expect("a frame's bytes are the stream's");
        rest = &rest[at + frame.payload.len()..];
    }
    assert_eq!(frame_bytes + discarded_bytes, stream.len() as u64);
}

/// A format comes before the first frame of a known coding, set-up before what follows it.
fn check_order(events: &[MediaEvent]) {
    let mut headers = Vec::new();
    for event in events {
        match event {
            MediaEvent::Frame(frame) if frame.kind == FrameKind::Header => {
                headers.extend_from_slice(&frame.payload);
            }
            MediaEvent::Frame(_) => assert!(headers.is_empty(), "set-up was not said"),
            MediaEvent::InitHeaders(bytes) => {
                // A set-up that was given up leaves its pages in front.
                assert!(headers.ends_with(bytes));
                headers.clear();
            }
            MediaEvent::Metadata(metadata) => {
                assert!(!metadata.title.chars().any(char::is_control));
            }
            MediaEvent::Format(_) => {}
            MediaEvent::Tracks(_) | MediaEvent::Unit(_) => panic!("no framer says {event:?}"),
        }
    }
}

/// What comes out of an import of `data` is a configuration without faults, its notes are single
/// lines, and a fault stands inside the file.
pub fn check_import(imported: Result<Imported, Fault>, data: &[u8]) {
    let lines = data.split(|byte| *byte == b'\n').count();
    let imported = match imported {
        Ok(imported) => imported,
        Err(fault) => {
            assert!((1..=lines).contains(&fault.line) && fault.column > 0);
            assert!(!fault.to_string().contains(char::is_control));
            return;
        }
    };
    for note in &imported.notes {
        assert!(note.place.line <= lines);
        assert!(!note.to_string().contains(char::is_control), "{note}");
    }
    let file = Some(File {
        name: "imported.toml",
        text: &imported.toml,
    });
    let loaded = load(Sources {
        file,
        ..Sources::default()
    });
    assert!(loaded.is_ok(), "{:?}", loaded.err());
}
