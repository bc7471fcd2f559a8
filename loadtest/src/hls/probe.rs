//! Requests that players do not make every day: bad directives, ranges, tokens, and what else the
//! rules speak of.

use std::io;
use std::sync::Arc;

use crate::clock::{MS_NS, now_ns, sleep_until};

use super::client::{Answer, Client};
use super::collect::{Place, Run};
use super::history::{Ask, Digest, Purpose, SkipAsk};
use super::playlist::{Edge, Playlist};

/// Rounds start this often.
const ROUND_NS: u64 = 2_000 * MS_NS;
/// So many times two answers are asked for until both are of one state.
const TWINS_MAX: u32 = 5;
/// Lists have this token's addresses.
const TOKEN: &str = "token=loadtest";
/// The bytes of a segment that are asked for alone.
const RANGE: std::ops::Range<usize> = 10..30;

/// One rendition's odd requests.
struct Prober<'r, 'p> {
    run: &'r Run<'r>,
    place: &'p Place,
    number: usize,
    client: Client,
}

/// Asks in rounds until the end of the run or of the stream.
pub(super) fn run(run: &Run<'_>, number: usize) {
    let Some(place) = run.places.get(number) else {
        return;
    };
    let mut prober = Prober {
        run,
        place,
        number,
        client: Client::new(run.target),
    };
    while !run.is_over() {
        let next_ns = now_ns() + ROUND_NS;
        if let Some(list) = place.newer(None) {
            if list.is_ended {
                return;
            }
            prober.round(&list);
        }
        sleep_until(next_ns.min(run.end_ns));
    }
}

impl Prober<'_, '_> {
    fn round(&mut self, list: &Arc<Playlist>) {
        self.bad_directives(list);
        self.odd_directives(list);
        self.missing(list);
        self.conditional();
        self.gzip();
        self.token();
        if let Some(segment) = list.segments.iter().rev().find(|segment| !segment.is_gap) {
            self.media(&segment.uri);
        }
        let path = self.place.path.clone();
        self.trial(Purpose::Head { length: None }, "HEAD", &path, &[]);
        let waiting = self.ahead(|edge| (Some(edge.msn), None));
        self.trial(Purpose::Head { length: None }, "HEAD", &waiting, &[]);
        let asked = [
            ("Access-Control-Request-Method", "GET"),
            ("Access-Control-Request-Headers", "range"),
        ];
        self.trial(Purpose::Preflight, "OPTIONS", &path, &asked);
        if let Some(path) = self.run.multivariant.clone().filter(|_| self.number == 0) {
            self.trial(Purpose::Multivariant, "GET", &path, &[]);
        }
    }

    /// Asks and writes it down.
    fn trial(
        &mut self,
        purpose: Purpose,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Option<Answer> {
        let answer = self.client.ask(method, path, headers);
        self.run.log.write(self.number, purpose, path, &answer);
        answer.ok()
    }

    fn list(&mut self, ask: Ask) -> Option<Arc<Playlist>> {
        let path = self.place.with(ask);
        let answer = self.client.get(&path);
        self.run.log.write_list(self.number, ask, &path, &answer)
    }

    /// The path of a list with directives that are counted from the newest edge.
    fn ahead(&self, ask: impl Fn(Edge) -> (Option<u64>, Option<u64>)) -> String {
        let edge = self
            .place
            .latest()
            .map_or_else(Edge::default, |list| list.edge());
        let (msn, part) = ask(edge);
        self.place.with(Ask {
            msn,
            part,
            skip: None,
        })
    }

    fn bad_directives(&mut self, list: &Playlist) {
        if !list
            .control
            .as_ref()
            .is_some_and(|control| control.can_block)
        {
            return;
        }
        let path = self.place.path.clone();
        self.trial(
            Purpose::Bad { rule: 34 },
            "GET",
            &format!("{path}?_HLS_part=0"),
            &[],
        );
        for far in [
            self.ahead(|edge| (Some(edge.msn + 10), None)),
            self.ahead(|edge| (Some(edge.msn + 10), Some(0))),
            // Of a segment that no longer grows this would be the next one's first part.
            self.ahead(|edge| (Some(edge.msn + 1), Some(1_000))),
        ] {
            self.trial(Purpose::Bad { rule: 35 }, "GET", &far, &[]);
        }
        for bad in [
            "_HLS_msn=abc",
            "_HLS_msn=-1",
            "_HLS_msn=18446744073709551616",
            "_HLS_msn=99999999999999999999999999",
            "_HLS_msn=",
            "_HLS_msn=1&_HLS_msn=2",
            "_HLS_msn=1&_HLS_part=x",
            "_HLS_msn=1&_HLS_part=",
        ] {
            self.trial(
                Purpose::Bad { rule: 36 },
                "GET",
                &format!("{path}?{bad}"),
                &[],
            );
        }
    }

    /// Directives that are unusual, but right.
    fn odd_directives(&mut self, list: &Playlist) {
        let Some((last, segment)) = list.numbered().next_back() else {
            return;
        };
        let blocks = list
            .control
            .as_ref()
            .is_some_and(|control| control.can_block);
        let unknown = Ask {
            skip: Some(SkipAsk::Unknown),
            ..Ask::default()
        };
        let past = segment.parts.len() as u64 + 3;
        let asks = [
            (Some(0), None),
            (Some(last), None),
            (Some(last), Some(0)),
            (Some(last), Some(past)),
            (Some(last + 1), None),
        ];
        self.list(unknown);
        for (msn, part) in asks.into_iter().filter(|_| blocks) {
            self.list(Ask {
                msn,
                part,
                skip: None,
            });
        }
    }

    /// Names of no part: far ahead of the newest, and of another life of the server.
    fn missing(&mut self, list: &Playlist) {
        let Some(hint) = list.hints.iter().find(|hint| hint.kind == "PART") else {
            return;
        };
        let (folder, name) = match hint.uri.rsplit_once('/') {
            Some((folder, name)) => (format!("{folder}/"), name),
            None => (String::new(), hint.uri.as_str()),
        };
        let gone = Some(format!("{folder}gone-{name}"));
        for uri in [far_ahead(&hint.uri), gone].into_iter().flatten() {
            let path = self.place.resolve(&uri);
            self.trial(Purpose::Missing, "GET", &path, &[]);
        }
    }

    fn conditional(&mut self) {
        let path = self.place.path.clone();
        let Ok(before) = self.client.get(&path) else {
            return;
        };
        let Some(tag) = before.header("etag").map(str::to_owned) else {
            return;
        };
        let condition = [("If-None-Match", tag.as_str())];
        let at_once = self.client.ask("GET", &path, &condition);
        let after = self.client.get(&path);
        if let (Ok(_), Ok(after)) = (&at_once, &after)
            && after.body == before.body
        {
            let purpose = Purpose::Conditional { changed: false };
            self.run.log.write(self.number, purpose, &path, &at_once);
        }
        let edge = Playlist::parse(&before.text()).edge();
        let until_ns = now_ns() + ROUND_NS;
        while self.place.newer(Some(edge)).is_none() {
            if now_ns() > until_ns || self.run.is_over() {
                return;
            }
        }
        self.trial(
            Purpose::Conditional { changed: true },
            "GET",
            &path,
            &condition,
        );
    }

    fn gzip(&mut self) {
        let path = self.place.path.clone();
        let accept = [("Accept-Encoding", "gzip")];
        for _ in 0..TWINS_MAX {
            let plain = self.client.get(&path);
            let gzip = self.client.ask("GET", &path, &accept);
            let after = self.client.get(&path);
            // Between two lists of one state there was no other.
            if let (Ok(plain), Ok(after)) = (&plain, &after)
                && plain.body == after.body
            {
                let plain = Digest::of(&plain.body);
                self.run
                    .log
                    .write(self.number, Purpose::Gzip { plain }, &path, &gzip);
                return;
            }
        }
    }

    fn token(&mut self) {
        let mark = if self.place.path.contains('?') {
            '&'
        } else {
            '?'
        };
        let path = format!("{}{mark}{TOKEN}", self.place.path);
        self.trial(Purpose::Token, "GET", &path, &[]);
    }

    /// One segment in parts, zipped, and its head.
    fn media(&mut self, uri: &str) {
        let path = self.place.resolve(uri);
        let whole: io::Result<Answer> = self.client.get(&path);
        let Some(whole) = whole.ok().filter(|whole| whole.status == 200) else {
            return;
        };
        let length = whole.body.len();
        if let Some(some) = whole.body.get(RANGE) {
            let expected = Some(Digest::of(some));
            let range = [("Range", "bytes=10-29")];
            self.trial(Purpose::Range { expected }, "GET", &path, &range);
        }
        let last = Digest::of(
            whole
                .body
                .get(length.saturating_sub(5)..)
                .unwrap_or_default(),
        );
        let expected = Some(last).filter(|last| last.bytes == 5);
        if expected.is_some() {
            self.trial(
                Purpose::Range { expected },
                "GET",
                &path,
                &[("Range", "bytes=-5")],
            );
        }
        let behind = format!("bytes={length}-");
        let purpose = Purpose::Range { expected: None };
        self.trial(purpose, "GET", &path, &[("Range", &behind)]);
        self.trial(Purpose::Ranges, "GET", &path, &[("Range", "bytes=0-1,4-5")]);
        self.trial(
            Purpose::GzipMedia,
            "GET",
            &path,
            &[("Accept-Encoding", "gzip")],
        );
        let length = Some(length as u64);
        self.trial(Purpose::Head { length }, "HEAD", &path, &[]);
    }
}

/// The name with its last number replaced by one that is far ahead.
fn far_ahead(uri: &str) -> Option<String> {
    let (stem, ending) = uri.rsplit_once('.')?;
    let digits = stem.bytes().rev().take_while(u8::is_ascii_digit).count();
    let kept = stem.get(..stem.len() - digits).filter(|_| digits > 0)?;
    Some(format!("{kept}99999.{ending}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_no_part_are_made_of_those_of_parts() {
        assert_eq!(
            far_ahead("v0-x-12.3.m4s").as_deref(),
            Some("v0-x-12.99999.m4s")
        );
        assert_eq!(far_ahead("part.mp4"), None);
        assert_eq!(far_ahead("part"), None);
    }
}
