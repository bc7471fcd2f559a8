//! The API: one file per resource, read-only so far.

pub(crate) mod certificates;
pub(crate) mod events;
pub(crate) mod listeners;
pub(crate) mod mounts;
mod playing;
pub(crate) mod relays;
pub(crate) mod server;
pub(crate) mod sessions;

use axum::body::Body;
use axum::response::Response;
use corecast_media::name::ShardId;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Serialize;

use crate::problem::Problem;

/// What must be encoded in the path of a URL.
const PATH: AsciiSet = CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A mount's name as the path of its URL.
pub(crate) fn path_of(mount: &str) -> String {
    utf8_percent_encode(mount, &PATH).to_string()
}

/// A document that is true only now.
pub(crate) fn json(document: &impl Serialize) -> Response {
    let Ok(text) = serde_json::to_vec(document) else {
        return Problem::internal().into();
    };
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Shards whose part is missing in a document.
fn indices(shards: &[ShardId]) -> Vec<u16> {
    shards.iter().map(|shard| shard.0).collect()
}
