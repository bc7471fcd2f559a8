//! One plane's wake-up: an eventfd that is written only while the plane sleeps.
//!
//! The sender publishes its message, fences, and writes only where the flag `sleeping` was set;
//! the sleeper sets the flag, fences and looks once more before it waits. So no message is
//! slept through, and no plane that is awake costs its peers a system call.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
#[cfg(not(all(test, loom)))]
use std::sync::atomic::{AtomicBool, fence};
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
#[cfg(all(test, loom))]
use loom::sync::atomic::{AtomicBool, fence};
use rustix::event::{EventfdFlags, eventfd};

/// Whether somebody must be told: set by the one who waits, taken by the one who tells.
///
/// Each side publishes its own fact first, fences, and then looks for the other's: one of the
/// two always sees the other (Dekker's handshake).
#[derive(Debug)]
pub(crate) struct Wanted(AtomicBool);

impl Wanted {
    pub(crate) fn new() -> Self {
        Wanted(AtomicBool::new(false))
    }

    /// Waits from now on. The caller looks once more, after this, at what it waits for.
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
        publish();
    }

    /// Waits no longer.
    pub(crate) fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Whether the other side waits and has not been told yet. The caller has called
    /// [`publish`] after it made true what the other waits for.
    pub(crate) fn take(&self) -> bool {
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::AcqRel)
    }
}

/// Orders everything stored before against every flag read after.
pub(crate) fn publish() {
    fence(Ordering::SeqCst);
}

#[derive(Debug)]
struct Bell {
    sleeping: CachePadded<Wanted>,
    fd: OwnedFd,
    rung: AtomicU64,
}

/// A plane's own bell. Lives on: the plane that sleeps.
#[derive(Debug)]
pub struct Doorbell(Arc<Bell>);

/// The button of another plane's bell. Lives on: any plane.
#[derive(Clone, Debug)]
pub struct Button(Arc<Bell>);

impl Doorbell {
    /// A bell whose plane is awake.
    ///
    /// # Errors
    /// What `eventfd` says: no file descriptor or no memory is left.
    pub fn new() -> io::Result<Self> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let sleeping = CachePadded::new(Wanted::new());
        Ok(Doorbell(Arc::new(Bell {
            sleeping,
            fd,
            rung: AtomicU64::new(0),
        })))
    }

    /// A button for another plane.
    pub fn button(&self) -> Button {
        Button(Arc::clone(&self.0))
    }

    /// Says that the plane is about to wait. The caller looks once more at its rings after this,
    /// and either waits for [`Doorbell::readiness_fd`] or calls [`Doorbell::wake`].
    pub fn sleep(&self) {
        self.0.sleeping.set();
    }

    /// Says that the plane is awake, and makes the descriptor unreadable again.
    pub fn wake(&self) {
        self.0.sleeping.clear();
        let mut count = [0; 8];
        // EAGAIN: nobody rang, which is as good.
        let _ = rustix::io::read(&self.0.fd, &mut count);
    }

    /// Says that the plane stays awake after all: nothing was waited for. A ring that came
    /// meanwhile is left to the next wait, which then returns at once.
    pub fn stay_awake(&self) {
        self.0.sleeping.clear();
    }

    /// A duplicate of the descriptor, readable from a ring on until [`Doorbell::wake`]. It is
    /// non-blocking; reading it is this type's business.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn readiness_fd(&self) -> io::Result<OwnedFd> {
        self.0.fd.try_clone()
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }
}

impl Button {
    /// Wakes the plane if it sleeps and nobody rang yet. What it shall see must be published
    /// before.
    pub fn ring(&self) {
        publish();
        self.ring_published();
    }

    /// [`Button::ring`] for a caller that has called [`publish`] itself.
    pub(crate) fn ring_published(&self) {
        if self.0.sleeping.take() {
            self.0.rung.fetch_add(1, Ordering::Relaxed);
            // EAGAIN: the counter is full, so the descriptor is readable, which is the aim.
            let _ = rustix::io::write(&self.0.fd, &1_u64.to_ne_bytes());
        }
    }

    /// How often the bell was really rung, each time a system call.
    pub fn rung(&self) -> u64 {
        self.0.rung.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    fn readable(bell: &Doorbell) -> bool {
        let mut fds = [PollFd::new(bell, PollFlags::IN)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        poll(&mut fds, Some(&now)).expect("poll works on an eventfd") == 1
    }

    #[test]
    fn a_bell_rings_once_for_a_sleeper_and_never_for_one_awake() {
        let bell = Doorbell::new().expect("an eventfd");
        let button = bell.button();
        button.ring();
        assert!(!readable(&bell), "awake");
        bell.sleep();
        button.ring();
        button.ring();
        assert!(readable(&bell));
        assert_eq!(button.rung(), 1);
        bell.wake();
        assert!(!readable(&bell));
        bell.sleep();
        bell.stay_awake();
        button.ring();
        assert_eq!((readable(&bell), button.rung()), (false, 1));
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicUsize;

    /// Two senders and one sleeper: where the sleeper goes to sleep with a message left, somebody
    /// has rung.
    #[test]
    fn no_message_is_slept_through() {
        loom::model(|| {
            let (wanted, queue, rung) = (
                Arc::new(Wanted::new()),
                Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]),
                Arc::new(AtomicUsize::new(0)),
            );
            let senders = [0, 1].map(|index| {
                let (wanted, queue, rung) = (wanted.clone(), queue.clone(), rung.clone());
                loom::thread::spawn(move || {
                    queue[index].store(1, Ordering::Release);
                    publish();
                    if wanted.take() {
                        rung.fetch_add(1, Ordering::Relaxed);
                    }
                })
            });
            wanted.set();
            let seen: usize = queue.iter().map(|slot| slot.load(Ordering::Acquire)).sum();
            for sender in senders {
                sender.join().expect("the sender does not panic");
            }
            let rung = rung.load(Ordering::Relaxed);
            assert!(rung <= 1, "one ring for one sleep");
            assert!(
                seen == 2 || rung == 1,
                "slept with {} messages unseen",
                2 - seen
            );
        });
    }
}
