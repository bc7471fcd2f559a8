//! In which order a relay tries its URLs, and how long it waits between two tries.

use std::time::Duration;

/// A stream that lasted so long was a good one: after it everything begins anew.
const STEADY: Duration = Duration::from_secs(10);

/// The order and the waits; pure.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    urls: usize,
    next: usize,
    wait: Duration,
    wait_min: Duration,
    wait_max: Duration,
    dice: u64,
}

impl Turns {
    /// Begins with the first of `urls`; `seed` should be another for each relay of each node, so
    /// that they do not all come back to an origin at once.
    pub(crate) fn new(urls: usize, wait_min: Duration, wait_max: Duration, seed: u64) -> Self {
        Turns {
            urls,
            next: 0,
            wait: wait_min,
            wait_min,
            wait_max,
            dice: seed,
        }
    }

    /// The URL to try now.
    pub(crate) fn next(&self) -> usize {
        self.next
    }

    /// The try failed: how long to wait until the next one. Within a round there is no wait.
    pub(crate) fn fail(&mut self) -> Duration {
        self.next += 1;
        if self.next < self.urls {
            return Duration::ZERO;
        }
        self.next = 0;
        let wait = self.wait;
        self.wait = wait.saturating_mul(2).min(self.wait_max);
        self.shortened(wait)
    }

    /// The stream is lost after it lasted for `lasted`: how long to wait until the next try.
    pub(crate) fn lose(&mut self, lasted: Duration) -> Duration {
        if lasted < STEADY {
            return self.fail();
        }
        self.reset();
        self.shortened(self.wait_min)
    }

    /// Begins anew.
    pub(crate) fn reset(&mut self) {
        self.next = 0;
        self.wait = self.wait_min;
    }

    /// `wait` less a random part of up to a half.
    fn shortened(&mut self, wait: Duration) -> Duration {
        // SplitMix64.
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut roll = self.dice;
        roll = (roll ^ (roll >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        roll = (roll ^ (roll >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let part = ((roll ^ (roll >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
        wait.mul_f64(1.0 - part / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_secs(1);
    const MAX: Duration = Duration::from_secs(5);

    #[test]
    fn a_round_has_no_waits_and_each_round_waits_longer() {
        for seed in 0..100 {
            let mut turns = Turns::new(2, MIN, MAX, seed);
            for most in [1, 2, 4, 5, 5] {
                assert_eq!((turns.next(), turns.fail()), (0, Duration::ZERO));
                assert_eq!(turns.next(), 1);
                let (wait, most) = (turns.fail(), Duration::from_secs(most));
                assert!(wait <= most && wait >= most / 2, "{wait:?} of {most:?}");
            }
        }
    }

    #[test]
    fn a_steady_stream_begins_anew_and_a_short_one_does_not() {
        let mut turns = Turns::new(3, MIN, MAX, 7);
        for _ in 0..7 {
            turns.fail();
        }
        assert_eq!(turns.lose(STEADY / 2), Duration::ZERO);
        assert_eq!(turns.next(), 2);
        assert!(turns.lose(STEADY) <= MIN);
        assert_eq!(turns.next(), 0);
    }

    #[test]
    fn relays_do_not_wait_alike() {
        let waits = (0..50).map(|seed| Turns::new(1, MIN, MAX, seed).fail());
        let waits: std::collections::BTreeSet<Duration> = waits.collect();
        assert!(waits.len() > 45, "{} different waits", waits.len());
    }
}
