//! Media playlists as their text says them (draft-pantos-hls-rfc8216bis section 4): a parser of
//! our own, that also keeps every line, since rules are about lines.

use jiff::Timestamp;

use super::attributes::{Attributes, integer, seconds_us};

/// A media playlist.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Playlist {
    /// The whole text.
    pub(crate) text: String,
    /// What is wrong with it.
    pub(crate) faults: Vec<String>,
    /// `EXT-X-VERSION`, 1 where it is missing.
    pub(crate) version: u64,
    /// `EXT-X-TARGETDURATION` in seconds.
    pub(crate) target_s: Option<u64>,
    /// `EXT-X-MEDIA-SEQUENCE`.
    pub(crate) media_sequence: u64,
    /// `EXT-X-DISCONTINUITY-SEQUENCE`, where it stands there.
    pub(crate) discontinuity_sequence: Option<u64>,
    /// `EXT-X-PLAYLIST-TYPE`.
    pub(crate) playlist_type: Option<String>,
    /// `EXT-X-ENDLIST`.
    pub(crate) is_ended: bool,
    /// `EXT-X-SERVER-CONTROL`.
    pub(crate) control: Option<Control>,
    /// `EXT-X-PART-INF:PART-TARGET`.
    pub(crate) part_target_us: Option<u64>,
    /// Every `EXT-X-SKIP`.
    pub(crate) skips: Vec<Skip>,
    /// Complete segments.
    pub(crate) segments: Vec<Segment>,
    /// Parts of the segment that is not complete.
    pub(crate) parts: Vec<Part>,
    /// Every `EXT-X-PRELOAD-HINT`.
    pub(crate) hints: Vec<Hint>,
    /// Every `EXT-X-RENDITION-REPORT`.
    pub(crate) reports: Vec<Report>,
    /// Every `EXT-X-DATERANGE`.
    pub(crate) dateranges: Vec<DateRange>,
    /// The lines that belong to no segment and are no date range, skip, hint or report.
    pub(crate) header: Vec<String>,
    /// Lines that belong to the segment that is not complete.
    pub(crate) tail: Vec<String>,
}

/// `EXT-X-SERVER-CONTROL`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Control {
    /// Its attributes as they stand there.
    pub(crate) line: String,
    pub(crate) can_block: bool,
    pub(crate) hold_back_us: Option<u64>,
    pub(crate) part_hold_back_us: Option<u64>,
    pub(crate) skip_until_us: Option<u64>,
    pub(crate) skips_dateranges: bool,
}

/// `EXT-X-SKIP`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Skip {
    pub(crate) segments: u64,
    /// Whether it says which date ranges were removed.
    pub(crate) has_removed_dateranges: bool,
}

/// One complete segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) uri: String,
    pub(crate) duration_us: u64,
    pub(crate) parts: Vec<Part>,
    pub(crate) has_discontinuity: bool,
    pub(crate) is_gap: bool,
    /// The `EXT-X-MAP` in force.
    pub(crate) map: Option<String>,
    /// `EXT-X-PROGRAM-DATE-TIME` as it stands there.
    pub(crate) date: Option<String>,
    /// All its lines but those of parts and of `EXT-X-MAP`, which stands where it changes and at
    /// the first segment.
    pub(crate) lines: Vec<String>,
    /// All its lines.
    pub(crate) block: Vec<String>,
}

/// `EXT-X-PART`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) uri: String,
    pub(crate) duration_us: u64,
    pub(crate) is_independent: bool,
    pub(crate) is_gap: bool,
    pub(crate) byte_range: Option<String>,
}

/// `EXT-X-PRELOAD-HINT`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hint {
    pub(crate) kind: String,
    pub(crate) uri: String,
}

/// `EXT-X-RENDITION-REPORT`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) uri: String,
    pub(crate) last_msn: Option<u64>,
    pub(crate) last_part: Option<u64>,
}

/// `EXT-X-DATERANGE`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DateRange {
    pub(crate) id: String,
    pub(crate) class: Option<String>,
    pub(crate) start: Option<String>,
    pub(crate) line: String,
}

/// How far a playlist goes: the last complete segment (none is `None`), and parts of the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Edge {
    /// The media sequence number of the segment that is not complete.
    pub(crate) msn: u64,
    /// How many of its parts are there.
    pub(crate) parts: u64,
}

/// What is gathered until a segment's address comes.
#[derive(Debug, Default)]
struct Pending {
    segment: Segment,
    has_duration: bool,
    map_line: Option<String>,
}

impl Playlist {
    /// Reads a playlist; what is wrong stands in [`Playlist::faults`].
    pub(crate) fn parse(text: &str) -> Playlist {
        let mut list = Playlist {
            text: text.to_owned(),
            version: 1,
            ..Playlist::default()
        };
        list.check_text();
        let mut pending = Pending::default();
        let mut map = None;
        for line in text.lines().map(|line| line.trim_end_matches('\r')) {
            if line.is_empty() || line == "#EXTM3U" {
                continue;
            }
            if line.starts_with("#EXT-X-SKIP:") {
                // Which map is in force there is known from the list before.
                map = None;
            }
            match line.strip_prefix('#') {
                Some(tag) => list.on_tag(line, tag, &mut pending, &mut map),
                None => list.on_uri(line, &mut pending, &map),
            }
        }
        list.parts = pending.segment.parts;
        list.tail = pending.segment.block;
        if pending.has_duration {
            list.faults.push("EXTINF without a segment".to_owned());
        }
        list
    }

    fn check_text(&mut self) {
        let text = &self.text;
        if text.starts_with('\u{feff}') {
            self.faults.push("a byte order mark".to_owned());
        }
        if text.lines().next() != Some("#EXTM3U") {
            self.faults.push("the first line is not #EXTM3U".to_owned());
        }
        let control = |letter: char| letter.is_control() && letter != '\r' || letter == '\u{fffd}';
        // Ids of date ranges have tabs between them (section 4.4.5.2).
        let is_wrong = |line: &&str| match line.strip_prefix("#EXT-X-SKIP:") {
            Some(skip) => skip.replace('\t', "").contains(control),
            None => line.contains(control),
        };
        if let Some(line) = text.split('\n').find(is_wrong) {
            self.faults.push(format!("no plain text in {line:?}"));
        }
        if !text.ends_with('\n') {
            self.faults.push("the last line does not end".to_owned());
        }
    }

    fn on_uri(&mut self, line: &str, pending: &mut Pending, map: &Option<String>) {
        let mut segment = std::mem::take(&mut pending.segment);
        segment.uri = line.to_owned();
        segment.lines.push(line.to_owned());
        segment.block.push(line.to_owned());
        segment.map.clone_from(map);
        if !std::mem::take(&mut pending.has_duration) {
            self.faults.push(format!("{line} has no EXTINF"));
        }
        pending.map_line = None;
        self.segments.push(segment);
    }

    fn on_tag(&mut self, line: &str, tag: &str, pending: &mut Pending, map: &mut Option<String>) {
        let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
        match name {
            "EXTINF"
            | "EXT-X-DISCONTINUITY"
            | "EXT-X-GAP"
            | "EXT-X-PROGRAM-DATE-TIME"
            | "EXT-X-PART"
            | "EXT-X-MAP"
            | "EXT-X-BYTERANGE"
            | "EXT-X-BITRATE"
            | "EXT-X-KEY" => {
                self.on_segment_tag(line, name, value, pending, map);
            }
            "EXT-X-SKIP" | "EXT-X-PRELOAD-HINT" | "EXT-X-RENDITION-REPORT" | "EXT-X-DATERANGE" => {
                match Attributes::parse(value) {
                    Ok(attributes) => self.on_list_tag(line, name, &attributes),
                    Err(fault) => self.faults.push(format!("{name}: {fault}")),
                }
            }
            _ => self.on_header_tag(line, name, value),
        }
    }

    fn on_segment_tag(
        &mut self,
        line: &str,
        name: &str,
        value: &str,
        pending: &mut Pending,
        map: &mut Option<String>,
    ) {
        let segment = &mut pending.segment;
        segment.block.push(line.to_owned());
        if !matches!(name, "EXT-X-PART" | "EXT-X-MAP") {
            segment.lines.push(line.to_owned());
        }
        match name {
            "EXTINF" => {
                let number = value.split(',').next().unwrap_or_default();
                pending.has_duration = true;
                match seconds_us(number).filter(|_| value.contains(',')) {
                    Some(duration_us) => segment.duration_us = duration_us,
                    None => self.faults.push(format!("`{line}` has no duration")),
                }
            }
            "EXT-X-DISCONTINUITY" => segment.has_discontinuity = true,
            "EXT-X-GAP" => segment.is_gap = true,
            "EXT-X-PROGRAM-DATE-TIME" => segment.date = Some(value.to_owned()),
            "EXT-X-MAP" => match Attributes::parse(value) {
                Ok(attributes) => match attributes.quoted("URI") {
                    Some(uri) => *map = Some(uri.to_owned()),
                    None => self.faults.push("EXT-X-MAP without URI".to_owned()),
                },
                Err(fault) => self.faults.push(format!("{name}: {fault}")),
            },
            "EXT-X-PART" => match Attributes::parse(value) {
                Ok(attributes) => match part(&attributes) {
                    Some(part) => segment.parts.push(part),
                    None => self.faults.push(format!("`{line}` lacks URI or DURATION")),
                },
                Err(fault) => self.faults.push(format!("{name}: {fault}")),
            },
            _ => {}
        }
    }

    fn on_list_tag(&mut self, line: &str, name: &str, attributes: &Attributes) {
        let uri = attributes.quoted("URI").map(str::to_owned);
        match name {
            "EXT-X-SKIP" => match attributes.integer("SKIPPED-SEGMENTS") {
                Some(segments) => self.skips.push(Skip {
                    segments,
                    has_removed_dateranges: attributes
                        .quoted("RECENTLY-REMOVED-DATERANGES")
                        .is_some(),
                }),
                None => self.faults.push("EXT-X-SKIP without a number".to_owned()),
            },
            "EXT-X-PRELOAD-HINT" => match (attributes.plain("TYPE"), uri) {
                (Some(kind), Some(uri)) => self.hints.push(Hint {
                    kind: kind.to_owned(),
                    uri,
                }),
                _ => self.faults.push(format!("`{line}` lacks TYPE or URI")),
            },
            "EXT-X-RENDITION-REPORT" => match uri {
                Some(uri) => self.reports.push(Report {
                    uri,
                    last_msn: attributes.integer("LAST-MSN"),
                    last_part: attributes.integer("LAST-PART"),
                }),
                None => self.faults.push(format!("`{line}` lacks URI")),
            },
            _ => match attributes.quoted("ID") {
                Some(id) => self.dateranges.push(DateRange {
                    id: id.to_owned(),
                    class: attributes.quoted("CLASS").map(str::to_owned),
                    start: attributes.quoted("START-DATE").map(str::to_owned),
                    line: line.to_owned(),
                }),
                None => self.faults.push(format!("`{line}` lacks ID")),
            },
        }
    }

    fn on_header_tag(&mut self, line: &str, name: &str, value: &str) {
        self.header.push(line.to_owned());
        let number = integer(value);
        let wanted = match name {
            "EXT-X-VERSION" => {
                self.version = number.unwrap_or(0);
                number
            }
            "EXT-X-TARGETDURATION" => {
                self.target_s = number;
                number
            }
            "EXT-X-MEDIA-SEQUENCE" => {
                self.media_sequence = number.unwrap_or(0);
                number
            }
            "EXT-X-DISCONTINUITY-SEQUENCE" => {
                self.discontinuity_sequence = number;
                number
            }
            "EXT-X-PLAYLIST-TYPE" => {
                self.playlist_type = Some(value.to_owned());
                return;
            }
            "EXT-X-ENDLIST" => {
                self.is_ended = true;
                return;
            }
            "EXT-X-SERVER-CONTROL" | "EXT-X-PART-INF" => {
                self.on_control(name, value);
                return;
            }
            _ => return,
        };
        if wanted.is_none() {
            self.faults.push(format!("`{line}` has no number"));
        }
        let twice = self.header.iter().filter(|other| {
            other
                .strip_prefix('#')
                .and_then(|tag| tag.split(':').next())
                == Some(name)
        });
        if twice.count() > 1 {
            self.faults.push(format!("{name} stands twice"));
        }
    }

    fn on_control(&mut self, name: &str, value: &str) {
        let attributes = match Attributes::parse(value) {
            Ok(attributes) => attributes,
            Err(fault) => {
                self.faults.push(format!("{name}: {fault}"));
                return;
            }
        };
        if name == "EXT-X-PART-INF" {
            self.part_target_us = attributes.seconds_us("PART-TARGET");
            return;
        }
        self.control = Some(Control {
            line: value.to_owned(),
            can_block: attributes.is_yes("CAN-BLOCK-RELOAD"),
            hold_back_us: attributes.seconds_us("HOLD-BACK"),
            part_hold_back_us: attributes.seconds_us("PART-HOLD-BACK"),
            skip_until_us: attributes.seconds_us("CAN-SKIP-UNTIL"),
            skips_dateranges: attributes.is_yes("CAN-SKIP-DATERANGES"),
        });
    }

    /// How many segments are left out in front.
    pub(crate) fn skipped(&self) -> u64 {
        self.skips.iter().map(|skip| skip.segments).sum()
    }

    /// Whether segments are left out.
    pub(crate) fn is_delta(&self) -> bool {
        !self.skips.is_empty()
    }

    /// Each segment with its media sequence number.
    pub(crate) fn numbered(&self) -> impl DoubleEndedIterator<Item = (u64, &Segment)> {
        let first = self.media_sequence.saturating_add(self.skipped());
        let numbered = self.segments.iter().enumerate();
        numbered.map(move |(at, segment)| (first.saturating_add(at as u64), segment))
    }

    /// How far it goes.
    pub(crate) fn edge(&self) -> Edge {
        let skipped = self.media_sequence.saturating_add(self.skipped());
        Edge {
            msn: skipped.saturating_add(self.segments.len() as u64),
            parts: self.parts.len() as u64,
        }
    }

    /// The parts that are listed, in their order, with their segment and index in it.
    pub(crate) fn all_parts(&self) -> impl Iterator<Item = (Edge, &Part)> {
        let at = |msn: u64| {
            move |(index, part)| {
                let parts = index as u64;
                (Edge { msn, parts }, part)
            }
        };
        let complete = self
            .numbered()
            .flat_map(move |(msn, segment)| segment.parts.iter().enumerate().map(at(msn)));
        complete.chain(self.parts.iter().enumerate().map(at(self.edge().msn)))
    }

    /// The target duration in microseconds; zero where it is missing.
    pub(crate) fn target_us(&self) -> u64 {
        self.target_s.unwrap_or(0).saturating_mul(1_000_000)
    }

    /// Microseconds from the end of segment `at` to the end of the list.
    pub(crate) fn behind_us(&self, at: usize) -> u64 {
        let segments = self.segments.get(at + 1..).unwrap_or_default();
        let segments: u64 = segments.iter().map(|segment| segment.duration_us).sum();
        let parts: u64 = self.parts.iter().map(|part| part.duration_us).sum();
        segments + parts
    }

    /// The playing time of all that is listed, in microseconds.
    pub(crate) fn duration_us(&self) -> u64 {
        let all: u64 = self
            .segments
            .iter()
            .map(|segment| segment.duration_us)
            .sum();
        all + self.parts.iter().map(|part| part.duration_us).sum::<u64>()
    }
}

fn part(attributes: &Attributes) -> Option<Part> {
    Some(Part {
        uri: attributes.quoted("URI")?.to_owned(),
        duration_us: attributes.seconds_us("DURATION")?,
        is_independent: attributes.is_yes("INDEPENDENT"),
        is_gap: attributes.is_yes("GAP"),
        byte_range: attributes.quoted("BYTERANGE").map(str::to_owned),
    })
}

/// Microseconds since 1970 of a date with zone and at least milliseconds (ISO 8601), as the
/// playlist wants it.
pub(crate) fn date_us(text: &str) -> Option<i64> {
    let (_, time) = text.split_once('T')?;
    let (_, fraction) = time.split_once('.')?;
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
    // The zone is `Z`, or an offset.
    let has_zone = fraction.ends_with('Z') || fraction.get(digits..)?.len() >= 5;
    let date: Timestamp = text.parse().ok()?;
    (digits >= 3 && has_zone).then(|| date.as_microsecond())
}
