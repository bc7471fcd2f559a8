//! The plane as shards see it: a real mesh, its shards played by the test.

mod admin;
mod api;
mod audience;
mod coding;
mod directory;
mod exchange;
mod feed;
mod hooks;
mod icecast;
mod life;
mod masters;
mod script;

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use bytes::Bytes;
use corecast_config::{Auth, Config, Mount};
use corecast_media::codec::{AudioFormat, Codec};
use corecast_media::metadata::Metadata;
use corecast_media::name::{MountName, SessionId, ShardId};
use corecast_media::time::Time;
use corecast_mesh::lockout::Lockouts;
use corecast_mesh::message::{
    ControlRequest, FromControl, MountReport, ShardSnapshot, SourceInfo, SourceState, ToControl,
};
use corecast_mesh::port::{Capacities, Received, ShardPort, mesh};
use corecast_mesh::seats::{NodeSeats, Players, Seats};
use corecast_mesh::topology::Topology;
use corecast_telemetry::registry::Registry;
use serde_json::Value;

use crate::{Certificates, Control, ControlHandle, ControlSettings};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// When the node of the tests started.
const STARTED: Duration = Duration::from_secs(1_795_200_107);

/// A control plane on its thread, and the shards' ends of its mesh.
struct Rig {
    ports: Vec<ShardPort>,
    /// What each shard answers to a query; a stalled one answers nothing at all.
    shards: Vec<Option<ShardSnapshot>>,
    topology: Topology,
    handle: ControlHandle,
    thread: Option<JoinHandle<()>>,
    sequence: u64,
    queries: u32,
    /// Everything that is neither a query nor part of an answer.
    heard: Vec<(ShardId, FromControl)>,
}

/// A whole answer.
#[derive(Debug, Default)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    length: Option<u64>,
    body: Vec<u8>,
    chunks: usize,
    ended: bool,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of text")
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a body of JSON")
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the plane ends well");
        }
    }
}

impl Rig {
    fn new(shards: u16, config: Config) -> Self {
        let topology = Topology::new(shards);
        let mesh = mesh(topology, Capacities::of(topology)).expect("file descriptors");
        let (control, handle) = Control::new(ControlSettings {
            topology,
            config: Arc::new(config.clone()),
            seats: Arc::new(NodeSeats {
                listeners: Seats::new(1_000),
                sources: Seats::new(10),
                connections: Seats::new(2_000),
                lockouts: Lockouts::default(),
                players: Players::default(),
            }),
            port: mesh.control,
            certificates: Certificates::open(&config, None).expect("a certificate"),
            registry: Registry::new(),
            started: Instant::now(),
            started_unix: SystemTime::UNIX_EPOCH + STARTED,
        });
        let thread = thread::spawn(move || control.run().expect("the plane starts"));
        Rig {
            ports: mesh.shards,
            shards: vec![Some(ShardSnapshot::default()); usize::from(shards)],
            topology,
            handle,
            thread: Some(thread),
            sequence: 0,
            queries: 0,
            heard: Vec::new(),
        }
    }

    /// Puts a mount on its home shard.
    fn with_mount(mut self, report: MountReport) -> Self {
        let home = self.topology.home(&report.mount);
        let shard = self.shards[home.index()].as_mut().expect("not stalled");
        shard.mounts.push(report);
        self
    }

    /// Sends a request without waiting for its answer.
    fn send(&mut self, request: Ask<'_>) -> SessionId {
        self.sequence += 1;
        let session = SessionId::new(ShardId(0), self.sequence);
        let headers = request
            .headers
            .iter()
            .map(|(name, value)| (Box::from(*name), Bytes::copy_from_slice(value.as_bytes())))
            .collect();
        self.tell(ToControl::Request(Box::new(ControlRequest {
            session,
            method: request.method.into(),
            target: request.target.into(),
            headers,
            peer: "192.0.2.9:5000".parse().expect("an address"),
            body: Bytes::copy_from_slice(request.body),
        })));
        session
    }

    /// Sends as the first shard.
    fn tell(&mut self, message: ToControl) {
        self.ports[0]
            .send_control(message)
            .expect("room in the ring");
        self.ports[0].flush();
    }

    /// The answer to one request, every chunk taken at once.
    fn ask(&mut self, request: Ask<'_>) -> Answer {
        let session = self.send(request);
        self.answer(session)
    }

    fn get(&mut self, target: &str) -> Answer {
        self.ask(Ask {
            target,
            ..Ask::default()
        })
    }

    fn answer(&mut self, session: SessionId) -> Answer {
        let mut answer = Answer::default();
        let deadline = Instant::now() + PATIENCE;
        while !answer.ended {
            assert!(Instant::now() < deadline, "no answer yet: {answer:?}");
            let before = answer.chunks;
            self.pump(session, &mut answer);
            let chunks = (answer.chunks - before) as u16;
            if chunks > 0 {
                self.tell(ToControl::Credit { session, chunks });
            }
            thread::sleep(Duration::from_micros(200));
        }
        answer
    }

    /// Takes what is in the rings: queries are answered, pieces of the answer gathered.
    fn pump(&mut self, session: SessionId, answer: &mut Answer) {
        for at in 0..self.ports.len() {
            let Some(snapshot) = self.shards[at].clone() else {
                continue;
            };
            let port = &mut self.ports[at];
            while let Some(Received::Control(message)) = port.recv() {
                match message {
                    FromControl::Query { query, sessions } => {
                        self.queries += 1;
                        let mut snapshot = Box::new(snapshot.clone());
                        if !sessions {
                            snapshot.sessions.clear();
                        }
                        let message = ToControl::Answer { query, snapshot };
                        port.send_control(message).expect("room in the ring");
                    }
                    message => {
                        if let Some(other) = answer.take(session, message) {
                            self.heard.push((ShardId(at as u16), other));
                        }
                    }
                }
            }
            port.flush();
        }
    }
}

impl Answer {
    /// Takes a piece of this answer, and gives back what is none.
    fn take(&mut self, wanted: SessionId, message: FromControl) -> Option<FromControl> {
        match message {
            FromControl::ResponseHead {
                session,
                status,
                headers,
                length,
            } if session == wanted => {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                self.status = status;
                self.length = length;
                self.headers = headers
                    .iter()
                    .map(|(key, value)| (key.to_string(), text(value)))
                    .collect();
            }
            FromControl::ResponseBody { session, chunk } if session == wanted => {
                assert!(
                    self.status != 0 && !self.ended,
                    "the head comes first, the end last"
                );
                self.body.extend(chunk);
                self.chunks += 1;
            }
            FromControl::ResponseEnd { session } if session == wanted => self.ended = true,
            other => return Some(other),
        }
        None
    }
}

/// A request.
struct Ask<'a> {
    method: &'a str,
    target: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: &'a [u8],
}

impl Default for Ask<'_> {
    fn default() -> Self {
        Ask {
            method: "GET",
            target: "/",
            headers: &[],
            body: &[],
        }
    }
}

fn config() -> Config {
    let mut config = Config::default();
    config.server.admin = "ops@radio.example".into();
    config.server.location = "Earth".into();
    config.auth = Auth {
        source_password: "src".into(),
        admin_user: "admin".into(),
        admin_password: "adm".into(),
        ..Auth::default()
    };
    let defaults = config.mount_defaults.clone();
    let own = Mount {
        password: "own".into(),
        ..defaults.clone()
    };
    let hidden = Mount {
        hidden: true,
        ..defaults
    };
    config.mounts = vec![("/own".into(), own), ("/hidden".into(), hidden)].into();
    config
}

fn basic(user_and_password: &str) -> String {
    let encoded = base64::engine::general_purpose::STANDARD.encode(user_and_password);
    format!("Basic {encoded}")
}

/// A live MP3 mount.
fn report(name: &str) -> MountReport {
    MountReport {
        mount: MountName::parse(name).expect("a good name"),
        state: SourceState::Live,
        info: Arc::new(SourceInfo {
            content_type: "audio/mpeg".into(),
            ..SourceInfo::default()
        }),
        format: AudioFormat {
            codec: Codec::Mp3,
            sample_rate_hz: 44_100,
            channels: 2,
            bitrate_bps: 0,
        },
        tracks: Arc::from([]),
        bitrate_bps: 0,
        metadata: Arc::new(Metadata::default()),
        live_since: Some(Time::from_millis(2_000)),
        publisher: Some(SessionId::new(ShardId(0), 77)),
        listeners: 3,
        listeners_peak: 5,
        slow_listeners: 0,
        bytes_read: 1_000,
        bytes_sent_before: 0,
    }
}
