//! The figures of all trials, the rows that come of them, and the verdict.

use serde::Serialize;

use super::rows::{self, Row, spread};
use super::table::{self, Figure, Line};
use crate::report::Report;

/// Names of the trials.
pub(super) const CORECAST: &str = "corecast";
pub(super) const CORECAST_1400: &str = "corecast-1400";
pub(super) const CORECAST_TWO: &str = "corecast-2shards";
pub(super) const CORECAST_CROWD: &str = "corecast-crowd";
pub(super) const ICECAST: &str = "icecast2";
pub(super) const ICECAST_CROWD: &str = "icecast2-crowd";
pub(super) const BARE: &str = "bare";

/// What the last line begins with.
pub(super) const NAME: &str = "icy";

/// All figures.
#[derive(Debug, Default)]
pub(super) struct Score {
    trials: Vec<Entry>,
    /// Cold starts of corecast, in milliseconds.
    pub(super) start_ms: Vec<f64>,
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
        table::LINES.iter().map(|line| self.row(line)).collect()
    }

    fn row(&self, line: &Line) -> Row {
        let values = match line.figure {
            Figure::Ratio { of, to } => self.ratios(of, to),
            Figure::Each(trials, figure) => trials
                .iter()
                .flat_map(|trial| self.values(trial, figure))
                .collect(),
            Figure::Start => self.start_ms.clone(),
        };
        Row {
            key: line.key,
            title: line.title,
            spread: spread(values),
            digits: line.digits,
            must: line.target.map(|(must, _)| must),
            ambitious: line.target.map(|(_, ambitious)| ambitious),
        }
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
    let wrong = Some(score.wrong()).filter(|&wrong| wrong > 0);
    let wrong = wrong.map(|wrong| format!("wrong_runs={wrong}"));
    let missed: Vec<String> = rows::missed(rows).chain(wrong).collect();
    rows::verdict(NAME, &missed)
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
        assert_eq!(verdict(&score), "icy: PASS");
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
}
