//! The lines of the benchmark's table, with their targets.

use super::score::{
    BARE, CORECAST, CORECAST_1400, CORECAST_CROWD, CORECAST_TWO, ICECAST, ICECAST_CROWD,
};
use crate::report::Report;

/// One line as it is declared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// Name in the verdict; empty where there is no target.
    pub(super) key: &'static str,
    /// What it is, with its unit.
    pub(super) title: &'static str,
    /// Digits after the point.
    pub(super) digits: usize,
    /// Where the figure comes from.
    pub(super) figure: Figure,
    /// What it must not exceed, and what would be good.
    pub(super) target: Option<(f64, f64)>,
}

/// Where a line's figures come from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Figure {
    /// CPU per GB of one trial over another's, round by round.
    Ratio { of: &'static str, to: &'static str },
    /// A figure of every round of these trials.
    Each(&'static [&'static str], fn(&Report) -> Option<f64>),
    /// Cold starts of corecast.
    Start,
}

/// The table: targets first, then what is good to know.
pub(super) const LINES: &[Line] = &[
    versus(
        "cpu_default",
        "CPU per GB, corecast / icecast2",
        CORECAST,
        ICECAST,
        (0.15, 0.10),
    ),
    versus(
        "cpu_1400",
        "the same, corecast's flush at 1,400 bytes",
        CORECAST_1400,
        ICECAST,
        (1.0, 0.85),
    ),
    versus(
        "cpu_bare",
        "CPU per GB, corecast / bare send() loop",
        CORECAST,
        BARE,
        (1.15, 1.0),
    ),
    versus(
        "two_shards",
        "CPU per GB, two shards / one",
        CORECAST_TWO,
        CORECAST,
        (1.10, 1.0),
    ),
    target(
        "memory_kb",
        "kB resident per listener, corecast",
        2,
        each(&[CORECAST_CROWD], memory_kb),
        (3.0, 1.0),
    ),
    target(
        "joins_s",
        "s until the whole crowd has audio, corecast",
        2,
        each(&[CORECAST_CROWD], joins_s),
        (2.0, 1.0),
    ),
    target(
        "unserved",
        "of the crowd unserved, corecast",
        0,
        each(&[CORECAST_CROWD], unserved),
        (0.0, 0.0),
    ),
    target(
        "cold_start_ms",
        "ms from start to first answer, corecast",
        1,
        Figure::Start,
        (50.0, 20.0),
    ),
    target(
        "lost",
        "good listeners lost, corecast",
        0,
        each(OURS, lost),
        (0.0, 0.0),
    ),
    known("CPU-s per GB, corecast", 3, each(&[CORECAST], cpu)),
    known(
        "CPU-s per GB, corecast at 1,400 bytes",
        3,
        each(&[CORECAST_1400], cpu),
    ),
    known(
        "CPU-s per GB, corecast on two shards",
        3,
        each(&[CORECAST_TWO], cpu),
    ),
    known("CPU-s per GB, icecast2", 3, each(&[ICECAST], cpu)),
    known("CPU-s per GB, bare loop", 3, each(&[BARE], cpu)),
    known(
        "CPU-s per listener-hour, corecast",
        4,
        each(&[CORECAST], cpu_hour),
    ),
    known(
        "CPU-s per listener-hour, icecast2",
        4,
        each(&[ICECAST], cpu_hour),
    ),
    known(
        "bytes at once, corecast",
        0,
        each(&[CORECAST], bytes_at_once),
    ),
    known(
        "kB resident per listener, icecast2",
        2,
        each(&[ICECAST_CROWD], memory_kb),
    ),
    known(
        "s until the crowd has audio, icecast2",
        2,
        each(&[ICECAST_CROWD], joins_s),
    ),
    known(
        "of the crowd unserved, icecast2",
        0,
        each(&[ICECAST_CROWD], unserved),
    ),
    known(
        "longest silence p99 in ms, corecast",
        0,
        each(&[CORECAST], gap_ms),
    ),
    known(
        "longest silence p99 in ms, icecast2",
        0,
        each(&[ICECAST], gap_ms),
    ),
    known(
        "player silent p99 in ms, corecast",
        0,
        each(&[CORECAST], underrun_ms),
    ),
    known(
        "player silent p99 in ms, icecast2",
        0,
        each(&[ICECAST], underrun_ms),
    ),
];

/// The trials of corecast.
const OURS: &[&str] = &[CORECAST, CORECAST_1400, CORECAST_TWO, CORECAST_CROWD];

const fn versus(
    key: &'static str,
    title: &'static str,
    of: &'static str,
    to: &'static str,
    bounds: (f64, f64),
) -> Line {
    target(key, title, 3, Figure::Ratio { of, to }, bounds)
}

const fn target(
    key: &'static str,
    title: &'static str,
    digits: usize,
    figure: Figure,
    bounds: (f64, f64),
) -> Line {
    Line {
        key,
        title,
        digits,
        figure,
        target: Some(bounds),
    }
}

const fn known(title: &'static str, digits: usize, figure: Figure) -> Line {
    Line {
        key: "",
        title,
        digits,
        figure,
        target: None,
    }
}

const fn each(trials: &'static [&'static str], figure: fn(&Report) -> Option<f64>) -> Figure {
    Figure::Each(trials, figure)
}

fn cpu(report: &Report) -> Option<f64> {
    report.cpu_s_per_gb
}

fn cpu_hour(report: &Report) -> Option<f64> {
    report.cpu_s_per_listener_hour
}

fn memory_kb(report: &Report) -> Option<f64> {
    report.rss_bytes_per_listener.map(|bytes| bytes / 1e3)
}

fn joins_s(report: &Report) -> Option<f64> {
    Some(report.all_served_s)
}

fn unserved(report: &Report) -> Option<f64> {
    Some(f64::from(report.unserved))
}

/// Listeners that were hung up on, and joins that failed.
fn lost(report: &Report) -> Option<f64> {
    Some((report.hung_up + report.failed) as f64)
}

fn bytes_at_once(report: &Report) -> Option<f64> {
    Some(report.bytes_per_receipt)
}

fn gap_ms(report: &Report) -> Option<f64> {
    Some(report.gap.p99_ms)
}

fn underrun_ms(report: &Report) -> Option<f64> {
    Some(report.underrun.p99_ms)
}
