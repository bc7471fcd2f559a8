//! Bodies to tracks and units.

use bytes::{Bytes, BytesMut};
use corecast_media::frame::MediaEvent;
use corecast_media::metadata::Metadata;
use corecast_media::track::TrackCodec;

use super::testing::{AV1, AVC, AVC_SMALL, hevc, hex};
use super::*;
use crate::rtmp::MediaKind;
use crate::rtmp::amf::Writer;

/// The body of an `onMetaData`.
fn metadata(fields: &[(&str, f64)], texts: &[(&str, &str)]) -> Bytes {
    let mut body = BytesMut::new();
    let mut writer = Writer(&mut body);
    writer
        .string("@setDataFrame")
        .string("onMetaData")
        .ecma_array(0);
    for (name, number) in fields {
        writer.key(name).number(*number);
    }
    for (name, text) in texts {
        writer.key(name).string(text);
    }
    writer.end();
    body.freeze()
}

/// What a demuxer says to bodies with their times.
fn pushed(bodies: &[(MediaKind, i64, Bytes)]) -> Vec<MediaEvent> {
    let mut demuxer = Demuxer::new();
    let mut out = Vec::new();
    for (kind, ms, body) in bodies {
        let taken = demuxer.push(*kind, *ms, body.clone(), &mut out);
        assert_eq!(taken, Ok(()), "{body:02x?}");
    }
    out
}

fn audio(ms: i64, body: &str) -> (MediaKind, i64, Bytes) {
    (MediaKind::Audio, ms, hex(body))
}

fn video(ms: i64, body: &str) -> (MediaKind, i64, Bytes) {
    (MediaKind::Video, ms, hex(body))
}

/// How many tracks each event says; 0 is a unit.
fn said(events: &[MediaEvent]) -> Vec<usize> {
    let count = |event: &MediaEvent| match event {
        MediaEvent::Tracks(tracks) => tracks.len(),
        _ => 0,
    };
    events.iter().map(count).collect()
}

#[test]
fn tracks_are_said_when_both_kinds_are_known_or_one_does_not_come() {
    let (config, key) = (
        video(0, &format!("1700000000{AVC}")),
        "1701000000 000000026588",
    );
    let sound = (audio(0, "af001190"), "af01211049");
    assert_eq!(said(&pushed(&[config.clone(), sound.0.clone()])), [0; 0]);
    let both = [
        config.clone(),
        sound.0.clone(),
        video(0, key),
        audio(1, sound.1),
    ];
    assert_eq!(said(&pushed(&both)), [2, 0, 0]);
    // Sound is late by less than a second: what came before waits for it.
    let late = [
        config.clone(),
        video(0, key),
        video(999, key),
        sound.0.clone(),
        video(1_000, key),
    ];
    assert_eq!(said(&pushed(&late)), [2, 0, 0, 0]);
    let later = [
        config.clone(),
        video(0, key),
        video(1_000, key),
        sound.0.clone(),
        video(1_001, key),
    ];
    assert_eq!(said(&pushed(&later)), [1, 0, 0, 2, 0]);
    // Announced alone, nothing is awaited; nor beyond a number of units.
    let alone = (
        MediaKind::Script,
        0,
        metadata(&[("videocodecid", 7.0)], &[]),
    );
    assert_eq!(
        said(&pushed(&[alone, config.clone(), video(0, key)])),
        [1, 0]
    );
    let both = (
        MediaKind::Script,
        0,
        metadata(&[("videocodecid", 7.0), ("audiocodecid", 10.0)], &[]),
    );
    assert_eq!(
        said(&pushed(&[both, config.clone(), video(0, key)])),
        [0; 0]
    );
    let mut many = vec![config; demux::WAIT_UNITS_MAX + 2];
    many[1..].fill(video(0, key));
    assert_eq!(said(&pushed(&many)).len(), demux::WAIT_UNITS_MAX + 2);
}

#[test]
fn a_configuration_that_changes_is_said_before_its_first_unit() {
    let key = "1701000000 000000026588";
    let first = video(0, &format!("1700000000{AVC}"));
    let events = pushed(&[
        first.clone(),
        audio(0, "af001190"),
        video(0, key),
        first,
        video(40, key),
        video(80, &format!("1700000000{AVC_SMALL}")),
        audio(90, "af01211049"),
        video(120, key),
        // Another coding takes the place of the one before, once its frames come.
        audio(130, "2e fffb50c4"),
    ]);
    assert_eq!(said(&events), [2, 0, 0, 2, 0, 0, 2, 0]);
    let Some(MediaEvent::Tracks(tracks)) = events.get(6) else {
        panic!("no tracks: {events:?}");
    };
    assert_eq!(
        (tracks[0].format.width, tracks[1].format.codec),
        (320, TrackCodec::Mp3)
    );
}

#[test]
fn a_title_is_passed_on_and_a_rate_fills_in() {
    let rate = (
        MediaKind::Script,
        0,
        metadata(&[("framerate", 29.97)], &[("title", "Song")]),
    );
    let config = video(0, &format!("90617630310{AV1}").replacen("310", "31", 1));
    let key = video(0, "9161763031 0a0b000000043d06d4daf94040 320110");
    let events = pushed(&[rate, config, key.clone(), (key.0, 1_000, key.2.clone())]);
    assert_eq!(
        events[0],
        MediaEvent::Metadata(Metadata::from_title("Song")).clone()
    );
    let MediaEvent::Tracks(tracks) = &events[1] else {
        panic!("no tracks: {events:?}");
    };
    assert_eq!(tracks[0].format.frame_rate_millihz, 29_970);
    let wild = (
        MediaKind::Script,
        0,
        metadata(&[("framerate", f64::INFINITY)], &[("title", " ")]),
    );
    assert_eq!(
        pushed(&[
            wild,
            (MediaKind::Script, 0, hex("02ffff")),
            audio(0, ""),
            video(0, "")
        ]),
        []
    );
}

#[test]
fn enhanced_bodies_are_read_in_all_their_forms() {
    let config = video(0, &format!("9068766331{}", hevc()));
    let at = |body: &str| {
        let events = pushed(&[
            (
                MediaKind::Script,
                0,
                metadata(&[("videocodecid", 1.0)], &[]),
            ),
            config.clone(),
            video(100, body),
        ]);
        match events.last() {
            Some(MediaEvent::Unit(unit)) => Some((unit.pts.as_nanos(), unit.keyframe)),
            _ => None,
        }
    };
    let ms = 1_000_000;
    // CodedFrames with a composition time of 80 ms and of -1 ms, CodedFramesX.
    assert_eq!(
        at("9168766331 000050 000000032801ac"),
        Some((180 * ms, true))
    );
    assert_eq!(
        at("a168766331 ffffff 000000030201d0"),
        Some((99 * ms, false))
    );
    assert_eq!(at("a368766331 000000030201d0"), Some((100 * ms, false)));
    // Nanoseconds, and behind an unknown modifier of 300 bytes.
    assert_eq!(
        at("a7 02 0f423f 03 68766331 000000030201d0"),
        Some((101 * ms - 1, false))
    );
    let unknown = format!(
        "a7 ff012b {} 17 02 000001 03 68766331 000000030201d0",
        "00".repeat(300)
    );
    assert_eq!(at(&unknown), Some((100 * ms + 1, false)));
    // The end, colours, a command to the player, empty units.
    for nothing in [
        "9268766331",
        "d46876633102000963",
        "d101",
        "a368766331",
        "9368766331 00000000",
    ] {
        assert_eq!(at(nothing), None, "{nothing}");
    }
    // The same as classic tags with the number 12.
    let events = pushed(&[
        (
            MediaKind::Script,
            0,
            metadata(&[("videocodecid", 12.0)], &[]),
        ),
        video(0, &format!("1c00000000{}", hevc())),
        video(0, "1c01000010 000000032801ac"),
    ]);
    assert_eq!(said(&events), [1, 0]);
}

#[test]
fn several_tracks_share_a_body() {
    // One track of its own number, several of one coding, several of several.
    let events = pushed(&[
        audio(0, "95006d70346101 1190"),
        audio(0, "95004f70757302 4f70757354616773 00000000 00000000"),
        audio(
            0,
            "95104f707573 02 000013 4f707573486561640102380180bb0000000000 \
                  03 000013 4f707573486561640101380180bb0000000000",
        ),
        audio(
            0,
            "9520 6d703461 00 000002 1208 4f707573 05 000013 \
                  4f707573486561640102380180bb0000000000",
        ),
        audio(0, "9521 6d703461 00 000002 2110 4f707573 03 000001 fc"),
        (
            MediaKind::Script,
            0,
            metadata(&[("audiocodecid", 10.0)], &[]),
        ),
        audio(20, "95016d7034610121"),
    ]);
    assert_eq!(said(&events), [5, 0, 0, 0]);
    let units = events.iter().filter_map(|event| match event {
        MediaEvent::Unit(unit) => Some((unit.track.0, unit.payload.len())),
        _ => None,
    });
    // In the order of their appearance: 1, 2, 3, 0, 5.
    assert_eq!(units.collect::<Vec<_>>(), [(3, 2), (2, 1), (0, 1)]);
}

#[test]
fn payloads_are_slices_of_what_came_unless_they_must_be_rewritten() {
    let mut demuxer = Demuxer::new();
    let mut out = Vec::new();
    let mut push = |kind, ms, body: &Bytes| {
        out.clear();
        assert_eq!(demuxer.push(kind, ms, body.clone(), &mut out), Ok(()));
        match out.last() {
            Some(MediaEvent::Unit(unit)) => Some(unit.payload.clone()),
            _ => None,
        }
    };
    push(MediaKind::Video, 0, &hex(&format!("1700000000{AVC}")));
    push(MediaKind::Audio, 0, &hex("af001190"));
    let body = hex("1701000000 000000026588");
    let payload = push(MediaKind::Video, 0, &body).expect("a unit");
    assert_eq!(payload.as_ptr(), body[5..].as_ptr());
    // Start codes instead of lengths.
    let annex_b = hex("1701000000 00000001 6588 000001 0601");
    let payload = push(MediaKind::Video, 40, &annex_b).expect("a unit");
    assert_eq!(payload, hex("000000026588 000000020601"));
    // Lengths of two bytes: configuration and payload are widened.
    let short = AVC.replacen("0dff", "0dfd", 1);
    push(MediaKind::Video, 50, &hex(&format!("1700000000{short}")));
    let payload = push(MediaKind::Video, 80, &hex("1701000000 00026588")).expect("a unit");
    assert_eq!(payload, hex("000000026588"));
    let body = hex("af01211049");
    let payload = push(MediaKind::Audio, 80, &body).expect("a unit");
    assert_eq!(payload.as_ptr(), body[2..].as_ptr());
}

/// First bytes of sound, and of pictures, that are not carried.
const FOREIGN_AUDIO: &str = "0e 1e 3e 4e 5e 6e 7e 8e be fe 9048564332 9061766331";
const FOREIGN_VIDEO: &str = "12 13 14 18 19 1d 1f 9076703038 9076766331";
/// Bodies of pictures that end too early, and that cannot be.
const SHORT: &str = "17 1701 170100 9061 91687663310000 96 9611687663310000000901";
const MALFORMED: &str =
    "1709000000 9630 9606 97020f424003 97000017000017000017000017000017000017000017000017000017";

#[test]
fn what_is_not_carried_or_broken_is_refused() {
    let mut demuxer = Demuxer::new();
    let mut out = Vec::new();
    let mut fault = |kind, body: &str| {
        let fault = demuxer.push(kind, 0, hex(body), &mut out).err();
        fault.unwrap_or_else(|| panic!("{body} is taken"))
    };
    let foreign = FOREIGN_AUDIO
        .split(' ')
        .map(|body| (MediaKind::Audio, body));
    for (kind, body) in foreign.chain(
        FOREIGN_VIDEO
            .split(' ')
            .map(|body| (MediaKind::Video, body)),
    ) {
        let fault = fault(kind, body);
        assert!(matches!(fault, FlvFault::Unsupported(_)), "{body}: {fault}");
    }
    for body in SHORT.split(' ') {
        assert_eq!(fault(MediaKind::Video, body), FlvFault::Truncated, "{body}");
    }
    for body in MALFORMED.split(' ') {
        let fault = fault(MediaKind::Video, body);
        assert!(matches!(fault, FlvFault::Malformed(_)), "{body}: {fault}");
    }
    for (kind, body) in [
        (MediaKind::Video, "17000000000164"),
        (MediaKind::Audio, "af00ff"),
    ] {
        let fault = fault(kind, body);
        assert!(matches!(fault, FlvFault::Config(_)), "{body}: {fault}");
    }
}

#[test]
fn tracks_are_bounded_and_units_that_nobody_can_decode_are_counted() {
    let mut demuxer = Demuxer::new();
    let mut out = Vec::new();
    for number in 0..20 {
        let body = hex(&format!("95006d703461{number:02x}1190"));
        let taken = demuxer.push(MediaKind::Audio, 0, body, &mut out);
        assert_eq!(taken.is_ok(), number < 16, "{number}: {taken:?}");
    }
    // Pictures before their configuration, and pictures that are none.
    let mut demuxer = Demuxer::new();
    let config = format!("1700000000{AVC}");
    for body in [
        "1701000000 000000026588",
        &config,
        "1701000000 000000ff6588",
    ] {
        let taken = demuxer.push(MediaKind::Video, 0, hex(body), &mut out);
        assert_eq!(taken, Ok(()));
    }
    assert_eq!((demuxer.dropped_units(), demuxer.damaged_units()), (1, 1));
    assert_eq!(out, []);
}

#[test]
fn pictures_may_bring_their_parameter_sets_along() {
    let sets = "00000019 67640 00dacd941519e226c04400000fa40003a9803c50a6580 00000004 68ef8fcb";
    let key = format!("1701000000 {sets} 000000026588");
    let alone = (
        MediaKind::Script,
        0,
        metadata(&[("videocodecid", 7.0)], &[]),
    );
    let width = |events: &[MediaEvent]| match events.first() {
        Some(MediaEvent::Tracks(tracks)) => tracks[0].format.width,
        _ => 0,
    };
    // Among the pictures without any configuration, and with start codes.
    let events = pushed(&[alone.clone(), video(0, &key), video(40, &key)]);
    assert_eq!((said(&events), width(&events)), (vec![1, 0, 0], 322));
    let annex_b = key
        .replace("00000019", "00000001")
        .replace("00000004 68", "000001 68");
    let annex_b = annex_b.replace("00000002", "000001");
    let events = pushed(&[alone.clone(), video(0, &annex_b)]);
    assert_eq!((said(&events), width(&events)), (vec![1, 0], 322));
    // Behind a configuration that says something else; alone they are no picture.
    let config = video(0, &format!("1700000000{AVC_SMALL}"));
    let sets = video(0, &format!("1701000000 {sets}"));
    let plain = video(0, "1701000000 000000026588");
    let events = pushed(&[alone, config, plain.clone(), sets, plain]);
    assert_eq!((said(&events), width(&events)), (vec![1, 0, 1, 0], 320));
    assert_eq!(width(&events[2..]), 322);
}

#[test]
fn a_title_is_said_when_it_changes() {
    let title = |text| {
        (
            MediaKind::Script,
            0,
            metadata(&[], &[("title", text), ("artist", "A")]),
        )
    };
    let events = pushed(&[title("one"), title("one"), title(""), title("two")]);
    let expected = ["one", "two"].map(|song| Metadata::from_parts("A", song));
    assert_eq!(events, expected.map(MediaEvent::Metadata));
}

#[test]
fn tracks_that_change_all_the_time_are_not_followed() {
    let mut demuxer = Demuxer::new();
    let mut out = Vec::new();
    let alone = metadata(&[("audiocodecid", 2.0)], &[]);
    assert_eq!(demuxer.push(MediaKind::Script, 0, alone, &mut out), Ok(()));
    let rates = ["2efffb50c4", "2efffb5400"].map(hex);
    for (at, body) in rates.iter().cycle().take(100_000).enumerate() {
        let taken = demuxer.push(MediaKind::Audio, at as i64, body.clone(), &mut out);
        assert_eq!(taken, Ok(()));
    }
    let changes = out
        .iter()
        .filter(|event| matches!(event, MediaEvent::Tracks(_)));
    let changes = changes.count() as u64;
    // What is there at first, and what the bytes that came add.
    let bytes_max = demux::CREDIT_BYTES_MAX as u64 + 100_000 * 5;
    assert!((1_000..=bytes_max / 256).contains(&changes), "{changes}");
    assert_eq!(
        demuxer.damaged_units() + out.len() as u64 - changes,
        100_000
    );
}
