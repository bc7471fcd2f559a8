//! Mounts whose home this shard is.

use std::sync::Arc;

use bytes::Bytes;
use corecast_config::Config;
use corecast_media::fanout::Socket;
use corecast_media::frame::MediaEvent;
use corecast_media::metadata::Metadata;
use corecast_media::mount::{Admitted, Mount, Policy};
use corecast_media::name::{MountName, SessionId, ShardId};
use corecast_media::time::Time;
use corecast_mesh::message::{
    EndReason, Event, Freed, JoinRefusal, MountReport, Move, PublishRefusal, Recording,
    ReplicaUpdate, SeatKind, ShardMessage, SourceInfo, SourceState,
};

use super::outputs::{Tracks, Written};
use super::packaging::{Lives, Packaging};
use super::settings::{laid_over, policy};

use super::{Hub, HubEvent, Timer};

/// One mount at home.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) name: MountName,
    pub(super) mount: Mount,
    /// Its tracks, and what is written from them.
    pub(super) tracks: Tracks,
    /// How it is written, where it is the output of another mount.
    pub(super) written: Option<Written>,
    /// It as HLS.
    pub(super) hls: Packaging,
    /// What its packagers have used.
    pub(super) lives: Lives,
    /// Shards with a replica, in order.
    subscribers: Vec<ShardId>,
    listeners: u32,
    /// Seats of forwards, which are none of listeners.
    forwards: u32,
    listeners_peak: u32,
    slow_listeners: u64,
    /// Bytes sent by shards that have let go of it, and of its outputs.
    bytes_sent_before: u64,
    /// What the source said, without the mount's settings over it.
    pub(super) said: Arc<SourceInfo>,
    /// The source whose media is being recorded.
    recorded: Option<SessionId>,
    /// Listeners that wait for a relay on demand.
    held: Vec<Held>,
    armed: Option<Time>,
}

/// A listener that is answered when the source comes, or when its patience ends.
#[derive(Debug)]
struct Held {
    shard: ShardId,
    session: SessionId,
    seat: SeatKind,
    until: Time,
}

impl Home {
    fn new(name: MountName, policy: Policy, written: Option<Written>) -> Self {
        Home {
            name,
            mount: Mount::new(policy),
            tracks: Tracks::new(),
            written,
            hls: Packaging::default(),
            lives: Lives::default(),
            subscribers: Vec::new(),
            listeners: 0,
            forwards: 0,
            listeners_peak: 0,
            slow_listeners: 0,
            bytes_sent_before: 0,
            said: Arc::default(),
            recorded: None,
            held: Vec::new(),
            armed: None,
        }
    }

    pub(super) fn report(&self) -> MountReport {
        MountReport {
            mount: self.name.clone(),
            state: self.mount.state(),
            info: Arc::clone(self.mount.info()),
            format: self.mount.format(),
            tracks: Arc::clone(self.tracks.all()),
            bitrate_bps: self.mount.rate_bps(),
            metadata: Arc::clone(self.mount.metadata()),
            live_since: self.mount.live_since(),
            publisher: self.mount.publisher(),
            listeners: self.listeners,
            listeners_peak: self.listeners_peak,
            slow_listeners: self.slow_listeners,
            bytes_read: self.mount.bytes_read(),
            bytes_sent_before: self.bytes_sent_before,
        }
    }

    /// Seats taken, without those at its outputs.
    pub(super) fn listeners(&self) -> u32 {
        self.listeners
    }
}

fn is_configured(config: &Config, name: &MountName) -> bool {
    let name = name.as_str();
    config.configured_mount(name).is_some() || config.relay(name).is_some()
}

impl<S: Socket> Hub<S> {
    /// The mount, made now if it is configured or `make` says so.
    pub(super) fn home_key(&mut self, now: Time, name: &MountName, make: bool) -> Option<usize> {
        if let Some(key) = self.home_of.get(name) {
            return Some(*key);
        }
        if let Some(output) = name.output() {
            return self.start_output(now, name, output);
        }
        if !make && !is_configured(&self.config, name) {
            return None;
        }
        Some(self.insert_home(name, None))
    }

    pub(super) fn insert_home(&mut self, name: &MountName, written: Option<Written>) -> usize {
        let policy = policy(&self.config, name);
        let key = self.homes.insert(Home::new(name.clone(), policy, written));
        self.home_of.insert(name.clone(), key);
        key
    }

    pub(super) fn handle_publish(
        &mut self,
        now: Time,
        name: MountName,
        session: SessionId,
        info: Arc<SourceInfo>,
    ) {
        let Some(key) = self.home_key(now, &name, true) else {
            return;
        };
        let said = info;
        let info = Arc::new(laid_over(&said, self.config.mount(name.as_str())));
        let before = self.homes[key].mount.publisher();
        if let Some(before) = before.filter(|before| self.yields(*before)) {
            self.homes[key].mount.unpublish(now, before);
            self.end_elsewhere(&name, before, EndReason::TakenOver);
        }
        let listeners = self.listeners_of(key);
        let home = &mut self.homes[key];
        let was_gone = matches!(home.mount.state(), SourceState::Gone { .. });
        let answer = match home.mount.publish(now, session, Arc::clone(&info)) {
            Err(_) => Err(PublishRefusal::InUse),
            Ok(admitted) => {
                home.said = said;
                if was_gone {
                    home.listeners_peak = listeners;
                }
                if let Admitted::TookOver(old) = admitted {
                    self.end_elsewhere(&name, old, EndReason::TakenOver);
                }
                let event = Event::SourceStarted {
                    mount: name,
                    session,
                    info,
                };
                self.events.push_back(HubEvent::Event(event));
                Ok(())
            }
        };
        self.send(
            session.shard(),
            ShardMessage::PublishAnswer { session, answer },
        );
        if answer.is_ok() {
            self.publish_outputs(now, key);
            self.start_packager(now, key);
            self.answer_held(key, None);
            for output in self.homes[key].tracks.outputs.clone() {
                self.answer_held(output, None);
                self.tend_home(output);
            }
            self.check_intro(key);
        }
        self.tend_home(key);
    }

    pub(super) fn end_source_at_home(&mut self, now: Time, name: &MountName) {
        let Some(&key) = self.home_of.get(name) else {
            return;
        };
        let Some(session) = self.homes[key].mount.publisher() else {
            return;
        };
        // Who ends a source does not want it waited for.
        self.unpublish_outputs(now, key, session, true);
        self.homes[key].mount.unpublish(now, session);
        self.homes[key].mount.give_up();
        self.end_elsewhere(name, session, EndReason::Killed);
        self.run_home(now, key, now);
    }

    /// Tells `session`'s shard that its source must go.
    fn end_elsewhere(&mut self, mount: &MountName, session: SessionId, reason: EndReason) {
        self.send(
            session.shard(),
            ShardMessage::EndPublisher { session, reason },
        );
        let event = Event::SourceEnded {
            mount: mount.clone(),
            session,
            reason,
        };
        self.events.push_back(HubEvent::Event(event));
    }

    pub(super) fn handle_media(
        &mut self,
        now: Time,
        name: &MountName,
        session: SessionId,
        events: Vec<MediaEvent>,
    ) {
        let Some(&key) = self.home_of.get(name) else {
            return;
        };
        if self.homes[key].mount.publisher() == Some(session) {
            self.write_outputs(now, key, session, &events);
        }
        self.homes[key].mount.push(now, session, events);
        self.tend_home(key);
    }

    pub(super) fn handle_unpublish(
        &mut self,
        now: Time,
        name: &MountName,
        session: SessionId,
        reason: EndReason,
    ) {
        let Some(&key) = self.home_of.get(name) else {
            return;
        };
        if self.homes[key].mount.publisher() == Some(session) {
            // First, while the source keeps the mount itself from being forgotten.
            self.unpublish_outputs(now, key, session, false);
            self.homes[key].mount.unpublish(now, session);
            let event = Event::SourceEnded {
                mount: name.clone(),
                session,
                reason,
            };
            self.events.push_back(HubEvent::Event(event));
            // It may be gone for good at once.
            self.run_home(now, key, now);
        }
    }

    pub(super) fn handle_set_metadata(&mut self, now: Time, name: &MountName, metadata: Metadata) {
        let Some(&key) = self.home_of.get(name) else {
            return;
        };
        // What waits belongs to the old title, and is not held up for the new one.
        self.homes[key].mount.handle_timeout(now);
        self.write_title(now, key, &metadata);
        self.homes[key].mount.set_metadata(Arc::new(metadata));
        self.tend_home(key);
    }

    pub(super) fn handle_reserve(
        &mut self,
        now: Time,
        from: ShardId,
        mount: MountName,
        session: SessionId,
        seat: SeatKind,
    ) {
        let key = self.home_key(now, &mount, false);
        if let Some(key) = key
            && let Some(until) = self.call_relay(now, key)
        {
            self.homes[key].held.push(Held {
                shard: from,
                session,
                seat,
                until,
            });
            return self.run_home(now, key, now);
        }
        let (answer, fallback) = match key {
            _ if self.draining => (Err(JoinRefusal::Draining), None),
            None => (Err(JoinRefusal::NotFound), None),
            Some(key) => self.admit(key, from, seat),
        };
        self.send(
            from,
            ShardMessage::ReserveAnswer {
                mount,
                session,
                answer,
                fallback,
            },
        );
        if let Some(key) = key {
            self.run_home(now, key, now);
        }
    }

    /// Calls the relay that feeds the mount on demand, where it does not feed it now. Answers
    /// until when a listener waits for that.
    pub(super) fn call_relay(&mut self, now: Time, key: usize) -> Option<Time> {
        let home = &self.homes[key];
        let relay = self.config.relay(home.name.base());
        let relay = relay.filter(|relay| relay.on_demand && !self.draining)?;
        if home.mount.state() == SourceState::Live {
            return None;
        }
        let mount = home.name.to_base();
        self.events.push_back(HubEvent::Wanted { mount });
        matches!(home.mount.state(), SourceState::Gone { .. }).then(|| now + relay.wait_max)
    }

    /// Answers the listeners that wait for a relay: all of them, or those whose patience is over.
    fn answer_held(&mut self, key: usize, due: Option<Time>) {
        let home = &mut self.homes[key];
        let is_due = |held: &mut Held| due.is_none_or(|now| held.until <= now);
        let answered: Vec<Held> = home.held.extract_if(.., is_due).collect();
        for held in answered {
            let Held { shard, session, .. } = held;
            let (answer, fallback) = self.admit(key, shard, held.seat);
            let mount = self.homes[key].name.clone();
            let answer = ShardMessage::ReserveAnswer {
                mount,
                session,
                answer,
                fallback,
            };
            self.send(shard, answer);
        }
    }

    pub(super) fn is_live_at_home(&self, name: &MountName) -> bool {
        let home = self.home_of.get(name).and_then(|key| self.homes.get(*key));
        home.is_some_and(|home| home.mount.state() == SourceState::Live)
    }

    /// Seats taken at the mount, whose home this shard is, and at its outputs, forwards among them,
    /// listeners that wait for its relay, and shards that watch it.
    pub(super) fn demand_at_home(&self, name: &MountName) -> u32 {
        let Some(&key) = self.home_of.get(name) else {
            return 0;
        };
        let home = &self.homes[key];
        let outputs = home.tracks.outputs.iter().map(|key| &self.homes[*key]);
        let others = |home: &Home| home.held.len() + home.forwards as usize;
        let others: usize = outputs.chain([home]).map(others).sum();
        let waiting = others + home.hls.watcher_count();
        self.listeners_of(key).saturating_add(waiting as u32)
    }

    /// Gives a seat to a listener of `from`, or says why not and where else to try.
    fn admit(
        &mut self,
        key: usize,
        from: ShardId,
        seat: SeatKind,
    ) -> (Result<SeatKind, JoinRefusal>, Option<MountName>) {
        let home = &self.homes[key];
        if let SourceState::Gone { fallback } = home.mount.state() {
            if fallback.is_some() {
                // The shard must hear when the source is back.
                self.subscribe(key, from);
            }
            return (Err(JoinRefusal::NoSource), fallback);
        }
        if home.written.is_none() && home.tracks.are_coded() {
            return (Err(JoinRefusal::OutputsOnly), None);
        }
        let base = &self.homes[self.base_of(key)];
        let has_outputs = base.tracks.may_have_units(base.mount.format().codec);
        if home.written.is_some() && !has_outputs {
            // Nothing is ever written of such a coding.
            return (Err(JoinRefusal::NotFound), None);
        }
        let max = self.config.mount(home.name.base()).listeners_max;
        match seat {
            SeatKind::Forward => self.homes[key].forwards += 1,
            SeatKind::Listener if max > 0 && self.listeners_of(key) >= max => {
                return (Err(JoinRefusal::MountFull), None);
            }
            SeatKind::Listener => self.take_seats(key, 1),
        }
        self.subscribe(key, from);
        (Ok(seat), None)
    }

    fn take_seats(&mut self, key: usize, count: u32) {
        self.homes[key].listeners += count;
        let (base, listeners) = (self.base_of(key), self.listeners_of(key));
        let peak = &mut self.homes[base].listeners_peak;
        *peak = listeners.max(*peak);
    }

    pub(super) fn handle_move(&mut self, now: Time, shard: ShardId, asked: Move) {
        let key = self.home_key(now, &asked.mount, false);
        let answer = match key {
            None => Err(None),
            Some(key) => match self.homes[key].mount.state() {
                SourceState::Gone { fallback } => Err(fallback),
                SourceState::Live | SourceState::Waiting => {
                    self.take_seats(key, asked.seats);
                    self.subscribe(key, shard);
                    Ok(())
                }
            },
        };
        if let Some(key) = key {
            self.run_home(now, key, now);
        }
        self.send(shard, ShardMessage::MoveAnswer { asked, answer });
    }

    pub(super) fn handle_release(&mut self, now: Time, name: &MountName, freed: Freed) {
        let Some(&key) = self.home_of.get(name) else {
            return;
        };
        let home = &mut self.homes[key];
        debug_assert!(
            home.listeners >= freed.listeners && home.forwards >= freed.forwards,
            "more seats given back than taken at {name}"
        );
        home.listeners = home.listeners.saturating_sub(freed.listeners);
        home.forwards = home.forwards.saturating_sub(freed.forwards);
        let base = self.base_of(key);
        self.homes[base].slow_listeners += u64::from(freed.slow);
        self.run_home(now, key, now);
    }

    pub(super) fn handle_unsubscribe(&mut self, from: ShardId, name: &MountName, bytes_sent: u64) {
        let Some(&key) = self.home_of.get(name) else {
            return;
        };
        self.note_sent_before(key, bytes_sent);
        self.homes[key].subscribers.retain(|shard| *shard != from);
        self.forget_home_if_unused(key);
    }

    /// A shard has let go of the mount or output at `key`, to whose readers it sent `bytes`.
    pub(super) fn note_sent_before(&mut self, key: usize, bytes: u64) {
        let base = self.base_of(key);
        let sent = &mut self.homes[base].bytes_sent_before;
        *sent = sent.saturating_add(bytes);
    }

    /// Makes `shard` a subscriber; a new one starts from a snapshot.
    fn subscribe(&mut self, key: usize, shard: ShardId) {
        if self.homes[key].subscribers.contains(&shard) {
            return;
        }
        // Updates that wait are part of the snapshot; the old subscribers still need them.
        self.broadcast(key);
        let home = &mut self.homes[key];
        home.subscribers.push(shard);
        home.subscribers.sort_unstable();
        let update = ReplicaUpdate::Snapshot(Box::new(home.mount.snapshot()));
        let mount = home.name.clone();
        self.send(shard, ShardMessage::Replica { mount, update });
    }

    /// Does what is due at a mount. `at` is the deadline that came up; a stale one does no harm.
    pub(super) fn run_home(&mut self, now: Time, key: usize, at: Time) {
        let Some(home) = self.homes.get_mut(key) else {
            return;
        };
        if home.armed == Some(at) {
            home.armed = None;
        }
        home.mount.handle_timeout(now);
        if matches!(home.mount.state(), SourceState::Gone { .. }) {
            self.end_packager(now, key);
        }
        self.pass_steps(now, key);
        self.answer_held(key, Some(now));
        self.tend_home(key);
    }

    /// Passes on what the mount says, arms its timer, and lets it go where nobody needs it.
    pub(super) fn tend_home(&mut self, key: usize) {
        self.broadcast(key);
        let home = &mut self.homes[key];
        let patience = home.held.iter().map(|held| held.until).min();
        let own = [home.mount.poll_timeout(), home.hls.poll_timeout(), patience];
        let due = own.into_iter().flatten().min();
        self.timers.arm(Timer::Home(key), &mut home.armed, due);
        self.forget_home_if_unused(key);
    }

    fn broadcast(&mut self, key: usize) {
        while let Some(update) = self.homes[key].mount.poll_update() {
            let home = &self.homes[key];
            if let ReplicaUpdate::Metadata(metadata) = &update
                && home.written.is_none()
            {
                let (mount, metadata) = (home.name.clone(), Arc::clone(metadata));
                self.events
                    .push_back(HubEvent::Event(Event::Metadata { mount, metadata }));
            }
            self.record(key, &update);
            let mount = self.homes[key].name.clone();
            for index in 0..self.homes[key].subscribers.len() {
                let shard = self.homes[key].subscribers[index];
                let (mount, update) = (mount.clone(), update.clone());
                self.send(shard, ShardMessage::Replica { mount, update });
            }
        }
    }

    /// Hands media to control where the mount's settings want it in a file.
    fn record(&mut self, key: usize, update: &ReplicaUpdate) {
        let home = &mut self.homes[key];
        let wanted = !self.config.mount(home.name.base()).dump_file.is_empty();
        if home.written.is_some() || !wanted && home.recorded.is_none() {
            return;
        }
        let (payload, entry) = match update {
            ReplicaUpdate::Run(run) => {
                let entry = run.borders.first().is_some_and(|border| border.is_entry());
                home.recorded = home.recorded.or(home.mount.publisher());
                (run.payload.clone(), entry)
            }
            // What was cut for the source before this one has gone out by now.
            ReplicaUpdate::State(SourceState::Live) => {
                home.recorded = home.mount.publisher();
                return;
            }
            ReplicaUpdate::State(SourceState::Waiting) => (Bytes::new(), false),
            _ => return,
        };
        let session = match payload.is_empty() {
            true => home.recorded.take(),
            false => home.recorded,
        };
        let Some(session) = session else { return };
        let mount = home.name.clone();
        let init_headers = home.mount.init_headers().clone();
        let recording = Recording {
            mount,
            session,
            payload,
            entry,
            init_headers,
        };
        self.events.push_back(HubEvent::Record(recording));
    }

    pub(super) fn forget_home_if_unused(&mut self, key: usize) {
        let home = &self.homes[key];
        let gone = matches!(home.mount.state(), SourceState::Gone { .. });
        let unread = home.subscribers.is_empty() && home.hls.is_unused();
        let seats = home.listeners + home.forwards;
        let unused = unread && seats == 0 && home.held.is_empty();
        if home.written.is_some() {
            if unused {
                self.end_output(key);
            }
        } else if gone
            && unused
            && home.tracks.outputs.is_empty()
            && !is_configured(&self.config, &home.name)
        {
            self.home_of.remove(&home.name);
            self.homes.remove(key);
        }
    }
}
