//! Rules about HTTP.

use std::collections::HashMap;

use jiff::fmt::rfc2822;

use crate::hls::findings::Findings;
use crate::hls::history::{Digest, Exchange, History, MS, Purpose, Rendition};
use crate::hls::playlist::Playlist;

/// Media that is not kept for at least this long is not kept.
const MEDIA_AGE_S_MIN: u64 = 3_600;
/// How far `Date` may be from the clock of this machine, in seconds.
const DATE_S_MAX: u64 = 2;

/// The target duration of the list that an exchange is about, in seconds.
fn target_s(history: &History, exchange: &Exchange) -> u64 {
    let rendition = history.renditions.get(exchange.rendition);
    let list = rendition.and_then(|rendition| rendition.samples.first());
    list.and_then(|sample| sample.list.target_s).unwrap_or(1)
}

/// `max-age` of a `Cache-Control`.
fn max_age_s(exchange: &Exchange) -> Option<u64> {
    let value = exchange.header("cache-control")?;
    let mut words = value.split(',').map(str::trim);
    words.find_map(|word| word.strip_prefix("max-age=")?.parse().ok())
}

pub(super) fn rule_49_gzip(history: &History, out: &mut Findings) {
    for exchange in &history.exchanges {
        match &exchange.purpose {
            Purpose::Gzip { plain } => {
                let good = exchange.status == 200
                    && exchange.header("content-encoding") == Some("gzip")
                    && exchange.has_word("vary", "accept-encoding")
                    && exchange.body == *plain;
                out.check(good, || {
                    let encoding = exchange.header("content-encoding");
                    let vary = exchange.header("vary");
                    format!("{}: encoding {encoding:?}, vary {vary:?}", exchange.place())
                });
            }
            Purpose::GzipMedia => {
                let plain = exchange.header("content-encoding").is_none();
                out.check(exchange.status == 200 && plain, || exchange.place());
            }
            Purpose::Playlist(_) if exchange.status == 200 => {
                out.check(exchange.has_word("vary", "accept-encoding"), || {
                    format!("{}: no Vary", exchange.place())
                });
            }
            _ => {}
        }
    }
}

pub(super) fn rule_50_cache(history: &History, out: &mut Findings) {
    let ends: Vec<Option<u64>> = history.renditions.iter().map(Rendition::ended_ns).collect();
    let is_over = |exchange: &Exchange| {
        let end_ns = ends.get(exchange.rendition).copied().flatten();
        end_ns.is_some_and(|end_ns| exchange.done_ns + history.slack_ns > end_ns)
    };
    for exchange in &history.exchanges {
        let age = max_age_s(exchange);
        let has = |word| exchange.has_word("cache-control", word);
        let target_s = target_s(history, exchange);
        let good = match (&exchange.purpose, exchange.status) {
            // The broken connection is another rule's.
            (_, 0) => continue,
            (Purpose::Token, 200) => has("private") || has("no-store"),
            // What a stream's end is answered may be anything: another may begin.
            (Purpose::Playlist(ask), 200) if ask.msn.is_some() && is_over(exchange) => continue,
            (Purpose::Playlist(ask), 200) if ask.msn.is_some() => {
                let kept = age.is_some_and(|age| age >= 1 && age <= 7 * target_s);
                kept && !has("private") && !has("no-store")
            }
            (Purpose::Playlist(_) | Purpose::Multivariant, 200) => {
                has("no-cache") || has("no-store") || age.is_some_and(|age| 2 * age <= target_s)
            }
            (Purpose::Listed | Purpose::Hint, 200) => {
                age.is_some_and(|age| age >= MEDIA_AGE_S_MIN) && !has("private")
            }
            (_, 404) => has("no-store") || age.is_none_or(|age| age <= target_s),
            (_, 400..) => has("no-store") || has("no-cache") || age.is_none_or(|age| age <= 1),
            _ => continue,
        };
        out.check(good, || {
            let said = exchange.header("cache-control");
            format!("{}: Cache-Control {said:?}", exchange.place())
        });
    }
}

pub(super) fn rule_51_etag(history: &History, out: &mut Findings) {
    let mut tags: HashMap<(&str, &str), Digest> = HashMap::new();
    for exchange in &history.exchanges {
        match &exchange.purpose {
            Purpose::Conditional { changed } => {
                let good = exchange.status == 200 || exchange.status == 304 && !changed;
                out.check(
                    good && (exchange.status == 200 || exchange.body.bytes == 0),
                    || format!("{}: changed {changed}", exchange.place()),
                );
            }
            Purpose::Playlist(_) if exchange.status == 200 => {
                let Some(tag) = exchange.header("etag") else {
                    continue;
                };
                let key = (exchange.target.as_str(), tag);
                let first = *tags.entry(key).or_insert(exchange.body);
                out.check(first == exchange.body, || {
                    format!("{}: other bytes of {tag}", exchange.place())
                });
            }
            _ => {}
        }
    }
}

pub(super) fn rule_52_cross_origin(history: &History, out: &mut Findings) {
    for exchange in history
        .exchanges
        .iter()
        .filter(|exchange| exchange.status > 0)
    {
        let allowed = exchange.header("access-control-allow-origin").is_some();
        out.check(allowed, || {
            format!("{}: no allowed origin", exchange.place())
        });
        if exchange.purpose == Purpose::Preflight {
            let lists = |name: &str, word: &str| {
                exchange.has_word(name, word) || exchange.has_word(name, "*")
            };
            let good = (200..300).contains(&exchange.status)
                && lists("access-control-allow-methods", "GET")
                && lists("access-control-allow-headers", "range");
            out.check(good, || format!("{}: preflight", exchange.place()));
        } else if exchange.status == 200 {
            let exposed = |word| exchange.has_word("access-control-expose-headers", word);
            out.check(exposed("date") && exposed("content-length"), || {
                format!("{}: Date or Content-Length is hidden", exchange.place())
            });
        }
    }
}

pub(super) fn rule_53_ranges(history: &History, out: &mut Findings) {
    for exchange in &history.exchanges {
        let range = exchange.header("content-range");
        match &exchange.purpose {
            Purpose::Range {
                expected: Some(expected),
            } => {
                let good = exchange.status == 206 && exchange.body == *expected && range.is_some();
                out.check(good, || format!("{}: {range:?}", exchange.place()));
            }
            Purpose::Range { expected: None } => {
                let told = range.is_some_and(|range| range.starts_with("bytes */"));
                out.check(exchange.status == 416 && told, || {
                    format!("{}: {range:?}", exchange.place())
                });
            }
            Purpose::Ranges => {
                out.check(matches!(exchange.status, 200 | 206), || exchange.place());
            }
            _ => {}
        }
    }
}

pub(super) fn rule_54_head(history: &History, out: &mut Findings) {
    for exchange in &history.exchanges {
        if let Purpose::Head { length } = exchange.purpose {
            let said = exchange
                .header("content-length")
                .and_then(|text| text.parse().ok());
            let same = length.is_none_or(|length| said == Some(length));
            let limit_ns = 3_000 * MS * target_s(history, exchange) + history.slack_ns;
            let good = exchange.status == 200 && exchange.body.bytes == 0 && same;
            out.check(good && exchange.took_ns() <= limit_ns, || {
                format!("HEAD {}: length {said:?}", exchange.place())
            });
        }
    }
}

pub(super) fn rule_55_date(history: &History, out: &mut Findings) {
    for exchange in history
        .exchanges
        .iter()
        .filter(|exchange| exchange.status > 0)
    {
        let said = exchange.header("date");
        let date = said.and_then(|text| rfc2822::parse(text).ok());
        let right = date.is_some_and(|date| {
            date.timestamp().as_second().abs_diff(exchange.wall_s) <= DATE_S_MAX
        });
        out.check(right, || format!("{}: {said:?}", exchange.place()));
    }
}

pub(super) fn rule_58_token(history: &History, out: &mut Findings) {
    for exchange in &history.exchanges {
        let (Purpose::Token, Some(text)) = (&exchange.purpose, &exchange.text) else {
            continue;
        };
        let Some((_, token)) = exchange.target.split_once("token=") else {
            continue;
        };
        let token = token.split('&').next().unwrap_or_default();
        let list = Playlist::parse(text);
        let segments = list.segments.iter().map(|segment| &segment.uri);
        let maps = list
            .segments
            .iter()
            .filter_map(|segment| segment.map.as_ref());
        let parts = list.all_parts().map(|(_, part)| &part.uri);
        let hints = list.hints.iter().map(|hint| &hint.uri);
        let reports = list.reports.iter().map(|report| &report.uri);
        let mut uris = segments
            .chain(maps)
            .chain(parts)
            .chain(hints)
            .chain(reports);
        let carried = |uri: &String| {
            let query = uri.split_once('?').map_or("", |(_, query)| query);
            query
                .split('&')
                .any(|pair| pair.strip_prefix("token=") == Some(token))
        };
        let missing = uris.find(|uri| !carried(uri));
        out.check(exchange.status == 200 && missing.is_none(), || {
            format!("{}: {missing:?} has no token", exchange.place())
        });
    }
}
