//! What is listed, as a DASH manifest: written once for each segment, over the same files.

use std::sync::Arc;
use std::time::Duration;

use super::list::{Segment, iso_8601};
use super::name::Resource;
use super::packager::Packager;
use super::rendition::{Rendition, rounded_ms};
use super::step::{Rendered, Step};
use crate::dash;

/// How far behind players should be, in target durations: as the hold-back of HLS.
const DELAY_TARGETS: u32 = 3;

/// One rendition's segments of one period.
#[derive(Debug)]
struct Track {
    id: String,
    at: usize,
    number: u64,
    init_uri: String,
    media_uri: String,
    segments: Vec<dash::Segment>,
    zero_ticks: u64,
}

impl Packager {
    /// The manifest, if another segment of all renditions is complete or there will be no more.
    /// Packed sound has none.
    pub(super) fn write_manifest(&mut self) {
        let slowest = self.renditions.iter().map(|one| one.list.open_msn).min();
        let ended = self.renditions.iter().all(|one| one.list.ended);
        let packed = self.renditions.iter().any(|one| one.packed);
        let (Some(timing), Some(slowest)) = (&self.timing, slowest) else {
            return;
        };
        if packed || self.manifest_of == (slowest, ended) {
            return;
        }
        self.manifest_of = (slowest, ended);
        let tracks: Vec<(Period, Vec<Track>)> = self
            .periods()
            .into_iter()
            .map(|period| (period, self.tracks_of(&period)))
            .filter(|(_, tracks)| !tracks.is_empty())
            .collect();
        let Some((first, _)) = tracks.first() else {
            return;
        };
        let start_ms = *self.manifest_start_ms.get_or_insert(first.unix_ms);
        let longer_us = tracks.first().and_then(|(_, tracks)| self.first_us(tracks));
        let target_us = *self
            .manifest_target_us
            .get_or_insert(timing.target_us.max(longer_us.unwrap_or(0)));
        let representations: Vec<Vec<dash::Representation<'_>>> = tracks
            .iter()
            .map(|(period, tracks)| tracks.iter().map(|one| self.offered(period, one)).collect())
            .collect();
        let periods: Vec<dash::Period<'_>> = tracks
            .iter()
            .zip(&representations)
            .map(|((period, _), representations)| dash::Period {
                number: period.number,
                start: Duration::from_millis(
                    u64::try_from(period.unix_ms.saturating_sub(start_ms)).unwrap_or(0),
                ),
                representations,
            })
            .collect();
        let clock = format!("{}{}", self.settings.prefix, Resource::Multivariant);
        let now_ms = rounded_ms(self.clock.newest_ns.saturating_add(self.clock.wall_ns));
        let target_duration = Duration::from_secs(u64::from(timing.target_duration_s));
        let text = dash::Manifest {
            // Some players count from here and do not look at where a period starts.
            start: &iso_8601(start_ms),
            published: &iso_8601(now_ms),
            target: Duration::from_micros(target_us),
            window: Duration::from_micros(timing.window_us),
            delay: target_duration * DELAY_TARGETS,
            live: None,
            clock: dash::Clock::Header(&clock),
            periods: &periods,
            is_ended: ended,
        }
        .write();
        let tag = format!("{}.d.{slowest}{}", self.settings.epoch, u8::from(ended));
        self.steps
            .push_back(Step::Manifest(Arc::new(Rendered::manifest(text, &tag))));
    }

    /// How long the first segment of the leader is: keyframes may be further apart than the target.
    fn first_us(&self, tracks: &[Track]) -> Option<u64> {
        let track = tracks.first()?;
        let first = track.segments.first()?;
        let rendition = self.renditions.get(track.at)?;
        let micros = rendition.micros(first.duration_ticks);
        Some(unrounded(micros, rendition.track.format.frame_rate_millihz))
    }

    /// The leader's, with the configuration that it has now.
    fn periods(&self) -> Vec<Period> {
        let mut periods: Vec<Period> = Vec::new();
        let Some(leader) = self.renditions.first() else {
            return periods;
        };
        for segment in leader.list.complete() {
            if segment.map != leader.listed_map() {
                continue;
            }
            let (number, start_ns, unix_ms, first_msn) = segment.period;
            match periods.last_mut() {
                Some(last) if last.number == number => last.end_msn = segment.msn + 1,
                _ => periods.push(Period {
                    number,
                    start_ns,
                    unix_ms,
                    first_msn,
                    end_msn: segment.msn + 1,
                }),
            }
        }
        periods
    }

    /// What each rendition has of a period, up to its first gap.
    fn tracks_of(&self, period: &Period) -> Vec<Track> {
        let mut tracks = Vec::new();
        for (at, rendition) in self.renditions.iter().enumerate() {
            let found: Vec<&Segment> = rendition
                .list
                .complete()
                .filter(|one| (period.first_msn..period.end_msn).contains(&one.msn))
                .filter(|one| one.map == rendition.listed_map())
                .skip_while(|one| one.gap)
                .take_while(|one| !one.gap)
                .collect();
            let Some(first) = found.first() else { continue };
            tracks.push(rendition.track_of(at, first, &found, period, &self.settings.prefix));
        }
        tracks
    }

    fn offered<'t>(&'t self, period: &Period, track: &'t Track) -> dash::Representation<'t> {
        let rendition = &self.renditions[track.at];
        let average_bps = rendition.average_bps().unwrap_or(rendition.guessed_bps);
        let usual_us = rendition.micros(rendition.cutter.usual()).max(1);
        dash::Representation {
            id: &track.id,
            format: &rendition.track.format,
            frame_rate_millihz: u32::try_from(1_000_000_000 / usual_us).unwrap_or(0),
            bandwidth_bps: rendition.peak_bps.max(average_bps),
            timescale: rendition.timescale(),
            zero_ticks: track.zero_ticks,
            first_number: period.first_msn,
            init_uri: &track.init_uri,
            media_uri: &track.media_uri,
            number: track.number,
            segments: &track.segments,
            has_titles: track.at == 0,
        }
    }
}

/// The length of a segment without the rounding of its pictures' times to milliseconds: a whole
/// number of pictures, or of tenths of a second where nobody says how many pictures there are.
fn unrounded(micros: u64, rate_millihz: u32) -> u64 {
    const OFF_US_MAX: u64 = 2_000;
    let nearest = match u64::from(rate_millihz) {
        0 => (micros + 50_000) / 100_000 * 100_000,
        rate => (micros.saturating_mul(rate) + 500_000_000) / 1_000_000_000 * 1_000_000_000 / rate,
    };
    if nearest.abs_diff(micros) <= OFF_US_MAX {
        nearest
    } else {
        micros
    }
}

/// Time without a discontinuity.
#[derive(Clone, Copy, Debug)]
struct Period {
    number: u32,
    /// Where it starts on the line.
    start_ns: i64,
    /// The same in milliseconds since 1970.
    unix_ms: i64,
    first_msn: u64,
    /// Its segments are below this.
    end_msn: u64,
}

impl Rendition {
    fn track_of(
        &self,
        at: usize,
        first: &Segment,
        segments: &[&Segment],
        period: &Period,
        prefix: &str,
    ) -> Track {
        let end = |one: &Segment| {
            let duration_ns = i64::try_from(one.duration_us.saturating_mul(1_000));
            self.ticks(one.start_ns.saturating_add(duration_ns.unwrap_or(0)))
        };
        let starts = segments.iter().map(|one| self.ticks(one.start_ns));
        let ends = segments.iter().skip(1).map(|one| self.ticks(one.start_ns));
        let ends = ends.chain(segments.last().map(|last| end(last)));
        let segments = starts.zip(ends).map(|(start_ticks, end)| dash::Segment {
            start_ticks,
            duration_ticks: end.saturating_sub(start_ticks),
        });
        let epoch = &self.list.epoch;
        Track {
            id: self.id.to_string(),
            at,
            number: first.msn,
            init_uri: format!("{prefix}{}", self.list.init_name(self.map)),
            media_uri: format!("{prefix}{}-{epoch}-$Number$.m4s", self.id),
            segments: segments.collect(),
            zero_ticks: self.ticks(period.start_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::unrounded;

    #[test]
    fn lengths_are_those_of_whole_pictures() {
        for (micros, rate_millihz, expected) in [
            (1_999_000, 0, 2_000_000),
            (2_002_001, 0, 2_002_001),
            (2_003_000, 29_970, 2_002_002),
            (999_500, 30_000, 1_000_000),
            // Times of their own.
            (1_983_000, 30_000, 1_983_000),
            (0, 25_000, 0),
        ] {
            assert_eq!(unrounded(micros, rate_millihz), expected, "{micros}");
        }
    }
}
