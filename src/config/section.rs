//! The settings as the planes read them. Every field is already checked against its bounds.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::acme::Acme;
use crate::log::Log;
use crate::master::Master;
use crate::mounts::Mounts;
use crate::network::Network;
use crate::property::{
    Kind, Setting, Table, Value, bytes, bytes_or_zero, choice, count, millis, section, text,
};
use crate::relay::Relay;
use crate::tls::{Certificate, Tls};

/// The whole configuration; immutable, shared by `Arc`, replaced as a whole on reload.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Who the server says it is.
    pub server: Server,
    /// The acceptors.
    pub listen: Vec<Listen>,
    /// TLS.
    pub tls: Tls,
    /// Certificates beside that of `tls`.
    pub certificates: Vec<Certificate>,
    /// Certificates that the server gets by itself.
    pub acme: Acme,
    /// The data plane.
    pub shards: Shards,
    /// Bounds on what peers may use.
    pub limits: Limits,
    /// Global passwords.
    pub auth: Auth,
    /// What a mount is unless its own section says otherwise; dynamic mounts are exactly this.
    pub mount_defaults: Mount,
    /// The configured mounts, by name (`/live`), defaults already applied.
    pub mounts: Mounts,
    /// Mounts that are fed from other servers.
    pub relays: Vec<Relay>,
    /// Servers all of whose mounts are relayed.
    pub masters: Vec<Master>,
    /// Relays that follow from the lists of the masters. No file has them; control puts them
    /// here, none to a mount of `relays`.
    pub relays_listed: Vec<Relay>,
    /// The stations' directories.
    pub directory: Directory,
    /// Logs.
    pub log: Log,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            server: Server::default(),
            listen: vec![Listen::default(), Listen::https(), Listen::rtmp()],
            tls: Tls::default(),
            certificates: Vec::new(),
            acme: Acme::default(),
            shards: Shards::default(),
            limits: Limits::default(),
            auth: Auth::default(),
            mount_defaults: Mount::default(),
            mounts: Mounts::default(),
            relays: Vec::new(),
            masters: Vec::new(),
            relays_listed: Vec::new(),
            directory: Directory::default(),
            log: Log::default(),
        }
    }
}

impl Config {
    /// The settings of the mount `name`: its own section, or the defaults.
    pub fn mount(&self, name: &str) -> &Mount {
        self.configured_mount(name).unwrap_or(&self.mount_defaults)
    }

    /// The scheme and the port that the server is known by: those of the first acceptor of plain
    /// HTTP, else of the first one of HTTPS.
    pub fn site(&self) -> (&'static str, u16) {
        let port = |wanted| {
            let mut listen = self.listen.iter();
            listen
                .find(|listen| listen.protocol == wanted)
                .map(|listen| listen.address.port())
        };
        match (port(ListenProtocol::Http), port(ListenProtocol::Https)) {
            (Some(port), _) => ("http", port),
            (None, Some(port)) => ("https", port),
            (None, None) => ("http", 8_000),
        }
    }

    /// The sections that stand once in the file.
    pub(crate) fn tables(&self) -> [&dyn Table; 9] {
        let Config {
            server,
            tls,
            acme,
            shards,
            limits,
            auth,
            mount_defaults,
            directory,
            log,
            listen: _,
            certificates: _,
            mounts: _,
            relays: _,
            masters: _,
            relays_listed: _,
        } = self;
        [
            server,
            tls,
            acme,
            shards,
            limits,
            auth,
            mount_defaults,
            directory,
            log,
        ]
    }

    /// The section `name`, where it stands once in the file.
    pub(crate) fn table_mut(&mut self, name: &str) -> Option<&mut dyn Table> {
        let Config {
            server,
            tls,
            acme,
            shards,
            limits,
            auth,
            mount_defaults,
            directory,
            log,
            listen: _,
            certificates: _,
            mounts: _,
            relays: _,
            masters: _,
            relays_listed: _,
        } = self;
        let tables: [&mut dyn Table; 9] = [
            server,
            tls,
            acme,
            shards,
            limits,
            auth,
            mount_defaults,
            directory,
            log,
        ];
        tables.into_iter().find(|table| table.name() == name)
    }

    /// The relay that feeds the mount, if one does.
    pub fn relay(&self, mount: &str) -> Option<&Relay> {
        let mut relays = self.relays.iter().chain(&self.relays_listed);
        relays.find(|relay| relay.mount == mount)
    }

    /// The mount's own section, if it has one.
    pub fn configured_mount(&self, name: &str) -> Option<&Mount> {
        self.mounts.get(name)
    }
}

section! {
    /// Who the server says it is, and how it starts and stops.
    pub struct Server in "server" {
        /// The name in URLs that the server prints (`listenurl`).
        hostname: String = "localhost".to_owned(), text(253), Reload;
        /// Free text for the status pages.
        location: String = String::new(), text(256), Reload;
        /// Contact address for the status pages.
        admin: String = String::new(), text(256), Reload;
        /// Directory of what must survive a restart (generated secrets). Empty takes
        /// `$STATE_DIRECTORY`, else `$XDG_STATE_HOME/corecast`, else
        /// `$HOME/.local/state/corecast`.
        state_dir: PathBuf = PathBuf::new(), Kind::Path, Restart;
        /// How long SIGTERM waits for sessions to end.
        drain_grace as "drain_grace_ms":
            Duration = Duration::from_secs(5), millis(0, 3_600_000), Reload;
    }
}

section! {
    /// One acceptor each; as many as wanted. The environment and the command line give the
    /// addresses of all of them at once, separated by commas; before one that does not speak HTTP
    /// stands what it speaks: `https:`, `rtmp:`, `rtmps:` or `shoutcast:`. Without any there are
    /// three: HTTP on port 8000, HTTPS on port 8443 (TCP and UDP; where there is a certificate or
    /// `tls.self_signed` allows to make one) and RTMP on port 1935.
    pub struct Listen in "listen" {
        /// Address and port; `[::]:8000` takes IPv4 too.
        address: SocketAddr =
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, 8_000)), Kind::Address, Restart;
        /// What is spoken there: `"http"`, `"https"` (HTTP/1.1 and 2 inside TLS), `"rtmp"` for
        /// encoders and players of video, `"rtmps"` for the same inside TLS, or `"shoutcast"` for
        /// sources that speak nothing newer. Their encoders connect to the port after the one that
        /// they are told.
        protocol: ListenProtocol =
            ListenProtocol::Http, Kind::Choice(ListenProtocol::WORDS), Restart;
        /// Whether HTTP/3 is spoken at the same port of UDP where `https` is.
        http3: bool = true, Kind::Bool, Restart;
        /// The mount that Shoutcast sources feed, since they name none.
        shoutcast_mount: String = "/stream".to_owned(), Kind::MountName, Restart;
    }
}

choice! {
    /// What is spoken at an acceptor.
    pub enum ListenProtocol {
        /// HTTP.
        #[default]
        Http = "http",
        /// HTTP inside TLS.
        Https = "https",
        /// RTMP: publishers and players.
        Rtmp = "rtmp",
        /// The same inside TLS.
        Rtmps = "rtmps",
        /// Legacy Shoutcast sources.
        Shoutcast = "shoutcast",
    }
}

impl Listen {
    /// The acceptor for HTTPS that is there where the settings name none at all.
    pub fn https() -> Self {
        Listen {
            address: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 8_443)),
            protocol: ListenProtocol::Https,
            ..Listen::default()
        }
    }

    /// Whether HTTP/3 is spoken there.
    pub fn speaks_http3(&self) -> bool {
        self.protocol == ListenProtocol::Https && self.http3
    }

    /// The acceptor for RTMP that is there where the settings name none at all.
    pub fn rtmp() -> Self {
        Listen {
            address: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 1_935)),
            protocol: ListenProtocol::Rtmp,
            ..Listen::default()
        }
    }
}

section! {
    /// The data plane: one pinned thread each.
    pub struct Shards in "shards" {
        /// How many, and where: `"auto"` for one on each CPU that the process may use, a count,
        /// or a list of CPUs such as `[0, 2]`.
        count: ShardCount = ShardCount::Auto, Kind::Shards, Restart;
        /// The I/O engine: `"io_uring"` (or no start), `"epoll"`, or `"auto"` for io_uring where
        /// it works here and epoll otherwise.
        backend: Backend = Backend::Auto, Kind::Choice(Backend::WORDS), Restart;
        /// Whether shards are pinned to their CPUs.
        pin: bool = true, Kind::Bool, Restart;
    }
}

/// The most shards.
pub const SHARDS_MAX: u16 = 256;

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

impl Setting for ShardCount {
    fn to_value(&self) -> Value {
        match self {
            ShardCount::Auto => Value::Text("auto".to_owned()),
            ShardCount::Count(count) => Value::Int(i64::from(*count)),
            ShardCount::Cpus(cpus) => Value::Ints(cpus.iter().map(|cpu| i64::from(*cpu)).collect()),
        }
    }

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Text(word) => (word == "auto").then_some(ShardCount::Auto),
            Value::Int(count) => u16::try_from(count).ok().map(ShardCount::Count),
            Value::Ints(cpus) => {
                let cpus: Result<Vec<u16>, _> = cpus.into_iter().map(u16::try_from).collect();
                cpus.ok().map(ShardCount::Cpus)
            }
            Value::Bool(_) | Value::Texts(_) => None,
        }
    }
}

choice! {
    /// The I/O engine of the shards.
    pub enum Backend {
        /// io_uring where it works here, epoll otherwise.
        #[default]
        Auto = "auto",
        /// io_uring, or no start.
        IoUring = "io_uring",
        /// epoll.
        Epoll = "epoll",
    }
}

section! {
    /// Bounds on what peers may use.
    pub struct Limits in "limits" {
        /// Listeners of the whole node.
        listeners_max: u32 = 100_000, count(1, 10_000_000), Reload;
        /// Sources of the whole node, configured and dynamic.
        sources_max: u32 = 100, count(1, 100_000), Reload;
        /// Open connections of the whole node; 0 takes it from the open-file limit.
        connections_max: u32 = 0, count(0, 10_000_000), Restart;
        /// Time for a whole request head.
        header_timeout as "header_timeout_ms":
            Duration = Duration::from_secs(10), millis(100, 600_000), Reload;
        /// Bytes of a request head.
        header_bytes_max: u32 = 16_384, bytes(1_024, 1_048_576), Reload;
        /// Header lines of a request.
        header_count_max: u16 = 64, count(8, 1_024), Reload;
        /// Body bytes of an API request.
        body_bytes_max: u32 = 1_048_576, bytes(1_024, 67_108_864), Reload;
        /// Time an idle keep-alive connection is kept.
        idle_timeout as "idle_timeout_ms":
            Duration = Duration::from_secs(30), millis(100, 3_600_000), Reload;
        /// Unacknowledged data ends a connection after this (TCP_USER_TIMEOUT).
        tcp_user_timeout as "tcp_user_timeout_ms":
            Duration = Duration::from_secs(30), millis(1_000, 3_600_000), Reload;
        /// Proxies whose `X-Forwarded-For` or `X-Real-IP` is believed; nobody else's is.
        trusted_proxies: Vec<Network> = Vec::new(), Kind::Networks, Reload;
        /// Who may come at all; empty for everybody. Behind a trusted proxy the address that it
        /// names counts, here and in all other lists.
        allow_ips: Vec<Network> = Vec::new(), Kind::Networks, Reload;
        /// Who is refused with 403, even where `allow_ips` has them.
        deny_ips: Vec<Network> = Vec::new(), Kind::Networks, Reload;
        /// User agents that are refused with 403: those that contain one of these texts, or match
        /// one with `*` as a whole; upper and lower case are the same.
        deny_agents: Vec<String> = Vec::new(), Kind::Words, Reload;
        /// Wrong passwords after which an address (of IPv6 its /64) is locked out of what it tried
        /// to get into: sources, listening, or pages; 0 locks nobody out. A request without a
        /// password is no failure.
        auth_failures_max: u16 = 5, count(0, 255), Reload;
        /// The time in which wrong passwords are counted together.
        auth_window as "auth_window_ms":
            Duration = Duration::from_secs(300), millis(1_000, 86_400_000), Reload;
        /// How long an address stays locked out.
        auth_lockout as "auth_lockout_ms":
            Duration = Duration::from_secs(300), millis(1_000, 86_400_000), Reload;
    }
}

section! {
    /// Global passwords. An empty one is made at the first start, printed once and kept in
    /// `secrets.toml` of the state directory. Well-known passwords are refused.
    pub struct Auth in "auth" {
        /// Password of sources (user `source`) where the mount has none of its own.
        source_password: String = String::new(), Kind::Secret, Reload;
        /// User of the admin surface.
        admin_user: String = "admin".to_owned(), text(64), Reload;
        /// Password of the admin surface; also good for any source.
        admin_password: String = String::new(), Kind::Secret, Reload;
        /// User of servers that relay all our mounts (Icecast's slaves).
        relay_user: String = "relay".to_owned(), text(64), Reload;
        /// Password of that user: it opens `/admin/streamlist.txt`, and every mount to listen to.
        /// Empty lets nobody in so.
        relay_password: String = String::new(), Kind::Secret, Reload;
    }
}

section! {
    /// What a mount is unless its own `[[mount]]` says otherwise. A mount that a source opens
    /// without any `[[mount]]` is exactly this.
    pub struct Mount in "mount_defaults" {
        /// Password of this mount's source; empty takes `auth.source_password`.
        password: String = String::new(), Kind::Secret, Reload;
        /// Whether a second source takes the mount over (else it is refused with 409).
        takeover: bool = false, Kind::Bool, Reload;
        /// How long a lost source's mount waits for it to come back.
        source_timeout as "source_timeout_ms":
            Duration = Duration::from_secs(10), millis(0, 3_600_000), Reload;
        /// Mount that takes the listeners when the source is gone; empty for none.
        fallback: String = String::new(), Kind::MountName, Reload;
        /// Whether moved listeners return when the source is back.
        fallback_return: bool = true, Kind::Bool, Reload;
        /// Listeners of this mount; 0 for no limit of its own.
        listeners_max: u32 = 0, count(0, 10_000_000), Reload;
        /// How long gathered bytes may wait: `"radio"` 1 s (least CPU), `"live"` 250 ms,
        /// `"instant"` not at all.
        latency: Latency = Latency::Radio, Kind::Choice(Latency::WORDS), Reload;
        /// Bytes gathered for one send; 0 chooses by bit rate (16 KiB, 64 KiB above 1 Mbit/s).
        quantum_bytes: u32 = 0, bytes_or_zero(256, 1_048_576), Reload;
        /// Bytes that a joiner gets at once; 0 is two quanta.
        burst_bytes: u32 = 0, bytes_or_zero(256, 4_194_304), Reload;
        /// How far a reader may fall behind.
        slow_reader_budget as "slow_reader_budget_ms":
            Duration = Duration::from_secs(15), millis(1_000, 300_000), Reload;
        /// What happens to a reader past its budget: `"skip"` moves it near the live edge,
        /// `"drop"` disconnects it.
        slow_reader: SlowReader = SlowReader::Skip, Kind::Choice(SlowReader::WORDS), Reload;
        /// Bytes between ICY blocks.
        metaint_bytes: u32 = 16_000, bytes(256, 1_048_576), Reload;
        /// Shown name; empty takes what the source says.
        stream_name: String = String::new(), text(256), Reload;
        /// Shown description; empty takes what the source says.
        description: String = String::new(), text(1_024), Reload;
        /// Shown genre; empty takes what the source says.
        genre: String = String::new(), text(256), Reload;
        /// Shown URL; empty takes what the source says.
        url: String = String::new(), text(1_024), Reload;
        /// How long a listener may stay, in all; 0 for as long as it likes.
        listener_duration_max as "listener_duration_max_ms":
            Duration = Duration::ZERO, millis(0, 2_592_000_000), Reload;
        /// File that the source's media is recorded to; empty for none. `%`-escapes of
        /// `strftime` stand for the local time at which the file begins, `{mount}` for the
        /// mount's name without its first slash. Each source gets a file of its own; a name that
        /// is taken gets a number. Sources by RTMP are not recorded.
        dump_file: String = String::new(), text(1_024), Reload;
        /// After how long a recording goes on in a new file; 0 for one file per source.
        dump_rotate as "dump_rotate_ms":
            Duration = Duration::ZERO, millis(0, 2_592_000_000), Reload;
        /// File that new listeners hear before the stream; empty for none: MPEG audio, AAC in
        /// ADTS or Ogg, as the source sends, of 8 MiB at most. It is read at the start and at
        /// each reload. One that does not go with what the source sends is left out, and the
        /// log says so. It is sent at the pace of its sound, a burst ahead; not to servers that
        /// log in with `auth.relay_password`, whose listeners are in the middle of the stream.
        intro: PathBuf = PathBuf::new(), Kind::Path, Reload;
        /// Who may listen; empty for everybody whom `limits.allow_ips` lets in.
        allow_ips: Vec<Network> = Vec::new(), Kind::Networks, Reload;
        /// Who may not listen, even where `allow_ips` has them.
        deny_ips: Vec<Network> = Vec::new(), Kind::Networks, Reload;
        /// User agents that may not listen; as `limits.deny_agents`.
        deny_agents: Vec<String> = Vec::new(), Kind::Words, Reload;
        /// Server that listeners are sent to (302) when this mount or the server has all the
        /// listeners that it may have; the path is added. Empty refuses them with 503.
        redirect_full: String = String::new(), Kind::Link, Reload;
        /// File of the users who may listen, a line `name:hash` each; empty lets everybody in. A
        /// hash is one of bcrypt (`htpasswd -B`) or, as Icecast writes them, a bare MD5. It is
        /// read when somebody comes; a hook for listeners is asked too.
        listener_htpasswd: PathBuf = PathBuf::new(), Kind::Path, Reload;
        /// URL that is asked by POST before somebody may listen; empty for none. As Icecast's
        /// `listener_add`: the header `icecast-auth-user: 1` in the answer lets the listener in.
        hook_listener_add: String = String::new(), Kind::Url, Reload;
        /// URL that is told by POST when a listener is gone; empty for none.
        /// A player of HLS is one `client` to both hooks: asked about at each list of what there
        /// is, on each shard that it comes to, and gone when it was not seen for 25 seconds.
        hook_listener_remove: String = String::new(), Kind::Url, Reload;
        /// URL that is told by POST when a source feeds the mount; empty for none.
        hook_mount_add: String = String::new(), Kind::Url, Reload;
        /// URL that is told by POST when the mount's source is gone; empty for none.
        hook_mount_remove: String = String::new(), Kind::Url, Reload;
        /// URL that is asked by POST about a source with a password that is none of ours; empty
        /// for none.
        hook_stream_auth: String = String::new(), Kind::Url, Reload;
        /// User that hooks are called with; empty for none.
        hook_user: String = String::new(), text(256), Reload;
        /// Password that hooks are called with.
        hook_password: String = String::new(), Kind::Secret, Reload;
        /// How long a hook may take to answer.
        hook_timeout as "hook_timeout_ms":
            Duration = Duration::from_secs(5), millis(100, 60_000), Reload;
        /// Whether a hook that fails or is late lets in who it was asked about.
        hook_failure_allows: bool = false, Kind::Bool, Reload;
        /// When the mount is there as HLS too, with low latency, at its name and `.m3u8`:
        /// `"on_demand"` while somebody asks for it, `"always"` so that the first one waits for
        /// nothing and a CDN finds every segment, `"off"` never.
        hls: HlsMode = HlsMode::OnDemand, Kind::Choice(HlsMode::WORDS), Reload;
        /// How long a segment is aimed to be; it ends at the first keyframe after that. Takes
        /// effect with the mount's next source.
        hls_segment as "hls_segment_ms":
            Duration = Duration::from_secs(2), millis(500, 10_000), Reload;
        /// The longest part of a segment: what a player is behind the source by three of. Takes
        /// effect with the mount's next source.
        hls_part as "hls_part_ms":
            Duration = Duration::from_millis(200), millis(50, 2_000), Reload;
        /// How far back a player may go; segments are kept in memory for this long. Takes effect
        /// with the mount's next source.
        hls_window as "hls_window_ms":
            Duration = Duration::from_secs(60), millis(10_000, 3_600_000), Reload;
        /// Where the mount is pushed to by RTMP while it has a source: URLs such as
        /// `rtmp://host/app/key` with spaces between them. One that fails is tried again, ever more
        /// slowly. Only a `[[mount]]` of its own is pushed.
        forward: String = String::new(), Kind::Pushes, Reload;
        /// Whether directories and status pages leave the mount out.
        hidden: bool = false, Kind::Bool, Reload;
    }
}

choice! {
    /// How long gathered bytes may wait before they go out.
    pub enum Latency {
        /// 1 s: least CPU.
        #[default]
        Radio = "radio",
        /// 250 ms.
        Live = "live",
        /// Every read of the source.
        Instant = "instant",
    }
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

choice! {
    /// When a mount is packaged as HLS.
    pub enum HlsMode {
        /// While somebody asks for it.
        #[default]
        OnDemand = "on_demand",
        /// As long as it has a source.
        Always = "always",
        /// Never.
        Off = "off",
    }
}

choice! {
    /// What happens to a reader that is past its budget.
    pub enum SlowReader {
        /// It skips to a frame near the live edge.
        #[default]
        Skip = "skip",
        /// It is disconnected.
        Drop = "drop",
    }
}

section! {
    /// Directories of stations (YP) that are told of public mounts: those whose source says
    /// `ice-public: 1` and that are not hidden.
    pub struct Directory in "directory" {
        /// URLs of the directories, such as `http://dir.xiph.org/cgi-bin/yp-cgi`. The environment
        /// and the command line give them separated by commas.
        urls: Vec<String> = Vec::new(), Kind::Urls, Reload;
        /// How often a directory is told of a mount where it does not say so itself, and how
        /// long one that failed is left alone.
        interval as "interval_ms":
            Duration = Duration::from_secs(600), millis(1_000, 86_400_000), Reload;
        /// How long a directory may take to answer.
        timeout as "timeout_ms":
            Duration = Duration::from_secs(10), millis(100, 60_000), Reload;
    }
}
