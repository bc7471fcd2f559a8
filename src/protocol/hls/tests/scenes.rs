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
    let usual = || Scene {
        seconds: 18,
        ..Scene::default()
    };
    for (what, scene, target_ms, part_ms, target_duration) in [
        ("25 pictures", usual(), 2_000, 200, 2),
        ("short parts", usual(), 2_000, 100, 2),
        (
            "one second",
            Scene {
                video: vec![video(40_000, 25)],
                ..usual()
            },
            1_000,
            100,
            1,
        ),
        (
            "half a second",
            Scene {
                video: vec![video(20_000, 25)],
                ..usual()
            },
            500,
            100,
            1,
        ),
        (
            "30 pictures in milliseconds, 44.1 kHz",
            Scene {
                video: vec![video(33_333, 60)],
                audio: vec![44_100],
                ..usual()
            },
            2_000,
            200,
            2,
        ),
        (
            "60 pictures, exact",
            Scene {
                video: vec![video(16_667, 120)],
                milliseconds: false,
                ..usual()
            },
            2_000,
            200,
            2,
        ),
        (
            "B pictures",
            Scene {
                video: vec![Video {
                    b_frames: 2,
                    ..video(40_000, 50)
                }],
                ..usual()
            },
            2_000,
            200,
            2,
        ),
        (
            "short GOPs",
            Scene {
                video: vec![video(40_000, 12)],
                ..usual()
            },
            2_000,
            200,
            3,
        ),
        (
            "odd GOPs",
            Scene {
                video: vec![video(40_000, 37)],
                ..usual()
            },
            2_000,
            200,
            3,
        ),
        (
            "no sound",
            Scene {
                audio: vec![],
                ..usual()
            },
            2_000,
            200,
            2,
        ),
        (
            "two sounds, two videos",
            Scene {
                video: vec![video(40_000, 50), video(40_000, 50)],
                audio: vec![48_000, 44_100],
                ..usual()
            },
            2_000,
            200,
            2,
        ),
        (
            "a network",
            Scene {
                network_us: 300_000,
                ..usual()
            },
            2_000,
            200,
            2,
        ),
    ] {
        let station = packaged(&scene, settings(target_ms, part_ms, 12));
        let seen = &station.seen[&V0];
        assert_eq!(seen.list.target_duration, target_duration, "{what}");
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
