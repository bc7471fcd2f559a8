//! Endpoints over loopback, with a client that loses packets, moves and breaks rules; and in
//! memory.

mod bounds;
mod certificates;
mod client;
mod cuts;
mod desk;
mod life;
mod memory;
mod moves;
mod rules;
mod stapled;
mod websocket;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use corecast_config::Config;
use corecast_tls::Credentials;

use self::client::Client;
use crate::net::udp;
use crate::testing::{BACKENDS, Node, config, self_signed};

/// A certificate for `localhost`.
fn credentials() -> Arc<Credentials> {
    self_signed().0
}

/// One test on a node of `shards` with each engine; it gets the address for QUIC.
fn on_each(shards: u16, test: impl Fn(&mut Node, SocketAddr) + Sync) {
    let bound = || {
        let sockets = udp::bind((Ipv4Addr::LOCALHOST, 0).into(), shards).expect("a port is free");
        let _ = udp::steer(&sockets);
        sockets
    };
    on_sockets(config, bound, credentials, test);
}

/// The same where the kernel gives packets to any shard.
fn on_each_unsteered(shards: u16, test: impl Fn(&mut Node, SocketAddr) + Sync) {
    let bound = || udp::bind((Ipv4Addr::LOCALHOST, 0).into(), shards);
    on_sockets(
        config,
        || bound().expect("a port is free"),
        credentials,
        test,
    );
}

/// The same with other settings or certificates, on sockets for as many shards.
fn on_sockets(
    config: impl Fn() -> Config + Sync,
    bind: impl Fn() -> Vec<UdpSocket> + Sync,
    credentials: impl Fn() -> Arc<Credentials> + Sync,
    test: impl Fn(&mut Node, SocketAddr) + Sync,
) {
    std::thread::scope(|scope| {
        for backend in BACKENDS {
            let (config, bind) = (&config, &bind);
            let (credentials, test) = (&credentials, &test);
            scope.spawn(move || {
                let sockets = bind();
                let shards = u16::try_from(sockets.len()).expect("a few");
                let at = sockets[0].local_addr().expect("it is bound");
                let tls = Some(credentials());
                let mut node = Node::start_with(backend, shards, config(), sockets, tls);
                test(&mut node, at);
            });
        }
    });
}

/// A socket of a client.
fn socket() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free")
}

/// What all shards counted together.
fn counted(node: &Node, count: impl Fn(&crate::ShardProbe) -> u64) -> u64 {
    node.probes.iter().map(|probe| count(probe)).sum()
}
