//! What a mount's new listeners hear before the stream: a file, cut into runs once.
//!
//! Lives on: every shard, shared. A reader that is in its intro ([`Reader::play`]) is a reader as
//! any other, with a window of its own: that of the intro, whose runs "arrive" when a player comes
//! to them. So it gets the mount's burst of the intro at once and then goes on at the pace of the
//! sound, and when the intro is over it joins the live edge as that is then. At wire speed it
//! would hold the whole intro instead, and be late by its length for as long as it listens; and a
//! crowd that comes at once would be sent megabytes each.
//!
//! [`Reader::play`]: crate::fanout::Reader::play

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::codec::Codec;
use crate::frame::{FrameKind, MediaEvent};
use crate::gather::Gatherer;
use crate::run::Run;
use crate::time::Time;
use crate::window::{WINDOW_BYTES_MAX, Window};

/// The largest file that may be an intro: eight minutes at 128 kbit/s.
pub const INTRO_BYTES_MAX: usize = 8 * 1024 * 1024;

const _: () = assert!(INTRO_BYTES_MAX as u64 <= WINDOW_BYTES_MAX);

/// The playing time of one run.
const RUN_TIME: Duration = Duration::from_millis(250);
/// The bytes of one run, where its playing time is not known.
const RUN_BYTES: usize = 16 * 1024;

/// The intros of all mounts by their file.
#[derive(Clone, Debug, Default)]
pub struct Intros(HashMap<PathBuf, Arc<Intro>>);

impl Intros {
    /// The intro that was cut from the file at `path`, if it was fit for one.
    pub fn from_file(&self, path: &Path) -> Option<&Arc<Intro>> {
        self.0.get(path)
    }
}

impl FromIterator<(PathBuf, Arc<Intro>)> for Intros {
    fn from_iter<I: IntoIterator<Item = (PathBuf, Arc<Intro>)>>(intros: I) -> Self {
        Intros(intros.into_iter().collect())
    }
}

/// A file's whole frames. A run's arrival is the time at which its first frame is played, counted
/// from the intro's start; zero throughout where the coding tells no playing times.
#[derive(Debug)]
pub struct Intro {
    window: Window,
    codec: Codec,
    lasts: Duration,
}

impl Intro {
    /// The frames of `events`, in order; nothing where none of them is sound.
    pub fn gather(events: impl IntoIterator<Item = MediaEvent>) -> Option<Self> {
        let mut window = Window::new();
        let mut gatherer = Gatherer::default();
        let (mut codec, mut has_sound) = (Codec::Opaque, false);
        let (mut at, mut began) = (Time::ZERO, Time::ZERO);
        for event in events {
            let frame = match event {
                MediaEvent::Frame(frame) => frame,
                MediaEvent::Format(format) => {
                    codec = format.codec;
                    continue;
                }
                // What a joiner needs stands in the file's own frames.
                _ => continue,
            };
            let is_long = at.since(began) >= RUN_TIME || gatherer.len() >= RUN_BYTES;
            if is_long || !gatherer.fits(&frame) {
                push_cut(&mut window, &mut gatherer, began);
                began = at;
            }
            has_sound |= frame.kind == FrameKind::Entry;
            gatherer.push(at, &frame);
            at = at + Duration::from_micros(u64::from(frame.duration_us));
        }
        push_cut(&mut window, &mut gatherer, began);
        has_sound.then_some(Intro {
            window,
            codec,
            lasts: at.since(Time::ZERO),
        })
    }

    /// What it is coded in.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Its playing time; zero where the coding does not tell it.
    pub fn lasts(&self) -> Duration {
        self.lasts
    }

    /// Its bytes.
    pub fn len_bytes(&self) -> u64 {
        self.window.len_bytes()
    }

    pub(crate) fn window(&self) -> &Window {
        &self.window
    }

    /// When the byte at `position` is played.
    fn played_at(&self, position: u64) -> Duration {
        let starts = self.window.arrived_at(position);
        starts.map_or(self.lasts, |starts| starts.since(Time::ZERO))
    }
}

fn push_cut(window: &mut Window, gatherer: &mut Gatherer, began: Time) {
    if let Some(run) = gatherer.cut() {
        window.push(Run {
            arrived: began,
            ..run
        });
    }
}

/// An intro while one reader gets it.
#[derive(Clone, Debug)]
pub(crate) struct Playing {
    pub(crate) intro: Arc<Intro>,
    /// The next byte that the reader has not got.
    pub(crate) position: u64,
    began: Time,
}

impl Playing {
    pub(crate) fn new(now: Time, intro: Arc<Intro>) -> Self {
        Playing {
            intro,
            position: 0,
            began: now,
        }
    }

    /// Up to where the reader may have it at `now`: about `burst_bytes` ahead of a player that
    /// began with its first byte.
    pub(crate) fn due(&self, now: Time, burst_bytes: u64) -> u64 {
        let ahead = self.intro.played_at(burst_bytes);
        let played = Time::ZERO + now.since(self.began) + ahead;
        self.intro.window.end_of_arrived(played)
    }

    /// Whether all of it is sent.
    pub(crate) fn is_over(&self) -> bool {
        self.position >= self.intro.window.end()
    }

    /// For how long a player that began with its first byte has waited for the next one.
    pub(crate) fn lag(&self, now: Time) -> Duration {
        let wanted = self.intro.played_at(self.position);
        now.since(self.began).saturating_sub(wanted)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::frame::Frame;

    fn frame(bytes: usize, ms: u32, kind: FrameKind) -> MediaEvent {
        MediaEvent::Frame(Frame {
            payload: Bytes::from(vec![7; bytes]),
            duration_us: ms * 1_000,
            kind,
        })
    }

    #[test]
    fn an_intro_is_due_a_burst_ahead_of_its_player() {
        let sound = (0..100).map(|_| frame(100, 100, FrameKind::Entry));
        let intro = Intro::gather(sound).expect("there is sound");
        assert_eq!(intro.len_bytes(), 10_000);
        assert_eq!(intro.lasts(), Duration::from_secs(10));
        let playing = Playing::new(Time::from_millis(5_000), Arc::new(intro));
        // Runs are three frames: 300 ms.
        for (ms, due) in [(0, 1_200), (299, 1_200), (300, 1_500), (60_000, 10_000)] {
            let now = Time::from_millis(5_000 + ms);
            assert_eq!(playing.due(now, 1_000), due, "after {ms} ms");
        }
        assert_eq!(playing.due(Time::from_millis(5_000), 1_000_000), 10_000);
        let later = Playing {
            position: 5_000,
            ..playing
        };
        assert_eq!(later.lag(Time::from_millis(5_000)), Duration::ZERO);
        let lag = later.lag(Time::from_millis(15_000));
        assert_eq!(lag, Duration::from_millis(5_200));
    }

    #[test]
    fn what_has_no_playing_time_is_due_at_once_and_what_has_no_sound_is_none() {
        let pages = (0..9).map(|_| frame(10_000, 0, FrameKind::Entry));
        let intro = Intro::gather(pages).expect("there is sound");
        assert!(intro.window().runs().count() > 1);
        let playing = Playing::new(Time::ZERO, Arc::new(intro));
        assert_eq!(playing.due(Time::ZERO, 1), 90_000);
        assert!(Intro::gather([frame(9, 0, FrameKind::Header)]).is_none());
        assert!(Intro::gather([]).is_none());
    }
}
