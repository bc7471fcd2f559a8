//! Chunked bodies (RFC 9112 section 7.1), decoded in place.

use std::fmt;

use bytes::{Buf, Bytes};

use crate::http::target::is_token_byte;

/// The most bytes that the extensions of one body may have, over all its chunks: they carry
/// nothing for us, and without a bound they cost a peer nothing.
pub const EXTENSION_BYTES_MAX: usize = 4_096;

/// The most bytes of a body's trailers.
pub const TRAILER_BYTES_MAX: usize = 8_192;

/// The most hexadecimal digits of a chunk's size, leading zeros included.
pub const SIZE_DIGITS_MAX: u8 = 16;

/// Decodes one chunked body. Payload is handed out as slices of what was put in.
#[derive(Clone, Debug)]
pub struct ChunkedDecoder {
    state: State,
    extension_bytes: usize,
    trailer_bytes: usize,
}

/// What [`ChunkedDecoder::decode`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChunkedEvent {
    /// A piece of the body, never empty; there may be more in the input.
    Payload(Bytes),
    /// The body is over; what is left in the input does not belong to it.
    End,
    /// The input is used up.
    NeedMore,
}

/// Why a body is not well-formed. The connection is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadChunk(&'static str);

impl fmt::Display for BadChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bad HTTP chunk: {}", self.0)
    }
}

impl std::error::Error for BadChunk {}

/// Where in the body the decoder stands; every arrow is in [`ChunkedDecoder::on_byte`] except
/// those of `Payload`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a size, of which `digits` were read.
    Size { size: u64, digits: u8 },
    /// In an extension of a chunk of `size` bytes.
    Extension { size: u64 },
    /// After the CR of a size line.
    SizeLf { size: u64 },
    /// `left` bytes of payload are to come.
    Payload { left: u64 },
    /// After a chunk's payload.
    PayloadCr,
    /// After the CR behind a chunk's payload.
    PayloadLf,
    /// At the start of a trailer line, or of the empty line.
    TrailerStart,
    /// In the name of a trailer.
    TrailerName,
    /// In the value of a trailer.
    Trailer,
    /// After the CR of a trailer line.
    TrailerLf,
    /// After the CR of the empty line.
    LastLf,
    /// The body is over.
    End,
    /// The body is bad.
    Bad,
}

impl Default for ChunkedDecoder {
    fn default() -> Self {
        ChunkedDecoder::new()
    }
}

impl ChunkedDecoder {
    /// A decoder at the start of a body.
    pub fn new() -> Self {
        let state = State::Size { size: 0, digits: 0 };
        ChunkedDecoder {
            state,
            extension_bytes: 0,
            trailer_bytes: 0,
        }
    }

    /// Takes bytes off `input` until there is something to say. Call it until it says
    /// [`ChunkedEvent::NeedMore`] or [`ChunkedEvent::End`].
    ///
    /// # Errors
    /// [`BadChunk`] where the body breaks the grammar or a limit; again on every later call.
    pub fn decode(&mut self, input: &mut Bytes) -> Result<ChunkedEvent, BadChunk> {
        loop {
            match self.state {
                State::End => return Ok(ChunkedEvent::End),
                State::Bad => return Err(BadChunk("after an error")),
                _ if input.is_empty() => return Ok(ChunkedEvent::NeedMore),
                State::Payload { left } => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    let left = left - here as u64;
                    self.state = if left == 0 {
                        State::PayloadCr
                    } else {
                        State::Payload { left }
                    };
                    return Ok(ChunkedEvent::Payload(input.split_to(here)));
                }
                _ => {
                    self.state = self.on_byte(input.get_u8()).inspect_err(|_| {
                        self.state = State::Bad;
                    })?
                }
            }
        }
    }

    /// How many bytes of payload the present chunk announced that have not come.
    pub fn announced(&self) -> u64 {
        match self.state {
            State::Payload { left } => left,
            _ => 0,
        }
    }

    /// Whether the body is over.
    pub fn is_end(&self) -> bool {
        self.state == State::End
    }

    fn on_byte(&mut self, byte: u8) -> Result<State, BadChunk> {
        match (self.state, byte) {
            (State::Size { digits: 0, .. }, b'\r' | b';') => Err(BadChunk("no size")),
            (State::Size { size, .. }, b'\r') => Ok(State::SizeLf { size }),
            (State::Size { size, .. }, b';') => Ok(State::Extension { size }),
            (State::Size { size, digits }, _) => add_digit(size, digits, byte),
            (State::Extension { size }, b'\r') => Ok(State::SizeLf { size }),
            (State::Extension { size }, _) => {
                // RFC 9112 section 7.1.1: bounded, since a recipient must ignore what it skips.
                count(&mut self.extension_bytes, EXTENSION_BYTES_MAX, byte)?;
                Ok(State::Extension { size })
            }
            (State::SizeLf { size: 0 }, b'\n') => Ok(State::TrailerStart),
            (State::SizeLf { size }, b'\n') => Ok(State::Payload { left: size }),
            (State::PayloadCr, b'\r') => Ok(State::PayloadLf),
            (State::PayloadCr, _) => Err(BadChunk("more payload than announced")),
            (State::PayloadLf, b'\n') => Ok(State::Size { size: 0, digits: 0 }),
            (State::TrailerStart, b'\r') => Ok(State::LastLf),
            (State::Trailer, b'\r') => Ok(State::TrailerLf),
            (State::TrailerName, b':') => Ok(State::Trailer),
            (State::TrailerStart | State::TrailerName, _) => {
                count(&mut self.trailer_bytes, TRAILER_BYTES_MAX, byte)?;
                // As any field: whoever skips a line that is none may end the body elsewhere.
                match is_token_byte(byte) {
                    true => Ok(State::TrailerName),
                    false => Err(BadChunk("a trailer without a name")),
                }
            }
            (State::Trailer, _) => {
                count(&mut self.trailer_bytes, TRAILER_BYTES_MAX, byte)?;
                Ok(State::Trailer)
            }
            (State::TrailerLf, b'\n') => Ok(State::TrailerStart),
            (State::LastLf, b'\n') => Ok(State::End),
            _ => Err(BadChunk("CR without LF")),
        }
    }
}

/// RFC 9112 section 7.1: `chunk-size = 1*HEXDIG`; no sign, no `0x`, no white space.
fn add_digit(size: u64, digits: u8, byte: u8) -> Result<State, BadChunk> {
    let digit = char::from(byte)
        .to_digit(16)
        .ok_or(BadChunk("size is no number"))?;
    if digits >= SIZE_DIGITS_MAX {
        return Err(BadChunk("size has too many digits"));
    }
    // Sixteen digits fill 64 bits exactly, so nothing is shifted out.
    Ok(State::Size {
        size: (size << 4) | u64::from(digit),
        digits: digits + 1,
    })
}

/// Counts one byte that is skipped; control characters other than a tab are refused.
fn count(bytes: &mut usize, bytes_max: usize, byte: u8) -> Result<(), BadChunk> {
    *bytes += 1;
    if byte.is_ascii_control() && byte != b'\t' {
        return Err(BadChunk("control character"));
    }
    if *bytes > bytes_max {
        Err(BadChunk("too much besides payload"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `body` in pieces of `step` bytes; the payload, how much was left over, and whether
    /// it ended.
    fn decoded(body: &[u8], step: usize) -> Result<(Vec<u8>, usize, bool), BadChunk> {
        let mut decoder = ChunkedDecoder::new();
        let mut payload = Vec::new();
        let mut rest = Bytes::copy_from_slice(body);
        while !rest.is_empty() {
            let mut input = rest.split_to(step.min(rest.len()));
            loop {
                match decoder.decode(&mut input)? {
                    ChunkedEvent::Payload(bytes) => {
                        assert!(!bytes.is_empty());
                        payload.extend_from_slice(&bytes);
                    }
                    ChunkedEvent::NeedMore => break,
                    ChunkedEvent::End => return Ok((payload, input.len() + rest.len(), true)),
                }
            }
        }
        Ok((payload, 0, decoder.is_end()))
    }

    #[test]
    fn chunked_bodies_are_decoded_or_refused() {
        let long_extension = format!(
            "1;{}\r\nx\r\n0\r\n\r\n",
            "e".repeat(EXTENSION_BYTES_MAX + 1)
        );
        let many_extensions = "1;eeee\r\nx\r\n".repeat(EXTENSION_BYTES_MAX / 4 + 1);
        let long_trailer = format!("0\r\nt:{}\r\n\r\n", "t".repeat(TRAILER_BYTES_MAX));
        for (body, expected) in [
            ("0\r\n\r\n", Some(("", 0, true))),
            ("5\r\nhello\r\n0\r\n\r\nnext", Some(("hello", 4, true))),
            (
                "1\r\na\r\nB;ext=\"v\"\r\n0123456789a\r\n00\r\n\r\n",
                Some(("a0123456789a", 0, true)),
            ),
            (
                "000000000000000a\r\n0123456789\r\n0;x\r\nA: b\r\n\r\n",
                Some(("0123456789", 0, true)),
            ),
            ("3\r\na", Some(("a", 0, false))),
            ("", Some(("", 0, false))),
            // No size, not a size, a sign, a prefix, white space, too many digits.
            ("\r\n", None),
            (";x\r\n", None),
            ("g\r\n", None),
            ("-1\r\n", None),
            ("+1\r\n", None),
            ("0x1\r\na\r\n", None),
            ("1 \r\na\r\n", None),
            (" 1\r\na\r\n", None),
            ("00000000000000001\r\na\r\n", None),
            // Line ends.
            ("1\na\n0\n\n", None),
            ("1\r\na\n0\r\n\r\n", None),
            ("1\r\na0\r\n\r\n", None),
            ("1\r\nab\r\n0\r\n\r\n", None),
            ("1;a\nb\r\na\r\n", None),
            ("1;a\rb\r\na\r\n", None),
            ("0\r\n\n", None),
            ("0\r\nA: b\n\r\n", None),
            ("0\r\nA: \0\r\n\r\n", None),
            // Trailers that are no fields.
            ("0\r\nA:\r\n\r\n", Some(("", 0, true))),
            ("0\r\nA\r\n\r\n", None),
            ("0\r\n: b\r\n\r\n", None),
            ("0\r\nA : b\r\n\r\n", None),
            ("0\r\n A: b\r\n\r\n", None),
            ("0\r\nA: b\r\n c\r\n\r\n", None),
            ("0\r\nA[]: b\r\n\r\n", None),
            ("0\r\nGET / HTTP/1.1\r\n\r\n", None),
            (&long_extension, None),
            (&many_extensions, None),
            (&long_trailer, None),
        ] {
            for step in [1, 2, 3, 7, usize::MAX] {
                let got = decoded(body.as_bytes(), step).ok();
                let got = got.map(|(payload, left, end)| {
                    (String::from_utf8_lossy(&payload).into_owned(), left, end)
                });
                let expected = expected.map(|(payload, left, end)| (payload.to_owned(), left, end));
                assert_eq!(got, expected, "{step}: {body:.40}");
            }
        }
    }

    #[test]
    fn a_size_may_fill_64_bits_and_an_error_stays() {
        let mut decoder = ChunkedDecoder::new();
        let mut input = Bytes::from_static(b"ffffffffffffffff\r\nabc");
        let payload = ChunkedEvent::Payload(Bytes::from_static(b"abc"));
        assert_eq!(decoder.decode(&mut input), Ok(payload));
        assert_eq!(decoder.announced(), u64::MAX - 3);
        let mut decoder = ChunkedDecoder::new();
        assert!(decoder.decode(&mut Bytes::from_static(b"x")).is_err());
        assert!(
            decoder
                .decode(&mut Bytes::from_static(b"0\r\n\r\n"))
                .is_err()
        );
    }

    #[test]
    fn chunk_payloads_are_slices_of_the_input() {
        let input = Bytes::from_static(b"5\r\nhello\r\n");
        let within = input.as_ptr_range();
        let mut decoder = ChunkedDecoder::new();
        let event = decoder.decode(&mut input.clone());
        let Ok(ChunkedEvent::Payload(bytes)) = event else {
            panic!("{event:?}")
        };
        assert!(within.contains(&bytes.as_ptr()));
    }
}
