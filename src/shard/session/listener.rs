//! A listener: from its request to the stream that answers it.

use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use corecast_config::Config;
use corecast_media::name::{MountName, Output};
use corecast_media::time::Time;
use corecast_mesh::message::JoinRefusal;
use corecast_protocol::http::{Fields, Method, Request};
use corecast_protocol::icy::ListenerHead;
use corecast_protocol::icy::listener::wants_metadata;
use corecast_protocol::icy::source::credentials;

use super::auth;
use super::question::{self, Finding};
use super::stream::stream_of;
use super::websocket::{self, Wished};
use crate::admission::Refused;
use crate::admission::bars::{self, agent_of};
use crate::driver::Shard;
use crate::http::exchange::{Exchange, log_header, log_line, log_text};
use crate::http::response::{Body, Response};
use crate::hub::{ListenerCard, Seat};
use crate::joining::{Joining, Wish};
use crate::probe::Refusal;

/// The mount at which tests get back what they say.
const ECHO: &str = "/echo";

/// Gives the peer a seat at the mount that it asks for. Nothing where it has gone meanwhile.
pub(crate) async fn answer(exchange: &mut Exchange<'_>) -> Option<Response> {
    let (shard, request) = (Rc::clone(&exchange.shard), exchange.request);
    let config = shard.config();
    let Some(stream) = stream_of(&config, request.path()) else {
        return Some(refuse(&shard, &refused(JoinRefusal::NotFound)));
    };
    let websocket = match websocket::wish(request) {
        Ok(websocket) => websocket,
        Err(refusal) => return Some(refusal),
    };
    if request.method() == Method::Connect && websocket.is_none() {
        // RFC 9220 section 3.
        return Some(Response::plain(
            501,
            "only WebSockets are spoken in a CONNECT",
        ));
    }
    let (stream, websocket) = match websocket {
        Some(_) if stream.output() == Some(Output::Flv) => {
            (stream.with_output(Output::WsFlv), websocket)
        }
        // Tests ask for all of the protocol there.
        Some(_) if cfg!(test) && stream.as_str() == ECHO => (stream, websocket),
        Some(Wished::Connect) => return Some(Response::plain(404, "no WebSocket is here")),
        _ => (stream, None),
    };
    let mount = stream.to_base();
    let agent = agent_of(request);
    let barred = bars::bar_listener(&config, mount.as_str(), exchange.peer().ip(), &agent);
    if let Some(refused) = barred {
        return Some(refuse(&shard, &refused));
    }
    let mut wish = Wish::new(&shard, exchange.account.session);
    let seat = match wish.seat(stream.clone()).await {
        Ok(seat) => seat,
        Err(refusal) => {
            let refused = redirected(&config, &mount, request, refusal);
            return Some(refuse(&shard, &refused));
        }
    };
    let stay_max = match Box::pin(admit(exchange, mount.clone())).await {
        Finding::Welcome(stay_max) => stay_max,
        Finding::Unwelcome(refused) => return Some(refuse(&shard, &refused)),
        Finding::Gone => return None,
    };
    let metaint = if wants_metadata(request) {
        seat.metaint
    } else {
        0
    };
    let mut response = match websocket {
        Some(wished) => wished.accept(),
        None => Response::new(200, fields(&seat, metaint)),
    };
    response.body = Body::Reader(Joining {
        wish,
        metaint,
        talks: websocket.is_some(),
        card: card(exchange, &mount, stay_max),
    });
    Some(response)
}

fn fields(seat: &Seat, metaint: u32) -> Fields {
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
    };
    head.fields()
}

/// Whether somebody with a seat may listen. Who only asks for the head is not asked about: hooks
/// count listeners.
async fn admit(exchange: &mut Exchange<'_>, mount: MountName) -> Finding {
    let config = exchange.shard.config();
    let guarded = question::guards_listeners(config.mount(mount.as_str()));
    if !guarded || exchange.request.method() == Method::Head {
        return Finding::Welcome(None);
    }
    let asked = question::question(exchange.account, exchange.request, mount, false);
    let shard = Rc::clone(&exchange.shard);
    question::ask_about_listener(&shard, exchange.gone(), asked).await
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
    exchange: &Exchange<'_>,
    mount: &MountName,
    stay_max: Option<Duration>,
) -> Box<ListenerCard> {
    let (shard, request) = (&exchange.shard, exchange.request);
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
        peer: exchange.peer(),
        user_agent: log_header(request, "user-agent").into(),
        referer: log_header(request, "referer").into(),
        request: log_line(request),
        user,
        since: shard.now(),
        until: stay_until(shard, mount, stay_max),
        relays,
    })
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
    let location = format!("{elsewhere}{}", request.origin_form());
    Refused {
        extra: Some(("Location", location.into())),
        ..Refused::new(302, "another server has room for you", Refusal::Full)
    }
}

/// Tells the peer why it gets nothing.
pub(crate) fn refuse(shard: &Shard, refused: &Refused) -> Response {
    shard.probe.refused.at(refused.counted as usize).add(1);
    let mut response = Response::refusal(refused);
    response.last = refused.counted == Refusal::Draining;
    response
}
