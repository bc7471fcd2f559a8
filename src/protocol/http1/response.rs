//! The head of an answer (RFC 9112 section 4).

use std::fmt::Write as _;
use std::time::Duration;

use bytes::{BufMut, BytesMut};

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

    /// Writes one line. Bytes of `name` that are no token characters are left out; control
    /// characters of `value` become spaces.
    pub fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        self.out
            .extend(name.as_bytes().iter().copied().filter(token));
        self.out.put_slice(b": ");
        let value = value.as_ref();
        if value.iter().any(u8::is_ascii_control) {
            let shown = |byte: &u8| if byte.is_ascii_control() { b' ' } else { *byte };
            self.out.extend(value.iter().map(shown));
        } else {
            self.out.put_slice(value);
        }
        self.out.put_slice(b"\r\n");
        self
    }

    /// Writes one line unless `value` is empty.
    pub fn header_unless_empty(self, name: &str, value: &str) -> Self {
        if value.is_empty() {
            self
        } else {
            self.header(name, value)
        }
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

/// The seconds since 1970 as an IMF-fixdate (RFC 9110 section 5.6.7). Times after the year 9999
/// are shown as its end.
#[expect(
    clippy::disallowed_types,
    reason = "a fixed point in time; no clock is read"
)]
pub fn http_date(unix_seconds: u64) -> String {
    const YEAR_9999_END_S: u64 = 253_402_300_799;
    let since = Duration::from_secs(unix_seconds.min(YEAR_9999_END_S));
    httpdate::fmt_http_date(std::time::SystemTime::UNIX_EPOCH + since)
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
            .header_unless_empty("Empty", "")
            .header_number("Content-Length", 0)
            .date(0)
            .finish();
        let expected = "HTTP/1.0 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"corecast\"\r\n\
                    X-Ab: 1    <script>\r\nContent-Length: 0\r\n\
                    Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n";
        assert_eq!(std::str::from_utf8(&out), Ok(expected));
    }

    #[test]
    fn dates_and_reasons_are_those_of_the_rfc() {
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
        for (status, expected) in [
            (200, "OK"),
            (431, "Request Header Fields Too Large"),
            (299, ""),
        ] {
            assert_eq!(reason_phrase(status), expected);
        }
    }
}
