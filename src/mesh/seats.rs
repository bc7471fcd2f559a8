//! What holds for the whole node: counts with a limit that no shard can keep alone, and how players
//! are numbered, whichever shard they come to.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::lockout::Lockouts;

/// A count with a limit, shared by all planes. Taken when a session starts and given back when it
/// ends, never on the way of a byte.
#[derive(Debug)]
pub struct Seats {
    taken: AtomicU32,
    max: AtomicU32,
}

impl Seats {
    /// No seat taken of `max`.
    pub const fn new(max: u32) -> Self {
        Seats {
            taken: AtomicU32::new(0),
            max: AtomicU32::new(max),
        }
    }

    /// Takes a seat; false where all are taken.
    #[must_use]
    pub fn take(&self) -> bool {
        let max = self.max.load(Ordering::Relaxed);
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                (n < max).then_some(n + 1)
            })
            .is_ok()
    }

    /// Gives a taken seat back.
    pub fn give_back(&self) {
        let before = self.taken.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before > 0, "a seat was given back twice");
    }

    /// Seats taken now.
    pub fn taken(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Changes the limit (reload); those above it stay seated.
    pub fn set_max(&self, max: u32) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// The limit.
    pub fn max(&self) -> u32 {
        self.max.load(Ordering::Relaxed)
    }
}

/// What all shards of one node count or know together.
#[derive(Debug)]
pub struct NodeSeats {
    /// Listeners, bounded by `limits.listeners_max`.
    pub listeners: Seats,
    /// Sources, bounded by `limits.sources_max`.
    pub sources: Seats,
    /// Open connections, bounded by the open-file limit less a reserve.
    pub connections: Seats,
    /// Who failed to log in too often.
    pub lockouts: Lockouts,
    /// How players of HLS are numbered.
    pub players: Players,
}

/// Numbers of players, other ones each time that a node starts: nobody outside can tell who one is.
#[derive(Debug, Default)]
pub struct Players(RandomState);

impl Players {
    /// The number of the player that shows this.
    pub fn number(&self, shown: &[&[u8]]) -> u64 {
        self.0.hash_one(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_end_at_the_limit_and_come_back() {
        let seats = Seats::new(2);
        assert!(seats.take() && seats.take() && !seats.take());
        seats.give_back();
        assert_eq!(
            (seats.taken(), seats.take(), seats.take()),
            (1, true, false)
        );
        seats.set_max(1);
        seats.give_back();
        assert!(!seats.take());
    }
}
