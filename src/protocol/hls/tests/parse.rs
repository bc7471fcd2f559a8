//! A strict reader of media playlists, for tests: it takes what we should write and nothing else.

use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct List {
    pub(super) version: u32,
    pub(super) target_duration: u32,
    pub(super) control: String,
    pub(super) part_target_us: u64,
    pub(super) media_sequence: u64,
    pub(super) discontinuity_sequence: u64,
    pub(super) dateranges: Vec<String>,
    pub(super) skip: Option<String>,
    /// Complete ones; an open one has no address.
    pub(super) segments: Vec<Segment>,
    pub(super) part_hints: Vec<String>,
    pub(super) map_hints: Vec<String>,
    pub(super) reports: Vec<(String, u64, Option<u32>)>,
    pub(super) ended: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Segment {
    pub(super) msn: u64,
    /// Every line but those of parts.
    pub(super) lines: String,
    pub(super) discontinuity: bool,
    /// What is in force.
    pub(super) map: String,
    pub(super) unix_ms: i64,
    pub(super) parts: Vec<Part>,
    pub(super) gap: bool,
    pub(super) duration_us: u64,
    pub(super) uri: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    pub(super) duration_us: u64,
    pub(super) uri: String,
    pub(super) independent: bool,
    pub(super) gap: bool,
}

/// Reads a playlist; panics where it is none of ours.
pub(super) fn list(text: &str) -> List {
    let mut lines = text
        .strip_suffix('\n')
        .expect("ends with a line")
        .split('\n');
    assert_eq!(lines.next(), Some("#EXTM3U"));
    let mut found = List::default();
    let mut map = String::new();
    let mut segment = Segment::default();
    for line in lines {
        // The draft itself puts tabs between removed date ranges.
        let controls = |letter: char| letter.is_control() && letter != '\t';
        assert!(!line.is_empty() && !line.contains(controls), "{line:?}");
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        match tag {
            "#EXT-X-VERSION" => found.version = value.parse().expect("a number"),
            "#EXT-X-TARGETDURATION" => found.target_duration = value.parse().expect("a number"),
            "#EXT-X-SERVER-CONTROL" => found.control = value.to_owned(),
            "#EXT-X-PART-INF" => found.part_target_us = micros(&attributes(value)["PART-TARGET"]),
            "#EXT-X-MEDIA-SEQUENCE" => found.media_sequence = value.parse().expect("a number"),
            "#EXT-X-DISCONTINUITY-SEQUENCE" => {
                found.discontinuity_sequence = value.parse().expect("a number");
            }
            "#EXT-X-DATERANGE" => found.dateranges.push(value.to_owned()),
            "#EXT-X-SKIP" => found.skip = Some(value.to_owned()),
            "#EXT-X-PRELOAD-HINT" => {
                let hint = attributes(value);
                match hint["TYPE"].as_str() {
                    "PART" => found.part_hints.push(hint["URI"].clone()),
                    "MAP" => found.map_hints.push(hint["URI"].clone()),
                    other => panic!("hint {other}"),
                }
            }
            "#EXT-X-RENDITION-REPORT" => {
                let report = attributes(value);
                found.reports.push((
                    report["URI"].clone(),
                    report["LAST-MSN"].parse().expect("a number"),
                    report
                        .get("LAST-PART")
                        .map(|part| part.parse().expect("a number")),
                ));
            }
            "#EXT-X-ENDLIST" => found.ended = true,
            "#EXT-X-MAP" => {
                map = attributes(value)["URI"].clone();
                if segment.discontinuity || !found.segments.is_empty() {
                    segment.lines.push_str(&format!("{line}\n"));
                }
            }
            "#EXT-X-PART" => segment.parts.push(part(value)),
            _ => {
                segment_line(&mut segment, line, tag, value);
                if segment.uri.is_some() {
                    let done = std::mem::take(&mut segment);
                    push(&mut found, done, &map);
                }
            }
        }
    }
    if !segment.parts.is_empty() {
        push(&mut found, segment, &map);
    }
    found
}

fn push(list: &mut List, mut segment: Segment, map: &str) {
    let skipped = list.skip.as_ref().map_or(0, |skip| {
        let count = &attributes(skip)["SKIPPED-SEGMENTS"];
        count.parse().expect("a number")
    });
    segment.msn = list.media_sequence + skipped + list.segments.len() as u64;
    segment.map = map.to_owned();
    list.segments.push(segment);
}

fn segment_line(segment: &mut Segment, line: &str, tag: &str, value: &str) {
    segment.lines.push_str(&format!("{line}\n"));
    match tag {
        "#EXT-X-DISCONTINUITY" => segment.discontinuity = true,
        "#EXT-X-GAP" => segment.gap = true,
        "#EXT-X-PROGRAM-DATE-TIME" => segment.unix_ms = unix_ms(value),
        "#EXTINF" => {
            segment.duration_us = micros(value.strip_suffix(',').expect("no title"));
        }
        _ => {
            assert!(!line.starts_with('#'), "{line}");
            segment.uri = Some(line.to_owned());
        }
    }
}

fn part(value: &str) -> Part {
    let found = attributes(value);
    Part {
        duration_us: micros(&found["DURATION"]),
        uri: found["URI"].clone(),
        independent: found.get("INDEPENDENT").is_some_and(|yes| yes == "YES"),
        gap: found.get("GAP").is_some_and(|yes| yes == "YES"),
    }
}

/// An attribute list without the quotation marks (section 4.2).
pub(super) fn attributes(value: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = value;
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').expect("a name");
        let (text, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').expect("a closed string"),
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        assert!(
            found.insert(name.to_owned(), text.to_owned()).is_none(),
            "{name} twice in {value}"
        );
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    found
}

/// Seconds with decimals.
pub(super) fn micros(text: &str) -> u64 {
    let (whole, decimals) = text.split_once('.').expect("decimals");
    let decimals = format!("{decimals:0<6}");
    whole.parse::<u64>().expect("digits") * 1_000_000 + decimals.parse::<u64>().expect("digits")
}

/// Tests stay within one day of the same month.
fn unix_ms(text: &str) -> i64 {
    let (date, time) = text.split_once('T').expect("a date");
    let day: i64 = date
        .strip_prefix("2026-11-")
        .expect("the month")
        .parse()
        .expect("a day");
    let time = time.strip_suffix('Z').expect("the zone");
    let parts: Vec<i64> = time
        .split([':', '.'])
        .map(|digits| digits.parse().expect("digits"))
        .collect();
    (((day * 24 + parts[0]) * 60 + parts[1]) * 60 + parts[2]) * 1_000 + parts[3]
}
