//! Packets out: as many to one send as the kernel takes.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::Buffers;
use super::connection::Connection;
use crate::net::udp::{BATCH_BYTES_MAX, BATCH_PACKETS_MAX, Departure, UdpPort};

/// The most bytes of one packet.
const PACKET_BYTES_MAX: usize = 1_500;

/// How many times what came from an unproven address may go to it.
const AMPLIFICATION_MAX: u64 = 3;

/// How much before its time a packet may be sent: timers are no finer.
const EARLY: Duration = Duration::from_millis(1);

/// What became of a connection's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It has no more to send now.
    Done,
    /// It has more to send at this time.
    Later(Instant),
    /// It has more, and others come first.
    More,
    /// The socket has no room.
    Blocked,
}

/// The one buffer that packets are made in, and the batch in it that the socket had no room for.
/// Lives on: its endpoint's task.
pub(crate) struct Flight {
    buffer: Box<[u8]>,
    /// Bytes at the front that are to be sent first.
    stuck: Option<(Departure, usize)>,
    /// An address as quiche knows it, and as it is ([`Connection::take`]).
    route: (SocketAddr, SocketAddr),
}

impl Flight {
    pub(crate) fn new() -> Self {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Flight {
            route: (nowhere, nowhere),
            buffer: vec![0; BATCH_BYTES_MAX + PACKET_BYTES_MAX].into(),
            stuck: None,
        }
    }

    /// Sends what the socket had no room for before. False where it still has none.
    pub(crate) fn retry(&mut self, port: &UdpPort) -> bool {
        if let Some((departure, length)) = self.stuck {
            let packets = self.buffer.get(..length).unwrap_or_default();
            if !port.send(departure, packets) {
                return false;
            }
            self.stuck = None;
        }
        true
    }

    /// Sends what `connection` has to send, `batches` sends at most.
    pub(crate) fn send(
        &mut self,
        connection: &Connection,
        port: &UdpPort,
        batches: usize,
    ) -> Outcome {
        let Ok(mut inner) = connection.inner.try_borrow_mut() else {
            // It panicked in the middle of something.
            return Outcome::Done;
        };
        let quic = &mut inner.quic;
        self.route = connection.route.get();
        // Bytes of a packet at the front that did not fit to the batch before it.
        let mut begun: Option<(Departure, usize)> = None;
        for _ in 0..batches {
            if begun.is_none()
                && let Some(release) = release_of(quic)
            {
                return Outcome::Later(release);
            }
            let Some(batch) = self.fill(quic, begun.take()) else {
                return Outcome::Done;
            };
            let packets = self.buffer.get(..batch.length).unwrap_or_default();
            if !port.send(batch.departure, packets) {
                // The odd packet behind it is as good as lost on the way.
                self.stuck = Some((batch.departure, batch.length));
                return Outcome::Blocked;
            }
            match batch.next {
                Some((departure, length)) => {
                    let odd = batch.length..batch.length.saturating_add(length);
                    self.buffer.copy_within(odd, 0);
                    begun = Some((departure, length));
                }
                None if batch.whole => {}
                None => return Outcome::Done,
            }
        }
        if let Some((departure, length)) = begun {
            let packets = self.buffer.get(..length).unwrap_or_default();
            if !port.send(departure, packets) {
                self.stuck = Some((departure, length));
                return Outcome::Blocked;
            }
        }
        Outcome::More
    }

    /// Makes packets until one is shorter than the first, goes elsewhere, or is longer: that one
    /// begins the next batch.
    fn fill(
        &mut self,
        quic: &mut quiche::Connection<Buffers>,
        begun: Option<(Departure, usize)>,
    ) -> Option<Batch> {
        let (mut departure, mut length) = match begun {
            Some((departure, length)) => (Some(departure), length),
            None => (None, 0),
        };
        let (known, now) = self.route;
        let mut packets = usize::from(departure.is_some());
        loop {
            let stride = departure.map_or(0, |departure| departure.stride);
            let full = packets >= BATCH_PACKETS_MAX || length + stride > BATCH_BYTES_MAX;
            if let Some(departure) = departure.filter(|_| full) {
                return Some(Batch::new(departure, length, true));
            }
            let room = self.buffer.get_mut(length..).unwrap_or_default();
            let room = match allowance(quic) {
                Some(allowed) => room.get_mut(..allowed).unwrap_or_default(),
                None => room,
            };
            let Ok((n, info)) = quic.send(room) else {
                return departure.map(|departure| Batch::new(departure, length, false));
            };
            let this = Departure {
                from: info.from,
                to: if info.to == known { now } else { info.to },
                stride: n,
            };
            let Some(first) = departure else {
                (departure, length, packets) = (Some(this), n, 1);
                continue;
            };
            if n > first.stride || (this.from, this.to) != (first.from, first.to) {
                let mut batch = Batch::new(first, length, true);
                batch.next = Some((this, n));
                return Some(batch);
            }
            length += n;
            packets += 1;
            if n < first.stride {
                return Some(Batch::new(first, length, true));
            }
        }
    }
}

/// Bytes that may go to a client whose address is not proven: three times what it has sent (RFC
/// 9000 section 8.1). The machine keeps to that too, but for its last probe.
fn allowance(quic: &quiche::Connection<Buffers>) -> Option<usize> {
    if quic.is_established() {
        return None;
    }
    let path = quic.path_stats().next()?;
    let allowed = path.recv_bytes.saturating_mul(AMPLIFICATION_MAX);
    let left = allowed.saturating_sub(path.sent_bytes);
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    (left < PACKET_BYTES_MAX).then_some(left)
}

/// One send.
struct Batch {
    departure: Departure,
    length: usize,
    /// A packet behind it that did not fit to it.
    next: Option<(Departure, usize)>,
    /// There may be more.
    whole: bool,
}

impl Batch {
    fn new(departure: Departure, length: usize, whole: bool) -> Self {
        Batch {
            departure,
            length,
            next: None,
            whole,
        }
    }
}

/// When `quic` may send again, where that is not now.
fn release_of(quic: &quiche::Connection<Buffers>) -> Option<Instant> {
    let now = Instant::now();
    let release = quic.get_next_release_time()?.time(now)?;
    (release > now + EARLY).then_some(release)
}
