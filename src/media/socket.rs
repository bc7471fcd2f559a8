//! What a reader sends through: a socket in the server, a virtual one in the simulator.

use std::io::IoSlice;

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
