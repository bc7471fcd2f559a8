//! Where a client wants to go: what `connect`, `publish` and `play` say, and URLs.

use std::fmt;

use super::limits::{NAME_BYTES_MAX, QUERY_BYTES_MAX, TEXT_BYTES_MAX};
use crate::text;

/// Splits at the first `?`.
pub(super) fn split_query(text: &str) -> (&str, &str) {
    text.split_once('?').unwrap_or((text, ""))
}

/// A name without slashes around it, where it is clean and not too long.
pub(super) fn name(text: &str) -> Option<&str> {
    let name = text.trim_matches('/');
    let clean = name.len() <= NAME_BYTES_MAX && !name.contains(char::is_control);
    clean.then_some(name)
}

/// What clients put before the names of files, by the endings of their URLs.
const FILE_KINDS: [&str; 4] = ["flv:", "mp4:", "f4v:", "mp3:"];

/// The name of a stream, where it is clean and not too long.
pub(super) fn stream(text: &str) -> Option<&str> {
    let mut kinds = FILE_KINDS.iter();
    name(
        kinds
            .find_map(|kind| text.strip_prefix(kind))
            .unwrap_or(text),
    )
}

/// A text that is only shown.
pub(super) fn text(text: &str) -> String {
    text::clean(text, TEXT_BYTES_MAX)
}

/// Several queries as one, where they are clean and not too long.
pub(super) fn joined_query(queries: &[&str]) -> Option<String> {
    let queries: Vec<&str> = queries
        .iter()
        .map(|query| query.trim_matches(['?', '&']))
        .filter(|query| !query.is_empty())
        .collect();
    let joined = queries.join("&");
    let clean = joined.len() <= QUERY_BYTES_MAX && !joined.contains(char::is_control);
    clean.then_some(joined)
}

/// The first parameter of this name in a query, unescaped.
pub(super) fn parameter(query: &str, wanted: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == wanted)?;
    Some(text::percent_decode(value, true))
}

/// The host of a URL, without port, login and brackets; empty for none.
pub(super) fn host(url: &str) -> &str {
    let Some((_, rest)) = url.split_once("://") else {
        return "";
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    split_port(rest[..end].rsplit('@').next().unwrap_or_default()).0
}

/// Host and port; an IPv6 address stands in brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    if let Some(inner) = authority.strip_prefix('[') {
        let (host, rest) = inner.split_once(']').unwrap_or((inner, ""));
        return (host, rest.strip_prefix(':'));
    }
    match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    }
}

/// The address of a stream on another server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Whether it asks for TLS (`rtmps`).
    pub tls: bool,
    /// The host: a name or an address, without brackets.
    pub host: String,
    /// The port; 1935 where none is given, 443 with TLS.
    pub port: u16,
    /// The application, with its query where it has one.
    pub app: String,
    /// The stream's name, with its query where it has one.
    pub stream: String,
}

impl Url {
    /// Parses `rtmp://host:port/app/stream?query`. Of more than two names the last is the
    /// stream's; a query behind the first name is the application's, and the stream's name stands
    /// behind its last slash (`rtmp://host/app?vhost=a/stream`).
    ///
    /// # Errors
    /// What is wrong, in a few words.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        let (tls, rest) = match url.split_once("://") {
            Some(("rtmp", rest)) => (false, rest),
            Some(("rtmps", rest)) => (true, rest),
            _ => return Err("neither rtmp nor rtmps"),
        };
        if url.contains(|letter: char| letter.is_control() || letter == ' ') {
            return Err("characters that no URL has");
        }
        let (authority, path) = rest.split_once('/').ok_or("no application")?;
        if authority.contains('@') {
            return Err("a login, which RTMP does not have");
        }
        let (host, port) = split_port(authority);
        if host.is_empty() {
            return Err("no host");
        }
        let port = match port {
            None if tls => 443,
            None => 1935,
            Some(port) => port.parse().map_err(|_| "port is no number")?,
        };
        let path = path.trim_start_matches('/');
        let names = split_query(path).0;
        let border = match names.trim_end_matches('/').rfind('/') {
            Some(border) => border,
            None => path.rfind('/').ok_or("no stream")?,
        };
        let (app, stream) = (&path[..border], path[border..].trim_start_matches('/'));
        if app.is_empty() || stream.is_empty() {
            return Err("no stream");
        }
        if app.len().max(stream.len()) > QUERY_BYTES_MAX {
            return Err("too long");
        }
        Ok(Url {
            tls,
            host: host.to_owned(),
            port,
            app: app.to_owned(),
            stream: stream.to_owned(),
        })
    }

    /// The URL of the application, as `connect` says it.
    pub fn tc_url(&self) -> String {
        let scheme = if self.tls { "rtmps" } else { "rtmp" };
        let usual = if self.tls { 443 } else { 1935 };
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        let app = &self.app;
        if self.port == usual {
            format!("{scheme}://{host}/{app}")
        } else {
            format!("{scheme}://{host}:{}/{app}", self.port)
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tc_url(), self.stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_in_urls() {
        for (url, expected) in [
            ("rtmp://a.example/live", "a.example"),
            ("rtmp://a.example:1935/live?x=y", "a.example"),
            ("rtmp://[::1]:1935/live", "::1"),
            ("rtmp://u:p@a.example:1935", "a.example"),
            ("rtmp://a.example?vhost=b", "a.example"),
            ("a.example/live", ""),
            ("rtmp://", ""),
            ("", ""),
        ] {
            assert_eq!(host(url), expected, "{url}");
        }
    }

    #[test]
    fn urls_are_cut_into_application_and_stream() {
        for (url, app, stream, tc_url) in [
            ("rtmp://h/a/s", "a", "s", "rtmp://h/a"),
            ("rtmp://h:1936/a/s?t=1/2", "a", "s?t=1/2", "rtmp://h:1936/a"),
            ("rtmp://h/a/i/s", "a/i", "s", "rtmp://h/a/i"),
            (
                "rtmp://h/a?vhost=b/s",
                "a?vhost=b",
                "s",
                "rtmp://h/a?vhost=b",
            ),
            ("rtmps://h/a/s", "a", "s", "rtmps://h/a"),
            ("rtmp://[::1]:99/a/s", "a", "s", "rtmp://[::1]:99/a"),
            ("rtmp://h//a/s", "a", "s", "rtmp://h/a"),
        ] {
            let parsed = Url::parse(url).expect("the URL is good");
            assert_eq!((&*parsed.app, &*parsed.stream), (app, stream), "{url}");
            assert_eq!(parsed.tc_url(), tc_url);
        }
        assert_eq!(Url::parse("rtmp://h/a/s").map(|url| url.port), Ok(1935));
        assert_eq!(Url::parse("rtmps://h/a/s").map(|url| url.port), Ok(443));
        for bad in [
            "http://h/a/s",
            "rtmp://h",
            "rtmp://h/a",
            "rtmp://h/a/",
            "rtmp:///a/s",
            "rtmp://h:x/a/s",
            "rtmp://u@h/a/s",
            "rtmp://h/a/s\r\n",
        ] {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }
}
