//! What clients say in a WebSocket, in any split: the same is heard, nothing more than a control
//! frame is kept, and the server's side says whole frames and ends once.
#![no_main]

use bytes::Bytes;
use corecast_protocol::websocket::{
    ClientFrames, CloseCode, Ended, Event, Fault, PONGS_BYTES_MAX, Talk,
};
use libfuzzer_sys::fuzz_target;

const MESSAGE_BYTES_MAX: u64 = 4_096;

fuzz_target!(|data: &[u8]| {
    let (lengths, stream) = corecast_fuzz::cut(data);
    let whole = read(corecast_fuzz::pieces(stream, &[]));
    let split = read(corecast_fuzz::pieces(stream, lengths));
    assert!(whole == split, "the split changes what is heard");
    let single = read(corecast_fuzz::pieces(stream, &[0]));
    assert!(whole == single, "single bytes change what is heard");
    talk(corecast_fuzz::pieces(stream, lengths), &whole);
});

#[derive(Debug, PartialEq, Eq)]
enum Said {
    Message(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<CloseCode>),
    Fault(Fault),
}

fn read(pieces: Vec<Bytes>) -> Vec<Said> {
    let mut frames = ClientFrames::new(MESSAGE_BYTES_MAX);
    let (mut all, mut open, mut kind) = (Vec::new(), Vec::new(), None);
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut rest = &mut piece[..];
        loop {
            match frames.poll(&mut rest) {
                Ok(None) => break,
                Ok(Some(Event::Data { text, bytes, ends })) => {
                    assert!(kind.is_none_or(|kind| kind == text));
                    open.extend_from_slice(bytes);
                    assert!(open.len() as u64 <= MESSAGE_BYTES_MAX);
                    kind = (!ends).then_some(text);
                    if ends {
                        let message = std::mem::take(&mut open);
                        assert!(!text || std::str::from_utf8(&message).is_ok());
                        all.push(Said::Message(message));
                    }
                }
                Ok(Some(Event::Ping(payload))) => all.push(Said::Ping(payload)),
                Ok(Some(Event::Pong)) => all.push(Said::Pong),
                Ok(Some(Event::Close(code))) => all.push(Said::Close(code)),
                Err(fault) => all.push(Said::Fault(fault)),
            }
        }
        assert!(rest.is_empty());
    }
    all
}

fn talk(pieces: Vec<Bytes>, heard: &[Said]) {
    let mut talk = Talk::new(MESSAGE_BYTES_MAX);
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut rest = &mut piece[..];
        while talk.handle_input(&mut rest).is_some() {}
        if piece.len() % 2 == 0 {
            let pongs = talk.poll_transmit().unwrap_or_default();
            assert!(pongs.len() <= PONGS_BYTES_MAX && pongs.first().is_none_or(|&b| b == 0x8a));
        }
    }
    let ended = match heard.last() {
        Some(Said::Close(code)) => Some(Ended::Closed(*code)),
        Some(Said::Fault(fault)) => Some(Ended::Fault(*fault)),
        _ => None,
    };
    assert_eq!(talk.ended(), ended);
    let close = talk.poll_close(CloseCode::GOING_AWAY).expect("once");
    assert!(close[0] == 0x88 && close.len() == 2 + usize::from(close[1]));
    assert_eq!(talk.poll_close(CloseCode::GOING_AWAY), None);
    assert_eq!(talk.poll_transmit(), None);
}
