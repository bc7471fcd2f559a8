//! Who watches by HLS, counted without cookies and whatever shard they come to.

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::{publish, wait_tracks};
use crate::harness::{Backend, Scratch, Server, Station, fixture, http, wait_for};

/// Longer than anything here may take.
const LIMIT: Duration = Duration::from_secs(60);

/// So many connections that the kernel gives some to each shard.
const CONNECTIONS: usize = 24;

/// `GET path` on a connection of its own.
fn get(server: &Server, path: &str, agent: &str) -> http::Answer {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: test\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n"
    );
    let answer = http::exchange(server.address(), request.as_bytes());
    let answer = answer.expect("the server answers");
    assert_eq!(answer.status, 200, "{path}");
    answer
}

/// Fails unless `line` is of one who watched `v0` by many requests, and shows no whole address.
fn assert_watched(line: &str) {
    assert!(line.starts_with("127.0.0.0 "), "{line}");
    let of_list = line.contains("\"GET /live/cam/hls/v0.m3u8 HTTP/1.1\" 200 ");
    assert!(of_list && !line.contains("four"), "{line}");
    let bytes = line.split("\" 200 ").nth(1);
    let bytes = bytes.and_then(|rest| rest.split(' ').next());
    let bytes: usize = bytes.and_then(|it| it.parse().ok()).expect("a number");
    assert!(bytes > 2 * CONNECTIONS * 500, "lists have more: {line}");
}

#[test]
fn a_player_is_counted_once_and_then_no_more() {
    let scratch = Scratch::new("audience");
    let access = scratch.file("access");
    let setting = format!("log.access_path={}", access.display());
    let settings = ["mount_defaults.hls=always", "log.redact_ip=true", &setting];
    let mut server = Server::start(Backend::IoUring, &settings);
    let film = fixture::film("player.flv", 90, &["-g", "30", "-bf", "0"]);
    let _source = publish(&server, &film, "/live/cam");
    wait_tracks(&server, "/live/cam", 2);
    let viewers = || {
        server
            .mount("/live/cam")
            .map(|report| report["viewers"].clone())
    };
    assert_eq!(viewers(), Some(0.into()));

    let list = "/live/cam/hls/v0.m3u8";
    for agent in ["one", "two", "three"] {
        for _ in 0..CONNECTIONS {
            get(&server, list, agent);
            get(&server, "/live/cam/hls/a0.m3u8", agent);
        }
    }
    // One who asks for media or for what there is only is none.
    let text = get(&server, list, "one").text();
    let map = text.split("#EXT-X-MAP:URI=\"").nth(1);
    let map = map
        .and_then(|rest| rest.split('"').next())
        .expect("there is a header");
    get(&server, "/live/cam.m3u8", "four");
    get(&server, &format!("/live/cam/hls/{map}"), "four");
    assert_eq!(viewers(), Some(3.into()));
    let body = server.get("/api/v1/mounts/live/cam").json();
    assert_eq!(body["listeners"], 0, "{body}");

    wait_for("those who ask no more are gone", LIMIT, || {
        get(&server, list, "two");
        (viewers() == Some(1.into())).then_some(())
    });
    let lines = || {
        let log = std::fs::read_to_string(&access).unwrap_or_default();
        let of_viewers = log.lines().filter(|line| line.contains("/live/cam/hls/"));
        Vec::from_iter(of_viewers.map(str::to_owned))
    };
    wait_for("each has its line", LIMIT, || {
        get(&server, list, "two");
        (lines().len() >= 2).then_some(())
    });
    server.signal(Signal::TERM);
    server.wait_end();
    let mut lines = lines();
    lines.sort_by_key(|line| line.contains("\"two\""));
    let [one, three, two] = &lines[..] else {
        panic!("{lines:#?}")
    };
    for line in [one, three, two] {
        assert_watched(line);
    }
    let seconds = two.rsplit(' ').next().and_then(|last| last.parse().ok());
    assert!(seconds > Some(15), "it watched until now: {two}");
}

#[test]
fn each_request_has_a_line_from_when_the_settings_want_that() {
    let scratch = Scratch::new("requests");
    let (access, file) = (scratch.file("access"), scratch.file("corecast.toml"));
    let write = |wanted: &str| {
        let text = format!(
            "[log]\naccess_path = '{}'\naccess_hls = '{wanted}'\n\
             [mount_defaults]\nhls = 'always'\n",
            access.display()
        );
        std::fs::write(&file, text).expect("a scratch folder takes files");
    };
    write("viewers");
    let mut command = Command::new(env!("CARGO_BIN_EXE_corecast"));
    command.arg("run").arg("--config").arg(&file);
    let mut server = Server::launch_with(command, Backend::IoUring, &[]);
    server.wait_ready();
    let _station = Station::play(&server, "/live");
    wait_for("there is a list", LIMIT, || {
        let answer = server.get("/live/hls/a0.m3u8");
        (answer.status == 200).then_some(())
    });
    for _ in 0..3 {
        get(&server, "/live/hls/a0.m3u8", "early");
    }
    write("requests");
    server.signal(Signal::HUP);
    wait_for("it follows the settings", LIMIT, || {
        server.log().contains(" reloaded ").then_some(())
    });
    // Shards hear of it one after the other.
    wait_for("a line of a request", LIMIT, || {
        get(&server, "/live/hls/a0.m3u8", "first");
        let log = std::fs::read_to_string(&access).unwrap_or_default();
        log.contains("\"first\"").then_some(())
    });
    for _ in 0..3 {
        get(&server, "/live/hls/a0.m3u8", "counted");
    }
    server.signal(Signal::TERM);
    server.wait_end();
    let log = std::fs::read_to_string(&access).expect("it is written");
    // No viewer has a line any more, and none of its requests had one before.
    assert_eq!(log.matches("\"early\"").count(), 0, "{log}");
    assert_eq!(log.matches("\"counted\"").count(), 3, "{log}");
}
