//! What is in a stream: every format that a source may play, what the server reads of it, and that
//! each listener gets it from a border on, to the end.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::harness::{Backend, Client, Cut, Server, fixture, mpeg, program, station, wait_for};
use super::sources::seconds_decoded;

super::on_both_backends!(
    mpeg_audio_of_every_version_is_cut_at_frames,
    layer_one_is_cut_at_frames,
    tags_and_junk_between_frames_are_taken_out,
    speex_and_flac_are_cut_at_pages,
    he_aac_is_shown_at_the_rate_of_its_sound,
    what_is_not_known_passes_byte_for_byte
);

const MOUNT: &str = "/live";
const LIMIT: Duration = Duration::from_secs(60);
/// How long each sound is.
const SECONDS: u32 = 6;

fn start(backend: Backend) -> Server {
    let settings = [
        "mount_defaults.latency=live",
        "mount_defaults.burst_bytes=4096",
        "mount_defaults.source_timeout_ms=2500",
    ];
    Server::start(backend, &settings)
}

/// Plays `stream` to `mount`, with a listener from the middle of it on, once the server has found
/// `rate_hz`. Answers what the server said of it and what the listener has at the end.
fn play(
    server: &Server,
    (mount, content_type): (&str, &str),
    rate_hz: u32,
    stream: &[u8],
) -> (Value, Vec<u8>) {
    let headers = format!("Content-Type: {content_type}\r\n");
    let (mut source, answer) = station::open(server.address(), mount, &headers);
    assert_eq!(answer.status, 200, "{mount}: {}", answer.status_line);
    let (first, rest) = stream.split_at(stream.len() / 2);
    source.write_all(first).expect("the server takes bytes");
    let report = wait_for(&format!("{mount} has {rate_hz} Hz"), LIMIT, || {
        server
            .mount(mount)
            .filter(|report| report["sample_rate_hz"] == rate_hz)
    });
    let listener = listen(server, mount);
    finish(source, rest);
    (report, heard_by(listener, content_type))
}

/// curl, once it has the head of the answer.
fn listen(server: &Server, mount: &str) -> Client {
    let listener = Client::spawn(program("curl").args(["-sSi", &server.url(mount)]));
    wait_for("curl listens", LIMIT, || {
        (!listener.stdout().is_empty()).then_some(())
    });
    listener
}

/// Plays `rest` faster than it sounds, and ends.
fn finish(mut source: TcpStream, rest: &[u8]) {
    for piece in rest.chunks(4_096) {
        source.write_all(piece).expect("the server takes bytes");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The bytes behind the head of the answer.
fn heard_by(listener: Client, content_type: &str) -> Vec<u8> {
    let mut heard = listener.succeed(LIMIT).stdout;
    let end = heard.windows(4).position(|four| four == b"\r\n\r\n");
    let body = heard.split_off(end.expect("a head came") + 4);
    let head = String::from_utf8_lossy(&heard).to_lowercase();
    let line = format!("\r\ncontent-type: {content_type}\r\n");
    assert!(head.contains(&line), "{head}");
    body
}

/// Where the frames of `file` begin, and where the last one ends, as ffprobe sees them.
fn borders(file: &Path) -> Vec<usize> {
    let mut command = program("ffprobe");
    let options = "-v error -show_entries packet=pos,size -of csv=p=0";
    let output = Client::spawn(command.args(options.split(' ')).arg(file)).succeed(LIMIT);
    let text = output.text();
    // Lines of what else it knows of a packet are empty.
    let packets = text.lines().filter_map(|line| {
        let mut numbers = line.split(',').map(|word| word.parse::<usize>());
        let (size, at) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some((at, at + size))
    });
    let packets: Vec<_> = packets.collect();
    let end = packets.last().expect("there are frames").1;
    packets.iter().map(|packet| packet.0).chain([end]).collect()
}

/// Fails unless `heard` is `sent` from one of `borders` to the end, and plays.
fn assert_heard(what: &str, sent: &[u8], borders: &[usize], heard: &[u8]) {
    assert!(
        sent.ends_with(heard),
        "{what}: it is the end of what was sent"
    );
    let from = sent.len() - heard.len();
    assert!(borders.contains(&from), "{what}: {from} is a border");
    let seconds = seconds_decoded(what, heard);
    let half = f64::from(SECONDS) / 2.0;
    assert!(seconds > half * 0.8, "{what}: {seconds} s were heard");
}

/// A sound as ffmpeg writes it, and what the server must read from it.
struct Format {
    name: &'static str,
    options: &'static str,
    codec: &'static str,
    sample_rate_hz: u32,
    channels: u32,
    /// None where it varies.
    bitrate_bps: Option<u32>,
}

impl Format {
    const fn new(
        name: &'static str,
        options: &'static str,
        codec: &'static str,
        sample_rate_hz: u32,
        channels: u32,
    ) -> Self {
        Format {
            name,
            options,
            codec,
            sample_rate_hz,
            channels,
            bitrate_bps: None,
        }
    }

    const fn at(mut self, bitrate_bps: u32) -> Self {
        self.bitrate_bps = Some(bitrate_bps);
        self
    }

    fn file(&self) -> PathBuf {
        let options: Vec<&str> = self.options.split(' ').collect();
        fixture::sound(self.name, SECONDS, &options)
    }

    fn check(&self, report: &Value) {
        assert_eq!(report["codec"], self.codec, "{report}");
        assert_eq!(report["channels"], self.channels, "{report}");
        if let Some(bitrate_bps) = self.bitrate_bps {
            assert_eq!(report["bitrate_bps"], bitrate_bps, "{report}");
        }
    }
}

const MPEG_AUDIO: [Format; 6] = [
    Format::new(
        "1-3.mp3",
        "-write_xing 0 -id3v2_version 0 -b:a 192k",
        "mp3",
        44_100,
        2,
    )
    .at(192_000),
    Format::new(
        "2-3.mp3",
        "-write_xing 0 -id3v2_version 0 -ar 22050 -b:a 64k",
        "mp3",
        22_050,
        2,
    )
    .at(64_000),
    Format::new(
        "2.5-3.mp3",
        "-write_xing 0 -id3v2_version 0 -ar 11025 -b:a 32k",
        "mp3",
        11_025,
        2,
    )
    .at(32_000),
    Format::new(
        "1-2.mp2",
        "-c:a mp2 -f mp2 -ar 48000 -b:a 192k",
        "mp2",
        48_000,
        2,
    )
    .at(192_000),
    Format::new(
        "2-2.mp2",
        "-c:a mp2 -f mp2 -ar 24000 -b:a 96k -ac 1",
        "mp2",
        24_000,
        1,
    )
    .at(96_000),
    // Of a variable rate, with a table of contents at its start.
    Format::new("vbr.mp3", "-id3v2_version 0 -q:a 4", "mp3", 44_100, 2),
];

fn mpeg_audio_of_every_version_is_cut_at_frames(backend: Backend) {
    let server = start(backend);
    std::thread::scope(|scope| {
        for format in MPEG_AUDIO {
            let server = &server;
            scope.spawn(move || {
                let file = format.file();
                let sent = fs::read(&file).expect("the fixture stays");
                let mount = format!("/{}", format.name);
                let (report, heard) =
                    play(server, (&mount, "audio/mpeg"), format.sample_rate_hz, &sent);
                format.check(&report);
                assert_heard(format.name, &sent, &borders(&file), &heard);
            });
        }
    });
}

/// Nobody encodes layer I any more: frames of silence at 128 kbit/s.
fn layer_one_is_cut_at_frames(backend: Backend) {
    const FRAME_BYTES: usize = 4 * (12 * 128_000 / 44_100);
    let mut sent = Vec::new();
    for _ in 0..600 {
        let end = sent.len() + FRAME_BYTES;
        sent.extend([0xff, 0xff, 0x40, 0x00]);
        sent.resize(end, 0);
    }
    let server = start(backend);
    let (report, heard) = play(&server, (MOUNT, "audio/mpeg"), 44_100, &sent);
    assert_eq!(report["codec"], "mp1", "{report}");
    assert_eq!(report["channels"], 2, "{report}");
    assert_eq!(report["bitrate_bps"], 128_000, "{report}");
    assert_eq!(heard.len() % FRAME_BYTES, 0, "whole frames");
    assert!(heard.len() > sent.len() / 3 && sent.ends_with(&heard));
}

fn tags_and_junk_between_frames_are_taken_out(backend: Backend) {
    let server = start(backend);
    let mp3 = fs::read(fixture::mp3(SECONDS)).expect("the fixture stays");
    // An ID3v2 tag of 300 bytes with frame headers in it, and the old tag at the end of a file.
    let mut tag = b"ID3\x04\x00\x00\x00\x00\x02\x2c".to_vec();
    tag.extend(b"\xff\xfb\x90\x00".repeat(75));
    let mut old_tag = b"TAG".to_vec();
    old_tag.resize(128, 0x20);
    let junk = b"\r\nHTTP/1.0 200 OK\r\n\xff\xfb\x90 no frame at all \xff\xff\xff";
    let again = mpeg::frames(0..200);
    let sent = [&tag[..], &mp3, &old_tag, &tag, &mp3, junk, &again].concat();
    let (_, heard) = play(&server, (MOUNT, "audio/mpeg"), 44_100, &sent);
    let clean = [&mp3[..], &mp3, &again].concat();
    let missed = Cut::Mp3.assert_heard(&clean, &heard);
    assert!(missed < clean.len() / 2 + 8_192, "{missed} bytes");
    assert!(seconds_decoded("what is left", &heard) > f64::from(SECONDS));
}

const OGG: [Format; 3] = [
    Format::new(
        "speex.ogg",
        "-c:a libspeex -ar 32000 -page_duration 200000",
        "speex",
        32_000,
        2,
    ),
    Format::new(
        "narrow.ogg",
        "-c:a libspeex -ar 8000 -ac 1",
        "speex",
        8_000,
        1,
    ),
    // Its pages have a second of sound.
    Format::new(
        "flac.oga",
        "-c:a flac -sample_fmt s16 -ar 48000 -ac 1",
        "flac",
        48_000,
        1,
    ),
];

fn speex_and_flac_are_cut_at_pages(backend: Backend) {
    let server = start(backend);
    std::thread::scope(|scope| {
        for format in OGG {
            let server = &server;
            scope.spawn(move || {
                let sent = fs::read(format.file()).expect("the fixture stays");
                let mount = format!("/{}", format.name);
                let (report, heard) =
                    play(server, (&mount, "audio/ogg"), format.sample_rate_hz, &sent);
                format.check(&report);
                Cut::Ogg.assert_heard(&sent, &heard);
                let seconds = seconds_decoded(format.name, &heard);
                assert!(seconds > 2.0, "{}: {seconds} s were heard", format.name);
            });
        }
    });
}

/// ADTS frames of HE-AAC with a core of 22,050 Hz and `channels`. No encoder of it can be
/// installed: the core is noise, and behind it stands the element that holds the band above it.
fn he_aac(channels: u8, frames: u32) -> Vec<u8> {
    const BAND_BYTES: u8 = 40;
    let mut state = 1_u32;
    let mut noise = |bits: usize| -> String {
        let bits = (0..bits).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if state >> 31 == 0 { '0' } else { '1' }
        });
        bits.collect()
    };
    let mut out = Vec::new();
    for _ in 0..frames {
        let core = noise(1_003);
        let band = noise(usize::from(BAND_BYTES) * 8 - 4);
        // A fill element of so many bytes, the first four bits of which say that it is a band.
        let mut bits = format!("{core}1101111{:08b}1101{band}111", BAND_BYTES - 14);
        while bits.len() % 8 != 0 {
            bits.push('0');
        }
        let block = (0..bits.len() / 8).map(|at| {
            let byte = u8::from_str_radix(&bits[at * 8..at * 8 + 8], 2);
            byte.expect("eight binary digits")
        });
        let len = 7 + bits.len() / 8;
        let [high, low] = u16::try_from(len << 5)
            .expect("a short frame")
            .to_be_bytes();
        out.extend([0xff, 0xf1, 0x5c, channels << 6, high, low | 0x1f, 0xfc]);
        out.extend(block);
    }
    out
}

fn he_aac_is_shown_at_the_rate_of_its_sound(backend: Backend) {
    let server = start(backend);
    for (mount, channels) in [("/he.aac", 2), ("/mono.aac", 1)] {
        let sent = he_aac(channels, 200);
        let (report, heard) = play(&server, (mount, "audio/aacp"), 44_100, &sent);
        assert_eq!(report["codec"], "aac", "{report}");
        assert_eq!(report["channels"], channels, "{report}");
        Cut::Adts.assert_heard(&sent, &heard);
    }
}

/// WebM has no parser here: a listener who is there from the start gets the whole file.
fn what_is_not_known_passes_byte_for_byte(backend: Backend) {
    let server = start(backend);
    let webm = [
        "-c:a", "libopus", "-ar", "48000", "-f", "webm", "-live", "1",
    ];
    let file = fixture::sound("opus.webm", SECONDS, &webm);
    let sent = fs::read(file).expect("the fixture stays");
    let headers = "Content-Type: audio/webm\r\n";
    let (source, answer) = station::open(server.address(), MOUNT, headers);
    assert_eq!(answer.status, 200);
    let listener = Client::spawn(program("curl").args(["-sSi", &server.url(MOUNT)]));
    wait_for("curl is there before the first byte", LIMIT, || {
        (server.mount(MOUNT)?["listeners"] == 1).then_some(())
    });
    finish(source, &sent);
    let report = server
        .mount(MOUNT)
        .expect("its listeners wait for the source");
    assert_eq!(report["content_type"], "audio/webm", "{report}");
    assert_eq!(report["codec"], "opaque", "{report}");
    let body = heard_by(listener, "audio/webm");
    assert!(body == sent, "{} bytes of {}", body.len(), sent.len());
    let seconds = seconds_decoded("webm", &body);
    assert!(seconds > f64::from(SECONDS) - 0.5, "{seconds} s were heard");
}
