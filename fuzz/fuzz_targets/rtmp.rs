//! A server's and a client's side, fed with anything: the split does not matter, and what is kept
//! is bounded.
#![no_main]

use bytes::{Bytes, BytesMut};
use corecast_fuzz::{cut, pieces};
use corecast_protocol::rtmp::amf::Writer;
use corecast_protocol::rtmp::limits::{HELD_BYTES_MAX, WAITING_BYTES_MAX};
use corecast_protocol::rtmp::{
    BadPeer, ClientEvent, ClientSession, Event, MessageType, Purpose, ServerSession, Url,
    write_message,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (rest, lengths) = cut(data);
    // The upper half of the first byte says how far the peer has come.
    let calls = usize::from(data.first().unwrap_or(&0) >> 4) % 4;
    let stream = [hello(), calls_of_client(calls), rest.to_vec()].concat();
    let whole = serve(&stream, &[]);
    assert!(
        whole == serve(&stream, lengths),
        "the split changes what is said"
    );
    assert!(
        whole == serve(&stream, &[0]),
        "single bytes change what is said"
    );
    for purpose in [Purpose::Publish, Purpose::Play] {
        let stream = [hello(), calls_of_server(calls), rest.to_vec()].concat();
        let whole = connect(purpose, &stream, &[]);
        assert!(
            whole == connect(purpose, &stream, lengths),
            "the split changes what is said"
        );
    }
});

/// What a peer says before its first chunk.
fn hello() -> Vec<u8> {
    [&[3][..], &[0; 2 * 1_536]].concat()
}

/// The first `count` calls of a publisher.
fn calls_of_client(count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for call in ["connect", "publish", "FCUnpublish"]
        .into_iter()
        .take(count)
    {
        command(&mut bytes, |writer| {
            writer.string(call).number(1.0).object().end().string("xy");
        });
    }
    bytes
}

/// The first `count` calls of a server.
fn calls_of_server(count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for call in [("_result", 1.0), ("_result", 4.0), ("onStatus", 0.0)]
        .into_iter()
        .take(count)
    {
        command(&mut bytes, |writer| {
            writer.string(call.0).number(call.1).null();
            if call.1 == 4.0 {
                writer.number(1.0);
            } else {
                writer
                    .object()
                    .key("code")
                    .string("NetStream.Play.Start")
                    .end();
            }
        });
    }
    bytes
}

fn command(bytes: &mut Vec<u8>, write: impl FnOnce(&mut Writer<'_>)) {
    let mut body = BytesMut::new();
    write(&mut Writer(&mut body));
    let mut out = BytesMut::new();
    write_message(&mut out, 3, MessageType::COMMAND, 0, 1, &[&body], 128);
    bytes.extend_from_slice(&out);
}

type Said<E> = (Vec<E>, Result<(), BadPeer>);

fn serve(stream: &[u8], lengths: &[u8]) -> Said<Event> {
    let mut session = ServerSession::new([0; 32]);
    let mut events = Vec::new();
    for piece in pieces(stream, lengths) {
        let taken = session.handle_input(piece);
        answer(&mut session, &mut events);
        assert!(session.held_bytes() <= HELD_BYTES_MAX as usize + WAITING_BYTES_MAX);
        while session
            .poll_transmit()
            .is_some_and(|bytes| !bytes.is_empty())
        {}
        if taken.is_err() {
            return (events, taken);
        }
    }
    let taken = session.handle_input(Bytes::new());
    (events, taken)
}

/// Lets in who has a name of an even length.
fn answer(session: &mut ServerSession, events: &mut Vec<Event>) {
    while let Some(event) = session.poll_event() {
        match &event {
            Event::Publish(wish) if wish.stream.len() % 2 == 0 => session.accept_publish(),
            Event::Publish(_) => session.refuse_publish("NetStream.Publish.Denied", "no"),
            Event::Play(wish) if wish.stream.len() % 2 == 0 => session.accept_play(),
            Event::Play(_) => session.refuse_play("NetStream.Play.Failed", "no"),
            _ => {}
        }
        events.push(event);
    }
}

fn connect(purpose: Purpose, stream: &[u8], lengths: &[u8]) -> Said<ClientEvent> {
    let url = Url::parse("rtmp://a.example/live/x").expect("the URL is good");
    let mut session = ClientSession::new(purpose, &url, "fuzz", [0; 32]);
    let mut events = Vec::new();
    for piece in pieces(stream, lengths) {
        let taken = session.handle_input(piece);
        events.extend(std::iter::from_fn(|| session.poll_event()));
        while session
            .poll_transmit()
            .is_some_and(|bytes| !bytes.is_empty())
        {}
        if taken.is_err() {
            return (events, taken);
        }
    }
    (events, Ok(()))
}
