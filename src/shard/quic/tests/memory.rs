//! One endpoint and its clients in memory: what goes where, and in which order.

use std::time::{Duration, Instant};

use bytes::Bytes;
use quiche::h3;

use super::desk::{Desk, Peer, deliver, ok, on_a_shard, ours};
use super::*;
use crate::net::udp::{Arrival, UdpPort};
use crate::quic::flight::Flight;
use crate::quic::turns::{Task, Waits};

/// Where one packet differs from the next.
const ROUNDED: Duration = Duration::from_millis(1);

#[test]
fn packets_that_came_together_go_each_to_its_shard() {
    let desk = Desk::new();
    let mut message = Vec::new();
    for first in [0, 1, 1, 0, 1] {
        // A short header, and an id that says its shard.
        message.push(0x40);
        message.push(first);
        message.extend([9; 58]);
    }
    message.truncate(5 * 60 - 10);
    let arrival = Arrival {
        from: SocketAddr::from(([192, 0, 2, 1], 5_000)),
        to: ours(),
        stride: 60,
    };
    desk.endpoint.handle_message(arrival, &mut message);
    let done = desk.done.borrow();
    let handed = done.handed.iter();
    let handed: Vec<_> = handed.map(|(to, one)| (to.0, one.packets.len())).collect();
    assert_eq!(handed, [(1, 120), (1, 50)]);
    // Nobody knows the others.
    assert_eq!(desk.endpoint.replies.borrow().len(), 2);
    assert_eq!(desk.endpoint.place.probe.quic_crossings.total(), 2);
}

#[test]
fn a_panic_ends_its_connection_and_no_other() {
    on_a_shard(async {
        let desk = Desk::new();
        let mut one = desk.connect(5_001, &mut client::settings());
        let mut other = desk.connect(5_002, &mut client::settings());
        let seats = &desk.endpoint.place.seats;
        assert_eq!(seats.connections.taken(), 2);
        desk.done.borrow_mut().panics = true;
        one.ask(true);
        desk.turn(&mut one);
        let probe = &desk.endpoint.place.probe;
        assert_eq!((probe.panics.total(), seats.connections.taken()), (1, 1));
        let stream = desk.request(&mut other);
        stream.send_head(ok(), 3, false);
        stream.send_pieces([Bytes::from_static(b"as ever")]);
        desk.turn(&mut other);
        assert_eq!((&other.body[..], other.complete), (&b"as ever"[..], true));
        // Who was ended learns it when it asks again.
        one.ask(true);
        desk.hear(&mut one);
        let (departure, mut reset) = desk.endpoint.replies.borrow_mut().pop_front().expect("it");
        let info = quiche::RecvInfo {
            from: departure.from,
            to: departure.to,
        };
        let _ = one.quic.recv(&mut reset, info);
        assert!(one.quic.is_closed());
    });
}

#[test]
fn an_endpoint_that_ends_gives_back_what_its_connections_had() {
    on_a_shard(async {
        let desk = Desk::new();
        let mut peer = desk.connect(5_001, &mut client::settings());
        let stream = desk.request(&mut peer);
        desk.endpoint.close_all();
        desk.endpoint.forget_all();
        let place = &desk.endpoint.place;
        assert_eq!(place.seats.connections.taken(), 0);
        assert_eq!(place.probe.quic_connections.level(), 0);
        assert_eq!(desk.endpoint.next_due(), None);
        assert!(stream.sent().await.is_err());
    });
}

#[test]
fn a_task_that_waits_for_room_goes_on_once_there_is_some() {
    for backend in BACKENDS {
        let waited = backend.block_on(async {
            let desk = Desk::new();
            let port = UdpPort::new(socket()).expect("it can be watched");
            let (endpoint, port) = (&*desk.endpoint, &port);
            let task = Task { endpoint, port };
            // There is something to send, or nobody would want room.
            endpoint.wake();
            Waits::default().wait(&task, true).await
        });
        waited.expect("the engine starts").expect("there is room");
    }
}

#[test]
fn the_end_of_an_answer_waits_for_room_too() {
    on_a_shard(async {
        for room in 0..5 {
            let mut settings = client::settings();
            settings.set_initial_max_stream_data_bidi_local(4_000);
            let desk = Desk::new();
            let mut peer = desk.connect(5_001, &mut settings);
            let stream = desk.request(&mut peer);
            stream.send_head(ok(), 3, false);
            let connection = desk.serve().expect("it has something to send");
            let capacity = connection.inner.borrow_mut().quic.stream_capacity(0);
            // The head of a frame of DATA is three bytes.
            let length = capacity.expect("it is open") - 3 - room;
            let body = Bytes::from(vec![b'x'; length]);
            // As an answer whose end is not known yet.
            connection.push_body(0, [body], false);
            desk.serve();
            stream.end();
            for _ in 0..4 {
                desk.turn(&mut peer);
            }
            assert_eq!(peer.body.len(), length, "{room} left");
            assert!(peer.complete, "{room} left");
        }
    });
}

#[test]
fn a_priority_may_come_before_its_request() {
    on_a_shard(async {
        let desk = Desk::new();
        let mut peer = desk.connect(5_001, &mut client::settings());
        let low = h3::Priority::new(7, false);
        let h3 = peer.h3.as_mut().expect("it is connected");
        h3.send_priority_update_for_request(&mut peer.quic, 0, &low)
            .expect("there is room");
        desk.turn(&mut peer);
        let streams = [desk.request(&mut peer), desk.request(&mut peer)];
        for stream in &streams {
            stream.send_head(ok(), 3, false);
            stream.send_pieces([Bytes::from(vec![b'x'; 300_000])]);
        }
        let connection = desk.serve().expect("it has something to send");
        let mut packet = [0; 1_500];
        let (n, info) = connection
            .inner
            .borrow_mut()
            .quic
            .send(&mut packet)
            .expect("a packet");
        deliver(&mut [&mut peer], info, &mut packet[..n]);
        let readable: Vec<u64> = peer.quic.readable().filter(|id| id % 4 == 0).collect();
        assert_eq!(readable, [4], "the second one goes first");
    });
}

#[test]
fn no_more_goes_together_than_pacing_lets_go() {
    on_a_shard(async {
        let desk = Desk::new();
        let mut peer = Peer::new(5_001, &mut client::settings());
        let far = Duration::from_millis(25);
        for _ in 0..4 {
            monoio::time::sleep(far).await;
            desk.turn(&mut peer);
        }
        let stream = desk.request(&mut peer);
        stream.send_head(ok(), 3, false);
        stream.send_pieces([Bytes::from(vec![b'x'; 4_000_000])]);
        let mut paced = 0;
        for _ in 0..12 {
            paced += send_paced(&desk, &mut peer);
            monoio::time::sleep(far).await;
            peer.look();
            desk.hear(&mut peer);
        }
        assert!(paced > 3, "{paced} trains ended because of pacing");
        assert!(peer.body.len() > 20_000, "{} bytes", peer.body.len());
    });
}

/// Sends what may go now; how many trains were cut by pacing.
fn send_paced(desk: &Desk, peer: &mut Peer) -> usize {
    let mut paced = 0;
    let mut flight = Flight::new();
    while let Some(connection) = desk.serve() {
        let inner = &mut *connection.inner.borrow_mut();
        let now = Instant::now();
        let until = now + inner.quic.max_release_into_future();
        while let Some(batch) = flight.fill(&mut inner.quic, &mut inner.ways, None, now) {
            for packet in flight.packets_of(&batch) {
                let info = quiche::RecvInfo {
                    from: ours(),
                    to: peer.from,
                };
                let _ = peer.quic.recv(&mut packet.to_vec(), info);
            }
            let next = |quic: &quiche::Connection<_>| quic.get_next_release_time()?.time(until);
            if let Some(first) = next(&inner.quic) {
                // How long one packet takes at this pace.
                let mut packet = [0; 1_500];
                if let Ok((n, info)) = inner.quic.send(&mut packet) {
                    deliver(&mut [&mut *peer], info, &mut packet[..n]);
                    let each = next(&inner.quic).expect("it is later") - first;
                    assert!(
                        first <= until + each + ROUNDED,
                        "{first:?} {until:?} {each:?}"
                    );
                    paced += 1;
                }
                break;
            }
        }
    }
    paced
}

#[test]
fn the_most_urgent_answer_goes_first() {
    on_a_shard(async {
        let desk = Desk::new();
        let mut peer = desk.connect(5_001, &mut client::settings());
        let mut streams = Vec::new();
        for urgency in [3, 2, 1] {
            streams.push((desk.request(&mut peer), urgency));
        }
        for (stream, urgency) in &streams {
            stream.send_head(ok(), *urgency, false);
            stream.send_pieces([Bytes::from(vec![b'x'; 30_000])]);
        }
        for _ in 0..60 {
            desk.turn(&mut peer);
        }
        assert_eq!(peer.finished, [8, 4, 0]);
    });
}

#[test]
fn bodies_are_not_copied() {
    on_a_shard(async {
        let desk = Desk::new();
        let mut peer = desk.connect(5_001, &mut client::settings());
        let body = Bytes::from(vec![b'x'; 9_000]);
        let stream = desk.request(&mut peer);
        stream.send_head(ok(), 3, false);
        stream.send_pieces([body.clone()]);
        let connection = desk.serve().expect("it has something to send");
        assert_eq!(stream.waiting_bytes(), 0, "quiche has all of it");
        assert!(!body.is_unique(), "and has it from here");
        connection.list();
        for _ in 0..9 {
            desk.turn(&mut peer);
        }
        assert_eq!(peer.body.len(), body.len());
        assert!(body.is_unique(), "the client has it");
    });
}
