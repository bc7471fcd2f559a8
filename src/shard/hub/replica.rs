//! Mounts that this shard has readers of: each a window fed by the mount's home.

use std::sync::Arc;
use std::time::Duration;

use corecast_config::{Config, SlowReader};
use corecast_media::codec::AudioFormat;
use corecast_media::fanout::{ReaderPolicy, Socket};
use corecast_media::metadata::Metadata;
use corecast_media::mount::burst_bytes;
use corecast_media::name::MountName;
use corecast_media::time::Time;
use corecast_media::wheel::Wheel;
use corecast_media::window::{Pace, Window};
use corecast_mesh::message::{
    EndReason, Freed, MountSnapshot, Move, ReplicaUpdate, ShardMessage, SourceInfo, SourceState,
};
use corecast_protocol::icy;

use super::listener::Stay;
use super::outputs::opening_bytes;
use super::{Hub, Timer};

/// How long a replica without readers is kept, for the next one.
const LINGER: Duration = Duration::from_secs(3);
/// What the window keeps beyond the slowest reader's budget, so that a reader is judged before
/// its bytes are gone.
const KEEP_MARGIN: Duration = Duration::from_secs(3);
/// How many fallbacks are tried, one after another.
pub(super) const FALLBACK_HOPS_MAX: u8 = 8;

/// One mount as this shard sees it.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) name: MountName,
    pub(super) state: SourceState,
    pub(super) info: Arc<SourceInfo>,
    pub(super) format: AudioFormat,
    pub(super) window: Window,
    pub(super) wheel: Wheel,
    pub(super) policy: ReaderPolicy,
    /// Bytes sent to readers so far.
    pub(super) sent: u64,
    /// Seated sessions that are not readers yet.
    pub(super) held: u32,
    /// Readers that a fallback took elsewhere and that return when the source is back.
    pub(super) away: u32,
    /// Seats to give back at the end of the call.
    freed: Freed,
    pace: Pace,
    burst_bytes: u32,
    /// Seats were asked for elsewhere, since the source is gone.
    moving: bool,
    /// An admin wants the readers there.
    ordered: Option<MountName>,
    /// The source is back: those away are called with its first run.
    calls_back: bool,
    /// Where the turn of the wheel was broken off.
    cursor: Option<(usize, usize)>,
    unused_since: Option<Time>,
    armed: Option<Time>,
}

impl Replica {
    fn new(name: MountName, snapshot: MountSnapshot, config: &Config) -> Self {
        let mut window = Window::new();
        window.push_headers(snapshot.init_headers);
        window.push_title(icy::block(&snapshot.metadata));
        snapshot.runs.into_iter().for_each(|run| window.push(run));
        let mut replica = Replica {
            name,
            state: snapshot.state,
            info: snapshot.info,
            format: snapshot.format,
            window,
            wheel: Wheel::new(snapshot.pace.period),
            policy: ReaderPolicy {
                budget: Duration::ZERO,
                skip: true,
                skip_bytes: 0,
                burst_bytes: 0,
                opening_bytes: 0,
            },
            sent: 0,
            held: 0,
            away: 0,
            freed: Freed::default(),
            pace: snapshot.pace,
            burst_bytes: 0,
            moving: false,
            ordered: None,
            calls_back: false,
            cursor: None,
            unused_since: None,
            armed: None,
        };
        replica.configure(config);
        replica
    }

    fn configure(&mut self, config: &Config) {
        let settings = config.mount(self.name.base());
        self.burst_bytes = burst_bytes(settings.burst_bytes, self.pace);
        self.policy = ReaderPolicy {
            budget: settings.slow_reader_budget,
            skip: settings.slow_reader == SlowReader::Skip,
            skip_bytes: u64::from(self.pace.quantum_bytes),
            burst_bytes: u64::from(self.burst_bytes),
            opening_bytes: opening_bytes(self.name.output()),
        };
    }

    /// Where a new listener starts.
    pub(super) fn join_position(&self) -> u64 {
        self.window.join_position(u64::from(self.burst_bytes))
    }

    fn push_run(&mut self, now: Time, run: corecast_media::run::Run) {
        self.window.push(run);
        let joined_behind = self.window.arrived_at(self.join_position());
        let burst_age = joined_behind.map_or(Duration::ZERO, |arrived| now.since(arrived));
        let keep = self.policy.budget + burst_age + KEEP_MARGIN;
        self.window.trim(now, keep, u64::from(self.burst_bytes));
        if self.pace.period.is_zero() {
            self.wheel.ring(now);
        }
    }

    fn is_unused(&self) -> bool {
        self.wheel.is_empty() && self.held == 0 && self.away == 0
    }
}

impl<S: Socket> Hub<S> {
    pub(super) fn handle_replica_update(
        &mut self,
        now: Time,
        name: &MountName,
        update: ReplicaUpdate,
    ) {
        let key = match update {
            ReplicaUpdate::Snapshot(snapshot) => self.start_replica(name, *snapshot),
            update => {
                let Some(&key) = self.replica_of.get(name) else {
                    return;
                };
                self.step_replica(now, key, update);
                key
            }
        };
        self.tend_replica(now, key);
    }

    fn start_replica(&mut self, name: &MountName, snapshot: MountSnapshot) -> usize {
        let key = self
            .replicas
            .insert(Replica::new(name.clone(), snapshot, &self.config));
        let old = self.replica_of.insert(name.clone(), key);
        debug_assert!(old.is_none(), "a second snapshot of {name}");
        key
    }

    fn step_replica(&mut self, now: Time, key: usize, update: ReplicaUpdate) {
        let replica = &mut self.replicas[key];
        match update {
            ReplicaUpdate::Run(run) => {
                replica.push_run(now, run);
                if replica.calls_back {
                    replica.calls_back = false;
                    self.call_back(key);
                }
            }
            ReplicaUpdate::InitHeaders(headers) => replica.window.push_headers(headers),
            ReplicaUpdate::Metadata(metadata) => set_title(replica, &metadata),
            ReplicaUpdate::Format(format) => replica.format = format,
            ReplicaUpdate::Info(info) => {
                if !replica.info.continues_as(&info) {
                    // What comes now is of another kind than the readers were promised.
                    self.flush_readers(now, key);
                    let readers: Vec<u32> = self.replicas[key].wheel.keys().collect();
                    for listener in readers {
                        self.dismiss_listener(now, listener as usize, EndReason::SourceGone);
                    }
                    self.replicas[key].window = Window::new();
                }
                self.replicas[key].info = info;
            }
            ReplicaUpdate::State(state) => {
                let back = state == SourceState::Live;
                replica.calls_back = back && (replica.calls_back || replica.away > 0);
                replica.state = state;
                if back {
                    self.keep_lingering(key);
                } else {
                    self.leave_gone_source(now, key);
                }
            }
            ReplicaUpdate::Pace(pace) => {
                replica.pace = pace;
                replica.configure(&self.config);
                replica.wheel.set_period(now, pace.period);
            }
            ReplicaUpdate::Snapshot(_) => {}
        }
    }

    /// The source is gone: its readers go to the fallback, or end.
    pub(super) fn leave_gone_source(&mut self, now: Time, key: usize) {
        let replica = &self.replicas[key];
        let SourceState::Gone { fallback } = &replica.state else {
            return;
        };
        let staying = self.staying_at(key).count() as u32;
        if staying == 0 || replica.moving {
            return;
        }
        let fallback = fallback.clone();
        self.flush_readers(now, key);
        match fallback {
            Some(fallback) => self.ask_to_move(key, fallback, staying, 0),
            None => self.dismiss(now, key),
        }
    }

    /// Asks `to` for seats for all readers at `from`, by an admin's order.
    pub(super) fn order_move(&mut self, from: &MountName, to: MountName) {
        let Some(&key) = self.replica_of.get(from) else {
            return;
        };
        let staying = self.staying_at(key).count() as u32;
        if staying > 0 && !self.replicas[key].moving && *from != to {
            self.replicas[key].ordered = Some(to.clone());
            self.ask_to_move(key, to, staying, FALLBACK_HOPS_MAX);
        }
    }

    /// Sends what the readers lack now: no more comes, and it is theirs.
    fn flush_readers(&mut self, now: Time, key: usize) {
        let end = self.replicas[key].window.end();
        let position = |listener: &u32| self.listeners[*listener as usize].position();
        let lacking = |listener: &u32| position(listener).is_some_and(|position| position < end);
        let listeners: Vec<u32> = self.staying_at(key).filter(lacking).collect();
        for listener in listeners {
            if !self.serve_listener(now, listener as usize) {
                self.replicas[key].wheel.remove(listener);
            }
        }
    }

    /// The source is back: asks for seats for those away.
    pub(super) fn call_back(&mut self, key: usize) {
        let replica = &self.replicas[key];
        if replica.away > 0 {
            let (name, seats) = (replica.name.clone(), replica.away);
            self.ask_to_move(key, name, seats, 0);
        }
    }

    /// Asks `mount` for seats for readers of the replica at `key`.
    fn ask_to_move(&mut self, key: usize, mount: MountName, seats: u32, hops: u8) {
        let from = self.replicas[key].name.clone();
        self.replicas[key].moving |= from != mount;
        *self.asking.entry(mount.clone()).or_default() += 1;
        let home = self.topology.home(&mount);
        let asked = Move {
            mount,
            from,
            seats,
            hops,
        };
        self.send(home, ShardMessage::Move(asked));
    }

    pub(super) fn handle_move_answer(
        &mut self,
        now: Time,
        asked: &Move,
        answer: Result<(), Option<MountName>>,
    ) {
        let Move {
            mount,
            from,
            seats,
            hops,
        } = asked;
        let (seats, hops) = (*seats, *hops);
        self.note_answered(mount);
        let to = self.replica_of.get(mount).copied();
        let granted = answer.is_ok();
        let used = match (self.replica_of.get(from).copied(), to) {
            (Some(_), Some(to)) if granted && mount == from => {
                self.return_listeners(now, to, seats)
            }
            (Some(key), Some(to)) if granted => self.follow_fallback(now, key, to, seats),
            (Some(key), _) if mount != from => {
                self.try_next_fallback(now, key, seats, hops, answer.err().flatten());
                0
            }
            // Its readers are gone meanwhile, or the source that called them is.
            _ => 0,
        };
        if let Some(to) = to {
            let unused = Freed {
                listeners: if granted { seats - used } else { 0 },
                ..Freed::default()
            };
            self.free_seats(to, unused);
            self.tend_replica(now, to);
        }
    }

    /// The fallback has no source: its own fallback is asked, or the readers end.
    fn try_next_fallback(
        &mut self,
        now: Time,
        key: usize,
        seats: u32,
        hops: u8,
        next: Option<MountName>,
    ) {
        self.replicas[key].moving = false;
        self.replicas[key].ordered = None;
        if matches!(self.replicas[key].state, SourceState::Gone { .. }) {
            match next {
                Some(next) if hops < FALLBACK_HOPS_MAX => {
                    self.ask_to_move(key, next, seats, hops + 1);
                }
                _ => self.dismiss(now, key),
            }
        }
        self.tend_replica(now, key);
    }

    /// The readers at `key` have `seats` at `to`: those that can go on there do. Returns how
    /// many seats they took.
    fn follow_fallback(&mut self, now: Time, key: usize, to: usize, seats: u32) -> u32 {
        self.replicas[key].moving = false;
        let ordered = self.replicas[key].ordered.take().is_some();
        let gone = matches!(self.replicas[key].state, SourceState::Gone { .. });
        let same_kind = self.replicas[key]
            .info
            .continues_as(&self.replicas[to].info);
        let name = self.replicas[key].name.base();
        let stay = match self.config.mount(name).fallback_return {
            _ if ordered => Stay::ForGood,
            true => Stay::UntilItsSourceIsBack,
            false => Stay::UnlessItCameFromElsewhere,
        };
        let moved = match (gone || ordered, same_kind) {
            (true, true) => self.move_listeners(now, key, to, seats, stay),
            (true, false) if ordered => 0,
            (true, false) => {
                self.dismiss(now, key);
                0
            }
            // The source is back already.
            (false, _) => 0,
        };
        // Listeners that joined since the question was asked.
        self.leave_gone_source(now, key);
        self.tend_replica(now, key);
        moved
    }

    /// Turns the wheel of a mount as far as it is due. `at` is the deadline that came up.
    pub(super) fn turn_replica(&mut self, now: Time, key: usize, at: Time, serves_left: &mut u32) {
        let Some(replica) = self.replicas.get_mut(key) else {
            return;
        };
        if replica.armed == Some(at) {
            replica.armed = None;
        }
        while let Some((slot, mut index)) = {
            let replica = &mut self.replicas[key];
            replica
                .cursor
                .take()
                .or_else(|| replica.wheel.turn(now).map(|slot| (slot, 0)))
        } {
            self.gather_stretch(key, slot, index);
            while let Some(listener) = self.replicas[key].wheel.key(slot, index) {
                if *serves_left == 0 {
                    self.replicas[key].cursor = Some((slot, index));
                    self.stretch.clear();
                    self.tend_replica(now, key);
                    return;
                }
                *serves_left -= 1;
                if self.serve_listener(now, listener as usize) {
                    index += 1;
                } else {
                    self.replicas[key].wheel.remove_at(slot, index);
                }
            }
        }
        self.stretch.clear();
        self.tend_replica(now, key);
    }

    /// Copies together what most readers of the slot lack: what the least late of the first few
    /// does.
    fn gather_stretch(&mut self, key: usize, slot: usize, index: usize) {
        let replica = &self.replicas[key];
        let first = (index..index + 4).map_while(|index| replica.wheel.key(slot, index));
        let position = first
            .filter_map(|key| self.listeners[key as usize].position())
            .filter(|position| *position < replica.window.end())
            .max();
        if let Some(position) = position {
            self.stretch.gather(&replica.window, position);
        }
    }

    /// Arms the timer of a replica, and lets go of one that nobody needed for [`LINGER`].
    pub(super) fn tend_replica(&mut self, now: Time, key: usize) {
        let Some(replica) = self.replicas.get_mut(key) else {
            return;
        };
        let asked = self.asking.contains_key(&replica.name);
        if !replica.is_unused() || asked {
            replica.unused_since = None;
        } else if now.since(*replica.unused_since.get_or_insert(now)) >= LINGER
            && replica.freed == Freed::default()
        {
            let replica = self.replicas.remove(key);
            self.replica_of.remove(&replica.name);
            let home = self.topology.home(&replica.name);
            self.send(
                home,
                ShardMessage::Unsubscribe {
                    mount: replica.name,
                    bytes_sent: replica.sent,
                },
            );
            return;
        }
        let turn = match replica.cursor {
            Some(_) => Some(now),
            None => replica.wheel.due(),
        };
        let linger = replica.unused_since.map(|since| since + LINGER);
        let due = turn.into_iter().chain(linger).min();
        self.timers
            .arm(Timer::Replica(key), &mut replica.armed, due);
    }

    /// Seats at a replica's mount are free again; the home is told at the end of the call.
    pub(super) fn free_seats(&mut self, key: usize, more: Freed) {
        let freed = &mut self.replicas[key].freed;
        if *freed == Freed::default() && more != Freed::default() {
            self.freed.push(key);
        }
        *freed += more;
    }

    /// Gives back the seats that became free in this call: one message for each mount.
    pub(super) fn release_freed_seats(&mut self) {
        for key in std::mem::take(&mut self.freed) {
            let replica = &mut self.replicas[key];
            let freed = std::mem::take(&mut replica.freed);
            let mount = replica.name.clone();
            let home = self.topology.home(&mount);
            self.send(home, ShardMessage::Release { mount, freed });
        }
    }

    /// A question for seats at `mount` was answered.
    pub(super) fn note_answered(&mut self, mount: &MountName) {
        if let Some(count) = self.asking.get_mut(mount) {
            *count -= 1;
            if *count == 0 {
                self.asking.remove(mount);
            }
        }
    }

    /// The source is gone for good: every reader at `key` ends with the last frame, those that
    /// are behind when they have heard it.
    fn dismiss(&mut self, now: Time, key: usize) {
        let listeners: Vec<u32> = self.staying_at(key).collect();
        for listener in listeners {
            self.finish_listener(listener as usize);
        }
        self.tend_replica(now, key);
    }

    /// A source is there again, before readers of the last one have heard all of that: they stay.
    fn keep_lingering(&mut self, key: usize) {
        let listeners: Vec<u32> = self.replicas[key].wheel.keys().collect();
        for listener in listeners {
            self.keep_listener(listener as usize);
        }
    }

    pub(super) fn reload_replicas(&mut self) {
        for (_, replica) in &mut self.replicas {
            replica.configure(&self.config);
        }
    }
}

/// Titles of Ogg streams travel in their own pages; the block is made all the same, since a
/// mount may change its kind.
fn set_title(replica: &mut Replica, metadata: &Metadata) {
    replica.window.push_title(icy::block(metadata));
}
