//! Icecast's URL authentication: scripts of the operator that are asked who may come in, and told
//! who came and went.
//!
//! Every call is a task of its own with a time limit, so a script that hangs delays the one that
//! it was asked about and nobody else. Calls have bounds: what is beyond is a failed call.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use corecast_config::{Config, Mount, is_hls_path, shown_ip};
use corecast_media::name::MountName;
use corecast_mesh::message::{AccessRecord, Event, FromControl, Question, Verdict};
use corecast_telemetry::log::{Limiter, Limits, Verdict as Line};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::warn;

use crate::client::{Client, Failure, Login, Reply, form, shown};
use crate::kept::Kept;
use crate::node::Node;

/// The most calls that wait or are on their way; what is beyond fails at once.
pub(crate) const CALLS_MAX: u32 = 16_384;

/// Questions to one URL at once; those beyond wait within their time limit.
const QUESTIONS_AT_ONCE: usize = 256;

/// News of listeners to one URL at once.
const NEWS_AT_ONCE: usize = 32;

/// Desks that are kept before unused ones go.
const DESKS_KEPT: usize = 64;

/// The most letters of a script's message that are passed on.
const MESSAGE_CHARS_MAX: usize = 200;

/// How long the end of the program waits for calls on their way.
const END_WAIT_MAX: Duration = Duration::from_secs(2);

/// The reason where a script gives none.
const DENIED: &str = "the station does not let you in";

/// The caller of scripts. Lives on: the control plane.
pub(crate) struct Hooks {
    caller: Arc<Caller>,
    /// One place for each call.
    places: Arc<Semaphore>,
    /// Where calls of one kind to one URL queue.
    desks: HashMap<String, Arc<Semaphore>>,
    /// User and password of listeners who were asked about. Not of players of HLS: one visit has
    /// many questions.
    kept: Kept,
}

/// What the tasks share.
struct Caller {
    client: Client,
    node: Arc<Node>,
    limiter: Mutex<Limiter>,
}

/// One call that is to be made.
struct Call {
    action: &'static str,
    url: String,
    login: Option<(String, String)>,
    limit: Duration,
    form: String,
    /// Whom it is about, for the log.
    peer: Option<IpAddr>,
    desk: Arc<Semaphore>,
    /// Held to the end of the call.
    _place: OwnedSemaphorePermit,
}

impl Hooks {
    pub(crate) fn new(client: Client, node: Arc<Node>) -> Self {
        Hooks {
            caller: Arc::new(Caller {
                client,
                node,
                limiter: Mutex::new(Limiter::new(Limits::default())),
            }),
            places: Arc::new(Semaphore::new(CALLS_MAX as usize)),
            desks: HashMap::new(),
            kept: Kept::default(),
        }
    }

    /// Asks about a peer. The verdict comes back here where nobody has to be asked; otherwise it
    /// is sent to the shard as soon as it is known.
    pub(crate) fn handle_question(&mut self, question: Question) -> Option<Verdict> {
        let config = self.caller.node.config();
        let settings = config.mount(question.mount.as_str());
        let (action, url) = if question.publisher {
            ("stream_auth", &settings.hook_stream_auth)
        } else {
            ("listener_add", &settings.hook_listener_add)
        };
        if url.is_empty() {
            // A shard asks about a source whose password is not right.
            return Some(match question.publisher {
                true => Verdict::Deny(DENIED.into()),
                false => Verdict::Allow(None),
            });
        }
        let form = question_form(action, &config, &question);
        let desk = self.desk(format!("ask {url}"), QUESTIONS_AT_ONCE);
        let peer = Some(question.peer.ip());
        let Some(call) = self.call(action, url, settings, form, desk, peer) else {
            return Some(on_failure(settings));
        };
        let session = question.session;
        if let Some(credentials) = question.credentials
            && !settings.hook_listener_remove.is_empty()
            && !question.publisher
            && !is_hls_path(path_of(&question.target))
        {
            self.kept.keep(session, credentials);
        }
        let failed = on_failure(settings);
        let caller = Arc::clone(&self.caller);
        tokio::spawn(async move {
            let answer = caller.make(&call).await;
            let (verdict, result) = match answer.as_ref().map(verdict_of) {
                Ok(Some(verdict @ Verdict::Allow(_))) => (verdict, "allowed"),
                Ok(Some(verdict)) => (verdict, "denied"),
                Ok(None) => {
                    caller.tell(&call, "its time limit is no number");
                    (failed, "failed")
                }
                Err(failure) => (failed, failure.name()),
            };
            caller.node.probe.hook_calls.of(result).add(1);
            let message = FromControl::Verdict { session, verdict };
            caller.node.send(session.shard(), message);
            if let Ok(answer) = answer {
                answer.finish().await;
            }
        });
        None
    }

    /// Tells scripts what happened, where somebody wants to know.
    pub(crate) fn handle_event(&mut self, event: &Event) {
        match event {
            Event::SourceStarted { mount, .. } => self.tell_mount("mount_add", mount),
            Event::SourceEnded { mount, .. } => self.tell_mount("mount_remove", mount),
            Event::Access(record) => self.tell_listener(record),
            _ => {}
        }
    }

    /// Waits, within bounds, for calls on their way.
    pub(crate) async fn close(self) {
        // Those that are not done by then are given up.
        let _ = timeout(END_WAIT_MAX, self.places.acquire_many(CALLS_MAX)).await;
    }

    fn tell_mount(&mut self, action: &'static str, mount: &MountName) {
        let config = self.caller.node.config();
        let settings = config.mount(mount.as_str());
        let url = match action {
            "mount_add" => &settings.hook_mount_add,
            _ => &settings.hook_mount_remove,
        };
        if url.is_empty() {
            return;
        }
        let form = form(&[
            ("action", action),
            ("mount", mount.as_str()),
            ("server", &config.server.hostname),
            ("port", &port(&config)),
        ]);
        // One at a time: a script never hears the end before the start.
        let desk = self.desk(format!("mount {mount}"), 1);
        if let Some(call) = self.call(action, url, settings, form, desk, None) {
            self.spawn_news(call);
        }
    }

    fn tell_listener(&mut self, record: &AccessRecord) {
        let credentials = self.kept.take(record.session);
        let (Some(mount), 200) = (&record.mount, record.status) else {
            return;
        };
        let config = self.caller.node.config();
        let settings = config.mount(mount.as_str());
        let url = &settings.hook_listener_remove;
        // A source's record has another method.
        let request = &record.request;
        let is_listened = request.starts_with("GET ") || request.starts_with("PLAY ");
        if url.is_empty() || !is_listened {
            return;
        }
        let target = record.request.split(' ').nth(1).unwrap_or_default();
        let (user, password) = credentials.unwrap_or_default();
        let user = record.user.as_ref().unwrap_or(&user);
        let form = form(&[
            ("action", "listener_remove"),
            ("server", &config.server.hostname),
            ("port", &port(&config)),
            ("client", &record.session.as_u64().to_string()),
            ("mount", &with_query(mount, target)),
            ("user", user),
            ("pass", &password),
            ("ip", &record.peer.ip().to_canonical().to_string()),
            ("agent", &record.user_agent),
            ("duration", &record.duration.as_secs().to_string()),
            ("sent", &record.bytes.to_string()),
        ]);
        let desk = self.desk(format!("news {url}"), NEWS_AT_ONCE);
        let peer = Some(record.peer.ip());
        if let Some(call) = self.call("listener_remove", url, settings, form, desk, peer) {
            self.spawn_news(call);
        }
    }

    fn spawn_news(&self, call: Call) {
        let caller = Arc::clone(&self.caller);
        tokio::spawn(async move {
            let Ok(_turn) = Arc::clone(&call.desk).acquire_owned().await else {
                return;
            };
            let answer = caller.post(&call, Instant::now() + call.limit).await;
            let result = answer.as_ref().map_or_else(Failure::name, |_| "told");
            caller.node.probe.hook_calls.of(result).add(1);
            if let Ok(answer) = answer {
                answer.finish().await;
            }
        });
    }

    /// A call, if there is a place for one more.
    fn call(
        &self,
        action: &'static str,
        url: &str,
        settings: &Mount,
        form: String,
        desk: Arc<Semaphore>,
        peer: Option<IpAddr>,
    ) -> Option<Call> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.caller.node.probe.hook_calls.of("crowded").add(1);
            return None;
        };
        let user = &settings.hook_user;
        Some(Call {
            action,
            url: url.to_owned(),
            login: (!user.is_empty()).then(|| (user.clone(), settings.hook_password.clone())),
            limit: settings.hook_timeout,
            form,
            peer,
            desk,
            _place: place,
        })
    }

    fn desk(&mut self, key: String, width: usize) -> Arc<Semaphore> {
        if self.desks.len() >= DESKS_KEPT {
            self.desks.retain(|_, desk| Arc::strong_count(desk) > 1);
        }
        let desk = self.desks.entry(key);
        Arc::clone(desk.or_insert_with(|| Arc::new(Semaphore::new(width))))
    }
}

impl Caller {
    /// Waits for its turn and calls, all within the call's time limit.
    async fn make(&self, call: &Call) -> Result<Reply, Failure> {
        let until = Instant::now() + call.limit;
        let turn = timeout_at(until, Arc::clone(&call.desk).acquire_owned()).await;
        match turn {
            Ok(_turn) => self.post(call, until).await,
            Err(_) => {
                self.tell(call, "too many questions wait already");
                Err(Failure::Late)
            }
        }
    }

    async fn post(&self, call: &Call, until: Instant) -> Result<Reply, Failure> {
        let login = call
            .login
            .as_ref()
            .map(|(user, password)| Login { user, password });
        let limit = until.saturating_duration_since(Instant::now());
        let form = call.form.clone();
        let answer = self.client.post(&call.url, login, form, limit).await;
        if let Err(failure) = &answer {
            self.tell(call, &failure.to_string());
        }
        answer
    }

    /// Writes down why a call failed, not more often than the log bears.
    fn tell(&self, call: &Call, error: &str) {
        let peer = call.peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let line = {
            let mut limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
            limiter.allow(self.node.now().as_millis(), peer)
        };
        let suppressed = match line {
            Line::Say => None,
            Line::SayWithSuppressed(lines) => Some(lines),
            Line::Hush => return self.node.probe.hushed.add(1),
        };
        let redact = self.node.config().log.redact_ip;
        let peer = call.peer.map(|peer| shown_ip(peer, redact).to_string());
        let (action, url) = (call.action, shown(&call.url));
        warn!(action, url, peer, error, suppressed, "hook failed");
    }
}

fn question_form(action: &str, config: &Config, question: &Question) -> String {
    let (user, password) = match &question.credentials {
        Some((user, password)) => (&**user, &**password),
        None => ("", ""),
    };
    let mount = match question.publisher {
        true => question.mount.as_str().to_owned(),
        false => with_query(&question.mount, &question.target),
    };
    form(&[
        ("action", action),
        ("server", &config.server.hostname),
        ("port", &port(config)),
        ("client", &question.client.as_u64().to_string()),
        ("mount", &mount),
        ("user", user),
        ("pass", password),
        ("ip", &question.peer.ip().to_canonical().to_string()),
        ("agent", &question.user_agent),
        ("referer", &question.referer),
    ])
}

/// What a script's answer says; nothing where it cannot be understood.
fn verdict_of(answer: &Reply) -> Option<Verdict> {
    if answer.text("icecast-auth-user").as_deref() != Some("1") {
        let message: String = answer
            .text("icecast-auth-message")
            .unwrap_or_default()
            .chars()
            .filter(|letter| !letter.is_control())
            .take(MESSAGE_CHARS_MAX)
            .collect();
        let reason = if message.is_empty() { DENIED } else { &message };
        return Some(Verdict::Deny(reason.into()));
    }
    let Some(limit) = answer.text("icecast-auth-timelimit") else {
        return Some(Verdict::Allow(None));
    };
    let seconds: u32 = limit.parse().ok()?;
    let limit = Duration::from_secs(u64::from(seconds));
    Some(Verdict::Allow((!limit.is_zero()).then_some(limit)))
}

fn on_failure(settings: &Mount) -> Verdict {
    match settings.hook_failure_allows {
        true => Verdict::Allow(None),
        false => Verdict::Unsaid("the station cannot say now whether you may come in".into()),
    }
}

/// The path that was asked for.
fn path_of(target: &str) -> &str {
    target.split_once('?').map_or(target, |(path, _)| path)
}

/// A mount as Icecast names it to scripts: with the query that the listener asked with.
fn with_query(mount: &MountName, target: &str) -> String {
    let query = target.find('?').and_then(|at| target.get(at..));
    format!("{mount}{}", query.unwrap_or_default())
}

/// The port that the server is known by.
fn port(config: &Config) -> String {
    config.site().1.to_string()
}
