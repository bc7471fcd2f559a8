//! Sources for tests: seeded, with the faults that real encoders have.

use std::sync::Arc;

use bytes::Bytes;
use corecast_media::frame::MediaEvent;
use corecast_media::track::{
    AccessUnit, MediaTime, Track, TrackCodec, TrackFormat, TrackId, TrackKind,
};

/// A small generator (splitmix64): the same seed, the same source.
#[derive(Debug)]
pub(super) struct Seeded(pub(super) u64);

impl Seeded {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end.max(1)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Video {
    pub(super) frame_us: u64,
    pub(super) gop: u64,
    /// Pictures between reference pictures, shown before the one that is decoded first.
    pub(super) b_frames: u64,
    /// Every picture is up to so much later than it should be.
    pub(super) late_us: u64,
    /// So many in a hundred pictures are not sent at all.
    pub(super) dropped_percent: u64,
    /// Before each keyframe but the first two there is so much time without pictures.
    pub(super) hole_us: u64,
}

impl Video {
    pub(super) fn regular(frame_us: u64, gop: u64) -> Self {
        Video {
            frame_us,
            gop,
            b_frames: 0,
            late_us: 0,
            dropped_percent: 0,
            hole_us: 0,
        }
    }

    /// How much time without pictures there is before the picture of this number.
    fn holes_before_us(&self, number: u64) -> u64 {
        (number / self.gop).saturating_sub(1) * self.hole_us
    }

    /// How much there is in so many seconds of pictures.
    fn holes_us(&self, seconds: u64) -> u64 {
        self.holes_before_us(seconds * 1_000_000 / self.frame_us)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) seed: u64,
    pub(super) video: Vec<Video>,
    /// The sampling rate of each audio track; frames have 1,024 samples.
    pub(super) audio: Vec<u32>,
    pub(super) seconds: u64,
    /// Times are whole milliseconds, as in RTMP.
    pub(super) milliseconds: bool,
    /// Units come up to so much later than they should, in order.
    pub(super) network_us: u64,
    /// The source's clock at the start.
    pub(super) clock_us: u64,
}

impl Default for Scene {
    fn default() -> Self {
        Scene {
            seed: 1,
            video: vec![Video::regular(40_000, 50)],
            audio: vec![48_000],
            seconds: 30,
            milliseconds: true,
            network_us: 0,
            clock_us: 5_000_000,
        }
    }
}

/// Something that happens at a time in microseconds.
#[derive(Clone, Debug)]
pub(super) struct Happening {
    pub(super) at_us: u64,
    pub(super) event: MediaEvent,
    pub(super) discontinuity: bool,
}

impl Happening {
    pub(super) fn unit(&self) -> Option<&AccessUnit> {
        match &self.event {
            MediaEvent::Unit(unit) => Some(unit),
            _ => None,
        }
    }
}

impl Scene {
    pub(super) fn tracks(&self) -> Arc<[Track]> {
        let video = self.video.iter().map(|_| format(TrackCodec::H264, 0));
        let audio = self.audio.iter().map(|&rate| format(TrackCodec::Aac, rate));
        video
            .chain(audio)
            .enumerate()
            .map(|(at, format)| Track {
                id: TrackId(at as u8),
                format,
            })
            .collect()
    }

    /// All that the source sends, in order; starts with its tracks.
    pub(super) fn happenings(&self) -> Vec<Happening> {
        let mut seeded = Seeded(self.seed);
        let mut units: Vec<(u64, AccessUnit)> = Vec::new();
        for (at, video) in self.video.iter().enumerate() {
            units.extend(self.pictures(at as u8, video, &mut seeded));
        }
        for (at, rate) in self.audio.iter().enumerate() {
            units.extend(self.sounds((self.video.len() + at) as u8, *rate));
        }
        units.sort_by_key(|(at_us, unit)| (*at_us, unit.track));
        let mut found = vec![Happening {
            at_us: 0,
            event: MediaEvent::Tracks(self.tracks()),
            discontinuity: false,
        }];
        let mut last_us = 0;
        for (at_us, unit) in units {
            last_us = last_us.max(at_us + seeded.below(self.network_us + 1));
            found.push(Happening {
                at_us: last_us,
                event: MediaEvent::Unit(unit),
                discontinuity: false,
            });
        }
        found
    }

    fn time(&self, us: u64) -> MediaTime {
        let us = self.clock_us + us;
        if self.milliseconds {
            MediaTime::from_millis((us as i64 + 500) / 1_000)
        } else {
            MediaTime::from_nanos(us as i64 * 1_000)
        }
    }

    fn pictures(&self, id: u8, video: &Video, seeded: &mut Seeded) -> Vec<(u64, AccessUnit)> {
        let count = self.seconds * 1_000_000 / video.frame_us;
        let group = video.b_frames + 1;
        let mut units = Vec::new();
        let mut last_us = 0;
        for at in 0..count {
            let in_gop = at % video.gop;
            let keyframe = in_gop == 0;
            if !keyframe && seeded.below(100) < video.dropped_percent {
                continue;
            }
            let late_us = seeded.below(video.late_us + 1);
            let holes_us = video.holes_before_us(at);
            let dts_us = (at * video.frame_us + late_us + holes_us).max(last_us + 1_000);
            last_us = dts_us;
            // Decoded I P B B: the P is shown after its Bs; all are one picture late.
            let ahead = match (in_gop, video.b_frames) {
                (_, 0) => 0,
                (0, _) => 1,
                (_, between) if (in_gop - 1).is_multiple_of(group) => between + 1,
                _ => 0,
            };
            let pts_us = dts_us + ahead * video.frame_us;
            let bytes = if keyframe { 4_000 } else { 800 };
            let unit = AccessUnit {
                track: TrackId(id),
                dts: self.time(dts_us),
                pts: self.time(pts_us),
                keyframe,
                payload: payload(id, at, bytes),
            };
            units.push((dts_us, unit));
        }
        units
    }

    fn sounds(&self, id: u8, rate: u32) -> Vec<(u64, AccessUnit)> {
        let holes = self.video.iter().map(|video| video.holes_us(self.seconds));
        let length_us = self.seconds * 1_000_000 + holes.max().unwrap_or(0);
        let count = length_us * u64::from(rate) / 1_024_000_000;
        (0..count)
            .map(|at| {
                let dts_us = at * 1_024_000_000 / u64::from(rate);
                let unit = AccessUnit {
                    track: TrackId(id),
                    dts: self.time(dts_us),
                    pts: self.time(dts_us),
                    keyframe: true,
                    payload: payload(id, at, 120),
                };
                (dts_us, unit)
            })
            .collect()
    }
}

/// Bytes that no other unit has.
fn payload(track: u8, number: u64, bytes: usize) -> Bytes {
    let mut found = vec![track; bytes];
    found[..8].copy_from_slice(&number.to_be_bytes());
    Bytes::from(found)
}

pub(super) fn format(codec: TrackCodec, sample_rate_hz: u32) -> TrackFormat {
    let is_video = codec.kind() == TrackKind::Video;
    TrackFormat {
        codec,
        config: match codec {
            TrackCodec::Aac if sample_rate_hz == 44_100 => Bytes::from_static(&[0x12, 0x10]),
            TrackCodec::Aac => Bytes::from_static(&[0x11, 0x90]),
            _ => Bytes::from_static(&[1, 0x64, 0, 0x1f, 0xff, 0xe0, 0]),
        },
        rfc6381: Arc::from(if is_video { "avc1.64001f" } else { "mp4a.40.2" }),
        width: if is_video { 1_280 } else { 0 },
        height: if is_video { 720 } else { 0 },
        frame_rate_millihz: 0,
        sample_rate_hz,
        channels: if is_video { 0 } else { 2 },
    }
}
