//! The figures of all trials, the rows that come of them, and the verdict.

use serde::Serialize;

use crate::report::Report;

/// Names of the trials.
pub(super) const CORECAST: &str = "corecast";
pub(super) const CORECAST_1400: &str = "corecast-1400";
pub(super) const CORECAST_TWO: &str = "corecast-2shards";
pub(super) const CORECAST_CROWD: &str = "corecast-crowd";
pub(super) const ICECAST: &str = "icecast2";
pub(super) const ICECAST_CROWD: &str = "icecast2-crowd";
pub(super) const BARE: &str = "bare";

/// The last line when all targets are met.
pub(super) const PASS: &str = "icy: PASS";

/// All figures.
#[derive(Debug, Default)]
pub(super) struct Score {
    trials: Vec<Entry>,
    /// Cold starts of corecast, in milliseconds.
    pub(super) start_ms: Vec<f64>,
    /// The same of Icecast.
    pub(super) icecast_start_ms: Vec<f64>,
}

/// One trial that was run.
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    /// Which trial.
    pub(super) name: &'static str,
    /// In which round, from 0.
    pub(super) round: usize,
    /// Its figures.
    pub(super) report: Report,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Row {
    /// Short name, used in the last line.
    pub(super) key: &'static str,
    /// What it is.
    pub(super) title: String,
    /// Least, middle and greatest of the rounds; none if nothing was measured.
    pub(super) spread: Option<(f64, f64, f64)>,
    /// Digits after the point.
    pub(super) digits: usize,
    /// The median must not be above this; none is information only.
    pub(super) must: Option<f64>,
    /// It would be good to be here.
    pub(super) ambitious: Option<f64>,
}

impl Row {
    /// Whether the target is met; a target without a figure is missed.
    pub(super) fn is_met(&self) -> bool {
        let median = self.spread.map(|(_, median, _)| median);
        self.must
            .is_none_or(|must| median.is_some_and(|median| median <= must))
    }

    /// The word of the verdict column.
    pub(super) fn verdict(&self) -> &'static str {
        let median = self.spread.map_or(f64::INFINITY, |(_, median, _)| median);
        match (self.must, self.ambitious) {
            (None, _) => "",
            (Some(_), Some(ambitious)) if median <= ambitious => "ambitious",
            (Some(must), _) if median <= must => "met",
            (Some(_), _) => "SHORT",
        }
    }
}

impl Score {
    /// Notes one trial.
    pub(super) fn push(&mut self, name: &'static str, round: usize, report: Report) {
        self.trials.push(Entry {
            name,
            round,
            report,
        });
    }

    /// All trials in the order in which they were run.
    pub(super) fn trials(&self) -> &[Entry] {
        &self.trials
    }

    /// Trials in which a byte was wrong.
    pub(super) fn wrong(&self) -> usize {
        let right = |report: &Report| {
            report.findings.flawless() && report.findings.frames > 0 && report.blocks.malformed == 0
        };
        self.trials
            .iter()
            .filter(|entry| !right(&entry.report))
            .count()
    }

    /// The table.
    pub(super) fn rows(&self) -> Vec<Row> {
        let cpu = |report: &Report| report.cpu_s_per_gb;
        let hour = |report: &Report| report.cpu_s_per_listener_hour;
        let memory = |report: &Report| report.rss_bytes_per_listener.map(|bytes| bytes / 1e3);
        let gap = |report: &Report| Some(report.gap.p99_ms);
        let underrun = |report: &Report| Some(report.underrun.p99_ms);
        let joins = |report: &Report| Some(report.all_served_s);
        let unserved = |report: &Report| Some(f64::from(report.unserved));
        let hung_up = |report: &Report| Some((report.hung_up + report.failed) as f64);
        let ours = [CORECAST, CORECAST_1400, CORECAST_TWO, CORECAST_CROWD];
        let lost = ours
            .iter()
            .flat_map(|name| self.values(name, hung_up))
            .collect();
        let row = |key, title: &str, digits, values: Vec<f64>| Row {
            key,
            title: title.to_owned(),
            spread: spread(values),
            digits,
            must: None,
            ambitious: None,
        };
        let target = |row: Row, must, ambitious| Row {
            must: Some(must),
            ambitious: Some(ambitious),
            ..row
        };
        let versus = |key, title, of, to| row(key, title, 3, self.ratios(of, to));
        vec![
            target(
                versus(
                    "cpu_default",
                    "CPU per GB, corecast / icecast2",
                    CORECAST,
                    ICECAST,
                ),
                0.15,
                0.10,
            ),
            target(
                versus(
                    "cpu_1400",
                    "the same, corecast's flush at 1,400 bytes",
                    CORECAST_1400,
                    ICECAST,
                ),
                1.0,
                0.85,
            ),
            target(
                versus(
                    "cpu_bare",
                    "CPU per GB, corecast / bare send() loop",
                    CORECAST,
                    BARE,
                ),
                1.15,
                1.0,
            ),
            target(
                versus(
                    "two_shards",
                    "CPU per GB, two shards / one",
                    CORECAST_TWO,
                    CORECAST,
                ),
                1.10,
                1.0,
            ),
            target(
                row(
                    "memory_kb",
                    "kB resident per listener, corecast",
                    2,
                    self.values(CORECAST_CROWD, memory),
                ),
                3.0,
                1.0,
            ),
            target(
                row(
                    "joins_s",
                    "s until the whole crowd has audio, corecast",
                    2,
                    self.values(CORECAST_CROWD, joins),
                ),
                2.0,
                1.0,
            ),
            target(
                row(
                    "unserved",
                    "of the crowd unserved, corecast",
                    0,
                    self.values(CORECAST_CROWD, unserved),
                ),
                0.0,
                0.0,
            ),
            target(
                row(
                    "cold_start_ms",
                    "ms from start to first answer, corecast",
                    1,
                    self.start_ms.clone(),
                ),
                50.0,
                20.0,
            ),
            target(
                row("hung_up", "good listeners lost, corecast", 0, lost),
                0.0,
                0.0,
            ),
            row("", "CPU-s per GB, corecast", 3, self.values(CORECAST, cpu)),
            row(
                "",
                "CPU-s per GB, corecast at 1,400 bytes",
                3,
                self.values(CORECAST_1400, cpu),
            ),
            row("", "CPU-s per GB, icecast2", 3, self.values(ICECAST, cpu)),
            row("", "CPU-s per GB, bare loop", 3, self.values(BARE, cpu)),
            row(
                "",
                "CPU-s per listener-hour, corecast",
                4,
                self.values(CORECAST, hour),
            ),
            row(
                "",
                "CPU-s per listener-hour, icecast2",
                4,
                self.values(ICECAST, hour),
            ),
            row(
                "",
                "bytes at once, corecast",
                0,
                self.values(CORECAST, |report| Some(report.bytes_per_receipt)),
            ),
            row(
                "",
                "kB resident per listener, icecast2",
                2,
                self.values(ICECAST_CROWD, memory),
            ),
            row(
                "",
                "s until the crowd has audio, icecast2",
                2,
                self.values(ICECAST_CROWD, joins),
            ),
            row(
                "",
                "of the crowd unserved, icecast2",
                0,
                self.values(ICECAST_CROWD, unserved),
            ),
            row(
                "",
                "longest silence p99 in ms, corecast",
                0,
                self.values(CORECAST, gap),
            ),
            row(
                "",
                "longest silence p99 in ms, icecast2",
                0,
                self.values(ICECAST, gap),
            ),
            row(
                "",
                "player silent p99 in ms, corecast",
                0,
                self.values(CORECAST, underrun),
            ),
            row(
                "",
                "player silent p99 in ms, icecast2",
                0,
                self.values(ICECAST, underrun),
            ),
            row(
                "",
                "ms from start to first answer, icecast2",
                1,
                self.icecast_start_ms.clone(),
            ),
        ]
    }

    /// The figure in all rounds of a trial.
    fn values(&self, name: &str, figure: impl Fn(&Report) -> Option<f64>) -> Vec<f64> {
        let trials = self.trials.iter().filter(|entry| entry.name == name);
        trials.filter_map(|entry| figure(&entry.report)).collect()
    }

    /// CPU per GB of one trial over another's of the same round.
    fn ratios(&self, of: &str, to: &str) -> Vec<f64> {
        let cpu = |name, round| {
            let entry = self
                .trials
                .iter()
                .find(|entry| entry.name == name && entry.round == round);
            entry
                .and_then(|entry| entry.report.cpu_s_per_gb)
                .filter(|&cpu| cpu > 0.0)
        };
        let rounds = self
            .trials
            .iter()
            .filter(|entry| entry.name == of)
            .map(|entry| entry.round);
        rounds
            .filter_map(|round| Some(cpu(of, round)? / cpu(to, round)?))
            .collect()
    }
}

/// The last line: `PASS`, or what is short and by what figure.
pub(super) fn last_line(rows: &[Row], score: &Score) -> String {
    let missed = rows
        .iter()
        .filter(|row| !row.is_met())
        .map(|row| match row.spread {
            Some((_, median, _)) => format!("{}={median:.*}", row.key, row.digits),
            None => format!("{}=unmeasured", row.key),
        });
    let wrong = Some(score.wrong()).filter(|&wrong| wrong > 0);
    let missed: Vec<String> = missed
        .chain(wrong.map(|wrong| format!("wrong_runs={wrong}")))
        .collect();
    if missed.is_empty() {
        PASS.to_owned()
    } else {
        format!("icy: SHORT {}", missed.join(" "))
    }
}

/// Least, median and greatest.
fn spread(mut values: Vec<f64>) -> Option<(f64, f64, f64)> {
    values.sort_by(f64::total_cmp);
    let (&least, &greatest) = (values.first()?, values.last()?);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some((least, (lower + upper) / 2.0, greatest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(cpu: f64) -> Report {
        let mut report = Report {
            cpu_s_per_gb: Some(cpu),
            ..Report::default()
        };
        report.rss_bytes_per_listener = Some(900.0);
        report.findings.frames = 1;
        report
    }

    /// Three rounds in which everything is as good as it must be.
    fn good_score() -> Score {
        let mut score = Score {
            start_ms: vec![30.0; 3],
            ..Score::default()
        };
        for round in 0..3 {
            let noise = 1.0 + round as f64;
            score.push(CORECAST, round, report(0.5 * noise));
            score.push(ICECAST, round, report(4.0 * noise));
            score.push(BARE, round, report(0.5 * noise));
            score.push(CORECAST_1400, round, report(3.9 * noise));
            score.push(CORECAST_TWO, round, report(0.5 * noise));
            score.push(CORECAST_CROWD, round, report(0.5));
        }
        score
    }

    fn verdict(score: &Score) -> String {
        last_line(&score.rows(), score)
    }

    #[test]
    fn ratios_are_taken_inside_a_round() {
        let score = good_score();
        assert_eq!(score.ratios(CORECAST, ICECAST), [0.125; 3]);
        assert_eq!(verdict(&score), PASS);
    }

    #[test]
    fn what_misses_its_target_is_named_with_its_figure() {
        let mut score = good_score();
        score
            .trials
            .iter_mut()
            .filter(|entry| entry.name == CORECAST_1400)
            .for_each(|entry| {
                entry.report.cpu_s_per_gb = entry.report.cpu_s_per_gb.map(|cpu| cpu * 1.1);
            });
        assert_eq!(verdict(&score), "icy: SHORT cpu_1400=1.073");
        score.start_ms = Vec::new();
        assert_eq!(
            verdict(&score),
            "icy: SHORT cpu_1400=1.073 cold_start_ms=unmeasured"
        );
    }

    #[test]
    fn a_wrong_byte_anywhere_is_short() {
        let mut score = good_score();
        if let Some(entry) = score.trials.last_mut() {
            entry.report.findings.wrong_bytes = 1;
        }
        assert_eq!(verdict(&score), "icy: SHORT wrong_runs=1");
    }

    #[test]
    fn nothing_compared_is_no_pass() {
        let mut score = good_score();
        score.push(ICECAST_CROWD, 0, Report::default());
        assert_eq!(verdict(&score), "icy: SHORT wrong_runs=1");
    }

    #[test]
    fn the_median_of_an_even_count_lies_between() {
        assert_eq!(spread(vec![4.0, 1.0, 2.0, 3.0]), Some((1.0, 2.5, 4.0)));
        assert_eq!(spread(Vec::new()), None);
    }
}
