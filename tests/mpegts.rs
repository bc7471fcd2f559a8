//! Transport streams of ours as ffmpeg understands them: media that it coded is taken out of its
//! own boxes, goes out in packets, and must come out unit for unit as it was.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corecast_media::frame::MediaEvent;
use corecast_media::track::{AccessUnit, MediaTime, Track, TrackCodec, TrackFormat, TrackId};
use corecast_protocol::cmaf::reader;
use corecast_protocol::mpegts::demux::{Event, Reader};
use corecast_protocol::mpegts::{PCR_PER_TICK, PCR_WRAP, Writer};
use corecast_protocol::output::StreamWriter;

use super::cmaf::config;
use super::harness::{Client, Scratch, program};

const LIMIT: Duration = Duration::from_secs(120);

const PICTURES: &str = "testsrc2=size=640x360:rate=25";
const SOUND: &str = "aevalsrc='0.3*sin(2*PI*(300+40*t)*t)|0.3*sin(2*PI*(500+30*t)*t)'";
const H264: &str = "-pix_fmt yuv420p -c:v libx264 -preset ultrafast -bf 3 -g 50";
const H265: &str = "-pix_fmt yuv420p -c:v libx265 -preset ultrafast -tag:v hvc1 \
    -x265-params log-level=none:keyint=50";

/// Pictures and sound side by side: how each is coded.
const MEDIA: &[[(TrackCodec, &str); 2]] = &[
    [
        (TrackCodec::H264, H264),
        (TrackCodec::Aac, "-ar 44100 -c:a aac"),
    ],
    [
        (TrackCodec::H265, H265),
        (TrackCodec::Aac, "-ar 22050 -ac 1 -c:a aac"),
    ],
    [
        (TrackCodec::H264, H264),
        (TrackCodec::Mp3, "-ar 44100 -c:a libmp3lame"),
    ],
    [
        (TrackCodec::H264, H264),
        (TrackCodec::Mp3, "-ar 22050 -c:a libmp3lame"),
    ],
    [
        (TrackCodec::H264, H264),
        (TrackCodec::Opus, "-ar 48000 -c:a libopus"),
    ],
    [
        (TrackCodec::H264, H264),
        (
            TrackCodec::Ac3,
            "-ar 48000 -c:a ac3 -movflags +delay_moov -use_editlist 0",
        ),
    ],
    [
        (TrackCodec::H265, H265),
        (
            TrackCodec::Eac3,
            "-ar 48000 -c:a eac3 -movflags +delay_moov -use_editlist 0",
        ),
    ],
];

#[test]
fn ffmpeg_reads_transport_streams_unit_for_unit() {
    for codings in MEDIA {
        let scratch = Scratch::new("mpegts");
        let name = format!("{} and {}", codings[0].0, codings[1].0);
        let theirs = ["v.mp4", "a.mp4"].map(|file| scratch.file(file));
        let mut tracks = Vec::new();
        let mut units = Vec::new();
        for (at, ((codec, options), file)) in codings.iter().zip(&theirs).enumerate() {
            make([PICTURES, SOUND][at], options, file);
            let bytes = std::fs::read(file).expect("ffmpeg made it");
            tracks.push(track(at as u8, *codec, &bytes));
            units.extend(units_of(at as u8, &bytes));
        }
        // As a source sends them: by decoding time.
        units.sort_by_key(|unit| unit.dts);
        let written = write(tracks, units);
        check_packets(&written, &name);
        let ours = scratch.file("ours.ts");
        std::fs::write(&ours, &written).expect("a scratch folder takes files");
        decode(&ours, &name);
        for (at, (codec, _)) in codings.iter().enumerate() {
            let back = scratch.file(["v-back.mp4", "a-back.mp4"][at]);
            unwrap(&ours, at, *codec, &back);
            let [sent, came] = [&theirs[at], &back]
                .map(|file| units_of(0, &std::fs::read(file).expect("ffmpeg made it")));
            assert_eq!(sent.len(), came.len(), "{name}");
            check_units(&sent, &came, &name);
        }
    }
}

/// Five seconds of `input` in boxes.
fn make(input: &str, options: &str, to: &Path) {
    let mut command = program("ffmpeg");
    command.args("-nostdin -v error -y -f lavfi -t 5 -i".split(' '));
    command.arg(input).args(options.split_ascii_whitespace());
    command.args("-movflags +frag_keyframe+empty_moov+default_base_moof".split(' '));
    command
        .args("-video_track_timescale 90000".split(' '))
        .arg(to);
    Client::spawn(&mut command).succeed(LIMIT);
}

/// The track of a file.
fn track(id: u8, codec: TrackCodec, file: &[u8]) -> Track {
    let init = reader::read_init(file).expect("ffmpeg's header");
    let format = TrackFormat {
        codec,
        config: config(codec, init.config),
        rfc6381: Arc::from(""),
        width: init.width,
        height: init.height,
        frame_rate_millihz: 0,
        sample_rate_hz: init.timescale,
        channels: u8::try_from(init.channels).expect("a few channels"),
    };
    let id = TrackId(id);
    Track { id, format }
}

/// The units of its track.
fn units_of(track: u8, file: &[u8]) -> Vec<AccessUnit> {
    let timescale = reader::read_init(file).expect("ffmpeg's header").timescale;
    let mut units = Vec::new();
    for fragment in reader::read_fragments(file).expect("ffmpeg's fragments") {
        let mut ticks = fragment.decode_time_ticks.cast_signed();
        for sample in &fragment.samples {
            let time = |ticks| MediaTime::from_ticks(ticks, timescale);
            units.push(AccessUnit {
                track: TrackId(track),
                dts: time(ticks),
                pts: time(ticks + sample.composition_offset_ticks),
                keyframe: sample.keyframe,
                payload: Bytes::copy_from_slice(sample.payload),
            });
            ticks += i64::from(sample.duration_ticks);
        }
    }
    units
}

fn write(tracks: Vec<Track>, units: Vec<AccessUnit>) -> Vec<u8> {
    let (mut writer, mut out) = (Writer::new(), Vec::new());
    writer.write(&MediaEvent::Tracks(tracks.into()), &mut out);
    for unit in units {
        writer.write(&MediaEvent::Unit(unit), &mut out);
    }
    assert_eq!(writer.dropped_units(), 0);
    let mut bytes = Vec::new();
    for event in out {
        if let MediaEvent::Frame(frame) = event {
            bytes.extend_from_slice(&frame.payload);
        }
    }
    bytes
}

/// What our own reader has to say: no fault, and clock references in time.
fn check_packets(stream: &[u8], name: &str) {
    let (mut reader, mut events) = (Reader::new(), Vec::new());
    reader.push(stream, &mut events);
    reader.finish(&mut events);
    let mut clock = Vec::new();
    for event in &events {
        match event {
            Event::Fault(fault) => panic!("{name}: {fault:?}"),
            Event::Pcr(pcr) => clock.push(pcr.ticks),
            Event::Program(_) | Event::Pes(_) => {}
        }
    }
    let every = 40 * 90 * PCR_PER_TICK;
    let steps = clock
        .windows(2)
        .map(|pair| (pair[1] + PCR_WRAP - pair[0]) % PCR_WRAP);
    assert!(
        steps.clone().all(|step| step > 0 && step <= every),
        "{name}"
    );
    assert!(steps.count() > 100, "{name}");
}

/// Decodes all of it; anything that ffmpeg has to say is a failure.
fn decode(file: &Path, name: &str) {
    let mut command = program("ffmpeg");
    command.args("-nostdin -v error -xerror -err_detect explode -i".split(' '));
    command.arg(file).args("-map 0 -f null -".split(' '));
    let said = Client::spawn(&mut command).succeed(LIMIT);
    assert_eq!(said.stderr, "", "{name}");
}

/// Puts one stream into boxes again, without what transport streams add.
fn unwrap(file: &Path, at: usize, codec: TrackCodec, to: &Path) {
    let mut command = program("ffmpeg");
    command
        .args("-nostdin -v error -y -copyts -i".split(' '))
        .arg(file);
    command.args(["-map", &format!("0:{at}"), "-c", "copy"]);
    // Delimiters and parameter sets.
    match codec {
        TrackCodec::H264 => command.args(["-bsf:v", "filter_units=remove_types=7-9"]),
        TrackCodec::H265 => command.args(["-bsf:v", "filter_units=remove_types=32-35"]),
        TrackCodec::Aac => command.args(["-bsf:a", "aac_adtstoasc"]),
        _ => command.args(["-movflags", "+delay_moov"]),
    };
    command.args("-movflags +frag_keyframe+empty_moov+default_base_moof".split(' '));
    command
        .args("-use_editlist 0 -video_track_timescale 90000".split(' '))
        .arg(to);
    Client::spawn(&mut command).succeed(LIMIT);
}

/// The same bytes, and times that differ by one shift for all.
fn check_units(sent: &[AccessUnit], came: &[AccessUnit], name: &str) {
    let shift = |pair: (&AccessUnit, &AccessUnit)| pair.1.pts.since(pair.0.pts);
    let first = sent.iter().zip(came).next().map(shift).expect("a unit");
    for (at, pair) in sent.iter().zip(came).enumerate() {
        assert!(pair.0.payload == pair.1.payload, "{name}: unit {at}");
        assert_eq!(pair.0.keyframe, pair.1.keyframe, "{name}: unit {at}");
        // Two roundings to 90 kHz.
        let more = shift(pair) - first;
        assert!(more.abs() <= 50_000, "{name}: unit {at}: {more} ns");
    }
}
