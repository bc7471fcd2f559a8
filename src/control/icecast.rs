//! The surfaces of Icecast, in its own shapes: what encoders, players and dashboards rely on.
//!
//! Recorded from Icecast 2.4.4. `/status-json.xsl` is [`status`], `/admin/metadata` is
//! [`metadata`]; every other admin command gets Icecast's answer to one that it does not know.

pub(crate) mod metadata;
pub(crate) mod status;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, EXPIRES, PRAGMA, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

/// An answer in Icecast's way: never kept by anybody.
fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-cache, no-store"),
        (EXPIRES, "Mon, 26 Jul 1997 05:00:00 GMT"),
        (PRAGMA, "no-cache"),
    ];
    (status, headers, body.into()).into_response()
}

/// Icecast's page for an error; `message` is ours and needs no escapes.
fn error(status: StatusCode, message: &'static str) -> Response {
    let code = status.as_u16();
    let page = format!(
        "<html><head><title>Error {code}</title></head>\
         <body><b>{code} - {message}</b></body></html>\r\n"
    );
    answer(status, "text/html; charset=utf-8", page)
}

/// Credentials are missing or wrong.
fn unauthorized() -> Response {
    let text = "You need to authenticate\r\n";
    let mut response = answer(StatusCode::UNAUTHORIZED, "text/plain; charset=utf-8", text);
    let challenge = HeaderValue::from_static("Basic realm=\"corecast\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

/// What came of an admin command; `message` is ours and needs no escapes.
fn done(success: bool, message: &'static str) -> Response {
    let success = u8::from(success);
    let xml = format!(
        "<?xml version=\"1.0\"?>\n\
         <iceresponse><message>{message}</message><return>{success}</return></iceresponse>\n"
    );
    answer(StatusCode::OK, "text/xml; charset=utf-8", xml)
}

/// `/admin/...` that nobody knows; libshout asks for `/admin/!POKE` and wants just this.
pub(crate) async fn unknown() -> Response {
    error(StatusCode::BAD_REQUEST, "unknown request")
}
