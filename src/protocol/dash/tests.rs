use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corecast_media::track::{TrackCodec, TrackFormat};

use super::*;

fn format(codec: TrackCodec, rfc6381: &str) -> TrackFormat {
    TrackFormat {
        codec,
        config: Bytes::new(),
        rfc6381: Arc::from(rfc6381),
        width: 1_280,
        height: 720,
        frame_rate_millihz: 29_970,
        sample_rate_hz: 48_000,
        channels: 2,
    }
}

/// Three segments of so many ticks each, from number 107 on.
fn segments(durations: [u64; 3]) -> Vec<Segment> {
    let mut start_ticks = 7 * 180_000 + 500;
    let mut segments = Vec::new();
    for duration_ticks in durations {
        segments.push(Segment {
            start_ticks,
            duration_ticks,
        });
        start_ticks += duration_ticks;
    }
    segments
}

fn video<'m>(format: &'m TrackFormat, segments: &'m [Segment]) -> Representation<'m> {
    Representation {
        id: "v0",
        format,
        frame_rate_millihz: 0,
        bandwidth_bps: 2_000_000,
        timescale: 90_000,
        zero_ticks: 500,
        first_number: 100,
        init_uri: "v0-x-init0.mp4",
        media_uri: "v0-x-$Number$.m4s",
        number: 107,
        segments,
        has_titles: false,
    }
}

fn manifest<'m>(periods: &'m [Period<'m>]) -> Manifest<'m> {
    Manifest {
        start: "2026-01-02T03:04:05.678Z",
        published: "2026-01-02T03:14:05.678Z",
        target: Duration::from_secs(2),
        window: Duration::from_secs(60),
        delay: Duration::from_secs(4),
        live: Some(Live {
            part: Duration::from_millis(200),
            latency: Duration::from_millis(1_500),
        }),
        clock: Clock::Header("live.mpd"),
        periods,
        is_ended: false,
    }
}

#[test]
fn even_segments_are_counted() {
    let (pictures, sound) = (
        format(TrackCodec::H264, "avc1.64001f"),
        format(TrackCodec::Aac, "mp4a.40.2"),
    );
    let even = segments([180_000, 183_000, 177_000]);
    let audio = Representation {
        id: "a0",
        timescale: 48_000,
        zero_ticks: 0,
        first_number: 107,
        init_uri: "a0-x-init0.mp4",
        media_uri: "a0-x-$Number$.m4s",
        segments: &[],
        has_titles: true,
        ..video(&sound, &[])
    };
    let representations = [video(&pictures, &even), audio];
    let periods = [Period {
        number: 3,
        start: Duration::from_millis(1_500),
        representations: &representations,
    }];
    let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"
    profiles="urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019"
    type="dynamic" availabilityStartTime="2026-01-02T03:04:05.678Z"
    publishTime="2026-01-02T03:14:05.678Z" minimumUpdatePeriod="PT10.000S"
    timeShiftBufferDepth="PT21.500S" maxSegmentDuration="PT4.000S" minBufferTime="PT2.000S"
    suggestedPresentationDelay="PT4.000S">
 <ServiceDescription id="0">
  <Latency target="1500"/>
  <PlaybackRate min="0.96" max="1.04"/>
 </ServiceDescription>
 <Period id="p3" start="PT1.500S">
  <AdaptationSet id="0" contentType="video" mimeType="video/mp4" segmentAlignment="true"
      startWithSAP="1">
   <Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>
   <Representation id="v0" codecs="avc1.64001f" bandwidth="2000000" width="1280" height="720"
       frameRate="29970/1000">
    <SegmentTemplate timescale="90000" presentationTimeOffset="500"
        initialization="v0-x-init0.mp4" media="v0-x-$Number$.m4s" startNumber="100"
        duration="180000" availabilityTimeOffset="1.800" availabilityTimeComplete="false"/>
   </Representation>
  </AdaptationSet>
  <AdaptationSet id="1" contentType="audio" mimeType="audio/mp4" segmentAlignment="true"
      startWithSAP="1">
   <Role schemeIdUri="urn:mpeg:dash:role:2011" value="main"/>
   <InbandEventStream schemeIdUri="https://aomedia.org/emsg/ID3"/>
   <Representation id="a0" codecs="mp4a.40.2" bandwidth="2000000" audioSamplingRate="48000">
    <AudioChannelConfiguration
        schemeIdUri="urn:mpeg:dash:23003:3:audio_channel_configuration:2011" value="2"/>
    <SegmentTemplate timescale="48000" presentationTimeOffset="0"
        initialization="a0-x-init0.mp4" media="a0-x-$Number$.m4s" startNumber="107"
        duration="96000" availabilityTimeOffset="1.800" availabilityTimeComplete="false"/>
   </Representation>
  </AdaptationSet>
 </Period>
 <UTCTiming schemeIdUri="urn:mpeg:dash:utc:http-head:2014" value="live.mpd"/>
</MPD>
"#;
    // Where lines break in the expected text says nothing.
    let words = |text: &str| {
        text.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(words(&manifest(&periods).write()), words(expected));
}

/// The lines of the timeline, and the number that it starts with.
fn timeline(segments: &[Segment], is_ended: bool) -> (String, Vec<String>) {
    let pictures = format(TrackCodec::H264, "avc1.64001f");
    let representations = [video(&pictures, segments)];
    let periods = [Period {
        number: 0,
        start: Duration::ZERO,
        representations: &representations,
    }];
    let mut manifest = manifest(&periods);
    manifest.is_ended = is_ended;
    let text = manifest.write();
    let lines = text.lines().map(str::trim);
    let entries = lines.filter(|line| line.starts_with("<S "));
    (text.clone(), entries.map(str::to_owned).collect())
}

#[test]
fn uneven_segments_are_listed() {
    let (text, lines) = timeline(&segments([180_000, 180_000, 270_000]), false);
    assert_eq!(
        lines,
        [r#"<S t="1260500" d="180000" r="1"/>"#, r#"<S d="270000"/>"#]
    );
    assert!(text.contains(" startNumber=\"107\">") && !text.contains("availabilityTimeOffset"));
    assert!(text.contains(" minimumUpdatePeriod=\"PT2.000S\"") && !text.contains("<Latency"));
    // A hole is a jump of the time.
    let mut holed = segments([180_000; 3]);
    holed.remove(1);
    let (_, lines) = timeline(&holed, false);
    assert_eq!(
        lines,
        [
            r#"<S t="1260500" d="180000"/>"#,
            r#"<S t="1620500" d="180000"/>"#
        ]
    );
    // Segments that drift away from their numbers are not counted any more.
    let mut drifted = segments([180_000; 3]);
    drifted
        .iter_mut()
        .for_each(|segment| segment.start_ticks += 45_001);
    assert_eq!(
        timeline(&drifted, false).1,
        [r#"<S t="1305501" d="180000" r="2"/>"#]
    );
}

#[test]
fn long_numbers_have_digits_in_the_address() {
    let pictures = format(TrackCodec::H264, "avc1.64001f");
    let even = segments([180_000; 3]);
    for (number, is_ended, template) in [
        (
            999_999_990,
            true,
            r#"$Number$.m4s" startNumber="999999990""#,
        ),
        (2_000_000_007, true, r#"2$Number%09d$.m4s" startNumber="7""#),
        (
            3_590_456_831,
            true,
            r#"3$Number%09d$.m4s" startNumber="590456831""#,
        ),
        (
            3_590_456_831,
            false,
            r#"3$Number%09d$.m4s" startNumber="590456824""#,
        ),
        // The digits change within the list.
        (
            3_999_999_998,
            true,
            r#"$Number$.m4s" startNumber="3999999998""#,
        ),
    ] {
        let representation = Representation {
            number,
            first_number: number - 7,
            ..video(&pictures, &even)
        };
        let periods = [Period {
            number: 0,
            start: Duration::ZERO,
            representations: &[representation],
        }];
        let mut manifest = manifest(&periods);
        manifest.is_ended = is_ended;
        let text = manifest.write();
        assert_eq!(text.contains("<SegmentTimeline>"), is_ended, "{text}");
        assert!(text.contains(&format!("media=\"v0-x-{template}")), "{text}");
    }
}

#[test]
fn numbers_at_their_end_are_listed() {
    let pictures = format(TrackCodec::H264, "avc1.64001f");
    let even = segments([180_000; 3]);
    let representation = Representation {
        number: u64::MAX - 1,
        ..video(&pictures, &even)
    };
    let periods = [Period {
        number: 0,
        start: Duration::ZERO,
        representations: &[representation],
    }];
    assert!(manifest(&periods).write().contains("<SegmentTimeline>"));
}

#[test]
fn what_ended_has_a_length() {
    let (text, lines) = timeline(&segments([180_000; 3]), true);
    assert_eq!(lines.len(), 1);
    assert!(text.contains(" mediaPresentationDuration=\"PT20.000S\""));
    assert!(!text.contains("minimumUpdatePeriod"));
}

#[test]
fn a_long_window_loses_its_oldest_segments() {
    let many: Vec<Segment> = (0..40_000_u64)
        .map(|number| Segment {
            start_ticks: 7 * 180_000 + 500 + number * 180_000 + number % 2 * 60_000,
            duration_ticks: 180_000,
        })
        .collect();
    let (text, lines) = timeline(&many, false);
    assert!(text.len() <= MANIFEST_BYTES_MAX, "{}", text.len());
    let dropped = many.len() - lines.len();
    assert!(dropped > 0 && text.contains(&format!(" startNumber=\"{}\"", 107 + dropped)));
}

#[test]
fn texts_are_escaped() {
    let pictures = format(TrackCodec::H264, "a\"<&>\u{1}\n");
    let representations = [video(&pictures, &[])];
    let periods = [Period {
        number: 0,
        start: Duration::ZERO,
        representations: &representations,
    }];
    let text = manifest(&periods).write();
    assert!(text.contains(r#" codecs="a&quot;&lt;&amp;&gt;&#10;""#));
}
