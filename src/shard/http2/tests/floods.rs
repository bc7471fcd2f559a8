//! Peers that ask much of us at little cost to themselves.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use corecast_protocol::http::frames::PREFACE;

use crate::testing::{BACKENDS, Node, config};

/// A frame's type (RFC 9113 section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// RFC 9113 section 7.
const ENHANCE_YOUR_CALM: u32 = 11;

/// `GET /api/silent` of `http://a`, all from the static table or as plain text.
const SILENT: &[u8] = b"\x82\x86\x04\x0b/api/silent\x01\x01a";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short");
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A connection whose prefaces are exchanged.
fn shake(node: &Node) -> TcpStream {
    let mut stream = node.connect();
    let hello = [PREFACE.to_vec(), frame(SETTINGS, 0, 0, b"")].concat();
    stream.write_all(&hello).expect("the node reads");
    stream
}

/// Reads to the end; the code of the last GOAWAY.
fn end_of(stream: &mut TcpStream) -> Option<u32> {
    let (mut all, mut part) = (Vec::new(), [0; 4_096]);
    loop {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(n) => all.extend_from_slice(&part[..n]),
            // What it sent is still on its way to a connection that is closed.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("no end: {error}"),
        }
    }
    let (mut rest, mut code) = (&all[..], None);
    while let [a, b, c, kind, tail @ ..] = rest {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let payload = tail.get(5..5 + length).unwrap_or_default();
        if let (GOAWAY, [_, _, _, _, code_bytes @ ..]) = (*kind, payload) {
            code = code_bytes
                .first_chunk()
                .map(|code| u32::from_be_bytes(*code));
        }
        rest = tail.get(5 + length..).unwrap_or_default();
    }
    code
}

/// Sends what `next` makes, again and again, until the connection ends; tells how it did.
fn flood(node: &Node, limit: usize, mut next: impl FnMut(u32) -> Vec<u8>) -> Option<u32> {
    let mut stream = shake(node);
    let step = Duration::from_secs(10);
    stream.set_write_timeout(Some(step)).expect("a good time");
    let (started, mut round) = (Instant::now(), 0);
    loop {
        let bytes: Vec<u8> = (0..64).flat_map(|at| next(round * 64 + at)).collect();
        if stream.write_all(&bytes).is_err() {
            break;
        }
        round += 1;
        assert!((round as usize) < limit / 64, "it takes whatever comes");
        assert!(started.elapsed() < Duration::from_secs(20), "it never ends");
        if round % 8 == 0 {
            // The answers are read, as a flooder would who wants to go on.
            stream.set_nonblocking(true).expect("a socket");
            let mut waste = vec![0; 65_536];
            let came = stream.read(&mut waste);
            stream.set_nonblocking(false).expect("a socket");
            if let Ok(n) = came
                && waste[..n]
                    .windows(4)
                    .any(|at| at == ENHANCE_YOUR_CALM.to_be_bytes())
            {
                return Some(ENHANCE_YOUR_CALM);
            }
        }
    }
    end_of(&mut stream)
}

#[test]
fn floods_end_their_connection_and_hurt_no_other() {
    let stream = |round: u32| round * 2 + 1;
    let silent = |round: u32| frame(HEADERS, END_STREAM | END_HEADERS, stream(round), SILENT);
    let reset = |round: u32| frame(RST_STREAM, 0, stream(round), &8u32.to_be_bytes());
    type Next<'n> = &'n dyn Fn(u32) -> Vec<u8>;
    let floods: [(&str, Next<'_>); 10] = [
        ("PING", &|_| frame(PING, 0, 0, b"12345678")),
        ("SETTINGS", &|_| frame(SETTINGS, 0, 0, b"\0\x04\0\x01\0\0")),
        ("PRIORITY", &|_| frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 9])),
        ("WINDOW_UPDATE", &|_| {
            frame(WINDOW_UPDATE, 0, 0, &1u32.to_be_bytes())
        }),
        ("unknown", &|_| frame(77, 0, 0, b"")),
        ("reset", &|round| [silent(round), reset(round)].concat()),
        ("more streams than it may", &silent),
        ("slow reset", &|round| match round % 128 {
            // Accepted before they are reset.
            at @ 0..64 => silent(round - at + at),
            _ => reset(round - 64),
        }),
        ("CONTINUATION", &|round| match round {
            0 => frame(HEADERS, END_STREAM, 1, SILENT),
            _ => frame(CONTINUATION, 0, 1, b"\0\x01a\x01b"),
        }),
        ("empty DATA", &|round| match round {
            0 => frame(HEADERS, END_HEADERS, 1, b"\x83\x86\x04\x02/a\x01\x01a"),
            _ => frame(DATA, 0, 1, b""),
        }),
    ];
    for backend in BACKENDS {
        let node = Node::start(backend, 1, config());
        for (name, next) in floods {
            let code = flood(&node, 1_000_000, next);
            assert!(
                matches!(code, None | Some(ENHANCE_YOUR_CALM)),
                "{name}: {code:?}"
            );
            let page = node.exchange(b"GET /health HTTP/1.0\r\n\r\n");
            assert!(page.ends_with("GET /health "), "after {name}: {page}");
        }
        node.wait_until("all connections are closed", |node| {
            node.seats.connections.taken() == 0
        });
    }
}

#[test]
fn what_is_no_http_2_is_told_so() {
    for backend in BACKENDS {
        let node = Node::start(backend, 1, config());
        let large = frame(HEADERS, END_HEADERS, 1, &[0; 20_000]);
        let wrong: [(&str, Vec<u8>, u32); 6] = [
            ("a frame of no stream", frame(DATA, 0, 0, b"x"), 1),
            (
                "a frame of a stream that is not open",
                frame(DATA, 0, 1, b"x"),
                1,
            ),
            (
                "a stream of the server's",
                frame(HEADERS, END_HEADERS, 2, SILENT),
                1,
            ),
            (
                "half a field",
                frame(HEADERS, END_HEADERS, 1, b"\x82\x04\x7f"),
                9,
            ),
            ("a short PING", frame(PING, 0, 0, b"1234"), 6),
            ("a frame that is too large", large, 6),
        ];
        for (name, bytes, code) in wrong {
            let mut stream = shake(&node);
            stream.write_all(&bytes).expect("the node reads");
            let told = end_of(&mut stream);
            // PROTOCOL_ERROR for any fault is good too (RFC 9113 section 5.4.1).
            assert!(told == Some(code) || told == Some(1), "{name}: {told:?}");
        }
        let mut stream = node.connect();
        stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")
            .expect("the node reads");
        end_of(&mut stream);
    }
}
