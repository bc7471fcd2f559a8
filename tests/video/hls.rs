//! The rules of low-latency HLS on what the server gives out, by our own checker, while sources
//! are steady, jump, come back and go for good.

use std::collections::HashSet;
use std::time::Duration;

use rustix::process::Signal;

use super::{packets, publish, wait_tracks};
use crate::harness::client::loadtest;
use crate::harness::server::SOURCE_PASSWORD;
use crate::harness::{Backend, Client, Server, Station, fixture, program, wait_for};

/// Longer than anything here may take.
const LIMIT: Duration = Duration::from_secs(60);

/// The list of the pictures.
const LIST: &str = "/live/cam/hls/v0.m3u8";

/// A window so short that segments leave it while a test looks on.
const SHORT: [&str; 3] = [
    "mount_defaults.hls=always",
    "mount_defaults.hls_segment_ms=1000",
    "mount_defaults.hls_window_ms=10000",
];

/// How much later than the rules say something may come: other tests have the machine too.
const SLACK_MS: &str = "2000";

/// Of the 58 rules so many must have been applied, else nothing was seen.
const RULES_MIN: usize = 40;

fn film() -> std::path::PathBuf {
    fixture::film("player.flv", 90, &["-g", "30", "-bf", "0"])
}

/// Holds `mount` to the rules for so many seconds.
fn check(server: &Server, mount: &str, seconds: u32) -> Client {
    let mut command = loadtest();
    let url = server.url(&format!("{mount}.m3u8"));
    let options = ["--seconds", &seconds.to_string(), "--slack-ms", SLACK_MS];
    Client::spawn(command.args(["hls-check", &url]).args(options))
}

/// Fails with the whole report where a rule was broken, or where too few were applied.
fn assert_kept(mount: &str, checker: Client) {
    let report = checker.succeed(LIMIT).text();
    let last = report.lines().last().unwrap_or_default();
    eprintln!("{mount}: {last}");
    let mut words = last.split_whitespace();
    let applied = words.nth(4).and_then(|word| word.parse::<usize>().ok());
    assert!(applied >= Some(RULES_MIN), "{mount}: {report}");
}

/// Plays an AAC file to `mount` at its own pace.
fn play_aac(server: &Server, mount: &str) -> Client {
    let mut ffmpeg = program("ffmpeg");
    ffmpeg
        .args(["-nostdin", "-v", "error", "-re", "-i"])
        .arg(fixture::adts(60));
    ffmpeg.args("-c copy -content_type audio/aac -f adts".split(' '));
    let address = server.address();
    ffmpeg.arg(format!(
        "icecast://source:{SOURCE_PASSWORD}@{address}{mount}"
    ));
    Client::spawn(&mut ffmpeg)
}

#[test]
fn the_rules_hold_for_video_and_for_radio() {
    let server = Server::start(Backend::IoUring, &SHORT);
    let _film = publish(&server, &film(), "/live/cam");
    let _mp3 = Station::play(&server, "/live.mp3");
    let _aac = play_aac(&server, "/live.aac");
    wait_tracks(&server, "/live/cam", 2);
    for mount in ["/live.mp3", "/live.aac"] {
        server.wait_live(mount);
        server.set_title(mount, "Ada – Première".as_bytes());
    }
    let mounts = ["/live/cam", "/live.mp3", "/live.aac"];
    let checkers = mounts.map(|mount| (mount, check(&server, mount, 10)));
    for (mount, checker) in checkers {
        assert_kept(mount, checker);
    }
}

#[test]
fn ffmpeg_decodes_packed_sound() {
    let server = Server::start(Backend::IoUring, &SHORT);
    let _mp3 = Station::play(&server, "/live.mp3");
    server.wait_live("/live.mp3");
    let mut ffmpeg = program("ffmpeg");
    let url = server.url("/live.mp3.m3u8");
    ffmpeg.args(["-nostdin", "-v", "error", "-xerror", "-i", &url]);
    ffmpeg.args("-t 4 -f null -".split(' '));
    let said = Client::spawn(&mut ffmpeg).succeed(LIMIT);
    // Where it has waited for a segment it puts two frames at one time, and says so.
    let mut faults = said.stderr.lines();
    let fault = faults.find(|line| !line.contains("increasing dts"));
    assert_eq!(fault, None);
    assert_eq!(server.get("/live.mp3.mpd").status, 404);
}

#[test]
fn ffmpeg_plays_dash_as_it_is_made() {
    let server = Server::start(Backend::IoUring, &SHORT);
    let _film = publish(&server, &film(), "/live/cam");
    wait_for("there are five segments", LIMIT, || {
        let answer = server.get(LIST);
        (answer.status == 200 && segments(&answer.text()).len() >= 5).then_some(())
    });
    // More than is there: it waits for what is not.
    let url = server.url("/live/cam.mpd");
    let found = packets(&url, &["-t", "9"], "null");
    let count = |kind: &str| found.iter().filter(|(of, _)| of == kind).count();
    assert!(count("v") >= 200 && count("a") >= 300, "{}", found.len());
    let pictures = found.iter().filter(|(kind, _)| kind == "v");
    let once: HashSet<_> = pictures.collect();
    assert_eq!(once.len(), count("v"), "some came twice");
}

#[test]
fn the_rules_hold_while_a_source_stalls_and_bursts() {
    let server = Server::start(Backend::Epoll, &SHORT);
    let source = publish(&server, &film(), "/live/cam");
    wait_tracks(&server, "/live/cam", 2);
    let checker = check(&server, "/live/cam", 12);
    // It sends at once what it owes when it is let on.
    for stall_ms in [300, 700, 150, 1_200, 500, 50, 900] {
        source.signal(Signal::STOP);
        std::thread::sleep(Duration::from_millis(stall_ms));
        source.signal(Signal::CONT);
        std::thread::sleep(Duration::from_millis(700));
    }
    assert_kept("/live/cam", checker);
}

/// The text of a media playlist.
fn list(server: &Server) -> String {
    let answer = server.get(LIST);
    assert_eq!(answer.status, 200);
    answer.text()
}

/// The segments that are whole, as they are listed.
fn segments(list: &str) -> Vec<&str> {
    let lines = list.lines();
    let segments = lines.filter(|line| line.ends_with(".m4s") && !line.starts_with('#'));
    segments.collect()
}

/// The name of a segment before its number: the life of the packager that made it.
fn life(segment: &str) -> &str {
    segment.rsplit_once('-').map_or("", |(life, _)| life)
}

/// Asks for the next segment until the stream has ended; answers the last list.
fn wait_end(server: &Server) -> String {
    let mut text = list(server);
    while !text.ends_with("#EXT-X-ENDLIST\n") {
        let last = segments(&text)
            .last()
            .expect("there are segments")
            .to_string();
        let number = last
            .rsplit_once('-')
            .and_then(|(_, rest)| rest.split('.').next());
        let number: u64 = number
            .and_then(|text| text.parse().ok())
            .expect("they are counted");
        let path = format!("{LIST}?_HLS_msn={}", number + 1);
        let answer = server.get(&path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        text = answer.text();
        let newest = segments(&text).last().map(|name| name.to_string());
        let is_released = newest != Some(last) || text.ends_with("#EXT-X-ENDLIST\n");
        assert!(is_released, "{path}: {text}");
    }
    text
}

#[test]
fn a_source_comes_back_and_goes_for_good_by_the_rules() {
    let mut settings = SHORT.to_vec();
    settings.push("mount_defaults.source_timeout_ms=3000");
    let server = Server::start(Backend::IoUring, &settings);
    // Ended by a signal that it cannot answer, in the middle of a segment.
    let source = publish(&server, &film(), "/live/cam");
    wait_tracks(&server, "/live/cam", 2);
    let checker = check(&server, "/live/cam", 14);
    wait_for("there are three segments", LIMIT, || {
        (segments(&list(&server)).len() >= 3).then_some(())
    });
    source.signal(Signal::KILL);
    source.wait(LIMIT);
    let before = list(&server);
    let source = publish(&server, &film(), "/live/cam");
    let after = wait_for("it goes on after a discontinuity", LIMIT, || {
        let list = list(&server);
        let after = list.split("#EXT-X-DISCONTINUITY\n").nth(1)?;
        (segments(after).len() >= 3).then(|| after.to_owned())
    });
    let lives = [&before, &after].map(|list| life(segments(list)[0]).to_owned());
    assert_eq!(lives[0], lives[1], "{before}\n{after}");

    // Whoever waits for what never comes is told.
    source.signal(Signal::KILL);
    source.wait(LIMIT);
    let ended = wait_end(&server);
    assert!(!ended.contains("PRELOAD-HINT"), "{ended}");
    assert_kept("/live/cam", checker);
}
