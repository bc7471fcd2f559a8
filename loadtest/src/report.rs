//! What a run says at its end: figures for people, and the same as JSON.

use serde::{Deserialize, Serialize};

use crate::clock::SECOND_NS;
use crate::crowd::Counts;
use crate::icy::Blocks;
use crate::run::{Outcome, Usage};
use crate::source::Sent;
use crate::verify::Findings;

/// A distribution of times in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    /// How many were measured.
    pub(crate) count: u64,
    /// Half are at most this.
    pub(crate) p50_ms: f64,
    /// 99 in a hundred are at most this.
    pub(crate) p99_ms: f64,
    /// All are at most this.
    pub(crate) max_ms: f64,
}

impl Spread {
    fn text(&self) -> String {
        let Spread {
            p50_ms,
            p99_ms,
            max_ms,
            ..
        } = self;
        format!("p50 {p50_ms:.1} ms, p99 {p99_ms:.1} ms, max {max_ms:.1} ms")
    }

    fn of(counts: &Counts) -> Spread {
        let histogram = counts.histogram();
        let ms = |us: u64| us as f64 / 1_000.0;
        Spread {
            count: histogram.len(),
            p50_ms: ms(histogram.value_at_quantile(0.5)),
            p99_ms: ms(histogram.value_at_quantile(0.99)),
            max_ms: ms(histogram.max()),
        }
    }
}

/// The figures of one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Whether everybody was served, heard right bytes and was never hung up on.
    pub(crate) good: bool,
    /// Listeners that got audio at the first go.
    pub(crate) served: u32,
    /// Listeners that got none in time.
    pub(crate) unserved: u32,
    /// First connect to the last listener's first byte, in seconds.
    pub(crate) all_served_s: f64,
    /// Connect to first audio byte.
    pub(crate) join: Spread,
    /// The longest silence of each listener in the window.
    pub(crate) gap: Spread,
    /// How long a player that starts at its first byte would be silent.
    pub(crate) underrun: Spread,
    /// Silences above the limit.
    pub(crate) stalls: u64,
    /// Length of the window, in seconds.
    pub(crate) window_s: f64,
    /// Bytes delivered in the window.
    pub(crate) window_bytes: u64,
    /// Mean bytes that a look at a socket found: about what the server sends at once.
    pub(crate) bytes_per_receipt: f64,
    /// Delivered rate over the rate that all listeners should get.
    pub(crate) of_real_time: f64,
    /// Joins that were refused with a status.
    pub(crate) refused: u64,
    /// Joins that failed without an answer.
    pub(crate) failed: u64,
    /// Good readers that the server hung up on.
    pub(crate) hung_up: u64,
    /// Slow readers that the server hung up on.
    pub(crate) slow_dropped: u64,
    /// Listeners that left for another to join.
    pub(crate) left: u64,
    /// Connections reset on purpose.
    pub(crate) resets: u64,
    /// What the compared listeners heard.
    pub(crate) findings: Findings,
    /// What the slow listeners heard.
    pub(crate) slow_findings: Findings,
    /// Metadata blocks of the compared listeners.
    pub(crate) blocks: Blocks,
    /// What the source did.
    pub(crate) source: Option<Sent>,
    /// What the server used.
    pub(crate) server: Option<Usage>,
    /// The server's CPU seconds per delivered gigabyte (10^9).
    pub(crate) cpu_s_per_gb: Option<f64>,
    /// The server's CPU seconds per hour of one listener.
    pub(crate) cpu_s_per_listener_hour: Option<f64>,
    /// The server's resident memory over the listeners served, in bytes.
    pub(crate) rss_bytes_per_listener: Option<f64>,
    /// Processors kept busy by anything but the server and this run: the noise.
    pub(crate) others_cpus: f64,
}

impl Report {
    /// The figures of `outcome`, whose listeners should get `rate_bytes` a second each.
    pub(crate) fn new(outcome: &Outcome, rate_bytes: u64) -> Report {
        let tally = &outcome.tally;
        let window_s = outcome.window_ns as f64 / SECOND_NS as f64;
        let listener_s = tally.listener_ns as f64 / SECOND_NS as f64;
        let cpu_s = outcome
            .usage
            .map(|usage| usage.cpu_ns as f64 / SECOND_NS as f64);
        let served = f64::from(tally.served);
        let rss = outcome.usage.map(|usage| usage.memory.rss_bytes as f64);
        Report {
            good: outcome.is_good(),
            served: outcome.joins.served,
            unserved: outcome.joins.unserved,
            all_served_s: outcome.joins.all_served_ns as f64 / SECOND_NS as f64,
            join: Spread::of(&tally.join_us),
            gap: Spread::of(&tally.gap_us),
            underrun: Spread::of(&tally.underrun_us),
            stalls: tally.stalls,
            window_s,
            window_bytes: tally.window_bytes,
            bytes_per_receipt: ratio(tally.window_bytes as f64, tally.receipts as f64),
            of_real_time: ratio(tally.window_bytes as f64, listener_s * rate_bytes as f64),
            refused: tally.refused,
            failed: tally.failed,
            hung_up: tally.hung_up,
            slow_dropped: tally.slow_dropped,
            left: tally.left,
            resets: tally.resets,
            findings: tally.findings.clone(),
            slow_findings: tally.slow_findings.clone(),
            blocks: tally.blocks.clone(),
            source: outcome.sent.clone(),
            server: outcome.usage,
            cpu_s_per_gb: cpu_s.map(|cpu_s| ratio(cpu_s, tally.window_bytes as f64 / 1e9)),
            cpu_s_per_listener_hour: cpu_s.map(|cpu_s| ratio(cpu_s, listener_s / 3_600.0)),
            rss_bytes_per_listener: rss.map(|rss| ratio(rss, served)),
            others_cpus: ratio(outcome.others_cpu_ns as f64, outcome.window_ns as f64),
        }
    }

    /// The report for people.
    pub(crate) fn text(&self) -> String {
        let unserved = self.unserved;
        let mut lines = vec![
            (
                "served",
                format!(
                    "{} in {:.2} s, unserved {unserved}",
                    self.served, self.all_served_s
                ),
            ),
            ("join", self.join.text()),
            (
                "gap",
                format!("{}, stalls {}", self.gap.text(), self.stalls),
            ),
            ("underrun", self.underrun.text()),
            ("delivered", self.delivered_text()),
            ("peers", self.peers_text()),
            ("compared", describe(&self.findings)),
        ];
        if self.slow_findings.streams > 0 {
            lines.push(("slow", describe(&self.slow_findings)));
        }
        let Blocks {
            total,
            titles,
            malformed,
            not_utf8,
        } = self.blocks;
        let kinds = format!("{titles} titles, {malformed} malformed, {not_utf8} not UTF-8");
        lines.push(("metadata", format!("{total} blocks, {kinds}")));
        lines.extend(
            self.source
                .as_ref()
                .map(|sent| ("source", source_text(sent))),
        );
        lines.extend(self.server.map(|usage| ("server", self.server_text(usage))));
        let noise = format!("{:.2} processors busy with other work", self.others_cpus);
        lines.push(("noise", noise));
        lines.push((
            "result",
            if self.good { "good" } else { "NOT good" }.to_owned(),
        ));
        lines
            .into_iter()
            .map(|(name, text)| format!("{name:<10} {text}\n"))
            .collect()
    }

    fn delivered_text(&self) -> String {
        let mbit = ratio(self.window_bytes as f64 * 8.0 / 1e6, self.window_s);
        let (percent, at_once) = (self.of_real_time * 100.0, self.bytes_per_receipt);
        format!("{mbit:.1} Mbit/s, {percent:.1} % of real time, {at_once:.0} bytes at once")
    }

    fn peers_text(&self) -> String {
        format!(
            "refused {}, failed {}, hung up on {}, slow ones dropped {}, left {}, resets {}",
            self.refused, self.failed, self.hung_up, self.slow_dropped, self.left, self.resets
        )
    }

    fn server_text(&self, usage: Usage) -> String {
        let gb = self.cpu_s_per_gb.unwrap_or_default();
        let hour = self.cpu_s_per_listener_hour.unwrap_or_default();
        let each = self.rss_bytes_per_listener.unwrap_or_default() / 1e3;
        let rss = usage.memory.rss_bytes / 1_000;
        format!("{gb:.3} CPU-s/GB, {hour:.4} CPU-s/listener-hour, {rss} kB, {each:.2} kB each")
    }
}

fn source_text(sent: &Sent) -> String {
    let (late, blocked) = (sent.late_max_us / 1_000, sent.blocked_max_us / 1_000);
    let end = sent.lost.as_deref().unwrap_or("lasted");
    let bytes = sent.bytes;
    format!("{bytes} bytes, latest tick {late} ms, longest write {blocked} ms, {end}")
}

fn describe(findings: &Findings) -> String {
    format!(
        "{} streams, {} bytes, wrong bytes {}, torn {}, repeats {}, gaps {} ({} frames), \
         started inside a frame {}",
        findings.streams,
        findings.bytes,
        findings.wrong_bytes,
        findings.torn,
        findings.repeats,
        findings.gaps,
        findings.frames_lost,
        findings.unaligned_starts
    )
}

/// `a / b`, and 0 where there is nothing to divide by.
pub(crate) fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 0.0 }
}
