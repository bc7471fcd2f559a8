//! Who failed to log in too often, known to all planes: one table for each surface.
//!
//! A guesser may come to another shard with each connection, so the count must be the node's. A
//! table has a fixed size and no locks; it is touched where a login failed, and read before one is
//! looked at, never on the way of a byte.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

/// Sets of a table.
const SETS: usize = 1_024;

/// Addresses that one set holds; where more fail at once, the least suspect is forgotten.
const WAYS: usize = 8;

/// The most failures that are counted.
pub const FAILURES_MAX: u8 = u8::MAX;

/// How many failures lock an address out, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockoutLimits {
    /// Failures that lock out; 0 locks nobody out.
    pub failures_max: u8,
    /// Seconds in which they are counted together.
    pub window_s: u32,
    /// Seconds for which the address stays out.
    pub lockout_s: u32,
}

/// The failures at one surface, by address; an IPv6 peer is its /64. Addresses that an attacker
/// could make collide on purpose do not: the hash has a seed of its own in each process.
#[derive(Debug)]
pub struct Lockout {
    seed: RandomState,
    slots: Box<[AtomicU64]>,
}

/// What a slot holds: 28 bits of the address's hash, the failures, and the second of the first of
/// them, or of the last where it locked out. All zero where it is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    tag: u32,
    failures: u8,
    since_s: u32,
}

const SECONDS_MASK: u32 = (1 << 28) - 1;

impl Entry {
    fn unpack(bits: u64) -> Self {
        Entry {
            tag: (bits >> 36) as u32,
            failures: (bits >> 28) as u8,
            since_s: bits as u32 & SECONDS_MASK,
        }
    }

    fn pack(self) -> u64 {
        (u64::from(self.tag) << 36)
            | (u64::from(self.failures) << 28)
            | u64::from(self.since_s & SECONDS_MASK)
    }

    fn locks(self, limits: LockoutLimits) -> bool {
        limits.failures_max > 0 && self.failures >= limits.failures_max
    }

    /// Seconds until the entry means nothing any more; 0 where it does not.
    fn left_s(self, now_s: u32, limits: LockoutLimits) -> u32 {
        let span = if self.locks(limits) {
            limits.lockout_s
        } else {
            limits.window_s
        };
        let age = now_s.saturating_sub(self.since_s);
        if self.failures == 0 {
            return 0;
        }
        span.saturating_sub(age)
    }
}

impl Default for Lockout {
    fn default() -> Self {
        Lockout {
            seed: RandomState::new(),
            slots: (0..SETS * WAYS).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Lockout {
    /// Counts a failure of `ip` at `now_s`, in seconds of the node's clock; true where this one
    /// locks it out.
    pub fn fail(&self, ip: IpAddr, now_s: u32, limits: LockoutLimits) -> bool {
        let (set, tag) = self.find(ip);
        // A few tries: who loses a race every time is counted by those who won it.
        for _ in 0..WAYS {
            let Some((slot, before)) = choose(set, tag, now_s, limits) else {
                break;
            };
            let entry = Entry::unpack(before);
            let known = entry.tag == tag && entry.left_s(now_s, limits) > 0;
            if known && entry.locks(limits) {
                break;
            }
            let mut after = Entry {
                tag,
                failures: if known {
                    entry.failures.saturating_add(1)
                } else {
                    1
                },
                since_s: if known { entry.since_s } else { now_s },
            };
            if after.locks(limits) {
                after.since_s = now_s;
            }
            let (load, store) = (Ordering::Relaxed, Ordering::Relaxed);
            if slot
                .compare_exchange(before, after.pack(), store, load)
                .is_ok()
            {
                return after.locks(limits);
            }
        }
        false
    }

    /// For how many seconds `ip` is still locked out, if it is.
    pub fn locked_s(&self, ip: IpAddr, now_s: u32, limits: LockoutLimits) -> Option<u32> {
        let (set, tag) = self.find(ip);
        set.iter()
            .map(|slot| Entry::unpack(slot.load(Ordering::Relaxed)))
            .filter(|entry| entry.tag == tag && entry.locks(limits))
            .map(|entry| entry.left_s(now_s, limits))
            .filter(|left_s| *left_s > 0)
            .max()
    }

    fn find(&self, ip: IpAddr) -> (&[AtomicU64], u32) {
        let hash = self.seed.hash_one(network_of(ip));
        let at = (hash as usize % SETS) * WAYS;
        let set = self.slots.get(at..at + WAYS).unwrap_or_default();
        // No tag is zero, so that no entry looks free.
        (set, (hash >> 36) as u32 | 1)
    }
}

/// The slot of `tag` in its set, else the one that is missed least: a free one, one whose time is
/// over, or that with the fewest failures.
fn choose(
    set: &[AtomicU64],
    tag: u32,
    now_s: u32,
    limits: LockoutLimits,
) -> Option<(&AtomicU64, u64)> {
    set.iter()
        .map(|slot| (slot, slot.load(Ordering::Relaxed)))
        .min_by_key(|(_, bits)| {
            let entry = Entry::unpack(*bits);
            let left_s = entry.left_s(now_s, limits);
            let failures = if left_s == 0 { 0 } else { entry.failures };
            (entry.tag != tag, failures, left_s)
        })
}

/// What stands for a peer: an IPv4 address, or the network of an IPv6 one, of which a single
/// subscriber has 2^64 addresses.
fn network_of(ip: IpAddr) -> u128 {
    match ip.to_canonical() {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits() >> 64 << 64,
    }
}

/// The tables of one node. Libshout's first try, which has no password on purpose, is no failure
/// anywhere.
#[derive(Debug, Default)]
pub struct Lockouts {
    /// Sources.
    pub sources: Lockout,
    /// Listeners with credentials.
    pub listeners: Lockout,
    /// Everything that control answers.
    pub control: Lockout,
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: LockoutLimits = LockoutLimits {
        failures_max: 5,
        window_s: 300,
        lockout_s: 200,
    };

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn locked(lockout: &Lockout, peer: &str, now_s: u32) -> Option<u32> {
        lockout.locked_s(ip(peer), now_s, LIMITS)
    }

    #[test]
    fn five_failures_in_the_window_lock_out_for_a_while() {
        let lockout = Lockout::default();
        for now_s in [10, 20, 30, 40] {
            lockout.fail(ip("192.0.2.1"), now_s, LIMITS);
            assert_eq!(locked(&lockout, "192.0.2.1", now_s), None);
        }
        lockout.fail(ip("::ffff:192.0.2.1"), 50, LIMITS);
        assert_eq!(locked(&lockout, "192.0.2.1", 50), Some(200));
        assert_eq!(locked(&lockout, "192.0.2.2", 50), None);
        lockout.fail(ip("192.0.2.1"), 100, LIMITS);
        assert_eq!(
            locked(&lockout, "192.0.2.1", 249),
            Some(1),
            "no longer by one more"
        );
        assert_eq!(locked(&lockout, "192.0.2.1", 250), None);
        lockout.fail(ip("192.0.2.1"), 260, LIMITS);
        assert_eq!(locked(&lockout, "192.0.2.1", 260), None, "it starts anew");
    }

    #[test]
    fn failures_far_apart_do_not_add_up() {
        let lockout = Lockout::default();
        for step in 0..20 {
            lockout.fail(ip("192.0.2.1"), step * 100, LIMITS);
            assert_eq!(locked(&lockout, "192.0.2.1", step * 100), None, "{step}");
        }
    }

    #[test]
    fn an_ipv6_peer_is_its_network_and_zero_locks_nobody_out() {
        let lockout = Lockout::default();
        for host in 1..=5 {
            lockout.fail(ip(&format!("2001:db8::{host}")), 7, LIMITS);
        }
        assert_eq!(locked(&lockout, "2001:db8::ffff", 7), Some(200));
        assert_eq!(locked(&lockout, "2001:db8:0:1::1", 7), None);
        let off = LockoutLimits {
            failures_max: 0,
            ..LIMITS
        };
        assert_eq!(lockout.locked_s(ip("2001:db8::1"), 7, off), None);
    }

    #[test]
    fn a_flood_of_addresses_frees_nobody_who_is_locked_out() {
        let lockout = Lockout::default();
        let fail = |_| lockout.fail(ip("192.0.2.1"), 1, LIMITS);
        assert_eq!((0..5).map(fail).filter(|locked| *locked).count(), 1);
        for n in 0..100_000_u32 {
            lockout.fail(IpAddr::from(n.to_be_bytes()), 2, LIMITS);
        }
        assert_eq!(locked(&lockout, "192.0.2.1", 3), Some(198));
    }

    #[test]
    fn threads_lose_no_failure_of_one_address() {
        let lockout = Lockout::default();
        let limits = LockoutLimits {
            failures_max: 40,
            ..LIMITS
        };
        // Known before, so that the threads fight for one slot.
        let fail_often = |times| {
            for _ in 0..times {
                lockout.fail(ip("192.0.2.1"), 1, limits);
            }
        };
        fail_often(2);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| fail_often(19));
            }
        });
        assert!(lockout.locked_s(ip("192.0.2.1"), 1, limits).is_some());
    }
}
