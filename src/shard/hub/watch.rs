//! Mounts that are watched as HLS by requests to this shard.
//!
//! Each is an [`Origin`] fed by the mount's home. A request that has to wait is an entry in a
//! list; [`HubEvent::AskAgain`] tells its task when to ask once more.

use std::time::Duration;

use corecast_media::fanout::Socket;
use corecast_media::name::{MountName, SessionId};
use corecast_media::time::Time;
use corecast_mesh::message::{HlsMessage, JoinRefusal};
use corecast_protocol::hls::{
    Answer, Origin, Released, RenditionId, Request, Step, WaitKey, WaiterId, Waiters,
};

use super::viewers::{Asker, Viewers};
use super::{Hub, HubEvent, Timer};

/// How long a mount that nobody asks for is still watched.
const LINGER: Duration = Duration::from_secs(30);

/// How long a refusal by the home stands for others who ask.
const REFUSAL_LINGER: Duration = Duration::from_secs(1);

/// How long the home may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// What somebody waits for before anything is known of a mount.
const FIRST_STEP: WaitKey = WaitKey {
    rendition: None,
    msn: 0,
    part: 0,
};

/// What [`Hub::watch`] says.
#[derive(Clone, Debug)]
pub enum Watched {
    /// The answer, anything but [`Answer::Wait`].
    Answer(Answer),
    /// There is no such stream, or not now.
    Refused(JoinRefusal),
    /// [`HubEvent::AskAgain`] comes; to be given up by [`Hub::stop_waiting`] otherwise.
    Wait(WaiterId),
}

/// What the home said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Asked,
    Granted,
    Refused(JoinRefusal),
}

/// One mount.
#[derive(Debug)]
pub(super) struct Watch {
    name: MountName,
    standing: Standing,
    origin: Origin,
    waiters: Waiters<SessionId>,
    /// When somebody asked last, or when the home refused.
    touched: Time,
    viewers: Viewers,
    /// Bytes sent to those who watch.
    sent: u64,
    armed: Option<Time>,
}

impl Watch {
    fn new(name: MountName, now: Time) -> Self {
        Watch {
            name,
            standing: Standing::Asked,
            origin: Origin::new(),
            waiters: Waiters::new(),
            touched: now,
            viewers: Viewers::new(now),
            sent: 0,
            armed: None,
        }
    }

    /// How many requests wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiters.len()
    }

    fn linger(&self) -> Duration {
        match self.standing {
            Standing::Refused(_) => REFUSAL_LINGER,
            Standing::Asked | Standing::Granted => LINGER,
        }
    }
}

impl<S: Socket> Hub<S> {
    /// Answers a request for `mount` as HLS, or says that `session` has to wait. `asker` is who
    /// asks, where that counts as watching.
    pub fn watch(
        &mut self,
        now: Time,
        session: SessionId,
        mount: &MountName,
        request: &Request<'_>,
        asker: Option<Asker<'_>>,
    ) -> Watched {
        let key = match self.watch_of.get(mount) {
            Some(key) => *key,
            None => self.start_watch(now, mount),
        };
        self.settle(now);
        let Some(watch) = self.watches.get_mut(key) else {
            return Watched::Refused(JoinRefusal::NoSource);
        };
        let (wait, until) = match watch.standing {
            Standing::Refused(refusal) => return Watched::Refused(refusal),
            Standing::Asked if now.since(request.arrived) >= ANSWER_MAX => {
                return Watched::Answer(Answer::Unavailable);
            }
            Standing::Asked => (FIRST_STEP, request.arrived + ANSWER_MAX),
            Standing::Granted => {
                watch.touched = now;
                let news = asker.is_some_and(|asker| watch.viewers.note(now, &asker));
                let answer = watch.origin.request(now, request);
                if news {
                    self.tend_watch(now, key);
                }
                match answer {
                    Answer::Wait { key, until } => (key, until),
                    answer => return Watched::Answer(answer),
                }
            }
        };
        if self.draining {
            return Watched::Refused(JoinRefusal::Draining);
        }
        let waiter = self.watches[key].waiters.push(wait, until, session);
        self.counts.hls_blocked += 1;
        self.counts.hls_waiting += 1;
        self.tend_watch(now, key);
        Watched::Wait(waiter)
    }

    /// A player of `mount` was sent `bytes` of it. Not counted where nobody asked for so long that
    /// the mount is watched no more.
    pub fn note_sent(&mut self, now: Time, mount: &MountName, player: u64, bytes: u64) {
        let Some(&key) = self.watch_of.get(mount) else {
            return;
        };
        let watch = &mut self.watches[key];
        watch.sent = watch.sent.saturating_add(bytes);
        if watch.viewers.note_sent(player, bytes) {
            self.tend_watch(now, key);
        }
    }

    /// What the part will be called that comes next to a playlist of `mount`.
    pub fn next_part(&self, mount: &MountName, rendition: RenditionId) -> Option<String> {
        let watch = self.watches.get(*self.watch_of.get(mount)?)?;
        watch.origin.next_part(rendition)
    }

    /// Who waited does so no longer.
    pub fn stop_waiting(&mut self, mount: &MountName, waiter: WaiterId) {
        let key = self.watch_of.get(mount);
        if let Some(watch) = key.and_then(|key| self.watches.get_mut(*key)) {
            let left = watch.waiters.remove(waiter).is_some();
            self.counts.hls_waiting -= u64::from(left);
        }
    }

    fn start_watch(&mut self, now: Time, mount: &MountName) -> usize {
        let key = self.watches.insert(Watch::new(mount.clone(), now));
        self.watch_of.insert(mount.clone(), key);
        let home = self.topology.home(mount);
        self.send_hls(home, mount, HlsMessage::Watch);
        key
    }

    pub(super) fn handle_watch_answer(
        &mut self,
        now: Time,
        mount: &MountName,
        answer: Result<(), JoinRefusal>,
    ) {
        let Some(&key) = self.watch_of.get(mount) else {
            // It was let go of before it was answered.
            if answer.is_ok() {
                let home = self.topology.home(mount);
                self.send_hls(home, mount, HlsMessage::Unwatch { bytes_sent: 0 });
            }
            return;
        };
        let watch = &mut self.watches[key];
        watch.touched = now;
        watch.standing = match answer {
            Ok(()) => Standing::Granted,
            Err(refusal) => Standing::Refused(refusal),
        };
        self.ask_again(key, Released::All);
        self.tend_watch(now, key);
    }

    pub(super) fn handle_step(&mut self, now: Time, mount: &MountName, step: &Step) {
        let Some(&key) = self.watch_of.get(mount) else {
            return;
        };
        let released = self.watches[key].origin.apply(step);
        self.ask_again(key, released);
        self.tend_watch(now, key);
    }

    /// Nobody waits any longer for what may not come: who asks again is told so.
    pub(super) fn drain_watches(&mut self, now: Time) {
        let keys: Vec<usize> = self.watches.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.ask_again(key, Released::All);
            let watch = &mut self.watches[key];
            let report = watch.viewers.flush(now, &watch.name);
            self.events.extend(report.map(HubEvent::Viewers));
        }
    }

    fn ask_again(&mut self, key: usize, released: Released) {
        for session in self.watches[key].waiters.release(released) {
            self.counts.hls_waiting -= 1;
            self.events.push_back(HubEvent::AskAgain { session });
        }
    }

    /// Tells those whose time is over, and lets go of a mount that nobody asks for.
    pub(super) fn run_watch(&mut self, now: Time, key: usize, at: Time) {
        let Some(watch) = self.watches.get_mut(key) else {
            return;
        };
        if watch.armed == Some(at) {
            watch.armed = None;
        }
        for session in watch.waiters.expire(now) {
            self.counts.hls_waiting -= 1;
            self.events.push_back(HubEvent::AskAgain { session });
        }
        let idle = watch.waiters.is_empty() && now.since(watch.touched) >= watch.linger();
        let report = match idle {
            true => watch.viewers.flush(now, &watch.name),
            false => watch.viewers.handle_timeout(now, &watch.name),
        };
        self.events.extend(report.map(HubEvent::Viewers));
        if idle {
            let watch = self.watches.remove(key);
            self.watch_of.remove(&watch.name);
            // Of one that was refused meanwhile the home keeps the count.
            if watch.standing == Standing::Granted || watch.sent > 0 {
                let home = self.topology.home(&watch.name);
                let bytes_sent = watch.sent;
                self.send_hls(home, &watch.name, HlsMessage::Unwatch { bytes_sent });
            }
            return;
        }
        self.tend_watch(now, key);
    }

    fn tend_watch(&mut self, now: Time, key: usize) {
        let Some(watch) = self.watches.get_mut(key) else {
            return;
        };
        let mut idle = watch.touched + watch.linger();
        if idle <= now {
            // Somebody waits still.
            idle = now + watch.linger();
        }
        let own = [watch.waiters.poll_timeout(), watch.viewers.poll_timeout()];
        let due = own.into_iter().flatten().chain([idle]).min();
        // Rearmed only where it must be earlier: waiters come and go all the time.
        if watch
            .armed
            .is_none_or(|armed| due.is_some_and(|due| due < armed))
        {
            self.timers.arm(Timer::Watch(key), &mut watch.armed, due);
        }
    }

    /// Bytes sent to those who watch each mount here.
    pub(super) fn sent_to_watchers(&self) -> impl Iterator<Item = (MountName, u64)> {
        let all = self.watches.iter();
        all.map(|(_, watch)| (watch.name.to_base(), watch.sent))
    }

    /// Who watches what here.
    pub(super) fn viewers(&self, now: Time) -> Vec<(MountName, Vec<u64>)> {
        let of = |watch: &Watch| (watch.name.clone(), watch.viewers.present(now));
        self.watches.iter().map(|(_, watch)| of(watch)).collect()
    }
}
