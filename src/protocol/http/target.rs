//! What a request is for: path, query, authority (RFC 9112 section 3.2, RFC 3986).

use memchr::memchr;

use super::error::BadRequest;
use super::request::{Method, Span};

/// A request target, taken apart.
pub(crate) struct Target {
    pub(crate) whole: Span,
    pub(crate) query: Option<Span>,
    pub(crate) authority: Option<Span>,
    pub(crate) path: Box<str>,
}

/// RFC 9112 section 3.2: origin-form, absolute-form, and `*` for OPTIONS. `start` is the target's
/// place in the head.
pub(crate) fn parse_target(
    method: Method,
    target: &[u8],
    start: usize,
) -> Result<Target, BadRequest> {
    let bad = BadRequest::malformed("bad request target");
    let text = std::str::from_utf8(target).map_err(|_| bad)?;
    if text
        .bytes()
        .any(|byte| byte <= b' ' || byte == 0x7f || byte == b'#')
    {
        return Err(bad);
    }
    let whole = Span::new(start, start + text.len());
    if text == "*" {
        let path = Box::from("*");
        let target = Target {
            whole,
            query: None,
            authority: None,
            path,
        };
        return if method == Method::Options {
            Ok(target)
        } else {
            Err(bad)
        };
    }
    let (authority, rest_at) = if text.starts_with('/') {
        (None, 0)
    } else {
        let (from, to) = authority(text).ok_or(bad)?;
        (Some(Span::new(start + from, start + to)), to)
    };
    let rest = text.get(rest_at..).unwrap_or_default();
    let (path, query) = match rest.split_once('?') {
        None => (rest, None),
        Some((path, query)) => {
            let from = start + text.len() - query.len();
            (path, Some(Span::new(from, from + query.len())))
        }
    };
    let path = if path.is_empty() { "/" } else { path };
    Ok(Target {
        whole,
        query,
        authority,
        path: decode_path(path)?,
    })
}

/// The place of the authority in an absolute-form target (RFC 3986 section 3.2, without the user
/// information that RFC 9110 section 4.2.4 forbids).
fn authority(target: &str) -> Option<(usize, usize)> {
    let (scheme, rest) = target.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let length = rest.find(['/', '?']).unwrap_or(rest.len());
    let from = scheme.len() + 3;
    let host = rest.get(..length)?;
    (!host.is_empty() && is_host(host.as_bytes())).then_some((from, from + length))
}

/// RFC 3986 section 2.1, strictly: every `%` is an escape, the result is UTF-8 and has no control
/// characters.
fn decode_path(path: &str) -> Result<Box<str>, BadRequest> {
    let bad = BadRequest::malformed("bad path");
    let mut pieces = path.split('%');
    pieces.next();
    let escaped = |piece: &str| {
        piece
            .as_bytes()
            .get(..2)
            .is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit))
    };
    if !pieces.all(escaped) {
        return Err(bad);
    }
    let decoded = percent_encoding::percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| bad)?;
    if decoded.chars().any(char::is_control) {
        Err(bad)
    } else {
        Ok(Box::from(decoded))
    }
}

/// RFC 9110 section 7.2: a host and perhaps a port, as RFC 3986 section 3.2 writes them. An empty
/// one is allowed.
pub(crate) fn is_host(host: &[u8]) -> bool {
    let of_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(byte);
    let of_literal = |byte: &u8| byte.is_ascii_hexdigit() || b":.".contains(byte);
    let (is_name, port) = match host.strip_prefix(b"[") {
        Some(literal) => {
            let Some(end) = memchr(b']', literal) else {
                return false;
            };
            let (address, port) = literal.split_at(end);
            let port = port.get(1..).unwrap_or_default();
            (address.iter().all(of_literal), port)
        }
        None => {
            let (name, port) = host.split_at(memchr(b':', host).unwrap_or(host.len()));
            (name.iter().all(of_name), port)
        }
    };
    let is_port = match port.split_first() {
        None => true,
        Some((first, digits)) => *first == b':' && digits.iter().all(u8::is_ascii_digit),
    };
    is_name && is_port
}

/// RFC 9110 section 5.6.2.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_and_perhaps_a_port() {
        for good in [
            "",
            "a",
            "a.example",
            "a.example:80",
            "a:",
            "127.0.0.1:8000",
            "[::1]",
            "[::1]:8000",
            "x_y-z~1",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "a b",
            "a,b",
            "a:80:81",
            "a:port",
            "a:-1",
            "[::1",
            "::1",
            "[::1]8000",
            "[::1]x:1",
            "[g]",
            "a]",
            "%00",
            "user@a",
            "a/b",
            "a?b",
            "a\\b",
            "a\u{e9}",
            "a\0",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }
}
