//! The clock that all processes of a run share.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds in a second.
pub(crate) const SECOND_NS: u64 = 1_000_000_000;

/// Nanoseconds in a millisecond.
pub(crate) const MS_NS: u64 = 1_000_000;

/// Nanoseconds of the machine's monotonic clock, the same for every process.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * SECOND_NS + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// Sleeps until the clock says `at_ns`.
pub(crate) fn sleep_until(at_ns: u64) {
    let wait = at_ns.saturating_sub(now_ns());
    if wait > 0 {
        std::thread::sleep(Duration::from_nanos(wait));
    }
}
