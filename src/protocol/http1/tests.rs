use bytes::{Bytes, BytesMut};

use super::*;
use crate::http::limits::{HEAD_BYTES_CAP, HEADER_COUNT_CAP};
use crate::http::{BadRequest, BodyFraming, Limits, Method, Request, Version};

/// Parses `head` whole and byte by byte; both must say the same, and the second no later than with
/// the head's last byte.
fn parse(head: &[u8], limits: Limits) -> Result<Option<Request>, BadRequest> {
    let whole = parse_request(&Bytes::copy_from_slice(head), &limits);
    let mut parser = RequestParser::new(limits);
    let mut buffer = BytesMut::new();
    let mut pieces = Ok(None);
    for (at, &byte) in head.iter().enumerate() {
        buffer.extend_from_slice(&[byte]);
        pieces = parser.parse(&mut buffer);
        match &pieces {
            Ok(None) => {}
            Ok(Some(_)) => {
                // What follows the head is left alone.
                assert!(buffer.is_empty());
                if let Ok(Parse::Done { head_bytes, .. }) = &whole {
                    assert_eq!(at + 1, *head_bytes);
                }
                break;
            }
            Err(_) => break,
        }
    }
    let whole = whole.map(|parse| match parse {
        Parse::Incomplete => None,
        Parse::Done { request, .. } => Some(*request),
    });
    assert_eq!(whole, pieces, "{}", String::from_utf8_lossy(head));
    whole
}

fn good(head: &str) -> Request {
    match parse(head.as_bytes(), Limits::default()) {
        Ok(Some(request)) => request,
        other => panic!("{head:?}: {other:?}"),
    }
}

fn status(head: &[u8]) -> Option<u16> {
    parse(head, Limits::default())
        .err()
        .map(|fault| fault.status)
}

#[test]
fn request_lines_of_every_form_are_read() {
    for (line, path, query, host) in [
        ("GET / HTTP/1.1", "/", None, "h"),
        (
            "GET /a%20b%2Fc?x=1&y HTTP/1.1",
            "/a b/c",
            Some("x=1&y"),
            "h",
        ),
        ("GET /? HTTP/1.1", "/", Some(""), "h"),
        ("GET /caf%C3%A9 HTTP/1.1", "/caf\u{e9}", None, "h"),
        ("GET /caf\u{e9} HTTP/1.1", "/caf\u{e9}", None, "h"),
        (
            "GET http://o:8000/x?q=/? HTTP/1.1",
            "/x",
            Some("q=/?"),
            "o:8000",
        ),
        ("GET HTTP://[::1] HTTP/1.1", "/", None, "[::1]"),
        ("GET https://o?q HTTP/1.1", "/", Some("q"), "o"),
        ("OPTIONS * HTTP/1.1", "*", None, "h"),
        ("SOURCE /m HTTP/1.1", "/m", None, "h"),
    ] {
        let request = good(&format!("{line}\r\nHost: h\r\n\r\n"));
        assert_eq!(
            (request.path(), request.query(), request.host()),
            (path, query, host)
        );
        assert_eq!(request.line(), line);
    }
    for (target, expected) in [
        ("/x?y=http://o/z", "/x?y=http://o/z"),
        ("//x", "//x"),
        ("http://o:8000/x?q=/?", "/x?q=/?"),
        ("HTTP://[::1]", "/"),
        ("https://o?q", "/?q"),
    ] {
        let request = good(&format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!(request.origin_form(), expected, "{target}");
    }
    assert_eq!(good("OPTIONS * HTTP/1.0\r\n\r\n").origin_form(), "*");
    let old = good("SOURCE /m ICE/1.0\r\n\r\n");
    assert_eq!(
        (old.version(), old.method(), old.host()),
        (Version::Ice10, Method::Source, "")
    );
    assert_eq!(good("\r\nGET /a HTTP/1.0\r\n\r\n").target(), "/a");
}

#[test]
fn headers_are_found_in_any_case_without_a_copy() {
    let head = b"GET / HTTP/1.1\r\nHOST: h\r\nX-A:  1 \t\r\nx-a:\r\nX-B: \xe9\r\n\r\n";
    let head = Bytes::from_static(head);
    let Ok(Parse::Done {
        request,
        head_bytes,
    }) = parse_request(&head, &Limits::default())
    else {
        panic!("good");
    };
    let headers = request.headers();
    assert_eq!((headers.len(), head_bytes), (4, head.len()));
    assert_eq!(headers.find_text("host"), Some("h"));
    assert_eq!(
        headers.find_all("x-A").collect::<Vec<_>>(),
        [&b"1"[..], b""]
    );
    assert_eq!(
        (headers.find("x-b"), headers.find_text("x-b")),
        (Some(&b"\xe9"[..]), None)
    );
    assert_eq!(headers.find("x"), None);
    let value = headers.find_bytes("X-A").expect("there");
    assert!(head.as_ptr_range().contains(&value.as_ptr()));
}

/// Header lines behind `Host` that give a body two ends, or none that is sure (RFC 9112 section 6).
const BAD_FRAMING: &[(u16, &str)] = &[
    (400, "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
    (400, "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"),
    (400, "Content-Length: 5\r\nContent-Length: 5\r\n"),
    (400, "Content-Length: 5\r\ncontent-length: 6\r\n"),
    (400, "Content-Length: 5, 5\r\n"),
    (400, "Content-Length: +5\r\n"),
    (400, "Content-Length: -5\r\n"),
    (400, "Content-Length: 0x5\r\n"),
    (400, "Content-Length: 5 5\r\n"),
    (400, "Content-Length: 5abc\r\n"),
    (400, "Content-Length:\r\n"),
    (413, "Content-Length: 18446744073709551616\r\n"),
    (400, "Transfer-Encoding: gzip\r\n"),
    (501, "Transfer-Encoding: gzip, chunked\r\n"),
    (400, "Transfer-Encoding: chunked, gzip\r\n"),
    (400, "Transfer-Encoding: chunked, chunked\r\n"),
    (400, "Transfer-Encoding: identity\r\n"),
    (400, "Transfer-Encoding: xchunked\r\n"),
    (400, "Transfer-Encoding: \"chunked\"\r\n"),
    (400, "Transfer-Encoding: chunked;q=1\r\n"),
    (400, "Transfer-Encoding:\r\n"),
    (400, "Transfer-Encoding: \x0bchunked\r\n"),
    (400, "Transfer-Encoding : chunked\r\n"),
    (400, "Transfer-Encoding\t: chunked\r\n"),
    (
        400,
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
    ),
];

/// Header lines behind `Host` that break the grammar of lines (RFC 9112 sections 2.2 and 5).
const BAD_LINES: &[&str] = &[
    "X: a\n",
    "X: a\rb\r\n",
    "X: a\r\r\n",
    "X: a\r\n b\r\n",
    "X: a\r\n\tb\r\n",
    " X: a\r\n",
    "Nonsense\r\n",
    ": x\r\n",
    "X Y: x\r\n",
    "X(: x\r\n",
    "X: a\0b\r\n",
    "X\0: a\r\n",
    "X: a\x7f\r\n",
    "Host: h\r\n",
];

/// Whole heads that are refused with 400.
const BAD_HEADS: &[&str] = &[
    "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "SOURCE /m ICE/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "GET / HTTP/1.1\nHost: h\n\n",
    "GET / HTTP/1.1\r\nHost: h\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\n\n",
    "GET / HTTP/1.1\r\rHost: h\r\n\r\n",
    "GET / HTTP/1.1\r\n Host: x\r\nHost: h\r\n\r\n",
    "\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h/x\r\n\r\n",
    "GET http://h HTTP/1.1\r\n\r\n",
];

#[test]
fn heads_that_could_be_read_in_two_ways_are_refused() {
    for (expected, lines) in BAD_FRAMING {
        let head = format!("POST / HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
        assert_eq!(status(head.as_bytes()), Some(*expected), "{head:?}");
    }
    for lines in BAD_LINES {
        let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
        assert_eq!(status(head.as_bytes()), Some(400), "{head:?}");
    }
    for head in BAD_HEADS {
        assert_eq!(status(head.as_bytes()), Some(400), "{head:?}");
    }
}

#[test]
fn bad_request_lines_are_refused() {
    for (expected, line) in [
        (400, "GET  / HTTP/1.1"),
        (400, "GET / HTTP/1.1 "),
        (400, " GET / HTTP/1.1"),
        (400, "GET\t/ HTTP/1.1"),
        (400, "GET / HTTP/1.1 x"),
        (400, "GET /"),
        (400, "GET"),
        (400, "G(T / HTTP/1.1"),
        (400, "GET / http/1.1"),
        (400, "GET / HTTP/1.10"),
        (400, "GET / HTTP/01.1"),
        (400, "GET / HTP/1.1"),
        (400, "GET / ICE/1.0"),
        (400, "GET / ICE/1.1"),
        (505, "GET / HTTP/2.0"),
        (505, "PRI * HTTP/2.0"),
        (505, "GET / HTTP/1.2"),
        (505, "GET / HTTP/0.9"),
        (501, "BREW / HTTP/1.1"),
        (501, "get / HTTP/1.1"),
        (501, "CONNECT h:1 HTTP/1.1"),
        (501, "TRACE / HTTP/1.1"),
        (400, "GET * HTTP/1.1"),
        (400, "GET x HTTP/1.1"),
        (400, "GET h:80 HTTP/1.1"),
        (400, "GET ftp://h/ HTTP/1.1"),
        (400, "GET http:///x HTTP/1.1"),
        (400, "GET http://u:p@h/ HTTP/1.1"),
        (400, "GET /a#b HTTP/1.1"),
        (400, "GET /%zz HTTP/1.1"),
        (400, "GET /% HTTP/1.1"),
        (400, "GET /%4 HTTP/1.1"),
        (400, "GET /%00 HTTP/1.1"),
        (400, "GET /%0d%0aX HTTP/1.1"),
        (400, "GET /%ff HTTP/1.1"),
        (400, "GET /\u{7f} HTTP/1.1"),
        (400, "GET /\0 HTTP/1.1"),
    ] {
        assert_eq!(
            status(format!("{line}\r\nHost: h\r\n\r\n").as_bytes()),
            Some(expected),
            "{line}"
        );
    }
    assert_eq!(status(b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n"), Some(400));
    // The first byte of TLS, SOCKS and RTMP tells.
    for first in [0x16, 0x04, 0x03, 0x00, 0x80, b' '] {
        assert_eq!(status(&[first]), Some(400));
    }
}

#[test]
fn heads_are_bounded_before_they_are_whole() {
    let limits = Limits {
        head_bytes_max: 200,
        request_line_bytes_max: 40,
        header_count_max: 3,
    };
    let check = |head: &str, expected: Result<bool, u16>| {
        let parsed = parse(head.as_bytes(), limits);
        assert_eq!(
            parsed.map(|p| p.is_some()).map_err(|fault| fault.status),
            expected,
            "{head}"
        );
    };
    let line = |length: usize| format!("GET /{} HTTP/1.1", "x".repeat(length - 14));
    check(&format!("{}\r\nHost: h\r\n\r\n", line(40)), Ok(true));
    check(&format!("{}\r\nHost: h\r\n\r\n", line(41)), Err(414));
    check(&"x".repeat(41), Err(414));
    let two = "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n";
    check(&format!("{two}B: c\r\n\r\n"), Ok(true));
    check(&format!("{two}B: c\r\nD: e\r\n"), Err(431));
    let fill = 200 - two.len() - "B: \r\n\r\n".len();
    check(&format!("{two}B: {}\r\n\r\n", "y".repeat(fill)), Ok(true));
    check(
        &format!("{two}B: {}\r\n\r\n", "y".repeat(fill + 1)),
        Err(431),
    );
    check(&format!("{two}B: {}", "y".repeat(fill + 10)), Err(431));
    check(two, Ok(false));
}

#[test]
fn limits_above_the_caps_do_not_lift_them() {
    let limits = Limits {
        head_bytes_max: usize::MAX,
        header_count_max: 9_999,
        ..Limits::default()
    };
    let lines = |count: usize| format!("GET / HTTP/1.0\r\n{}\r\n", "A: b\r\n".repeat(count));
    let parsed = |count| parse_request(&Bytes::from(lines(count)), &limits);
    assert!(matches!(parsed(HEADER_COUNT_CAP), Ok(Parse::Done { .. })));
    assert_eq!(
        parsed(HEADER_COUNT_CAP + 1).map_err(|fault| fault.status),
        Err(431)
    );
    let long = format!("GET / HTTP/1.0\r\nA: {}", "b".repeat(HEAD_BYTES_CAP));
    let parsed = parse_request(&Bytes::from(long), &limits);
    assert_eq!(parsed.map_err(|fault| fault.status), Err(431));
}

#[test]
fn several_heads_follow_each_other_on_one_connection() {
    let mut parser = RequestParser::new(Limits::default());
    let mut buffer = BytesMut::from(
        &b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nBODYGET /b HTTP/1.0\r\n\r\nrest"
            [..],
    );
    let first = parser.parse(&mut buffer).expect("good").expect("whole");
    assert_eq!(
        (first.path(), first.body_framing()),
        ("/a", BodyFraming::Length(4))
    );
    assert_eq!(buffer.split_to(4), &b"BODY"[..]);
    let second = parser.parse(&mut buffer).expect("good").expect("whole");
    assert_eq!(second.path(), "/b");
    assert_eq!(buffer, &b"rest"[..]);
}

#[test]
fn bodies_end_where_the_head_says() {
    for (head, framing, keep_alive) in [
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", BodyFraming::None, true),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\n\r\n",
            BodyFraming::None,
            false,
        ),
        ("GET / HTTP/1.0\r\n\r\n", BodyFraming::None, false),
        (
            "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
            BodyFraming::None,
            true,
        ),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
            BodyFraming::None,
            true,
        ),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 007\r\n\r\n",
            BodyFraming::Length(7),
            true,
        ),
        (
            "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n",
            BodyFraming::Chunked,
            true,
        ),
        (
            "PUT /m HTTP/1.1\r\nHost: h\r\n\r\n",
            BodyFraming::UntilClose,
            false,
        ),
        (
            "PUT /m HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
            BodyFraming::None,
            true,
        ),
        (
            "SOURCE /m HTTP/1.0\r\nContent-Length: 0\r\nConnection: Keep-Alive\r\n\r\n",
            BodyFraming::UntilClose,
            false,
        ),
        (
            "SOURCE /m ICE/1.0\r\nContent-Length: 9\r\n\r\n",
            BodyFraming::Length(9),
            false,
        ),
    ] {
        let request = good(head);
        assert_eq!(
            (request.body_framing(), request.keep_alive()),
            (framing, keep_alive),
            "{head}"
        );
    }
}

#[test]
fn only_newer_peers_wait_for_continue() {
    for (head, expected) in [
        (
            "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\n\r\n",
            true,
        ),
        ("PUT / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", false),
        ("PUT / HTTP/1.1\r\nHost: h\r\nExpect: tea\r\n\r\n", false),
    ] {
        assert_eq!(good(head).expects_continue(), expected, "{head}");
    }
}

#[test]
fn query_pairs_are_decoded() {
    let request = good("GET /admin?mount=/a%20b&song=A+%2B+%C3%A9&&flag&x=%e9=1 HTTP/1.0\r\n\r\n");
    let pairs: Vec<_> = request.query_pairs().collect();
    let expected = [
        ("mount", "/a b"),
        ("song", "A + \u{e9}"),
        ("flag", ""),
        ("x", "\u{e9}=1"),
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    assert_eq!(pairs, expected);
    assert_eq!(request.query_value("song").as_deref(), Some("A + \u{e9}"));
    assert_eq!(good("GET / HTTP/1.0\r\n\r\n").query_pairs().next(), None);
}

#[test]
fn passwords_stay_out_of_debug_output() {
    let request = good("GET / HTTP/1.0\r\nAuthorization: Basic c2VjcmV0OnNlY3JldA==\r\n\r\n");
    assert!(!format!("{request:?}").contains("c2Vj"));
}
