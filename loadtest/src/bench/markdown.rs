//! The table, for the terminal and for `docs/benchmarks.md` alike.

use super::rows::{self, Row};
use super::score::Score;
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
         wrong trials of {}.\n\n",
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
    text.push_str(&rows::markdown(rows));
    text
}
