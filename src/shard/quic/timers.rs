//! When connections must be looked at though nothing happens: one entry for each, at most.

use std::collections::BTreeSet;
use std::time::Instant;

/// Timers of an endpoint's connections, by their keys.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Instant, usize)>);

impl Timers {
    /// Has the timer of `key` ring at `due`, and no longer at `armed`.
    pub(super) fn arm(&mut self, key: usize, armed: Option<Instant>, due: Instant) {
        self.disarm(key, armed);
        self.0.insert((due, key));
    }

    /// Has the timer of `key` not ring at `armed`.
    pub(super) fn disarm(&mut self, key: usize, armed: Option<Instant>) {
        if let Some(armed) = armed {
            self.0.remove(&(armed, key));
        }
    }

    /// When the next one rings.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(due, _)| *due)
    }

    /// One that rang by `now`.
    pub(super) fn pop(&mut self, now: Instant) -> Option<usize> {
        let (due, _) = self.0.first()?;
        if *due > now {
            return None;
        }
        self.0.pop_first().map(|(_, key)| key)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_timer_that_is_armed_anew_rings_once() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut timers = Timers::default();
        timers.arm(1, None, start + 20 * second);
        timers.arm(2, None, start + 2 * second);
        timers.arm(3, None, start + second);
        for n in (1..20).rev() {
            timers.arm(1, Some(start + (n + 1) * second), start + n * second);
        }
        timers.disarm(3, Some(start + second));
        assert_eq!(timers.0.len(), 2);
        assert_eq!(timers.next(), Some(start + second));
        assert_eq!(timers.pop(start), None);
        assert_eq!(timers.pop(start + second), Some(1));
        assert_eq!(timers.pop(start + second), None);
        assert_eq!(timers.pop(start + 9 * second), Some(2));
        assert_eq!(
            (timers.next(), timers.pop(start + 99 * second)),
            (None, None)
        );
    }
}
