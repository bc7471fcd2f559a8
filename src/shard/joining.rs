//! How a listener gets its seat at a mount, and becomes a steady record of the hub.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use corecast_media::name::{MountName, SessionId};
use corecast_mesh::message::{EndReason, JoinRefusal, SeatKind};

use crate::driver::Shard;
use crate::hearing;
use crate::hub::{ListenerCard, Seat};
use crate::net::ReaderSocket;

/// How long the mount's home may take to answer.
const SEAT_TIMEOUT: Duration = Duration::from_secs(5);

/// A listener with a seat that only lacks the socket to be sent to. Dropped, it gives its seat up.
pub(crate) struct Joining {
    pub(crate) wish: Wish,
    pub(crate) metaint: u32,
    /// Whether both speak WebSocket.
    pub(crate) talks: bool,
    pub(crate) card: Box<ListenerCard>,
}

impl Joining {
    /// Hands the socket to the hub; `head` goes out before the stream. `said` is what the peer
    /// said already.
    pub(crate) fn attach(self, socket: ReaderSocket, head: Bytes, said: Bytes) {
        let Wish { shard, session, .. } = &self.wish;
        let socket = match self.talks {
            true => hearing::listen(shard, *session, socket, said),
            false => Ok(socket),
        };
        match socket {
            Ok(socket) => self.wish.attach(socket, head, self.metaint, self.card),
            Err(socket) => shard.close_listener(socket, EndReason::Internal),
        }
    }
}

impl std::fmt::Debug for Joining {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Joining").finish_non_exhaustive()
    }
}

impl Shard {
    /// A listener has ended: closes its socket as the reason wants it.
    pub(crate) fn close_listener(&self, socket: ReaderSocket, reason: EndReason) {
        // Where the peer is gone or takes nothing, it will not get what it has not got.
        let cut = matches!(
            reason,
            EndReason::PeerReset | EndReason::TooSlow | EndReason::Timeout
        );
        let ended = self.scratch.with(|scratch| socket.close(cut, scratch));
        if ended {
            self.seats.connections.give_back();
            self.probe.connections.add(-1);
        }
    }
}

/// A seat, or the wish for one, that is given up unless the listener is attached.
pub(crate) struct Wish {
    shard: Rc<Shard>,
    session: SessionId,
    kind: SeatKind,
    open: bool,
}

impl Wish {
    /// Nothing is asked yet.
    pub(crate) fn new(shard: &Rc<Shard>, session: SessionId) -> Self {
        Wish {
            shard: Rc::clone(shard),
            session,
            kind: SeatKind::Listener,
            open: false,
        }
    }

    /// The same for a forward of ours.
    pub(crate) fn of_forward(shard: &Rc<Shard>, session: SessionId) -> Self {
        let mut wish = Wish::new(shard, session);
        wish.kind = SeatKind::Forward;
        wish
    }

    /// Asks the home of `stream` for a seat, once.
    pub(crate) async fn seat(&mut self, stream: MountName) -> Result<Seat, JoinRefusal> {
        let (answer, kind) = (self.shard.joiners.expect(self.session), self.kind);
        self.open = true;
        self.shard
            .with_hub(|hub, now| hub.reserve(now, self.session, stream, kind));
        match monoio::time::timeout(SEAT_TIMEOUT, answer).await {
            Ok(Ok(Ok(seat))) => Ok(seat),
            Ok(Ok(Err(refusal))) => {
                self.open = false;
                Err(refusal)
            }
            Ok(Err(_)) | Err(_) => Err(JoinRefusal::NoSource),
        }
    }

    /// Hands the socket to the hub; the listener is steady from now on.
    pub(crate) fn attach(
        mut self,
        socket: ReaderSocket,
        head: Bytes,
        metaint: u32,
        card: Box<ListenerCard>,
    ) {
        self.open = false;
        let (shard, session) = (&self.shard, self.session);
        shard.probe.listeners_started.add(1);
        shard.probe.listeners.add(1);
        shard.with_hub(|hub, now| hub.attach(now, session, socket, head, metaint, card));
    }
}

impl Drop for Wish {
    fn drop(&mut self) {
        self.shard.joiners.forget(self.session);
        if self.open {
            self.shard
                .with_hub(|hub, now| hub.release(now, self.session));
        }
    }
}
