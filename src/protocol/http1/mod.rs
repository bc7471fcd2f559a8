//! A strict HTTP/1 machine (RFC 9110, RFC 9112), with the liberties that radio needs: `SOURCE` and
//! `ICE/1.0` for the server, `ICY 200 OK` for the client.
//!
//! Reading order: [`parse`] (bytes to a [`crate::http::Request`], incrementally), `body` (where
//! the body ends), [`chunked`] (its decoder), [`response`] (the answer's head), [`reply`] (what
//! another server answers us).
//!
//! Whatever two programs could read in two ways is refused, so that no proxy in front can be made
//! to see other requests than we do.

pub(crate) mod body;
pub mod chunked;
pub mod parse;
pub mod reply;
pub mod response;

pub use chunked::{BadChunk, ChunkedDecoder, ChunkedEvent};
pub use parse::{Parse, RequestParser, parse_request};
pub use reply::{BadReply, Reply, ReplyParser};
pub use response::{ResponseHead, ResponseVersion};

#[cfg(test)]
mod tests;
