//! RTMP (Adobe's Real Time Messaging Protocol 1.0, 2012) with Enhanced RTMP v2 (Veovera): both
//! sides as plain machines.
//!
//! A driver gives what it read to `handle_input`, then takes `poll_event` and `poll_transmit`
//! until both say `None`. Random bytes come in as arguments; time does not matter here. After an
//! error what is left in `poll_transmit` is still sent, then the connection is closed.
//!
//! Reading order: [`chunk`] (messages in chunks, both ways), [`message`], [`amf`] (what commands
//! are written in), [`server`], [`client`].

use std::fmt;

use bytes::Bytes;

mod address;
pub mod amf;
pub mod chunk;
pub mod client;
mod clock;
mod command;
mod connect;
mod digest;
mod handshake;
pub mod limits;
mod link;
pub mod message;
mod reply;
pub mod server;
#[cfg(test)]
mod tests;

pub use address::Url;
pub use chunk::write_message;
pub use client::{ClientEvent, ClientSession, Purpose};
pub use message::{Message, MessageType};
pub use server::{End, Event, ServerSession, StreamRequest};

/// The message stream that media is on: a server of ours hands out no other.
pub const STREAM_ID: u32 = 1;

/// The chunk size that our server announces before anything else, in bytes: most messages are one
/// chunk then, and lie in one piece of what was read.
pub const CHUNK_BYTES: u32 = 60_000;

/// A peer that breaks the protocol or its limits; the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPeer(
    /// What was wrong, in a few words.
    pub &'static str,
);

impl fmt::Display for BadPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BadPeer {}

/// What a media message carries, or a tag of FLV: the bodies and the numbers are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// Sound (8).
    Audio,
    /// Pictures (9).
    Video,
    /// Values in AMF0 (18), of which the first is a text such as `onMetaData`; in messages
    /// `@setDataFrame` is gone.
    Script,
}

impl MediaKind {
    /// The number on the wire.
    pub const fn code(self) -> u8 {
        match self {
            MediaKind::Audio => 8,
            MediaKind::Video => 9,
            MediaKind::Script => 18,
        }
    }

    /// The kind of a number on the wire; `None` for others.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            8 => Some(MediaKind::Audio),
            9 => Some(MediaKind::Video),
            18 => Some(MediaKind::Script),
            _ => None,
        }
    }
}

/// One media message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// What it carries.
    pub kind: MediaKind,
    /// The sender's clock in milliseconds, unwrapped: it goes on past 2^31 and 2^32, and past
    /// 2^24 where the sender knows no extended timestamps. Jumps stay jumps.
    pub timestamp_ms: i64,
    /// The message's body, as it came.
    pub payload: Bytes,
}
