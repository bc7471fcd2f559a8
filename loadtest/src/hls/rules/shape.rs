//! Rules about single playlists.

use crate::hls::findings::Findings;
use crate::hls::history::{History, Purpose, Sample};

/// Seconds of rounding in a decimal number.
const ROUNDING_US: u64 = 500;

fn samples(history: &History) -> impl Iterator<Item = (&str, &Sample)> {
    let renditions = history.renditions.iter();
    renditions.flat_map(|rendition| {
        let samples = rendition.samples.iter();
        samples.map(|sample| (rendition.uri.as_str(), sample))
    })
}

pub(super) fn rule_01_text(history: &History, out: &mut Findings) {
    for (uri, sample) in samples(history) {
        let faults = &sample.list.faults;
        out.check(faults.is_empty(), || {
            format!("{uri}: {}", faults.join("; "))
        });
    }
    if let Some(multivariant) = &history.multivariant {
        let faults = &multivariant.faults;
        out.check(faults.is_empty(), || faults.join("; "));
    }
    for exchange in &history.exchanges {
        let playlist = matches!(
            exchange.purpose,
            Purpose::Multivariant | Purpose::Playlist(_) | Purpose::Gzip { .. }
        );
        if playlist && exchange.status == 200 {
            let kind = exchange.header("content-type").unwrap_or_default();
            let essence = kind.split(';').next().unwrap_or_default();
            let good = ["application/vnd.apple.mpegurl", "audio/mpegurl"].contains(&essence);
            out.check(good, || format!("{}: {kind}", exchange.place()));
        }
    }
}

pub(super) fn rule_02_version(history: &History, out: &mut Findings) {
    for (uri, sample) in samples(history) {
        let list = &sample.list;
        let removed = list.skips.iter().any(|skip| skip.has_removed_dateranges);
        let has_map = list.segments.iter().any(|segment| segment.map.is_some());
        let must = match () {
            () if removed => 10,
            () if list.is_delta() => 9,
            () if has_map => 6,
            () => 3,
        };
        // What the same list needs when it is asked for as a delta.
        let control = list.control.as_ref();
        let may = match control {
            Some(control) if control.skips_dateranges => 10,
            Some(control) if control.skip_until_us.is_some() => 9,
            _ => must.max(6),
        };
        let version = list.version;
        out.check((must..=may).contains(&version), || {
            format!("{uri}: version {version}, needed are {must} to {may}")
        });
    }
}

pub(super) fn rule_03_target_duration(history: &History, out: &mut Findings) {
    for rendition in &history.renditions {
        let first = rendition
            .samples
            .first()
            .and_then(|sample| sample.list.target_s);
        for sample in &rendition.samples {
            let list = &sample.list;
            out.check(list.target_s.is_some() && list.target_s == first, || {
                format!("{}: {:?} behind {first:?}", rendition.uri, list.target_s)
            });
            for (msn, segment) in list.numbered() {
                let rounded = (segment.duration_us + 500_000) / 1_000_000;
                out.check(
                    list.target_s.is_some_and(|target| rounded <= target),
                    || {
                        format!(
                            "{}: segment {msn} has {} us",
                            rendition.uri, segment.duration_us
                        )
                    },
                );
            }
        }
    }
}

pub(super) fn rule_15_type_and_end(history: &History, out: &mut Findings) {
    for rendition in &history.renditions {
        let ended = rendition
            .samples
            .iter()
            .filter(|sample| sample.list.is_ended);
        let end = ended.min_by_key(|sample| sample.done_ns);
        for sample in &rendition.samples {
            let list = &sample.list;
            let kind = list.playlist_type.as_deref();
            out.check(matches!(kind, None | Some("EVENT")), || {
                format!("{}: a live list of type {kind:?}", rendition.uri)
            });
            out.check(!list.is_ended || list.hints.is_empty(), || {
                format!("{}: a hint in an ended list", rendition.uri)
            });
            let Some(end) = end else { continue };
            if sample.sent_ns >= end.done_ns && sample.ask.skip.is_none() {
                out.check(list.text == end.list.text, || {
                    format!("{}: the list changed after its end", rendition.uri)
                });
            }
        }
    }
}

pub(super) fn rule_16_part_target(history: &History, out: &mut Findings) {
    for (uri, sample) in samples(history) {
        for (at, part) in sample.list.all_parts() {
            let target = sample.list.part_target_us;
            let fits = target.is_some_and(|us| part.duration_us <= us + ROUNDING_US);
            out.check(fits, || {
                format!("{uri}: part {}.{} of {target:?} us", at.msn, at.parts)
            });
        }
    }
}

pub(super) fn rule_17_short_parts(history: &History, out: &mut Findings) {
    for (uri, sample) in samples(history) {
        let Some(target_us) = sample.list.part_target_us else {
            continue;
        };
        let parents = sample.list.segments.iter().map(|segment| &segment.parts);
        for parts in parents.chain([&sample.list.parts]) {
            // The last of a parent may be short, and of the newest nobody knows it yet.
            let others = parts.split_last().map_or(&[][..], |(_, others)| others);
            for part in others {
                let long = part.duration_us + ROUNDING_US >= target_us * 85 / 100;
                out.check(part.is_gap || long, || {
                    format!("{uri}: {} has {} us", part.uri, part.duration_us)
                });
            }
        }
    }
}

pub(super) fn rule_22_server_control(history: &History, out: &mut Findings) {
    let mut first = None;
    for (uri, sample) in samples(history) {
        let line = sample.list.control.as_ref().map(|control| &control.line);
        let expected = *first.get_or_insert(line);
        out.check(line.is_some() && line == expected, || {
            format!("{uri}: {line:?}, elsewhere {expected:?}")
        });
    }
}

pub(super) fn rule_23_hold_back(history: &History, out: &mut Findings) {
    for (uri, sample) in samples(history) {
        let control = sample.list.control.as_ref();
        if let Some(us) = control.and_then(|control| control.hold_back_us) {
            out.check(us >= 3 * sample.list.target_us(), || {
                format!("{uri}: {us} us")
            });
        }
    }
}

pub(super) fn rule_24_part_hold_back(history: &History, out: &mut Findings) {
    for (uri, sample) in samples(history) {
        let Some(target_us) = sample.list.part_target_us else {
            continue;
        };
        let control = sample.list.control.as_ref();
        let us = control.and_then(|control| control.part_hold_back_us);
        out.check(us.is_some_and(|us| us >= 3 * target_us), || {
            format!("{uri}: {us:?} us for parts of {target_us} us")
        });
    }
}

pub(super) fn rule_25_skip_until(history: &History, out: &mut Findings) {
    for (uri, sample) in samples(history) {
        let control = sample.list.control.as_ref();
        if let Some(us) = control.and_then(|control| control.skip_until_us) {
            out.check(us >= 6 * sample.list.target_us(), || {
                format!("{uri}: {us} us")
            });
        }
    }
}
