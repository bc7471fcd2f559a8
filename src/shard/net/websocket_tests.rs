//! Clients that talk: to real shards, with an echo that only tests have.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use corecast_config::Config;
use corecast_protocol::websocket::{Data, Opcode, Talk, put_head};

use crate::testing::{BACKENDS, Node, config, publish, read_head};

/// Says each message back.
#[derive(Default)]
pub(super) struct Echo {
    open: Vec<u8>,
    out: BytesMut,
}

impl Echo {
    pub(super) fn take(&mut self, data: Data<'_>, talk: &mut Talk) {
        self.open.extend_from_slice(data.bytes);
        if data.ends {
            // What was asked before is answered before.
            self.out.extend(talk.poll_transmit());
            let opcode = if data.text {
                Opcode::Text
            } else {
                Opcode::Binary
            };
            put_head(&mut self.out, opcode, self.open.len());
            self.out.extend_from_slice(&self.open);
            self.open.clear();
        }
    }

    pub(super) fn poll_words(&mut self) -> Option<Bytes> {
        (!self.out.is_empty()).then(|| std::mem::take(&mut self.out).freeze())
    }
}

const HANDSHAKE: &[u8] = b"GET /echo HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Settings with which a source may be silent for so long.
fn patient(seconds: u64) -> Config {
    let mut config = config();
    config.mount_defaults.source_timeout = Duration::from_secs(seconds);
    config
}

/// A node with a mount whose source is silent.
fn start(test: impl Fn(&mut Node)) {
    for backend in BACKENDS {
        for shards in [1, 2] {
            let mut node = Node::start(backend, shards, patient(3_600));
            let _source = publish(&node, "/echo");
            test(&mut node);
        }
    }
}

/// A client behind its handshake; `said` goes out with that.
fn talk(node: &Node, said: &[u8]) -> TcpStream {
    let mut client = node.connect();
    let all = [HANDSHAKE, said].concat();
    client.write_all(&all).expect("the node reads");
    let head = read_head(&mut client);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    client
}

/// A short frame of a client, whose mask is nought.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first, 0x80 | payload.len() as u8, 0, 0, 0, 0];
    out.extend_from_slice(payload);
    out
}

fn say(client: &mut TcpStream, said: &[u8]) {
    client.write_all(said).expect("the node reads");
}

fn hears(client: &mut TcpStream, expected: &[u8]) {
    let mut got = vec![0; expected.len()];
    client.read_exact(&mut got).expect("something is said");
    assert_eq!(got, expected);
}

/// The client hears that and then the end.
fn hears_last(client: &mut TcpStream, expected: &[u8]) {
    let mut got = Vec::new();
    client.read_to_end(&mut got).expect("an orderly end");
    assert_eq!(got, expected);
}

#[test]
fn pings_are_answered_and_an_end_is_said_back() {
    start(|node| {
        let first = frame(0x89, b"with the request");
        let mut client = talk(node, &first);
        hears(&mut client, b"\x8a\x10with the request");
        for byte in frame(0x89, b"byte by byte") {
            say(&mut client, &[byte]);
        }
        hears(&mut client, b"\x8a\x0cbyte by byte");
        say(&mut client, &frame(0x81, b"Hello"));
        hears(&mut client, b"\x81\x05Hello");
        say(
            &mut client,
            &[frame(0x89, b""), frame(0x88, &[0x03, 0xe8])].concat(),
        );
        hears_last(&mut client, &[0x88, 2, 0x03, 0xe8]);
        drop(client);
        node.wait_until("the seat is free", |node| {
            node.seats.listeners.taken() == 0 && node.seats.connections.taken() == 1
        });
    });
}

#[test]
fn who_breaks_the_rules_is_told_so_and_let_go() {
    start(|node| {
        for (said, code) in [
            (b"\x81\x01x".to_vec(), 1002u16),
            (frame(0xc1, b"x"), 1002),
            (frame(0x83, b"x"), 1002),
            (frame(0x09, b"x"), 1002),
            (frame(0x80, b"x"), 1002),
            (frame(0x88, &[0x03]), 1002),
            (frame(0x88, &[0x03, 0xed]), 1002),
            (frame(0x81, &[0xff]), 1007),
            (frame(0x01, &[0xf4, 0x90]), 1007),
            (b"\x82\xff\x7f\0\0\0\0\0\0\0".to_vec(), 1009),
        ] {
            let mut client = talk(node, &[]);
            say(&mut client, &said);
            let [high, low] = code.to_be_bytes();
            hears_last(&mut client, &[0x88, 2, high, low]);
        }
        node.wait_until("the seats are free", |node| {
            node.seats.listeners.taken() == 0
        });
    });
}

#[test]
fn who_hangs_up_is_missed_at_once() {
    start(|node| {
        let client = talk(node, &[]);
        node.wait_until("it listens", |node| node.seats.listeners.taken() == 1);
        client.shutdown(Shutdown::Write).expect("it is open");
        node.wait_until("the seat is free", |node| node.seats.listeners.taken() == 0);
    });
}

#[test]
fn a_flood_of_pings_is_borne_and_the_newest_is_answered() {
    const PINGS: usize = 40_000;
    start(|node| {
        let mut flood = talk(node, &[]);
        let mut reading = flood.try_clone().expect("a descriptor is left");
        let pings: Vec<u8> = (0..PINGS)
            .flat_map(|at| frame(0x89, &[&at.to_be_bytes()[..], &[b'.'; 92]].concat()))
            .collect();
        let talks = std::thread::spawn(move || say(&mut flood, &pings));
        // Others are heard while that lasts.
        let mut other = talk(node, &[]);
        for round in 0..20u8 {
            say(&mut other, &frame(0x89, &[round]));
            hears(&mut other, &[0x8a, 1, round]);
        }
        let mut last = 0;
        while last + 1 < PINGS {
            let mut pong = [0; 102];
            reading.read_exact(&mut pong).expect("more is said");
            assert_eq!(pong[..2], [0x8a, 100]);
            let at = usize::from_be_bytes(*pong[2..].first_chunk().expect("eight"));
            assert!(at == 0 || at > last, "{at} behind {last}");
            last = at;
        }
        talks.join().expect("all is said");
    });
}

#[test]
fn a_source_that_ends_and_a_drain_are_said_in_order() {
    let going_away = [0x88, 2, 0x03, 0xe9];
    for backend in BACKENDS {
        let node = Node::start(backend, 2, patient(3));
        let source = publish(&node, "/echo");
        let mut client = talk(&node, &frame(0x82, b"x"));
        hears(&mut client, b"\x82\x01x");
        drop(source);
        hears_last(&mut client, &going_away);
    }
    start(|node| {
        let mut client = talk(node, &frame(0x82, b"x"));
        hears(&mut client, b"\x82\x01x");
        node.drain(Duration::from_secs(10));
        hears_last(&mut client, &going_away);
    });
}

/// Writes an address to the file that `CORECAST_ECHO` names, and says things back there until the
/// file is gone: for suites of others (docs/conformance.md). Without it, only looks that it would.
#[test]
fn a_suite_may_ask_for_echoes() {
    let node = Node::start(BACKENDS[0], 1, patient(1 << 20));
    let _source = publish(&node, "/echo");
    let mut client = talk(&node, &frame(0x81, "κόσμε".as_bytes()));
    hears(&mut client, &[b"\x81\x0a", "κόσμε".as_bytes()].concat());
    let Some(file) = std::env::var_os("CORECAST_ECHO").map(PathBuf::from) else {
        return;
    };
    let url = format!("ws://{}/echo", node.address);
    let mut place = std::fs::File::create(&file).expect("the file may be written");
    place.write_all(url.as_bytes()).expect("there is room");
    while Path::exists(&file) {
        std::thread::park_timeout(Duration::from_millis(100));
    }
}
