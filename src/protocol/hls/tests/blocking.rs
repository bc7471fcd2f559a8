//! Clients that wait: each request is answered when it should be, with what it asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use corecast_media::frame::MediaEvent;
use corecast_media::metadata::Metadata;
use corecast_media::time::Time;
use corecast_media::track::TrackKind;

use super::super::*;
use super::parse;
use super::source::{Scene, Seeded, Video};
use super::station::{NOON_MS, settings};

const V0: RenditionId = RenditionId {
    kind: TrackKind::Video,
    index: 0,
};

/// One request and what became of it.
#[derive(Clone, Debug)]
struct Asked {
    name: String,
    query: String,
    arrived: Time,
}

#[derive(Debug, Default)]
struct Crowd {
    origin: Origin,
    waiters: Waiters<Asked>,
    ids: Vec<WaiterId>,
    answered: Vec<(Asked, Time, Answer)>,
}

impl Crowd {
    fn ask(&mut self, now: Time, asked: Asked) {
        let directives = match Directives::parse(&asked.query) {
            Ok(directives) => directives,
            Err(reason) => {
                self.answered.push((asked, now, Answer::BadRequest(reason)));
                return;
            }
        };
        let request = Request {
            resource: Resource::parse(&asked.name).expect("a name of ours"),
            outside: false,
            directives: &directives,
            gzip: false,
            arrived: asked.arrived,
        };
        match self.origin.request(now, &request) {
            Answer::Wait { key, until } => self.ids.push(self.waiters.push(key, until, asked)),
            answer => self.answered.push((asked, now, answer)),
        }
    }

    fn apply(&mut self, now: Time, step: &Step) {
        let released = self.origin.apply(step);
        for asked in self.waiters.release(released) {
            self.ask(now, asked);
        }
    }

    fn expire(&mut self, now: Time) {
        for asked in self.waiters.expire(now) {
            self.ask(now, asked);
        }
    }

    fn text(&self, now: Time, name: &str) -> String {
        let request = Request {
            resource: Resource::parse(name).expect("a name of ours"),
            outside: false,
            directives: &Directives::default(),
            gzip: false,
            arrived: now,
        };
        match self.origin.request(now, &request) {
            Answer::Ready(response) => text_of(&response),
            other => panic!("{other:?}"),
        }
    }
}

fn text_of(response: &Response) -> String {
    String::from_utf8(response.body.pieces().concat()).expect("UTF-8")
}

fn asked(name: &str, query: String, arrived: Time) -> Asked {
    Asked {
        name: name.to_owned(),
        query,
        arrived,
    }
}

/// Runs a scene with `each` called after every event.
fn run(
    scene: &Scene,
    crowd: &mut Crowd,
    mut each: impl FnMut(&mut Crowd, Time, &mut Seeded),
) -> (Packager, Time) {
    let mut packager = Packager::new(settings(2_000, 200, 20));
    let mut seeded = Seeded(scene.seed);
    let mut now = Time::ZERO;
    for happening in scene.happenings() {
        now = Time::from_micros(happening.at_us);
        crowd.expire(now);
        let unix_ms = NOON_MS + now.as_millis();
        packager.push(now, unix_ms, &happening.event, happening.discontinuity);
        while let Some(step) = packager.poll_step() {
            crowd.apply(now, &step);
        }
        each(crowd, now, &mut seeded);
    }
    (packager, now)
}

#[test]
fn who_waits_gets_what_was_asked_for_as_soon_as_it_is_there() {
    for seed in 0..3 {
        let scene = Scene {
            seed,
            seconds: 20,
            network_us: 60_000,
            video: vec![Video {
                late_us: 10_000,
                ..Video::regular(40_000, 50)
            }],
            ..Scene::default()
        };
        let mut crowd = Crowd::default();
        let mut went_away = 0;
        let (mut packager, now) = run(&scene, &mut crowd, |crowd, now, seeded| {
            let Some((edge, false)) = crowd.origin.edge(V0) else {
                crowd.ask(now, asked("main.m3u8", String::new(), now));
                return;
            };
            let name = if seeded.below(2) == 0 { "v0" } else { "a0" };
            let msn = (edge.msn + seeded.below(4)).saturating_sub(2);
            let part = (u64::from(edge.parts) + seeded.below(6)).saturating_sub(3);
            let query = match seeded.below(5) {
                0 => format!("_HLS_msn={msn}"),
                1 => format!("_HLS_msn={msn}&_HLS_part={part}&_HLS_skip=YES"),
                _ => format!("_HLS_msn={msn}&_HLS_part={part}"),
            };
            crowd.ask(now, asked(&format!("{name}.m3u8"), query, now));
            let hint = format!("v0-e1-{}.{}.m4s", edge.msn, edge.parts);
            crowd.ask(now, asked(&hint, String::new(), now));
            if seeded.below(4) == 0 && !crowd.ids.is_empty() {
                let older = seeded.below(crowd.ids.len().min(10) as u64) as usize;
                let id = crowd.ids.remove(crowd.ids.len() - 1 - older);
                went_away += usize::from(crowd.waiters.remove(id).is_some());
            }
        });
        packager.end(now);
        while let Some(step) = packager.poll_step() {
            crowd.apply(now, &step);
        }
        // Rule 38: the end lets everybody go.
        assert_eq!(crowd.waiters.len(), 0);
        assert!(went_away > 10, "{went_away}");
        let ready = crowd
            .answered
            .iter()
            .filter(|one| one.2.status() == Some(200));
        assert!(ready.count() > 1_000);
        check_answers(&crowd);
    }
}

fn check_answers(crowd: &Crowd) {
    // Every answer for one address and one query is the same text, unless it was asked for later.
    for (asked, when, answer) in &crowd.answered {
        let Answer::Ready(response) = answer else {
            // Too far ahead, or a part that never came to be.
            assert!(
                matches!(answer.status(), Some(400 | 404)),
                "{asked:?} {answer:?}"
            );
            continue;
        };
        if !asked.name.ends_with("0.m3u8") {
            continue;
        }
        let directives = Directives::parse(&asked.query).expect("directives");
        let text = text_of(response);
        let list = parse::list(&text);
        let waited = when.since(asked.arrived);
        assert!(waited.as_millis() < 6_000);
        let last = list.segments.last().expect("segments");
        let complete = list.segments.iter().rev().find(|one| one.uri.is_some());
        let Some(msn) = directives.msn.filter(|_| !list.ended) else {
            continue;
        };
        match directives.part {
            // Rule 30.
            None => assert!(complete.is_some_and(|one| one.msn >= msn), "{asked:?}"),
            // Rules 31 and 32.
            Some(part) => {
                let has = last.msn > msn || last.msn == msn && last.parts.len() as u64 > part;
                assert!(has, "{asked:?} {text}");
            }
        }
        let expected = if directives.skip == Skip::Nothing {
            Cache::Seconds(12)
        } else {
            response.cache
        };
        assert_eq!(response.cache, expected, "rule 50");
    }
}

#[test]
fn requests_that_cannot_be_answered_are_refused_at_once() {
    let scene = Scene {
        seconds: 13,
        ..Scene::default()
    };
    let mut crowd = Crowd::default();
    let (_, now) = run(&scene, &mut crowd, |_, _, _| {});
    let (edge, _) = crowd.origin.edge(V0).expect("a playlist");
    assert_eq!((edge.msn, edge.parts_before), (106, 10));
    let parts = u64::from(edge.parts);
    for (query, expected) in [
        // Slid out, complete, or there.
        ("_HLS_msn=0".to_owned(), Some(200)),
        ("_HLS_msn=0&_HLS_part=9999".to_owned(), Some(200)),
        ("_HLS_msn=105".to_owned(), Some(200)),
        ("_HLS_msn=105&_HLS_part=9".to_owned(), Some(200)),
        // The part behind the last one is the next segment's first.
        ("_HLS_msn=105&_HLS_part=10".to_owned(), Some(200)),
        (
            "_HLS_msn=105&_HLS_part=18446744073709551615".to_owned(),
            Some(200),
        ),
        (format!("_HLS_msn=106&_HLS_part={}", parts - 1), Some(200)),
        (format!("_HLS_msn=106&_HLS_part={parts}"), None),
        ("_HLS_msn=106".to_owned(), None),
        ("_HLS_msn=107".to_owned(), None),
        ("_HLS_msn=107&_HLS_part=0".to_owned(), None),
        // The Advance Part Limit is 15 parts of 202 ms.
        (format!("_HLS_msn=106&_HLS_part={}", parts + 14), None),
        (format!("_HLS_msn=106&_HLS_part={}", parts + 15), Some(400)),
        ("_HLS_msn=107&_HLS_part=15".to_owned(), Some(400)),
        ("_HLS_msn=108".to_owned(), Some(400)),
        ("_HLS_msn=18446744073709551615".to_owned(), Some(400)),
        ("_HLS_msn=18446744073709551616".to_owned(), Some(400)),
        ("_HLS_part=0".to_owned(), Some(400)),
    ] {
        let before = crowd.waiters.len();
        let count = crowd.answered.len();
        crowd.ask(now, asked("v0.m3u8", query.clone(), now));
        match expected {
            None => assert_eq!(crowd.waiters.len(), before + 1, "{query}"),
            Some(_) => {
                let answer = &crowd.answered.get(count).expect("an answer").2;
                assert_eq!(answer.status(), expected, "{query}");
            }
        }
    }
    check_files(&mut crowd, now);
    // Rule 37.
    let waiting = crowd.waiters.len();
    assert!(waiting > 0);
    let late = now + crowd.origin.wait_max();
    let count = crowd.answered.len();
    crowd.expire(late);
    assert!(crowd.waiters.is_empty());
    let late = &crowd.answered[count..];
    assert!(late.len() == waiting && late.iter().all(|one| one.2.status() == Some(503)));
}

fn check_files(crowd: &mut Crowd, now: Time) {
    for (name, expected) in [
        ("v0-e1-106.99.m4s", Some(404)),
        ("v0-e1-107.0.m4s", Some(404)),
        ("v0-e1-107.m4s", Some(404)),
        ("v0-e0-106.m4s", Some(404)),
        ("v0-e0-105.m4s", Some(404)),
        ("v1-e1-105.m4s", Some(404)),
        ("v0-e1-init1.mp4", Some(404)),
        ("v1.m3u8", Some(404)),
        ("v0-e1-99.m4s", Some(404)),
        ("v0-e1-105.m4s", Some(200)),
        ("v0-e1-105.0.m4s", Some(200)),
        ("a0-e1-init0.mp4", Some(200)),
    ] {
        let count = crowd.answered.len();
        crowd.ask(now, asked(name, String::new(), now));
        let answer = &crowd.answered.get(count).expect("an answer").2;
        assert_eq!(answer.status(), expected, "{name}");
    }
}

#[test]
fn a_list_without_directives_has_a_segment_or_is_waited_for() {
    let mut crowd = Crowd::default();
    let mut first = None;
    let a0 = RenditionId {
        kind: TrackKind::Audio,
        index: 0,
    };
    let radio = Scene {
        video: Vec::new(),
        ..Scene::default()
    };
    run(&radio, &mut crowd, |crowd, now, _| {
        if first.is_none() && crowd.origin.edge(a0).is_some() {
            first = Some(now);
            for query in ["", "_HLS_msn=100&_HLS_part=0"] {
                crowd.ask(now, asked("a0.m3u8", query.to_owned(), now));
            }
            // Who has waited long enough gets what there is.
            let most = now + crowd.origin.wait_max();
            crowd.ask(most, asked("a0.m3u8", String::new(), now));
        }
    });
    let first = first.expect("a list");
    let lists = crowd.answered.iter().map(|(asked, at, answer)| {
        let Answer::Ready(response) = answer else {
            panic!("{asked:?}: {answer:?}");
        };
        (
            asked.query.as_str(),
            *at,
            text_of(response).contains("#EXTINF:"),
        )
    });
    let lists: Vec<_> = lists.collect();
    let [
        ("_HLS_msn=100&_HLS_part=0", at, false),
        ("", _, false),
        ("", whole, true),
    ] = lists[..]
    else {
        panic!("{lists:?}");
    };
    assert_eq!(at, first);
    let waited = whole.since(first);
    assert!(waited <= Duration::from_millis(2_200), "{waited:?}");
}

#[test]
fn every_form_of_a_list_says_the_same() {
    let mut crowd = Crowd::default();
    let (_, now) = run(&Scene::default(), &mut crowd, |_, _, _| {});
    let answer = |query: &str, gzip: bool, outside: bool, name: &str| {
        let directives = Directives::parse(query).expect("directives");
        let request = Request {
            resource: Resource::parse(name).expect("a name"),
            outside,
            directives: &directives,
            gzip,
            arrived: now,
        };
        match crowd.origin.request(now, &request) {
            Answer::Ready(response) => response,
            other => panic!("{other:?}"),
        }
    };
    let mut tags = BTreeMap::new();
    for name in ["v0.m3u8", "a0.m3u8", "main.m3u8"] {
        for query in ["", "_HLS_skip=YES"] {
            let plain = answer(query, false, false, name);
            let pressed = answer(query, true, false, name);
            assert!(!plain.gzip && pressed.gzip);
            let mut decoder = flate2::read::GzDecoder::new(&pressed.body.pieces()[0][..]);
            let mut text = String::new();
            std::io::Read::read_to_string(&mut decoder, &mut text).expect("gzip");
            assert_eq!(text, text_of(&plain));
            assert!(pressed.body.bytes() < plain.body.bytes());
            for response in [&plain, &pressed] {
                let tag = response.etag.clone().expect("a tag");
                let other = tags.insert(tag, response.body.clone());
                assert!(other.is_none_or(|other| other == response.body));
            }
            let marked = answer(&format!("{query}&token=a%2Fb"), true, false, name);
            assert!(!marked.gzip && marked.etag.is_none());
            assert_eq!(marked.cache, Cache::PrivateRevalidate);
            let marked = text_of(&marked);
            assert_eq!(marked.replace("?token=a%2Fb", ""), text);
            for line in marked.lines() {
                let bare = !line.starts_with('#');
                let quoted = line.contains("URI=\"");
                assert_eq!(line.contains("?token=a%2Fb"), bare || quoted, "{line}");
                assert!(!bare || line.ends_with("?token=a%2Fb"));
                assert!(!quoted || line.contains("?token=a%2Fb\""));
            }
        }
    }
    let outside = text_of(&answer("", false, true, "main.m3u8"));
    assert!(outside.contains("\ncam/hls/v0.m3u8\n") && outside.contains("URI=\"cam/hls/a0.m3u8\""));
    check_multivariant(&crowd.text(now, "main.m3u8"));
}

/// The multivariant playlist of a usual source, its rates apart.
fn check_multivariant(text: &str) {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let variant = lines
        .iter_mut()
        .find(|line| line.starts_with("#EXT-X-STREAM-INF:"));
    let variant = variant.expect("a variant");
    let found = parse::attributes(variant.split_once(':').expect("a tag").1);
    // 25 pictures a second of 800 bytes, one in 50 of 4,000; sound of 120 bytes.
    let media_bps = (49.0 * 800.0 + 4_000.0) * 4.0 + 120.0 * 8.0 * 48_000.0 / 1_024.0;
    let average: f64 = found["AVERAGE-BANDWIDTH"].parse().expect("a number");
    let peak: f64 = found["BANDWIDTH"].parse().expect("a number");
    assert!(
        (media_bps..media_bps * 1.25).contains(&average),
        "{average} {media_bps}"
    );
    assert!((average..average * 1.1).contains(&peak), "{peak} {average}");
    *variant = "#EXT-X-STREAM-INF".to_owned();
    assert_eq!(
        lines,
        [
            "#EXTM3U",
            "#EXT-X-VERSION:4",
            "#EXT-X-INDEPENDENT-SEGMENTS",
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"Audio 1\",DEFAULT=YES,\
             AUTOSELECT=YES,CHANNELS=\"2\",URI=\"a0.m3u8\"",
            "#EXT-X-STREAM-INF",
            "v0.m3u8",
        ]
    );
    assert_eq!(found["CODECS"], "avc1.64001f,mp4a.40.2");
    assert_eq!(found["RESOLUTION"], "1280x720");
    assert_eq!(found["AUDIO"], "audio");
    let rate: f64 = found["FRAME-RATE"].parse().expect("a rate");
    assert!((24.9..25.1).contains(&rate), "{rate}");
}

#[test]
fn titles_are_date_ranges_as_long_as_they_are_in_the_window() {
    let scene = Scene {
        video: vec![],
        seconds: 60,
        ..Scene::default()
    };
    let mut station = super::station::Station::new(settings(2_000, 200, 20));
    let mut happenings = Vec::new();
    for happening in scene.happenings() {
        let second = happening.at_us / 1_000_000;
        let titles = happenings.len() as u64;
        happenings.push(happening);
        if second % 5 == 4 && titles.is_multiple_of(40) {
            let mut title = happenings[0].clone();
            title.at_us = happenings[titles as usize].at_us;
            let text = format!("An \"artist\" - Über {}", second / 5);
            title.event = MediaEvent::Metadata(Metadata::from_title(&text));
            happenings.push(title);
        }
    }
    station.run(&happenings);
    let id = RenditionId {
        kind: TrackKind::Audio,
        index: 0,
    };
    let ranges = &station.seen[&id].list.dateranges;
    assert!((4..=6).contains(&ranges.len()), "{ranges:?}");
    let found = parse::attributes(ranges.last().expect("one"));
    assert_eq!(found["X-TITLE"], "An 'artist' - Über 11");
    assert_eq!(
        (&*found["CLASS"], &*found["END-ON-NEXT"]),
        ("corecast.title", "YES")
    );
    // A title that began a minute before the hour is where the sound is.
    assert!(found["START-DATE"].starts_with("2026-"), "{found:?}");
    // The parts in which titles begin carry them too.
    let last = &station.seen[&id].list.segments;
    let carried = last
        .iter()
        .filter_map(|one| one.uri.as_ref())
        .filter(|uri| {
            let Answer::Ready(response) = station.ask(uri, "") else {
                return false;
            };
            let scheme = crate::cmaf::id3::SCHEME.as_bytes();
            let whole = response.body.pieces().concat();
            whole.windows(scheme.len()).any(|window| window == scheme)
        });
    assert!((3..=5).contains(&carried.count()));
    let delta = station.text("a0.m3u8", "_HLS_skip=v2");
    let skip = parse::list(&delta).skip.expect("a delta");
    assert!(parse::attributes(&skip).contains_key("RECENTLY-REMOVED-DATERANGES"));
    assert!(delta.starts_with("#EXTM3U\n#EXT-X-VERSION:10\n"));
    let count = |text: &str| text.matches("#EXT-X-DATERANGE").count();
    assert!(count(&delta) < ranges.len());
    assert_eq!(
        count(&station.text("a0.m3u8", "_HLS_skip=YES")),
        ranges.len()
    );
}

#[test]
fn bytes_limit_the_window_but_leave_enough() {
    let mut station = super::station::Station::new(PackagerSettings {
        bytes_max: 500_000,
        ..settings(2_000, 200, 60)
    });
    station.run(&Scene::default().happenings());
    let list = &station.seen[&V0].list;
    // About 46 kB in a segment, and the removed ones that can still be had count too.
    assert!(
        (3..=8).contains(&list.segments.len()),
        "{}",
        list.segments.len()
    );
    assert!(
        station.origin.media_bytes() < 620_000,
        "{}",
        station.origin.media_bytes()
    );
    // Rule 7: the first removed segment is still there.
    let before = format!("v0-e1-{}.m4s", list.media_sequence - 1);
    assert_eq!(station.ask(&before, "").status(), Some(200));
    let gone = format!("v0-e1-{}.m4s", list.media_sequence - 8);
    assert_eq!(station.ask(&gone, "").status(), Some(404));
}

#[test]
fn a_late_shard_is_given_everything_at_once() {
    let mut crowd = Crowd::default();
    let (mut packager, now) = run(&Scene::default(), &mut crowd, |_, _, _| {});
    let mut late = Crowd::default();
    late.ask(now, asked("v0.m3u8", String::new(), now));
    late.ask(now, asked("main.m3u8", String::new(), now));
    assert_eq!(late.waiters.len(), 2);
    late.apply(now, &Step::Snapshot(crowd.origin.clone().into()));
    assert!(late.waiters.is_empty());
    for name in ["v0.m3u8", "a0.m3u8", "main.m3u8"] {
        assert_eq!(late.text(now, name), crowd.text(now, name));
    }
    packager.end(now);
    while let Some(step) = packager.poll_step() {
        late.apply(now, &step);
        crowd.apply(now, &step);
    }
    assert_eq!(late.text(now, "v0.m3u8"), crowd.text(now, "v0.m3u8"));
    assert!(late.text(now, "v0.m3u8").ends_with("#EXT-X-ENDLIST\n"));
    assert_eq!(late.origin.clear(), Released::All);
    assert_eq!(late.origin.media_bytes(), 0);
}
