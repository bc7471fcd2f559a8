//! What sources say: every text is clean and bounded, and a head made of them stays one head.
#![no_main]

use bytes::Bytes;
use corecast_protocol::http::Limits;
use corecast_protocol::http1::{Parse, parse_request};
use corecast_protocol::icy::listener::ListenerHead;
use corecast_protocol::icy::source::{SOURCE_TEXT_BYTES_MAX, SourceRequest, audio_info_pairs};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // The interesting part is behind the request line.
    let head = [&b"SOURCE /mount HTTP/1.0\r\n"[..], data, b"\r\n\r\n"].concat();
    for head in [&head[..], data] {
        let parsed = parse_request(&Bytes::copy_from_slice(head), &Limits::default());
        let Ok(Parse::Done { request, .. }) = parsed else {
            continue;
        };
        let Ok(source) = SourceRequest::from_request(&request) else {
            continue;
        };
        check(&source);
    }
});

fn check(source: &SourceRequest) {
    let said = &source.info;
    for text in [
        &said.content_type,
        &said.name,
        &said.description,
        &said.genre,
        &said.url,
        &said.bitrate,
        &said.audio_info,
        &said.user_agent,
    ] {
        assert!(text.len() <= SOURCE_TEXT_BYTES_MAX);
        assert!(!text.chars().any(char::is_control));
    }
    for (name, value) in audio_info_pairs(&said.audio_info) {
        assert!(!name.contains(';') && !value.chars().any(char::is_control));
    }
    let head = ListenerHead {
        content_type: &said.content_type,
        name: &said.name,
        description: &said.description,
        genre: &said.genre,
        url: &said.url,
        bitrate: &said.bitrate,
        audio_info: &said.audio_info,
        public: said.public,
        ..ListenerHead::default()
    };
    let fields = head.fields();
    let lines = fields.lines().split_inclusive(|&byte| byte == b'\n');
    for line in lines {
        // Each stays one line, and none is the empty one that ends a head.
        assert!(line.len() > 2 && line.ends_with(b"\r\n"));
        assert_eq!(
            line.iter().filter(|byte| byte.is_ascii_control()).count(),
            2
        );
    }
}
