//! The opening handshake of a WebSocket (RFC 6455 section 4.2). What goes out then are messages
//! that were framed once for all readers; what the client says is not listened to, since it has
//! nothing to say but that it closes, and then its connection ends too.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use corecast_protocol::http::{Fields, Method, Request};
use sha1::{Digest, Sha1};

use crate::http::response::Response;

/// What the key is joined with (RFC 6455 section 1.3).
const SEAL: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The bytes of a key: 16 in base64.
const KEY_BYTES: usize = 24;

/// How a request asks for a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wished<'r> {
    /// By an upgrade of its connection; the key that proves that the answer is meant.
    Upgrade(&'r [u8]),
    /// By an extended CONNECT, for its stream (RFC 8441 section 5).
    Connect,
}

/// Whether `request` asks for a WebSocket in a version that we speak.
pub(crate) fn wish(request: &Request) -> Option<Wished<'_>> {
    if let Some(protocol) = request.protocol() {
        return (protocol == "websocket").then_some(Wished::Connect);
    }
    let headers = request.headers();
    let upgrade = headers.find("upgrade")?;
    let version = headers.find("sec-websocket-version")?;
    let key = headers.find("sec-websocket-key")?;
    let asks = request.method() == Method::Get
        && upgrade.eq_ignore_ascii_case(b"websocket")
        && version == b"13"
        && key.len() == KEY_BYTES;
    asks.then_some(Wished::Upgrade(key))
}

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
    use super::*;

    #[test]
    fn the_example_of_the_rfc_is_answered_as_there() {
        let response = Wished::Upgrade(b"dGhlIHNhbXBsZSBub25jZQ==").accept();
        let lines = String::from_utf8_lossy(response.fields.lines());
        assert!(lines.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert_eq!(
            (response.status, Wished::Connect.accept().status),
            (101, 200)
        );
    }
}
