//! Every message between planes, one enum per direction.
//!
//! One message per output per shard, never one per reader. Messages between shards have the
//! shape that will travel between nodes: names, epochs and bytes, no pointers into a shard.

use std::net::SocketAddr;
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corecast_config::Config;
use corecast_media::frame::MediaEvent;
use corecast_media::intro::Intros;
use corecast_media::metadata::Metadata;
pub use corecast_media::mount::{MountSnapshot, ReplicaUpdate, SourceInfo, SourceState};
use corecast_media::name::{MountName, SessionId};
use corecast_protocol::hls::Step;
use corecast_tls::Credentials;

pub use crate::report::{
    MountReport, NewPlayer, RelayReport, RelayState, SessionReport, ShardSnapshot, Sighting,
    ViewersReport,
};

/// From the hub of one shard to that of another. A hub may send to itself; then no ring is
/// crossed.
#[derive(Debug)]
pub enum ShardMessage {
    /// Publisher's shard -> home: may `session` feed `mount`?
    Publish {
        /// The mount.
        mount: MountName,
        /// The publisher.
        session: SessionId,
        /// What it said of itself.
        info: Arc<SourceInfo>,
    },
    /// Home -> publisher's shard: the answer to [`ShardMessage::Publish`].
    PublishAnswer {
        /// The publisher.
        session: SessionId,
        /// Whether it feeds the mount now.
        answer: Result<(), PublishRefusal>,
    },
    /// Publisher's shard -> home: what the source's framer said, in order.
    Media {
        /// The mount.
        mount: MountName,
        /// The publisher; media of one that no longer feeds the mount is dropped.
        session: SessionId,
        /// In the order of the stream.
        events: Vec<MediaEvent>,
    },
    /// Publisher's shard -> home: the source is gone.
    Unpublish {
        /// The mount.
        mount: MountName,
        /// The publisher.
        session: SessionId,
        /// Why.
        reason: EndReason,
    },
    /// Home -> publisher's shard: the source must go.
    EndPublisher {
        /// The publisher.
        session: SessionId,
        /// Why.
        reason: EndReason,
    },
    /// Reader's shard -> home: a seat for one more listener, please.
    Reserve {
        /// The mount.
        mount: MountName,
        /// The listener.
        session: SessionId,
        /// Whose it is.
        seat: SeatKind,
    },
    /// Home -> reader's shard: the answer to [`ShardMessage::Reserve`]. Where the shard had no
    /// replica, a [`ReplicaUpdate::Snapshot`] went before it.
    ReserveAnswer {
        /// The mount.
        mount: MountName,
        /// The listener.
        session: SessionId,
        /// Whether it has a seat now, and of which kind.
        answer: Result<SeatKind, JoinRefusal>,
        /// With [`JoinRefusal::NoSource`]: the mount to try instead.
        fallback: Option<MountName>,
    },
    /// Reader's shard -> home: seats, please, for listeners that sit elsewhere now.
    Move(Move),
    /// Home -> reader's shard: the answer to [`ShardMessage::Move`].
    MoveAnswer {
        /// What was asked.
        asked: Move,
        /// Whether they have the seats, else the next mount to try.
        answer: Result<(), Option<MountName>>,
    },
    /// Reader's shard -> home: seats are free again.
    Release {
        /// The mount.
        mount: MountName,
        /// How many.
        freed: Freed,
    },
    /// Reader's shard -> home: no more updates; the shard has let go of its replica.
    Unsubscribe {
        /// The mount.
        mount: MountName,
        /// Bytes sent to the replica's readers.
        bytes_sent: u64,
    },
    /// Home -> reader's shard: one step of the shard's replica.
    Replica {
        /// The mount.
        mount: MountName,
        /// The step.
        update: ReplicaUpdate,
    },
    /// Between home and reader's shard: the mount as HLS.
    Hls {
        /// The mount.
        mount: MountName,
        /// What is said of it.
        message: HlsMessage,
    },
    /// Any shard -> home: a title from outside the stream (an admin's update).
    SetMetadata {
        /// The mount.
        mount: MountName,
        /// The title.
        metadata: Metadata,
    },
}

/// Whom a seat is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SeatKind {
    /// A listener; the mount may have a limit of them.
    #[default]
    Listener,
    /// A forward of ours to another server: no limit counts it.
    Forward,
}

/// Listeners that go from one mount to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The mount that they go to.
    pub mount: MountName,
    /// The mount whose source is gone, where they sit; `mount` itself where they return from
    /// wherever a fallback took them.
    pub from: MountName,
    /// How many.
    pub seats: u32,
    /// How many fallbacks were tried before this one.
    pub hops: u8,
}

/// Seats that are free again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freed {
    /// Those of listeners.
    pub listeners: u32,
    /// How many of these for slowness.
    pub slow: u32,
    /// Those of forwards.
    pub forwards: u32,
}

impl Freed {
    /// One seat.
    pub const fn one(kind: SeatKind) -> Self {
        let (listeners, forwards) = match kind {
            SeatKind::Listener => (1, 0),
            SeatKind::Forward => (0, 1),
        };
        Freed {
            listeners,
            slow: 0,
            forwards,
        }
    }
}

impl AddAssign for Freed {
    fn add_assign(&mut self, more: Self) {
        self.listeners += more.listeners;
        self.slow += more.slow;
        self.forwards += more.forwards;
    }
}

/// What one read of a socket brought, for the shard of its connection: packets of QUIC that came
/// to another one.
#[derive(Debug)]
pub struct Datagrams {
    /// The acceptor that it came to, counted the same on all shards.
    pub acceptor: u16,
    /// The peer.
    pub from: SocketAddr,
    /// Our address.
    pub to: SocketAddr,
    /// Bytes of each packet but the last.
    pub stride: usize,
    /// The packets, one behind the other.
    pub packets: Vec<u8>,
}

/// What home and reader's shard say of a mount's HLS.
#[derive(Debug)]
pub enum HlsMessage {
    /// Reader's shard -> home: somebody asks for it.
    Watch,
    /// Home -> reader's shard: whether steps come, the first of them a snapshot if there is
    /// anything yet. A refusal may come later too.
    Answer(Result<(), JoinRefusal>),
    /// Reader's shard -> home: no more steps.
    Unwatch {
        /// Bytes sent to those who watched there.
        bytes_sent: u64,
    },
    /// Home -> reader's shard: what the mount's packager said, made once per node.
    Step(Step),
}

/// Why a source may not feed a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishRefusal {
    /// The mount has a source.
    InUse,
    /// The node has all the sources it may have.
    SourcesMax,
    /// The node is draining.
    Draining,
}

/// Why a listener gets no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinRefusal {
    /// There is no such mount.
    NotFound,
    /// The mount is known but has no source now.
    NoSource,
    /// The mount has tracks, and no bytes of its own: only its outputs can be read.
    OutputsOnly,
    /// The mount has all the listeners it may have.
    MountFull,
    /// The node has all the listeners it may have.
    NodeFull,
    /// The node is draining.
    Draining,
}

/// Why a session ended: in logs, metrics and the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// The peer closed in good order (or a source's body was complete).
    PeerClosed,
    /// The connection was reset or failed.
    PeerReset,
    /// Nothing came for too long.
    Timeout,
    /// The reader was too slow for its mount's budget.
    TooSlow,
    /// The source is gone and there is no fallback.
    SourceGone,
    /// Another source took the mount over.
    TakenOver,
    /// The bytes broke the protocol.
    Malformed,
    /// An admin ended it.
    Killed,
    /// The node is draining.
    Drained,
    /// It lasted as long as it may.
    TimeLimit,
    /// Our own fault: a task failed.
    Internal,
}

impl EndReason {
    /// The label in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            EndReason::PeerClosed => "peer_closed",
            EndReason::PeerReset => "peer_reset",
            EndReason::Timeout => "timeout",
            EndReason::TooSlow => "too_slow",
            EndReason::SourceGone => "source_gone",
            EndReason::TakenOver => "taken_over",
            EndReason::Malformed => "malformed",
            EndReason::Killed => "killed",
            EndReason::Drained => "drained",
            EndReason::TimeLimit => "time_limit",
            EndReason::Internal => "internal",
        }
    }
}

/// From a shard to control.
#[derive(Debug)]
pub enum ToControl {
    /// A request that is no media request. Its answer comes as [`FromControl`] messages with the
    /// same session.
    Request(Box<ControlRequest>),
    /// The requester is gone, or its answer is no longer wanted.
    RequestEnded(SessionId),
    /// The requester took this many body chunks; so many more may be sent.
    Credit {
        /// The request.
        session: SessionId,
        /// Chunks taken.
        chunks: u16,
    },
    /// The answer to [`FromControl::Query`].
    Answer {
        /// The query.
        query: u64,
        /// The shard's state.
        snapshot: Box<ShardSnapshot>,
    },
    /// May this listener or source come in? The answer is a [`FromControl::Verdict`]; the shard
    /// waits for it with a limit of its own, and nobody else waits with it.
    Ask(Box<Question>),
    /// The addresses of a host; the answer is [`FromControl::Resolved`].
    Resolve {
        /// Who asks.
        session: SessionId,
        /// The name, as the operator gave it or a redirect did.
        host: Box<str>,
        /// Goes into the addresses.
        port: u16,
    },
    /// Something worth a log line or a feed.
    Event(Box<Event>),
    /// Who watches a mount as HLS.
    Viewers(Box<ViewersReport>),
    /// Media of a mount whose settings want a record of it, in order.
    Record(Box<Recording>),
}

/// What control is asked about a peer.
#[derive(Clone, Debug)]
pub struct Question {
    /// The session that waits.
    pub session: SessionId,
    /// Who that will be to scripts when it ends: itself, or the player of HLS that it is of.
    pub client: SessionId,
    /// Whether it wants to feed the mount (else to listen).
    pub publisher: bool,
    /// The mount, as asked for.
    pub mount: MountName,
    /// The peer.
    pub peer: SocketAddr,
    /// User name and password, where they were given.
    pub credentials: Option<(Box<str>, Box<str>)>,
    /// Path and query, as sent.
    pub target: Box<str>,
    /// `User-Agent`.
    pub user_agent: Arc<str>,
    /// `Referer`.
    pub referer: Box<str>,
}

/// Control's answer to a [`Question`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may; for this long at most, where a limit was given.
    Allow(Option<Duration>),
    /// It may not, for this reason.
    Deny(Box<str>),
    /// Nobody can say now, for this reason; nothing is known against it.
    Unsaid(Box<str>),
}

/// A piece of a mount's media on its way to a file.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The mount.
    pub mount: MountName,
    /// The source session that it comes from.
    pub session: SessionId,
    /// Whole frames; empty where the source ended.
    pub payload: Bytes,
    /// Whether a file may begin with this piece, after the init headers.
    pub entry: bool,
    /// What a file that begins with this piece needs first.
    pub init_headers: Bytes,
}

/// A request as control's router gets it.
#[derive(Debug)]
pub struct ControlRequest {
    /// The request; unique while the node runs.
    pub session: SessionId,
    /// Method, in capitals.
    pub method: Box<str>,
    /// Path and query, as sent.
    pub target: Box<str>,
    /// Header names (lower case) and values, in order.
    pub headers: Vec<(Box<str>, Bytes)>,
    /// The peer.
    pub peer: SocketAddr,
    /// The whole body (bounded by `limits.body_bytes_max`).
    pub body: Bytes,
}

/// Body chunks that control may send before it needs [`ToControl::Credit`].
pub const RESPONSE_CHUNKS_MAX: u16 = 8;

/// The most bytes in one body chunk of control.
pub const RESPONSE_CHUNK_BYTES_MAX: usize = 64 * 1024;

/// From control to a shard.
#[derive(Debug)]
pub enum FromControl {
    /// The head of an answer.
    ResponseHead {
        /// The request.
        session: SessionId,
        /// Status code.
        status: u16,
        /// Header names (lower case) and values. Neither `content-length` nor
        /// `transfer-encoding` is among them: the shard frames the body.
        headers: Vec<(Box<str>, Bytes)>,
        /// Length of the body where it is known; else the shard frames it by chunks or by close.
        length: Option<u64>,
    },
    /// The next bytes of an answer's body.
    ResponseBody {
        /// The request.
        session: SessionId,
        /// At most [`RESPONSE_CHUNK_BYTES_MAX`].
        chunk: Bytes,
    },
    /// The answer is complete.
    ResponseEnd {
        /// The request.
        session: SessionId,
    },
    /// What TLS and QUIC are spoken with from the next handshake on.
    Credentials(Arc<Credentials>),
    /// The files that the settings which come next name as intros.
    Intros(Arc<Intros>),
    /// New settings; what needs a restart is ignored by the shard.
    Reload(Arc<Config>),
    /// Take no more sessions and end those that are there within this time.
    Drain(Duration),
    /// Tell your state.
    Query {
        /// Comes back in the answer.
        query: u64,
        /// Whether every session is wanted too: one copy for each.
        sessions: bool,
    },
    /// The answer to [`ToControl::Ask`].
    Verdict {
        /// The session that asked.
        session: SessionId,
        /// Whether it may.
        verdict: Verdict,
    },
    /// The answer to [`ToControl::Resolve`].
    Resolved {
        /// Who asked.
        session: SessionId,
        /// In the order in which they are best tried; none where the name is not known.
        addresses: Vec<SocketAddr>,
    },
    /// End this source or listener of the shard.
    EndSession {
        /// The session.
        session: SessionId,
        /// What is logged.
        reason: EndReason,
    },
    /// The mount's source must go; sent to the mount's home.
    EndSource {
        /// The mount.
        mount: MountName,
    },
    /// Listeners of the shard go from one mount to another and stay there; sent to every shard.
    MoveListeners {
        /// Where they are.
        from: MountName,
        /// Where they go, if it has a source of the same kind.
        to: MountName,
    },
    /// A title for a mount, from an admin or its source.
    SetMetadata {
        /// The mount.
        mount: MountName,
        /// The title.
        metadata: Metadata,
    },
}

/// Something that happened on a shard.
#[derive(Clone, Debug)]
pub enum Event {
    /// A source feeds a mount.
    SourceStarted {
        /// The mount.
        mount: MountName,
        /// The publisher.
        session: SessionId,
        /// What it said.
        info: Arc<SourceInfo>,
    },
    /// A source is gone.
    SourceEnded {
        /// The mount.
        mount: MountName,
        /// The publisher.
        session: SessionId,
        /// Why.
        reason: EndReason,
    },
    /// Somebody listens. In a crowd some are left out; each end is an [`Event::Access`].
    ListenerStarted {
        /// The mount.
        mount: MountName,
        /// The listener.
        session: SessionId,
        /// Where it comes from.
        peer: SocketAddr,
        /// `User-Agent`.
        user_agent: Arc<str>,
    },
    /// The title changed.
    Metadata {
        /// The mount.
        mount: MountName,
        /// The title.
        metadata: Arc<Metadata>,
    },
    /// A request or listener is done: one line of the access log.
    Access(AccessRecord),
}

/// One line of the access log.
#[derive(Clone, Debug)]
pub struct AccessRecord {
    /// The session.
    pub session: SessionId,
    /// The peer.
    pub peer: SocketAddr,
    /// User name of the Basic credentials, if any were accepted.
    pub user: Option<Box<str>>,
    /// Method, target and version as sent (`GET /live HTTP/1.1`), cleaned.
    pub request: Box<str>,
    /// Status sent.
    pub status: u16,
    /// Bytes sent, heads included.
    pub bytes: u64,
    /// `Referer`.
    pub referer: Box<str>,
    /// `User-Agent`.
    pub user_agent: Arc<str>,
    /// How long it lasted.
    pub duration: Duration,
    /// Why it ended.
    pub reason: EndReason,
    /// The mount, where it was a source or a listener.
    pub mount: Option<MountName>,
}
