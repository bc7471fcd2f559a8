//! A bad network between one client and one server: a relay of UDP that loses, delays and reorders,
//! and that comes from another port now and then, as a NAT that forgot.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What it does to datagrams, in both directions.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Road {
    /// Of a thousand datagrams so many are lost.
    pub(crate) lost_per_mille: u64,
    /// Each is so much later.
    pub(crate) delay: Duration,
    /// And up to so much more, each by itself: what was later may come earlier.
    pub(crate) jitter: Duration,
    /// The server sees another port after each such time; the old one is closed.
    pub(crate) rebind: Option<Duration>,
}

/// A running relay. Dropped, it ends.
pub(crate) struct RoughRoad {
    address: SocketAddr,
    counts: Arc<Counts>,
    relay: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    stop: AtomicBool,
    rebinds: AtomicU64,
    lost: AtomicU64,
}

impl RoughRoad {
    /// From a port of its own to `server`.
    pub(crate) fn to(server: SocketAddr, road: Road) -> Self {
        let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        front.set_nonblocking(true).expect("a socket may not wait");
        let address = front.local_addr().expect("it is bound");
        let counts = Arc::new(Counts::default());
        let shared = Arc::clone(&counts);
        let relay = std::thread::spawn(move || {
            Relay {
                server,
                road,
                front,
                back: upstream(server),
                client: None,
                under_way: BinaryHeap::new(),
                number: 0,
                state: 0x9e37_79b9_7f4a_7c15,
                counts: shared,
            }
            .run();
        });
        RoughRoad {
            address,
            counts,
            relay: Some(relay),
        }
    }

    /// Where the client goes.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often the server saw another port.
    pub(crate) fn rebinds(&self) -> u64 {
        self.counts.rebinds.load(Ordering::Relaxed)
    }

    /// How many datagrams were lost.
    pub(crate) fn lost(&self) -> u64 {
        self.counts.lost.load(Ordering::Relaxed)
    }
}

impl Drop for RoughRoad {
    fn drop(&mut self) {
        self.counts.stop.store(true, Ordering::Relaxed);
        if let Some(relay) = self.relay.take() {
            let _ = relay.join();
        }
    }
}

fn upstream(server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    socket.connect(server).expect("any address will do");
    socket.set_nonblocking(true).expect("a socket may not wait");
    socket
}

/// When it is due, its number, whether it goes to the server, its bytes.
type UnderWay = (Instant, u64, bool, Vec<u8>);

struct Relay {
    server: SocketAddr,
    road: Road,
    front: UdpSocket,
    back: UdpSocket,
    client: Option<SocketAddr>,
    under_way: BinaryHeap<Reverse<UnderWay>>,
    number: u64,
    state: u64,
    counts: Arc<Counts>,
}

impl Relay {
    fn run(mut self) {
        let mut bound = Instant::now();
        while !self.counts.stop.load(Ordering::Relaxed) {
            self.wait();
            self.receive();
            self.deliver();
            if self
                .road
                .rebind
                .is_some_and(|after| bound.elapsed() >= after)
            {
                self.back = upstream(self.server);
                self.counts.rebinds.fetch_add(1, Ordering::Relaxed);
                bound = Instant::now();
            }
        }
    }

    fn wait(&self) {
        let due = self.under_way.peek().map(|Reverse(next)| next.0);
        let due = due.map(|due| due.saturating_duration_since(Instant::now()));
        let longest = Duration::from_millis(20);
        let wait = due.unwrap_or(longest).min(longest);
        let wait = Timespec::try_from(wait).expect("a short time");
        let readable = |socket| PollFd::from_borrowed_fd(socket, PollFlags::IN);
        let mut sockets = [readable(self.front.as_fd()), readable(self.back.as_fd())];
        let _ = poll(&mut sockets, Some(&wait));
    }

    fn receive(&mut self) {
        let mut datagram = [0; 65_536];
        for _ in 0..256 {
            let (length, is_request) = match self.front.recv_from(&mut datagram) {
                Ok((length, client)) => {
                    self.client = Some(client);
                    (length, true)
                }
                Err(_) => match self.back.recv(&mut datagram) {
                    Ok(length) => (length, false),
                    // Nobody listens: said once, and the next may be there.
                    Err(error) if error.kind() == ErrorKind::ConnectionRefused => continue,
                    Err(_) => return,
                },
            };
            if self.random() % 1_000 < self.road.lost_per_mille {
                self.counts.lost.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let jitter_us = self.road.jitter.as_micros() as u64;
            let more = Duration::from_micros(self.random() % (jitter_us + 1));
            let due = Instant::now() + self.road.delay + more;
            self.number += 1;
            let datagram = datagram[..length].to_vec();
            self.under_way
                .push(Reverse((due, self.number, is_request, datagram)));
        }
    }

    fn deliver(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((due, ..))) = self.under_way.peek()
            && *due <= now
        {
            let Some(Reverse((_, _, is_request, datagram))) = self.under_way.pop() else {
                return;
            };
            // Full buffers lose too.
            let _ = match self.client {
                _ if is_request => self.back.send(&datagram),
                Some(client) => self.front.send_to(&datagram, client),
                None => Ok(0),
            };
        }
    }

    /// The same losses in each run (xorshift).
    fn random(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }
}

#[test]
fn a_rough_road_delivers_what_it_does_not_lose() {
    let echo = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let address = echo.local_addr().expect("it is bound");
    let limit = Some(Duration::from_millis(500));
    echo.set_read_timeout(limit).expect("never zero");
    let echoes = std::thread::spawn(move || {
        let (mut from, mut datagram) = (std::collections::HashSet::new(), [0; 100]);
        while let Ok((length, peer)) = echo.recv_from(&mut datagram) {
            from.insert(peer);
            let _ = echo.send_to(&datagram[..length], peer);
        }
        from.len()
    });
    let road = Road {
        lost_per_mille: 100,
        delay: Duration::from_millis(5),
        jitter: Duration::from_millis(5),
        rebind: Some(Duration::from_millis(50)),
    };
    let relay = RoughRoad::to(address, road);
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    client.connect(relay.address()).expect("it is there");
    client.set_read_timeout(limit).expect("never zero");
    for number in 0..200_u8 {
        client.send(&[number]).expect("a byte fits");
        std::thread::sleep(Duration::from_millis(1));
    }
    let (mut came, mut byte) = (Vec::new(), [0]);
    while let Ok(1) = client.recv(&mut byte) {
        came.push(byte[0]);
    }
    assert!((50..200).contains(&came.len()), "{} came back", came.len());
    assert!(!came.is_sorted(), "some overtake others");
    assert!(relay.lost() > 0 && relay.rebinds() > 2);
    assert!(echoes.join().expect("a thread") > 2, "ports were seen");
}
