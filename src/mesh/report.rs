//! What a shard tells of itself when control asks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use corecast_media::codec::AudioFormat;
use corecast_media::metadata::Metadata;
use corecast_media::mount::{SourceInfo, SourceState};
use corecast_media::name::{MountName, SessionId};
use corecast_media::time::Time;
use corecast_media::track::Track;

/// What one shard knows of itself.
#[derive(Clone, Debug, Default)]
pub struct ShardSnapshot {
    /// Mounts whose home this shard is.
    pub mounts: Vec<MountReport>,
    /// Sources and listeners whose connection this shard owns.
    pub sessions: Vec<SessionReport>,
    /// Relays to mounts whose home this shard is, by mount.
    pub relays: Vec<RelayReport>,
    /// Bytes sent to readers of each mount by this shard, players of HLS among them, since the
    /// mount has readers here; a mount may be named twice.
    pub sent: Vec<(MountName, u64)>,
    /// Who watched mounts as HLS lately by requests to this shard: each player a number that is
    /// the same on every shard.
    pub viewers: Vec<(MountName, Vec<u64>)>,
}

/// What one shard says of those who watch a mount as HLS, every few seconds.
#[derive(Clone, Debug)]
pub struct ViewersReport {
    /// The mount.
    pub mount: MountName,
    /// Those of whom the shard did not tell before.
    pub new: Vec<NewPlayer>,
    /// Those who went before the shard could tell who they were.
    pub missed: u64,
    /// Everybody who asked or was sent something since it told last.
    pub seen: Vec<Sighting>,
}

/// A player whom a shard sees for the first time, or again after a pause.
#[derive(Clone, Debug)]
pub struct NewPlayer {
    /// The player's number, the same on every shard.
    pub player: u64,
    /// What it is called in hooks, events and its line in the log ([`SessionId::of_player`]).
    pub session: SessionId,
    /// Where it came from.
    pub peer: SocketAddr,
    /// `User-Agent`.
    pub user_agent: Arc<str>,
    /// `Referer`.
    pub referer: Box<str>,
    /// Its request line, cleaned.
    pub request: Box<str>,
    /// When it came.
    pub since: Time,
}

/// What became of a player since the last report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The player's number.
    pub player: u64,
    /// When it asked last.
    pub at: Time,
    /// Bytes sent to it since, heads included.
    pub bytes: u64,
}

/// One relay as the home of its mount reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayReport {
    /// The mount that it feeds.
    pub mount: MountName,
    /// What it does now.
    pub state: RelayState,
    /// Since when.
    pub since: Time,
    /// The URL that it takes the stream from, or tried last; empty before the first try.
    pub url: Arc<str>,
    /// Why the last try failed or the last stream ended; empty where none did.
    pub error: Arc<str>,
}

/// What a relay does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayState {
    /// Nobody listens, so it takes nothing.
    Idle,
    /// It asks for the stream.
    Connecting,
    /// It feeds its mount.
    Live,
    /// It waits before it asks again.
    Waiting,
}

impl RelayState {
    /// The word in the API.
    pub const fn name(self) -> &'static str {
        match self {
            RelayState::Idle => "idle",
            RelayState::Connecting => "connecting",
            RelayState::Live => "live",
            RelayState::Waiting => "waiting",
        }
    }
}

/// One mount as its home reports it.
#[derive(Clone, Debug)]
pub struct MountReport {
    /// Its name.
    pub mount: MountName,
    /// Whether it has a source.
    pub state: SourceState,
    /// What its source said.
    pub info: Arc<SourceInfo>,
    /// What was measured.
    pub format: AudioFormat,
    /// Its tracks, where it has a source that sends such, or is read as one.
    pub tracks: Arc<[Track]>,
    /// Measured bits per second of the last seconds; 0 while unknown.
    pub bitrate_bps: u64,
    /// What is playing.
    pub metadata: Arc<Metadata>,
    /// When the present source started, if there is one.
    pub live_since: Option<Time>,
    /// The present source.
    pub publisher: Option<SessionId>,
    /// Seats taken now, on all shards.
    pub listeners: u32,
    /// The most seats taken at once since the source started.
    pub listeners_peak: u32,
    /// Listeners that were refused or dropped for slowness.
    pub slow_listeners: u64,
    /// Bytes of media from sources.
    pub bytes_read: u64,
    /// Bytes sent by shards before they let go of it; [`ShardSnapshot::sent`] has the others.
    pub bytes_sent_before: u64,
}

/// One session.
#[derive(Clone, Debug)]
pub struct SessionReport {
    /// Its id.
    pub session: SessionId,
    /// Whether it feeds the mount (else it listens).
    pub publisher: bool,
    /// Its mount.
    pub mount: MountName,
    /// The peer.
    pub peer: SocketAddr,
    /// `User-Agent`.
    pub user_agent: Arc<str>,
    /// When it started.
    pub since: Time,
    /// Bytes taken from or sent to it.
    pub bytes: u64,
    /// How far behind the live edge it is; zero for publishers.
    pub lag: Duration,
}
