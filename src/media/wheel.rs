//! Phase slots: the readers of one mount, spread over its flush period.

use std::time::Duration;

use crate::time::Time;

/// The readers that a slot is meant for. Each wake-up starts with cold caches: five slots for
/// 4,000 readers cost 7 % more CPU than one. A slot's 30 ms of sends are broken by breaths, so
/// that nothing else waits for them.
const SLOT_READERS: usize = 4_000;
/// Slots are not closer together than this; readers that are rung for (or retried, where the
/// period is zero) come as often.
const SPACING_MIN: Duration = Duration::from_millis(50);
/// The most slots of one wheel.
const SLOTS_MAX: usize = 64;

/// Reader keys in phase slots; one slot is due after another.
#[derive(Clone, Debug)]
pub struct Wheel {
    slots: Vec<Vec<u32>>,
    period: Duration,
    spacing: Duration,
    next: usize,
    due: Time,
    len: usize,
}

impl Wheel {
    /// An empty wheel that turns once in `period` (zero: one slot, due when rung).
    pub fn new(period: Duration) -> Self {
        let (count, spacing) = division(period, 0);
        Wheel {
            slots: vec![Vec::new(); count],
            period,
            spacing,
            next: 0,
            due: Time::ZERO,
            len: 0,
        }
    }

    /// How many readers are on the wheel.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no reader is on the wheel.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a reader to the emptiest slot, the last of equals to come first.
    pub fn insert(&mut self, now: Time, key: u32) {
        if self.len == 0 {
            self.due = now + self.spacing;
        }
        if division(self.period, self.len + 1).0 > self.slots.len() {
            self.divide(now, self.len + 1);
        }
        self.place(key);
    }

    fn place(&mut self, key: u32) {
        let count = self.slots.len();
        let order = (0..count).map(|i| (self.next + count - 1 - i) % count);
        if let Some(slot) = order.min_by_key(|slot| self.slots[*slot].len()) {
            self.slots[slot].push(key);
            self.len += 1;
        }
    }

    /// Spreads the readers over as many slots as `readers` want.
    fn divide(&mut self, now: Time, readers: usize) {
        let (count, spacing) = division(self.period, readers);
        if count != self.slots.len() {
            let keys: Vec<u32> = self.keys().collect();
            (self.slots, self.next, self.len) = (vec![Vec::new(); count], 0, 0);
            keys.into_iter().for_each(|key| self.place(key));
        }
        self.spacing = spacing;
        self.due = self.due.max(now).min(now + spacing);
    }

    /// When the next slot with readers is due.
    pub fn due(&self) -> Option<Time> {
        if self.len == 0 {
            return None;
        }
        let count = self.slots.len();
        let ahead = (0..count).find(|i| !self.slots[(self.next + i) % count].is_empty())?;
        Some(self.due + self.spacing * ahead as u32)
    }

    /// The next slot with readers, if it is due; the wheel moves on behind it.
    pub fn turn(&mut self, now: Time) -> Option<usize> {
        let due = self.due().filter(|due| *due <= now)?;
        let count = self.slots.len();
        while self.slots[self.next].is_empty() {
            self.next = (self.next + 1) % count;
        }
        let slot = self.next;
        self.next = (self.next + 1) % count;
        let late = now.since(due) > self.spacing * count as u32;
        self.due = if late {
            now + self.spacing
        } else {
            due + self.spacing
        };
        Some(slot)
    }

    /// Makes the next slot due now: there are bytes that must not wait.
    pub fn ring(&mut self, now: Time) {
        self.due = self.due.min(now);
    }

    /// The reader at `index` of `slot`.
    pub fn key(&self, slot: usize, index: usize) -> Option<u32> {
        self.slots.get(slot)?.get(index).copied()
    }

    /// Takes the reader at `index` of `slot` off the wheel; the last of the slot takes its place.
    pub fn remove_at(&mut self, slot: usize, index: usize) {
        if index < self.slots[slot].len() {
            self.slots[slot].swap_remove(index);
            self.len -= 1;
        }
    }

    /// Takes a reader off the wheel, wherever it is.
    pub fn remove(&mut self, key: u32) {
        for slot in 0..self.slots.len() {
            if let Some(index) = self.slots[slot].iter().position(|other| *other == key) {
                self.remove_at(slot, index);
                return;
            }
        }
    }

    /// Every reader on the wheel.
    pub fn keys(&self) -> impl Iterator<Item = u32> {
        self.slots.iter().flatten().copied()
    }

    /// Turns once in `period` from now on; readers are spread anew if that changes the slots.
    pub fn set_period(&mut self, now: Time, period: Duration) {
        self.period = period;
        self.divide(now, self.len);
    }
}

/// How many slots `readers` want in a period, and the time between them.
fn division(period: Duration, readers: usize) -> (usize, Duration) {
    let most = (period.as_micros() / SPACING_MIN.as_micros()) as usize;
    let count = readers.div_ceil(SLOT_READERS).min(most).clamp(1, SLOTS_MAX);
    let spacing = period / count as u32;
    (
        count,
        if period.is_zero() {
            SPACING_MIN
        } else {
            spacing
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reader_is_served_once_in_a_period() {
        let mut wheel = Wheel::new(Duration::from_secs(1));
        (0..20_000).for_each(|key| wheel.insert(Time::ZERO, key));
        assert_eq!((wheel.len(), wheel.slots.len()), (20_000, 5));
        let sizes: Vec<usize> = wheel.slots.iter().map(Vec::len).collect();
        assert!(
            sizes.iter().all(|size| (3_900..4_100).contains(size)),
            "{sizes:?}"
        );
        let mut served = Vec::new();
        for ms in 0..1_000 {
            while let Some(slot) = wheel.turn(Time::from_millis(ms)) {
                served.extend((0..).map_while(|i| wheel.key(slot, i)));
            }
        }
        served.sort_unstable();
        let all = served.len();
        served.dedup();
        assert_eq!(served.len(), all, "none is served twice");
        assert!(all >= 15_900, "{all}: one slot may be due at the very end");
    }

    #[test]
    fn a_small_audience_is_one_slot_and_one_wake_up() {
        let mut wheel = Wheel::new(Duration::from_secs(1));
        assert_eq!(wheel.due(), None);
        wheel.insert(Time::ZERO, 7);
        wheel.insert(Time::ZERO, 8);
        let first = wheel.due().expect("two readers");
        assert_eq!(wheel.turn(first), Some(0));
        assert_eq!(wheel.due(), Some(first + Duration::from_secs(1)));
        wheel.remove(7);
        wheel.remove(8);
        assert_eq!(wheel.due(), None);
    }

    #[test]
    fn slots_that_became_empty_are_passed_over() {
        let mut wheel = Wheel::new(Duration::from_secs(1));
        (0..8_001).for_each(|key| wheel.insert(Time::ZERO, key));
        assert_eq!(wheel.slots.len(), 3);
        let slot = (wheel.next + 1) % 3;
        while !wheel.slots[slot].is_empty() {
            wheel.remove_at(slot, 0);
        }
        let first = wheel.turn(Time::from_millis(1_000)).expect("due");
        let next = wheel.due().expect("the last slot");
        let second = wheel.turn(next).expect("due");
        assert!(first != slot && second != slot);
    }

    #[test]
    fn a_stall_is_not_made_up_for_by_a_storm() {
        let mut wheel = Wheel::new(Duration::from_secs(1));
        (0..8_001).for_each(|key| wheel.insert(Time::ZERO, key));
        let late = Time::from_millis(30_000);
        assert!(wheel.turn(late).is_some());
        assert_eq!(wheel.due(), Some(late + Duration::from_secs(1) / 3));
    }

    #[test]
    fn another_period_keeps_every_reader() {
        let mut wheel = Wheel::new(Duration::from_secs(1));
        (0..9_000).for_each(|key| wheel.insert(Time::ZERO, key));
        wheel.set_period(Time::ZERO, Duration::from_millis(87));
        assert_eq!((wheel.len(), wheel.slots.len()), (9_000, 1));
        let mut keys: Vec<u32> = wheel.keys().collect();
        keys.sort_unstable();
        assert_eq!(keys, (0..9_000).collect::<Vec<u32>>());
    }
}
