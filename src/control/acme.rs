//! Certificates by ACME (RFC 8555): asked for where there is none, and again before they expire.
//!
//! One task does it all, one order at a time. What it gets it writes into the state directory,
//! where `certificates` finds it as it finds any other file that changed: so a failed order takes
//! nothing away, a restart asks nobody, and new certificates come into force in one way only.
//!
//! Reading order: this file (what is wanted, and when), [`schedule`] (times), [`order`] (one
//! order), [`client`] (its requests), [`store`] (its files). What authorities ask for by HTTP is
//! answered by control's router ([`answer`]), whatever port and version of HTTP it came by; what
//! they ask for by TLS is a certificate among the others, as long as an order runs.

mod client;
mod order;
mod schedule;
pub(crate) mod store;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::extract::{Path as PathParts, State};
use axum::response::{IntoResponse, Response};
use corecast_config::{Acme as Settings, Config, ListenProtocol};
use corecast_tls::Identity;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use instant_acme::CertificateIdentifier;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::node::{Node, Order};
use crate::problem::Problem;
use order::{Desk, Failure, Wanted, Way, unblocked};
use store::Store;

/// The longest sleep: the wall's clock may jump.
const SLEEP_MAX: Duration = Duration::from_secs(10 * 60);

/// How often an authority is asked when it wants a certificate renewed, where it does not say.
const SUGGESTIONS_EVERY: Duration = Duration::from_secs(6 * 3_600);

/// How long asking about renewals may hold up orders; who is left over is asked about next time.
const SUGGESTIONS_MAX: Duration = Duration::from_secs(60);

/// How long a certificate that the disk did not take waits until it is tried again.
const KEEP_AGAIN: Duration = Duration::from_secs(60);

/// What came of the last order of a certificate.
#[derive(Clone, Debug)]
pub(crate) struct AcmeState {
    /// The authority's directory.
    pub(crate) directory_url: String,
    /// When the last order ended; none where there was none since the start.
    pub(crate) asked_at: Option<SystemTime>,
    /// Why that brought none; empty where it brought one.
    pub(crate) error: String,
    /// When the next order is due.
    pub(crate) next_at: SystemTime,
}

/// `GET /.well-known/acme-challenge/{token}` (RFC 8555 section 8.3)
pub(crate) async fn answer(
    State(node): State<Arc<Node>>,
    PathParts(token): PathParts<String>,
) -> Response {
    let answer = node.challenges().get(&token).cloned();
    match answer {
        Some(answer) => {
            let headers = [
                (CONTENT_TYPE, "application/octet-stream"),
                (CACHE_CONTROL, "no-store"),
            ];
            (headers, answer).into_response()
        }
        None => Problem::not_found("no authority was given this token").into(),
    }
}

/// What the settings want of ACME.
#[derive(Clone, Debug, PartialEq)]
struct Plan {
    settings: Settings,
    /// What each certificate is called, and its names.
    certificates: Vec<(String, Vec<String>)>,
    /// Whether there are acceptors of `http` and of `https`.
    acceptors: (bool, bool),
}

impl Plan {
    /// None where nothing is wanted, or no acceptor needs a certificate.
    fn of(config: &Config) -> Option<Self> {
        let all = config.all_certificates().into_iter();
        let certificates: Vec<_> = all
            .filter(|one| one.is_by_acme())
            .map(|one| (one.name, one.acme_names))
            .collect();
        let has = |protocol| config.listen.iter().any(|one| one.protocol == protocol);
        let plan = Plan {
            settings: config.acme.clone(),
            certificates,
            acceptors: (has(ListenProtocol::Http), has(ListenProtocol::Https)),
        };
        let wanted = !plan.certificates.is_empty() && config.needs_tls();
        (wanted && plan.settings.agree_to_terms).then_some(plan)
    }
}

/// The task, while certificates are wanted. Lives on: the control plane.
pub(crate) struct Acme {
    node: Arc<Node>,
    state_dir: Option<PathBuf>,
    running: Option<Running>,
}

struct Running {
    plan: Plan,
    nudge: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Acme {
    pub(crate) fn new(node: Arc<Node>, state_dir: Option<PathBuf>) -> Self {
        let config = node.config();
        let mut acme = Acme {
            node,
            state_dir,
            running: None,
        };
        acme.handle_reload(&config);
        acme
    }

    /// Does what the settings want from now on. Where they want the same, what failed is tried
    /// again at once, unless the authority asked to be left alone.
    pub(crate) fn handle_reload(&mut self, config: &Config) {
        let plan = Plan::of(config).zip(self.state_dir.clone());
        let Some((plan, state_dir)) = plan else {
            self.stop();
            return;
        };
        if let Some(running) = self.running.as_ref().filter(|it| it.plan == plan) {
            running.nudge.notify_one();
            return;
        }
        // First, so that what it showed to the authority is taken back before others show theirs.
        self.stop();
        let nudge = Arc::new(Notify::new());
        let renewer = Renewer::new(&self.node, &state_dir, &plan, Arc::clone(&nudge));
        self.running = Some(Running {
            plan,
            nudge,
            task: tokio::spawn(renewer.run()),
        });
    }

    fn stop(&mut self) {
        self.running = None;
        self.node.acme().clear();
        self.node.probe.acme_failing.set(0);
    }
}

/// Now, by the wall's clock, which may jump, and by one that does not.
#[derive(Clone, Copy)]
struct Moment {
    wall: SystemTime,
    steady: Instant,
}

impl Moment {
    fn now() -> Self {
        Moment {
            wall: SystemTime::now(),
            steady: Instant::now(),
        }
    }
}

/// A certificate that is looked after.
struct Charge {
    called: String,
    names: Vec<String>,
    /// The one that is kept.
    identity: Option<Identity>,
    /// When that is to be renewed.
    due: SystemTime,
    /// Nothing is ordered before, whatever the wall's clock and the authority say.
    rest_until: Instant,
    /// Whether one came since the start: the next but one is never ordered at once.
    came: bool,
    failures: u32,
    /// How often a way to prove names did not do: the next order takes the other one.
    turns: u32,
    /// Until when the authority asked to be left alone.
    held_until: Option<Instant>,
    /// When it is asked again for a good time to renew, and what it said.
    suggestion_due: Instant,
    window: Option<(SystemTime, SystemTime)>,
}

impl Charge {
    fn new(called: &str, names: &[String], now: Instant) -> Self {
        Charge {
            called: called.to_owned(),
            names: names.to_vec(),
            identity: None,
            due: SystemTime::UNIX_EPOCH,
            rest_until: now,
            came: false,
            failures: 0,
            turns: 0,
            held_until: None,
            suggestion_due: now,
            window: None,
        }
    }

    /// How long it is until it is ordered.
    fn wait(&self, now: Moment) -> Duration {
        let due = self.due.duration_since(now.wall).unwrap_or_default();
        due.max(self.rest_until.saturating_duration_since(now.steady))
    }

    /// Takes over what is kept for it.
    fn on_identity(&mut self, identity: Identity, now: Instant) {
        let is_whole = self.names.iter().all(|name| identity.is_for(name));
        let (from, until) = (identity.not_before, identity.not_after);
        if is_whole {
            self.due = schedule::renewal_at(from, until, schedule::chance());
        }
        self.failures = 0;
        self.held_until = None;
        self.window = None;
        self.suggestion_due = now;
        self.identity = Some(identity);
    }

    /// Takes over what an order brought.
    fn on_order(&mut self, identity: Identity, now: Instant) {
        // A clock that is ahead, or an authority that wants all renewed always, would have one
        // order follow the other.
        let rest = schedule::rest_after(identity.not_before, identity.not_after);
        self.rest_until = if self.came { now + rest } else { now };
        self.came = true;
        self.on_identity(identity, now);
    }

    /// Notes that an order brought nothing.
    fn on_failure(&mut self, failure: &Failure, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.turns = self.turns.saturating_add(u32::from(failure.is_of_proof()));
        let wait = schedule::wait_after(self.failures, failure.asked, schedule::chance());
        self.rest_until = now + wait;
        let asked = failure
            .asked
            .map(|asked| asked.min(schedule::ASKED_WAIT_MAX));
        self.held_until = asked.map(|asked| now + asked);
    }

    /// Follows what the authority suggests. The same window twice picks no other moment.
    fn on_suggestion(&mut self, window: (SystemTime, SystemTime)) {
        let Some(identity) = &self.identity else {
            return;
        };
        if self.failures > 0 || self.window == Some(window) {
            return;
        }
        self.window = Some(window);
        let life = (identity.not_before, identity.not_after);
        self.due = schedule::suggested_at(window, life, schedule::chance());
    }

    /// Comes first again after a failure, but not before the authority wants that.
    fn on_nudge(&mut self, now: Instant) {
        if self.failures > 0 {
            self.rest_until = self.held_until.unwrap_or(now).max(now);
        }
    }

    /// What renews by RFC 9773 call the certificate that is kept.
    fn id(&self) -> Option<CertificateIdentifier<'static>> {
        let (authority, serial) = self.identity.as_ref()?.renewal_id()?;
        Some(CertificateIdentifier::new(authority.into(), serial.into()))
    }
}

/// Looks after all certificates. Lives on: the control plane.
struct Renewer {
    desk: Desk,
    acceptors: (bool, bool),
    charges: Vec<Charge>,
    nudge: Arc<Notify>,
}

impl Renewer {
    fn new(node: &Arc<Node>, state_dir: &Path, plan: &Plan, nudge: Arc<Notify>) -> Self {
        let now = Instant::now();
        let charges = plan.certificates.iter();
        Renewer {
            desk: Desk {
                node: Arc::clone(node),
                store: Store::new(state_dir, &plan.settings.directory_url),
                settings: plan.settings.clone(),
            },
            acceptors: plan.acceptors,
            charges: charges
                .map(|(called, names)| Charge::new(called, names, now))
                .collect(),
            nudge,
        }
    }

    async fn run(mut self) {
        self.read_store().await;
        loop {
            self.tell();
            let now = Moment::now();
            let due = |charge: &Charge| charge.wait(now).is_zero();
            if let Some(index) = self.charges.iter().position(due) {
                self.renew(index).await;
                continue;
            }
            self.ask_suggestions().await;
            let now = Moment::now();
            let next = self.charges.iter().map(|charge| charge.wait(now)).min();
            let next = next.unwrap_or(SLEEP_MAX).min(SLEEP_MAX);
            if timeout(next, self.nudge.notified()).await.is_ok() {
                let now = Instant::now();
                self.charges
                    .iter_mut()
                    .for_each(|charge| charge.on_nudge(now));
            }
        }
    }

    /// Takes over what an earlier run has kept.
    async fn read_store(&mut self) {
        let now = Moment::now();
        for charge in &mut self.charges {
            let (store, called) = (self.desk.store.clone(), charge.called.clone());
            let kept = unblocked(move || store.certificate(&called)).await;
            match kept.map_err(|failure| failure.text).and_then(|kept| kept) {
                // One that is not good yet is: our clock may be behind.
                Ok(Some(identity)) if !identity.remaining(now.wall).is_zero() => {
                    charge.on_identity(identity, now.steady);
                }
                Ok(Some(_)) => tracing::warn!(
                    certificate = charge.called,
                    "the certificate that is kept has expired: asking for another"
                ),
                Ok(None) => tracing::info!(
                    certificate = charge.called,
                    names = charge.names.join(" "),
                    authority = self.desk.settings.directory_url,
                    "no certificate yet: asking for one; until it comes clients get another"
                ),
                Err(fault) => tracing::warn!(fault, "a kept certificate cannot be used"),
            }
        }
    }

    /// Orders one certificate, and keeps it.
    async fn renew(&mut self, index: usize) {
        let Some(charge) = self.charges.get(index) else {
            return;
        };
        let challenge = self.desk.settings.challenge;
        let wanted = Wanted {
            called: &charge.called,
            names: &charge.names,
            way: Way::choose(challenge, self.acceptors, charge.turns),
            replaces: charge.id(),
        };
        match self.desk.obtain(&wanted).await {
            Ok(identity) => {
                self.desk.node.probe.acme_orders.of("obtained").add(1);
                let certificate = charge.called.as_str();
                tracing::info!(certificate, "a certificate came from the authority");
                self.keep(index, &identity).await;
                if let Some(charge) = self.charges.get_mut(index) {
                    charge.on_order(identity, Instant::now());
                }
                self.desk.node.order(Order::Renewed);
                self.note(index, Some(String::new()));
            }
            Err(failure) => {
                self.fail(index, &failure);
                self.desk.node.probe.acme_orders.of(failure.result).add(1);
            }
        }
    }

    /// Notes that an order brought nothing.
    fn fail(&mut self, index: usize, failure: &Failure) {
        let Some(charge) = self.charges.get_mut(index) else {
            return;
        };
        charge.on_failure(failure, Instant::now());
        tracing::warn!(
            certificate = charge.called,
            error = failure.text,
            again_in_seconds = charge.wait(Moment::now()).as_secs(),
            "no certificate came: what is in force stays"
        );
        self.note(index, Some(failure.text.clone()));
        self.tell();
    }

    /// Keeps a certificate, again and again where the disk does not take it: another order would
    /// not help, and authorities count.
    async fn keep(&mut self, index: usize, identity: &Identity) {
        loop {
            let (store, one) = (self.desk.store.clone(), identity.clone());
            let kept = unblocked(move || store.keep_certificate(&one)).await;
            let Err(fault) = kept.map_err(|failure| failure.text).and_then(|kept| kept) else {
                return;
            };
            tracing::error!(
                fault,
                "a certificate that came cannot be kept: trying again"
            );
            if let Some(charge) = self.charges.get_mut(index) {
                charge.failures = charge.failures.max(1);
            }
            self.note(index, Some(fault));
            self.tell();
            // Over, or somebody has made room: what comes of it is the same.
            let _ = timeout(KEEP_AGAIN, self.nudge.notified()).await;
        }
    }

    /// Asks the authority when it wants certificates renewed (RFC 9773), where that is due. It need
    /// not know.
    async fn ask_suggestions(&mut self) {
        let now = Instant::now();
        let asked: Vec<usize> = (0..self.charges.len())
            .filter(|index| {
                let charge = self.charges.get(*index);
                charge.is_some_and(|it| it.suggestion_due <= now && it.id().is_some())
            })
            .collect();
        if asked.is_empty() {
            return;
        }
        let account = self.desk.account_alone().await;
        for index in asked {
            let Some(charge) = self.charges.get_mut(index) else {
                continue;
            };
            if now.elapsed() > SUGGESTIONS_MAX {
                break;
            }
            charge.suggestion_due = now + SUGGESTIONS_EVERY;
            let (Ok(Some(account)), Some(id)) = (&account, charge.id()) else {
                continue;
            };
            match account.renewal_info(&id).await {
                Ok((info, wait)) => {
                    let window = info.suggested_window;
                    charge.on_suggestion((window.start.into(), window.end.into()));
                    let least = Duration::from_secs(3_600);
                    charge.suggestion_due = now + wait.clamp(least, 4 * SUGGESTIONS_EVERY);
                }
                Err(error) => tracing::debug!(%error, "no time for renewal is suggested"),
            }
        }
        self.tell();
    }

    /// Says what is known of every certificate.
    fn tell(&self) {
        for index in 0..self.charges.len() {
            self.note(index, None);
        }
        let failing = self.charges.iter().filter(|charge| charge.failures > 0);
        let failing = i64::try_from(failing.count()).unwrap_or(i64::MAX);
        self.desk.node.probe.acme_failing.set(failing);
    }

    /// Says what is known of one certificate, and what came of an order that ended now.
    fn note(&self, index: usize, ended: Option<String>) {
        let Some(charge) = self.charges.get(index) else {
            return;
        };
        let now = Moment::now();
        let next_at = now.wall + charge.wait(now);
        let mut states = self.desk.node.acme();
        let state = states
            .entry(charge.called.clone())
            .or_insert_with(|| AcmeState {
                directory_url: self.desk.settings.directory_url.clone(),
                asked_at: None,
                error: String::new(),
                next_at,
            });
        state.next_at = next_at;
        if let Some(error) = ended {
            state.asked_at = Some(SystemTime::now());
            state.error = error;
        }
    }
}

#[cfg(test)]
mod tests;
