//! The home side of a mount: one source slot, one output.
//!
//! Lives on: the mount's home shard. Frames come in, [`ReplicaUpdate`]s go out, once for each
//! shard with readers. Time is an argument; nothing here waits.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::codec::AudioFormat;
use crate::frame::{Frame, MediaEvent};
use crate::gather::{Gatherer, Meter};
use crate::metadata::Metadata;
use crate::name::{MountName, SessionId};
use crate::run::Run;
use crate::time::Time;
use crate::window::{Pace, Window};

/// What a source said of its stream; every text is clean UTF-8 without control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceInfo {
    /// MIME type, as sent.
    pub content_type: Arc<str>,
    /// `ice-name`.
    pub name: Arc<str>,
    /// `ice-description`.
    pub description: Arc<str>,
    /// `ice-genre`.
    pub genre: Arc<str>,
    /// `ice-url`.
    pub url: Arc<str>,
    /// `ice-bitrate`, as sent.
    pub bitrate: Arc<str>,
    /// `ice-audio-info`, as sent.
    pub audio_info: Arc<str>,
    /// `ice-public`.
    pub public: bool,
    /// `User-Agent`.
    pub user_agent: Arc<str>,
    /// The peer.
    pub address: Option<SocketAddr>,
}

impl SourceInfo {
    /// Whether a listener of `self` can go on with `other`'s bytes: the same MIME type, whatever
    /// its parameters.
    pub fn continues_as(&self, other: &SourceInfo) -> bool {
        let essence = |text: &str| {
            text.split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .to_ascii_lowercase()
        };
        essence(&self.content_type) == essence(&other.content_type)
    }
}

/// Whether a mount has a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceState {
    /// A source feeds it.
    Live,
    /// The source was lost less than `source_timeout` ago: listeners wait.
    Waiting,
    /// No source; listeners go to the named mount, or end.
    Gone {
        /// The fallback.
        fallback: Option<MountName>,
    },
}

/// One step of a shard's replica of a mount.
#[derive(Clone, Debug)]
pub enum ReplicaUpdate {
    /// Everything there is now; always the first step.
    Snapshot(Box<MountSnapshot>),
    /// The next run of whole frames.
    Run(Run),
    /// What a joiner must get first, from the next run on.
    InitHeaders(Bytes),
    /// The title from the next run on.
    Metadata(Arc<Metadata>),
    /// The parameters from the next run on.
    Format(AudioFormat),
    /// Another source, or the same anew: what it said.
    Info(Arc<SourceInfo>),
    /// The source came, paused or went.
    State(SourceState),
    /// The flush quantum and slot period changed with the bit rate.
    Pace(Pace),
}

/// A mount as its replicas start from it.
#[derive(Clone, Debug)]
pub struct MountSnapshot {
    /// Whether a source feeds it.
    pub state: SourceState,
    /// What the current or last source said.
    pub info: Arc<SourceInfo>,
    /// The measured parameters.
    pub format: AudioFormat,
    /// What a joiner must get first.
    pub init_headers: Bytes,
    /// What is playing.
    pub metadata: Arc<Metadata>,
    /// The newest runs, oldest first: enough for a burst.
    pub runs: Vec<Run>,
    /// Flush quantum and slot period.
    pub pace: Pace,
}

/// A mount's settings, as far as its home needs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Whether a second source takes over.
    pub takeover: bool,
    /// How long a lost source is waited for.
    pub source_timeout: Duration,
    /// Where the listeners go then.
    pub fallback: Option<MountName>,
    /// The longest wait of gathered bytes; zero sends every read at once.
    pub wait_max: Duration,
    /// Bytes for one send; zero chooses by bit rate.
    pub quantum_bytes: u32,
    /// Bytes for a joiner; zero is two quanta.
    pub burst_bytes: u32,
}

/// The flush quantum up to [`QUANTUM_RATE_BPS_MAX`].
pub const QUANTUM_BYTES: u32 = 16 * 1024;
/// The flush quantum above [`QUANTUM_RATE_BPS_MAX`].
pub const QUANTUM_FAST_BYTES: u32 = 64 * 1024;
/// Up to this bit rate a quantum is [`QUANTUM_BYTES`].
pub const QUANTUM_RATE_BPS_MAX: u64 = 1_000_000;
/// What is assumed until the bit rate is measured.
const RATE_BPS_ASSUMED: u64 = 128_000;
/// A quantum reaches the readers' shards in this many runs, so that a joiner and a reader in any
/// slot find the newest bytes, not those of a whole quantum ago.
const RUNS_PER_QUANTUM: u32 = 4;
/// The pace follows the bit rate when it is off by more than one part in this many.
const PACE_TOLERANCE: u64 = 5;

const _: () = assert!(QUANTUM_BYTES < QUANTUM_FAST_BYTES && RUNS_PER_QUANTUM > 0);

/// Who feeds the mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Empty,
    Live { session: SessionId, since: Time },
    Waiting { since: Time, live_since: Time },
}

/// What happened to the one who had the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// The slot was free.
    Free,
    /// This session lost it and must be ended.
    TookOver(SessionId),
}

/// The mount has a source and lets no other take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InUse;

/// The home side of a mount.
#[derive(Debug)]
pub struct Mount {
    policy: Policy,
    slot: Slot,
    info: Arc<SourceInfo>,
    format: AudioFormat,
    init_headers: Bytes,
    metadata: Arc<Metadata>,
    gatherer: Gatherer,
    meter: Meter,
    burst: Window,
    pace: Pace,
    bytes_read: u64,
    updates: VecDeque<ReplicaUpdate>,
}

impl Mount {
    /// A mount without a source.
    pub fn new(policy: Policy) -> Self {
        let pace = pace(&policy, 0);
        Mount {
            policy,
            slot: Slot::Empty,
            info: Arc::default(),
            format: AudioFormat::default(),
            init_headers: Bytes::new(),
            metadata: Arc::default(),
            gatherer: Gatherer::default(),
            meter: Meter::default(),
            burst: Window::new(),
            pace,
            bytes_read: 0,
            updates: VecDeque::new(),
        }
    }

    /// Takes other settings.
    pub fn set_policy(&mut self, policy: Policy) {
        let fallback_changed = policy.fallback != self.policy.fallback;
        self.policy = policy;
        self.repace();
        if fallback_changed && self.slot == Slot::Empty {
            self.updates.push_back(ReplicaUpdate::State(self.state()));
        }
    }

    /// What the present source said is shown otherwise from now on; its kind is the same.
    pub fn set_info(&mut self, info: Arc<SourceInfo>) {
        if *info != *self.info {
            self.info = Arc::clone(&info);
            self.updates.push_back(ReplicaUpdate::Info(info));
        }
    }

    /// Gives the source slot to `session`.
    ///
    /// # Errors
    /// [`InUse`] where another source has it and may keep it.
    pub fn publish(
        &mut self,
        now: Time,
        session: SessionId,
        info: Arc<SourceInfo>,
    ) -> Result<Admitted, InUse> {
        let admitted = match self.slot {
            Slot::Live { .. } if !self.policy.takeover => return Err(InUse),
            Slot::Live { session: old, .. } => Admitted::TookOver(old),
            Slot::Empty | Slot::Waiting { .. } => Admitted::Free,
        };
        self.cut();
        let same_kind = self.info.continues_as(&info);
        if !same_kind || self.slot == Slot::Empty {
            // What is held would not decode before the new source's bytes.
            self.burst = Window::new();
            self.init_headers = Bytes::new();
            self.updates
                .push_back(ReplicaUpdate::InitHeaders(Bytes::new()));
        }
        self.format = AudioFormat::default();
        self.meter.reset();
        self.slot = Slot::Live {
            session,
            since: now,
        };
        self.info = Arc::clone(&info);
        self.updates.push_back(ReplicaUpdate::Info(info));
        self.updates
            .push_back(ReplicaUpdate::State(SourceState::Live));
        Ok(admitted)
    }

    /// The source is gone; false where `session` does not feed the mount.
    pub fn unpublish(&mut self, now: Time, session: SessionId) -> bool {
        let Slot::Live {
            session: publisher,
            since,
        } = self.slot
        else {
            return false;
        };
        if publisher != session {
            return false;
        }
        self.cut();
        self.slot = Slot::Waiting {
            since: now,
            live_since: since,
        };
        self.updates
            .push_back(ReplicaUpdate::State(SourceState::Waiting));
        self.handle_timeout(now);
        true
    }

    /// Waits for the source that `other` waits for, if it waits for one: what is written from
    /// `other` has the same source.
    pub fn wait_with(&mut self, other: &Mount, info: Arc<SourceInfo>) {
        if let (Slot::Empty, Slot::Waiting { .. }) = (self.slot, other.slot) {
            self.slot = other.slot;
            self.info = Arc::clone(&info);
            self.updates.push_back(ReplicaUpdate::Info(info));
            self.updates.push_back(ReplicaUpdate::State(self.state()));
        }
    }

    /// Media of `session`; dropped where it does not feed the mount.
    pub fn push(&mut self, now: Time, session: SessionId, events: Vec<MediaEvent>) {
        if self.publisher() != Some(session) {
            return;
        }
        for event in events {
            match event {
                MediaEvent::Frame(frame) => self.push_frame(now, &frame),
                MediaEvent::Format(format) => {
                    self.cut();
                    self.format = format;
                    self.updates.push_back(ReplicaUpdate::Format(format));
                    self.repace();
                }
                MediaEvent::InitHeaders(headers) => {
                    self.cut();
                    self.init_headers = headers.clone();
                    // A joiner gets these headers, so nothing from before them.
                    self.burst = Window::new();
                    self.updates.push_back(ReplicaUpdate::InitHeaders(headers));
                }
                MediaEvent::Metadata(metadata) => self.set_metadata(Arc::new(metadata)),
                // What readers get is written from these by the outputs.
                MediaEvent::Tracks(_) => {}
                MediaEvent::Unit(unit) => self.count(now, unit.payload.len() as u64),
            }
        }
        if self.policy.wait_max.is_zero() {
            self.cut();
        }
    }

    fn count(&mut self, now: Time, bytes: u64) {
        self.bytes_read += bytes;
        if self.meter.count(now, bytes) {
            self.repace();
        }
    }

    fn push_frame(&mut self, now: Time, frame: &Frame) {
        self.count(now, frame.payload.len() as u64);
        if !self.gatherer.fits(frame) {
            self.cut();
        }
        self.gatherer.push(now, frame);
        if self.gatherer.len() as u32 >= self.pace.quantum_bytes / RUNS_PER_QUANTUM {
            self.cut();
        }
    }

    /// What is playing, from the next frame on.
    pub fn set_metadata(&mut self, metadata: Arc<Metadata>) {
        if metadata == self.metadata {
            return;
        }
        self.cut();
        self.metadata = Arc::clone(&metadata);
        self.updates.push_back(ReplicaUpdate::Metadata(metadata));
    }

    /// Does what is due: a run that waited long enough, a source that is given up.
    pub fn handle_timeout(&mut self, now: Time) {
        if self
            .gatherer
            .due(self.run_wait())
            .is_some_and(|due| due <= now)
        {
            self.cut();
        }
        if let Slot::Waiting { since, .. } = self.slot
            && now.since(since) >= self.policy.source_timeout
        {
            self.give_up();
        }
    }

    /// Does not wait any longer for a source that was lost.
    pub fn give_up(&mut self) {
        if matches!(self.slot, Slot::Waiting { .. }) {
            self.slot = Slot::Empty;
            self.meter.reset();
            self.updates.push_back(ReplicaUpdate::State(self.state()));
        }
    }

    /// When [`Mount::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Time> {
        let run = self.gatherer.due(self.run_wait());
        let given_up = match self.slot {
            Slot::Waiting { since, .. } => Some(since + self.policy.source_timeout),
            Slot::Empty | Slot::Live { .. } => None,
        };
        run.into_iter().chain(given_up).min()
    }

    /// The next step for every replica.
    pub fn poll_update(&mut self) -> Option<ReplicaUpdate> {
        self.updates.pop_front()
    }

    /// Everything that a new replica starts from. The caller has drained
    /// [`Mount::poll_update`] before.
    pub fn snapshot(&self) -> MountSnapshot {
        MountSnapshot {
            state: self.state(),
            info: Arc::clone(&self.info),
            format: self.format,
            init_headers: self.init_headers.clone(),
            metadata: Arc::clone(&self.metadata),
            runs: self.burst.runs().cloned().collect(),
            pace: self.pace,
        }
    }

    /// Whether a source feeds the mount.
    pub fn state(&self) -> SourceState {
        match self.slot {
            Slot::Live { .. } => SourceState::Live,
            Slot::Waiting { .. } => SourceState::Waiting,
            Slot::Empty => SourceState::Gone {
                fallback: self.policy.fallback.clone(),
            },
        }
    }

    /// The source.
    pub fn publisher(&self) -> Option<SessionId> {
        match self.slot {
            Slot::Live { session, .. } => Some(session),
            Slot::Empty | Slot::Waiting { .. } => None,
        }
    }

    /// When the present source started, or the one that is waited for.
    pub fn live_since(&self) -> Option<Time> {
        match self.slot {
            Slot::Live { since, .. } => Some(since),
            Slot::Waiting { live_since, .. } => Some(live_since),
            Slot::Empty => None,
        }
    }

    /// What the current or last source said.
    pub fn info(&self) -> &Arc<SourceInfo> {
        &self.info
    }

    /// What a joiner must get first.
    pub fn init_headers(&self) -> &Bytes {
        &self.init_headers
    }

    /// The measured parameters.
    pub fn format(&self) -> AudioFormat {
        self.format
    }

    /// What is playing.
    pub fn metadata(&self) -> &Arc<Metadata> {
        &self.metadata
    }

    /// Measured bits per second of the last seconds.
    pub fn rate_bps(&self) -> u64 {
        self.meter.rate_bps()
    }

    /// Bytes of media from all sources so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// How long the first frame of a run may wait for the others.
    fn run_wait(&self) -> Duration {
        self.policy.wait_max / RUNS_PER_QUANTUM
    }

    fn cut(&mut self) {
        let Some(run) = self.gatherer.cut() else {
            return;
        };
        let arrived = run.arrived;
        self.burst.push(run.clone());
        self.burst
            .trim(arrived, Duration::ZERO, u64::from(self.burst_bytes()));
        self.updates.push_back(ReplicaUpdate::Run(run));
    }

    /// Bytes that a joiner gets at once.
    fn burst_bytes(&self) -> u32 {
        burst_bytes(self.policy.burst_bytes, self.pace)
    }

    fn repace(&mut self) {
        let rate = match (self.meter.rate_bps(), self.format.bitrate_bps) {
            (0, nominal) => u64::from(nominal),
            (measured, _) => measured,
        };
        let wanted = pace(&self.policy, rate);
        let (old, new) = (
            self.pace.period.as_micros() as u64,
            wanted.period.as_micros() as u64,
        );
        let off = old.abs_diff(new) > old / PACE_TOLERANCE;
        if off || wanted.quantum_bytes != self.pace.quantum_bytes {
            self.pace = wanted;
            self.updates.push_back(ReplicaUpdate::Pace(wanted));
        }
    }
}

/// Bytes that a joiner gets at once: `configured`, or two quanta.
pub fn burst_bytes(configured: u32, pace: Pace) -> u32 {
    if configured > 0 {
        configured
    } else {
        pace.quantum_bytes.saturating_mul(2)
    }
}

/// The pace for a source of `rate_bps` (zero while unknown): as many bytes for one send as the
/// quantum says, unless that would take longer than the latency class allows.
fn pace(policy: &Policy, rate_bps: u64) -> Pace {
    let rate_bps = if rate_bps == 0 {
        RATE_BPS_ASSUMED
    } else {
        rate_bps
    };
    let quantum_bytes = match policy.quantum_bytes {
        0 if rate_bps > QUANTUM_RATE_BPS_MAX => QUANTUM_FAST_BYTES,
        0 => QUANTUM_BYTES,
        configured => configured,
    };
    let filled_us = u64::from(quantum_bytes) * 8 * 1_000_000 / rate_bps;
    let period = Duration::from_micros(filled_us).min(policy.wait_max);
    Pace {
        quantum_bytes,
        period,
    }
}

#[cfg(test)]
#[path = "mount_tests.rs"]
mod tests;
