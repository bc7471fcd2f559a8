//! What a client can have of an endpoint, and for how long.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quiche::Shutdown;
use quiche::h3;

use super::desk::{Desk, Peer, ok, on_a_shard};
use super::*;
use crate::net::StreamSocket;
use crate::net::udp::Arrival;
use crate::quic::code;
use crate::quic::connection::Patience;

/// Ids of a connection, and addresses of its client.
const IDS_MAX: usize = 8;

const LONG: Duration = Duration::from_secs(20);

/// Turns until `is_so`.
async fn until(desk: &Desk, peer: &mut Peer, is_so: impl Fn(&Desk, &mut Peer) -> bool) {
    let deadline = Instant::now() + LONG;
    while !is_so(desk, peer) {
        assert!(
            Instant::now() < deadline,
            "not in time: {:?}",
            peer.quic.peer_error()
        );
        desk.turn(peer);
        desk.endpoint.handle_timeouts(Instant::now(), 9);
        monoio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn is_told_all_is_well(peer: &Peer) -> bool {
    let error = peer.quic.peer_error();
    error.is_some_and(|error| error.is_app && error.error_code == code::NO_ERROR)
}

#[test]
fn a_handshake_that_takes_too_long_is_ended_once() {
    on_a_shard(async {
        let desk = Desk::with(Patience {
            handshake: Duration::ZERO,
            idle: LONG,
        });
        let mut peer = Peer::new(5_001, &mut client::settings());
        desk.hear(&mut peer);
        let connection = desk.endpoint.at(0).expect("it began");
        desk.endpoint.handle_timeouts(Instant::now(), 9);
        desk.speak(&mut [&mut peer]);
        desk.endpoint.settle(&connection);
        desk.endpoint.handle_timeouts(Instant::now(), 9);
        desk.endpoint.settle(&connection);
        let due = desk.endpoint.next_due().expect("its end");
        assert!(due > Instant::now(), "it rings all the time");
        assert!(connection.inner.borrow().quic.local_error().is_some());
    });
}

#[test]
fn who_asks_nothing_is_not_kept_for_its_pings() {
    let patience = Patience {
        handshake: LONG,
        idle: Duration::from_millis(100),
    };
    for begins in [false, true] {
        on_a_shard(async {
            let desk = Desk::with(patience);
            let mut peer = desk.connect(5_001, &mut client::settings());
            if begins {
                // A head of which one byte came.
                peer.quic
                    .stream_send(0, &[0x01, 0x20, 0x00], false)
                    .expect("there is room");
            }
            until(&desk, &mut peer, |_, peer| {
                let _ = peer.quic.send_ack_eliciting();
                is_told_all_is_well(peer)
            })
            .await;
        });
    }
    on_a_shard(async {
        let desk = Desk::with(patience);
        let mut peer = desk.connect(5_001, &mut client::settings());
        let stream = desk.request(&mut peer);
        let later = Instant::now() + 4 * patience.idle;
        until(&desk, &mut peer, |_, _| Instant::now() > later).await;
        assert_eq!(desk.endpoint.place.seats.connections.taken(), 1);
        stream.send_head(ok(), 3, false);
        stream.send_pieces([Bytes::from_static(b"it took its time")]);
        desk.turn(&mut peer);
        assert!(peer.complete);
    });
}

#[test]
fn nothing_is_kept_of_requests_that_were_given_up() {
    on_a_shard(async {
        let desk = Desk::new();
        let mut peer = desk.connect(5_001, &mut client::settings());
        for kind in 0..4 {
            let stream = desk.begin(&mut peer, kind != 3);
            let id = 4 * kind;
            match kind {
                // We give it up before its answer, the client in the middle of it.
                1 => stream.reset(code::REQUEST_CANCELLED),
                2 => {
                    stream.send_head(ok(), 3, false);
                    desk.turn(&mut peer);
                    let stopped = peer.quic.stream_shutdown(id, Shutdown::Read, 0x10c);
                    stopped.expect("it is open");
                }
                // All is well; and an answer before the end of the request's body.
                _ => {
                    stream.send_head(ok(), 3, false);
                    stream.send_pieces([Bytes::from_static(b"all")]);
                }
            }
            desk.turn(&mut peer);
            drop(stream);
            assert_forgotten(&desk, &mut peer, id).await;
        }
    });
}

#[test]
fn nothing_is_kept_of_streams_without_a_request() {
    on_a_shard(async {
        let desk = Desk::new();
        let mut peer = desk.connect(5_001, &mut client::settings());
        let stream = desk.request(&mut peer);
        stream.send_head(ok(), 3, true);
        desk.turn(&mut peer);
        drop(stream);
        // A part of a head, and nothing at all.
        for (id, part, resets) in [
            (4, &[0x01, 0x20, 0x00][..], true),
            (8, &[], true),
            (12, &[], false),
        ] {
            let ends = !resets;
            let sent = peer.quic.stream_send(id, part, ends);
            sent.expect("there is room");
            desk.turn(&mut peer);
            if resets {
                let reset = peer.quic.stream_shutdown(id, Shutdown::Write, 0x10c);
                reset.expect("it is open");
            }
            desk.turn(&mut peer);
            assert_forgotten(&desk, &mut peer, id).await;
            assert_eq!(peer.quic.peer_error(), None);
        }
        assert!(desk.done.borrow().asked.is_empty());
    });
}

/// Fails unless neither we nor quiche's HTTP/3 know of a stream any more.
async fn assert_forgotten(desk: &Desk, peer: &mut Peer, id: u64) {
    let connection = desk.endpoint.at(0).expect("it is there");
    let quiet = |_: &Desk, _: &mut Peer| connection.inner.borrow_mut().is_quiet();
    until(desk, peer, quiet).await;
    let inner = &mut *connection.inner.borrow_mut();
    let h3 = inner.h3.as_mut().expect("it is there");
    let unknown = Err(h3::Error::FrameUnexpected);
    let head = h3.send_response(&mut inner.quic, id, &ok(), true);
    assert_eq!(head, unknown, "{id}");
    let body = h3.send_body(&mut inner.quic, id, &[], true);
    assert_eq!(body.map(|_| ()), unknown, "{id}");
}

struct Told(AtomicBool);

impl Wake for Told {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn who_hears_a_client_is_told_when_it_is_gone() {
    on_a_shard(async {
        let desk = Desk::new();
        let mut peer = desk.connect(5_001, &mut client::settings());
        let stream = desk.begin(&mut peer, false);
        stream.send_head(ok(), 3, false);
        let mut socket = stream.into_socket();
        let told = Arc::new(Told(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&told));
        let mut buf = [0; 10];
        let heard = socket.poll_receive(&mut Context::from_waker(&waker), &mut buf);
        assert!(heard.is_pending());
        desk.endpoint.forget_all();
        assert!(told.0.load(Ordering::Relaxed));
        let heard = socket.poll_receive(&mut Context::from_waker(&waker), &mut buf);
        assert!(matches!(heard, Poll::Ready(Ok(0) | Err(_))));
    });
}

#[test]
fn ids_and_addresses_of_a_client_are_few() {
    on_a_shard(async {
        let desk = Desk::new();
        let mut settings = client::settings();
        settings.set_active_connection_id_limit(64);
        let mut peer = desk.connect(5_001, &mut settings);
        let connection = desk.endpoint.at(0).expect("it is there");
        for n in 1..40 {
            let _ = peer.quic.retire_dcid(n);
            desk.turn(&mut peer);
            desk.turn(&mut peer);
            // With the one that the client chose first.
            assert!(connection.ids.borrow().len() <= IDS_MAX + 1);
        }
        for host in 1..40 {
            let _ = peer.quic.send_ack_eliciting();
            let mut packet = [0; 1_500];
            while let Ok((n, info)) = peer.quic.send(&mut packet) {
                let arrival = Arrival {
                    from: SocketAddr::from(([198, 51, 100, host], 5_001)),
                    to: info.to,
                    stride: n,
                };
                desk.endpoint.handle_packets(arrival, &mut packet[..n]);
            }
            desk.serve();
            assert!(connection.inner.borrow().quic.path_stats().count() <= IDS_MAX);
        }
    });
}

#[test]
fn heads_and_priorities_that_go_too_far_end_the_connection() {
    on_a_shard(async {
        let desk = Desk::new();
        let mut peer = desk.connect(5_001, &mut client::settings());
        // HEADERS of 30,000 bytes.
        let head = [0x01, 0x80, 0x00, 0x75, 0x30];
        let sent = peer.quic.stream_send(0, &head, false);
        sent.expect("there is room");
        // RFC 9114 section 8.1: too much.
        until(&desk, &mut peer, |_, peer| {
            peer.quic
                .peer_error()
                .is_some_and(|error| error.error_code == 0x107)
        })
        .await;
        let mut peer = desk.connect(5_002, &mut client::settings());
        let h3 = peer.h3.as_mut().expect("it is connected");
        let most = h3::Priority::new(0, false);
        // A stream that the client may not open yet.
        let sent = h3.send_priority_update_for_request(&mut peer.quic, 4 * 1_000, &most);
        sent.expect("there is room");
        until(&desk, &mut peer, |_, peer| {
            peer.quic
                .peer_error()
                .is_some_and(|error| error.error_code == 0x108)
        })
        .await;
    });
}
