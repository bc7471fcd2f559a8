//! A station that does everything right, and what is seen of it: two renditions from part to part,
//! with a discontinuity, a gap, date ranges, an end, and every request that the checker makes.

use std::collections::HashMap;
use std::sync::Arc;

use crate::hls::history::{
    Ask, Content, Digest, Exchange, FragmentContent, History, InitContent, MS, Media, Purpose,
    Rendition, Sample, SkipAsk,
};
use crate::hls::multivariant::Multivariant;
use crate::hls::playlist::{Edge, Playlist};

/// Parts of a segment; each lasts half a second.
const PARTS: u64 = 4;
/// Complete segments in a list.
const WINDOW: u64 = 10;
/// The first and the last edge that is seen.
const FIRST: Edge = Edge { msn: 21, parts: 1 };
const LAST: Edge = Edge { msn: 27, parts: 0 };
/// The segment that starts behind a discontinuity, and the one that is a gap.
const JUMP: u64 = 15;
const GAP: u64 = 13;
const WALL_S: i64 = 1_800_000_000;
const NAMES: [&str; 2] = ["v0", "a0"];

pub(super) const MULTIVARIANT: &str = "#EXTM3U
#EXT-X-VERSION:6
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"a0\",DEFAULT=YES,URI=\"hls/a0.m3u8\"
#EXT-X-STREAM-INF:BANDWIDTH=1000,AVERAGE-BANDWIDTH=224,CODECS=\"avc1.64001f,mp4a.40.2\",\
RESOLUTION=640x360,FRAME-RATE=25.000,AUDIO=\"audio\"
hls/v0.m3u8
";

/// A list as it was seen, in words.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) rendition: usize,
    pub(super) ask: Ask,
    pub(super) sent_ns: u64,
    pub(super) done_ns: u64,
    pub(super) text: String,
}

/// All that was seen, in words: what the mutations change.
#[derive(Clone)]
pub(super) struct Draft {
    pub(super) multivariant: String,
    pub(super) lists: Vec<Seen>,
    pub(super) exchanges: Vec<Exchange>,
    pub(super) media: [Vec<(String, Media)>; 2],
}

impl Draft {
    /// As the rules take it; every text is read once for all histories with the same `lists`.
    pub(super) fn history(&self, lists: &mut HashMap<String, Arc<Playlist>>) -> History {
        let mut rendition = |number: usize| {
            let seen = self.lists.iter().filter(|seen| seen.rendition == number);
            let mut sample = |seen: &Seen| Sample {
                ask: seen.ask,
                sent_ns: seen.sent_ns,
                done_ns: seen.done_ns,
                list: Arc::clone(
                    lists
                        .entry(seen.text.clone())
                        .or_insert_with_key(|text| Arc::new(Playlist::parse(text))),
                ),
            };
            Rendition {
                uri: format!("hls/{}.m3u8", NAMES[number]),
                samples: seen.map(&mut sample).collect(),
                media: self.media[number].iter().cloned().collect(),
            }
        };
        History {
            multivariant: Some(Multivariant::parse(&self.multivariant)),
            renditions: vec![rendition(0), rendition(1)],
            exchanges: self.exchanges.clone(),
            slack_ns: 100 * MS,
        }
    }

    /// Replaces text in all lists from the edge (`msn`, 1 part) on, of one or both renditions.
    pub(super) fn replace(&mut self, renditions: &[usize], from: &str, to: &str) {
        let mut changed = 0;
        for seen in &mut self.lists {
            if renditions.contains(&seen.rendition) && seen.text.contains(from) {
                seen.text = seen.text.replace(from, to);
                changed += 1;
            }
        }
        assert!(changed > 0, "`{from}` is nowhere");
    }

    /// The lists of one rendition that are whole or deltas, and reach this edge.
    pub(super) fn at(&mut self, msn: u64, parts: u64, delta: bool) -> Vec<&mut Seen> {
        let edge = Edge { msn, parts };
        let found = self.lists.iter_mut().filter(|seen| {
            let list = Playlist::parse(&seen.text);
            list.edge() == edge && list.is_delta() == delta
        });
        let found: Vec<&mut Seen> = found.collect();
        assert!(!found.is_empty(), "nothing reaches {edge:?}");
        found
    }

    /// The exchanges of a purpose.
    pub(super) fn of(&mut self, wanted: impl Fn(&Purpose) -> bool) -> Vec<&mut Exchange> {
        let found = self.exchanges.iter_mut();
        let found: Vec<_> = found.filter(|exchange| wanted(&exchange.purpose)).collect();
        assert!(!found.is_empty(), "no such exchange");
        found
    }

    /// The media of an address of the first rendition.
    pub(super) fn media(&mut self, uri: &str) -> &mut Media {
        let mut found = self.media[0].iter_mut();
        &mut found.find(|(name, _)| name == uri).expect("known media").1
    }

    /// The fragments of an address of the first rendition.
    pub(super) fn fragments(&mut self, uri: &str) -> &mut FragmentContent {
        match &mut self.media(uri).content {
            Content::Fragments(fragments) => fragments,
            other => panic!("{uri}: {other:?}"),
        }
    }
}

/// When an edge is reached.
fn at_ns(edge: Edge) -> u64 {
    (edge.msn * PARTS + edge.parts) * 500 * MS
}

fn next(edge: Edge) -> Edge {
    let Edge { msn, parts } = edge;
    if parts + 1 == PARTS {
        Edge {
            msn: msn + 1,
            parts: 0,
        }
    } else {
        Edge {
            msn,
            parts: parts + 1,
        }
    }
}

/// The list of a rendition at an edge, without its first `skipped` segments.
fn render(number: usize, edge: Edge, skipped: u64) -> String {
    let name = NAMES[number];
    let first = edge.msn - WINDOW;
    let jumps = u64::from(first > JUMP);
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n#EXT-X-SERVER-CONTROL:\
         CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.0,HOLD-BACK=6.0,PART-HOLD-BACK=1.5\n\
         #EXT-X-PART-INF:PART-TARGET=0.50000\n#EXT-X-MEDIA-SEQUENCE:{first}\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:{jumps}\n"
    );
    if skipped > 0 {
        text.push_str(&format!("#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}\n"));
    }
    for msn in first + skipped..edge.msn {
        if msn == JUMP {
            text.push_str("#EXT-X-DISCONTINUITY\n");
        }
        if msn == JUMP || msn == first {
            let init = u64::from(msn >= JUMP);
            text.push_str(&format!("#EXT-X-MAP:URI=\"{name}-init{init}.mp4\"\n"));
        }
        if msn == GAP {
            text.push_str("#EXT-X-GAP\n");
        }
        let second = msn * 2;
        text.push_str(&format!(
            "#EXT-X-PROGRAM-DATE-TIME:2026-11-20T00:00:{second:02}.000Z\n"
        ));
        if msn + 3 >= edge.msn {
            (0..PARTS).for_each(|part| text.push_str(&part_line(name, msn, part)));
        }
        text.push_str(&format!("#EXTINF:2.00000,\n{name}-{msn}.m4s\n"));
    }
    let parts = (0..edge.parts).map(|part| part_line(name, edge.msn, part));
    text.extend(parts);
    text.push_str(
        "#EXT-X-DATERANGE:ID=\"t1\",CLASS=\"title\",START-DATE=\"2026-11-20T00:00:42.000Z\"\n",
    );
    if edge == LAST {
        text.push_str("#EXT-X-ENDLIST\n");
        return text;
    }
    let Edge { msn, parts } = edge;
    text.push_str(&format!(
        "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{name}-{msn}.{parts}.m4s\"\n"
    ));
    let (msn, part) = match parts.checked_sub(1) {
        Some(part) => (msn, part),
        None => (msn - 1, PARTS - 1),
    };
    let other = NAMES[1 - number];
    text.push_str(&format!(
        "#EXT-X-RENDITION-REPORT:URI=\"{other}.m3u8\",LAST-MSN={msn},LAST-PART={part}\n"
    ));
    text
}

fn part_line(name: &str, msn: u64, part: u64) -> String {
    let independent = if name == "a0" || part == 0 {
        ",INDEPENDENT=YES"
    } else {
        ""
    };
    format!("#EXT-X-PART:DURATION=0.50000,URI=\"{name}-{msn}.{part}.m4s\"{independent}\n")
}

/// Everything that is seen of the good station.
pub(super) fn draft() -> Draft {
    let mut draft = Draft {
        multivariant: MULTIVARIANT.to_owned(),
        lists: Vec::new(),
        exchanges: Vec::new(),
        media: [media(0), media(1)],
    };
    for number in 0..2 {
        let mut edge = FIRST;
        loop {
            see_edge(&mut draft, number, edge);
            if edge == LAST {
                break;
            }
            edge = next(edge);
        }
        see_others(&mut draft, number);
    }
    probe(&mut draft);
    draft
}

fn ask(msn: Option<u64>, part: Option<u64>, skip: Option<SkipAsk>) -> Ask {
    Ask { msn, part, skip }
}

/// What is asked for in a list, and the list that comes.
fn see(draft: &mut Draft, number: usize, ask: Ask, sent_ns: u64, done_ns: u64, text: String) {
    let mut exchange = exchange(number, Purpose::Playlist(ask), sent_ns, done_ns);
    exchange.target = format!("/live/hls/{}.m3u8?{ask:?}", NAMES[number]);
    let kept = if ask.msn.is_some() {
        "max-age=12"
    } else {
        "no-cache"
    };
    set(
        &mut exchange,
        "content-type",
        "application/vnd.apple.mpegurl",
    );
    set(&mut exchange, "cache-control", kept);
    set(&mut exchange, "etag", &format!("\"{done_ns}\""));
    set(&mut exchange, "vary", "Origin, Accept-Encoding");
    exchange.body = Digest::of(text.as_bytes());
    draft.exchanges.push(exchange);
    draft.lists.push(Seen {
        rendition: number,
        ask,
        sent_ns,
        done_ns,
        text,
    });
}

fn see_edge(draft: &mut Draft, number: usize, edge: Edge) {
    let reached_ns = at_ns(edge);
    // The part that makes the edge.
    let (msn, part) = match edge.parts.checked_sub(1) {
        Some(part) => (edge.msn, part),
        None => (edge.msn - 1, PARTS - 1),
    };
    let (sent_ns, done_ns) = (reached_ns - 400 * MS, reached_ns + 4 * MS);
    let blocked = |skip| ask(Some(msn), Some(part), skip);
    let full = render(number, edge, 0);
    see(draft, number, blocked(None), sent_ns, done_ns, full.clone());
    // Twelve seconds in front of the end: six segments, less where parts are behind them.
    let skipped = if edge.parts > 0 {
        WINDOW - 5
    } else {
        WINDOW - 6
    };
    let skipped = if edge == LAST { 0 } else { skipped.min(4) };
    let delta = render(number, edge, skipped);
    see(
        draft,
        number,
        blocked(Some(SkipAsk::Segments)),
        sent_ns,
        done_ns,
        delta,
    );
    let plain = ask(None, None, None);
    see(
        draft,
        number,
        plain,
        reached_ns + 90 * MS,
        reached_ns + 92 * MS,
        full.clone(),
    );
    if edge.parts == 0 {
        let whole = ask(Some(edge.msn - 1), None, None);
        see(draft, number, whole, sent_ns, done_ns, full);
    }
    if edge != FIRST {
        let uri = format!("{}-{msn}.{part}.m4s", NAMES[number]);
        let mut hint = fetched(draft, number, Purpose::Hint, &uri);
        (hint.sent_ns, hint.first_ns) = (sent_ns, reached_ns + 2 * MS);
        hint.done_ns = reached_ns + 3 * MS;
        draft.exchanges.push(hint);
    }
}

/// Requests for lists with odd directives.
fn see_others(draft: &mut Draft, number: usize) {
    let edge = Edge { msn: 24, parts: 2 };
    let text = render(number, edge, 0);
    let now_ns = at_ns(edge) + 200 * MS;
    for odd in [
        ask(Some(23), Some(PARTS + 3), None),
        ask(Some(0), None, None),
        ask(Some(22), None, None),
        ask(Some(24), Some(0), None),
        ask(None, None, Some(SkipAsk::Unknown)),
    ] {
        see(draft, number, odd, now_ns, now_ns + 2 * MS, text.clone());
    }
    // After the end, and what waited for it.
    let end_ns = at_ns(LAST);
    for (asked, sent_ns) in [
        (ask(Some(27), Some(0), None), end_ns - 100 * MS),
        (ask(Some(40), None, None), end_ns + 50 * MS),
        (ask(None, None, Some(SkipAsk::Segments)), end_ns + 60 * MS),
    ] {
        let done_ns = sent_ns.max(end_ns) + 5 * MS;
        see(
            draft,
            number,
            asked,
            sent_ns,
            done_ns,
            render(number, LAST, 0),
        );
    }
}

fn exchange(rendition: usize, purpose: Purpose, sent_ns: u64, done_ns: u64) -> Exchange {
    let mut exchange = Exchange {
        rendition,
        purpose,
        target: "/live/hls/v0.m3u8".to_owned(),
        sent_ns,
        first_ns: done_ns,
        done_ns,
        status: 200,
        headers: Vec::new(),
        body: Digest::default(),
        text: None,
        wall_s: WALL_S,
        broken: None,
    };
    for (name, value) in [
        ("date", "Fri, 15 Jan 2027 08:00:00 GMT"),
        ("access-control-allow-origin", "*"),
        ("access-control-expose-headers", "Content-Length, Date"),
    ] {
        set(&mut exchange, name, value);
    }
    exchange
}

/// Sets a header.
pub(super) fn set(exchange: &mut Exchange, name: &str, value: &str) {
    exchange.headers.retain(|(found, _)| found != name);
    exchange.headers.push((name.to_owned(), value.to_owned()));
}

/// A piece of media as it is fetched.
fn fetched(draft: &Draft, number: usize, purpose: Purpose, uri: &str) -> Exchange {
    let mut exchange = exchange(number, purpose, 50_000 * MS, 50_002 * MS);
    let mut media = draft.media[number].iter();
    let (_, media) = media.find(|(name, _)| name == uri).expect("known media");
    exchange.target = format!("/live/hls/{uri}");
    exchange.body = media.body;
    set(
        &mut exchange,
        "content-length",
        &media.body.bytes.to_string(),
    );
    set(
        &mut exchange,
        "cache-control",
        "public, max-age=31536000, immutable",
    );
    exchange
}

fn media(number: usize) -> Vec<(String, Media)> {
    let name = NAMES[number];
    let timescale = [90_000_u64, 48_000][number];
    let mut media = Vec::new();
    for init in 0..2 {
        let content = InitContent {
            track: 1,
            timescale: timescale as u32,
            is_video: number == 0,
            codec: ["avc1.64001f", "mp4a.40.2"][number].to_owned(),
            width: [640, 0][number],
            height: [360, 0][number],
        };
        let body = Digest::of(format!("{name}{init}").as_bytes());
        let content = Content::Init(content);
        media.push((format!("{name}-init{init}.mp4"), Media { body, content }));
    }
    for msn in FIRST.msn - WINDOW..LAST.msn {
        let mut whole = Digest::default();
        // 25 pictures and 50 frames of sound a second.
        let samples = [12, 25][number];
        let piece = |start: u64, parts: u64, keyframe: bool| {
            Content::Fragments(FragmentContent {
                track: 1,
                start_ticks: start * timescale / 2,
                shown_ticks: (start * timescale / 2) as i64,
                duration_ticks: parts * timescale / 2,
                samples: parts * samples,
                sample_ticks_max: timescale / [25, 50][number],
                starts_with_keyframe: keyframe,
                has_keyframe: keyframe,
                is_gapless: true,
            })
        };
        for part in 0..PARTS {
            let body = Digest::of(format!("{name}-{msn}.{part}").as_bytes());
            whole = whole.then(body);
            let content = piece(msn * PARTS + part, 1, number == 1 || part == 0);
            media.push((format!("{name}-{msn}.{part}.m4s"), Media { body, content }));
        }
        if msn != GAP {
            let content = piece(msn * PARTS, PARTS, true);
            media.push((
                format!("{name}-{msn}.m4s"),
                Media {
                    body: whole,
                    content,
                },
            ));
        }
    }
    media
}

/// What is asked besides lists.
fn probe(draft: &mut Draft) {
    for uri in ["v0-init1.mp4", "v0-22.m4s", "v0-22.1.m4s"] {
        draft
            .exchanges
            .push(fetched(draft, 0, Purpose::Listed, uri));
    }
    for part in [false, true] {
        draft
            .exchanges
            .push(fetched(draft, 0, Purpose::Removed { part }, "v0-12.m4s"));
    }
    probe_refusals(draft);
    probe_forms(draft);
    probe_others(draft);
}

/// An exchange after all lists but the last.
fn plain(purpose: Purpose) -> Exchange {
    exchange(0, purpose, 48_000 * MS, 48_002 * MS)
}

/// What is refused, has no answer, or has not changed.
fn probe_refusals(draft: &mut Draft) {
    for rule in [34, 35, 36] {
        let mut bad = exchange(0, Purpose::Bad { rule }, 44_000 * MS, 44_002 * MS);
        bad.status = 400;
        draft.exchanges.push(bad);
    }
    let mut missing = plain(Purpose::Missing);
    missing.status = 404;
    set(&mut missing, "cache-control", "max-age=1");
    draft.exchanges.push(missing);
    let mut stalled = plain(Purpose::Playlist(ask(Some(30), None, None)));
    (stalled.status, stalled.done_ns) = (503, 54_000 * MS);
    draft.exchanges.push(stalled);
    for (changed, status) in [(true, 200), (false, 304)] {
        let mut conditional = plain(Purpose::Conditional { changed });
        conditional.status = status;
        draft.exchanges.push(conditional);
    }
}

/// Gzip and ranges.
fn probe_forms(draft: &mut Draft) {
    let body = Digest::of(b"list");
    let mut gzip = plain(Purpose::Gzip { plain: body });
    gzip.body = body;
    for (name, value) in [
        ("content-encoding", "gzip"),
        ("vary", "Accept-Encoding"),
        ("content-type", "application/vnd.apple.mpegurl"),
    ] {
        set(&mut gzip, name, value);
    }
    draft.exchanges.push(gzip);
    draft.exchanges.push(plain(Purpose::GzipMedia));
    let mut range = plain(Purpose::Range {
        expected: Some(body),
    });
    (range.status, range.body) = (206, body);
    set(&mut range, "content-range", "bytes 0-3/100");
    let mut behind = plain(Purpose::Range { expected: None });
    behind.status = 416;
    set(&mut behind, "content-range", "bytes */100");
    draft
        .exchanges
        .extend([range, behind, plain(Purpose::Ranges)]);
}

/// Other methods, the multivariant playlist and a token.
fn probe_others(draft: &mut Draft) {
    let mut head = plain(Purpose::Head { length: Some(7) });
    set(&mut head, "content-length", "7");
    draft.exchanges.push(head);
    let mut preflight = plain(Purpose::Preflight);
    preflight.status = 204;
    set(
        &mut preflight,
        "access-control-allow-methods",
        "GET, HEAD, OPTIONS",
    );
    set(&mut preflight, "access-control-allow-headers", "Range");
    draft.exchanges.push(preflight);
    let mut multivariant = plain(Purpose::Multivariant);
    set(
        &mut multivariant,
        "content-type",
        "application/vnd.apple.mpegurl",
    );
    set(&mut multivariant, "cache-control", "max-age=1");
    draft.exchanges.push(multivariant);
    let mut token = plain(Purpose::Token);
    token.target = "/live/hls/v0.m3u8?token=abc".to_owned();
    set(&mut token, "cache-control", "private, no-cache");
    let text = render(0, Edge { msn: 24, parts: 2 }, 0);
    let text = text
        .replace(".m4s", ".m4s?token=abc")
        .replace(".mp4", ".mp4?token=abc");
    token.text = Some(text.replace("a0.m3u8", "a0.m3u8?token=abc"));
    draft.exchanges.push(token);
}
