//! Sources that die, come back as something else, are one too many, or lie about their body.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use super::harness::{Backend, IcyReader, Server, Station, http, mpeg, station, wait_for};
use super::peers;

const SOON: Duration = Duration::from_secs(10);

crate::clients::on_both_backends!(
    a_source_that_comes_back_in_time_is_a_gap,
    listeners_go_along_the_fallbacks_and_return,
);

/// Every byte of a source's own, in place of a [`Station`]: 192 kbit/s, so no frame of the
/// station's.
fn other_frames(count: usize) -> Vec<u8> {
    let mut frame = vec![0; 626];
    frame[..4].copy_from_slice(&[0xff, 0xfb, 0xb0, 0x00]);
    frame[100] = 1;
    frame.repeat(count)
}

fn wait_state(server: &Server, mount: &str, state: &str) {
    wait_for(&format!("{mount} is {state}"), SOON, || {
        (server.mount(mount)?["state"] == state).then_some(())
    });
}

fn a_source_that_comes_back_in_time_is_a_gap(backend: Backend) {
    let settings = [
        "mount_defaults.latency=live",
        "mount_defaults.source_timeout_ms=8000",
    ];
    let server = Server::start(backend, &settings);
    let station = Station::play(&server, "/live");
    server.wait_live("/live");
    let mut reader = IcyReader::open(server.address(), "/live");
    assert!(reader.listen(Duration::from_millis(700)));
    // Dropped, it is gone without a word.
    drop(station);
    wait_state(&server, "/live", "waiting");
    assert!(reader.listen(Duration::from_millis(500)), "no hang-up");
    let station = Station::play_at(&server, "/live", 500_000, 1.0);
    let came = reader.listen_until(SOON, |reader| {
        let heard = mpeg::read(&reader.audio).map(|heard| heard.frames);
        heard.is_ok_and(|frames| frames.last().is_some_and(|last| *last > 500_020))
    });
    let heard = mpeg::read(&reader.audio).expect("frames and titles are exact");
    assert!(came, "the second source is heard: {:?}", heard.jumps());
    let jumps = heard.jumps();
    assert_eq!(jumps.len(), 1, "{jumps:?}");
    assert!(
        (500_000..500_003).contains(&jumps[0].1),
        "nearly nothing is lost at the start: {jumps:?}"
    );
    drop(station);

    // Back again with another bit rate of the same type: the listeners go on.
    wait_state(&server, "/live", "waiting");
    let before = reader.audio.len();
    let (mut socket, answer) = station::open(server.address(), "/live", "");
    assert_eq!(answer.status, 200);
    let other = other_frames(120);
    socket.write_all(&other).expect("the server takes it");
    let came = reader.listen_until(SOON, |reader| reader.audio.len() >= before + 40_000);
    assert!(came, "the other bit rate is heard");
    let at = reader.audio.windows(4).position(|head| head == &other[..4]);
    let (first, second) = reader.audio.split_at(at.expect("its first frame came"));
    let first = mpeg::read(first).expect("the first source's frames are whole");
    assert_eq!(first.tail, 0, "it changes at a frame's border");
    assert!(
        second.len() > 40_000 && other.starts_with(&second[..40_000]),
        "the second source's bytes are its own"
    );
    drop(socket);

    // Back as another type: what comes now nobody asked for.
    wait_state(&server, "/live", "waiting");
    let authorization = http::basic("source", super::harness::server::SOURCE_PASSWORD);
    let request = format!(
        "PUT /live HTTP/1.1\r\nHost: test\r\n{authorization}Content-Type: audio/aac\r\n\r\n"
    );
    let mut socket = peers::say(server.address(), request.as_bytes());
    assert_eq!(http::read_head(&mut socket).expect("an answer").status, 200);
    wait_for("the listener is ended", SOON, || {
        (!reader.listen(Duration::from_millis(50))).then_some(())
    });
    assert_eq!(
        server.metric("corecast_listeners_ended_total", "source_gone"),
        1.0
    );
}

/// A server with `/a` that falls back to `/b`, that to `/c`.
fn chained(backend: Backend) -> Server {
    let text = "[[mount]]\nname = \"/a\"\nfallback = \"/b\"\n\
         [[mount]]\nname = \"/b\"\nfallback = \"/c\"\n[[mount]]\nname = \"/c\"\n";
    let folder = super::harness::Scratch::new("chained");
    let file = folder.file("corecast.toml");
    std::fs::write(&file, text).expect("the folder takes files");
    let mut command = Command::new(env!("CARGO_BIN_EXE_corecast"));
    command.arg("run").arg("--config").arg(&file);
    let settings = [
        "mount_defaults.latency=live",
        "mount_defaults.source_timeout_ms=300",
    ];
    let server = Server::launch_with(command, backend, &settings);
    server.wait_ready();
    server
}

fn listeners_go_along_the_fallbacks_and_return(backend: Backend) {
    let server = chained(backend);
    let station = Station::play(&server, "/a");
    let _last_resort = Station::play_at(&server, "/c", 1_000_000, 1.0);
    server.wait_live("/a");
    server.wait_live("/c");
    let mut readers: Vec<_> = (0..6)
        .map(|_| IcyReader::open(server.address(), "/a"))
        .collect();
    for reader in &mut readers {
        assert!(reader.listen(Duration::from_millis(200)));
    }
    let heard_past = |reader: &mut IcyReader, frame: u64| {
        reader.listen_until(SOON, |reader| {
            let heard = mpeg::read(&reader.audio).map(|heard| heard.frames);
            heard.is_ok_and(|frames| frames.last().is_some_and(|last| *last > frame))
        })
    };
    drop(station);
    for reader in &mut readers {
        assert!(heard_past(reader, 1_000_000), "/c is heard, /b has nobody");
    }
    // A listener that comes now gets the fallback at once.
    let mut late = IcyReader::open(server.address(), "/a");
    assert!(heard_past(&mut late, 1_000_000));
    let _back = Station::play_at(&server, "/a", 2_000_000, 1.0);
    readers.push(late);
    for reader in &mut readers {
        assert!(heard_past(reader, 2_000_000), "/a is heard again");
        let heard = mpeg::read(&reader.audio).expect("frames and titles are exact");
        let jumps = heard.jumps();
        let there = jumps.iter().filter(|(_, to)| *to / 1_000_000 == 1).count();
        let back = jumps.iter().filter(|(_, to)| *to / 1_000_000 == 2).count();
        assert!(there <= 1 && back == 1, "{jumps:?}");
        assert_eq!(there + back, jumps.len(), "{jumps:?}");
    }
    let report = server.mount("/c").expect("it is configured");
    assert_eq!(report["listeners"], 0, "{report}");
    let report = server.mount("/a").expect("it is configured");
    assert_eq!(report["listeners"], 7, "{report}");
}

/// A source's request without the password's line.
fn source_request(mount: &str, authorization: &str) -> String {
    format!(
        "PUT {mount} HTTP/1.1\r\nHost: test\r\n{authorization}Content-Type: audio/mpeg\r\n\
         Expect: 100-continue\r\n\r\n"
    )
}

#[test]
fn a_mount_has_one_source_and_the_node_so_many() {
    let server = Server::start(Backend::IoUring, &["limits.sources_max=2"]);
    let station = Station::play(&server, "/one");
    let (_socket, answer) = station::open(server.address(), "/one", "");
    assert_eq!(answer.status, 409, "{}", answer.status_line);
    assert!(station.is_playing(), "the first one does not notice");
    let _second = Station::play(&server, "/two");
    let (_socket, answer) = station::open(server.address(), "/three", "");
    assert_eq!(answer.status, 503, "{}", answer.status_line);
    assert!(answer.header("retry-after").is_some());
    drop(station);
    let opened = wait_for("the place is free again", SOON, || {
        let (socket, answer) = station::open(server.address(), "/three", "");
        (answer.status == 200).then_some(socket)
    });
    drop(opened);
    assert!(server.metric("corecast_refused_total", "in_use") >= 1.0);
    assert!(server.metric("corecast_refused_total", "full") >= 1.0);
}

#[test]
fn a_second_source_takes_over_where_it_may() {
    let settings = [
        "mount_defaults.takeover=true",
        "mount_defaults.latency=live",
    ];
    let server = Server::start(Backend::Epoll, &settings);
    let first = Station::play(&server, "/live");
    server.wait_live("/live");
    let mut reader = IcyReader::open(server.address(), "/live");
    assert!(reader.listen(Duration::from_millis(300)));
    let second = Station::play_at(&server, "/live", 700_000, 1.0);
    wait_for("the first source was ended", SOON, || {
        (!first.is_playing()).then_some(())
    });
    let came = reader.listen_until(SOON, |reader| {
        let heard = mpeg::read(&reader.audio).map(|heard| heard.frames);
        heard.is_ok_and(|frames| frames.last().is_some_and(|last| *last > 700_010))
    });
    let heard = mpeg::read(&reader.audio).expect("frames and titles are exact");
    assert!(came && heard.jumps().len() == 1, "{:?}", heard.jumps());
    assert!(second.is_playing());
    let ended = server.metric("corecast_sources_ended_total", "taken_over");
    assert_eq!(ended, 1.0);
}

#[test]
fn a_source_without_the_right_password_is_asked_for_it() {
    // How long a peer that guesses is locked out is another test's.
    let server = Server::start(Backend::IoUring, &["limits.auth_failures_max=0"]);
    let source_password = super::harness::server::SOURCE_PASSWORD;
    for authorization in [
        String::new(),
        http::basic("source", "wrong"),
        http::basic("source", ""),
        http::basic("", ""),
        http::basic("intruder", source_password),
        http::basic("source", &source_password[..source_password.len() - 1]),
        "Authorization: Basic %%%\r\n".to_owned(),
        format!("Authorization: Bearer {source_password}\r\n"),
        "ice-password: wrong\r\n".to_owned(),
    ] {
        for mount in ["/live", "/admin/metadata", "/a/../b"] {
            let request = source_request(mount, &authorization).replace("PUT", "SOURCE");
            let mut stream = peers::say(server.address(), request.as_bytes());
            let (bytes, ended) = peers::read_to_end(&mut stream, SOON);
            let answer = http::read_answer(&mut bytes.as_slice()).expect("an answer");
            assert_eq!(answer.status, 401, "{authorization}{mount}");
            let challenge = answer.header("www-authenticate").unwrap_or_default();
            assert!(challenge.starts_with("Basic realm="), "{challenge}");
            assert!(ended, "and the connection ends");
        }
    }
    assert_eq!(
        server.json("/api/v1/mounts")["mounts"],
        serde_json::json!([])
    );
    let good = peers::say(
        server.address(),
        source_request("/live", &format!("ice-password: {source_password}\r\n")).as_bytes(),
    );
    let mut good = good;
    assert_eq!(http::read_head(&mut good).expect("an answer").status, 100);
}

/// Opens `/live` with `framing` (header lines) and sends `body` without being asked.
fn publish(server: &Server, framing: &str, body: &[u8]) -> TcpStream {
    let authorization = http::basic("source", super::harness::server::SOURCE_PASSWORD);
    let head = format!(
        "PUT /live HTTP/1.1\r\nHost: test\r\n{authorization}Content-Type: audio/mpeg\r\n\
         {framing}\r\n"
    );
    let mut socket = peers::say(server.address(), head.as_bytes());
    socket.write_all(body).expect("the server takes it");
    socket
}

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

/// Bodies by chunks: what is odd about each, its bytes, and why the source ended. `{len}` stands
/// for the size of the audio.
const CHUNKED_BODIES: &[(&str, &str, &str)] = &[
    (
        "more than announced",
        "{len}\r\n{audio}junk\r\n0\r\n\r\n",
        "malformed",
    ),
    ("no size", "{len}\r\n{audio}\r\nhello\r\n", "malformed"),
    (
        "a size beyond 64 bits",
        "{len}\r\n{audio}\r\nfffffffffffffffff\r\n",
        "malformed",
    ),
    ("a sign", "{len}\r\n{audio}\r\n-1\r\nx", "malformed"),
    ("a bare LF", "{len}\r\n{audio}\n5\nhello", "malformed"),
    (
        "the whole of it",
        "{len}\r\n{audio}\r\n0\r\n\r\n",
        "peer_closed",
    ),
    (
        "a trailer",
        "{len}\r\n{audio}\r\n0\r\nX: y\r\n\r\n",
        "peer_closed",
    ),
];

/// `framed` with the frames from `first` on in place of its marks.
fn chunk(framed: &str, first: u64) -> Vec<u8> {
    let audio = mpeg::frames(first..first + 50);
    let len = format!("{:x}", audio.len());
    let framed = framed.replace("{len}", &len);
    let (before, after) = framed.split_once("{audio}").expect("each has audio");
    [before.as_bytes(), &audio, after.as_bytes()].concat()
}

/// A server whose mount waits for its source for a whole test, and a listener of it.
fn patient() -> (Server, IcyReader) {
    let settings = [
        "mount_defaults.latency=instant",
        "mount_defaults.source_timeout_ms=60000",
    ];
    let server = Server::start(Backend::IoUring, &settings);
    let first = publish(&server, CHUNKED, &chunk("{len}\r\n{audio}\r\n", 0));
    wait_state(&server, "/live", "live");
    let reader = IcyReader::open(server.address(), "/live");
    drop(first);
    wait_state(&server, "/live", "waiting");
    (server, reader)
}

/// Checks that the listener is there, and heard whole frames up to about `frame`.
fn assert_heard(server: &Server, reader: &mut IcyReader, frame: u64) {
    assert!(reader.listen(Duration::from_millis(300)), "no hang-up");
    let heard = mpeg::read(&reader.audio).expect("whole frames and exact titles");
    assert!(heard.frames.contains(&frame), "{:?}", heard.jumps());
    assert_eq!(server.metric("corecast_task_panics_total", ""), 0.0);
}

#[test]
fn chunks_that_lie_end_the_source_and_nothing_else() {
    let (server, mut reader) = patient();
    let mut next = 50;
    for (what, framed, reason) in CHUNKED_BODIES {
        wait_state(&server, "/live", "waiting");
        let before = server.metric("corecast_sources_ended_total", reason);
        let mut socket = publish(&server, CHUNKED, &chunk(framed, next));
        next += 50;
        let (bytes, ended) = peers::read_to_end(&mut socket, SOON);
        assert!(ended, "{what}: the server closes");
        let answer = http::read_answer(&mut bytes.as_slice()).expect("a last answer");
        let expected = if *reason == "malformed" { 400 } else { 200 };
        assert_eq!(answer.status, expected, "{what}: {}", answer.status_line);
        wait_for("the end is counted", SOON, || {
            let after = server.metric("corecast_sources_ended_total", reason);
            (after - before == 1.0).then_some(())
        });
    }
    assert_heard(&server, &mut reader, next - 10);
}

#[test]
fn lengths_that_are_never_reached_cost_nothing() {
    let (server, mut reader) = patient();
    let memory = peers::memory_kib(server.pid());
    // Only what comes is kept, whatever was announced.
    for (framing, size, first) in [
        (CHUNKED, "7fffffffffffffff\r\n", 1_000),
        ("Content-Length: 9223372036854775807\r\n", "", 2_000),
        ("Content-Length: 99999999\r\n", "", 3_000),
    ] {
        let body = [size.as_bytes(), &mpeg::frames(first..first + 50)].concat();
        let socket = publish(&server, framing, &body);
        wait_state(&server, "/live", "live");
        socket
            .shutdown(std::net::Shutdown::Write)
            .expect("it is open");
        wait_state(&server, "/live", "waiting");
    }
    assert!(peers::memory_kib(server.pid()) < memory + 16 * 1024);
    let lost = server.metric("corecast_sources_ended_total", "peer_reset");
    assert!(lost >= 3.0, "{lost} bodies were not whole");
    assert_heard(&server, &mut reader, 3_040);
}

#[test]
fn a_silent_source_is_given_up() {
    let settings = ["mount_defaults.source_timeout_ms=1000"];
    let server = Server::start(Backend::IoUring, &settings);
    let mut socket = publish(&server, "", &mpeg::frames(0..50));
    server.wait_live("/live");
    let (_, ended) = peers::read_to_end(&mut socket, SOON);
    assert!(ended, "a source that says nothing is ended");
    assert_eq!(
        server.metric("corecast_sources_ended_total", "timeout"),
        1.0
    );
    wait_for("the mount is gone", SOON, || {
        server.mount("/live").is_none().then_some(())
    });
}
