//! From access units to steps: what a mount's home runs while somebody watches by HLS.
//!
//! Everything happens on one **line**: nanoseconds of what is shown, from the first keyframe on,
//! without holes. The first rendition (the first video track, or else the first sound)
//! leads: it decides where segments end, and the others are cut at the same places. Each is given
//! out no earlier than the leader has come so far, so that all have the same segments.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use corecast_media::frame::MediaEvent;
use corecast_media::metadata::Metadata;
use corecast_media::time::Time;
use corecast_media::track::{AccessUnit, Track, TrackFormat, TrackKind};

use super::backlog::{Backlog, Start};
use super::daterange::Dateranges;
use super::list::List;
use super::multivariant::{self, Offer};
use super::name::{RenditionId, is_epoch};
use super::playlist::{self, Report, Surroundings};
use super::rendition::{DELAY_NS_MAX, Rendition, Title, rounded_ms};
use super::retention::Retention;
use super::settings::PackagerSettings;
use super::step::{Multivariant, Rendered, Step, Update};
use super::timing::Timing;

/// How far a track may be behind the newest unit of all, in nanoseconds; then its time is filled
/// with gaps.
pub(super) const SKEW_NS: i64 = 1_000_000_000;

/// Past a jump that nobody announced of more than this, in nanoseconds, it is another clock.
pub(super) const JUMP_NS_MAX: u64 = 10_000_000_000;

/// A hole in all tracks at once is bridged or filled up to here, in nanoseconds; over a longer one
/// the line goes on with a discontinuity.
const HOLE_NS_MAX: i64 = 1_000_000_000;

/// How long a silent source is waited for at least, in microseconds: a network that stalls so long
/// leaves no trace.
const SILENCE_US_MIN: u64 = 1_500_000;

/// How many titles wait for the next part at most.
const TITLES_MAX: usize = 16;

/// One mount's packager.
#[derive(Debug)]
pub struct Packager {
    pub(super) settings: PackagerSettings,
    pub(super) steps: VecDeque<Step>,
    pub(super) phase: Phase,
    pub(super) backlog: Backlog,
    pub(super) clock: Clock,
    pub(super) timing: Option<Timing>,
    /// The tracks that the source has now.
    tracks: Arc<[Track]>,
    /// In the order of ids: the first leads.
    pub(super) renditions: Vec<Rendition>,
    /// Where segments of the leader start, by their number.
    pub(super) boundaries: VecDeque<(u64, i64)>,
    dateranges: Dateranges,
    pub(super) retention: Retention,
    /// Whether every segment so far starts with a keyframe.
    pub(super) independent: bool,
    multivariant: String,
    /// Counts playlists of all kinds.
    version: u64,
    /// The next init segment of every rendition that ever was.
    inits: BTreeMap<RenditionId, u32>,
    /// The first number that each rendition which went did not use.
    unused: BTreeMap<RenditionId, u64>,
    /// No segment has this number yet, nor one above.
    next_msn: u64,
    pub(super) multivariant_due: bool,
    /// The segment below which the last manifest has all, and whether that said the end.
    pub(super) manifest_of: (u64, bool),
    /// Where its first period starts, in milliseconds since 1970.
    pub(super) manifest_start_ms: Option<i64>,
    /// How long it says that segments are, in microseconds.
    pub(super) manifest_target_us: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing is announced: units are gathered to learn what they are like.
    Learning,
    /// A keyframe is waited for. Whether the source's clock goes on.
    Syncing {
        keeps_clock: bool,
    },
    Running,
    Ended,
}

/// What connects the source's clock, the line, the wall clock and the node's.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// From the source's clock to the line.
    pub(super) offset_ns: i64,
    /// From the source's clock to the wall clock.
    pub(super) source_wall_ns: i64,
    /// From the line to the wall clock.
    pub(super) wall_ns: i64,
    /// The newest unit of all, on the line.
    pub(super) newest_ns: i64,
    /// When it came.
    pub(super) heard: Time,
    /// When the next gap follows, while the source is silent.
    pub(super) gap_due: Option<Time>,
    /// The newest time that was heard of.
    pub(super) now: Time,
}

impl Packager {
    /// Knows no tracks yet. An epoch that is none becomes `0`.
    pub fn new(settings: PackagerSettings) -> Self {
        let mut settings = settings;
        if !is_epoch(&settings.epoch) {
            settings.epoch = Arc::from("0");
        }
        Packager {
            steps: VecDeque::new(),
            phase: Phase::Learning,
            backlog: Backlog::default(),
            clock: Clock::default(),
            timing: None,
            tracks: Arc::from([]),
            renditions: Vec::new(),
            boundaries: VecDeque::new(),
            dateranges: Dateranges::default(),
            retention: Retention::new(settings.first_msn),
            independent: true,
            multivariant: String::new(),
            version: 0,
            inits: BTreeMap::new(),
            unused: BTreeMap::new(),
            next_msn: settings.first_msn,
            multivariant_due: false,
            manifest_of: (settings.first_msn, false),
            manifest_start_ms: None,
            manifest_target_us: None,
            settings,
        }
    }

    /// Takes [`MediaEvent::Tracks`], [`MediaEvent::Unit`] or [`MediaEvent::Metadata`]; others say
    /// nothing to it. Units of a track come in the order of decoding, with repaired times.
    ///
    /// `unix_ms` is the wall clock's time (milliseconds since 1970, UTC) at which the event came
    /// to the node: now, or earlier for what was kept in a GOP cache. `discontinuity` says that
    /// the times of this unit, or of those that follow the tracks, do not continue those before.
    pub fn push(&mut self, now: Time, unix_ms: u64, event: &MediaEvent, discontinuity: bool) {
        self.clock.now = self.clock.now.max(now);
        match event {
            MediaEvent::Tracks(tracks) => {
                self.on_tracks(tracks);
                if discontinuity {
                    self.restart(false);
                }
            }
            MediaEvent::Unit(unit) => self.on_unit(now, unix_ms, unit, discontinuity),
            MediaEvent::Metadata(metadata) => self.on_metadata(unix_ms, metadata),
            _ => {}
        }
        self.flush();
    }

    /// Does what is due: the time of a silent source becomes segments that are gaps.
    pub fn handle_timeout(&mut self, now: Time) {
        self.clock.now = self.clock.now.max(now);
        if self.poll_timeout().is_some_and(|due| due <= now) {
            self.on_silence();
            self.flush();
        }
    }

    /// When [`Self::handle_timeout`] is due; none for never.
    pub fn poll_timeout(&self) -> Option<Time> {
        let timing = self.timing.as_ref()?;
        if !self.is_given_out() || self.renditions.is_empty() {
            return None;
        }
        if self.clock.gap_due.is_some() {
            return self.clock.gap_due;
        }
        let td_us = u64::from(timing.target_duration_s) * 1_000_000;
        Some(self.clock.heard + Duration::from_micros(td_us.max(SILENCE_US_MIN)))
    }

    /// The source is gone for good: what is left is given out and every playlist ends.
    pub fn end(&mut self, now: Time) {
        if self.phase == Phase::Ended {
            return;
        }
        if self.phase != Phase::Running {
            self.try_start(now, true);
        }
        self.drain_queues();
        self.finish_all();
        for rendition in &mut self.renditions {
            rendition.list.ended = true;
            rendition.changed = true;
        }
        self.phase = Phase::Ended;
        self.backlog.clear();
        self.flush();
    }

    /// The next step, in order.
    pub fn poll_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// Whether playlists exist and go on.
    fn is_given_out(&self) -> bool {
        self.timing.is_some() && matches!(self.phase, Phase::Running | Phase::Syncing { .. })
    }

    fn on_tracks(&mut self, tracks: &Arc<[Track]>) {
        let same = self.tracks.len() == tracks.len()
            && self
                .tracks
                .iter()
                .zip(tracks.iter())
                .all(|(old, new)| old.id == new.id && is_same(&old.format, &new.format));
        if same || self.phase == Phase::Ended {
            return;
        }
        self.tracks = Arc::clone(tracks);
        if self.timing.is_none() {
            self.backlog.clear();
            return;
        }
        self.restart(true);
        self.reconfigure();
    }

    fn on_unit(&mut self, now: Time, unix_ms: u64, unit: &AccessUnit, discontinuity: bool) {
        let track = self.tracks.iter().find(|track| track.id == unit.track);
        let Some(track) = track.filter(|_| self.phase != Phase::Ended) else {
            return;
        };
        let is_video = track.format.codec.kind() == TrackKind::Video;
        if self.phase == Phase::Running {
            let line_ns = unit.dts.as_nanos().saturating_add(self.clock.offset_ns);
            let jumps = line_ns.abs_diff(self.clock.newest_ns) > JUMP_NS_MAX;
            let hole = line_ns.saturating_sub(self.clock.newest_ns) > HOLE_NS_MAX;
            if discontinuity || jumps {
                self.restart(false);
            } else if self.clock.gap_due.is_some() || hole {
                self.restart(true);
            }
        } else if discontinuity || self.backlog.jumps(unit, JUMP_NS_MAX) {
            self.backlog.clear();
            if let Phase::Syncing { keeps_clock } = &mut self.phase {
                *keeps_clock = false;
            }
        }
        if self.phase == Phase::Running {
            self.run(now, unit);
        } else {
            self.backlog.push(unix_ms, unit.clone(), is_video);
            self.try_start(now, false);
        }
    }

    fn on_metadata(&mut self, unix_ms: u64, metadata: &Metadata) {
        let started = self.timing.is_some();
        let start_ns = if started { self.clock.newest_ns } else { 0 };
        let unix_ms = if started {
            rounded_ms(start_ns.saturating_add(self.clock.wall_ns))
        } else {
            i64::try_from(unix_ms).unwrap_or(i64::MAX)
        };
        let epoch = &self.settings.epoch;
        if !self.dateranges.push(epoch, start_ns, unix_ms, metadata) {
            return;
        }
        let id = self.dateranges.count() as u32;
        if let Some(leader) = self.renditions.first_mut() {
            if leader.titles.len() >= TITLES_MAX {
                leader.titles.remove(0);
            }
            leader.titles.push(Title {
                id,
                start_ns,
                metadata: metadata.clone(),
            });
        }
    }

    /// Everything so far is given out; what comes next starts with a keyframe behind it.
    fn restart(&mut self, keeps_clock: bool) {
        if self.phase == Phase::Running {
            self.drain_queues();
            self.finish_all();
        }
        self.backlog.clear();
        self.phase = match self.phase {
            Phase::Learning | Phase::Ended => self.phase,
            Phase::Syncing { keeps_clock: kept } => Phase::Syncing {
                keeps_clock: kept && keeps_clock,
            },
            Phase::Running => Phase::Syncing { keeps_clock },
        };
    }

    /// Starts the line if the backlog allows it.
    fn try_start(&mut self, now: Time, whole: bool) {
        let known = Arc::clone(&self.tracks);
        let ids = numbered(&known);
        let tracks: Vec<&Track> = ids.iter().map(|(_, track)| *track).collect();
        let learning_ns = match self.phase {
            Phase::Learning => {
                Some(i64::try_from(self.settings.target.as_nanos()).unwrap_or(i64::MAX))
            }
            _ => None,
        };
        let Some(start) = self.backlog.start(&tracks, learning_ns, whole) else {
            return;
        };
        let learned = self.backlog.learned(&tracks);
        let usual_us = learned.picture_us.map(|(mean, _)| mean as u64);
        if self.timing.is_none() {
            let timing = Timing::choose(&self.settings, &learned);
            for (id, track) in &ids {
                let mut rendition = self.opened(*id, track, timing.part_us);
                rendition.pack(timing.packed);
                self.renditions.push(rendition);
            }
            self.title_again();
            self.timing = Some(timing);
            self.announce();
        }
        self.start(now, start, usual_us);
    }

    /// A rendition without segments.
    fn opened(&mut self, id: RenditionId, track: &Track, part_us: u64) -> Rendition {
        let list = List::new(id, Arc::clone(&self.settings.epoch), self.next_msn);
        let mut rendition = Rendition::new(id, track.clone(), list, part_us);
        let next = self.inits.entry(id).or_default();
        rendition.map = *next;
        *next += 1;
        rendition
    }

    /// A leader that is new says what plays.
    fn title_again(&mut self) {
        let id = self.dateranges.count() as u32;
        let start_ns = self.clock.newest_ns.max(DELAY_NS_MAX);
        if let (Some(leader), Some(metadata)) =
            (self.renditions.first_mut(), self.dateranges.current())
        {
            leader.titles.push(Title {
                id,
                start_ns,
                metadata: metadata.clone(),
            });
        }
    }

    /// The first steps.
    fn announce(&mut self) {
        for rendition in &mut self.renditions {
            let (bytes, micros) = self.backlog.measured(rendition.track.id);
            let bits = bytes.saturating_mul(8_000_000);
            rendition.guessed_bps = bits.checked_div(micros).unwrap_or(0);
        }
        self.write_multivariant();
        for rendition in &self.renditions {
            self.steps.extend(rendition.init_step());
        }
    }

    fn start(&mut self, now: Time, start: Start, usual_us: Option<u64>) {
        // Gaps may have been given out while a keyframe was waited for.
        self.finish_all();
        let line_ns = self.renditions.iter().map(Rendition::position_ns).max();
        // Decode times may be earlier than the line.
        let line_ns = line_ns.unwrap_or(0).max(DELAY_NS_MAX);
        let keeps_clock = self.phase == Phase::Syncing { keeps_clock: true };
        let clock = &mut self.clock;
        clock.offset_ns = line_ns.saturating_sub(start.zero_ns);
        if !keeps_clock {
            clock.source_wall_ns = start.wall_ns;
        }
        clock.wall_ns = clock.source_wall_ns.saturating_sub(clock.offset_ns);
        clock.newest_ns = line_ns;
        clock.heard = now;
        clock.gap_due = None;
        self.boundaries.clear();
        for rendition in &mut self.renditions {
            let usual_us = usual_us.filter(|_| rendition.id.kind == TrackKind::Video);
            rendition.restart(line_ns, usual_us);
            rendition.discontinuity = !rendition.list.segments.is_empty();
        }
        self.phase = Phase::Running;
        for (_, unit) in self.backlog.take() {
            self.run(now, &unit);
        }
    }

    /// Makes the renditions those of the tracks, with new init segments where they changed.
    fn reconfigure(&mut self) {
        let Some(part_us) = self.timing.as_ref().map(|timing| timing.part_us) else {
            return;
        };
        let tracks = Arc::clone(&self.tracks);
        let mut before = std::mem::take(&mut self.renditions);
        let open_msn = before.iter().map(|one| one.list.open_msn + 1).max();
        self.next_msn = self.next_msn.max(open_msn.unwrap_or(0));
        let line_ns = before.iter().map(Rendition::position_ns).max().unwrap_or(0);
        let (mut found, mut inits) = (Vec::new(), Vec::new());
        for (id, track) in numbered(&tracks) {
            let at = before.iter().position(|rendition| rendition.id == id);
            let mut rendition = match at {
                Some(at) => before.swap_remove(at),
                None => {
                    let mut new = self.opened(id, track, part_us);
                    if let Some(other) = found.first().or(before.first()) {
                        let other: &Rendition = other;
                        let unused = self.unused.get(&id).copied().unwrap_or(0);
                        new.follow(&other.list, unused, part_us);
                    }
                    inits.extend(new.init_step());
                    new
                }
            };
            if !is_same(&rendition.track.format, &track.format) {
                rendition.reconfigure(track.clone(), part_us);
                self.inits.insert(id, rendition.map + 1);
                inits.extend(rendition.init_step());
            }
            rendition.track = track.clone();
            let start = rendition.ticks(line_ns);
            rendition.cutter.restart(start);
            rendition.segment_start = start;
            found.push(rendition);
        }
        for gone in before {
            let last = gone.list.last().map(|(msn, _)| msn + 1);
            let unused = last.unwrap_or(gone.list.open_msn);
            self.unused.insert(gone.id, unused);
            // The others' reports name it no longer.
            found.iter_mut().for_each(|stays| stays.changed = true);
        }
        self.renditions = found;
        self.write_multivariant();
        self.steps.extend(inits);
    }

    /// Says what changed: the multivariant playlist first, then one update for each rendition.
    fn flush(&mut self) {
        if std::mem::take(&mut self.multivariant_due) {
            self.write_multivariant();
        }
        let Some(timing) = &self.timing else {
            return;
        };
        let leader = self.renditions.first();
        let first = leader.and_then(|leader| leader.list.segments.front());
        if let Some(first) = first {
            let now_ns = self.clock.newest_ns;
            self.dateranges
                .advance(first.start_ns, now_ns, timing.skip_until_us);
        }
        for at in 0..self.renditions.len() {
            if !self.renditions[at].changed {
                continue;
            }
            let reports: Vec<Report> = self
                .renditions
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != at)
                .filter_map(|(_, other)| {
                    let (msn, part) = other.list.last()?;
                    Some((other.id, msn, part))
                })
                .collect();
            let rendition = &mut self.renditions[at];
            rendition.changed = false;
            self.version += 1;
            let playlist = playlist::render(
                &rendition.list,
                &Surroundings {
                    timing,
                    dateranges: &self.dateranges,
                    reports: &reports,
                    next_map: rendition.listed_map(),
                    version: self.version,
                },
            );
            self.steps.push_back(Step::Update(Arc::new(Update {
                rendition: rendition.id,
                pieces: std::mem::take(&mut rendition.pieces),
                kept_from: self.retention.kept_from(),
                playlist,
            })));
        }
        self.write_manifest();
    }

    fn write_multivariant(&mut self) {
        let Some(timing) = &self.timing else {
            return;
        };
        let offers: Vec<Offer<'_>> = self.renditions.iter().map(offer).collect();
        let inside = multivariant::write(&offers, self.independent, "");
        if inside == self.multivariant {
            return;
        }
        let outside = multivariant::write(&offers, self.independent, &self.settings.prefix);
        self.version += 1;
        let epoch = &self.settings.epoch;
        let tag = |form: &str| format!("{epoch}.m.{}{form}", self.version);
        self.steps
            .push_back(Step::Multivariant(Arc::new(Multivariant {
                epoch: Arc::clone(epoch),
                target_duration_s: timing.target_duration_s,
                part_target: Duration::from_micros(timing.part_us),
                renditions: self.renditions.iter().map(|one| one.id).collect(),
                outside: Rendered::new(outside, &tag("o")),
                inside: Rendered::new(inside.clone(), &tag("")),
            })));
        self.multivariant = inside;
    }
}

fn offer(rendition: &Rendition) -> Offer<'_> {
    let usual_us = rendition.micros(rendition.cutter.usual()).max(1);
    let average_bps = rendition.average_bps().unwrap_or(rendition.guessed_bps);
    Offer {
        rendition: rendition.id,
        format: &rendition.track.format,
        frame_rate_millihz: u32::try_from(1_000_000_000 / usual_us).unwrap_or(0),
        // A little above, so that the list stays the same for longer.
        peak_bps: (rendition.peak_bps.max(average_bps) * 21 / 20).next_multiple_of(1_000),
        average_bps: average_bps.next_multiple_of(1_000),
    }
}

/// Tracks by what they are called: video first.
fn numbered(tracks: &[Track]) -> Vec<(RenditionId, &Track)> {
    let mut found = Vec::with_capacity(tracks.len());
    for kind in [TrackKind::Video, TrackKind::Audio] {
        let of_kind = tracks
            .iter()
            .filter(|track| track.format.codec.kind() == kind);
        for (index, track) in of_kind.enumerate() {
            let index = u8::try_from(index).unwrap_or(u8::MAX);
            found.push((RenditionId { kind, index }, track));
        }
    }
    found
}

/// Whether a decoder goes on without a new configuration.
fn is_same(old: &TrackFormat, new: &TrackFormat) -> bool {
    old.codec == new.codec
        && old.config == new.config
        && (old.width, old.height) == (new.width, new.height)
        && (old.sample_rate_hz, old.channels) == (new.sample_rate_hz, new.channels)
}
