//! Who waits for what on one shard: whole groups are let go at once, and one who goes away leaves
//! nothing behind.

use std::collections::{BTreeMap, BTreeSet};

use corecast_media::time::Time;

use super::origin::{Released, WaitKey};

/// One that waits; from [`Waiters::push`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId {
    key: WaitKey,
    number: u64,
    until: Time,
}

/// Blocked requests of one mount on one shard; `T` is what wakes one up.
#[derive(Debug)]
pub struct Waiters<T> {
    by_key: BTreeMap<(WaitKey, u64), (Time, T)>,
    by_time: BTreeSet<(Time, u64, WaitKey)>,
    next_number: u64,
}

impl<T> Default for Waiters<T> {
    fn default() -> Self {
        Waiters {
            by_key: BTreeMap::new(),
            by_time: BTreeSet::new(),
            next_number: 0,
        }
    }
}

impl<T> Waiters<T> {
    /// Nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one that waits for `key`, until `until` at most.
    pub fn push(&mut self, key: WaitKey, until: Time, waiter: T) -> WaiterId {
        let number = self.next_number;
        self.next_number += 1;
        self.by_key.insert((key, number), (until, waiter));
        self.by_time.insert((until, number, key));
        WaiterId { key, number, until }
    }

    /// Takes one out whose client went away; none where it was let go before.
    pub fn remove(&mut self, id: WaiterId) -> Option<T> {
        let (_, waiter) = self.by_key.remove(&(id.key, id.number))?;
        self.by_time.remove(&(id.until, id.number, id.key));
        Some(waiter)
    }

    /// Takes out everybody whom a step sets free, the longest waiting first for each key.
    pub fn release(&mut self, released: Released) -> Vec<T> {
        let free: Vec<(WaitKey, u64)> = match released {
            Released::Nothing => Vec::new(),
            Released::All => self.by_key.keys().copied().collect(),
            Released::UpTo(last) => {
                let first = WaitKey {
                    msn: 0,
                    part: 0,
                    ..last
                };
                let keys = self.by_key.range((first, 0)..=(last, u64::MAX));
                keys.map(|(key, _)| *key).collect()
            }
        };
        free.into_iter()
            .filter_map(|(key, number)| self.take(key, number))
            .collect()
    }

    /// Takes out everybody whose time has come.
    pub fn expire(&mut self, now: Time) -> Vec<T> {
        let mut expired = Vec::new();
        while let Some(&(until, number, key)) = self.by_time.first() {
            if until > now {
                break;
            }
            expired.extend(self.take(key, number));
        }
        expired
    }

    /// When somebody's time comes next.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.by_time.first().map(|(until, ..)| *until)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    fn take(&mut self, key: WaitKey, number: u64) -> Option<T> {
        let (until, waiter) = self.by_key.remove(&(key, number))?;
        self.by_time.remove(&(until, number, key));
        Some(waiter)
    }
}

#[cfg(test)]
mod tests {
    use corecast_media::track::TrackKind;

    use super::super::name::RenditionId;
    use super::*;

    fn key(kind: TrackKind, msn: u64, part: u32) -> WaitKey {
        WaitKey {
            rendition: Some(RenditionId { kind, index: 0 }),
            msn,
            part,
        }
    }

    #[test]
    fn a_step_lets_go_whom_it_covers_and_nobody_else() {
        let (video, audio) = (TrackKind::Video, TrackKind::Audio);
        let keys = [
            key(video, 7, 1),
            key(video, 7, 2),
            key(video, 7, u32::MAX),
            key(video, 8, 0),
            key(audio, 7, 1),
            WaitKey {
                rendition: None,
                msn: 0,
                part: 0,
            },
        ];
        for released in [
            Released::Nothing,
            Released::UpTo(key(video, 7, 1)),
            Released::UpTo(key(video, 7, u32::MAX)),
            Released::UpTo(key(audio, 9, 0)),
            Released::All,
        ] {
            let mut waiters = Waiters::new();
            for (at, key) in keys.iter().enumerate() {
                waiters.push(*key, Time::from_millis(1), at);
            }
            let mut expected: Vec<usize> = (0..keys.len())
                .filter(|&at| released.covers(&keys[at]))
                .collect();
            let mut free = waiters.release(released);
            free.sort_unstable();
            expected.sort_unstable();
            assert_eq!(free, expected, "{released:?}");
            assert_eq!(waiters.len(), keys.len() - free.len());
            let late = waiters.expire(Time::from_millis(1));
            assert_eq!(late.len(), keys.len() - free.len());
            assert!(waiters.is_empty() && waiters.poll_timeout().is_none());
        }
    }

    #[test]
    fn one_who_leaves_or_is_late_leaves_nothing_behind() {
        let mut waiters = Waiters::new();
        let first = waiters.push(key(TrackKind::Video, 1, 1), Time::from_millis(5), 'a');
        waiters.push(key(TrackKind::Video, 1, 1), Time::from_millis(6), 'b');
        assert_eq!(waiters.remove(first), Some('a'));
        assert_eq!(waiters.remove(first), None);
        assert_eq!(waiters.poll_timeout(), Some(Time::from_millis(6)));
        assert_eq!(waiters.expire(Time::from_millis(5)), []);
        assert_eq!(waiters.expire(Time::from_millis(6)), ['b']);
        assert!(waiters.is_empty() && waiters.poll_timeout().is_none());
    }
}
