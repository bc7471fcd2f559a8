//! Waiting for descriptors that are no sockets, and ending a turn.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::task::Poll;

use monoio::net::TcpStream;
use rustix::event::{EventfdFlags, eventfd};

/// Waits until a descriptor is readable; never reads it.
#[derive(Debug)]
pub(crate) struct Readiness(TcpStream);

impl Readiness {
    /// # Errors
    /// The runtime cannot watch the descriptor.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        // The runtime's stream is only waited for, which works with any descriptor.
        TcpStream::from_std(std::net::TcpStream::from(fd)).map(Readiness)
    }

    /// Waits. May be dropped.
    ///
    /// # Errors
    /// What the runtime says.
    pub(crate) async fn wait(&self) -> io::Result<()> {
        self.0.readable(false).await
    }

    /// Waits until the descriptor is writable. May be dropped.
    ///
    /// # Errors
    /// What the runtime says.
    pub(crate) async fn wait_writable(&self) -> io::Result<()> {
        self.0.writable(false).await
    }
}

/// Lets a task that has more to do end its turn, so that the runtime reaps completions and runs
/// its timers in between. Waking oneself would not do: the runtime runs such a task again before
/// it looks at anything else.
#[derive(Debug)]
pub(crate) struct Turn {
    event: OwnedFd,
    readiness: Readiness,
    taken: Cell<bool>,
}

impl Turn {
    /// # Errors
    /// No file descriptor is left, or the runtime cannot watch it.
    pub(crate) fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let readiness = Readiness::new(event.try_clone()?)?;
        Ok(Turn {
            event,
            readiness,
            taken: Cell::new(false),
        })
    }

    /// Ends the turn; the next one comes after the runtime has looked at everything else. One
    /// task at a time.
    pub(crate) async fn end(&self) {
        debug_assert!(!self.taken.replace(true), "a turn belongs to one task");
        let mut count = [0; 8];
        let mut wait = pin!(self.readiness.wait());
        let mut written = false;
        poll_fn(|cx| match wait.as_mut().poll(cx) {
            Poll::Pending if !written => {
                written = true;
                let _ = rustix::io::write(self.event.as_fd(), &1u64.to_ne_bytes());
                Poll::Pending
            }
            state => state.map(|_| ()),
        })
        .await;
        let _ = rustix::io::read(self.event.as_fd(), &mut count);
        self.taken.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::backend::ResolvedBackend;
    use crate::task::{First, first};
    use std::time::{Duration, Instant};

    /// What a task that always has more to do leaves to the others.
    #[test]
    fn a_busy_task_that_ends_its_turns_starves_neither_timers_nor_readiness() {
        for backend in [ResolvedBackend::IoUring, ResolvedBackend::Epoll] {
            let fired = backend.block_on(async {
                let busy = async {
                    let turn = Turn::new().expect("a descriptor is left");
                    let started = Instant::now();
                    while started.elapsed() < Duration::from_millis(600) {
                        let burst = Instant::now();
                        while burst.elapsed() < Duration::from_millis(2) {}
                        turn.end().await;
                    }
                };
                let fired = Cell::new(0);
                let canary = async {
                    let (peer, other) = std::os::unix::net::UnixStream::pair().expect("a pair");
                    let readiness = Readiness::new(other.into()).expect("the runtime watches");
                    loop {
                        monoio::time::sleep(Duration::from_millis(10)).await;
                        rustix::io::write(&peer, b"x").expect("the pair is open");
                        readiness.wait().await.expect("the pair is open");
                        fired.set(fired.get() + 1);
                    }
                };
                let ended = first(busy, canary).await;
                assert!(matches!(ended, First::Left(())));
                fired.get()
            });
            // Forty and more on a quiet machine; one where turns end in nothing.
            let fired = fired.expect("the runtime starts");
            assert!(fired >= 8, "{backend}: {fired} times in 600 ms");
        }
    }
}
