//! How connections end that nobody ends.

use super::*;

use std::io::{Read, Write};
use std::time::Instant;

use corecast_protocol::http::frames::PREFACE;

#[test]
fn who_says_nothing_is_not_waited_for() {
    for backend in BACKENDS {
        let node = Node::start(backend, 1, config());
        // Between the prefaces for as long as a head may take, afterwards for as long as a
        // connection may be idle.
        for (said, least) in [(&PREFACE[..20], 500), (&PREFACE[..], 1_900)] {
            let started = Instant::now();
            let mut stream = node.connect();
            stream.write_all(said).expect("the node reads");
            if said.len() == PREFACE.len() {
                stream
                    .write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0])
                    .expect("the node reads");
            }
            let mut all = Vec::new();
            stream.read_to_end(&mut all).expect("an orderly end");
            let took = started.elapsed().as_millis();
            assert!((least..8_000).contains(&took), "{took} ms");
        }
        node.wait_until("all connections are closed", |node| {
            node.seats.connections.taken() == 0
        });
    }
}

#[test]
fn a_drain_is_announced_and_what_runs_is_finished() {
    on_each(async |node| {
        let mut client = Client::connect_with(node, 100_000).await;
        assert_eq!(client.get("/health").await.status, 200);
        let big = client.open(get("/api/big"), true).await;
        let (status, _, mut big, _) = big.head().await;
        let first = read(&mut big, 50_000).await;
        let mut idle = Client::connect(node).await;
        assert_eq!(idle.get("/health").await.status, 200);
        node.order(corecast_mesh::message::FromControl::Drain(PATIENCE));
        // The last stream is done: both ends know that it is over.
        (&mut idle.end)
            .await
            .expect("no panic")
            .expect("an orderly end");
        let rest = read(&mut big, usize::MAX).await;
        assert_eq!((status, first.len() + rest.len()), (200, 40 * 64 * 1024));
        (&mut client.end)
            .await
            .expect("no panic")
            .expect("an orderly end");
    });
}

/// Sends a little now and then, so that the source is not given up.
async fn trickle(source: &mut std::net::TcpStream, time: Duration) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        source.write_all(&pattern(0, 100)).expect("the node reads");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn a_peer_that_only_listens_is_asked_whether_it_lives() {
    on_each(async |node| {
        let mut source = publish(node, "/live");
        let mut client = Client::connect(node).await;
        let (status, _, _body, _handle) = client.open(get("/live"), true).await.head().await;
        assert_eq!(status, 200);
        // It says nothing for longer than the node waits, but that it answers PING.
        trickle(&mut source, Duration::from_millis(4_500)).await;
        assert_eq!(client.get("/health").await.status, 200);
        // Nobody moves the frames of this one: it answers nothing.
        let mut gone = node.connect();
        let hello = [&PREFACE[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
        gone.write_all(&hello).expect("the node reads");
        let head = b"\x82\x86\x04\x05/live\x01\x01a";
        let head = [&[0, 0, 12, 1, 5, 0, 0, 0, 1], &head[..]].concat();
        gone.write_all(&head).expect("the node reads");
        node.wait_until("it listens", |node| node.seats.listeners.taken() == 2);
        trickle(&mut source, Duration::from_millis(4_500)).await;
        node.wait_until("it is given up", |node| node.seats.listeners.taken() == 1);
    });
}
