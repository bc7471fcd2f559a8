//! HLS: playlists and media of mounts, and requests that wait for the next part.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use corecast_media::name::{MountName, SessionId};
use corecast_mesh::message::{JoinRefusal, NewPlayer, Question};
use corecast_protocol::hls::{
    Answer, Body, Cache, Directives, Request as HlsRequest, Resource, Response, WaiterId,
};
use corecast_protocol::http::{Fields, Method, Request};

use super::listener;
use super::question::{self, Finding};
use crate::admission::bars::{self, agent_of};
use crate::driver::Shard;
use crate::http::exchange::{Account, Exchange, log_header, log_line};
use crate::http::hls_path::named;
use crate::http::range::{RangeOutcome, range_of};
use crate::http::response::{Answering, Body as HttpBody, Played, Response as HttpResponse};
use crate::hub::{Asker, Watched};

/// How long a player may keep media of a guarded mount.
const PRIVATE_SECONDS: u32 = 3_600;

/// Answers a request for HLS. Nothing where the peer has gone meanwhile.
pub(crate) async fn answer(exchange: &mut Exchange<'_>) -> Option<HttpResponse> {
    let (shard, request) = (Rc::clone(&exchange.shard), exchange.request);
    let config = shard.config();
    let Some(named) = named(request.path()) else {
        return Some(refuse(&shard, JoinRefusal::NotFound));
    };
    if shard.is_draining() {
        // Else new ones would hold up the end for as long as they come.
        return Some(refuse(&shard, JoinRefusal::Draining));
    }
    let (agent, ip) = (agent_of(request), exchange.peer().ip());
    if let Some(refused) = bars::bar_listener(&config, named.mount.as_str(), ip, &agent) {
        return Some(listener::refuse(&shard, &refused));
    }
    let played = |player| Played {
        mount: named.mount.clone(),
        player,
    };
    let directives = match Directives::parse(request.query().unwrap_or_default()) {
        Ok(directives) => directives,
        Err(bad) => {
            return Some(rendered(
                &shard,
                request,
                Answer::BadRequest(bad),
                played(0),
            ));
        }
    };
    let token = directives.token.as_deref().unwrap_or_default();
    // What tells one player from another without a cookie.
    let shown: [&[u8]; 3] = [&octets(ip), agent.as_bytes(), token.as_bytes()];
    let player = shard.seats.players.number(&shown);
    let guarded = question::guards_listeners(config.mount(named.mount.as_str()));
    if guarded {
        let mount = named.mount.as_str();
        let pass = pass_number(&shard, request, [mount, &ip.to_string(), &agent, token]);
        // Its first request says all that it has to say.
        let enters = matches!(named.resource, Resource::Multivariant);
        if enters || !shard.passes.hold(shard.now(), pass) {
            let (account, mount) = (exchange.account, named.mount.clone());
            let asked = Question {
                client: session_of(&shard, &mount, player),
                ..question::question(account, request, mount, false)
            };
            let asking = question::ask_about_listener(&shard, exchange.gone(), asked);
            match Box::pin(asking).await {
                Finding::Welcome(stay_max) => shard.passes.give(shard.now(), pass, stay_max),
                Finding::Gone => return None,
                Finding::Unwelcome(refused) => return Some(listener::refuse(&shard, &refused)),
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
    let answered = look(exchange, &named.mount, &asked, player).await;
    Some(match answered {
        Ok(answer) => rendered(&shard, request, private(answer, guarded), played(player)),
        Err(refusal) => refuse(&shard, refusal),
    })
}

/// An address, the same whether it is written as one of IPv4 or as that of IPv6 for it.
fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// What a player is called at a mount: scripts hear of its end by the number that they were asked
/// with, whichever shards it came to.
fn session_of(shard: &Shard, mount: &MountName, player: u64) -> SessionId {
    let parts = [mount.as_str().as_bytes(), &player.to_be_bytes()];
    SessionId::of_player(shard.seats.players.number(&parts))
}

/// Who asks for the first time.
fn card(shard: &Shard, account: &Account, request: &Request, of: (&MountName, u64)) -> NewPlayer {
    let (mount, player) = of;
    NewPlayer {
        player,
        session: session_of(shard, mount, player),
        peer: account.peer,
        user_agent: log_header(request, "user-agent").into(),
        referer: log_header(request, "referer").into(),
        request: log_line(request),
        since: account.since,
    }
}

fn refuse(shard: &Shard, refusal: JoinRefusal) -> HttpResponse {
    listener::refuse(shard, &listener::refused(refusal))
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
pub(crate) fn preflight() -> HttpResponse {
    let fields = open_fields()
        .with("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
        .with(
            "Access-Control-Allow-Headers",
            "Authorization, Icy-MetaData, If-None-Match, Range",
        )
        .with("Access-Control-Max-Age", "86400");
    HttpResponse::new(204, fields)
}

/// Asks the hub, as often as it says.
async fn look(
    exchange: &mut Exchange<'_>,
    mount: &MountName,
    asked: &HlsRequest<'_>,
    player: u64,
) -> Result<Answer, JoinRefusal> {
    let (shard, session) = (Rc::clone(&exchange.shard), exchange.account.session);
    let _answering = Answering::new(&shard);
    let (account, request) = (exchange.account, exchange.request);
    let card = || card(&shard, &account, request, (mount, player));
    let asker = Asker {
        player,
        card: &card,
    };
    // Players ask for these again and again.
    let asks_often = matches!(asked.resource, Resource::Playlist(_) | Resource::Manifest);
    let asker = Some(asker).filter(|_| asks_often && request.method() == Method::Get);
    let mut hinted = false;
    // No list may be older than one that another shard gave out before.
    shard.take_in();
    loop {
        let again = shard.askers.expect(session);
        let mut place = Place {
            shard: &shard,
            session,
            mount,
            waiter: None,
        };
        match shard.with_hub(|hub, now| hub.watch(now, session, mount, asked, asker)) {
            Watched::Answer(answer) => return Ok(answer),
            Watched::Refused(refusal) => return Err(refusal),
            Watched::Wait(waiter) => place.waiter = Some(waiter),
        }
        if let (Resource::Playlist(rendition), false) = (asked.resource, hinted) {
            let next = shard.look(|hub| hub.next_part(mount, rendition));
            next.iter().for_each(|name| exchange.hint(name));
            hinted = next.is_some();
        }
        // Only the end of the shard drops the other end.
        if again.await.is_err() {
            return Err(JoinRefusal::Draining);
        }
        place.waiter = None;
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

/// Whether the client takes gzip (RFC 9110 section 12.5.3).
fn takes_gzip(request: &Request) -> bool {
    let lines = request.headers().find_all("accept-encoding");
    let said = lines.filter_map(|line| std::str::from_utf8(line).ok());
    // What is said of all codings holds for those that are not named.
    let (mut by_name, mut by_star) = (None, None);
    for coding in said.flat_map(|line| line.split(',')) {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix(['q', 'Q']);
        let weight = weight.and_then(|rest| rest.trim_start().strip_prefix('='));
        let is_zero = |weight: &str| weight.bytes().all(|byte| matches!(byte, b'0' | b'.'));
        let takes = !weight
            .map(str::trim)
            .is_some_and(|weight| !weight.is_empty() && is_zero(weight));
        match name.trim() {
            name if name.eq_ignore_ascii_case("gzip") => by_name = Some(takes),
            name if name.eq_ignore_ascii_case("x-gzip") => by_name = by_name.or(Some(takes)),
            "*" => by_star = Some(takes),
            _ => {}
        }
    }
    by_name.or(by_star).unwrap_or(false)
}

/// What the hub answered.
fn rendered(shard: &Rc<Shard>, request: &Request, answer: Answer, played: Played) -> HttpResponse {
    let cache = answer.cache().to_string();
    let mut response = match &answer {
        Answer::Ready(response) => found(request, response, cache),
        Answer::NotFound | Answer::BadRequest(_) | Answer::Unavailable | Answer::Wait { .. } => {
            missing(&answer, &cache)
        }
    };
    response.hls = Some(Box::new(played));
    response.hold = Some(Answering::new(shard));
    response
}

fn missing(answer: &Answer, cache: &str) -> HttpResponse {
    let reason = match answer {
        Answer::BadRequest(bad) => bad.to_string(),
        Answer::NotFound => "there is no such file now".to_owned(),
        _ => "it did not come in time".to_owned(),
    };
    let status = answer.status().unwrap_or(503);
    let mut fields = open_fields()
        .with("Content-Type", "text/plain; charset=utf-8")
        .with("Cache-Control", cache);
    if status == 503 {
        fields.push("Retry-After", "1");
    }
    let mut response = HttpResponse::new(status, fields);
    response.body = HttpBody::Pieces(vec![reason.into()]);
    response
}

fn found(request: &Request, response: &Response, cache: String) -> HttpResponse {
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
        _ => cache,
    };
    let mut fields = open_fields()
        .with("Content-Type", response.content_type.as_str())
        .with("Cache-Control", cache);
    if let Some(etag) = &response.etag {
        fields.push("ETag", etag.as_bytes());
    }
    if is_media {
        fields.push("Accept-Ranges", "bytes");
    } else {
        fields.push("Vary", "Accept-Encoding");
    }
    if response.gzip && status == 200 {
        fields.push("Content-Encoding", "gzip");
    }
    match status {
        206 => {
            let shown = format!("bytes {}-{}/{length}", range.start, range.end - 1);
            fields.push("Content-Range", shown);
        }
        416 => fields.push("Content-Range", format!("bytes */{length}")),
        _ => {}
    }
    let mut answer = HttpResponse::new(status, fields);
    if !matches!(status, 304 | 416) {
        answer.body = HttpBody::Pieces(pieces_within(&response.body, range));
    }
    answer
}

/// The pieces of `body` within `range`.
fn pieces_within(body: &Body, range: std::ops::Range<u64>) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    let mut at = 0u64;
    for piece in body.pieces() {
        let end = at + piece.len() as u64;
        let (from, to) = (range.start.max(at), range.end.min(end));
        if from < to {
            pieces.push(piece.slice((from - at) as usize..(to - at) as usize));
        }
        at = end;
    }
    pieces
}

/// Whether the client has what `etag` names (RFC 9110 section 13.1.2).
fn fits(request: &Request, etag: &Arc<str>) -> bool {
    let lines = request.headers().find_all("if-none-match");
    let given = lines.filter_map(|line| std::str::from_utf8(line).ok());
    let mut tags = given.flat_map(|line| line.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == &**etag)
}

/// What every answer begins with: any page may play.
fn open_fields() -> Fields {
    Fields::with_capacity(512)
        .with("Access-Control-Allow-Origin", "*")
        .with(
            "Access-Control-Expose-Headers",
            "Date, Content-Length, Content-Range, ETag",
        )
}

#[cfg(test)]
mod tests {
    use corecast_protocol::http::Limits;
    use corecast_protocol::http1::{Parse, parse_request};

    use super::*;

    fn request(lines: &str) -> Request {
        let head = Bytes::from(format!("GET /a.m3u8 HTTP/1.0\r\n{lines}\r\n"));
        match parse_request(&head, &Limits::default()) {
            Ok(Parse::Done { request, .. }) => *request,
            other => panic!("{lines}: {other:?}"),
        }
    }

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for (accepted, takes) in [
            ("gzip", true),
            ("br, GZIP", true),
            ("x-gzip", true),
            ("br;q=1.0, gzip;q=0.5", true),
            ("gzip; q=0.001", true),
            ("*", true),
            ("br;q=0, *", true),
            ("", false),
            ("br", false),
            ("identity", false),
            ("gzip;q=0", false),
            ("gzip; Q=0.000", false),
            // What is named is not meant by the star (RFC 9110 section 12.5.3).
            ("gzip;q=0, *", false),
            ("*, gzip;q=0", false),
            ("*;q=0", false),
            ("*;q=0, gzip", true),
        ] {
            let request = request(&format!("Accept-Encoding: {accepted}\r\n"));
            assert_eq!(takes_gzip(&request), takes, "{accepted}");
        }
        let lines = "Accept-Encoding: br\r\nAccept-Encoding: gzip\r\n";
        assert!(takes_gzip(&request(lines)));
        assert!(!takes_gzip(&request("")));
    }

    #[test]
    fn a_tag_is_found_among_others() {
        let etag: Arc<str> = "\"a-g\"".into();
        for (lines, is_known) in [
            ("If-None-Match: \"a-g\"\r\n", true),
            ("If-None-Match: \"b\", W/\"a-g\"\r\n", true),
            ("If-None-Match: \"b\"\r\nIf-None-Match: \"a-g\"\r\n", true),
            ("If-None-Match: *\r\n", true),
            ("If-None-Match: \"a\"\r\n", false),
            ("", false),
        ] {
            assert_eq!(fits(&request(lines), &etag), is_known, "{lines}");
        }
    }
}
