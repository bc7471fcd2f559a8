//! HTTP/2 against its rules: frames that are illegal end the connection with the error that
//! RFC 9113 or RFC 7541 names, bad fields are refused alone, and streams that nobody reads hold up
//! nobody. By prior knowledge, without TLS: the frames are the same.

use std::time::Duration;

use rustix::process::Signal;

use crate::failures::peers;
use crate::harness::http2::{
    ACK, END_HEADERS, END_STREAM, Frame, Http2, block, error, frame, kind, request, status,
};
use crate::harness::{Backend, Server, Station, mpeg, wait_for};
use crate::video::browsers::start_film;

crate::clients::on_both_backends!(stuck_streams_hold_up_nobody);

const SOON: Duration = Duration::from_secs(10);
/// Errors of which one must be said where the RFC leaves a choice.
type Errors = &'static [u32];

/// A name, what is said, and how the connection must end.
type Case = (&'static str, Vec<u8>, Errors);

const ALL: u8 = END_STREAM | END_HEADERS;
const PADDED: u8 = 8;

fn head(flags: u8, stream: u32, fields: &[u8]) -> Vec<u8> {
    frame(kind::HEADERS, flags, stream, fields)
}

/// A change of one setting.
fn setting(name: u16, value: u32) -> Vec<u8> {
    let payload = [&name.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(kind::SETTINGS, 0, 0, &payload)
}

/// Frames of the connection, where stream 1 was answered.
fn illegal_for_connections() -> Vec<Case> {
    vec![
        (
            "settings on a stream",
            frame(kind::SETTINGS, 0, 1, &[]),
            &[error::PROTOCOL],
        ),
        (
            "half a setting",
            frame(kind::SETTINGS, 0, 0, &[0; 5]),
            &[error::FRAME_SIZE],
        ),
        (
            "an answer with settings",
            frame(kind::SETTINGS, ACK, 0, &[0; 6]),
            &[error::FRAME_SIZE],
        ),
        ("a push that may be 2", setting(2, 2), &[error::PROTOCOL]),
        (
            "a window past its end",
            setting(4, 1 << 31),
            &[error::FLOW_CONTROL],
        ),
        (
            "frames that are too short",
            setting(5, 100),
            &[error::PROTOCOL],
        ),
        (
            "frames that are too long",
            setting(5, 1 << 24),
            &[error::PROTOCOL],
        ),
        (
            "a ping on a stream",
            frame(kind::PING, 0, 1, &[0; 8]),
            &[error::PROTOCOL],
        ),
        (
            "a short ping",
            frame(kind::PING, 0, 0, &[0; 7]),
            &[error::FRAME_SIZE],
        ),
        (
            "a goaway on a stream",
            frame(kind::GOAWAY, 0, 1, &[0; 8]),
            &[error::PROTOCOL],
        ),
        (
            "a window grown by nothing",
            frame(kind::WINDOW_UPDATE, 0, 0, &[0; 4]),
            &[error::PROTOCOL],
        ),
        (
            "a short window",
            frame(kind::WINDOW_UPDATE, 0, 0, &[0; 3]),
            &[error::FRAME_SIZE],
        ),
        (
            "a window grown too far",
            frame(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 255, 255, 255]),
            &[error::FLOW_CONTROL],
        ),
    ]
}

/// Frames of streams.
fn illegal_for_streams() -> Vec<Case> {
    let get = block(&request("GET", "/health"));
    vec![
        (
            "a head on no stream",
            head(ALL, 0, &get),
            &[error::PROTOCOL],
        ),
        (
            "a head on a stream of ours",
            head(ALL, 2, &get),
            &[error::PROTOCOL],
        ),
        (
            "a head on an older stream",
            [head(ALL, 9, &get), head(ALL, 5, &get)].concat(),
            &[error::PROTOCOL, error::STREAM_CLOSED],
        ),
        (
            "a body on no stream",
            frame(kind::DATA, 0, 0, b"x"),
            &[error::PROTOCOL],
        ),
        (
            "a body before a head",
            frame(kind::DATA, 0, 9, b"x"),
            &[error::PROTOCOL, error::STREAM_CLOSED],
        ),
        (
            "a reset before a head",
            frame(kind::RST_STREAM, 0, 9, &[0; 4]),
            &[error::PROTOCOL],
        ),
        (
            "a reset of no stream",
            frame(kind::RST_STREAM, 0, 0, &[0; 4]),
            &[error::PROTOCOL],
        ),
        (
            "a short reset",
            frame(kind::RST_STREAM, 0, 1, &[0; 3]),
            &[error::FRAME_SIZE],
        ),
        (
            "a promise of a client",
            frame(kind::PUSH_PROMISE, END_HEADERS, 1, &[0; 4]),
            &[error::PROTOCOL],
        ),
    ]
}

/// Heads in pieces that do not belong together, and a frame that is too long.
fn illegal_heads() -> Vec<Case> {
    let get = block(&request("GET", "/health"));
    let unfinished = head(END_STREAM, 3, &get);
    vec![
        (
            "a rest without a head",
            frame(kind::CONTINUATION, END_HEADERS, 3, &get),
            &[error::PROTOCOL],
        ),
        (
            "a frame within a head",
            [unfinished.clone(), frame(kind::PING, 0, 0, &[0; 8])].concat(),
            &[error::PROTOCOL],
        ),
        (
            "the rest of another head",
            [unfinished, frame(kind::CONTINUATION, END_HEADERS, 5, &get)].concat(),
            &[error::PROTOCOL],
        ),
        (
            "more padding than there is",
            frame(kind::HEADERS, ALL | PADDED, 3, &[&[255], &get[..]].concat()),
            &[error::PROTOCOL],
        ),
        (
            "a frame past the limit",
            frame(kind::PING, 0, 0, &vec![0; 16_385]),
            &[error::FRAME_SIZE],
        ),
    ]
}

/// Fields that cannot be read (RFC 7541).
fn unreadable() -> Vec<Case> {
    vec![
        (
            "a field of index 0",
            head(ALL, 3, &[0x80]),
            &[error::COMPRESSION],
        ),
        (
            "a field that is in no table",
            head(ALL, 3, &[0xff, 0x80, 0x01]),
            &[error::COMPRESSION],
        ),
        (
            "a table past its limit",
            head(ALL, 3, &[0x3f, 0xe1, 0xff, 0x03]),
            &[error::COMPRESSION],
        ),
        (
            "a field that is cut",
            head(ALL, 3, &[0x00, 0x05, b'a']),
            &[error::COMPRESSION],
        ),
        (
            "a number past all bounds",
            head(ALL, 3, &[0xff; 12]),
            &[error::COMPRESSION],
        ),
        (
            "a text with a wrong end",
            head(ALL, 3, &[0x00, 0x82, 0x00, 0x00, 0x01, b'a']),
            &[error::COMPRESSION],
        ),
    ]
}

#[test]
fn illegal_frames_end_connections_with_the_right_error() {
    let server = Server::start(Backend::IoUring, &[]);
    let mut faults = Vec::new();
    let tables = [
        illegal_for_connections(),
        illegal_for_streams(),
        illegal_heads(),
        unreadable(),
    ];
    for (what, bytes, errors) in tables.concat() {
        let mut client = Http2::open(server.address(), &[]);
        let first = client.ask("/health");
        assert_eq!(client.answer(first, SOON), Some(Ok(200)), "{what}");
        client.say(&bytes);
        let ended = client.ends(SOON);
        // Who knows nothing better may say the general one.
        let is_right = |code| errors.contains(&code) || code == error::PROTOCOL;
        let is_right = client.goaway.is_some_and(is_right);
        if !ended || !is_right {
            faults.push((what, ended, client.goaway));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(server.metric("corecast_task_panics_total", ""), 0.0);
}

type Field = (&'static [u8], &'static [u8]);

/// Fields that are added to a good request, or stand before it.
const BAD_FIELDS: &[(&str, Field)] = &[
    ("an unknown pseudo field", (b":odd", b"1")),
    ("the field of a response", (b":status", b"200")),
    ("two methods", (b":method", b"GET")),
    ("two paths", (b":path", b"/ready")),
    ("a name in capitals", (b"Accept", b"*/*")),
    ("a name with a space", (b"x y", b"1")),
    ("an empty name", (b"", b"1")),
    ("a name with a colon", (b"x:y", b"1")),
    ("a value with a line's end", (b"x", b"a\r\nb: c")),
    ("a value with a bare LF", (b"x", b"a\nb")),
    ("a value with a NUL", (b"x", b"a\0b")),
    ("a field of one connection", (b"connection", b"close")),
    ("keep-alive", (b"keep-alive", b"5")),
    ("a proxy's connection", (b"proxy-connection", b"close")),
    ("a coding of HTTP/1", (b"transfer-encoding", b"chunked")),
    ("an upgrade", (b"upgrade", b"websocket")),
    ("te that is no trailers", (b"te", b"gzip")),
    ("a length that lies", (b"content-length", b"5")),
    ("a length that is none", (b"content-length", b"+0")),
    ("a host that differs", (b"host", b"other")),
];

#[test]
fn bad_fields_are_refused() {
    let server = Server::start(Backend::IoUring, &[]);
    let mut messages: Vec<(String, Vec<Field>)> = Vec::new();
    for (what, field) in BAD_FIELDS {
        let mut fields = request("GET", "/health");
        fields.push(*field);
        messages.push(((*what).to_owned(), fields));
    }
    for gone in [":method", ":scheme", ":path", ":authority"] {
        let mut fields = request("GET", "/health");
        fields.retain(|(name, _)| *name != gone.as_bytes());
        messages.push((format!("no {gone}"), fields));
    }
    for path in [
        "",
        "health",
        "/he\0alth",
        "/health\r\nx: y",
        "/a b",
        "/%00",
        "http://a/",
    ] {
        messages.push((format!("the path {path:?}"), request("GET", path)));
    }
    let mut late = request("GET", "/health");
    late.insert(0, (b"accept", b"*/*"));
    messages.push(("a pseudo field after others".to_owned(), late));

    let mut faults = Vec::new();
    let mut client = Http2::open(server.address(), &[]);
    for (what, fields) in messages {
        let stream = client.next_stream();
        let flags = END_STREAM | END_HEADERS;
        client.say(&frame(kind::HEADERS, flags, stream, &block(&fields)));
        match client.answer(stream, SOON) {
            Some(Ok(400..=499) | Err(error::PROTOCOL)) => {}
            // What is wrong with a stream may end the connection (RFC 9113 section 5.4.2).
            None if client.goaway == Some(error::PROTOCOL) => {}
            other => faults.push((what, other, client.goaway)),
        }
        if client.goaway.is_some() {
            client = Http2::open(server.address(), &[]);
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    let last = client.ask("/health");
    assert_eq!(client.answer(last, SOON), Some(Ok(200)));
    assert_eq!(server.metric("corecast_task_panics_total", ""), 0.0);
}

#[test]
fn a_head_past_the_limits_is_told_so() {
    let server = Server::start(Backend::IoUring, &[]);
    let long = vec![b'x'; 9_000];
    let many: Vec<Vec<u8>> = (0..200).map(|n| format!("x-{n}").into_bytes()).collect();
    let many = many.iter().map(|name| (name.as_slice(), &b"y"[..]));
    let long = [(&b"x"[..], long.as_slice()), (b"y", long.as_slice())];
    for (what, more) in [
        ("many fields", many.collect()),
        ("long fields", long.to_vec()),
    ] {
        let mut client = Http2::open(server.address(), &[]);
        let stream = client.next_stream();
        let fields = block(&[request("GET", "/health"), more].concat());
        let (first, rest) = fields.split_at(fields.len() / 2);
        client.say(&frame(kind::HEADERS, END_STREAM, stream, first));
        client.say(&frame(kind::CONTINUATION, END_HEADERS, stream, rest));
        let answer = client.answer(stream, SOON);
        assert!(
            matches!(answer, Some(Ok(431) | Err(_))),
            "{what}: {answer:?}"
        );
    }
}

/// Streams of one connection that are opened and never read.
const STUCK: usize = 90;
/// How much the server may hold for all of them, in KiB.
const HELD_KIB_MAX: u64 = 40 << 10;

fn stuck_streams_hold_up_nobody(backend: Backend) {
    let server = Server::start(backend, &["mount_defaults.latency=live"]);
    // 160 kB/s.
    let station = Station::play_at(&server, "/live", 0, 10.0);
    server.wait_live("/live");
    let before = peers::memory_kib(server.pid());
    // No stream may say anything until its window grows.
    let mut client = Http2::open(server.address(), &[(4, 0)]);
    let grown = [0, 0x3f, 255, 255];
    client.say(&frame(kind::WINDOW_UPDATE, 0, 0, &grown));
    for _ in 0..STUCK {
        client.ask("/live");
    }
    let heard = client.ask("/live");
    client.say(&frame(kind::WINDOW_UPDATE, 0, heard, &grown));
    let mut audio = Vec::new();
    let enough = client.read_until(Duration::from_secs(60), |frame| {
        let Frame {
            kind,
            stream,
            payload,
            ..
        } = frame;
        if (*kind, *stream) == (kind::DATA, heard) {
            audio.extend_from_slice(payload);
        }
        (audio.len() > 600_000).then_some(())
    });
    assert!(enough.is_some(), "{} bytes came", audio.len());
    let heard = mpeg::read(&audio).expect("every byte is right");
    assert_eq!(heard.jumps(), []);
    let small = client.ask("/health");
    client.say(&frame(kind::WINDOW_UPDATE, 0, small, &grown));
    assert_eq!(client.answer(small, SOON), Some(Ok(200)));
    let held = peers::memory_kib(server.pid()).saturating_sub(before);
    eprintln!("{held} KiB for {STUCK} streams that nobody reads");
    assert!(held < HELD_KIB_MAX, "{held} KiB");
    drop(client);
    wait_for("their readers are gone", SOON, || {
        (server.mount("/live")?["listeners"] == 0).then_some(())
    });
    assert!(station.is_playing());
}

#[test]
fn flv_comes_by_websocket_over_http2() {
    let server = Server::start(Backend::IoUring, &[]);
    let _source = start_film(&server);
    let mut client = Http2::open(server.address(), &[]);
    const ENABLE_CONNECT_PROTOCOL: [u8; 6] = [0, 8, 0, 0, 0, 1];
    let offered = client.read_until(SOON, |frame| {
        (frame.kind == kind::SETTINGS && frame.flags & ACK == 0).then(|| {
            frame
                .payload
                .chunks(6)
                .any(|pair| pair == ENABLE_CONNECT_PROTOCOL)
        })
    });
    assert_eq!(
        offered,
        Some(true),
        "extended CONNECT (RFC 8441) is offered"
    );
    let mut fields = request("CONNECT", "/live/cam.flv");
    fields.insert(1, (b":protocol", b"websocket"));
    fields.push((b"sec-websocket-version", b"13"));
    let stream = client.next_stream();
    client.say(&frame(kind::HEADERS, END_HEADERS, stream, &block(&fields)));
    let answer = client.answer(stream, SOON);
    assert_eq!(answer, Some(Ok(200)), "{:?}", client.goaway);
    let mut came = Vec::new();
    client.read_until(SOON, |frame| {
        if (frame.kind, frame.stream) == (kind::DATA, stream) {
            came.extend_from_slice(&frame.payload);
        }
        (came.len() > 30_000).then_some(())
    });
    // One message of bytes, whose first are those of FLV.
    assert_eq!(came.first(), Some(&0x82));
    let first = came.get(..20).unwrap_or_default();
    assert!(first.windows(3).any(|three| three == b"FLV"), "{first:?}");
}

/// Reloads that wait on one connection.
const WAITING: usize = 90;

#[test]
fn blocked_reloads_hold_up_no_media() {
    let server = Server::start(Backend::Epoll, &["mount_defaults.hls_segment_ms=4000"]);
    let _source = start_film(&server);
    let next = wait_for("there is a whole segment", SOON, || {
        let list = server.get("/live/cam/hls/v0.m3u8").text();
        let number = |start: &str| {
            let line = list.lines().find_map(|line| line.strip_prefix(start));
            line.and_then(|text| text.parse::<usize>().ok())
        };
        let first = number("#EXT-X-MEDIA-SEQUENCE:")?;
        let count = list.matches("#EXTINF:").count();
        let segment = list
            .lines()
            .find(|line| line.ends_with(".m4s") && !line.starts_with('#'));
        Some((first + count + 1, format!("/live/cam/hls/{}", segment?)))
    });
    let (msn, segment) = next;
    let mut client = Http2::open(server.address(), &[(4, 1 << 20)]);
    client.say(&frame(kind::WINDOW_UPDATE, 0, 0, &[0x3f, 255, 255, 255]));
    let path = format!("/live/cam/hls/v0.m3u8?_HLS_msn={msn}");
    let waiting: Vec<u32> = (0..WAITING).map(|_| client.ask(&path)).collect();
    let media = client.ask(&segment);
    // Hints of what comes may come before.
    let is_answer = |frame: &Frame| frame.kind == kind::HEADERS && status(frame) != 103;
    let first = client.read_until(SOON, |frame| {
        is_answer(frame).then(|| (frame.stream, status(frame)))
    });
    assert_eq!(
        first,
        Some((media, 200)),
        "the segment came before the lists"
    );
    let mut answered = 0;
    client.read_until(Duration::from_secs(30), |frame| {
        if is_answer(frame) && waiting.contains(&frame.stream) {
            assert_eq!(status(frame), 200);
            answered += 1;
        }
        (answered == WAITING).then_some(())
    });
    assert_eq!(answered, WAITING);
}

#[test]
fn a_drain_is_told_and_answers_still_come() {
    let mut server = Server::start(Backend::IoUring, &["server.drain_grace_ms=5000"]);
    let mut client = Http2::open(server.address(), &[]);
    let first = client.ask("/health");
    assert_eq!(client.answer(first, SOON), Some(Ok(200)));
    server.signal(Signal::TERM);
    assert!(client.ends(SOON));
    assert_eq!(client.goaway, Some(0), "a GOAWAY without an error");
    assert_eq!(server.wait_end().code(), Some(0));
}
