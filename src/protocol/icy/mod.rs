//! What Icecast and Shoutcast add to HTTP: [`source`] (what an encoder says of itself),
//! [`listener`] (what a listener is told), [`metadata`] (titles between the audio bytes)
//! [`deinterleave`] (the reader's side of that) and [`pull`] (a stream taken from another server).
//!
//! No standard describes it; sections cited are those of the Icecast 2.4 documentation and of the
//! behaviour of its clients.

pub mod deinterleave;
pub mod listener;
pub mod metadata;
pub mod pull;
pub mod source;

pub use deinterleave::{Deinterleaver, Piece};
pub use listener::ListenerHead;
pub use metadata::{BLOCK_BYTES_MAX, EMPTY_BLOCK, block};
pub use pull::{Pull, PullEvent, PullRequest};
pub use source::SourceRequest;

#[cfg(test)]
mod tests;
