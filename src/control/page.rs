//! The pages: what is on air at `/`, one mount's player at `/watch/` and, to be put into other
//! pages, at `/embed/`. Files of `web/`, in the program itself.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    REFERRER_POLICY, VARY,
};
use http::{HeaderMap, StatusCode};

use crate::node::Node;

/// Only our own files, sounds and answers; nobody else's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// The same for the player: its scripts make media of what they fetch, as blobs.
const PLAYER_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self'; media-src 'self' blob:; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

/// The player in other pages' frames.
const EMBED_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self'; media-src 'self' blob:; connect-src 'self'; base-uri 'none'; \
     form-action 'none'";

/// Scripts that npm brought, as gzip files; none where the build had none.
static SCRIPTS: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/scripts.rs"));

/// For crawlers: the page is for people, streams have no end.
const ROBOTS: &str = "User-agent: *\nAllow: /$\nDisallow: /\n";

/// The page and what it loads.
pub(crate) fn routes() -> Router<Arc<Node>> {
    let icon = || file("image/svg+xml", include_str!("../../web/icon.svg"));
    let page = include_str!("../../web/index.html");
    let style = include_str!("../../web/corecast.css");
    let script = include_str!("../../web/corecast.js");
    let watch = include_str!("../../web/watch.js");
    Router::new()
        .route("/", file("text/html; charset=utf-8", page))
        .route("/web/corecast.css", file("text/css; charset=utf-8", style))
        .route(
            "/web/corecast.js",
            file("text/javascript; charset=utf-8", script),
        )
        .route("/web/icon.svg", icon())
        .route("/watch/{*mount}", player(PLAYER_POLICY))
        .route("/embed/{*mount}", player(EMBED_POLICY))
        .route(
            "/web/watch.js",
            file("text/javascript; charset=utf-8", watch),
        )
        .route("/web/{script}", get(script_of))
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

fn player(policy: &'static str) -> MethodRouter<Arc<Node>> {
    get(async move || -> Response {
        let headers = [
            (CONTENT_TYPE, "text/html; charset=utf-8"),
            (CACHE_CONTROL, "no-cache"),
            (CONTENT_SECURITY_POLICY, policy),
            (REFERRER_POLICY, "no-referrer"),
        ];
        (headers, include_str!("../../web/watch.html")).into_response()
    })
}

/// `GET /web/hls.js` and its like. Every browser takes gzip; who does not is told so.
async fn script_of(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let found = SCRIPTS.iter().find(|(known, _)| *known == name);
    let Some((_, pressed)) = found else {
        let text = "this build is without the player's scripts: `./x run` fetches them by npm";
        return (StatusCode::NOT_FOUND, text).into_response();
    };
    let accepted = headers
        .get(ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok());
    if !accepted.is_some_and(|accepted| accepted.contains("gzip")) {
        return StatusCode::NOT_ACCEPTABLE.into_response();
    }
    let content_type = match name.ends_with(".js") {
        true => "text/javascript; charset=utf-8",
        false => "text/plain; charset=utf-8",
    };
    let headers = [
        (CONTENT_TYPE, content_type),
        (CONTENT_ENCODING, "gzip"),
        (VARY, "Accept-Encoding"),
        (CACHE_CONTROL, "public, max-age=3600"),
    ];
    (headers, *pressed).into_response()
}
