//! Cuts one rendition's units into parts and segments, on the rendition's own clock.
//!
//! The clock is continuous: every sample lasts until the next one starts. So one unit is held
//! back, until the next says how long it lasts. Parts are never longer than the part target, and
//! reach [`PART_FILL_PERCENT`] of it unless they are the last of their segment
//! (draft-pantos-hls-rfc8216bis section 4.4.4.9). Where frames do not add up to that, a picture's
//! decode time is moved ahead. When it is shown does not change, unless it is the first of its
//! segment: that is shown where the segment starts, because dates and the other renditions say so.
//! Time without units becomes gaps.

use bytes::Bytes;
use corecast_media::track::TrackKind;

use crate::cmaf::Sample;

/// How much of the part target a part fills at least; the draft says 85.
pub(super) const PART_FILL_PERCENT: u64 = 86;

/// Sound may be this far from where its samples put it, in milliseconds, however short its
/// frames are: sources round times.
const SNAP_MS: u64 = 12;

/// Over a hole shorter than this, in milliseconds, the next picture is decoded earlier than it
/// could be: the one before stays until it is shown. Longer ones are gaps.
const MOVED_MS_MAX: u64 = 1_000;

/// A unit on the rendition's clock.
#[derive(Clone, Debug)]
pub(super) struct Timed {
    /// When it is decoded, in ticks.
    pub(super) start: u64,
    /// How much later it is shown; may be negative.
    pub(super) composition: i64,
    /// How long its samples last, where the coding tells it; 0 where it does not.
    pub(super) length: u64,
    /// Whether a decoder may start here.
    pub(super) keyframe: bool,
    /// The coded bytes.
    pub(super) payload: Bytes,
}

/// What is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// A part.
    Part {
        /// Its decode time in ticks.
        start: u64,
        /// Its length in ticks.
        duration: u64,
        /// Empty for a gap.
        samples: Vec<Sample>,
    },
    /// The segment that the parts before belong to.
    SegmentEnd {
        /// Where the next one starts, in ticks.
        at: u64,
    },
}

/// The state of one rendition.
#[derive(Debug)]
pub(super) struct Cutter {
    kind: TrackKind,
    timescale: u64,
    part_max: u64,
    part_min: u64,
    /// How long a unit usually lasts.
    usual: u64,
    part_start: u64,
    samples: Vec<Sample>,
    /// Starts at `position`.
    held: Option<Timed>,
    /// Where what was given out or is in the open part ends.
    position: u64,
    /// The latest tick at which something is shown.
    newest_shown: u64,
    /// Whether nothing came yet.
    fresh: bool,
    /// Whether the next unit is the first of its segment.
    opens: bool,
}

impl Cutter {
    /// Starts at tick `start`. `part_us` is the part target in microseconds, `usual` the length of
    /// a usual unit in ticks.
    pub(super) fn new(
        kind: TrackKind,
        timescale: u32,
        part_us: u64,
        usual: u64,
        start: u64,
    ) -> Self {
        let timescale = u64::from(timescale.max(1));
        let part_max = (part_us * timescale / 1_000_000).max(1);
        Cutter {
            kind,
            timescale,
            part_max,
            part_min: (part_max * PART_FILL_PERCENT).div_ceil(100),
            usual: usual.max(1),
            part_start: start,
            samples: Vec::new(),
            held: None,
            position: start,
            newest_shown: start,
            fresh: true,
            opens: true,
        }
    }

    /// Where the next unit that starts about at `start` is put: behind the last one, if the
    /// difference is only the source's rounding.
    pub(super) fn snapped(&self, start: u64) -> u64 {
        match &self.held {
            Some(held) if held.length > 0 => {
                let natural = held.start + held.length;
                let tolerance = (held.length * 3 / 4).max(SNAP_MS * self.timescale / 1_000);
                if natural.abs_diff(start) <= tolerance {
                    natural
                } else {
                    start
                }
            }
            _ => start,
        }
    }

    /// Where everything that came ends, as far as is known.
    pub(super) fn end(&self) -> u64 {
        match &self.held {
            Some(held) => held.start + self.length_of(held),
            None => self.position,
        }
    }

    /// Whether nothing came since the start.
    pub(super) fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Where the newest unit starts, or the last gap ends.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// How long a usual unit lasts, in ticks.
    pub(super) fn usual(&self) -> u64 {
        self.usual
    }

    /// Units will last about so many ticks.
    pub(super) fn expect(&mut self, usual: u64) {
        self.usual = usual.max(1);
    }

    /// The part target in ticks.
    pub(super) fn part_max(&self) -> u64 {
        self.part_max
    }

    /// Takes the next unit; `boundary` says that a segment starts with it.
    pub(super) fn push(&mut self, mut unit: Timed, boundary: bool, out: &mut Vec<Cut>) {
        // A track of sound starts with its first frame, not with a gap.
        let near = unit.start.saturating_sub(self.position) <= self.length_of(&unit) * 3 / 2;
        if std::mem::take(&mut self.fresh) && self.kind == TrackKind::Audio && near {
            self.position = self.position.max(unit.start);
            self.part_start = self.position;
        }
        self.settle(unit.start, boundary, unit.keyframe, out);
        if self.kind == TrackKind::Video {
            unit.composition = self.moved(&unit);
        }
        unit.start = self.position;
        self.held = Some(unit);
    }

    /// How much later than decoded a picture is shown that is decoded at the position.
    fn moved(&mut self, unit: &Timed) -> i64 {
        let opens = std::mem::take(&mut self.opens);
        let is_first = opens && unit.composition.unsigned_abs() <= self.usual / 2;
        let shown = unit.start.saturating_add_signed(unit.composition);
        let shown = if is_first {
            shown.min(self.position.max(self.newest_shown + 1))
        } else {
            shown
        };
        self.newest_shown = self.newest_shown.max(shown);
        shown.cast_signed().saturating_sub_unsigned(self.position)
    }

    /// Gives out what is there and fills the time up to `to` with gaps, as far as whole parts go;
    /// with `boundary` the segment ends exactly there.
    pub(super) fn fill(&mut self, to: u64, boundary: bool, out: &mut Vec<Cut>) {
        if self.held.is_some() {
            let until = self.limit().max(self.end());
            let until = if boundary { until.min(to) } else { until };
            self.settle(until, false, false, out);
        }
        self.close_part(out);
        while self.position + self.part_max <= to {
            self.gap(self.position + self.part_max, out);
        }
        if boundary {
            self.gap(to, out);
            self.end_segment(out);
        }
    }

    /// Gives out what is there and ends the segment. The last unit has its usual length, or lasts
    /// until `to` if that is later and in the same part.
    pub(super) fn finish(&mut self, to: u64, out: &mut Vec<Cut>) {
        if self.held.is_some() {
            let end = self.end();
            let to = to.clamp(end, self.limit().max(end));
            self.settle(to, false, false, out);
        }
        self.close_part(out);
        self.end_segment(out);
    }

    fn end_segment(&mut self, out: &mut Vec<Cut>) {
        out.push(Cut::SegmentEnd { at: self.position });
        self.opens = true;
    }

    /// Goes on at `start`, which is not before the end.
    pub(super) fn restart(&mut self, start: u64) {
        self.held = None;
        self.samples.clear();
        self.part_start = start;
        self.position = start;
        self.newest_shown = start;
        self.fresh = true;
        self.opens = true;
    }

    /// The unit that is held back lasts until `next`, where another one or nothing follows.
    fn settle(&mut self, next: u64, boundary: bool, keyframe: bool, out: &mut Vec<Cut>) {
        match self.held.take() {
            None => self.bridge(next, out),
            Some(held) => self.place(held, next, keyframe, out),
        }
        if boundary {
            self.close_part(out);
            self.end_segment(out);
        }
    }

    fn place(&mut self, held: Timed, next: u64, keyframe: bool, out: &mut Vec<Cut>) {
        let next = next.max(held.start + 1);
        let natural = held.start + self.length_of(&held);
        let before = held.start - self.part_start;
        // A picture can be cut short where the part ends, a frame of sound cannot.
        let splits = self.kind == TrackKind::Video;
        let too_long = next > self.part_start + self.part_max;
        if too_long && (before >= self.part_min || !splits && natural > next.min(self.limit())) {
            self.close_part(out);
        }
        let end = if next <= self.limit() {
            next
        } else if splits {
            self.limit()
        } else {
            self.limit().max(natural.min(next))
        };
        self.usual = match held.length {
            0 => (self.usual * 7 + (next - held.start).min(self.part_max)).div_ceil(8),
            length => length,
        };
        self.add(held, end);
        let length = self.position - self.part_start;
        let full = length >= self.part_min && (keyframe || length + self.usual > self.part_max);
        if full || end < next {
            self.close_part(out);
            self.bridge(next, out);
        }
    }

    /// From the position to `next`, where a unit starts.
    fn bridge(&mut self, next: u64, out: &mut Vec<Cut>) {
        let hole = next.saturating_sub(self.position);
        let moved_max = self.part_max.max(MOVED_MS_MAX * self.timescale / 1_000);
        let moves = self.kind == TrackKind::Video && hole < moved_max;
        if hole > 0 && !moves {
            self.close_part(out);
            while self.position + self.part_max < next {
                self.gap(self.position + self.part_max, out);
            }
            self.gap(next, out);
        }
    }

    fn limit(&self) -> u64 {
        self.part_start + self.part_max
    }

    fn length_of(&self, unit: &Timed) -> u64 {
        if unit.length > 0 {
            unit.length
        } else {
            self.usual
        }
    }

    fn add(&mut self, unit: Timed, end: u64) {
        let duration = end.saturating_sub(unit.start).max(1);
        let composition = unit
            .composition
            .clamp(i64::from(i32::MIN), i64::from(i32::MAX));
        self.samples.push(Sample {
            payload: unit.payload,
            duration_ticks: u32::try_from(duration).unwrap_or(u32::MAX),
            composition_offset_ticks: composition as i32,
            keyframe: unit.keyframe,
        });
        self.position = unit.start + duration;
    }

    fn close_part(&mut self, out: &mut Vec<Cut>) {
        if self.samples.is_empty() {
            return;
        }
        let samples = std::mem::take(&mut self.samples);
        let duration = samples
            .iter()
            .map(|sample| u64::from(sample.duration_ticks))
            .sum();
        out.push(Cut::Part {
            start: self.part_start,
            duration,
            samples,
        });
        self.part_start += duration;
    }

    fn gap(&mut self, to: u64, out: &mut Vec<Cut>) {
        if to > self.position {
            out.push(Cut::Part {
                start: self.position,
                duration: to - self.position,
                samples: Vec::new(),
            });
            self.position = to;
        }
        self.part_start = self.position;
    }
}
