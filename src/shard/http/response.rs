//! Answers that the shard gives itself.

use std::time::SystemTime;

use bytes::{BufMut, BytesMut};
use corecast_protocol::http1::{Request, ResponseHead, ResponseVersion, Version};

use crate::admission::Refused;

/// What `Server` says.
pub(crate) const SERVER: &str = concat!("corecast/", env!("CARGO_PKG_VERSION"));

/// What a peer gets that waits for leave to send its body.
pub(crate) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The version that goes with a request's.
pub(crate) fn version_for(version: Version) -> ResponseVersion {
    match version {
        Version::Http11 => ResponseVersion::Http11,
        Version::Http10 | Version::Ice10 => ResponseVersion::Http10,
    }
}

/// What the wall clock said at `started`, in milliseconds since 1970.
pub(crate) fn unix_origin_ms(started: std::time::Instant) -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let origin = now.unwrap_or_default().saturating_sub(started.elapsed());
    u64::try_from(origin.as_millis()).unwrap_or(u64::MAX)
}

/// Seconds since 1970, for `Date`.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// A short answer in plain text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain<'a> {
    pub(crate) status: u16,
    pub(crate) text: &'a str,
    /// One more header line.
    pub(crate) extra: Option<(&'a str, &'a str)>,
    pub(crate) version: ResponseVersion,
    pub(crate) keep_alive: bool,
    /// Whether the body is left out (HEAD).
    pub(crate) head_only: bool,
}

impl<'a> Plain<'a> {
    /// An answer to `request`.
    pub(crate) fn to(request: &Request, status: u16, text: &'a str) -> Self {
        Plain {
            status,
            text,
            extra: None,
            version: version_for(request.version()),
            keep_alive: request.keep_alive(),
            head_only: request.method() == corecast_protocol::http1::Method::Head,
        }
    }

    /// The answer to `request` of somebody who got no leave.
    pub(crate) fn refusal(request: &Request, refused: &'a Refused) -> Self {
        let mut answer = Plain::to(request, refused.status, &refused.text);
        answer.extra = refused
            .extra
            .as_ref()
            .map(|(name, value)| (*name, &**value));
        answer
    }

    /// The same where the connection ends with it.
    pub(crate) fn last_refusal(request: &Request, refused: &'a Refused) -> Self {
        Plain {
            keep_alive: false,
            ..Plain::refusal(request, refused)
        }
    }

    /// An answer to somebody whose request could not be read.
    pub(crate) fn to_nobody(status: u16, text: &'a str) -> Self {
        Plain {
            status,
            text,
            extra: None,
            version: ResponseVersion::Http11,
            keep_alive: false,
            head_only: false,
        }
    }

    /// The answer as bytes.
    pub(crate) fn render(self) -> BytesMut {
        let mut out = BytesMut::with_capacity(256 + self.text.len());
        let body_len = self.text.len() as u64 + 1;
        let mut head = ResponseHead::start(&mut out, self.version, self.status)
            .date(unix_seconds())
            .header("Server", SERVER)
            .header("Content-Type", "text/plain; charset=utf-8")
            .header_number("Content-Length", body_len)
            .header("Cache-Control", "no-store")
            .header("Access-Control-Allow-Origin", "*");
        if let Some((name, value)) = self.extra {
            head = head.header(name, value);
        }
        head.header(
            "Connection",
            if self.keep_alive {
                "keep-alive"
            } else {
                "close"
            },
        )
        .finish();
        if !self.head_only {
            out.put_slice(self.text.as_bytes());
            out.put_u8(b'\n');
        }
        out
    }
}
