//! Players that were let in a moment ago: a player of HLS asks several times a second, and the
//! guards of its mount are not asked as often.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use corecast_media::time::Time;
use rustc_hash::FxHashMap;

/// How long an answer of the guards holds for the same player.
const PASS_SPAN: Duration = Duration::from_secs(10);

/// The most passes that a shard remembers.
const PASSES_MAX: usize = 50_000;

/// Passes that are over are looked for no more often: a full table is long.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Passes given by one shard. Lives on: its shard.
#[derive(Debug, Default)]
pub(crate) struct Passes {
    /// Nobody outside knows how players are numbered.
    numbers: RandomState,
    until: RefCell<FxHashMap<u64, Time>>,
    swept: Cell<Time>,
}

impl Passes {
    /// The number of a player, from all that it shows.
    pub(crate) fn number(&self, shown: &[&[u8]]) -> u64 {
        self.numbers.hash_one(shown)
    }

    /// Whether the player has a pass.
    pub(crate) fn hold(&self, now: Time, player: u64) -> bool {
        let until = self.until.borrow();
        until.get(&player).is_some_and(|until| now < *until)
    }

    /// Gives the player a pass, for no longer than it may stay.
    pub(crate) fn give(&self, now: Time, player: u64, stay_max: Option<Duration>) {
        let mut passes = self.until.borrow_mut();
        if passes.len() >= PASSES_MAX && now.since(self.swept.get()) >= SWEEP_EVERY {
            self.swept.set(now);
            passes.retain(|_, until| now < *until);
        }
        if passes.len() < PASSES_MAX {
            let span = stay_max.map_or(PASS_SPAN, |stay_max| stay_max.min(PASS_SPAN));
            passes.insert(player, now + span);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_holds_for_its_player_and_a_while() {
        let passes = Passes::default();
        let (one, other) = (passes.number(&[b"a", b"b"]), passes.number(&[b"ab", b""]));
        assert_ne!(one, other);
        passes.give(Time::ZERO, one, None);
        passes.give(Time::ZERO, other, Some(Duration::from_secs(1)));
        assert!(passes.hold(Time::from_millis(9_999), one));
        assert!(!passes.hold(Time::from_millis(10_000), one));
        assert!(!passes.hold(Time::from_millis(1_000), other));
        for player in 0..PASSES_MAX as u64 * 2 {
            passes.give(Time::ZERO, player, None);
        }
        assert!(passes.until.borrow().len() <= PASSES_MAX);
        passes.give(Time::from_millis(10_000), 7, None);
        assert_eq!(
            passes.until.borrow().len(),
            1,
            "those that are over are forgotten"
        );
    }
}
