//! What HLS clients ask: a path's last component and a query. Names are read as they are written,
//! a token never ends a line of a playlist, and every request is answered or waits.
#![no_main]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corecast_media::time::Time;
use corecast_media::track::TrackKind;
use corecast_protocol::hls::step::{Edge, Multivariant, Piece, Playlist, Update};
use corecast_protocol::hls::{
    Answer, Directives, Origin, Rendered, RenditionId, Request, Resource, Step,
};
use libfuzzer_sys::fuzz_target;

const LIST: &str = "#EXTM3U\n#EXT-X-MAP:URI=\"v0-e-init0.mp4\"\nv0-e-7.m4s\n";

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (name, query) = text.split_once('?').unwrap_or(("v0.m3u8", &text));
    let resource = match Resource::parse(name) {
        Some(resource) => {
            assert_eq!(resource.to_string(), name);
            resource
        }
        None => Resource::Playlist(V0),
    };
    let Ok(directives) = Directives::parse(query) else {
        return;
    };
    assert!(directives.msn.is_some() || directives.part.is_none());
    let request = Request {
        resource,
        outside: false,
        directives: &directives,
        gzip: data.len() % 2 == 0,
        arrived: Time::ZERO,
    };
    for origin in [Origin::new(), origin()] {
        match origin.request(Time::ZERO, &request) {
            Answer::Wait { key, until } => {
                assert!(until > Time::ZERO);
                assert!(key.msn <= 9);
                assert_eq!(origin.request(until, &request), Answer::Unavailable);
            }
            Answer::Ready(response) => {
                let body = response.body.pieces().concat();
                let Some(token) = directives.token.as_ref() else {
                    continue;
                };
                let lines = body.split(|byte| *byte == b'\n').count();
                let quotes = body.iter().filter(|byte| **byte == b'"').count();
                if response.etag.is_none() && body.starts_with(b"#") {
                    assert_eq!((lines, quotes), (4, 2));
                    assert_eq!(body.len(), LIST.len() + 2 * (token.len() + 7));
                }
            }
            Answer::NotFound | Answer::BadRequest(_) => {}
            Answer::Unavailable => panic!("nobody waited"),
        }
    }
});

const V0: RenditionId = RenditionId {
    kind: TrackKind::Video,
    index: 0,
};

/// Segment 7 is complete, 8 has one part.
fn origin() -> Origin {
    let rendered = Rendered::new(LIST.to_owned(), "e");
    let mut origin = Origin::new();
    origin.apply(&Step::Multivariant(Arc::new(Multivariant {
        epoch: Arc::from("e"),
        target_duration_s: 2,
        part_target: Duration::from_millis(200),
        renditions: Arc::from([V0]),
        inside: rendered.clone(),
        outside: rendered.clone(),
    })));
    let piece = |msn| Piece {
        msn,
        part: 0,
        bytes: Some(Bytes::from_static(b"media")),
        packed: false,
    };
    origin.apply(&Step::Update(Arc::new(Update {
        rendition: V0,
        pieces: vec![piece(7), piece(8)],
        kept_from: 7,
        playlist: Playlist {
            edge: Edge {
                msn: 8,
                parts: 1,
                parts_before: 1,
            },
            ended: false,
            has_segments: true,
            full: rendered,
            delta: None,
            delta_v2: None,
        },
    })));
    origin
}
