//! Which of many sockets without a task have something to say: one look for all of a shard.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};

use corecast_media::name::SessionId;
use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

use super::link::LinkSocket;
use super::ready::Readiness;
use crate::task::first;

/// The most sessions that one look brings from the kernel.
const LOOK_MAX: usize = 64;

/// The ears of a shard. Lives on: its shard.
///
/// The kernel says once of a descriptor that something came; who was told reads until nothing is
/// left. Streams of HTTP/2 and 3 have no descriptor: they ring.
pub(crate) struct Ears {
    epoll: OwnedFd,
    readiness: Readiness,
    rings: UnboundedSender<SessionId>,
    rung: RefCell<UnboundedReceiver<SessionId>>,
}

impl Ears {
    /// # Errors
    /// No descriptor is left, or the runtime cannot watch it.
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let readiness = Readiness::new(epoll.try_clone()?)?;
        let (rings, rung) = unbounded();
        Ok(Ears {
            epoll,
            readiness,
            rings,
            rung: RefCell::new(rung),
        })
    }

    /// Has `session` told once something comes on `socket`, until that is closed.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn watch(&self, socket: &LinkSocket, session: SessionId) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        let data = EventData::new_u64(session.as_u64());
        Ok(epoll::add(&self.epoll, socket.as_fd(), data, flags)?)
    }

    /// What rings for `session` when it is woken.
    pub(crate) fn bell(&self, session: SessionId) -> Waker {
        Waker::from(Arc::new(Bell {
            session,
            rings: self.rings.clone(),
        }))
    }

    /// Has `session` told.
    pub(crate) fn ring(&self, session: SessionId) {
        // The other end lives as long as this one.
        let _ = self.rings.unbounded_send(session);
    }

    /// Adds to `told` who has something to say: of those with a descriptor some, of the others all.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn look(&self, told: &mut Vec<SessionId>) -> io::Result<()> {
        let mut events = Vec::with_capacity(LOOK_MAX);
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&at_once))?;
        told.extend(
            events
                .iter()
                .map(|event| SessionId::from_u64(event.data.u64())),
        );
        let mut rung = self.rung.borrow_mut();
        told.extend(std::iter::from_fn(|| rung.try_recv().ok()));
        Ok(())
    }

    /// Waits until there is something to look at, or what looks like it. May be dropped, but then
    /// one that rang may be forgotten: it is given back in `told`.
    ///
    /// # Errors
    /// What the runtime says.
    pub(crate) async fn wait(&self, told: &mut Vec<SessionId>) -> io::Result<()> {
        let rung = poll_fn(|cx| {
            let mut rung = self.rung.borrow_mut();
            let mut next = rung.recv();
            match Pin::new(&mut next).poll(cx) {
                Poll::Ready(Ok(session)) => Poll::Ready(session),
                // The other end is here: it is never over.
                _ => Poll::Pending,
            }
        });
        match first(self.readiness.wait(), rung).await {
            crate::task::First::Left(ready) => ready,
            crate::task::First::Right(session) => {
                told.push(session);
                Ok(())
            }
        }
    }
}

/// Rings for one session.
struct Bell {
    session: SessionId,
    rings: UnboundedSender<SessionId>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let _ = self.rings.unbounded_send(self.session);
    }
}
