//! The rules on what our own packager writes, under a virtual clock: five minutes of pictures and
//! sound that come unevenly, with titles, an outage, a source of another kind, and an end.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use corecast_media::frame::MediaEvent;
use corecast_media::metadata::Metadata;
use corecast_media::time::Time;
use corecast_protocol::hls::{
    Answer, Directives, Origin, Packager, PackagerSettings, Request, Resource,
};

use super::show::{CHANGE_MS, END_MS, HOLE_MS, JITTER_MS, OUTAGE_MS, Show};
use crate::hls::findings::{Check, judge, report};
use crate::hls::history::{
    Ask, Digest, Exchange, History, MS, Purpose, Rendition, Sample, SkipAsk,
};
use crate::hls::media;
use crate::hls::multivariant::Multivariant;
use crate::hls::playlist::{Edge, Playlist};
use crate::hls::rules::RULES;

/// The clock moves in steps of this, in milliseconds.
const STEP_MS: u64 = 5;
const UNIX_MS: u64 = 1_800_000_000_000;

/// Rules of HTTP itself, which is not spoken here.
const HTTP_ALONE: [&str; 7] = [
    "rule_40_abort",
    "rule_49_gzip",
    "rule_52_cross_origin",
    "rule_53_ranges",
    "rule_54_head",
    "rule_55_date",
    "rule_56_http2",
];

/// A client with one request after another, each answered as soon as it can be.
struct Asking {
    rendition: usize,
    kind: Kind,
    name: String,
    ask: Ask,
    sent_ms: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Follow,
    Deltas,
    Hint,
}

struct World {
    names: &'static [&'static str],
    origin: Origin,
    history: History,
    asking: Vec<Asking>,
    fetched: [HashSet<String>; 2],
    /// Every text once.
    lists: HashMap<String, Arc<Playlist>>,
}

fn query(ask: Ask) -> String {
    let skip = ask.skip.map(|skip| match skip {
        SkipAsk::Segments => "_HLS_skip=YES".to_owned(),
        SkipAsk::Dateranges => "_HLS_skip=v2".to_owned(),
        SkipAsk::Unknown => "_HLS_skip=MAYBE".to_owned(),
    });
    let msn = ask.msn.map(|msn| format!("_HLS_msn={msn}"));
    let part = ask.part.map(|part| format!("_HLS_part={part}"));
    let pairs: Vec<String> = [msn, part, skip].into_iter().flatten().collect();
    pairs.join("&")
}

impl World {
    fn new(names: &'static [&'static str]) -> World {
        let rendition = |name: &str| Rendition {
            uri: format!("{name}.m3u8"),
            ..Rendition::default()
        };
        let mut asking = Vec::new();
        for (number, rendition) in names.iter().enumerate() {
            for kind in [Kind::Hint, Kind::Follow, Kind::Deltas] {
                asking.push(Asking {
                    rendition: number,
                    kind,
                    name: match kind {
                        Kind::Hint => String::new(),
                        _ => format!("{rendition}.m3u8"),
                    },
                    ask: Ask::default(),
                    sent_ms: 0,
                });
            }
        }
        World {
            names,
            origin: Origin::new(),
            history: History {
                renditions: names.iter().map(|name| rendition(name)).collect(),
                slack_ns: (JITTER_MS + HOLE_MS + 40) * MS,
                ..History::default()
            },
            asking,
            fetched: [HashSet::new(), HashSet::new()],
            lists: HashMap::new(),
        }
    }

    /// The answer to a request; none while it waits.
    fn request(&self, now_ms: u64, sent_ms: u64, name: &str, query: &str) -> Option<Exchange> {
        let mut exchange = Exchange {
            rendition: 0,
            purpose: Purpose::Missing,
            target: match query {
                "" => format!("/{name}"),
                query => format!("/{name}?{query}"),
            },
            sent_ns: sent_ms * MS,
            first_ns: now_ms * MS,
            done_ns: now_ms * MS,
            status: 400,
            headers: Vec::new(),
            body: Digest::default(),
            text: None,
            wall_s: 0,
            broken: None,
        };
        let Ok(directives) = Directives::parse(query) else {
            return Some(exchange);
        };
        let Some(resource) = Resource::parse(name) else {
            exchange.status = 404;
            return Some(exchange);
        };
        let answer = self.origin.request(
            Time::from_millis(now_ms),
            &Request {
                resource,
                outside: false,
                directives: &directives,
                gzip: false,
                arrived: Time::from_millis(sent_ms),
            },
        );
        exchange.status = answer.status()?;
        exchange
            .headers
            .push(("cache-control".to_owned(), answer.cache().to_string()));
        if let Answer::Ready(response) = answer {
            let body = response.body.pieces().concat();
            let mut set = |name: &str, value: &str| {
                exchange.headers.push((name.to_owned(), value.to_owned()));
            };
            set("content-type", response.content_type.as_str());
            set("content-length", &body.len().to_string());
            if let Some(tag) = &response.etag {
                set("etag", tag);
            }
            exchange.body = Digest::of(&body);
            exchange.text = String::from_utf8(body).ok();
        }
        Some(exchange)
    }

    /// Writes a list down.
    fn write_list(
        &mut self,
        number: usize,
        ask: Ask,
        mut exchange: Exchange,
    ) -> Option<Arc<Playlist>> {
        let text = exchange.text.take();
        let (sent_ns, done_ns) = (exchange.sent_ns, exchange.done_ns);
        (exchange.rendition, exchange.purpose) = (number, Purpose::Playlist(ask));
        let good = exchange.status == 200;
        self.history.exchanges.push(exchange);
        let text = text.filter(|_| good)?;
        let list = self.lists.entry(text);
        let list = list.or_insert_with_key(|text| Arc::new(Playlist::parse(text)));
        let list = Arc::clone(list);
        let sample = Sample {
            ask,
            sent_ns,
            done_ns,
            list: Arc::clone(&list),
        };
        self.history.renditions[number].samples.push(sample);
        Some(list)
    }

    /// Asks at once, and writes down what comes.
    fn ask_once(&mut self, now_ms: u64, number: usize, purpose: Purpose, name: &str, query: &str) {
        if let Some(mut exchange) = self.request(now_ms, now_ms, name, query) {
            (exchange.rendition, exchange.purpose) = (number, purpose);
            self.history.exchanges.push(exchange);
        }
    }

    /// Whether a request came since the last step, or one may have waited for too long.
    fn is_due(&self, now_ms: u64) -> bool {
        let mut sent = self.asking.iter().map(|asking| asking.sent_ms);
        let new = sent.any(|sent_ms| sent_ms <= now_ms && sent_ms + STEP_MS > now_ms);
        new || now_ms.is_multiple_of(1_000)
    }

    /// Serves everybody who waits, until nobody can be served.
    fn serve(&mut self, now_ms: u64) {
        let mut served = true;
        while served {
            served = false;
            for at in 0..self.asking.len() {
                let Asking {
                    rendition,
                    kind,
                    name,
                    ask,
                    sent_ms,
                } = &self.asking[at];
                let (number, kind, ask, sent_ms) = (*rendition, *kind, *ask, *sent_ms);
                if name.is_empty() || sent_ms > now_ms {
                    continue;
                }
                let name = name.clone();
                let Some(exchange) = self.request(now_ms, sent_ms, &name, &query(ask)) else {
                    continue;
                };
                served = true;
                self.on_answer(now_ms, at, number, kind, ask, exchange);
            }
        }
    }

    fn on_answer(
        &mut self,
        now_ms: u64,
        at: usize,
        number: usize,
        kind: Kind,
        ask: Ask,
        mut exchange: Exchange,
    ) {
        if kind == Kind::Hint {
            (exchange.rendition, exchange.purpose, exchange.text) = (number, Purpose::Hint, None);
            self.history.exchanges.push(exchange);
            self.asking[at].name.clear();
            return;
        }
        // The next request needs some time to come.
        self.asking[at].sent_ms = now_ms + 1;
        let Some(list) = self.write_list(number, ask, exchange) else {
            return;
        };
        let Edge { msn, parts } = list.edge();
        let skips = [SkipAsk::Segments, SkipAsk::Dateranges];
        self.asking[at].ask = Ask {
            msn: Some(msn).filter(|_| !list.is_ended),
            part: Some(parts).filter(|_| !list.is_ended),
            skip: (kind == Kind::Deltas).then_some(skips[(parts % 2) as usize]),
        };
        if list.is_ended {
            self.asking[at].sent_ms = now_ms + 200;
        }
        if kind == Kind::Follow {
            self.fetch(now_ms, number, &list);
            let hint = list.hints.iter().find(|hint| hint.kind == "PART");
            // Whoever waited for the last one was served before.
            let slot = &mut self.asking[at - 1];
            if let Some(hint) = hint.filter(|_| slot.name.is_empty()) {
                (slot.name, slot.sent_ms) = (hint.uri.clone(), now_ms + 1);
            }
        }
    }

    /// Fetches what is listed and was not yet.
    fn fetch(&mut self, now_ms: u64, number: usize, list: &Playlist) {
        let parts = list.all_parts().filter(|(_, part)| !part.is_gap);
        let parts = parts.map(|(_, part)| part.uri.clone());
        let segments = list.segments.iter().filter(|segment| !segment.is_gap);
        let segments =
            segments.flat_map(|segment| [segment.map.clone(), Some(segment.uri.clone())]);
        for uri in parts.chain(segments.flatten()) {
            if !self.fetched[number].insert(uri.clone()) {
                continue;
            }
            self.ask_once(now_ms, number, Purpose::Listed, &uri, "");
            let Some(resource) = Resource::parse(&uri) else {
                continue;
            };
            let answer = self.origin.request(
                Time::from_millis(now_ms),
                &Request {
                    resource,
                    outside: false,
                    directives: &Directives::default(),
                    gzip: false,
                    arrived: Time::from_millis(now_ms),
                },
            );
            if let Answer::Ready(response) = answer {
                let media = media::read(&response.body.pieces().concat());
                self.history.renditions[number].media.insert(uri, media);
            }
        }
    }

    /// What players do not ask every day.
    fn probe(&mut self, now_ms: u64) {
        for (number, rendition) in self.names.iter().enumerate() {
            let name = format!("{rendition}.m3u8");
            let samples = &self.history.renditions[number].samples;
            let Some(list) = samples.last().map(|sample| Arc::clone(&sample.list)) else {
                continue;
            };
            let edge = list.edge();
            for (rule, query) in [
                (34, "_HLS_part=0".to_owned()),
                (35, format!("_HLS_msn={}", edge.msn + 10)),
                (35, format!("_HLS_msn={}&_HLS_part=1000", edge.msn + 1)),
                (36, "_HLS_msn=-1".to_owned()),
                (36, "_HLS_msn=18446744073709551616".to_owned()),
            ] {
                self.ask_once(now_ms, number, Purpose::Bad { rule }, &name, &query);
            }
            let parts = list
                .segments
                .last()
                .map_or(0, |segment| segment.parts.len() as u64);
            for (msn, part, skip) in [
                (Some(0), None, None),
                (Some(edge.msn - 1), None, None),
                (Some(edge.msn - 1), Some(parts + 3), None),
                (None, None, Some(SkipAsk::Unknown)),
                (None, None, None),
            ] {
                let ask = Ask { msn, part, skip };
                if let Some(exchange) = self.request(now_ms, now_ms, &name, &query(ask)) {
                    self.write_list(number, ask, exchange);
                }
            }
            self.ask_once(now_ms, number, Purpose::Token, &name, "token=abc");
            self.ask_once(now_ms, number, Purpose::Missing, "v0-0-9.99999.m4s", "");
        }
    }
}

/// Runs the five minutes.
fn live(show: &Show) -> World {
    let mut packager = Packager::new(PackagerSettings {
        window: Duration::from_secs(30),
        first_msn: 1_000,
        ..PackagerSettings::default()
    });
    let mut world = World::new(show.names);
    let mut units = show.units.iter().peekable();
    packager.push(Time::ZERO, UNIX_MS, &show.tracks[0], false);
    let (mut changed, mut resumed, mut titles) = (false, false, 0);
    for now_ms in (0..END_MS + 2_000).step_by(STEP_MS as usize) {
        let (now, unix_ms) = (Time::from_millis(now_ms), UNIX_MS + now_ms);
        if now_ms / 7_000 > titles {
            titles += 1;
            let title = Metadata::from_parts("Artist", &format!("Song {titles}"));
            packager.push(now, unix_ms, &MediaEvent::Metadata(title), false);
        }
        while let Some((_, unit)) = units.next_if(|(at, _)| *at <= now_ms) {
            let at_ms = unit.dts.as_millis().cast_unsigned();
            let other = !changed && at_ms >= CHANGE_MS;
            let back = !resumed && at_ms >= OUTAGE_MS.end;
            if other {
                packager.push(now, unix_ms, &show.tracks[1], false);
            }
            (changed, resumed) = (changed || other, resumed || back);
            packager.push(now, unix_ms, &MediaEvent::Unit(unit.clone()), other || back);
        }
        if packager.poll_timeout().is_some_and(|at| at <= now) {
            packager.handle_timeout(now);
        }
        if now_ms == END_MS + 100 {
            packager.end(now);
        }
        let mut grown = false;
        while let Some(step) = packager.poll_step() {
            world.origin.apply(&step);
            grown = true;
        }
        if grown || world.is_due(now_ms) {
            world.serve(now_ms);
        }
        if now_ms % 2_000 == 1_005 && now_ms > 10_000 && now_ms < END_MS {
            world.probe(now_ms);
        }
        if now_ms == END_MS + 1_000 {
            let exchange = world.request(now_ms, now_ms, "main.m3u8", "");
            let text = exchange.and_then(|exchange| exchange.text).expect("a list");
            world.history.multivariant = Some(Multivariant::parse(&text));
        }
    }
    world
}

#[test]
fn our_packager_breaks_no_rule_in_five_minutes() {
    check(&Show::film());
}

#[test]
fn packed_sound_breaks_no_rule_in_five_minutes() {
    check(&Show::radio());
}

fn check(show: &Show) {
    let world = live(show);
    let history = &world.history;
    assert!(
        history
            .renditions
            .iter()
            .all(|rendition| rendition.states().len() > show.states_min)
    );
    let jumps = history.renditions[0].segments();
    assert!(
        jumps
            .values()
            .filter(|segment| segment.has_discontinuity)
            .count()
            >= 2
    );
    assert!(jumps.values().any(|segment| segment.is_gap));
    let verdicts = judge(RULES, history);
    let text = report(&verdicts);
    for verdict in &verdicts {
        let name = verdict.rule.name;
        if HTTP_ALONE.contains(&name) {
            continue;
        }
        assert!(!verdict.is_broken(), "{name}\n{text}");
        let wanted = matches!(verdict.rule.check, Check::By(..));
        assert!(
            verdict.is_checked() || !wanted || show.unseen.contains(&name),
            "{name}\n{text}"
        );
    }
}
