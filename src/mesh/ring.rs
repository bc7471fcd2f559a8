//! A bounded ring from one plane to another, with counters that any thread may read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

use crate::doorbell::Wanted;

/// A ring with room for `capacity` messages.
pub fn ring<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let (producer, consumer) = rtrb::RingBuffer::new(capacity);
    let shared = Arc::new(Shared::new(capacity));
    (
        Sender {
            producer,
            sent: 0,
            full: 0,
            shared: Arc::clone(&shared),
        },
        Receiver {
            consumer,
            received: 0,
            shared,
        },
    )
}

/// Each side writes its own line only, by plain stores.
#[derive(Debug)]
struct Shared {
    capacity: u64,
    sender: CachePadded<SenderSide>,
    received: CachePadded<AtomicU64>,
    room_wanted: CachePadded<Wanted>,
}

#[derive(Debug, Default)]
struct SenderSide {
    sent: AtomicU64,
    full: AtomicU64,
}

impl Shared {
    fn new(capacity: usize) -> Self {
        Shared {
            capacity: capacity as u64,
            sender: CachePadded::default(),
            received: CachePadded::default(),
            room_wanted: CachePadded::new(Wanted::new()),
        }
    }
}

/// The end that sends. Lives on: one plane.
#[derive(Debug)]
pub struct Sender<T> {
    producer: rtrb::Producer<T>,
    sent: u64,
    full: u64,
    shared: Arc<Shared>,
}

impl<T> Sender<T> {
    /// Puts `message` into the ring; nobody is woken.
    ///
    /// # Errors
    /// The message itself where the ring is full; it is counted, and [`Receiver::room_wanted`]
    /// tells the other end.
    pub fn send(&mut self, message: T) -> Result<(), T> {
        self.send_as(message, |message| message)
    }

    /// As [`Sender::send`], of what becomes a message of the ring by `wrap`.
    ///
    /// # Errors
    /// What was to be sent, as there.
    pub(crate) fn send_as<M>(&mut self, what: M, wrap: impl FnOnce(M) -> T) -> Result<(), M> {
        if !self.has_room() {
            self.shared.room_wanted.set();
            if !self.has_room() {
                self.full += 1;
                self.shared.sender.full.store(self.full, Ordering::Relaxed);
                return Err(what);
            }
        }
        let pushed = self.producer.push(wrap(what));
        debug_assert!(pushed.is_ok(), "nobody else fills the ring");
        self.sent += 1;
        self.shared.sender.sent.store(self.sent, Ordering::Relaxed);
        Ok(())
    }

    /// Whether a message would be taken now.
    pub fn has_room(&self) -> bool {
        !self.producer.is_full()
    }

    /// Counters of this ring.
    pub fn stats(&self) -> RingStats {
        RingStats(Arc::clone(&self.shared))
    }
}

/// The end that receives. Lives on: one plane.
#[derive(Debug)]
pub struct Receiver<T> {
    consumer: rtrb::Consumer<T>,
    received: u64,
    shared: Arc<Shared>,
}

impl<T> Receiver<T> {
    /// The oldest message.
    pub fn recv(&mut self) -> Option<T> {
        let message = self.consumer.pop().ok()?;
        self.received += 1;
        self.shared.received.store(self.received, Ordering::Relaxed);
        Some(message)
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.consumer.is_empty()
    }

    /// Whether the sender met a full ring and was not told since that there is room. The caller
    /// has called [`crate::doorbell::publish`] after its last [`Receiver::recv`].
    pub(crate) fn room_wanted(&self) -> bool {
        self.shared.room_wanted.take()
    }
}

/// Counters of one ring, readable from any thread; each is exact, all of them together nearly.
#[derive(Clone, Debug)]
pub struct RingStats(Arc<Shared>);

impl RingStats {
    /// Messages there is room for.
    pub fn capacity(&self) -> u64 {
        self.0.capacity
    }

    /// Messages in the ring.
    pub fn depth(&self) -> u64 {
        let received = self.0.received.load(Ordering::Relaxed);
        self.sent().saturating_sub(received).min(self.0.capacity)
    }

    /// Messages sent.
    pub fn sent(&self) -> u64 {
        self.0.sender.sent.load(Ordering::Relaxed)
    }

    /// Messages given back because the ring was full.
    pub fn full(&self) -> u64 {
        self.0.sender.full.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_full_ring_gives_the_message_back_and_counts_it() {
        let (mut sender, mut receiver) = ring(2);
        let stats = sender.stats();
        assert_eq!(
            (sender.send(1), sender.send(2), sender.send(3)),
            (Ok(()), Ok(()), Err(3))
        );
        assert!(!sender.has_room());
        assert_eq!(
            (stats.depth(), stats.sent(), stats.full(), stats.capacity()),
            (2, 2, 1, 2)
        );
        assert_eq!(receiver.recv(), Some(1));
        assert!(receiver.room_wanted(), "the sender waits for room");
        assert!(!receiver.room_wanted(), "and is told once");
        assert_eq!((sender.send(3), stats.depth()), (Ok(()), 2));
        assert_eq!(
            (receiver.recv(), receiver.recv(), receiver.recv()),
            (Some(2), Some(3), None)
        );
        assert_eq!((receiver.is_empty(), stats.depth()), (true, 0));
    }
}
