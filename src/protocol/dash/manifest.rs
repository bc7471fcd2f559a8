//! The media presentation description (ISO/IEC 23009-1 section 5).

use std::fmt::Write;
use std::time::Duration;

use corecast_media::track::{TrackFormat, TrackKind};

use super::MANIFEST_BYTES_MAX;
use super::text::{Escaped, Span, Writer};

/// Section 8.4 and ISO/IEC 23009-1:2022 section 8.12.
const PROFILES: &str = "urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019";

/// Timed ID3 in the fragments.
const ID3_SCHEME: &str = "https://aomedia.org/emsg/ID3";

/// How often players ask for a manifest that changes with what is on offer only.
const UPDATE_COUNTED: Duration = Duration::from_secs(10);

/// Bytes that one line of a listed segment takes at most.
const SEGMENT_LINE_BYTES: usize = 80;

/// ffmpeg has 32 bits with a sign for a segment's number: of a longer one, the digits before the
/// last nine stand in the address.
const NUMBER_END: u64 = 1_000_000_000;

/// What is on offer.
#[derive(Clone, Copy, Debug)]
pub struct Manifest<'m> {
    /// The wall clock's time of the presentation's zero (ISO 8601 in UTC); never changes.
    pub start: &'m str,
    /// When this text was made (ISO 8601 in UTC).
    pub published: &'m str,
    /// How long a segment is to be; none is longer than twice that.
    pub target: Duration,
    /// How far back segments are kept.
    pub window: Duration,
    /// How far behind the live edge players should be.
    pub delay: Duration,
    /// For players that fetch a segment while it is made.
    pub live: Option<Live>,
    /// Where players read the server's clock.
    pub clock: Clock<'m>,
    /// One after another; a new one where a decoder's configuration or the clock jumps.
    pub periods: &'m [Period<'m>],
    /// Whether nothing will follow.
    pub is_ended: bool,
}

/// What low latency needs.
#[derive(Clone, Copy, Debug)]
pub struct Live {
    /// How long a part of a segment is.
    pub part: Duration,
    /// How far behind the source a player should be.
    pub latency: Duration,
}

/// A way to learn the server's time (section 5.8.5.7).
#[derive(Clone, Copy, Debug)]
pub enum Clock<'m> {
    /// The body of this address is the time, in ISO 8601.
    Body(&'m str),
    /// The header `Date` of this address is; exact to a second only.
    Header(&'m str),
}

/// Time without a change of what decoders are set up for.
#[derive(Clone, Copy, Debug)]
pub struct Period<'m> {
    /// Counts the periods; never given to another.
    pub number: u32,
    /// From the presentation's zero.
    pub start: Duration,
    /// Every track.
    pub representations: &'m [Representation<'m>],
}

/// One track's segments in a period.
#[derive(Clone, Copy, Debug)]
pub struct Representation<'m> {
    /// Its name.
    pub id: &'m str,
    /// What a decoder must know.
    pub format: &'m TrackFormat,
    /// Pictures in 1,000 seconds as measured, for formats that do not say; 0 for none.
    pub frame_rate_millihz: u32,
    /// The highest rate of a segment.
    pub bandwidth_bps: u64,
    /// Ticks per second of its media; never 0.
    pub timescale: u32,
    /// The decode time at which the period starts.
    pub zero_ticks: u64,
    /// The number of the period's first segment, whether it is kept or not.
    pub first_number: u64,
    /// Where the header is.
    pub init_uri: &'m str,
    /// Where segments are, with `$Number$` in it.
    pub media_uri: &'m str,
    /// The number of the first segment that is kept.
    pub number: u64,
    /// The complete segments that are kept, from that on.
    pub segments: &'m [Segment],
    /// Whether its fragments carry titles.
    pub has_titles: bool,
}

/// A complete segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its first decode time.
    pub start_ticks: u64,
    /// Its length.
    pub duration_ticks: u64,
}

impl Manifest<'_> {
    /// The text.
    pub fn write(&self) -> String {
        let counted = self.is_counted();
        let mut writer = Writer::default();
        writer.line(format_args!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>"));
        self.open(&mut writer, counted);
        if let (Some(live), true) = (self.live, counted) {
            writer.open("ServiceDescription", format_args!(" id=\"0\""));
            let target_ms = live.latency.as_millis();
            writer.empty("Latency", format_args!(" target=\"{target_ms}\""));
            writer.empty("PlaybackRate", format_args!(" min=\"0.96\" max=\"1.04\""));
            writer.close("ServiceDescription");
        }
        for period in self.periods {
            self.write_period(&mut writer, period, counted);
        }
        let (scheme, uri) = match self.clock {
            Clock::Body(uri) => ("http-iso", uri),
            Clock::Header(uri) => ("http-head", uri),
        };
        let uri = Escaped(uri);
        writer.empty(
            "UTCTiming",
            format_args!(" schemeIdUri=\"urn:mpeg:dash:utc:{scheme}:2014\" value=\"{uri}\""),
        );
        writer.close("MPD");
        writer.text
    }

    /// Whether all segments are where they are counted to be.
    fn is_counted(&self) -> bool {
        let representations = self
            .periods
            .iter()
            .flat_map(|period| period.representations);
        !self.is_ended
            && representations
                .into_iter()
                .all(|one| one.is_counted(self.target))
    }

    /// Section 5.3.1.
    fn open(&self, writer: &mut Writer, counted: bool) {
        let mut attributes = String::new();
        let (start, published) = (Escaped(self.start), Escaped(self.published));
        // A string takes everything.
        let _ = write!(
            attributes,
            " xmlns=\"urn:mpeg:dash:schema:mpd:2011\" profiles=\"{PROFILES}\" type=\"dynamic\" \
             availabilityStartTime=\"{start}\" publishTime=\"{published}\""
        );
        if self.is_ended {
            let end = Span(self.end());
            let _ = write!(attributes, " mediaPresentationDuration=\"{end}\"");
        } else {
            let update = Span(if counted { UPDATE_COUNTED } else { self.target });
            let _ = write!(attributes, " minimumUpdatePeriod=\"{update}\"");
        }
        let longest = Span(self.target.saturating_mul(2));
        // No longer than there is something: ffmpeg takes a start before the presentation's for one
        // in a far future, and plays one segment again and again.
        let least = self.delay.saturating_add(self.target);
        let window = Span(self.end().max(least).min(self.window));
        let (buffer, delay) = (Span(self.target.min(self.delay)), Span(self.delay));
        let _ = write!(
            attributes,
            " timeShiftBufferDepth=\"{window}\" maxSegmentDuration=\"{longest}\" \
             minBufferTime=\"{buffer}\" suggestedPresentationDelay=\"{delay}\""
        );
        writer.open("MPD", format_args!("{attributes}"));
    }

    /// Where the last segment ends, from the presentation's zero.
    fn end(&self) -> Duration {
        let ends = self.periods.iter().flat_map(|period| {
            let of = |one: &Representation<'_>| {
                let last = one.segments.last()?;
                let ticks = last.start_ticks.saturating_add(last.duration_ticks);
                let passed = one.span(ticks.saturating_sub(one.zero_ticks));
                Some(period.start.saturating_add(passed))
            };
            period.representations.iter().filter_map(of)
        });
        ends.max().unwrap_or_default()
    }

    /// Sections 5.3.2 and 5.3.3: every track is a choice of its own.
    fn write_period(&self, writer: &mut Writer, period: &Period<'_>, counted: bool) {
        let start = Span(period.start);
        let attributes = format_args!(" id=\"p{}\" start=\"{start}\"", period.number);
        writer.open("Period", attributes);
        for (index, one) in period.representations.iter().enumerate() {
            let kind = match one.format.codec.kind() {
                TrackKind::Video => "video",
                TrackKind::Audio => "audio",
            };
            writer.open(
                "AdaptationSet",
                format_args!(
                    " id=\"{index}\" contentType=\"{kind}\" mimeType=\"{kind}/mp4\" \
                     segmentAlignment=\"true\" startWithSAP=\"1\""
                ),
            );
            writer.empty(
                "Role",
                format_args!(" schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"main\""),
            );
            if one.has_titles {
                writer.empty(
                    "InbandEventStream",
                    format_args!(" schemeIdUri=\"{ID3_SCHEME}\""),
                );
            }
            one.write(writer);
            self.write_template(writer, one, counted);
            writer.close("Representation");
            writer.close("AdaptationSet");
        }
        writer.close("Period");
    }

    /// Section 5.3.9.4.
    fn write_template(&self, writer: &mut Writer, one: &Representation<'_>, counted: bool) {
        let mut attributes = String::new();
        let (above, media) = one.media();
        let (init, media) = (Escaped(one.init_uri), Escaped(&media));
        let (timescale, zero) = (one.timescale, one.zero_ticks);
        // A string takes everything.
        let _ = write!(
            attributes,
            " timescale=\"{timescale}\" presentationTimeOffset=\"{zero}\" \
             initialization=\"{init}\" media=\"{media}\""
        );
        if counted {
            let (number, duration) = (one.first_number - above, one.ticks(self.target));
            let _ = write!(
                attributes,
                " startNumber=\"{number}\" duration=\"{duration}\""
            );
            if let Some(live) = self.live {
                // From when a segment may be asked for: once its first part is there.
                let early = self.target.saturating_sub(live.part).as_millis();
                let _ = write!(
                    attributes,
                    " availabilityTimeOffset=\"{}.{:03}\" availabilityTimeComplete=\"false\"",
                    early / 1_000,
                    early % 1_000
                );
            }
            writer.empty("SegmentTemplate", format_args!("{attributes}"));
            return;
        }
        let representations: usize = self.periods.iter().map(|p| p.representations.len()).sum();
        let lines_max = MANIFEST_BYTES_MAX / SEGMENT_LINE_BYTES / representations.max(1);
        let dropped = one.segments.len().saturating_sub(lines_max);
        let number = one.number.saturating_add(dropped as u64) - above;
        let _ = write!(attributes, " startNumber=\"{number}\"");
        writer.open("SegmentTemplate", format_args!("{attributes}"));
        writer.open("SegmentTimeline", format_args!(""));
        write_timeline(writer, one.segments.get(dropped..).unwrap_or_default());
        writer.close("SegmentTimeline");
        writer.close("SegmentTemplate");
    }
}

/// Section 5.3.9.6: segments of one length are one line, and times are said where they jump.
fn write_timeline(writer: &mut Writer, segments: &[Segment]) {
    let mut expected = None;
    let mut rest = segments;
    while let Some(first) = rest.first() {
        let mut end = first.start_ticks.saturating_add(first.duration_ticks);
        let mut repeats = 0;
        for next in rest.iter().skip(1) {
            if next.start_ticks != end || next.duration_ticks != first.duration_ticks {
                break;
            }
            end = end.saturating_add(next.duration_ticks);
            repeats += 1;
        }
        let (start, duration) = (first.start_ticks, first.duration_ticks);
        let repeat = if repeats > 0 {
            format!(" r=\"{repeats}\"")
        } else {
            String::new()
        };
        if expected == Some(start) {
            writer.empty("S", format_args!(" d=\"{duration}\"{repeat}"));
        } else {
            writer.empty("S", format_args!(" t=\"{start}\" d=\"{duration}\"{repeat}"));
        }
        expected = Some(end);
        rest = rest.get(repeats + 1..).unwrap_or_default();
    }
}

impl Representation<'_> {
    /// Section 5.3.5; what is inside is written by the caller.
    fn write(&self, writer: &mut Writer) {
        let mut attributes = String::new();
        let (id, codecs) = (Escaped(self.id), Escaped(&self.format.rfc6381));
        let bandwidth = self.bandwidth_bps.max(1);
        // A string takes everything.
        let _ = write!(
            attributes,
            " id=\"{id}\" codecs=\"{codecs}\" bandwidth=\"{bandwidth}\""
        );
        let format = self.format;
        if format.codec.kind() == TrackKind::Audio {
            let _ = write!(
                attributes,
                " audioSamplingRate=\"{}\"",
                format.sample_rate_hz
            );
            writer.open("Representation", format_args!("{attributes}"));
            if format.channels > 0 {
                writer.empty(
                    "AudioChannelConfiguration",
                    format_args!(
                        " schemeIdUri=\"urn:mpeg:dash:23003:3:audio_channel_configuration:2011\" \
                         value=\"{}\"",
                        format.channels
                    ),
                );
            }
            return;
        }
        if format.width > 0 && format.height > 0 {
            let (width, height) = (format.width, format.height);
            let _ = write!(attributes, " width=\"{width}\" height=\"{height}\"");
        }
        let rate = match format.frame_rate_millihz {
            0 => self.frame_rate_millihz,
            rate => rate,
        };
        if rate > 0 && rate % 1_000 == 0 {
            let _ = write!(attributes, " frameRate=\"{}\"", rate / 1_000);
        } else if rate > 0 {
            let _ = write!(attributes, " frameRate=\"{rate}/1000\"");
        }
        writer.open("Representation", format_args!("{attributes}"));
    }

    /// The address of segments, and what its own digits add to their numbers. They have none where
    /// it would not be the same for all of the period.
    fn media(&self) -> (u64, String) {
        let last = self.number.saturating_add(self.segments.len() as u64);
        let above = self.first_number / NUMBER_END;
        if above == 0 || above != last / NUMBER_END {
            return (0, self.media_uri.to_owned());
        }
        let number = format!("{above}$Number%09d$");
        let media = self.media_uri.replace("$Number$", &number);
        (above * NUMBER_END, media)
    }

    /// Whether every segment starts within a quarter of its length from where it is counted to.
    fn is_counted(&self, target: Duration) -> bool {
        let length = self.ticks(target).max(1);
        let off = |at: u64, place: u64| at.abs_diff(place) > length / 4;
        self.segments.iter().enumerate().all(|(index, segment)| {
            let number = self.number.saturating_add(index as u64);
            let counted = number
                .checked_sub(self.first_number)
                .and_then(|passed| passed.checked_mul(length))
                .and_then(|passed| passed.checked_add(self.zero_ticks));
            let end = segment.start_ticks.saturating_add(segment.duration_ticks);
            counted.is_some_and(|at| {
                !off(segment.start_ticks, at) && !off(end, at.saturating_add(length))
            })
        })
    }

    fn ticks(&self, span: Duration) -> u64 {
        let ticks = span.as_micros() * u128::from(self.timescale) / 1_000_000;
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }

    fn span(&self, ticks: u64) -> Duration {
        let micros = u128::from(ticks) * 1_000_000 / u128::from(self.timescale.max(1));
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}
