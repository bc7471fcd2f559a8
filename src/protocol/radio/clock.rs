//! Samples to points on the media's clock.

use corecast_media::track::MediaTime;

/// Counts samples from where their rate last changed, so that rounding never adds up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    /// Where the rate last changed.
    from: MediaTime,
    rate_hz: u32,
    samples: i64,
}

impl Clock {
    /// The samples from here on are so many a second.
    pub(super) fn set_rate(&mut self, rate_hz: u32) {
        if rate_hz != self.rate_hz {
            *self = Clock {
                from: self.now(),
                rate_hz,
                samples: 0,
            };
        }
    }

    pub(super) fn advance(&mut self, samples: u32) {
        self.samples = self.samples.saturating_add(i64::from(samples));
    }

    /// The time of the next sample.
    pub(super) fn now(&self) -> MediaTime {
        let passed = MediaTime::from_ticks(self.samples, self.rate_hz.max(1));
        self.from.plus(passed.as_nanos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_frames_is_a_day() {
        let mut clock = Clock::default();
        clock.set_rate(44_100);
        for _ in 0..(86_400_u64 * 44_100 / 1_152) {
            clock.advance(1_152);
        }
        assert_eq!(clock.now(), MediaTime::from_millis(86_400_000));
        clock.set_rate(48_000);
        clock.advance(48_000);
        assert_eq!(clock.now(), MediaTime::from_millis(86_401_000));
    }
}
