//! Units before the line starts: what is learned from them before anything is announced.

use std::collections::VecDeque;

use corecast_media::track::{AccessUnit, Track, TrackId, TrackKind};

use super::audio::frame_ticks;
use super::timing::Learned;
use crate::cmaf;

/// The most units that wait; then the line starts with what there is.
const UNITS_MAX: usize = 8_192;

/// The same in bytes.
const BYTES_MAX: usize = 64 << 20;

/// How long the other tracks wait for the first keyframe.
const KEYFRAME_WAIT_NS: i64 = 3_000_000_000;

/// How many units of sound tell enough of a mount without pictures.
const SOUNDS_MIN: usize = 3;

/// Pictures are regular if none is further from the mean than this, in microseconds.
const REGULAR_US: f64 = 3_000.0;

/// What rounding to milliseconds does to a part's length, in microseconds.
const ROUNDED_US: f64 = 1_200.0;

#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// With the wall clock's milliseconds at which each came.
    units: VecDeque<(u64, AccessUnit)>,
    bytes: usize,
}

/// Where the line may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// What is shown first, on the source's clock in nanoseconds.
    pub(super) zero_ns: i64,
    /// Nanoseconds that the wall clock is ahead of the source's, by the unit that was the least
    /// late.
    pub(super) wall_ns: i64,
}

impl Backlog {
    /// Pictures before the first keyframe are let go.
    pub(super) fn push(&mut self, unix_ms: u64, unit: AccessUnit, is_video: bool) {
        let mut before = self.of(unit.track);
        if is_video && !unit.keyframe && !before.any(|unit| unit.keyframe) {
            return;
        }
        drop(before);
        self.bytes += unit.payload.len();
        self.units.push_back((unix_ms, unit));
    }

    /// Whether a unit is further than `most_ns` from the one before it.
    pub(super) fn jumps(&self, unit: &AccessUnit, most_ns: u64) -> bool {
        let (new, last) = (unit.dts.as_nanos(), self.units.back());
        last.is_some_and(|(_, last)| last.dts.as_nanos().abs_diff(new) > most_ns)
    }

    pub(super) fn clear(&mut self) {
        self.units.clear();
        self.bytes = 0;
    }

    pub(super) fn take(&mut self) -> VecDeque<(u64, AccessUnit)> {
        self.bytes = 0;
        std::mem::take(&mut self.units)
    }

    /// Bytes of a track, and the microseconds in which they came.
    pub(super) fn measured(&self, track: TrackId) -> (u64, u64) {
        let bytes: u64 = self.of(track).map(|unit| unit.payload.len() as u64).sum();
        let last = self
            .of(track)
            .last()
            .map_or(0, |unit| unit.payload.len() as u64);
        let span = self.span_ns(track).max(0) as u64 / 1_000;
        (bytes - last, span)
    }

    /// The source's clock where the line can start, if it can; `tracks` starts with the one that
    /// leads. With `whole` there will be no more.
    pub(super) fn start(
        &self,
        tracks: &[&Track],
        learning_ns: Option<i64>,
        whole: bool,
    ) -> Option<Start> {
        let first = tracks.first()?;
        let lead = |unit: &&AccessUnit| unit.track == first.id;
        let is_video = first.format.codec.kind() == TrackKind::Video;
        let mut units = self.units.iter().map(|(_, unit)| unit).filter(lead);
        let start = units.find(|unit| !is_video || unit.keyframe);
        let Some(start) = start else {
            // Only other tracks came, or pictures without a keyframe.
            let late = whole || self.is_full() || self.waited_ns() >= KEYFRAME_WAIT_NS;
            let mut others = self.units.iter().map(|(_, unit)| unit);
            let other = others.find(|unit| unit.track != first.id)?;
            return late.then(|| self.start_at(other.pts.as_nanos()));
        };
        let (zero_ns, dts) = (start.pts.as_nanos(), start.dts);
        if let (Some(target_ns), false) = (learning_ns, whole || self.is_full()) {
            let newest = self.of(first.id).last()?;
            let knows = if is_video {
                units.any(|unit| unit.keyframe) || newest.dts.since(dts) >= target_ns
            } else {
                self.of(first.id).count() >= SOUNDS_MIN
            };
            if !knows {
                return None;
            }
        }
        Some(self.start_at(zero_ns))
    }

    /// What the tracks are like; those that say nothing yet are guessed.
    pub(super) fn learned(&self, tracks: &[&Track]) -> Learned {
        let is_packed = |track: &&&Track| cmaf::is_packed_only(track.format.codec);
        let mut learned = Learned {
            packed: tracks.len() == 1 && tracks.first().filter(is_packed).is_some(),
            ..Learned::default()
        };
        for track in tracks {
            let format = &track.format;
            let timescale = f64::from(cmaf::timescale(format));
            match format.codec.kind() {
                TrackKind::Video if learned.picture_us.is_none() => {
                    learned.picture_us = Some(self.pictures(track));
                    learned.gop_us = self.gop_us(track.id);
                }
                TrackKind::Video => {}
                TrackKind::Audio => {
                    let payload = self.of(track.id).next().map(|unit| &unit.payload[..]);
                    let ticks = frame_ticks(format, payload.unwrap_or_default());
                    if ticks > 0 {
                        learned.sound_us.push(ticks as f64 * 1e6 / timescale);
                    }
                }
            }
        }
        learned
    }

    fn pictures(&self, track: &Track) -> (f64, f64) {
        let times: Vec<i64> = self.of(track.id).map(|unit| unit.dts.as_nanos()).collect();
        let lengths: Vec<f64> = times
            .windows(2)
            .map(|pair| (pair[1] - pair[0]) as f64 / 1e3)
            .collect();
        if lengths.is_empty() {
            let rate = track.format.frame_rate_millihz;
            let length = if rate > 0 {
                1e9 / f64::from(rate)
            } else {
                40_000.0
            };
            return (length, ROUNDED_US);
        }
        let mean = lengths.iter().sum::<f64>() / lengths.len() as f64;
        let furthest = lengths
            .iter()
            .map(|length| (length - mean).abs())
            .fold(0.0, f64::max);
        // Irregular ones are fitted to the parts by their decode times.
        let jitter = if furthest <= REGULAR_US {
            furthest.max(ROUNDED_US)
        } else {
            0.0
        };
        (mean.max(1.0), jitter)
    }

    fn gop_us(&self, track: TrackId) -> Option<u64> {
        let mut keyframes = self.of(track).filter(|unit| unit.keyframe);
        let (first, second) = (keyframes.next()?, keyframes.next()?);
        u64::try_from(second.dts.since(first.dts) / 1_000).ok()
    }

    fn start_at(&self, zero_ns: i64) -> Start {
        let wall = |(unix_ms, unit): &(u64, AccessUnit)| {
            let unix_ns = i64::try_from(*unix_ms)
                .unwrap_or(i64::MAX)
                .saturating_mul(1_000_000);
            unix_ns.saturating_sub(unit.pts.as_nanos())
        };
        let wall_ns = self.units.iter().map(wall).min().unwrap_or(0);
        Start { zero_ns, wall_ns }
    }

    fn of(&self, track: TrackId) -> impl Iterator<Item = &AccessUnit> {
        let units = self.units.iter().map(|(_, unit)| unit);
        units.filter(move |unit| unit.track == track)
    }

    fn span_ns(&self, track: TrackId) -> i64 {
        match (self.of(track).next(), self.of(track).last()) {
            (Some(first), Some(last)) => last.dts.since(first.dts),
            _ => 0,
        }
    }

    fn waited_ns(&self) -> i64 {
        match (self.units.front(), self.units.back()) {
            (Some((_, first)), Some((_, last))) => last.dts.since(first.dts),
            _ => 0,
        }
    }

    fn is_full(&self) -> bool {
        self.units.len() >= UNITS_MAX || self.bytes >= BYTES_MAX
    }
}
