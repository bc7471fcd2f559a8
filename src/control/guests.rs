//! Listeners with a name and a password: who is in a mount's file of users (`listener_htpasswd`).
//!
//! To check a password takes long on purpose, so that happens on a thread of its own, a few at
//! once, and whoever waits longer for that than `hook_timeout` is refused.

use std::path::Path;
use std::sync::Arc;

use corecast_media::name::SessionId;
use corecast_mesh::message::{FromControl, Question, Verdict};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::node::{Node, Order};
use crate::users;

/// Passwords that are checked at once.
const CHECKS_AT_ONCE: usize = 2;

/// What a refused listener is told.
const DENIED: &str = "this mount is for listeners with a name and the right password";

/// What one is told where the file cannot be read.
const UNREADABLE: &str = "the station cannot say now who may listen";

/// What one is told whose turn does not come in time.
const CROWDED: &str = "too many want to come in now";

/// The doorkeeper. Lives on: the control plane.
pub(crate) struct Guests {
    node: Arc<Node>,
    checks: Arc<Semaphore>,
}

impl Guests {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Guests {
            node,
            checks: Arc::new(Semaphore::new(CHECKS_AT_ONCE)),
        }
    }

    /// Looks whether the peer is in its mount's file. A question where that has no say comes back
    /// at once, one about a known listener as [`Order::Welcome`]; the others are answered.
    pub(crate) fn handle_question(&self, question: Question) -> Option<Question> {
        let config = self.node.config();
        let settings = config.mount(question.mount.as_str());
        let (path, patience) = (&settings.listener_htpasswd, settings.hook_timeout);
        if question.publisher || path.as_os_str().is_empty() {
            return Some(question);
        }
        let session = question.session;
        let Some((user, password)) = question.credentials.clone() else {
            self.answer(session, Verdict::Deny(DENIED.into()));
            return None;
        };
        let (path, checks) = (path.clone(), Arc::clone(&self.checks));
        let guests = Guests {
            node: Arc::clone(&self.node),
            checks: Arc::clone(&checks),
        };
        tokio::spawn(async move {
            let Ok(_turn) = timeout(patience, checks.acquire_owned()).await else {
                // Nobody waits for it any longer; those behind it would too.
                return guests.answer(session, Verdict::Unsaid(CROWDED.into()));
            };
            let known = tokio::task::spawn_blocking(move || {
                read(&path).map(|users| users::may_enter(&users, &user, &password))
            });
            match known.await.unwrap_or_default() {
                Some(true) => guests.node.order(Order::Welcome(Box::new(question))),
                Some(false) => guests.answer(session, Verdict::Deny(DENIED.into())),
                None => guests.answer(session, Verdict::Unsaid(UNREADABLE.into())),
            }
        });
        None
    }

    fn answer(&self, session: SessionId, verdict: Verdict) {
        let message = FromControl::Verdict { session, verdict };
        self.node.send(session.shard(), message);
    }
}

fn read(path: &Path) -> Option<String> {
    match users::read(path) {
        Ok(text) => Some(text),
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "cannot read the file of listeners");
            None
        }
    }
}
