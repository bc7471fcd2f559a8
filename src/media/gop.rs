//! The newest access units of a mount, from a keyframe on: what an output that starts now is
//! written from first.
//!
//! Lives on: the mount's home shard. Payloads are shared with the outputs; the cache costs what
//! the source's own bytes cost.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::frame::MediaEvent;
use crate::time::Time;
use crate::track::{AccessUnit, Track, TrackKind};

/// How much of the past a cache keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GopLimits {
    /// Groups older than this are let go of, except the newest.
    pub age_max: Duration,
    /// The most bytes of payload. Past them older groups go first; a single group that is larger
    /// loses its newest units that nothing needs first, see [`GopCache::push`].
    pub bytes_max: usize,
}

/// One unit, when it came, and whether a group starts with it.
#[derive(Clone, Debug)]
struct Cached {
    arrived: Time,
    entry: bool,
    unit: AccessUnit,
}

/// The newest groups of pictures, with the sound between them.
#[derive(Debug)]
pub struct GopCache {
    limits: GopLimits,
    tracks: Arc<[Track]>,
    has_video: bool,
    units: VecDeque<Cached>,
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
        self.units.clear();
        (self.bytes, self.closed) = (0, false);
    }

    /// Forgets the tracks too: the source is another one.
    pub fn reset(&mut self) {
        self.clear();
        (self.tracks, self.has_video) = (Arc::from([]), false);
    }

    /// Keeps a unit. A group that alone is larger than the limit is not kept at all: half of it
    /// would decode, but show who joins a picture that stands still until the next one.
    pub fn push(&mut self, now: Time, unit: AccessUnit) {
        let is_video = self.is_video(&unit);
        let entry = unit.keyframe && (is_video || !self.has_video);
        if entry {
            self.closed = false;
        } else if self.closed || self.units.is_empty() {
            return;
        }
        self.bytes += unit.payload.len();
        let arrived = now;
        self.units.push_back(Cached {
            arrived,
            entry,
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

    fn is_video(&self, unit: &AccessUnit) -> bool {
        let track = self.tracks.iter().find(|track| track.id == unit.track);
        track.is_some_and(|track| track.format.codec.kind() == TrackKind::Video)
    }

    /// Lets go of the oldest groups: by bytes, then by age; the newest stays.
    fn trim(&mut self, now: Time) {
        while self.bytes > self.limits.bytes_max {
            if !self.drop_oldest_group() {
                self.clear();
                self.closed = true;
                return;
            }
        }
        // A group may go once what follows it is old enough alone.
        while let Some(next) = self.second_group()
            && now.since(next) >= self.limits.age_max
            && self.drop_oldest_group()
        {}
    }

    /// When the second oldest group arrived.
    fn second_group(&self) -> Option<Time> {
        let mut entries = self.units.iter().skip(1).filter(|cached| cached.entry);
        entries.next().map(|cached| cached.arrived)
    }

    /// False where there is only one group.
    fn drop_oldest_group(&mut self) -> bool {
        let next = self.units.iter().skip(1).position(|cached| cached.entry);
        let Some(next) = next else { return false };
        for cached in self.units.drain(..=next) {
            self.bytes -= cached.unit.payload.len();
        }
        true
    }

    /// Everything that is kept, with the times at which it came: the tracks first.
    pub fn replay(&self) -> impl Iterator<Item = (Time, MediaEvent)> {
        self.replay_from(0)
    }

    /// The same, from the newest group on: for a reader at the live edge.
    pub fn replay_newest(&self) -> impl Iterator<Item = (Time, MediaEvent)> {
        let newest = self.units.iter().rposition(|cached| cached.entry);
        // Without pictures every unit is a group: all of them are wanted.
        self.replay_from(if self.has_video {
            newest.unwrap_or(0)
        } else {
            0
        })
    }

    fn replay_from(&self, first: usize) -> impl Iterator<Item = (Time, MediaEvent)> {
        let units = self.units.range(first.min(self.units.len())..);
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

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
        assert_eq!(times(cache.replay()), [80], "the older group went");
        cache.push(Time::ZERO, unit(0, 120, false, 70));
        cache.push(Time::ZERO, unit(0, 160, false, 1));
        assert_eq!((cache.len_bytes(), times(cache.replay())), (0, vec![]));
        cache.push(Time::ZERO, unit(0, 200, true, 1));
        assert_eq!(times(cache.replay()), [200]);
    }
}
