//! Sources of every kind, packaged under the eyes of the station.

use corecast_media::track::TrackKind;

use super::super::*;
use super::source::{Scene, Video};
use super::station::{Station, settings};

fn id(kind: TrackKind, index: u8) -> RenditionId {
    RenditionId { kind, index }
}

const V0: RenditionId = RenditionId {
    kind: TrackKind::Video,
    index: 0,
};

/// Packages a scene to its end, with every check.
fn packaged(scene: &Scene, settings: PackagerSettings) -> Station {
    let mut station = Station::new(settings);
    let happenings = scene.happenings();
    station.run(&happenings);
    station.end();
    for at in 0..scene.video.len() {
        let seen = &station.seen[&id(TrackKind::Video, at as u8)];
        assert_eq!(seen.gaps, 0);
        seen.check_payloads(&happenings, at as u8, 90_000, 40);
    }
    for (at, &rate) in scene.audio.iter().enumerate() {
        let seen = &station.seen[&id(TrackKind::Audio, at as u8)];
        assert_eq!(seen.gaps, 0);
        let track = (scene.video.len() + at) as u8;
        seen.check_payloads(&happenings, track, rate, 1_100);
    }
    station
}

#[test]
fn sources_of_every_kind_keep_every_rule() {
    let video = Video::regular;
    let two_b_pictures = Video {
        b_frames: 2,
        ..video(40_000, 50)
    };
    let two = vec![video(40_000, 50); 2];
    let (aac, none) = (vec![48_000], vec![]);
    for (what, video, audio, [target_ms, part_ms], target_duration) in [
        (
            "short parts",
            vec![video(40_000, 50)],
            &aac,
            [2_000, 100],
            2,
        ),
        ("one second", vec![video(40_000, 25)], &aac, [1_000, 100], 1),
        (
            "half a second",
            vec![video(20_000, 25)],
            &aac,
            [500, 100],
            1,
        ),
        (
            "30 pictures",
            vec![video(33_333, 60)],
            &vec![44_100],
            [2_000, 200],
            2,
        ),
        (
            "60 pictures",
            vec![video(16_667, 120)],
            &aac,
            [2_000, 200],
            2,
        ),
        (
            "24 pictures",
            vec![video(41_667, 48)],
            &aac,
            [2_000, 200],
            2,
        ),
        (
            "5 pictures",
            vec![video(200_000, 10)],
            &aac,
            [2_000, 200],
            2,
        ),
        ("B pictures", vec![two_b_pictures], &aac, [2_000, 200], 2),
        ("short GOPs", vec![video(40_000, 12)], &aac, [2_000, 200], 3),
        ("odd GOPs", vec![video(40_000, 37)], &aac, [2_000, 200], 3),
        ("no sound", vec![video(40_000, 50)], &none, [2_000, 200], 2),
        ("two of each", two, &vec![48_000, 44_100], [2_000, 200], 2),
    ] {
        let scene = Scene {
            video,
            audio: audio.clone(),
            seconds: 18,
            ..Scene::default()
        };
        let station = packaged(&scene, settings(target_ms, part_ms, 12));
        let seen = &station.seen[&V0];
        assert_eq!(seen.list.target_duration, target_duration, "{what}");
    }
}

#[test]
fn exact_times_and_late_arrivals_keep_every_rule() {
    for (milliseconds, network_us) in [(false, 0), (true, 300_000), (false, 800_000)] {
        let scene = Scene {
            milliseconds,
            network_us,
            ..Scene::default()
        };
        let station = packaged(&scene, settings(2_000, 200, 12));
        assert_eq!(station.seen[&V0].list.target_duration, 2);
    }
}

#[test]
fn sound_alone_keeps_every_rule() {
    for (rates, target_ms, part_ms) in [
        (vec![48_000], 2_000, 200),
        (vec![44_100], 1_000, 100),
        (vec![48_000, 44_100], 2_000, 200),
    ] {
        let scene = Scene {
            video: vec![],
            audio: rates,
            ..Scene::default()
        };
        let station = packaged(&scene, settings(target_ms, part_ms, 20));
        let text = station.text("main.m3u8", "");
        assert!(text.contains("#EXT-X-INDEPENDENT-SEGMENTS"), "{text}");
    }
}

#[test]
fn long_gops_are_cut_without_keyframes() {
    for gop in [104, 250, 1_000] {
        let scene = Scene {
            video: vec![Video::regular(40_000, gop)],
            ..Scene::default()
        };
        let station = packaged(&scene, settings(2_000, 200, 20));
        let text = station.text("main.m3u8", "");
        // 104 pictures are 4.16 s, which twice the target has room for.
        assert_eq!(text.contains("#EXT-X-INDEPENDENT-SEGMENTS"), gop == 104);
        assert_eq!(station.seen[&V0].list.target_duration, 4);
    }
}

#[test]
fn irregular_pictures_keep_every_rule() {
    for seed in 0..6 {
        let scene = Scene {
            seed,
            video: vec![Video {
                late_us: 30_000,
                dropped_percent: 30,
                b_frames: 0,
                ..Video::regular(33_333, 60)
            }],
            seconds: 12,
            network_us: 100_000,
            ..Scene::default()
        };
        packaged(&scene, settings(2_000, 200, 20));
    }
}

#[test]
fn a_hole_before_a_segment_keeps_every_rule() {
    // A film that is played in a loop has one wherever its sound is longer than its pictures.
    for (hole_us, b_frames, audio) in [
        (7_000, 0, vec![48_000]),
        (33_000, 2, vec![48_000]),
        (150_000, 0, vec![48_000]),
        (150_000, 2, vec![44_100, 48_000]),
        (390_000, 2, vec![48_000]),
        (700_000, 0, vec![48_000]),
    ] {
        let scene = Scene {
            video: vec![Video {
                b_frames,
                hole_us,
                // The last picture of a group is shown last.
                ..Video::regular(40_000, 49)
            }],
            audio,
            seconds: 22,
            network_us: 60_000,
            ..Scene::default()
        };
        packaged(&scene, settings(2_000, 200, 30));
    }
}

#[test]
fn a_usual_source_keeps_every_rule() {
    let station = packaged(&Scene::default(), settings(2_000, 200, 20));
    let seen = &station.seen[&V0];
    assert_eq!(seen.list.target_duration, 2);
    assert!(seen.list.ended);
    // 30 s in segments of 2 s, 20 s of them listed.
    assert_eq!(seen.list.segments.len(), 10);
    assert_eq!(seen.list.media_sequence, 105);
    assert!(station.lists > 280, "{}", station.lists);
}
