//! One track on its way to parts and playlists.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use corecast_media::metadata::Metadata;
use corecast_media::track::{AccessUnit, MediaTime, Track, TrackKind};

use super::audio::frame_ticks;
use super::cutter::{Cut, Cutter, Timed};
use super::list::{List, Opening, PartLine};
use super::name::RenditionId;
use super::step::{Piece, Step};
use crate::cmaf;

/// How much later than decoded a picture is shown at most; more is taken for none.
pub(super) const DELAY_NS_MAX: i64 = 2_000_000_000;

/// How much before the line's start the first frame of sound may start: rounding only.
const EARLY_NS_MAX: i64 = 1_000_000;

/// A unit on the mount's line.
#[derive(Clone, Debug)]
pub(super) struct Mapped {
    pub(super) start_ns: i64,
    composition_ns: i64,
    pub(super) keyframe: bool,
    payload: Bytes,
}

/// A title that waits for the part in which it begins.
#[derive(Clone, Debug)]
pub(super) struct Title {
    pub(super) id: u32,
    pub(super) start_ns: i64,
    pub(super) metadata: Metadata,
}

#[derive(Debug)]
pub(super) struct Rendition {
    pub(super) id: RenditionId,
    pub(super) track: Track,
    timescale: u32,
    pub(super) cutter: Cutter,
    pub(super) list: List,
    /// Units that wait for the first rendition to come so far.
    pub(super) queue: VecDeque<Mapped>,
    /// How much later its first keyframe is shown than decoded: the line is that of what is
    /// shown, and in files decode times are earlier by it.
    delay_ns: Option<i64>,
    pub(super) needs_keyframe: bool,
    /// In ticks.
    pub(super) segment_start: u64,
    /// Where the last keyframe was and how far apart the last two were, in ticks.
    last_keyframe: Option<u64>,
    pub(super) keyframe_gap: u64,
    pub(super) discontinuity: bool,
    pub(super) map: u32,
    /// Whether its sound goes packed: without init segments, and every part is a segment.
    pub(super) packed: bool,
    sequence: u32,
    pub(super) titles: Vec<Title>,
    pub(super) peak_bps: u64,
    /// Until a segment is complete.
    pub(super) guessed_bps: u64,
    /// Complete since the last update.
    pub(super) pieces: Vec<Piece>,
    /// Whether the playlist has to be written again.
    pub(super) changed: bool,
}

impl Rendition {
    pub(super) fn new(id: RenditionId, track: Track, list: List, part_us: u64) -> Self {
        let timescale = cmaf::timescale(&track.format);
        let usual = u64::from(timescale) / 25;
        Rendition {
            id,
            timescale,
            cutter: Cutter::new(id.kind, timescale, part_us, usual, 0),
            list,
            queue: VecDeque::new(),
            delay_ns: None,
            needs_keyframe: id.kind == TrackKind::Video,
            segment_start: 0,
            last_keyframe: None,
            keyframe_gap: 0,
            discontinuity: false,
            map: 0,
            packed: false,
            sequence: 0,
            titles: Vec::new(),
            peak_bps: 0,
            guessed_bps: 0,
            pieces: Vec::new(),
            changed: false,
            track,
        }
    }

    /// Its init segment, where it has one.
    pub(super) fn init_step(&self) -> Option<Step> {
        let number = self.listed_map()?;
        Some(Step::Init {
            rendition: self.id,
            number,
            bytes: cmaf::write_init(&self.track),
        })
    }

    /// Ticks in a second of its media.
    pub(super) fn timescale(&self) -> u32 {
        self.timescale
    }

    /// The number of the init segment that its next segment needs.
    pub(super) fn listed_map(&self) -> Option<u32> {
        (!self.packed).then_some(self.map)
    }

    /// From now on its sound goes packed, or no more.
    pub(super) fn pack(&mut self, packed: bool) {
        self.packed = packed;
        self.list.packed = packed;
    }

    /// Another decoder configuration, from the next segment on.
    pub(super) fn reconfigure(&mut self, track: Track, part_us: u64) {
        self.map += 1;
        // Behind an init segment there is no way back to none.
        self.pack(self.packed && cmaf::is_packed_only(track.format.codec));
        self.timescale = cmaf::timescale(&track.format);
        self.track = track;
        let usual = u64::from(self.timescale) / 25;
        self.cutter = Cutter::new(self.id.kind, self.timescale, part_us, usual, 0);
        self.changed = true;
    }

    /// Goes on at `start_ns` of the line.
    pub(super) fn restart(&mut self, start_ns: i64, usual_us: Option<u64>) {
        let start = self.ticks(start_ns);
        self.cutter.restart(start);
        if let Some(usual_us) = usual_us {
            self.cutter
                .expect(usual_us * u64::from(self.timescale) / 1_000_000);
        }
        self.segment_start = start;
        self.queue.clear();
        self.delay_ns = None;
        self.needs_keyframe = self.id.kind == TrackKind::Video;
        self.last_keyframe = None;
    }

    /// Puts a unit on the line; none for what cannot be shown.
    pub(super) fn map(&mut self, unit: &AccessUnit, offset_ns: i64) -> Option<Mapped> {
        if self.needs_keyframe && !unit.keyframe {
            return None;
        }
        let delay_ns = match self.id.kind {
            TrackKind::Audio => 0,
            TrackKind::Video => *self.delay_ns.get_or_insert_with(|| delay_of(unit)),
        };
        let start_ns = unit
            .dts
            .as_nanos()
            .saturating_add(delay_ns)
            .saturating_add(offset_ns);
        // Sound starts with the first whole frame.
        let early_ns = match self.id.kind {
            TrackKind::Audio if self.cutter.is_fresh() => EARLY_NS_MAX,
            _ => self.nanos(self.cutter.usual()) / 2,
        };
        if start_ns.saturating_add(early_ns) < self.done_ns() {
            // Its time was given out as a gap, or never was.
            self.needs_keyframe = self.id.kind == TrackKind::Video;
            return None;
        }
        self.needs_keyframe = false;
        let shown_ns = unit.pts.as_nanos().saturating_add(offset_ns);
        Some(Mapped {
            start_ns,
            composition_ns: match self.id.kind {
                TrackKind::Audio => 0,
                TrackKind::Video => shown_ns.saturating_sub(start_ns),
            },
            keyframe: unit.keyframe || self.id.kind == TrackKind::Audio,
            payload: unit.payload.clone(),
        })
    }

    /// The unit on this rendition's clock.
    pub(super) fn timed(&self, unit: Mapped) -> Timed {
        let timescale = i128::from(self.timescale);
        let length = frame_ticks(&self.track.format, &unit.payload);
        let composition = i128::from(unit.composition_ns) * timescale;
        Timed {
            start: self.cutter.snapped(self.ticks(unit.start_ns)),
            composition: (composition + 500_000_000).div_euclid(1_000_000_000) as i64,
            length,
            keyframe: unit.keyframe,
            payload: unit.payload,
        }
    }

    /// Learns how far keyframes are apart.
    pub(super) fn on_keyframe(&mut self, start: u64) {
        if let Some(last) = self.last_keyframe.replace(start) {
            self.keyframe_gap = start.saturating_sub(last);
        }
    }

    pub(super) fn ticks(&self, nanos: i64) -> u64 {
        let ticks = MediaTime::from_nanos(nanos.max(0)).to_ticks(self.timescale);
        u64::try_from(ticks).unwrap_or(0)
    }

    pub(super) fn nanos(&self, ticks: u64) -> i64 {
        let ticks = i64::try_from(ticks).unwrap_or(i64::MAX);
        MediaTime::from_ticks(ticks, self.timescale).as_nanos()
    }

    pub(super) fn micros(&self, ticks: u64) -> u64 {
        let scale = u128::from(self.timescale);
        let micros = (u128::from(ticks) * 1_000_000 + scale / 2) / scale;
        u64::try_from(micros).unwrap_or(u64::MAX)
    }

    pub(super) fn ticks_of_micros(&self, micros: u64) -> u64 {
        micros * u64::from(self.timescale) / 1_000_000
    }

    /// Where everything that came ends.
    pub(super) fn end_ns(&self) -> i64 {
        self.nanos(self.cutter.end())
    }

    /// Where the newest unit starts, or the last gap ends.
    pub(super) fn position_ns(&self) -> i64 {
        self.nanos(self.cutter.position())
    }

    /// Before here nothing can be added.
    fn done_ns(&self) -> i64 {
        let queued = self.queue.back().map(|unit| unit.start_ns);
        queued.unwrap_or_else(|| self.position_ns())
    }

    /// Lists a part and keeps its file for the next update. `wall_ns` is the wall clock's time of
    /// the line's zero. Gives back its bytes.
    pub(super) fn publish(&mut self, cut: &Cut, wall_ns: i64) -> u64 {
        let Cut::Part {
            start,
            duration,
            samples,
        } = cut
        else {
            return 0;
        };
        let start_ns = self.nanos(*start);
        let bytes = if samples.is_empty() {
            None
        } else {
            Some(self.fragment(*start, samples, wall_ns))
        };
        let length = bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        let opening = Opening {
            start_ns,
            unix_ms: rounded_ms(start_ns.saturating_add(wall_ns)),
            map: self.listed_map(),
            discontinuity: self.discontinuity,
        };
        let line = PartLine {
            duration_us: self.micros(start + duration) - self.micros(*start),
            keyframe: samples.iter().any(|sample| sample.keyframe),
            first_is_keyframe: samples.first().is_some_and(|sample| sample.keyframe),
            gap: samples.is_empty(),
            bytes: length,
        };
        let (msn, part) = self.list.push_part(opening, line);
        self.discontinuity = false;
        self.pieces.push(Piece {
            msn,
            part,
            bytes,
            packed: self.packed,
        });
        self.changed = true;
        length
    }

    /// Lists a segment without media.
    pub(super) fn publish_gap(&mut self, from_ns: i64, to_ns: i64, wall_ns: i64) {
        let opening = Opening {
            start_ns: from_ns,
            unix_ms: rounded_ms(from_ns.saturating_add(wall_ns)),
            map: self.listed_map(),
            discontinuity: self.discontinuity,
        };
        let duration_us = u64::try_from(to_ns.saturating_sub(from_ns) / 1_000).unwrap_or(0);
        self.list.push_gap(opening, duration_us);
        self.discontinuity = false;
        self.changed = true;
    }

    fn fragment(&mut self, start: u64, samples: &[cmaf::Sample], wall_ns: i64) -> Bytes {
        self.sequence = self.sequence.wrapping_add(1);
        let events: Vec<cmaf::TimedId3> = std::mem::take(&mut self.titles)
            .into_iter()
            .map(|title| cmaf::TimedId3 {
                id: title.id,
                timescale: self.timescale,
                time_ticks: self.ticks(title.start_ns),
                metadata: title.metadata,
            })
            .collect();
        if self.packed {
            return cmaf::write_packed(start, self.timescale, samples, &events);
        }
        let unix_nanos = self.nanos(start).saturating_add(wall_ns);
        // Some players take negative composition offsets for a delay of the whole track.
        let delay = self.ticks(self.delay_ns.unwrap_or(0)).min(start);
        let delayed: Vec<cmaf::Sample> = samples
            .iter()
            .map(|sample| {
                let offset = i64::from(sample.composition_offset_ticks) + delay as i64;
                cmaf::Sample {
                    composition_offset_ticks: i32::try_from(offset).unwrap_or(i32::MAX),
                    ..sample.clone()
                }
            })
            .collect();
        cmaf::write_fragment(&cmaf::Fragment {
            sequence: self.sequence,
            track: self.track.id,
            codec: self.track.format.codec,
            decode_time_ticks: start - delay,
            samples: &delayed,
            events: &events,
            produced: u64::try_from(unix_nanos)
                .ok()
                .map(|unix_nanos| cmaf::Produced { unix_nanos }),
        })
    }

    /// Ends the open segment; false where it has no parts.
    pub(super) fn close(&mut self, at: u64, target_duration_s: u32) -> bool {
        self.segment_start = at;
        if !self.list.close() {
            return false;
        }
        if let Some(last) = self.list.segments.back() {
            // Section 4.4.6.2: what is shorter than half the target duration says nothing.
            let half_us = u64::from(target_duration_s) * 500_000;
            if last.duration_us >= half_us {
                let bps = last.bytes.saturating_mul(8_000_000) / last.duration_us.max(1);
                self.peak_bps = self.peak_bps.max(bps);
            }
        }
        self.changed = true;
        true
    }

    /// Bits per second of the complete segments that are listed.
    pub(super) fn average_bps(&self) -> Option<u64> {
        let (mut bytes, mut micros) = (0_u64, 0_u64);
        for segment in self.list.complete().filter(|segment| !segment.gap) {
            bytes += segment.bytes;
            micros += segment.duration_us;
        }
        (micros > 0).then(|| bytes.saturating_mul(8_000_000) / micros)
    }

    /// A list of gaps beside that of another rendition: same numbers, same lengths, but for those
    /// below `unused`, which named something else when the rendition was there before.
    pub(super) fn follow(&mut self, other: &List, unused: u64, part_us: u64) {
        let first_msn = other.first_msn().max(unused);
        let mut list = List::new(self.id, Arc::clone(&other.epoch), first_msn);
        list.packed = self.packed;
        let left_out = other.segments.iter().filter(|one| one.msn < first_msn);
        let before = left_out.filter(|one| one.discontinuity).count() as u64;
        list.discontinuity_sequence = other.discontinuity_sequence + before;
        for segment in other.complete().filter(|one| one.msn >= first_msn) {
            let mut left_us = segment.duration_us;
            let mut opening = Opening {
                start_ns: segment.start_ns,
                unix_ms: segment.unix_ms,
                map: self.listed_map(),
                discontinuity: segment.discontinuity,
            };
            while left_us > 0 {
                let duration_us = left_us.min(part_us);
                let (msn, part) = list.push_part(opening, PartLine::gap(duration_us));
                self.pieces.push(Piece {
                    msn,
                    part,
                    bytes: None,
                    packed: self.packed,
                });
                opening.discontinuity = false;
                left_us -= duration_us;
            }
            list.close();
        }
        self.list = list;
        self.changed = true;
    }
}

fn delay_of(unit: &AccessUnit) -> i64 {
    let delay_ns = unit.pts.since(unit.dts);
    if (0..=DELAY_NS_MAX).contains(&delay_ns) {
        delay_ns
    } else {
        0
    }
}

/// The nearest millisecond.
pub(super) fn rounded_ms(nanos: i64) -> i64 {
    nanos.saturating_add(500_000).div_euclid(1_000_000)
}
