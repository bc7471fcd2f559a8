//! The settings as the planes read them. Every field is already checked against its bounds.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// The whole configuration; immutable, shared by `Arc`, replaced as a whole on reload.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Config {
    /// Who the server says it is.
    pub server: Server,
    /// The acceptors.
    pub listen: Vec<Listen>,
    /// The data plane.
    pub shards: Shards,
    /// Bounds on what peers may use.
    pub limits: Limits,
    /// Global passwords.
    pub auth: Auth,
    /// What a mount is unless its own section says otherwise; dynamic mounts are exactly this.
    pub mount_defaults: Mount,
    /// The configured mounts, by name (`/live`), defaults already applied.
    pub mounts: Vec<(String, Mount)>,
    /// Logs.
    pub log: Log,
}

impl Config {
    /// The settings of the mount `name`: its own section, or the defaults.
    pub fn mount(&self, name: &str) -> &Mount {
        self.configured_mount(name).unwrap_or(&self.mount_defaults)
    }

    /// The mount's own section, if it has one.
    pub fn configured_mount(&self, name: &str) -> Option<&Mount> {
        self.mounts.iter().find(|(mount, _)| mount == name).map(|(_, settings)| settings)
    }
}

/// `[server]`
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Server {
    /// The name in URLs that the server prints (`listenurl`).
    pub hostname: String,
    /// Free text for the status pages.
    pub location: String,
    /// Contact address for the status pages.
    pub admin: String,
    /// Directory of what must survive a restart (generated secrets).
    pub state_dir: PathBuf,
    /// How long SIGTERM waits for sessions to end.
    pub drain_grace: Duration,
}

/// `[[listen]]`
#[derive(Clone, Debug, PartialEq)]
pub struct Listen {
    /// Address and port; `[::]:8000` takes IPv4 too.
    pub address: SocketAddr,
}

/// `[shards]`
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Shards {
    /// How many, and where.
    pub count: ShardCount,
    /// The I/O engine.
    pub backend: Backend,
    /// Whether shards are pinned to their CPUs.
    pub pin: bool,
}

/// How many shards there are.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum ShardCount {
    /// One for each CPU that the process may use.
    #[default]
    Auto,
    /// This many, on the first CPUs that the process may use.
    Count(u16),
    /// One for each of these CPUs.
    Cpus(Vec<u16>),
}

/// The I/O engine of the shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Backend {
    /// io_uring where it works here, epoll otherwise.
    #[default]
    Auto,
    /// io_uring, or no start.
    IoUring,
    /// epoll.
    Epoll,
}

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Limits {
    /// Listeners of the whole node.
    pub listeners_max: u32,
    /// Sources of the whole node, configured and dynamic.
    pub sources_max: u32,
    /// Open connections of the whole node; 0 takes it from the open-file limit.
    pub connections_max: u32,
    /// Time for a whole request head.
    pub header_timeout: Duration,
    /// Bytes of a request head.
    pub header_bytes_max: u32,
    /// Header lines of a request.
    pub header_count_max: u16,
    /// Body bytes of an API request.
    pub body_bytes_max: u32,
    /// Time an idle keep-alive connection is kept.
    pub idle_timeout: Duration,
    /// Unacknowledged data ends a connection after this (TCP_USER_TIMEOUT).
    pub tcp_user_timeout: Duration,
}

/// `[auth]`
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Auth {
    /// Password of sources (user `source`) where the mount has none of its own.
    pub source_password: String,
    /// User of the admin surface.
    pub admin_user: String,
    /// Password of the admin surface; also good for any source.
    pub admin_password: String,
}

/// `[mount_defaults]` and `[[mount]]`
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Mount {
    /// Password of this mount's source; empty takes `auth.source_password`.
    pub password: String,
    /// Whether a second source takes the mount over (else it is refused with 409).
    pub takeover: bool,
    /// How long a lost source's mount waits for it to come back.
    pub source_timeout: Duration,
    /// Mount that takes the listeners when the source is gone; empty for none.
    pub fallback: String,
    /// Whether moved listeners return when the source is back.
    pub fallback_return: bool,
    /// Listeners of this mount; 0 for no limit of its own.
    pub listeners_max: u32,
    /// How long gathered bytes may wait.
    pub latency: Latency,
    /// Bytes gathered for one send; 0 chooses by bit rate (16 KiB, 64 KiB above 1 Mbit/s).
    pub quantum_bytes: u32,
    /// Bytes that a joiner gets at once; 0 is two quanta.
    pub burst_bytes: u32,
    /// How far a reader may fall behind.
    pub slow_reader_budget: Duration,
    /// What happens to a reader past its budget.
    pub slow_reader: SlowReader,
    /// Bytes between ICY blocks.
    pub metaint_bytes: u32,
    /// Shown name; empty takes what the source says.
    pub stream_name: String,
    /// Shown description; empty takes what the source says.
    pub description: String,
    /// Shown genre; empty takes what the source says.
    pub genre: String,
    /// Shown URL; empty takes what the source says.
    pub url: String,
    /// Whether directories and status pages list the mount.
    pub hidden: bool,
}

/// How long gathered bytes may wait before they go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Latency {
    /// 1 s: least CPU.
    #[default]
    Radio,
    /// 250 ms.
    Live,
    /// Every read of the source.
    Instant,
}

impl Latency {
    /// The longest wait of the class; zero for [`Latency::Instant`].
    pub const fn wait_max(self) -> Duration {
        match self {
            Latency::Radio => Duration::from_millis(1_000),
            Latency::Live => Duration::from_millis(250),
            Latency::Instant => Duration::ZERO,
        }
    }
}

/// What happens to a reader that is past its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SlowReader {
    /// It skips to a frame near the live edge.
    #[default]
    Skip,
    /// It is disconnected.
    Drop,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Log {
    /// Least level: `error`, `warn`, `info`, `debug`, `trace`.
    pub level: String,
    /// Text or JSON lines.
    pub json: bool,
    /// Access log in Icecast's combined form; empty for none.
    pub access_path: PathBuf,
    /// Whether addresses of peers are cut (last octet, last 80 bits) wherever they are written.
    pub redact_ip: bool,
}

/// An address that may be written to logs under `redact`.
pub fn shown_ip(ip: IpAddr, redact: bool) -> IpAddr {
    let ip = ip.to_canonical();
    match (redact, ip) {
        (false, ip) => ip,
        (true, IpAddr::V4(v4)) => {
            let [a, b, c, _] = v4.octets();
            IpAddr::from([a, b, c, 0])
        }
        (true, IpAddr::V6(v6)) => {
            let [a, b, c, ..] = v6.segments();
            IpAddr::from([a, b, c, 0, 0, 0, 0, 0])
        }
    }
}
