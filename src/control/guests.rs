//! Listeners with a name and a password: who is in a mount's file of users (`listener_htpasswd`).
//!
//! To check a password takes long on purpose, so that happens on a thread of its own, a few at
//! once, and whoever waits longer than its shard waits is refused there.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use corecast_media::name::SessionId;
use corecast_mesh::message::{FromControl, Question, Verdict};
use md5::{Digest, Md5};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use crate::node::{Node, Order};

/// Passwords that are checked at once.
const CHECKS_AT_ONCE: usize = 2;

/// The longest file of users.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The greatest cost of a bcrypt hash: about a second of a CPU.
const COST_MAX: u32 = 14;

/// What a refused listener is told.
const DENIED: &str = "this mount is for listeners with a name and the right password";

/// What one is told where the file cannot be read.
const UNREADABLE: &str = "the station cannot say now who may listen";

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
        let path = &config.mount(question.mount.as_str()).listener_htpasswd;
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
            let _turn = checks.acquire_owned().await;
            let known = tokio::task::spawn_blocking(move || {
                read(&path).map(|users| may_enter(&users, &user, &password))
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
    let mut text = String::new();
    let read =
        File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
    match read {
        Ok(_) => Some(text),
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "cannot read the file of listeners");
            None
        }
    }
}

/// Whether the file has `user` with this password. The first line of a name counts.
fn may_enter(users: &str, user: &str, password: &str) -> bool {
    let mut lines = users
        .lines()
        .filter_map(|line| line.trim_end().split_once(':'));
    let found = lines.find(|(name, _)| *name == user && !name.is_empty());
    found.is_some_and(|(_, hash)| fits(hash, password))
}

fn fits(hash: &str, password: &str) -> bool {
    if hash.starts_with("$2") {
        let cost = hash.split('$').nth(2).and_then(|cost| cost.parse().ok());
        let bearable = cost.is_some_and(|cost: u32| cost <= COST_MAX);
        return bearable && bcrypt::verify(password, hash).unwrap_or(false);
    }
    let digest = Md5::digest(password.as_bytes());
    let written: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let said = hash.to_ascii_lowercase();
    bool::from(said.as_bytes().ct_eq(written.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_enter_by_bcrypt_or_icecasts_md5() {
        let bcrypt = bcrypt::hash("gr\u{fc}n", 4).expect("a good cost");
        let users = format!(
            "ada:{bcrypt}\r\nbob:5EBE2294ECD0E0F08EAB7690D2A6EE69\n# a comment\nbob:{bcrypt}\n\
             slow:$2y$31$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyzabcde\nplain:open\n:x\n"
        );
        for (user, password, expected) in [
            ("ada", "gr\u{fc}n", true),
            ("ada", "grun", false),
            ("bob", "secret", true),
            ("bob", "Secret", false),
            ("bob", "gr\u{fc}n", false),
            ("slow", "x", false),
            ("plain", "open", false),
            ("eve", "", false),
            ("", "x", false),
        ] {
            assert_eq!(
                may_enter(&users, user, password),
                expected,
                "{user} {password}"
            );
        }
    }
}
