//! `/api/v1/relays`: mounts that are fed by other servers, for the admin only.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;

use super::{indices, json};
use crate::auth::Rights;
use crate::clock;
use crate::node::Node;
use crate::problem::Problem;

/// `GET /api/v1/relays`
pub(crate) async fn list(
    State(node): State<Arc<Node>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Rights::admin(&headers, &node.config())?;
    let snapshot = node.overview().await?;
    let relays = snapshot.relays.iter().map(|report| Relay {
        mount: report.mount.as_str(),
        state: report.state.name(),
        since: clock::rfc3339(node.wall(report.since)),
        url: some(&report.url),
        error: some(&report.error),
    });
    Ok(json(&List {
        relays: relays.collect(),
        missing_shards: indices(&snapshot.missing),
    }))
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[derive(Serialize)]
struct List<'a> {
    relays: Vec<Relay<'a>>,
    missing_shards: Vec<u16>,
}

#[derive(Serialize)]
struct Relay<'a> {
    mount: &'a str,
    state: &'static str,
    since: String,
    url: Option<&'a str>,
    error: Option<&'a str>,
}
