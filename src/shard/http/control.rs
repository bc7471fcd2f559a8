//! Requests that control answers: carried to it as one message, answered by messages.
//!
//! Control may be slow or stopped: the requester is told so after [`CONTROL_TIMEOUT`], and nothing
//! else on the shard notices.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use corecast_media::name::SessionId;
use corecast_mesh::message::{ControlRequest, RESPONSE_CHUNKS_MAX, ToControl};
use corecast_protocol::http::{Fields, Request};

use super::connection::BodyFault;
use super::exchange::{Account, Exchange};
use super::inbox::{ResponseInbox, ResponsePart};
use super::response::{Body, Response};
use super::room::Share;
use crate::admission::Refused;
use crate::admission::guessing::{self, Surface};
use crate::driver::Shard;

/// How long control may take to begin its answer.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });

/// How long control may be silent inside an answer.
const CONTROL_SILENCE_MAX: Duration = Duration::from_secs(60);

/// Body chunks after which control gets new credit.
const CREDIT_STEP: u16 = RESPONSE_CHUNKS_MAX / 2;

/// Fields of control's answers that the front ends write themselves.
const FRAMING_FIELDS: [&str; 4] = [
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
];

/// Has a request answered by control. Nothing where the peer has gone meanwhile.
pub(crate) async fn answer(exchange: &mut Exchange<'_>) -> Option<Response> {
    let shard = Rc::clone(&exchange.shard);
    let ip = exchange.peer().ip();
    let guesses = says_password(exchange.request);
    let refused = guessing::locked_out(&shard, Surface::Control, ip).filter(|_| guesses);
    if let Some(refused) = refused {
        return Some(locked(&shard, &refused));
    }
    let limits = &shard.config().limits;
    let body_bytes_max = limits.body_bytes_max as usize;
    let mut share = Share::of(&shard.bodies);
    let body = exchange
        .receive_body(body_bytes_max, limits.idle_timeout, &mut share)
        .await;
    let body = match body {
        Ok(body) => body,
        Err(BodyFault::Gone) => return None,
        Err(BodyFault::Late) => {
            return Some(Response::plain(408, "request body took too long").last());
        }
        Err(BodyFault::Refused(bad)) => {
            return Some(Response::plain(bad.status, bad.reason).last());
        }
    };
    Some(ask(&shard, exchange.account, exchange.request, body).await)
}

/// The answer to an address that is locked out.
fn locked(shard: &Shard, refused: &Refused) -> Response {
    shard.probe.refused.at(refused.counted as usize).add(1);
    Response::refusal(refused).last()
}

/// Whether an answer of 401 means a wrong password and not a missing one.
fn says_password(request: &Request) -> bool {
    // Shoutcast's titles come with the password in the query.
    request.headers().find("authorization").is_some() || request.path() == "/admin.cgi"
}

async fn ask(shard: &Rc<Shard>, account: Account, request: &Request, body: Bytes) -> Response {
    let busy = || Response::plain(503, "control is busy").with("Retry-After", "1");
    if shard.inboxes.are_full() {
        return busy();
    }
    let session = account.session;
    let inbox = shard.inboxes.open(session);
    let mut waiting = Waiting {
        shard: Rc::clone(shard),
        session,
        inbox,
        asked: false,
    };
    let message = ToControl::Request(Box::new(to_control(account, request, body)));
    if shard.try_tell_control(message).is_err() {
        return busy();
    }
    waiting.asked = true;
    let mut body = ControlBody {
        waiting,
        taken: 0,
        length: None,
    };
    let head = monoio::time::timeout(CONTROL_TIMEOUT, body.waiting.inbox.next()).await;
    match head {
        Ok(ResponsePart::Head {
            status,
            headers,
            length,
        }) => {
            // Before the peer hears of it: its next guess may come to another shard at once.
            if says_password(request) {
                let (ip, failed) = (account.peer.ip(), status == 401);
                if let Some(refused) = guessing::judge(shard, Surface::Control, ip, failed) {
                    return locked(shard, &refused);
                }
            }
            body.length = length;
            let mut response = Response::new(status, fields(&headers));
            response.body = Body::Control(body);
            response
        }
        Ok(ResponsePart::Body(_) | ResponsePart::End) => {
            Response::plain(502, "control gave a broken answer")
        }
        Err(_) => {
            shard.probe.control_late.add(1);
            Response::plain(504, "control did not answer in time")
        }
    }
}

fn fields(headers: &[(Box<str>, Bytes)]) -> Fields {
    let mut fields = Fields::with_capacity(512);
    for (name, value) in headers {
        if !FRAMING_FIELDS
            .iter()
            .any(|own| name.eq_ignore_ascii_case(own))
        {
            fields.push(name, value);
        }
    }
    fields
}

fn to_control(account: Account, request: &Request, body: Bytes) -> ControlRequest {
    let mut headers = Vec::with_capacity(request.headers().len() + 1);
    let mut add = |name: &str, value: &[u8]| {
        let name = name.to_ascii_lowercase().into_boxed_str();
        headers.push((name, Bytes::copy_from_slice(value)));
    };
    // Versions of HTTP say in different places whom a request is for (RFC 9110 section 7.2).
    if !request.host().is_empty() {
        add("host", request.host().as_bytes());
    }
    for (name, value) in request.headers().iter() {
        if !name.eq_ignore_ascii_case("host") {
            add(name, value);
        }
    }
    ControlRequest {
        session: account.session,
        method: request.method().as_str().into(),
        target: request.origin_form().into(),
        headers,
        peer: account.peer,
        body,
    }
}

/// The body of control's answer, as it comes. Dropped before its end, it tells control that nobody
/// waits.
pub(crate) struct ControlBody {
    waiting: Waiting,
    /// Chunks taken for which control got no new credit.
    taken: u16,
    length: Option<u64>,
}

/// A piece of an answer.
#[derive(Debug)]
pub(crate) enum Chunk {
    /// Bytes of the body.
    Data(Bytes),
    /// All has come.
    End,
    /// Control fell silent or broke its word.
    Broken,
}

impl ControlBody {
    /// Its length in bytes, where control said it.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    /// The next piece, if it is there.
    pub(crate) fn try_next(&mut self) -> Option<Chunk> {
        let part = self.waiting.inbox.try_next()?;
        Some(self.take(part))
    }

    /// The next piece.
    pub(crate) async fn next(&mut self) -> Chunk {
        match monoio::time::timeout(CONTROL_SILENCE_MAX, self.waiting.inbox.next()).await {
            Ok(part) => self.take(part),
            Err(_) => Chunk::Broken,
        }
    }

    fn take(&mut self, part: ResponsePart) -> Chunk {
        match part {
            ResponsePart::Body(data) => {
                self.taken += 1;
                if self.taken == CREDIT_STEP {
                    let (session, chunks) = (self.waiting.session, std::mem::take(&mut self.taken));
                    let credit = ToControl::Credit { session, chunks };
                    self.waiting.shard.tell_control(credit);
                }
                Chunk::Data(data)
            }
            ResponsePart::End => Chunk::End,
            ResponsePart::Head { .. } => Chunk::Broken,
        }
    }
}

impl std::fmt::Debug for ControlBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlBody")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// A request whose answer is expected. Dropped while control is at it, it tells control that
/// nobody waits.
struct Waiting {
    shard: Rc<Shard>,
    session: SessionId,
    inbox: Rc<ResponseInbox>,
    /// Whether control knows of it.
    asked: bool,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.shard.inboxes.forget(self.session);
        if self.asked && !self.inbox.is_complete() {
            self.shard
                .tell_control(ToControl::RequestEnded(self.session));
        }
    }
}

#[cfg(test)]
mod tests {
    use corecast_media::name::ShardId;
    use corecast_media::time::Time;
    use corecast_protocol::http::{Limits, RequestFields, Version};
    use corecast_protocol::http1::{Parse, parse_request};

    use super::*;

    fn host_of(request: &Request) -> (String, Vec<String>) {
        let account = Account {
            session: SessionId::new(ShardId(0), 1),
            since: Time::ZERO,
            peer: ([127, 0, 0, 1], 1).into(),
        };
        let told = to_control(account, request, Bytes::new());
        let text = |value: &Bytes| String::from_utf8_lossy(value).into_owned();
        let hosts = told.headers.iter().filter(|(name, _)| &**name == "host");
        let hosts = hosts.map(|(_, value)| text(value)).collect();
        (told.target.into(), hosts)
    }

    #[test]
    fn control_hears_whom_a_request_is_for_however_it_is_said() {
        for (head, target, host) in [
            ("GET /a?b HTTP/1.1\r\nHost: h:1\r\n\r\n", "/a?b", "h:1"),
            ("GET http://o:2/a HTTP/1.1\r\nHost: h\r\n\r\n", "/a", "o:2"),
        ] {
            let head = Bytes::from_static(head.as_bytes());
            let Ok(Parse::Done { request, .. }) = parse_request(&head, &Limits::default()) else {
                panic!("a good head");
            };
            let expected = (target.to_owned(), vec![host.to_owned()]);
            assert_eq!(host_of(&request), expected);
        }
        for host in [None, Some((&b"host"[..], &b"h:3"[..]))] {
            let given = RequestFields {
                version: Version::Http2,
                method: b"GET",
                scheme: Some(b"https"),
                authority: Some(b"h:3"),
                path: Some(b"/a"),
                protocol: None,
                fields: &mut host.into_iter(),
                ends: true,
            };
            let request = Request::from_fields(given, &Limits::default()).expect("a good request");
            assert_eq!(host_of(&request), ("/a".to_owned(), vec!["h:3".to_owned()]));
        }
        let old = Bytes::from_static(b"GET /a HTTP/1.0\r\n\r\n");
        let Ok(Parse::Done { request, .. }) = parse_request(&old, &Limits::default()) else {
            panic!("a good head");
        };
        assert_eq!(host_of(&request), ("/a".to_owned(), Vec::new()));
    }
}
