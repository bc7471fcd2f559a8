//! Tasks that wait for an answer, by their session.

use std::cell::RefCell;

use corecast_media::name::SessionId;
use futures_channel::oneshot;
use rustc_hash::FxHashMap;

/// Tasks of one shard that each wait for a `T`. Lives on: its shard.
#[derive(Debug)]
pub(crate) struct Waiting<T>(RefCell<FxHashMap<SessionId, oneshot::Sender<T>>>);

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Waiting(RefCell::default())
    }
}

impl<T> Waiting<T> {
    /// Registers a task; to be called before the question is asked.
    pub(crate) fn expect(&self, session: SessionId) -> oneshot::Receiver<T> {
        let (answer, answered) = oneshot::channel();
        self.0.borrow_mut().insert(session, answer);
        answered
    }

    /// Forgets a task that waits no longer.
    pub(crate) fn forget(&self, session: SessionId) {
        self.0.borrow_mut().remove(&session);
    }

    /// Hands the answer over, if the task still waits.
    pub(crate) fn answer(&self, session: SessionId, answer: T) {
        let waiting = self.0.borrow_mut().remove(&session);
        if let Some(waiting) = waiting {
            let _ = waiting.send(answer);
        }
    }
}
