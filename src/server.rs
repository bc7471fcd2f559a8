//! The server from its first look at the settings to its end: start, signals, reload, drain.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use corecast_config::{Config, ListenProtocol};
use corecast_control::Certificates;
use corecast_media::name::ShardId;
use corecast_mesh::port::Plane;
use corecast_mesh::seats::NodeSeats;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use crate::args::Sources;
use crate::logging::Logging;
use crate::planes::{End, Ground, Planes};
use crate::progress::Progress;
use crate::{intros, machine, settings, systemd};

/// Exit status where a part of the server failed.
const EXIT_FAILED: u8 = 3;

/// Exit status of a process that a signal ended, less the signal's number.
const EXIT_SIGNAL: u8 = 128;

/// How much longer than its grace a drain may take before the process ends all the same.
const DRAIN_SLACK: Duration = Duration::from_secs(3);

/// How often the server looks after itself.
const TICK: Duration = Duration::from_secs(1);

/// Ticks between two lines for the service manager.
const STATUS_TICKS: u32 = 10;

/// Reads and checks the settings and whether this machine has what they ask for; starts nothing.
///
/// # Errors
/// Every fault, one line each.
pub(crate) fn check(sources: &Sources) -> Result<String, Vec<String>> {
    let loaded = settings::read(sources)?;
    machine::shard_cpus(&loaded.config.shards.count).map_err(|fault| vec![fault])?;
    let certificates = Certificates::faults(&loaded.config);
    if !certificates.is_empty() {
        return Err(certificates);
    }
    let intros = intros::faults(&loaded.config);
    let mut told: String = intros.iter().map(|fault| format!("{fault}\n")).collect();
    told.push_str("corecast: the settings are good\n");
    Ok(told)
}

/// Runs the server until it is told to end; returns the exit status.
///
/// # Errors
/// Every fault that keeps it from starting, one line each.
pub(crate) fn run(sources: Sources, started: Instant) -> Result<u8, Vec<String>> {
    let one = |fault: String| vec![fault];
    let mut config = settings::read(&sources)?.config;
    let secrets = settings::complete(&mut config);
    let ground = match (Ground::prepare(&config), secrets) {
        (Ok(ground), Ok(())) => ground,
        (ground, secrets) => {
            let mut faults = ground.err().unwrap_or_default();
            faults.extend(secrets.err().unwrap_or_default());
            return Err(faults);
        }
    };
    let logging = Logging::start(&config.log).map_err(one)?;
    let certificates = Certificates::open(&config, settings::state_dir(&config))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| one(format!("start: {error}")))?;
    runtime.block_on(async {
        let signals = Signals::new().map_err(|error| one(format!("watch signals: {error}")))?;
        let server = Server::start(sources, config, ground, certificates, logging, started).await;
        Ok(server.map_err(one)?.run(signals).await)
    })
}

/// The signals that the server knows.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// The server while it runs.
struct Server {
    sources: Sources,
    /// The settings in effect: what needs a restart is still as it was at the start.
    config: Arc<Config>,
    seats: Arc<NodeSeats>,
    planes: Planes,
    shards_left: u16,
    /// Until when the drain must be done, and whether it was asked for.
    drain: Option<Instant>,
    failed: bool,
    progress: Progress,
    stuck: Option<ShardId>,
    logging: Logging,
    ticks: u32,
    status: String,
}

impl Server {
    async fn start(
        sources: Sources,
        config: Config,
        ground: Ground,
        certificates: Certificates,
        logging: Logging,
        started: Instant,
    ) -> Result<Self, String> {
        let seats = Arc::new(ground.seats(&config));
        let config = Arc::new(config);
        let shards = ground.topology.shards();
        if let Some(reason) = &ground.no_io_uring {
            tracing::warn!(reason, "io_uring does not work here: shards run on epoll");
        }
        if let Some(error) = &ground.unsteered {
            tracing::warn!(%error, "the kernel does not steer packets of QUIC to their shards");
        }
        let line = ReadyLine::new(&ground, &config);
        let intros = Arc::new(intros::read(&config));
        let planes = Planes::start(ground, &config, &intros, certificates, &seats, started);
        let mut planes = planes.map_err(|error| format!("start the planes: {error}"))?;
        planes.ready().await?;
        line.log(started.elapsed());
        let progress = Progress::new(Instant::now(), &planes.probes, systemd::watchdog_wait());
        let mut server = Server {
            sources,
            config,
            seats,
            planes,
            shards_left: shards,
            drain: None,
            failed: false,
            progress,
            stuck: None,
            logging,
            ticks: 0,
            status: String::new(),
        };
        server.status = server.status_line();
        systemd::ready(&server.status);
        Ok(server)
    }

    /// Serves until it has drained, and returns the exit status.
    async fn run(mut self, mut signals: Signals) -> u8 {
        let mut tick = interval(
            self.progress
                .ping_every()
                .map_or(TICK, |every| every.min(TICK)),
        );
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let stop = tokio::select! {
                Some(()) = signals.terminate.recv() => self.handle_stop(SignalKind::terminate()),
                Some(()) = signals.interrupt.recv() => self.handle_stop(SignalKind::interrupt()),
                Some(()) = signals.hangup.recv() => {
                    self.handle_hangup();
                    None
                }
                Some((plane, end)) = self.planes.ends.recv() => self.handle_end(plane, end),
                _ = tick.tick() => self.handle_tick(),
                else => Some(EXIT_FAILED),
            };
            if let Some(status) = stop {
                return status;
            }
        }
    }

    /// SIGTERM or SIGINT: the first one drains, the second one ends at once.
    fn handle_stop(&mut self, kind: SignalKind) -> Option<u8> {
        if self.drain.is_some() {
            tracing::warn!("told to end a second time: ending at once");
            return Some(EXIT_SIGNAL.saturating_add(kind.as_raw_value() as u8));
        }
        tracing::info!(
            grace_ms = self.config.server.drain_grace.as_millis() as u64,
            listeners = self.seats.listeners.taken(),
            sources = self.seats.sources.taken(),
            "draining: no new sessions, those that are there end"
        );
        self.drain();
        None
    }

    fn drain(&mut self) {
        let grace = self.config.server.drain_grace;
        self.drain = Some(Instant::now() + grace + DRAIN_SLACK);
        systemd::stopping(grace + DRAIN_SLACK);
        self.planes.control.drain(grace);
    }

    /// SIGHUP: reads the settings again.
    fn handle_hangup(&mut self) {
        if self.drain.is_some() {
            tracing::info!("told to reload while draining: the settings stay as they are");
            return;
        }
        systemd::reloading();
        self.reload();
        systemd::ready(&self.status);
    }

    fn reload(&mut self) {
        let read = settings::read(&self.sources).and_then(|loaded| {
            let mut config = loaded.config;
            settings::complete(&mut config).map(|()| config)
        });
        match read {
            Ok(config) => {
                let changes = corecast_config::diff(&self.config, &config);
                changes
                    .iter()
                    .for_each(|change| tracing::info!("reload: {change}"));
                let waiting = changes.iter().filter(|change| !change.reload).count();
                tracing::info!(changes = changes.len(), waiting, "reloaded");
                let config = corecast_config::apply_reloadable(&self.config, &config);
                self.logging.set_level(&config.log.level);
                self.config = Arc::new(config);
                let intros = intros::read(&self.config);
                self.planes.control.set_intros(Arc::new(intros));
                // Also where nothing changed: the access log is opened anew.
                self.planes.control.reload(Arc::clone(&self.config));
            }
            Err(faults) => {
                for fault in &faults {
                    tracing::error!(fault, "fault in the settings");
                }
                tracing::error!(faults = faults.len(), "not reloaded: the settings stay");
            }
        }
    }

    /// A plane's thread has ended.
    fn handle_end(&mut self, plane: Plane, end: End) -> Option<u8> {
        if let Plane::Shard(shard) = plane {
            self.progress.forget(shard);
            self.shards_left = self.shards_left.saturating_sub(1);
        }
        let expected = end == End::Done && self.drain.is_some();
        if !expected {
            let reason = match end {
                End::Failed(reason) => reason,
                End::Done => "it ended without being told to".into(),
            };
            tracing::error!(?plane, reason, "a plane failed: the server ends");
            self.failed = true;
        }
        if self.shards_left == 0 {
            // The last records of the shards are still to be written.
            self.planes.control.stop();
        }
        match plane {
            Plane::Control if self.shards_left == 0 || !expected => Some(self.exit_status()),
            Plane::Shard(_) if !expected && self.drain.is_none() => {
                self.drain();
                None
            }
            _ => None,
        }
    }

    fn exit_status(&self) -> u8 {
        if self.failed {
            return EXIT_FAILED;
        }
        tracing::info!("drained: the server ends");
        0
    }

    fn handle_tick(&mut self) -> Option<u8> {
        self.ticks = self.ticks.wrapping_add(1);
        self.logging.report_dropped();
        let stuck = self.progress.stuck_shard(Instant::now());
        match stuck {
            Some(shard) if stuck != self.stuck => {
                tracing::error!(%shard, "a shard makes no progress");
            }
            Some(_) => {}
            None => systemd::watchdog(),
        }
        self.stuck = stuck;
        if self.ticks.is_multiple_of(STATUS_TICKS) {
            let status = self.status_line();
            if status != self.status {
                systemd::status(&status);
                self.status = status;
            }
        }
        let late = self.drain.is_some_and(|until| Instant::now() >= until);
        late.then(|| {
            tracing::error!(
                shards = self.shards_left,
                "not drained in time: ending at once"
            );
            EXIT_FAILED
        })
    }

    fn status_line(&self) -> String {
        let NodeSeats {
            listeners, sources, ..
        } = &*self.seats;
        format!(
            "{} listeners, {} sources",
            listeners.taken(),
            sources.taken()
        )
    }
}

/// The one line that says that the server runs, and where.
struct ReadyLine {
    io: String,
    shards: u16,
    cpus: String,
    listen: String,
    urls: String,
    connections_max: u32,
}

impl ReadyLine {
    fn new(ground: &Ground, config: &Config) -> Self {
        let words = |words: Vec<String>| words.join(" ");
        let cpus = if config.shards.pin {
            words(ground.cpus.iter().map(ToString::to_string).collect())
        } else {
            "any".into()
        };
        let acceptors = ground.addresses.iter().copied().zip(&config.listen);
        let pages = acceptors.filter_map(|(address, listen)| {
            let scheme = match listen.protocol {
                ListenProtocol::Http => "http",
                ListenProtocol::Https => "https",
                ListenProtocol::Rtmp | ListenProtocol::Rtmps | ListenProtocol::Shoutcast => {
                    return None;
                }
            };
            Some(url(scheme, &config.server.hostname, address))
        });
        ReadyLine {
            io: ground.backend.to_string(),
            shards: ground.topology.shards(),
            cpus,
            listen: words(ground.addresses.iter().map(ToString::to_string).collect()),
            urls: words(pages.collect()),
            connections_max: ground.connections_max,
        }
    }

    fn log(&self, took: Duration) {
        tracing::info!(
            version = env!("CORECAST_VERSION"),
            io = self.io,
            shards = self.shards,
            cpus = self.cpus,
            listen = self.listen,
            connections_max = self.connections_max,
            start_ms = took.as_millis() as u64,
            "ready: {}",
            self.urls
        );
    }
}

/// Where people find what listens at `address`.
fn url(scheme: &str, hostname: &str, address: SocketAddr) -> String {
    let port = address.port();
    match address {
        _ if address.ip().is_unspecified() => format!("{scheme}://{hostname}:{port}/"),
        _ => format!("{scheme}://{address}/"),
    }
}
