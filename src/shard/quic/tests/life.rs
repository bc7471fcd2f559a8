//! Connections from their first packet to their end.

use std::time::{Duration, Instant};

use corecast_protocol::quic::steering;

use super::*;

/// The body of `/api/big`.
pub(super) const BIG_BYTES: usize = 40 * 64 * 1024;

pub(super) fn assert_big(got: &client::Got) {
    assert_eq!((got.status(), got.reset), (Some("200"), None));
    assert_eq!(got.body.len(), BIG_BYTES);
    assert!(got.body.iter().all(|byte| *byte == b'x'));
}

#[test]
fn requests_are_answered_each_on_its_stream() {
    on_each(1, |_, at| {
        let mut client = Client::connected(at);
        let got = client.get("/api/one?two");
        assert_eq!(got.status(), Some("200"));
        assert_eq!(got.body, b"GET /api/one?two ");
        assert_eq!(got.field("x-test"), Some("yes"));
        assert_eq!(got.field("content-length"), Some("17"));
        let head = client.ask("HEAD", "/api/one", true);
        let head = client.outcome(head);
        assert_eq!((head.status(), head.body.len()), (Some("200"), 0));
        let ids: Vec<u64> = (0..20)
            .map(|_| client.ask("GET", "/api/many", true))
            .collect();
        for id in ids {
            assert_eq!(client.outcome(id).body, b"GET /api/many ");
        }
    });
}

#[test]
fn a_body_comes_whole_and_goes_whole() {
    on_each(1, |_, at| {
        let mut client = Client::connected(at);
        let id = client.ask("POST", "/api/echo", false);
        let body = vec![b'b'; 60_000];
        let mut sent = 0;
        while sent < body.len() {
            let h3 = client.h3.as_mut().expect("it is there");
            let more = h3.send_body(&mut client.quic, id, &body[sent..], true);
            sent += more.unwrap_or_default();
            client.turn();
        }
        let got = client.outcome(id);
        assert_eq!(got.status(), Some("200"));
        assert_eq!(got.body.len(), body.len() + b"POST /api/echo ".len());
        assert_big(&client.get("/api/big"));
    });
}

#[test]
fn lost_packets_are_sent_again() {
    on_each(1, |_, at| {
        let mut client = Client::new(at, &[7; 16]);
        client.loses = 9;
        client.until("a handshake", |client| client.h3.is_some());
        assert_big(&client.get("/api/big"));
    });
}

#[test]
fn the_node_forgets_who_leaves() {
    on_each(1, |node, at| {
        let mut client = Client::connected(at);
        client.get("/api/one");
        assert_eq!(node.seats.connections.taken(), 1);
        client
            .quic
            .close(true, 0x100, b"")
            .expect("it is still open");
        client.send();
        node.wait_until("no connection", |node| {
            node.seats.connections.taken() == 0 && node.probes[0].quic_connections.level() == 0
        });
    });
}

#[test]
fn who_wants_nothing_is_let_go_however_much_it_talks() {
    on_each(1, |node, at| {
        let mut client = Client::connected(at);
        client.get("/api/one");
        // It pings all the time, and never finishes a head.
        let half = client.quic.stream_send(4, b"\x01\x40\x64\0\0", false);
        half.expect("the next stream is free");
        client.is_deaf = true;
        let began = Instant::now();
        client.until("an end", |client| client.quic.peer_error().is_some());
        assert!(began.elapsed() > Duration::from_secs(1), "it is given time");
        let error = client.quic.peer_error().expect("it was waited for");
        assert_eq!((error.is_app, error.error_code), (true, 0x100));
        node.wait_until("no connection", |node| node.seats.connections.taken() == 0);
    });
}

#[test]
fn who_gives_up_a_request_frees_what_waits_for_it() {
    on_each(1, |node, at| {
        let mut client = Client::connected(at);
        let id = client.ask("GET", "/api/silent", true);
        client.get("/api/one");
        let stop = quiche::Shutdown::Read;
        client
            .quic
            .stream_shutdown(id, stop, 0x10c)
            .expect("it is open");
        client.send();
        let ended = |node: &Node| {
            let mut seen = node.seen.try_iter();
            seen.any(|seen| matches!(seen, crate::testing::Seen::RequestEnded))
        };
        node.wait_until("control hears of it", ended);
        assert_eq!(client.get("/api/one").status(), Some("200"));
    });
}

#[test]
fn a_drain_lets_answers_end_and_says_goodbye() {
    on_each(1, |node, at| {
        let mut client = Client::connected(at);
        let id = client.ask("GET", "/api/big", true);
        client.until("some of the body", |client| {
            client.streams.contains_key(&id)
        });
        let grace = Duration::from_secs(15);
        node.order(corecast_mesh::message::FromControl::Drain(grace));
        assert_big(&client.outcome(id));
        client.until("the end", |client| client.quic.peer_error().is_some());
        let error = client.quic.peer_error().expect("it is there");
        assert_eq!((error.is_app, error.error_code), (true, 0x100));
        node.drain(Duration::ZERO);
    });
}

#[test]
fn a_drain_waits_for_nobody_where_nobody_is() {
    on_each(2, |node, _| {
        let (began, grace) = (Instant::now(), Duration::from_secs(60));
        node.drain(grace);
        assert!(began.elapsed() < grace / 3, "{:?}", began.elapsed());
    });
}

#[test]
fn a_drain_does_not_wait_for_who_vanished_with_its_answer() {
    let patient = || {
        let mut config = config();
        config.limits.idle_timeout = Duration::from_secs(60);
        config
    };
    let sockets = || udp::bind((Ipv4Addr::LOCALHOST, 0).into(), 1).expect("a port is free");
    on_sockets(patient, sockets, credentials, |node, at| {
        let mut client = Client::connected(at);
        // It never says that it got that.
        assert_eq!(client.get("/api/one").status(), Some("200"));
        drop(client);
        let began = Instant::now();
        node.drain(Duration::from_secs(60));
        // As long as a silent client would be waited for.
        assert!(
            began.elapsed() < Duration::from_secs(15),
            "{:?}",
            began.elapsed()
        );
    });
}

#[test]
fn packets_go_to_the_shard_that_their_id_names() {
    on_each(2, |node, at| {
        for first in 0..8 {
            let mut client = Client::new(at, &[first; 16]);
            client.until("a handshake", |client| client.h3.is_some());
            let id = client.quic.destination_id().to_vec();
            let shard = usize::from(steering::shard_of(&id, 2));
            assert!(node.probes[shard].quic_connections.level() > 0);
            assert_eq!(client.get("/api/one").status(), Some("200"));
            assert_eq!(client.get("/api/big").body.len(), BIG_BYTES);
        }
        let total = counted(node, |probe| probe.connections_accepted.total());
        assert_eq!(total, 8);
    });
}

#[test]
fn shards_hand_packets_over_where_the_kernel_does_not_steer() {
    on_each_unsteered(2, |node, at| {
        // The kernel goes by ports: some of eight clients come to the wrong shard.
        for first in 0..8 {
            let mut client = Client::new(at, &[first; 16]);
            client.until("a handshake", |client| client.h3.is_some());
            assert_big(&client.get("/api/big"));
            client.rebind();
            assert_big(&client.get("/api/big"));
        }
        assert!(counted(node, |probe| probe.quic_crossings.total()) > 0);
        let total = counted(node, |probe| probe.connections_accepted.total());
        assert_eq!(total, 8);
        assert_eq!(counted(node, |probe| probe.quic_resets.total()), 0);
    });
}

#[test]
fn who_takes_nothing_of_an_answer_is_given_up() {
    on_each(1, |node, at| {
        let mut settings = client::settings();
        settings.set_initial_max_stream_data_bidi_local(100_000);
        let mut client = Client::with_settings(at, &[7; 16], Some("localhost"), &mut settings);
        client.until("a handshake", |client| client.h3.is_some());
        client.is_deaf = true;
        let id = client.ask("GET", "/api/big", true);
        client.until("control hears that it was given up", |_| {
            let mut seen = node.seen.try_iter();
            seen.any(|seen| matches!(seen, crate::testing::Seen::RequestEnded))
        });
        client.is_deaf = false;
        assert_eq!(client.outcome(id).reset, Some(0x10c));
        assert_eq!(client.get("/api/one").status(), Some("200"));
    });
}
