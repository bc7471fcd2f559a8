//! WebSockets on streams (RFC 9220).

use super::*;
use crate::testing::{client_frame as frame, patient, publish};

/// One test on a node whose source is silent, and its address for QUIC.
fn on_echo(test: impl Fn(&mut Node, SocketAddr) + Sync) {
    let bind = || udp::bind((Ipv4Addr::LOCALHOST, 0).into(), 1).expect("a port is free");
    let test = |node: &mut Node, at| {
        let _source = publish(node, "/echo");
        test(node, at);
    };
    on_sockets(|| patient(3_600), bind, credentials, test);
}

/// A stream on which both talk.
fn talk(client: &mut Client) -> u64 {
    let id = client.connect_websocket("/echo");
    client.until("an answer", |client| {
        (client.streams.get(&id)).is_some_and(|got| got.status() == Some("200"))
    });
    id
}

fn say(client: &mut Client, id: u64, mut said: &[u8]) {
    while !said.is_empty() {
        let h3 = client.h3.as_mut().expect("it is there");
        match h3.send_body(&mut client.quic, id, said, false) {
            Ok(n) => said = &said[n..],
            Err(_) => client.turn(),
        }
    }
    client.send();
}

fn hears(client: &mut Client, id: u64, expected: &[u8]) {
    client.until("something is said", |client| {
        client.streams[&id].body.len() >= expected.len()
    });
    let body = &mut client.streams.get_mut(&id).expect("it is there").body;
    assert_eq!(std::mem::take(body), expected);
}

#[test]
fn pings_are_answered_and_an_end_is_said_back() {
    on_echo(|node, at| {
        let mut client = Client::connected(at);
        let id = talk(&mut client);
        for byte in frame(0x89, b"byte by byte") {
            say(&mut client, id, &[byte]);
        }
        hears(&mut client, id, b"\x8a\x0cbyte by byte");
        say(&mut client, id, &frame(0x82, b"Hello"));
        hears(&mut client, id, b"\x82\x05Hello");
        say(&mut client, id, &frame(0x88, &[0x03, 0xe8]));
        let got = client.outcome(id);
        assert_eq!(
            (&got.body[..], got.complete),
            (&[0x88, 2, 0x03, 0xe8][..], true)
        );
        node.wait_until("the seat is free", |node| node.seats.listeners.taken() == 0);
    });
}

#[test]
fn who_goes_is_missed_at_once() {
    on_echo(|node, at| {
        let mut client = Client::connected(at);
        let [resets, ends, _stays] = [(); 3].map(|()| talk(&mut client));
        assert_eq!(node.seats.listeners.taken(), 3);
        let quic = &mut client.quic;
        let cancelled = 0x10c;
        (quic.stream_shutdown(resets, quiche::Shutdown::Write, cancelled)).expect("it is open");
        client.send();
        node.wait_until("one is missed", |node| node.seats.listeners.taken() == 2);
        let h3 = client.h3.as_mut().expect("it is there");
        (h3.send_body(&mut client.quic, ends, &[], true)).expect("it is open");
        client.send();
        node.wait_until("two are missed", |node| node.seats.listeners.taken() == 1);
        client.quic.close(true, 0x100, b"").expect("it is open");
        client.send();
        node.wait_until("all are missed", |node| node.seats.listeners.taken() == 0);
    });
}

#[test]
fn who_reads_nothing_is_heard_and_the_newest_ping_is_answered() {
    const PINGS: u32 = 20_000;
    on_echo(|_, at| {
        let mut settings = client::settings();
        settings.set_initial_max_stream_data_bidi_local(1_000);
        let mut client = Client::with_settings(at, &[7; 16], Some("localhost"), &mut settings);
        client.until("a handshake", |client| client.h3.is_some());
        let id = talk(&mut client);
        client.is_deaf = true;
        for at in (0..PINGS).step_by(100) {
            let pings = (at..at + 100).flat_map(|at| frame(0x89, &at.to_be_bytes()));
            say(&mut client, id, &pings.collect::<Vec<u8>>());
        }
        client.is_deaf = false;
        let newest = [&[0x8a, 4][..], &(PINGS - 1).to_be_bytes()].concat();
        client.until("the newest", |client| {
            client.streams[&id].body.ends_with(&newest)
        });
        let pongs = &client.streams[&id].body;
        let numbers = pongs
            .chunks(6)
            .map(|pong| u32::from_be_bytes(*pong.last_chunk().expect("four")));
        assert!(numbers.is_sorted(), "newer ones before older ones");
        assert!(pongs.len() < PINGS as usize * 6, "all were kept somewhere");
    });
}
