//! The page at `/`: what is on air, with a player. Files of `web/`, in the program itself.

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};

use crate::node::Node;

/// Only our own files, sounds and answers; nobody else's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// For crawlers: the page is for people, streams have no end.
const ROBOTS: &str = "User-agent: *\nAllow: /$\nDisallow: /\n";

/// The page and what it loads.
pub(crate) fn routes() -> Router<Arc<Node>> {
    let icon = || file("image/svg+xml", include_str!("../../web/icon.svg"));
    let page = include_str!("../../web/index.html");
    let style = include_str!("../../web/corecast.css");
    let script = include_str!("../../web/corecast.js");
    Router::new()
        .route("/", file("text/html; charset=utf-8", page))
        .route("/web/corecast.css", file("text/css; charset=utf-8", style))
        .route(
            "/web/corecast.js",
            file("text/javascript; charset=utf-8", script),
        )
        .route("/web/icon.svg", icon())
        .route("/favicon.ico", icon())
        .route("/robots.txt", file("text/plain; charset=utf-8", ROBOTS))
}

fn file(content_type: &'static str, text: &'static str) -> MethodRouter<Arc<Node>> {
    get(async move || -> Response {
        let headers = [
            (CONTENT_TYPE, content_type),
            (CACHE_CONTROL, "no-cache"),
            (CONTENT_SECURITY_POLICY, POLICY),
            (REFERRER_POLICY, "no-referrer"),
        ];
        (headers, text).into_response()
    })
}
