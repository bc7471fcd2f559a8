//! A packager and an origin that are run with a virtual clock; every rule that can be checked is
//! checked on every playlist.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use corecast_media::time::Time;
use corecast_media::track::TrackId;

use super::super::*;
use super::parse::{self, List};
use super::source::Happening;
use crate::cmaf::reader::{read_fragments, read_init};

/// The wall clock's milliseconds at the virtual clock's zero: 2026-11-20, noon.
pub(super) const NOON_MS: u64 = 1_795_176_000_000;

/// What was seen of one rendition.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) list: List,
    /// The text of the newest list.
    pub(super) text: String,
    /// Complete segments by number: their lines without parts.
    segments: BTreeMap<u64, parse::Segment>,
    discontinuities: BTreeMap<u64, bool>,
    /// The units that came out, with the ticks at which they are shown.
    pub(super) payloads: Vec<(Bytes, i64)>,
    /// Which of them start a segment, but for the first.
    firsts: Vec<usize>,
    /// Where the next part starts, in ticks; none after a gap or at the start.
    next_ticks: Option<u64>,
    /// The first decode time of segments, in ticks.
    pub(super) starts: BTreeMap<u64, u64>,
    /// When the first picture or sound of segments is shown, in ticks.
    shown: BTreeMap<u64, i64>,
    timescale: u32,
    pub(super) gaps: usize,
    daterange_ids: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Station {
    pub(super) packager: Packager,
    pub(super) origin: Origin,
    pub(super) now: Time,
    pub(super) seen: BTreeMap<RenditionId, Seen>,
    pub(super) lists: usize,
    /// Checks of frames' lengths that a scene cannot keep.
    pub(super) fills_parts: bool,
}

impl Station {
    pub(super) fn new(settings: PackagerSettings) -> Self {
        Station {
            packager: Packager::new(settings),
            origin: Origin::new(),
            now: Time::ZERO,
            seen: BTreeMap::new(),
            lists: 0,
            fills_parts: true,
        }
    }

    pub(super) fn run(&mut self, happenings: &[Happening]) {
        for happening in happenings {
            self.advance(Time::from_micros(happening.at_us));
            let unix_ms = NOON_MS + self.now.as_millis();
            self.packager
                .push(self.now, unix_ms, &happening.event, happening.discontinuity);
            self.take_steps();
        }
    }

    /// Lets time pass, with the timeouts that are due.
    pub(super) fn advance(&mut self, to: Time) {
        for _ in 0..100_000 {
            match self.packager.poll_timeout() {
                Some(due) if due <= to => {
                    self.now = self.now.max(due);
                    self.packager.handle_timeout(self.now);
                    self.take_steps();
                }
                _ => {
                    self.now = self.now.max(to);
                    return;
                }
            }
        }
        panic!("the packager's timeout never passes");
    }

    pub(super) fn end(&mut self) {
        self.packager.end(self.now);
        self.take_steps();
    }

    fn take_steps(&mut self) {
        while let Some(step) = self.packager.poll_step() {
            self.origin.apply(&step);
            if let Step::Update(update) = &step {
                self.check_update(update.rendition, &update.pieces);
            }
        }
    }

    pub(super) fn ask(&self, name: &str, query: &str) -> Answer {
        self.ask_at(self.now, name, query)
    }

    /// Asks for what was wanted now at a later time.
    fn ask_at(&self, at: Time, name: &str, query: &str) -> Answer {
        let directives = match Directives::parse(query) {
            Ok(directives) => directives,
            Err(reason) => return Answer::BadRequest(reason),
        };
        let resource = Resource::parse(name).expect("a name of ours");
        let request = Request {
            resource,
            outside: false,
            directives: &directives,
            gzip: false,
            arrived: self.now,
        };
        self.origin.request(at, &request)
    }

    pub(super) fn text(&self, name: &str, query: &str) -> String {
        let answer = match self.ask(name, query) {
            // What is there is given out in the end.
            Answer::Wait { until, .. } => self.ask_at(until, name, query),
            answer => answer,
        };
        match answer {
            Answer::Ready(response) => {
                let bytes = response.body.pieces().concat();
                String::from_utf8(bytes).expect("UTF-8")
            }
            other => panic!("{name}?{query}: {other:?}"),
        }
    }

    fn check_update(&mut self, id: RenditionId, pieces: &[step::Piece]) {
        self.lists += 1;
        let name = format!("{id}.m3u8");
        let text = self.text(&name, "");
        let list = parse::list(&text);
        let mut seen = self.seen.remove(&id).unwrap_or_default();
        check_header(&list, &seen.list);
        self.check_segments(&list, &mut seen);
        // Slow, and the same for many lists.
        if self.lists % 5 == 1 || list.ended {
            self.check_deltas(&name, &text);
            self.check_files(&list);
        }
        self.check_hints(&list, &seen, pieces);
        self.check_reports(id, &list);
        seen.check_pieces(id, pieces, &list);
        if let Some(first) = list.segments.first()
            && let Answer::Ready(response) = self.ask(&first.map, "")
        {
            let bytes = response.body.pieces().concat();
            seen.timescale = read_init(&bytes).expect("an init segment").timescale;
        }
        seen.check_dateranges(&list);
        for (other, beside) in &self.seen {
            if let Some(last) = list.segments.iter().rev().find(|one| one.uri.is_some()) {
                check_aligned((id, last), (*other, beside));
                check_clocks((id, last, &seen), (*other, beside));
            }
            if !beside.list.control.is_empty() {
                assert_eq!(beside.list.control, list.control, "rule 22");
            }
        }
        seen.list = list;
        seen.text = text;
        self.seen.insert(id, seen);
    }

    fn check_segments(&self, list: &List, seen: &mut Seen) {
        let part_target_us = list.part_target_us;
        for (at, segment) in list.segments.iter().enumerate() {
            let is_last = at + 1 == list.segments.len();
            if segment.uri.is_some() {
                let rounded = (segment.duration_us + 500_000) / 1_000_000;
                assert!(
                    rounded <= u64::from(list.target_duration),
                    "rule 3: {segment:?}"
                );
                let mut kept = segment.clone();
                kept.parts.clear();
                let before = seen
                    .segments
                    .entry(segment.msn)
                    .or_insert_with(|| kept.clone());
                assert_eq!(before.lines, kept.lines, "rule 5");
                assert_eq!(before.map, kept.map, "rule 5");
                seen.discontinuities
                    .insert(segment.msn, segment.discontinuity);
                if !segment.parts.is_empty() {
                    let sum: u64 = segment.parts.iter().map(|part| part.duration_us).sum();
                    assert!(
                        sum.abs_diff(segment.duration_us) <= 1_000,
                        "rule 18: {segment:?}"
                    );
                }
                let gap = segment.parts.iter().any(|part| part.gap);
                assert!(segment.gap || !gap, "a segment with a gap is one");
            } else {
                assert!(is_last, "only the last may be open");
            }
            for (index, part) in segment.parts.iter().enumerate() {
                assert!(part.duration_us <= part_target_us, "rule 16: {segment:?}");
                let last_of_parent = index + 1 == segment.parts.len();
                let filled = part.duration_us * 100 >= part_target_us * 85;
                assert!(
                    filled || part.gap || last_of_parent || !self.fills_parts,
                    "rule 17: {part:?} in {segment:?}"
                );
            }
        }
        for pair in list.segments.windows(2) {
            let expected_ms = pair[0].unix_ms as f64 + pair[0].duration_us as f64 / 1_000.0;
            let off_ms = (pair[1].unix_ms as f64 - expected_ms).abs();
            assert!(pair[1].discontinuity || off_ms <= 1.01, "rule 45: {pair:?}");
            assert!(
                pair[0].map == pair[1].map || pair[1].discontinuity,
                "rule 9"
            );
        }
        let removed = list.media_sequence;
        let gone = seen
            .discontinuities
            .iter()
            .filter(|(msn, discontinuity)| **msn < removed && **discontinuity)
            .count();
        assert_eq!(list.discontinuity_sequence, gone as u64, "rule 8");
        self.check_parts_listed(list);
        if removed > seen.list.media_sequence && !seen.list.segments.is_empty() {
            let complete = list.segments.iter().filter(|segment| segment.uri.is_some());
            let length_us: u64 = complete.map(|segment| segment.duration_us).sum();
            assert!(
                length_us >= 3_000_000 * u64::from(list.target_duration),
                "rule 6"
            );
        }
    }

    /// Rule 20.
    fn check_parts_listed(&self, list: &List) {
        let until_us = 3_000_000 * u64::from(list.target_duration);
        let mut behind_us = 0;
        for segment in list.segments.iter().rev() {
            let own: u64 = segment.parts.iter().map(|part| part.duration_us).sum();
            if segment.uri.is_some() {
                let listed = !segment.parts.is_empty();
                assert!(segment.gap || listed == (behind_us <= until_us), "rule 20");
                behind_us += segment.duration_us;
            } else {
                behind_us += own;
            }
        }
    }

    /// Rules 26 to 29.
    fn check_deltas(&self, name: &str, full: &str) {
        assert_eq!(self.text(name, "_HLS_skip=maybe"), full, "rule 29");
        for query in ["_HLS_skip=YES", "_HLS_skip=v2"] {
            let delta = self.text(name, query);
            let list = parse::list(full);
            if list.ended {
                assert_eq!(delta, full, "rule 28");
                continue;
            }
            let Some(skip) = parse::list(&delta).skip else {
                assert_eq!(delta, full);
                continue;
            };
            let count = &parse::attributes(&skip)["SKIPPED-SEGMENTS"];
            let count: usize = count.parse().expect("a number");
            let behind: u64 = list.segments[count - 1..].iter().skip(1).map(length).sum();
            let until_us = 6_000_000 * u64::from(list.target_duration);
            assert!(behind > until_us, "rule 26: {behind}");
            assert_eq!(
                expanded(&delta, full, count),
                full,
                "rule 26: {name} {query}"
            );
        }
    }

    /// Rule 13: what is listed is there; a segment is its parts.
    fn check_files(&self, list: &List) {
        let body = |name: &str| match self.ask(name, "") {
            Answer::Ready(response) => response.body.pieces().concat(),
            other => panic!("{name}: {other:?}"),
        };
        for segment in &list.segments {
            assert!(body(&segment.map).len() > 100);
            let mut whole = Vec::new();
            for part in segment.parts.iter().filter(|part| !part.gap) {
                whole.extend(body(&part.uri));
            }
            match &segment.uri {
                Some(uri) if segment.gap => assert_eq!(self.ask(uri, ""), Answer::NotFound),
                Some(uri) if segment.parts.is_empty() => assert!(!body(uri).is_empty()),
                Some(uri) => assert_eq!(body(uri), whole, "rule 18"),
                None => {}
            }
        }
    }

    /// Rules 41 to 43.
    fn check_hints(&self, list: &List, seen: &Seen, pieces: &[step::Piece]) {
        if list.ended {
            assert!(
                list.part_hints.is_empty() && list.map_hints.is_empty(),
                "rule 15"
            );
        } else {
            assert_eq!(list.part_hints.len(), 1, "rule 41");
            assert!(list.map_hints.len() <= 1, "rule 41");
            assert!(
                matches!(self.ask(&list.part_hints[0], ""), Answer::Wait { .. }),
                "rule 42"
            );
            for map in &list.map_hints {
                assert!(matches!(self.ask(map, ""), Answer::Ready(_)));
            }
        }
        if let (Some(piece), Some(hint)) = (pieces.first(), seen.list.part_hints.first()) {
            let ending = format!("-{}.{}.m4s", piece.msn, piece.part);
            assert!(hint.ends_with(&ending), "rule 41: {hint} but {ending}");
        }
    }

    /// Rule 44.
    fn check_reports(&self, id: RenditionId, list: &List) {
        if list.ended {
            return;
        }
        let others: Vec<(String, u64, Option<u32>)> = self
            .origin
            .renditions()
            .filter(|other| *other != id)
            .filter_map(|other| Some((other, self.origin.edge(other)?.0)))
            .map(|(other, edge)| match edge.parts.checked_sub(1) {
                Some(part) => (format!("{other}.m3u8"), edge.msn, Some(part)),
                None => (
                    format!("{other}.m3u8"),
                    edge.msn - 1,
                    edge.parts_before.checked_sub(1),
                ),
            })
            .collect();
        for (name, msn, part) in &others {
            let report = list.reports.iter().find(|report| report.0 == *name);
            // What other renditions say in the same moment is reported already.
            let report = report.expect("a report");
            assert!((report.1, report.2) >= (*msn, *part), "rule 44: {report:?}");
            assert!(
                report.1 <= msn + 1,
                "rule 44: {id} {report:?} {msn} {part:?}"
            );
        }
    }
}

impl Seen {
    /// Rules 10, 18, 19 and 48, and that no byte is changed.
    fn check_pieces(&mut self, id: RenditionId, pieces: &[step::Piece], list: &List) {
        for piece in pieces {
            let segment = list
                .segments
                .iter()
                .find(|segment| segment.msn == piece.msn);
            let line = segment.and_then(|segment| segment.parts.get(piece.part as usize));
            let Some(bytes) = &piece.bytes else {
                self.next_ticks = None;
                self.gaps += 1;
                assert!(line.is_none_or(|line| line.gap), "rule 10");
                continue;
            };
            let fragments = read_fragments(bytes).expect("fragments");
            assert_eq!(fragments.len(), 1);
            let fragment = &fragments[0];
            let starts_anew = segment.is_some_and(|one| one.discontinuity && piece.part == 0);
            if let (Some(expected), false) = (self.next_ticks, starts_anew) {
                assert_eq!(
                    fragment.decode_time_ticks, expected,
                    "rule 48: {id} {piece:?}"
                );
            }
            self.next_ticks = Some(fragment.decode_time_ticks + fragment.duration_ticks());
            if piece.part == 0 {
                self.starts.insert(piece.msn, fragment.decode_time_ticks);
            }
            let has_keyframe = fragment.samples.iter().any(|sample| sample.keyframe);
            if let Some(line) = line {
                assert_eq!(line.independent, has_keyframe, "rule 19");
                assert!(!line.gap, "rule 10");
            }
            if piece.part == 0 && !self.payloads.is_empty() {
                self.firsts.push(self.payloads.len());
            }
            for sample in &fragment.samples {
                let shown = sample.decode_time_ticks as i64 + sample.composition_offset_ticks;
                self.payloads
                    .push((Bytes::copy_from_slice(sample.payload), shown));
                let first = self.shown.entry(piece.msn).or_insert(shown);
                *first = shown.min(*first);
            }
        }
    }

    /// Rule 57.
    fn check_dateranges(&mut self, list: &List) {
        for line in &list.dateranges {
            let id = parse::attributes(line)["ID"].clone();
            let known = self.daterange_ids.iter().position(|known| *known == id);
            match known {
                Some(_) => {}
                None => self.daterange_ids.push(id),
            }
            let was_listed = self.list.dateranges.contains(line);
            assert!(known.is_none() || was_listed, "rule 57: {line} came back");
        }
    }

    /// The units of a track that came in, from the first that came out on: each came out once, in
    /// order, whole, and is shown when it should be, within `off_us`; the first of a segment may be
    /// shown earlier, if that is behind what was shown before it.
    pub(super) fn check_payloads(
        &self,
        happenings: &[Happening],
        track: u8,
        timescale: u32,
        off_us: i64,
    ) -> usize {
        let units: Vec<_> = happenings
            .iter()
            .filter_map(Happening::unit)
            .filter(|unit| unit.track == TrackId(track))
            .collect();
        let first = self.payloads.first().expect("something came out");
        let skipped = units.iter().position(|unit| unit.payload == first.0);
        let skipped = skipped.expect("the first one came in");
        assert_eq!(self.payloads.len(), units.len() - skipped, "track {track}");
        let mut newest = i64::MIN;
        let pairs = units[skipped..].iter().zip(&self.payloads);
        for (at, (unit, (payload, shown))) in pairs.enumerate() {
            assert!(unit.payload == *payload, "another payload");
            let zero_us = first.1 * 1_000_000 / i64::from(timescale);
            let shown_us = shown * 1_000_000 / i64::from(timescale) - zero_us;
            let expected_us = unit.pts.since(units[skipped].pts) / 1_000;
            let is_earlier = self.firsts.contains(&at) && shown_us < expected_us;
            assert!(
                (shown_us - expected_us).abs() <= off_us || is_earlier && *shown > newest,
                "shown at {shown_us} us, not at {expected_us} us"
            );
            newest = newest.max(*shown);
        }
        skipped
    }
}

fn check_header(list: &List, before: &List) {
    assert_eq!(list.version, 9);
    let control = parse::attributes(&list.control);
    let td_us = 1_000_000 * u64::from(list.target_duration);
    assert!(list.target_duration > 0 && list.part_target_us > 0);
    assert_eq!(control["CAN-BLOCK-RELOAD"], "YES");
    assert!(parse::micros(&control["HOLD-BACK"]) >= 3 * td_us, "rule 23");
    assert!(
        parse::micros(&control["PART-HOLD-BACK"]) >= 3 * list.part_target_us,
        "rule 24"
    );
    assert!(
        parse::micros(&control["CAN-SKIP-UNTIL"]) >= 6 * td_us,
        "rule 25"
    );
    if !before.control.is_empty() {
        assert_eq!(before.target_duration, list.target_duration, "rule 3");
        assert_eq!(before.control, list.control);
        assert_eq!(before.part_target_us, list.part_target_us);
        assert!(before.media_sequence <= list.media_sequence, "rule 4");
        assert!(!before.ended, "rule 15");
    }
}

/// Rules 45 and 46: the same number starts at the same time.
fn check_aligned(
    (id, segment): (RenditionId, &parse::Segment),
    (other, beside): (RenditionId, &Seen),
) {
    let Some(twin) = beside.segments.get(&segment.msn) else {
        return;
    };
    let off_ms = (twin.unix_ms - segment.unix_ms).abs();
    assert!(off_ms <= 45, "rule 46: {id} {segment:?} {other} {twin:?}");
    assert_eq!(twin.discontinuity, segment.discontinuity, "rule 46");
}

/// Rule 45: what is shown at the same time has the same date in all renditions.
fn check_clocks(
    (id, segment, seen): (RenditionId, &parse::Segment, &Seen),
    (other, beside): (RenditionId, &Seen),
) {
    let Some(twin) = beside.segments.get(&segment.msn) else {
        return;
    };
    let ahead_us = |segment: &parse::Segment, seen: &Seen| {
        let shown = seen.shown.get(&segment.msn)?;
        Some(segment.unix_ms * 1_000 - shown * 1_000_000 / i64::from(seen.timescale))
    };
    let ahead_us = (ahead_us(segment, seen), ahead_us(twin, beside));
    if let ((Some(one_us), Some(other_us)), false) = (ahead_us, segment.gap || twin.gap) {
        let off_us = one_us - other_us;
        assert!(
            off_us.abs() <= 1_500,
            "rule 45: {id} is {off_us} us ahead of {other} at {}",
            segment.msn
        );
    }
}

fn length(segment: &parse::Segment) -> u64 {
    match segment.uri {
        Some(_) => segment.duration_us,
        None => segment.parts.iter().map(|part| part.duration_us).sum(),
    }
}

/// The whole list, from a delta and the lines that it skips.
fn expanded(delta: &str, full: &str, count: usize) -> String {
    let list = parse::list(full);
    let skipped: String = list.segments[..count]
        .iter()
        .map(|segment| segment.lines.as_str())
        .collect();
    let mut text = String::new();
    for line in delta.split_inclusive('\n') {
        if line.starts_with("#EXT-X-SKIP:") {
            if line.contains("RECENTLY-REMOVED-DATERANGES") {
                // What was left out stands in front of what was not.
                let before: Vec<&str> = full
                    .split_inclusive('\n')
                    .filter(|line| line.starts_with("#EXT-X-DATERANGE:"))
                    .collect();
                let at = text.find("#EXT-X-DATERANGE:").or(text.find("#EXT-X-MAP:"));
                let kept = text.matches("#EXT-X-DATERANGE:").count();
                let missing = before[..before.len() - kept].concat();
                text.insert_str(at.unwrap_or(text.len()), &missing);
                text = text.replace("#EXT-X-VERSION:10\n", "#EXT-X-VERSION:9\n");
            }
            text.push_str(&skipped);
        } else {
            text.push_str(line);
        }
    }
    text
}

pub(super) fn settings(target_ms: u64, part_ms: u64, window_s: u64) -> PackagerSettings {
    PackagerSettings {
        target: Duration::from_millis(target_ms),
        part_target: Duration::from_millis(part_ms),
        window: Duration::from_secs(window_s),
        epoch: "e1".into(),
        first_msn: 100,
        prefix: "cam/hls/".into(),
        ..PackagerSettings::default()
    }
}
