//! Packets out: as many to one send as the kernel takes, and no more than pacing lets go together.

use std::time::{Duration, Instant};

use super::Buffers;
use super::connection::{Connection, Inner};
use super::ways::Ways;
use crate::net::udp::{BATCH_BYTES_MAX, BATCH_PACKETS_MAX, Departure, UdpPort};

/// The most bytes of one packet.
const PACKET_BYTES_MAX: usize = 1_500;

/// How much before its time a packet may be sent: timers are no finer, and late by as much.
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
}

impl Flight {
    pub(crate) fn new() -> Self {
        Flight {
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
        let Inner { quic, ways, .. } = &mut *inner;
        self.probe(quic, ways, port);
        // Bytes of a packet at the front that did not fit to the batch before it.
        let mut begun: Option<(Departure, usize)> = None;
        for _ in 0..batches {
            let now = Instant::now();
            if begun.is_none()
                && let Some(release) = release_of(quic, now + EARLY)
            {
                return Outcome::Later(release - EARLY);
            }
            let Some(batch) = self.fill(quic, ways, begun.take(), now) else {
                return Outcome::Done;
            };
            if !self.depart(port, ways, batch.departure, batch.length) {
                // The odd packet behind it is as good as lost on the way.
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
        if let Some((departure, length)) = begun
            && !self.depart(port, ways, departure, length)
        {
            return Outcome::Blocked;
        }
        Outcome::More
    }

    /// Sends the first `length` bytes, to where the client is that quiche knows by another address;
    /// or keeps them for [`Self::retry`].
    fn depart(
        &mut self,
        port: &UdpPort,
        ways: &Ways,
        mut departure: Departure,
        length: usize,
    ) -> bool {
        departure.to = ways.shown(departure.to);
        let packets = self.buffer.get(..length).unwrap_or_default();
        let sent = port.send(departure, packets);
        if !sent {
            self.stuck = Some((departure, length));
        }
        sent
    }

    /// Sends probes of ways ([`Ways`] says why). Where the socket has no room they are as good as
    /// lost on the way.
    fn probe(&mut self, quic: &mut Quic, ways: &mut Ways, port: &UdpPort) {
        for (of, (ours, theirs)) in ways.take_probes() {
            let room = self.buffer.get_mut(..PACKET_BYTES_MAX).unwrap_or_default();
            if let Ok((n, _)) = quic.send_on_path(room, Some(of.0), Some(of.1)) {
                let departure = Departure {
                    from: ours,
                    to: ways.shown(theirs),
                    stride: n,
                };
                port.send(departure, self.buffer.get(..n).unwrap_or_default());
            }
        }
    }

    /// Makes packets until one is shorter than the first, goes elsewhere, or is longer: that one
    /// begins the next batch. What is not due for a while is left for later.
    pub(super) fn fill(
        &mut self,
        quic: &mut Quic,
        ways: &mut Ways,
        begun: Option<(Departure, usize)>,
        now: Instant,
    ) -> Option<Batch> {
        let (mut departure, mut length) = match begun {
            Some((departure, length)) => (Some(departure), length),
            None => (None, 0),
        };
        let together_until = now + quic.max_release_into_future();
        let is_bounded = ways.is_bounded(quic);
        let mut packets = usize::from(departure.is_some());
        let mut is_late = departure.is_some() && release_of(quic, together_until).is_some();
        loop {
            if let Some(departure) = departure
                && (packets >= BATCH_PACKETS_MAX
                    || length + departure.stride > BATCH_BYTES_MAX
                    || is_late)
            {
                return Some(Batch::new(departure, length, true));
            }
            let mut room = self.buffer.get_mut(length..).unwrap_or_default();
            let allowance = is_bounded.then(|| ways.allowance(quic)).flatten();
            if let Some(allowed) = allowance {
                let allowed = room
                    .len()
                    .min(usize::try_from(allowed).unwrap_or(usize::MAX));
                room = room.get_mut(..allowed).unwrap_or_default();
            }
            let Ok((n, info)) = quic.send(room) else {
                return departure.map(|departure| Batch::new(departure, length, false));
            };
            if allowance.is_some() {
                ways.end_question();
            }
            // When the next one may go, or the time now where that is later.
            is_late = info.at > together_until && release_of(quic, together_until).is_some();
            let this = Departure {
                from: info.from,
                to: info.to,
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

    /// The packets of a batch.
    #[cfg(test)]
    pub(super) fn packets_of(&self, batch: &Batch) -> impl Iterator<Item = &[u8]> {
        let packets = self.buffer.get(..batch.length).unwrap_or_default();
        packets.chunks(batch.departure.stride)
    }
}

type Quic = quiche::Connection<Buffers>;

/// One send.
pub(super) struct Batch {
    /// With the client's address as quiche knows it.
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

/// When `quic` may send again, where that is after `soon`.
fn release_of(quic: &Quic, soon: Instant) -> Option<Instant> {
    quic.get_next_release_time()?.time(soon)
}
