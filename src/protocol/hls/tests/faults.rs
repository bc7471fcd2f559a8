//! Sources that break: clocks that jump, silence, tracks that come and go.

use corecast_media::frame::MediaEvent;
use corecast_media::time::Time;
use corecast_media::track::{MediaTime, TrackCodec, TrackId, TrackKind};

use super::super::*;
use super::source::{Happening, Scene, Seeded, Video, format};
use super::station::{NOON_MS, Station, settings};

const V0: RenditionId = RenditionId {
    kind: TrackKind::Video,
    index: 0,
};
const A0: RenditionId = RenditionId {
    kind: TrackKind::Audio,
    index: 0,
};

/// The same, but everything comes `later_us` later.
fn later(happenings: Vec<Happening>, later_us: u64) -> Vec<Happening> {
    let mut happenings = happenings;
    for happening in &mut happenings {
        happening.at_us += later_us;
    }
    happenings
}

fn ten_seconds(seed: u64, clock_us: u64) -> Scene {
    Scene {
        seed,
        clock_us,
        seconds: 10,
        ..Scene::default()
    }
}

/// What came in of a track.
fn count(happenings: &[Happening], track: u8) -> usize {
    let units = happenings.iter().filter_map(Happening::unit);
    units.filter(|unit| unit.track == TrackId(track)).count()
}

#[test]
fn a_new_clock_is_one_discontinuity() {
    for (clock_us, pause_us, flagged) in [
        (90_000_000, 300_000, true),
        (0, 300_000, true),
        (90_000_000, 0, false),
        (0, 500_000, false),
    ] {
        let mut station = Station::new(settings(2_000, 200, 30));
        let first = Scene {
            seconds: 11,
            clock_us: 40_000_000,
            ..Scene::default()
        };
        let first = first.happenings();
        let mut second = later(ten_seconds(2, clock_us).happenings(), 11_000_000 + pause_us);
        second.remove(0);
        second[0].discontinuity = flagged;
        station.run(&first);
        station.run(&second);
        station.end();
        for (id, track) in [(V0, 0), (A0, 1)] {
            let seen = &station.seen[&id];
            let marked = seen.list.segments.iter().filter(|one| one.discontinuity);
            assert_eq!(marked.count(), 1, "{id} {clock_us}");
            assert_eq!(seen.gaps, 0);
            let sent = count(&first, track) + count(&second, track);
            assert!(sent - seen.payloads.len() <= 1, "{id} {clock_us}");
            let after = seen.list.segments.iter().find(|one| one.discontinuity);
            let after = after.expect("one");
            let expected_ms = NOON_MS % 3_600_000 + 11_000 + pause_us / 1_000;
            let off_ms = after.unix_ms.rem_euclid(3_600_000) - expected_ms as i64;
            assert!(off_ms.abs() <= 30, "the wall clock is right: {off_ms}");
        }
    }
}

#[test]
fn silence_becomes_gaps_and_ends_with_a_discontinuity() {
    // Two seconds are waited for, and in the end the next keyframe.
    for (audio, silence_us, gaps) in [
        (vec![48_000], 3_000_000, 1),
        (vec![48_000], 9_000_000, 4),
        (vec![], 30_000_000, 14),
    ] {
        let scene = Scene {
            audio,
            ..Scene::default()
        };
        let mut station = Station::new(settings(2_000, 200, 60));
        let mut happenings = scene.happenings();
        let (from_us, until_us) = (12_300_000, 12_300_000 + silence_us);
        happenings.retain(|one| !(from_us..until_us).contains(&one.at_us));
        station.run(&happenings);
        station.advance(Time::from_micros(until_us));
        let list = &station.seen[&V0].list;
        let found: Vec<_> = list.segments.iter().filter(|one| one.gap).collect();
        assert_eq!(found.len(), gaps);
        // What came is never taken for a gap.
        assert!(found.iter().all(|one| one.parts.is_empty()));
        let marked = list.segments.iter().filter(|one| one.discontinuity);
        assert_eq!(marked.count(), usize::from(until_us < 30_000_000));
        station.end();
    }
}

#[test]
fn a_short_stall_of_the_network_leaves_no_trace() {
    let scene = Scene::default();
    let mut station = Station::new(settings(2_000, 200, 60));
    let mut happenings = scene.happenings();
    for happening in &mut happenings {
        if (12_300_000..13_200_000).contains(&happening.at_us) {
            happening.at_us = 13_200_000;
        }
    }
    station.run(&happenings);
    station.end();
    let seen = &station.seen[&V0];
    assert_eq!(seen.gaps, 0);
    assert!(seen.list.segments.iter().all(|one| !one.discontinuity));
    seen.check_payloads(&happenings, 0, 90_000, 40);
}

#[test]
fn sound_that_never_comes_is_a_list_of_gaps() {
    let mut station = Station::new(settings(2_000, 200, 20));
    let mut happenings = Scene::default().happenings();
    happenings.retain(|one| one.unit().is_none_or(|unit| unit.track == TrackId(0)));
    station.run(&happenings);
    let (video, audio) = (&station.seen[&V0].list, &station.seen[&A0].list);
    assert!(
        audio
            .segments
            .iter()
            .all(|one| one.gap || one.uri.is_none())
    );
    assert!(video.segments.iter().all(|one| !one.gap));
    let last = |list: &super::parse::List| list.media_sequence + list.segments.len() as u64;
    assert!(last(video) - last(audio) <= 1);
    station.end();
    let (video, audio) = (&station.seen[&V0].list, &station.seen[&A0].list);
    assert_eq!(last(video), last(audio));
    assert_eq!(video.media_sequence, audio.media_sequence);
}

#[test]
fn a_track_that_is_silent_for_a_while_has_gaps_there() {
    for track in [0, 1] {
        let mut station = Station::new(settings(2_000, 200, 60));
        let mut happenings = Scene::default().happenings();
        happenings.retain(|one| {
            let silent = (10_500_000..16_200_000).contains(&one.at_us);
            !silent || one.unit().is_none_or(|unit| unit.track != TrackId(track))
        });
        station.run(&happenings);
        station.end();
        let (silent, other) = if track == 0 { (V0, A0) } else { (A0, V0) };
        let seen = &station.seen[&silent];
        assert!((20..40).contains(&seen.gaps), "{silent} {}", seen.gaps);
        assert_eq!(station.seen[&other].gaps, 0);
        let lists = (&seen.list, &station.seen[&other].list);
        assert_eq!(lists.0.segments.len(), lists.1.segments.len());
        // Whatever came after the silence is there, from its first keyframe on.
        assert!(seen.list.segments.last().is_some_and(|last| !last.gap));
        assert!(seen.list.segments.iter().all(|one| !one.discontinuity));
    }
}

#[test]
fn a_hole_in_the_pictures_without_sound_is_bridged_or_cut() {
    for (hole_us, gaps, jumps) in [
        (900_000, false, 0),
        (1_800_000, false, 1),
        (3_500_000, false, 1),
    ] {
        let scene = Scene {
            audio: vec![],
            ..Scene::default()
        };
        let mut station = Station::new(settings(2_000, 200, 60));
        let mut happenings = scene.happenings();
        happenings.retain(|one| !(8_000_000..8_000_000 + hole_us).contains(&one.at_us));
        for happening in &mut happenings {
            // Nobody notices before the next picture comes.
            happening.at_us = happening.at_us.min(8_100_000).max(happening.at_us / 1_000);
        }
        station.run(&happenings);
        station.end();
        let seen = &station.seen[&V0];
        assert_eq!(seen.gaps > 0, gaps, "{hole_us}: {}", seen.gaps);
        let marked = seen.list.segments.iter().filter(|one| one.discontinuity);
        assert_eq!(marked.count(), jumps);
    }
}

#[test]
fn another_resolution_has_another_init_segment() {
    let mut station = Station::new(settings(2_000, 200, 60));
    let scene = Scene::default();
    let mut happenings = scene.happenings();
    let at = happenings.iter().position(|one| one.at_us >= 14_000_000);
    let at = at.expect("a time");
    let mut tracks = scene.tracks().to_vec();
    tracks[0].format.width = 640;
    tracks[0].format.height = 360;
    let event = MediaEvent::Tracks(tracks.into());
    let at_us = happenings[at].at_us;
    happenings.insert(
        at,
        Happening {
            at_us,
            event,
            discontinuity: false,
        },
    );
    station.run(&happenings[..=at]);
    // The next init segment is hinted at before its first part comes.
    let list = &station.seen[&V0].list;
    assert_eq!(list.map_hints, ["v0-e1-init1.mp4"]);
    assert!(station.seen[&A0].list.map_hints.is_empty());
    assert!(station.text("main.m3u8", "").contains("RESOLUTION=640x360"));
    station.run(&happenings[at + 1..]);
    station.end();
    for (id, maps) in [(V0, 2), (A0, 1)] {
        let seen = &station.seen[&id];
        let marked: Vec<_> = seen
            .list
            .segments
            .iter()
            .filter(|one| one.discontinuity)
            .collect();
        assert_eq!(marked.len(), 1);
        let mut found: Vec<&str> = seen.list.segments.iter().map(|one| &*one.map).collect();
        found.dedup();
        assert_eq!(found.len(), maps);
        assert_eq!(seen.gaps, 0);
    }
    station.seen[&V0].check_payloads(&happenings, 0, 90_000, 30_000);
}

#[test]
fn tracks_come_and_go() {
    let both = Scene::default();
    let video = Scene {
        audio: vec![],
        clock_us: 70_000_000,
        ..Scene::default()
    };
    let audio = Scene {
        video: vec![],
        clock_us: 70_000_000,
        ..Scene::default()
    };
    for (first, second) in [
        (&both, &video),
        (&video, &both),
        (&audio, &both),
        (&both, &audio),
    ] {
        let mut station = Station::new(settings(2_000, 200, 20));
        station.run(&first.happenings());
        let mut after = later(second.happenings(), 30_500_000);
        after[1].discontinuity = true;
        station.run(&after);
        let offered: Vec<RenditionId> = station.origin.renditions().collect();
        let tracks = second.tracks();
        assert_eq!(offered.len(), tracks.len());
        station.seen.retain(|id, _| offered.contains(id));
        station.end();
        let lists: Vec<_> = offered.iter().map(|id| &station.seen[id].list).collect();
        for list in &lists {
            assert_eq!(list.media_sequence, lists[0].media_sequence);
            assert_eq!(list.segments.len(), lists[0].segments.len());
            assert!(list.segments.last().is_some_and(|last| !last.gap));
        }
    }
}

#[test]
fn nobody_is_sent_to_a_rendition_that_is_gone() {
    let scene = Scene::default();
    let mut station = Station::new(settings(2_000, 200, 60));
    let mut happenings = scene.happenings();
    station.run(&happenings);
    let tracks = scene.tracks();
    assert_eq!(station.seen[&V0].list.reports.len(), 1);
    // The first change ends what was open; after the second there is nothing else to say.
    for (width, count, reports) in [(640, 2, 1), (640, 1, 0)] {
        let mut tracks = tracks.to_vec();
        tracks[0].format.width = width;
        tracks.truncate(count);
        happenings.truncate(1);
        happenings[0].at_us = station.now.as_micros();
        happenings[0].event = MediaEvent::Tracks(tracks.into());
        station.run(&happenings);
        let list = super::parse::list(&station.text("v0.m3u8", ""));
        assert_eq!(list.reports.len(), reports, "rule 44: {:?}", list.reports);
    }
}

#[test]
fn no_name_is_used_twice() {
    let both = Scene {
        seconds: 5,
        ..Scene::default()
    };
    let mut packager = Packager::new(settings(1_000, 100, 10));
    let mut names = std::collections::BTreeMap::new();
    let mut tags = std::collections::BTreeMap::new();
    let mut seeded = Seeded(7);
    for round in 0..12 {
        let mut happenings = later(both.happenings(), round * 6_000_000);
        let mut tracks = both.tracks().to_vec();
        tracks[0].format.width += (seeded.below(2) * 16) as u16;
        // Sound goes and comes back beside the pictures, and both do.
        tracks.truncate([0, 1, 2, 1, 2][round as usize % 5]);
        happenings[0].event = MediaEvent::Tracks(tracks.into());
        happenings[0].discontinuity = true;
        for happening in happenings {
            let now = Time::from_micros(happening.at_us);
            let unix_ms = NOON_MS + now.as_millis();
            packager.push(now, unix_ms, &happening.event, happening.discontinuity);
            while let Some(step) = packager.poll_step() {
                let (name, bytes) = match &step {
                    Step::Init {
                        rendition,
                        number,
                        bytes,
                    } => (format!("{rendition} init {number}"), Some(bytes.clone())),
                    Step::Update(update) => {
                        for piece in &update.pieces {
                            let place = (piece.msn, piece.part);
                            let name = format!("{} {place:?}", update.rendition);
                            let before = names.insert(name, piece.bytes.clone());
                            assert!(before.flatten().is_none(), "{place:?}");
                        }
                        let full = &update.playlist.full;
                        (full.etag.to_string(), Some(full.plain.clone()))
                    }
                    Step::Multivariant(known) => {
                        let inside = &known.inside;
                        (inside.etag.to_string(), Some(inside.plain.clone()))
                    }
                    Step::Manifest(known) => (known.etag.to_string(), Some(known.plain.clone())),
                    Step::Snapshot(_) => continue,
                };
                let before = tags.insert(name.clone(), bytes);
                assert!(before.is_none(), "{name}");
            }
        }
    }
    assert!(names.len() > 300, "{}", names.len());
}

#[test]
fn a_source_may_end_at_any_time() {
    let happenings = Scene::default().happenings();
    for length in [0, 1, 2, 3, 10, 60, 140, 150, 400] {
        let mut station = Station::new(settings(2_000, 200, 20));
        station.run(&happenings[..length]);
        station.end();
        station.end();
        assert_eq!(station.packager.poll_timeout(), None);
        if length < 2 {
            assert!(station.seen.is_empty());
            assert!(matches!(station.ask("v0.m3u8", ""), Answer::Wait { .. }));
        } else {
            let seen = &station.seen[&V0];
            assert!(seen.list.ended, "{length}");
            // The first unit is one of sound.
            if length > 2 {
                seen.check_payloads(&happenings[..length], 0, 90_000, 40);
            }
        }
    }
}

#[test]
fn whatever_comes_nothing_panics_or_grows() {
    for seed in 0..30 {
        let mut seeded = Seeded(seed);
        let mut packager = Packager::new(settings(1_000, 100, 10));
        let mut origin = Origin::new();
        let scene = Scene {
            video: vec![Video::regular(40_000, 25)],
            ..Scene::default()
        };
        let mut now = Time::ZERO;
        packager.push(now, 0, &MediaEvent::Tracks(scene.tracks()), false);
        for happening in scene.happenings().into_iter().take(1_200) {
            let mut event = happening.event;
            if let MediaEvent::Unit(unit) = &mut event {
                match seeded.below(40) {
                    0 => unit.dts = MediaTime::from_nanos(seeded.below(u64::MAX) as i64),
                    1 => unit.pts = MediaTime::from_nanos(seeded.below(u64::MAX) as i64),
                    2 => unit.dts = unit.dts.plus(seeded.below(20_000_000_000) as i64),
                    3 => unit.dts = unit.dts.plus(-(seeded.below(20_000_000_000) as i64)),
                    4 => unit.keyframe ^= true,
                    5 => unit.payload = bytes::Bytes::new(),
                    6 => unit.track = TrackId(seeded.below(4) as u8),
                    _ => {}
                }
            }
            if seeded.below(200) == 0 {
                let mut tracks = scene.tracks().to_vec();
                tracks[1].format = format(TrackCodec::Opus, 48_000);
                tracks.truncate(seeded.below(3) as usize);
                packager.push(now, 0, &MediaEvent::Tracks(tracks.into()), false);
            }
            now = Time::from_micros(happening.at_us + seeded.below(3) * 1_000_000).max(now);
            let unix_ms = seeded.below(u64::MAX);
            packager.push(now, unix_ms, &event, seeded.below(100) == 0);
            packager.handle_timeout(now);
            while let Some(step) = packager.poll_step() {
                origin.apply(&step);
            }
            assert!(origin.media_bytes() < 20_000_000);
        }
        packager.end(now);
    }
}
