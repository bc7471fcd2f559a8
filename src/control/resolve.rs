//! Names of hosts, resolved for shards, which never wait for a resolver.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use corecast_media::name::SessionId;
use corecast_mesh::message::FromControl;

use crate::node::Node;

/// How long the system may take; the shard waits longer.
const RESOLVE_MAX: Duration = Duration::from_secs(8);

/// The most addresses that are told.
const ADDRESSES_MAX: usize = 8;

/// Answers `session` with the addresses of `host` once the system knows them.
pub(crate) fn start(node: &Arc<Node>, session: SessionId, host: Box<str>, port: u16) {
    let node = Arc::clone(node);
    tokio::spawn(async move {
        let found = tokio::net::lookup_host((&*host, port));
        let addresses: Vec<SocketAddr> = match tokio::time::timeout(RESOLVE_MAX, found).await {
            Ok(Ok(found)) => found.take(ADDRESSES_MAX).collect(),
            _ => Vec::new(),
        };
        let answer = FromControl::Resolved { session, addresses };
        node.send(session.shard(), answer);
    });
}
