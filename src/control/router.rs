//! Every path that control answers.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ALLOW, SERVER,
};
use http::{HeaderValue, Method, StatusCode};

use crate::node::Node;
use crate::problem::Problem;
use crate::{acme, api, coding, health, icecast, page};

/// The router over `node`.
pub(crate) fn router(node: Arc<Node>) -> Router {
    let open = Router::new()
        .route("/api/v1/mounts", get(api::mounts::list).options(preflight))
        .route(
            "/api/v1/mounts/{*name}",
            get(api::mounts::one).options(preflight),
        )
        .route("/api/v1/server", get(api::server::one).options(preflight))
        .route(
            "/status-json.xsl",
            get(icecast::status::show).options(preflight),
        )
        .route("/health", get(health::health).options(preflight))
        .route("/ready", get(health::ready).options(preflight))
        .layer(middleware::from_fn(cross_origin));
    let metadata = get(icecast::metadata::update).post(icecast::metadata::update);
    let title_form = get(icecast::metadata::update_from_page);
    let command = get(icecast::admin::command).post(icecast::admin::command);
    Router::new()
        .merge(open)
        .merge(page::routes())
        .route("/metrics", get(health::metrics))
        .route("/api/v1/certificates", get(api::certificates::list))
        .route("/api/v1/relays", get(api::relays::list))
        .route("/api/v1/events", get(api::events::watch))
        .route("/api/v1/sessions", get(api::sessions::list))
        .route("/admin/metadata", metadata)
        .route("/admin/metadata.xsl", title_form)
        .route("/admin.cgi", get(icecast::metadata::update_by_password))
        .route("/admin/", get(icecast::admin::index))
        .route("/admin/{*command}", command)
        .route("/.well-known/acme-challenge/{token}", get(acme::answer))
        .route("/server_version.xsl", get(icecast::html::version))
        .route("/status.xsl", get(icecast::html::status))
        .fallback(fallback)
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(coding::compression())
        .layer(middleware::from_fn(coding::deliver))
        .layer(middleware::from_fn(common))
        .with_state(node)
}

/// Lets the pages of others read what is public.
async fn cross_origin(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response
        .headers_mut()
        .insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

/// What the pages of others may ask.
async fn preflight() -> Response {
    let methods = "GET, HEAD, OPTIONS";
    let headers = [
        (ALLOW, methods),
        (ACCESS_CONTROL_ALLOW_METHODS, methods),
        (ACCESS_CONTROL_ALLOW_HEADERS, "authorization"),
        (ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// What every answer says.
async fn common(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let server = concat!("corecast/", env!("CARGO_PKG_VERSION"));
    headers
        .entry(SERVER)
        .or_insert(HeaderValue::from_static(server));
    let nosniff = HeaderValue::from_static("nosniff");
    headers
        .entry(http::header::X_CONTENT_TYPE_OPTIONS)
        .or_insert(nosniff);
    response
}

/// Playlists of mounts; nothing else is here.
async fn fallback(State(node): State<Arc<Node>>, request: Request) -> Response {
    let (head, _body) = request.into_parts();
    if head.method == Method::OPTIONS && head.uri.path() == "*" {
        let allow = [(ALLOW, "GET, HEAD, POST, PUT, SOURCE, OPTIONS")];
        return (StatusCode::NO_CONTENT, allow).into_response();
    }
    if matches!(head.method, Method::GET | Method::HEAD)
        && let Some(found) = icecast::playlist::find(&node, &head.uri, &head.headers).await
    {
        return found;
    }
    Problem::not_found("there is nothing at this path").into()
}
