//! Where a client is: the ways (paths, RFC 9000 section 9) of one connection.
//!
//! A NAT that forgot gives its client another port. quiche would take that for a move, and give up
//! what was under way; so it does not hear of it: it knows the port from before, and loses some
//! packets at most.
//!
//! A client at another address did move. quiche has it prove that it is there, and goes there with
//! a congestion control of its own. But what was under way to where the client was, quiche 0.30
//! takes for lost only when something later *of the same way* is acknowledged, and it sends nothing
//! there any more: it would never be sent again, and the client wait for ever. So a way that was
//! left gets a probe, which we send to where the client is now. Once that is acknowledged, quiche
//! knows what of the old way was lost, and sends it on the new one.

use std::mem;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use quiche::{PathEvent, PathStats};

use super::Buffers;

/// Addresses of a client that are remembered beside the one where it is.
const ELSEWHERE_MAX: usize = 16;

/// How long a way that was left is looked after.
const LEFT_TIME_MAX: Duration = Duration::from_secs(30);

/// What goes at once to an address that is not proven, at least: a challenge fits.
const UNPROVEN_BYTES_MIN: u64 = 64;

/// How many times what came from an unproven address may go to it.
const AMPLIFICATION_MAX: u64 = 3;

type Quic = quiche::Connection<Buffers>;

/// Ours and the peer's address, as quiche knows them.
pub(super) type Way = (SocketAddr, SocketAddr);

/// An address of a client.
#[derive(Clone, Copy, Debug)]
struct Address {
    /// As quiche knows it.
    known: SocketAddr,
    /// As it is.
    shown: SocketAddr,
}

/// The ways of one connection.
#[derive(Debug)]
pub(super) struct Ways {
    /// Where the client was heard last.
    here: Address,
    /// Where it was before, the newest last.
    elsewhere: Vec<Address>,
    /// The way to which the client moved.
    moved_to: Option<Way>,
    /// Ways that were left, maybe with something under way.
    left: Vec<Way>,
    left_until: Option<Instant>,
    /// Those may need a probe now.
    probes: bool,
    /// There may be a way that is used and not proven.
    unproven: bool,
    /// There may be a way whose proof did not come in time.
    failed: bool,
}

impl Ways {
    pub(super) fn new(peer: SocketAddr) -> Self {
        Ways {
            here: Address {
                known: peer,
                shown: peer,
            },
            elsewhere: Vec::new(),
            moved_to: None,
            left: Vec::new(),
            left_until: None,
            probes: false,
            unproven: false,
            failed: false,
        }
    }

    /// What quiche is told of a packet that came from `from`.
    pub(super) fn known(&self, from: SocketAddr) -> SocketAddr {
        let mut all = [self.here]
            .into_iter()
            .chain(self.elsewhere.iter().copied());
        let same_host = all.find(|address| address.known.ip() == from.ip());
        same_host.map_or(from, |address| address.known)
    }

    /// Where a packet of quiche for `known` is to go.
    pub(super) fn shown(&self, known: SocketAddr) -> SocketAddr {
        if known == self.here.known {
            return self.here.shown;
        }
        let elsewhere = self.elsewhere.iter().find(|a| a.known == known);
        elsewhere.map_or(known, |address| address.shown)
    }

    /// Whether the client was heard from `from` last.
    pub(super) fn is_here(&self, from: SocketAddr) -> bool {
        self.here.shown == from
    }

    /// A packet that only the client can have sent came from `from`.
    pub(super) fn hear(&mut self, from: SocketAddr) {
        let known = self.known(from);
        let before = mem::replace(&mut self.here, Address { known, shown: from });
        if before.known != known {
            self.elsewhere.retain(|address| address.known != known);
            self.elsewhere.push(before);
            if self.elsewhere.len() > ELSEWHERE_MAX {
                self.elsewhere.remove(0);
            }
        }
    }

    /// Looks at what quiche has to say of its ways.
    pub(super) fn look(&mut self, quic: &mut Quic) {
        while let Some(event) = quic.path_event_next() {
            match event {
                PathEvent::New(..) => self.unproven = true,
                PathEvent::Validated(..) => self.unproven = false,
                PathEvent::PeerMigrated(ours, theirs) => self.move_to(quic, (ours, theirs)),
                PathEvent::FailedValidation(ours, theirs) => {
                    self.failed = true;
                    if theirs == self.here.known {
                        try_again(quic, (ours, theirs));
                    }
                }
                _ => {}
            }
        }
    }

    fn move_to(&mut self, quic: &mut Quic, way: Way) {
        let others = quic.path_stats().filter(|other| !other.active);
        self.left = others.map(|other| way_of(&other)).collect();
        for (ours, theirs) in &self.left {
            // It is there: quiche has just named it.
            let _ = quic.send_ack_eliciting_on_path(*ours, *theirs);
        }
        self.moved_to = Some(way);
        self.left_until = Some(Instant::now() + LEFT_TIME_MAX);
        self.probes = true;
    }

    /// A timer of the connection rang: a way that was left may have given up on something.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        match self.left_until {
            Some(until) if now < until => self.probes = true,
            Some(_) => {
                self.left.clear();
                self.left_until = None;
            }
            None => {}
        }
    }

    /// The ways that may need a probe now, and the one that it is to be sent on.
    pub(super) fn take_probes(&mut self) -> Option<(Way, &[Way])> {
        let due = mem::take(&mut self.probes) && !self.left.is_empty();
        let to = self.moved_to.filter(|_| due)?;
        Some((to, &self.left))
    }

    /// How much may go in one packet, where there is a limit (RFC 9000 section 8): a client gets
    /// no more than three times what came from an address that it has not proven. quiche keeps to
    /// that too, but for the last probe of a handshake; and at a new address the first packet
    /// would use up all of it, and nothing be left for another challenge.
    pub(super) fn allowance(&self, quic: &Quic) -> Option<u64> {
        if quic.is_established() && !self.unproven {
            return None;
        }
        let used = quic.path_stats().find(|way| way.active)?;
        let allowed = used.recv_bytes.saturating_mul(AMPLIFICATION_MAX);
        let left = allowed.saturating_sub(used.sent_bytes);
        if !quic.is_established() {
            return Some(left);
        }
        let is_open = is_in(&used, "Unknown") || is_in(&used, "Validating");
        is_open.then(|| left.min(UNPROVEN_BYTES_MIN.max(left / 2)))
    }

    /// Whether a packet would end the connection: the way in use was not proven in time, and
    /// quiche has to send another challenge before it takes more.
    pub(super) fn is_stuck(&self, quic: &Quic) -> bool {
        self.failed
            && quic
                .path_stats()
                .any(|way| way.active && is_in(&way, "Failed"))
    }
}

fn way_of(stats: &PathStats) -> Way {
    (stats.local_addr, stats.peer_addr)
}

/// Whether a way is in a state, whose type quiche does not show.
fn is_in(way: &PathStats, state: &str) -> bool {
    format!("{:?}", way.validation_state) == state
}

/// Challenges a client once more: it was heard there last, and may have nothing to say by itself.
fn try_again(quic: &mut Quic, way: Way) {
    let found = quic.path_stats().find(|stats| way_of(stats) == way);
    let may_send = found.is_some_and(|stats| {
        let allowed = stats.recv_bytes.saturating_mul(AMPLIFICATION_MAX);
        // More than that was sent only where the address is proven, and the size of packets not.
        match allowed.checked_sub(stats.sent_bytes) {
            Some(left) => left >= UNPROVEN_BYTES_MIN,
            None => true,
        }
    });
    if may_send {
        let _ = quic.probe_path(way.0, way.1);
    }
}
