//! Rules about playlists over time.

use std::collections::{BTreeMap, HashMap};

use crate::hls::findings::Findings;
use crate::hls::history::{History, Purpose};
use crate::hls::playlist::{DateRange, Edge, Part, Segment, date_us};

/// A gap within so many parts belongs to the same outage.
const OUTAGE_PARTS: usize = 3;

pub(super) fn rule_04_media_sequence(history: &History, out: &mut Findings) {
    for rendition in &history.renditions {
        for (sample, newest) in rendition.after_all_before(|list| list.media_sequence) {
            let is = sample.list.media_sequence;
            out.check(is >= newest, || {
                format!("{}: {is} behind {newest}", rendition.uri)
            });
        }
        // One more for each removed segment: then no segment ever has another number.
        let mut numbers: HashMap<&str, u64> = HashMap::new();
        for sample in &rendition.samples {
            for (msn, segment) in sample.list.numbered() {
                let first = *numbers.entry(&segment.uri).or_insert(msn);
                out.check(first == msn, || {
                    format!("{}: {} was {first}, is {msn}", rendition.uri, segment.uri)
                });
            }
        }
    }
}

pub(super) fn rule_05_unchanged(history: &History, out: &mut Findings) {
    for rendition in &history.renditions {
        let known = rendition.segments();
        let parts = rendition.parts();
        for sample in &rendition.samples {
            for (msn, segment) in sample.list.numbered() {
                let first = known.get(&msn);
                // A delta may leave the map out.
                let same = first.is_none_or(|first| {
                    let map = sample.list.is_delta() || first.map == segment.map;
                    first.lines == segment.lines && map
                });
                out.check(same, || {
                    format!(
                        "{}: segment {msn} changed: {:?}",
                        rendition.uri, segment.lines
                    )
                });
            }
            for (at, part) in sample.list.all_parts() {
                let same = parts.get(&at).is_none_or(|first| *first == part);
                out.check(same, || {
                    format!("{}: part {} changed", rendition.uri, part.uri)
                });
            }
        }
    }
}

pub(super) fn rule_06_removal(history: &History, out: &mut Findings) {
    for rendition in &history.renditions {
        let parts = rendition.parts();
        for pair in rendition.states().windows(2) {
            let (before, after) = (&pair[0].list, &pair[1].list);
            if after.media_sequence > before.media_sequence && !after.is_ended {
                let left_us = after.duration_us();
                out.check(left_us >= 3 * after.target_us(), || {
                    format!("{}: {left_us} us are left", rendition.uri)
                });
            }
            let Some((first, _)) = after.all_parts().next() else {
                continue;
            };
            // What is listed has no holes.
            let listed = after.all_parts().count();
            let known = parts.range(first..after.edge()).count();
            out.check(listed == known, || {
                format!("{}: {listed} of {known} parts are listed", rendition.uri)
            });
        }
    }
}

pub(super) fn rule_07_removed_segments(history: &History, out: &mut Findings) {
    removed(history, false, out);
}

fn removed(history: &History, parts: bool, out: &mut Findings) {
    for exchange in &history.exchanges {
        if exchange.purpose == (Purpose::Removed { part: parts }) {
            out.check(exchange.status == 200, || exchange.place());
        }
    }
}

pub(super) fn rule_08_discontinuity_sequence(history: &History, out: &mut Findings) {
    for rendition in &history.renditions {
        let sequence = |list: &crate::hls::playlist::Playlist| list.discontinuity_sequence;
        for sample in rendition.states() {
            let jumps = sample
                .list
                .segments
                .iter()
                .any(|segment| segment.has_discontinuity);
            out.check(!jumps || sequence(&sample.list).is_some(), || {
                format!(
                    "{}: a discontinuity in a list without a sequence",
                    rendition.uri
                )
            });
        }
        for pair in rendition.states().windows(2) {
            let (before, after) = (&pair[0].list, &pair[1].list);
            let removed = before
                .numbered()
                .filter(|(msn, segment)| *msn < after.media_sequence && segment.has_discontinuity);
            let was = sequence(before).unwrap_or(0);
            let (due, is) = (was + removed.count() as u64, sequence(after).unwrap_or(0));
            // Segments that came and left unseen between two samples.
            let gap = after.media_sequence > before.edge().msn;
            out.check(is == due || gap && is > due, || {
                format!("{}: {is} in place of {due}", rendition.uri)
            });
        }
    }
}

/// Whether the source is silent or changes at this edge. That it is silent is only known after
/// some silence; then its last part goes out, and gaps follow. What another source sends must be
/// understood before it can be cut.
fn is_interrupted(
    parts: &BTreeMap<Edge, &Part>,
    segments: &BTreeMap<u64, &Segment>,
    at: Edge,
) -> bool {
    let before = parts.range(..at).next_back();
    let mut near = parts.range(at..).take(OUTAGE_PARTS).chain(before);
    let mut jumps = segments.range(at.msn..=at.msn + 1);
    near.any(|(_, part)| part.is_gap)
        || jumps.any(|(_, segment)| segment.is_gap || segment.has_discontinuity)
}

pub(super) fn rule_11_segments_in_time(history: &History, out: &mut Findings) {
    for rendition in &history.renditions {
        let Some(target_us) = rendition.last().map(|list| list.target_us()) else {
            continue;
        };
        let segments = rendition.segments();
        // When each segment began to be the one that is not complete.
        let mut starts: Vec<(u64, u64)> = Vec::new();
        for (edge, at_ns) in rendition.arrivals() {
            if starts.last().is_none_or(|(msn, _)| *msn < edge.msn) {
                starts.push((edge.msn, at_ns));
            }
        }
        // The first was under way before anybody looked.
        for pair in starts.get(1..).unwrap_or_default().windows(2) {
            let [(_, before_ns), (msn, at_ns)] = *pair else {
                continue;
            };
            let mut near = segments.range(msn - 1..=msn);
            if near.any(|(_, segment)| segment.is_gap || segment.has_discontinuity) {
                continue;
            }
            let took_us = (at_ns - before_ns) / 1_000;
            out.check(
                took_us <= target_us * 3 / 2 + history.slack_ns / 1_000,
                || format!("{}: segment {} after {took_us} us", rendition.uri, msn - 1),
            );
        }
    }
}

pub(super) fn rule_12_parts_in_time(history: &History, out: &mut Findings) {
    for rendition in &history.renditions {
        let Some(target_us) = rendition.last().and_then(|list| list.part_target_us) else {
            continue;
        };
        let (parts, segments) = (rendition.parts(), rendition.segments());
        for pair in rendition.arrivals().windows(2) {
            if is_interrupted(&parts, &segments, pair[0].0) {
                continue;
            }
            let took_us = (pair[1].1 - pair[0].1) / 1_000;
            out.check(took_us <= target_us + history.slack_ns / 1_000, || {
                let Edge { msn, parts } = pair[1].0;
                format!(
                    "{}: {parts} parts of {msn} after {took_us} us",
                    rendition.uri
                )
            });
        }
    }
}

pub(super) fn rule_20_old_parts(history: &History, out: &mut Findings) {
    for rendition in &history.renditions {
        for state in rendition.states() {
            let list = &state.list;
            for (at, segment) in list.segments.iter().enumerate() {
                // A segment's parts leave together.
                let behind_us = list.behind_us(at);
                let old = behind_us > 3 * list.target_us() + segment.duration_us;
                out.check(!old || segment.parts.is_empty(), || {
                    format!(
                        "{}: parts of {} are {behind_us} us old",
                        rendition.uri, segment.uri
                    )
                });
            }
        }
    }
    removed(history, true, out);
}

pub(super) fn rule_57_dateranges(history: &History, out: &mut Findings) {
    for rendition in &history.renditions {
        let mut known: BTreeMap<&str, &DateRange> = BTreeMap::new();
        let states = rendition.states();
        for state in &states {
            for range in &state.list.dateranges {
                let first = *known.entry(&range.id).or_insert(range);
                let same = first.start == range.start && first.class == range.class;
                out.check(same, || {
                    format!("{}: {} is used again", rendition.uri, range.line)
                });
            }
        }
        for pair in states.windows(2) {
            let (before, after) = (&pair[0].list, &pair[1].list);
            let first = after
                .segments
                .first()
                .and_then(|segment| segment.date.as_deref());
            let Some(first_us) = first.and_then(date_us) else {
                continue;
            };
            for range in &before.dateranges {
                let stays = after.dateranges.iter().any(|other| other.id == range.id);
                let start_us = range.start.as_deref().and_then(date_us);
                out.check(stays || start_us.is_none_or(|us| us < first_us), || {
                    format!("{}: {} left too early", rendition.uri, range.id)
                });
            }
        }
    }
}
