//! Sound that goes packed: one part in a segment, no init segments, nothing lost.

use std::sync::Arc;

use bytes::Bytes;
use corecast_media::frame::MediaEvent;
use corecast_media::metadata::Metadata;
use corecast_media::time::Time;
use corecast_media::track::{AccessUnit, MediaTime, Track, TrackCodec, TrackId};

use super::super::*;
use super::parse::{self, List};
use super::source::format;
use super::station::{NOON_MS, settings};

const LIST: &str = "a0.m3u8";
const EMPTY_TAG_BYTES: usize = 10;

fn tracks(codec: TrackCodec) -> MediaEvent {
    let id = TrackId(0);
    let format = format(codec, 44_100);
    MediaEvent::Tracks(Arc::from([Track { id, format }]))
}

/// A frame of MPEG-1 layer III that no other number has.
fn frame(number: u64) -> Bytes {
    let mut bytes = vec![0; 417];
    bytes[..4].copy_from_slice(&[0xff, 0xfb, 0x90, 0x64]);
    bytes[36..44].copy_from_slice(&number.to_be_bytes());
    bytes.into()
}

struct Radio {
    packager: Packager,
    origin: Origin,
    now: Time,
    sent: Vec<Bytes>,
}

impl Radio {
    fn new(codec: TrackCodec) -> Radio {
        let mut radio = Radio {
            packager: Packager::new(settings(2_000, 200, 60)),
            origin: Origin::new(),
            now: Time::ZERO,
            sent: Vec::new(),
        };
        radio.push(&tracks(codec));
        radio
    }

    fn push(&mut self, event: &MediaEvent) {
        let unix_ms = NOON_MS + self.now.as_millis();
        self.packager.push(self.now, unix_ms, event, false);
        self.take_steps();
    }

    fn take_steps(&mut self) {
        while let Some(step) = self.packager.poll_step() {
            self.origin.apply(&step);
        }
    }

    fn play(&mut self, frames: u64) {
        for _ in 0..frames {
            let number = self.sent.len() as u64;
            let ns = number as i64 * 1_152_000_000_000 / 44_100;
            self.now = Time::from_micros(ns as u64 / 1_000);
            let payload = frame(number);
            self.sent.push(payload.clone());
            let dts = MediaTime::from_nanos(ns);
            self.push(&MediaEvent::Unit(AccessUnit {
                track: TrackId(0),
                dts,
                pts: dts,
                keyframe: true,
                payload,
            }));
        }
    }

    fn end(&mut self) {
        self.packager.end(self.now);
        self.take_steps();
    }

    fn ask(&self, name: &str, query: &str) -> Answer {
        let directives = Directives::parse(query).expect("directives");
        let request = Request {
            resource: Resource::parse(name).expect("a name of ours"),
            outside: false,
            directives: &directives,
            gzip: false,
            arrived: self.now,
        };
        self.origin.request(self.now, &request)
    }

    fn ready(&self, name: &str) -> Response {
        match self.ask(name, "") {
            Answer::Ready(response) => response,
            other => panic!("{name}: {other:?}"),
        }
    }

    fn text(&self) -> String {
        let body = self.ready(LIST).body.pieces().concat();
        String::from_utf8(body).expect("UTF-8")
    }

    fn list(&self) -> List {
        parse::list(&self.text())
    }
}

/// The time in ticks of 90 kHz, and what is behind all tags.
fn opened(file: &[u8]) -> (u64, &[u8]) {
    let (mut rest, mut time) = (file, None);
    while rest.starts_with(b"ID3") {
        let length = rest[6..10]
            .iter()
            .fold(0, |sum, byte| sum << 7 | usize::from(*byte));
        let (tag, behind) = rest.split_at(EMPTY_TAG_BYTES + length);
        if tag[EMPTY_TAG_BYTES..].starts_with(b"PRIV") {
            let last = tag.last_chunk::<8>().expect("a time");
            time = Some(u64::from_be_bytes(*last));
        }
        rest = behind;
    }
    (time.expect("a time"), rest)
}

#[test]
fn layer_iii_goes_packed_with_one_part_a_segment() {
    let mut radio = Radio::new(TrackCodec::Mp3);
    radio.play(380);
    let title = Metadata::from_parts("Ada", "Première");
    radio.push(&MediaEvent::Metadata(title));
    radio.play(383);
    radio.end();
    let text = radio.text();
    assert!(
        !text.contains("EXT-X-MAP") && !text.contains(".m4s"),
        "{text}"
    );
    let list = radio.list();
    assert_eq!((list.target_duration, list.part_target_us), (1, 1_000_000));
    assert_eq!(list.segments.len(), 24);
    let (mut media, mut due, mut titles) = (Vec::new(), None, 0);
    for segment in &list.segments {
        let uri = segment.uri.as_deref().expect("complete");
        let response = radio.ready(uri);
        assert_eq!(response.content_type.as_str(), "audio/mpeg");
        let bytes = response.body.pieces().concat();
        if let [part] = &segment.parts[..] {
            assert_eq!(
                (part.independent, part.duration_us),
                (true, segment.duration_us)
            );
            assert_eq!(radio.ready(&part.uri).body.pieces().concat(), bytes);
        } else {
            assert_eq!(segment.parts, []);
        }
        let (time, frames) = opened(&bytes);
        let count = frames.len() as u64 / 417;
        let frames_us = count * 1_152_000_000 / 44_100;
        assert!(segment.duration_us.abs_diff(frames_us) <= 10);
        let due_time: u64 = *due.get_or_insert(time);
        assert!(
            time.abs_diff(due_time) <= 1,
            "{time} in place of {due_time}"
        );
        due = Some(time + count * 1_152 * 90_000 / 44_100);
        titles += usize::from(bytes.windows(4).any(|found| found == b"TIT2"));
        media.extend_from_slice(frames);
        // Every file has one name.
        let other = uri.replace(".mp3", ".m4s");
        assert_eq!(radio.ask(&other, ""), Answer::NotFound);
    }
    assert_eq!(titles, 1);
    assert_eq!(media, radio.sent.concat());
}

#[test]
fn the_next_packed_part_is_hinted_and_waited_for() {
    let mut radio = Radio::new(TrackCodec::Mp3);
    radio.play(100);
    let hint = radio.list().part_hints[0].clone();
    assert!(hint.ends_with("-103.0.mp3"), "{hint}");
    assert!(matches!(radio.ask(&hint, ""), Answer::Wait { .. }));
    let next = "_HLS_msn=103&_HLS_part=0";
    assert!(matches!(radio.ask(LIST, next), Answer::Wait { .. }));
    radio.play(40);
    assert!(matches!(radio.ask(&hint, ""), Answer::Ready(_)));
    assert!(matches!(radio.ask(LIST, next), Answer::Ready(_)));
}

#[test]
fn a_source_of_another_coding_goes_on_in_fragments() {
    let mut radio = Radio::new(TrackCodec::Mp3);
    radio.play(200);
    radio.push(&tracks(TrackCodec::Aac));
    radio.play(200);
    radio.push(&tracks(TrackCodec::Mp3));
    radio.play(200);
    radio.end();
    let text = radio.text();
    let (packed, fragments) = text.split_once("#EXT-X-MAP").expect("an init segment");
    assert!(packed.contains(".mp3") && !packed.contains(".m4s"));
    assert!(
        fragments.contains(".m4s") && !fragments.contains(".mp3"),
        "{text}"
    );
}

#[test]
fn sound_beside_pictures_stays_in_fragments() {
    let mut radio = Radio::new(TrackCodec::Mp3);
    let track = |id, codec| Track {
        id: TrackId(id),
        format: format(codec, 44_100),
    };
    let both = [track(1, TrackCodec::H264), track(0, TrackCodec::Mp3)];
    radio.push(&MediaEvent::Tracks(Arc::from(both)));
    radio.play(1_200);
    radio.end();
    let text = radio.text();
    assert!(
        text.contains("EXT-X-MAP") && !text.contains(".mp3"),
        "{text}"
    );
}
