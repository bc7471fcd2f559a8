//! Requests over HTTP/1: one connection, where its requests go, and those that control answers.
//!
//! Reading order: [`connection`] (heads in, bodies in, answers out), [`router`] (source, listener
//! or control), [`response`] (answers that the shard gives itself), [`control`] (answers that
//! come through the mesh), [`inbox`] (where their pieces wait), [`hls_path`] and [`range`] (what
//! paths of HLS and `Range` headers say).

pub(crate) mod connection;
pub(crate) mod control;
pub(crate) mod hls_path;
pub(crate) mod inbox;
pub(crate) mod range;
pub(crate) mod response;
pub(crate) mod router;

#[cfg(test)]
mod tests;
