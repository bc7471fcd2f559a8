//! Rules about clocks, renditions side by side, and what is in their media.

use std::collections::BTreeMap;

use crate::hls::findings::Findings;
use crate::hls::history::{History, InitContent, Purpose, Rendition, Sample};
use crate::hls::multivariant::Variant;
use crate::hls::playlist::{Edge, Report, Segment, date_us};

/// Dates have milliseconds.
const DATE_US: u64 = 1_500;
/// Decode times of one rendition that are farther apart are another clock.
const CLOCK_US: u64 = 100_000;
/// Fewer segments say nothing about a mean rate.
const SEGMENTS_MIN: usize = 5;

/// Where a segment starts and ends in microseconds of the media's clock, and its init segment.
fn span_us(rendition: &Rendition, uri: &str, map: Option<&str>) -> Option<(u64, u64)> {
    let init = rendition.init(map)?;
    let content = rendition.fragments(uri)?;
    let us = |ticks: u64| {
        let us = u128::from(ticks) * 1_000_000 / u128::from(init.timescale.max(1));
        u64::try_from(us).unwrap_or(u64::MAX)
    };
    let end = content.start_ticks.saturating_add(content.duration_ticks);
    Some((us(content.start_ticks), us(end)))
}

/// When a segment's first sample is shown, in microseconds of the media's clock.
fn shown_us(rendition: &Rendition, segment: &Segment) -> Option<i64> {
    let init = rendition.init(segment.map.as_deref())?;
    let ticks = i128::from(rendition.fragments(&segment.uri)?.shown_ticks);
    i64::try_from(ticks * 1_000_000 / i128::from(init.timescale.max(1))).ok()
}

pub(super) fn rule_09_discontinuities(history: &History, out: &mut Findings) {
    for rendition in &history.renditions {
        let segments: Vec<_> = rendition.segments().into_values().collect();
        for pair in segments.windows(2) {
            let [before, after] = pair else { continue };
            if after.has_discontinuity || before.is_gap || after.is_gap {
                continue;
            }
            if let Some(off) = packed_off(rendition, [before, after]) {
                out.check(off * 100 / 9 <= CLOCK_US, || {
                    format!("{}: {} jumps without a word", rendition.uri, after.uri)
                });
            }
            let [was, is] = [before, after].map(|segment| rendition.init(segment.map.as_deref()));
            if let (Some(was), Some(is)) = (was, is) {
                out.check(was == is, || {
                    format!("{}: {} changes without a word", rendition.uri, after.uri)
                });
            }
            let [was, is] = [before, after].map(|s| span_us(rendition, &s.uri, s.map.as_deref()));
            if let (Some((_, end_us)), Some((start_us, _))) = (was, is) {
                out.check(start_us.abs_diff(end_us) <= CLOCK_US, || {
                    format!("{}: {} jumps without a word", rendition.uri, after.uri)
                });
            }
        }
    }
}

pub(super) fn rule_10_gaps(history: &History, out: &mut Findings) {
    for rendition in &history.renditions {
        for (msn, segment) in rendition.segments() {
            // Without one of its parts a segment is not there either.
            let parts = segment.parts.iter();
            let gaps = parts.clone().filter(|part| part.is_gap).count();
            if segment.is_gap || gaps > 0 {
                let same = segment.is_gap == (gaps > 0) || segment.parts.is_empty();
                out.check(same, || {
                    let all = parts.count();
                    format!("{}: {gaps} of {all} parts of {msn} are gaps", rendition.uri)
                });
            }
        }
    }
}

/// Where a report's part stands among those of the rendition; of a segment without parts the
/// last one.
fn place_of(edges: &[Edge], report: &Report) -> Option<usize> {
    let msn = report.last_msn?;
    let parts = report.last_part.unwrap_or(u64::MAX);
    Some(edges.partition_point(|edge| *edge <= Edge { msn, parts }))
}

pub(super) fn rule_44_rendition_reports(history: &History, out: &mut Findings) {
    for (number, rendition) in history.renditions.iter().enumerate() {
        let others = history.renditions.iter().enumerate();
        for (_, other) in others.filter(|(at, _)| *at != number) {
            let name = |uri: &str| uri.rsplit('/').next().map(str::to_owned);
            let edges: Vec<Edge> = other.parts().into_keys().collect();
            let mut seen: Vec<&Sample> = other.samples.iter().collect();
            seen.sort_by_key(|sample| sample.done_ns);
            for state in rendition.states() {
                let mut reports = state.list.reports.iter();
                let report = reports.find(|report| name(&report.uri) == name(&other.uri));
                let relative = report.is_some_and(|report| !report.uri.contains("://"));
                out.check(relative || state.list.is_ended, || {
                    format!("{}: no report of {}", rendition.uri, other.uri)
                });
                let Some(place) = report.and_then(|report| place_of(&edges, report)) else {
                    continue;
                };
                let count = |sample: &Sample| {
                    let edge = sample.list.edge();
                    edges.partition_point(|other| *other < edge)
                };
                let before = seen
                    .partition_point(|sample| sample.done_ns + history.slack_ns <= state.done_ns);
                let least = before.checked_sub(1).and_then(|at| seen.get(at));
                let most = seen.iter().find(|sample| sample.sent_ns >= state.done_ns);
                let true_then = least.is_none_or(|sample| place + 1 >= count(sample))
                    && most.is_none_or(|sample| place <= count(sample) + 1);
                out.check(true_then, || {
                    format!("{}: reports {report:?}", rendition.uri)
                });
            }
        }
    }
}

pub(super) fn rule_45_dates(history: &History, out: &mut Findings) {
    let has_dates = |rendition: &Rendition| {
        rendition
            .segments()
            .values()
            .any(|segment| segment.date.is_some())
    };
    let any = history.renditions.iter().any(has_dates);
    let mut clocks: BTreeMap<u64, i128> = BTreeMap::new();
    for rendition in &history.renditions {
        if any {
            out.check(has_dates(rendition), || {
                format!("{}: no dates", rendition.uri)
            });
        }
        for state in rendition.states() {
            let first = state.list.segments.first();
            out.check(
                !any || first.is_none_or(|segment| segment.date.is_some()),
                || format!("{}: the first segment has no date", rendition.uri),
            );
        }
        let mut expected: Option<(u64, i64)> = None;
        for (msn, segment) in rendition.segments() {
            let date = segment.date.as_deref();
            let found = date.and_then(date_us);
            out.check(date.is_none() || found.is_some(), || {
                format!("{}: {date:?} is no date", rendition.uri)
            });
            out.check(
                found.is_some() || !segment.has_discontinuity || !any,
                || format!("{}: no date after a discontinuity", rendition.uri),
            );
            let due = expected.filter(|(next, _)| *next == msn && !segment.has_discontinuity);
            if let (Some((_, due_us)), Some(found_us)) = (due, found) {
                out.check(found_us.abs_diff(due_us) <= DATE_US, || {
                    format!("{}: {} us off at {msn}", rendition.uri, found_us - due_us)
                });
            }
            let start_us = found.or(due.map(|(_, due_us)| due_us));
            let duration_us = i64::try_from(segment.duration_us).unwrap_or(0);
            expected = start_us.map(|us| (msn + 1, us + duration_us));
            if let (Some(found_us), Some(media_us)) = (found, shown_us(rendition, segment)) {
                let clock = i128::from(found_us) - i128::from(media_us);
                let first = *clocks.entry(msn).or_insert(clock);
                out.check(first.abs_diff(clock) <= u128::from(DATE_US), || {
                    format!("{}: another clock at {msn}", rendition.uri)
                });
            }
        }
    }
}

pub(super) fn rule_46_alignment(history: &History, out: &mut Findings) {
    let Some((first, others)) = history.renditions.split_first() else {
        return;
    };
    for other in others {
        let target = |rendition: &Rendition| rendition.last().and_then(|list| list.target_s);
        out.check(target(first) == target(other), || {
            format!("{}: another target duration", other.uri)
        });
        let segments = first.segments();
        for (msn, segment) in other.segments() {
            let Some(twin) = segments.get(&msn) else {
                continue;
            };
            out.check(twin.has_discontinuity == segment.has_discontinuity, || {
                format!("{}: discontinuities differ at {msn}", other.uri)
            });
            let shown = (shown_us(first, twin), shown_us(other, segment));
            if let (Some(a_us), Some(b_us)) = shown {
                let limit_us = frame_us(first, &twin.uri, twin.map.as_deref()).max(frame_us(
                    other,
                    &segment.uri,
                    segment.map.as_deref(),
                ));
                out.check(a_us.abs_diff(b_us) <= limit_us, || {
                    format!("{}: {msn} starts {} us off", other.uri, a_us.abs_diff(b_us))
                });
            }
        }
        let mut seen: Vec<&Sample> = other.samples.iter().collect();
        seen.sort_by_key(|sample| sample.done_ns);
        for state in first.states() {
            let at = seen.partition_point(|sample| sample.done_ns <= state.done_ns);
            let Some(near) = at.checked_sub(1).and_then(|at| seen.get(at)) else {
                continue;
            };
            let (a, b) = (&state.list, &near.list);
            let near_ns = near.done_ns + 3 * history.slack_ns;
            // One of them may have a segment more, and have let several short ones go for it.
            let at_one = a.edge().msn == b.edge().msn;
            let same = a.edge().msn.abs_diff(b.edge().msn) <= 1
                && (!at_one || a.media_sequence.abs_diff(b.media_sequence) <= 1);
            out.check(same || near_ns < state.done_ns, || {
                format!("{}: {:?} beside {:?}", other.uri, b.edge(), a.edge())
            });
        }
    }
}

/// The longest frame of a segment in microseconds.
fn frame_us(rendition: &Rendition, uri: &str, map: Option<&str>) -> u64 {
    let timescale = rendition
        .init(map)
        .map_or(1, |init| u64::from(init.timescale.max(1)));
    let ticks = rendition
        .fragments(uri)
        .map_or(0, |content| content.sample_ticks_max);
    ticks.saturating_mul(1_000_000) / timescale
}

/// The segments that are listed at the end: those that the multivariant playlist speaks of.
fn listed(rendition: &Rendition) -> impl Iterator<Item = &Segment> {
    let last = rendition.last().into_iter();
    last.flat_map(|list| &list.segments)
        .filter(|segment| !segment.is_gap)
}

/// Bits per second of each listed segment, and of all together.
fn rates(rendition: &Rendition) -> (Vec<u64>, u64) {
    let half_us = rendition.last().map_or(0, |list| list.target_us() / 2);
    let mut rates = Vec::new();
    let (mut bits, mut us) = (0, 0);
    for segment in listed(rendition) {
        if let Some(media) = rendition.media.get(&segment.uri) {
            bits += media.body.bytes * 8;
            us += segment.duration_us;
            // What is shorter has no part in the peak (section 4.4.6.2).
            if segment.duration_us >= half_us.max(1) {
                rates.push(media.body.bytes * 8_000_000 / segment.duration_us);
            }
        }
    }
    (rates, bits.saturating_mul(1_000_000) / us.max(1))
}

pub(super) fn rule_47_multivariant(history: &History, out: &mut Findings) {
    for exchange in &history.exchanges {
        if exchange.purpose == Purpose::Multivariant {
            out.check(exchange.status == 200, || exchange.place());
        }
    }
    let Some(list) = &history.multivariant else {
        return;
    };
    out.check(!list.variants.is_empty(), || "no variants".to_owned());
    for rendition in &history.renditions {
        out.check(!rendition.samples.is_empty(), || {
            format!("{}: no list", rendition.uri)
        });
        if list.is_independent {
            for segment in rendition.segments().values() {
                if let Some(content) = rendition.fragments(&segment.uri) {
                    out.check(content.starts_with_keyframe, || {
                        format!("{} is not independent", segment.uri)
                    });
                }
            }
        }
    }
    for variant in &list.variants {
        let mut uris = vec![variant.uri.as_str()];
        if let Some(group) = &variant.audio {
            let media = list.media.iter();
            let members: Vec<_> = media
                .filter(|media| media.kind == "AUDIO" && media.group == *group)
                .collect();
            out.check(!members.is_empty(), || format!("no audio group {group}"));
            // One of a group is played at a time.
            uris.extend(members.iter().find_map(|media| media.uri.as_deref()));
        }
        let played = |rendition: &&Rendition| uris.contains(&rendition.uri.as_str());
        let played: Vec<&Rendition> = history.renditions.iter().filter(played).collect();
        check_rates(variant, &played, out);
        check_codings(variant, &played, out);
    }
}

fn check_rates(variant: &Variant, played: &[&Rendition], out: &mut Findings) {
    let all: Vec<_> = played.iter().map(|rendition| rates(rendition)).collect();
    if all.iter().any(|(rates, _)| rates.is_empty()) {
        return;
    }
    let peaks = all.iter().filter_map(|(rates, _)| rates.iter().max());
    let peak: u64 = peaks.sum();
    out.check(
        variant.bandwidth_bps.is_some_and(|said| said >= peak),
        || format!("BANDWIDTH {:?} for {peak} bit/s", variant.bandwidth_bps),
    );
    let mean: u64 = all.iter().map(|(_, mean)| mean).sum();
    if let Some(said) = variant.average_bps
        && all.iter().all(|(rates, _)| rates.len() >= SEGMENTS_MIN)
    {
        out.check(said.abs_diff(mean) <= mean / 10, || {
            format!("AVERAGE-BANDWIDTH {said} for {mean} bit/s")
        });
    }
}

fn check_codings(variant: &Variant, played: &[&Rendition], out: &mut Findings) {
    for rendition in played {
        let segments = rendition.segments();
        let Some((_, segment)) = segments.last_key_value() else {
            continue;
        };
        let Some(init) = rendition.init(segment.map.as_deref()) else {
            continue;
        };
        // Two names of layer III (RFC 6381 section 3.3, and the MP4 registration authority).
        let codec = match init.codec.to_ascii_lowercase() {
            layer_3 if ["mp4a.6b", "mp4a.69"].contains(&layer_3.as_str()) => {
                let said = variant.codecs.iter().find(|said| **said == layer_3);
                said.cloned().unwrap_or_else(|| "mp4a.40.34".to_owned())
            }
            codec => codec,
        };
        let said = &variant.codecs;
        // MP3 has a number of its own and one among those of MPEG-4 audio.
        let is_mp3 = matches!(codec.as_str(), "mp4a.69" | "mp4a.6b");
        let listed = said.iter().any(|said| {
            let said = said.to_ascii_lowercase();
            said.starts_with(&codec) || (is_mp3 && said == "mp4a.40.34")
        });
        out.check(listed, || format!("CODECS {said:?} without {codec}"));
        if init.is_video {
            check_pictures(variant, rendition, init, out);
        }
    }
}

fn check_pictures(
    variant: &Variant,
    rendition: &Rendition,
    init: &InitContent,
    out: &mut Findings,
) {
    let resolution = format!("{}x{}", init.width, init.height);
    out.check(variant.resolution.as_deref() == Some(&resolution), || {
        format!("RESOLUTION {:?} for {resolution}", variant.resolution)
    });
    let (mut samples, mut ticks) = (0, 0);
    let current = rendition.last().and_then(|list| list.segments.last());
    let map = current.and_then(|segment| segment.map.as_ref());
    for segment in listed(rendition).filter(|segment| segment.map.as_ref() == map) {
        if let Some(content) = rendition.fragments(&segment.uri) {
            samples += content.samples;
            ticks += content.duration_ticks;
        }
    }
    if let Some(said) = variant.frame_rate
        && ticks > 0
    {
        let rate = samples as f64 * f64::from(init.timescale) / ticks as f64;
        out.check((said - rate).abs() <= rate / 20.0, || {
            format!("FRAME-RATE {said} for {rate:.3}")
        });
    }
}

/// How far times of packed sound may be from where the frames before end, in ticks of 90 kHz: each
/// is rounded.
const PACKED_TICKS: u64 = 2;

/// Packed sound needs no map, says its time in itself (section 3.4), and has one part: players
/// take a second one for another first one. False where a segment is not of it.
fn check_packed(rendition: &Rendition, segment: &Segment, out: &mut Findings) -> bool {
    let is_named = segment.uri.ends_with(".mp3");
    let packed = rendition.packed(&segment.uri);
    if !is_named && packed.is_none() {
        return false;
    }
    let media = rendition.media.get(&segment.uri);
    out.check(
        is_named && segment.map.is_none() && (packed.is_some() || media.is_none()),
        || {
            let content = media.map(|media| &media.content);
            format!(
                "{} with the map {:?}: {content:?}",
                segment.uri, segment.map
            )
        },
    );
    out.check(segment.parts.len() <= 1, || {
        format!("{} has {} packed parts", segment.uri, segment.parts.len())
    });
    if let Some(packed) = packed {
        let us = packed.duration_ticks * 100 / 9;
        out.check(us.abs_diff(segment.duration_us) <= 1_000, || {
            format!("{} has {us} us of frames", segment.uri)
        });
    }
    true
}

/// How far packed sound begins from where that before ends, in ticks of 90 kHz.
fn packed_off(rendition: &Rendition, pair: [&Segment; 2]) -> Option<u64> {
    const CLOCK_TICKS: u64 = 1 << 33;
    let [before, after] = pair.map(|segment| rendition.packed(&segment.uri));
    let due = before?.start_ticks + before?.duration_ticks;
    let off = after?.start_ticks.abs_diff(due) % CLOCK_TICKS;
    Some(off.min(CLOCK_TICKS - off))
}

pub(super) fn rule_48_maps_and_times(history: &History, out: &mut Findings) {
    for rendition in &history.renditions {
        let segments: Vec<_> = rendition.segments().into_values().collect();
        for segment in &segments {
            if check_packed(rendition, segment, out) {
                continue;
            }
            let init = rendition.init(segment.map.as_deref());
            let fetched = segment
                .map
                .as_ref()
                .is_none_or(|map| rendition.media.contains_key(map));
            out.check(
                segment.map.is_some() && (init.is_some() || !fetched),
                || format!("{}: the map of {} is none", rendition.uri, segment.uri),
            );
            let Some(media) = rendition.media.get(&segment.uri) else {
                continue;
            };
            let content = rendition.fragments(&segment.uri);
            let alone = content.is_some_and(|content| {
                content.starts_with_keyframe
                    && content.is_gapless
                    && init.is_none_or(|init| init.track == content.track)
            });
            out.check(alone, || {
                format!("{} alone: {:?}", segment.uri, media.content)
            });
        }
        for pair in segments.windows(2) {
            let [before, after] = pair else { continue };
            let same = before.map == after.map && !after.has_discontinuity;
            let off = packed_off(rendition, [before, after]);
            if let Some(off) = off.filter(|_| !after.has_discontinuity) {
                out.check(off <= PACKED_TICKS, || {
                    format!("{} starts {off} ticks off", after.uri)
                });
            }
            let spans = [before, after].map(|segment| rendition.fragments(&segment.uri));
            if let ([Some(before), Some(next)], true) = (spans, same) {
                let due = before.start_ticks + before.duration_ticks;
                out.check(next.start_ticks == due, || {
                    format!(
                        "{} starts at {} in place of {due}",
                        after.uri, next.start_ticks
                    )
                });
            }
        }
    }
}
