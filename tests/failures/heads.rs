//! Request heads that come slowly, never end, or are too large.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::harness::{Backend, IcyReader, Server, Station, http, mpeg, station};
use super::peers;

const SOON: Duration = Duration::from_secs(10);

crate::clients::on_both_backends!(
    heads_may_come_byte_by_byte,
    slow_heads_are_cut_and_sources_are_not,
);

fn heads_may_come_byte_by_byte(backend: Backend) {
    let server = Server::start(backend, &["mount_defaults.latency=live"]);
    let authorization = http::basic("source", super::harness::server::SOURCE_PASSWORD);
    let head = format!("SOURCE /live ICE/1.0\r\n{authorization}content-type: audio/mpeg\r\n\r\n");
    let mut source = peers::say(server.address(), b"");
    for byte in head.bytes() {
        source.write_all(&[byte]).expect("one byte fits");
    }
    let answer = http::read_head(&mut source).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.status_line);
    // Audio in pieces that end anywhere.
    for piece in mpeg::frames(0..60).chunks(997) {
        source.write_all(piece).expect("the server takes it");
        std::thread::sleep(Duration::from_millis(2));
    }
    server.wait_live("/live");
    let mut listener = peers::say(server.address(), b"");
    for byte in b"GET /live HTTP/1.1\r\nHost: test\r\nIcy-MetaData: 1\r\n\r\n" {
        listener.write_all(&[*byte]).expect("one byte fits");
        std::thread::sleep(Duration::from_millis(1));
    }
    let answer = http::read_head(&mut listener).expect("an answer");
    assert_eq!(answer.status, 200);
    assert!(answer.header("icy-metaint").is_some());
    let mut request = peers::say(server.address(), b"");
    for byte in b"GET /api/v1/mounts HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n" {
        request.write_all(&[*byte]).expect("one byte fits");
    }
    let answer = http::read_answer(&mut request).expect("an answer");
    assert_eq!(answer.json()["mounts"][0]["name"], "/live");
}

/// Writes one byte of an endless head every 50 ms; how long until the server had enough, and what
/// it said.
fn drip(address: std::net::SocketAddr) -> (Duration, Vec<u8>) {
    let began = Instant::now();
    let mut stream = peers::say(address, b"GET /live HTTP/1.1\r\nHost: test\r\nX-Slow: ");
    loop {
        if stream.write_all(b"a").is_err() || began.elapsed() > SOON {
            break;
        }
        stream
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("never zero");
        match stream.peek(&mut [0]) {
            Ok(_) => break,
            Err(_) => continue,
        }
    }
    let waited = began.elapsed();
    let (bytes, _) = peers::read_to_end(&mut stream, SOON);
    (waited, bytes)
}

fn slow_heads_are_cut_and_sources_are_not(backend: Backend) {
    let settings = [
        "limits.header_timeout_ms=1000",
        "limits.idle_timeout_ms=1000",
    ];
    let server = Server::start(backend, &settings);
    let (mut source, answer) = station::open(server.address(), "/live", "");
    assert_eq!(answer.status, 200);
    source
        .write_all(&mpeg::frames(0..40))
        .expect("the server takes it");
    server.wait_live("/live");
    let mut reader = IcyReader::open(server.address(), "/live");
    // Peers that say nothing at all, before a first request and after one.
    let began = Instant::now();
    let mut silent: Vec<TcpStream> = (0..20).map(|_| peers::say(server.address(), b"")).collect();
    let asked = b"GET /health HTTP/1.1\r\nHost: test\r\n\r\n";
    let mut idle = peers::say(server.address(), asked);
    let dripping: Vec<_> = (0..20)
        .map(|_| {
            let address = server.address();
            std::thread::spawn(move || drip(address))
        })
        .collect();
    for drip in dripping {
        let (waited, said) = drip.join().expect("a thread");
        assert!(
            said.starts_with(b"HTTP/1.1 408 "),
            "{:?}",
            said.escape_ascii()
        );
        let limits = Duration::from_millis(900)..Duration::from_millis(3_000);
        assert!(limits.contains(&waited), "{waited:?}");
    }
    for stream in &mut silent {
        let (said, ended) = peers::read_to_end(stream, SOON);
        assert!(ended && said.is_empty(), "{:?}", said.escape_ascii());
    }
    let (said, ended) = peers::read_to_end(&mut idle, SOON);
    assert!(ended && said.starts_with(b"HTTP/1.1 200 "));
    assert_eq!(said.windows(5).filter(|five| five == b"HTTP/").count(), 1);
    assert!(began.elapsed() > Duration::from_millis(900));
    // The source said nothing for longer than any head may take, and goes on.
    source
        .write_all(&mpeg::frames(40..80))
        .expect("the server still takes it");
    let came = reader.listen_until(SOON, |reader| {
        let heard = mpeg::read(&reader.audio).map(|heard| heard.frames);
        heard.is_ok_and(|frames| frames.last().is_some_and(|last| *last > 75))
    });
    assert!(came, "the source is heard as before");
    let heard = mpeg::read(&reader.audio).expect("every byte is right");
    assert_eq!(heard.jumps(), []);
}

#[test]
fn heads_over_a_limit_are_told_which() {
    let server = Server::start(Backend::IoUring, &[]);
    let station = Station::play(&server, "/live");
    let long = "a".repeat(20_000);
    let many = "X: y\r\n".repeat(80);
    let authorization = http::basic("source", super::harness::server::SOURCE_PASSWORD);
    for (what, request, status) in [
        (
            "a long line",
            format!("GET /{long} HTTP/1.1\r\nHost: t\r\n\r\n"),
            414,
        ),
        ("a long line that never ends", format!("GET /{long}"), 414),
        (
            "a long header",
            format!("GET /live HTTP/1.1\r\nHost: t\r\nX: {long}\r\n\r\n"),
            431,
        ),
        (
            "a header that never ends",
            format!("GET /live HTTP/1.1\r\nX: {long}"),
            431,
        ),
        (
            "a name that never ends",
            format!("GET /live HTTP/1.1\r\n{long}"),
            431,
        ),
        (
            "many headers",
            format!("GET /live HTTP/1.1\r\nHost: t\r\n{many}\r\n"),
            431,
        ),
        (
            "many headers, no end",
            format!("GET / HTTP/1.1\r\nHost: t\r\n{many}"),
            431,
        ),
        (
            "a source's long header",
            format!("PUT /x HTTP/1.1\r\nHost: t\r\n{authorization}ice-name: {long}\r\n\r\n"),
            431,
        ),
        (
            "a long password",
            format!(
                "SOURCE /x ICE/1.0\r\nAuthorization: Basic {}\r\n\r\n",
                "QUFB".repeat(3_000)
            ),
            401,
        ),
    ] {
        let mut stream = peers::say(server.address(), request.as_bytes());
        let (said, ended) = peers::read_to_end(&mut stream, SOON);
        let answer = http::read_answer(&mut said.as_slice());
        let answer = answer.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(answer.status, status, "{what}: {}", answer.status_line);
        assert!(ended, "{what}: and the connection ends");
    }
    assert!(station.is_playing());
    assert_eq!(server.get("/health").status, 200);
}
