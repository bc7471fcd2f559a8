//! The reader's side of ICY metadata: takes the blocks out of a stream (see
//! [`super::metadata`] for their form; `icy-metaint` counts the audio bytes between them).

use std::num::NonZeroU32;

use bytes::{Buf, Bytes, BytesMut};

use super::metadata::{BLOCK_BYTES_MAX, UNIT_BYTES};

/// Splits a stream with `icy-metaint` into audio and metadata.
#[derive(Clone, Debug)]
pub struct Deinterleaver {
    metaint: u32,
    state: State,
}

/// What [`Deinterleaver::decode`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Audio bytes, a slice of the input; never empty.
    Audio(Bytes),
    /// The fields and padding of a block, to be read by [`super::metadata::parse`]; empty where
    /// nothing changed.
    Block(Bytes),
}

/// What the next byte is; the arrows are in [`Deinterleaver::decode`].
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Audio, of which `left` bytes come before the next block; zero: a length byte.
    Audio { left: u32 },
    /// A block, of which `left` bytes are missing.
    Block { left: usize, got: BytesMut },
}

impl Deinterleaver {
    /// A reader at the start of the audio.
    pub fn new(metaint: NonZeroU32) -> Self {
        let metaint = metaint.get();
        Deinterleaver {
            metaint,
            state: State::Audio { left: metaint },
        }
    }

    /// Takes the next piece off `input`; `None` asks for more bytes. Any bytes are good: what a
    /// length byte announces is at most [`BLOCK_BYTES_MAX`].
    pub fn decode(&mut self, input: &mut Bytes) -> Option<Piece> {
        while !input.is_empty() {
            match &mut self.state {
                State::Audio { left: 0 } => {
                    let bytes = usize::from(input.get_u8()) * UNIT_BYTES;
                    debug_assert!(bytes <= BLOCK_BYTES_MAX);
                    if bytes == 0 {
                        self.state = State::Audio { left: self.metaint };
                        return Some(Piece::Block(Bytes::new()));
                    }
                    self.state = State::Block {
                        left: bytes,
                        got: BytesMut::new(),
                    };
                }
                State::Audio { left } => {
                    let here = input.len().min(*left as usize);
                    // `here` is at most `left`, which has 32 bits.
                    *left -= here as u32;
                    return Some(Piece::Audio(input.split_to(here)));
                }
                State::Block { left, got } => {
                    let here = input.len().min(*left);
                    *left -= here;
                    let part = input.split_to(here);
                    if *left > 0 {
                        got.extend_from_slice(&part);
                        continue;
                    }
                    let whole = if got.is_empty() {
                        part
                    } else {
                        got.extend_from_slice(&part);
                        std::mem::take(got).freeze()
                    };
                    self.state = State::Audio { left: self.metaint };
                    return Some(Piece::Block(whole));
                }
            }
        }
        None
    }
}
