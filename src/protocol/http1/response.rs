//! The head of an answer (RFC 9112 section 4).

use std::fmt::Write as _;

use bytes::{BufMut, BytesMut};

use crate::http::Fields;
use crate::http::fields::{http_date, push_line};

/// The first word of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseVersion {
    /// `HTTP/1.0`: what old sources expect.
    Http10,
    /// `HTTP/1.1`
    Http11,
    /// `ICY`: Shoutcast's.
    Icy,
}

impl ResponseVersion {
    const fn as_str(self) -> &'static str {
        match self {
            ResponseVersion::Http10 => "HTTP/1.0",
            ResponseVersion::Http11 => "HTTP/1.1",
            ResponseVersion::Icy => "ICY",
        }
    }
}

/// Writes one response head. Whatever is handed in, it stays one head: what could end a line
/// becomes a space (RFC 9110 section 5.5).
#[derive(Debug)]
#[must_use = "a head without its empty line is no head"]
pub struct ResponseHead<'b> {
    out: &'b mut BytesMut,
}

impl<'b> ResponseHead<'b> {
    /// Writes the status line.
    pub fn start(out: &'b mut BytesMut, version: ResponseVersion, status: u16) -> Self {
        out.put_slice(version.as_str().as_bytes());
        // Writing to a growing buffer has no way to fail.
        let _ = write!(out, " {status} {}\r\n", reason_phrase(status));
        ResponseHead { out }
    }

    /// Writes one line, as [`crate::http::Fields::with`] takes it.
    pub fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        push_line(self.out, name, value.as_ref());
        self
    }

    /// Writes the lines of `fields`.
    pub fn fields(self, fields: &Fields) -> Self {
        self.out.put_slice(fields.lines());
        self
    }

    /// Writes one line with a number.
    pub fn header_number(self, name: &str, value: u64) -> Self {
        self.header(name, value.to_string())
    }

    /// Writes `Date` from the seconds since 1970.
    pub fn date(self, unix_seconds: u64) -> Self {
        self.header("Date", http_date(unix_seconds))
    }

    /// Writes the empty line.
    pub fn finish(self) {
        self.out.put_slice(b"\r\n");
    }
}

/// The words that go with `status` (RFC 9110 section 15); empty for those that corecast never
/// sends.
pub const fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_stays_one_head() {
        let mut out = BytesMut::new();
        ResponseHead::start(&mut out, ResponseVersion::Http10, 401)
            .header("WWW-Authenticate", "Basic realm=\"corecast\"")
            .header("X-\r\nA: b", "1\r\n\r\n<script>")
            .header_number("Content-Length", 0)
            .date(0)
            .finish();
        let expected = "HTTP/1.0 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"corecast\"\r\n\
                    X-Ab: 1    <script>\r\nContent-Length: 0\r\n\
                    Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n";
        assert_eq!(std::str::from_utf8(&out), Ok(expected));
    }

    #[test]
    fn reasons_are_those_of_the_rfc() {
        for (status, expected) in [
            (200, "OK"),
            (431, "Request Header Fields Too Large"),
            (299, ""),
        ] {
            assert_eq!(reason_phrase(status), expected);
        }
    }
}
