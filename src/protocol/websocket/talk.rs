//! One WebSocket as the server has it: what a client says, and what has to be said to that.

use bytes::{BufMut, Bytes, BytesMut};

use super::close::{CloseCode, Fault};
use super::frames::{ClientFrames, Event};
use super::{Opcode, put_head};

/// The most bytes of pongs that wait to be sent: where more pings came, only the newest is
/// answered (RFC 6455 section 5.5.3).
pub const PONGS_BYTES_MAX: usize = 2_048;

/// The server's side of one WebSocket. What it gives out are whole frames, which go between those
/// of the server's messages.
#[derive(Debug)]
pub struct Talk {
    frames: ClientFrames,
    /// Frames that wait.
    pongs: BytesMut,
    ended: Option<Ended>,
    /// Whether our Close was given out.
    closed: bool,
}

/// A piece of a client's message, as [`Event::Data`] has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data<'i> {
    /// UTF-8, but a character may be torn between two pieces; else bytes.
    pub text: bool,
    /// The piece.
    pub bytes: &'i [u8],
    /// Whether the message ends here.
    pub ends: bool,
}

/// How the client's side ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It closed in order.
    Closed(Option<CloseCode>),
    /// It broke the protocol.
    Fault(Fault),
}

impl Talk {
    /// A talk right behind the handshake, in which the client's messages have at most
    /// `message_bytes_max` bytes.
    pub fn new(message_bytes_max: u64) -> Self {
        Talk {
            frames: ClientFrames::new(message_bytes_max),
            pongs: BytesMut::new(),
            ended: None,
            closed: false,
        }
    }

    /// Takes what the client said off `input` up to the next piece of a message; none where all
    /// of it is taken. Pings and the end are kept for the calls below.
    pub fn handle_input<'i>(&mut self, input: &mut &'i mut [u8]) -> Option<Data<'i>> {
        loop {
            match self.frames.poll(input) {
                Ok(None) => return None,
                Ok(Some(Event::Data { text, bytes, ends })) => {
                    return Some(Data { text, bytes, ends });
                }
                Ok(Some(Event::Ping(payload))) => self.on_ping(&payload),
                Ok(Some(Event::Pong)) => {}
                Ok(Some(Event::Close(code))) => self.on_end(Ended::Closed(code)),
                Err(fault) => self.on_end(Ended::Fault(fault)),
            }
        }
    }

    fn on_ping(&mut self, payload: &[u8]) {
        if self.pongs.len() + 2 + payload.len() > PONGS_BYTES_MAX {
            self.pongs.clear();
        }
        put_head(&mut self.pongs, Opcode::Pong, payload.len());
        self.pongs.put_slice(payload);
    }

    fn on_end(&mut self, ended: Ended) {
        // Who has closed hears nothing but that we have too (section 5.5.1).
        self.pongs = BytesMut::new();
        self.ended = Some(ended);
    }

    /// How the client's side ended, once it has: then [`Talk::poll_close`] is what is left.
    pub fn ended(&self) -> Option<Ended> {
        self.ended
    }

    /// Pongs that are to go out before the next message.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        if self.pongs.is_empty() || self.closed {
            return None;
        }
        Some(std::mem::take(&mut self.pongs).freeze())
    }

    /// The Close frame that ends our side, once: the client's own code back, what it did wrong,
    /// or `code` where it did not end the talk. Nothing may follow it.
    pub fn poll_close(&mut self, code: CloseCode) -> Option<Bytes> {
        if std::mem::replace(&mut self.closed, true) {
            return None;
        }
        let code = match self.ended {
            None => Some(code),
            Some(Ended::Closed(code)) => code,
            Some(Ended::Fault(fault)) => Some(fault.code),
        };
        let mut frame = BytesMut::with_capacity(4);
        match code {
            None => put_head(&mut frame, Opcode::Close, 0),
            Some(code) => {
                put_head(&mut frame, Opcode::Close, 2);
                frame.put_u16(code.number());
            }
        }
        Some(frame.freeze())
    }
}
