//! What control is asked about a peer, where a mount's settings name a hook or a file of users. One
//! peer waits for one answer; nobody waits with it.

use std::borrow::Cow;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use corecast_config::Mount;
use corecast_media::name::{MountName, SessionId};
use corecast_mesh::message::{Question, ToControl, Verdict};
use corecast_protocol::http::{Credentials, Request};
use corecast_protocol::icy::source::credentials;

use super::auth;
use crate::admission::Refused;
use crate::admission::guessing::{self, Surface};
use crate::driver::Shard;
use crate::http::exchange::{Account, log_header};
use crate::probe::Refusal;
use crate::task::{First, first};

/// How much longer than the hook control may take.
const SLACK: Duration = Duration::from_secs(1);

/// Why somebody is not let in although nothing is known against it.
const UNHEARD: &str = "nobody can say now whether you may come in";

/// What control found.
#[derive(Debug)]
pub(crate) enum Finding {
    /// The peer may come in; for this long at most, where there is a limit.
    Welcome(Option<Duration>),
    /// It may not.
    Unwelcome(Refused),
    /// It has gone meanwhile.
    Gone,
}

/// Whether control has to be asked before somebody listens to a mount.
pub(crate) fn guards_listeners(settings: &Mount) -> bool {
    !settings.hook_listener_add.is_empty() || !settings.listener_htpasswd.as_os_str().is_empty()
}

/// Whether control has to be asked before a source without our passwords feeds a mount.
pub(crate) fn guards_sources(settings: &Mount) -> bool {
    !settings.hook_stream_auth.is_empty()
}

/// The question whether the peer behind `request` may listen to or feed `mount`.
pub(crate) fn question(
    account: Account,
    request: &Request,
    mount: MountName,
    publisher: bool,
) -> Question {
    let given = credentials(request.headers());
    Question {
        session: account.session,
        client: account.session,
        publisher,
        mount,
        peer: account.peer,
        credentials: given.map(|given| (given.user.into(), given.password.into())),
        target: request.target().into(),
        user_agent: log_header(request, "user-agent").into(),
        referer: log_header(request, "referer").into(),
    }
}

/// Asks control about a listener of a guarded mount. Guessers of passwords are locked out; who
/// relays all our mounts has a login of its own for them, and nobody is asked about it.
pub(crate) async fn ask_about_listener(
    shard: &Rc<Shard>,
    gone: impl Future<Output = ()>,
    question: Question,
) -> Finding {
    let ip = question.peer.ip();
    let given = question.credentials.as_ref();
    let given = given.map(|(user, password)| Credentials {
        user: user.to_string(),
        password: password.to_string(),
    });
    if given.is_some()
        && let Some(refused) = guessing::locked_out(shard, Surface::Listeners, ip)
    {
        return Finding::Unwelcome(refused);
    }
    if let Some(given) = &given
        && auth::are_relay(&shard.config(), given)
    {
        return Finding::Welcome(None);
    }
    let finding = ask(shard, gone, question).await;
    match given {
        Some(_) => judged(shard, Surface::Listeners, ip, finding),
        None => finding,
    }
}

/// What somebody is told who gave a password: not even whether it was right, where too many of its
/// address were wrong meanwhile.
pub(crate) fn judged(shard: &Shard, surface: Surface, ip: IpAddr, finding: Finding) -> Finding {
    let failed = match &finding {
        Finding::Welcome(_) => false,
        Finding::Unwelcome(refused) => refused.status == 401,
        Finding::Gone => return finding,
    };
    guessing::judge(shard, surface, ip, failed).map_or(finding, Finding::Unwelcome)
}

/// Asks control, for as long as the mount's hooks may take and the peer is not `gone`.
pub(crate) async fn ask(
    shard: &Rc<Shard>,
    gone: impl Future<Output = ()>,
    question: Question,
) -> Finding {
    let config = shard.config();
    let settings = config.mount(question.mount.as_str());
    let session = question.session;
    let answer = shard.verdicts.expect(session);
    let _waiting = Waiting { shard, session };
    let asked = shard.try_tell_control(ToControl::Ask(Box::new(question)));
    if asked.is_err() {
        return unheard(settings);
    }
    let answer = monoio::time::timeout(settings.hook_timeout + SLACK, answer);
    match first(answer, gone).await {
        First::Left(Ok(Ok(Verdict::Allow(stay_max)))) => Finding::Welcome(stay_max),
        First::Left(Ok(Ok(Verdict::Deny(reason)))) => Finding::Unwelcome(denied(reason)),
        First::Left(Ok(Ok(Verdict::Unsaid(reason)))) => {
            Finding::Unwelcome(unsaid(reason.into_string().into()))
        }
        First::Left(_) => {
            shard.probe.control_late.add(1);
            unheard(settings)
        }
        First::Right(()) => Finding::Gone,
    }
}

/// What holds where control gives no answer.
fn unheard(settings: &Mount) -> Finding {
    if settings.hook_failure_allows {
        return Finding::Welcome(None);
    }
    Finding::Unwelcome(unsaid(Cow::Borrowed(UNHEARD)))
}

/// A refusal that says nothing against the peer.
fn unsaid(reason: Cow<'static, str>) -> Refused {
    Refused {
        text: reason,
        ..Refused::busy("", Refusal::Unauthorized)
    }
}

fn denied(reason: Box<str>) -> Refused {
    if reason.is_empty() {
        return Refused::unauthorized("you may not come in");
    }
    Refused::unauthorized(reason.into_string())
}

/// A session that waits for a verdict.
struct Waiting<'a> {
    shard: &'a Rc<Shard>,
    session: SessionId,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shard.verdicts.forget(self.session);
    }
}
