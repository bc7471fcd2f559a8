//! One request that is being answered, whatever version of HTTP brought it.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use corecast_config::{Config, HlsLines};
use corecast_media::name::SessionId;
use corecast_media::time::Time;
use corecast_mesh::message::{AccessRecord, EndReason};
use corecast_protocol::http::{BadRequest, BodyFraming, Fields, Request};
use corecast_protocol::text;

use super::connection::{BodyFault, Connection};
use super::response::Played;
use super::room::Share;
use crate::admission::client::came_by_https;
use crate::driver::Shard;
use crate::task::isolated;

/// The longest text of a request in the access log.
const LOG_TEXT_BYTES_MAX: usize = 1_024;

/// What is said where a body is larger than it may be.
pub(super) const TOO_LARGE: BodyFault =
    BodyFault::Refused(BadRequest::new(413, "request body is too large"));

/// What is said where others have taken all the room.
pub(super) const TOO_MANY: BodyFault = BodyFault::Refused(BadRequest::new(
    503,
    "there is no room for more request bodies now",
));

/// The peer's side of a stream of HTTP/2 or 3, beside its request's fields.
pub(crate) trait StreamInput {
    /// The next piece of the body; none at its end.
    ///
    /// # Errors
    /// The stream or its connection is gone.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>>;

    /// Says that the peer may send its body, where it waits for that.
    fn send_continue(&mut self) {}

    /// Tells the peer what it will want next, before its answer (RFC 8297), where that can be
    /// said.
    fn hint(&mut self, fields: &Fields) {
        let _ = fields;
    }

    /// Ready once nobody waits for the answer.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// Where the rest of a request comes from.
pub(crate) enum Input<'c> {
    /// HTTP/1: what follows on the connection.
    Connection(&'c mut Connection),
    /// HTTP/2 and 3: a stream of its own.
    Stream(&'c mut dyn StreamInput),
}

/// Who asked, and when: what the access log needs beside the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    /// The request's own session.
    pub(crate) session: SessionId,
    pub(crate) since: Time,
    /// Whom the request comes from: the other end, or the client that a trusted proxy there names.
    pub(crate) peer: SocketAddr,
}

impl Account {
    /// A request of `peer` that came just now.
    pub(crate) fn open(shard: &Shard, peer: SocketAddr) -> Self {
        Account {
            session: shard.next_session(),
            since: shard.now(),
            peer,
        }
    }

    /// Writes the access log's line of an answer of `bytes`, which the peer took wholly or not.
    pub(crate) fn close(self, shard: &Shard, request: &Request, status: u16, sent: Sent) {
        shard.tell_access(self.record(shard, request, status, sent));
    }

    /// Counts an answer; `hls` as [`super::response::Response::hls`] says.
    pub(crate) fn settle(
        self,
        shard: &Shard,
        request: &Request,
        (status, hls): (u16, Option<Box<Played>>),
        sent: Sent,
    ) {
        if let Some(Played { mount, player }) = hls.as_deref() {
            shard.probe.hls_bytes.add(sent.bytes);
            shard.with_hub(|hub, now| hub.note_sent(now, mount, *player, sent.bytes));
        }
        let told = shard.config().log.access_hls == HlsLines::Requests;
        if hls.is_none() || status >= 400 || told {
            self.close(shard, request, status, sent);
        }
    }

    /// The access log's line.
    pub(crate) fn record(
        self,
        shard: &Shard,
        request: &Request,
        status: u16,
        sent: Sent,
    ) -> AccessRecord {
        AccessRecord {
            session: self.session,
            peer: self.peer,
            user: None,
            request: log_line(request),
            status,
            bytes: sent.bytes,
            referer: log_header(request, "referer").into(),
            user_agent: log_header(request, "user-agent").into(),
            duration: shard.now().since(self.since),
            reason: sent.reason,
            mount: None,
        }
    }
}

/// What became of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) bytes: u64,
    pub(crate) reason: EndReason,
}

impl Sent {
    /// `bytes` went out; `whole` where that was all.
    pub(crate) fn new(bytes: u64, whole: bool) -> Self {
        let reason = if whole {
            EndReason::PeerClosed
        } else {
            EndReason::PeerReset
        };
        Sent { bytes, reason }
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

/// Where a request came in: what is the same for all of one acceptor.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Front {
    /// Whether nobody in between could read along, but for proxies that are trusted.
    pub(crate) secure: bool,
    /// The UDP port of HTTP/3 there, for those who came by an older version.
    pub(crate) http3_port: Option<NonZeroU16>,
}

impl Front {
    /// Where a request came in that `peer` sent: a trusted proxy may have ended TLS before us.
    pub(crate) fn of(self, request: &Request, peer: SocketAddr, config: &Config) -> Self {
        let proxies = &config.limits.trusted_proxies;
        Front {
            secure: self.secure || came_by_https(proxies, peer, request.headers()),
            ..self
        }
    }
}

/// Lets a request be served; where that panics, the request alone ends.
pub(crate) async fn serve_isolated(shard: &Shard, serving: impl Future<Output = ()>) {
    if let Err(panic) = isolated(serving).await {
        shard.probe.panics.add(1);
        tracing::error!(
            shard = shard.id.0,
            panic,
            "a request panicked and was ended"
        );
    }
}

/// A request that is being answered.
pub(crate) struct Exchange<'c> {
    pub(crate) shard: Rc<Shard>,
    pub(crate) front: Front,
    pub(crate) account: Account,
    pub(crate) request: &'c Request,
    pub(crate) input: Input<'c>,
}

impl Exchange<'_> {
    /// Whom the request comes from.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.account.peer
    }

    /// Tells the peer that it will want the file called `name`, beside the one that it waits for.
    /// Not over HTTP/1, where some take such news for the answer.
    pub(crate) fn hint(&mut self, name: &str) {
        if let Input::Stream(stream) = &mut self.input {
            let link = format!("<{name}>; rel=preload; as=fetch; crossorigin");
            stream.hint(&Fields::default().with("Link", link));
        }
    }

    /// Waits until nobody waits for the answer.
    pub(crate) async fn gone(&mut self) {
        match &mut self.input {
            Input::Connection(connection) => connection.failed().await,
            Input::Stream(stream) => poll_fn(|cx| stream.poll_gone(cx)).await,
        }
    }

    /// The whole body, of at most `bytes_max` bytes, within `time_max`; `share` grows with it.
    ///
    /// # Errors
    /// Why it did not come.
    pub(crate) async fn receive_body(
        &mut self,
        bytes_max: usize,
        time_max: Duration,
        share: &mut Share,
    ) -> Result<Bytes, BodyFault> {
        match &mut self.input {
            Input::Connection(connection) => {
                connection
                    .receive_body(self.request, bytes_max, time_max, share)
                    .await
            }
            Input::Stream(stream) => {
                let body = receive_stream(&mut **stream, self.request, bytes_max, share);
                match monoio::time::timeout(time_max, body).await {
                    Ok(received) => received,
                    Err(_) => Err(BodyFault::Late),
                }
            }
        }
    }
}

async fn receive_stream(
    stream: &mut dyn StreamInput,
    request: &Request,
    bytes_max: usize,
    share: &mut Share,
) -> Result<Bytes, BodyFault> {
    match request.body_framing() {
        BodyFraming::None => return Ok(Bytes::new()),
        BodyFraming::Length(length) if length > bytes_max as u64 => return Err(TOO_LARGE),
        _ if request.expects_continue() => stream.send_continue(),
        _ => {}
    }
    let mut body = BytesMut::new();
    loop {
        let piece = poll_fn(|cx| stream.poll_body(cx)).await;
        match piece.map_err(|_| BodyFault::Gone)? {
            None => return Ok(body.freeze()),
            Some(piece) if body.len() + piece.len() > bytes_max => return Err(TOO_LARGE),
            Some(piece) if !share.grow(piece.len()) => return Err(TOO_MANY),
            Some(piece) => body.extend_from_slice(&piece),
        }
    }
}
