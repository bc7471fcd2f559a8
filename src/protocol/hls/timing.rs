//! The lengths that are announced once and hold for ever: target duration and part target, chosen
//! so that whole frames of every track keep within them.

use std::time::Duration;

use super::cutter::PART_FILL_PERCENT;
use super::playlist::control_lines;
use super::settings::{PART_TARGET_MAX, PackagerSettings, TARGET_MAX};

const TARGET_MIN: Duration = Duration::from_millis(200);
const PART_TARGET_MIN: Duration = Duration::from_millis(20);

/// The hold-back of parts, in part targets (draft-pantos-hls-rfc8216bis section 4.4.3.8).
const PART_HOLD_BACK_PARTS: u64 = 3;
/// The hold-back of segments, in target durations (the same).
const HOLD_BACK_TARGETS: u64 = 3;
/// The skip boundary, in target durations (the same).
const SKIP_UNTIL_TARGETS: u64 = 6;
/// How long parts are listed, in target durations (section 6.2.2).
const PARTS_UNTIL_TARGETS: u64 = 3;
/// What the window holds at least, in target durations.
const WINDOW_TARGETS_MIN: u64 = 4;

/// How much below the next rounding a segment ends at the latest: an EXTINF of half a second
/// above the target duration would be rounded up.
const ROUNDING_US: u64 = 450_000;

/// How long segments of packed sound are at most, in microseconds: each is one part, and players
/// stay three of them behind.
const PACKED_US_MAX: u64 = 1_000_000;

/// Without a second keyframe in sight, GOPs of twice the target have room.
const UNKNOWN_GOP_TARGETS: u64 = 2;

/// What is known of the tracks before the first playlist.
#[derive(Clone, Debug, Default)]
pub(super) struct Learned {
    /// The mean length of the pictures of the first video track, and how far they are from it;
    /// none without video.
    pub(super) picture_us: Option<(f64, f64)>,
    /// How far apart its keyframes are, if a second one came.
    pub(super) gop_us: Option<u64>,
    /// The frame lengths of every audio track.
    pub(super) sound_us: Vec<f64>,
    /// Whether there is one track, whose sound goes packed.
    pub(super) packed: bool,
}

/// All lengths of a mount's playlists, in microseconds where nothing else is said.
#[derive(Clone, Debug)]
pub(super) struct Timing {
    /// Whether the sound that it was chosen for goes packed: then every part is a segment.
    pub(super) packed: bool,
    pub(super) target_us: u64,
    pub(super) target_duration_s: u32,
    pub(super) part_us: u64,
    /// A segment that is so long is cut without a keyframe.
    pub(super) segment_cut_us: u64,
    /// No segment is longer.
    pub(super) segment_max_us: u64,
    pub(super) skip_until_us: u64,
    pub(super) parts_until_us: u64,
    pub(super) window_us: u64,
    pub(super) control_lines: String,
}

impl Timing {
    pub(super) fn choose(settings: &PackagerSettings, learned: &Learned) -> Self {
        let target_us = micros(settings.target.clamp(TARGET_MIN, TARGET_MAX));
        let wished = settings.part_target.clamp(PART_TARGET_MIN, PART_TARGET_MAX);
        if learned.packed {
            return Timing::packed(settings, target_us.min(PACKED_US_MAX), learned);
        }
        let part_us = part_target(micros(wished), learned);
        let frame_us = learned.picture_us.map_or(0.0, |(mean, _)| mean) as u64;
        let segment_us = match (learned.picture_us, learned.gop_us) {
            (None, _) => target_us,
            (Some(_), None) => target_us * UNKNOWN_GOP_TARGETS,
            (Some(_), Some(gop)) => {
                // The first keyframe from the target on.
                let gop = gop.max(1);
                gop * target_us.saturating_sub(frame_us / 2).div_ceil(gop).max(1)
            }
        };
        // Room for the part and the picture by which a cut may be late.
        let slack_us = part_us + frame_us + (500_000 - ROUNDING_US);
        let longest_us = micros(TARGET_MAX) * UNKNOWN_GOP_TARGETS;
        let target_duration_s =
            ((segment_us.min(longest_us) + slack_us + 500_000) / 1_000_000).max(1) as u32;
        let td_us = u64::from(target_duration_s) * 1_000_000;
        let segment_max_us = td_us + ROUNDING_US;
        let segment_cut_us = segment_max_us - part_us.min(td_us / 2) - frame_us.min(td_us / 4);
        Timing {
            packed: false,
            target_us,
            segment_cut_us,
            ..Timing::announced(settings, target_duration_s, part_us)
        }
    }

    /// Segments of one part, as long as `wished_us` if frames fill that.
    fn packed(settings: &PackagerSettings, wished_us: u64, learned: &Learned) -> Self {
        let part_us = part_target(wished_us, learned);
        let target_duration_s = part_us.div_ceil(1_000_000).max(1) as u32;
        Timing {
            packed: true,
            target_us: part_us,
            ..Timing::announced(settings, target_duration_s, part_us)
        }
    }

    /// What follows from the two lengths that playlists say.
    fn announced(settings: &PackagerSettings, target_duration_s: u32, part_us: u64) -> Self {
        let td_us = u64::from(target_duration_s) * 1_000_000;
        let segment_max_us = td_us + ROUNDING_US;
        Timing {
            packed: false,
            target_us: td_us,
            target_duration_s,
            part_us,
            segment_cut_us: segment_max_us,
            segment_max_us,
            skip_until_us: SKIP_UNTIL_TARGETS * td_us,
            parts_until_us: PARTS_UNTIL_TARGETS * td_us,
            window_us: micros(settings.window).max(WINDOW_TARGETS_MIN * td_us),
            control_lines: control_lines(
                part_us,
                PART_HOLD_BACK_PARTS * part_us,
                HOLD_BACK_TARGETS * td_us,
                SKIP_UNTIL_TARGETS * td_us,
            ),
        }
    }
}

/// The length nearest to `wished_us` that whole frames of every track fill well.
fn part_target(wished_us: u64, learned: &Learned) -> u64 {
    let pictures = learned.picture_us.into_iter();
    let sounds = learned.sound_us.iter().map(|&length| (length, 0.0));
    let tracks: Vec<(f64, f64)> = pictures
        .chain(sounds)
        .filter(|(length, _)| *length > 0.0)
        .collect();
    let fits = |part_ms: u64| {
        let part = part_ms as f64 * 1_000.0;
        tracks.iter().all(|&(length, jitter)| {
            let count = ((part - jitter) / length + 1e-6).floor();
            count >= 1.0
                && (count * length - jitter) * 100.0 > part * (PART_FILL_PERCENT + 1) as f64
        })
    };
    let wished_ms = wished_us / 1_000;
    let longest_ms = (4 * wished_ms).max(
        tracks
            .iter()
            .map(|(length, jitter)| ((length + jitter) / 1_000.0) as u64 + 2)
            .max()
            .unwrap_or(0),
    );
    let nearest = (PART_TARGET_MIN.as_millis() as u64..=longest_ms)
        .filter(|&part_ms| fits(part_ms))
        .min_by_key(|&part_ms| part_ms.abs_diff(wished_ms));
    nearest.unwrap_or(longest_ms.min(2 * wished_ms)) * 1_000
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(target_ms: u64, part_ms: u64, learned: Learned) -> (u32, u64) {
        let settings = PackagerSettings {
            target: Duration::from_millis(target_ms),
            part_target: Duration::from_millis(part_ms),
            ..PackagerSettings::default()
        };
        let timing = Timing::choose(&settings, &learned);
        assert!(timing.segment_cut_us < timing.segment_max_us);
        assert!(timing.segment_max_us < u64::from(timing.target_duration_s) * 1_000_000 + 500_000);
        (timing.target_duration_s, timing.part_us / 1_000)
    }

    fn video(frame_us: f64, jitter_us: f64, gop_ms: Option<u64>, sound_us: &[f64]) -> Learned {
        Learned {
            picture_us: Some((frame_us, jitter_us)),
            gop_us: gop_ms.map(|ms| ms * 1_000),
            sound_us: sound_us.to_vec(),
            packed: false,
        }
    }

    #[test]
    fn parts_hold_whole_frames_of_every_track() {
        let (aac_48, aac_44) = (1_024e6 / 48_000.0, 1_024e6 / 44_100.0);
        for (learned, part_ms) in [
            (video(40_000.0, 0.0, Some(2_000), &[aac_48]), 200),
            (video(1e6 / 30.0, 1_200.0, Some(2_000), &[aac_48]), 202),
            (video(1e6 / 60.0, 1_200.0, Some(2_000), &[aac_44]), 200),
            (video(1e6 / 24.0, 1_200.0, Some(2_000), &[aac_48]), 190),
            (video(1e6 / 5.0, 0.0, Some(2_000), &[aac_48]), 200),
        ] {
            let text = format!("{learned:?}");
            assert_eq!(choose(2_000, 200, learned).1, part_ms, "{text}");
        }
        let sound = Learned {
            sound_us: vec![aac_48],
            ..Learned::default()
        };
        assert_eq!(choose(2_000, 200, sound), (2, 200));
        // One picture a second: a part holds one.
        assert_eq!(
            choose(2_000, 200, video(1e6, 0.0, Some(2_000), &[])).1,
            1_000
        );
    }

    #[test]
    fn the_target_duration_has_room_for_the_gops_that_were_seen() {
        for (target_ms, part_ms, gop_ms, expected) in [
            (2_000, 200, Some(2_000), 2),
            (2_000, 200, Some(1_000), 2),
            (2_000, 200, Some(500), 2),
            (2_000, 200, Some(1_500), 3),
            (2_000, 200, Some(4_160), 4),
            (2_000, 200, Some(10_000), 10),
            (1_000, 100, Some(1_000), 1),
            (1_000, 200, Some(1_000), 1),
            (500, 100, Some(500), 1),
            (2_000, 200, None, 4),
        ] {
            let learned = video(40_000.0, 0.0, gop_ms, &[]);
            assert_eq!(
                choose(target_ms, part_ms, learned).0,
                expected,
                "{target_ms} {gop_ms:?}"
            );
        }
    }
}
