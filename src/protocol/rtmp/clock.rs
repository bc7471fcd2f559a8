//! A peer's timestamps without their wraps.

/// How near to a wrap timestamps are on both its sides, in milliseconds.
const NEAR_MS: u32 = 10_000;

/// Bits at which timestamps wrap that should not: encoders that write no extended timestamps, and
/// those that keep FLV's timestamps positive.
const ODD_WRAPS: [u32; 2] = [24, 31];

/// Unwraps the timestamps of one message stream, whose messages are in the order in which they
/// were sent. What is no wrap stays the jump that it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    /// The last timestamp, as it came and unwrapped.
    last: Option<(u32, i64)>,
    /// The odd wrap that was seen.
    odd_wrap: Option<u32>,
}

impl Clock {
    /// The next timestamp on the clock that never wraps.
    pub(super) fn unwrap_ms(&mut self, timestamp_ms: u32) -> i64 {
        let unwrapped = match self.last {
            None => i64::from(timestamp_ms),
            Some((last, unwrapped)) => unwrapped + self.step(last, timestamp_ms),
        };
        self.last = Some((timestamp_ms, unwrapped));
        unwrapped
    }

    /// From `last` to `now`.
    fn step(&mut self, last: u32, now: u32) -> i64 {
        // 2^32 wraps by itself.
        let step = i64::from(now.wrapping_sub(last).cast_signed());
        if step.unsigned_abs() <= u64::from(NEAR_MS) {
            return step;
        }
        for bits in ODD_WRAPS {
            let modulus = 1 << bits;
            let before = modulus - NEAR_MS..modulus;
            if before.contains(&last) && now < NEAR_MS {
                self.odd_wrap = Some(bits);
                return i64::from(now) + i64::from(modulus) - i64::from(last);
            }
            // The other kind of media may be a little behind.
            if self.odd_wrap == Some(bits) && before.contains(&now) && last < NEAR_MS {
                return i64::from(now) - i64::from(modulus) - i64::from(last);
            }
        }
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &[u32], expected: &[i64]) {
        let mut clock = Clock::default();
        let unwrapped: Vec<i64> = raw.iter().map(|&raw| clock.unwrap_ms(raw)).collect();
        assert_eq!(unwrapped, expected, "{raw:?}");
    }

    #[test]
    fn timestamps_go_on_past_every_wrap() {
        const M24: u32 = 1 << 24;
        const M31: u32 = 1 << 31;
        check(&[0, 40, 20, 80], &[0, 40, 20, 80]);
        check(
            &[u32::MAX - 19, 20, u32::MAX, 60],
            &[4_294_967_276, 4_294_967_316, 4_294_967_295, 4_294_967_356],
        );
        check(
            &[M24 - 10, 10, M24 - 5, 30],
            &[16_777_206, 16_777_226, 16_777_211, 16_777_246],
        );
        check(
            &[M31 - 10, 10, M31 - 5, 30],
            &[2_147_483_638, 2_147_483_658, 2_147_483_643, 2_147_483_678],
        );
        // With extended timestamps there is nothing at these places.
        check(
            &[M24 - 10, M24 + 10, M31 - 10, M31 + 10],
            &[16_777_206, 16_777_226, 2_147_483_638, 2_147_483_658],
        );
    }

    #[test]
    fn jumps_stay_jumps() {
        check(&[1_000_000, 40], &[1_000_000, 40]);
        check(&[40, (1 << 24) - 1], &[40, 16_777_215]);
        check(&[0, 1 << 30, 0], &[0, 1 << 30, 0]);
    }
}
