//! The film: H.264 pictures and AAC sound by number, as bodies of FLV tags.

use crate::clock::SECOND_NS;
use crate::stream::mix;

/// AVCDecoderConfigurationRecord of 1280x720 at 30 frames per second, Main profile, level 3.1.
const VIDEO_CONFIG: &[u8] = &[
    0x01, 0x4d, 0x40, 0x1f, 0xff, 0xe1, 0x00, 0x19, 0x67, 0x4d, 0x40, 0x1f, 0xd9, 0x00, 0x50, 0x05,
    0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x24,
    0x80, 0x01, 0x00, 0x05, 0x68, 0xeb, 0xc3, 0xcb, 0x20,
];
/// AudioSpecificConfig: AAC-LC, 48 kHz, stereo.
const AUDIO_CONFIG: [u8; 2] = [0x11, 0x90];

/// What every unit begins with, so that it is found in any container.
const MAGIC: [u8; 8] = *b"CcUnit\x5a\xa5";
/// Magic, number, time of sending.
const STAMP_BYTES: usize = 24;

/// Samples of a frame of sound, and in a second.
const SOUND_SAMPLES: u64 = 1_024;
const SOUND_RATE: u64 = 48_000;
/// Bytes of a frame of sound: 96 kbit/s.
const SOUND_BYTES: usize = 256;
/// A keyframe has so many times the bytes of another picture.
const KEY_WEIGHT: u64 = 4;
/// Head and trailing length of an FLV tag.
const TAG_BYTES: u64 = 15;
/// What stands before a picture in a tag's body: FLV's five bytes, NAL length and header.
const PICTURE_HEAD_BYTES: usize = 10;
/// What stands before sound in a tag's body.
const SOUND_HEAD_BYTES: usize = 2;

/// What a unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A picture.
    Picture,
    /// A frame of sound.
    Sound,
}

/// One film; films of different seeds share no payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Film {
    seed: u64,
    /// Bytes of one group of pictures, without the sound.
    group_bytes: u64,
    /// Pictures per second.
    fps: u64,
    /// Pictures of a group.
    group: u64,
    /// Whether it has sound.
    pub(crate) has_sound: bool,
}

/// What a unit says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Its number among those of its kind.
    pub(crate) number: u64,
    /// When it was sent.
    pub(crate) sent_ns: u64,
}

impl Film {
    /// A film of `bits` per second altogether with keyframes `group` pictures apart.
    pub(crate) fn new(seed: u64, bits: u64, fps: u64, group: u64, has_sound: bool) -> Film {
        let sound = if has_sound {
            SOUND_BYTES as u64 * SOUND_RATE / SOUND_SAMPLES
        } else {
            0
        };
        Film {
            seed,
            group_bytes: (bits / 8).saturating_sub(sound) * group / fps,
            fps,
            group,
            has_sound,
        }
    }

    /// Bytes per second of the film as FLV.
    pub(crate) fn flv_bytes_per_s(&self) -> u64 {
        let whole: u64 = (0..self.group).map(|n| self.picture_bytes(n) as u64).sum();
        let pictures = whole + self.group * (TAG_BYTES + PICTURE_HEAD_BYTES as u64);
        let sound = (SOUND_BYTES + SOUND_HEAD_BYTES) as u64 + TAG_BYTES;
        let sound = if self.has_sound { sound } else { 0 };
        pictures * self.fps / self.group + sound * SOUND_RATE / SOUND_SAMPLES
    }

    /// When a unit is due after the start.
    pub(crate) fn due_ns(&self, kind: Kind, number: u64) -> u64 {
        match kind {
            Kind::Picture => number * SECOND_NS / self.fps,
            Kind::Sound => number * SOUND_SAMPLES * SECOND_NS / SOUND_RATE,
        }
    }

    /// The configuration as the body of a tag.
    pub(crate) fn config_body(kind: Kind) -> Vec<u8> {
        match kind {
            Kind::Picture => [&[0x17, 0, 0, 0, 0], VIDEO_CONFIG].concat(),
            Kind::Sound => [&[0xaf, 0][..], &AUDIO_CONFIG].concat(),
        }
    }

    /// Replaces what is in `body` by a unit's tag body.
    pub(crate) fn write_body(&self, kind: Kind, stamp: Stamp, body: &mut Vec<u8>) {
        body.clear();
        let len = match kind {
            Kind::Picture => {
                let is_key = stamp.number.is_multiple_of(self.group);
                let len = self.picture_bytes(stamp.number);
                body.extend([if is_key { 0x17 } else { 0x27 }, 1, 0, 0, 0]);
                let nal_len = u32::try_from(len + 1).unwrap_or(u32::MAX);
                body.extend(nal_len.to_be_bytes());
                body.push(if is_key { 0x65 } else { 0x41 });
                len
            }
            Kind::Sound => {
                body.extend([0xaf, 1]);
                SOUND_BYTES
            }
        };
        body.extend(MAGIC);
        body.extend(stamp.number.to_be_bytes());
        body.extend(stamp.sent_ns.to_be_bytes());
        self.fill(kind, stamp.number, len - STAMP_BYTES, body);
    }

    /// What a tag's body says; `Ok(None)` for a configuration, an error for anything that the
    /// film does not have.
    pub(crate) fn read_body(&self, kind: Kind, body: &[u8]) -> Result<Option<Stamp>, ()> {
        if body == Film::config_body(kind) {
            return Ok(None);
        }
        let head = match kind {
            Kind::Picture => PICTURE_HEAD_BYTES,
            Kind::Sound => SOUND_HEAD_BYTES,
        };
        let unit = body.get(head..).ok_or(())?;
        let stamp = stamps(unit).next().ok_or(())?;
        let mut expected = Vec::with_capacity(body.len());
        self.write_body(kind, stamp, &mut expected);
        if expected == body {
            Ok(Some(stamp))
        } else {
            Err(())
        }
    }

    /// Bytes of a picture without any header.
    fn picture_bytes(&self, number: u64) -> usize {
        let share = self.group_bytes / (self.group + KEY_WEIGHT - 1);
        let weight = if number.is_multiple_of(self.group) {
            KEY_WEIGHT
        } else {
            1
        };
        usize::try_from(share * weight)
            .unwrap_or(usize::MAX)
            .max(STAMP_BYTES)
    }

    /// Appends a unit's noise, which follows from the seed and the number. No start code is in
    /// it: the lowest bit of every byte is set.
    fn fill(&self, kind: Kind, number: u64, len: usize, out: &mut Vec<u8>) {
        let track = 1 + u64::from(kind == Kind::Sound);
        let mut word = mix(self.seed ^ mix(number ^ track << 56));
        let end = out.len() + len;
        while out.len() < end {
            let take = (end - out.len()).min(8);
            let bytes = (word | 0x0101_0101_0101_0101).to_le_bytes();
            out.extend(bytes.iter().take(take));
            word = mix(word);
        }
    }
}

/// What the units in `bytes` say of themselves, whatever is around them, in order.
pub(crate) fn stamps(bytes: &[u8]) -> impl Iterator<Item = Stamp> + '_ {
    let starts = bytes.windows(STAMP_BYTES);
    let found = starts.filter(|window| window.starts_with(&MAGIC));
    found.filter_map(|window| {
        let word = |at: usize| {
            let bytes = window.get(at..at + 8)?;
            Some(u64::from_be_bytes(bytes.try_into().ok()?))
        };
        Some(Stamp {
            number: word(8)?,
            sent_ns: word(16)?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn film() -> Film {
        Film::new(1, 650_000, 30, 60, true)
    }

    #[test]
    fn a_film_has_the_rate_that_was_asked_for() {
        let film = film();
        let (mut bytes, mut body) = (0, Vec::new());
        for (kind, count) in [(Kind::Picture, 300), (Kind::Sound, 469)] {
            for number in 0..count {
                let stamp = Stamp { number, sent_ns: 5 };
                film.write_body(kind, stamp, &mut body);
                bytes += body.len() as u64;
            }
        }
        let bits_per_s = bytes * 8 / 10;
        assert!(bits_per_s.abs_diff(650_000) < 10_000, "{bits_per_s}");
        let flv = film.flv_bytes_per_s();
        assert!(flv.abs_diff((bytes + 769 * TAG_BYTES) / 10) < 200, "{flv}");
    }

    #[test]
    fn a_body_says_what_it_is_and_a_wrong_byte_is_seen() {
        let film = film();
        for kind in [Kind::Picture, Kind::Sound] {
            assert_eq!(film.read_body(kind, &Film::config_body(kind)), Ok(None));
            let mut body = Vec::new();
            for number in [0, 1, 60, 61] {
                let stamp = Stamp { number, sent_ns: 7 };
                film.write_body(kind, stamp, &mut body);
                assert_eq!(film.read_body(kind, &body), Ok(Some(stamp)));
                assert_eq!(stamps(&body).collect::<Vec<_>>(), [stamp]);
                if let Some(last) = body.last_mut() {
                    *last ^= 2;
                }
                assert_eq!(film.read_body(kind, &body), Err(()));
            }
            assert_eq!(film.read_body(kind, &[]), Err(()));
        }
        let other = Film::new(2, 650_000, 30, 60, true);
        let mut body = Vec::new();
        let stamp = Stamp {
            number: 3,
            sent_ns: 7,
        };
        film.write_body(Kind::Picture, stamp, &mut body);
        assert_eq!(other.read_body(Kind::Picture, &body), Err(()));
    }

    #[test]
    fn units_are_found_in_any_wrapping() {
        let film = film();
        let (mut bytes, mut body) = (vec![0; 100], Vec::new());
        for number in 0..3 {
            let stamp = Stamp { number, sent_ns: 9 };
            film.write_body(Kind::Picture, stamp, &mut body);
            bytes.extend(&body);
        }
        let numbers: Vec<u64> = stamps(&bytes).map(|stamp| stamp.number).collect();
        assert_eq!(numbers, [0, 1, 2]);
        assert_eq!(stamps(&MAGIC).count(), 0);
    }
}
