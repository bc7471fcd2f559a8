//! Sessions: what a connection is for once its request is read.
//!
//! Reading order: this file (from a request to who answers it), [`auth`] (who may feed a mount),
//! [`question`] (whom control is asked about), [`source`], [`shoutcast`] (sources of old),
//! [`rtmp`], [`listener`], [`stream`] (which stream a path names), [`hls`], [`passes`] (who was let
//! in to it).

pub(crate) mod auth;
pub(crate) mod hls;
pub(crate) mod listener;
pub(crate) mod passes;
pub(crate) mod question;
pub(crate) mod rtmp;
pub(crate) mod shoutcast;
pub(crate) mod source;
pub(crate) mod stream;
pub(crate) mod websocket;

#[cfg(test)]
pub(crate) mod tests;

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use corecast_mesh::message::{AccessRecord, EndReason};
use corecast_protocol::http::{Method, Request};

use crate::admission::bars;
use crate::driver::Shard;
use crate::http::control;
use crate::http::exchange::Exchange;
use crate::http::redirect::redirect;
use crate::http::response::Response;
use crate::http::router::{Route, route};
use crate::probe::RequestKind;
use stream::is_output;

/// Answers a request, whatever version of HTTP brought it: the one path of all of them. Nothing
/// where the peer has gone meanwhile.
pub(crate) async fn answer(exchange: Exchange<'_>) -> Option<Response> {
    let (shard, front) = (Rc::clone(&exchange.shard), exchange.front);
    let mut response = dispatch(exchange).await?;
    response.complete(front, &shard.config());
    Some(response)
}

async fn dispatch(mut exchange: Exchange<'_>) -> Option<Response> {
    let (shard, request) = (Rc::clone(&exchange.shard), exchange.request);
    let config = shard.config();
    let refused = bars::bar(&config, exchange.peer().ip(), request);
    if let Some(refused) = refused.filter(|_| !asks_for_proof(request)) {
        shard.probe.refused.at(refused.counted as usize).add(1);
        return Some(Response::refusal(&refused).last());
    }
    let route = route(request);
    let kind = match route {
        Route::Source => RequestKind::Source,
        Route::Listener => RequestKind::Listener,
        Route::Hls => RequestKind::Hls,
        Route::Preflight | Route::Control => RequestKind::Control,
    };
    shard.probe.requests.at(kind as usize).add(1);
    let plays = match route {
        Route::Hls => true,
        Route::Listener => is_output(&config, request.path()),
        Route::Source | Route::Preflight | Route::Control => false,
    };
    if let Some(response) = redirect(&config, exchange.front, request, plays) {
        return Some(response);
    }
    match route {
        // Encoders speak HTTP/1, and that front end takes them away before.
        Route::Source => Some(Response::plain(501, "sources are heard over HTTP/1")),
        Route::Listener => Box::pin(listener::answer(&mut exchange)).await,
        Route::Hls => Box::pin(hls::answer(&mut exchange)).await,
        Route::Preflight => Some(hls::preflight()),
        Route::Control => Box::pin(control::answer(&mut exchange)).await,
    }
}

/// Whether this may be an authority that wants to know whether a name is ours (RFC 8555 section
/// 8.3): nobody knows from where it comes.
fn asks_for_proof(request: &Request) -> bool {
    matches!(request.method(), Method::Get | Method::Head)
        && request.path().starts_with("/.well-known/acme-challenge/")
}

/// Counts bytes that were no request, and writes the access log's line for them.
pub(crate) fn tell_malformed(shard: &Shard, peer: SocketAddr, status: u16, reason: &str) {
    let kind = RequestKind::Malformed;
    shard.probe.requests.at(kind as usize).add(1);
    shard.tell_access(AccessRecord {
        session: shard.next_session(),
        peer,
        user: None,
        request: format!("- ({reason})").into(),
        status,
        bytes: 0,
        referer: "".into(),
        user_agent: "".into(),
        duration: Duration::ZERO,
        reason: EndReason::Malformed,
        mount: None,
    });
}
