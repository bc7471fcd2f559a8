//! The radio's units out of any stream that the framers cut: a track is said before its units,
//! times never fall, and no more is held than allowed.
#![no_main]

use bytes::Bytes;
use corecast_media::frame::MediaEvent;
use corecast_protocol::audio::Framer;
use corecast_protocol::ogg::page;
use corecast_protocol::radio::{PACKET_BYTES_MAX, RadioUnits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&kind, stream)) = data.split_first() else {
        return;
    };
    let content_type = ["audio/mpeg", "audio/aac", "application/ogg"][usize::from(kind) % 3];
    let mut stream = stream.to_vec();
    if content_type == "application/ogg" {
        make_sound(&mut stream);
    }
    let mut framer = Framer::for_content_type(content_type);
    let mut radio = RadioUnits::new();
    let mut out = Vec::new();
    framer.push(Bytes::from(stream));
    framer.finish();
    while let Some(event) = framer.poll() {
        radio.push(&event, &mut out);
        assert!(radio.buffered_bytes() <= PACKET_BYTES_MAX);
    }
    let mut has_track = false;
    let mut last = None;
    for event in out {
        match event {
            MediaEvent::Tracks(tracks) => has_track = !tracks.is_empty(),
            MediaEvent::Unit(unit) => {
                assert!(has_track && !unit.payload.is_empty());
                assert!(Some(unit.dts) >= last, "times fall");
                last = Some(unit.dts);
            }
            MediaEvent::Metadata(_) => {}
            other => panic!("{other:?}"),
        }
    }
});

/// Makes the checksum of everything that looks like a page right.
fn make_sound(stream: &mut [u8]) {
    let mut at = 0;
    while let Some(rest) = stream.get(at..) {
        let Some(header) = rest.first_chunk::<{ page::HEADER_BYTES }>() else {
            return;
        };
        let segment = |at: usize| rest.get(at).copied().unwrap_or(0);
        let bytes = page::page_bytes(*header, segment).filter(|&bytes| bytes <= rest.len());
        let Some(bytes) = bytes else {
            at += 1;
            continue;
        };
        let sum = page::checksum(&rest[..bytes]).expect("a header");
        stream[at + 22..at + 26].copy_from_slice(&sum.to_le_bytes());
        at += bytes;
    }
}
