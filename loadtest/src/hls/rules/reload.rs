//! Rules about delivery directives: delta updates and blocking reloads.

use std::collections::BTreeMap;

use crate::hls::findings::Findings;
use crate::hls::history::{Ask, Exchange, History, MS, Purpose, Rendition, Sample, SkipAsk};
use crate::hls::playlist::{Edge, Playlist, Segment};

/// From the end of a part to the end of the list that has it, at the median.
const RELEASE_NS_MAX: u64 = 50 * MS;

/// The whole lists of a rendition by how far they go.
fn whole(rendition: &Rendition) -> BTreeMap<(Edge, bool), &Playlist> {
    let states = rendition.states().into_iter();
    states
        .map(|state| {
            (
                (state.list.edge(), state.list.is_ended),
                state.list.as_ref(),
            )
        })
        .collect()
}

/// The lists of one state, with what another rendition's state changes taken out.
fn own_lines(list: &Playlist) -> Vec<&str> {
    let foreign = ["#EXT-X-RENDITION-REPORT", "#EXT-X-DATERANGE"];
    let lines = list.text.lines();
    lines
        .filter(|line| !foreign.iter().any(|tag| line.starts_with(tag)))
        .collect()
}

pub(super) fn rule_14_versions(history: &History, out: &mut Findings) {
    for rendition in &history.renditions {
        for (sample, newest) in rendition.after_all_before(Playlist::edge) {
            let edge = sample.list.edge();
            out.check(edge >= newest, || {
                format!("{}: {edge:?} behind {newest:?}", rendition.uri)
            });
        }
        let states = whole(rendition);
        for sample in rendition.full() {
            let list = &sample.list;
            let Some(first) = states.get(&(list.edge(), list.is_ended)) else {
                continue;
            };
            let same = first.text == list.text || own_lines(first) == own_lines(list);
            out.check(same, || {
                format!("{}: two lists up to {:?}", rendition.uri, list.edge())
            });
        }
    }
}

/// Each delta with the whole list of the same state.
fn deltas(rendition: &Rendition) -> impl Iterator<Item = (&Sample, &Playlist)> {
    let states = whole(rendition);
    let deltas = rendition
        .samples
        .iter()
        .filter(|sample| sample.list.is_delta());
    deltas.filter_map(move |sample| {
        let full = states.get(&(sample.list.edge(), sample.list.is_ended))?;
        Some((sample, *full))
    })
}

pub(super) fn rule_26_deltas(history: &History, out: &mut Findings) {
    for rendition in &history.renditions {
        for sample in &rendition.samples {
            let wanted = matches!(
                sample.ask.skip,
                Some(SkipAsk::Segments | SkipAsk::Dateranges)
            );
            out.check(wanted || !sample.list.is_delta(), || {
                format!("{}: a delta that nobody asked for", rendition.uri)
            });
            let control = sample.list.control.as_ref();
            let Some(boundary_us) = control.and_then(|control| control.skip_until_us) else {
                continue;
            };
            let list = &sample.list;
            if wanted && !list.is_delta() && !list.is_ended && !list.segments.is_empty() {
                out.check(list.behind_us(0) <= boundary_us, || {
                    format!("{}: no delta of a long list", rendition.uri)
                });
            }
        }
        for (sample, full) in deltas(rendition) {
            let list = &sample.list;
            let skipped = usize::try_from(list.skipped()).unwrap_or(usize::MAX);
            let boundary_us = full
                .control
                .as_ref()
                .and_then(|control| control.skip_until_us);
            let old = skipped >= 1
                && skipped <= full.segments.len()
                && boundary_us.is_some_and(|us| full.behind_us(skipped - 1) >= us);
            out.check(list.skips.len() == 1 && old, || {
                format!("{}: {skipped} segments are skipped", rendition.uri)
            });
            let rest = full.segments.get(skipped..).unwrap_or_default();
            let same = rest.len() == list.segments.len()
                && rest
                    .iter()
                    .zip(&list.segments)
                    .all(|(a, b)| same_block(a, b))
                && full.tail == list.tail;
            out.check(same, || {
                format!(
                    "{}: the rest of a delta up to {:?}",
                    rendition.uri,
                    list.edge()
                )
            });
        }
    }
}

/// Whether a segment of a delta has all lines that it has in the whole list. The map may stand in
/// front of the skip, or be that of the list before.
fn same_block(full: &Segment, delta: &Segment) -> bool {
    let is_other = |line: &&String| !line.starts_with("#EXT-X-MAP");
    let lines = |segment: &Segment| -> Vec<String> {
        segment.block.iter().filter(is_other).cloned().collect()
    };
    lines(full) == lines(delta) && (delta.map.is_none() || delta.map == full.map)
}

pub(super) fn rule_27_delta_tags(history: &History, out: &mut Findings) {
    for rendition in &history.renditions {
        for (sample, full) in deltas(rendition) {
            let list = &sample.list;
            // A skip needs a newer version than the same list without it may have.
            let header = |list: &Playlist| -> Vec<String> {
                let lines = list.header.iter();
                let lines = lines.filter(|line| !line.starts_with("#EXT-X-VERSION"));
                lines.cloned().collect()
            };
            let same = list.media_sequence == full.media_sequence
                && header(list) == header(full)
                && list.hints == full.hints;
            out.check(same, || {
                format!("{}: the tags of a delta differ", rendition.uri)
            });
            let ranges = |list: &Playlist| -> Vec<String> {
                list.dateranges
                    .iter()
                    .map(|range| range.line.clone())
                    .collect()
            };
            let (few, all) = (ranges(list), ranges(full));
            let kept = match sample.ask.skip {
                Some(SkipAsk::Dateranges) => few.iter().all(|line| all.contains(line)),
                _ => few == all,
            };
            out.check(kept, || {
                format!("{}: date ranges of a delta", rendition.uri)
            });
        }
    }
}

pub(super) fn rule_28_no_skip(history: &History, out: &mut Findings) {
    for rendition in &history.renditions {
        for sample in rendition
            .samples
            .iter()
            .filter(|sample| sample.ask.skip.is_some())
        {
            let control = sample.list.control.as_ref();
            let cannot = control.is_none_or(|control| control.skip_until_us.is_none());
            if cannot || sample.list.is_ended {
                out.check(!sample.list.is_delta(), || {
                    format!("{}: a delta of a list that has none", rendition.uri)
                });
            }
        }
    }
}

fn playlists(history: &History) -> impl Iterator<Item = (&Exchange, Ask, &Rendition)> {
    history
        .exchanges
        .iter()
        .filter_map(|exchange| match exchange.purpose {
            Purpose::Playlist(ask) => {
                let rendition = history.renditions.get(exchange.rendition)?;
                Some((exchange, ask, rendition))
            }
            _ => None,
        })
}

pub(super) fn rule_29_unknown_skip(history: &History, out: &mut Findings) {
    for (exchange, ask, _) in playlists(history) {
        if ask.skip == Some(SkipAsk::Unknown) {
            out.check(exchange.status == 200, || exchange.place());
        }
    }
    for rendition in &history.renditions {
        for sample in &rendition.samples {
            if sample.ask.skip == Some(SkipAsk::Unknown) {
                out.check(!sample.list.is_delta(), || {
                    format!("{}: a delta", rendition.uri)
                });
            }
        }
    }
}

/// How many parts each complete segment has.
type Counts = BTreeMap<u64, u64>;

/// Checks answers to requests for which `due` names an edge: it must be in them, and they come at
/// once where it was there.
fn blocking(history: &History, out: &mut Findings, due: impl Fn(&Counts, Ask) -> Option<Edge>) {
    let counts: Vec<Counts> = history
        .renditions
        .iter()
        .map(Rendition::complete_parts)
        .collect();
    for (rendition, counts) in history.renditions.iter().zip(&counts) {
        let arrivals = rendition.arrivals();
        for sample in &rendition.samples {
            let Some(edge) = due(counts, sample.ask) else {
                continue;
            };
            let list = &sample.list;
            out.check(list.edge() >= edge || list.is_ended, || {
                format!("{}: {:?} has {:?}", rendition.uri, sample.ask, list.edge())
            });
            let at = arrivals.partition_point(|(reached, _)| *reached < edge);
            if arrivals
                .get(at)
                .is_some_and(|(_, at_ns)| *at_ns <= sample.sent_ns)
            {
                let took_ns = sample.done_ns.saturating_sub(sample.sent_ns);
                out.check(took_ns <= history.slack_ns, || {
                    let ms = took_ns / MS;
                    format!(
                        "{}: {:?} was there, and took {ms} ms",
                        rendition.uri, sample.ask
                    )
                });
            }
        }
    }
    for (exchange, ask, _) in playlists(history) {
        let counts = counts.get(exchange.rendition);
        if counts.is_some_and(|counts| due(counts, ask).is_some()) {
            out.check(matches!(exchange.status, 200 | 503), || exchange.place());
        }
    }
}

pub(super) fn rule_30_whole_segment(history: &History, out: &mut Findings) {
    blocking(history, out, |_, ask| match (ask.msn, ask.part) {
        (Some(msn), None) => Some(Edge {
            msn: msn.checked_add(1)?,
            parts: 0,
        }),
        _ => None,
    });
}

/// Whether a segment is complete and has no part of this number.
fn is_past(counts: &Counts, msn: u64, part: u64) -> bool {
    counts.get(&msn).is_some_and(|count| *count <= part)
}

pub(super) fn rule_31_part(history: &History, out: &mut Findings) {
    blocking(history, out, |counts, ask| {
        let (msn, part) = (ask.msn?, ask.part?);
        let past = is_past(counts, msn, part);
        (!past).then_some(Edge {
            msn,
            parts: part.checked_add(1)?,
        })
    });
}

pub(super) fn rule_32_past_the_last_part(history: &History, out: &mut Findings) {
    blocking(history, out, |counts, ask| {
        let (msn, part) = (ask.msn?, ask.part?);
        let past = is_past(counts, msn, part);
        past.then_some(Edge {
            msn: msn.checked_add(1)?,
            parts: 1,
        })
    });
}

pub(super) fn rule_33_slid_out(history: &History, out: &mut Findings) {
    // When each rendition was first seen to start at a number.
    let starts: Vec<Vec<(u64, u64)>> = history.renditions.iter().map(first_seen).collect();
    for (exchange, ask, _) in playlists(history) {
        let (Some(msn), Some(starts)) = (ask.msn, starts.get(exchange.rendition)) else {
            continue;
        };
        let gone = starts.partition_point(|(start, _)| *start <= msn);
        if starts
            .get(gone)
            .is_some_and(|(_, at_ns)| *at_ns <= exchange.sent_ns)
        {
            let fast = exchange.took_ns() <= history.slack_ns;
            out.check(exchange.status == 200 && fast, || exchange.place());
        }
    }
}

/// Each first media sequence number, rising, and when a list with it was there.
fn first_seen(rendition: &Rendition) -> Vec<(u64, u64)> {
    let mut samples: Vec<&Sample> = rendition.samples.iter().collect();
    samples.sort_by_key(|sample| sample.done_ns);
    let mut starts: Vec<(u64, u64)> = Vec::new();
    for sample in samples {
        let start = sample.list.media_sequence;
        if starts.last().is_none_or(|(last, _)| start > *last) {
            starts.push((start, sample.done_ns));
        }
    }
    starts
}

fn refused(history: &History, rule: u8, out: &mut Findings) {
    let ends: Vec<Option<u64>> = history.renditions.iter().map(Rendition::ended_ns).collect();
    for exchange in &history.exchanges {
        // Behind the end directives say nothing.
        let ended_ns = ends.get(exchange.rendition).copied().flatten();
        let over = ended_ns.is_some_and(|ended_ns| exchange.done_ns + history.slack_ns > ended_ns);
        if exchange.purpose == (Purpose::Bad { rule }) && !over {
            let fast = exchange.took_ns() <= history.slack_ns;
            out.check(exchange.status == 400 && fast, || {
                format!("{} after {} ms", exchange.place(), exchange.took_ns() / MS)
            });
        }
    }
}

pub(super) fn rule_34_part_without_msn(history: &History, out: &mut Findings) {
    refused(history, 34, out);
}

pub(super) fn rule_35_too_far(history: &History, out: &mut Findings) {
    refused(history, 35, out);
}

pub(super) fn rule_36_bad_directives(history: &History, out: &mut Findings) {
    refused(history, 36, out);
}

pub(super) fn rule_37_stall(history: &History, out: &mut Findings) {
    let target_us = |rendition: &Rendition| rendition.last().map_or(0, Playlist::target_us);
    let targets_us: Vec<u64> = history.renditions.iter().map(target_us).collect();
    for (exchange, _, _) in playlists(history) {
        let target_us = targets_us.get(exchange.rendition).copied().unwrap_or(0);
        let limit_ns = 3 * target_us * 1_000;
        let took_ns = exchange.took_ns();
        if exchange.status == 503 {
            out.check(took_ns + history.slack_ns >= limit_ns, || {
                format!("{} after {} ms", exchange.place(), took_ns / MS)
            });
        } else if limit_ns > 0 && took_ns > limit_ns {
            out.check(took_ns <= limit_ns + history.slack_ns, || {
                format!("{} after {} ms", exchange.place(), took_ns / MS)
            });
        }
    }
}

pub(super) fn rule_38_end(history: &History, out: &mut Findings) {
    for rendition in &history.renditions {
        let ended = rendition
            .samples
            .iter()
            .filter(|sample| sample.list.is_ended);
        let Some(end_ns) = ended.map(|sample| sample.done_ns).min() else {
            continue;
        };
        for sample in &rendition.samples {
            let waited = sample.ask.msn.is_some() && sample.done_ns >= end_ns;
            if waited || sample.sent_ns >= end_ns {
                let from_ns = sample.sent_ns.max(end_ns);
                let late_ns = sample.done_ns.saturating_sub(from_ns);
                out.check(sample.list.is_ended && late_ns <= history.slack_ns, || {
                    format!("{}: {:?} after the end", rendition.uri, sample.ask)
                });
            }
        }
    }
}

pub(super) fn rule_39_release(history: &History, out: &mut Findings) {
    for (number, rendition) in history.renditions.iter().enumerate() {
        let parts = rendition.parts();
        let mut late: Vec<u64> = Vec::new();
        for exchange in &history.exchanges {
            let hint = exchange.purpose == Purpose::Hint && exchange.status == 200;
            if !hint || exchange.rendition != number {
                continue;
            }
            let name = exchange.target.rsplit('/').next().unwrap_or_default();
            let Some((at, _)) = parts.iter().find(|(_, part)| part.uri == name) else {
                continue;
            };
            let asked = |sample: &&Sample| {
                sample.ask.msn == Some(at.msn)
                    && sample.ask.part == Some(at.parts)
                    && sample.sent_ns < exchange.done_ns
            };
            let answers = rendition.samples.iter().filter(asked);
            late.extend(answers.map(|answer| answer.done_ns.saturating_sub(exchange.done_ns)));
        }
        late.sort_unstable();
        if let Some(median_ns) = late.get(late.len() / 2) {
            out.check(*median_ns <= RELEASE_NS_MAX, || {
                format!("{}: {} ms behind the part", rendition.uri, median_ns / MS)
            });
        }
    }
}
