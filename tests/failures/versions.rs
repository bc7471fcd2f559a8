//! What holds whatever version of HTTP a peer speaks: who listens and who watches is counted,
//! bounded and written down, who takes nothing is dropped, a drain ends all in good order, and
//! answers are the same to the byte.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Method, Request};
use quinn::{ApplicationClose, ConnectionError};
use rustix::process::Signal;

use super::harness::http2::Http2;
use super::harness::{Backend, IcyReader, Scratch, Server, Station, http as raw, mpeg, wait_for};
use super::peers;
use crate::tls::quinn::{Talk, client, first_segment, list_of, run};
use crate::video::browsers::start_film;

const SOON: Duration = Duration::from_secs(30);

crate::clients::on_both_backends!(
    listeners_are_counted_bounded_and_written_down,
    a_drain_ends_all_in_good_order
);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
    Three,
}

/// With what logs call them.
const VERSIONS: [(Version, &str); 3] = [
    (Version::One, "HTTP/1.1"),
    (Version::Two, "HTTP/2"),
    (Version::Three, "HTTP/3"),
];

/// Names of fields in lower case, and their values.
type Fields = Vec<(String, String)>;

/// What came for a request.
#[derive(Debug, PartialEq, Eq)]
struct Got {
    status: u16,
    /// Without those that each version has its own way with, and the date, which all have.
    fields: Fields,
    body: Vec<u8>,
}

impl Got {
    fn new(status: u16, mut fields: Fields, body: Vec<u8>) -> Self {
        let dates = fields.extract_if(.., |(name, _)| name == "date");
        let dates: Vec<String> = dates.map(|(_, value)| value).collect();
        // As RFC 9110 section 5.6.7 wants it.
        let is_date = |date: &str| date.len() == 29 && date.ends_with(" GMT");
        assert!(dates.len() == 1 && is_date(&dates[0]), "{dates:?}");
        let own = ["connection", "keep-alive", "transfer-encoding", "alt-svc"];
        fields.retain(|(name, _)| !own.contains(&name.as_str()));
        fields.sort();
        Got {
            status,
            fields,
            body,
        }
    }

    fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }
}

fn fields_of(map: &HeaderMap) -> Fields {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let all = map.iter();
    all.map(|(name, value)| (name.to_string(), text(value)))
        .collect()
}

/// A request on a connection of its own.
#[derive(Clone, Copy)]
struct Ask<'a> {
    method: &'a str,
    path: &'a str,
    fields: &'a [(&'a str, &'a str)],
    /// The connection stays until the server ends it.
    stays: bool,
}

impl<'a> Ask<'a> {
    fn new(method: &'a str, path: &'a str, fields: &'a [(&'a str, &'a str)]) -> Self {
        Ask {
            method,
            path,
            fields,
            stays: false,
        }
    }

    /// By `version`; of the answer's body so much as `enough` wants, which is asked after each
    /// piece.
    fn by(self, server: &Server, version: Version, mut enough: impl FnMut(&[u8]) -> bool) -> Got {
        let began = Instant::now();
        // Else a test that failed would wait for a radio that has no end.
        let enough = |body: &[u8]| enough(body) || began.elapsed() > 2 * SOON;
        match version {
            Version::One => self.by_one(server, enough),
            Version::Two => run(self.by_two(server, enough)),
            Version::Three => run(self.by_three(server, enough)),
        }
    }

    fn by_one(self, server: &Server, mut enough: impl FnMut(&[u8]) -> bool) -> Got {
        let Ask { method, path, .. } = self;
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
        for (name, value) in self.fields {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("Connection: close\r\n\r\n");
        let mut stream = peers::say(server.address(), request.as_bytes());
        let answer = raw::read_head(&mut stream).expect("an answer");
        let mut body = answer.body;
        let mut piece = [0; 16_384];
        while !enough(&body) {
            match stream
                .read(&mut piece)
                .expect("it goes on or ends in order")
            {
                0 => break,
                n => body.extend_from_slice(&piece[..n]),
            }
        }
        Got::new(answer.status, answer.headers, body)
    }

    async fn by_two(self, server: &Server, mut enough: impl FnMut(&[u8]) -> bool) -> Got {
        let tcp = tokio::net::TcpStream::connect(server.address()).await;
        let tcp = tcp.expect("the server takes connections");
        let (requests, connection) = h2::client::handshake(tcp).await.expect("HTTP/2");
        let connection = tokio::spawn(connection);
        let mut requests = requests.ready().await.expect("it is open");
        let mut request = Request::builder().method(self.method);
        for (name, value) in self.fields {
            request = request.header(*name, *value);
        }
        let request = request.uri(format!("http://localhost{}", self.path));
        let request = request.body(()).expect("a good request");
        let sent = requests.send_request(request, true);
        let answer = sent.expect("a stream is free").0.await.expect("an answer");
        let (status, fields) = (answer.status().as_u16(), fields_of(answer.headers()));
        let (mut pieces, mut body) = (answer.into_body(), Vec::new());
        while !enough(&body)
            && let Some(piece) = pieces.data().await
        {
            let piece = piece.expect("it goes on or ends in order");
            let _ = pieces.flow_control().release_capacity(piece.len());
            body.extend_from_slice(&piece);
        }
        drop(pieces);
        let unused = (!self.stays).then_some(requests);
        drop(unused);
        let ended = connection.await.expect("no panic");
        ended.expect("a GOAWAY without an error");
        Got::new(status, fields, body)
    }

    async fn by_three(self, server: &Server, enough: impl FnMut(&[u8]) -> bool) -> Got {
        let endpoint = client(server);
        let mut talk = Talk::connect(&endpoint, server).await;
        let method = Method::from_bytes(self.method.as_bytes()).expect("a method");
        let reply = talk.ask(method, self.path, self.fields, enough).await;
        if self.stays {
            let why = talk.quic.closed().await;
            let is_kind = |close: &ApplicationClose| close.error_code == 0x100_u32.into();
            assert!(
                matches!(&why, ConnectionError::ApplicationClosed(close) if is_kind(close)),
                "{why}"
            );
        }
        talk.quic.close(0x100_u32.into(), b"");
        endpoint.wait_idle().await;
        Got::new(reply.status, fields_of(&reply.fields), reply.body)
    }
}

const AN_EAR: [(&str, &str); 1] = [("user-agent", "an ear")];

/// The lines of the access log with all of `words`.
fn lines_with(log: &str, words: &[&str]) -> Vec<String> {
    let lines = log.lines();
    let found = lines.filter(|line| words.iter().all(|word| line.contains(word)));
    found.map(str::to_owned).collect()
}

/// Bytes in a line of status 200.
fn bytes_in(line: &str) -> usize {
    let behind = line.split("\" 200 ").nth(1).unwrap_or_default();
    let bytes = behind.split(' ').next().and_then(|word| word.parse().ok());
    bytes.unwrap_or_else(|| panic!("{line}"))
}

fn join(threads: [ScopedJoinHandle<'_, Got>; 3]) -> [Got; 3] {
    threads.map(|thread| thread.join().expect("no panic"))
}

fn listeners_are_counted_bounded_and_written_down(backend: Backend) {
    let scratch = Scratch::new("versions");
    let access = scratch.file("access");
    let settings = [
        "mount_defaults.latency=live",
        "mount_defaults.listeners_max=6",
        &format!("log.access_path={}", access.display()),
    ];
    let mut server = Server::start_tls(backend, &settings);
    let _station = Station::play(&server, "/live");
    server.wait_live("/live");
    let listeners = |count: usize| {
        wait_for("they are counted", SOON, || {
            (server.mount("/live")?["listeners"] == count).then_some(())
        });
    };
    let enough = AtomicBool::new(false);
    let (heard, refused) = thread::scope(|scope| {
        let (server, enough) = (&server, &enough);
        let listen = |(version, _)| {
            let is_enough =
                move |body: &[u8]| body.len() > 20_000 && enough.load(Ordering::Relaxed);
            scope.spawn(move || Ask::new("GET", "/live", &AN_EAR).by(server, version, is_enough))
        };
        let ears = [VERSIONS.map(listen), VERSIONS.map(listen)];
        listeners(6);
        let one_more = Ask::new("GET", "/live", &[("user-agent", "one more")]);
        let refused = VERSIONS.map(|(version, _)| one_more.by(server, version, |_| false));
        enough.store(true, Ordering::Relaxed);
        (ears.map(join), refused)
    });
    listeners(0);
    for got in heard.as_flattened() {
        let heard = mpeg::read(&got.body).expect("every byte is right");
        assert_eq!((got.status, heard.jumps()), (200, vec![]));
    }
    assert_eq!(refused[0].status, 503);
    assert!(refused.iter().all(|got| *got == refused[0]), "{refused:?}");
    server.signal(Signal::TERM);
    server.wait_end();
    let log = std::fs::read_to_string(&access).expect("it is written");
    for (_, name) in VERSIONS {
        let request = format!("\"GET /live {name}\"");
        let ears = lines_with(&log, &[&request, "\"an ear\""]);
        assert_eq!(ears.len(), 2, "{log}");
        assert!(ears.iter().all(|line| bytes_in(line) > 20_000), "{ears:?}");
        let refused = lines_with(&log, &[&request, "\" 503 ", "\"one more\""]);
        assert_eq!(refused.len(), 1, "{log}");
    }
}

#[test]
fn viewers_are_told_apart_and_written_down() {
    let scratch = Scratch::new("versions");
    let access = scratch.file("access");
    let setting = format!("log.access_path={}", access.display());
    let settings = ["mount_defaults.hls=always", &setting];
    let mut server = Server::start_tls(Backend::IoUring, &settings);
    let _station = Station::play(&server, "/live");
    server.wait_live("/live");
    let watch = |version, agent| {
        let agent = [("user-agent", agent)];
        let list = Ask::new("GET", "/live/hls/a0.m3u8", &agent);
        wait_for("there is a list", SOON, || {
            let got = list.by(&server, version, |_| false);
            (got.status == 200).then_some(())
        });
    };
    for (version, name) in VERSIONS {
        watch(version, name);
        watch(version, "the same one");
    }
    let report = server.mount("/live").expect("it is there");
    assert_eq!(report["viewers"], 4, "{report}");
    server.signal(Signal::TERM);
    server.wait_end();
    let log = std::fs::read_to_string(&access).expect("it is written");
    let lines = lines_with(&log, &["\"GET /live/hls/a0.m3u8 ", "\" 200 "]);
    assert_eq!(lines.len(), 4, "{log}");
    for (_, name) in VERSIONS {
        let request = format!("\"GET /live/hls/a0.m3u8 {name}\"");
        let lines = lines_with(&log, &[&request, &format!("\"{name}\"")]);
        assert_eq!(lines.len(), 1, "{log}");
        assert!(bytes_in(&lines[0]) > 100, "{log}");
    }
}

/// Listens over HTTP/3 and takes nothing, until `enough`.
async fn take_nothing(server: &Server, enough: &AtomicBool) {
    let endpoint = client(server);
    let mut talk = Talk::connect(&endpoint, server).await;
    let request = Request::get("https://localhost/live").body(());
    let request = request.expect("a good request");
    let mut stream = talk.requests.send_request(request).await.expect("a stream");
    stream.finish().await.expect("it goes out");
    let head = stream.recv_response().await.expect("an answer");
    assert_eq!(head.status(), 200);
    while !enough.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn who_takes_nothing_is_dropped() {
    let settings = [
        "mount_defaults.slow_reader=drop",
        "mount_defaults.slow_reader_budget_ms=2000",
        "mount_defaults.latency=live",
    ];
    let server = Server::start_tls(Backend::IoUring, &settings);
    // 320 kB/s.
    let _station = Station::play_at(&server, "/live", 0, 20.0);
    server.wait_live("/live");
    let enough = AtomicBool::new(false);
    let mut reader = IcyReader::open(server.address(), "/live");
    let request = b"GET /live HTTP/1.1\r\nHost: test\r\n\r\n";
    let _one = peers::narrow(server.address(), request);
    // No stream may say anything until its window grows.
    let mut two = Http2::open(server.address(), &[(4, 0)]);
    two.ask("/live");
    let dropped = thread::scope(|scope| {
        scope.spawn(|| run(take_nothing(&server, &enough)));
        let dropped = || Some(server.mount("/live")?["slow_listeners"] == 3);
        let dropped = reader.listen_until(2 * SOON, |_| dropped().unwrap_or_default());
        enough.store(true, Ordering::Relaxed);
        dropped
    });
    assert!(dropped, "{:?}", server.mount("/live"));
    let heard = mpeg::read(&reader.audio).expect("every byte is right");
    assert_eq!(heard.jumps(), [], "who listens hears all of it");
}

fn a_drain_ends_all_in_good_order(backend: Backend) {
    let scratch = Scratch::new("versions");
    let access = scratch.file("access");
    let settings = [
        "server.drain_grace_ms=60000",
        "mount_defaults.latency=live",
        &format!("log.access_path={}", access.display()),
    ];
    let mut server = Server::start_tls(backend, &settings);
    let _station = Station::play(&server, "/live");
    server.wait_live("/live");
    let mut ask = Ask::new("GET", "/live", &AN_EAR);
    ask.stays = true;
    let began = Instant::now();
    let heard = thread::scope(|scope| {
        let server = &server;
        let ears =
            VERSIONS.map(|(version, _)| scope.spawn(move || ask.by(server, version, |_| false)));
        wait_for("all listen", SOON, || {
            let report = server.mount("/live")?;
            let heard = report["bytes_sent"].as_u64()?;
            (report["listeners"] == 3 && heard > 60_000).then_some(())
        });
        server.signal(Signal::TERM);
        join(ears)
    });
    assert_eq!(server.wait_end().code(), Some(0));
    assert!(began.elapsed() < 2 * SOON, "nobody used up the grace");
    for got in &heard {
        let heard = mpeg::read(&got.body).expect("every byte is right");
        assert_eq!((got.status, heard.tail), (200, 0), "to the last frame");
    }
    let log = std::fs::read_to_string(&access).expect("it is written");
    for (_, name) in VERSIONS {
        let request = format!("\"GET /live {name}\" 200 ");
        assert_eq!(lines_with(&log, &[&request]).len(), 1, "{log}");
    }
}

/// Method, path, fields, and the status that all answer. `{segment}` is one of `/live/cam`, and
/// `{etag}` that of the page.
type Question = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    u16,
);

/// What is asked by each version.
const QUESTIONS: &[Question] = &[
    ("GET", "/", &[], 200),
    ("HEAD", "/", &[], 200),
    ("GET", "/", &[("accept-encoding", "gzip")], 200),
    ("GET", "/", &[("accept-encoding", "br")], 200),
    ("GET", "/", &[("accept-encoding", "zstd")], 200),
    ("HEAD", "/", &[("accept-encoding", "zstd")], 200),
    ("GET", "/", &[("if-none-match", "{etag}")], 304),
    ("HEAD", "/", &[("if-none-match", "\"x\", {etag}")], 304),
    ("GET", "/", &[("if-none-match", "*")], 304),
    ("GET", "/", &[("if-none-match", "\"x\"")], 200),
    ("GET", "/none", &[], 404),
    ("HEAD", "/none", &[], 404),
    ("DELETE", "/health", &[], 405),
    (
        "GET",
        "/api/v1/mounts",
        &[("origin", "https://a.example")],
        200,
    ),
    ("OPTIONS", "/api/v1/mounts", &PREFLIGHT, 204),
    ("GET", "/api/v1/sessions", &[], 401),
    ("GET", "/admin/stats", &[], 401),
    ("HEAD", "/live", &[], 200),
    ("HEAD", "/live", &[("icy-metadata", "1")], 200),
    ("OPTIONS", "/live", &PREFLIGHT, 204),
    (
        "GET",
        "/live/cam.m3u8",
        &[("origin", "https://a.example")],
        200,
    ),
    (
        "HEAD",
        "/live/cam.m3u8",
        &[("accept-encoding", "gzip")],
        200,
    ),
    ("OPTIONS", "/live/cam.m3u8", &PREFLIGHT, 204),
    ("GET", "/live/cam/hls/v0.m3u8?_HLS_msn=x", &[], 400),
    ("GET", "/live/cam/hls/v0-x-7.m4s", &[], 404),
    ("GET", "{segment}", &[("accept-encoding", "gzip, br")], 200),
    ("HEAD", "{segment}", &[], 200),
    ("GET", "{segment}", &[("range", "bytes=0-0")], 206),
    ("GET", "{segment}", &[("range", "bytes=100-299")], 206),
    ("GET", "{segment}", &[("range", "bytes=-100")], 206),
    ("GET", "{segment}", &[("range", "bytes=100-")], 206),
    ("GET", "{segment}", &[("range", "bytes=99999999-")], 416),
    ("GET", "{segment}", &[("range", "bytes=5-2")], 200),
    ("GET", "{segment}", &[("range", "lines=1-2")], 200),
    ("GET", "{segment}", &[("range", "bytes=0-1,5-6")], 200),
    ("OPTIONS", "{segment}", &PREFLIGHT, 204),
];

const PREFLIGHT: [(&str, &str); 3] = [
    ("origin", "https://a.example"),
    ("access-control-request-method", "GET"),
    ("access-control-request-headers", "range"),
];

#[test]
fn answers_are_the_same_by_every_version() {
    let server = Server::start_tls(Backend::IoUring, &["mount_defaults.hls_segment_ms=2000"]);
    let _film = start_film(&server);
    let _station = Station::play(&server, "/live");
    server.wait_live("/live");
    let segment = first_segment(&list_of(&server).0);
    let page = Ask::new("GET", "/", &[]).by(&server, Version::One, |_| false);
    let etag = page.field("etag").expect("it is a file").to_owned();
    let mut faults = Vec::new();
    for (method, path, fields, status) in QUESTIONS {
        let path = path.replace("{segment}", &segment);
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (*name, value.replace("{etag}", &etag)))
            .collect();
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (*name, &**value))
            .collect();
        let ask = Ask::new(method, &path, &fields);
        let [one, two, three] = VERSIONS.map(|(version, _)| ask.by(&server, version, |_| false));
        let has_body = *method != "HEAD" && !matches!(status, 204 | 304 | 416);
        let is_right = one.status == *status && one.body.is_empty() != has_body;
        if !is_right || one != two || one != three {
            let heads = [one, two, three].map(|got| (got.status, got.fields, got.body.len()));
            faults.push((*method, path.clone(), fields.len(), heads));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
