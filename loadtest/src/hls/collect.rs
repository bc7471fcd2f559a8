//! The samplers: for each rendition one that follows it by blocking reloads, one that does so by
//! deltas, one that reloads plainly, one that fetches what is listed, one that asks for hinted
//! parts, one that asks for what has left, and one that asks oddly ([`super::probe`]).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::clock::{MS_NS, now_ns, sleep_until};
use crate::http::Target;

use super::client::Client;
use super::history::{Ask, Purpose, SkipAsk};
use super::log::Log;
use super::playlist::{Edge, Playlist};
use super::probe;

/// Plain reloads come this often.
const PLAIN_NS: u64 = 200 * MS_NS;
/// After a fault, this passes before the next request.
const FAULT_NS: u64 = 200 * MS_NS;
/// So many faults on end, and a sampler gives up.
const FAULTS_MAX: u32 = 25;
/// So many lists are asked for once the stream has ended.
const ENDED_LISTS: u32 = 5;
/// What must be there for some time is asked for so much earlier.
const EARLY_NS: u64 = 300 * MS_NS;

/// One media playlist of the server.
pub(super) struct Place {
    /// Its path.
    pub(super) path: String,
    latest: Mutex<Option<Arc<Playlist>>>,
    grown: Condvar,
}

/// What all samplers share.
pub(super) struct Run<'r> {
    pub(super) target: &'r Target,
    pub(super) log: &'r Log,
    pub(super) places: Vec<Place>,
    /// The multivariant playlist's path, where there is one.
    pub(super) multivariant: Option<String>,
    pub(super) end_ns: u64,
}

impl Place {
    /// The playlist at `path`.
    pub(super) fn new(path: String) -> Place {
        Place {
            path,
            latest: Mutex::new(None),
            grown: Condvar::new(),
        }
    }

    /// The path of an address in the playlist.
    pub(super) fn resolve(&self, uri: &str) -> String {
        resolve(&self.path, uri)
    }

    /// The path of the playlist with directives.
    pub(super) fn with(&self, ask: Ask) -> String {
        let skip = ask.skip.map(|skip| match skip {
            SkipAsk::Segments => "_HLS_skip=YES".to_owned(),
            SkipAsk::Dateranges => "_HLS_skip=v2".to_owned(),
            SkipAsk::Unknown => "_HLS_skip=MAYBE".to_owned(),
        });
        let msn = ask.msn.map(|msn| format!("_HLS_msn={msn}"));
        let part = ask.part.map(|part| format!("_HLS_part={part}"));
        let pairs: Vec<String> = [msn, part, skip].into_iter().flatten().collect();
        if pairs.is_empty() {
            return self.path.clone();
        }
        let mark = if self.path.contains('?') { '&' } else { '?' };
        format!("{}{mark}{}", self.path, pairs.join("&"))
    }

    /// The newest whole list.
    pub(super) fn latest(&self) -> Option<Arc<Playlist>> {
        self.latest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn publish(&self, list: &Arc<Playlist>) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = Some(Arc::clone(list));
        self.grown.notify_all();
    }

    /// The newest whole list once it goes farther than `edge`, or has ended; waits a little.
    pub(super) fn newer(&self, edge: Option<Edge>) -> Option<Arc<Playlist>> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let old = |latest: &mut Option<Arc<Playlist>>| {
            latest
                .as_ref()
                .is_none_or(|list| Some(list.edge()) <= edge && !list.is_ended)
        };
        let wait = Duration::from_millis(100);
        let waited = self.grown.wait_timeout_while(latest, wait, old);
        let (latest, _) = waited.unwrap_or_else(PoisonError::into_inner);
        latest.clone().filter(|list| Some(list.edge()) > edge)
    }

    fn is_ended(&self) -> bool {
        self.latest().is_some_and(|list| list.is_ended)
    }
}

/// The path of an address that stands in the playlist at `path`.
pub(crate) fn resolve(path: &str, uri: &str) -> String {
    if let Some((_, rest)) = uri.split_once("://") {
        return rest
            .split_at(rest.find('/').unwrap_or(rest.len()))
            .1
            .to_owned();
    }
    if uri.starts_with('/') {
        return uri.to_owned();
    }
    let plain = path.split('?').next().unwrap_or_default();
    let folder = plain.split_at(plain.rfind('/').map_or(0, |at| at + 1)).0;
    format!("{folder}{uri}")
}

impl Run<'_> {
    /// Whether it is time to stop.
    pub(super) fn is_over(&self) -> bool {
        now_ns() >= self.end_ns
    }

    /// Samples until the end.
    pub(super) fn sample(&self) {
        thread::scope(|scope| {
            for number in 0..self.places.len() {
                scope.spawn(move || self.follow(number, false));
                scope.spawn(move || self.follow(number, true));
                scope.spawn(move || self.reload(number));
                scope.spawn(move || self.fetch(number));
                scope.spawn(move || self.hints(number));
                scope.spawn(move || self.removed(number));
                scope.spawn(move || probe::run(self, number));
            }
        });
    }

    fn client(&self) -> Client {
        Client::new(self.target)
    }

    /// Follows the rendition from part to part.
    fn follow(&self, number: usize, deltas: bool) {
        let Some(place) = self.places.get(number) else {
            return;
        };
        let mut client = self.client();
        let mut last: Option<Arc<Playlist>> = None;
        let (mut faults, mut ended, mut turn) = (0, 0, 0_u64);
        while !self.is_over() && faults < FAULTS_MAX && ended < ENDED_LISTS {
            turn += 1;
            let ask = last
                .as_ref()
                .map_or(Ask::default(), |list| next(list, deltas, turn));
            let path = place.with(ask);
            let answer = client.get(&path);
            let Some(list) = self.log.write_list(number, ask, &path, &answer) else {
                faults += 1;
                sleep_until(now_ns() + FAULT_NS);
                continue;
            };
            faults = 0;
            if list.is_ended || ask.msn.is_none() {
                ended += u32::from(list.is_ended);
                sleep_until(now_ns() + PLAIN_NS);
            }
            if !deltas {
                place.publish(&list);
            }
            last = Some(list);
        }
    }

    fn reload(&self, number: usize) {
        let Some(place) = self.places.get(number) else {
            return;
        };
        let mut client = self.client();
        let (mut faults, mut ended) = (0, 0);
        while !self.is_over() && faults < FAULTS_MAX && ended < ENDED_LISTS {
            let next_ns = now_ns() + PLAIN_NS;
            let ask = Ask::default();
            let answer = client.get(&place.path);
            let list = self.log.write_list(number, ask, &place.path, &answer);
            faults = if list.is_some() { 0 } else { faults + 1 };
            ended += u32::from(list.is_some_and(|list| list.is_ended));
            sleep_until(next_ns);
        }
    }

    /// Fetches everything that is listed, as soon as it is.
    fn fetch(&self, number: usize) {
        let Some(place) = self.places.get(number) else {
            return;
        };
        let mut client = self.client();
        let mut known: HashSet<String> = HashSet::new();
        let mut edge = None;
        while !self.is_over() {
            let Some(list) = place.newer(edge) else {
                if place.is_ended() {
                    return;
                }
                continue;
            };
            edge = Some(list.edge());
            let parts = list.all_parts().filter(|(_, part)| !part.is_gap);
            let parts = parts
                .filter(|(_, part)| part.byte_range.is_none())
                .map(|(_, part)| &part.uri);
            let segments = list.segments.iter();
            let maps = segments.clone().filter_map(|segment| segment.map.as_ref());
            let segments = segments.filter(|segment| !segment.is_gap);
            let uris = maps
                .chain(parts)
                .chain(segments.map(|segment| &segment.uri));
            for uri in uris {
                if known.insert(uri.clone()) {
                    let path = place.resolve(uri);
                    let answer = client.get(&path);
                    self.log.write(number, Purpose::Listed, &path, &answer);
                    self.log.write_media(number, uri, &answer);
                }
            }
        }
    }

    /// Asks for each hinted part before it is there.
    fn hints(&self, number: usize) {
        let Some(place) = self.places.get(number) else {
            return;
        };
        let mut client = self.client();
        let mut last = String::new();
        let mut edge = None;
        while !self.is_over() && !place.is_ended() {
            let Some(list) = place.newer(edge) else {
                continue;
            };
            edge = Some(list.edge());
            let mut hints = list.hints.iter();
            let Some(hint) = hints.find(|hint| hint.kind == "PART" && hint.uri != last) else {
                continue;
            };
            last.clone_from(&hint.uri);
            let path = place.resolve(&hint.uri);
            let answer = client.get(&path);
            self.log.write(number, Purpose::Hint, &path, &answer);
        }
    }

    /// Asks for what has left the list, for as long as it must be there.
    fn removed(&self, number: usize) {
        let Some(place) = self.places.get(number) else {
            return;
        };
        let mut client = self.client();
        let mut listed: HashMap<String, Listed> = HashMap::new();
        let mut due: Vec<(u64, String, bool)> = Vec::new();
        let (mut edge, mut longest_us) = (None, 0);
        while !self.is_over() && !place.is_ended() {
            if let Some(list) = place.newer(edge) {
                edge = Some(list.edge());
                longest_us = longest_us.max(list.duration_us());
                let present = present(&list);
                for (uri, entry) in &present {
                    listed.entry(uri.clone()).or_insert(*entry);
                }
                let gone = listed.extract_if(|uri, _| !present.contains_key(uri));
                for (uri, entry) in gone {
                    let until_ns = if entry.part {
                        now_ns() + 3_000 * list.target_us()
                    } else {
                        entry.since_ns + 1_000 * (entry.duration_us + longest_us)
                    };
                    due.push((until_ns.saturating_sub(EARLY_NS), uri, entry.part));
                }
            }
            let now = now_ns();
            for (_, uri, part) in due.extract_if(.., |(at_ns, ..)| *at_ns <= now) {
                let path = place.resolve(&uri);
                let answer = client.get(&path);
                self.log
                    .write(number, Purpose::Removed { part }, &path, &answer);
            }
        }
    }
}

/// Something that a list names.
#[derive(Clone, Copy)]
struct Listed {
    since_ns: u64,
    duration_us: u64,
    part: bool,
}

/// All that a list names, and since when, as far as the list tells.
fn present(list: &Playlist) -> HashMap<String, Listed> {
    let now = now_ns();
    let mut present = HashMap::new();
    for (at, segment) in list.segments.iter().enumerate() {
        let since_ns = now.saturating_sub(1_000 * list.behind_us(at));
        if !segment.is_gap {
            let duration_us = segment.duration_us;
            let part = false;
            present.insert(
                segment.uri.clone(),
                Listed {
                    since_ns,
                    duration_us,
                    part,
                },
            );
        }
        for part in segment.parts.iter().filter(|part| !part.is_gap) {
            let (duration_us, part, uri) = (part.duration_us, true, part.uri.clone());
            present.insert(
                uri,
                Listed {
                    since_ns,
                    duration_us,
                    part,
                },
            );
        }
    }
    present
}

/// What to ask for behind `list`.
fn next(list: &Playlist, deltas: bool, turn: u64) -> Ask {
    let control = list.control.as_ref();
    let skips_dateranges = control.is_some_and(|control| control.skips_dateranges);
    let skip = match (deltas, skips_dateranges && turn.is_multiple_of(2)) {
        (true, true) => Some(SkipAsk::Dateranges),
        (true, false) => Some(SkipAsk::Segments),
        (false, _) => None,
    };
    let can_block = control.is_some_and(|control| control.can_block);
    if !can_block || list.is_ended {
        return Ask {
            skip,
            ..Ask::default()
        };
    }
    let Edge { msn, parts } = list.edge();
    Ask {
        msn: Some(msn),
        part: list.part_target_us.map(|_| parts),
        skip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_resolved_against_their_list() {
        for (uri, expected) in [
            ("v0.m4s", "/live/hls/v0.m4s"),
            ("/x/y", "/x/y"),
            ("http://h:1/z?a", "/z?a"),
        ] {
            assert_eq!(resolve("/live/hls/v0.m3u8?a=/b", uri), expected);
        }
    }

    #[test]
    fn the_next_part_is_asked_for() {
        let place = Place::new("/a.m3u8".to_owned());
        let text = "#EXTM3U\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n\
            #EXT-X-PART-INF:PART-TARGET=1\n#EXT-X-MEDIA-SEQUENCE:4\n#EXTINF:2,\na\n\
            #EXT-X-PART:DURATION=1,URI=\"b\"\n";
        let list = Playlist::parse(text);
        let path = |deltas| place.with(next(&list, deltas, 1));
        assert_eq!(path(false), "/a.m3u8?_HLS_msn=5&_HLS_part=1");
        assert_eq!(path(true), "/a.m3u8?_HLS_msn=5&_HLS_part=1&_HLS_skip=YES");
    }
}
