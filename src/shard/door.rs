//! Accepted connections: what is spoken on them, request after request for HTTP/1, and those for
//! which there is no place.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corecast_config::shown_ip;
use corecast_media::name::MountName;
use corecast_protocol::http::{Request, Version};
use corecast_protocol::http1::ResponseVersion;
use corecast_tls::acme::PROOF_PROTOCOL;
use monoio::time::Instant;

use crate::driver::Shard;
use crate::http::connection::{Connection, ConnectionSeat, NoRequest};
use crate::http::exchange::{Account, Exchange, Front, Input};
use crate::http::framing::render_last;
use crate::http::response::Response;
use crate::http::router::{Route, route};
use crate::http2;
use crate::net::acceptor::Accept;
use crate::net::link::Link;
use crate::net::tcp::TcpConnection;
use crate::net::tls::{HandshakeFault, TlsConnection};
use crate::net::wire::Wire;
use crate::probe::Refusal;
use crate::session::{answer, rtmp, shoutcast, source, tell_malformed};
use crate::task::isolated;

/// Connections over the limit whose closing is waited for at once; the answer to others may be
/// lost to a reset.
const REFUSALS_MAX: u32 = 32;

/// How long such a connection may still talk.
const LINGER_MAX: Duration = Duration::from_secs(1);

/// An acceptor.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) speech: Speech,
    pub(crate) front: Front,
}

/// What is spoken at an acceptor, over TLS or not.
#[derive(Clone, Debug)]
pub(crate) enum Speech {
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
    let seat = ConnectionSeat::taken(shard);
    let tcp = TcpConnection::new(fd);
    let (shard, tasks) = (Rc::clone(shard), Rc::clone(&shard.tasks));
    // Boxed once: each layer around a future would hold it twice otherwise.
    let serving: Pin<Box<dyn Future<Output = ()>>> = match door.front.secure {
        true => Box::pin(serve_secure(seat, tcp, peer, door.clone())),
        false => serve_link(seat, Link::Plain(tcp), peer, door),
    };
    tasks.spawn(async move {
        if let Err(panic) = isolated(serving).await {
            shard.probe.panics.add(1);
            let peer = shown_ip(peer.ip(), shard.config().log.redact_ip);
            tracing::error!(shard = shard.id.0, %peer, panic, "a session panicked and was ended");
        }
    });
}

fn serve_link(
    seat: ConnectionSeat,
    link: Link,
    peer: SocketAddr,
    door: &Door,
) -> Pin<Box<dyn Future<Output = ()>>> {
    let connection = Connection::new(seat, link, peer, door.front);
    match &door.speech {
        Speech::Http => Box::pin(serve(connection)),
        Speech::Rtmp => Box::pin(rtmp::serve(connection)),
        Speech::Shoutcast(mount) => Box::pin(shoutcast::serve(connection, mount.clone())),
    }
}

/// Shakes hands, then serves what was agreed on.
async fn serve_secure(seat: ConnectionSeat, tcp: TcpConnection, peer: SocketAddr, door: Door) {
    let shard = Rc::clone(seat.shard());
    let Some(credentials) = shard.credentials() else {
        // An acceptor for TLS is not opened without; there is nothing to say in plain.
        return;
    };
    let speaks_http = matches!(door.speech, Speech::Http);
    let config = match speaks_http {
        true => Arc::clone(&credentials.http),
        false => Arc::clone(&credentials.plain),
    };
    drop(credentials);
    let deadline = Instant::now() + shard.config().limits.header_timeout;
    let shaken = Box::pin(TlsConnection::accept(tcp, config, deadline)).await;
    let tls = match shaken {
        Ok(tls) => tls,
        Err(fault) => {
            shard.probe.handshakes_failed.add(1);
            tracing::debug!(shard = shard.id.0, %fault, "no TLS");
            if let (HandshakeFault::Foreign(tcp), true) = (fault, speaks_http) {
                let connection = Connection::new(seat, Link::Plain(tcp), peer, Front::default());
                let answer = Response::plain(400, "this port speaks HTTPS, not HTTP");
                Box::pin(connection.refuse(Version::Http11, answer)).await;
            }
            return;
        }
    };
    if tls.alpn() == Some(PROOF_PROTOCOL) {
        // An authority has seen what it came for (RFC 8737 section 3).
        return tls.close_in_order(LINGER_MAX, &shard.scratch).await;
    }
    let speaks_http2 = speaks_http && tls.alpn() == Some(b"h2");
    let link = Link::Tls(tls);
    if speaks_http2 {
        return Box::pin(http2::serve(seat, link, peer, door.front, Bytes::new())).await;
    }
    serve_link(seat, link, peer, &door).await;
}

/// Serves a connection until it ends or becomes a steady listener.
async fn serve(mut connection: Connection) {
    loop {
        let next = connection.next_request().await;
        let request = match next {
            Ok(request) => request,
            Err(NoRequest::Gone) => return connection.close(),
            Err(NoRequest::Http2) => {
                let (seat, link, peer, front, first) = connection.into_parts();
                return boxed(|| http2::serve(seat, link, peer, front, first)).await;
            }
            Err(NoRequest::Refused(bad)) => {
                let shard = Rc::clone(&connection.shard);
                tell_malformed(&shard, connection.peer, bad.status, bad.reason);
                let answer = Response::plain(bad.status, bad.reason);
                return boxed(|| connection.refuse(Version::Http11, answer)).await;
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
        front: connection.front_of(&request),
        account,
        request: &request,
        input: Input::Connection(&mut connection),
    };
    let response = answer(exchange).await?;
    connection.respond(account, &request, response).await
}

/// Makes a future on the heap, so that the task that waits for it has no room for it all along:
/// there may be nine thousand tasks that wait for a request.
fn boxed<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    Box::pin(make())
}

/// Tells a connection for which there is no place that it must come again later.
fn turn_away(shard: &Rc<Shard>, fd: OwnedFd, door: &Door) {
    shard
        .probe
        .refused
        .at(Refusal::ConnectionsMax as usize)
        .add(1);
    if door.front.secure || matches!(door.speech, Speech::Rtmp) {
        // Nothing can be said before the handshake.
        return;
    }
    let answer = Response::plain(503, "the server has all the connections it may have")
        .with("Retry-After", "5");
    let config = shard.config();
    let answer = render_last(ResponseVersion::Http11, answer, door.front, &config);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_waits_for_its_request_is_small() {
        fn future_bytes<F>(_: impl FnOnce(Connection) -> F) -> usize {
            size_of::<F>()
        }
        let bytes = future_bytes(serve);
        assert!(bytes <= 2_048, "{bytes} bytes for each of nine thousand");
    }
}
