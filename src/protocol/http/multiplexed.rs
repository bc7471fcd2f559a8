//! Requests from the fields of HTTP/2 (RFC 9113 section 8.3) and HTTP/3 (RFC 9114 section 4.3).

use bytes::{BufMut, BytesMut};

use super::error::BadRequest;
use super::limits::{HEAD_BYTES_CAP, HEADER_COUNT_CAP, Limits};
use super::request::{BodyFraming, Field, Headers, Method, Request, Span, Version};
use super::target::{Target, is_host, is_token_byte, parse_target};

/// What stands in for the field's name and line end when its size is counted (RFC 9113 section
/// 6.5.2, RFC 9114 section 4.2.2).
const FIELD_OVERHEAD_BYTES: usize = 32;

/// Fields that only mean something for one connection (RFC 9113 section 8.2.2): a proxy that
/// passed them on could be made to see other requests than we do.
const CONNECTION_FIELDS: [&[u8]; 5] = [
    b"connection",
    b"keep-alive",
    b"proxy-connection",
    b"transfer-encoding",
    b"upgrade",
];

/// A request as HTTP/2 or 3 brings it, unchecked. The pseudo fields were taken out by the
/// machine, which refuses those that are unknown, doubled or late.
pub struct RequestFields<'a> {
    /// [`Version::Http2`] or [`Version::Http3`].
    pub version: Version,
    /// `:method`
    pub method: &'a [u8],
    /// `:scheme`
    pub scheme: Option<&'a [u8]>,
    /// `:authority`
    pub authority: Option<&'a [u8]>,
    /// `:path`
    pub path: Option<&'a [u8]>,
    /// `:protocol` of an extended CONNECT (RFC 8441 section 4, RFC 9220 section 3).
    pub protocol: Option<&'a [u8]>,
    /// The other fields, in their order.
    pub fields: &'a mut dyn Iterator<Item = (&'a [u8], &'a [u8])>,
    /// Whether the stream ends with the fields.
    pub ends: bool,
}

impl Request {
    /// Makes a checked request.
    ///
    /// # Errors
    /// [`BadRequest`] where it is malformed (RFC 9113 section 8.1.1), too large, or not served.
    pub fn from_fields(given: RequestFields<'_>, limits: &Limits) -> Result<Self, BadRequest> {
        let RequestFields {
            version,
            method,
            scheme,
            authority,
            path,
            protocol,
            fields,
            ends,
        } = given;
        if !method.iter().all(|&byte| is_token_byte(byte)) {
            return Err(BadRequest::malformed("bad method"));
        }
        let method = Method::parse_any(method).ok_or(BadRequest::new(501, "unknown method"))?;
        check_shape(method, scheme, protocol)?;
        let path = path.ok_or(BadRequest::malformed("no path"))?;
        if path.len() > limits.request_line_bytes_max {
            return Err(BadRequest::new(414, "path is too long"));
        }
        if !matches!(path.first(), Some(b'/' | b'*')) {
            return Err(BadRequest::malformed("bad path"));
        }
        let mut head = Head::new(limits);
        let path_at = head.text.len();
        head.push_text(path)?;
        let target: Target = parse_target(method, path, path_at)?;
        let authority = authority.map(|authority| {
            if authority.is_empty() || !is_host(authority) {
                return Err(BadRequest::malformed("bad authority"));
            }
            head.push_text(authority)
        });
        let authority = authority.transpose()?;
        let protocol = protocol
            .map(|protocol| head.push_text(protocol))
            .transpose()?;
        for (name, value) in fields {
            head.push_field(name, value)?;
        }
        let headers = head.finish();
        check_host(authority, &headers)?;
        let framing = framing(&headers, ends)?;
        Ok(Request {
            method,
            version,
            target: target.whole,
            query: target.query,
            authority,
            path: target.path,
            protocol,
            framing,
            headers,
        })
    }
}

/// RFC 9113 section 8.3.1: what each kind of request must have. A CONNECT without a protocol asks
/// for a tunnel, and we are no proxy.
fn check_shape(
    method: Method,
    scheme: Option<&[u8]>,
    protocol: Option<&[u8]>,
) -> Result<(), BadRequest> {
    match (method, protocol) {
        (Method::Connect, None) => Err(BadRequest::new(501, "no proxy here")),
        (Method::Source, _) => Err(BadRequest::new(501, "SOURCE is for HTTP/1")),
        (Method::Connect, Some(_)) | (_, None) => match scheme {
            Some(scheme) if scheme.eq_ignore_ascii_case(b"https") => Ok(()),
            Some(scheme) if scheme.eq_ignore_ascii_case(b"http") => Ok(()),
            Some(_) => Err(BadRequest::malformed("unknown scheme")),
            None => Err(BadRequest::malformed("no scheme")),
        },
        (_, Some(_)) => Err(BadRequest::malformed("a protocol without CONNECT")),
    }
}

/// RFC 9113 section 8.3.1: `Host` and `:authority` must not differ, and one of them must be there.
fn check_host(authority: Option<Span>, headers: &Headers) -> Result<(), BadRequest> {
    let mut hosts = headers.find_all("host");
    match (hosts.next(), hosts.next(), authority) {
        (_, Some(_), _) => Err(BadRequest::malformed("more than one Host")),
        (None, None, None) => Err(BadRequest::malformed("no authority")),
        (Some(host), None, _) if !is_host(host) => Err(BadRequest::malformed("bad Host")),
        (Some(host), None, Some(span)) if span.of(&headers.head) != host => {
            Err(BadRequest::malformed("Host is not the authority"))
        }
        _ => Ok(()),
    }
}

/// Where the body ends; the machine checks that `Content-Length` is its length.
fn framing(headers: &Headers, ends: bool) -> Result<BodyFraming, BadRequest> {
    match headers.content_length()? {
        Some(1..) if ends => Err(BadRequest::malformed("Content-Length without a body")),
        _ if ends => Ok(BodyFraming::None),
        Some(0) => Ok(BodyFraming::None),
        Some(length) => Ok(BodyFraming::Length(length)),
        None => Ok(BodyFraming::Chunked),
    }
}

/// A head that is being put together.
struct Head<'l> {
    limits: &'l Limits,
    text: BytesMut,
    fields: Vec<Field>,
    counted: usize,
    /// The crumbs of `cookie` (RFC 9113 section 8.2.3), which are one field to everybody else.
    cookie: BytesMut,
}

impl<'l> Head<'l> {
    fn new(limits: &'l Limits) -> Self {
        Head {
            limits,
            text: BytesMut::with_capacity(512),
            fields: Vec::with_capacity(16),
            counted: 0,
            cookie: BytesMut::new(),
        }
    }

    fn count(&mut self, bytes: usize) -> Result<(), BadRequest> {
        self.counted += bytes;
        if self.counted > self.limits.head_bytes_max.min(HEAD_BYTES_CAP) {
            return Err(BadRequest::new(431, "request head is too large"));
        }
        Ok(())
    }

    fn push_text(&mut self, text: &[u8]) -> Result<Span, BadRequest> {
        self.count(text.len())?;
        if !text.is_ascii() || text.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
            return Err(BadRequest::malformed("bad pseudo field"));
        }
        Ok(self.put(text))
    }

    fn put(&mut self, bytes: &[u8]) -> Span {
        let at = self.text.len();
        self.text.put_slice(bytes);
        Span::new(at, at + bytes.len())
    }

    fn push_field(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadRequest> {
        self.count(name.len() + value.len() + FIELD_OVERHEAD_BYTES)?;
        let lower = |byte: &u8| is_token_byte(*byte) && !byte.is_ascii_uppercase();
        if name.is_empty() || !name.iter().all(lower) {
            return Err(BadRequest::malformed("bad field name"));
        }
        let control = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f;
        let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        if value.iter().any(control) || blank(value.first()) || blank(value.last()) {
            return Err(BadRequest::malformed("bad field value"));
        }
        if CONNECTION_FIELDS.contains(&name) || (name == b"te" && value != b"trailers") {
            return Err(BadRequest::malformed("a field for HTTP/1 connections"));
        }
        if name == b"cookie" {
            if !self.cookie.is_empty() {
                self.cookie.put_slice(b"; ");
            }
            self.cookie.put_slice(value);
            return Ok(());
        }
        self.add_field(name, value)
    }

    fn add_field(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadRequest> {
        if self.fields.len() >= self.limits.header_count_max.min(HEADER_COUNT_CAP) {
            return Err(BadRequest::new(431, "too many headers"));
        }
        let field = Field {
            name: self.put(name),
            value: self.put(value),
        };
        self.fields.push(field);
        Ok(())
    }

    fn finish(mut self) -> Headers {
        let cookie = std::mem::take(&mut self.cookie);
        if !cookie.is_empty() {
            let field = Field {
                name: self.put(b"cookie"),
                value: self.put(&cookie),
            };
            self.fields.push(field);
        }
        Headers {
            head: self.text.freeze(),
            fields: self.fields,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request of these pseudo fields (empty: not there) and fields.
    fn request(
        [method, scheme, authority, path, protocol]: [&str; 5],
        fields: &[(&str, &str)],
        ends: bool,
    ) -> Result<Request, BadRequest> {
        let given = |text: &'static str| (!text.is_empty()).then_some(text.as_bytes());
        let leaked = |text: &str| -> &'static str { String::from(text).leak() };
        let mut iter = fields
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let fields = RequestFields {
            version: Version::Http2,
            method: method.as_bytes(),
            scheme: given(leaked(scheme)),
            authority: given(leaked(authority)),
            path: given(leaked(path)),
            protocol: given(leaked(protocol)),
            fields: &mut iter,
            ends,
        };
        Request::from_fields(fields, &Limits::default())
    }

    const GET: [&str; 5] = [
        "GET",
        "https",
        "radio.example:8443",
        "/live%20a?x=1&y=%41",
        "",
    ];

    #[test]
    fn a_request_reads_as_one_of_http_1() {
        let fields = [("user-agent", "t"), ("cookie", "a=1"), ("cookie", "b=2")];
        let request = request(GET, &fields, true).expect("it is good");
        assert_eq!(request.method(), Method::Get);
        assert_eq!(request.path(), "/live a");
        assert_eq!(request.target(), "/live%20a?x=1&y=%41");
        assert_eq!(request.query_value("y").as_deref(), Some("A"));
        assert_eq!(request.host(), "radio.example:8443");
        assert_eq!(request.headers().find_text("cookie"), Some("a=1; b=2"));
        assert_eq!(request.headers().find_text("user-agent"), Some("t"));
        assert_eq!(request.body_framing(), BodyFraming::None);
        assert_eq!(request.line(), "GET /live%20a?x=1&y=%41 HTTP/2");
        assert!(request.keep_alive() && !request.expects_continue());
    }

    #[test]
    fn a_body_has_its_length_or_ends_with_the_stream() {
        let post = ["POST", "https", "a", "/api", ""];
        let framing = |fields: &[(&str, &str)], ends| {
            request(post, fields, ends).map(|request| request.body_framing())
        };
        assert_eq!(framing(&[], false), Ok(BodyFraming::Chunked));
        assert_eq!(
            framing(&[("content-length", "7")], false),
            Ok(BodyFraming::Length(7))
        );
        assert_eq!(
            framing(&[("content-length", "0")], true),
            Ok(BodyFraming::None)
        );
        assert!(framing(&[("content-length", "7")], true).is_err());
        assert!(framing(&[("content-length", "+7")], false).is_err());
        let twice = [("content-length", "7"), ("content-length", "7")];
        assert!(framing(&twice, false).is_err());
    }

    #[test]
    fn an_extended_connect_says_what_it_wants_to_speak() {
        let connect = ["CONNECT", "https", "a", "/live.flv", "websocket"];
        let request = request(connect, &[], false).expect("it is good");
        assert_eq!(request.protocol(), Some("websocket"));
        assert_eq!(request.path(), "/live.flv");
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let bad = |pseudo: [&str; 5], fields: &[(&str, &str)]| {
            request(pseudo, fields, true).expect_err("it is bad").status
        };
        for (pseudo, status) in [
            (["GE T", "https", "a", "/", ""], 400),
            (["BREW", "https", "a", "/", ""], 501),
            (["CONNECT", "https", "a", "/", ""], 501),
            (["SOURCE", "https", "a", "/", ""], 501),
            (["GET", "", "a", "/", ""], 400),
            (["GET", "gopher", "a", "/", ""], 400),
            (["GET", "https", "", "/", ""], 400),
            (["GET", "https", "a b", "/", ""], 400),
            (["GET", "https", "u@a", "/", ""], 400),
            (["GET", "https", "a", "", ""], 400),
            (["GET", "https", "a", "live", ""], 400),
            (["GET", "https", "a", "*", ""], 400),
            (["GET", "https", "a", "/a b", ""], 400),
            (["GET", "https", "a", "/a\r\nb", ""], 400),
            (["GET", "https", "a", "/%zz", ""], 400),
            (["GET", "https", "a", "/%00", ""], 400),
            (["GET", "https", "a", "/", "websocket"], 400),
        ] {
            assert_eq!(bad(pseudo, &[]), status, "{pseudo:?}");
        }
        for field in [
            ("connection", "close"),
            ("keep-alive", "1"),
            ("proxy-connection", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("te", "gzip"),
            ("Upper", "case"),
            ("", "x"),
            ("a b", "x"),
            ("a:", "x"),
            ("a", " x"),
            ("a", "x\t"),
            ("a", "x\r\ny: z"),
            ("a", "\0"),
            ("host", "b"),
        ] {
            assert_eq!(bad(GET, &[field]), 400, "{field:?}");
        }
        let host = ("host", "radio.example:8443");
        assert!(request(GET, &[host, ("te", "trailers")], true).is_ok());
        assert_eq!(bad(GET, &[host, host]), 400);
        let long = "x".repeat(20_000);
        assert_eq!(bad(GET, &[("a", &long)]), 431);
        assert_eq!(
            bad(["GET", "https", "a", &format!("/{long}"), ""], &[]),
            414
        );
        assert_eq!(bad(GET, &[("a", "b"); 65]), 431);
    }
}
