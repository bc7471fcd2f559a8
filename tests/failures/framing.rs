//! Requests that two programs could read in two ways: the HTTP/1 smuggling classes. Each is
//! refused, whoever sends it, and the connection ends: what follows is never taken for a request.

use std::net::SocketAddr;
use std::time::Duration;

use super::harness::{Backend, Server, http};
use super::peers;

pub(super) const SOON: Duration = Duration::from_secs(10);

/// What would be smuggled: were it answered, there would be a second status line.
pub(super) const SMUGGLED: &str = "GET /health HTTP/1.1\r\nHost: test\r\n\r\n";

crate::clients::on_both_backends!(nothing_is_smuggled, good_requests_may_follow_each_other);

/// Header lines after `Host`, the body before what is smuggled, and the status.
const BAD_FRAMINGS: &[(&str, &str, &str, u16)] = &[
    (
        "both framings",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "0\r\n\r\n",
        400,
    ),
    (
        "both, the other way around",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "0\r\n\r\n",
        400,
    ),
    (
        "two lengths",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "hello",
        400,
    ),
    (
        "the same length twice",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "hello",
        400,
    ),
    (
        "a list of lengths",
        "Content-Length: 5, 5\r\n",
        "hello",
        400,
    ),
    ("a signed length", "Content-Length: +5\r\n", "hello", 400),
    ("a negative length", "Content-Length: -5\r\n", "hello", 400),
    (
        "a hexadecimal length",
        "Content-Length: 0x5\r\n",
        "hello",
        400,
    ),
    ("an empty length", "Content-Length: \r\n", "", 400),
    (
        "a length with a space",
        "Content-Length: 5 5\r\n",
        "hello",
        400,
    ),
    (
        "a length past 64 bits",
        "Content-Length: 99999999999999999999\r\n",
        "hello",
        413,
    ),
    (
        "an unknown coding",
        "Transfer-Encoding: gzip\r\n",
        "hello",
        400,
    ),
    (
        "chunked twice",
        "Transfer-Encoding: chunked, chunked\r\n",
        "0\r\n\r\n",
        400,
    ),
    (
        "chunked in two lines",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "0\r\n\r\n",
        400,
    ),
    (
        "chunked, but not last",
        "Transfer-Encoding: chunked, gzip\r\n",
        "0\r\n\r\n",
        400,
    ),
    (
        "another coding first",
        "Transfer-Encoding: gzip, chunked\r\n",
        "0\r\n\r\n",
        501,
    ),
    ("identity", "Transfer-Encoding: identity\r\n", "hello", 400),
    (
        "a coding with a tab",
        "Transfer-Encoding: \u{b}chunked\r\n",
        "0\r\n\r\n",
        400,
    ),
    (
        "an empty coding",
        "Transfer-Encoding:\r\n",
        "0\r\n\r\n",
        400,
    ),
    (
        "a space before the colon",
        "Content-Length : 5\r\n",
        "hello",
        400,
    ),
    (
        "a space before a coding's colon",
        "Transfer-Encoding : chunked\r\n",
        "0\r\n\r\n",
        400,
    ),
    (
        "a space before the name",
        " Content-Length: 5\r\n",
        "hello",
        400,
    ),
    ("a folded header", "X: a\r\n b\r\n", "", 400),
    (
        "a folded coding",
        "Transfer-Encoding:\r\n chunked\r\n",
        "0\r\n\r\n",
        400,
    ),
    ("a NUL in a value", "X: a\0b\r\n", "", 400),
    ("a NUL in a name", "X\0: a\r\n", "", 400),
    ("a CR in a value", "X: a\rb\r\n", "", 400),
    ("a bare LF", "X: a\nY: b\r\n", "", 400),
    ("a bare LF at the end", "X: a\n\r\n", "", 400),
    ("no colon", "nonsense\r\n", "", 400),
    ("an empty name", ": a\r\n", "", 400),
    ("a name that is no token", "X@Y: a\r\n", "", 400),
    ("a second Host", "Host: other\r\n", "", 400),
];

/// Request lines that are refused whatever follows.
const BAD_LINES: &[(&str, &str, u16)] = &[
    ("two spaces", "GET  /live HTTP/1.1", 400),
    ("a tab", "GET\t/live HTTP/1.1", 400),
    ("no version", "GET /live", 400),
    ("more than a version", "GET /live HTTP/1.1 x", 400),
    ("an unknown method", "BREW /live HTTP/1.1", 501),
    ("a method in small letters", "get /live HTTP/1.1", 501),
    ("a newer version", "GET /live HTTP/2.0", 505),
    ("an odd version", "GET /live HTTP/1.10", 400),
    ("no protocol", "GET /live FTP/1.1", 400),
    ("a NUL in the path", "GET /li\0ve HTTP/1.1", 400),
    ("a hidden NUL", "GET /li%00ve HTTP/1.1", 400),
    ("a hidden line end", "GET /li%0d%0ave HTTP/1.1", 400),
    ("a half escape", "GET /live%2 HTTP/1.1", 400),
    ("no path", "GET live HTTP/1.1", 400),
    ("a fragment", "GET /live#x HTTP/1.1", 400),
    ("a tunnel", "CONNECT test:80 HTTP/1.1", 501),
    ("a path that is no UTF-8", "GET /%ff HTTP/1.1", 400),
    ("the preface of HTTP/2", "PRI * HTTP/2.0", 505),
];

/// Sends `request` with something smuggled behind it: one answer of `status` and the end.
pub(super) fn assert_refused(address: SocketAddr, what: &str, request: &str, status: u16) {
    assert_eq!(refusal(address, request), Ok(status), "{what}");
}

/// As [`assert_refused`]: the status, or what was said that is no refusal.
pub(super) fn refusal(address: SocketAddr, request: &str) -> Result<u16, String> {
    let bytes = format!("{request}{SMUGGLED}");
    let mut stream = peers::say(address, bytes.as_bytes());
    let (said, ended) = peers::read_to_end(&mut stream, SOON);
    let answers = said.windows(9).filter(|nine| nine == b"HTTP/1.1 ").count();
    match http::read_answer(&mut said.as_slice()) {
        Ok(answer) if ended && answers == 1 && answer.header("connection") == Some("close") => {
            Ok(answer.status)
        }
        _ => Err(said.escape_ascii().to_string()),
    }
}

fn nothing_is_smuggled(backend: Backend) {
    let server = Server::start(backend, &[]);
    let authorization = http::basic("source", super::harness::server::SOURCE_PASSWORD);
    let mut refused = 0.0;
    for (what, lines, body, status) in BAD_FRAMINGS {
        for line in [
            "GET /live",
            "POST /admin/metadata",
            "PUT /live",
            "SOURCE /live",
        ] {
            let request =
                format!("{line} HTTP/1.1\r\nHost: test\r\n{authorization}{lines}\r\n{body}");
            assert_refused(
                server.address(),
                &format!("{line}: {what}"),
                &request,
                *status,
            );
            refused += 1.0;
        }
    }
    // Before HTTP/1.1 there are no codings.
    for line in [
        "PUT /live HTTP/1.0",
        "SOURCE /live ICE/1.0",
        "GET /live HTTP/1.0",
    ] {
        let request =
            format!("{line}\r\n{authorization}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
        assert_refused(server.address(), line, &request, 400);
        refused += 1.0;
    }
    for (what, line, status) in BAD_LINES {
        let request = format!("{line}\r\nHost: test\r\n\r\n");
        assert_refused(server.address(), what, &request, *status);
        refused += 1.0;
    }
    for (what, request) in [
        ("no Host", "GET /live HTTP/1.1\r\n\r\n"),
        ("a bad Host", "GET /live HTTP/1.1\r\nHost: a b\r\n\r\n"),
        (
            "empty lines first",
            "\r\n\r\n\r\nGET /live HTTP/1.1\r\nHost: t\r\n\r\n",
        ),
        (
            "white space first",
            " GET /live HTTP/1.1\r\nHost: t\r\n\r\n",
        ),
        ("no HTTP at all", "\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n"),
    ] {
        assert_refused(server.address(), what, request, 400);
        refused += 1.0;
    }
    assert_eq!(
        server.json("/api/v1/mounts")["mounts"],
        serde_json::json!([])
    );
    assert_eq!(
        server.metric("corecast_requests_total", "malformed"),
        refused
    );
    assert_eq!(server.metric("corecast_task_panics_total", ""), 0.0);
}

fn good_requests_may_follow_each_other(backend: Backend) {
    let server = Server::start(backend, &[]);
    let admin = http::basic("admin", super::harness::server::ADMIN_PASSWORD);
    let chunked = "Transfer-Encoding: chunked\r\n\r\n3;ext=\"0\"\r\na=b\r\n0\r\nX: y\r\n\r\n";
    let requests = [
        ("GET /health HTTP/1.1\r\nHost: t\r\n\r\n".to_owned(), 200),
        ("GET /none HTTP/1.1\r\nHost: t\r\n\r\n".to_owned(), 404),
        (
            format!(
                "POST /none HTTP/1.1\r\nHost: t\r\n{admin}Content-Length: 36\r\n\r\n{SMUGGLED}"
            ),
            404,
        ),
        (
            format!("POST /health HTTP/1.1\r\nHost: t\r\nContent-Length: 36\r\n\r\n{SMUGGLED}"),
            405,
        ),
        (
            format!("POST /admin/nothing HTTP/1.1\r\nHost: t\r\n{admin}{chunked}"),
            400,
        ),
        (
            "GET /api/v1/none HTTP/1.1\r\nHost: t\r\n\r\n".to_owned(),
            404,
        ),
        ("HEAD /metrics HTTP/1.1\r\nHost: t\r\n\r\n".to_owned(), 200),
        ("OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n".to_owned(), 204),
        (
            "GET /api/v1/server HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n".to_owned(),
            200,
        ),
    ];
    assert_eq!(SMUGGLED.len(), 36);
    let all: String = requests
        .iter()
        .map(|(request, _)| request.as_str())
        .collect();
    let mut stream = peers::say(server.address(), all.as_bytes());
    let (said, ended) = peers::read_to_end(&mut stream, SOON);
    let mut rest = said.as_slice();
    for (request, status) in &requests {
        let line = request.lines().next().unwrap_or_default();
        let at = rest.windows(4).position(|four| four == b"\r\n\r\n");
        let (head, after) = rest.split_at(at.expect("a whole head") + 4);
        let answer = http::read_head(&mut &head[..]).expect("a head");
        assert_eq!(answer.status, *status, "{line}");
        let length = answer
            .header("content-length")
            .map_or(0, |length| length.parse::<usize>().expect("a length"));
        rest = if line.starts_with("HEAD") {
            after
        } else {
            &after[length..]
        };
    }
    assert!(ended && rest.is_empty(), "{}", rest.escape_ascii());
}
