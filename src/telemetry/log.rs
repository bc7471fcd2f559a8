//! Levels, field names, and a bound on what is said about one peer.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// How loud a line is, and what that means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Data was lost, or a person must act.
    Error,
    /// Unexpected, and we went on.
    Warn,
    /// Life of the server, of a source or a relay.
    Info,
    /// Life of one session.
    Debug,
    /// One message; never one frame.
    Trace,
}

impl Level {
    /// Every level, the quietest first.
    pub const ALL: [Level; 5] = [
        Level::Error,
        Level::Warn,
        Level::Info,
        Level::Debug,
        Level::Trace,
    ];

    /// Its name in the configuration (`log.level`).
    pub const fn word(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }

    /// The level called `word`.
    pub fn from_word(word: &str) -> Option<Self> {
        Level::ALL.into_iter().find(|level| level.word() == word)
    }
}

/// Names of fields; one idea has the same name on every line.
pub mod field {
    /// The session that the line is about.
    pub const SESSION: &str = "session";
    /// The shard that says it.
    pub const SHARD: &str = "shard";
    /// The mount that the line is about.
    pub const MOUNT: &str = "mount";
    /// Address and port of the other side.
    pub const PEER: &str = "peer";
    /// Why something ended or was refused.
    pub const REASON: &str = "reason";
    /// An error's own text.
    pub const ERROR: &str = "error";
    /// How many lines about the same peer were left out before this one.
    pub const SUPPRESSED: &str = "suppressed";
}

/// Whether a line about a peer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Write it.
    Say,
    /// Write it, and that so many before it were not.
    SayWithSuppressed(u64),
    /// Leave it out.
    Hush,
}

/// What a [`Limiter`] lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Lines about one peer in one window.
    pub lines_max: u32,
    /// The length of a window in milliseconds.
    pub window_ms: u64,
    /// Peers that are told apart; what is beyond shares one allowance.
    pub peers_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            lines_max: 10,
            window_ms: 10_000,
            peers_max: 4_096,
        }
    }
}

/// Limits how much is logged about one peer: an IPv4 address, or an IPv6 /64.
///
/// Memory is bounded by [`Limits::peers_max`]. With more peers than that in one window, the new
/// ones share the allowance of one, so that a flood from many addresses is limited too.
#[derive(Debug)]
pub struct Limiter {
    limits: Limits,
    peers: HashMap<IpAddr, Allowance>,
    others: Allowance,
    swept_ms: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Allowance {
    window_start_ms: u64,
    said: u32,
    suppressed: u64,
}

impl Limiter {
    /// A limiter that has heard of nobody.
    pub fn new(limits: Limits) -> Self {
        let fresh = Allowance::default();
        Limiter {
            limits,
            peers: HashMap::new(),
            others: fresh,
            swept_ms: 0,
        }
    }

    /// Whether a line about `peer` is written at `now_ms`, a clock that does not go back.
    pub fn allow(&mut self, now_ms: u64, peer: IpAddr) -> Verdict {
        let peer = network(peer);
        if !self.peers.contains_key(&peer) && self.peers.len() >= self.limits.peers_max {
            self.sweep(now_ms);
        }
        let limits = self.limits;
        let room = self.peers.len() < limits.peers_max;
        let allowance = match self.peers.get_mut(&peer) {
            Some(known) => known,
            None if room => self.peers.entry(peer).or_default(),
            None => &mut self.others,
        };
        allowance.take(now_ms, limits)
    }

    /// Forgets peers whose window is over; at most once in a window, since it walks them all.
    fn sweep(&mut self, now_ms: u64) {
        let window_ms = self.limits.window_ms;
        if now_ms.saturating_sub(self.swept_ms) >= window_ms {
            self.swept_ms = now_ms;
            self.peers
                .retain(|_, known| now_ms.saturating_sub(known.window_start_ms) < window_ms);
        }
    }
}

impl Allowance {
    fn take(&mut self, now_ms: u64, limits: Limits) -> Verdict {
        let over = now_ms.saturating_sub(self.window_start_ms) >= limits.window_ms;
        if over || self.said == 0 {
            self.window_start_ms = now_ms;
            self.said = 0;
        }
        if self.said >= limits.lines_max {
            self.suppressed = self.suppressed.saturating_add(1);
            return Verdict::Hush;
        }
        self.said += 1;
        match std::mem::take(&mut self.suppressed) {
            0 => Verdict::Say,
            suppressed => Verdict::SayWithSuppressed(suppressed),
        }
    }
}

/// The network that is one peer: whoever has one IPv6 address mostly has a /64 of them.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}
