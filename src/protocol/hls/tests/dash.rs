//! The DASH manifest over what is listed.

use std::collections::BTreeMap;

use super::super::*;
use super::source::{Scene, Video};
use super::station::{Station, settings};

/// The value of the first attribute behind `from`.
fn attribute<'t>(text: &'t str, from: &str, name: &str) -> &'t str {
    let (_, behind) = text.split_once(from).expect(from);
    let (_, value) = behind.split_once(&format!(" {name}=\"")).expect(name);
    value.split_once('"').expect("it ends").0
}

fn manifest(station: &Station, query: &str) -> Option<String> {
    let directives = Directives::parse(query).expect("directives");
    let request = Request {
        resource: Resource::Manifest,
        outside: true,
        directives: &directives,
        gzip: false,
        arrived: station.now,
    };
    let Answer::Ready(response) = station.origin.request(station.now, &request) else {
        return None;
    };
    assert_eq!(response.content_type, ContentType::Manifest);
    Some(String::from_utf8(response.body.pieces().concat()).expect("UTF-8"))
}

#[test]
fn a_manifest_names_segments_that_are_there() {
    let mut station = Station::new(settings(2_000, 200, 20));
    station.run(&Scene::default().happenings());
    let text = manifest(&station, "").expect("a manifest");
    for id in ["v0", "a0"] {
        let from = format!("<Representation id=\"{id}\"");
        let media = attribute(&text, &from, "media");
        let init = attribute(&text, &from, "initialization");
        let first: u64 = attribute(&text, &from, "startNumber")
            .parse()
            .expect("a number");
        assert_eq!(first, 100, "{text}");
        let inside = |uri: &str| uri.strip_prefix("cam/hls/").expect("the folder").to_owned();
        assert_eq!(station.ask(&inside(init), "").status(), Some(200), "{init}");
        let (edge, _) = station
            .origin
            .edge(RenditionId {
                kind: corecast_media::track::TrackKind::Video,
                index: 0,
            })
            .expect("a list");
        let newest = inside(media).replace("$Number$", &(edge.msn - 1).to_string());
        assert_eq!(station.ask(&newest, "").status(), Some(200), "{newest}");
    }
    // Whoever needs a token needs it for each file.
    let marked = manifest(&station, "token=a$b").expect("a manifest");
    assert_eq!(marked.matches("?token=a%24b\"").count(), 5, "{marked}");
    assert_eq!(marked.replace("?token=a%24b", ""), text);
}

#[test]
fn segments_are_as_long_as_groups_of_pictures() {
    for (target_ms, gop, seconds) in [(1_000, 50, 2), (2_000, 50, 2), (1_000, 25, 1)] {
        let scene = Scene {
            video: vec![Video::regular(40_000, gop)],
            ..Scene::default()
        };
        let mut station = Station::new(settings(target_ms, 200, 20));
        station.run(&scene.happenings());
        let text = manifest(&station, "").expect("a manifest");
        let template = "<SegmentTemplate timescale=\"90000\"";
        let duration = attribute(&text, template, "duration");
        assert_eq!(duration, (seconds * 90_000).to_string(), "{text}");
    }
}

#[test]
fn the_next_segment_is_waited_for() {
    let mut station = Station::new(settings(2_000, 200, 20));
    let happenings = Scene::default().happenings();
    let mut waited = 0;
    for pair in happenings.windows(2) {
        station.run(&pair[..1]);
        let edges = |station: &Station| {
            let ids: Vec<RenditionId> = station.origin.renditions().collect();
            ids.into_iter()
                .filter_map(|id| Some((id, station.origin.edge(id)?.0.msn)))
                .collect::<Vec<_>>()
        };
        for (id, msn) in edges(&station) {
            let ask = |msn: u64| station.ask(&format!("{id}-e1-{msn}.m4s"), "");
            let Answer::Wait { key, until } = ask(msn) else {
                panic!("{id} {msn}");
            };
            // No part of it lets it go.
            assert_eq!((key.msn, key.part), (msn, u32::MAX));
            assert!(until > station.now);
            assert_eq!(ask(msn + 1), Answer::NotFound);
            if msn > 100 {
                assert_eq!(ask(msn - 1).status(), Some(200));
                waited = waited.max(msn);
            }
        }
    }
    assert!(waited > 110, "{waited}");
    station.end();
    let name = format!("v0-e1-{}.m4s", waited + 1);
    assert_eq!(station.ask(&name, ""), Answer::NotFound);
}

#[test]
fn a_jump_of_the_clock_begins_a_period_and_moves_none() {
    let mut station = Station::new(settings(1_000, 200, 20));
    let scene = Scene {
        seconds: 6,
        ..Scene::default()
    };
    let mut happenings = scene.happenings();
    let later = Scene {
        clock_us: 500_000_000,
        ..scene
    };
    let behind = later.happenings().into_iter().skip(1);
    happenings.extend(behind.enumerate().map(|(at, mut happening)| {
        happening.at_us += 6_100_000;
        happening.discontinuity = at == 0;
        happening
    }));
    let (mut starts, mut zeros) = (BTreeMap::new(), None);
    for happening in &happenings {
        station.run(std::slice::from_ref(happening));
        let Some(text) = manifest(&station, "") else {
            continue;
        };
        let zero = attribute(&text, "<MPD", "availabilityStartTime").to_owned();
        assert_eq!(*zeros.get_or_insert(zero.clone()), zero);
        for period in text.split("<Period").skip(1) {
            let id = attribute(period, "", "id").to_owned();
            let start = attribute(period, "", "start").to_owned();
            let known = starts.entry(id).or_insert_with(|| start.clone());
            assert_eq!(*known, start, "{text}");
        }
    }
    assert_eq!(starts.len(), 2, "{starts:?}");
    station.end();
    let text = manifest(&station, "").expect("a manifest");
    assert!(text.contains("mediaPresentationDuration"), "{text}");
}
