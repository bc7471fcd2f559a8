//! The opening handshake of a WebSocket (RFC 6455 section 4.2). What goes out then are messages
//! that were framed once for all readers, and answers to what the client says
//! ([`crate::net::websocket`]).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use corecast_protocol::http::{Fields, Method, Request, Version};
use sha1::{Digest, Sha1};

use crate::http::response::Response;

/// What the key is joined with (RFC 6455 section 1.3).
const SEAL: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The bytes that a key stands for.
const KEY_BYTES: usize = 16;

/// The version that we speak.
const VERSION: &str = "13";

/// How a request asks for a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wished<'r> {
    /// By an upgrade of its connection; the key that proves that the answer is meant.
    Upgrade(&'r [u8]),
    /// By an extended CONNECT, for its stream (RFC 8441 section 5).
    Connect,
}

/// How `request` asks for a WebSocket, if it does.
///
/// # Errors
/// The answer, where it does so in a way that is not ours.
pub(crate) fn wish(request: &Request) -> Result<Option<Wished<'_>>, Response> {
    let headers = request.headers();
    let version = headers.find("sec-websocket-version");
    let ours = |version: &[u8]| version == VERSION.as_bytes();
    if let Some(protocol) = request.protocol() {
        if protocol != "websocket" {
            return Ok(None);
        }
        // There is no upgrade of a stream to ask for.
        let good = version.is_none_or(ours);
        let refusal = || Response::plain(400, SPEAKS).with("Sec-WebSocket-Version", VERSION);
        return good.then_some(Some(Wished::Connect)).ok_or_else(refusal);
    }
    let names = |field: &str, wanted: &str| {
        let mut lines = headers.find_all(field);
        lines.any(|line| {
            let mut words = line.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
            words.any(|word| word.eq_ignore_ascii_case(wanted.as_bytes()))
        })
    };
    let asks = request.method() == Method::Get
        && request.version() == Version::Http11
        && names("upgrade", "websocket")
        && names("connection", "upgrade");
    if !asks {
        return Ok(None);
    }
    if !version.is_some_and(ours) {
        // RFC 6455 section 4.4, RFC 9110 section 15.5.22.
        let response = Response::plain(426, SPEAKS).with("Upgrade", "websocket");
        return Err(response.with("Sec-WebSocket-Version", VERSION).last());
    }
    let key = headers.find("sec-websocket-key").filter(|key| {
        let bytes = STANDARD.decode(key);
        bytes.is_ok_and(|bytes| bytes.len() == KEY_BYTES)
    });
    match key {
        Some(key) => Ok(Some(Wished::Upgrade(key))),
        None => Err(Response::plain(400, "a WebSocket needs a key of 16 bytes").last()),
    }
}

const SPEAKS: &str = "version 13 of WebSocket is spoken here";

impl Wished<'_> {
    /// The answer after which both speak WebSocket.
    pub(crate) fn accept(self) -> Response {
        let Wished::Upgrade(key) = self else {
            return Response::new(200, Fields::default());
        };
        let mut hash = Sha1::new();
        hash.update(key);
        hash.update(SEAL);
        let fields = Fields::with_capacity(128)
            .with("Upgrade", "websocket")
            .with("Connection", "Upgrade")
            .with("Sec-WebSocket-Accept", STANDARD.encode(hash.finalize()));
        Response::new(101, fields)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use corecast_protocol::http::Limits;
    use corecast_protocol::http1::{Parse, parse_request};

    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    #[test]
    fn the_example_of_the_rfc_is_answered_as_there() {
        let response = Wished::Upgrade(KEY.as_bytes()).accept();
        let lines = String::from_utf8_lossy(response.fields.lines());
        assert!(lines.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert_eq!(
            (response.status, Wished::Connect.accept().status),
            (101, 200)
        );
    }

    /// What becomes of a request: 101, the status of a refusal, or 200 where it asks for nothing.
    fn status_for(line: &str, fields: &[(&str, &str)]) -> u16 {
        let fields = fields
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"));
        let head = format!("{line}\r\nHost: t\r\n{}\r\n", fields.collect::<String>());
        match parse_request(&Bytes::from(head), &Limits::default()).expect("a good head") {
            Parse::Done { request, .. } => match wish(&request) {
                Ok(Some(wished)) => wished.accept().status,
                Ok(None) => 200,
                Err(response) => response.status,
            },
            Parse::Incomplete => panic!("{line} is whole"),
        }
    }

    #[test]
    fn only_a_whole_wish_is_one() {
        let good = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", KEY),
        ];
        let with = |at: usize, value| {
            let mut fields = good;
            fields[at].1 = value;
            status_for("GET /live.flv HTTP/1.1", &fields)
        };
        for (at, value, status) in [
            (0, "WebSocket", 101),
            (0, "h2c, websocket", 101),
            (0, "h2c", 200),
            (1, "keep-alive, upgrade", 101),
            (1, "keep-alive", 200),
            (2, "8", 426),
            (2, "", 426),
            (3, "c2hvcnQ=", 400),
            (3, "not base64 of anything!!", 400),
        ] {
            assert_eq!(with(at, value), status, "{at} {value}");
        }
        assert_eq!(status_for("GET /live.flv HTTP/1.1", &good[..3]), 400);
        assert_eq!(status_for("HEAD /live.flv HTTP/1.1", &good), 200);
        assert_eq!(status_for("GET /live.flv HTTP/1.0", &good), 200);
    }
}
