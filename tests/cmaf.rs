//! Fragmented MP4 of ours as ffmpeg understands it: media that it coded is taken out of its own
//! boxes, written in ours, and must come out packet for packet as it was.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corecast_media::frame::MediaEvent;
use corecast_media::metadata::Metadata;
use corecast_media::track::{Track, TrackCodec, TrackFormat, TrackId};
use corecast_protocol::audio::Framer;
use corecast_protocol::cmaf::{self, Fragment, Produced, Sample, TimedId3, reader};
use corecast_protocol::radio::RadioUnits;

use super::harness::client::run;
use super::harness::{Client, Scratch, program};

const LIMIT: Duration = Duration::from_secs(120);

const PICTURES: &str = "testsrc2=size=320x180:rate=25";
const SOUND: &str = "aevalsrc='0.3*sin(2*PI*(300+40*t)*t)|0.3*sin(2*PI*(500+30*t)*t)'";

/// Media that ffmpeg makes: the coding, the input and what follows it.
const MEDIA: &[(TrackCodec, &str, &str)] = &[
    (
        TrackCodec::H264,
        PICTURES,
        "-pix_fmt yuv420p -c:v libx264 -preset ultrafast -bf 3 -g 25",
    ),
    (
        TrackCodec::H264,
        PICTURES,
        "-pix_fmt yuv420p -c:v libx264 -preset ultrafast -bf 3 -g 25 \
         -movflags +negative_cts_offsets",
    ),
    (
        TrackCodec::H265,
        PICTURES,
        "-pix_fmt yuv420p -c:v libx265 -preset ultrafast -x265-params log-level=none -tag:v hvc1",
    ),
    (
        TrackCodec::Av1,
        PICTURES,
        "-pix_fmt yuv420p -c:v libaom-av1 -cpu-used 8 -usage realtime -b:v 200k -frames:v 10 \
         -movflags +delay_moov -use_editlist 0",
    ),
    (
        TrackCodec::Vp9,
        PICTURES,
        "-pix_fmt yuv420p -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 200k -g 25",
    ),
    (TrackCodec::Aac, SOUND, "-ar 44100 -c:a aac"),
    (TrackCodec::Aac, SOUND, "-ar 22050 -ac 1 -c:a aac"),
    (TrackCodec::Mp3, SOUND, "-ar 44100 -c:a libmp3lame"),
    (TrackCodec::Mp3, SOUND, "-ar 22050 -c:a libmp3lame"),
    (TrackCodec::Opus, SOUND, "-ar 48000 -c:a libopus"),
    (
        TrackCodec::Flac,
        SOUND,
        "-ar 44100 -sample_fmt s16 -c:a flac -strict -2",
    ),
    (
        TrackCodec::Flac,
        SOUND,
        "-ar 96000 -sample_fmt s32 -c:a flac -strict -2",
    ),
    (
        TrackCodec::Ac3,
        SOUND,
        "-ar 48000 -c:a ac3 -movflags +delay_moov -use_editlist 0",
    ),
    (
        TrackCodec::Eac3,
        SOUND,
        "-ar 48000 -c:a eac3 -movflags +delay_moov -use_editlist 0",
    ),
];

#[test]
fn ffmpeg_reads_every_codec_packet_for_packet() {
    for (codec, input, options) in MEDIA {
        let scratch = Scratch::new("cmaf");
        let (theirs, ours) = (scratch.file("theirs.mp4"), scratch.file("ours.mp4"));
        make(input, options, &theirs);
        let bytes = std::fs::read(&theirs).expect("ffmpeg made it");
        let (written, rate_hz) = remux(*codec, &bytes);
        std::fs::write(&ours, &written).expect("a scratch folder takes files");
        let what = format!("{codec} at {rate_hz}: {options}");
        assert_eq!(packets(&ours), packets(&theirs), "{what}");
        assert_eq!(streams(&ours), streams(&theirs), "{what}");
        decode(&ours, &what);
    }
}

/// Two seconds of `input` in fragments of 0.2 s.
fn make(input: &str, options: &str, to: &Path) {
    let mut command = program("ffmpeg");
    command.args("-nostdin -v error -y -f lavfi -t 2 -i".split(' '));
    command.arg(input).args(options.split_ascii_whitespace());
    // Given again, the flag adds to those of `options`.
    command.args("-movflags +frag_keyframe+empty_moov+default_base_moof".split(' '));
    command
        .args("-frag_duration 200000 -video_track_timescale 90000".split(' '))
        .arg(to);
    Client::spawn(&mut command).succeed(LIMIT);
}

/// The same media in boxes of ours, and the sampling rate.
fn remux(codec: TrackCodec, file: &[u8]) -> (Vec<u8>, u32) {
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
    let timescale = cmaf::timescale(&format);
    let track = Track {
        id: TrackId(0),
        format,
    };
    let mut written = cmaf::write_init(&track).to_vec();
    let rescale = |ticks: i64| ticks * i64::from(timescale) / i64::from(init.timescale);
    for read in reader::read_fragments(file).expect("ffmpeg's fragments") {
        let samples: Vec<Sample> = read
            .samples
            .iter()
            .map(|sample| Sample {
                payload: Bytes::copy_from_slice(sample.payload),
                duration_ticks: rescale(i64::from(sample.duration_ticks)) as u32,
                composition_offset_ticks: rescale(sample.composition_offset_ticks) as i32,
                keyframe: sample.keyframe,
            })
            .collect();
        let decode_time_ticks = rescale(read.decode_time_ticks.cast_signed()).cast_unsigned();
        let events = [TimedId3 {
            id: read.sequence,
            timescale,
            time_ticks: decode_time_ticks,
            metadata: Metadata::from_parts("Künstler", "Lied"),
        }];
        let fragment = Fragment {
            sequence: read.sequence,
            track: track.id,
            codec,
            decode_time_ticks,
            samples: &samples,
            events: &events,
            produced: Some(Produced {
                unix_nanos: 1_700_000_000_000_000_000,
            }),
        };
        written.extend_from_slice(&cmaf::write_fragment(&fragment));
    }
    (written, track.format.sample_rate_hz)
}

/// The decoder's configuration as a track has it, out of the boxes of a sample entry.
pub(super) fn config(codec: TrackCodec, boxes: &[u8]) -> Bytes {
    let body = |kind: &[u8; 4]| reader::child(boxes, *kind).expect("the configuration").body;
    let config = match codec {
        TrackCodec::H264 => body(b"avcC").to_vec(),
        TrackCodec::H265 => body(b"hvcC").to_vec(),
        TrackCodec::Av1 => body(b"av1C").to_vec(),
        TrackCodec::Vp9 => body(b"vpcC")[4..].to_vec(),
        TrackCodec::Aac => {
            let esds = body(b"esds");
            // ffmpeg writes lengths in four bytes; the configuration's descriptor has the tag 5.
            let tag = esds.windows(4).position(|w| w == [5, 0x80, 0x80, 0x80]);
            let at = tag.expect("an AudioSpecificConfig") + 5;
            esds[at..at + usize::from(esds[at - 1])].to_vec()
        }
        TrackCodec::Mp3 => Vec::new(),
        TrackCodec::Opus => {
            let dops = body(b"dOps");
            let [_, channels, s1, s0, r3, r2, r1, r0, g1, g0, family] = dops[..11] else {
                panic!("{dops:?}")
            };
            let head = [1, channels, s0, s1, r0, r1, r2, r3, g0, g1, family];
            [&b"OpusHead"[..], &head].concat()
        }
        TrackCodec::Flac => body(b"dfLa")[8..42].to_vec(),
        TrackCodec::Ac3 => body(b"dac3").to_vec(),
        TrackCodec::Eac3 => body(b"dec3").to_vec(),
    };
    Bytes::from(config)
}

/// Time, size and hash of every packet.
fn packets(file: &Path) -> Vec<String> {
    let args = ["-v", "error", "-show_entries"];
    let entries = ["packet=pts_time,dts_time,duration_time,size,flags,data_hash"];
    let format = ["-show_data_hash", "md5", "-of", "csv=p=0"];
    let path = file.to_string_lossy();
    let said = run(
        "ffprobe",
        &[&args[..], &entries, &format, &[&path]].concat(),
        LIMIT,
    );
    assert_eq!(said.stderr, "", "{path}");
    said.text().lines().map(str::to_owned).collect()
}

/// What a player learns from the header.
fn streams(file: &Path) -> String {
    let entries = "stream=codec_name,profile,level,codec_tag_string,width,height,pix_fmt,\
        has_b_frames,is_avc,nal_length_size,sample_rate,channels,channel_layout,time_base,\
        extradata_hash";
    let path = file.to_string_lossy();
    let args = ["-v", "error", "-show_data_hash", "md5", "-show_entries"];
    run("ffprobe", &[&args[..], &[entries, &path]].concat(), LIMIT).text()
}

/// Decodes all of it; anything that ffmpeg has to say is a failure.
fn decode(file: &Path, what: &str) {
    let mut command = program("ffmpeg");
    command.args("-nostdin -v error -xerror -err_detect explode -i".split(' '));
    command.arg(file).args("-map 0 -f null -".split(' '));
    assert_eq!(
        Client::spawn(&mut command).succeed(LIMIT).stderr,
        "",
        "{what}"
    );
}

/// The radio's own formats: the type that a source names, ffmpeg's options, and what of a packet is
/// no sound.
const RADIO: &[(&str, &str, &str)] = &[
    (
        "audio/mpeg",
        "-ar 44100 -c:a libmp3lame -write_xing 0 -id3v2_version 0 -f mp3",
        "null",
    ),
    (
        "audio/mpeg",
        "-ar 22050 -ac 1 -c:a libmp3lame -write_xing 0 -id3v2_version 0 -f mp3",
        "null",
    ),
    ("audio/aac", "-ar 44100 -c:a aac -f adts", "aac_adtstoasc"),
    ("audio/aac", "-ar 22050 -c:a aac -f adts", "aac_adtstoasc"),
    (
        "audio/ogg",
        "-ar 48000 -c:a libopus -page_duration 200000 -f ogg",
        "null",
    ),
    ("audio/ogg", "-ar 48000 -ac 6 -c:a libopus -f ogg", "null"),
    (
        "audio/ogg",
        "-ar 44100 -sample_fmt s16 -c:a flac -f ogg",
        "null",
    ),
    (
        "audio/ogg",
        "-ar 96000 -sample_fmt s32 -c:a flac -page_duration 100000 -f ogg",
        "null",
    ),
];

#[test]
fn the_radio_in_fragments_is_the_radio() {
    for (content_type, options, filter) in RADIO {
        let scratch = Scratch::new("radio");
        let (theirs, ours) = (scratch.file("theirs"), scratch.file("ours.mp4"));
        let mut command = program("ffmpeg");
        command.args("-nostdin -v error -y -f lavfi -t 2 -i".split(' '));
        command.arg(SOUND).args(options.split_ascii_whitespace());
        Client::spawn(command.arg(&theirs)).succeed(LIMIT);
        let stream = std::fs::read(&theirs).expect("ffmpeg made it");
        let written = pack(&radio_events(content_type, stream));
        std::fs::write(&ours, &written).expect("a scratch folder takes files");
        let (hashes, expected) = (hashes(&ours, "null"), hashes(&theirs, filter));
        assert_eq!(hashes, expected, "{options}");
        assert!(!hashes.is_empty(), "{options}");
        decode(&ours, options);
        // Only Ogg says where inside of its last packet a stream of Opus ends.
        let padding = if options.contains("libopus") { 960 } else { 1 };
        let (heard, sent) = (samples_decoded(&ours), samples_decoded(&theirs));
        assert!((sent..sent + padding).contains(&heard), "{options}");
    }
}

/// What becomes of a stream on its way to a packager.
fn radio_events(content_type: &str, stream: Vec<u8>) -> Vec<MediaEvent> {
    let mut framer = Framer::for_content_type(content_type);
    let mut radio = RadioUnits::new();
    let mut events = Vec::new();
    framer.push(Bytes::from(stream));
    framer.finish();
    while let Some(event) = framer.poll() {
        radio.push(&event, &mut events);
    }
    events
}

/// A header and fragments of eight units; each plays until the next begins.
fn pack(events: &[MediaEvent]) -> Vec<u8> {
    let mut written = Vec::new();
    let mut units = Vec::new();
    let mut track = None;
    for event in events {
        match event {
            MediaEvent::Tracks(tracks) => {
                assert!(track.is_none() && tracks.len() == 1, "{tracks:?}");
                written = cmaf::write_init(&tracks[0]).to_vec();
                track = Some(tracks[0].clone());
            }
            MediaEvent::Unit(unit) => units.push(unit.clone()),
            _ => {}
        }
    }
    let format = track.expect("a track").format;
    let timescale = cmaf::timescale(&format);
    let times: Vec<i64> = units
        .iter()
        .map(|unit| unit.dts.to_ticks(timescale))
        .collect();
    let samples: Vec<Sample> = (0..units.len())
        .map(|at| Sample {
            payload: units[at].payload.clone(),
            duration_ticks: match times[at..] {
                [this, next, ..] => (next - this) as u32,
                _ => (times[at] - times[at - 1]) as u32,
            },
            composition_offset_ticks: 0,
            keyframe: true,
        })
        .collect();
    for (number, samples) in samples.chunks(8).enumerate() {
        let fragment = Fragment {
            sequence: number as u32 + 1,
            track: TrackId(0),
            codec: format.codec,
            decode_time_ticks: times[number * 8] as u64,
            samples,
            events: &[],
            produced: None,
        };
        written.extend_from_slice(&cmaf::write_fragment(&fragment));
    }
    written
}

/// Size and hash of every packet behind the bit stream filter `filter`.
fn hashes(file: &Path, filter: &str) -> Vec<String> {
    let path = file.to_string_lossy();
    let filter = ["-c", "copy", "-bsf:a", filter, "-f", "framemd5", "-"];
    let said = run(
        "ffmpeg",
        &[&["-v", "error", "-i", &path][..], &filter].concat(),
        LIMIT,
    );
    let text = said.text();
    let packets = text.lines().filter(|line| !line.starts_with('#'));
    // Stream, times and duration stand in front, notes for decoders may follow.
    packets
        .map(|line| {
            line.split(',')
                .skip(4)
                .take(2)
                .collect::<Vec<_>>()
                .join(",")
        })
        .collect()
}

/// Samples of one channel that ffmpeg hears.
fn samples_decoded(file: &Path) -> usize {
    let path = file.to_string_lossy();
    let input = ["-v", "error", "-i", &path, "-ac", "1"];
    let said = run(
        "ffmpeg",
        &[&input[..], &["-f", "s16le", "-"]].concat(),
        LIMIT,
    );
    said.stdout.len() / 2
}
