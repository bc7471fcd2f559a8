//! Where a request goes.

use corecast_config::is_reserved_path;
use corecast_protocol::http::{Method, Request};

use super::hls_path::is_hls;

/// Who answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// A source wants to feed a mount.
    Source,
    /// A listener wants to hear one.
    Listener,
    /// A player wants a file of one's HLS.
    Hls,
    /// A browser asks whether a page from elsewhere may do that.
    Preflight,
    /// Everything else.
    Control,
}

/// Who answers `request`.
pub(crate) fn route(request: &Request) -> Route {
    let reserved = is_reserved_path(request.path());
    match request.method() {
        Method::Source => Route::Source,
        Method::Put if !reserved => Route::Source,
        Method::Get | Method::Head if !reserved && is_hls(request.path()) => Route::Hls,
        Method::Get | Method::Head if !reserved && !is_playlist(request.path()) => Route::Listener,
        // A WebSocket is opened where a stream is; nothing waits for a body there.
        Method::Connect => Route::Listener,
        Method::Options if !reserved && request.path().starts_with('/') => Route::Preflight,
        _ => Route::Control,
    }
}

/// Whether the path is a mount's playlist: no listener is at such a path.
fn is_playlist(path: &str) -> bool {
    let suffix = path.rsplit_once('.').map(|(_, suffix)| suffix);
    suffix.is_some_and(|suffix| matches!(suffix, "m3u" | "pls" | "xspf" | "vclt"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use corecast_protocol::http::Limits;
    use corecast_protocol::http1::{Parse, parse_request};

    #[test]
    fn mounts_have_every_path_that_is_not_controls() {
        for (line, expected) in [
            ("GET /live", Route::Listener),
            ("HEAD /live", Route::Listener),
            ("PUT /live", Route::Source),
            ("SOURCE /live", Route::Source),
            ("SOURCE /admin/x", Route::Source),
            ("PUT /api/v1/mounts", Route::Control),
            ("GET /", Route::Control),
            ("GET /?x", Route::Control),
            ("GET /health", Route::Control),
            ("GET /healthy", Route::Listener),
            ("GET /status-json.xsl?mount=/live", Route::Control),
            ("GET /admin/!POKE", Route::Control),
            ("GET /%61dmin/metadata", Route::Control),
            ("GET /administrator", Route::Listener),
            ("GET /live.m3u", Route::Control),
            ("HEAD /a/live.mp3.pls?x=.y", Route::Control),
            ("GET /live%2em3u", Route::Control),
            ("GET /live.xspf", Route::Control),
            ("GET /live.vclt", Route::Control),
            ("PUT /live.m3u", Route::Source),
            ("GET /live.m3u8", Route::Hls),
            ("HEAD /live/hls/v0.m3u8?_HLS_msn=1", Route::Hls),
            ("PUT /live.m3u8", Route::Source),
            ("GET /live?x=.m3u", Route::Listener),
            ("OPTIONS *", Route::Control),
            ("OPTIONS /live", Route::Preflight),
            ("OPTIONS /live/hls/v0.m3u8", Route::Preflight),
            ("OPTIONS /api/v1/mounts", Route::Control),
            ("POST /live", Route::Control),
            ("DELETE /live", Route::Control),
        ] {
            let head = Bytes::from(format!("{line} HTTP/1.1\r\nHost: t\r\n\r\n"));
            match parse_request(&head, &Limits::default()).expect("a good head") {
                Parse::Done { request, .. } => assert_eq!(route(&request), expected, "{line}"),
                Parse::Incomplete => panic!("{line} is whole"),
            }
        }
    }
}
