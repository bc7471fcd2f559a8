//! HTTP/2, frame by frame (RFC 9113): a client that may say what none would.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::http;

/// What a connection begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a frame is.
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const PRIORITY: u8 = 2;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PUSH_PROMISE: u8 = 5;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}

/// The last frame of a stream, and the answer to settings and pings.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
/// No continuation follows.
pub(crate) const END_HEADERS: u8 = 4;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// The bytes of a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("frames of tests are short");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Fields as literals that go into no table (RFC 7541 section 6.2.2): any bytes may stand.
pub(crate) fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            bytes.extend(integer(text.len()));
            bytes.extend(*text);
        }
    }
    bytes
}

/// A length behind a prefix of seven bits.
fn integer(number: usize) -> Vec<u8> {
    let Some(mut rest) = number.checked_sub(127) else {
        return vec![u8::try_from(number).expect("less than 127")];
    };
    let mut bytes = vec![127];
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128 + 128).expect("less than 256"));
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).expect("less than 128"));
    bytes
}

/// The fields of a good request.
pub(crate) fn request<'a>(method: &'a str, path: &'a str) -> Vec<(&'a [u8], &'a [u8])> {
    vec![
        (b":method", method.as_bytes()),
        (b":scheme", b"http"),
        (b":authority", b"localhost"),
        (b":path", path.as_bytes()),
    ]
}

/// Why a connection ended, as its GOAWAY says: an error code.
pub(crate) type Error = u32;

/// Errors that tests ask for (RFC 9113 section 7).
pub(crate) mod error {
    pub(crate) const PROTOCOL: u32 = 1;
    pub(crate) const FLOW_CONTROL: u32 = 3;
    pub(crate) const STREAM_CLOSED: u32 = 5;
    pub(crate) const FRAME_SIZE: u32 = 6;
    pub(crate) const COMPRESSION: u32 = 9;
}

/// A connection by prior knowledge (`h2c`).
pub(crate) struct Http2 {
    stream: TcpStream,
    pending: Vec<u8>,
    /// The GOAWAY that came, if one did.
    pub(crate) goaway: Option<Error>,
    next: u32,
}

impl Http2 {
    /// Says the preface and `settings` (identifier, value).
    pub(crate) fn open(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let stream = http::connect(address).expect("the server takes connections");
        let mut connection = Http2 {
            stream,
            pending: Vec::new(),
            goaway: None,
            next: 1,
        };
        // Without a table each head says its status in words.
        let payload: Vec<u8> = [(1, 0)]
            .iter()
            .chain(settings)
            .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        connection.say(PREFACE);
        connection.say(&frame(kind::SETTINGS, 0, 0, &payload));
        connection
    }

    /// Sends bytes. A connection that ended takes none, which is told by [`Http2::read`].
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// As [`Http2::say`], but tells whether it could.
    pub(crate) fn try_say(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// A number for a stream that no request had.
    pub(crate) fn next_stream(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    /// Sends a request without a body; the number of its stream.
    pub(crate) fn ask(&mut self, path: &str) -> u32 {
        let stream = self.next_stream();
        let fields = block(&request("GET", path));
        let flags = END_STREAM | END_HEADERS;
        self.say(&frame(kind::HEADERS, flags, stream, &fields));
        stream
    }

    /// The next frame; none where the connection ended or `limit` passed. Answers settings and
    /// pings by itself.
    pub(crate) fn read(&mut self, limit: Duration) -> Option<Frame> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(frame) = self.take_frame() {
                if matches!(frame.kind, kind::SETTINGS | kind::PING) && frame.flags & ACK == 0 {
                    let payload = match frame.kind {
                        kind::PING => &frame.payload[..],
                        _ => &[],
                    };
                    self.say(&super::http2::frame(frame.kind, ACK, 0, payload));
                }
                if frame.kind == kind::GOAWAY {
                    let code = frame
                        .payload
                        .get(4..8)
                        .and_then(|code| code.try_into().ok());
                    self.goaway = code.map(u32::from_be_bytes);
                }
                return Some(frame);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let limited = self.stream.set_read_timeout(Some(left));
            limited.expect("never zero");
            let mut piece = [0; 65_536];
            match self.stream.read(&mut piece) {
                Ok(0) => return None,
                Ok(n) => self.pending.extend_from_slice(&piece[..n]),
                Err(error) if is_timeout(&error) => return None,
                Err(_) => return None,
            }
        }
    }

    fn take_frame(&mut self) -> Option<Frame> {
        let head: [u8; 9] = self.pending.get(..9)?.try_into().ok()?;
        let [high, mid, low, kind, flags, id @ ..] = head;
        let length = usize::from(high) << 16 | usize::from(mid) << 8 | usize::from(low);
        let payload = self.pending.get(9..9 + length)?.to_vec();
        self.pending.drain(..9 + length);
        Some(Frame {
            kind,
            flags,
            stream: u32::from_be_bytes(id) & 0x7fff_ffff,
            payload,
        })
    }

    /// Reads until `found` finds something; none where the connection ended or `limit` passed.
    pub(crate) fn read_until<T>(
        &mut self,
        limit: Duration,
        mut found: impl FnMut(&Frame) -> Option<T>,
    ) -> Option<T> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let frame = self.read(left)?;
            if let Some(found) = found(&frame) {
                return Some(found);
            }
        }
    }

    /// How stream `stream` was answered: a status that [`status`] knows, or the reset's code.
    pub(crate) fn answer(&mut self, stream: u32, limit: Duration) -> Option<Result<u16, Error>> {
        self.read_until(limit, |frame| match frame.kind {
            kind::HEADERS if frame.stream == stream => Some(Ok(status(frame))),
            kind::RST_STREAM if frame.stream == stream => {
                let code = frame.payload.get(..4)?.try_into().ok()?;
                Some(Err(u32::from_be_bytes(code)))
            }
            _ => None,
        })
    }

    /// Whether the server ends the connection within `limit`; what its GOAWAY said is in
    /// [`Http2::goaway`].
    pub(crate) fn ends(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while self
            .read(deadline.saturating_duration_since(Instant::now()))
            .is_some()
        {}
        let limited = self
            .stream
            .set_read_timeout(Some(Duration::from_millis(50)));
        limited.expect("never zero");
        match self.stream.read(&mut [0]) {
            Ok(n) => n == 0,
            Err(error) => !is_timeout(&error),
        }
    }
}

/// The status in a block of fields, where it is one of the static table or the first literal
/// without a code; 0 where it is not.
pub(crate) fn status(frame: &Frame) -> u16 {
    // A change of the table's size may stand first.
    let block = frame
        .payload
        .iter()
        .skip_while(|byte| **byte & 0xe0 == 0x20);
    let block: Vec<u8> = block.copied().collect();
    match block.as_slice() {
        [first @ 0x88..=0x8e, ..] => {
            [200, 204, 206, 304, 400, 404, 500][usize::from(first & 0x0f) - 8]
        }
        // The digits 0, 1 and 2 have codes of five bits, the others of six (RFC 7541, appendix B).
        [0x08 | 0x48, length, rest @ ..] if length & 0x80 != 0 => huffman_digits(rest),
        [0x08 | 0x48, 3, digits @ ..] => {
            let digits = digits
                .get(..3)
                .and_then(|digits| std::str::from_utf8(digits).ok());
            digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
        }
        _ => 0,
    }
}

fn huffman_digits(bytes: &[u8]) -> u16 {
    let bits = |at: usize, count: usize| {
        (at..at + count).fold(0, |sum, at| {
            let byte = bytes.get(at / 8).copied().unwrap_or(0xff);
            sum << 1 | u16::from(byte >> (7 - at % 8) & 1)
        })
    };
    let (mut at, mut number) = (0, 0);
    for _ in 0..3 {
        let short = bits(at, 5);
        if short < 3 {
            number = number * 10 + short;
            at += 5;
        } else {
            // 3 is 011001.
            number = number * 10 + (bits(at, 6).saturating_sub(0x19) + 3);
            at += 6;
        }
    }
    number
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

#[test]
fn statuses_are_read_from_blocks() {
    let of = |payload: &[u8]| {
        status(&Frame {
            kind: kind::HEADERS,
            flags: END_HEADERS,
            stream: 1,
            payload: payload.to_vec(),
        })
    };
    assert_eq!(of(&[0x88]), 200);
    assert_eq!(of(&[0x20, 0x8d]), 404);
    assert_eq!(of(b"\x48\x03431"), 431);
    // RFC 7541, C.6.1 and C.6.3: 302 and 307.
    assert_eq!(of(&[0x48, 0x82, 0x64, 0x02]), 302);
    assert_eq!(of(&[0x48, 0x83, 0x64, 0x0e, 0xff]), 307);
    assert_eq!(of(&[0x00]), 0);
}
