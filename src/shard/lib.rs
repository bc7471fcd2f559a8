//! The data plane: one pinned thread per shard, its connections, mounts and readers.
//!
//! Reading order: [`hub`] (what decides: this shard's mounts, sources and listeners, pure),
//! [`net`] (sockets), `driver` (what carries the hub: rings, timer, whoever waits for it), `starts`
//! (of which listeners control hears), `door` (accepted connections), `http` (requests, answers and
//! HTTP/1), `http2` and `quic` (the front ends of HTTP/2 and 3), `admission` (who may come in),
//! `session` (sources and listeners), `hearing` (listeners that may talk), `relay` (sources that we
//! fetch ourselves), [`probe`] (what is counted).

pub mod hub;
pub mod net;
pub mod probe;

mod admission;
mod dial;
mod door;
mod driver;
mod forward;
mod hearing;
mod http;
mod http2;
mod joining;
mod publication;
mod quic;
mod relay;
mod session;
mod starts;
mod task;
#[cfg(test)]
mod testing;
mod waiting;

use std::io;
use std::net::{TcpListener, UdpSocket};
use std::num::NonZeroU16;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use corecast_config::{Config, Listen, ListenProtocol};
use corecast_media::intro::Intros;
use corecast_media::name::{MountName, ShardId};
use corecast_mesh::port::ShardPort;
use corecast_mesh::seats::NodeSeats;
use corecast_mesh::topology::Topology;
use corecast_tls::Credentials;
use rustix::thread::CpuSet;

use crate::door::{Door, Speech};
use crate::driver::Shard;
use crate::http::exchange::Front;
use crate::net::acceptor;
pub use crate::net::backend::{ResolvedBackend, probe_backend};
pub use crate::probe::ShardProbe;

/// How long the shard waits for its tasks once they are told to end.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// What a shard starts with.
#[derive(Debug)]
pub struct ShardSettings {
    /// Its index.
    pub id: ShardId,
    /// All shards of the node.
    pub topology: Topology,
    /// The CPU to be pinned to; none to run where the kernel likes.
    pub cpu: Option<usize>,
    /// The settings; [`corecast_mesh::message::FromControl::Reload`] replaces them.
    pub config: Arc<Config>,
    /// The intros that the settings name; [`corecast_mesh::message::FromControl::Intros`]
    /// replaces them.
    pub intros: Arc<Intros>,
    /// The counts that hold for the whole node.
    pub seats: Arc<NodeSeats>,
    /// Its end of the mesh.
    pub port: ShardPort,
    /// Its own listening sockets, one for each address (see [`net::acceptor::bind`]), and what is
    /// spoken there.
    pub listeners: Vec<(TcpListener, Listen)>,
    /// Its own sockets for QUIC, one for each acceptor of HTTPS that speaks HTTP/3.
    pub datagrams: Vec<(UdpSocket, Listen)>,
    /// What TLS and QUIC are spoken with; none where no acceptor needs it.
    /// [`corecast_mesh::message::FromControl::Credentials`] replaces it.
    pub tls: Option<Arc<Credentials>>,
    /// The I/O engine.
    pub backend: ResolvedBackend,
    /// The zero of the node's clock, the same for all planes.
    pub started: Instant,
    /// What it counts.
    pub probe: Arc<ShardProbe>,
}

/// Runs a shard on this thread until it has drained
/// ([`corecast_mesh::message::FromControl::Drain`]).
///
/// # Errors
/// The I/O engine cannot be set up, or its listeners and doorbell cannot be watched.
pub fn run(mut settings: ShardSettings) -> io::Result<()> {
    if let Some(cpu) = settings.cpu {
        pin(settings.id, cpu);
    }
    let backend = settings.backend;
    let listeners = std::mem::take(&mut settings.listeners);
    let datagrams = std::mem::take(&mut settings.datagrams);
    backend.block_on(serve(settings, listeners, datagrams))?
}

/// Pins this thread. A shard that cannot be pinned serves all the same.
fn pin(shard: ShardId, cpu: usize) {
    let mut set = CpuSet::new();
    let fits = cpu < CpuSet::MAX_CPU;
    if fits {
        set.set(cpu);
    }
    let pinned = fits && rustix::thread::sched_setaffinity(None, &set).is_ok();
    if !pinned {
        tracing::warn!(
            shard = shard.0,
            cpu,
            "shard is not pinned: the CPU is not ours"
        );
    }
}

async fn serve(
    settings: ShardSettings,
    listeners: Vec<(TcpListener, Listen)>,
    datagrams: Vec<(UdpSocket, Listen)>,
) -> io::Result<()> {
    let shard = Shard::new(settings);
    spawn_part(
        &shard,
        "mesh",
        |shard| async move { shard.run_mesh().await },
    );
    spawn_part(
        &shard,
        "timer",
        |shard| async move { shard.run_timer().await },
    );
    spawn_part(&shard, "relays", |shard| async move {
        relay::run(&shard).await;
        Ok(())
    });
    spawn_part(&shard, "forwards", |shard| async move {
        forward::run(&shard).await;
        Ok(())
    });
    spawn_part(&shard, "hearing", |shard| async move {
        hearing::run(&shard).await
    });
    spawn_part(&shard, "canary", |shard| async move {
        shard.run_canary().await;
        Ok(())
    });
    for (listener, listen) in listeners {
        let listener = Rc::new(listener);
        let speech = match listen.protocol {
            ListenProtocol::Http | ListenProtocol::Https => Speech::Http,
            ListenProtocol::Rtmp | ListenProtocol::Rtmps => Speech::Rtmp,
            ListenProtocol::Shoutcast => Speech::Shoutcast(shoutcast_mount(&listen)?),
        };
        let front = Front {
            secure: listen.protocol.is_tls(),
            http3_port: match datagrams.iter().any(|(_, at)| *at == listen) {
                true => NonZeroU16::new(listener.local_addr()?.port()),
                false => None,
            },
        };
        let door = Door { speech, front };
        spawn_part(&shard, "acceptor", move |shard| {
            let (listener, door) = (Rc::clone(&listener), door.clone());
            async move {
                let handle = |accept| door::handle_accept(&shard, accept, &door);
                acceptor::run(listener.try_clone()?, handle).await
            }
        });
    }
    for (number, (socket, _)) in (0..).zip(datagrams) {
        let socket = Rc::new(socket);
        spawn_part(&shard, "quic", move |shard| {
            let socket = Rc::clone(&socket);
            async move { quic::run(shard, socket.try_clone()?, number).await }
        });
    }
    shard.drained().await;
    shard.tasks.close(CLOSE_MAX).await;
    Ok(())
}

/// The mount that Shoutcast sources of an acceptor feed.
fn shoutcast_mount(listen: &Listen) -> io::Result<MountName> {
    MountName::parse(&listen.shoutcast_mount).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// Starts one of the shard's own tasks. It never ends: should it fail or panic, that is logged
/// and counted, and it starts again.
fn spawn_part<F>(shard: &Rc<Shard>, part: &'static str, start: impl Fn(Rc<Shard>) -> F + 'static)
where
    F: Future<Output = io::Result<()>> + 'static,
{
    const PAUSE: Duration = Duration::from_millis(20);
    let (shard, tasks) = (Rc::clone(shard), Rc::clone(&shard.tasks));
    tasks.spawn(async move {
        loop {
            let error = match task::isolated(start(Rc::clone(&shard))).await {
                Ok(Ok(())) => "it ended".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(panic) => {
                    shard.probe.panics.add(1);
                    panic
                }
            };
            tracing::error!(
                shard = shard.id.0,
                part,
                error,
                "part of a shard failed, restarted"
            );
            monoio::time::sleep(PAUSE).await;
        }
    });
}
