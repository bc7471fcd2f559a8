//! What sources send to our packager in five minutes.

use std::sync::Arc;

use bytes::Bytes;
use corecast_media::codec::describe;
use corecast_media::frame::MediaEvent;
use corecast_media::track::{AccessUnit, MediaTime, Track, TrackCodec, TrackId};

use crate::hls::history::MS;

/// Units come up to so much later than they should.
pub(super) const JITTER_MS: u64 = 80;
pub(super) const OUTAGE_MS: std::ops::Range<u64> = 100_000..106_000;
pub(super) const CHANGE_MS: u64 = 200_000;
pub(super) const END_MS: u64 = 300_000;
/// Pictures from one keyframe to the next.
const GOP: i64 = 25;
/// The film is played in a loop of so many pictures, and its sound is so much longer.
const LOOP: i64 = 40 * GOP;
pub(super) const HOLE_MS: u64 = 120;

/// What is sent, and what it is listed as.
pub(super) struct Show {
    pub(super) names: &'static [&'static str],
    /// Before and after [`CHANGE_MS`].
    pub(super) tracks: [MediaEvent; 2],
    /// All units with when they come, in that order.
    pub(super) units: Vec<(u64, AccessUnit)>,
    /// Rules about what does not happen.
    pub(super) unseen: &'static [&'static str],
    /// How many lists each rendition has at least.
    pub(super) states_min: usize,
}

impl Show {
    pub(super) fn film() -> Show {
        Show {
            names: &["v0", "a0"],
            tracks: [tracks(false), tracks(true)],
            units: units(),
            unseen: &["rule_07_removed_segments", "rule_37_stall"],
            states_min: 1_200,
        }
    }

    /// Sound of layer III, first at 44,100 Hz and then at 48,000 Hz.
    pub(super) fn radio() -> Show {
        let header = |second| vec![0xff, 0xfb, second, 0x64];
        let tracks = [0x90, 0x94].map(|third| {
            let format = describe::from_unit(TrackCodec::Mp3, &header(third));
            let format = format.expect("a header");
            let id = TrackId(0);
            MediaEvent::Tracks(Arc::from([Track { id, format }]))
        });
        let (mut units, mut now_ns) = (Vec::new(), 0);
        loop {
            let due_ms = now_ns / MS;
            if due_ms >= END_MS {
                break;
            }
            let (third, length, rate_hz) = if due_ms < CHANGE_MS {
                (0x90, 417, 44_100)
            } else {
                (0x94, 384, 48_000)
            };
            let mut payload = header(third);
            payload.resize(length, 0);
            let dts = MediaTime::from_nanos(now_ns.cast_signed());
            let unit = AccessUnit {
                track: TrackId(0),
                dts,
                pts: dts,
                keyframe: true,
                payload: payload.into(),
            };
            if !OUTAGE_MS.contains(&due_ms) {
                units.push((due_ms + due_ms % JITTER_MS / 2, unit));
            }
            now_ns += 1_152_000_000_000 / rate_hz;
        }
        in_order(&mut units);
        Show {
            names: &["a0"],
            tracks,
            units,
            unseen: &[
                "rule_07_removed_segments",
                "rule_17_short_parts",
                "rule_32_past_the_last_part",
                "rule_37_stall",
                "rule_44_rendition_reports",
                "rule_46_alignment",
            ],
            states_min: 280,
        }
    }
}

fn tracks(pixels_high: bool) -> MediaEvent {
    // 320x180 and 640x360 at 25 Hz, as an encoder wrote them.
    let small: &[u8] = &[
        0x67, 0x4d, 0x40, 0x0c, 0xec, 0xa0, 0xa0, 0xcf, 0xcf, 0x80, 0x88, 0, 0, 3, 0, 8, 0, 0, 3,
        1, 0x90, 0x78, 0xa1, 0x4c, 0xb0,
    ];
    let mut large = small.to_vec();
    large[3] = 0x1e;
    let sps = if pixels_high { &large } else { small };
    let mut config = vec![1, sps[1], sps[2], sps[3], 0xff, 0xe1, 0, sps.len() as u8];
    config.extend_from_slice(sps);
    config.extend_from_slice(&[1, 0, 4, 0x68, 0xce, 0x0f, 0xc8]);
    let sound = vec![0x11, 0x90];
    let track = |id, codec, config: Vec<u8>| Track {
        id: TrackId(id),
        format: describe::from_config(codec, &Bytes::from(config)).expect("a configuration"),
    };
    MediaEvent::Tracks(Arc::from([
        track(0, TrackCodec::H264, config),
        track(1, TrackCodec::Aac, sound),
    ]))
}

/// All units with when they come, in that order.
fn units() -> Vec<(u64, AccessUnit)> {
    let mut units = Vec::new();
    let (mut seed, mut pictures, mut sounds) = (1_u64, 0_i64, 0_i64);
    loop {
        let holes_ns = pictures / LOOP * (HOLE_MS * MS).cast_signed();
        let picture_ns = pictures * 40_000_000 + holes_ns;
        let sound_ns = sounds * 1_024_000_000 / 48;
        let video = picture_ns <= sound_ns;
        let dts_ns = if video { picture_ns } else { sound_ns };
        let due_ms = dts_ns.cast_unsigned() / MS;
        if due_ms >= END_MS {
            break;
        }
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695);
        let random = seed >> 33;
        let keyframe = !video || pictures % GOP == 0;
        let payload = if video {
            let length = if keyframe {
                9_000
            } else {
                1_000 + random % 500
            };
            let mut nal = vec![0_u8; length as usize];
            nal[..4].copy_from_slice(&(length as u32 - 4).to_be_bytes());
            nal[4] = if keyframe { 0x65 } else { 0x41 };
            nal
        } else {
            vec![7; 50 + (random % 20) as usize]
        };
        let dts = MediaTime::from_nanos(dts_ns);
        // One keyframe, then eight times a frame that is shown behind the two that follow it.
        let delay = match pictures % GOP {
            0 => 40_000_000,
            place if place % 3 == 1 => 120_000_000,
            _ => 0,
        };
        let unit = AccessUnit {
            track: TrackId(u8::from(!video)),
            dts,
            pts: if video { dts.plus(delay) } else { dts },
            keyframe,
            payload: payload.into(),
        };
        if !OUTAGE_MS.contains(&due_ms) {
            units.push((due_ms + random % JITTER_MS, unit));
        }
        *(if video { &mut pictures } else { &mut sounds }) += 1;
    }
    in_order(&mut units);
    units
}

/// The jitter of a connection keeps the order.
fn in_order(units: &mut [(u64, AccessUnit)]) {
    let mut latest = 0;
    for (at, _) in units {
        latest = latest.max(*at);
        *at = latest;
    }
}
