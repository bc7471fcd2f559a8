//! Requests that control answers: carried to it as one message, answered by messages.
//!
//! Control may be slow or stopped: the requester is told so after [`CONTROL_TIMEOUT`], and nothing
//! else on the shard notices.

use std::rc::Rc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use corecast_media::name::SessionId;
use corecast_media::time::Time;
use corecast_mesh::message::{
    AccessRecord, ControlRequest, EndReason, RESPONSE_CHUNKS_MAX, ToControl,
};
use corecast_protocol::http1::{Method, Request, ResponseHead, Version};
use corecast_protocol::text;

use super::connection::{BodyFault, Connection};
use super::inbox::{ResponseInbox, ResponsePart};
use super::response::{Plain, SERVER, unix_seconds, version_for};
use crate::admission::guessing::{self, Surface};
use crate::driver::Shard;
use crate::task::{First, first};

/// How long control may take to begin its answer.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });

/// How long control may be silent inside an answer.
const CONTROL_SILENCE_MAX: Duration = Duration::from_secs(60);

/// Requests of one shard that may wait for control at once.
const REQUESTS_WAITING_MAX: usize = 256;

/// Body chunks after which control gets new credit.
const CREDIT_STEP: u16 = RESPONSE_CHUNKS_MAX / 2;

/// Bytes of an answer that are copied together into one send.
const GATHER_BYTES_MAX: usize = 16 * 1024;

/// The longest text of a request in the access log.
const LOG_TEXT_BYTES_MAX: usize = 1_024;

/// What becomes of the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// Another request may follow.
    KeepAlive,
    /// All is sent: close in good order.
    Close,
    /// The answer is broken or the peer is gone: close at once.
    Abort,
}

/// Has `request` answered by control.
pub(crate) async fn answer(connection: &mut Connection, request: &Request) -> After {
    let (shard, since) = (Rc::clone(&connection.shard), connection.shard.now());
    let session = shard.next_session();
    let sent_before = connection.sent_bytes();
    let ip = connection.peer.ip();
    let guesses = says_password(request);
    let locked = guessing::locked_out(&shard, Surface::Control, ip).filter(|_| guesses);
    let (after, status) = match locked {
        Some(refused) => {
            shard.probe.refused.at(refused.counted as usize).add(1);
            let sent = connection
                .send(&[&Plain::last_refusal(request, &refused).render()])
                .await;
            let after = sent.map_or(After::Abort, |()| After::Close);
            (after, refused.status)
        }
        None => exchange(connection, request, &shard, session).await,
    };
    let reason = match after {
        After::Abort => EndReason::PeerReset,
        After::KeepAlive | After::Close => EndReason::PeerClosed,
    };
    let bytes = connection.sent_bytes().saturating_sub(sent_before);
    let peer = connection.peer;
    shard.tell_access(record(
        session,
        peer,
        request,
        Outcome {
            status,
            bytes,
            since,
            reason,
        },
        &shard,
    ));
    after
}

/// Whether an answer of 401 means a wrong password and not a missing one.
fn says_password(request: &Request) -> bool {
    // Shoutcast's titles come with the password in the query.
    request.headers().find("authorization").is_some() || request.path() == "/admin.cgi"
}

/// How a request ended, for the access log.
pub(crate) struct Outcome {
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    pub(crate) since: Time,
    pub(crate) reason: EndReason,
}

/// A request's line for the access log.
pub(crate) fn record(
    session: SessionId,
    peer: std::net::SocketAddr,
    request: &Request,
    outcome: Outcome,
    shard: &Shard,
) -> AccessRecord {
    AccessRecord {
        session,
        peer,
        user: None,
        request: log_line(request),
        status: outcome.status,
        bytes: outcome.bytes,
        referer: log_header(request, "referer").into(),
        user_agent: log_header(request, "user-agent").into(),
        duration: shard.now().since(outcome.since),
        reason: outcome.reason,
        mount: None,
    }
}

/// A request line, clean. Hooks are told all of it; the access log leaves its query out.
pub(crate) fn log_line(request: &Request) -> Box<str> {
    log_text(&request.line())
}

/// A header as logs show it.
pub(crate) fn log_header(request: &Request, name: &str) -> String {
    let value = request.headers().find(name).unwrap_or_default();
    text::clean(&text::decode(value), LOG_TEXT_BYTES_MAX)
}

/// Any text of a peer as logs show it.
pub(crate) fn log_text(said: &str) -> Box<str> {
    text::clean(said, LOG_TEXT_BYTES_MAX).into()
}

async fn exchange(
    connection: &mut Connection,
    request: &Request,
    shard: &Rc<Shard>,
    session: SessionId,
) -> (After, u16) {
    let limits = &shard.config().limits;
    let body_bytes_max = limits.body_bytes_max as usize;
    let body = connection
        .receive_body(request, body_bytes_max, limits.idle_timeout)
        .await;
    let body = match body {
        Ok(body) => body,
        Err(BodyFault::Gone) => return (After::Abort, 400),
        Err(BodyFault::Late) => {
            return last_answer(connection, request, 408, "request body took too long").await;
        }
        Err(BodyFault::Refused(bad)) => {
            return last_answer(connection, request, bad.status, bad.reason).await;
        }
    };
    if shard.requests_waiting() >= REQUESTS_WAITING_MAX {
        return own_answer(connection, request, 503, "control is busy").await;
    }
    let inbox = shard.expect_response(session);
    let waiting = Waiting { shard, session };
    let message = ToControl::Request(Box::new(to_control(connection, request, session, body)));
    if shard.try_tell_control(message).is_err() {
        waiting.done();
        return own_answer(connection, request, 503, "control is busy").await;
    }
    let head = monoio::time::timeout(CONTROL_TIMEOUT, inbox.next()).await;
    let outcome = match head {
        Ok(ResponsePart::Head {
            status,
            headers,
            length,
        }) => {
            let head = Head {
                status,
                headers,
                length,
            };
            // Before the peer hears of it: its next guess may come to another shard at once.
            if status == 401 && says_password(request) {
                guessing::note_failure(shard, Surface::Control, connection.peer.ip());
            }
            let after = relay(connection, request, &inbox, &waiting, head).await;
            (after, status)
        }
        Ok(ResponsePart::Body(_) | ResponsePart::End) => {
            own_answer(connection, request, 502, "control gave a broken answer").await
        }
        Err(_) => {
            shard.probe.control_late.add(1);
            own_answer(connection, request, 504, "control did not answer in time").await
        }
    };
    if outcome.0 != After::Abort && inbox.is_complete() {
        waiting.done();
    }
    outcome
}

/// A request that control knows. Dropped before it is done, it tells control that nobody waits.
struct Waiting<'a> {
    shard: &'a Rc<Shard>,
    session: SessionId,
}

impl Waiting<'_> {
    /// The answer is complete, or control never got the request.
    fn done(self) {
        self.shard.forget_request(self.session);
        std::mem::forget(self);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shard.forget_request(self.session);
        self.shard
            .tell_control(ToControl::RequestEnded(self.session));
    }
}

fn to_control(
    connection: &Connection,
    request: &Request,
    session: SessionId,
    body: Bytes,
) -> ControlRequest {
    let headers = request.headers().iter().map(|(name, value)| {
        (
            name.to_ascii_lowercase().into_boxed_str(),
            Bytes::copy_from_slice(value),
        )
    });
    ControlRequest {
        session,
        method: request.method().as_str().into(),
        target: request.target().into(),
        headers: headers.collect(),
        peer: connection.peer,
        body,
    }
}

/// The shard's own answer, after which the connection goes on.
async fn own_answer(
    connection: &mut Connection,
    request: &Request,
    status: u16,
    text: &str,
) -> (After, u16) {
    let mut answer = Plain::to(request, status, text);
    if status == 503 {
        answer.extra = Some(("Retry-After", "1"));
    }
    let keep_alive = answer.keep_alive;
    match connection.send(&[&answer.render()]).await {
        Ok(()) if keep_alive => (After::KeepAlive, status),
        Ok(()) => (After::Close, status),
        Err(_) => (After::Abort, status),
    }
}

/// The shard's own answer, after which the connection is of no use.
async fn last_answer(
    connection: &mut Connection,
    request: &Request,
    status: u16,
    text: &str,
) -> (After, u16) {
    let answer = Plain {
        keep_alive: false,
        ..Plain::to(request, status, text)
    };
    match connection.send(&[&answer.render()]).await {
        Ok(()) => (After::Close, status),
        Err(_) => (After::Abort, status),
    }
}

/// The head of control's answer.
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) headers: Vec<(Box<str>, Bytes)>,
    pub(super) length: Option<u64>,
}

/// How the body of an answer is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// No body follows the head, whatever control sends.
    None,
    /// So many bytes are still to come.
    Length(u64),
    /// HTTP chunks.
    Chunked,
    /// The body ends with the connection.
    Close,
}

impl Framing {
    /// The framing of an answer to `request` (RFC 9112 section 6.3).
    pub(super) fn of(request: &Request, status: u16, length: Option<u64>) -> Self {
        let bodiless = status < 200 || status == 204 || status == 304;
        match (length, request.version()) {
            _ if bodiless || request.method() == Method::Head => Framing::None,
            (Some(length), _) => Framing::Length(length),
            (None, Version::Http11) => Framing::Chunked,
            (None, _) => Framing::Close,
        }
    }
}

/// Writes the head of control's answer.
pub(super) fn write_head(
    out: &mut BytesMut,
    request: &Request,
    head: &Head,
    framing: Framing,
    keep_alive: bool,
) {
    let has = |name: &str| {
        head.headers
            .iter()
            .any(|(known, _)| known.eq_ignore_ascii_case(name))
    };
    let mut line = ResponseHead::start(out, version_for(request.version()), head.status);
    if !has("date") {
        line = line.date(unix_seconds());
    }
    if !has("server") {
        line = line.header("Server", SERVER);
    }
    for (name, value) in &head.headers {
        // The shard frames the body and keeps the connection; these are its own.
        let own = [
            "content-length",
            "transfer-encoding",
            "connection",
            "keep-alive",
        ];
        if !own.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            line = line.header(name, value);
        }
    }
    line = match (framing, head.length) {
        (Framing::Chunked, _) => line.header("Transfer-Encoding", "chunked"),
        (Framing::Length(length), _) => line.header_number("Content-Length", length),
        // To HEAD and 304 the length is that of the answer that was not asked for.
        (Framing::None, Some(length)) if head.status >= 200 && head.status != 204 => {
            line.header_number("Content-Length", length)
        }
        (Framing::None | Framing::Close, _) => line,
    };
    line.header(
        "Connection",
        if keep_alive { "keep-alive" } else { "close" },
    )
    .finish();
}

/// Sends control's answer on as it comes.
async fn relay(
    connection: &mut Connection,
    request: &Request,
    inbox: &ResponseInbox,
    waiting: &Waiting<'_>,
    head: Head,
) -> After {
    let mut framing = Framing::of(request, head.status, head.length);
    let keep_alive = request.keep_alive()
        && framing != Framing::Close
        && !waiting.shard.is_draining()
        && head.status >= 200;
    let mut out = BytesMut::with_capacity(1_024);
    write_head(&mut out, request, &head, framing, keep_alive);
    let mut taken = 0;
    loop {
        // What is there goes out together; only then is there a wait.
        let part = match inbox.try_next() {
            Some(part) => part,
            None => {
                if !out.is_empty() && connection.send(&[&out]).await.is_err() {
                    return After::Abort;
                }
                out.clear();
                match next_part(connection, inbox).await {
                    Some(part) => part,
                    None => return After::Abort,
                }
            }
        };
        match part {
            ResponsePart::Body(chunk) => {
                taken += 1;
                if send_chunk(connection, &mut out, &mut framing, &chunk)
                    .await
                    .is_err()
                {
                    return After::Abort;
                }
                if taken == CREDIT_STEP {
                    let (session, chunks) = (waiting.session, std::mem::take(&mut taken));
                    waiting
                        .shard
                        .tell_control(ToControl::Credit { session, chunks });
                }
            }
            ResponsePart::End => break,
            ResponsePart::Head { .. } => return After::Abort,
        }
    }
    if framing == Framing::Chunked {
        out.put_slice(b"0\r\n\r\n");
    }
    if !out.is_empty() && connection.send(&[&out]).await.is_err() {
        return After::Abort;
    }
    match framing {
        // Control promised more: only a cut connection tells the peer so.
        Framing::Length(1..) => After::Abort,
        _ if keep_alive => After::KeepAlive,
        _ => After::Close,
    }
}

/// The next piece of an answer; nothing where the peer is gone or control fell silent.
async fn next_part(connection: &mut Connection, inbox: &ResponseInbox) -> Option<ResponsePart> {
    let part = monoio::time::timeout(CONTROL_SILENCE_MAX, inbox.next());
    match first(part, connection.failed()).await {
        First::Left(Ok(part)) => Some(part),
        First::Left(Err(_)) | First::Right(()) => None,
    }
}

/// Adds `chunk` to `out` where it is small, or sends both.
async fn send_chunk(
    connection: &mut Connection,
    out: &mut BytesMut,
    framing: &mut Framing,
    chunk: &[u8],
) -> std::io::Result<()> {
    let end: &[u8] = match framing {
        Framing::None => return Ok(()),
        Framing::Chunked if chunk.is_empty() => return Ok(()),
        Framing::Chunked => {
            out.put_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            b"\r\n"
        }
        Framing::Length(left) => {
            // More than was promised would be read as the next answer.
            *left = left
                .checked_sub(chunk.len() as u64)
                .ok_or(std::io::ErrorKind::InvalidData)?;
            b""
        }
        Framing::Close => b"",
    };
    if out.len() + chunk.len() <= GATHER_BYTES_MAX {
        out.put_slice(chunk);
        out.put_slice(end);
        return Ok(());
    }
    connection.send(&[out, chunk, end]).await?;
    out.clear();
    Ok(())
}
