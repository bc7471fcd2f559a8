//! Clients that talk: to real shards, with an echo that only tests have.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use corecast_protocol::websocket::{Data, Opcode, Talk, put_head};
use rustls::{ClientConnection, StreamOwned};

use super::super::reader::ReaderSocket;
use crate::testing::{
    BACKENDS, Node, client_frame as frame, patient, publish, read_head, self_signed,
};

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
    begin(&mut client, said);
    client
}

fn begin(client: &mut (impl Read + Write), said: &[u8]) {
    say(client, &[HANDSHAKE, said].concat());
    let head = read_head(client);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
}

fn say(client: &mut impl Write, said: &[u8]) {
    client.write_all(said).expect("the node reads");
}

fn hears(client: &mut impl Read, expected: &[u8]) {
    let mut got = vec![0; expected.len()];
    client.read_exact(&mut got).expect("something is said");
    assert_eq!(got, expected);
}

/// The client hears that and then the end.
fn hears_last(client: &mut impl Read, expected: &[u8]) {
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

/// The ping with this number, of a hundred bytes.
fn ping(at: usize) -> Vec<u8> {
    frame(0x89, &[&at.to_be_bytes()[..], &[b'.'; 92]].concat())
}

/// Reads pongs, none twice and none before an older one, up to the newest; gives how many came.
fn hears_newest_pong(client: &mut impl Read, pings: usize) -> usize {
    let (mut last, mut count) = (None, 0);
    while last.is_none_or(|last| last + 1 < pings) {
        let mut pong = [0; 102];
        client.read_exact(&mut pong).expect("more is said");
        assert_eq!(pong[..2], [0x8a, 100]);
        let at = usize::from_be_bytes(*pong[2..].first_chunk().expect("eight"));
        assert!(last.is_none_or(|last| at > last), "{at} behind {last:?}");
        (last, count) = (Some(at), count + 1);
    }
    count
}

#[test]
fn a_flood_of_pings_is_borne_and_the_newest_is_answered() {
    const PINGS: usize = 10_000;
    start(|node| {
        let mut flood = talk(node, &[]);
        let mut reading = flood.try_clone().expect("a descriptor is left");
        let pings: Vec<u8> = (0..PINGS).flat_map(ping).collect();
        let talks = std::thread::spawn(move || say(&mut flood, &pings));
        // Others are heard while that lasts.
        let mut other = talk(node, &[]);
        for round in 0..20u8 {
            say(&mut other, &frame(0x89, &[round]));
            hears(&mut other, &[0x8a, 1, round]);
        }
        hears_newest_pong(&mut reading, PINGS);
        talks.join().expect("all is said");
    });
}

#[test]
fn who_reads_nothing_is_heard_and_costs_a_bounded_number_of_pongs() {
    const PINGS: usize = 50_000;
    let test = |backend| {
        let node = Node::start(backend, 1, patient(3_600));
        let _source = publish(&node, "/echo");
        let mut mute = talk(&node, &[]);
        // More than sockets hold, and all of it is taken though no pong is.
        for at in (0..PINGS).step_by(1_000) {
            let pings: Vec<u8> = (at..at + 1_000).flat_map(ping).collect();
            say(&mut mute, &pings);
        }
        let pongs = hears_newest_pong(&mut mute, PINGS);
        assert!(pongs < PINGS, "{pongs} pongs were kept somewhere");
        say(&mut mute, &frame(0x88, &[]));
        hears_last(&mut mute, &[0x88, 0]);
    };
    std::thread::scope(|scope| {
        for backend in BACKENDS {
            scope.spawn(move || test(backend));
        }
    });
}

#[test]
fn over_tls_it_is_the_same() {
    for backend in BACKENDS {
        let (credentials, config) = self_signed();
        let node = Node::start_with(backend, 1, patient(3_600), Vec::new(), Some(credentials));
        let _source = publish(&node, "/echo");
        let talk = |said: &[u8]| {
            let name = "localhost".try_into().expect("a name");
            let client = ClientConnection::new(config.clone(), name).expect("a client");
            let mut stream = StreamOwned::new(client, Node::connect_to(node.https));
            begin(&mut stream, said);
            stream
        };
        let mut client = talk(&frame(0x89, b"with the request"));
        hears(&mut client, b"\x8a\x10with the request");
        let message = vec![b'm'; 60_000];
        let mut long = vec![0x82, 0xfe, 0xea, 0x60, 0, 0, 0, 0];
        long.extend_from_slice(&message);
        say(&mut client, &long);
        hears(
            &mut client,
            &[&[0x82, 126, 0xea, 0x60][..], &message].concat(),
        );
        say(&mut client, &frame(0x88, &[0x03, 0xe8]));
        hears_last(&mut client, &[0x88, 2, 0x03, 0xe8]);
        // One says that it goes, another one is gone.
        let (mut polite, rude) = (talk(&[]), talk(&[]));
        node.wait_until("both listen", |node| node.seats.listeners.taken() == 2);
        polite.conn.send_close_notify();
        polite.flush().expect("it is open");
        node.wait_until("one is missed", |node| node.seats.listeners.taken() == 1);
        drop(rude.sock);
        node.wait_until("both are", |node| node.seats.listeners.taken() == 0);
    }
}

#[test]
fn who_never_talks_pays_nothing_for_those_who_do() {
    // A box that they alone have; what every reader has is as small as without them.
    assert_eq!(size_of::<ReaderSocket>(), 3 * size_of::<usize>());
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
