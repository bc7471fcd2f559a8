//! What happens on the node, as server-sent events for whoever watches.
//!
//! Events have numbers that go on growing over restarts. The last [`EVENTS_KEPT`] are kept, so
//! that a watcher that was away gets what it missed; one that does not keep up is let go.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use corecast_config::shown_ip;
use corecast_mesh::message::Event;
use futures_util::Stream;
use futures_util::stream::unfold;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};

use crate::audience::agent::{CLASSES, class_of};
use crate::audience::is_listener;
use crate::clock;
use crate::probe::ControlProbe;

/// Events that are kept for those who were away, and that a watcher may be behind.
pub(crate) const EVENTS_KEPT: usize = 1_024;

/// Watchers at a time.
pub(crate) const WATCHERS_MAX: usize = 64;

/// How often a silent feed says that it is there.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Bytes that go out together where many events wait.
const GATHER_BYTES_MAX: usize = 32 * 1_024;

/// What a watcher hears first: how soon to come back.
const GREETING: &[u8] = b"retry: 2000\n\n";

/// Said where events are gone that a watcher had not heard.
const LOST: &[u8] = b"event: lost\ndata: {}\n\n";

#[derive(Clone, Debug)]
struct Entry {
    id: u64,
    /// As it goes out.
    text: Bytes,
}

#[derive(Debug)]
struct Inner {
    next: u64,
    kept: VecDeque<Entry>,
    /// Nothing once the feed has ended.
    sender: Option<broadcast::Sender<Entry>>,
}

/// The feed. Lives on: the control plane.
#[derive(Debug)]
pub(crate) struct Feed {
    inner: Mutex<Inner>,
    seats: Arc<Semaphore>,
    heartbeat: Duration,
    probe: Arc<ControlProbe>,
}

impl Feed {
    /// A feed whose numbers go on from any that began before `started`.
    pub(crate) fn new(started: SystemTime, probe: Arc<ControlProbe>) -> Self {
        let since = started
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let inner = Inner {
            next: u64::try_from(since.as_micros()).unwrap_or_default(),
            kept: VecDeque::new(),
            sender: Some(broadcast::Sender::new(EVENTS_KEPT)),
        };
        Feed {
            inner: Mutex::new(inner),
            seats: Arc::new(Semaphore::new(WATCHERS_MAX)),
            heartbeat: HEARTBEAT,
            probe,
        }
    }

    /// Tells what a shard reported, where the feed has a word for it.
    pub(crate) fn handle_event(&self, event: &Event, redact: bool, now: SystemTime) {
        let ip = |peer: std::net::SocketAddr| shown_ip(peer.ip(), redact).to_string();
        match event {
            Event::SourceStarted {
                mount,
                session,
                info,
            } => {
                let about = json!({
                    "mount": mount.as_str(),
                    "session": session.to_string(),
                    "content_type": &*info.content_type,
                    "address": info.address.map(ip),
                });
                self.tell("source_started", about, now);
            }
            Event::SourceEnded {
                mount,
                session,
                reason,
            } => {
                let about = json!({
                    "mount": mount.as_str(),
                    "session": session.to_string(),
                    "reason": reason.name(),
                });
                self.tell("source_ended", about, now);
            }
            Event::ListenerStarted {
                mount,
                session,
                peer,
                user_agent,
            } => {
                let about = json!({
                    "mount": mount.as_str(),
                    "session": session.to_string(),
                    "address": ip(*peer),
                    "user_agent": &**user_agent,
                    "agent": agent(user_agent),
                });
                self.tell("listener_started", about, now);
            }
            Event::Metadata { mount, metadata } => {
                let about = json!({
                    "mount": mount.as_str(),
                    "title": &*metadata.title,
                    "artist": metadata.artist.as_deref(),
                    "song": metadata.song.as_deref(),
                });
                self.tell("title", about, now);
            }
            Event::Access(record) if is_listener(record) => {
                let about = json!({
                    "mount": record.mount.as_ref().map(|mount| mount.as_str()),
                    "session": record.session.to_string(),
                    "address": ip(record.peer),
                    "user_agent": &*record.user_agent,
                    "agent": agent(&record.user_agent),
                    "seconds": record.duration.as_secs(),
                    "bytes": record.bytes,
                    "reason": record.reason.name(),
                });
                self.tell("listener_ended", about, now);
            }
            Event::Access(_) => {}
        }
    }

    /// New settings hold.
    pub(crate) fn handle_reload(&self, now: SystemTime) {
        self.tell("reloaded", json!({}), now);
    }

    /// Ends the feed: every watcher's answer is complete.
    pub(crate) fn close(&self) {
        self.inner().sender = None;
    }

    fn tell(&self, name: &str, mut about: Value, now: SystemTime) {
        about["at"] = Value::String(clock::rfc3339(now));
        let mut inner = self.inner();
        let id = inner.next;
        inner.next += 1;
        // JSON has no line breaks of its own.
        let text = Bytes::from(format!("id: {id}\nevent: {name}\ndata: {about}\n\n"));
        let entry = Entry { id, text };
        if inner.kept.len() == EVENTS_KEPT {
            inner.kept.pop_front();
        }
        inner.kept.push_back(entry.clone());
        if let Some(sender) = &inner.sender {
            // Nobody may be watching.
            let _ = sender.send(entry);
        }
        self.probe.feed_events.add(1);
    }

    /// The feed for one more watcher: what came after `last`, then what comes. Nothing where
    /// there are too many already, or the feed has ended.
    pub(crate) fn watch(
        &self,
        last: Option<u64>,
    ) -> Option<impl Stream<Item = Result<Bytes, Infallible>> + Send + use<>> {
        let seat = Arc::clone(&self.seats).try_acquire_owned().ok()?;
        let inner = self.inner();
        let events = inner.sender.as_ref()?.subscribe();
        let mut first = BytesMut::from(GREETING);
        if let Some(last) = last {
            let oldest = inner.kept.front().map_or(inner.next, |entry| entry.id);
            if last.saturating_add(1) < oldest {
                first.extend_from_slice(LOST);
            }
            let missed = inner.kept.iter().filter(|entry| entry.id > last);
            missed.for_each(|entry| first.extend_from_slice(&entry.text));
        }
        let watcher = Watcher {
            first: Some(first.freeze()),
            events,
            heartbeat: self.heartbeat,
            behind: false,
            probe: Arc::clone(&self.probe),
            _seat: seat,
        };
        Some(unfold(watcher, Watcher::next))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics half-way through an event.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The kind of a player.
fn agent(user_agent: &str) -> &'static str {
    CLASSES
        .get(class_of(user_agent))
        .copied()
        .unwrap_or_default()
}

/// One who watches.
struct Watcher {
    first: Option<Bytes>,
    events: broadcast::Receiver<Entry>,
    heartbeat: Duration,
    /// It lost events: what was gathered before is its last.
    behind: bool,
    probe: Arc<ControlProbe>,
    _seat: OwnedSemaphorePermit,
}

impl Watcher {
    /// The next bytes for it.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if let Some(first) = self.first.take() {
            return Some((Ok(first), self));
        }
        if self.behind {
            return self.let_go();
        }
        let waited = tokio::time::timeout(self.heartbeat, self.events.recv()).await;
        let chunk = match waited {
            Err(_) => Bytes::from_static(b": here\n\n"),
            Ok(Ok(entry)) => self.gather(entry.text),
            Ok(Err(RecvError::Lagged(_))) => return self.let_go(),
            Ok(Err(RecvError::Closed)) => return None,
        };
        Some((Ok(chunk), self))
    }

    /// `text` and what else waits already.
    fn gather(&mut self, text: Bytes) -> Bytes {
        let mut gathered = BytesMut::from(text);
        while gathered.len() < GATHER_BYTES_MAX {
            match self.events.try_recv() {
                Ok(entry) => gathered.extend_from_slice(&entry.text),
                Err(TryRecvError::Lagged(_)) => {
                    self.behind = true;
                    break;
                }
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        gathered.freeze()
    }

    /// It did not keep up; it may come back with the last number that it heard.
    fn let_go<T>(self) -> Option<T> {
        self.probe.feed_slow.add(1);
        None
    }
}
