//! Access units to packets.

use bytes::Bytes;
use corecast_media::frame::{Frame, FrameKind, MediaEvent};
use corecast_media::track::{AccessUnit, MediaTime, Track, TrackId, TrackKind};

use super::elementary::Coding;
use super::packet::{self, Adaptation, Counter, PACKET_BYTES};
use super::psi::{self, PID_PAT, PID_PMT, Program};
use super::{PCR_PER_TICK, PCR_WRAP, TICKS_HZ, TICKS_MASK};
use crate::output::StreamWriter;

/// The tables come again before this long has passed (DVB's TR 101 290 wants PAT and PMT within
/// 500 ms, joiners want them sooner).
pub const TABLES_EVERY_NS: i64 = 100 * MS;

/// Clock references are at most this far apart (TR 101 290 section 5.2.2).
pub const PCR_EVERY_NS: i64 = 40 * MS;

/// How far the clock runs behind the units: the time that a decoder has to take them in.
pub const LEAD_NS: i64 = 400 * MS;

/// A gap above this is not filled with clock references.
const FILL_NS_MAX: i64 = 1_000 * MS;
/// A track that is this far behind the newest no longer holds the clock back, and joiners no
/// longer wait for its keyframes.
const SILENT_NS: i64 = 2_000 * MS;
/// Decoding times of a track that fall by more than this are another clock.
const BACK_NS_MAX: i64 = 500 * MS;
/// So are those that leave all others behind by this.
const AHEAD_NS_MAX: i64 = 10_000 * MS;
/// A unit's playing time is never said to be longer.
const DURATION_NS_MAX: i64 = 10_000 * MS;
/// Where media time zero is on the stream's clock, so that usual sources do not start at a wrap.
const ORIGIN_TICKS: i64 = 10 * TICKS_HZ as i64;
/// Two clock references are never the same: what a packet takes at 1 Gbit/s.
const PCR_STEP: i64 = 40;
const MS: i64 = 1_000_000;

/// The first PID of the tracks; each has that of its number.
const PID_TRACKS: u16 = 0x100;
/// The longest PES packet whose length can be said.
const PES_BYTES_MAX: usize = u16::MAX as usize;
/// The longest unit of sound: its PES packet must say its length.
const AUDIO_BYTES_MAX: usize = PES_BYTES_MAX - 13;

/// Writes a mount's tracks as a transport stream of one program: every unit as one PES packet,
/// every frame the packets of one unit.
///
/// Tracks whose coding a transport stream does not carry are left out, and units that have no
/// form there are dropped. The clock of the stream is that of the media, so two writers of the
/// same units say the same times.
#[derive(Debug)]
pub struct Writer {
    tracks: Vec<Carried>,
    program: Program,
    /// Sections of PAT and PMT, where there is something to say.
    tables: Option<[Vec<u8>; 2]>,
    pat: Counter,
    pmt: Counter,
    counters: Box<[Counter; 256]>,
    /// The latest decoding time of all tracks.
    latest: Option<MediaTime>,
    /// Where the media began, or its clock jumped to.
    began: MediaTime,
    /// How far the last unit moved it.
    step_ns: i64,
    tables_at: Option<MediaTime>,
    /// The last clock reference, in ticks of 27 MHz that do not wrap.
    pcr: Option<i64>,
    /// The next clock reference is of another clock.
    jumped: bool,
    unit: Vec<u8>,
    dropped_units: u64,
}

/// A track that is in the stream.
#[derive(Debug)]
struct Carried {
    id: TrackId,
    kind: TrackKind,
    coding: Coding,
    stream_id: u8,
    last: Option<MediaTime>,
}

impl Carried {
    fn pid(&self) -> u16 {
        PID_TRACKS + u16::from(self.id.0)
    }
}

impl Default for Writer {
    fn default() -> Self {
        Writer::new()
    }
}

impl Writer {
    /// A writer that knows no tracks yet.
    pub fn new() -> Self {
        Writer {
            tracks: Vec::new(),
            program: Program::default(),
            tables: None,
            pat: Counter::default(),
            pmt: Counter::default(),
            counters: Box::new([Counter::default(); 256]),
            latest: None,
            began: MediaTime::ZERO,
            step_ns: 0,
            tables_at: None,
            pcr: None,
            jumped: false,
            unit: Vec::new(),
            dropped_units: 0,
        }
    }

    /// Units of carried tracks that had no form in a transport stream (damaged, or too long).
    pub fn dropped_units(&self) -> u64 {
        self.dropped_units
    }

    fn on_tracks(&mut self, tracks: &[Track], out: &mut Vec<MediaEvent>) {
        let before = std::mem::take(&mut self.tracks);
        let mut numbers = [0_u8; 2];
        for track in tracks {
            let Some(coding) = Coding::of(&track.format) else {
                continue;
            };
            let kind = track.format.codec.kind();
            let number = &mut numbers[usize::from(kind == TrackKind::Audio)];
            let stream_id = coding.stream_id(*number);
            *number = number.saturating_add(1);
            let known = before.iter().find(|known| known.id == track.id);
            self.tracks.push(Carried {
                id: track.id,
                kind,
                coding,
                stream_id,
                last: known.and_then(|known| known.last),
            });
        }
        // Pictures lead; the first track of a kind does.
        let leader = |kind| self.tracks.iter().find(|track| track.kind == kind);
        let leader = leader(TrackKind::Video).or_else(|| leader(TrackKind::Audio));
        let Some(pcr_pid) = leader.map(Carried::pid) else {
            self.tables = None;
            return;
        };
        let streams = self.tracks.iter();
        let streams = streams
            .map(|track| track.coding.stream(track.pid()))
            .collect();
        if self.tables.is_some()
            && self.program.pcr_pid == pcr_pid
            && self.program.streams == streams
        {
            return;
        }
        if pcr_pid != self.program.pcr_pid {
            self.jumped |= self.pcr.is_some();
        }
        let changed = !self.program.streams.is_empty();
        self.program = Program {
            version: (self.program.version + u8::from(changed)) & 0x1f,
            pcr_pid,
            streams,
        };
        self.tables = Some([psi::association(), self.program.section()]);
        self.announce(changed, out);
    }

    /// Gives joiners the tables, and with `changed` present readers too.
    fn announce(&mut self, changed: bool, out: &mut Vec<MediaEvent>) {
        let mut bytes = Vec::with_capacity(2 * PACKET_BYTES);
        if let Some([pat, pmt]) = &self.tables {
            for (pid, section) in [(PID_PAT, pat), (PID_PMT, pmt)] {
                psi::write_to(&mut bytes, pid, &mut Counter::default(), true, section);
            }
        }
        if changed {
            let mut payload = Vec::with_capacity(2 * PACKET_BYTES);
            self.write_tables(&mut payload, false);
            out.push(MediaEvent::Frame(Frame {
                payload: payload.into(),
                duration_us: 0,
                kind: FrameKind::Header,
            }));
        }
        out.push(MediaEvent::InitHeaders(bytes.into()));
    }

    fn write_tables(&mut self, out: &mut Vec<u8>, discontinuity: bool) {
        if let Some([pat, pmt]) = &self.tables {
            psi::write_to(out, PID_PAT, &mut self.pat, discontinuity, pat);
            psi::write_to(out, PID_PMT, &mut self.pmt, discontinuity, pmt);
        }
        self.tables_at = self.latest;
    }

    fn on_unit(&mut self, unit: &AccessUnit, out: &mut Vec<MediaEvent>) {
        let Some(at) = self.tracks.iter().position(|track| track.id == unit.track) else {
            return;
        };
        let mut elementary = std::mem::take(&mut self.unit);
        elementary.clear();
        let fits = |elementary: &[u8]| {
            self.tracks[at].kind == TrackKind::Video || elementary.len() <= AUDIO_BYTES_MAX
        };
        if self.tracks[at].coding.write_to(unit, &mut elementary) && fits(&elementary) {
            out.push(MediaEvent::Frame(self.write_unit(at, unit, &elementary)));
        } else {
            self.dropped_units += 1;
        }
        self.unit = elementary;
    }

    /// The packets of one unit of the track `at`, and what is due before them.
    fn write_unit(&mut self, at: usize, unit: &AccessUnit, elementary: &[u8]) -> Frame {
        let duration_us = self.advance(at, unit.dts);
        let pid = self.tracks[at].pid();
        let leads = pid == self.program.pcr_pid;
        let kind = self.kind_of(at, unit);
        let packets = elementary.len().div_ceil(PACKET_BYTES - 8) + 4;
        let mut bytes = Vec::with_capacity(packets * PACKET_BYTES);
        if kind == FrameKind::Entry || self.tables_are_due() {
            // A joiner has the tables of the init headers, whose counters are others.
            self.write_tables(&mut bytes, kind == FrameKind::Entry);
        }
        let mut adaptation = self.write_clock(&mut bytes, leads, kind == FrameKind::Entry);
        adaptation.random_access =
            kind == FrameKind::Entry || unit.keyframe && self.tracks[at].kind == TrackKind::Video;

        let mut payload = pes_header(self.tracks[at].stream_id, unit, elementary.len());
        payload.extend_from_slice(elementary);
        let counter = &mut self.counters[usize::from(unit.track.0)];
        let (mut rest, mut starts) = (payload.as_slice(), true);
        while !rest.is_empty() {
            let taken = packet::write_to(&mut bytes, pid, counter, starts, adaptation, rest);
            rest = rest.get(taken..).unwrap_or_default();
            (adaptation, starts) = (Adaptation::default(), false);
        }
        Frame {
            payload: Bytes::from(bytes),
            duration_us,
            kind,
        }
    }

    /// Moves the stream to a unit of the track `at`. Returns the leading track's step in
    /// microseconds, and zero for others.
    fn advance(&mut self, at: usize, dts: MediaTime) -> u32 {
        let latest = *self.latest.get_or_insert_with(|| {
            self.began = dts;
            dts
        });
        let track = &self.tracks[at];
        let fell = track.last.unwrap_or(latest).since(dts);
        let back_max = track.last.map_or(AHEAD_NS_MAX, |_| BACK_NS_MAX);
        if fell > back_max || dts.since(latest) > AHEAD_NS_MAX {
            self.tracks.iter_mut().for_each(|track| track.last = None);
            self.jumped = self.pcr.is_some();
            (self.latest, self.began) = (Some(dts), dts);
            self.tables_at = None;
            self.step_ns = 0;
        } else {
            self.latest = Some(latest.max(dts));
            self.step_ns = dts.since(latest).max(0);
        }
        let leads = self.tracks[at].pid() == self.program.pcr_pid;
        let track = &mut self.tracks[at];
        let step_ns = track.last.map_or(0, |last| dts.since(last));
        track.last = Some(dts);
        let duration_us = step_ns.clamp(0, DURATION_NS_MAX) / 1_000;
        if leads { duration_us as u32 } else { 0 }
    }

    /// Whether the tables would come too late with the next unit.
    fn tables_are_due(&self) -> bool {
        match (self.tables_at, self.latest) {
            (Some(at), Some(latest)) => latest.since(at) + self.step_ns > TABLES_EVERY_NS,
            _ => true,
        }
    }

    /// Joiners start at keyframes of the leading track; where there are no pictures, or none come
    /// any more, at sound, as often as the tables stand there.
    fn kind_of(&self, at: usize, unit: &AccessUnit) -> FrameKind {
        let track = &self.tracks[at];
        let entry = match track.kind {
            TrackKind::Video => unit.keyframe && track.pid() == self.program.pcr_pid,
            TrackKind::Audio => {
                let pictures = self.tracks.iter().any(|track| {
                    track.kind == TrackKind::Video && self.is_near(track.last.unwrap_or(self.began))
                });
                !pictures && self.tables_are_due()
            }
        };
        if entry {
            FrameKind::Entry
        } else {
            FrameKind::Inner
        }
    }

    fn is_near(&self, time: MediaTime) -> bool {
        self.latest
            .is_some_and(|latest| latest.since(time) < SILENT_NS)
    }

    /// Writes the clock references that are due before the unit, in packets without payload.
    /// Returns what stands in front of the unit itself.
    fn write_clock(&mut self, out: &mut Vec<u8>, leads: bool, entry: bool) -> Adaptation {
        // The slowest of the tracks that are there holds the clock.
        let lasts = self.tracks.iter().filter_map(|track| track.last);
        let slowest = lasts.filter(|last| self.is_near(*last)).min();
        let held = slowest.or(self.latest).unwrap_or_default();
        let target = to_ticks(held.plus(-LEAD_NS)).saturating_mul(PCR_PER_TICK as i64);
        let every = PCR_EVERY_NS * 27 / 1_000;
        let jumped = std::mem::take(&mut self.jumped);
        let mut last = self.pcr.filter(|_| !jumped);
        if let Some(last) = &mut last
            && target - *last <= FILL_NS_MAX * 27 / 1_000
        {
            while target - *last > every {
                *last += every;
                self.write_pcr(out, *last, false);
            }
        }
        let next = last.map_or(target, |last| target.max(last + PCR_STEP));
        // A clock that is held back does not move, but a joiner needs one.
        let moved = last.is_none_or(|last| target > last);
        self.pcr = last;
        if leads && !jumped && (moved || entry) {
            self.pcr = Some(next);
            return Adaptation {
                pcr: Some(wrapped(next)),
                ..Adaptation::default()
            };
        }
        if jumped || last.is_none() || entry {
            // Said before the first times of the new clock (section 2.4.3.5).
            self.pcr = Some(next);
            self.write_pcr(out, next, jumped);
        }
        Adaptation::default()
    }

    fn write_pcr(&mut self, out: &mut Vec<u8>, pcr: i64, discontinuity: bool) {
        let pid = self.program.pcr_pid;
        let at = usize::from(pid.saturating_sub(PID_TRACKS)) % self.counters.len();
        let adaptation = Adaptation {
            discontinuity,
            pcr: Some(wrapped(pcr)),
            ..Adaptation::default()
        };
        packet::write_to(out, pid, &mut self.counters[at], false, adaptation, &[]);
    }
}

impl StreamWriter for Writer {
    fn write(&mut self, event: &MediaEvent, out: &mut Vec<MediaEvent>) {
        match event {
            MediaEvent::Tracks(tracks) => self.on_tracks(tracks, out),
            MediaEvent::Unit(unit) => self.on_unit(unit, out),
            _ => {}
        }
    }
}

/// Ticks of 90 kHz on the stream's clock, before it wraps.
fn to_ticks(time: MediaTime) -> i64 {
    time.to_ticks(TICKS_HZ).saturating_add(ORIGIN_TICKS)
}

fn wrapped(pcr: i64) -> u64 {
    pcr.rem_euclid(PCR_WRAP as i64) as u64
}

/// The header of a PES packet (section 2.4.3.6) with so much behind it.
fn pes_header(stream_id: u8, unit: &AccessUnit, elementary_bytes: usize) -> Vec<u8> {
    let (pts, dts) = (to_ticks(unit.pts), to_ticks(unit.dts));
    let both = pts != dts;
    let times_bytes = if both { 10 } else { 5 };
    // What follows the length; zero, for video alone, leaves it to the next packet's start.
    let length = 3 + times_bytes + elementary_bytes;
    let length = if length > PES_BYTES_MAX {
        0
    } else {
        length as u16
    };
    let mut header = Vec::with_capacity(9 + times_bytes + elementary_bytes);
    header.extend_from_slice(&[0, 0, 1, stream_id]);
    header.extend_from_slice(&length.to_be_bytes());
    // A unit starts right behind the header.
    let flags = if both { 0xc0 } else { 0x80 };
    header.extend_from_slice(&[0x84, flags, times_bytes as u8]);
    header.extend_from_slice(&time_field(if both { 3 } else { 2 }, pts));
    if both {
        header.extend_from_slice(&time_field(1, dts));
    }
    header
}

/// 33 bits in three pieces, each with a marker bit behind it.
fn time_field(prefix: u8, ticks: i64) -> [u8; 5] {
    let ticks = ticks as u64 & TICKS_MASK;
    [
        prefix << 4 | (ticks >> 29) as u8 & 0x0e | 1,
        (ticks >> 22) as u8,
        (ticks >> 14) as u8 | 1,
        (ticks >> 7) as u8,
        (ticks << 1) as u8 | 1,
    ]
}
