//! A strict HTTP/1 machine (RFC 9110, RFC 9112), with the liberties that radio needs: `SOURCE` and
//! `ICE/1.0` for the server, `ICY 200 OK` for the client.
//!
//! Reading order: [`limits`] (bounds), [`error`] (what a bad peer is told), [`parse`] (bytes to
//! [`request::Request`], incrementally), [`body`] (where the body ends), [`chunked`] (its decoder),
//! [`query`] (name and value pairs), [`auth`] (Basic credentials), [`response`] (the answer's
//! head), [`reply`] (what another server answers us).
//!
//! Whatever two programs could read in two ways is refused, so that no proxy in front can be made
//! to see other requests than we do.

pub mod auth;
pub mod body;
pub mod chunked;
pub mod error;
pub mod limits;
pub mod parse;
pub mod query;
pub mod reply;
pub mod request;
pub mod response;

pub use auth::Credentials;
pub use body::BodyFraming;
pub use chunked::{BadChunk, ChunkedDecoder, ChunkedEvent};
pub use error::BadRequest;
pub use limits::Limits;
pub use parse::{Parse, RequestParser, parse_request};
pub use reply::{BadReply, Reply, ReplyParser};
pub use request::{Headers, Method, Request, Version};
pub use response::{ResponseHead, ResponseVersion};

#[cfg(test)]
mod tests;
