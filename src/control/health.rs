//! `/health`, `/ready` and `/metrics`: what supervisors, load balancers and dashboards ask.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use corecast_telemetry::registry;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use crate::node::Node;

/// Whether the process answers at all.
pub(crate) async fn health() -> Response {
    text(StatusCode::OK, "ok\n")
}

/// Whether new sessions are welcome.
pub(crate) async fn ready(State(node): State<Arc<Node>>) -> Response {
    if node.is_draining() {
        text(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else {
        text(StatusCode::OK, "ready\n")
    }
}

/// Everything that is counted, for Prometheus.
pub(crate) async fn metrics(State(node): State<Arc<Node>>) -> Response {
    node.probe
        .uptime
        .set(i64::try_from(node.started.elapsed().as_secs()).unwrap_or(i64::MAX));
    let headers = [
        (CONTENT_TYPE, registry::CONTENT_TYPE),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, node.registry.render()).into_response()
}

fn text(status: StatusCode, text: &'static str) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], text).into_response()
}
