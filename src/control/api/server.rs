//! `/api/v1/server`: the node itself.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::json;
use crate::clock;
use crate::node::Node;

/// The version that the server says.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `GET /api/v1/server`
pub(crate) async fn one(State(node): State<Arc<Node>>) -> Response {
    let config = node.config();
    json(&Server {
        name: "corecast",
        version: VERSION,
        hostname: &config.server.hostname,
        location: &config.server.location,
        admin: &config.server.admin,
        started: clock::rfc3339(node.started_unix),
        uptime_seconds: node.started.elapsed().as_secs(),
        draining: node.is_draining(),
        shards: node.topology.shards(),
        listeners: node.seats.listeners.taken(),
        listeners_max: node.seats.listeners.max(),
        sources: node.seats.sources.taken(),
        sources_max: node.seats.sources.max(),
        connections: node.seats.connections.taken(),
        connections_max: node.seats.connections.max(),
    })
}

#[derive(Serialize)]
struct Server<'a> {
    name: &'static str,
    version: &'static str,
    hostname: &'a str,
    location: &'a str,
    admin: &'a str,
    started: String,
    uptime_seconds: u64,
    draining: bool,
    shards: u16,
    listeners: u32,
    listeners_max: u32,
    sources: u32,
    sources_max: u32,
    connections: u32,
    connections_max: u32,
}
