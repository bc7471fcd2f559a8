//! A node for tests: real shards on real sockets, with a control plane of a few lines.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use corecast_config::{Auth, Config, Latency, Limits, Listen, ListenProtocol, Mount};
use corecast_media::name::{SessionId, ShardId};
use corecast_mesh::lockout::Lockouts;
use corecast_mesh::message::{
    ControlRequest, Event, FromControl, Question, RESPONSE_CHUNKS_MAX, ToControl, Verdict,
};
use corecast_mesh::port::{Capacities, ControlPort, mesh};
use corecast_mesh::seats::{NodeSeats, Players, Seats};
use corecast_mesh::topology::Topology;
use corecast_telemetry::metric::Gauge;
use corecast_tls::{Credentials, Files, Identity, Policy, Tickets};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};

use crate::net::acceptor::bind;
use crate::{ResolvedBackend, ShardProbe, ShardSettings, run};

/// Both engines: every test runs on each.
pub(crate) const BACKENDS: [ResolvedBackend; 2] =
    [ResolvedBackend::IoUring, ResolvedBackend::Epoll];

/// Settings under which tests are quick.
pub(crate) fn config() -> Config {
    Config {
        limits: Limits {
            listeners_max: 1_000,
            sources_max: 10,
            connections_max: 1_000,
            header_timeout: Duration::from_millis(600),
            header_bytes_max: 8_192,
            header_count_max: 64,
            body_bytes_max: 65_536,
            idle_timeout: Duration::from_secs(2),
            tcp_user_timeout: Duration::from_secs(10),
            ..Limits::default()
        },
        auth: Auth {
            source_password: "ham".into(),
            admin_user: "admin".into(),
            admin_password: "root".into(),
            ..Auth::default()
        },
        mount_defaults: Mount {
            source_timeout: Duration::from_millis(200),
            latency: Latency::Instant,
            slow_reader_budget: Duration::from_secs(10),
            metaint_bytes: 16_000,
            ..Mount::default()
        },
        ..Config::default()
    }
}

/// The same, where a source may be silent for so long.
pub(crate) fn patient(seconds: u64) -> Config {
    let mut config = config();
    config.mount_defaults.source_timeout = Duration::from_secs(seconds);
    config
}

/// What a node has that speaks TLS as `localhost`, and what a client of it has to know.
pub(crate) fn self_signed() -> (Arc<Credentials>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])
        .expect("a name is all it needs");
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let files = Files {
        chain: chain.as_bytes(),
        key: Some(key.as_bytes()),
        ocsp: None,
    };
    let identity = Identity::read("test", files).expect("they belong together");
    let tickets = Tickets::new().expect("there is randomness");
    let credentials = Credentials::new(vec![identity], Policy::default(), &tickets);
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("it is one");
    let client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    (
        Arc::new(credentials.expect("one is enough")),
        Arc::new(client),
    )
}

/// What control saw.
#[derive(Debug)]
pub(crate) enum Seen {
    Event(Event),
    RequestEnded,
}

/// A running node.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    /// Where Shoutcast sources of `/stream` come in.
    pub(crate) shoutcast: SocketAddr,
    /// Where HTTP is spoken over TLS, by a node that has certificates.
    pub(crate) https: SocketAddr,
    pub(crate) seats: Arc<NodeSeats>,
    pub(crate) probes: Vec<Arc<ShardProbe>>,
    pub(crate) seen: mpsc::Receiver<Seen>,
    orders: mpsc::Sender<FromControl>,
    stopped: Arc<AtomicBool>,
    control: Option<JoinHandle<()>>,
    shards: Vec<JoinHandle<std::io::Result<()>>>,
}

/// Room for as many as `config` says.
pub(crate) fn seats(config: &Config) -> NodeSeats {
    NodeSeats {
        listeners: Seats::new(config.limits.listeners_max),
        sources: Seats::new(config.limits.sources_max),
        connections: Seats::new(config.limits.connections_max),
        lockouts: Lockouts::default(),
        players: Players::default(),
    }
}

/// An acceptor of `protocol`.
fn listen(protocol: ListenProtocol) -> Listen {
    Listen {
        protocol,
        ..Listen::default()
    }
}

impl Node {
    /// Starts a node of `count` shards.
    pub(crate) fn start(backend: ResolvedBackend, count: u16, config: Config) -> Self {
        Node::start_with(backend, count, config, Vec::new(), None)
    }

    /// The same with certificates; it speaks HTTP/3 at each of `sockets`, one for each shard.
    pub(crate) fn start_with(
        backend: ResolvedBackend,
        count: u16,
        config: Config,
        sockets: Vec<UdpSocket>,
        tls: Option<Arc<Credentials>>,
    ) -> Self {
        let (topology, config) = (Topology::new(count), Arc::new(config));
        let mesh = mesh(topology, Capacities::of(topology)).expect("descriptors for doorbells");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let open = || bind(address, count, &config.limits).expect("loopback is there");
        let (listeners, doors, secure) = (open(), open(), open());
        let address = listeners[0].local_addr().expect("it is bound");
        let shoutcast = doors[0].local_addr().expect("it is bound");
        let https = secure[0].local_addr().expect("it is bound");
        let seats = Arc::new(seats(&config));
        let started = Instant::now();
        let probes: Vec<_> = (0..count).map(|_| Arc::new(ShardProbe::new())).collect();
        let parts = (mesh.shards.into_iter())
            .zip(listeners.into_iter().zip(doors).zip(secure))
            .zip(&probes)
            .zip(topology.ids());
        let mut sockets = sockets.into_iter();
        let shards = parts.map(|(((port, ((listener, door), secure)), probe), id)| {
            let mut listeners = vec![
                (listener, Listen::default()),
                (door, listen(ListenProtocol::Shoutcast)),
            ];
            if tls.is_some() {
                listeners.push((secure, listen(ListenProtocol::Https)));
            }
            let datagrams = sockets.next().map(|one| (one, Listen::default()));
            let settings = ShardSettings {
                id,
                topology,
                cpu: None,
                config: Arc::clone(&config),
                intros: Arc::default(),
                seats: Arc::clone(&seats),
                port,
                listeners,
                datagrams: Vec::from_iter(datagrams),
                tls: tls.clone(),
                backend,
                started,
                probe: Arc::clone(probe),
            };
            std::thread::spawn(move || run(settings))
        });
        let shards = shards.collect();
        let (told, seen) = mpsc::channel();
        let (orders, ordered) = mpsc::channel();
        let stopped = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopped);
        let control = Control::of(mesh.control, count, told);
        let control = std::thread::spawn(move || control.run(&ordered, &stop));
        Node {
            address,
            shoutcast,
            https,
            seats,
            probes,
            seen,
            orders,
            stopped,
            control: Some(control),
            shards,
        }
    }

    /// Sends `order` to every shard.
    pub(crate) fn order(&self, order: FromControl) {
        self.orders.send(order).expect("control runs");
    }

    /// Ends every session and waits until all shards have returned.
    pub(crate) fn drain(&mut self, grace: Duration) {
        self.order(FromControl::Drain(grace));
        for shard in self.shards.drain(..) {
            shard
                .join()
                .expect("no shard panics")
                .expect("the engine starts");
        }
    }

    /// Waits until nobody has anything of the node, and ends it: what a table or a task still had
    /// of somebody who is gone would keep it from its end.
    pub(crate) fn end_empty(&mut self) {
        let levels = |node: &Node| {
            let seats = [
                &node.seats.connections,
                &node.seats.listeners,
                &node.seats.sources,
            ];
            let taken = seats.map(|seats| i64::from(seats.taken()));
            let of = |gauge: fn(&ShardProbe) -> &Gauge| -> i64 {
                node.probes.iter().map(|probe| gauge(probe).level()).sum()
            };
            let gauges = [
                of(|probe| &probe.connections),
                of(|probe| &probe.listeners),
                of(|probe| &probe.sources),
                of(|probe| &probe.hls_waiting),
                of(|probe| &probe.quic_connections),
            ];
            (taken, gauges)
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while levels(self) != ([0; 3], [0; 5]) {
            assert!(Instant::now() < deadline, "{:?} are left", levels(self));
            std::thread::park_timeout(Duration::from_millis(5));
        }
        let (began, grace) = (Instant::now(), Duration::from_secs(90));
        self.drain(grace);
        assert!(began.elapsed() < grace / 3, "somebody was waited for");
        let panics = self.probes.iter().map(|probe| probe.panics.total());
        assert_eq!(panics.sum::<u64>(), 0);
    }

    /// A new connection that gives up after a while instead of hanging.
    pub(crate) fn connect(&self) -> TcpStream {
        Node::connect_to(self.address)
    }

    /// The same to any of its addresses.
    pub(crate) fn connect_to(address: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(address).expect("the node accepts");
        stream
            .set_read_timeout(Some(Duration::from_secs(15)))
            .expect("a good time");
        stream
    }

    /// Sends `bytes` on a new connection and reads all that comes until the end.
    pub(crate) fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).expect("the node reads");
        read_to_end(&mut stream)
    }

    /// Waits until `is_so`.
    pub(crate) fn wait_until(&self, what: &str, mut is_so: impl FnMut(&Node) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !is_so(self) {
            assert!(Instant::now() < deadline, "{what}: not within 10 s");
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.drain(Duration::ZERO);
        }
        self.stopped.store(true, Ordering::SeqCst);
        if let Some(control) = self.control.take()
            && !std::thread::panicking()
        {
            control.join().expect("control does not panic");
        }
    }
}

/// All that comes until the peer closes.
pub(crate) fn read_to_end(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("an orderly end");
    String::from_utf8_lossy(&all).into_owned()
}

/// Reads up to and including the empty line of a head.
pub(crate) fn read_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a whole head");
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("heads of tests are ASCII")
}

/// A request in the middle of its answer.
struct Answering {
    session: SessionId,
    chunks_left: u32,
    chunk: Bytes,
    credit: u16,
}

/// The control plane of tests.
struct Control {
    port: ControlPort,
    count: u16,
    told: mpsc::Sender<Seen>,
    pending: Vec<Answering>,
}

impl Control {
    fn of(port: ControlPort, count: u16, told: mpsc::Sender<Seen>) -> Self {
        Control {
            port,
            count,
            told,
            pending: Vec::new(),
        }
    }

    fn run(mut self, orders: &mpsc::Receiver<FromControl>, stop: &AtomicBool) {
        let fd = self.port.readiness_fd().expect("a descriptor is left");
        while !stop.load(Ordering::SeqCst) {
            while let Ok(order) = orders.try_recv() {
                for shard in (0..self.count).map(ShardId) {
                    let copy = match &order {
                        FromControl::Drain(grace) => FromControl::Drain(*grace),
                        FromControl::Reload(config) => FromControl::Reload(Arc::clone(config)),
                        FromControl::Query { query, sessions } => FromControl::Query {
                            query: *query,
                            sessions: *sessions,
                        },
                        other => panic!("tests do not send {other:?}"),
                    };
                    let _ = self.port.send(shard, copy);
                }
            }
            while let Some((_, message)) = self.port.recv() {
                self.handle(message);
            }
            self.go_on();
            if self.port.sleep() {
                let limit = Timespec {
                    tv_sec: 0,
                    tv_nsec: 5_000_000,
                };
                let _ = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&limit));
                self.port.wake();
            }
        }
    }

    fn handle(&mut self, message: ToControl) {
        match message {
            ToControl::Request(request) => self.answer(*request),
            ToControl::Credit { session, chunks } => {
                if let Some(found) = self.pending.iter_mut().find(|a| a.session == session) {
                    found.credit += chunks;
                }
            }
            ToControl::RequestEnded(session) => {
                self.pending
                    .retain(|answering| answering.session != session);
                let _ = self.told.send(Seen::RequestEnded);
            }
            ToControl::Event(event) => {
                let _ = self.told.send(Seen::Event(*event));
            }
            ToControl::Ask(question) => self.judge(&question),
            ToControl::Answer { .. }
            | ToControl::Record(_)
            | ToControl::Resolve { .. }
            | ToControl::Viewers(_) => {}
        }
    }

    fn send(&mut self, session: SessionId, message: FromControl) {
        self.port
            .send(session.shard(), message)
            .expect("tests do not fill the ring");
    }

    /// Gives the verdict that the password names.
    fn judge(&mut self, question: &Question) {
        let password = question
            .credentials
            .as_ref()
            .map(|(_, password)| &**password);
        let verdict = match password {
            Some("come") => Verdict::Allow(None),
            Some("come-shortly") => Verdict::Allow(Some(Duration::from_millis(300))),
            Some("wait") => return,
            _ => Verdict::Deny("not today".into()),
        };
        let session = question.session;
        self.send(session, FromControl::Verdict { session, verdict });
    }

    fn answer(&mut self, request: ControlRequest) {
        let ControlRequest {
            session,
            method,
            target,
            body,
            ..
        } = request;
        let echo = || {
            let text = format!("{method} {target} {}", String::from_utf8_lossy(&body));
            Bytes::from(text)
        };
        let (length, chunk, chunks_left) = match &*target {
            "/api/silent" => return,
            "/api/big" => (None, Bytes::from(vec![b'x'; 64 * 1024]), 40),
            "/api/endless" => (None, Bytes::from_static(b"tick\n"), u32::MAX),
            "/api/short" => (Some(1_000), Bytes::from_static(b"too little"), 1),
            "/api/open" => (None, echo(), 1),
            _ => (Some(echo().len() as u64), echo(), 1),
        };
        let headers = vec![("x-test".into(), Bytes::from_static(b"yes"))];
        self.send(
            session,
            FromControl::ResponseHead {
                session,
                status: if &*target == "/api/denied" { 401 } else { 200 },
                headers,
                length,
            },
        );
        let credit = RESPONSE_CHUNKS_MAX;
        self.pending.push(Answering {
            session,
            chunks_left,
            chunk,
            credit,
        });
    }

    /// Sends as much of every answer as its credit allows.
    fn go_on(&mut self) {
        for mut answering in std::mem::take(&mut self.pending) {
            let session = answering.session;
            while answering.credit > 0 && answering.chunks_left > 0 {
                answering.credit -= 1;
                answering.chunks_left -= 1;
                let chunk = answering.chunk.clone();
                self.send(session, FromControl::ResponseBody { session, chunk });
            }
            if answering.chunks_left == 0 {
                self.send(session, FromControl::ResponseEnd { session });
            } else {
                self.pending.push(answering);
            }
        }
    }
}

/// What a source shows.
pub(crate) const AUTH: &str = "Authorization: Basic c291cmNlOmhhbQ==\r\n";
/// A type that nobody looks into.
pub(crate) const OPAQUE: &str = "Content-Type: application/x-test\r\n";

/// Publishes as ffmpeg does: PUT until close, after a leave to send.
pub(crate) fn publish(node: &Node, path: &str) -> TcpStream {
    let mut source = node.connect();
    let lines = format!("Host: test\r\n{AUTH}{OPAQUE}Expect: 100-continue\r\nice-name: N\r\n");
    let head = format!("PUT {path} HTTP/1.1\r\n{lines}\r\n");
    source.write_all(head.as_bytes()).expect("the node reads");
    assert_eq!(read_head(&mut source), "HTTP/1.1 100 Continue\r\n\r\n");
    let ok = read_head(&mut source);
    assert!(ok.starts_with("HTTP/1.1 200 OK\r\n"), "{ok}");
    source
}

/// A short frame of a client of WebSocket, whose mask is nought.
pub(crate) fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first, 0x80 | payload.len() as u8, 0, 0, 0, 0];
    out.extend_from_slice(payload);
    out
}
