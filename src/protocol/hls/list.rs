//! One rendition's segments as they are listed. The lines of a segment are written when they
//! become true and never change.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::Arc;

use super::name::{RenditionId, Resource};
use super::step::Edge;

/// A listed segment.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) msn: u64,
    /// Where it starts on the mount's line, in nanoseconds.
    pub(super) start_ns: i64,
    /// Milliseconds since 1970.
    pub(super) unix_ms: i64,
    pub(super) duration_us: u64,
    pub(super) bytes: u64,
    pub(super) parts: u32,
    pub(super) discontinuity: bool,
    /// Whether time of it has no media.
    pub(super) gap: bool,
    /// Whether its first unit is a keyframe.
    pub(super) independent: bool,
    /// The number of its init segment; none where it is packed.
    pub(super) map: Option<u32>,
    /// The last discontinuity: how many there were, where it is on the line and in milliseconds
    /// since 1970, and the number of the segment behind it.
    pub(super) period: (u32, i64, i64, u64),
    /// EXT-X-DISCONTINUITY, EXT-X-MAP and EXT-X-PROGRAM-DATE-TIME.
    head: String,
    has_map_line: bool,
    part_lines: String,
    /// EXT-X-GAP, EXTINF and the address; empty until it is complete.
    tail: String,
}

/// What a part's line says.
#[derive(Clone, Copy, Debug)]
pub(super) struct PartLine {
    pub(super) duration_us: u64,
    pub(super) keyframe: bool,
    pub(super) first_is_keyframe: bool,
    pub(super) gap: bool,
    pub(super) bytes: u64,
}

impl PartLine {
    /// A part that never came.
    pub(super) fn gap(duration_us: u64) -> Self {
        PartLine {
            duration_us,
            keyframe: false,
            first_is_keyframe: false,
            gap: true,
            bytes: 0,
        }
    }
}

/// How the next segment starts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    pub(super) start_ns: i64,
    /// Milliseconds since 1970.
    pub(super) unix_ms: i64,
    pub(super) map: Option<u32>,
    pub(super) discontinuity: bool,
}

/// The list of one rendition.
#[derive(Debug)]
pub(super) struct List {
    pub(super) rendition: RenditionId,
    pub(super) epoch: Arc<str>,
    /// Complete ones, and behind them the open one, once it has a part.
    pub(super) segments: VecDeque<Segment>,
    /// The number of the open segment.
    pub(super) open_msn: u64,
    pub(super) discontinuity_sequence: u64,
    pub(super) ended: bool,
    /// The length of the complete ones.
    pub(super) complete_us: u64,
    /// Whether what comes next is packed sound.
    pub(super) packed: bool,
}

impl List {
    pub(super) fn new(rendition: RenditionId, epoch: Arc<str>, first_msn: u64) -> Self {
        List {
            rendition,
            epoch,
            segments: VecDeque::new(),
            open_msn: first_msn,
            discontinuity_sequence: 0,
            ended: false,
            complete_us: 0,
            packed: false,
        }
    }

    /// The open segment, if it has parts.
    pub(super) fn open(&self) -> Option<&Segment> {
        self.segments
            .back()
            .filter(|segment| segment.msn == self.open_msn)
    }

    pub(super) fn complete(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.segments
            .iter()
            .filter(|segment| segment.msn < self.open_msn)
    }

    pub(super) fn first_msn(&self) -> u64 {
        self.segments
            .front()
            .map_or(self.open_msn, |segment| segment.msn)
    }

    pub(super) fn edge(&self) -> Edge {
        let parts = self.open().map_or(0, |segment| segment.parts);
        let before = self.complete().next_back();
        Edge {
            msn: self.open_msn,
            parts,
            parts_before: before.map_or(0, |segment| segment.parts),
        }
    }

    /// The last segment that is listed, and its last part if it has parts.
    pub(super) fn last(&self) -> Option<(u64, Option<u32>)> {
        let last = self.segments.back()?;
        Some((last.msn, last.parts.checked_sub(1)))
    }

    /// Lists a segment that never came, without parts. The one before is complete.
    pub(super) fn push_gap(&mut self, opening: Opening, duration_us: u64) {
        let mut segment = self.opened(opening);
        segment.gap = true;
        segment.duration_us = duration_us;
        self.segments.push_back(segment);
        self.close();
    }

    /// Lists a part of the open segment, which starts with it as `opening` says if it has none.
    pub(super) fn push_part(&mut self, opening: Opening, part: PartLine) -> (u64, u32) {
        if self.open().is_none() {
            let segment = self.opened(opening);
            self.segments.push_back(segment);
        }
        let msn = self.open_msn;
        let name = self.part_name(msn, self.open().map_or(0, |segment| segment.parts));
        let Some(segment) = self.segments.back_mut() else {
            return (msn, 0);
        };
        let index = segment.parts;
        if index == 0 {
            segment.independent = part.first_is_keyframe;
        }
        segment.parts += 1;
        segment.duration_us += part.duration_us;
        segment.bytes += part.bytes;
        segment.gap |= part.gap;
        let lines = &mut segment.part_lines;
        lines.push_str("#EXT-X-PART:DURATION=");
        seconds(lines, part.duration_us);
        let _ = write!(lines, ",URI=\"{name}\"");
        if part.gap {
            lines.push_str(",GAP=YES");
        } else if part.keyframe {
            lines.push_str(",INDEPENDENT=YES");
        }
        lines.push('\n');
        (msn, index)
    }

    /// Ends the open segment at `duration_us`; says nothing where it has no parts.
    pub(super) fn close(&mut self) -> bool {
        let name = Resource::Segment {
            rendition: self.rendition,
            epoch: &self.epoch,
            msn: self.open_msn,
            packed: self.packed,
        }
        .to_string();
        let open_msn = self.open_msn;
        let Some(segment) = self.segments.back_mut().filter(|last| last.msn == open_msn) else {
            return false;
        };
        if segment.gap {
            segment.tail.push_str("#EXT-X-GAP\n");
        }
        segment.tail.push_str("#EXTINF:");
        seconds(&mut segment.tail, segment.duration_us);
        let _ = write!(segment.tail, ",\n{name}\n");
        self.complete_us += segment.duration_us;
        self.open_msn += 1;
        true
    }

    /// Removes complete segments below `msn`.
    pub(super) fn drop_below(&mut self, msn: u64) {
        while self
            .segments
            .front()
            .is_some_and(|first| first.msn < msn && first.msn < self.open_msn)
        {
            if let Some(gone) = self.segments.pop_front() {
                self.complete_us -= gone.duration_us;
                self.discontinuity_sequence += u64::from(gone.discontinuity);
            }
        }
    }

    pub(super) fn part_name(&self, msn: u64, part: u32) -> String {
        Resource::Part {
            rendition: self.rendition,
            epoch: &self.epoch,
            msn,
            part,
            packed: self.packed,
        }
        .to_string()
    }

    pub(super) fn init_name(&self, number: u32) -> String {
        Resource::Init {
            rendition: self.rendition,
            epoch: &self.epoch,
            number,
        }
        .to_string()
    }

    fn opened(&self, opening: Opening) -> Segment {
        let before = self.segments.back();
        let new_map = opening.map.filter(|_| {
            opening.discontinuity || before.is_some_and(|before| before.map != opening.map)
        });
        let period = match before {
            Some(before) if !opening.discontinuity => before.period,
            _ => {
                let number = before.map_or(0, |before| before.period.0 + 1);
                (number, opening.start_ns, opening.unix_ms, self.open_msn)
            }
        };
        let mut head = String::with_capacity(160);
        if opening.discontinuity {
            head.push_str("#EXT-X-DISCONTINUITY\n");
        }
        if let Some(map) = new_map {
            head.push_str(&self.map_line(map));
        }
        let _ = writeln!(
            head,
            "#EXT-X-PROGRAM-DATE-TIME:{}",
            iso_8601(opening.unix_ms)
        );
        Segment {
            msn: self.open_msn,
            start_ns: opening.start_ns,
            unix_ms: opening.unix_ms,
            duration_us: 0,
            bytes: 0,
            parts: 0,
            discontinuity: opening.discontinuity,
            gap: false,
            independent: false,
            map: opening.map,
            period,
            head,
            has_map_line: new_map.is_some(),
            part_lines: String::new(),
            tail: String::new(),
        }
    }

    pub(super) fn map_line(&self, number: u32) -> String {
        format!("#EXT-X-MAP:URI=\"{}\"\n", self.init_name(number))
    }

    /// The EXT-X-MAP before the first segment, where that has none of its own.
    pub(super) fn first_map_line(&self) -> Option<String> {
        let first = self.segments.front()?;
        let map = first.map.filter(|_| !first.has_map_line)?;
        Some(self.map_line(map))
    }

    /// Whether the next segment, with the init segment `map`, needs another than the newest.
    pub(super) fn changes_map(&self, map: u32) -> bool {
        let last = self.segments.back();
        last.is_some_and(|last| last.map != Some(map))
    }
}

impl Segment {
    /// Its lines; those of its parts only if asked for.
    pub(super) fn write_to(&self, text: &mut String, with_parts: bool) {
        text.push_str(&self.head);
        if with_parts {
            text.push_str(&self.part_lines);
        }
        text.push_str(&self.tail);
    }
}

/// Seconds with five decimals.
pub(super) fn seconds(text: &mut String, micros: u64) {
    let rounded = (micros + 5) / 10;
    let _ = write!(text, "{}.{:05}", rounded / 100_000, rounded % 100_000);
}

/// A date and time in UTC with milliseconds (ISO 8601), from milliseconds since 1970.
pub(super) fn iso_8601(unix_ms: i64) -> String {
    let days = unix_ms.div_euclid(86_400_000);
    let ms = unix_ms.rem_euclid(86_400_000);
    // Days since 0000-03-01, in eras of 400 years, so that leap days are the last of their year.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        ms / 3_600_000,
        ms / 60_000 % 60,
        ms / 1_000 % 60,
        ms % 1_000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_iso_8601_says() {
        for (unix_ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_001, "2024-02-29T23:59:59.001Z"),
            (1_735_689_599_500, "2024-12-31T23:59:59.500Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(iso_8601(unix_ms), expected);
        }
    }

    #[test]
    fn seconds_are_rounded_to_five_decimals() {
        for (micros, expected) in [
            (0, "0.00000"),
            (4, "0.00000"),
            (5, "0.00001"),
            (21_333, "0.02133"),
            (1_999_995, "2.00000"),
            (2_000_000, "2.00000"),
        ] {
            let mut text = String::new();
            seconds(&mut text, micros);
            assert_eq!(text, expected);
        }
    }
}
