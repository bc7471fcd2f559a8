//! The newest access units of a mount, from a keyframe on: what an output that starts now is
//! written from first.
//!
//! Lives on: the mount's home shard. Payloads are shared with the outputs; the cache costs what
//! the source's own bytes cost.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::codec::nal;
use crate::frame::MediaEvent;
use crate::time::Time;
use crate::track::{AccessUnit, Track, TrackCodec, TrackKind};

/// How much of the past a cache keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GopLimits {
    /// Groups older than this are let go of, except the newest.
    pub age_max: Duration,
    /// The most bytes of payload. The nearer the cache comes to them, the more it lets go of, see
    /// [`GopCache::push`].
    pub bytes_max: usize,
}

/// The most units that a cache keeps, however small they are: what is kept beside a unit's payload
/// would cost more than the bytes say.
const UNITS_MAX: usize = 16 * 1024;

/// From this share of the bytes on, in hundredths, pictures that no other needs go from the two
/// oldest groups.
const DROPS_UNNEEDED: usize = 50;
/// From here on they go from every group but the newest, and the oldest one keeps its keyframe
/// and its sound only.
const DROPS_INTER: usize = 70;
/// From here on every group but the newest keeps its keyframe and its sound only.
const DROPS_TO_KEYFRAMES: usize = 85;
/// From here on whole groups go; the newest stays.
const DROPS_GROUPS: usize = 95;

const _: () = assert!(DROPS_UNNEEDED < DROPS_INTER && DROPS_INTER < DROPS_TO_KEYFRAMES);
const _: () = assert!(DROPS_TO_KEYFRAMES < DROPS_GROUPS && DROPS_GROUPS <= 100);

/// One unit, and when it came.
#[derive(Clone, Debug)]
struct Cached {
    arrived: Time,
    weight: Weight,
    unit: AccessUnit,
}

/// What is lost with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    /// Nothing but itself.
    Unneeded,
    /// What refers to it.
    Inter,
    /// A keyframe or sound: it stays as long as its group.
    Kept,
}

/// The newest groups of pictures, with the sound between them.
#[derive(Debug)]
pub struct GopCache {
    limits: GopLimits,
    tracks: Arc<[Track]>,
    has_video: bool,
    units: VecDeque<Cached>,
    /// Where groups start, counted from the first unit that ever was.
    starts: VecDeque<u64>,
    /// How many units were let go of.
    gone: u64,
    bytes: usize,
    /// The newest group was too large: nothing is kept until the next one.
    closed: bool,
}

impl GopCache {
    /// An empty cache.
    pub fn new(limits: GopLimits) -> Self {
        GopCache {
            limits,
            tracks: Arc::from([]),
            has_video: false,
            units: VecDeque::new(),
            starts: VecDeque::new(),
            gone: 0,
            bytes: 0,
            closed: false,
        }
    }

    /// The tracks as they are now; empty before a source said them.
    pub fn tracks(&self) -> &Arc<[Track]> {
        &self.tracks
    }

    /// Takes other tracks: what was kept belongs to the old ones.
    pub fn set_tracks(&mut self, tracks: Arc<[Track]>) {
        let is_video = |track: &Track| track.format.codec.kind() == TrackKind::Video;
        self.has_video = tracks.iter().any(is_video);
        self.tracks = tracks;
        self.clear();
    }

    /// Forgets all units.
    pub fn clear(&mut self) {
        self.gone += self.units.len() as u64;
        self.units.clear();
        self.starts.clear();
        (self.bytes, self.closed) = (0, false);
    }

    /// Forgets the tracks too: the source is another one.
    pub fn reset(&mut self) {
        self.clear();
        (self.tracks, self.has_video) = (Arc::from([]), false);
    }

    /// Keeps a unit, and lets go of what costs least as the limit comes near: first pictures that
    /// no other needs, of the oldest groups, then of all but the newest, then what is between
    /// keyframes, at last whole groups. A group that alone is larger than the limit is not kept at
    /// all: half of it would decode, but show who joins a picture that stands still until the next
    /// one.
    pub fn push(&mut self, now: Time, unit: AccessUnit) {
        let codec = self.codec_of(&unit);
        let is_video = codec.is_some_and(|codec| codec.kind() == TrackKind::Video);
        let entry = unit.keyframe && (is_video || !self.has_video);
        if entry {
            self.closed = false;
        } else if self.closed || self.units.is_empty() {
            return;
        }
        if entry {
            self.starts.push_back(self.gone + self.units.len() as u64);
        }
        self.bytes += unit.payload.len();
        let weight = match codec {
            Some(codec) if is_video && !unit.keyframe => match is_unneeded(codec, &unit.payload) {
                true => Weight::Unneeded,
                false => Weight::Inter,
            },
            _ => Weight::Kept,
        };
        self.units.push_back(Cached {
            arrived: now,
            weight,
            unit,
        });
        self.trim(now);
    }

    /// Keeps what `event` says of tracks, or its unit; others say nothing to it.
    pub fn push_event(&mut self, now: Time, event: &MediaEvent) {
        match event {
            MediaEvent::Tracks(tracks) => self.set_tracks(Arc::clone(tracks)),
            MediaEvent::Unit(unit) => self.push(now, unit.clone()),
            _ => {}
        }
    }

    fn codec_of(&self, unit: &AccessUnit) -> Option<TrackCodec> {
        let track = self.tracks.iter().find(|track| track.id == unit.track);
        track.map(|track| track.format.codec)
    }

    /// Lets go of what there is no room for, then of groups that are too old; the newest stays.
    fn trim(&mut self, now: Time) {
        self.relieve();
        while self.bytes > self.share(DROPS_GROUPS) || self.units.len() > UNITS_MAX {
            if !self.drop_oldest_group() {
                if self.bytes > self.limits.bytes_max || self.units.len() > UNITS_MAX {
                    self.clear();
                    self.closed = true;
                }
                return;
            }
        }
        // A group may go once what follows it is old enough alone.
        while let Some(next) = self.second_group()
            && now.since(next) >= self.limits.age_max
            && self.drop_oldest_group()
        {}
    }

    /// Drops pictures out of groups, as far as the bytes ask for it.
    fn relieve(&mut self) {
        if self.bytes <= self.share(DROPS_UNNEEDED) {
            return;
        }
        let Some(newest) = self.start_of(self.starts.len().saturating_sub(1)) else {
            return;
        };
        let second = self.start_of(1).unwrap_or(newest);
        let third = self.start_of(2).unwrap_or(newest);
        self.drop_before(third.min(newest), Weight::Unneeded);
        if self.bytes > self.share(DROPS_INTER) {
            self.drop_before(newest, Weight::Unneeded);
            self.drop_before(second.min(newest), Weight::Inter);
        }
        if self.bytes > self.share(DROPS_TO_KEYFRAMES) {
            self.drop_before(newest, Weight::Inter);
        }
    }

    /// Marks units of `weight` or less before `end` as gone, without moving the others yet.
    fn drop_before(&mut self, end: usize, weight: Weight) {
        for cached in self.units.iter_mut().take(end) {
            let goes = match weight {
                Weight::Unneeded => cached.weight == Weight::Unneeded,
                Weight::Inter | Weight::Kept => cached.weight != Weight::Kept,
            };
            if goes {
                self.bytes -= cached.unit.payload.len();
                cached.unit.payload = Bytes::new();
            }
        }
    }

    /// Bytes that are so many hundredths of the limit.
    fn share(&self, hundredths: usize) -> usize {
        self.limits.bytes_max / 100 * hundredths
    }

    /// The index of the first unit of a group, counted from the oldest.
    fn start_of(&self, group: usize) -> Option<usize> {
        let start = self.starts.get(group)?.checked_sub(self.gone)?;
        usize::try_from(start).ok()
    }

    /// When the second oldest group arrived.
    fn second_group(&self) -> Option<Time> {
        Some(self.units.get(self.start_of(1)?)?.arrived)
    }

    /// False where there is only one group.
    fn drop_oldest_group(&mut self) -> bool {
        let Some(next) = self.start_of(1) else {
            return false;
        };
        for cached in self.units.drain(..next) {
            self.bytes -= cached.unit.payload.len();
        }
        self.gone += next as u64;
        self.starts.pop_front();
        true
    }

    /// Everything that is kept, with the times at which it came: the tracks first.
    pub fn replay(&self) -> impl Iterator<Item = (Time, MediaEvent)> {
        self.replay_from(0)
    }

    /// The same, from the newest group on: for a reader at the live edge.
    pub fn replay_newest(&self) -> impl Iterator<Item = (Time, MediaEvent)> {
        let newest = self.start_of(self.starts.len().saturating_sub(1));
        // Without pictures every unit is a group: all of them are wanted.
        self.replay_from(if self.has_video {
            newest.unwrap_or(0)
        } else {
            0
        })
    }

    fn replay_from(&self, first: usize) -> impl Iterator<Item = (Time, MediaEvent)> {
        let units = self.units.range(first.min(self.units.len())..);
        let units = units.filter(|cached| !cached.unit.payload.is_empty());
        let start = units
            .clone()
            .next()
            .map_or(Time::ZERO, |cached| cached.arrived);
        let tracks = (!self.tracks.is_empty())
            .then(|| (start, MediaEvent::Tracks(Arc::clone(&self.tracks))));
        tracks
            .into_iter()
            .chain(units.map(|cached| (cached.arrived, MediaEvent::Unit(cached.unit.clone()))))
    }

    /// Bytes of payload that are kept.
    pub fn len_bytes(&self) -> usize {
        self.bytes
    }
}

/// Whether no other picture refers to this one, as its own headers say (H.264 section 7.4.1
/// `nal_ref_idc`, HEVC table 7-1: even types below 16).
fn is_unneeded(codec: TrackCodec, payload: &[u8]) -> bool {
    let mut pictures = nal::units(payload)
        .filter_map(|unit| unit.ok()?.first().copied())
        .filter_map(|header| match codec {
            TrackCodec::H264 => matches!(header & 31, 1..=5).then_some(header >> 5 & 3 == 0),
            TrackCodec::H265 => {
                let kind = header >> 1 & 63;
                (kind < 32).then_some(kind < 16 && kind % 2 == 0)
            }
            _ => Some(false),
        });
    pictures.next() == Some(true) && pictures.all(|unneeded| unneeded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::track::{MediaTime, TrackCodec, TrackFormat, TrackId};

    fn track(id: u8, codec: TrackCodec) -> Track {
        Track {
            id: TrackId(id),
            format: TrackFormat {
                codec,
                config: Bytes::new(),
                rfc6381: "".into(),
                width: 0,
                height: 0,
                frame_rate_millihz: 0,
                sample_rate_hz: 0,
                channels: 0,
            },
        }
    }

    fn unit(track: u8, ms: i64, keyframe: bool, size: usize) -> AccessUnit {
        AccessUnit {
            track: TrackId(track),
            dts: MediaTime::from_millis(ms),
            pts: MediaTime::from_millis(ms),
            keyframe,
            payload: vec![0; size].into(),
        }
    }

    fn cache(bytes_max: usize) -> GopCache {
        let mut cache = GopCache::new(GopLimits {
            age_max: Duration::from_secs(3),
            bytes_max,
        });
        let tracks = [track(0, TrackCodec::H264), track(1, TrackCodec::Aac)];
        cache.set_tracks(tracks.into());
        cache
    }

    fn times(replay: impl Iterator<Item = (Time, MediaEvent)>) -> Vec<i64> {
        replay
            .filter_map(|(_, event)| match event {
                MediaEvent::Unit(unit) => Some(unit.dts.as_millis()),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn what_is_replayed_starts_with_a_keyframe_and_reaches_back_far_enough() {
        let mut cache = cache(usize::MAX);
        for ms in (0..10_000).step_by(500) {
            let keyframe = ms % 2_000 == 1_000;
            cache.push(Time::from_millis(ms as u64), unit(0, ms, keyframe, 10));
            cache.push(Time::from_millis(ms as u64), unit(1, ms, true, 1));
        }
        // Keyframes at 1, 3, 5, 7, 9 s: 5 s is the newest that leaves 3 s behind it at 9.5 s.
        let kept = times(cache.replay());
        assert_eq!((kept[0], kept.len()), (5_000, 20));
        assert_eq!(times(cache.replay_newest()), [9_000, 9_000, 9_500, 9_500]);
        let first = cache.replay().next();
        assert!(matches!(first, Some((_, MediaEvent::Tracks(tracks))) if tracks.len() == 2));
    }

    #[test]
    fn bytes_are_bounded_and_half_a_group_is_none() {
        let mut cache = cache(100);
        cache.push(Time::ZERO, unit(0, 0, true, 40));
        cache.push(Time::ZERO, unit(0, 40, false, 40));
        assert_eq!(cache.len_bytes(), 80);
        cache.push(Time::ZERO, unit(0, 80, true, 40));
        let kept = times(cache.replay());
        assert_eq!(kept, [0, 80], "of the older group its keyframe");
        cache.push(Time::ZERO, unit(0, 120, false, 70));
        cache.push(Time::ZERO, unit(0, 160, false, 1));
        assert_eq!((cache.len_bytes(), times(cache.replay())), (0, vec![]));
        cache.push(Time::ZERO, unit(0, 200, true, 1));
        assert_eq!(times(cache.replay()), [200]);
    }

    #[test]
    fn units_are_bounded_however_small_they_are() {
        let mut cache = cache(usize::MAX);
        cache.push(Time::ZERO, unit(0, 0, true, 1));
        for ms in 1..UNITS_MAX as i64 {
            cache.push(Time::ZERO, unit(0, ms, false, 0));
        }
        assert_eq!(cache.units.len(), UNITS_MAX);
        cache.push(Time::ZERO, unit(0, 0, false, 1));
        assert!(cache.units.is_empty(), "half a group is none");
        cache.push(Time::ZERO, unit(0, 0, true, 1));
        assert_eq!(cache.units.len(), 1);
    }

    /// A picture of H.264 with this first byte and `size` bytes in all.
    fn picture(ms: i64, header: u8, size: usize) -> AccessUnit {
        let mut payload = vec![0; size];
        payload[3] = (size - 4) as u8;
        payload[4] = header;
        AccessUnit {
            payload: payload.into(),
            ..unit(0, ms, header & 31 == 5, 0)
        }
    }

    #[test]
    fn the_less_room_there_is_the_more_goes_and_the_newest_group_last() {
        const KEY: u8 = 0x65;
        const P: u8 = 0x41;
        const B: u8 = 0x01;
        let kept_with = |bytes_max: usize| {
            let mut cache = cache(bytes_max);
            for group in 0..4 {
                let ms = group * 400;
                let pictures = [(0, KEY), (100, B), (200, P), (300, B)];
                for (after, header) in pictures {
                    cache.push(Time::ZERO, picture(ms + after, header, 100));
                }
                cache.push(Time::ZERO, unit(1, ms, true, 5));
            }
            assert!(cache.len_bytes() <= bytes_max);
            (times(cache.replay()).len(), times(cache.replay())[0])
        };
        // 20 units of 1,620 bytes in four groups.
        assert_eq!(kept_with(3_300), (20, 0), "room for all");
        assert_eq!(
            kept_with(2_600),
            (16, 0),
            "without the B pictures of two groups"
        );
        let (fewer, first) = kept_with(1_700);
        assert!(
            fewer < 16 && first == 0,
            "{fewer} units, still from the first keyframe on"
        );
        let (fewest, first) = kept_with(700);
        assert!(
            fewest < fewer && first > 0,
            "{fewest} units: whole groups went"
        );
    }

    #[test]
    fn pictures_say_whether_others_need_them() {
        for (codec, header, unneeded) in [
            (TrackCodec::H264, 0x01, true),
            (TrackCodec::H264, 0x41, false),
            (TrackCodec::H264, 0x65, false),
            (TrackCodec::H265, 0x00, true),
            (TrackCodec::H265, 0x02, false),
            (TrackCodec::H265, 0x26, false),
            (TrackCodec::Av1, 0x00, false),
        ] {
            let payload = [0, 0, 0, 2, header, 0];
            assert_eq!(
                is_unneeded(codec, &payload),
                unneeded,
                "{codec} {header:#x}"
            );
        }
        assert!(!is_unneeded(TrackCodec::H264, &[]));
        assert!(!is_unneeded(TrackCodec::H264, &[0, 0, 0, 9, 1]));
    }
}
