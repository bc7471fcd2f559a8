//! The table, for the terminal and for `docs/benchmarks.md` alike.

use std::fmt::Write as _;

use super::score::{Row, Score};
use super::{RAMP_PER_S, Settings};
use crate::proc::Machine;
use crate::report::Report;

/// A block of Markdown that says what was measured, on what, and when.
pub(super) fn block(machine: &Machine, settings: &Settings, rows: &[Row], score: &Score) -> String {
    let date = jiff::Zoned::now().date();
    let noise = |report: &Report| report.others_cpus;
    let noise = score
        .trials()
        .iter()
        .map(|entry| noise(&entry.report))
        .fold(0.0, f64::max);
    let gib = machine.memory_bytes as f64 / f64::from(1_u32 << 30);
    let mut text = format!(
        "### ICY side by side, {date}\n\n\
         {}, {} processors, {gib:.0} GiB, Linux {}. `./x bench icy --pairs {} --seconds {} \
         --listeners {} --crowd {} --icy {}`: 128 kbit/s, joins at {RAMP_PER_S}/s, server on \
         processor 0, generator and source on processor 1. Other work kept at most {noise:.2} \
         processors busy during a window. Every trial compared all bytes of four listeners: {} \
         wrong trials of {}.\n\n\
         | figure | min | median | max | must | ambitious | verdict |\n\
         |---|---:|---:|---:|---:|---:|---|\n",
        machine.cpu,
        machine.cores,
        machine.kernel,
        settings.rounds,
        settings.window_ms / 1_000,
        settings.listeners,
        settings.crowd,
        settings.icy_percent,
        score.wrong(),
        score.trials().len(),
    );
    for row in rows {
        let digits = row.digits;
        let number = |value: f64| format!("{value:.digits$}");
        let bold = |value: f64| format!("**{value:.digits$}**");
        let bound = |bound: Option<f64>| bound.map(|bound| format!("<= {bound}"));
        let (min, median, max) = match row.spread {
            Some((min, median, max)) => (number(min), bold(median), number(max)),
            None => Default::default(),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {} | {min} | {median} | {max} | {} | {} | {} |",
            row.title,
            bound(row.must).unwrap_or_default(),
            bound(row.ambitious).unwrap_or_default(),
            row.verdict()
        );
    }
    text
}
