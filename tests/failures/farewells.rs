//! SIGTERM while there are clients of every kind: each is told in its own way, and the server ends
//! with the last of them.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::harness::http2::{END_STREAM, Http2, frame, kind, status};
use super::harness::server::ADMIN_PASSWORD;
use super::harness::{Backend, Scratch, Server, Station, http, wait_for};
use super::peers;
use super::video::{edge, wait_list};
use crate::tls::quinn;

crate::clients::on_both_backends!(clients_of_every_kind_hear_of_the_end);

const SOON: Duration = Duration::from_secs(30);

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A WebSocket's last frame: the server goes away (RFC 6455 section 7.4.1).
const GOING_AWAY: [u8; 4] = [0x88, 2, 0x03, 0xe9];

/// Listens and waits for a list by HTTP/3; the statuses of both, once both are over.
fn http3(server: &Server, list: &str) -> (u16, u16) {
    quinn::run(async {
        let endpoint = quinn::client(server);
        let mut talk = quinn::Talk::connect(&endpoint, server).await;
        let mut other = talk.clone();
        let (listened, waited) = tokio::join!(talk.get("/live"), other.get(list));
        (listened.status, waited.status)
    })
}

/// Until the connection ends: that one stream ends in order and the other is answered with 503.
fn assert_told_by_http2(client: &mut Http2, listens: u32, waits: u32) {
    let (mut ended, mut answered) = (false, 0);
    while let Some(frame) = client.read(SOON) {
        let ends = matches!(frame.kind, kind::HEADERS | kind::DATA) && frame.flags & END_STREAM > 0;
        ended |= ends && frame.stream == listens;
        if frame.kind == kind::HEADERS && frame.stream == waits {
            answered = status(&frame);
        }
    }
    assert_eq!((ended, answered, client.goaway), (true, 503, Some(0)));
}

fn clients_of_every_kind_hear_of_the_end(backend: Backend) {
    let folder = Scratch::new("farewells");
    let access = folder.file("access.log");
    let access_setting = format!("log.access_path={}", access.display());
    let settings = [
        "mount_defaults.latency=live",
        "mount_defaults.hls_segment_ms=6000",
        "server.drain_grace_ms=90000",
        &access_setting,
    ];
    let mut server = Server::start_tls(backend, &settings);
    let station = Station::play(&server, "/live");
    let next = edge(&wait_list(&server, "/live")) + 1;
    let list = format!("/live/hls/a0.m3u8?_HLS_msn={next}");
    let get = |path: &str, lines: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nHost: t\r\n{lines}\r\n");
        peers::say(server.address(), head.as_bytes())
    };
    let mut listening = [get("/live", ""), get("/live.flv", "")];
    let mut talking = get("/live.flv", UPGRADE);
    let mut watching = get("/api/v1/events", &http::basic("admin", ADMIN_PASSWORD));
    let mut waiting = get(&list, "");
    let room = 8_000_000;
    let mut http2 = Http2::open(server.address(), &[(4, room)]);
    http2.say(&frame(kind::WINDOW_UPDATE, 0, 0, &room.to_be_bytes()));
    let (listens, waits) = (http2.ask("/live"), http2.ask(&list));
    let began = std::thread::scope(|scope| {
        let http3 = scope.spawn(|| http3(&server, &list));
        wait_for("all are there", SOON, || {
            let listeners = server.metric("corecast_listeners", "");
            let waiting = server.metric("corecast_hls_waiting", "");
            (listeners >= 5.0 && waiting >= 3.0).then_some(())
        });
        let began = Instant::now();
        server.signal(Signal::TERM);
        for stream in &mut listening {
            assert!(peers::read_to_end(stream, SOON).1);
        }
        let (heard, ended) = peers::read_to_end(&mut talking, SOON);
        assert!(ended && heard.ends_with(&GOING_AWAY));
        let (heard, ended) = peers::read_to_end(&mut watching, SOON);
        assert!(
            ended && heard.ends_with(b"\r\n0\r\n\r\n"),
            "chunks have an end"
        );
        let answer = http::read_answer(&mut waiting).expect("it is answered");
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert_told_by_http2(&mut http2, listens, waits);
        assert_eq!(http3.join().expect("no panic"), (200, 503));
        began
    });
    assert_eq!(server.wait_end().code(), Some(0));
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert!(!station.is_playing());
    let lines = std::fs::read_to_string(&access).expect("an access log");
    let of = |start: &str, status: &str| {
        let lines = lines.lines().filter(|line| line.contains(start));
        lines.filter(|line| line.contains(status)).count()
    };
    assert_eq!(of("\"GET /live HTTP/", "\" 200 "), 3, "{lines}");
    assert_eq!(of("\"GET /live.flv HTTP/", "\" 200 "), 2, "{lines}");
    assert_eq!(of("\"GET /live/hls/a0.m3u8 HTTP/", "\" 503 "), 3, "{lines}");
    assert_eq!(of("\"GET /api/v1/events HTTP/", "\" 200 "), 1, "{lines}");
    assert_eq!(of("\"PUT /live HTTP/", "\" 200 "), 1, "{lines}");
}
