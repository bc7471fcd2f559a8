//! Packets to connections: which connection an id belongs to, and what becomes of packets that
//! belong to none.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::mem;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Instant;

use corecast_media::name::ShardId;
use corecast_mesh::message::Datagrams;
use corecast_mesh::seats::NodeSeats;
use corecast_protocol::quic::steering::{self, ID_BYTES, ID_BYTES_MAX};
use corecast_protocol::quic::token::TokenKey;
use quiche::{ConnectionId, h3};
use slab::Slab;

use super::code;
use super::connection::{Arrived, Connection, Patience};
use super::stream::RequestStream;
use super::timers::Timers;
use crate::net::udp::{Arrival, Departure};
use crate::probe::ShardProbe;
use crate::task::{Signal, Tasks, shielded};

/// Messages from other shards that may wait, and their bytes.
const CROSSED_MAX: usize = 1_024;
const CROSSED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// An id as a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id {
    bytes: [u8; ID_BYTES_MAX],
    length: u8,
}

impl Id {
    fn new(id: &[u8]) -> Self {
        let mut bytes = [0; ID_BYTES_MAX];
        let kept = bytes.iter_mut().zip(id);
        kept.for_each(|(to, from)| *to = *from);
        Id {
            bytes,
            length: u8::try_from(id.len()).unwrap_or(u8::MAX),
        }
    }
}

/// Connections that the endpoint's task has to look at. Lives on: its shard.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    keys: RefCell<VecDeque<usize>>,
    /// Wakes the task.
    pub(crate) news: Signal,
}

impl Agenda {
    pub(crate) fn push(&self, key: usize) {
        self.keys.borrow_mut().push_back(key);
        self.news.set();
    }

    pub(crate) fn pop(&self) -> Option<usize> {
        self.keys.borrow_mut().pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.borrow().is_empty()
    }
}

/// A message that came to the wrong shard.
#[derive(Debug)]
pub(crate) struct Crossed {
    pub(crate) arrival: Arrival,
    pub(crate) packets: Vec<u8>,
}

/// The endpoints of a shard, by their acceptors' numbers. Lives on: its shard.
#[derive(Default)]
pub(crate) struct Endpoints(RefCell<HashMap<u16, Weak<Endpoint>>>);

impl Endpoints {
    pub(super) fn enter(&self, acceptor: u16, endpoint: &Rc<Endpoint>) {
        let endpoint = Rc::downgrade(endpoint);
        self.0.borrow_mut().insert(acceptor, endpoint);
    }

    /// Takes what another shard received.
    pub(crate) fn handle_datagrams(&self, datagrams: Datagrams) {
        let endpoint = self
            .0
            .borrow()
            .get(&datagrams.acceptor)
            .and_then(Weak::upgrade);
        if let Some(endpoint) = endpoint {
            endpoint.handle_crossed(Crossed {
                arrival: Arrival {
                    from: datagrams.from,
                    to: datagrams.to,
                    stride: datagrams.stride.max(1),
                },
                packets: datagrams.packets,
            });
        }
    }
}

/// What an endpoint needs of its shard.
pub(crate) trait Host {
    /// Makes the settings of new connections, or makes them anew where the certificates changed
    /// since. There are none where there is no certificate.
    fn renew(&self, config: &mut Option<quiche::Config>);

    /// Bounds of a request's head: bytes.
    fn head_bytes_max(&self) -> u64;

    /// How long connections may take.
    fn patience(&self) -> Patience;

    /// Whether no connection is taken any more.
    fn is_draining(&self) -> bool;

    /// Answers a request.
    fn answer(&self, stream: RequestStream) -> Pin<Box<dyn Future<Output = ()>>>;

    /// Hands a message to the shard that it belongs to, or loses it.
    fn hand_over(&self, to: ShardId, crossed: Crossed);

    /// As long as what it gives is there, a drain gives answers their time.
    fn hold(&self) -> Box<dyn Any>;
}

/// Which part of the node an endpoint is.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) shard: u16,
    pub(crate) shards: u16,
    pub(crate) seats: Arc<NodeSeats>,
    pub(crate) probe: Arc<ShardProbe>,
    pub(crate) tasks: Rc<Tasks>,
    pub(crate) key: TokenKey,
    /// The zero of the node's clock, the same on all shards.
    pub(crate) started: Instant,
}

/// All connections of a shard at one address. Lives on: its shard.
pub(crate) struct Endpoint {
    pub(super) place: Place,
    pub(super) host: Box<dyn Host>,
    pub(super) agenda: Rc<Agenda>,
    pub(super) connections: RefCell<Slab<Rc<Connection>>>,
    ids: RefCell<HashMap<Id, usize>>,
    timers: RefCell<Timers>,
    pub(super) config: RefCell<Option<quiche::Config>>,
    settings: h3::Config,
    pub(super) half_open: Cell<usize>,
    pub(super) replies: RefCell<VecDeque<(Departure, Vec<u8>)>>,
    crossed: RefCell<VecDeque<Crossed>>,
    crossed_bytes: Cell<usize>,
    pub(super) resets: Cell<(u64, u32)>,
    told_to_leave: Cell<bool>,
    /// While the node drains and a client has not got all that it asked for.
    hold: RefCell<Option<Box<dyn Any>>>,
}

impl Endpoint {
    pub(crate) fn new(place: Place, host: Box<dyn Host>) -> Result<Rc<Self>, h3::Error> {
        let mut settings = h3::Config::new()?;
        settings.set_max_field_section_size(host.head_bytes_max());
        // No dynamic table: a request never waits for another stream.
        settings.set_qpack_max_table_capacity(0);
        settings.set_qpack_blocked_streams(0);
        settings.enable_extended_connect(true);
        Ok(Rc::new(Endpoint {
            place,
            host,
            agenda: Rc::default(),
            connections: RefCell::default(),
            ids: RefCell::default(),
            timers: RefCell::default(),
            config: RefCell::default(),
            settings,
            half_open: Cell::new(0),
            replies: RefCell::default(),
            crossed: RefCell::default(),
            crossed_bytes: Cell::default(),
            resets: Cell::default(),
            told_to_leave: Cell::new(false),
            hold: RefCell::default(),
        }))
    }

    /// Takes a message that another shard received.
    pub(crate) fn handle_crossed(&self, crossed: Crossed) {
        let mut waiting = self.crossed.borrow_mut();
        let bytes = self.crossed_bytes.get() + crossed.packets.len();
        if waiting.len() < CROSSED_MAX && bytes <= CROSSED_BYTES_MAX {
            waiting.push_back(crossed);
            self.crossed_bytes.set(bytes);
            self.agenda.news.set();
        }
    }

    /// The next message that came over the mesh.
    pub(super) fn pop_crossed(&self) -> Option<Crossed> {
        let crossed = self.crossed.borrow_mut().pop_front()?;
        let bytes = self.crossed_bytes.get();
        self.crossed_bytes.set(bytes - crossed.packets.len());
        Some(crossed)
    }

    /// Takes a message of the socket: to its connections, or to their shards. The kernel puts
    /// packets of one client together, whichever of its connections they belong to.
    pub(crate) fn handle_message(&self, arrival: Arrival, packets: &mut [u8]) {
        let Place { shard, shards, .. } = self.place;
        let owner = |packet: &[u8]| {
            let id = steering::destination(packet);
            id.map_or(shard, |id| steering::shard_of(id, shards))
        };
        let mut rest = packets;
        while let Some(first) = rest.chunks(arrival.stride).next() {
            let to = owner(first);
            let all = rest.chunks(arrival.stride);
            let together = all.take_while(|packet| owner(packet) == to);
            let bytes = together.map(<[u8]>::len).sum();
            let (run, behind) = mem::take(&mut rest).split_at_mut(bytes);
            rest = behind;
            if to == shard {
                self.handle_packets(arrival, run);
            } else {
                self.place.probe.quic_crossings.add(1);
                let packets = run.to_vec();
                self.host
                    .hand_over(ShardId(to), Crossed { arrival, packets });
            }
        }
    }

    /// Takes packets that belong to this shard.
    pub(crate) fn handle_packets(&self, arrival: Arrival, packets: &mut [u8]) {
        let mut last: Option<(Id, Rc<Connection>)> = None;
        for packet in packets.chunks_mut(arrival.stride) {
            let Some(id) = steering::destination(packet).map(Id::new) else {
                continue;
            };
            let known = match &last {
                Some((known, connection)) if *known == id => Some(Rc::clone(connection)),
                _ => self.find(id),
            };
            let connection = match known {
                Some(connection) => connection,
                None => match self.greet(arrival, packet) {
                    Some(connection) => connection,
                    None => continue,
                },
            };
            let taken = self.shield(&connection, || connection.take(arrival, packet));
            last = taken.map(|()| (id, connection));
        }
    }

    fn find(&self, id: Id) -> Option<Rc<Connection>> {
        let key = *self.ids.borrow().get(&id)?;
        self.connections.borrow().get(key).cloned()
    }

    pub(super) fn at(&self, key: usize) -> Option<Rc<Connection>> {
        self.connections.borrow().get(key).cloned()
    }

    /// Packets with `id` go to `connection` from now on.
    pub(super) fn enter(&self, connection: &Connection, id: &[u8]) {
        let id = Id::new(id);
        self.ids.borrow_mut().insert(id, connection.key);
        connection.ids.borrow_mut().push(id);
    }

    pub(super) fn fresh_id(&self) -> [u8; ID_BYTES] {
        let mut id = random();
        steering::mark(&mut id, self.place.shard, self.place.shards);
        id
    }

    pub(super) fn reset_token(&self, id: &[u8]) -> u128 {
        u128::from_be_bytes(self.place.key.reset_token(id))
    }

    /// Gives a client ids to move to another way with, and forgets those that it gave up.
    fn renew_ids(&self, connection: &Connection) {
        let mut inner = connection.inner.borrow_mut();
        while let Some(retired) = inner.quic.retired_scid_next() {
            let retired = Id::new(&retired);
            self.ids.borrow_mut().remove(&retired);
            connection.ids.borrow_mut().retain(|id| *id != retired);
        }
        while inner.quic.scids_left() > 0 {
            let id = self.fresh_id();
            let token = self.reset_token(&id);
            let scid = ConnectionId::from_ref(&id);
            if inner.quic.new_scid(&scid, token, false).is_err() {
                break;
            }
            self.enter(connection, &id);
        }
    }

    /// Does some work for `connection`. A panic ends the connection and nothing else.
    pub(super) fn shield<T>(&self, connection: &Connection, work: impl FnOnce() -> T) -> Option<T> {
        let done = shielded(work);
        done.inspect_err(|panic| {
            self.place.probe.panics.add(1);
            tracing::error!(
                shard = self.place.shard,
                panic,
                "a connection of HTTP/3 panicked and was ended"
            );
            self.forget(connection);
        })
        .ok()
    }

    /// Takes what came on `connection` and begins the tasks of new requests.
    pub(super) fn serve(&self, connection: &Rc<Connection>, arrived: &mut Vec<Arrived>) {
        let touched = connection.touched.replace(false);
        {
            let mut inner = connection.inner.borrow_mut();
            inner.serve(touched, &self.settings, arrived);
            if self.told_to_leave.get() {
                inner.refuse_more();
                if arrived.is_empty() && inner.is_quiet() {
                    inner.close(code::NO_ERROR);
                }
            }
        }
        if touched {
            let established = connection.inner.borrow().quic.is_established();
            if established && !connection.established.replace(true) {
                self.half_open.set(self.half_open.get().saturating_sub(1));
            }
            if established {
                self.renew_ids(connection);
            }
        }
        for request in arrived.drain(..) {
            let stream = RequestStream::new(Rc::clone(connection), request);
            self.place.tasks.spawn(self.host.answer(stream));
        }
    }

    /// Arms the timer of `connection`, or forgets the connection where it is over.
    pub(super) fn settle(&self, connection: &Connection) {
        if connection.inner.borrow().quic.is_closed() {
            self.forget(connection);
            return;
        }
        let Some(due) = connection.due() else { return };
        let armed = connection.armed.get();
        if armed.is_none_or(|armed| due < armed) {
            connection.armed.set(Some(due));
            self.timers.borrow_mut().arm(connection.key, armed, due);
        }
    }

    /// When the next timer rings.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.timers.borrow().next()
    }

    /// Does what is due at `now`, for `count` connections at most.
    pub(super) fn handle_timeouts(&self, now: Instant, count: usize) {
        for _ in 0..count {
            let Some(key) = self.timers.borrow_mut().pop(now) else {
                return;
            };
            if let Some(connection) = self.at(key) {
                connection.armed.set(None);
                self.shield(&connection, || connection.handle_timeout(now));
            }
        }
    }

    fn forget(&self, connection: &Connection) {
        let armed = connection.armed.take();
        self.timers.borrow_mut().disarm(connection.key, armed);
        let ids = mem::take(&mut *connection.ids.borrow_mut());
        let mut table = self.ids.borrow_mut();
        for id in ids {
            if table.get(&id) == Some(&connection.key) {
                table.remove(&id);
            }
        }
        if self
            .connections
            .borrow_mut()
            .try_remove(connection.key)
            .is_some()
        {
            if !connection.established.get() {
                self.half_open.set(self.half_open.get().saturating_sub(1));
            }
            self.place.seats.connections.give_back();
            self.place.probe.connections.add(-1);
            self.place.probe.quic_connections.add(-1);
        }
        connection.end();
    }

    /// Tells all clients to go elsewhere, once; each connection ends with its last request.
    pub(super) fn look_for_drain(&self) {
        if !self.host.is_draining() {
            return;
        }
        if !self.told_to_leave.replace(true) {
            self.hold.replace(Some(self.host.hold()));
            self.list_all();
        }
        // Who is listed was not told yet.
        if self.hold.borrow().is_some() && self.agenda.is_empty() {
            let connections = self.connections.borrow();
            let mut all = connections.iter();
            if all.all(|(_, connection)| connection.inner.borrow_mut().is_quiet()) {
                self.hold.take();
            }
        }
    }

    /// Has the task look around.
    pub(super) fn wake(&self) {
        self.agenda.news.set();
    }

    /// Ends all connections; what there is to say is to be sent at once.
    pub(super) fn close_all(&self) {
        for (_, connection) in self.connections.borrow().iter() {
            connection.inner.borrow_mut().close(code::NO_ERROR);
        }
        self.list_all();
    }

    /// Forgets all connections: nobody serves them any more.
    pub(super) fn forget_all(&self) {
        let all: Vec<_> = self
            .connections
            .borrow()
            .iter()
            .map(|(_, c)| Rc::clone(c))
            .collect();
        for connection in all {
            self.forget(&connection);
        }
    }

    fn list_all(&self) {
        for (_, connection) in self.connections.borrow().iter() {
            connection.list();
        }
    }
}

/// Random bytes.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // It cannot fail: without randomness the library ends the process.
    let _ = boring::rand::rand_bytes(&mut bytes);
    bytes
}
