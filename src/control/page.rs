//! The pages: what is on air at `/`, one mount's player at `/watch/` and, to be put into other
//! pages, at `/embed/`. Files of `web/`, in the program itself.

use std::io::{self, Read};
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use flate2::read::GzDecoder;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, REFERRER_POLICY,
    VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::coding::{etag_of, takes_gzip};
use crate::node::Node;
use crate::problem::Problem;

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

/// Their validators, in the same order.
static SCRIPT_ETAGS: LazyLock<Vec<HeaderValue>> = LazyLock::new(|| {
    SCRIPTS
        .iter()
        .map(|(_, pressed)| etag_of(pressed))
        .collect()
});

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
    page(content_type, POLICY, text)
}

fn player(policy: &'static str) -> MethodRouter<Arc<Node>> {
    let text = include_str!("../../web/watch.html");
    page("text/html; charset=utf-8", policy, text)
}

fn page(
    content_type: &'static str,
    policy: &'static str,
    text: &'static str,
) -> MethodRouter<Arc<Node>> {
    let etag = etag_of(text.as_bytes());
    get(async move || -> Response {
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static(content_type)),
            (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy)),
            (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
            (ETAG, etag),
        ];
        (headers, text).into_response()
    })
}

/// `GET /web/hls.js` and its like, unpacked for those who do not take gzip.
async fn script_of(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let found = SCRIPTS.iter().position(|(known, _)| *known == name);
    let found = found.and_then(|at| Some((SCRIPTS.get(at)?.1, SCRIPT_ETAGS.get(at)?)));
    let Some((pressed, etag)) = found else {
        let text = "this build is without the player's scripts: `./x run` fetches them by npm";
        return (StatusCode::NOT_FOUND, text).into_response();
    };
    let content_type = match name.ends_with(".js") {
        true => "text/javascript; charset=utf-8",
        false => "text/plain; charset=utf-8",
    };
    let headers_of_all = [
        (CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (VARY, HeaderValue::from_static("accept-encoding")),
        (
            CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=3600"),
        ),
        (ETAG, etag.clone()),
    ];
    if takes_gzip(&headers) {
        return (headers_of_all, [(CONTENT_ENCODING, "gzip")], pressed).into_response();
    }
    match tokio::task::spawn_blocking(|| unpack(pressed)).await {
        Ok(Ok(text)) => (headers_of_all, text).into_response(),
        Ok(Err(_)) | Err(_) => Problem::internal().into(),
    }
}

fn unpack(pressed: &[u8]) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    GzDecoder::new(pressed).read_to_end(&mut text)?;
    Ok(text)
}
