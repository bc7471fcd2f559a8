//! The node, and what happens to it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use corecast_config::Config;
use corecast_media::metadata::Metadata;
use corecast_media::name::{MountName, Output, SessionId, ShardId};
use corecast_media::time::Time;
use corecast_mesh::lockout::Lockouts;
use corecast_mesh::message::{EndReason, SeatKind, ShardMessage, SourceInfo};
use corecast_mesh::seats::{NodeSeats, Players, Seats};
use corecast_mesh::topology::Topology;
use corecast_shard::hub::{Hub, HubEvent};

use crate::dice::Dice;
use crate::film::{FILMS, is_film};
use crate::intro;
use crate::origin::Origin;
use crate::peer::{Peer, VirtualSocket};
use crate::player::Player;
use crate::settings::make_config;
use crate::shelf::Shelf;

/// Listeners of a run at most.
const LISTENERS_MAX: usize = 60;
/// A question to a home is answered within this time, or it was lost.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(20);
/// A good listener of a live mount gets sound within this time.
pub(crate) const STARVED_MAX: Duration = Duration::from_secs(8);
/// What the wall clock says at the start, in milliseconds since 1970.
const WALL_CLOCK_MS: u64 = 1_763_000_000_000;
/// The mounts of radio of every run; the last one is dynamic.
pub(crate) const MOUNTS: [&str; 4] = ["/main", "/backup", "/last", "/dynamic"];

/// What a run saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Virtual milliseconds.
    pub millis: u64,
    /// Listeners that got a seat.
    pub listeners: u64,
    /// Source sessions that were accepted.
    pub sources: u64,
    /// Bytes that listeners got.
    pub bytes: u64,
    /// Listeners that heard an intro, or a part of one.
    pub intros: u64,
    /// Units of films that players of FLV got.
    pub units: u64,
    /// Answers to players of HLS.
    pub answers: u64,
    /// Requests of theirs that waited.
    pub waits: u64,
    /// Requests of theirs that were answered with 503.
    pub late: u64,
    /// Delta updates that were put together.
    pub deltas: u64,
    /// Skips of slow listeners.
    pub skips: u64,
    /// Runs that full rings lost.
    pub runs_dropped: u64,
    /// A digest of all that happened: equal for equal runs.
    pub digest: u64,
}

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The run.
    pub seed: u64,
    /// The step after which it was seen.
    pub step: u32,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {} step {}: {}", self.seed, self.step, self.what)
    }
}

impl std::error::Error for Violation {}

/// A listener as the world sees it.
pub(crate) struct Ear {
    pub(crate) peer: Rc<RefCell<Peer>>,
    pub(crate) wanted: MountName,
    pub(crate) kind: SeatKind,
    /// Sound that it had when it was last found to have got more.
    pub(crate) heard: u64,
    pub(crate) heard_at: Time,
}

/// One shard: its hub, and whether it is stalled.
pub(crate) struct Node {
    pub(crate) hub: Hub<VirtualSocket>,
    pub(crate) stalled_until: Time,
    /// When it ran last, and how long it did not in all, in milliseconds.
    pub(crate) ran_at: Time,
    pub(crate) stalled_ms: u64,
}

/// A whole node under virtual time.
pub struct World {
    pub(crate) seed: u64,
    step: u32,
    pub(crate) now: Time,
    pub(crate) dice: Dice,
    pub(crate) write_dice: Rc<RefCell<Dice>>,
    pub(crate) config: Arc<Config>,
    hls_segment: Duration,
    topology: Topology,
    pub(crate) seats: Arc<NodeSeats>,
    pub(crate) nodes: Vec<Node>,
    /// One ring for each pair of shards.
    rings: BTreeMap<(ShardId, ShardId), VecDeque<ShardMessage>>,
    /// Whether full rings lost media.
    pub(crate) lossy: Rc<Cell<bool>>,
    ring_messages_max: usize,
    pub(crate) sessions_made: u64,
    pub(crate) origins: Vec<Origin>,
    origins_made: u32,
    pub(crate) asked: BTreeMap<SessionId, (Time, MountName, SeatKind)>,
    pub(crate) ears: BTreeMap<SessionId, Ear>,
    pub(crate) players: BTreeMap<SessionId, Player>,
    pub(crate) shelf: Shelf,
    /// What a player found wrong first.
    pub(crate) fault: Option<String>,
    titles_made: u32,
    pub(crate) draining: bool,
    pub(crate) report: Report,
}

impl World {
    /// The node that `seed` describes.
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        // Numbers of segments count by it: who changes it starts again at other mounts.
        let hls_segment = Duration::from_millis(*dice.pick(&[1_000, 2_000]));
        let config = Arc::new(make_config(&mut dice, hls_segment));
        let topology = Topology::new(dice.within(1, 4) as u16);
        let seats = Arc::new(NodeSeats {
            listeners: Seats::new(if dice.chance(20) { 10 } else { 1_000 }),
            sources: Seats::new(8),
            connections: Seats::new(10_000),
            lockouts: Lockouts::default(),
            players: Players::default(),
        });
        let intros = Arc::new(intro::intros(&mut dice));
        let hub = |id| {
            let mut hub = Hub::new(id, topology, Arc::clone(&config), Arc::clone(&seats));
            hub.set_intros(Arc::clone(&intros));
            hub.set_wall_clock(WALL_CLOCK_MS);
            hub
        };
        let nodes = topology.ids().map(|id| Node {
            hub: hub(id),
            stalled_until: Time::ZERO,
            ran_at: Time::ZERO,
            stalled_ms: 0,
        });
        World {
            seed,
            step: 0,
            now: Time::ZERO,
            nodes: nodes.collect(),
            write_dice: Rc::new(RefCell::new(Dice::new(seed ^ 0xfeed))),
            rings: BTreeMap::new(),
            lossy: Rc::default(),
            // What films send fills smaller ones for longer than an answer may take.
            ring_messages_max: *dice.pick(&[8, 32, 1_024]),
            dice,
            config,
            hls_segment,
            topology,
            seats,
            sessions_made: 0,
            origins: Vec::new(),
            origins_made: 0,
            asked: BTreeMap::new(),
            ears: BTreeMap::new(),
            players: BTreeMap::new(),
            shelf: Shelf::default(),
            fault: None,
            titles_made: 0,
            draining: false,
            report: Report::default(),
        }
    }

    /// Runs for `steps` steps, then ends everything and looks for what is left.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub fn run(mut self, steps: u32) -> Result<Report, Violation> {
        for step in 1..=steps {
            self.step = step;
            self.act();
            let ms = self.dice.within(1, 60);
            self.pass(ms);
            self.check().map_err(|what| self.violation(what))?;
        }
        if self.dice.chance(30) {
            self.drain();
        }
        self.end_all();
        self.check_empty().map_err(|what| self.violation(what))?;
        self.report.millis = self.now.as_millis();
        Ok(self.report)
    }

    fn violation(&self, what: String) -> Violation {
        Violation {
            seed: self.seed,
            step: self.step,
            what,
        }
    }

    /// Something happens, or nothing.
    fn act(&mut self) {
        match self.dice.below(100) {
            0..=7 => self.start_listener(),
            8..=12 => self.start_origin(),
            13..=14 => self.end_origin(),
            15..=16 => self.stall_shard(),
            17..=19 => self.set_title(),
            20..=21 => self.close_listener(),
            22 => self.reload(),
            23 => self.give_up_asking(),
            24 => self.kill_someone(),
            25 => self.move_listeners(),
            26..=31 => self.start_player(),
            32 => self.close_player(),
            _ => {}
        }
    }

    pub(crate) fn new_session(&mut self) -> SessionId {
        self.sessions_made += 1;
        let shard = ShardId(self.dice.below(u64::from(self.topology.shards())) as u16);
        SessionId::new(shard, self.sessions_made)
    }

    /// A mount of radio, or of films.
    pub(crate) fn some_mount(&mut self) -> MountName {
        if self.dice.chance(30) {
            return self.some_film();
        }
        let name = self.dice.pick(&MOUNTS);
        MountName::parse(name).unwrap_or_else(|_| unreachable_name())
    }

    pub(crate) fn some_film(&mut self) -> MountName {
        let name = self.dice.pick(&FILMS);
        MountName::parse(name).unwrap_or_else(|_| unreachable_name())
    }

    /// What a listener asks for: a mount of radio, or mostly an output of any.
    fn some_stream(&mut self) -> MountName {
        let mount = self.some_mount();
        let output = *self.dice.pick(&[Output::Flv, Output::Flv, Output::WsFlv]);
        let outputs_percent = if is_film(&mount) { 95 } else { 3 };
        match self.dice.chance(outputs_percent) {
            true => mount.with_output(output),
            false => mount,
        }
    }

    fn start_listener(&mut self) {
        if self.ears.len() + self.asked.len() >= LISTENERS_MAX {
            return;
        }
        let (session, mount) = (self.new_session(), self.some_stream());
        let kind = match self.dice.chance(10) {
            true => SeatKind::Forward,
            false => SeatKind::Listener,
        };
        let now = self.now;
        self.asked.insert(session, (now, mount.clone(), kind));
        self.nodes[session.shard().index()]
            .hub
            .reserve(now, session, mount, kind);
    }

    fn give_up_asking(&mut self) {
        let Some((&session, _)) = self.asked.iter().next() else {
            return;
        };
        self.asked.remove(&session);
        let now = self.now;
        self.nodes[session.shard().index()]
            .hub
            .release(now, session);
    }

    fn start_origin(&mut self) {
        let (session, mount) = (self.new_session(), self.some_mount());
        self.start_origin_at(session, mount);
    }

    pub(crate) fn start_origin_at(&mut self, session: SessionId, mount: MountName) {
        self.origins_made += 1;
        // All mounts carry one kind, but for a dynamic one now and then.
        let has_setup =
            self.seed.is_multiple_of(3) != (mount.as_str() == "/dynamic" && self.dice.chance(30));
        let origin = Origin::new(
            session,
            mount.clone(),
            has_setup,
            self.origins_made,
            self.now,
        );
        let origin = origin.with_film(&mut self.dice);
        let content_type = origin.content_type().into();
        let info = SourceInfo {
            content_type,
            ..SourceInfo::default()
        };
        self.origins.push(origin);
        let now = self.now;
        self.nodes[session.shard().index()]
            .hub
            .publish(now, session, mount, info);
    }

    fn end_origin(&mut self) {
        if self.origins.is_empty() {
            return;
        }
        let index = self.dice.below(self.origins.len() as u64) as usize;
        // Films last long enough to be watched, most of them.
        if is_film(&self.origins[index].mount) && !self.draining && self.dice.chance(80) {
            return;
        }
        let origin = self.origins.swap_remove(index);
        let reason = EndReason::PeerReset;
        let node = &mut self.nodes[origin.session.shard().index()];
        node.hub.unpublish(self.now, origin.session, reason);
    }

    fn stall_shard(&mut self) {
        let index = self.dice.below(self.nodes.len() as u64) as usize;
        let stall = Duration::from_millis(self.dice.within(5, 3_000));
        self.nodes[index].stalled_until = self.now + stall;
    }

    fn set_title(&mut self) {
        self.titles_made += 1;
        let metadata = Metadata::from_title(&format!("title {}", self.titles_made));
        let mount = self.some_mount();
        let index = self.dice.below(self.nodes.len() as u64) as usize;
        let now = self.now;
        self.nodes[index].hub.set_metadata(now, mount, metadata);
    }

    fn close_listener(&mut self) {
        let count = self.ears.len() as u64;
        if count > 0 {
            let index = self.dice.below(count) as usize;
            if let Some(ear) = self.ears.values().nth(index) {
                ear.peer.borrow_mut().closed = true;
            }
        }
    }

    /// An admin ends a listener or a source.
    fn kill_someone(&mut self) {
        let (reason, now) = (EndReason::Killed, self.now);
        let choice = self.dice.below(3);
        if choice == 0 {
            let mount = self.some_mount();
            let home = self.topology.home(&mount);
            self.nodes[home.index()].hub.end_source(now, &mount);
            return;
        }
        let listener = self.ears.keys().next().copied();
        let source = self.origins.first().map(|origin| origin.session);
        let session = if choice == 1 { listener } else { source };
        if let Some(session) = session {
            let node = &mut self.nodes[session.shard().index()];
            node.hub.end_session(now, session, reason);
        }
    }

    /// An admin moves the listeners of one mount to another.
    fn move_listeners(&mut self) {
        let (mut from, mut to) = (self.some_mount(), self.some_mount());
        if is_film(&from) {
            (from, to) = (from.with_output(Output::Flv), to.with_output(Output::Flv));
        }
        for node in &mut self.nodes {
            node.hub.move_to(self.now, &from, to.clone());
        }
    }

    fn reload(&mut self) {
        self.config = Arc::new(make_config(&mut self.dice, self.hls_segment));
        for node in &mut self.nodes {
            node.hub.reload(self.now, Arc::clone(&self.config));
        }
    }

    fn drain(&mut self) {
        self.draining = true;
        for node in &mut self.nodes {
            node.hub.drain(self.now);
        }
    }

    /// `ms` milliseconds pass, one at a time where something is due.
    fn pass(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        for ear in self.ears.values() {
            ear.peer.borrow_mut().breathe(ms);
        }
        while self.now < end {
            self.now = (self.now + Duration::from_millis(self.dice.within(1, 20))).min(end);
            self.speak();
            for index in 0..self.nodes.len() {
                if self.nodes[index].stalled_until <= self.now {
                    self.drive(index);
                }
            }
        }
    }

    fn speak(&mut self) {
        for origin in self.origins.iter_mut().filter(|origin| origin.accepted) {
            let node = &mut self.nodes[origin.session.shard().index()];
            if node.stalled_until <= self.now {
                let events = origin.speak(self.now, &mut self.dice);
                if !events.is_empty() {
                    node.hub.push_media(self.now, origin.session, events);
                }
            }
        }
    }

    /// What a shard's driver does in one round.
    fn drive(&mut self, index: usize) {
        let to = ShardId(index as u16);
        for from in self.topology.ids() {
            let Some(ring) = self.rings.get_mut(&(from, to)) else {
                continue;
            };
            for message in std::mem::take(ring) {
                self.nodes[index]
                    .hub
                    .handle_message(self.now, from, message);
            }
        }
        for _ in 0..50 {
            if self.nodes[index]
                .hub
                .poll_timeout()
                .is_none_or(|due| due > self.now)
            {
                break;
            }
            self.nodes[index].hub.handle_timeout(self.now);
        }
        self.drain_events(index);
        self.note_round(index, self.now);
        self.play(index);
        self.drain_events(index);
        for other in self.topology.ids() {
            self.nodes[index].hub.handle_room(other);
        }
        let counts = self.nodes[index].hub.counts();
        if counts.runs_dropped + counts.frames_dropped > 0 {
            self.lossy.set(true);
        }
        while let Some((other, message)) = self.nodes[index].hub.poll_transmit() {
            let ring = self.rings.entry((to, other)).or_default();
            if ring.len() >= self.ring_messages_max {
                self.nodes[index].hub.return_message(other, message);
            } else {
                ring.push_back(message);
            }
        }
    }

    fn drain_events(&mut self, index: usize) {
        while let Some(event) = self.nodes[index].hub.poll_event() {
            match event {
                HubEvent::AskAgain { session } => self.ask_again(session),
                HubEvent::PublishAnswer { session, answer } => {
                    let at = self
                        .origins
                        .iter()
                        .position(|origin| origin.session == session);
                    let Some(at) = at else { continue };
                    self.origins[at].accepted = answer.is_ok();
                    self.note(session.as_u64() ^ u64::from(answer.is_ok()));
                    if answer.is_err() {
                        self.origins.swap_remove(at);
                    } else {
                        self.report.sources += 1;
                    }
                }
                HubEvent::PublisherEnded { session, .. } => {
                    self.origins.retain(|origin| origin.session != session);
                }
                HubEvent::SeatAnswer { session, answer } => self.seat(index, session, answer),
                HubEvent::ListenerEnded {
                    session,
                    reason,
                    bytes,
                    ..
                } => {
                    self.end_ear(session, reason, bytes);
                }
                HubEvent::Wanted { mount } => self.feed_wanted(ShardId(index as u16), mount),
                HubEvent::Event(_) | HubEvent::Record(_) | HubEvent::Viewers(_) => {}
            }
        }
    }

    pub(crate) fn note(&mut self, what: u64) {
        let mixed = Dice::new(self.report.digest ^ what ^ self.now.as_micros()).roll();
        self.report.digest = mixed;
    }

    /// Everybody goes, and a minute passes.
    fn end_all(&mut self) {
        // No relay comes any more.
        self.draining = true;
        while !self.origins.is_empty() {
            self.end_origin();
        }
        while !self.asked.is_empty() {
            self.give_up_asking();
        }
        for ear in self.ears.values() {
            ear.peer.borrow_mut().closed = true;
        }
        self.end_players();
        for node in &mut self.nodes {
            node.stalled_until = Time::ZERO;
        }
        for _ in 0..600 {
            self.pass(100);
        }
        for node in &self.nodes {
            self.report.skips += node.hub.counts().tally.skips;
            self.report.runs_dropped += node.hub.counts().runs_dropped;
        }
    }
}

fn unreachable_name() -> MountName {
    unreachable!("the names of the simulation are mount names")
}
