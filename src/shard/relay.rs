//! Relays: mounts that are fed by other servers' streams. A relay runs on its mount's home shard,
//! one task each, and is a source like any other.
//!
//! Reading order: this file (which relays run), [`attempt`] (one try, from the connection to the
//! stream's end), [`turns`] (which URL is next, and when).

mod attempt;
pub(crate) mod turns;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use corecast_config::Relay;
use corecast_media::name::MountName;
use corecast_media::time::Time;
use corecast_mesh::message::{RelayReport, RelayState};

use self::attempt::Attempt;
use self::turns::Turns;
use crate::driver::Shard;
use crate::task::{First, Signal, first, isolated};

/// How often a relay on demand looks whether somebody still listens.
const LOOK: Duration = Duration::from_millis(500);

/// One of so many places for sources is left to others than relays of a master's list.
const OTHERS_PART: u32 = 10;

/// The time between the first tries of two relays of a master's list, about.
const EACH: Duration = Duration::from_millis(5);

/// How long a relay rests that panicked.
const PANIC_PAUSE: Duration = Duration::from_secs(1);

/// The relays of a shard. Lives on: its shard.
#[derive(Debug, Default)]
pub(crate) struct Relays {
    desks: RefCell<BTreeMap<MountName, Rc<Desk>>>,
    changed: Signal,
}

impl Relays {
    /// The settings are others now.
    pub(crate) fn handle_reload(&self) {
        self.changed.set();
    }

    /// Somebody wants to hear `mount`.
    pub(crate) fn want(&self, mount: &MountName) {
        if let Some(desk) = self.desks.borrow().get(mount) {
            desk.wanted.set();
        }
    }

    /// What each relay does, by mount.
    pub(crate) fn reports(&self) -> Vec<RelayReport> {
        let desks = self.desks.borrow();
        desks
            .values()
            .map(|desk| desk.report.borrow().clone())
            .collect()
    }
}

/// One relay that runs.
#[derive(Debug)]
struct Desk {
    settings: Relay,
    /// A master's list has it, not the settings: it gives way to any other source.
    listed: bool,
    mount: MountName,
    stop: Signal,
    wanted: Signal,
    report: RefCell<RelayReport>,
}

impl Desk {
    fn new(settings: Relay, listed: bool, mount: MountName, now: Time) -> Self {
        let report = RelayReport {
            mount: mount.clone(),
            state: RelayState::Idle,
            since: now,
            url: Arc::from(""),
            error: Arc::from(""),
        };
        Desk {
            settings,
            listed,
            mount,
            stop: Signal::default(),
            wanted: Signal::default(),
            report: RefCell::new(report),
        }
    }

    /// Waits, for this reason; since when it does so stays.
    fn rest(&self, now: Time, why: &str) {
        let resting = {
            let report = self.report.borrow();
            report.state == RelayState::Waiting && *report.error == *why
        };
        if !resting {
            self.report.borrow_mut().error = Arc::from(why);
            self.enter(now, RelayState::Waiting);
        }
    }

    fn enter(&self, now: Time, state: RelayState) {
        let mut report = self.report.borrow_mut();
        report.state = state;
        report.since = now;
    }
}

/// Keeps those relays running for ever that the settings name and whose mounts live here.
pub(crate) async fn run(shard: &Rc<Shard>) {
    loop {
        follow_settings(shard);
        shard.relays.changed.wait().await;
    }
}

/// Ends relays that are gone or other than before, and starts those that are new.
fn follow_settings(shard: &Rc<Shard>) {
    let config = shard.config();
    let configured = config.relays.iter().map(|relay| (relay, false));
    let listed = config.relays_listed.iter().map(|relay| (relay, true));
    // What is configured comes last and so wins.
    let wanted: BTreeMap<&str, (&Relay, bool)> = listed
        .chain(configured)
        .map(|(relay, listed)| (relay.mount.as_str(), (relay, listed)))
        .collect();
    let mut desks = shard.relays.desks.borrow_mut();
    desks.retain(|mount, desk| {
        let stays = wanted.get(mount.as_str()) == Some(&(&desk.settings, desk.listed));
        if !stays {
            desk.stop.set();
        }
        stays
    });
    for (mount, (settings, listed)) in wanted {
        let Ok(mount) = MountName::parse(mount) else {
            continue;
        };
        let is_home = shard.look(|hub| hub.is_home_of(&mount));
        if is_home && !desks.contains_key(&mount) {
            let desk = Desk::new(settings.clone(), listed, mount.clone(), shard.now());
            let desk = Rc::new(desk);
            desks.insert(mount, Rc::clone(&desk));
            let task = supervise(Rc::clone(shard), desk);
            shard.tasks.spawn(task);
        }
    }
}

/// Runs one relay until it is told to stop; a panic in it is counted, and it starts again.
async fn supervise(shard: Rc<Shard>, desk: Rc<Desk>) {
    loop {
        let work = isolated(Box::pin(relay(&shard, &desk)));
        match first(desk.stop.wait(), work).await {
            First::Left(()) | First::Right(Ok(())) => return,
            First::Right(Err(panic)) => {
                shard.probe.panics.add(1);
                tracing::error!(mount = %desk.mount, panic, "a relay panicked and starts again");
                monoio::time::sleep(PANIC_PAUSE).await;
            }
        }
    }
}

/// Takes the stream again and again, until the node drains.
async fn relay(shard: &Rc<Shard>, desk: &Desk) {
    let urls = desk.settings.urls();
    let seed = RandomState::new().hash_one(desk.mount.as_str());
    let settings = &desk.settings;
    let mut turns = Turns::new(urls.len(), settings.retry_min, settings.retry_max, seed);
    if desk.listed && !settings.on_demand {
        monoio::time::sleep(stagger(shard.config().relays_listed.len(), seed)).await;
    }
    while !shard.is_draining() {
        if settings.on_demand && demand(shard, desk) == 0 {
            turns.reset();
            desk.enter(shard.now(), RelayState::Idle);
            desk.wanted.wait().await;
            continue;
        }
        if let Some(why) = held_back(shard, desk) {
            desk.rest(shard.now(), why);
            monoio::time::sleep(LOOK).await;
            continue;
        }
        let Some(url) = urls.get(turns.next()) else {
            return;
        };
        desk.report.borrow_mut().url = Arc::from(url.to_string());
        desk.enter(shard.now(), RelayState::Connecting);
        let attempt = Attempt::new(shard, desk);
        let outcome = match first(unwanted(shard, desk), attempt.run(url)).await {
            First::Left(()) => continue,
            First::Right(outcome) => outcome,
        };
        let wait = match outcome.live {
            Some(lasted) => turns.lose(lasted),
            None => turns.fail(),
        };
        let (mount, error) = (&desk.mount, &outcome.error);
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(%mount, %url, error, wait_ms, "relay has no stream");
        desk.report.borrow_mut().error = Arc::from(error.as_str());
        desk.enter(shard.now(), RelayState::Waiting);
        monoio::time::sleep(wait).await;
    }
}

/// Why a relay of a master's list does not even ask for its stream now.
fn held_back(shard: &Shard, desk: &Desk) -> Option<&'static str> {
    if !desk.listed {
        None
    } else if shard.look(|hub| hub.is_live(&desk.mount)) {
        Some("the mount has a source of its own")
    } else {
        crowded_out(shard, desk)
    }
}

/// Why a relay of a master's list gets no place among the sources: a long list must leave some for
/// those who come here themselves.
fn crowded_out(shard: &Shard, desk: &Desk) -> Option<&'static str> {
    let sources = &shard.seats.sources;
    let left_to_others = sources.max().div_ceil(OTHERS_PART);
    let full = sources.taken() >= sources.max().saturating_sub(left_to_others);
    (desk.listed && full).then_some("the other places are left to sources that come themselves")
}

/// How long one of `relays` to a master waits at first, so that a long list is no storm.
fn stagger(relays: usize, seed: u64) -> Duration {
    let span = EACH.saturating_mul(u32::try_from(relays).unwrap_or(u32::MAX));
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(seed % millis.max(1))
}

fn demand(shard: &Shard, desk: &Desk) -> u32 {
    shard.look(|hub| hub.demand(&desk.mount))
}

/// Returns when a relay on demand has had no listener for as long as it lingers.
async fn unwanted(shard: &Shard, desk: &Desk) {
    if !desk.settings.on_demand {
        return std::future::pending().await;
    }
    let mut last_wanted = shard.now();
    while shard.now().since(last_wanted) <= desk.settings.linger {
        monoio::time::sleep(LOOK).await;
        if demand(shard, desk) > 0 {
            last_wanted = shard.now();
        }
    }
}
