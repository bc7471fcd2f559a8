//! This shard's mounts, sources and listeners: plain state machines behind one face.
//!
//! No socket, clock or task lives here: time comes as an argument, bytes leave through
//! [`Socket`], messages to other shards through [`Hub::poll_transmit`]. After every call that
//! changes something, the driver drains [`Hub::poll_transmit`] and [`Hub::poll_event`] and arms
//! its timer by [`Hub::poll_timeout`].

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use corecast_config::Config;
use corecast_media::codec::AudioFormat;
use corecast_media::fanout::Socket;
use corecast_media::frame::MediaEvent;
use corecast_media::metadata::Metadata;
use corecast_media::name::{MountName, SessionId, ShardId};
use corecast_media::time::Time;
use corecast_mesh::message::{
    EndReason, Event, JoinRefusal, PublishRefusal, ShardMessage, ShardSnapshot, SourceInfo,
};
use corecast_mesh::seats::NodeSeats;
use corecast_mesh::topology::Topology;

/// This shard's mounts, sources and listeners.
pub struct Hub<S: Socket> {
    _socket: std::marker::PhantomData<S>,
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
        /// Where it listened last.
        mount: MountName,
        /// Why.
        reason: EndReason,
        /// Bytes sent, head included.
        bytes: u64,
        /// What was kept for the access log.
        card: Box<ListenerCard>,
    },
    /// For control.
    Event(Event),
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
}

impl<S: Socket> Hub<S> {
    /// A hub without mounts.
    pub fn new(
        shard: ShardId,
        topology: Topology,
        config: Arc<Config>,
        seats: Arc<NodeSeats>,
    ) -> Self {
        unimplemented!("{shard} {topology:?} {config:?} {seats:?}")
    }

    /// Asks for `mount`'s source slot; [`HubEvent::PublishAnswer`] follows.
    pub fn publish(&mut self, now: Time, session: SessionId, mount: MountName, info: SourceInfo) {
        unimplemented!("{now} {session} {mount} {info:?}")
    }

    /// Media of an accepted publisher, in order.
    pub fn push_media(&mut self, now: Time, session: SessionId, events: Vec<MediaEvent>) {
        unimplemented!("{now} {session} {events:?}")
    }

    /// The publisher is gone, or no longer wants its answer.
    pub fn unpublish(&mut self, now: Time, session: SessionId, reason: EndReason) {
        unimplemented!("{now} {session} {reason:?}")
    }

    /// Asks for a seat at `mount`; [`HubEvent::SeatAnswer`] follows, unless
    /// [`Hub::release`] comes first.
    pub fn reserve(&mut self, now: Time, session: SessionId, mount: MountName) {
        unimplemented!("{now} {session} {mount}")
    }

    /// Gives up a seat, or the wish for one, that was not attached.
    pub fn release(&mut self, now: Time, session: SessionId) {
        unimplemented!("{now} {session}")
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
        let _ = (socket, card);
        unimplemented!("{now} {session} {head:?} {metaint}")
    }

    /// A title from outside the stream.
    pub fn set_metadata(&mut self, now: Time, mount: MountName, metadata: Metadata) {
        unimplemented!("{now} {mount} {metadata:?}")
    }

    /// New settings. Mounts that exist take theirs at once.
    pub fn reload(&mut self, now: Time, config: Arc<Config>) {
        unimplemented!("{now} {config:?}")
    }

    /// Takes no more sessions; ends publishers, and listeners at a frame border.
    pub fn drain(&mut self, now: Time) {
        unimplemented!("{now}")
    }

    /// Whether no session is left.
    pub fn is_idle(&self) -> bool {
        unimplemented!()
    }

    /// A message from `from` (which may be this shard).
    pub fn handle_message(&mut self, now: Time, from: ShardId, message: ShardMessage) {
        unimplemented!("{now} {from} {message:?}")
    }

    /// Does what is due at `now`; at most [`crate::hub`]'s bound of sends, so that the driver can
    /// breathe between calls (then [`Hub::poll_timeout`] is `now` or earlier).
    pub fn handle_timeout(&mut self, now: Time) {
        unimplemented!("{now}")
    }

    /// When [`Hub::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Time> {
        unimplemented!()
    }

    /// The next message to another shard. The driver gives back what a full ring refused with
    /// [`Hub::return_message`] and tries again when the ring has room.
    pub fn poll_transmit(&mut self) -> Option<(ShardId, ShardMessage)> {
        unimplemented!()
    }

    /// A message that the ring to `to` had no room for: put back at the front of its queue.
    /// [`Hub::poll_transmit`] passes over `to` until [`Hub::handle_room`].
    pub fn return_message(&mut self, to: ShardId, message: ShardMessage) {
        unimplemented!("{to} {message:?}")
    }

    /// The ring to `to` may have room again.
    pub fn handle_room(&mut self, to: ShardId) {
        unimplemented!("{to}")
    }

    /// The next thing the driver must know.
    pub fn poll_event(&mut self) -> Option<HubEvent<S>> {
        unimplemented!()
    }

    /// Its state for the API; seats, lags and bytes are those of `now`.
    pub fn snapshot(&self, now: Time) -> ShardSnapshot {
        unimplemented!("{now}")
    }
}
