//! Sessions: what a connection is for once its request is read.
//!
//! Reading order: this file (from an accepted connection to its session), [`auth`] (who may feed
//! a mount), [`source`], [`listener`].

pub(crate) mod auth;
pub(crate) mod listener;
pub(crate) mod source;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use corecast_mesh::message::{AccessRecord, EndReason};

use crate::driver::Shard;
use crate::http::connection::{Connection, NoRequest};
use crate::http::control::{self, After};
use crate::http::response::Plain;
use crate::http::router::{Route, route};
use crate::net::acceptor::Accept;
use crate::net::tcp::TcpConnection;
use crate::probe::{Refusal, RequestKind};
use crate::task::isolated;

/// Connections over the limit that are told so in good order at once; others are just closed.
const REFUSALS_MAX: u32 = 32;

/// Takes what the acceptor brings: starts a task, or refuses the connection.
pub(crate) fn handle_accept(shard: &Rc<Shard>, accept: Accept) {
    match accept {
        Accept::Connection(fd, peer) => {
            shard.probe.connections_accepted.add(1);
            if shard.seats.connections.take() {
                start(shard, fd, peer);
            } else {
                turn_away(shard, fd);
            }
        }
        Accept::Failed(error) => {
            shard.probe.accepts_failed.add(1);
            tracing::debug!(shard = shard.id.0, %error, "accept failed");
        }
    }
}

fn start(shard: &Rc<Shard>, fd: OwnedFd, peer: SocketAddr) {
    let connection = Connection::new(Rc::clone(shard), fd, peer);
    let (shard, tasks) = (Rc::clone(shard), Rc::clone(&shard.tasks));
    tasks.spawn(async move {
        if let Err(panic) = isolated(serve(connection)).await {
            shard.probe.panics.add(1);
            tracing::error!(shard = shard.id.0, %peer, panic, "a session panicked and was ended");
        }
    });
}

/// Tells a connection for which there is no place that it must come again later.
fn turn_away(shard: &Rc<Shard>, fd: OwnedFd) {
    shard
        .probe
        .refused
        .at(Refusal::ConnectionsMax as usize)
        .add(1);
    if shard.refusals.get() >= REFUSALS_MAX {
        return;
    }
    shard.refusals.set(shard.refusals.get() + 1);
    let (shard, tasks) = (Rc::clone(shard), Rc::clone(&shard.tasks));
    tasks.spawn(async move {
        let mut answer = Plain::to_nobody(503, "the server has all the connections it may have");
        answer.extra = Some(("Retry-After", "5"));
        let answer = answer.render();
        let mut tcp = TcpConnection::new(fd);
        if tcp.try_send(&[std::io::IoSlice::new(&answer)]).is_ok() {
            tcp.close_in_order(std::time::Duration::from_secs(1), &shard.scratch)
                .await;
        }
        shard.refusals.set(shard.refusals.get() - 1);
    });
}

/// Serves a connection until it ends or becomes a steady listener.
async fn serve(mut connection: Connection) {
    loop {
        let request = match connection.next_request().await {
            Ok(request) => request,
            Err(NoRequest::Gone) => return,
            Err(NoRequest::Refused(bad)) => {
                connection
                    .shard
                    .probe
                    .requests
                    .at(RequestKind::Malformed as usize)
                    .add(1);
                tell_malformed(&connection, bad.status, bad.reason);
                return connection
                    .refuse(Plain::to_nobody(bad.status, bad.reason))
                    .await;
            }
        };
        let count = |kind: RequestKind| connection.shard.probe.requests.at(kind as usize).add(1);
        match route(&request) {
            Route::Source => {
                count(RequestKind::Source);
                return source::run(connection, request).await;
            }
            Route::Listener => {
                count(RequestKind::Listener);
                match listener::run(connection, &request).await {
                    Some(kept) => connection = kept,
                    None => return,
                }
            }
            Route::Control => {
                count(RequestKind::Control);
                match control::answer(&mut connection, &request).await {
                    After::KeepAlive => {}
                    After::Close => return connection.close_in_order().await,
                    After::Abort => return,
                }
            }
        }
    }
}

/// The access log's line for bytes that were no request.
fn tell_malformed(connection: &Connection, status: u16, reason: &str) {
    let shard = &connection.shard;
    shard.tell_access(AccessRecord {
        session: shard.next_session(),
        peer: connection.peer,
        user: None,
        request: format!("- ({reason})").into(),
        status,
        bytes: 0,
        referer: "".into(),
        user_agent: "".into(),
        duration: std::time::Duration::ZERO,
        reason: EndReason::Malformed,
        mount: None,
    });
}
