use std::thread;
use std::time::{Duration, Instant};

use corecast_media::name::{MountName, SessionId};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::*;
use crate::message::Freed;

fn two_shards(capacity: usize) -> Mesh {
    let topology = Topology::new(2);
    let capacities = Capacities {
        shard_to_shard: capacity,
        shard_to_control: capacity,
        control_to_shard: capacity,
    };
    mesh(topology, capacities).expect("descriptors for three doorbells")
}

fn numbered(mount: &MountName, number: u32) -> ShardMessage {
    let freed = Freed {
        listeners: number,
        ..Freed::default()
    };
    let mount = mount.clone();
    ShardMessage::Release { mount, freed }
}

fn number_of(received: Received) -> (ShardId, u32) {
    match received {
        Received::Shard(from, ShardMessage::Release { freed, .. }) => (from, freed.listeners),
        other => panic!("nobody sent {other:?}"),
    }
}

fn mount() -> MountName {
    MountName::parse("/m").expect("a good name")
}

/// Waits for the doorbell; false after five seconds, which here means a lost wake-up.
fn wait(fd: &OwnedFd) -> bool {
    let limit = Timespec {
        tv_sec: 5,
        tv_nsec: 0,
    };
    poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&limit)).expect("poll works") == 1
}

/// One side of the ping-pong: sends 0..count to its peer and expects the same from it, sleeping
/// whenever it has nothing to do. The ring is far shorter than what it sends.
fn exchange(mut port: ShardPort, peer: ShardId, count: u32) {
    let fd = port.readiness_fd().expect("a descriptor is left");
    let mount = mount();
    let (mut sent, mut expected) = (0, 0);
    while sent < count || expected < count {
        while sent < count && port.send(peer, numbered(&mount, sent)).is_ok() {
            sent += 1;
        }
        while let Some(received) = port.recv() {
            assert_eq!(number_of(received), (peer, expected));
            expected += 1;
        }
        let room = port.poll_room();
        assert!(room.is_none_or(|plane| plane == Plane::Shard(peer)));
        let done = sent == count && expected == count;
        if room.is_none() && !done && port.sleep() {
            assert!(
                wait(&fd),
                "slept through a wake-up: {sent} sent, {expected} received"
            );
            port.wake();
        }
    }
    port.flush();
}

#[test]
fn two_threads_lose_neither_a_message_nor_a_wake_up() {
    const COUNT: u32 = 100_000;
    let mut mesh = two_shards(8);
    let started = Instant::now();
    let one = mesh.shards.pop().expect("two shards");
    let zero = mesh.shards.pop().expect("two shards");
    let threads = [(zero, ShardId(1)), (one, ShardId(0))]
        .map(|(port, peer)| thread::spawn(move || exchange(port, peer, COUNT)));
    for thread in threads {
        thread.join().expect("no side misses anything");
    }
    let link = &mesh
        .stats
        .links()
        .iter()
        .find(|link| link.to == Plane::Shard(ShardId(1)));
    assert!(link.is_some());
    for link in mesh
        .stats
        .links()
        .iter()
        .filter(|l| l.from != Plane::Control)
    {
        let between_shards = link.to != Plane::Control;
        assert_eq!(
            link.ring.sent(),
            u64::from(COUNT) * u64::from(between_shards)
        );
        assert_eq!(link.ring.depth(), 0);
    }
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_full_ring_gives_back_and_the_sender_is_woken_once_there_is_room() {
    let mut mesh = two_shards(2);
    let (mut one, mut zero) = (mesh.shards.remove(1), mesh.shards.remove(0));
    let fd = zero.readiness_fd().expect("a descriptor is left");
    let mount = mount();
    for number in 0..2 {
        zero.send(ShardId(1), numbered(&mount, number))
            .expect("room for two");
    }
    let refused = zero
        .send(ShardId(1), numbered(&mount, 2))
        .expect_err("the ring is full");
    assert!(zero.poll_room().is_none());
    assert!(zero.sleep(), "nothing to do but wait for room");
    assert_eq!(one.recv().map(number_of), Some((ShardId(0), 0)));
    one.flush();
    assert!(wait(&fd));
    zero.wake();
    assert_eq!(zero.poll_room(), Some(Plane::Shard(ShardId(1))));
    assert_eq!(zero.poll_room(), None);
    zero.send(ShardId(1), refused).expect("room for one");
    assert_eq!(one.recv().map(number_of), Some((ShardId(0), 1)));
    assert_eq!(one.recv().map(number_of), Some((ShardId(0), 2)));
}

#[test]
fn a_shard_sends_to_itself_without_a_ring_and_within_bounds() {
    let mut mesh = two_shards(1);
    let zero = &mut mesh.shards[0];
    zero.send(ShardId(0), numbered(&mount(), 7))
        .expect("room for one");
    assert!(!zero.sleep(), "a message is waiting");
    zero.send(ShardId(0), numbered(&mount(), 8))
        .expect_err("bounded");
    assert_eq!(zero.recv().map(number_of), Some((ShardId(0), 7)));
    assert!(!zero.sleep(), "room is news");
    assert_eq!(zero.poll_room(), Some(Plane::Shard(ShardId(0))));
    assert!(zero.sleep());
    assert!(
        zero.send(ShardId(9), numbered(&mount(), 9)).is_err(),
        "no such shard"
    );
}

#[test]
fn planes_take_turns_and_nobody_rings_at_one_awake() {
    let mut mesh = two_shards(8);
    let (mut one, mut zero) = (mesh.shards.remove(1), mesh.shards.remove(0));
    for query in 0..2 {
        mesh.control
            .send(
                ShardId(0),
                FromControl::Query {
                    query,
                    sessions: false,
                },
            )
            .expect("room");
        one.send(ShardId(0), numbered(&mount(), query as u32))
            .expect("room");
    }
    mesh.control.flush();
    one.flush();
    assert!(
        mesh.stats.doorbells().all(|(_, rung)| rung == 0),
        "all were awake"
    );
    let order: Vec<bool> = std::iter::from_fn(|| zero.recv())
        .map(|r| matches!(r, Received::Control(_)))
        .collect();
    assert_eq!(order, [false, true, false, true]);
}

#[test]
fn control_and_a_shard_wake_each_other_once_per_sleep() {
    let mut mesh = two_shards(8);
    let zero = &mut mesh.shards[0];
    let fd = mesh.control.readiness_fd().expect("a descriptor is left");
    assert!(mesh.control.sleep());
    for sequence in 0..3 {
        let session = SessionId::new(ShardId(0), sequence);
        zero.send_control(ToControl::RequestEnded(session))
            .expect("room");
        zero.flush();
    }
    assert!(wait(&fd));
    mesh.control.wake();
    assert_eq!(std::iter::from_fn(|| mesh.control.recv()).count(), 3);
    let rung: Vec<_> = mesh
        .stats
        .doorbells()
        .filter(|(_, rung)| *rung > 0)
        .collect();
    assert_eq!(rung, [(Plane::Control, 1)]);
}
