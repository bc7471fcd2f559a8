//! Who listens, counted: now from the state of the shards, and since the start from sessions
//! that ended.
//!
//! Some players open a stream to look at it, close it and open it again: what lasts less than
//! [`PROBE_MAX`] and is followed by the same address and agent within [`REOPEN_MAX`] is one visit
//! with what follows.

pub(crate) mod agent;

#[cfg(test)]
mod tests;

use std::collections::hash_map::{Entry, RandomState};
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use corecast_media::name::MountName;
use corecast_media::time::Time;
use corecast_mesh::message::{AccessRecord, SessionReport};

use crate::probe::ControlProbe;
use agent::{CLASS_COUNT, class_of};

/// What lasts less than this may be a player's look at the stream.
const PROBE_MAX: Duration = Duration::from_secs(2);

/// How soon a player that looked comes back.
const REOPEN_MAX: Duration = Duration::from_secs(5);

/// How late control may hear of an end.
const SKEW_MAX: Duration = Duration::from_secs(1);

/// Mounts whose past is kept; later ones have only their present.
const MOUNTS_MAX: usize = 4_096;

/// Looks that wait for what follows them.
const PROBES_MAX: usize = 16_384;

/// How old the numbers that everybody may ask for can be: to make them, every shard copies every
/// session.
pub(crate) const NUMBERS_AGE_MAX: Duration = Duration::from_secs(5);

/// Numbers of one kind of player, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Sessions that are there now.
    pub(crate) listeners: u32,
    /// Visits since the start.
    pub(crate) visits: u64,
    /// What they heard.
    pub(crate) listened: Duration,
}

/// The numbers of a mount.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers {
    /// Different pairs of address and agent that are there now.
    pub(crate) unique: u32,
    /// By kind of player.
    pub(crate) classes: [Tally; CLASS_COUNT],
}

impl Numbers {
    /// The sum of all kinds.
    pub(crate) fn total(&self) -> Tally {
        self.classes
            .iter()
            .fold(Tally::default(), |sum, class| Tally {
                listeners: sum.listeners.saturating_add(class.listeners),
                visits: sum.visits.saturating_add(class.visits),
                listened: sum.listened.saturating_add(class.listened),
            })
    }
}

/// A look at a stream.
#[derive(Clone, Copy, Debug)]
struct Probe {
    started: Time,
    ended: Time,
}

impl Probe {
    /// Whether what started then is the same visit.
    fn goes_on(&self, started: Time) -> bool {
        started + SKEW_MAX >= self.started && started <= self.ended + REOPEN_MAX
    }
}

/// The count. Lives on: the control plane.
#[derive(Debug)]
pub(crate) struct Audience {
    past: HashMap<MountName, [Tally; CLASS_COUNT]>,
    probes: HashMap<u64, Probe>,
    /// Keys of `probes`, the oldest first; some are gone already.
    order: VecDeque<u64>,
    hasher: RandomState,
    taken: Option<(Time, Arc<HashMap<MountName, Numbers>>)>,
    probe: Arc<ControlProbe>,
}

impl Audience {
    pub(crate) fn new(probe: Arc<ControlProbe>) -> Self {
        Audience {
            past: HashMap::new(),
            probes: HashMap::new(),
            order: VecDeque::new(),
            hasher: RandomState::new(),
            taken: None,
            probe,
        }
    }

    /// A session ended at `now`; only listeners count.
    pub(crate) fn handle_ended(&mut self, now: Time, record: &AccessRecord) {
        let Some(mount) = &record.mount else { return };
        if !is_listener(record) {
            return;
        }
        let duration = record.duration;
        let started = Time::ZERO + now.since(Time::ZERO).saturating_sub(duration);
        let key = self.key(mount, record.peer.ip(), &record.user_agent);
        let goes_on = self
            .probes
            .get(&key)
            .is_some_and(|probe| probe.goes_on(started));
        if goes_on {
            self.probes.remove(&key);
        }
        if duration < PROBE_MAX {
            let ended = now;
            self.keep(key, Probe { started, ended });
        }
        let class = class_of(&record.user_agent);
        let visits = u64::from(!goes_on);
        self.probe.visits.at(class).add(visits);
        self.probe.listened.add(duration.as_secs());
        if self.past.len() >= MOUNTS_MAX && !self.past.contains_key(mount) {
            return;
        }
        let past = self.past.entry(mount.clone()).or_default();
        if let Some(tally) = past.get_mut(class) {
            tally.visits += visits;
            tally.listened = tally.listened.saturating_add(duration);
        }
    }

    /// What was counted last, if it is young enough.
    pub(crate) fn recent(&self, now: Time) -> Option<Arc<HashMap<MountName, Numbers>>> {
        let (at, numbers) = self.taken.as_ref()?;
        (now.since(*at) < NUMBERS_AGE_MAX).then(|| Arc::clone(numbers))
    }

    /// Counts who is there, with who was.
    pub(crate) fn count(
        &mut self,
        now: Time,
        sessions: &[SessionReport],
    ) -> Arc<HashMap<MountName, Numbers>> {
        let past = self.past.iter();
        let mut numbers: HashMap<MountName, Numbers> = past
            .map(|(mount, classes)| {
                let (unique, classes) = (0, *classes);
                (mount.clone(), Numbers { unique, classes })
            })
            .collect();
        let mut seen = HashSet::new();
        let mut gone_on = HashSet::new();
        for session in sessions.iter().filter(|session| !session.publisher) {
            let key = self.key(&session.mount, session.peer.ip(), &session.user_agent);
            let probe = self.probes.get(&key);
            let goes_on =
                probe.is_some_and(|probe| probe.goes_on(session.since)) && gone_on.insert(key);
            let of_mount = numbers.entry(session.mount.clone()).or_default();
            of_mount.unique += u32::from(seen.insert(key));
            if let Some(tally) = of_mount.classes.get_mut(class_of(&session.user_agent)) {
                tally.listeners += 1;
                tally.visits += u64::from(!goes_on);
                tally.listened = tally.listened.saturating_add(now.since(session.since));
            }
        }
        let numbers = Arc::new(numbers);
        self.taken = Some((now, Arc::clone(&numbers)));
        numbers
    }

    fn key(&self, mount: &MountName, ip: IpAddr, user_agent: &str) -> u64 {
        self.hasher
            .hash_one((mount.as_str(), ip.to_canonical(), user_agent))
    }

    fn keep(&mut self, key: u64, probe: Probe) {
        match self.probes.entry(key) {
            Entry::Occupied(mut kept) => {
                kept.insert(probe);
                return;
            }
            Entry::Vacant(free) => {
                free.insert(probe);
            }
        }
        self.order.push_back(key);
        while self.order.len() > PROBES_MAX {
            let oldest = self.order.pop_front();
            oldest.and_then(|key| self.probes.remove(&key));
        }
    }
}

/// Whether a line of the access log is a listener's.
pub(crate) fn is_listener(record: &AccessRecord) -> bool {
    record.mount.is_some() && record.status == 200 && record.request.starts_with("GET ")
}
