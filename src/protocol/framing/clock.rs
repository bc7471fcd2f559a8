//! Samples to microseconds without drift.

/// Gives every frame whole microseconds, and carries what rounding left over into the next.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SampleClock {
    remainder: u64,
}

impl SampleClock {
    /// The playing time of the next `samples` at `rate_hz`, in microseconds; zero for no rate.
    pub(crate) fn advance(&mut self, samples: u32, rate_hz: u32) -> u32 {
        if rate_hz == 0 {
            return 0;
        }
        let rate = u64::from(rate_hz);
        let scaled = u64::from(samples) * 1_000_000 + self.remainder % rate;
        self.remainder = scaled % rate;
        u32::try_from(scaled / rate).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_frames_is_a_second() {
        for (samples, rate, frames, expected) in [
            (1_152, 44_100, 1_225, 32_000_000_u64),
            (1_024, 48_000, 375, 8_000_000),
        ] {
            let mut clock = SampleClock::default();
            let sum: u64 = (0..frames)
                .map(|_| u64::from(clock.advance(samples, rate)))
                .sum();
            assert_eq!(sum, expected, "{samples} at {rate}");
        }
        assert_eq!(SampleClock::default().advance(1, 0), 0);
    }
}
