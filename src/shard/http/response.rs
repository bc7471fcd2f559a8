//! Answers, before any version of HTTP frames them.

use std::rc::Rc;
use std::time::SystemTime;

use bytes::Bytes;
use corecast_config::Config;
use corecast_media::name::MountName;
use corecast_protocol::http::fields::http_date;
use corecast_protocol::http::{Fields, Version};
use corecast_protocol::http1::ResponseVersion;

use super::control::ControlBody;
use super::exchange::Front;
use crate::admission::Refused;
use crate::driver::Shard;
use crate::joining::Joining;

/// What `Server` says.
pub(crate) const SERVER: &str = concat!("corecast/", env!("CARGO_PKG_VERSION"));

/// What a peer gets that waits for leave to send its body.
pub(crate) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The version that goes with a request's.
pub(crate) fn version_for(version: Version) -> ResponseVersion {
    match version {
        Version::Http11 | Version::Http2 | Version::Http3 => ResponseVersion::Http11,
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

/// An answer to a request, whatever version of HTTP carries it.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// All but `Date`, `Server` and what frames the body.
    pub(crate) fields: Fields,
    pub(crate) body: Body,
    /// Whether an HTTP/1 connection is of no use after it.
    pub(crate) last: bool,
    /// Whose it is, where it is one of the many of HLS.
    pub(crate) hls: Option<Box<Played>>,
    /// A drain gives it its time until it is sent.
    pub(crate) hold: Option<Answering>,
}

/// A piece of a mount's HLS. Its bytes are counted apart, and only failures have a line in the
/// access log, unless the settings want one for each.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) mount: MountName,
    /// The number of the player.
    pub(crate) player: u64,
}

/// What follows the head of an answer. Where HEAD was asked, and where the status has no body
/// (RFC 9110 section 6.4.1), the front end leaves it out.
#[derive(Debug)]
pub(crate) enum Body {
    /// These, one after the other.
    Pieces(Vec<Bytes>),
    /// Comes from control as it is made.
    Control(ControlBody),
    /// A mount's stream, without an end of its own.
    Reader(Joining),
}

impl Body {
    /// Its length in bytes, where it is known.
    pub(crate) fn length(&self) -> Option<u64> {
        match self {
            Body::Pieces(pieces) => Some(pieces.iter().map(|piece| piece.len() as u64).sum()),
            Body::Control(body) => body.length(),
            Body::Reader(_) => None,
        }
    }
}

/// Fields that only mean something for a connection of HTTP/1 (RFC 9113 section 8.2.2, RFC 9114
/// section 4.2), and the one that front ends say themselves.
const FRAMING_FIELDS: [&str; 6] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
];

/// The fields of an answer that goes on a stream of HTTP/2 or 3.
pub(crate) fn stream_fields(fields: &Fields) -> impl Iterator<Item = (&str, &[u8])> {
    let frames = |name: &str| {
        FRAMING_FIELDS
            .iter()
            .any(|own| name.eq_ignore_ascii_case(own))
    };
    fields.iter().filter(move |(name, _)| !frames(name))
}

/// Whether an answer of this status has no body (RFC 9110 section 6.4.1).
pub(crate) fn is_bodiless(status: u16) -> bool {
    status < 200 || status == 204 || status == 304
}

impl Response {
    /// An answer without a body yet.
    pub(crate) fn new(status: u16, fields: Fields) -> Self {
        Response {
            status,
            fields,
            body: Body::Pieces(Vec::new()),
            last: false,
            hls: None,
            hold: None,
        }
    }

    /// What `Content-Length` says, where it says anything. To HEAD and 304 it is the length of the
    /// answer that was not asked for (RFC 9110 section 8.6).
    pub(crate) fn told_length(&self) -> Option<u64> {
        let told = |length: &u64| *length > 0 || !is_bodiless(self.status);
        let length = self.body.length().filter(told)?;
        (self.status >= 200 && self.status != 204).then_some(length)
    }

    /// A short answer in plain text.
    pub(crate) fn plain(status: u16, text: &str) -> Self {
        let fields = Fields::with_capacity(256)
            .with("Content-Type", "text/plain; charset=utf-8")
            .with("Cache-Control", "no-store")
            .with("Access-Control-Allow-Origin", "*");
        let mut response = Response::new(status, fields);
        response.body = Body::Pieces(vec![Bytes::from(format!("{text}\n"))]);
        response
    }

    /// The answer to somebody who got no leave.
    pub(crate) fn refusal(refused: &Refused) -> Self {
        let mut response = Response::plain(refused.status, &refused.text);
        if let Some((name, value)) = &refused.extra {
            response.fields.push(name, value.as_bytes());
        }
        response
    }

    /// Adds what every answer has.
    pub(crate) fn complete(&mut self, front: Front, config: &Config) {
        let fields = &mut self.fields;
        if !fields.has("date") {
            fields.push("Date", http_date(unix_seconds()));
        }
        if !fields.has("server") {
            fields.push("Server", SERVER);
        }
        if let Some(port) = front.http3_port {
            // RFC 7838: for a day, on whatever network.
            fields.push("Alt-Svc", format!("h3=\":{port}\"; ma=86400"));
        }
        if front.secure && config.tls.hsts_seconds > 0 {
            let seconds = config.tls.hsts_seconds;
            fields.push("Strict-Transport-Security", format!("max-age={seconds}"));
        }
    }

    /// The same with one more field.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push(name, value);
        self
    }

    /// The same, and the connection ends with it.
    pub(crate) fn last(mut self) -> Self {
        self.last = true;
        self
    }
}

/// An answer on its way, or a source that is to be told of its end: a drain gives it its time.
pub(crate) struct Answering(Rc<Shard>);

impl Answering {
    pub(crate) fn new(shard: &Rc<Shard>) -> Self {
        shard.answering.set(shard.answering.get() + 1);
        Answering(Rc::clone(shard))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answering.set(self.0.answering.get() - 1);
    }
}

impl std::fmt::Debug for Answering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answering")
    }
}
