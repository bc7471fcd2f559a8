//! A virtual source: frames that tell where they come from.

use bytes::Bytes;
use corecast_media::frame::{Frame, FrameKind, MediaEvent};
use corecast_media::name::{MountName, SessionId};
use corecast_media::time::Time;

use crate::dice::Dice;
use crate::film::{Film, is_film};

/// The first byte of a frame of sound.
pub const SOUND: u8 = 0xA5;
/// The first byte of a frame of set-up, of kinds that have it.
pub const SETUP: u8 = 0xA6;
/// Bytes before a frame's filling: mark, origin, number, length of the filling.
pub const FRAME_HEAD_BYTES: usize = 11;

/// One frame of `origin`.
pub fn frame_bytes(mark: u8, origin: u32, number: u32, filling: u16) -> Vec<u8> {
    let mut bytes = vec![mark];
    bytes.extend_from_slice(&origin.to_be_bytes());
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes.extend_from_slice(&filling.to_be_bytes());
    bytes.extend((0..filling).map(|i| filling_byte(origin, number, i)));
    bytes
}

/// The `i`-th byte of a frame's filling.
pub const fn filling_byte(origin: u32, number: u32, i: u16) -> u8 {
    let mixed = origin.wrapping_mul(0x9e37_79b1) ^ number.wrapping_mul(0x85eb_ca6b);
    (mixed >> 24) as u8 ^ i as u8
}

/// One source session.
#[derive(Debug)]
pub struct Origin {
    /// Its session; its shard is where its connection is.
    pub session: SessionId,
    /// Its mount.
    pub mount: MountName,
    /// Whether its kind has set-up frames (and titles of its own, so no ICY blocks).
    pub has_setup: bool,
    /// Unique in the run.
    pub id: u32,
    /// Whether the home said yes.
    pub accepted: bool,
    number: u32,
    next: Time,
    /// What it shows, where its mount is for that; else it is radio.
    film: Option<Box<Film>>,
}

impl Origin {
    /// A source that starts at `now` if it is accepted.
    pub const fn new(
        session: SessionId,
        mount: MountName,
        has_setup: bool,
        id: u32,
        now: Time,
    ) -> Self {
        Origin {
            session,
            mount,
            has_setup,
            id,
            accepted: false,
            number: 0,
            next: now,
            film: None,
        }
    }

    /// The same with pictures, where films are shown at its mount.
    #[must_use]
    pub fn with_film(mut self, dice: &mut Dice) -> Self {
        if is_film(&self.mount) {
            self.film = Some(Box::new(Film::new(&self.mount, self.id, dice)));
        }
        self
    }

    /// The MIME type of its kind.
    pub const fn content_type(&self) -> &'static str {
        if self.film.is_some() {
            "application/x-rtmp"
        } else if self.has_setup {
            "application/ogg"
        } else {
            "audio/mpeg"
        }
    }

    /// What it says by `now`: a few frames of 26 ms each, one read at a time.
    pub fn speak(&mut self, now: Time, dice: &mut Dice) -> Vec<MediaEvent> {
        if let Some(film) = &mut self.film {
            return film.speak(now, dice);
        }
        let mut events = Vec::new();
        if self.number == 0 && self.next <= now && self.has_setup {
            let bytes = Bytes::from(frame_bytes(SETUP, self.id, 0, 40));
            let kind = FrameKind::Header;
            events.push(MediaEvent::Frame(Frame {
                payload: bytes.clone(),
                duration_us: 0,
                kind,
            }));
            events.push(MediaEvent::InitHeaders(bytes));
        }
        while self.next <= now {
            self.next = self.next + std::time::Duration::from_micros(26_122);
            self.number += 1;
            let filling = dice.within(100, 600) as u16;
            let payload = frame_bytes(SOUND, self.id, self.number, filling).into();
            // Some frames are no place to start, as pages that continue a packet are not.
            let entry = !self.has_setup || dice.chance(70);
            let kind = if entry {
                FrameKind::Entry
            } else {
                FrameKind::Inner
            };
            events.push(MediaEvent::Frame(Frame {
                payload,
                duration_us: 26_122,
                kind,
            }));
        }
        events
    }
}
