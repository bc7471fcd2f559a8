//! What every table says of a crowd that waits for parts.

use std::io;

use super::blocked::{Crowd, Round, delays, different_bodies};
use super::hls::quantile_ms;
use super::rows::{Board, Line};
use super::server::Server;
use crate::proc;

// What each such table has of them.

pub(super) const BODIES: Line = Line::target(
    "bodies",
    "different answers to one question, at most",
    0,
    (1.0, 1.0),
);
pub(super) const P50: Line = Line::known("release_p50_ms", "ms to last byte, p50", 1);
pub(super) const MAX: Line = Line::known("release_max_ms", "ms to last byte, max", 1);
pub(super) const PARTS: Line = Line::known("parts", "parts that were waited for and timed", 0);
pub(super) const LATE: Line = Line::known(
    "late",
    "of 1,000 requests, asked when the part was complete already",
    2,
);
pub(super) const ANSWER_CPU: Line = Line::known(
    "answer_cpu_us",
    "CPU us per waiting request and its answer",
    1,
);
pub(super) const WAITER_KB: Line = Line::known("waiter_kb", "kB resident per waiting request", 2);
pub(super) const RESIDENT: Line = Line::known("resident_mb", "MB resident with all of them", 1);
pub(super) const SOURCE_LATE: Line =
    Line::known("source_late_ms", "ms that the source was late, at most", 1);

/// Parts that find their way into caches and buffers before anything counts.
const WARM_PARTS: u32 = 5;

/// A crowd that was released part by part.
pub(super) struct Release {
    pub(super) rounds: Vec<Round>,
    /// From a part's completion to the last byte of each answer.
    pub(super) delays_ns: Vec<u64>,
    late: u64,
    cpu_ns: u64,
    rss_bytes: u64,
    more_rss_bytes: u64,
}

impl Release {
    /// Lets the crowd wait for so many parts of the server, which had `rss_before` resident when
    /// nobody was there.
    pub(super) fn watch(
        mut crowd: Crowd,
        server: &Server,
        parts: u32,
        rss_before: u64,
    ) -> io::Result<Release> {
        let pid = server.pid();
        let explain = |error: io::Error| server.explain(&error);
        crowd.wait_parts(WARM_PARTS, || Ok(())).map_err(explain)?;
        let cpu_before = proc::cpu_ns(pid)?;
        let mut rss = 0;
        let waited = crowd.wait_parts(parts, || {
            rss = rss.max(proc::memory(pid)?.rss_bytes);
            Ok(())
        });
        let rounds = waited.map_err(explain)?;
        let cpu_ns = proc::cpu_ns(pid)? - cpu_before;
        drop(crowd);
        let (delays_ns, late) = delays(&rounds);
        Ok(Release {
            rounds,
            delays_ns,
            late,
            cpu_ns,
            rss_bytes: rss,
            more_rss_bytes: rss.saturating_sub(rss_before),
        })
    }

    /// Notes it; so many waited for each part. Gives back the p99 in milliseconds.
    pub(super) fn note(&mut self, board: &mut Board, waiting: f64) -> io::Result<f64> {
        let all = &mut self.delays_ns;
        let count = all.len() as f64;
        let answers = waiting * self.rounds.len() as f64;
        let p99_ms = quantile_ms(all, 0.99)?;
        let figures = [
            ("release_p99_ms", p99_ms),
            ("release_p50_ms", quantile_ms(all, 0.5)?),
            ("release_max_ms", quantile_ms(all, 1.0)?),
            ("late", self.late as f64 * 1e3 / count),
            ("answer_cpu_us", self.cpu_ns as f64 / 1e3 / answers),
            ("waiter_kb", self.more_rss_bytes as f64 / 1e3 / waiting),
            ("resident_mb", self.rss_bytes as f64 / 1e6),
            ("bodies", different_bodies(&self.rounds) as f64),
        ];
        for (key, figure) in figures {
            board.note(key, figure);
        }
        Ok(p99_ms)
    }
}
