//! Requests of our own to other people's HTTP servers, which may hang, lie and die.
//!
//! A request has one time limit for everything, its answer a bounded head. The body of an answer to
//! a form says nothing to us and is only read so that the other side can finish it; any other one
//! has a bound that its reader names.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use form_urlencoded::Serializer;
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, request};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::percent_decode_str;
use tokio::time::{Instant, timeout_at};

/// The most bytes in the head of an answer; what is longer is no answer.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The most bytes of an answer's body that are read.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What we say that we are.
pub(crate) const AGENT: &str = concat!("corecast/", env!("CARGO_PKG_VERSION"));

/// Sends requests. Cheap to clone. Lives on: the control plane.
#[derive(Clone, Debug)]
pub(crate) struct Client(legacy::Client<HttpConnector, Full<Bytes>>);

/// User name and password for the other side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Login<'a> {
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
}

impl Login<'_> {
    fn said(self) -> String {
        format!("{}:{}", self.user, self.password)
    }
}

/// The head of an answer, and its body on the way.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) headers: HeaderMap,
    body: Incoming,
    until: Instant,
}

/// An answer with its whole body.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The time was over.
    Late,
    /// No connection, or no answer that HTTP knows.
    Broken(String),
}

impl Failure {
    /// The label in metrics.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Failure::Late => "late",
            Failure::Broken(_) => "failed",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Late => f.write_str("no answer in time"),
            Failure::Broken(why) => f.write_str(why),
        }
    }
}

impl Client {
    pub(crate) fn new() -> Self {
        let client = legacy::Client::builder(TokioExecutor::new())
            // A connection that was kept may be dead: a question has no second try.
            .pool_max_idle_per_host(0)
            .retry_canceled_requests(false)
            .http1_max_buf_size(HEAD_BYTES_MAX)
            .build_http();
        Client(client)
    }

    /// Sends `form` to `url` and waits for the head of the answer, `limit` for all of it.
    pub(crate) async fn post(
        &self,
        url: &str,
        login: Option<Login<'_>>,
        form: String,
        limit: Duration,
    ) -> Result<Reply, Failure> {
        let until = Instant::now() + limit;
        let request = request::Builder::new()
            .method(Method::POST)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = self.send(request, url, login, Bytes::from(form), until);
        let (head, body) = answer.await?.into_parts();
        Ok(Reply {
            headers: head.headers,
            body,
            until,
        })
    }

    /// Asks for `url`, with one header of ours, and reads the answer to its end, `limit` for all of
    /// it. A body of more than `bytes_max` bytes is no answer.
    pub(crate) async fn get(
        &self,
        url: &str,
        login: Option<Login<'_>>,
        (name, value): (&str, &str),
        bytes_max: usize,
        limit: Duration,
    ) -> Result<Page, Failure> {
        let until = Instant::now() + limit;
        let request = request::Builder::new().header(name, value);
        let answer = self.send(request, url, login, Bytes::new(), until);
        let (head, body) = answer.await?.into_parts();
        let whole = Limited::new(body, bytes_max).collect();
        match timeout_at(until, whole).await {
            Ok(Ok(body)) => Ok(Page {
                status: head.status,
                headers: head.headers,
                body: body.to_bytes(),
            }),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let why = format!("the answer has more than {bytes_max} bytes");
                Err(Failure::Broken(why))
            }
            Ok(Err(error)) => Err(Failure::Broken(error.to_string())),
            Err(_) => Err(Failure::Late),
        }
    }

    async fn send(
        &self,
        request: request::Builder,
        url: &str,
        login: Option<Login<'_>>,
        body: Bytes,
        until: Instant,
    ) -> Result<Response<Incoming>, Failure> {
        let (uri, own) = target(url).ok_or_else(|| Failure::Broken("no good URL".to_owned()))?;
        let login = login.map_or(own, |login| Some(login.said()));
        let mut request = request.uri(uri).header(USER_AGENT, AGENT);
        if let Some(authorization) = login.and_then(basic) {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| Failure::Broken(error.to_string()))?;
        match timeout_at(until, self.0.request(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Failure::Broken(reason(&error))),
            Err(_) => Err(Failure::Late),
        }
    }
}

impl Reply {
    /// The first header of this name, as text; what is no ASCII becomes U+FFFD.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let value = self.headers.get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).trim().to_owned())
    }

    /// Reads the body to its end, within the request's time and a bound: a script on the other
    /// side may be stopped by a connection that closes before it is done.
    pub(crate) async fn finish(mut self) {
        let mut read = 0;
        while read < BODY_BYTES_MAX {
            match timeout_at(self.until, self.body.frame()).await {
                Ok(Some(Ok(frame))) => read += frame.data_ref().map_or(0, Bytes::len),
                _ => return,
            }
        }
    }
}

/// Where a URL leads, and what stands before its `@`, decoded.
fn target(url: &str) -> Option<(Uri, Option<String>)> {
    let rest = url.strip_prefix("http://")?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (login, host) = match authority.rsplit_once('@') {
        Some((login, host)) => (Some(login), host),
        None => (None, authority),
    };
    let slash = if path.starts_with('/') { "" } else { "/" };
    let uri: Uri = format!("http://{host}{slash}{path}").parse().ok()?;
    let authority = uri.authority()?;
    // A port that is no number is no port to the parser, and so would be port 80.
    if authority.port_u16().is_none() && authority.as_str() != authority.host() {
        return None;
    }
    let decoded = |login| percent_decode_str(login).decode_utf8_lossy().into_owned();
    Some((uri, login.map(decoded)))
}

/// A URL as logs show it: without what may be a secret.
pub(crate) fn shown(url: &str) -> &str {
    let start = url.find('?').unwrap_or(url.len());
    let (plain, _) = url.split_at(start);
    plain.rsplit_once('@').map_or(plain, |(_, host)| host)
}

fn basic(login: String) -> Option<HeaderValue> {
    let mut value =
        HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(login))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The whole chain of reasons; the first alone says little.
pub(crate) fn reason(error: &legacy::Error) -> String {
    let mut told = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        told = format!("{told}: {cause}");
        source = cause.source();
    }
    told
}

/// A form's body; every value is encoded, wherever it comes from.
pub(crate) fn form(pairs: &[(&str, &str)]) -> String {
    Serializer::new(String::new()).extend_pairs(pairs).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let parts = |url: &str| target(url).map(|(uri, login)| (uri.to_string(), login));
        for (url, uri, login) in [
            ("http://a", "http://a/", None),
            ("http://a:81?x=@y", "http://a:81/?x=@y", None),
            (
                "http://me:p%40w@[::1]:8/p",
                "http://[::1]:8/p",
                Some("me:p@w".to_owned()),
            ),
        ] {
            assert_eq!(parts(url), Some((uri.to_owned(), login)), "{url}");
        }
        for bad in ["https://a/", "http://", "http://a:b/", "a", "http://a/\n"] {
            assert_eq!(parts(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_log_shows_no_password_of_a_url() {
        assert_eq!(shown("http://me:pw@host:8/path?token=x@y"), "host:8/path");
        assert_eq!(shown("http://host/"), "http://host/");
    }

    #[test]
    fn a_form_holds_whatever_text_there_is() {
        let form = form(&[("st", "a&b=c d\r\n\u{e9}"), ("action", "touch")]);
        assert_eq!(form, "st=a%26b%3Dc+d%0D%0A%C3%A9&action=touch");
    }
}
