//! Who watches by HLS, counted without cookies and whatever shard they come to.

use std::time::Duration;

use super::{publish, wait_tracks};
use crate::harness::{Backend, Server, fixture, http, wait_for};

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

#[test]
fn a_player_is_counted_once_and_then_no_more() {
    let server = Server::start(Backend::IoUring, &["mount_defaults.hls=always"]);
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
}
