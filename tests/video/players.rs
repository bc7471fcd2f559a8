//! Players and readers of every kind on HLS, FLV and TS: each must decode without a complaint, and
//! what comes by HLS is what went in.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::time::Duration;

use rustix::process::Signal;

use super::{assert_of_film, packets, publish, wait_tracks};
use crate::harness::icecast::NOBODY;
use crate::harness::{Backend, Client, Scratch, Server, fixture, program, wait_for};

/// Longer than any of them may take.
const LIMIT: Duration = Duration::from_secs(60);

/// What all that know of no tracks by name are given.
const OUTPUTS: [&str; 3] = ["/live/cam.m3u8", "/live/cam.flv", "/live/cam.ts"];

fn start(backend: Backend) -> (Server, Client) {
    let settings = [
        "mount_defaults.hls=always",
        "mount_defaults.hls_segment_ms=1000",
    ];
    let server = Server::start(backend, &settings);
    let film = fixture::film("player.flv", 90, &["-g", "30", "-bf", "0"]);
    let source = publish(&server, &film, "/live/cam");
    wait_tracks(&server, "/live/cam", 2);
    // Players that know no parts begin three segments before the end.
    wait_for("there are four segments", LIMIT, || {
        let list = server.get("/live/cam/hls/v0.m3u8").text();
        (list.matches("#EXTINF:").count() >= 4).then_some(())
    });
    (server, source)
}

#[test]
fn ffmpeg_decodes_every_output_without_a_complaint() {
    let (server, _source) = start(Backend::Epoll);
    let strict = "-nostdin -v error -xerror -err_detect explode -t 3";
    let players = OUTPUTS.map(|path| {
        let mut ffmpeg = program("ffmpeg");
        ffmpeg
            .args(strict.split(' '))
            .args(["-i", &server.url(path)]);
        ffmpeg.args("-map 0:v:0 -map 0:a:0 -f framemd5 -".split(' '));
        (path, Client::spawn(&mut ffmpeg))
    });
    for (path, player) in players {
        let output = player.succeed(LIMIT);
        assert_eq!(output.stderr, "", "{path}");
        let list = output.text();
        for (stream, least) in [("0,", 80), ("1,", 110)] {
            let count = list.lines().filter(|line| line.starts_with(stream)).count();
            assert!(count >= least, "{path}: {count} of stream {stream}");
        }
    }
}

#[test]
fn what_comes_by_hls_is_what_went_in() {
    let film = fixture::film("player.flv", 90, &["-g", "30", "-bf", "0"]);
    let of_film = packets(&film.to_string_lossy(), &[], "null");
    let of_film = of_film.into_iter().collect();
    let (server, _source) = start(Backend::IoUring);
    let found = packets(&server.url(OUTPUTS[0]), &["-t", "4"], "null");
    assert_of_film(&of_film, &found, [100, 150]);
}

#[test]
fn mpv_plays_every_output() {
    let (server, _source) = start(Backend::IoUring);
    let players = OUTPUTS.map(|path| {
        let log = server.scratch().file(path.trim_start_matches("/live/"));
        let mut mpv = program("mpv");
        mpv.args("--no-config --vo=null --ao=null --length=3".split(' '));
        mpv.arg(format!("--log-file={}", log.display()));
        (log, Client::spawn(mpv.arg(server.url(path))))
    });
    for (log, player) in players {
        player.succeed(LIMIT);
        let said = fs::read_to_string(&log).expect("mpv wrote it");
        for word in ["Video --vid=1", "Audio --aid=1", "h264", "aac"] {
            assert!(said.contains(word), "no {word:?} in {said}");
        }
        let is_fault = |line: &&str| line.contains("][e][") || line.contains("][f][");
        let faults: Vec<&str> = said.lines().filter(is_fault).collect();
        assert!(faults.is_empty(), "{}: {faults:#?}", log.display());
    }
}

#[test]
fn vlc_plays_every_output() {
    let (server, _source) = start(Backend::Epoll);
    let home = Scratch::open_to_all("vlc");
    let is_root = fs::metadata(home.path()).expect("it was just made").uid() == 0;
    // It refuses to run as root.
    if is_root {
        chown(home.path(), Some(NOBODY), Some(NOBODY)).expect("root may");
    }
    let players = OUTPUTS.map(|path| {
        let mut command = program("vlc");
        let options = "-I dummy --aout=dummy --vout=dummy --run-time=5 --play-and-exit -vv";
        command.args(options.split(' ')).arg(server.url(path));
        command.env("HOME", home.path()).env("LC_ALL", "C.UTF-8");
        if is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        (path, Client::spawn(&mut command))
    });
    for (path, player) in players {
        let said = player.succeed(LIMIT).stderr;
        for word in ["Received first picture", "44100 Hz Stereo frame=1"] {
            assert!(said.contains(word), "{path}: no {word:?} in {said}");
        }
    }
}

#[test]
fn gstreamer_plays_hls_and_transport_streams() {
    let (server, _source) = start(Backend::IoUring);
    let players = ["/live/cam.m3u8", "/live/cam.ts"].map(|path| {
        let mut command = program("gst-play-1.0");
        command.env("GST_PLUGIN_FEATURE_RANK", "hlsdemux2:512");
        let options =
            "--use-playbin3 --no-interactive --videosink=fakevideosink --audiosink=fakeaudiosink";
        command.args(options.split(' ')).arg(server.url(path));
        (path, Client::spawn(&mut command))
    });
    for (path, player) in players {
        // It shows its place as it goes.
        wait_for(&format!("GStreamer plays {path}"), LIMIT, || {
            let said = String::from_utf8_lossy(&player.stdout()).into_owned();
            said.contains("0:00:03.").then_some(())
        });
        player.signal(Signal::INT);
        let output = player.wait(LIMIT);
        assert!(
            !output.text().contains("ERROR"),
            "{path}: {}",
            output.text()
        );
    }
}
