//! One plane's end of the mesh: its rings to and from every other plane, and its doorbell.
//!
//! Sending and waking are separate: a plane sends as many messages as its turn brings forth and
//! then calls `flush` once, which rings each plane that got some, at most once, and none that is
//! awake. Before it waits, a plane flushes, calls `sleep`, and waits only if that says so.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use corecast_media::name::ShardId;

use crate::doorbell::{Button, Doorbell, publish};
use crate::message::{Datagrams, FromControl, ShardMessage, ToControl};
use crate::ring::{Receiver, RingStats, Sender, ring};
use crate::topology::Topology;

/// An end of the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Plane {
    /// One shard of the data plane.
    Shard(ShardId),
    /// The control plane.
    Control,
}

/// Messages that each ring has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacities {
    /// From one shard to another.
    pub shard_to_shard: usize,
    /// From a shard to control.
    pub shard_to_control: usize,
    /// From control to a shard.
    pub control_to_shard: usize,
}

impl Capacities {
    /// Rings between shards share 4,096 places per receiver, each at least 64 and at most 1,024:
    /// a node of many shards has shorter rings, not more memory.
    pub const fn of(topology: Topology) -> Self {
        let share = 4_096 / topology.shards() as usize;
        let shard_to_shard = if share < 64 {
            64
        } else if share > 1_024 {
            1_024
        } else {
            share
        };
        Capacities {
            shard_to_shard,
            shard_to_control: 1_024,
            control_to_shard: 256,
        }
    }
}

/// The whole mesh: the port of each shard in order, control's port, and the counters of all.
///
/// # Errors
/// No file descriptor is left for a doorbell.
pub fn mesh(topology: Topology, capacities: Capacities) -> io::Result<Mesh> {
    let mut stats = MeshStats::default();
    let mut shards = Vec::new();
    let mut control = ControlPort {
        to_shards: Vec::new(),
        from_shards: Vec::new(),
        bell: Doorbell::new()?,
        next: 0,
        dirty: false,
    };
    let control_button = control.bell.button();
    stats.bells.push((Plane::Control, control_button.clone()));
    for id in topology.ids() {
        let bell = Doorbell::new()?;
        let button = bell.button();
        stats.bells.push((Plane::Shard(id), button.clone()));
        let (up, up_end) = link(capacities.shard_to_control, &button, &control_button);
        let (down, down_end) = link(capacities.control_to_shard, &control_button, &button);
        stats.note(Plane::Shard(id), Plane::Control, &up);
        stats.note(Plane::Control, Plane::Shard(id), &down);
        control.to_shards.push(down);
        control.from_shards.push(up_end);
        shards.push(ShardPort {
            id,
            local: VecDeque::new(),
            local_max: capacities.shard_to_shard,
            local_refused: false,
            to_shards: Vec::new(),
            from_shards: Vec::new(),
            to_control: up,
            from_control: down_end,
            bell,
            next: 0,
            dirty: false,
        });
    }
    wire_shards(&mut shards, capacities.shard_to_shard, &mut stats);
    Ok(Mesh {
        shards,
        control,
        stats: Arc::new(stats),
    })
}

/// Lays a ring from each shard to each other one.
fn wire_shards(shards: &mut [ShardPort], capacity: usize, stats: &mut MeshStats) {
    let buttons: Vec<Button> = shards.iter().map(|port| port.bell.button()).collect();
    for (from, from_button) in buttons.iter().enumerate() {
        for (to, to_button) in buttons.iter().enumerate() {
            let (out, end) = if from == to {
                (None, None)
            } else {
                let (out, end) = link(capacity, from_button, to_button);
                let [from, to] = [from, to].map(|index| Plane::Shard(ShardId(index as u16)));
                stats.note(from, to, &out);
                (Some(out), Some(end))
            };
            shards[from].to_shards.push(out);
            shards[to].from_shards.push(end);
        }
    }
}

/// Every port of a node, before its planes take them.
#[derive(Debug)]
pub struct Mesh {
    /// The ports of the shards, in order.
    pub shards: Vec<ShardPort>,
    /// Control's port.
    pub control: ControlPort,
    /// Counters of every ring and bell.
    pub stats: Arc<MeshStats>,
}

fn link<T>(capacity: usize, from: &Button, to: &Button) -> (Outbound<T>, Inbound<T>) {
    let (sender, receiver) = ring(capacity);
    (
        Outbound {
            sender,
            receiver_bell: to.clone(),
            unflushed: false,
            refused: false,
        },
        Inbound {
            receiver,
            sender_bell: from.clone(),
            unflushed: false,
        },
    )
}

#[derive(Debug)]
struct Outbound<T> {
    sender: Sender<T>,
    receiver_bell: Button,
    /// A message was sent since the last flush.
    unflushed: bool,
    /// A message was given back, and its sender was not told of room since.
    refused: bool,
}

impl<T> Outbound<T> {
    fn send(&mut self, message: T) -> Result<(), T> {
        self.send_as(message, |message| message)
    }

    fn send_as<M>(&mut self, what: M, wrap: impl FnOnce(M) -> T) -> Result<(), M> {
        let sent = self.sender.send_as(what, wrap);
        self.unflushed |= sent.is_ok();
        self.refused |= sent.is_err();
        sent
    }

    fn has_news(&self) -> bool {
        self.refused && self.sender.has_room()
    }

    fn take_room(&mut self) -> bool {
        let room = self.has_news();
        self.refused &= !room;
        room
    }

    fn flush_published(&mut self) {
        if std::mem::take(&mut self.unflushed) {
            self.receiver_bell.ring_published();
        }
    }
}

#[derive(Debug)]
struct Inbound<T> {
    receiver: Receiver<T>,
    sender_bell: Button,
    /// A message was taken since the last flush.
    unflushed: bool,
}

impl<T> Inbound<T> {
    fn recv(&mut self) -> Option<T> {
        let message = self.receiver.recv();
        self.unflushed |= message.is_some();
        message
    }

    /// Tells a sender that met a full ring that there is room.
    fn flush_published(&mut self) {
        if std::mem::take(&mut self.unflushed) && self.receiver.room_wanted() {
            self.sender_bell.ring_published();
        }
    }
}

/// What one shard sends to another.
#[derive(Debug)]
enum Parcel {
    Message(ShardMessage),
    Datagrams(Datagrams),
}

/// A message as a shard receives it.
#[derive(Debug)]
pub enum Received {
    /// From the hub of a shard, maybe its own.
    Shard(ShardId, ShardMessage),
    /// Packets that another shard passes on.
    Datagrams(Datagrams),
    /// From control.
    Control(FromControl),
}

/// A shard's end of the mesh. Lives on: its shard.
#[derive(Debug)]
pub struct ShardPort {
    id: ShardId,
    /// Messages of the shard to itself cross no ring.
    local: VecDeque<Parcel>,
    local_max: usize,
    local_refused: bool,
    to_shards: Vec<Option<Outbound<Parcel>>>,
    from_shards: Vec<Option<Inbound<Parcel>>>,
    to_control: Outbound<ToControl>,
    from_control: Inbound<FromControl>,
    bell: Doorbell,
    next: usize,
    dirty: bool,
}

impl ShardPort {
    /// The shard.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// Sends to a shard of this node, maybe itself; [`ShardPort::flush`] wakes it.
    ///
    /// # Errors
    /// The message, where the ring is full: [`ShardPort::poll_room`] says when to try again.
    pub fn send(&mut self, to: ShardId, message: ShardMessage) -> Result<(), ShardMessage> {
        self.send_as(to, message, Parcel::Message)
    }

    /// As [`ShardPort::send`], of packets whose connection lives there.
    ///
    /// # Errors
    /// The packets, as there.
    pub fn send_datagrams(&mut self, to: ShardId, packets: Datagrams) -> Result<(), Datagrams> {
        self.send_as(to, packets, Parcel::Datagrams)
    }

    fn send_as<M>(&mut self, to: ShardId, what: M, wrap: fn(M) -> Parcel) -> Result<(), M> {
        if to == self.id {
            if self.local.len() >= self.local_max {
                self.local_refused = true;
                return Err(what);
            }
            self.local.push_back(wrap(what));
            return Ok(());
        }
        self.dirty = true;
        match self.to_shards.get_mut(to.index()).and_then(Option::as_mut) {
            Some(link) => link.send_as(what, wrap),
            None => Err(what),
        }
    }

    /// Sends to control; [`ShardPort::flush`] wakes it.
    ///
    /// # Errors
    /// The message, where the ring is full.
    pub fn send_control(&mut self, message: ToControl) -> Result<(), ToControl> {
        self.dirty = true;
        self.to_control.send(message)
    }

    /// The next message: the planes take turns, so none starves the others.
    pub fn recv(&mut self) -> Option<Received> {
        let planes = self.from_shards.len() + 1;
        (0..planes).find_map(|_| {
            let turn = self.next % planes;
            self.next = (turn + 1) % planes;
            self.recv_of(turn)
        })
    }

    fn recv_of(&mut self, turn: usize) -> Option<Received> {
        let received = match self.from_shards.get_mut(turn) {
            None => self.from_control.recv().map(Received::Control)?,
            Some(link) => {
                let from = ShardId(turn as u16);
                let parcel = match link {
                    Some(link) => link.recv()?,
                    None => self.local.pop_front()?,
                };
                match parcel {
                    Parcel::Message(message) => Received::Shard(from, message),
                    Parcel::Datagrams(packets) => Received::Datagrams(packets),
                }
            }
        };
        self.dirty = true;
        Some(received)
    }

    /// The next plane whose ring gave a message back and has room again; each is told once.
    pub fn poll_room(&mut self) -> Option<Plane> {
        if self.local_refused && self.local.len() < self.local_max {
            self.local_refused = false;
            return Some(Plane::Shard(self.id));
        }
        if self.to_control.take_room() {
            return Some(Plane::Control);
        }
        let roomy = self
            .to_shards
            .iter_mut()
            .position(|link| link.as_mut().is_some_and(Outbound::take_room))?;
        Some(Plane::Shard(ShardId(roomy as u16)))
    }

    /// Wakes each plane that got a message, or room it waits for, since the last flush, unless
    /// it is awake. To be called once a turn, always before waiting.
    pub fn flush(&mut self) {
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        publish();
        self.to_shards
            .iter_mut()
            .flatten()
            .for_each(Outbound::flush_published);
        self.from_shards
            .iter_mut()
            .flatten()
            .for_each(Inbound::flush_published);
        self.to_control.flush_published();
        self.from_control.flush_published();
    }

    /// Flushes, and says whether the shard may wait for [`ShardPort::readiness_fd`]. Where not,
    /// a message or room is there already.
    #[must_use]
    pub fn sleep(&mut self) -> bool {
        self.flush();
        self.bell.sleep();
        let idle = !self.has_news();
        if !idle {
            self.bell.stay_awake();
        }
        idle
    }

    fn has_news(&self) -> bool {
        !self.local.is_empty()
            || self.local_refused
            || self.to_control.has_news()
            || !self.from_control.receiver.is_empty()
            || self
                .from_shards
                .iter()
                .flatten()
                .any(|link| !link.receiver.is_empty())
            || self.to_shards.iter().flatten().any(Outbound::has_news)
    }

    /// Ends the wait, whatever ended it: peers ring no more, the descriptor is not readable.
    pub fn wake(&mut self) {
        self.bell.wake();
    }

    /// A duplicate of the doorbell's descriptor: readable when a peer rang. Only waited for,
    /// never read: [`ShardPort::wake`] does that.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn readiness_fd(&self) -> io::Result<OwnedFd> {
        self.bell.readiness_fd()
    }
}

/// Control's end of the mesh. Lives on: the control plane.
#[derive(Debug)]
pub struct ControlPort {
    to_shards: Vec<Outbound<FromControl>>,
    from_shards: Vec<Inbound<ToControl>>,
    bell: Doorbell,
    next: usize,
    dirty: bool,
}

impl ControlPort {
    /// Sends to a shard; [`ControlPort::flush`] wakes it.
    ///
    /// # Errors
    /// The message, where the ring is full: [`ControlPort::poll_room`] says when to try again.
    pub fn send(&mut self, to: ShardId, message: FromControl) -> Result<(), FromControl> {
        self.dirty = true;
        match self.to_shards.get_mut(to.index()) {
            Some(link) => link.send(message),
            None => Err(message),
        }
    }

    /// The next message and the shard it is from: shards take turns, so none starves the others.
    pub fn recv(&mut self) -> Option<(ShardId, ToControl)> {
        let shards = self.from_shards.len();
        (0..shards).find_map(|_| {
            let turn = self.next % shards;
            self.next = (turn + 1) % shards;
            let message = self.from_shards.get_mut(turn)?.recv()?;
            self.dirty = true;
            Some((ShardId(turn as u16), message))
        })
    }

    /// The next shard whose ring gave a message back and has room again; each is told once.
    pub fn poll_room(&mut self) -> Option<ShardId> {
        let roomy = self.to_shards.iter_mut().position(Outbound::take_room)?;
        Some(ShardId(roomy as u16))
    }

    /// As [`ShardPort::flush`].
    pub fn flush(&mut self) {
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        publish();
        self.to_shards
            .iter_mut()
            .for_each(Outbound::flush_published);
        self.from_shards
            .iter_mut()
            .for_each(Inbound::flush_published);
    }

    /// As [`ShardPort::sleep`].
    #[must_use]
    pub fn sleep(&mut self) -> bool {
        self.flush();
        self.bell.sleep();
        let news = self
            .from_shards
            .iter()
            .any(|link| !link.receiver.is_empty())
            || self.to_shards.iter().any(Outbound::has_news);
        if news {
            self.bell.stay_awake();
        }
        !news
    }

    /// As [`ShardPort::wake`].
    pub fn wake(&mut self) {
        self.bell.wake();
    }

    /// As [`ShardPort::readiness_fd`].
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn readiness_fd(&self) -> io::Result<OwnedFd> {
        self.bell.readiness_fd()
    }
}

/// Counters of every ring and bell. Lives on: any plane; read when metrics are scraped.
#[derive(Debug, Default)]
pub struct MeshStats {
    links: Vec<LinkStats>,
    bells: Vec<(Plane, Button)>,
}

/// One ring and where it leads.
#[derive(Clone, Debug)]
pub struct LinkStats {
    /// The plane that sends.
    pub from: Plane,
    /// The plane that receives.
    pub to: Plane,
    /// Its counters.
    pub ring: RingStats,
}

impl MeshStats {
    fn note<T>(&mut self, from: Plane, to: Plane, link: &Outbound<T>) {
        self.links.push(LinkStats {
            from,
            to,
            ring: link.sender.stats(),
        });
    }

    /// Every ring.
    pub fn links(&self) -> &[LinkStats] {
        &self.links
    }

    /// How often each plane was woken by its doorbell, each time a system call.
    pub fn doorbells(&self) -> impl Iterator<Item = (Plane, u64)> {
        self.bells
            .iter()
            .map(|(plane, button)| (*plane, button.rung()))
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
