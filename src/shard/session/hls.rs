//! HLS: playlists and media of mounts, and requests that wait for the next part.

use std::rc::Rc;
use std::sync::Arc;

use bytes::BytesMut;
use corecast_media::name::{MountName, SessionId};
use corecast_mesh::message::JoinRefusal;
use corecast_protocol::hls::{
    Answer, Body, Cache, Directives, Request as HlsRequest, Resource, Response, WaiterId,
};
use corecast_protocol::http1::{BodyFraming, Method, Request, ResponseHead};

use super::listener::{self, refuse};
use super::question::{self, Finding};
use crate::admission::bars::{self, agent_of};
use crate::driver::Shard;
use crate::http::connection::Connection;
use crate::http::hls_path::named;
use crate::http::range::{RangeOutcome, range_of};
use crate::http::response::{SERVER, unix_seconds, version_for};
use crate::hub::{Watched, player_of};

/// How long a player may keep media of a guarded mount.
const PRIVATE_SECONDS: u32 = 3_600;

/// Answers a request for HLS. The connection comes back where it may bring another.
pub(crate) async fn run(mut connection: Connection, request: &Request) -> Option<Connection> {
    let shard = Rc::clone(&connection.shard);
    let config = shard.config();
    let Some(named) = named(request.path()) else {
        let refused = listener::refused(JoinRefusal::NotFound);
        return Box::pin(refuse(connection, request, refused)).await;
    };
    if shard.is_draining() {
        // Else new ones would hold up the end for as long as they come.
        let refused = listener::refused(JoinRefusal::Draining);
        return Box::pin(refuse(connection, request, refused)).await;
    }
    let (agent, ip) = (agent_of(request), connection.peer.ip());
    if let Some(refused) = bars::bar_listener(&config, named.mount.as_str(), ip, &agent) {
        return Box::pin(refuse(connection, request, refused)).await;
    }
    let directives = match Directives::parse(query_of(request)) {
        Ok(directives) => directives,
        Err(bad) => {
            let answer = Answer::BadRequest(bad);
            return send(connection, request, &answer).await;
        }
    };
    let session = shard.next_session();
    let token = directives.token.as_deref().unwrap_or_default();
    let guarded = question::guards_listeners(config.mount(named.mount.as_str()));
    if guarded {
        let mount = named.mount.as_str();
        let player = pass_number(&shard, request, [mount, &ip.to_string(), &agent, token]);
        // Its first request says all that it has to say.
        let enters = matches!(named.resource, Resource::Multivariant);
        if enters || !shard.passes.hold(shard.now(), player) {
            let mount = named.mount.clone();
            let asked = question::question(&connection, request, session, mount, false);
            match Box::pin(question::ask_about_listener(&mut connection, asked)).await {
                Finding::Welcome(stay_max) => shard.passes.give(shard.now(), player, stay_max),
                Finding::Gone => return None,
                Finding::Unwelcome(refused) => {
                    return Box::pin(refuse(connection, request, refused)).await;
                }
            }
        }
    }
    let asked = HlsRequest {
        resource: named.resource,
        outside: named.outside,
        directives: &directives,
        gzip: takes_gzip(request),
        arrived: shard.now(),
    };
    let asks_often = matches!(named.resource, Resource::Playlist(_) | Resource::Manifest);
    let player = asks_often.then(|| {
        player_of(&[
            ip.to_string().as_bytes(),
            agent.as_bytes(),
            token.as_bytes(),
        ])
    });
    match answer(&shard, session, &named.mount, &asked, player).await {
        Ok(answer) => send(connection, request, &private(answer, guarded)).await,
        Err(refusal) => {
            let refused = listener::refused(refusal);
            Box::pin(refuse(connection, request, refused)).await
        }
    }
}

/// The number of a player among those who were let in.
fn pass_number(shard: &Shard, request: &Request, shown: [&str; 4]) -> u64 {
    let login = request.headers().find("authorization").unwrap_or_default();
    let [mount, ip, agent, token] = shown.map(str::as_bytes);
    shard.passes.number(&[mount, ip, agent, token, login])
}

/// The answer; where the mount is `guarded`, no cache may give it to anybody else.
fn private(mut answer: Answer, guarded: bool) -> Answer {
    if let (true, Answer::Ready(response)) = (guarded, &mut answer) {
        response.cache = match response.cache {
            Cache::Immutable => Cache::PrivateSeconds(PRIVATE_SECONDS),
            Cache::Seconds(seconds) => Cache::PrivateSeconds(seconds),
            Cache::Revalidate => Cache::PrivateRevalidate,
            other => other,
        };
    }
    answer
}

/// Lets any page ask for media in any way that we answer (Fetch standard, CORS-preflight).
pub(crate) async fn preflight(connection: Connection, request: &Request) -> Option<Connection> {
    let keep_alive = keeps_alive(&connection, request);
    let mut out = BytesMut::with_capacity(384);
    start(&mut out, request, 204, keep_alive)
        .header("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
        .header(
            "Access-Control-Allow-Headers",
            "Authorization, Icy-MetaData, If-None-Match, Range",
        )
        .header("Access-Control-Max-Age", "86400")
        .finish();
    finish(connection, &[&out], keep_alive).await
}

/// Asks the hub, as often as it says.
async fn answer(
    shard: &Rc<Shard>,
    session: SessionId,
    mount: &MountName,
    asked: &HlsRequest<'_>,
    player: Option<u64>,
) -> Result<Answer, JoinRefusal> {
    let _answering = Answering::new(shard);
    loop {
        let again = shard.askers.expect(session);
        let mut place = Place {
            shard,
            session,
            mount,
            waiter: None,
        };
        match shard.with_hub(|hub, now| hub.watch(now, session, mount, asked, player)) {
            Watched::Answer(answer) => return Ok(answer),
            Watched::Refused(refusal) => return Err(refusal),
            Watched::Wait(waiter) => place.waiter = Some(waiter),
        }
        // Only the end of the shard drops the other end.
        if again.await.is_err() {
            return Err(JoinRefusal::Draining);
        }
        place.waiter = None;
    }
}

/// A request that is being answered: a drain gives it its time.
struct Answering(Rc<Shard>);

impl Answering {
    fn new(shard: &Rc<Shard>) -> Self {
        shard.answering.set(shard.answering.get() + 1);
        Answering(Rc::clone(shard))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answering.set(self.0.answering.get() - 1);
    }
}

/// A place among those who wait; given up when dropped.
struct Place<'a> {
    shard: &'a Rc<Shard>,
    session: SessionId,
    mount: &'a MountName,
    waiter: Option<WaiterId>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.shard.askers.forget(self.session);
        if let Some(waiter) = self.waiter {
            self.shard
                .with_hub(|hub, _| hub.stop_waiting(self.mount, waiter));
        }
    }
}

fn query_of(request: &Request) -> &str {
    request
        .target()
        .split_once('?')
        .map_or("", |(_, query)| query)
}

/// Whether the client takes gzip (RFC 9110 section 12.5.3).
fn takes_gzip(request: &Request) -> bool {
    let accepted = request.headers().find_text("accept-encoding");
    let mut codings = accepted.unwrap_or_default().split(',').map(str::trim);
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|weight| {
            !weight.is_empty() && weight.bytes().all(|byte| matches!(byte, b'0' | b'.'))
        });
        (name.trim().eq_ignore_ascii_case("gzip") || name.trim() == "*") && !refused
    })
}

/// Sends what the hub answered.
async fn send(connection: Connection, request: &Request, answer: &Answer) -> Option<Connection> {
    match answer {
        Answer::Ready(response) => send_response(connection, request, response, answer).await,
        Answer::Wait { .. } => None,
        Answer::NotFound | Answer::BadRequest(_) | Answer::Unavailable => {
            let reason = match answer {
                Answer::BadRequest(bad) => bad.to_string(),
                Answer::Unavailable => "it did not come in time".to_owned(),
                _ => "there is no such file now".to_owned(),
            };
            let status = answer.status().unwrap_or(503);
            let (cache, text) = (answer.cache().to_string(), reason.as_bytes());
            let mut out = BytesMut::with_capacity(512);
            let keep_alive = keeps_alive(&connection, request);
            let mut head = start(&mut out, request, status, keep_alive)
                .header("Content-Type", "text/plain; charset=utf-8")
                .header("Cache-Control", &cache);
            if status == 503 {
                head = head.header("Retry-After", "1");
            }
            head.header_number("Content-Length", text.len() as u64)
                .finish();
            let text = if request.method() == Method::Head {
                &[]
            } else {
                text
            };
            finish(connection, &[&out, text], keep_alive).await
        }
    }
}

async fn send_response(
    connection: Connection,
    request: &Request,
    response: &Response,
    answer: &Answer,
) -> Option<Connection> {
    let keep_alive = keeps_alive(&connection, request);
    let length = response.body.bytes();
    let is_media = response.etag.is_none() && !response.gzip;
    let (status, range) = match range_of(request, length).filter(|_| is_media) {
        None => (200, 0..length),
        Some(RangeOutcome::Part(range)) => (206, range),
        Some(RangeOutcome::Unsatisfiable) => (416, 0..0),
    };
    let unchanged = response
        .etag
        .as_ref()
        .is_some_and(|etag| fits(request, etag));
    let status = if unchanged { 304 } else { status };
    let cache = match status {
        416 => "no-store".to_owned(),
        _ => answer.cache().to_string(),
    };
    let mut out = BytesMut::with_capacity(640);
    let mut head = start(&mut out, request, status, keep_alive)
        .header("Content-Type", response.content_type.as_str())
        .header("Cache-Control", &cache);
    if let Some(etag) = &response.etag {
        head = head.header("ETag", etag.as_bytes());
    }
    if is_media {
        head = head.header("Accept-Ranges", "bytes");
    } else {
        head = head.header("Vary", "Accept-Encoding");
    }
    if response.gzip && status == 200 {
        head = head.header("Content-Encoding", "gzip");
    }
    match status {
        206 => {
            let shown = format!("bytes {}-{}/{length}", range.start, range.end - 1);
            head = head.header("Content-Range", &shown);
        }
        416 => head = head.header("Content-Range", format!("bytes */{length}")),
        _ => {}
    }
    if status != 304 {
        head = head.header_number("Content-Length", range.end - range.start);
    }
    head.finish();
    let bodyless = request.method() == Method::Head || matches!(status, 304 | 416);
    let mut parts: Vec<&[u8]> = vec![&out];
    if !bodyless {
        push_range(&mut parts, &response.body, range);
    }
    finish(connection, &parts, keep_alive).await
}

/// The pieces of `body` within `range`.
fn push_range<'a>(parts: &mut Vec<&'a [u8]>, body: &'a Body, range: std::ops::Range<u64>) {
    let mut at = 0u64;
    for piece in body.pieces() {
        let end = at + piece.len() as u64;
        let (from, to) = (range.start.max(at), range.end.min(end));
        if from < to {
            parts.extend(piece.get((from - at) as usize..(to - at) as usize));
        }
        at = end;
    }
}

/// Whether the client has what `etag` names (RFC 9110 section 13.1.2).
fn fits(request: &Request, etag: &Arc<str>) -> bool {
    let given = request.headers().find_text("if-none-match");
    let mut tags = given.unwrap_or_default().split(',').map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == &**etag)
}

fn keeps_alive(connection: &Connection, request: &Request) -> bool {
    request.keep_alive()
        && request.body_framing() == BodyFraming::None
        && !connection.shard.is_draining()
}

/// What every answer begins with: any page may play.
fn start<'b>(
    out: &'b mut BytesMut,
    request: &Request,
    status: u16,
    keep_alive: bool,
) -> ResponseHead<'b> {
    ResponseHead::start(out, version_for(request.version()), status)
        .date(unix_seconds())
        .header("Server", SERVER)
        .header("Access-Control-Allow-Origin", "*")
        .header(
            "Access-Control-Expose-Headers",
            "Date, Content-Length, Content-Range, ETag",
        )
        .header(
            "Connection",
            if keep_alive { "keep-alive" } else { "close" },
        )
}

async fn finish(
    mut connection: Connection,
    parts: &[&[u8]],
    keep_alive: bool,
) -> Option<Connection> {
    let answering = Answering::new(&connection.shard);
    connection.send(parts).await.ok()?;
    drop(answering);
    let sent: usize = parts.iter().map(|part| part.len()).sum();
    connection.shard.probe.hls_bytes.add(sent as u64);
    if keep_alive {
        return Some(connection);
    }
    connection.close_in_order().await;
    None
}
