//! Connections of our own to other servers.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use corecast_media::name::SessionId;
use corecast_mesh::message::ToControl;

use crate::driver::Shard;
use crate::net::tcp::TcpConnection;

/// How long a name may take to be resolved.
const RESOLVE_MAX: Duration = Duration::from_secs(10);

/// How long one address may take to be connected to.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// The most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 4;

/// Connects to the first address of `host` that answers, for `session`.
///
/// # Errors
/// Why not, for people.
pub(crate) async fn dial(
    shard: &Rc<Shard>,
    session: SessionId,
    host: &str,
    port: u16,
) -> Result<(TcpConnection, SocketAddr), String> {
    let mut why = format!("{host} has no address");
    let addresses = addresses(shard, session, host, port).await?;
    for address in addresses.into_iter().take(ADDRESSES_MAX) {
        let connected = monoio::time::timeout(CONNECT_MAX, TcpConnection::connect(address)).await;
        match connected {
            Ok(Ok(tcp)) => return Ok((tcp, address)),
            Ok(Err(error)) => why = format!("connect to {address}: {error}"),
            Err(_) => why = format!("connect to {address}: no answer"),
        }
    }
    Err(why)
}

/// Control resolves names; a shard never waits for a resolver.
async fn addresses(
    shard: &Rc<Shard>,
    session: SessionId,
    host: &str,
    port: u16,
) -> Result<Vec<SocketAddr>, String> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let answered = shard.resolved.expect(session);
    let _asked = Resolution(shard, session);
    shard.tell_control(ToControl::Resolve {
        session,
        host: host.into(),
        port,
    });
    match monoio::time::timeout(RESOLVE_MAX, answered).await {
        Ok(Ok(addresses)) => Ok(addresses),
        _ => Err(format!("{host} was not resolved in time")),
    }
}

/// A question to control for addresses. Withdrawn when dropped.
struct Resolution<'a>(&'a Rc<Shard>, SessionId);

impl Drop for Resolution<'_> {
    fn drop(&mut self) {
        self.0.resolved.forget(self.1);
    }
}
