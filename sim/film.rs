//! A virtual source of pictures and sound: units that tell where they come from, with the faults
//! that real encoders have.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corecast_media::frame::MediaEvent;
use corecast_media::name::MountName;
use corecast_media::time::Time;
use corecast_media::track::{AccessUnit, MediaTime, Track, TrackCodec, TrackFormat, TrackId};

use crate::dice::Dice;
use crate::origin::{FRAME_HEAD_BYTES, filling_byte, frame_bytes};

/// The mounts of films; the first falls back on the second, the last one is dynamic.
pub const FILMS: [&str; 3] = ["/film", "/spare", "/extra"];

/// The most pictures of a group.
const PICTURES_MAX: u64 = 300;
/// The longest group, a silence of its source included.
pub(crate) const GROUP_MAX: Duration = Duration::from_secs(PICTURES_MAX / 20 + 4);
/// Sets of parameters that a film may have.
const SETS: u8 = 3;
/// The first byte of a unit's frame, the number of its parameter set added.
const MARK: u8 = 0xB0;
/// Bytes before the frame of a picture: the length of its NAL unit, and the unit's header.
const NAL_HEAD_BYTES: usize = 5;
/// The bits of a film's id that are the index of its mount.
const MOUNT_BITS: u32 = 2;

const PICTURES: TrackId = TrackId(0);
const SOUND: TrackId = TrackId(1);

/// Whether films are shown at `mount`.
pub fn is_film(mount: &MountName) -> bool {
    FILMS.contains(&mount.base())
}

/// The mount of a film, as an index of [`FILMS`].
pub const fn mount_of(id: u32) -> u32 {
    id & ((1 << MOUNT_BITS) - 1)
}

/// What a film's unit says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The film.
    pub id: u32,
    /// Counts the film's units of all tracks from 1.
    pub number: u32,
    /// Its parameter set.
    pub set: u8,
}

impl Told {
    /// Reads a unit's bytes; none where any of them is not what it should be.
    pub fn read(is_picture: bool, payload: &[u8]) -> Option<Self> {
        let frame = if is_picture {
            let (length, _) = payload.split_first_chunk::<4>()?;
            let expected = payload.len().checked_sub(4)?;
            (u32::from_be_bytes(*length) as usize == expected).then_some(())?;
            payload.get(NAL_HEAD_BYTES..)?
        } else {
            payload
        };
        let (head, filling) = frame.split_first_chunk::<FRAME_HEAD_BYTES>()?;
        let [mark, i3, i2, i1, i0, n3, n2, n1, n0, f1, f0] = *head;
        let id = u32::from_be_bytes([i3, i2, i1, i0]);
        let number = u32::from_be_bytes([n3, n2, n1, n0]);
        let mut bytes = filling.iter().zip(0u16..);
        let exact = bytes.all(|(byte, i)| *byte == filling_byte(id, number, i));
        let whole = filling.len() == usize::from(u16::from_be_bytes([f1, f0]));
        let set = mark.checked_sub(MARK).filter(|set| *set < SETS)?;
        (exact && whole).then_some(Told { id, number, set })
    }
}

/// The configuration of a film's pictures: an AVCDecoderConfigurationRecord with one small set of
/// each kind.
pub fn picture_config(set: u8) -> Bytes {
    let level = 0x1e + set;
    let sps = [0x67, 0x64, 0x00, level, 0xac, 0xd9, 0x40, 0x50];
    let pps = [0x68, 0xeb, 0xe3, 0xcb];
    let mut config = vec![1, 0x64, 0, level, 0xff, 0xe1, 0, sps.len() as u8];
    config.extend_from_slice(&sps);
    config.extend_from_slice(&[1, 0, pps.len() as u8]);
    config.extend_from_slice(&pps);
    config.into()
}

/// The configuration of a film's sound: an AudioSpecificConfig for AAC-LC, of 44.1 or 48 kHz.
pub fn sound_config(set: u8) -> Bytes {
    match sample_rate_hz(set) {
        44_100 => Bytes::from_static(&[0x12, 0x10]),
        _ => Bytes::from_static(&[0x11, 0x90]),
    }
}

const fn sample_rate_hz(set: u8) -> u32 {
    if set == 1 { 44_100 } else { 48_000 }
}

/// A film's source.
#[derive(Debug)]
pub struct Film {
    id: u32,
    has_pictures: bool,
    has_sound: bool,
    set: u8,
    /// When it began to speak.
    began: Option<Time>,
    /// What its clock said then, with its jumps, in milliseconds.
    clock_ms: i64,
    number: u32,
    next_picture_us: u64,
    next_sound_us: u64,
    picture_us: u64,
    /// Pictures that are left of the group, and how many there are between two of reference.
    group_left: u64,
    group_at: u64,
    between: u64,
    /// Nothing comes through before.
    quiet_until: Time,
}

impl Film {
    /// A film at `mount`, the `count`-th source of the run.
    pub fn new(mount: &MountName, count: u32, dice: &mut Dice) -> Self {
        let index = FILMS.iter().position(|name| *name == mount.base());
        let tracks = dice.below(10);
        Film {
            id: count << MOUNT_BITS | index.unwrap_or(0) as u32,
            has_pictures: tracks != 0,
            has_sound: tracks != 1,
            set: dice.below(u64::from(SETS)) as u8,
            began: None,
            clock_ms: dice.below(1 << 33) as i64,
            number: 0,
            next_picture_us: 0,
            next_sound_us: dice.below(40_000),
            picture_us: *dice.pick(&[33_333, 40_000, 50_000]),
            group_left: 0,
            group_at: 0,
            between: 0,
            quiet_until: Time::ZERO,
        }
    }

    /// What it says by `now`.
    pub fn speak(&mut self, now: Time, dice: &mut Dice) -> Vec<MediaEvent> {
        let mut events = Vec::new();
        let began = match self.began {
            Some(began) => began,
            None => {
                events.push(self.tracks());
                *self.began.insert(now)
            }
        };
        if now < self.quiet_until {
            return events;
        }
        self.happen(now, dice, &mut events);
        let elapsed_us = now.since(began).as_micros() as u64;
        loop {
            let picture = self.has_pictures && self.next_picture_us <= elapsed_us;
            let sound = self.has_sound && self.next_sound_us <= elapsed_us;
            match (picture, sound) {
                (true, true) if self.next_sound_us < self.next_picture_us => {
                    events.push(self.sound(dice));
                }
                (true, _) => events.push(self.picture(dice)),
                (false, true) => events.push(self.sound(dice)),
                (false, false) => return events,
            }
        }
    }

    /// What may go wrong, or otherwise than before.
    fn happen(&mut self, now: Time, dice: &mut Dice, events: &mut Vec<MediaEvent>) {
        match dice.below(4_000) {
            0..=39 => self.quiet_until = now + Duration::from_millis(dice.within(20, 300)),
            40 => self.quiet_until = now + Duration::from_millis(dice.within(500, 4_000)),
            41 => self.clock_ms += dice.within(0, 40_000) as i64 - 20_000,
            42 => self.clock_ms = dice.below(1 << 33) as i64,
            43 | 44 => {
                self.set = (self.set + 1) % SETS;
                events.push(self.tracks());
                // Most encoders start anew then.
                if dice.chance(80) {
                    self.group_left = 0;
                }
            }
            45 if self.has_pictures => {
                self.has_sound = !self.has_sound;
                self.next_sound_us = self.next_picture_us;
                events.push(self.tracks());
            }
            _ => {}
        }
    }

    fn tracks(&self) -> MediaEvent {
        let pictures = self.has_pictures.then(|| Track {
            id: PICTURES,
            format: TrackFormat {
                codec: TrackCodec::H264,
                config: picture_config(self.set),
                rfc6381: format!("avc1.6400{:02x}", 0x1e + self.set).into(),
                width: 640,
                height: 360,
                frame_rate_millihz: 0,
                sample_rate_hz: 0,
                channels: 0,
            },
        });
        let sound = self.has_sound.then(|| Track {
            id: SOUND,
            format: TrackFormat {
                codec: TrackCodec::Aac,
                config: sound_config(self.set),
                rfc6381: "mp4a.40.2".into(),
                width: 0,
                height: 0,
                frame_rate_millihz: 0,
                sample_rate_hz: sample_rate_hz(self.set),
                channels: 2,
            },
        });
        MediaEvent::Tracks(pictures.into_iter().chain(sound).collect::<Arc<[Track]>>())
    }

    fn time(&self, us: u64) -> MediaTime {
        MediaTime::from_millis(self.clock_ms + us as i64 / 1_000)
    }

    fn frame(&mut self, filling: u16) -> Vec<u8> {
        self.number += 1;
        frame_bytes(MARK + self.set, self.id, self.number, filling)
    }

    fn picture(&mut self, dice: &mut Dice) -> MediaEvent {
        let keyframe = self.group_left == 0;
        if keyframe {
            self.group_left = match dice.below(20) {
                0 => dice.within(100, PICTURES_MAX),
                _ => dice.within(5, 90),
            };
            (self.group_at, self.between) = (0, *dice.pick(&[0, 0, 1, 2, 3]));
        }
        // Decoded I P B B: the P is shown after its Bs; all are one picture late.
        let ahead = match (self.group_at, self.between) {
            (_, 0) => 0,
            (0, _) => 1,
            (at, between) if (at - 1).is_multiple_of(between + 1) => between + 1,
            _ => 0,
        };
        let filling = if keyframe { 800 } else { 80 };
        let frame = self.frame(dice.within(filling, 4 * filling) as u16);
        let mut payload = ((frame.len() + 1) as u32).to_be_bytes().to_vec();
        payload.push(if keyframe { 0x65 } else { 0x41 });
        payload.extend_from_slice(&frame);
        let dts_us = self.next_picture_us + dice.below(8_000);
        let unit = AccessUnit {
            track: PICTURES,
            dts: self.time(dts_us),
            pts: self.time(dts_us + ahead * self.picture_us),
            keyframe,
            payload: payload.into(),
        };
        self.next_picture_us += self.picture_us;
        self.group_left -= 1;
        self.group_at += 1;
        MediaEvent::Unit(unit)
    }

    fn sound(&mut self, dice: &mut Dice) -> MediaEvent {
        let payload = self.frame(dice.within(40, 120) as u16).into();
        let time = self.time(self.next_sound_us);
        self.next_sound_us += 1_024_000_000 / u64::from(sample_rate_hz(self.set));
        MediaEvent::Unit(AccessUnit {
            track: SOUND,
            dts: time,
            pts: time,
            keyframe: true,
            payload,
        })
    }
}
