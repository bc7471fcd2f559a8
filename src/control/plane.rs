//! The plane's face to the program, and its loop.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use corecast_config::{Config, HlsLines, Mount};
use corecast_media::intro::Intros;
use corecast_media::name::{MountName, ShardId};
use corecast_media::time::Time;
use corecast_mesh::message::{AccessRecord, Event, FromControl, Question, ToControl};
use corecast_mesh::port::ControlPort;
use corecast_mesh::seats::NodeSeats;
use corecast_mesh::topology::Topology;
use corecast_telemetry::registry::Registry;
use corecast_tls::Credentials;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};

use crate::access_log::AccessLog;
use crate::acme::Acme;
use crate::audience::Audience;
use crate::certificates::{Certificates, Keeper};
use crate::client::Client;
use crate::directory::Directories;
use crate::event::Scribe;
use crate::exchange::Exchange;
use crate::feed::Feed;
use crate::guests::Guests;
use crate::hooks::Hooks;
use crate::masters::{self, Masters};
use crate::node::{Node, Order};
use crate::outbox::Outbox;
use crate::probe::ControlProbe;
use crate::query::Queries;
use crate::recorder::Recorder;
use crate::recorder::storage::Disk;
use crate::resolve;
use crate::router::router;
use crate::users::Editor;
use crate::viewers::Viewers;

/// Messages and orders handled before request handlers get their turn.
const TURN_MAX: usize = 256;

/// Messages that are looked at after the end.
const EVENTS_AT_END_MAX: usize = 65_536;

/// What the plane is made of.
pub struct ControlSettings {
    /// The shards.
    pub topology: Topology,
    /// The settings.
    pub config: Arc<Config>,
    /// The node's counts; their limits follow a reload.
    pub seats: Arc<NodeSeats>,
    /// Control's end of the mesh.
    pub port: ControlPort,
    /// What TLS is spoken with; control looks after it from now on.
    pub certificates: Certificates,
    /// The probes of everything else; control adds its own.
    pub registry: Registry,
    /// The zero of the node's clock.
    pub started: Instant,
    /// The same moment on the wall's clock.
    pub started_unix: SystemTime,
}

/// The control plane, before it runs.
pub struct Control {
    node: Arc<Node>,
    port: ControlPort,
    config: watch::Sender<Arc<Config>>,
    orders: mpsc::UnboundedReceiver<Order>,
    probe: Arc<ControlProbe>,
    certificates: Certificates,
}

/// What the rest of the program says to the plane. Cheap to clone, good on every thread; orders
/// to a plane that has ended are dropped.
#[derive(Clone, Debug)]
pub struct ControlHandle {
    orders: mpsc::UnboundedSender<Order>,
}

impl ControlHandle {
    /// Passes the files that the settings of the next [`ControlHandle::reload`] name as intros to
    /// every shard.
    pub fn set_intros(&self, intros: Arc<Intros>) {
        self.order(Order::Intros(intros));
    }

    /// Takes new settings over and passes them to every shard.
    pub fn reload(&self, config: Arc<Config>) {
        self.order(Order::Reload(config));
    }

    /// Tells every shard to take no more sessions and to end its own within `grace`; `/ready`
    /// says 503 from now on. Control goes on until [`ControlHandle::stop`]: the last requests
    /// still get their answers and the last records their lines.
    pub fn drain(&self, grace: Duration) {
        self.order(Order::Drain(grace));
    }

    /// Ends the plane; what shards sent until now is still written to the logs.
    pub fn stop(&self) {
        self.order(Order::Stop);
    }

    fn order(&self, order: Order) {
        // A plane that has ended follows no orders.
        let _ = self.orders.send(order);
    }
}

impl Control {
    /// The plane and its handle. Nothing runs yet; messages and orders wait.
    pub fn new(settings: ControlSettings) -> (Control, ControlHandle) {
        let (orders, incoming) = mpsc::unbounded_channel();
        let (config, current) = watch::channel(settings.config);
        let probe = Arc::new(ControlProbe::new());
        let mut registry = settings.registry;
        registry.register(Arc::clone(&probe));
        let handle = ControlHandle {
            orders: orders.clone(),
        };
        let node = Arc::new(Node {
            id: masters::node_id(),
            topology: settings.topology,
            seats: settings.seats,
            orders,
            config: current,
            draining: AtomicBool::new(false),
            started: settings.started,
            started_unix: settings.started_unix,
            registry,
            probe: Arc::clone(&probe),
            audience: Mutex::new(Audience::new(Arc::clone(&probe))),
            titles: Mutex::default(),
            masters: Mutex::default(),
            credentials: Mutex::new(settings.certificates.credentials()),
            acme: Mutex::default(),
            challenges: Mutex::default(),
            feed: Feed::new(settings.started_unix, Arc::clone(&probe)),
            users: Editor::default(),
        });
        let control = Control {
            node,
            port: settings.port,
            config,
            orders: incoming,
            probe,
            certificates: settings.certificates,
        };
        (control, handle)
    }

    /// Runs the plane on this thread until [`ControlHandle::stop`].
    ///
    /// # Errors
    /// The system gives no event queue, descriptor or thread at the start.
    pub fn run(self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let ended = runtime.block_on(async { Plane::new(self)?.run().await });
        // A disk that hangs keeps its thread; the program does not wait for it.
        runtime.shutdown_background();
        ended
    }
}

/// The plane as it runs. Lives on: the control plane.
struct Plane {
    node: Arc<Node>,
    port: ControlPort,
    bell: AsyncFd<OwnedFd>,
    config: watch::Sender<Arc<Config>>,
    orders: mpsc::UnboundedReceiver<Order>,
    outbox: Outbox,
    queries: Queries,
    exchange: Exchange,
    scribe: Scribe,
    viewers: Viewers,
    guests: Guests,
    hooks: Hooks,
    directories: Directories,
    masters: Masters,
    recorder: Recorder,
    certificates: Keeper,
    acme: Acme,
    stopped: bool,
    probe: Arc<ControlProbe>,
}

impl Plane {
    fn new(control: Control) -> io::Result<Self> {
        let Control {
            node,
            port,
            config,
            orders,
            probe,
            certificates,
        } = control;
        let bell = watch_bell(&port)?;
        let access = AccessLog::start(&node.config().log)?;
        let exchange = Exchange::new(
            router(Arc::clone(&node)),
            node.orders.clone(),
            Arc::clone(&probe),
        );
        let client = Client::new();
        let acme = Acme::new(Arc::clone(&node), certificates.state_dir());
        let certificates = Keeper::new(
            certificates,
            node.orders.clone(),
            Arc::clone(&probe),
            Instant::now(),
        );
        Ok(Plane {
            outbox: Outbox::new(node.topology),
            queries: Queries::new(node.topology),
            scribe: Scribe::new(access, &node.config(), Arc::clone(&probe)),
            viewers: Viewers::new(Arc::clone(&probe)),
            recorder: Recorder::new(Arc::new(Disk), Arc::clone(&probe)),
            guests: Guests::new(Arc::clone(&node)),
            hooks: Hooks::new(client.clone(), Arc::clone(&node)),
            directories: Directories::new(client.clone(), Arc::clone(&node)),
            masters: Masters::new(client, Arc::clone(&node)),
            certificates,
            acme,
            exchange,
            stopped: false,
            node,
            port,
            bell,
            config,
            orders,
            probe,
        })
    }

    async fn run(mut self) -> io::Result<()> {
        loop {
            let more = self.turn(Instant::now());
            if self.stopped {
                break;
            }
            if more || !self.port.sleep() {
                self.port.flush();
                tokio::task::yield_now().await;
                continue;
            }
            let certificates = self.certificates.poll_timeout();
            let viewers = self.viewers.poll_timeout();
            let viewers = viewers.map(|due| self.node.started + due.since(Time::ZERO));
            let timeouts = [self.queries.poll_timeout(), certificates, viewers];
            let timeout = timeouts.into_iter().flatten().min();
            tokio::select! {
                ready = self.bell.readable() => {
                    // The descriptor is read before the next wait is prepared: nobody rings a
                    // plane that is awake, so no ring is lost between the two.
                    self.port.wake();
                    ready?.clear_ready();
                }
                order = self.orders.recv() => {
                    self.port.wake();
                    order.into_iter().for_each(|order| self.handle_order(Instant::now(), order));
                }
                () = sleep_until(timeout) => self.port.wake(),
            }
        }
        self.end().await;
        Ok(())
    }

    /// Does what there is to do, up to a bound; says whether there may be more.
    fn turn(&mut self, now: Instant) -> bool {
        let mut handled = 0;
        while handled < TURN_MAX
            && let Some((from, message)) = self.port.recv()
        {
            self.handle_message(now, from, message);
            handled += 1;
        }
        let mut ordered = 0;
        while ordered < TURN_MAX
            && let Ok(order) = self.orders.try_recv()
        {
            self.handle_order(now, order);
            ordered += 1;
        }
        self.queries.handle_timeout(now);
        let turned = self.certificates.handle_timeout(now, &self.node.config());
        self.spread(turned);
        let gone = self.viewers.handle_timeout(self.node.now());
        self.handle_gone(gone);
        self.recorder.reap();
        self.outbox.handle_room(&mut self.port);
        while let Some((shard, query, sessions)) = self.queries.poll_transmit() {
            let message = FromControl::Query { query, sessions };
            self.outbox.send(&mut self.port, shard, message);
        }
        self.count();
        handled == TURN_MAX || ordered == TURN_MAX
    }

    fn handle_message(&mut self, now: Instant, from: ShardId, message: ToControl) {
        match message {
            ToControl::Request(request) => self.exchange.handle_request(from, *request),
            ToControl::RequestEnded(session) => self.exchange.handle_ended(session),
            ToControl::Credit { session, chunks } => self.exchange.handle_credit(session, chunks),
            ToControl::Answer { query, snapshot } => {
                self.queries.handle_answer(now, from, query, *snapshot);
            }
            ToControl::Ask(question) => {
                if let Some(question) = self.guests.handle_question(*question) {
                    self.ask_hooks(question);
                }
            }
            ToControl::Record(recording) => {
                let config = self.node.config();
                let settings = config.mount(recording.mount.as_str());
                self.recorder.handle_recording(settings, *recording);
            }
            ToControl::Resolve {
                session,
                host,
                port,
            } => resolve::start(&self.node, session, host, port),
            ToControl::Event(event) => self.handle_event(*event, true),
            ToControl::Viewers(report) => {
                for started in self.viewers.handle_report(*report) {
                    self.handle_event(started, true);
                }
            }
        }
    }

    /// Tells everybody of what happened; `written` where the logs have a line for it.
    fn handle_event(&mut self, event: Event, written: bool) {
        self.hooks.handle_event(&event);
        self.directories.handle_event(&event);
        self.observe(&event);
        if written {
            let now_ms = self.node.now().as_millis();
            self.scribe.handle_event(now_ms, event);
        }
    }

    /// Viewers of HLS have gone.
    fn handle_gone(&mut self, gone: Vec<AccessRecord>) {
        let written = self.node.config().log.access_hls == HlsLines::Viewers;
        for record in gone {
            self.handle_event(Event::Access(record), written);
        }
    }

    /// Keeps what an event tells, and passes it on to those who watch.
    fn observe(&self, event: &Event) {
        let (node, now) = (&self.node, SystemTime::now());
        match event {
            Event::Access(record) => node.audience().handle_ended(node.now(), record),
            Event::Metadata { mount, metadata } => {
                node.titles().handle_title(mount, metadata, now);
            }
            Event::SourceStarted { .. }
            | Event::SourceEnded { .. }
            | Event::ListenerStarted { .. } => {}
        }
        node.feed
            .handle_event(event, node.config().log.redact_ip, now);
    }

    fn handle_order(&mut self, now: Instant, order: Order) {
        match order {
            Order::Send(shard, message) => {
                if changes_state(&message) {
                    self.queries.handle_change();
                }
                self.outbox.send(&mut self.port, shard, message);
            }
            Order::Ask { sessions, waiter } => self.queries.handle_ask(now, sessions, waiter),
            Order::Refresh => self.queries.handle_change(),
            Order::Answered(session) => self.exchange.handle_answered(session),
            Order::Welcome(question) => self.ask_hooks(*question),
            Order::Reload(config) => self.handle_reload(config),
            Order::Intros(intros) => self.send_all(|| FromControl::Intros(Arc::clone(&intros))),
            Order::Certificates(look) => {
                let fresh = self.certificates.handle_look(*look, &self.node.config());
                self.spread(fresh);
            }
            Order::Renewed => self.certificates.handle_reload(&self.node.config()),
            Order::Proofs(proofs) => {
                let fresh = self.certificates.handle_proofs(proofs, &self.node.config());
                self.spread(fresh);
            }
            Order::SetFallback { mount, fallback } => self.handle_fallback(&mount, fallback),
            Order::Listed { master, relays } => {
                self.masters.handle_list(&master, relays);
                self.follow_masters();
            }
            Order::Drain(grace) => {
                self.node.draining.store(true, Ordering::Relaxed);
                self.node.feed.close();
                self.send_all(|| FromControl::Drain(grace));
            }
            Order::Stop => self.stopped = true,
        }
    }

    /// Asks the scripts about a peer against whom we know nothing ourselves.
    fn ask_hooks(&mut self, question: Question) {
        let session = question.session;
        if let Some(verdict) = self.hooks.handle_question(question) {
            let answer = FromControl::Verdict { session, verdict };
            self.outbox.send(&mut self.port, session.shard(), answer);
        }
    }

    fn handle_reload(&mut self, config: Arc<Config>) {
        self.scribe.handle_reload(&config);
        self.masters.handle_reload(&config);
        self.certificates.handle_reload(&config);
        let mut config = Arc::unwrap_or_clone(config);
        config.relays_listed = self.masters.relays(&config);
        let config = Arc::new(config);
        self.apply(Arc::clone(&config));
        self.acme.handle_reload(&config);
        self.node.feed.handle_reload(SystemTime::now());
    }

    /// Has the relays run that the masters' lists name.
    fn follow_masters(&mut self) {
        let config = self.node.config();
        let relays = self.masters.relays(&config);
        if relays != config.relays_listed {
            let mut config = Config::clone(&config);
            config.relays_listed = relays;
            self.apply(Arc::new(config));
        }
    }

    fn handle_fallback(&mut self, mount: &MountName, fallback: Option<MountName>) {
        let mut config = Config::clone(&self.node.config());
        let fallback = fallback.map_or(String::new(), |mount| mount.to_string());
        let name = mount.as_str();
        match config.mounts.get_mut(name) {
            Some(settings) => settings.fallback = fallback,
            None => {
                let settings = config.mount(name).clone();
                let settings = Mount {
                    fallback,
                    ..settings
                };
                config.mounts.push(name.to_owned(), settings);
            }
        }
        self.apply(Arc::new(config));
        self.node.feed.handle_reload(SystemTime::now());
    }

    /// Has everybody follow these settings from now on.
    fn apply(&mut self, config: Arc<Config>) {
        let seats = &self.node.seats;
        seats.listeners.set_max(config.limits.listeners_max);
        seats.sources.set_max(config.limits.sources_max);
        self.send_all(|| FromControl::Reload(Arc::clone(&config)));
        self.queries.handle_change();
        self.config.send_replace(Arc::clone(&config));
        self.directories.handle_reload(&config);
    }

    /// Has every shard speak TLS with these from now on.
    fn spread(&mut self, credentials: Option<Arc<Credentials>>) {
        if let Some(credentials) = credentials {
            self.node.set_credentials(Arc::clone(&credentials));
            self.send_all(|| FromControl::Credentials(Arc::clone(&credentials)));
        }
    }

    fn send_all(&mut self, message: impl Fn() -> FromControl) {
        for shard in self.node.topology.ids() {
            self.outbox.send(&mut self.port, shard, message());
        }
    }

    fn count(&self) {
        self.probe
            .in_work
            .set(i64::try_from(self.exchange.len()).unwrap_or(i64::MAX));
        self.probe.queries.store(self.queries.queries());
        self.probe.missing.store(self.queries.missed());
        self.probe
            .waiting
            .set(i64::try_from(self.outbox.len()).unwrap_or(i64::MAX));
    }

    /// Takes what shards have sent until now, and leaves everything written.
    async fn end(mut self) {
        let now = Instant::now();
        let waiting = std::iter::from_fn(|| self.port.recv()).take(EVENTS_AT_END_MAX);
        for (from, message) in waiting.collect::<Vec<_>>() {
            let told = matches!(message, ToControl::Event(_) | ToControl::Record(_));
            if told || matches!(message, ToControl::Viewers(_)) {
                self.handle_message(now, from, message);
            }
        }
        while let Some(gone) = self.viewers.next_of_all().await {
            self.handle_gone(gone);
        }
        self.port.flush();
        self.recorder.close().await;
        self.scribe.close();
        tokio::join!(self.hooks.close(), self.directories.close());
    }
}

#[expect(
    deprecated,
    reason = "the new form is unsafe, and an OwnedFd is all that it asks for"
)]
fn watch_bell(port: &ControlPort) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(port.readiness_fd()?, Interest::READABLE)
}

/// Whether whoever asks after this message shall see what came of it.
fn changes_state(message: &FromControl) -> bool {
    matches!(
        message,
        FromControl::SetMetadata { .. }
            | FromControl::EndSession { .. }
            | FromControl::EndSource { .. }
            | FromControl::MoveListeners { .. }
    )
}

async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}
