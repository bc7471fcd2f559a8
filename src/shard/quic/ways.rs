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
//!
//! quiche 0.30 asks for a proof again only where nothing at all is acknowledged for a while: where
//! some of what goes there is lost, and some is not, a proof that was lost would never be asked
//! for again, and the client get three times what it acknowledges, and no more. And any timer that
//! rings makes it forget proofs that it waits for; after three of them it goes back to a way where
//! the client is not, which would wait for ever. So we ask on, as seldom as a handshake would or
//! when the client speaks, until quiche uses the way where the client was heard last. Before its
//! address is proven nothing but questions go there: data would use up what may.

use std::mem;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use quiche::{PathEvent, PathStats};

use super::Buffers;

/// Addresses of a client that are remembered beside the one where it is.
const ELSEWHERE_MAX: usize = 16;

/// How long a way that was left is looked after.
const LEFT_TIME_MAX: Duration = Duration::from_secs(30);

/// The time from one question to the next doubles as often as this, and then stays. They end with
/// the connection at the latest, which ends by itself when nothing comes.
const DOUBLED_MAX: u32 = 5;

/// How often who comes on a way that was given up is asked for a proof, at most.
const REOPEN_EACH: Duration = Duration::from_millis(100);

/// The least time from one question to the next, where the client speaks between them.
const PAUSE_MIN: Duration = Duration::from_millis(25);

/// How long a client may wait before it acknowledges (RFC 9000 section 18.2).
const ACK_DELAY_MAX: Duration = Duration::from_millis(25);

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
    /// The way where the client was heard last may not be proven, or not be used.
    open: bool,
    /// How often the client was asked whether it is there, as far as that matters, and when it is
    /// asked again.
    asked: u32,
    ask_at: Option<Instant>,
    /// When it was asked last, and whether it said anything since.
    asked_at: Option<Instant>,
    spoke: bool,
    /// It answered from there at least once.
    reached: bool,
    /// The last question went out: while the address is not proven, nothing follows it, so that
    /// something is left for the next one.
    mute: bool,
    /// The way there is to get a probe now: it is proven, and not used.
    call: Option<Way>,
    /// When a way that was given up was last asked for a proof because something came there.
    reopened: Option<Instant>,
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
            open: false,
            asked: 0,
            ask_at: None,
            asked_at: None,
            spoke: false,
            reached: false,
            mute: false,
            call: None,
            reopened: None,
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

    /// Whether there is nothing new in that the client is heard from `from`.
    pub(super) fn is_here(&self, from: SocketAddr) -> bool {
        self.here.shown == from && !self.open
    }

    /// A packet that only the client can have sent came from `from`.
    pub(super) fn hear(&mut self, from: SocketAddr) {
        let known = self.known(from);
        self.spoke = true;
        let before = mem::replace(&mut self.here, Address { known, shown: from });
        if before.known != known {
            self.elsewhere.retain(|address| address.known != known);
            self.elsewhere.push(before);
            if self.elsewhere.len() > ELSEWHERE_MAX {
                self.elsewhere.remove(0);
            }
            (self.open, self.asked, self.ask_at) = (true, 0, None);
            (self.reached, self.mute, self.asked_at) = (false, false, None);
        }
    }

    /// Looks at what quiche has to say of its ways.
    pub(super) fn look(&mut self, quic: &mut Quic, now: Instant) {
        while let Some(event) = quic.path_event_next() {
            match event {
                PathEvent::PeerMigrated(ours, theirs) => self.move_to(quic, (ours, theirs), now),
                PathEvent::New(..) | PathEvent::FailedValidation(..) => self.open = true,
                _ => {}
            }
        }
        if self.open {
            self.ask(quic, now);
        }
    }

    /// Asks the client whether it is where it was heard last: when that is due, or it said
    /// something else meanwhile.
    fn ask(&mut self, quic: &mut Quic, now: Instant) {
        let all = quic.path_stats();
        let there = all.filter(|way| way.peer_addr == self.here.known);
        let Some(way) = there.max_by_key(|way| way.active) else {
            self.ask_at = None;
            return;
        };
        let proven = is_in(&way, "Validated");
        self.reached |= proven || is_in(&way, "ValidatingMTU");
        if way.active && proven {
            (self.open, self.asked, self.ask_at) = (false, 0, None);
            return;
        }
        let Some(due) = self.ask_at else {
            // The first question is quiche's own.
            return self.see_asked(&way, now);
        };
        let pause = self.asked_at.map_or(now, |last| last + PAUSE_MIN);
        let is_due = due <= now || (self.spoke && pause <= now);
        if !is_due {
            return;
        }
        if self.reached || may_ask(&way) {
            self.mute = false;
            let (ours, theirs) = way_of(&way);
            if proven {
                let _ = quic.send_ack_eliciting_on_path(ours, theirs);
                self.call = Some((ours, theirs));
            } else {
                let _ = quic.probe_path(ours, theirs);
            }
        }
        self.see_asked(&way, now);
    }

    fn see_asked(&mut self, way: &PathStats, now: Instant) {
        self.ask_at = Some(now + (1 << self.asked) * patience(way));
        self.asked = DOUBLED_MAX.min(self.asked + 1);
        (self.asked_at, self.spoke) = (Some(now), false);
    }

    /// When a client is to be asked again where it is.
    pub(super) fn due(&self) -> Option<Instant> {
        self.ask_at
    }

    fn move_to(&mut self, quic: &mut Quic, way: Way, now: Instant) {
        let others = quic.path_stats().filter(|other| !other.active);
        self.left = others.map(|other| way_of(&other)).collect();
        for (ours, theirs) in &self.left {
            // It is there: quiche has just named it.
            let _ = quic.send_ack_eliciting_on_path(*ours, *theirs);
        }
        self.moved_to = Some(way);
        self.left_until = Some(now + LEFT_TIME_MAX);
        self.probes = true;
        self.open = true;
    }

    /// A timer of the connection rang: a way that was left may have given up on something, and the
    /// one that is used on its proof.
    pub(super) fn handle_timeout(&mut self, quic: &mut Quic, now: Instant) {
        match self.left_until {
            Some(until) if now < until => self.probes = true,
            Some(_) => {
                self.left.clear();
                self.left_until = None;
            }
            None => {}
        }
        self.look(quic, now);
    }

    /// The ways that may need a probe now, each with the one that it is to be sent on.
    pub(super) fn take_probes(&mut self) -> Vec<(Way, Way)> {
        let left = if mem::take(&mut self.probes) {
            self.left.as_slice()
        } else {
            &[]
        };
        let (to, here) = (self.moved_to, self.here.known);
        // Where the client was heard last it gets questions, and nowhere else.
        let left = left.iter().filter(|way| way.1 != here);
        let left = left.filter_map(|way| Some((*way, to?)));
        left.chain(self.call.take().map(|way| (way, way))).collect()
    }

    /// Whether there may be an [`Self::allowance`]; making packets never brings one about.
    pub(super) fn is_bounded(&self, quic: &Quic) -> bool {
        self.open || !quic.is_established()
    }

    /// How much may go in one packet, where there is a limit (RFC 9000 section 8): a client gets
    /// no more than three times what came from an address that it has not proven. quiche keeps to
    /// that too, but for the last probe of a handshake; and at a new address it would use up all of
    /// it for data, and nothing be left for another challenge.
    pub(super) fn allowance(&self, quic: &Quic) -> Option<u64> {
        if !self.is_bounded(quic) {
            return None;
        }
        let used = quic.path_stats().find(|way| way.active)?;
        let allowed = used.recv_bytes.saturating_mul(AMPLIFICATION_MAX);
        let left = allowed.saturating_sub(used.sent_bytes);
        if !quic.is_established() {
            return Some(left);
        }
        let most = match self.mute {
            true => 0,
            false => left.min(UNPROVEN_BYTES_MIN.max(left / 2)),
        };
        let is_unproven = is_in(&used, "Unknown") || is_in(&used, "Validating");
        is_unproven.then_some(most)
    }

    /// A packet went out to which [`Self::allowance`] set a limit.
    pub(super) fn end_question(&mut self) {
        self.mute = self.open;
    }

    /// Whether quiche has given up a way. A packet there would make it the way in use and leave the
    /// other one in use too, and no packet be taken until the next challenge is out.
    pub(super) fn is_given_up(&self, quic: &Quic, way: Way) -> bool {
        let is_it = |stats: &PathStats| way_of(stats) == way && is_in(stats, "Failed");
        self.open && quic.path_stats().any(|stats| is_it(&stats))
    }

    /// Something came on a way that was given up: who is there may prove it once more.
    pub(super) fn reopen(&mut self, quic: &mut Quic, way: Way, now: Instant) {
        if self.reopened.is_none_or(|last| now >= last + REOPEN_EACH) {
            self.reopened = Some(now);
            self.mute = false;
            let _ = quic.probe_path(way.0, way.1);
        }
    }
}

fn way_of(stats: &PathStats) -> Way {
    (stats.local_addr, stats.peer_addr)
}

/// Whether a way is in a state, whose type quiche does not show.
fn is_in(way: &PathStats, state: &str) -> bool {
    format!("{:?}", way.validation_state) == state
}

/// How long to wait for an answer: what a handshake would wait on such a way (RFC 9002 section
/// 6.2.1).
fn patience(way: &PathStats) -> Duration {
    way.rtt + way.rttvar.saturating_mul(4) + ACK_DELAY_MAX
}

/// Whether what came from an address allows a challenge to go there.
fn may_ask(way: &PathStats) -> bool {
    let allowed = way.recv_bytes.saturating_mul(AMPLIFICATION_MAX);
    allowed.saturating_sub(way.sent_bytes) >= UNPROVEN_BYTES_MIN
}
