//! What a reader sends through: a socket in the server, a virtual one in the simulator.

use std::io::IoSlice;

use bytes::Bytes;

/// A reader's transport. Never waits.
pub trait Socket {
    /// Sends as much of `slices`, in order, as the peer's window takes now.
    fn send(&mut self, slices: &[IoSlice<'_>]) -> Sent;

    /// Sends what [`Socket::send`] took and the window did not: ciphertext cannot be taken back.
    /// [`Sent::Full`] while some of it is left.
    fn flush(&mut self) -> Sent {
        Sent::Bytes(0)
    }

    /// Whether the peer is known to be gone (asked rarely, for readers that get no bytes).
    fn is_closed(&mut self) -> bool;

    /// Whether the peer may say something that has to be heard ([`Socket::hear`]).
    fn talks(&self) -> bool {
        false
    }

    /// Takes some of what the peer said, where it may talk: asked once there is something.
    fn hear(&mut self) -> Heard {
        Heard::Nothing
    }

    /// What the transport's own protocol has to say: whole, to stand between two frames.
    fn poll_words(&mut self) -> Option<Bytes> {
        None
    }

    /// What it says behind the last frame of a reader that leaves, once.
    fn poll_farewell(&mut self) -> Option<Bytes> {
        None
    }
}

/// What [`Socket::hear`] came upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// No more has come.
    Nothing,
    /// Something that was taken; there may be more.
    Something,
    /// The peer ends the talk: it is to be let go in order.
    End,
    /// The peer broke the rules: it is to be told and let go.
    Fault,
    /// The peer is gone.
    Lost,
}

/// What [`Socket::send`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// This many bytes went out, or will as they are ([`Socket::flush`]); fewer than asked means
    /// that the window is full.
    Bytes(usize),
    /// Nothing went out: the window is full.
    Full,
    /// The connection is gone.
    Failed,
}
