//! The head of another server's answer (RFC 9112 section 4), for those who pull a stream: HTTP, or
//! the `ICY 200 OK` of Shoutcast.

use std::fmt;

use bytes::BytesMut;

use super::body;
use super::parse::{Scan, parse_fields};
use crate::http::{BadRequest, BodyFraming, Headers, Limits, Version};

/// Why an answer is of no use; the connection is of none either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadReply(pub &'static str);

impl fmt::Display for BadReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bad answer: {}", self.0)
    }
}

impl std::error::Error for BadReply {}

impl From<BadRequest> for BadReply {
    fn from(bad: BadRequest) -> Self {
        BadReply(bad.reason)
    }
}

/// The head of an answer to a GET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status code: 100 to 599.
    pub status: u16,
    /// What else it says.
    pub headers: Headers,
    /// Where its body ends.
    pub framing: BodyFraming,
}

/// Parses the head of one answer.
#[derive(Clone, Debug)]
pub struct ReplyParser {
    limits: Limits,
    scan: Scan,
}

impl ReplyParser {
    /// A parser at the start of a head.
    pub fn new(limits: Limits) -> Self {
        ReplyParser {
            limits,
            scan: Scan::default(),
        }
    }

    /// Looks for a head at the start of `buffer`, which holds all bytes since the head's start.
    /// A whole head is split off, so that `buffer` starts with the body; `None` asks for more
    /// bytes. Only bytes that were not there in the last call are looked at.
    ///
    /// # Errors
    /// [`BadReply`] as soon as the bytes cannot become a head that is understood.
    pub fn parse(&mut self, buffer: &mut BytesMut) -> Result<Option<Reply>, BadReply> {
        let Some(end) = self.scan.head_end(buffer, &self.limits)? else {
            return Ok(None);
        };
        self.scan = Scan::default();
        let head = buffer.split_to(end).freeze();
        let line_end = head.iter().position(|&byte| byte == b'\n');
        let line_end = line_end.and_then(|at| at.checked_sub(1));
        let line_end = line_end.ok_or(BadReply("no status line"))?;
        let line = head.get(..line_end).unwrap_or_default();
        let (version, status) = parse_status_line(line)?;
        let fields = parse_fields(&head, line_end + 2)?;
        let headers = Headers { head, fields };
        let framing = framing(version, status, &headers)?;
        Ok(Some(Reply {
            status,
            headers,
            framing,
        }))
    }
}

/// RFC 9112 section 4: `HTTP-version SP status-code SP [ reason-phrase ]`; the last space is left
/// out by some.
fn parse_status_line(line: &[u8]) -> Result<(Version, u16), BadReply> {
    let mut parts = line.splitn(3, |&byte| byte == b' ');
    let version = match parts.next() {
        Some(b"HTTP/1.1") => Version::Http11,
        Some(b"HTTP/1.0" | b"ICY") => Version::Http10,
        _ => return Err(BadReply("neither HTTP/1 nor ICY")),
    };
    let code = parts.next().unwrap_or_default();
    let [first @ b'1'..=b'5', second, third] = code else {
        return Err(BadReply("no status code"));
    };
    let mut status = 0;
    for digit in [first, second, third] {
        if !digit.is_ascii_digit() {
            return Err(BadReply("no status code"));
        }
        status = status * 10 + u16::from(digit - b'0');
    }
    Ok((version, status))
}

/// RFC 9112 section 6.3, for an answer to a GET.
fn framing(version: Version, status: u16, headers: &Headers) -> Result<BodyFraming, BadReply> {
    let length = headers.content_length()?;
    let chunked = body::transfer_encoding(version, headers)?;
    match (chunked, length) {
        _ if matches!(status, 100..=199 | 204 | 304) => Ok(BodyFraming::None),
        (true, Some(_)) => Err(BadReply("both Content-Length and Transfer-Encoding")),
        (true, None) => Ok(BodyFraming::Chunked),
        (false, None) => Ok(BodyFraming::UntilClose),
        (false, Some(0)) => Ok(BodyFraming::None),
        (false, Some(length)) => Ok(BodyFraming::Length(length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status, framing and body bytes of `bytes`, the same whatever the pieces.
    fn check(bytes: &str, expected: Result<Option<(u16, BodyFraming, &str)>, BadReply>) {
        for step in [1, 7, bytes.len().max(1)] {
            let mut parser = ReplyParser::new(Limits::default());
            let mut buffer = BytesMut::new();
            let mut read = Ok(None);
            let mut pieces = bytes.as_bytes().chunks(step);
            while matches!(read, Ok(None))
                && let Some(piece) = pieces.next()
            {
                buffer.extend_from_slice(piece);
                read = parser.parse(&mut buffer);
            }
            pieces.for_each(|piece| buffer.extend_from_slice(piece));
            let read = read.map(|reply| reply.map(|reply| (reply.status, reply.framing)));
            let wanted = expected.map(|reply| reply.map(|(status, framing, _)| (status, framing)));
            assert_eq!(read, wanted, "{bytes:?} by {step}");
            if let Ok(Some((_, _, body))) = expected {
                assert_eq!(buffer, body.as_bytes(), "{bytes:?} by {step}");
            }
        }
    }

    #[test]
    fn heads_of_all_kinds_of_servers_are_read() {
        use BodyFraming::{Chunked, Length, None as Nothing, UntilClose};
        let good = |bytes, status, framing, body| check(bytes, Ok(Some((status, framing, body))));
        good("ICY 200 OK\r\nicy-name:A\r\n\r\nxy", 200, UntilClose, "xy");
        good(
            "HTTP/1.0 200 OK\r\nicy-metaint: 8\r\n\r\n",
            200,
            UntilClose,
            "",
        );
        good(
            "HTTP/1.1 200\r\nContent-Length: 3\r\n\r\nabc",
            200,
            Length(3),
            "abc",
        );
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        good(chunked, 200, Chunked, "");
        good(
            "HTTP/1.1 302 Found\r\nLocation: /b\r\n\r\n",
            302,
            UntilClose,
            "",
        );
        good(
            "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
            404,
            Nothing,
            "",
        );
        good("HTTP/1.1 204 No\r\n\r\n", 204, Nothing, "");
        check("HTTP/1.0 200 O", Ok(None));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let bad = |bytes, why| check(bytes, Err(BadReply(why)));
        bad("HTTP/2 200 OK\r\n\r\n", "neither HTTP/1 nor ICY");
        bad("SSH-2.0-OpenSSH\r\n\r\n", "neither HTTP/1 nor ICY");
        bad("HTTP/1.1 OK\r\n\r\n", "no status code");
        bad("HTTP/1.1 999 X\r\n\r\n", "no status code");
        bad("HTTP/1.1 2x0 X\r\n\r\n", "no status code");
        bad("HTTP/1.1 200 OK\r\n a: b\r\n\r\n", "bad header");
        bad("\0\0", "not HTTP");
        let both = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
        bad(both, "both Content-Length and Transfer-Encoding");
        let endless = format!("HTTP/1.1 200 OK\r\na: {}", "b".repeat(20_000));
        bad(&endless, "request head is too large");
    }
}
