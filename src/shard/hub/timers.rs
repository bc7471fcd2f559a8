//! When what is due, over all mounts of a shard.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use corecast_media::time::Time;

/// What a deadline belongs to: a key of [`super::Hub`]'s tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Home(usize),
    Replica(usize),
    Watch(usize),
}

/// Deadlines, earliest first. An owner remembers the one that it armed last; others that come up
/// for it are stale and passed over.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Time, Timer)>>,
}

impl Timers {
    /// Arms `timer` for `wanted` unless `armed` says that it is armed for it already.
    pub(super) fn arm(&mut self, timer: Timer, armed: &mut Option<Time>, wanted: Option<Time>) {
        if let Some(at) = wanted
            && *armed != wanted
        {
            self.heap.push(Reverse((at, timer)));
        }
        *armed = wanted;
    }

    /// The earliest deadline that is not after `now`.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<(Time, Timer)> {
        let Reverse((at, _)) = self.heap.peek()?;
        if *at > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// The earliest deadline.
    pub(super) fn next_due(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}
