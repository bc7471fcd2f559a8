//! Counters, gauges and histograms with one writer and any number of readers.
//!
//! A write is a relaxed load and a relaxed store: no locked instruction, since no other thread
//! writes. Two writers would lose counts (nothing worse), so each shard and each plane has
//! metrics of its own, and a scrape adds them up.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// What only grows. Written by one thread.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `amount`; wraps at 2^64.
    pub fn add(&self, amount: u64) {
        self.0
            .store(self.0.load(Relaxed).wrapping_add(amount), Relaxed);
    }

    /// Takes over a total that is counted elsewhere (a ring's own counter, the kernel's).
    pub fn store(&self, total: u64) {
        self.0.store(total, Relaxed);
    }

    /// The total.
    pub fn total(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What goes up and down. Written by one thread.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Sets the level.
    pub fn set(&self, level: i64) {
        self.0.store(level, Relaxed);
    }

    /// Raises the level, or lowers it by a negative `amount`.
    pub fn add(&self, amount: i64) {
        self.0
            .store(self.0.load(Relaxed).wrapping_add(amount), Relaxed);
    }

    /// The level.
    pub fn level(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// The upper bounds of a histogram's buckets, in the unit that is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets {
    pub(crate) bounds: &'static [u64],
    /// Recorded units in one exposed unit.
    pub(crate) scale: u32,
}

impl Buckets {
    /// Records microseconds, exposes seconds. `bounds` ascend.
    pub const fn micros(bounds: &'static [u64]) -> Self {
        Buckets::scaled(bounds, 1_000_000)
    }

    /// Records and exposes the same unit (bytes, items). `bounds` ascend.
    pub const fn plain(bounds: &'static [u64]) -> Self {
        Buckets::scaled(bounds, 1)
    }

    const fn scaled(bounds: &'static [u64], scale: u32) -> Self {
        assert!(!bounds.is_empty(), "a histogram needs a bucket");
        let mut index = 1;
        while index < bounds.len() {
            assert!(bounds[index - 1] < bounds[index], "bounds must ascend");
            index += 1;
        }
        Buckets { bounds, scale }
    }
}

/// How often values fell into which bucket. Written by one thread.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// One more than there are bounds: the last counts what is above them all.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    /// An empty histogram.
    pub fn new(buckets: Buckets) -> Self {
        Histogram {
            bounds: buckets.bounds,
            counts: (0..=buckets.bounds.len())
                .map(|_| AtomicU64::new(0))
                .collect(),
            sum: AtomicU64::new(0),
        }
    }

    /// Counts `value`, which is in the unit of the [`Buckets`].
    pub fn record(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(bucket) {
            count.store(count.load(Relaxed).wrapping_add(1), Relaxed);
        }
        self.sum
            .store(self.sum.load(Relaxed).wrapping_add(value), Relaxed);
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.counts
            .iter()
            .fold(0, |total, count| total.wrapping_add(count.load(Relaxed)))
    }
}

/// One metric for each value of a label; the set of values is closed.
#[derive(Debug)]
pub struct Family<M> {
    values: &'static [&'static str],
    members: Box<[M]>,
    /// Takes what has no place, so that a wrong index is seen nowhere and breaks nothing.
    stray: M,
}

impl<M: Default> Family<M> {
    /// One metric for each of `values`.
    pub fn new(values: &'static [&'static str]) -> Self {
        let members = values.iter().map(|_| M::default()).collect();
        Family {
            values,
            members,
            stray: M::default(),
        }
    }
}

impl<M> Family<M> {
    /// The metric of the `index`-th value; past the last, one that is never shown.
    pub fn at(&self, index: usize) -> &M {
        self.members.get(index).unwrap_or(&self.stray)
    }

    /// The metric of `value`; for an unknown one, one that is never shown. Walks the values.
    pub fn of(&self, value: &str) -> &M {
        let index = self.values.iter().position(|known| *known == value);
        index.map_or(&self.stray, |index| self.at(index))
    }

    /// The metrics in the order of their values.
    pub fn members(&self) -> &[M] {
        &self.members
    }
}

/// A field of a probe.
pub trait Metric {
    /// What it is to Prometheus.
    const KIND: Kind;

    /// Makes it as `declaration` says.
    fn from_declaration(declaration: &Declaration) -> Self;

    /// Adds its numbers to `totals`, which has [`Declaration::slots`] of them.
    fn add_to(&self, totals: &mut [i64]);
}

impl Metric for Counter {
    const KIND: Kind = Kind::Counter;

    fn from_declaration(_: &Declaration) -> Self {
        Counter::default()
    }

    fn add_to(&self, totals: &mut [i64]) {
        if let [total, ..] = totals {
            *total = total.wrapping_add(self.total().cast_signed());
        }
    }
}

impl Metric for Gauge {
    const KIND: Kind = Kind::Gauge;

    fn from_declaration(_: &Declaration) -> Self {
        Gauge::default()
    }

    fn add_to(&self, totals: &mut [i64]) {
        if let [total, ..] = totals {
            *total = total.wrapping_add(self.level());
        }
    }
}

impl Metric for Histogram {
    const KIND: Kind = Kind::Histogram;

    fn from_declaration(declaration: &Declaration) -> Self {
        Histogram::new(
            declaration
                .buckets
                .expect("checked when the declaration was made"),
        )
    }

    fn add_to(&self, totals: &mut [i64]) {
        let numbers = self.counts.iter().chain([&self.sum]);
        for (total, number) in totals.iter_mut().zip(numbers) {
            *total = total.wrapping_add(number.load(Relaxed).cast_signed());
        }
    }
}

impl<M: Metric + Default> Metric for Family<M> {
    const KIND: Kind = M::KIND;

    fn from_declaration(declaration: &Declaration) -> Self {
        Family::new(declaration.label.map_or(&[], |label| label.values))
    }

    fn add_to(&self, totals: &mut [i64]) {
        for (total, member) in totals.chunks_mut(1).zip(&self.members) {
            member.add_to(total);
        }
    }
}

/// What a metric is to Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It is a distribution.
    Histogram,
}

impl Kind {
    /// Its name in the exposition.
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// A label with its closed set of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Every value that it has.
    pub values: &'static [&'static str],
}

/// What is known of a metric apart from its numbers; made by [`probe!`](crate::probe).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// `corecast_<noun>_<unit>`, counters with `_total` behind it.
    pub name: &'static str,
    /// What it counts, one line of the source each.
    pub help: &'static [&'static str],
    /// What it is to Prometheus.
    pub kind: Kind,
    /// Its label, if it has one.
    pub label: Option<Label>,
    /// Its buckets, if it is a histogram.
    pub buckets: Option<Buckets>,
}

impl Declaration {
    /// The same, once it is seen to be sound; a compile error in a constant otherwise.
    ///
    /// # Panics
    /// Where the name is not `corecast_` and lower case, a counter does not end in `_total` (or
    /// anything else does), a label has no values, there is no help, or buckets and histogram do
    /// not go together.
    pub const fn checked(self) -> Self {
        let name = self.name.as_bytes();
        assert!(
            starts_with(name, b"corecast_"),
            "a metric is called corecast_..."
        );
        let mut index = 0;
        while index < name.len() {
            let plain = matches!(name[index], b'a'..=b'z' | b'0'..=b'9' | b'_');
            assert!(
                plain,
                "a metric's name is lower case, digits and underscores"
            );
            index += 1;
        }
        let total = ends_with(name, b"_total");
        assert!(
            total == matches!(self.kind, Kind::Counter),
            "counters, and only they, _total"
        );
        let histogram = matches!(self.kind, Kind::Histogram);
        assert!(
            histogram == self.buckets.is_some(),
            "histograms, and only they, have buckets"
        );
        assert!(!self.help.is_empty(), "a metric needs a help text");
        if let Some(label) = self.label {
            assert!(!label.values.is_empty(), "a label needs values");
            assert!(!histogram, "histograms have no label");
        }
        self
    }

    /// The help text in one line.
    pub fn help_line(&self) -> String {
        let lines: Vec<&str> = self.help.iter().map(|line| line.trim()).collect();
        lines.join(" ")
    }

    /// The sum of the metric's `numbers`, or the one of a label's value.
    pub(crate) fn number(&self, numbers: &[i64], label: Option<&str>) -> i64 {
        let values = self.label.map_or(&[] as &[&str], |label| label.values);
        match label {
            None => numbers.iter().sum(),
            Some(wanted) => {
                let at = values.iter().position(|value| *value == wanted);
                at.and_then(|at| numbers.get(at)).copied().unwrap_or(0)
            }
        }
    }

    /// How many numbers the metric is.
    pub fn slots(&self) -> usize {
        match (self.buckets, self.label) {
            (Some(buckets), _) => buckets.bounds.len() + 2,
            (None, Some(label)) => label.values.len(),
            (None, None) => 1,
        }
    }
}

const fn starts_with(text: &[u8], start: &[u8]) -> bool {
    match text.split_at_checked(start.len()) {
        Some((head, _)) => equal(head, start),
        None => false,
    }
}

const fn ends_with(text: &[u8], end: &[u8]) -> bool {
    text.len() >= end.len() && equal(text.split_at(text.len() - end.len()).1, end)
}

const fn equal(a: &[u8], b: &[u8]) -> bool {
    let mut index = 0;
    while index < a.len() && index < b.len() {
        if a[index] != b[index] {
            return false;
        }
        index += 1;
    }
    a.len() == b.len()
}
