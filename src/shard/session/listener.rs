//! A listener: from its request to a steady record of the hub.

use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use corecast_config::Config;
use corecast_media::name::{MountName, SessionId};
use corecast_mesh::message::{EndReason, JoinRefusal};
use corecast_protocol::http1::{BodyFraming, Method, Request};
use corecast_protocol::icy::ListenerHead;
use corecast_protocol::icy::listener::wants_metadata;
use corecast_protocol::icy::source::credentials;

use super::auth;
use super::question::{self, Finding};
use crate::admission::guessing::{self, Surface};
use crate::admission::{Refused, bars};
use crate::driver::Shard;
use crate::http::connection::Connection;
use crate::http::control::{Outcome, log_header, log_line, log_text, record};
use crate::http::response::{Plain, SERVER, unix_seconds};
use crate::hub::{ListenerCard, Seat};
use crate::probe::Refusal;

/// How long the mount's home may take to answer.
const SEAT_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes the peer a listener of the mount that it asks for. The connection comes back where it
/// may bring another request.
pub(crate) async fn run(mut connection: Connection, request: &Request) -> Option<Connection> {
    let Ok(mount) = MountName::parse(request.path()) else {
        return Box::pin(refuse(connection, request, refused(JoinRefusal::NotFound))).await;
    };
    let shard = Rc::clone(&connection.shard);
    if let Some(refused) = bars::bar_listener(&shard.config(), connection.peer.ip(), request) {
        return Box::pin(refuse(connection, request, refused)).await;
    }
    let mut wish = Wish {
        shard: Rc::clone(&shard),
        session: shard.next_session(),
        open: true,
    };
    let answer = shard.expect_seat(wish.session);
    shard.with_hub(|hub, now| hub.reserve(now, wish.session, mount.clone()));
    let seat = match monoio::time::timeout(SEAT_TIMEOUT, answer).await {
        Ok(Ok(Ok(seat))) => seat,
        Ok(Ok(Err(refusal))) => {
            wish.open = false;
            let refused = redirected(&shard.config(), request, refusal);
            return Box::pin(refuse(connection, request, refused)).await;
        }
        Ok(Err(_)) | Err(_) => {
            return Box::pin(refuse(connection, request, refused(JoinRefusal::NoSource))).await;
        }
    };
    let finding = Box::pin(admit(&mut connection, request, wish.session, mount)).await;
    let stay_max = match finding {
        Finding::Welcome(stay_max) => stay_max,
        Finding::Unwelcome(refused) => {
            return Box::pin(refuse(connection, request, refused)).await;
        }
        Finding::Gone => return None,
    };
    let metaint = if wants_metadata(request) {
        seat.metaint
    } else {
        0
    };
    let head = render_head(request, &seat, metaint);
    if request.method() == Method::Head {
        return Box::pin(answer_head(connection, request, &head)).await;
    }
    let card = card(&connection, request, &shard, stay_max);
    let session = wish.session;
    let socket = connection.into_steady().ok()?;
    wish.open = false;
    shard.probe.listeners_started.add(1);
    shard.probe.listeners.add(1);
    shard.with_hub(|hub, now| hub.attach(now, session, socket, head, metaint, card));
    None
}

/// A seat, or the wish for one, that is given up unless the listener is attached.
struct Wish {
    shard: Rc<Shard>,
    session: SessionId,
    open: bool,
}

impl Drop for Wish {
    fn drop(&mut self) {
        self.shard.forget_joiner(self.session);
        if self.open {
            self.shard
                .with_hub(|hub, now| hub.release(now, self.session));
        }
    }
}

fn render_head(request: &Request, seat: &Seat, metaint: u32) -> Bytes {
    let mut out = BytesMut::with_capacity(1_024);
    let info = &seat.info;
    let measured = match seat.format.bitrate_bps {
        0 => String::new(),
        bps => (bps / 1_000).to_string(),
    };
    let head = ListenerHead {
        content_type: &info.content_type,
        name: &info.name,
        description: &info.description,
        genre: &info.genre,
        url: &info.url,
        bitrate: if info.bitrate.is_empty() {
            &measured
        } else {
            &info.bitrate
        },
        audio_info: &info.audio_info,
        public: info.public,
        metaint: NonZeroU32::new(metaint),
        server: SERVER,
        unix_seconds: unix_seconds(),
    };
    head.write_to(&mut out, request.version());
    out.freeze()
}

/// Whether somebody with a seat may listen. Who only asks for the head is not asked about: hooks
/// count listeners. Who relays all our mounts has a login of its own for them.
async fn admit(
    connection: &mut Connection,
    request: &Request,
    session: SessionId,
    mount: MountName,
) -> Finding {
    let config = connection.shard.config();
    let guarded = question::guards_listeners(config.mount(mount.as_str()));
    if !guarded || request.method() == Method::Head {
        return Finding::Welcome(None);
    }
    let (shard, ip) = (Rc::clone(&connection.shard), connection.peer.ip());
    let asked = question::question(connection, request, session, mount, false);
    let guesses = asked.credentials.is_some();
    let locked = guessing::locked_out(&shard, Surface::Listeners, ip);
    if guesses && let Some(refused) = locked {
        return Finding::Unwelcome(refused);
    }
    let given = credentials(request.headers());
    if given.is_some_and(|given| auth::are_relay(&config, &given)) {
        return Finding::Welcome(None);
    }
    let finding = question::ask(connection, asked).await;
    let denied = matches!(&finding, Finding::Unwelcome(refused) if refused.status == 401);
    if guesses && denied {
        guessing::note_failure(&shard, Surface::Listeners, ip);
    }
    finding
}

fn card(
    connection: &Connection,
    request: &Request,
    shard: &Shard,
    stay_max: Option<Duration>,
) -> Box<ListenerCard> {
    let config = shard.config();
    let settings = config.mount(request.path());
    let limit = settings.listener_duration_max;
    let limit = (!limit.is_zero()).then_some(limit);
    let stay_max = limit.into_iter().chain(stay_max).min();
    let user = question::guards_listeners(settings)
        .then(|| credentials(request.headers()))
        .flatten()
        .map(|given| log_text(&given.user));
    Box::new(ListenerCard {
        peer: connection.peer,
        user_agent: log_header(request, "user-agent").into(),
        referer: log_header(request, "referer").into(),
        request: log_line(request),
        user,
        since: shard.now(),
        until: stay_max.map(|stay_max| shard.now() + stay_max),
    })
}

/// Sends the head that a listener would get. It announces no length, so the connection ends.
async fn answer_head(
    mut connection: Connection,
    request: &Request,
    head: &[u8],
) -> Option<Connection> {
    let (sent, since) = (connection.sent_bytes(), connection.shard.now());
    if connection.send(&[head]).await.is_ok() {
        let bytes = connection.sent_bytes().saturating_sub(sent);
        tell(
            &connection,
            request,
            Outcome {
                status: 200,
                bytes,
                since,
                reason: EndReason::PeerClosed,
            },
        );
        connection.close_in_order().await;
    }
    None
}

fn refused(refusal: JoinRefusal) -> Refused {
    match refusal {
        JoinRefusal::NotFound => Refused::new(404, "there is no such mount", Refusal::NotFound),
        JoinRefusal::NoSource => Refused::busy("the mount has no source now", Refusal::NoSource),
        JoinRefusal::MountFull => {
            Refused::busy("the mount has all the listeners it may have", Refusal::Full)
        }
        JoinRefusal::NodeFull => Refused::busy(
            "the server has all the listeners it may have",
            Refusal::Full,
        ),
        JoinRefusal::Draining => Refused::busy("the server is shutting down", Refusal::Draining),
    }
}

/// As [`refused`], but who finds all seats taken is sent on where the settings know another
/// server.
fn redirected(config: &Config, request: &Request, refusal: JoinRefusal) -> Refused {
    let elsewhere = config
        .mount(request.path())
        .redirect_full
        .trim_end_matches('/');
    let full = matches!(refusal, JoinRefusal::MountFull | JoinRefusal::NodeFull);
    if !full || elsewhere.is_empty() {
        return refused(refusal);
    }
    let location = format!("{elsewhere}{}", request.target());
    Refused {
        extra: Some(("Location", location.into())),
        ..Refused::new(302, "another server has room for you", Refusal::Full)
    }
}

/// Tells the peer why it hears nothing.
async fn refuse(
    mut connection: Connection,
    request: &Request,
    refused: Refused,
) -> Option<Connection> {
    let (sent, since) = (connection.sent_bytes(), connection.shard.now());
    let (status, counted) = (refused.status, refused.counted);
    connection.shard.probe.refused.at(counted as usize).add(1);
    let mut answer = Plain::refusal(request, &refused);
    // A body that nobody asked for would be read as the next request.
    answer.keep_alive &=
        request.body_framing() == BodyFraming::None && counted != Refusal::Draining;
    let keep_alive = answer.keep_alive;
    let bytes = connection.send(&[&answer.render()]).await;
    let reason = if bytes.is_ok() {
        EndReason::PeerClosed
    } else {
        EndReason::PeerReset
    };
    let bytes = connection.sent_bytes().saturating_sub(sent);
    tell(
        &connection,
        request,
        Outcome {
            status,
            bytes,
            since,
            reason,
        },
    );
    if keep_alive {
        return Some(connection);
    }
    connection.close_in_order().await;
    None
}

fn tell(connection: &Connection, request: &Request, outcome: Outcome) {
    let shard = &connection.shard;
    let session = shard.next_session();
    shard.tell_access(record(session, connection.peer, request, outcome, shard));
}
