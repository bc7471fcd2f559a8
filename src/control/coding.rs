//! What happens to every answer on its way out: text is compressed as its reader asks, and a
//! reader that has the same already is told so.

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt;
use md5::{Digest, Md5};
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::Predicate;

use crate::problem::Problem;

/// Less goes into one packet as it is.
const TEXT_BYTES_MIN: u64 = 1_024;

/// More would hold up the others who wait for control.
const TEXT_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Of gzip, brotli and zstd alike: the next level takes half as long again for 2 % less.
const LEVEL: i32 = 3;

/// Answers that are compressed at once: each encoder takes megabytes.
static TURNS: Semaphore = Semaphore::const_new(4);

/// Types of text whose names do not begin with `text/` or end in `json` or `xml`.
const TEXT_TYPES: [&str; 8] = [
    "application/javascript",
    "application/vnd.apple.mpegurl",
    "application/x-mpegurl",
    "application/openmetrics-text",
    "audio/mpegurl",
    "audio/x-mpegurl",
    "audio/scpls",
    "audio/x-scpls",
];

/// Compresses text of a known size; whoever has not asked gets it as it is.
pub(crate) fn compression() -> CompressionLayer<Worth> {
    CompressionLayer::new()
        .quality(CompressionLevel::Precise(LEVEL))
        .compress_when(Worth)
}

/// Which answers are compressed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Worth;

impl Predicate for Worth {
    fn should_compress<B: HttpBody>(&self, response: &http::Response<B>) -> bool {
        // Streams have no size: an encoder would hold their events back.
        let size = response.body().size_hint().exact();
        size.is_some_and(|size| (TEXT_BYTES_MIN..=TEXT_BYTES_MAX).contains(&size))
            && is_text(response.headers())
    }
}

fn is_text(headers: &HeaderMap) -> bool {
    let Some(Ok(said)) = headers.get(CONTENT_TYPE).map(HeaderValue::to_str) else {
        return false;
    };
    let essence = said.split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    match essence.as_str() {
        "text/event-stream" => false,
        essence => {
            essence.starts_with("text/")
                || essence.ends_with("json")
                || essence.ends_with("xml")
                || TEXT_TYPES.contains(&essence)
        }
    }
}

/// The validator of bytes that never change: a strong one (RFC 9110 section 8.8.3).
pub(crate) fn etag_of(bytes: &[u8]) -> HeaderValue {
    let digest: String = Md5::digest(bytes)
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    HeaderValue::try_from(format!("\"{digest}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Whether the reader takes gzip (RFC 9110 section 12.5.3). Who says nothing may not know it.
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    let items = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|said| said.split(','));
    let weights: Vec<(&str, f32)> = items.map(weighed).collect();
    let weight_of = |wanted: &str| {
        let mut found = weights.iter();
        found.find(|(coding, _)| coding.eq_ignore_ascii_case(wanted))
    };
    weight_of("gzip")
        .or_else(|| weight_of("x-gzip"))
        .or_else(|| weight_of("*"))
        .is_some_and(|(_, weight)| *weight > 0.0)
}

/// A coding of `Accept-Encoding` and how much it is wanted.
fn weighed(item: &str) -> (&str, f32) {
    let (coding, weight) = item.split_once(';').unwrap_or((item, ""));
    let weight = weight.trim().strip_prefix(['q', 'Q']);
    let weight = weight.and_then(|rest| rest.strip_prefix('='));
    (
        coding.trim(),
        weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0)),
    )
}

/// Has the request answered; the answer is made whole here where it was compressed, and left out
/// where the reader has it.
pub(crate) async fn deliver(mut request: Request, next: Next) -> Response {
    allow_identity(request.headers_mut());
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let known: Vec<HeaderValue> = match is_read {
        true => request
            .headers()
            .get_all(IF_NONE_MATCH)
            .iter()
            .cloned()
            .collect(),
        false => Vec::new(),
    };
    let mut response = next.run(request).await;
    name_coding(response.headers_mut());
    if response.status() == StatusCode::OK && is_known(&known, response.headers()) {
        return unchanged(response);
    }
    let is_encoding = response.headers().contains_key(CONTENT_ENCODING)
        && response.body().size_hint().exact().is_none();
    if is_encoding {
        gather(response).await
    } else {
        response
    }
}

/// Nobody is refused for want of a coding that we have (RFC 9110 section 12.5.3 allows both): what
/// `identity;q=0` and its like forbid is then the last that is chosen.
fn allow_identity(headers: &mut HeaderMap) {
    let said: Vec<HeaderValue> = headers.get_all(ACCEPT_ENCODING).iter().cloned().collect();
    if said.is_empty() {
        return;
    }
    headers.insert(
        ACCEPT_ENCODING,
        HeaderValue::from_static("identity;q=0.001"),
    );
    for value in said {
        headers.append(ACCEPT_ENCODING, value);
    }
}

/// Each coding of a page is other bytes, so it has another validator.
fn name_coding(headers: &mut HeaderMap) {
    let named = || {
        let coding = headers.get(CONTENT_ENCODING)?.to_str().ok()?;
        let plain = headers.get(ETAG)?.to_str().ok()?.strip_suffix('"')?;
        HeaderValue::try_from(format!("{plain}-{coding}\"")).ok()
    };
    if let Some(etag) = named() {
        headers.insert(ETAG, etag);
    }
}

/// Whether `If-None-Match` names what would be sent (RFC 9110 section 13.1.2).
fn is_known(known: &[HeaderValue], headers: &HeaderMap) -> bool {
    let Some(Ok(etag)) = headers.get(ETAG).map(HeaderValue::to_str) else {
        return false;
    };
    let mut tags = known
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|said| said.split(','))
        .map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

fn unchanged(response: Response) -> Response {
    let (mut head, _body) = response.into_parts();
    head.status = StatusCode::NOT_MODIFIED;
    for name in [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LENGTH] {
        head.headers.remove(name);
    }
    Response::from_parts(head, Body::empty())
}

/// Compresses an answer to its end: a slow reader then holds bytes, not an encoder, and hears how
/// many there are.
async fn gather(response: Response) -> Response {
    let (head, mut body) = response.into_parts();
    // The semaphore is never closed.
    let _turn = TURNS.acquire().await;
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            tracing::error!("an answer could not be compressed");
            return Problem::internal().into();
        };
        if let Ok(data) = frame.into_data() {
            whole.extend_from_slice(&data);
        }
        // An encoder never waits: the others get their time in between.
        yield_now().await;
    }
    Response::from_parts(head, Body::from(whole))
}
