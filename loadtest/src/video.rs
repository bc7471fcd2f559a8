//! Synthetic video: a film whose every byte is known and whose every unit says when it was sent,
//! a publisher that brings it in over RTMP, and what reads it again from FLV and from fragments.
//!
//! Nothing is encoded: the configurations are real, the pictures are noise. A server that does
//! not decode cannot tell.

pub(crate) mod film;
pub(crate) mod flv;
pub(crate) mod player;
pub(crate) mod publisher;
