//! Bytes to a request head (RFC 9112 sections 2, 3 and 5).

use bytes::{Bytes, BytesMut};
use memchr::memchr;

use super::body;
use crate::http::error::BadRequest;
use crate::http::limits::{HEAD_BYTES_CAP, HEADER_COUNT_CAP, Limits};
use crate::http::request::{Field, Headers, Method, Request, Span, Version};
use crate::http::target::{is_host, is_token_byte, parse_target};

/// What [`parse_request`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parse {
    /// The head is not whole yet, and nothing is wrong so far.
    Incomplete,
    /// The head is whole.
    Done {
        /// What it says.
        request: Box<Request>,
        /// Its bytes, the empty line included; the body starts there.
        head_bytes: usize,
    },
}

/// Parses the head at the start of `bytes`, from scratch.
///
/// For bytes that arrive in pieces use [`RequestParser`], which looks at no byte twice.
///
/// # Errors
/// [`BadRequest`] as soon as the bytes cannot become a head that is served.
pub fn parse_request(bytes: &Bytes, limits: &Limits) -> Result<Parse, BadRequest> {
    match Scan::default().head_end(bytes, limits)? {
        None => Ok(Parse::Incomplete),
        Some(end) => {
            let request = Box::new(parse_head(bytes.slice(..end))?);
            Ok(Parse::Done {
                request,
                head_bytes: end,
            })
        }
    }
}

/// Parses the heads of one connection, one after another.
#[derive(Clone, Debug)]
pub struct RequestParser {
    limits: Limits,
    scan: Scan,
}

impl RequestParser {
    /// A parser at the start of a head.
    pub fn new(limits: Limits) -> Self {
        RequestParser {
            limits,
            scan: Scan::default(),
        }
    }

    /// Looks for a head at the start of `buffer`, which holds all bytes since the head's start.
    /// A whole head is split off, so that `buffer` starts with the body; `None` asks for more
    /// bytes. Only bytes that were not there in the last call are looked at.
    ///
    /// # Errors
    /// [`BadRequest`] as soon as the bytes cannot become a head that is served. The connection is
    /// of no use then.
    pub fn parse(&mut self, buffer: &mut BytesMut) -> Result<Option<Request>, BadRequest> {
        let Some(end) = self.scan.head_end(buffer, &self.limits)? else {
            return Ok(None);
        };
        self.scan = Scan::default();
        parse_head(buffer.split_to(end).freeze()).map(Some)
    }
}

/// The search for the empty line; remembers how far it came.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scan {
    scanned: usize,
    line_start: usize,
    lines: usize,
}

impl Scan {
    /// The length of the head at the start of `bytes` once its empty line is there.
    pub(super) fn head_end(
        &mut self,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Option<usize>, BadRequest> {
        if bytes
            .first()
            .is_some_and(|byte| !byte.is_ascii_graphic() && *byte != b'\r')
        {
            return Err(BadRequest::malformed("not HTTP"));
        }
        while let Some(found) = bytes
            .get(self.scanned..)
            .and_then(|rest| memchr(b'\n', rest))
        {
            let at = self.scanned + found;
            // RFC 9112 section 2.2 allows a bare LF as a line's end; others in front may not.
            let line_end = at
                .checked_sub(1)
                .filter(|&end| bytes.get(end) == Some(&b'\r'));
            let Some(line_end) = line_end else {
                return Err(BadRequest::malformed("line without CR"));
            };
            let empty = line_end == self.line_start;
            if empty && self.lines > 0 {
                self.check_sizes(at + 1, line_end, limits)?;
                return Ok(Some(at + 1));
            }
            // Section 2.2: one empty line before the request line is forgiven.
            if empty && self.line_start > 0 {
                return Err(BadRequest::malformed("empty lines before the request"));
            }
            self.check_sizes(at + 1, line_end, limits)?;
            if !empty {
                self.lines += 1;
            }
            if self.lines > limits.header_count_max.min(HEADER_COUNT_CAP) + 1 {
                return Err(BadRequest::new(431, "too many headers"));
            }
            self.line_start = at + 1;
            self.scanned = at + 1;
        }
        self.scanned = bytes.len();
        // A CR at the end may turn out to be the line's.
        let line_end = bytes.strip_suffix(b"\r").map_or(bytes.len(), <[u8]>::len);
        self.check_sizes(bytes.len(), line_end, limits)?;
        Ok(None)
    }

    /// Checks `head` bytes so far, of which the current line ends at `line_end`.
    fn check_sizes(&self, head: usize, line_end: usize, limits: &Limits) -> Result<(), BadRequest> {
        let line = line_end.saturating_sub(self.line_start);
        if self.lines == 0 && line > limits.request_line_bytes_max {
            return Err(BadRequest::new(414, "request line is too long"));
        }
        if head > limits.head_bytes_max.min(HEAD_BYTES_CAP) {
            return Err(BadRequest::new(431, "request head is too large"));
        }
        Ok(())
    }
}

/// Parses a whole head, the empty line included.
fn parse_head(head: Bytes) -> Result<Request, BadRequest> {
    let skipped = if head.starts_with(b"\r\n") { 2 } else { 0 };
    let rest = head.get(skipped..).unwrap_or_default();
    let length = memchr(b'\n', rest).and_then(|at| at.checked_sub(1));
    let length = length.ok_or(BadRequest::malformed("no request line"))?;
    let line = rest.get(..length).unwrap_or_default();
    let line_end = skipped + length;
    let (method, target, version) = parse_line(line)?;

    let fields = parse_fields(&head, line_end + 2)?;
    let start = skipped + method.as_str().len() + 1;
    let target = parse_target(method, target, start)?;
    let headers = Headers { head, fields };
    check_host(version, &headers)?;
    let framing = body::framing(method, version, &headers)?;
    Ok(Request {
        method,
        version,
        target: target.whole,
        query: target.query,
        authority: target.authority,
        path: target.path,
        protocol: None,
        framing,
        headers,
    })
}

/// RFC 9112 section 3: `method SP request-target SP HTTP-version`, with exactly one space each.
fn parse_line(line: &[u8]) -> Result<(Method, &[u8], Version), BadRequest> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(BadRequest::malformed("bad request line"));
    };
    if method.is_empty() || !method.iter().all(|&byte| is_token_byte(byte)) {
        return Err(BadRequest::malformed("bad method"));
    }
    let version = parse_version(version)?;
    let method = Method::parse(method).ok_or(BadRequest::new(501, "unknown method"))?;
    if version == Version::Ice10 && method != Method::Source {
        return Err(BadRequest::malformed("ICE/1.0 is for sources"));
    }
    Ok((method, target, version))
}

/// RFC 9112 section 2.3; other versions of HTTP are answered with 505.
fn parse_version(version: &[u8]) -> Result<Version, BadRequest> {
    match version {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        b"ICE/1.0" => Ok(Version::Ice10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(BadRequest::new(505, "HTTP version is not supported"))
        }
        _ => Err(BadRequest::malformed("bad version")),
    }
}

/// RFC 9112 section 5: no white space around names, no folded lines, no control characters; all
/// of that is refused by `httparse` in its strictest setting.
pub(super) fn parse_fields(head: &Bytes, start: usize) -> Result<Vec<Field>, BadRequest> {
    let mut slots = [httparse::EMPTY_HEADER; HEADER_COUNT_CAP];
    let lines = head.get(start..).unwrap_or_default();
    let parsed = match httparse::parse_headers(lines, &mut slots) {
        Ok(httparse::Status::Complete((used, parsed))) if used == lines.len() => parsed,
        Ok(_) => return Err(BadRequest::malformed("bad header")),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(BadRequest::new(431, "too many headers"));
        }
        Err(httparse::Error::HeaderValue) => return Err(BadRequest::malformed("bad header value")),
        Err(_) => return Err(BadRequest::malformed("bad header")),
    };
    let span = |part: &[u8]| {
        let at = (part.as_ptr() as usize).saturating_sub(head.as_ptr() as usize);
        Span::new(at, at + part.len())
    };
    Ok(parsed
        .iter()
        .map(|header| Field {
            name: span(header.name.as_bytes()),
            value: span(header.value),
        })
        .collect())
}

/// RFC 9112 section 3.2: exactly one `Host` in HTTP/1.1, at most one before, and a valid one.
fn check_host(version: Version, headers: &Headers) -> Result<(), BadRequest> {
    let mut values = headers.find_all("host");
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(BadRequest::malformed("more than one Host")),
        (None, None) if version == Version::Http11 => Err(BadRequest::malformed("no Host")),
        (Some(host), None) if !is_host(host) => Err(BadRequest::malformed("bad Host")),
        _ => Ok(()),
    }
}
