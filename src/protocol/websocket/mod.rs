//! WebSocket (RFC 6455 section 5), the server's side: what clients say, frame by frame, and what
//! has to be answered.
//!
//! Reading order: [`frames`] (what a client says), [`close`] (how it ends), [`utf8`] (text in
//! pieces), [`talk`] (what we say to that). Extensions are not negotiated: no bit of theirs is
//! good.

mod close;
mod frames;
mod talk;
mod utf8;

#[cfg(test)]
mod tests;

use bytes::BufMut;

pub use close::{CloseCode, Fault};
pub use frames::{ClientFrames, Event};
pub use talk::{Data, Ended, PONGS_BYTES_MAX, Talk};

/// The longest payload of a control frame (section 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

/// What a frame carries (section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// More of the message that was begun.
    Continuation,
    /// The start of a message of text.
    Text,
    /// The start of a message of bytes.
    Binary,
    /// The sender ends the talk.
    Close,
    /// Asks for a pong with the same payload.
    Ping,
    /// Answers a ping, or says that the sender is there.
    Pong,
}

impl Opcode {
    /// The opcode of these four bits; none where they have no meaning.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Opcode::Continuation,
            0x1 => Opcode::Text,
            0x2 => Opcode::Binary,
            0x8 => Opcode::Close,
            0x9 => Opcode::Ping,
            0xA => Opcode::Pong,
            _ => return None,
        })
    }

    /// Its four bits.
    pub const fn bits(self) -> u8 {
        match self {
            Opcode::Continuation => 0x0,
            Opcode::Text => 0x1,
            Opcode::Binary => 0x2,
            Opcode::Close => 0x8,
            Opcode::Ping => 0x9,
            Opcode::Pong => 0xA,
        }
    }

    /// Whether its frames are control frames: short, and never in fragments (section 5.5).
    pub const fn is_control(self) -> bool {
        self.bits() >= 0x8
    }
}

/// Writes the head of a server's final frame, whose payload of `length` bytes follows: no mask
/// (section 5.1).
pub fn put_head(out: &mut impl BufMut, opcode: Opcode, length: usize) {
    out.put_u8(0x80 | opcode.bits());
    match length {
        0..=125 => out.put_u8(length as u8),
        126..=0xffff => {
            out.put_u8(126);
            out.put_u16(length as u16);
        }
        _ => {
            out.put_u8(127);
            out.put_u64(length as u64);
        }
    }
}
