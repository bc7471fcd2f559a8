//! What of its shard an endpoint needs.

use std::cell::RefCell;
use std::io;
use std::net::UdpSocket;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use corecast_media::name::ShardId;
use corecast_mesh::message::Datagrams;
use corecast_protocol::quic::token::TokenKey;
use corecast_tls::Credentials;

use super::answer::{self, Origin};
use super::connection::Patience;
use super::endpoint::{Crossed, Endpoint, Host, Place, random};
use super::stream::RequestStream;
use super::{tls, turns};
use crate::driver::Shard;
use crate::http::exchange::Front;
use crate::http::response::Answering;
use crate::net::udp::UdpPort;

/// A shard, as its endpoint for the acceptor `acceptor` sees it.
struct ShardHost {
    shard: Rc<Shard>,
    acceptor: u16,
    front: Front,
    /// What the settings of connections were made from.
    made_from: RefCell<Option<Arc<Credentials>>>,
}

/// Serves HTTP/3 at `socket` for ever; the other shards know the address as `acceptor` too.
///
/// # Errors
/// The socket cannot be watched.
pub(crate) async fn run(shard: Rc<Shard>, socket: UdpSocket, acceptor: u16) -> io::Result<()> {
    let port = UdpPort::new(socket)?;
    let host = ShardHost {
        shard: Rc::clone(&shard),
        acceptor,
        // Who came by HTTP/3 need not be told where it is.
        front: Front {
            secure: true,
            http3_port: None,
        },
        made_from: RefCell::default(),
    };
    let place = Place {
        shard: shard.id.0,
        shards: shard.shards,
        seats: Arc::clone(&shard.seats),
        probe: Arc::clone(&shard.probe),
        tasks: Rc::clone(&shard.tasks),
        key: token_key(&shard),
        started: shard.started,
    };
    let endpoint = Endpoint::new(place, Box::new(host)).map_err(io::Error::other)?;
    shard.endpoints.enter(acceptor, &endpoint);
    let told = Rc::clone(&endpoint);
    let drained = Rc::clone(&shard);
    shard.tasks.spawn(async move {
        drained.draining.wait().await;
        told.wake();
    });
    turns::run(endpoint, port).await
}

/// The key of the node's tokens.
fn token_key(shard: &Shard) -> TokenKey {
    match shard.credentials() {
        Some(credentials) => TokenKey::derived(&credentials.quic_secret),
        None => TokenKey::new(random()),
    }
}

impl Host for ShardHost {
    fn renew(&self, config: &mut Option<quiche::Config>) {
        let credentials = self.shard.credentials();
        let mut made_from = self.made_from.borrow_mut();
        let same = match (&credentials, &*made_from) {
            (Some(now), Some(before)) => Arc::ptr_eq(now, before),
            (now, before) => now.is_none() && before.is_none(),
        };
        if same {
            return;
        }
        made_from.clone_from(&credentials);
        let idle_timeout = self.shard.config().limits.idle_timeout;
        match credentials.map(|credentials| tls::config(certificates(credentials), idle_timeout)) {
            Some(Ok(made)) => *config = Some(made),
            // Those from before go on.
            Some(Err(error)) => {
                tracing::error!(
                    shard = self.shard.id.0,
                    error,
                    "no new certificates for HTTP/3"
                );
            }
            None => *config = None,
        }
    }

    fn head_bytes_max(&self) -> u64 {
        u64::from(self.shard.config().limits.header_bytes_max)
    }

    fn patience(&self) -> Patience {
        let limits = &self.shard.config().limits;
        Patience {
            handshake: limits.header_timeout,
            idle: limits.idle_timeout,
        }
    }

    fn is_draining(&self) -> bool {
        self.shard.is_draining()
    }

    fn hold(&self) -> Box<dyn std::any::Any> {
        Box::new(Answering::new(&self.shard))
    }

    fn answer(&self, stream: RequestStream) -> Pin<Box<dyn Future<Output = ()>>> {
        let origin = Origin {
            shard: Rc::clone(&self.shard),
            front: self.front,
        };
        Box::pin(answer::serve(origin, stream))
    }

    fn hand_over(&self, to: ShardId, crossed: Crossed) {
        let Crossed { arrival, packets } = crossed;
        let datagrams = Datagrams {
            acceptor: self.acceptor,
            from: arrival.from,
            to: arrival.to,
            stride: arrival.stride,
            packets,
        };
        self.shard.send_datagrams(to, datagrams);
    }
}

pub(super) fn certificates(credentials: Arc<Credentials>) -> tls::Certificates {
    let list = credentials
        .identities
        .iter()
        .map(|identity| tls::Certificate {
            chain_pem: identity.chain_pem.clone(),
            key_pem: identity.key_pem.clone(),
            ocsp: identity.ocsp.clone(),
        });
    tls::Certificates {
        list: list.collect(),
        ticket_key: credentials.quic_ticket_key,
        choose: Box::new(move |name, schemes| credentials.choose(name, schemes)),
    }
}
