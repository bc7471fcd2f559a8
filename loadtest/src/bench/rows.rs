//! Rows of figures with their targets, as a table and as the last line, for every benchmark.

use std::fmt::Write as _;

use serde::Serialize;

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Row {
    /// Short name, used in the last line.
    pub(super) key: &'static str,
    /// What it is.
    pub(super) title: &'static str,
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

/// What missed its target, and by what figure.
pub(super) fn missed(rows: &[Row]) -> impl Iterator<Item = String> + '_ {
    let missed = rows.iter().filter(|row| !row.is_met());
    missed.map(|row| match row.spread {
        Some((_, median, _)) => format!("{}={median:.*}", row.key, row.digits),
        None => format!("{}=unmeasured", row.key),
    })
}

/// The last line of the benchmark `name`: `PASS`, or what is short.
pub(super) fn verdict(name: &str, missed: &[String]) -> String {
    if missed.is_empty() {
        format!("{name}: PASS")
    } else {
        format!("{name}: SHORT {}", missed.join(" "))
    }
}

/// The rows as Markdown.
pub(super) fn markdown(rows: &[Row]) -> String {
    let mut text = "| figure | min | median | max | must | ambitious | verdict |\n\
                    |---|---:|---:|---:|---:|---:|---|\n"
        .to_owned();
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

/// Least, median and greatest.
pub(super) fn spread(mut values: Vec<f64>) -> Option<(f64, f64, f64)> {
    values.sort_by(f64::total_cmp);
    let (&least, &greatest) = (values.first()?, values.last()?);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some((least, (lower + upper) / 2.0, greatest))
}

/// One line of a table as it is declared, where a figure is noted by its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    key: &'static str,
    title: &'static str,
    digits: usize,
    target: Option<(f64, f64)>,
}

impl Line {
    /// A figure that must not exceed the first bound and would be good below the second.
    pub(super) const fn target(
        key: &'static str,
        title: &'static str,
        digits: usize,
        bounds: (f64, f64),
    ) -> Line {
        let target = Some(bounds);
        Line {
            key,
            title,
            digits,
            target,
        }
    }

    /// A figure that is good to know.
    pub(super) const fn known(key: &'static str, title: &'static str, digits: usize) -> Line {
        let target = None;
        Line {
            key,
            title,
            digits,
            target,
        }
    }
}

/// The figures of a benchmark, each noted as often as it was measured.
#[derive(Debug)]
pub(super) struct Board {
    lines: &'static [Line],
    figures: Vec<(&'static str, f64)>,
}

impl Board {
    /// Nothing measured yet.
    pub(super) const fn new(lines: &'static [Line]) -> Board {
        let figures = Vec::new();
        Board { lines, figures }
    }

    /// Notes a figure of the line `key`.
    pub(super) fn note(&mut self, key: &'static str, figure: f64) {
        debug_assert!(self.lines.iter().any(|line| line.key == key), "{key}");
        self.figures.push((key, figure));
    }

    /// The table.
    pub(super) fn rows(&self) -> Vec<Row> {
        let row = |line: &Line| {
            let of_line = self.figures.iter().filter(|(key, _)| *key == line.key);
            Row {
                key: line.key,
                title: line.title,
                spread: spread(of_line.map(|(_, figure)| *figure).collect()),
                digits: line.digits,
                must: line.target.map(|(must, _)| must),
                ambitious: line.target.map(|(_, ambitious)| ambitious),
            }
        };
        self.lines.iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &[Line] = &[
        Line::target("cpu", "CPU", 2, (0.8, 0.5)),
        Line::known("rate", "requests per second", 0),
    ];

    fn last_line(board: &Board) -> String {
        verdict("x", &missed(&board.rows()).collect::<Vec<_>>())
    }

    #[test]
    fn the_median_of_an_even_count_lies_between() {
        assert_eq!(spread(vec![4.0, 1.0, 2.0, 3.0]), Some((1.0, 2.5, 4.0)));
        assert_eq!(spread(Vec::new()), None);
    }

    #[test]
    fn a_board_tells_the_median_of_what_was_noted() {
        let mut board = Board::new(LINES);
        assert_eq!(last_line(&board), "x: SHORT cpu=unmeasured");
        for figure in [0.4, 2.0, 0.7] {
            board.note("cpu", figure);
        }
        assert_eq!(last_line(&board), "x: PASS");
        board.note("rate", 1_000.4);
        assert_eq!(
            markdown(&board.rows()).lines().skip(2).collect::<Vec<_>>(),
            [
                "| CPU | 0.40 | **0.70** | 2.00 | <= 0.8 | <= 0.5 | met |",
                "| requests per second | 1000 | **1000** | 1000 |  |  |  |",
            ]
        );
        board.note("cpu", 3.0);
        assert_eq!(last_line(&board), "x: SHORT cpu=1.35");
    }
}
