//! Rules about parts, segments and hints as they are fetched.

use std::collections::HashSet;

use crate::hls::findings::Findings;
use crate::hls::history::{Digest, Exchange, History, MS, Media, Purpose, Rendition};
use crate::hls::playlist::{Edge, Segment};

/// What a listed resource may take on this machine.
const FETCH_NS_MAX: u64 = 1_000 * MS;
/// What a whole part may take once its first byte is there.
const PART_NS_MIN: u64 = 60 * MS;
/// Durations agree within this.
const DURATION_US: u64 = 1_000;

fn with<'h>(history: &'h History, purpose: &'h Purpose) -> impl Iterator<Item = &'h Exchange> + 'h {
    let exchanges = history.exchanges.iter();
    exchanges.filter(move |exchange| exchange.purpose == *purpose)
}

pub(super) fn rule_13_fetchable(history: &History, out: &mut Findings) {
    for exchange in with(history, &Purpose::Listed) {
        let fast = exchange.took_ns() <= FETCH_NS_MAX + history.slack_ns;
        out.check(exchange.status == 200 && fast, || {
            format!("{} after {} ms", exchange.place(), exchange.took_ns() / MS)
        });
    }
}

pub(super) fn rule_18_parts_make_segments(history: &History, out: &mut Findings) {
    for rendition in &history.renditions {
        for (msn, segment) in rendition.segments() {
            if segment.parts.is_empty() || segment.is_gap {
                continue;
            }
            let sum_us: u64 = segment.parts.iter().map(|part| part.duration_us).sum();
            out.check(sum_us.abs_diff(segment.duration_us) <= DURATION_US, || {
                format!("{}: parts of {msn} last {sum_us} us", rendition.uri)
            });
            check_bytes(rendition, segment, out);
        }
    }
}

/// Parts that are files of their own make their segment, byte for byte and sample for sample.
fn check_bytes(rendition: &Rendition, segment: &Segment, out: &mut Findings) {
    let media = |uri: &str| rendition.media.get(uri);
    let parts: Option<Vec<&Media>> = segment.parts.iter().map(|part| media(&part.uri)).collect();
    let whole = segment.parts.iter().all(|part| part.byte_range.is_none());
    let (Some(parts), Some(parent), true) = (parts, media(&segment.uri), whole) else {
        return;
    };
    let bytes = parts
        .iter()
        .fold(Digest::default(), |sum, part| sum.then(part.body));
    out.check(bytes == parent.body, || {
        format!(
            "{}: parts of {} have {} bytes, the segment {}",
            rendition.uri, segment.uri, bytes.bytes, parent.body.bytes
        )
    });
    let Some(parent) = rendition.fragments(&segment.uri) else {
        return;
    };
    let fragments = segment
        .parts
        .iter()
        .map(|part| rendition.fragments(&part.uri));
    if let Some(fragments) = fragments.collect::<Option<Vec<_>>>() {
        let samples: u64 = fragments.iter().map(|part| part.samples).sum();
        let ticks: u64 = fragments.iter().map(|part| part.duration_ticks).sum();
        let start = fragments.first().map(|part| part.start_ticks);
        let same = samples == parent.samples
            && ticks == parent.duration_ticks
            && start == Some(parent.start_ticks);
        out.check(same, || {
            format!("{}: samples of {}", rendition.uri, segment.uri)
        });
    }
}

pub(super) fn rule_19_independent(history: &History, out: &mut Findings) {
    for rendition in &history.renditions {
        for (at, part) in rendition.parts() {
            if rendition.packed(&part.uri).is_some() {
                out.check(part.is_independent, || {
                    format!("{}: {} is packed", rendition.uri, part.uri)
                });
            }
            let Some(content) = rendition.fragments(&part.uri) else {
                continue;
            };
            out.check(part.is_independent == content.has_keyframe, || {
                format!(
                    "{}: {} says {}, keyframes: {}",
                    rendition.uri, part.uri, part.is_independent, content.has_keyframe
                )
            });
            if at.parts == 0 {
                out.check(content.starts_with_keyframe, || {
                    format!(
                        "{}: {} starts a segment without a keyframe",
                        rendition.uri, part.uri
                    )
                });
            }
        }
    }
}

pub(super) fn rule_21_content_length(history: &History, out: &mut Findings) {
    let media = |exchange: &&Exchange| {
        matches!(exchange.purpose, Purpose::Listed | Purpose::Hint) && exchange.status == 200
    };
    for exchange in history.exchanges.iter().filter(media) {
        let length = exchange
            .header("content-length")
            .and_then(|text| text.parse().ok());
        let known = length == Some(exchange.body.bytes);
        out.check(
            known && exchange.header("transfer-encoding").is_none(),
            || {
                format!(
                    "{}: {length:?} of {} bytes",
                    exchange.place(),
                    exchange.body.bytes
                )
            },
        );
    }
}

pub(super) fn rule_41_preload_hint(history: &History, out: &mut Findings) {
    for rendition in &history.renditions {
        let (parts, segments) = (rendition.parts(), rendition.segments());
        for state in rendition.states() {
            let list = &state.list;
            let hints = |kind: &str| list.hints.iter().filter(|hint| hint.kind == kind).count();
            let one = hints("PART") <= 1 && hints("MAP") <= 1;
            let can_block = list
                .control
                .as_ref()
                .is_some_and(|control| control.can_block);
            let missing = hints("PART") == 0 && can_block && !list.is_ended;
            out.check(one && (!missing || list.part_target_us.is_none()), || {
                format!("{}: {:?}", rendition.uri, list.hints)
            });
            let Some(hint) = list.hints.iter().find(|hint| hint.kind == "PART") else {
                continue;
            };
            let Edge { msn, .. } = list.edge();
            let following = Edge {
                msn: msn + 1,
                parts: 0,
            };
            let next = parts.get(&list.edge()).map(|part| (msn, part));
            let next = next.or_else(|| parts.get(&following).map(|part| (msn + 1, part)));
            let Some((msn, part)) = next else { continue };
            // At a discontinuity a hint may turn out wrong.
            let jumps = segments
                .get(&msn)
                .is_some_and(|segment| segment.has_discontinuity);
            out.check(jumps || part.uri == hint.uri, || {
                format!(
                    "{}: {} was hinted, {} came",
                    rendition.uri, hint.uri, part.uri
                )
            });
        }
    }
}

pub(super) fn rule_42_hinted_parts(history: &History, out: &mut Findings) {
    for (number, rendition) in history.renditions.iter().enumerate() {
        // What turned out to be a gap never came.
        let parts = rendition.parts().into_values();
        let came = parts
            .filter(|part| !part.is_gap)
            .map(|part| part.uri.as_str());
        let came: HashSet<&str> = came.collect();
        let target_us = rendition.last().and_then(|list| list.part_target_us);
        let limit_ns = (target_us.unwrap_or(0) * 1_000 / 2).max(PART_NS_MIN);
        for exchange in with(history, &Purpose::Hint) {
            let name = exchange.target.rsplit('/').next().unwrap_or_default();
            if exchange.rendition != number || exchange.status == 404 && !came.contains(name) {
                continue;
            }
            let drip_ns = exchange.done_ns.saturating_sub(exchange.first_ns);
            let media = rendition.media.get(name);
            let same = media.is_none_or(|media| media.body == exchange.body);
            out.check(
                exchange.status == 200 && drip_ns <= limit_ns && same,
                || {
                    format!(
                        "{}: {} ms from first to last byte",
                        exchange.place(),
                        drip_ns / MS
                    )
                },
            );
        }
    }
}

pub(super) fn rule_43_dropped_hints(history: &History, out: &mut Findings) {
    for exchange in with(history, &Purpose::Missing) {
        let fast = exchange.took_ns() <= FETCH_NS_MAX + history.slack_ns;
        out.check(exchange.status == 404 && fast, || {
            format!("{} after {} ms", exchange.place(), exchange.took_ns() / MS)
        });
    }
}
