//! `/api/v1/events`: what happens, as it happens, for the admin.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use crate::auth::Rights;
use crate::node::Node;
use crate::problem::Problem;

/// `GET /api/v1/events`, from after `Last-Event-ID` where the request has one.
pub(crate) async fn watch(
    State(node): State<Arc<Node>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Rights::admin(&headers, &node.config())?;
    let last = match headers.get("last-event-id").map(HeaderValue::to_str) {
        None => None,
        Some(said) => Some(
            said.ok()
                .and_then(|said| said.parse().ok())
                .ok_or_else(|| Problem::bad_request("`Last-Event-ID` is a number"))?,
        ),
    };
    let feed = node.feed.watch(last);
    let feed = feed.ok_or_else(|| Problem::unavailable("too many watch, or the server stops"))?;
    let mut response = Response::new(Body::from_stream(feed));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
