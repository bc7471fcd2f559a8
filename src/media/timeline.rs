//! Clock repair: a source's times, with their jumps, on one line that only goes forward.
//!
//! Publishers start anywhere, wrap, step back a little, jump by hours, reconnect. What is written
//! from a mount needs one clock: from 0 on, never falling within a track, with the distance
//! between sound and pictures as the source had it, and each jump said once.

use crate::track::{AccessUnit, MediaTime, TrackId};

const NANOS_PER_MS: i64 = 1_000_000;

/// A unit that lies further than this behind the newest one shows that the clock jumped; below it
/// is a pause.
pub const GAP_NANOS_MAX: i64 = 10_000 * NANOS_PER_MS;

/// A unit that lies further than this before its track's last one shows that the clock jumped;
/// below it is jitter.
pub const REWIND_NANOS_MAX: i64 = 1_000 * NANOS_PER_MS;

/// How far behind its track's last unit one is placed that came with the same time or an earlier
/// one.
pub const STEP_NANOS: i64 = NANOS_PER_MS;

/// How long a unit is taken to last where its track does not show it.
const UNIT_NANOS: i64 = 20 * NANOS_PER_MS;

/// The longest that a track's last unit is taken to last.
const UNIT_NANOS_MAX: i64 = 1_000 * NANOS_PER_MS;

const _: () = assert!(STEP_NANOS < REWIND_NANOS_MAX && REWIND_NANOS_MAX < GAP_NANOS_MAX);

/// The line of one mount. It outlives the sources: see [`Timeline::new_session`].
///
/// A jump moves the source's whole clock, but tracks come interleaved, so that units of the old
/// clock may follow the first one of the new clock. Each track therefore keeps to the shift that it
/// had until the newest one fits it better.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// What is added to the source's times since the newest jump; `None` before the first unit of
    /// a session.
    shift: Option<i64>,
    tracks: Vec<Clock>,
    /// The latest decoding time so far.
    newest: MediaTime,
}

/// One track.
#[derive(Clone, Copy, Debug)]
struct Clock {
    track: TrackId,
    /// What is added to its times; `None` before its first unit of a session.
    shift: Option<i64>,
    /// Where its last unit was placed.
    last: MediaTime,
    /// How long that one is taken to last.
    unit_nanos: i64,
}

impl Timeline {
    /// A line before its first unit, which will be at 0.
    pub fn new() -> Self {
        Timeline::default()
    }

    /// The latest decoding time that was given out; 0 before the first unit.
    pub fn newest(&self) -> MediaTime {
        self.newest
    }

    /// Says that another source comes, or the same one again: its clock has nothing to do with the
    /// one before. The line goes on behind the last unit.
    pub fn new_session(&mut self) {
        self.shift = None;
        for clock in &mut self.tracks {
            clock.shift = None;
        }
    }

    /// Moves a unit onto the line. Says too whether it is the first behind a jump of the clock or
    /// of a new session: the discontinuity is that of all tracks and is said once.
    pub fn place(&mut self, mut unit: AccessUnit) -> (AccessUnit, bool) {
        let at = self.clock_of(unit.track);
        let shift = self.shift_for(at, unit.dts);
        let (shift, jumped) = match shift {
            Some(shift) => (shift, false),
            None => {
                let start = self.tracks.iter().map(Clock::end).max();
                let shift = start.unwrap_or_default().since(unit.dts);
                self.shift = Some(shift);
                (shift, start.is_some())
            }
        };
        let composition = unit.pts.since(unit.dts);
        let (natural, pts) = (unit.dts.plus(shift), unit.pts.plus(shift));
        let dts = match at.and_then(|at| self.tracks.get_mut(at)) {
            Some(clock) => clock.advance(natural, shift),
            None => {
                let dts = natural.max(MediaTime::ZERO);
                self.tracks.push(Clock {
                    track: unit.track,
                    shift: Some(shift),
                    last: dts,
                    unit_nanos: UNIT_NANOS,
                });
                dts
            }
        };
        // What was shown after it was decoded still is; what was shown before stays as far before.
        let earliest = dts.plus(composition.min(0)).max(MediaTime::ZERO);
        unit.dts = dts;
        unit.pts = pts.max(earliest);
        self.newest = self.newest.max(dts);
        (unit, jumped)
    }

    fn clock_of(&self, track: TrackId) -> Option<usize> {
        self.tracks.iter().position(|clock| clock.track == track)
    }

    /// The shift that fits a unit of the track `at`; `None` where none does.
    fn shift_for(&self, at: Option<usize>, dts: MediaTime) -> Option<i64> {
        let newest_shift = self.shift?;
        let clock = at.and_then(|at| self.tracks.get(at));
        let off = |shift: i64| dts.plus(shift).since(self.newest).saturating_abs();
        let shift = match clock.and_then(|clock| clock.shift) {
            Some(own) if off(own) <= off(newest_shift) => own,
            _ => newest_shift,
        };
        let placed = dts.plus(shift);
        let earliest = match clock {
            Some(clock) if clock.shift.is_some() => clock.last.plus(-REWIND_NANOS_MAX),
            _ => self.newest.plus(-GAP_NANOS_MAX),
        };
        let fits = placed >= earliest && placed.since(self.newest) <= GAP_NANOS_MAX;
        fits.then_some(shift)
    }
}

impl Clock {
    /// Where the track's last unit ends.
    fn end(&self) -> MediaTime {
        self.last.plus(self.unit_nanos)
    }

    /// Takes the place of the next unit, which is `natural` unless the track is there already.
    fn advance(&mut self, natural: MediaTime, shift: i64) -> MediaTime {
        let dts = if natural > self.last {
            self.unit_nanos = natural.since(self.last).min(UNIT_NANOS_MAX);
            natural
        } else {
            self.last.plus(STEP_NANOS)
        };
        self.last = dts;
        self.shift = Some(shift);
        dts
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// Track, decoding and presentation time in milliseconds.
    type Given = (u8, i64, i64);

    fn place(line: &mut Timeline, (track, dts, pts): Given) -> (i64, i64, bool) {
        let (unit, jumped) = line.place(AccessUnit {
            track: TrackId(track),
            dts: MediaTime::from_millis(dts),
            pts: MediaTime::from_millis(pts),
            keyframe: true,
            payload: Bytes::new(),
        });
        assert_eq!(unit.track, TrackId(track));
        (unit.dts.as_millis(), unit.pts.as_millis(), jumped)
    }

    /// Places units one after the other.
    fn check(given: &[Given], expected: &[(i64, i64, bool)]) {
        let mut line = Timeline::new();
        let placed: Vec<_> = given.iter().map(|unit| place(&mut line, *unit)).collect();
        assert_eq!(placed, expected, "{given:?}");
    }

    const VIDEO: u8 = 0;
    const AUDIO: u8 = 1;

    #[test]
    fn the_line_starts_at_nothing_and_keeps_distances() {
        check(
            &[
                (VIDEO, 5_000, 5_080),
                (AUDIO, 5_010, 5_010),
                (VIDEO, 5_040, 5_040),
            ],
            &[(0, 80, false), (10, 10, false), (40, 40, false)],
        );
        // A track that begins a little earlier than the first unit.
        check(
            &[(VIDEO, 100, 100), (AUDIO, 80, 80), (AUDIO, 101, 101)],
            &[(0, 0, false), (0, 0, false), (1, 1, false)],
        );
    }

    #[test]
    fn jitter_stays_within_its_track() {
        check(
            &[
                (AUDIO, 0, 0),
                (AUDIO, 40, 40),
                (VIDEO, 41, 41),
                (AUDIO, 39, 39),
                (AUDIO, 60, 60),
            ],
            &[
                (0, 0, false),
                (40, 40, false),
                (41, 41, false),
                (41, 41, false),
                (60, 60, false),
            ],
        );
        // Several units of one time.
        check(
            &[
                (AUDIO, 0, 0),
                (AUDIO, 20, 20),
                (AUDIO, 20, 20),
                (AUDIO, 20, 20),
            ],
            &[
                (0, 0, false),
                (20, 20, false),
                (21, 21, false),
                (22, 22, false),
            ],
        );
    }

    #[test]
    fn times_of_pictures_may_be_before_or_behind_their_decoding() {
        check(
            &[
                (VIDEO, 0, 80),
                (VIDEO, 40, 20),
                (VIDEO, 30, 100),
                (VIDEO, 38, 30),
            ],
            // Late pictures keep their time; one that is shown before it is decoded still is.
            &[
                (0, 80, false),
                (40, 20, false),
                (41, 100, false),
                (42, 34, false),
            ],
        );
        check(&[(VIDEO, 0, -40)], &[(0, 0, false)]);
    }

    #[test]
    fn a_jump_is_said_once_and_keeps_sound_and_pictures_together() {
        for jump in [
            3_600_000,
            -3_600_000,
            2_000_000_000,
            -2_147_483_648,
            -4_294_967_296,
            -2_000,
        ] {
            let mut line = Timeline::new();
            let base = 4_000_000_000;
            let mut jumps = 0;
            for at in 0..50 {
                jumps += i32::from(place(&mut line, (VIDEO, base + at * 40, base + at * 40)).2);
                jumps += i32::from(place(&mut line, (AUDIO, base + at * 40 + 5, 0)).2);
            }
            assert_eq!(jumps, 0);
            // Pictures are on the new clock already, sound follows two units later.
            let after = base + 2_000 + jump;
            let first = place(&mut line, (VIDEO, after, after));
            assert_eq!((first.0, first.2), (2_005, true), "{jump}");
            assert_eq!(
                place(&mut line, (AUDIO, base + 2_005, base + 2_005)).0,
                2_005
            );
            assert_eq!(
                place(&mut line, (VIDEO, after + 40, after + 40)),
                (2_045, 2_045, false)
            );
            for at in 1..50 {
                let (video, audio) = (after + 40 + at * 40, after + at * 40 + 5);
                let expected = 2_045 + at * 40;
                assert_eq!(
                    place(&mut line, (VIDEO, video, video)).0,
                    expected,
                    "{jump}"
                );
                let placed = place(&mut line, (AUDIO, audio, audio));
                assert_eq!(placed, (expected - 35, expected - 35, false), "{jump}");
            }
        }
    }

    #[test]
    fn a_pause_is_no_jump_and_a_long_one_is() {
        check(
            &[(VIDEO, 0, 0), (VIDEO, 9_000, 9_000), (AUDIO, 9_010, 9_010)],
            &[(0, 0, false), (9_000, 9_000, false), (9_010, 9_010, false)],
        );
        check(
            &[
                (VIDEO, 0, 0),
                (VIDEO, 33, 33),
                (VIDEO, 10_034, 10_034),
                (VIDEO, 10_067, 10_067),
            ],
            &[
                (0, 0, false),
                (33, 33, false),
                (66, 66, true),
                (99, 99, false),
            ],
        );
        // Sound that was off while pictures went on.
        let mut line = Timeline::new();
        place(&mut line, (AUDIO, 0, 0));
        for at in 0..1_000 {
            place(&mut line, (VIDEO, at * 40, at * 40));
        }
        assert_eq!(
            place(&mut line, (AUDIO, 39_960, 39_960)),
            (39_960, 39_960, false)
        );
    }

    #[test]
    fn one_track_with_a_clock_of_its_own_does_not_disturb_the_other() {
        let mut line = Timeline::new();
        let mut jumps = 0;
        for at in 0..1_000i64 {
            let video = place(&mut line, (VIDEO, at * 40, at * 40));
            let off = if at < 100 { 0 } else { 86_400_000 };
            let audio = place(&mut line, (AUDIO, at * 40 + off, at * 40 + off));
            assert_eq!(video.0, at * 40);
            assert!((audio.0 - video.0).abs() <= 80);
            jumps += i32::from(audio.2) + i32::from(video.2);
        }
        assert_eq!(jumps, 1);
    }

    #[test]
    fn another_session_goes_on_behind_the_last() {
        let mut line = Timeline::new();
        for at in 0..10 {
            place(&mut line, (VIDEO, 1_000_000 + at * 40, 1_000_000 + at * 40));
            place(&mut line, (AUDIO, 1_000_000 + at * 40, 1_000_000 + at * 40));
        }
        line.new_session();
        line.new_session();
        assert_eq!(place(&mut line, (AUDIO, 20, 20)), (400, 400, true));
        assert_eq!(place(&mut line, (VIDEO, 30, 70)), (410, 450, false));
        assert_eq!(line.newest(), MediaTime::from_millis(410));
        // The very same clock again is a new session all the same.
        line.new_session();
        assert_eq!(place(&mut line, (VIDEO, 30, 70)), (460, 500, true));
        // Nothing came before: nothing is cut.
        let mut empty = Timeline::new();
        empty.new_session();
        assert_eq!(place(&mut empty, (VIDEO, 7, 7)), (0, 0, false));
    }

    #[test]
    fn whatever_comes_the_line_goes_forward() {
        let mut line = Timeline::new();
        let mut state = 1u64;
        let mut last = [-1; 3];
        for _ in 0..20_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let track = (state >> 60) as u8 % 3;
            let dts = match state >> 32 & 7 {
                0 => i64::MIN,
                1 => i64::MAX,
                2 => state as i64 >> 8,
                _ => (state >> 40) as i64 & 0xffff,
            };
            if state >> 20 & 0xff == 0 {
                line.new_session();
            }
            let (dts, pts, _) = place(&mut line, (track, dts, dts.wrapping_neg()));
            let before = std::mem::replace(&mut last[usize::from(track)], dts);
            assert!(dts > before && pts >= 0);
        }
    }
}
