//! A parsed request head: one shared buffer and positions inside it.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

use super::error::BadRequest;
use super::query::{self, QueryPairs};

/// The methods that corecast knows (RFC 9110 section 9, and Icecast's `SOURCE`); others are
/// answered with 501.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
    /// `OPTIONS`
    Options,
    /// `SOURCE`: how encoders published before Icecast took `PUT`.
    Source,
    /// `CONNECT`, in HTTP/2 and 3 and with a protocol only: how a WebSocket is opened there
    /// (RFC 8441, RFC 9220).
    Connect,
}

impl Method {
    /// The method as it stands in the request line; methods are case-sensitive.
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
            Method::Source => "SOURCE",
            Method::Connect => "CONNECT",
        }
    }

    /// As [`Method::parse`], and those of HTTP/2 and 3.
    pub(crate) fn parse_any(token: &[u8]) -> Option<Self> {
        (token == b"CONNECT")
            .then_some(Method::Connect)
            .or_else(|| Method::parse(token))
    }

    /// Methods that HTTP/1 may bring.
    pub(crate) fn parse(token: &[u8]) -> Option<Self> {
        Some(match token {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"PATCH" => Method::Patch,
            b"DELETE" => Method::Delete,
            b"OPTIONS" => Method::Options,
            b"SOURCE" => Method::Source,
            _ => return None,
        })
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The protocol named in the request line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// `HTTP/1.0`
    Http10,
    /// `HTTP/1.1`
    Http11,
    /// `ICE/1.0`: old sources; otherwise as HTTP/1.0.
    Ice10,
    /// `HTTP/2`
    Http2,
    /// `HTTP/3`
    Http3,
}

impl Version {
    /// The version as it stands in the request line, or as logs show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Ice10 => "ICE/1.0",
            Version::Http2 => "HTTP/2",
            Version::Http3 => "HTTP/3",
        }
    }
}

/// A range inside a head; heads are bounded far below 32 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Span {
            start: narrow(start),
            end: narrow(end),
        }
    }

    pub(crate) fn of(self, head: &[u8]) -> &[u8] {
        head.get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }

    fn text(self, head: &[u8]) -> &str {
        std::str::from_utf8(self.of(head)).unwrap_or_default()
    }
}

/// Where a request's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFraming {
    /// There is no body.
    None,
    /// After this many bytes (never zero).
    Length(u64),
    /// Where HTTP says so: with the last chunk ([`crate::http1::ChunkedDecoder`]), or with the
    /// end of the stream in HTTP/2 and 3.
    Chunked,
    /// When the peer closes; the connection serves no second request. Only sources do so.
    UntilClose,
}

/// A request head that passed every check. Names, values and the target are positions in the one
/// buffer that it was read into; cloning shares the buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) target: Span,
    pub(crate) query: Option<Span>,
    pub(crate) authority: Option<Span>,
    pub(crate) path: Box<str>,
    pub(crate) protocol: Option<Span>,
    pub(crate) framing: BodyFraming,
    pub(crate) headers: Headers,
}

impl Request {
    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The protocol version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The request target as it was sent.
    pub fn target(&self) -> &str {
        self.target.text(&self.headers.head)
    }

    /// The target without the scheme and host that a client of HTTP/1 may put before it (RFC 9112
    /// section 3.2.2): it starts with `/`, or is `*`.
    pub fn origin_form(&self) -> Cow<'_, str> {
        let target = self.target();
        let Some((_, rest)) = target
            .split_once("://")
            .filter(|_| !target.starts_with('/'))
        else {
            return Cow::Borrowed(target);
        };
        match rest.find(['/', '?']).and_then(|at| rest.get(at..)) {
            None => Cow::Borrowed("/"),
            Some(query) if query.starts_with('?') => Cow::Owned(format!("/{query}")),
            Some(path) => Cow::Borrowed(path),
        }
    }

    /// The path, percent-decoded; it starts with `/` (or is `*` for `OPTIONS *`) and has no control
    /// characters.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query as it was sent, without its `?`.
    pub fn query(&self) -> Option<&str> {
        self.query.map(|span| span.text(&self.headers.head))
    }

    /// The query's pairs, decoded; nothing where there is no query.
    pub fn query_pairs(&self) -> QueryPairs<'_> {
        query::pairs(self.query().unwrap_or_default())
    }

    /// The first query pair named `name`, decoded.
    pub fn query_value(&self, name: &str) -> Option<String> {
        self.query_pairs()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// The host (and port) that was asked for: the target's authority if it has one (RFC 9112
    /// section 3.2.2), otherwise `Host`. Empty where neither says anything.
    pub fn host(&self) -> &str {
        match self.authority {
            Some(span) => span.text(&self.headers.head),
            None => self.headers.find_text("host").unwrap_or_default(),
        }
    }

    /// What an extended CONNECT asks to speak on its stream (RFC 8441 section 4).
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.map(|span| span.text(&self.headers.head))
    }

    /// The header lines.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Where the body ends.
    pub fn body_framing(&self) -> BodyFraming {
        self.framing
    }

    /// The request line without its version, for logs.
    pub fn line(&self) -> String {
        format!(
            "{} {} {}",
            self.method,
            self.target(),
            self.version.as_str()
        )
    }

    /// Whether the peer waits for `100 Continue` before it sends the body (RFC 9110 section
    /// 10.1.1: to be ignored in HTTP/1.0).
    pub fn expects_continue(&self) -> bool {
        let expected = self.headers.find("expect").unwrap_or_default();
        let is_old = matches!(self.version, Version::Http10 | Version::Ice10);
        !is_old && expected.eq_ignore_ascii_case(b"100-continue")
    }

    /// Whether another request may follow on the connection once the body was read to its end
    /// (RFC 9112 section 9.3); streams of HTTP/2 and 3 do not hold up one another.
    pub fn keep_alive(&self) -> bool {
        let says = |option: &str| self.headers.has_token("connection", option);
        match (self.framing, self.version) {
            (_, Version::Http2 | Version::Http3) => true,
            (BodyFraming::UntilClose, _) | (_, Version::Ice10) => false,
            (_, Version::Http11) => !says("close"),
            (_, Version::Http10) => says("keep-alive") && !says("close"),
        }
    }
}

/// The header lines of a head, in their order.
#[derive(Clone, PartialEq, Eq)]
pub struct Headers {
    pub(crate) head: Bytes,
    pub(crate) fields: Vec<Field>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: Span,
    pub(crate) value: Span,
}

impl Headers {
    /// The value of the first line named `name` (any case), without white space around it.
    pub fn find(&self, name: &str) -> Option<&[u8]> {
        self.iter()
            .find(|(at, _)| at.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The values of all lines named `name` (any case), in their order.
    pub fn find_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter()
            .filter(move |(at, _)| at.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The first value of `name`, where it is valid UTF-8.
    pub fn find_text(&self, name: &str) -> Option<&str> {
        self.find(name)
            .and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The first value of `name` as a slice of the receive buffer, without a copy.
    pub fn find_bytes(&self, name: &str) -> Option<Bytes> {
        self.find(name).map(|value| self.head.slice_ref(value))
    }

    /// Whether one of the comma-separated members of `name` is `token` (any case).
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.find_all(name).any(|value| {
            let mut members = value.split(|&byte| byte == b',');
            members.any(|member| member.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
        })
    }

    /// The length that they announce for the body (RFC 9110 section 8.6): `1*DIGIT`, once. A list
    /// of equal values would be legal and is refused.
    pub(crate) fn content_length(&self) -> Result<Option<u64>, BadRequest> {
        let mut values = self.find_all("content-length");
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(BadRequest::malformed("more than one Content-Length"));
        }
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Err(BadRequest::malformed("Content-Length is no number"));
        }
        let length = std::str::from_utf8(value)
            .ok()
            .and_then(|digits| digits.parse().ok());
        length
            .map(Some)
            .ok_or(BadRequest::new(413, "Content-Length is too large"))
    }

    /// Names as they were sent, with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields
            .iter()
            .map(|field| (field.name.text(&self.head), field.value.of(&self.head)))
    }

    /// The number of lines.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is no line.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

impl fmt::Debug for Headers {
    /// Names only: values hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|(name, _)| name))
            .finish()
    }
}
