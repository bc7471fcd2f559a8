//! Writes media playlists (draft-pantos-hls-rfc8216bis section 4.4). What is written follows from
//! the list alone, so that a delta update with the skipped lines put back is the whole list.

use std::fmt::Write;

use super::daterange::Dateranges;
use super::list::{List, seconds};
use super::name::{RenditionId, Resource};
use super::step::{Playlist, Rendered};
use super::timing::Timing;

/// Section 8: EXT-X-SKIP needs 9. The whole list says the same, so that it differs from its
/// delta in the skipped lines only.
const VERSION: u32 = 9;

/// Section 8: left out date ranges need 10.
const VERSION_SKIPPED_DATERANGES: u32 = 10;

/// A rendition, its last segment, and the last part of that; a gap has no parts.
pub(super) type Report = (RenditionId, u64, Option<u32>);

/// What a playlist says beside its own segments.
#[derive(Debug)]
pub(super) struct Surroundings<'s> {
    pub(super) timing: &'s Timing,
    pub(super) dateranges: &'s Dateranges,
    /// Every other rendition and its last part.
    pub(super) reports: &'s [Report],
    /// The init segment of the next segment; none where it is packed.
    pub(super) next_map: Option<u32>,
    /// Counts the rendition's playlists.
    pub(super) version: u64,
}

/// Writes all forms of the playlist.
pub(super) fn render(list: &List, around: &Surroundings<'_>) -> Playlist {
    let skipped = skipped(list, around.timing);
    let tag = |form: &str| format!("{}.{}.{}{form}", list.epoch, list.rendition, around.version);
    let delta = (skipped > 0 && !list.ended)
        .then(|| Rendered::new(write(list, around, Form::Delta(skipped)), &tag("d")));
    let old_dates = around.dateranges.skippable(around.timing.skip_until_us);
    let delta_v2 = (skipped > 0 && !list.ended && old_dates > 0).then(|| {
        let form = Form::DeltaDates(skipped, old_dates);
        Rendered::new(write(list, around, form), &tag("e"))
    });
    Playlist {
        edge: list.edge(),
        ended: list.ended,
        has_segments: list.complete().next().is_some(),
        full: Rendered::new(write(list, around, Form::Full), &tag("")),
        delta,
        delta_v2,
    }
}

/// How many segments are older than the skip boundary.
fn skipped(list: &List, timing: &Timing) -> usize {
    let open_us = list.open().map_or(0, |segment| segment.duration_us);
    let mut behind_us = list.complete_us + open_us;
    let mut count = 0;
    for segment in list.complete() {
        behind_us -= segment.duration_us;
        if behind_us <= timing.skip_until_us {
            break;
        }
        count += 1;
    }
    count
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Full,
    Delta(usize),
    DeltaDates(usize, usize),
}

fn write(list: &List, around: &Surroundings<'_>, form: Form) -> String {
    let timing = around.timing;
    let (version, skipped, old_dates) = match form {
        Form::Full => (VERSION, 0, 0),
        Form::Delta(skipped) => (VERSION, skipped, 0),
        Form::DeltaDates(skipped, dates) => (VERSION_SKIPPED_DATERANGES, skipped, dates),
    };
    let mut text = String::with_capacity(1_024 + 160 * list.segments.len());
    let _ = writeln!(text, "#EXTM3U\n#EXT-X-VERSION:{version}");
    let _ = writeln!(text, "#EXT-X-TARGETDURATION:{}", timing.target_duration_s);
    text.push_str(&timing.control_lines);
    let _ = writeln!(text, "#EXT-X-MEDIA-SEQUENCE:{}", list.first_msn());
    let _ = writeln!(
        text,
        "#EXT-X-DISCONTINUITY-SEQUENCE:{}",
        list.discontinuity_sequence
    );
    around.dateranges.write_to(&mut text, old_dates);
    text.push_str(&list.first_map_line().unwrap_or_default());
    if skipped > 0 {
        let _ = write!(text, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}");
        if let Form::DeltaDates(..) = form {
            let removed = around.dateranges.recently_removed();
            let _ = write!(text, ",RECENTLY-REMOVED-DATERANGES=\"{removed}\"");
        }
        text.push('\n');
    }
    write_segments(&mut text, list, timing, skipped);
    if list.ended {
        text.push_str("#EXT-X-ENDLIST\n");
    } else {
        write_hints(&mut text, list, around.next_map);
        write_reports(&mut text, around.reports);
    }
    text
}

fn write_segments(text: &mut String, list: &List, timing: &Timing, skipped: usize) {
    let open_us = list.open().map_or(0, |segment| segment.duration_us);
    let mut behind_us = list.complete_us + open_us;
    for (at, segment) in list.segments.iter().enumerate() {
        // From the segment's end to that of the list.
        behind_us -= segment.duration_us;
        if at < skipped {
            continue;
        }
        // Section 6.2.2: parts leave when they are three target durations old.
        let with_parts = behind_us <= timing.parts_until_us;
        segment.write_to(text, with_parts);
    }
}

/// Section 4.4.5.3: what the next request will be for.
fn write_hints(text: &mut String, list: &List, next_map: Option<u32>) {
    let edge = list.edge();
    if let Some(map) = next_map.filter(|map| edge.parts == 0 && list.changes_map(*map)) {
        let name = list.init_name(map);
        let _ = writeln!(text, "#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"{name}\"");
    }
    let name = list.part_name(edge.msn, edge.parts);
    let _ = writeln!(text, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{name}\"");
}

/// Section 4.4.5.4.
fn write_reports(text: &mut String, reports: &[Report]) {
    for &(rendition, msn, part) in reports {
        let name = Resource::Playlist(rendition);
        let _ = write!(
            text,
            "#EXT-X-RENDITION-REPORT:URI=\"{name}\",LAST-MSN={msn}"
        );
        if let Some(part) = part {
            let _ = write!(text, ",LAST-PART={part}");
        }
        text.push('\n');
    }
}

/// EXT-X-SERVER-CONTROL and EXT-X-PART-INF, the same in all playlists of a mount
/// (section 4.4.3.8).
pub(super) fn control_lines(
    part_us: u64,
    part_hold_back_us: u64,
    hold_back_us: u64,
    skip_until_us: u64,
) -> String {
    let mut text = String::from("#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=");
    seconds(&mut text, part_hold_back_us);
    text.push_str(",HOLD-BACK=");
    seconds(&mut text, hold_back_us);
    text.push_str(",CAN-SKIP-UNTIL=");
    seconds(&mut text, skip_until_us);
    text.push_str(",CAN-SKIP-DATERANGES=YES\n#EXT-X-PART-INF:PART-TARGET=");
    seconds(&mut text, part_us);
    text.push('\n');
    text
}
