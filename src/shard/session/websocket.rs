//! The opening handshake of a WebSocket (RFC 6455 section 4.2). What goes out then are messages
//! that were framed once for all readers; what the client says is not listened to, since it has
//! nothing to say but that it closes, and then its connection ends too.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use corecast_protocol::http1::{Method, Request};
use sha1::{Digest, Sha1};

use crate::http::response::SERVER;

/// What the key is joined with (RFC 6455 section 1.3).
const SEAL: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The bytes of a key: 16 in base64.
const KEY_BYTES: usize = 24;

/// The key of a request that asks for a WebSocket in a version that we speak.
pub(crate) fn websocket_key(request: &Request) -> Option<&[u8]> {
    let headers = request.headers();
    let upgrade = headers.find("upgrade")?;
    let version = headers.find("sec-websocket-version")?;
    let key = headers.find("sec-websocket-key")?;
    let asks = request.method() == Method::Get
        && upgrade.eq_ignore_ascii_case(b"websocket")
        && version == b"13"
        && key.len() == KEY_BYTES;
    asks.then_some(key)
}

/// The answer after which both speak WebSocket.
pub(crate) fn upgrade_head(key: &[u8]) -> Bytes {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(SEAL);
    let accept = STANDARD.encode(hash.finalize());
    let mut out = BytesMut::with_capacity(256);
    out.put_slice(b"HTTP/1.1 101 Switching Protocols\r\nServer: ");
    out.put_slice(SERVER.as_bytes());
    out.put_slice(b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ");
    out.put_slice(accept.as_bytes());
    out.put_slice(b"\r\n\r\n");
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_is_answered_as_there() {
        let head = upgrade_head(b"dGhlIHNhbXBsZSBub25jZQ==");
        let text = String::from_utf8_lossy(&head);
        assert!(text.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert!(text.starts_with("HTTP/1.1 101 ") && text.ends_with("\r\n\r\n"));
    }
}
