//! This shard's mounts, sources and listeners: plain state machines behind one face.
//!
//! No socket, clock or task lives here: time comes as an argument, bytes leave through
//! [`Socket`], messages to other shards through [`Hub::poll_transmit`]. After every call that
//! changes something, the driver drains [`Hub::poll_transmit`] and [`Hub::poll_event`] and arms
//! its timer by [`Hub::poll_timeout`].

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use corecast_config::Config;
use corecast_media::codec::AudioFormat;
use corecast_media::fanout::{Socket, Tally};
use corecast_media::frame::MediaEvent;
use corecast_media::intro::Intros;
use corecast_media::metadata::Metadata;
use corecast_media::name::{MountName, Output, SessionId, ShardId};
use corecast_media::time::Time;
use corecast_media::window::Stretch;
use corecast_mesh::message::{
    EndReason, Event, JoinRefusal, PublishRefusal, Recording, SeatKind, ShardMessage,
    ShardSnapshot, SourceInfo, ViewersReport,
};
use corecast_mesh::seats::NodeSeats;
use corecast_mesh::topology::Topology;
use rustc_hash::FxHashMap;
use slab::Slab;

pub use holdings::Holdings;
use home::Home;
use listener::{Listener, Seating};
use outbox::Outbox;
use publisher::Publisher;
use replica::Replica;
use timers::{Timer, Timers};
pub use viewers::Asker;
use watch::Watch;
pub use watch::Watched;

mod dispatch;
mod hearing;
mod holdings;
mod home;
mod listener;
mod outbox;
mod outputs;
mod packaging;
mod publisher;
mod replica;
mod settings;
mod timers;
mod viewers;
mod watch;

/// The most readers served in one [`Hub::handle_timeout`]: 3 ms at the usual cost of a send.
const SERVES_PER_TURN: u32 = 400;

/// This shard's mounts, sources and listeners.
pub struct Hub<S: Socket> {
    shard: ShardId,
    topology: Topology,
    config: Arc<Config>,
    intros: Arc<Intros>,
    seats: Arc<NodeSeats>,
    draining: bool,
    /// Mounts whose home this shard is.
    homes: Slab<Home>,
    home_of: HashMap<MountName, usize>,
    /// Mounts that this shard has readers of.
    replicas: Slab<Replica>,
    replica_of: HashMap<MountName, usize>,
    /// Mounts that are watched as HLS here.
    watches: Slab<Watch>,
    watch_of: HashMap<MountName, usize>,
    /// The wall clock at the start of the node, in milliseconds since 1970.
    unix_origin_ms: u64,
    /// Questions for seats that were not answered yet, by mount.
    asking: HashMap<MountName, u32>,
    /// Replicas with seats to give back at the end of the call.
    freed: Vec<usize>,
    listeners: Slab<Listener<S>>,
    /// Those whose peers may talk.
    talkers: FxHashMap<SessionId, u32>,
    /// What the readers of the slot lack that is served now.
    stretch: Stretch,
    seatings: BTreeMap<SessionId, Seating>,
    publishers: BTreeMap<SessionId, Publisher>,
    outbox: Outbox,
    /// Messages to this shard itself, handled before a call returns.
    local: VecDeque<ShardMessage>,
    events: VecDeque<HubEvent<S>>,
    timers: Timers,
    counts: HubCounts,
}

/// What the hub did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HubCounts {
    /// Sends to steady readers.
    pub tally: Tally,
    /// Runs that a congested ring kept from a replica.
    pub runs_dropped: u64,
    /// Frames that a congested ring kept from a home.
    pub frames_dropped: u64,
    /// Bytes of media taken from publishers of this shard.
    pub bytes_read: u64,
    /// Playlists of HLS that packagers of this shard rendered.
    pub hls_rendered: u64,
    /// Requests for HLS that had to wait.
    pub hls_blocked: u64,
    /// Those that wait now.
    pub hls_waiting: u64,
}

/// What the hub tells its driver.
#[derive(Debug)]
pub enum HubEvent<S> {
    /// The answer to [`Hub::publish`].
    PublishAnswer {
        /// The publisher.
        session: SessionId,
        /// Whether it feeds the mount now.
        answer: Result<(), PublishRefusal>,
    },
    /// The publisher must go; the hub has forgotten it.
    PublisherEnded {
        /// The publisher.
        session: SessionId,
        /// Why.
        reason: EndReason,
    },
    /// The answer to [`Hub::reserve`].
    SeatAnswer {
        /// The listener.
        session: SessionId,
        /// What its response head is made of; it holds a seat until [`Hub::attach`] or
        /// [`Hub::release`].
        answer: Result<Seat, JoinRefusal>,
    },
    /// A listener is done; its socket is handed back to be closed. Its seat is free.
    ListenerEnded {
        /// The listener.
        session: SessionId,
        /// To be closed (in good order unless the reason says otherwise).
        socket: S,
        /// Where it listened last; `None` where it never had a seat.
        mount: Option<MountName>,
        /// Why.
        reason: EndReason,
        /// Bytes sent, head included.
        bytes: u64,
        /// What was kept for the access log.
        card: Box<ListenerCard>,
    },
    /// A listener wants a mount that a relay feeds on demand, and that has no source now.
    Wanted {
        /// The mount; its home is this shard.
        mount: MountName,
    },
    /// A request for HLS that had to wait should be made again.
    AskAgain {
        /// Who asked.
        session: SessionId,
    },
    /// For control.
    Event(Event),
    /// Media that the mount's settings want in a file, for control.
    Record(Recording),
    /// Who watches a mount, for control.
    Viewers(ViewersReport),
}

/// A listener's seat: what its response head is made of.
#[derive(Clone, Debug)]
pub struct Seat {
    /// What the source said, with the mount's own settings laid over it.
    pub info: Arc<SourceInfo>,
    /// What was measured.
    pub format: AudioFormat,
    /// Bytes between ICY blocks if the listener asks for them; zero where the format has none.
    pub metaint: u32,
}

/// What is kept of a listener for the access log and the API, apart from its record.
#[derive(Clone, Debug)]
pub struct ListenerCard {
    /// The peer.
    pub peer: SocketAddr,
    /// `User-Agent`.
    pub user_agent: Arc<str>,
    /// `Referer`.
    pub referer: Box<str>,
    /// The request line, cleaned.
    pub request: Box<str>,
    /// Accepted user name.
    pub user: Option<Box<str>>,
    /// When the request came.
    pub since: Time,
    /// When it must go, if it may not stay for ever.
    pub until: Option<Time>,
    /// Whether it relays our mounts, so that others are heard through it: it gets no intro, which
    /// would come to them in the middle of the stream whenever it connects anew.
    pub relays: bool,
}

impl<S: Socket> Hub<S> {
    /// A hub without mounts.
    pub fn new(
        shard: ShardId,
        topology: Topology,
        config: Arc<Config>,
        seats: Arc<NodeSeats>,
    ) -> Self {
        Hub {
            shard,
            topology,
            config,
            intros: Arc::default(),
            seats,
            draining: false,
            homes: Slab::new(),
            home_of: HashMap::new(),
            replicas: Slab::new(),
            replica_of: HashMap::new(),
            watches: Slab::new(),
            watch_of: HashMap::new(),
            unix_origin_ms: 0,
            asking: HashMap::new(),
            freed: Vec::new(),
            listeners: Slab::new(),
            talkers: FxHashMap::default(),
            stretch: Stretch::default(),
            seatings: BTreeMap::new(),
            publishers: BTreeMap::new(),
            outbox: Outbox::new(topology.shards()),
            local: VecDeque::new(),
            events: VecDeque::new(),
            timers: Timers::default(),
            counts: HubCounts::default(),
        }
    }

    /// What the wall clock said at the start of the node, in milliseconds since 1970: playlists
    /// tell it. To be called before anything else.
    pub fn set_wall_clock(&mut self, unix_origin_ms: u64) {
        self.unix_origin_ms = unix_origin_ms;
    }

    /// Asks for `mount`'s source slot; [`HubEvent::PublishAnswer`] follows.
    pub fn publish(&mut self, now: Time, session: SessionId, mount: MountName, info: SourceInfo) {
        self.start_publisher(now, session, mount, info);
        self.settle(now);
    }

    /// `session`, which feeds a mount whose home this shard is, lets any other source have it
    /// from now on.
    pub fn give_way(&mut self, session: SessionId) {
        self.set_yields(session);
    }

    /// Media of an accepted publisher, in order.
    pub fn push_media(&mut self, now: Time, session: SessionId, events: Vec<MediaEvent>) {
        self.forward_media(session, events);
        self.settle(now);
    }

    /// The publisher is gone, or no longer wants its answer.
    pub fn unpublish(&mut self, now: Time, session: SessionId, reason: EndReason) {
        self.end_publisher(session, reason);
        self.settle(now);
    }

    /// Asks for a seat at `mount`; [`HubEvent::SeatAnswer`] follows, unless
    /// [`Hub::release`] comes first.
    pub fn reserve(&mut self, now: Time, session: SessionId, mount: MountName, kind: SeatKind) {
        self.ask_for_seat(session, mount, kind);
        self.settle(now);
    }

    /// Gives up a seat, or the wish for one, that was not attached.
    pub fn release(&mut self, now: Time, session: SessionId) {
        self.give_up_seat(now, session);
        self.settle(now);
    }

    /// Makes the listener steady: sends `head` and the burst at once, then serves the socket
    /// until it ends. `metaint` is [`Seat::metaint`] if the head announces it, else 0.
    pub fn attach(
        &mut self,
        now: Time,
        session: SessionId,
        socket: S,
        head: Bytes,
        metaint: u32,
        card: Box<ListenerCard>,
    ) {
        self.seat_listener(now, session, socket, &head, metaint, card);
        self.settle(now);
    }

    /// A title from outside the stream.
    pub fn set_metadata(&mut self, now: Time, mount: MountName, metadata: Metadata) {
        let home = self.topology.home(&mount);
        self.send(home, ShardMessage::SetMetadata { mount, metadata });
        self.settle(now);
    }

    /// Ends a source or listener of this shard, a listener after the frame that it is in.
    pub fn end_session(&mut self, now: Time, session: SessionId, reason: EndReason) {
        if self.publishers.contains_key(&session) {
            self.end_publisher(session, reason);
            self.events
                .push_back(HubEvent::PublisherEnded { session, reason });
        } else {
            self.end_listener(now, session, reason);
        }
        self.settle(now);
    }

    /// Puts `bytes` into the stream of a steady listener of this shard, between two frames: what
    /// its protocol has to say besides.
    pub fn interject(&mut self, session: SessionId, bytes: &[u8]) {
        self.interject_listener(session, bytes);
    }

    /// Whether `session` is a steady listener of this shard.
    pub fn is_listening(&self, session: SessionId) -> bool {
        self.listener_of(session).is_some()
    }

    /// Ends the source of `mount`, whose home this shard is.
    pub fn end_source(&mut self, now: Time, mount: &MountName) {
        self.end_source_at_home(now, mount);
        self.settle(now);
    }

    /// This shard's listeners at `from` go to `to` and stay there, if it has a source of the same
    /// kind.
    pub fn move_to(&mut self, now: Time, from: &MountName, to: MountName) {
        for output in Output::ALL {
            self.order_move(&from.with_output(output), to.with_output(output));
        }
        self.order_move(from, to);
        self.settle(now);
    }

    /// The files that the settings name as intros, for listeners that come from now on. What is
    /// wrong with them for a mount is logged where it starts, or at the next [`Hub::reload`].
    pub fn set_intros(&mut self, intros: Arc<Intros>) {
        self.intros = intros;
    }

    /// New settings. Mounts that exist take theirs at once.
    pub fn reload(&mut self, now: Time, config: Arc<Config>) {
        self.config = config;
        self.reload_homes(now);
        self.reload_replicas();
        self.settle(now);
    }

    /// Takes no more sessions; ends publishers, and listeners at a frame border.
    pub fn drain(&mut self, now: Time) {
        if !std::mem::replace(&mut self.draining, true) {
            self.drain_publishers();
            self.drain_listeners(now);
            self.drain_watches(now);
            self.settle(now);
        }
    }

    /// Ends what a drain has left when its grace is over: listeners that took their last frame
    /// too slowly.
    pub fn end_rest(&mut self, now: Time) {
        self.cut_listeners(now);
        self.settle(now);
    }

    /// Whether no session is left.
    pub fn is_idle(&self) -> bool {
        self.listeners.is_empty() && self.seatings.is_empty() && self.publishers.is_empty()
    }

    /// A message from `from` (which may be this shard).
    pub fn handle_message(&mut self, now: Time, from: ShardId, message: ShardMessage) {
        self.dispatch(now, from, message);
        self.settle(now);
    }

    /// Does what is due at `now`; at most [`SERVES_PER_TURN`] readers are served, so that the
    /// driver can breathe between calls (then [`Hub::poll_timeout`] is `now` or earlier).
    pub fn handle_timeout(&mut self, now: Time) {
        let mut serves_left = SERVES_PER_TURN;
        while serves_left > 0
            && let Some((at, timer)) = self.timers.pop_due(now)
        {
            match timer {
                Timer::Home(key) => self.run_home(now, key, at),
                Timer::Replica(key) => self.turn_replica(now, key, at, &mut serves_left),
                Timer::Watch(key) => self.run_watch(now, key, at),
            }
        }
        self.settle(now);
    }

    /// When [`Hub::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.timers.next_due()
    }

    /// The next message to another shard. The driver gives back what a full ring refused with
    /// [`Hub::return_message`] and tries again when the ring has room.
    pub fn poll_transmit(&mut self) -> Option<(ShardId, ShardMessage)> {
        self.outbox.pop()
    }

    /// A message that the ring to `to` had no room for: put back at the front of its queue.
    /// [`Hub::poll_transmit`] passes over `to` until [`Hub::handle_room`].
    pub fn return_message(&mut self, to: ShardId, message: ShardMessage) {
        self.outbox.return_front(to, message);
    }

    /// The ring to `to` may have room again.
    pub fn handle_room(&mut self, to: ShardId) {
        self.outbox.unblock(to);
    }

    /// The next thing the driver must know.
    pub fn poll_event(&mut self) -> Option<HubEvent<S>> {
        self.events.pop_front()
    }

    /// What the hub did so far.
    pub fn counts(&self) -> &HubCounts {
        &self.counts
    }

    /// Whether `mount` lives on this shard.
    pub fn is_home_of(&self, mount: &MountName) -> bool {
        self.topology.home(mount) == self.shard
    }

    /// Whether a source feeds `mount`, whose home this shard is.
    pub fn is_live(&self, mount: &MountName) -> bool {
        self.is_live_at_home(mount)
    }

    /// Listeners at `mount`, whose home this shard is, on all shards, and those that wait for the
    /// relay that feeds it on demand.
    pub fn demand(&self, mount: &MountName) -> u32 {
        self.demand_at_home(mount)
    }

    /// Its state for the API; seats, lags and bytes are those of `now`. Without `sessions` their
    /// part stays empty: it costs a copy for each.
    pub fn snapshot(&self, now: Time, sessions: bool) -> ShardSnapshot {
        let listeners = self
            .listeners
            .iter()
            .map(|(_, listener)| self.report(now, listener));
        let publishers = self
            .publishers
            .iter()
            .map(|(session, p)| p.report(*session));
        ShardSnapshot {
            mounts: self.mount_reports(),
            relays: Vec::new(),
            sessions: match sessions {
                true => publishers.chain(listeners).collect(),
                false => Vec::new(),
            },
            sent: self
                .replicas
                .iter()
                .map(|(_, r)| (r.name.to_base(), r.sent))
                .chain(self.sent_to_watchers())
                .collect(),
            viewers: self.viewers(now),
        }
    }

    /// Sends to another shard, or to this one without a ring.
    fn send(&mut self, to: ShardId, message: ShardMessage) {
        if to == self.shard {
            self.local.push_back(message);
        } else {
            self.outbox.push(to, message, &mut self.counts);
        }
    }

    /// Handles what this shard told itself, until nothing is left.
    fn settle(&mut self, now: Time) {
        loop {
            while let Some(message) = self.local.pop_front() {
                self.dispatch(now, self.shard, message);
            }
            self.release_freed_seats();
            if self.local.is_empty() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests;
