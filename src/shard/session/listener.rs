//! A listener: from its request to a steady record of the hub.

use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use corecast_media::name::{MountName, SessionId};
use corecast_mesh::message::{EndReason, JoinRefusal};
use corecast_protocol::http1::{BodyFraming, Method, Request};
use corecast_protocol::icy::ListenerHead;
use corecast_protocol::icy::listener::wants_metadata;

use crate::driver::Shard;
use crate::http::connection::Connection;
use crate::http::control::{Outcome, log_header, log_line, record};
use crate::http::response::{Plain, SERVER, unix_seconds};
use crate::hub::{ListenerCard, Seat};
use crate::probe::Refusal;

/// How long the mount's home may take to answer.
const SEAT_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes the peer a listener of the mount that it asks for. The connection comes back where it
/// may bring another request.
pub(crate) async fn run(connection: Connection, request: &Request) -> Option<Connection> {
    let Ok(mount) = MountName::parse(request.path()) else {
        return Box::pin(refuse(connection, request, JoinRefusal::NotFound)).await;
    };
    let shard = Rc::clone(&connection.shard);
    let mut wish = Wish {
        shard: Rc::clone(&shard),
        session: shard.next_session(),
        open: true,
    };
    let answer = shard.expect_seat(wish.session);
    shard.with_hub(|hub, now| hub.reserve(now, wish.session, mount));
    let seat = match monoio::time::timeout(SEAT_TIMEOUT, answer).await {
        Ok(Ok(Ok(seat))) => seat,
        Ok(Ok(Err(refusal))) => {
            wish.open = false;
            return Box::pin(refuse(connection, request, refusal)).await;
        }
        Ok(Err(_)) | Err(_) => {
            return Box::pin(refuse(connection, request, JoinRefusal::NoSource)).await;
        }
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
    let card = card(&connection, request, &shard);
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

fn card(connection: &Connection, request: &Request, shard: &Shard) -> Box<ListenerCard> {
    let stay_max = shard.config().mount(request.path()).listener_duration_max;
    Box::new(ListenerCard {
        peer: connection.peer,
        user_agent: log_header(request, "user-agent").into(),
        referer: log_header(request, "referer").into(),
        request: log_line(request),
        user: None,
        since: shard.now(),
        until: (!stay_max.is_zero()).then(|| shard.now() + stay_max),
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

/// Tells the peer why it hears nothing.
async fn refuse(
    mut connection: Connection,
    request: &Request,
    refusal: JoinRefusal,
) -> Option<Connection> {
    let (status, text, counted) = match refusal {
        JoinRefusal::NotFound => (404, "there is no such mount", Refusal::NotFound),
        JoinRefusal::NoSource => (503, "the mount has no source now", Refusal::NoSource),
        JoinRefusal::MountFull => (
            503,
            "the mount has all the listeners it may have",
            Refusal::Full,
        ),
        JoinRefusal::NodeFull => (
            503,
            "the server has all the listeners it may have",
            Refusal::Full,
        ),
        JoinRefusal::Draining => (503, "the server is shutting down", Refusal::Draining),
    };
    let (sent, since) = (connection.sent_bytes(), connection.shard.now());
    connection.shard.probe.refused.at(counted as usize).add(1);
    let mut answer = Plain::to(request, status, text);
    if status == 503 {
        answer.extra = Some(("Retry-After", "5"));
    }
    // A body that nobody asked for would be read as the next request.
    answer.keep_alive &=
        request.body_framing() == BodyFraming::None && refusal != JoinRefusal::Draining;
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
