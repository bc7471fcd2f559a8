//! The rest of HTTP/1's grammar where programs are known to disagree: names and values of headers,
//! hosts, chunks, and heads that come in pieces. The classes are those of h1spec, of llhttp's own
//! tests and of what was found by setting servers side by side (`grammar.py`, which
//! `./x conform http1` runs beside more of them).

use std::io::Write;
use std::time::Duration;

use super::framing::{SMUGGLED, SOON, assert_refused, refusal};
use super::harness::client::python;
use super::harness::server::{ADMIN_PASSWORD, SOURCE_PASSWORD};
use super::harness::{Backend, Client, Server, http};
use super::peers;

/// Longer than all requests together take.
const LIMIT: Duration = Duration::from_secs(60);

/// Header lines after `Host` that no request has.
const BAD_LINES: &[(&str, &str)] = &[
    ("a tab before the colon", "Content-Length\t: 5\r\n"),
    ("a tab before the name", "\tContent-Length: 5\r\n"),
    (
        "a vertical tab before the colon",
        "Content-Length\u{b}: 5\r\n",
    ),
    ("a form feed in a value", "X: a\u{c}b\r\n"),
    ("a bell in a value", "X: a\u{7}b\r\n"),
    ("a delete in a value", "X: a\u{7f}b\r\n"),
    ("brackets in a name", "X-Invalid[]: test\r\n"),
    ("a quote in a name", "\"Content-Length\": 5\r\n"),
    (
        "letters past ASCII in a name",
        "Content-Length\u{e9}: 5\r\n",
    ),
    ("a CR at the end of a name", "Content-Length\r: 5\r\n"),
    ("a CR before a line's end", "X: a\r\r\n"),
    (
        "a line that begins with CR",
        "\rTransfer-Encoding: chunked\r\n",
    ),
    ("a folded name", "Content-\r\n Length: 5\r\n"),
    ("a folded empty line", "X: a\r\n \r\n"),
    ("a folded Host", "X-Host:\r\n\tother\r\n"),
    ("a NUL after a length", "Content-Length: 5\0\r\n"),
    ("a length that ends a list", "Content-Length: 5,\r\n"),
    ("a length that begins a list", "Content-Length: ,5\r\n"),
    ("a length in quotes", "Content-Length: \"5\"\r\n"),
    ("a length with a fraction", "Content-Length: 5.0\r\n"),
    ("a length with an exponent", "Content-Length: 1e1\r\n"),
    ("a length with a separator", "Content-Length: 1_0\r\n"),
    ("a length in other digits", "Content-Length: \u{665}\r\n"),
    ("a length that is a word", "Content-Length: abc\r\n"),
    (
        "a far negative length",
        "Content-Length: -123456789123456789123456789\r\n",
    ),
    ("a coding in quotes", "Transfer-Encoding: \"chunked\"\r\n"),
    (
        "a coding with a parameter",
        "Transfer-Encoding: chunked;q=1\r\n",
    ),
    ("a coding with a NUL", "Transfer-Encoding: chunked\0\r\n"),
    (
        "a coding that ends a list",
        "Transfer-Encoding: chunked,\r\n",
    ),
    (
        "a coding that begins a list",
        "Transfer-Encoding: ,chunked\r\n",
    ),
    (
        "a coding that is nearly one",
        "Transfer-Encoding: xchunked\r\n",
    ),
    ("a coding and more", "Transfer-Encoding: chunked x\r\n"),
    ("a coding in two words", "Transfer-Encoding: chunk ed\r\n"),
    ("a coding with a colon", "Transfer-Encoding: :chunked\r\n"),
    (
        "a coding and identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    ),
    (
        "identity and a coding",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
    ),
    (
        "a coding that hides behind another name",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\nConnection: Content-Length\r\n",
    ),
    (
        "three lengths",
        "Content-Length: 0\r\nContent-Length: 5\r\nContent-Length: 0\r\n",
    ),
];

/// What stands behind the colon of `Host`.
const BAD_HOSTS: &[&str] = &[
    "a, b", "a/b", "a b", "user@a", "a\\b", "a?b", "a#b", "a\u{e9}", "http://a", "<a>", "a:80:81",
    "a:port", "[::1", "%00",
];

/// Request lines that are no request lines, of which each is malformed.
const BAD_REQUEST_LINES: &[&str] = &[
    "GET / HTTP/1.1 ",
    "GET / HTTP/ 1.1",
    "GET / http/1.1",
    "GET / HTTP/1",
    "GET / HTTP/1.",
    "GET / HTTP/.1",
    "GET / HTTP/1.1.1",
    "GET / HTTP/1,1",
    "GET / HTTP/+1.1",
    "GET / HTTP/01.1",
    "GET / HTTP 1.1",
    "GET / ",
    "GET /\u{b}x HTTP/1.1",
    "GET\u{b}/ HTTP/1.1",
    "GET /\r HTTP/1.1",
    "GET\r/ HTTP/1.1",
    "GET / HTTP/1.1\rX: y",
    "G\0T / HTTP/1.1",
    "G(T / HTTP/1.1",
    "GET /a b HTTP/1.1",
    "GET /\u{7f} HTTP/1.1",
    "GET //\0 HTTP/1.1",
    ": / HTTP/1.1",
];

/// Whole heads that are none.
const BAD_HEADS: &[(&str, &str)] = &[
    ("bare LF", "GET /live HTTP/1.1\nHost: test\n\n"),
    (
        "LF after the head",
        "GET /live HTTP/1.1\r\nHost: test\r\n\n",
    ),
    (
        "LF before the head's end",
        "GET /live HTTP/1.1\r\nHost: test\n\r\n",
    ),
    ("bare CR", "GET /live HTTP/1.1\rHost: test\r\r\n\r\n"),
    ("LF first", "\nGET /live HTTP/1.1\r\nHost: test\r\n\r\n"),
    ("CR first", "\rGET /live HTTP/1.1\r\nHost: test\r\n\r\n"),
    ("NUL first", "\0GET /live HTTP/1.1\r\nHost: test\r\n\r\n"),
    (
        "a mark first",
        "\u{feff}GET /live HTTP/1.1\r\nHost: test\r\n\r\n",
    ),
    ("a header first", "Host: test\r\nGET /live HTTP/1.1\r\n\r\n"),
    (
        "a line before it",
        "Extra lineGET /live HTTP/1.1\r\nHost: test\r\n\r\n",
    ),
];

/// Chunked bodies that end otherwise than they seem to.
const BAD_CHUNKS: &[(&str, &str)] = &[
    ("no size", "\r\nhello\r\n"),
    ("an empty size", ";x=y\r\nhello\r\n"),
    ("a size that is none", "five\r\nhello\r\n"),
    ("a signed size", "+5\r\nhello\r\n"),
    ("a negative size", "-5\r\nhello\r\n"),
    ("a size with a prefix", "0x5\r\nhello\r\n"),
    ("a size with a separator", "0_5\r\nhello\r\n"),
    ("a size with white space", "5 \r\nhello\r\n"),
    ("a size after white space", " 5\r\nhello\r\n"),
    ("a size with a tab", "5\t\r\nhello\r\n"),
    ("a size past 64 bits", "10000000000000005\r\nhello\r\n"),
    (
        "a size with too many digits",
        "00000000000000005\r\nhello\r\n",
    ),
    ("a size with a comma", "5,5\r\nhello\r\n"),
    ("a size that ends in LF", "5\nhello\r\n"),
    ("a size that ends in CR", "5\rhello\r\n"),
    ("a size that ends in CR CR LF", "5\r\r\nhello\r\n"),
    ("an extension that ends in LF", "5;x\nhello\r\n"),
    ("an extension with a CR", "5;x\ry\r\nhello\r\n"),
    ("an extension with a NUL", "5;x=\0\r\nhello\r\n"),
    ("a quoted line's end", "5;x=\"\n\"\r\nhello\r\n"),
    ("less than announced", "6\r\nhello\r\n0\r\n\r\n"),
    ("more than announced", "4\r\nhello\r\n0\r\n\r\n"),
    ("no line's end after it", "5\r\nhello0\r\n\r\n"),
    ("LF after it", "5\r\nhello\n0\r\n\r\n"),
    ("CR after it", "5\r\nhello\r0\r\n\r\n"),
    ("two line ends after it", "5\r\nhello\r\n\r\n0\r\n\r\n"),
    ("LF after the last", "0\n\r\n"),
    ("LF at the end", "0\r\n\n"),
    ("CR at the end", "0\r\n\r\r\n"),
    ("a trailer with LF", "0\r\nX: y\n\r\n"),
    ("a trailer with a NUL", "0\r\nX: \0\r\n\r\n"),
    ("a trailer without a colon", "0\r\nX\r\n\r\n"),
    ("a trailer without a name", "0\r\n: y\r\n\r\n"),
    ("a trailer with a space", "0\r\nX : y\r\n\r\n"),
    ("a trailer that is no token", "0\r\nX[]: y\r\n\r\n"),
    ("a folded trailer", "0\r\nX: y\r\n z\r\n\r\n"),
    (
        "a request for a trailer",
        "0\r\nGET /health HTTP/1.1\r\n\r\n",
    ),
];

crate::clients::on_both_backends!(no_chunk_hides_a_request);

/// A chunked body without an end to one of its parts.
fn endless_chunks() -> [(&'static str, String); 3] {
    let long = "e".repeat(20_000);
    [
        (
            "a long extension",
            format!("5;{long}\r\nhello\r\n0\r\n\r\n"),
        ),
        ("many extensions", "1;eeeeeeee\r\nx\r\n".repeat(4_000)),
        ("a long trailer", format!("0\r\nX: {long}\r\n\r\n")),
    ]
}

#[test]
fn lines_that_programs_read_in_two_ways_are_refused() {
    let server = Server::start(Backend::IoUring, &[]);
    let authorization = http::basic("source", SOURCE_PASSWORD);
    let mut requests = Vec::new();
    for (what, lines) in BAD_LINES {
        for line in ["GET /live", "PUT /live"] {
            let head = format!("{line} HTTP/1.1\r\nHost: test\r\n{authorization}{lines}\r\n");
            requests.push((format!("{line}: {what}"), format!("{head}0\r\n\r\n")));
        }
    }
    for host in BAD_HOSTS {
        let request = format!("GET /live HTTP/1.1\r\nHost: {host}\r\n\r\n");
        requests.push((format!("Host: {host}"), request));
    }
    for line in BAD_REQUEST_LINES {
        requests.push(((*line).to_owned(), format!("{line}\r\nHost: test\r\n\r\n")));
    }
    for (what, request) in BAD_HEADS {
        requests.push(((*what).to_owned(), (*request).to_owned()));
    }
    let refused = |request: &str| match refusal(server.address(), request) {
        // A coding that is not ours is refused as such.
        Ok(400 | 501) => None,
        other => Some(other),
    };
    let faults = requests
        .iter()
        .filter_map(|(what, request)| Some((what, refused(request)?)));
    let faults: Vec<_> = faults.collect();
    assert!(faults.is_empty(), "{faults:#?}");
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(server.metric("corecast_task_panics_total", ""), 0.0);
}

fn no_chunk_hides_a_request(backend: Backend) {
    let server = Server::start(backend, &[]);
    let admin = http::basic("admin", ADMIN_PASSWORD);
    let source = http::basic("source", SOURCE_PASSWORD);
    let chunked = "Transfer-Encoding: chunked\r\n\r\n";
    let endless = endless_chunks();
    let endless = endless.iter().map(|(what, body)| (*what, body.as_str()));
    for (what, body) in BAD_CHUNKS.iter().copied().chain(endless) {
        let request = format!("POST /admin/metadata HTTP/1.1\r\nHost: t\r\n{admin}{chunked}{body}");
        assert_refused(server.address(), what, &request, 400);
        // A source was let in before its body came: it ends, and nothing after it is answered.
        let request = format!("PUT /live HTTP/1.1\r\nHost: t\r\n{source}{chunked}{body}{SMUGGLED}");
        let mut stream = peers::say(server.address(), request.as_bytes());
        let (said, ended) = peers::read_to_end(&mut stream, SOON);
        let answers = said.windows(9).filter(|nine| nine == b"HTTP/1.1 ").count();
        assert!(ended && answers <= 1, "{what}: {}", said.escape_ascii());
    }
    assert_eq!(server.metric("corecast_task_panics_total", ""), 0.0);
}

#[test]
fn a_chunk_that_is_too_large_is_refused_before_it_comes() {
    let server = Server::start(Backend::IoUring, &["limits.body_bytes_max=65536"]);
    let admin = http::basic("admin", ADMIN_PASSWORD);
    for size in ["10001", "8000000000000005", "ffffffffffffffff"] {
        let request = format!(
            "POST /admin/metadata HTTP/1.1\r\nHost: t\r\n{admin}Transfer-Encoding: chunked\r\n\
             \r\n5\r\nhello\r\n{size}\r\n"
        );
        assert_refused(server.address(), size, &request, 413);
    }
}

#[test]
fn nothing_is_read_otherwise_than_h11_reads_it() {
    let server = Server::start(Backend::IoUring, &[]);
    let mut grammar = python("tests/failures/grammar.py");
    let port = server.address().port().to_string();
    let said = Client::spawn(grammar.args(["--alone", &port])).succeed(LIMIT);
    let said = said.text();
    let count = said.split(' ').next().and_then(|word| word.parse().ok());
    assert!(count > Some(600), "{said}");
    assert_eq!(server.metric("corecast_task_panics_total", ""), 0.0);
}

#[test]
fn heads_may_come_in_pieces() {
    let server = Server::start(Backend::IoUring, &[]);
    let good = "GET /health HTTP/1.1\r\nhoSt:\ttest\r\nempty:\r\nX: \t y \t\r\n\r\n";
    for at in 1..good.len() {
        let (first, rest) = good.split_at(at);
        let mut stream = peers::say(server.address(), first.as_bytes());
        let short = stream.set_read_timeout(Some(Duration::from_millis(1)));
        short.expect("never zero");
        assert!(
            stream.peek(&mut [0]).is_err(),
            "{at}: it waits for the rest"
        );
        let long = stream.set_read_timeout(Some(SOON));
        long.expect("never zero");
        stream.write_all(rest.as_bytes()).expect("a few bytes fit");
        let answer = http::read_answer(&mut stream).expect("the server answers");
        assert_eq!(answer.status, 200, "{at}");
    }
}
