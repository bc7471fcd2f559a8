//! Sessions: what a connection is for once its request is read.
//!
//! Reading order: this file (from an accepted connection to its session), [`auth`] (who may feed a
//! mount), [`question`] (whom control is asked about), [`source`], [`shoutcast`] (sources of old),
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

use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use corecast_config::shown_ip;
use corecast_media::name::MountName;
use corecast_mesh::message::{AccessRecord, EndReason};
use corecast_protocol::http::{Request, Version};
use corecast_protocol::http1::ResponseVersion;

use crate::admission::bars;
use crate::driver::Shard;
use crate::http::connection::{Connection, NoRequest};
use crate::http::control;
use crate::http::exchange::{Account, Exchange, Input};
use crate::http::framing::render_last;
use crate::http::response::Response;
use crate::http::router::{Route, route};
use crate::net::acceptor::Accept;
use crate::net::link::Link;
use crate::net::tcp::TcpConnection;
use crate::probe::{Refusal, RequestKind};
use crate::task::isolated;

/// Connections over the limit whose closing is waited for at once; the answer to others may be
/// lost to a reset.
const REFUSALS_MAX: u32 = 32;

/// How long such a connection may still talk.
const LINGER_MAX: Duration = Duration::from_secs(1);

/// What is spoken at an acceptor.
#[derive(Clone, Debug)]
pub(crate) enum Door {
    /// HTTP.
    Http,
    /// RTMP.
    Rtmp,
    /// Legacy Shoutcast sources; the mount that they feed, since they name none.
    Shoutcast(MountName),
}

/// Takes what the acceptor brings: starts a task, or refuses the connection.
pub(crate) fn handle_accept(shard: &Rc<Shard>, accept: Accept, door: &Door) {
    match accept {
        Accept::Connection(fd, peer) => {
            shard.probe.connections_accepted.add(1);
            if shard.seats.connections.take() {
                start(shard, fd, peer, door);
            } else {
                turn_away(shard, fd, door);
            }
        }
        Accept::Failed(error) => {
            shard.probe.accepts_failed.add(1);
            tracing::debug!(shard = shard.id.0, %error, "accept failed");
        }
    }
}

fn start(shard: &Rc<Shard>, fd: OwnedFd, peer: SocketAddr, door: &Door) {
    let link = Link::Plain(TcpConnection::new(fd));
    let connection = Connection::new(Rc::clone(shard), link, peer);
    let (shard, tasks) = (Rc::clone(shard), Rc::clone(&shard.tasks));
    // Boxed once: each layer around a future would hold it twice otherwise.
    let serving: Pin<Box<dyn Future<Output = ()>>> = match door {
        Door::Http => Box::pin(serve(connection)),
        Door::Rtmp => Box::pin(rtmp::serve(connection)),
        Door::Shoutcast(mount) => Box::pin(shoutcast::serve(connection, mount.clone())),
    };
    tasks.spawn(async move {
        if let Err(panic) = isolated(serving).await {
            shard.probe.panics.add(1);
            let peer = shown_ip(peer.ip(), shard.config().log.redact_ip);
            tracing::error!(shard = shard.id.0, %peer, panic, "a session panicked and was ended");
        }
    });
}

/// Tells a connection for which there is no place that it must come again later.
fn turn_away(shard: &Rc<Shard>, fd: OwnedFd, door: &Door) {
    shard
        .probe
        .refused
        .at(Refusal::ConnectionsMax as usize)
        .add(1);
    if matches!(door, Door::Rtmp) {
        // Nothing can be said before the handshake.
        return;
    }
    let answer = Response::plain(503, "the server has all the connections it may have")
        .with("Retry-After", "5");
    let answer = render_last(ResponseVersion::Http11, &answer);
    let mut tcp = TcpConnection::new(fd);
    let sent = tcp.try_send(&[IoSlice::new(&answer)]);
    if sent.is_err() || shard.refusals.get() >= REFUSALS_MAX {
        return;
    }
    let refusal = Lingering::new(shard);
    shard.tasks.spawn(async move {
        tcp.close_in_order(LINGER_MAX, &refusal.0.scratch).await;
    });
}

/// A refused connection that still holds a descriptor.
struct Lingering(Rc<Shard>);

impl Lingering {
    fn new(shard: &Rc<Shard>) -> Self {
        shard.refusals.set(shard.refusals.get() + 1);
        Lingering(Rc::clone(shard))
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        self.0.refusals.set(self.0.refusals.get() - 1);
    }
}

/// Serves a connection until it ends or becomes a steady listener.
async fn serve(mut connection: Connection) {
    loop {
        let next = connection.next_request().await;
        let request = match next {
            Ok(request) => request,
            Err(NoRequest::Gone) => return,
            Err(NoRequest::Refused(bad)) => {
                let shard = Rc::clone(&connection.shard);
                tell_malformed(&shard, connection.peer, bad.status, bad.reason);
                let answer = Response::plain(bad.status, bad.reason);
                return boxed(|| connection.refuse(Version::Http11, &answer)).await;
            }
        };
        match boxed(|| serve_request(connection, request)).await {
            Some(kept) => connection = kept,
            None => return,
        }
    }
}

/// Serves one request. The connection comes back where it may bring another.
async fn serve_request(mut connection: Connection, request: Request) -> Option<Connection> {
    if route(&request) == Route::Source {
        boxed(|| source::run(connection, request)).await;
        return None;
    }
    let shard = Rc::clone(&connection.shard);
    let account = Account::open(&shard, connection.peer);
    let exchange = Exchange {
        shard,
        account,
        request: &request,
        input: Input::Connection(&mut connection),
    };
    let response = answer(exchange).await?;
    connection.respond(account, &request, response).await
}

/// Answers a request, whatever version of HTTP brought it: the one path of all of them. Nothing
/// where the peer has gone meanwhile.
pub(crate) async fn answer(mut exchange: Exchange<'_>) -> Option<Response> {
    let (shard, request) = (Rc::clone(&exchange.shard), exchange.request);
    if let Some(refused) = bars::bar(&shard.config(), exchange.peer().ip(), request) {
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
    match route {
        // Encoders speak HTTP/1, and that front end takes them away before.
        Route::Source => Some(Response::plain(501, "sources are heard over HTTP/1")),
        Route::Listener => boxed(|| listener::answer(&mut exchange)).await,
        Route::Hls => boxed(|| hls::answer(&mut exchange)).await,
        Route::Preflight => Some(hls::preflight()),
        Route::Control => boxed(|| control::answer(&mut exchange)).await,
    }
}

/// Makes a future on the heap, so that the task that waits for it has no room for it all along:
/// there may be nine thousand tasks that wait for a request.
fn boxed<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    Box::pin(make())
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
