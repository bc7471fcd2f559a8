//! `/api/v1/relays`: mounts that are fed by other servers, and the servers all of whose mounts are
//! relayed, for the admin only.

use std::collections::BTreeSet;
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
    let config = node.config();
    Rights::admin(&headers, &config)?;
    let snapshot = node.overview().await?;
    let listed: BTreeSet<&str> = config.relays_listed.iter().map(|it| &*it.mount).collect();
    let relays = snapshot.relays.iter().map(|report| Relay {
        mount: report.mount.as_str(),
        state: report.state.name(),
        since: clock::rfc3339(node.wall(report.since)),
        url: some(&report.url),
        error: some(&report.error),
        listed: listed.contains(report.mount.as_str()),
    });
    let states = node.masters().clone();
    let masters = config.masters.iter().map(|master| {
        let state = states.get(&master.name);
        MasterShown {
            name: &master.name,
            url: &master.url,
            listed_at: state.and_then(|state| state.listed_at).map(clock::rfc3339),
            mounts: state.map_or(0, |state| state.mounts),
            error: state.and_then(|state| some(&state.error)),
        }
    });
    Ok(json(&List {
        relays: relays.collect(),
        masters: masters.collect(),
        missing_shards: indices(&snapshot.missing),
    }))
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[derive(Serialize)]
struct List<'a> {
    relays: Vec<Relay<'a>>,
    masters: Vec<MasterShown<'a>>,
    missing_shards: Vec<u16>,
}

#[derive(Serialize)]
struct Relay<'a> {
    mount: &'a str,
    state: &'static str,
    since: String,
    url: Option<&'a str>,
    error: Option<&'a str>,
    /// Whether it comes from a master's list and not from the settings.
    listed: bool,
}

/// A server all of whose mounts are relayed.
#[derive(Serialize)]
struct MasterShown<'a> {
    name: &'a str,
    url: &'a str,
    /// When its list was taken over last.
    listed_at: Option<String>,
    /// Mounts of that list that are relayed.
    mounts: usize,
    /// Why the last try to fetch its list failed.
    error: Option<&'a str>,
}
