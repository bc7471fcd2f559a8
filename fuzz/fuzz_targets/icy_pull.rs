//! Answers of other servers in any split: the same events, clean texts, and no more audio than
//! bytes.
#![no_main]

use bytes::Bytes;
use corecast_protocol::http::Limits;
use corecast_protocol::http1::BadReply;
use corecast_protocol::icy::{Pull, PullEvent};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits {
    head_bytes_max: 4_096,
    request_line_bytes_max: 1_024,
    header_count_max: 32,
};

fuzz_target!(|data: &[u8]| {
    let (lengths, stream) = corecast_fuzz::cut(data);
    let (whole, split) = (take(stream, &[]), take(stream, lengths));
    assert_eq!(whole.fault.is_some(), split.fault.is_some());
    // A head that is refused may be refused for another reason where less of it is there.
    if whole.fault.is_none() {
        assert_eq!(whole, split);
    }
    assert!(whole.audio.len() <= stream.len());
});

/// What a stream came to; audio is joined, and titles have their place in it.
#[derive(Debug, PartialEq)]
struct Taken {
    told: Vec<(usize, PullEvent)>,
    audio: Vec<u8>,
    fault: Option<BadReply>,
}

fn take(stream: &[u8], lengths: &[u8]) -> Taken {
    let mut taken = Taken {
        told: Vec::new(),
        audio: Vec::new(),
        fault: None,
    };
    let mut pull = Pull::new(LIMITS);
    for piece in corecast_fuzz::pieces(stream, lengths) {
        let input: Result<(), BadReply> = pull.handle_input(Bytes::clone(&piece));
        while let Some(event) = pull.poll_event() {
            check(&event);
            match event {
                PullEvent::Audio(audio) => taken.audio.extend_from_slice(&audio),
                event => taken.told.push((taken.audio.len(), event)),
            }
        }
        if let Err(fault) = input {
            taken.fault = Some(fault);
            break;
        }
    }
    taken
}

fn check(event: &PullEvent) {
    let clean = |text: &str| !text.chars().any(char::is_control);
    match event {
        PullEvent::Live(info) => {
            for text in [&info.content_type, &info.name, &info.genre, &info.url] {
                assert!(clean(text) && text.len() <= 1_024);
            }
        }
        PullEvent::Moved(location) => assert!(clean(location) && !location.is_empty()),
        PullEvent::Refused(status) => assert!((100..600).contains(status) && *status != 200),
        PullEvent::Audio(audio) => assert!(!audio.is_empty()),
        PullEvent::Title(title) => assert!(clean(&title.title)),
        PullEvent::End => {}
    }
}
