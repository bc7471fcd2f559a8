//! A listener: from its request to a steady record of the hub.

use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use corecast_config::Config;
use corecast_media::name::{MountName, Output, SessionId};
use corecast_media::time::Time;
use corecast_mesh::message::{EndReason, JoinRefusal};
use corecast_protocol::http1::{BodyFraming, Method, Request};
use corecast_protocol::icy::ListenerHead;
use corecast_protocol::icy::listener::wants_metadata;
use corecast_protocol::icy::source::credentials;

use super::auth;
use super::question::{self, Finding};
use super::stream::stream_of;
use super::websocket::{upgrade_head, websocket_key};
use crate::admission::Refused;
use crate::admission::bars::{self, agent_of};
use crate::driver::Shard;
use crate::http::connection::Connection;
use crate::http::control::{Outcome, log_header, log_line, log_text, record};
use crate::http::response::{Plain, SERVER, unix_seconds};
use crate::hub::{ListenerCard, Seat};
use crate::net::TcpSocket;
use crate::probe::Refusal;

/// How long the mount's home may take to answer.
const SEAT_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes the peer a listener of the mount that it asks for. The connection comes back where it
/// may bring another request.
pub(crate) async fn run(mut connection: Connection, request: &Request) -> Option<Connection> {
    let shard = Rc::clone(&connection.shard);
    let config = shard.config();
    let Some(stream) = stream_of(&config, request.path()) else {
        return Box::pin(refuse(connection, request, refused(JoinRefusal::NotFound))).await;
    };
    let stream = match websocket_key(request) {
        Some(_) if stream.output() == Some(Output::Flv) => stream.with_output(Output::WsFlv),
        _ => stream,
    };
    let mount = stream.to_base();
    let agent = agent_of(request);
    let barred = bars::bar_listener(&config, mount.as_str(), connection.peer.ip(), &agent);
    if let Some(refused) = barred {
        return Box::pin(refuse(connection, request, refused)).await;
    }
    let mut wish = Wish::new(&shard, shard.next_session());
    let seat = match wish.seat(stream.clone()).await {
        Ok(seat) => seat,
        Err(refusal) => {
            let refused = redirected(&config, &mount, request, refusal);
            return Box::pin(refuse(connection, request, refused)).await;
        }
    };
    let finding = Box::pin(admit(&mut connection, request, wish.session, mount.clone())).await;
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
    let head = match (stream.output(), websocket_key(request)) {
        (Some(Output::WsFlv), Some(key)) => upgrade_head(key),
        _ => render_head(request, &seat, metaint),
    };
    if request.method() == Method::Head {
        return Box::pin(answer_head(connection, request, &head)).await;
    }
    let card = card(&connection, request, &mount, stay_max);
    let socket = connection.into_steady().ok()?;
    wish.attach(socket, head, metaint, card);
    None
}

/// A seat, or the wish for one, that is given up unless the listener is attached.
pub(crate) struct Wish {
    shard: Rc<Shard>,
    session: SessionId,
    open: bool,
}

impl Wish {
    /// Nothing is asked yet.
    pub(crate) fn new(shard: &Rc<Shard>, session: SessionId) -> Self {
        Wish {
            shard: Rc::clone(shard),
            session,
            open: false,
        }
    }

    /// Asks the home of `stream` for a seat, once.
    pub(crate) async fn seat(&mut self, stream: MountName) -> Result<Seat, JoinRefusal> {
        let answer = self.shard.joiners.expect(self.session);
        self.open = true;
        self.shard
            .with_hub(|hub, now| hub.reserve(now, self.session, stream));
        match monoio::time::timeout(SEAT_TIMEOUT, answer).await {
            Ok(Ok(Ok(seat))) => Ok(seat),
            Ok(Ok(Err(refusal))) => {
                self.open = false;
                Err(refusal)
            }
            Ok(Err(_)) | Err(_) => Err(JoinRefusal::NoSource),
        }
    }

    /// Hands the socket to the hub; the listener is steady from now on.
    pub(crate) fn attach(
        mut self,
        socket: TcpSocket,
        head: Bytes,
        metaint: u32,
        card: Box<ListenerCard>,
    ) {
        self.open = false;
        let (shard, session) = (&self.shard, self.session);
        shard.probe.listeners_started.add(1);
        shard.probe.listeners.add(1);
        shard.with_hub(|hub, now| hub.attach(now, session, socket, head, metaint, card));
    }
}

impl Drop for Wish {
    fn drop(&mut self) {
        self.shard.joiners.forget(self.session);
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
/// count listeners.
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
    let asked = question::question(connection, request, session, mount, false);
    question::ask_about_listener(connection, asked).await
}

/// When a listener must go: by the mount's limit or by what its guards said, if by either.
pub(crate) fn stay_until(
    shard: &Shard,
    mount: &MountName,
    stay_max: Option<Duration>,
) -> Option<Time> {
    let limit = shard.config().mount(mount.as_str()).listener_duration_max;
    let limit = (!limit.is_zero()).then_some(limit);
    let stay_max = limit.into_iter().chain(stay_max).min();
    stay_max.map(|stay_max| shard.now() + stay_max)
}

fn card(
    connection: &Connection,
    request: &Request,
    mount: &MountName,
    stay_max: Option<Duration>,
) -> Box<ListenerCard> {
    let shard = &connection.shard;
    let config = shard.config();
    let settings = config.mount(mount.as_str());
    let given = credentials(request.headers());
    let relays = given
        .as_ref()
        .is_some_and(|given| auth::are_relay(&config, given));
    let user = given
        .filter(|_| question::guards_listeners(settings))
        .map(|given| log_text(&given.user));
    Box::new(ListenerCard {
        peer: connection.peer,
        user_agent: log_header(request, "user-agent").into(),
        referer: log_header(request, "referer").into(),
        request: log_line(request),
        user,
        since: shard.now(),
        until: stay_until(shard, mount, stay_max),
        relays,
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

/// What somebody without a seat is told.
pub(crate) fn refused(refusal: JoinRefusal) -> Refused {
    match refusal {
        JoinRefusal::NotFound => Refused::new(404, "there is no such mount", Refusal::NotFound),
        JoinRefusal::NoSource => Refused::busy("the mount has no source now", Refusal::NoSource),
        JoinRefusal::OutputsOnly => Refused::new(
            404,
            "the mount has tracks: add .m3u8, .flv or .ts to its name",
            Refusal::NotFound,
        ),
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
fn redirected(
    config: &Config,
    mount: &MountName,
    request: &Request,
    refusal: JoinRefusal,
) -> Refused {
    let elsewhere = config
        .mount(mount.as_str())
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

/// Tells the peer why it gets nothing. The connection comes back where it may bring another
/// request.
pub(crate) async fn refuse(
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
