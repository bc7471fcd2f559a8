//! What carries the hub: its port to the other planes, its timer, and whoever waits for it.
//!
//! Everything here runs on one thread; tasks share a [`Shard`] through `Rc`. The hub is borrowed
//! for one call at a time, never across a wait.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use corecast_config::Config;
use corecast_media::name::{SessionId, ShardId};
use corecast_media::time::Time;
use corecast_mesh::message::{
    AccessRecord, Datagrams, EndReason, Event, FromControl, JoinRefusal, PublishRefusal, ToControl,
    Verdict,
};
use corecast_mesh::port::{Plane, Received, ShardPort};
use corecast_mesh::seats::NodeSeats;
use corecast_tls::Credentials;
use futures_channel::oneshot;
use monoio::time::Instant;
use rustc_hash::FxHashMap;

use crate::ShardSettings;
use crate::forward::Forwards;
use crate::hearing::Hearing;
use crate::http::inbox::{Inboxes, ResponsePart};
use crate::http::response::unix_origin_ms;
use crate::http::room::Room;
use crate::hub::{Hub, HubEvent, Seat};
use crate::net::ReaderSocket;
use crate::net::buffer::Scratch;
use crate::net::ready::{Readiness, Turn};
use crate::probe::{FullRing, ShardProbe, backend_index, reason_index};
use crate::quic::Endpoints;
use crate::relay::Relays;
use crate::session::passes::Passes;
use crate::starts::Starts;
use crate::task::{Milestone, Signal, Tasks, first};
use crate::waiting::Waiting;

/// Messages taken from the rings before the shard looks at its sockets again.
const MESH_BATCH: usize = 256;

/// Small messages for control that may wait for room in its ring.
const CONTROL_BACKLOG_MAX: usize = 4_096;

/// The runtime's timer wheel turns a coarse wheel every 64 ms, which costs a wake-up of its own
/// unless the timers themselves are due just then.
const BEAT: Duration = Duration::from_millis(64);

/// How often, in beats, the canary looks while the shard has connections.
const CANARY_BUSY_BEATS: u32 = 2;

/// How often it looks while there are none.
const CANARY_IDLE_BEATS: u32 = 16;

/// One shard as its tasks see it. Lives on: its shard.
pub(crate) struct Shard {
    pub(crate) id: ShardId,
    pub(crate) seats: Arc<NodeSeats>,
    pub(crate) probe: Arc<ShardProbe>,
    pub(crate) scratch: Scratch,
    pub(crate) tasks: Rc<Tasks>,
    /// Connections that only get a refusal and are closed in good order; bounded.
    pub(crate) refusals: Cell<u32>,
    config: RefCell<Arc<Config>>,
    credentials: RefCell<Option<Arc<Credentials>>>,
    pub(crate) started: std::time::Instant,
    pub(crate) shards: u16,
    pub(crate) endpoints: Endpoints,
    sequence: Cell<u64>,
    hub: RefCell<Hub<ReaderSocket>>,
    port: RefCell<ShardPort>,
    control_backlog: RefCell<VecDeque<ToControl>>,
    publishers: RefCell<FxHashMap<SessionId, PublisherDesk>>,
    /// Listeners' tasks that asked for a seat ([`Hub::reserve`]).
    pub(crate) joiners: Waiting<Result<Seat, JoinRefusal>>,
    /// Tasks that asked control about their peer ([`ToControl::Ask`]).
    pub(crate) verdicts: Waiting<Verdict>,
    /// Requests for HLS that wait to be made again ([`Hub::watch`]).
    pub(crate) askers: Waiting<()>,
    /// Viewers of guarded HLS.
    pub(crate) passes: Passes,
    /// Who hears the listeners that may talk.
    pub(crate) hearing: Hearing,
    /// Tasks that wait for the addresses of a host ([`ToControl::Resolve`]).
    pub(crate) resolved: Waiting<Vec<SocketAddr>>,
    /// The relays to mounts whose home this shard is.
    pub(crate) relays: Relays,
    /// The forwards of such mounts.
    pub(crate) forwards: Forwards,
    /// Requests that control answers.
    pub(crate) inboxes: Inboxes,
    /// Where bodies of requests are until control has answered.
    pub(crate) bodies: Rc<Room>,
    /// Requests for HLS that wait or whose answer is being sent, and sources that were not told
    /// of their end.
    pub(crate) answering: Cell<u32>,
    timer: Signal,
    timer_due: Cell<Option<Time>>,
    starts: Starts,
    /// A point just before the runtime's first tick; beats are counted from it.
    first_beat: Instant,
    drain: Cell<Option<Time>>,
    drain_changed: Signal,
    /// Reached when the node begins to drain.
    pub(crate) draining: Milestone,
}

/// Where a publisher's task waits.
struct PublisherDesk {
    answer: Option<oneshot::Sender<Result<(), PublishRefusal>>>,
    ended: Option<oneshot::Sender<EndReason>>,
}

/// What a publisher's task waits for.
pub(crate) struct PublisherTicket {
    pub(crate) answer: oneshot::Receiver<Result<(), PublishRefusal>>,
    pub(crate) ended: oneshot::Receiver<EndReason>,
}

impl Shard {
    pub(crate) fn new(settings: ShardSettings) -> Rc<Self> {
        let ShardSettings {
            id,
            topology,
            config,
            intros,
            seats,
            port,
            tls,
            backend,
            started,
            probe,
            ..
        } = settings;
        probe.backend.at(backend_index(backend)).set(1);
        let mut hub = Hub::new(id, topology, Arc::clone(&config), Arc::clone(&seats));
        hub.set_intros(intros);
        hub.set_wall_clock(unix_origin_ms(started));
        Rc::new(Shard {
            id,
            seats,
            probe,
            scratch: Scratch::new(),
            tasks: Rc::default(),
            refusals: Cell::new(0),
            config: RefCell::new(config),
            credentials: RefCell::new(tls),
            started,
            shards: topology.shards(),
            endpoints: Endpoints::default(),
            sequence: Cell::new(0),
            hub: RefCell::new(hub),
            port: RefCell::new(port),
            control_backlog: RefCell::default(),
            publishers: RefCell::default(),
            joiners: Waiting::default(),
            verdicts: Waiting::default(),
            askers: Waiting::default(),
            passes: Passes::default(),
            hearing: Hearing::default(),
            resolved: Waiting::default(),
            relays: Relays::default(),
            forwards: Forwards::default(),
            inboxes: Inboxes::default(),
            bodies: Room::for_bodies(),
            answering: Cell::new(0),
            timer: Signal::default(),
            timer_due: Cell::new(None),
            starts: Starts::default(),
            first_beat: Instant::now() + BEAT - Duration::from_micros(500),
            drain: Cell::new(None),
            drain_changed: Signal::default(),
            draining: Milestone::default(),
        })
    }

    /// The node's clock.
    pub(crate) fn now(&self) -> Time {
        Time::from_micros(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// The next time that is a multiple of `beats` and at least half of that away: so tasks that
    /// have to look now and then do it together.
    pub(crate) fn next_beat(&self, beats: u32) -> Instant {
        let step = BEAT * beats.max(1);
        let since = (Instant::now() + step / 2).saturating_duration_since(self.first_beat);
        let steps = since.as_nanos().div_ceil(step.as_nanos());
        self.first_beat + step * u32::try_from(steps).unwrap_or(u32::MAX)
    }

    /// Passes packets on to another shard now, or not at all.
    pub(crate) fn send_datagrams(&self, to: ShardId, datagrams: Datagrams) {
        let mut port = self.port.borrow_mut();
        if port.send_datagrams(to, datagrams).is_err() {
            self.probe.ring_full.at(FullRing::Shard as usize).add(1);
        }
        port.flush();
    }

    /// The settings that hold now.
    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.borrow())
    }

    /// What TLS and QUIC are spoken with now: to be asked for at each handshake. None where no
    /// acceptor needs it.
    pub(crate) fn credentials(&self) -> Option<Arc<Credentials>> {
        self.credentials.borrow().clone()
    }

    /// An id that no session of the node has had.
    pub(crate) fn next_session(&self) -> SessionId {
        let sequence = self.sequence.get().wrapping_add(1);
        self.sequence.set(sequence);
        SessionId::new(self.id, sequence)
    }

    /// Calls the hub, then carries away what the call brought forth.
    pub(crate) fn with_hub<R>(&self, call: impl FnOnce(&mut Hub<ReaderSocket>, Time) -> R) -> R {
        let mut hub = self.hub.borrow_mut();
        let now = self.now();
        let result = call(&mut hub, now);
        self.pump(&mut hub, now);
        result
    }

    /// Asks the hub what changes nothing in it.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&Hub<ReaderSocket>) -> R) -> R {
        look(&self.hub.borrow())
    }

    /// Registers a publisher's task; to be called before [`Hub::publish`].
    pub(crate) fn expect_publish(&self, session: SessionId) -> PublisherTicket {
        let ((answer, answered), (ended, end)) = (oneshot::channel(), oneshot::channel());
        let desk = PublisherDesk {
            answer: Some(answer),
            ended: Some(ended),
        };
        self.publishers.borrow_mut().insert(session, desk);
        PublisherTicket {
            answer: answered,
            ended: end,
        }
    }

    /// Forgets a publisher's task.
    pub(crate) fn forget_publisher(&self, session: SessionId) {
        self.publishers.borrow_mut().remove(&session);
    }

    /// Sends to control now, or not at all.
    ///
    /// # Errors
    /// The message, where the ring is full.
    pub(crate) fn try_tell_control(&self, message: ToControl) -> Result<(), ToControl> {
        let mut port = self.port.borrow_mut();
        let sent = port.send_control(message);
        port.flush();
        if sent.is_err() {
            self.probe.ring_full.at(FullRing::Control as usize).add(1);
        }
        sent
    }

    /// Sends to control, later if its ring is full: for small messages that must not be lost.
    pub(crate) fn tell_control(&self, message: ToControl) {
        if self.control_backlog.borrow().is_empty() {
            if let Err(message) = self.try_tell_control(message) {
                self.control_backlog.borrow_mut().push_back(message);
            }
        } else if self.control_backlog.borrow().len() < CONTROL_BACKLOG_MAX {
            self.control_backlog.borrow_mut().push_back(message);
        }
    }

    /// Sends an event to control, or drops and counts it where the ring is full.
    pub(crate) fn tell_event(&self, event: Event) {
        let _ = self.try_tell_control(ToControl::Event(Box::new(event)));
    }

    /// A line for the access log.
    pub(crate) fn tell_access(&self, record: AccessRecord) {
        self.tell_event(Event::Access(record));
    }

    /// Whether no new session is taken.
    pub(crate) fn is_draining(&self) -> bool {
        self.drain.get().is_some()
    }

    /// Returns when the node drains and either it has no session left or the grace is over,
    /// which ends the rest.
    pub(crate) async fn drained(&self) {
        const LOOK: Duration = Duration::from_millis(20);
        while self.drain.get().is_none() {
            self.drain_changed.wait().await;
        }
        loop {
            let idle =
                self.hub.borrow().is_idle() && self.inboxes.is_empty() && self.answering.get() == 0;
            // Until the node's last session is gone, others are still to be told that it drains.
            let seats = &self.seats;
            let idle = idle && seats.listeners.taken() == 0 && seats.sources.taken() == 0;
            if idle || self.drain.get().is_some_and(|until| until <= self.now()) {
                break;
            }
            monoio::time::sleep(LOOK).await;
        }
        self.with_hub(|hub, now| hub.end_rest(now));
    }

    /// Carries away what the hub brought forth, and arms the timer.
    fn pump(&self, hub: &mut Hub<ReaderSocket>, now: Time) {
        loop {
            let mut quiet = true;
            while let Some(event) = hub.poll_event() {
                quiet = false;
                self.on_hub_event(event, now);
            }
            while let Some((to, message)) = hub.poll_transmit() {
                quiet = false;
                if to == self.id {
                    hub.handle_message(now, to, message);
                    continue;
                }
                let sent = self.port.borrow_mut().send(to, message);
                if let Err(message) = sent {
                    self.probe.ring_full.at(FullRing::Shard as usize).add(1);
                    hub.return_message(to, message);
                }
            }
            if quiet {
                break;
            }
        }
        self.port.borrow_mut().flush();
        let due = hub.poll_timeout();
        if due.is_some_and(|due| self.timer_due.get().is_none_or(|armed| due < armed)) {
            self.timer_due.set(due);
            self.timer.set();
        }
    }

    fn on_hub_event(&self, event: HubEvent<ReaderSocket>, now: Time) {
        match event {
            HubEvent::PublishAnswer { session, answer } => {
                let mut publishers = self.publishers.borrow_mut();
                let desk = publishers.get_mut(&session);
                if let Some(waiting) = desk.and_then(|desk| desk.answer.take()) {
                    let _ = waiting.send(answer);
                }
            }
            HubEvent::PublisherEnded { session, reason } => {
                let mut publishers = self.publishers.borrow_mut();
                let desk = publishers.get_mut(&session);
                if let Some(waiting) = desk.and_then(|desk| desk.ended.take()) {
                    let _ = waiting.send(reason);
                }
            }
            HubEvent::SeatAnswer { session, answer } => self.joiners.answer(session, answer),
            HubEvent::ListenerEnded {
                session,
                socket,
                mount,
                reason,
                bytes,
                card,
            } => {
                self.close_listener(socket, reason);
                self.probe.listeners.add(-1);
                self.probe.listeners_ended.at(reason_index(reason)).add(1);
                self.tell_access(card.into_record(session, reason, bytes, mount, now));
            }
            HubEvent::AskAgain { session } => self.askers.answer(session, ()),
            HubEvent::Wanted { mount } => self.relays.want(&mount),
            HubEvent::Event(event) => {
                if self.starts.allow(&event, now) {
                    self.tell_event(event);
                } else {
                    self.probe.starts_untold.add(1);
                }
            }
            HubEvent::Record(recording) => {
                let _ = self.try_tell_control(ToControl::Record(Box::new(recording)));
            }
            HubEvent::Viewers(report) => self.tell_control(ToControl::Viewers(Box::new(report))),
        }
    }

    fn handle_control(&self, message: FromControl) {
        match message {
            FromControl::ResponseHead {
                session,
                status,
                headers,
                length,
            } => {
                let head = ResponsePart::Head {
                    status,
                    headers,
                    length,
                };
                self.inboxes.push(session, head);
            }
            FromControl::ResponseBody { session, chunk } => {
                self.inboxes.push(session, ResponsePart::Body(chunk));
            }
            FromControl::ResponseEnd { session } => self.inboxes.push(session, ResponsePart::End),
            FromControl::Credentials(credentials) => {
                self.credentials.replace(Some(credentials));
            }
            FromControl::Intros(intros) => self.with_hub(|hub, _| hub.set_intros(intros)),
            FromControl::Reload(config) => {
                self.seats.listeners.set_max(config.limits.listeners_max);
                self.seats.sources.set_max(config.limits.sources_max);
                self.config.replace(Arc::clone(&config));
                self.with_hub(|hub, now| hub.reload(now, config));
                self.relays.handle_reload();
                self.forwards.handle_reload();
            }
            FromControl::Drain(grace) => {
                let until = self.now() + grace;
                self.drain.set(Some(
                    self.drain.get().map_or(until, |before| before.min(until)),
                ));
                self.drain_changed.set();
                self.draining.reach();
                self.with_hub(|hub, now| hub.drain(now));
            }
            FromControl::Query { query, sessions } => {
                let mut snapshot = self.with_hub(|hub, now| hub.snapshot(now, sessions));
                snapshot.relays = self.relays.reports();
                let snapshot = Box::new(snapshot);
                self.tell_control(ToControl::Answer { query, snapshot });
            }
            FromControl::Verdict { session, verdict } => self.verdicts.answer(session, verdict),
            FromControl::Resolved { session, addresses } => {
                self.resolved.answer(session, addresses);
            }
            FromControl::EndSession { session, reason } => {
                self.with_hub(|hub, now| hub.end_session(now, session, reason));
            }
            FromControl::EndSource { mount } => {
                self.with_hub(|hub, now| hub.end_source(now, &mount));
            }
            FromControl::MoveListeners { from, to } => {
                self.with_hub(|hub, now| hub.move_to(now, &from, to));
            }
            FromControl::SetMetadata { mount, metadata } => {
                self.with_hub(|hub, now| hub.set_metadata(now, mount, metadata));
            }
        }
    }

    fn handle_room(&self) {
        loop {
            let room = self.port.borrow_mut().poll_room();
            match room {
                None => break,
                Some(Plane::Shard(to)) => self.with_hub(|hub, _| hub.handle_room(to)),
                Some(Plane::Control) => self.flush_backlog(),
            }
        }
    }

    fn flush_backlog(&self) {
        let mut backlog = self.control_backlog.borrow_mut();
        while let Some(message) = backlog.pop_front() {
            if let Err(message) = self.port.borrow_mut().send_control(message) {
                backlog.push_front(message);
                break;
            }
        }
    }

    /// Takes what has come by the rings, a batch at most; how much that was. Before an answer that
    /// must not be older than what another shard gave out already, it brings this one up to date.
    pub(crate) fn take_in(&self) -> usize {
        for taken in 0..MESH_BATCH {
            let received = self.port.borrow_mut().recv();
            match received {
                None => return taken,
                Some(Received::Control(message)) => self.handle_control(message),
                Some(Received::Datagrams(datagrams)) => {
                    self.endpoints.handle_datagrams(datagrams);
                }
                Some(Received::Shard(from, message)) => {
                    self.with_hub(|hub, now| hub.handle_message(now, from, message));
                }
            }
        }
        MESH_BATCH
    }

    /// Takes messages from the rings for ever.
    ///
    /// # Errors
    /// The doorbell cannot be watched.
    pub(crate) async fn run_mesh(&self) -> std::io::Result<()> {
        let bell = Readiness::new(self.port.borrow().readiness_fd()?)?;
        let turn = Turn::new()?;
        loop {
            let taken = self.take_in();
            self.handle_room();
            if taken == MESH_BATCH {
                turn.end().await;
                continue;
            }
            let may_sleep = self.port.borrow_mut().sleep();
            if may_sleep {
                let waited = bell.wait().await;
                self.port.borrow_mut().wake();
                waited?;
            } else if taken == 0 {
                // News that is no message (a full ring that stays full) must not spin.
                turn.end().await;
            }
        }
    }

    /// Does what is due for ever.
    ///
    /// # Errors
    /// No file descriptor is left for the task's turns.
    pub(crate) async fn run_timer(&self) -> std::io::Result<()> {
        let turn = Turn::new()?;
        loop {
            let due = self.hub.borrow().poll_timeout();
            self.timer_due.set(due);
            let now = self.now();
            match due {
                None => self.timer.wait().await,
                Some(due) if due > now => {
                    let sleep = monoio::time::sleep(due.since(now));
                    first(sleep, self.timer.wait()).await;
                }
                Some(_) => {
                    self.with_hub(|hub, now| hub.handle_timeout(now));
                    let more = self.hub.borrow().poll_timeout();
                    if more.is_some_and(|due| due <= self.now()) {
                        turn.end().await;
                    }
                }
            }
        }
    }

    /// Measures for ever how late a timer of this shard is.
    pub(crate) async fn run_canary(&self) {
        loop {
            let busy = self.probe.connections.level() > 0;
            let beats = if busy {
                CANARY_BUSY_BEATS
            } else {
                CANARY_IDLE_BEATS
            };
            let due = self.next_beat(beats);
            monoio::time::sleep_until(due).await;
            let late = Instant::now().saturating_duration_since(due);
            self.probe.take_over(self.hub.borrow().counts());
            self.probe
                .stall
                .record(u64::try_from(late.as_micros()).unwrap_or(u64::MAX));
        }
    }
}
