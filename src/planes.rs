//! The threads of the server: one for each shard, one for control, joined by the mesh.

use std::any::Any;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use corecast_config::{Config, Limits, Listen};
use corecast_control::{Certificates, Control, ControlHandle, ControlSettings};
use corecast_media::intro::Intros;
use corecast_mesh::lockout::Lockouts;
use corecast_mesh::port::{Capacities, Mesh, Plane, mesh};
use corecast_mesh::probe::MeshProbe;
use corecast_mesh::seats::{NodeSeats, Players, Seats};
use corecast_mesh::topology::Topology;
use corecast_shard::net::{acceptor, udp};
use corecast_shard::{ResolvedBackend, ShardProbe, ShardSettings, probe_backend};
use corecast_telemetry::registry::Registry;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::machine;

/// How long the planes may take to come up.
const START_MAX: Duration = Duration::from_secs(10);

/// What the planes will stand on; no thread runs yet.
pub(crate) struct Ground {
    /// The shards.
    pub topology: Topology,
    /// The CPU of each shard, in order.
    pub cpus: Vec<usize>,
    /// The I/O engine of all shards.
    pub backend: ResolvedBackend,
    /// Why it is not io_uring, where that was wished for.
    pub no_io_uring: Option<String>,
    /// Why the kernel does not bring packets of QUIC to their shards; they hand them on then.
    pub unsteered: Option<io::Error>,
    /// Where connections are taken.
    pub addresses: Vec<SocketAddr>,
    /// Open connections at most.
    pub connections_max: u32,
    /// The sockets of each shard, in order.
    sockets: Vec<ShardSockets>,
}

impl Ground {
    /// Takes from the machine what `config` asks for.
    ///
    /// # Errors
    /// Everything that cannot be had, one line each.
    pub(crate) fn prepare(config: &Config) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        let open_files = machine::raise_open_files();
        let mut note = |fault: String| faults.push(fault);
        let cpus = machine::shard_cpus(&config.shards.count)
            .map_err(&mut note)
            .ok();
        let backend = probe_backend(config.shards.backend);
        let backend = backend
            .map_err(|fault| note(format!("shards.backend: {fault}")))
            .ok();
        let shards = cpus.as_ref().map_or(1, |cpus| cpus.len() as u16);
        let mut addresses = Vec::new();
        let mut sockets: Vec<ShardSockets> = (0..shards).map(|_| ShardSockets::default()).collect();
        let mut unsteered = None;
        for listen in &config.listen {
            match bind(listen, &mut sockets, &config.limits, &mut unsteered) {
                Err(error) => note(format!("listen.address {}: {error}", listen.address)),
                Ok(address) => addresses.push(address),
            }
        }
        let (Some(cpus), Some((backend, no_io_uring)), true) = (cpus, backend, faults.is_empty())
        else {
            return Err(faults);
        };
        let possible = machine::connections_max(open_files, shards);
        let connections_max = match config.limits.connections_max {
            0 => possible,
            wanted => wanted.min(possible),
        };
        Ok(Ground {
            topology: Topology::new(shards),
            cpus,
            backend,
            no_io_uring,
            unsteered,
            addresses,
            connections_max,
            sockets,
        })
    }

    /// No seat taken of those that `config` and the machine allow.
    pub(crate) fn seats(&self, config: &Config) -> NodeSeats {
        NodeSeats {
            listeners: Seats::new(config.limits.listeners_max),
            sources: Seats::new(config.limits.sources_max),
            connections: Seats::new(self.connections_max),
            lockouts: Lockouts::default(),
            players: Players::default(),
        }
    }
}

/// The sockets of one shard, each with the acceptor that it is of.
#[derive(Default)]
struct ShardSockets {
    listeners: Vec<(TcpListener, Listen)>,
    datagrams: Vec<(UdpSocket, Listen)>,
}

/// Binds an acceptor for every shard; HTTP/3 is at the same port. Returns its address. Where the
/// kernel does not bring packets of HTTP/3 to their shards, `unsteered` says why.
fn bind(
    listen: &Listen,
    sockets: &mut [ShardSockets],
    limits: &Limits,
    unsteered: &mut Option<io::Error>,
) -> io::Result<SocketAddr> {
    let count = sockets.len() as u16;
    let listeners = acceptor::bind(listen.address, count, limits)?;
    let first = listeners.first().ok_or(io::ErrorKind::InvalidInput)?;
    let address = first.local_addr()?;
    let datagrams = match listen.speaks_http3() {
        true => udp::bind(address, count)?,
        false => Vec::new(),
    };
    if let Err(error) = udp::steer(&datagrams) {
        *unsteered = Some(error);
    }
    for (shard, one) in sockets.iter_mut().zip(listeners) {
        shard.listeners.push((one, listen.clone()));
    }
    for (shard, one) in sockets.iter_mut().zip(datagrams) {
        shard.datagrams.push((one, listen.clone()));
    }
    Ok(address)
}

/// How a plane ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It drained, or was told to stop.
    Done,
    /// It failed or panicked: why.
    Failed(String),
}

/// The running threads.
pub(crate) struct Planes {
    /// What control is told.
    pub control: ControlHandle,
    /// What each shard counts, in order.
    pub probes: Vec<Arc<ShardProbe>>,
    /// Planes that have ended, as they do.
    pub ends: UnboundedReceiver<(Plane, End)>,
}

impl Planes {
    /// Starts every plane.
    ///
    /// # Errors
    /// A thread or a doorbell cannot be made.
    pub(crate) fn start(
        ground: Ground,
        config: &Arc<Config>,
        intros: &Arc<Intros>,
        certificates: Certificates,
        seats: &Arc<NodeSeats>,
        started: Instant,
    ) -> io::Result<Self> {
        let topology = ground.topology;
        let Mesh {
            shards,
            control: port,
            stats,
        } = mesh(topology, Capacities::of(topology))?;
        let probes: Vec<_> = topology
            .ids()
            .map(|_| Arc::new(ShardProbe::new()))
            .collect();
        let mut registry = Registry::new();
        registry.register(Arc::new(MeshProbe::new(Arc::clone(&stats))));
        probes
            .iter()
            .for_each(|probe| registry.register(Arc::clone(probe)));
        let (report, ends) = unbounded_channel();

        let pinned = |cpu| config.shards.pin.then_some(cpu);
        let seats_of_shards = shards.into_iter().zip(ground.cpus).zip(ground.sockets);
        for (((port, cpu), sockets), probe) in seats_of_shards.zip(&probes) {
            let settings = ShardSettings {
                id: port.id(),
                topology,
                cpu: pinned(cpu),
                config: Arc::clone(config),
                intros: Arc::clone(intros),
                seats: Arc::clone(seats),
                port,
                listeners: sockets.listeners,
                datagrams: sockets.datagrams,
                tls: certificates.credentials(),
                backend: ground.backend,
                started,
                probe: Arc::clone(probe),
            };
            start_shard(settings, report.clone())?;
        }
        let (control, handle) = Control::new(ControlSettings {
            topology,
            config: Arc::clone(config),
            seats: Arc::clone(seats),
            port,
            started,
            started_unix: SystemTime::now(),
            certificates,
            registry,
        });
        start_plane("control".into(), Plane::Control, report, move || {
            control.run()
        })?;
        Ok(Planes {
            control: handle,
            probes,
            ends,
        })
    }

    /// Waits until every shard serves.
    ///
    /// # Errors
    /// A plane ended instead, or did not come up in time.
    pub(crate) async fn ready(&mut self) -> Result<(), String> {
        let serving = async {
            while !self.probes.iter().all(|probe| is_serving(probe)) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            () = serving => Ok(()),
            end = self.ends.recv() => match end {
                Some((plane, End::Failed(reason))) => Err(format!("start {plane:?}: {reason}")),
                _ => Err("a plane ended before it served".into()),
            },
            () = tokio::time::sleep(START_MAX) => {
                Err(format!("a shard did not start within {} s", START_MAX.as_secs()))
            }
        }
    }
}

/// A shard says which engine it runs on once its runtime is there.
fn is_serving(probe: &ShardProbe) -> bool {
    probe
        .backend
        .members()
        .iter()
        .any(|engine| engine.level() > 0)
}

fn start_shard(settings: ShardSettings, report: UnboundedSender<(Plane, End)>) -> io::Result<()> {
    let plane = Plane::Shard(settings.id);
    let name = format!("shard-{}", settings.id);
    start_plane(name, plane, report, move || corecast_shard::run(settings))
}

/// Runs a plane on a thread of its own; however it ends, that is reported.
fn start_plane(
    name: String,
    plane: Plane,
    report: UnboundedSender<(Plane, End)>,
    run: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<()> {
    let run = move || {
        let end = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(())) => End::Done,
            Ok(Err(error)) => End::Failed(error.to_string()),
            Err(panic) => End::Failed(format!("panic: {}", panic_text(&*panic))),
        };
        // Nobody listens any more where the server has ended without us.
        let _ = report.send((plane, end));
    };
    thread::Builder::new().name(name).spawn(run).map(drop)
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}

#[cfg(test)]
mod tests {
    use super::*;
    use corecast_media::name::ShardId;

    #[test]
    fn a_plane_that_panics_is_reported_with_its_reason() {
        let (report, mut ends) = unbounded_channel();
        let plane = Plane::Shard(ShardId(3));
        start_plane("p".into(), plane, report.clone(), || {
            panic!("out of {}", "luck")
        })
        .expect("a thread");
        let end = ends.blocking_recv().expect("the report");
        assert_eq!(end, (plane, End::Failed("panic: out of luck".into())));
        start_plane("q".into(), Plane::Control, report, || Ok(())).expect("a thread");
        assert_eq!(ends.blocking_recv(), Some((Plane::Control, End::Done)));
    }
}
