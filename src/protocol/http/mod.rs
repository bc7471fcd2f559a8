//! What all versions of HTTP share (RFC 9110): requests as they are understood, and the fields of
//! answers.
//!
//! Reading order: [`limits`] (bounds), [`error`] (what a bad peer is told), [`request`] (a checked
//! request), [`target`] (what it is for), [`multiplexed`] (how it is made from the fields of
//! HTTP/2 and 3; [`crate::http1`] makes it from text), [`query`] (name and value pairs), [`auth`]
//! (Basic credentials), [`fields`] (those of an answer), [`frames`] (what those of HTTP/2 cost).

pub mod auth;
pub mod error;
pub mod fields;
pub mod frames;
pub mod limits;
pub mod multiplexed;
pub mod query;
pub mod request;
pub(crate) mod target;

pub use auth::Credentials;
pub use error::BadRequest;
pub use fields::Fields;
pub use limits::Limits;
pub use multiplexed::RequestFields;
pub use request::{BodyFraming, Headers, Method, Request, Version};
