//! One connection: request heads and bodies in, answers out.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use corecast_config::Config;
use corecast_protocol::http::{BadRequest, BodyFraming, Limits, Request};
use corecast_protocol::http1::{ChunkedDecoder, ChunkedEvent, RequestParser};
use monoio::time::Instant;

use super::exchange::{Front, TOO_LARGE, TOO_MANY};
use super::response::CONTINUE;
use super::room::Share;
use crate::admission::client::client;
use crate::driver::Shard;
use crate::net::LinkSocket;
use crate::net::link::Link;
use crate::net::wire::Wire;

/// How long the peer may take nothing of an answer.
const SEND_STEP_MAX: Duration = Duration::from_secs(30);

/// What the preface of HTTP/2 (RFC 9113 section 3.4) is to HTTP/1: a whole head.
const HTTP2_HEAD: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// How long the peer may still talk after the last answer.
const LINGER_MAX: Duration = Duration::from_secs(2);

/// Work for one connection, in bytes received, before others have their turn.
const TURN_BYTES: usize = 256 * 1024;

/// What a request counts in it, however short it is.
const REQUEST_COST: usize = 8 * 1024;

/// What receiving counts in it, however little came.
const RECEIVE_COST: usize = 4 * 1024;

/// So many bytes sent count as one received.
const SENT_PER_COST: usize = 4;

/// A connection's place among those that the node may have. Given back when dropped.
pub(crate) struct ConnectionSeat {
    shard: Rc<Shard>,
    held: bool,
}

impl ConnectionSeat {
    /// The place that was taken for a connection.
    pub(crate) fn taken(shard: &Rc<Shard>) -> Self {
        shard.probe.connections.add(1);
        ConnectionSeat {
            shard: Rc::clone(shard),
            held: true,
        }
    }

    pub(crate) fn shard(&self) -> &Rc<Shard> {
        &self.shard
    }
}

impl Drop for ConnectionSeat {
    fn drop(&mut self) {
        if self.held {
            self.shard.seats.connections.give_back();
            self.shard.probe.connections.add(-1);
        }
    }
}

/// A connection that a task serves.
pub(crate) struct Connection {
    pub(crate) shard: Rc<Shard>,
    /// Whom the present request comes from: the other end, or the client that a trusted proxy
    /// there names.
    pub(crate) peer: SocketAddr,
    other_end: SocketAddr,
    /// Where it was accepted.
    pub(crate) front: Front,
    link: Link,
    parser: RequestParser,
    /// Received and not yet used.
    inbox: BytesMut,
    requests: u64,
    body_waits: bool,
    /// What was done for the peer since it last was waited for.
    turn: usize,
    seat: ConnectionSeat,
}

/// What a request's head may cost.
pub(crate) fn request_limits(config: &Config) -> Limits {
    Limits {
        head_bytes_max: config.limits.header_bytes_max as usize,
        header_count_max: usize::from(config.limits.header_count_max),
        ..Limits::default()
    }
}

/// Why no request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRequest {
    /// The peer closed, failed, or stayed idle between two requests: nothing to say.
    Gone,
    /// The peer knows that we speak HTTP/2 (RFC 9113 section 3.3), whose preface has begun.
    Http2,
    /// The peer must be told, and the connection closed.
    Refused(BadRequest),
}

/// Why a body did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFault {
    /// The peer closed or failed.
    Gone,
    /// Nothing came for too long.
    Late,
    /// The peer must be told, and the connection closed.
    Refused(BadRequest),
}

impl Connection {
    /// A connection on which nothing was said yet.
    pub(crate) fn new(seat: ConnectionSeat, link: Link, peer: SocketAddr, front: Front) -> Self {
        let shard = Rc::clone(&seat.shard);
        let config = shard.config();
        let limits = request_limits(&config);
        Connection {
            seat,
            front,
            shard,
            peer,
            other_end: peer,
            link,
            parser: RequestParser::new(limits),
            inbox: BytesMut::new(),
            requests: 0,
            body_waits: false,
            turn: 0,
        }
    }

    /// Where `request` came in.
    pub(crate) fn front_of(&self, request: &Request) -> Front {
        self.front.of(request, self.other_end, &self.shard.config())
    }

    /// Bytes sent so far.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.link.sent_bytes()
    }

    /// The next request. The first one, and each one whose first byte came, must be whole within
    /// `limits.header_timeout`; between two requests the peer may be silent for
    /// `limits.idle_timeout`.
    pub(crate) async fn next_request(&mut self) -> Result<Request, NoRequest> {
        let config = self.shard.config();
        // Whom the one before came from has nothing to do with what comes now.
        self.peer = self.other_end;
        let mut started = self.requests == 0 || !self.inbox.is_empty();
        let patience = if started {
            config.limits.header_timeout
        } else {
            config.limits.idle_timeout
        };
        let mut deadline = Instant::now() + patience;
        self.end_turn().await;
        loop {
            let knows = self.requests == 0 && !self.front.secure;
            if knows && self.inbox.starts_with(HTTP2_HEAD) {
                return Err(NoRequest::Http2);
            }
            match self.parser.parse(&mut self.inbox) {
                Ok(Some(request)) => {
                    self.requests += 1;
                    self.turn += REQUEST_COST;
                    self.body_waits = request.body_framing() != BodyFraming::None;
                    let proxies = &config.limits.trusted_proxies;
                    self.peer = client(proxies, self.other_end, request.headers());
                    return Ok(request);
                }
                Ok(None) => {}
                Err(bad) => return Err(NoRequest::Refused(bad)),
            }
            match self.receive_until(deadline).await {
                Ok(0) | Err(BodyFault::Gone | BodyFault::Refused(_)) => {
                    return Err(NoRequest::Gone);
                }
                Ok(_) if !started => {
                    started = true;
                    deadline = Instant::now() + config.limits.header_timeout;
                }
                Ok(_) => {}
                Err(BodyFault::Late) if self.inbox.is_empty() => return Err(NoRequest::Gone),
                Err(BodyFault::Late) => {
                    let late = BadRequest::new(408, "request head took too long");
                    return Err(NoRequest::Refused(late));
                }
            }
        }
    }

    /// Lets others have their turn where much was done for this peer without a wait: who always
    /// has sent more already would else be served alone.
    async fn end_turn(&mut self) {
        if self.turn >= TURN_BYTES {
            self.turn = 0;
            monoio::time::sleep(Duration::ZERO).await;
        }
    }

    /// Receives more into the inbox; 0 where the peer sends no more. May be dropped.
    async fn receive_until(&mut self, deadline: Instant) -> Result<usize, BodyFault> {
        self.end_turn().await;
        loop {
            let Connection {
                shard, link, inbox, ..
            } = self;
            let received = shard.scratch.with(|buf| {
                link.try_recv(buf).inspect(|n| {
                    inbox.extend_from_slice(buf.get(..*n).unwrap_or_default());
                })
            });
            match received {
                Ok(n) => {
                    self.turn += n.max(RECEIVE_COST);
                    return Ok(n);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.turn = 0;
                    match self.link.readable_until(deadline).await {
                        Ok(true) => {}
                        Ok(false) => return Err(BodyFault::Late),
                        Err(_) => return Err(BodyFault::Gone),
                    }
                }
                Err(_) => return Err(BodyFault::Gone),
            }
        }
    }

    /// The next line, without its end; nothing where the peer goes, takes too long, or sends more
    /// than `bytes_max` without one.
    pub(crate) async fn receive_line(
        &mut self,
        bytes_max: usize,
        deadline: Instant,
    ) -> Option<Bytes> {
        let mut searched = 0;
        loop {
            let fresh = self.inbox.get(searched..).unwrap_or_default();
            if let Some(at) = fresh.iter().position(|&byte| byte == b'\n') {
                let line = self.inbox.split_to(searched + at + 1).freeze();
                let text = line.strip_suffix(b"\n").unwrap_or(&line);
                let text = text.strip_suffix(b"\r").unwrap_or(text);
                return (line.len() <= bytes_max).then(|| line.slice_ref(text));
            }
            searched = self.inbox.len();
            if searched > bytes_max || !matches!(self.receive_until(deadline).await, Ok(1..)) {
                return None;
            }
        }
    }

    /// Whatever has come, at once if something has; empty where the peer sends no more. For
    /// bodies of sources, which are not bounded.
    ///
    /// # Errors
    /// [`BodyFault::Late`] where nothing came for `silence_max`.
    pub(crate) async fn receive_some(&mut self, silence_max: Duration) -> Result<Bytes, BodyFault> {
        if self.inbox.is_empty() {
            self.receive_until(Instant::now() + silence_max).await?;
        }
        Ok(self.inbox.split().freeze())
    }

    /// Lets the runtime forget the connection until it is waited for again: bytes that come
    /// meanwhile wake nobody.
    pub(crate) fn rest(&mut self) {
        self.link.rest();
    }

    /// Gives back what was received too much.
    pub(crate) fn unreceive(&mut self, rest: &Bytes) {
        let mut inbox = BytesMut::from(&rest[..]);
        inbox.extend_from_slice(&self.inbox);
        self.inbox = inbox;
    }

    /// Says that the peer may send its body, if it waits for that.
    ///
    /// # Errors
    /// The connection is gone.
    pub(crate) async fn send_continue(&mut self, request: &Request) -> io::Result<()> {
        if !request.expects_continue() || !self.inbox.is_empty() {
            return Ok(());
        }
        self.send(&[CONTINUE]).await
    }

    /// The whole body of `request`, of at most `bytes_max` bytes, within `time_max`; `share` grows
    /// with it.
    pub(crate) async fn receive_body(
        &mut self,
        request: &Request,
        bytes_max: usize,
        time_max: Duration,
        share: &mut Share,
    ) -> Result<Bytes, BodyFault> {
        let deadline = Instant::now() + time_max;
        let body = match request.body_framing() {
            BodyFraming::None => Ok(Bytes::new()),
            BodyFraming::UntilClose => Err(BodyFault::Refused(BadRequest::new(
                411,
                "request body without a length",
            ))),
            BodyFraming::Length(length) => {
                let length = usize::try_from(length)
                    .ok()
                    .filter(|length| *length <= bytes_max);
                let length = length.ok_or(TOO_LARGE)?;
                self.send_continue(request)
                    .await
                    .map_err(|_| BodyFault::Gone)?;
                self.receive_length(length, deadline, share).await
            }
            BodyFraming::Chunked => {
                self.send_continue(request)
                    .await
                    .map_err(|_| BodyFault::Gone)?;
                self.receive_chunked(bytes_max, deadline, share).await
            }
        };
        self.body_waits &= body.is_err();
        body
    }

    /// A body of `length` bytes.
    async fn receive_length(
        &mut self,
        length: usize,
        deadline: Instant,
        share: &mut Share,
    ) -> Result<Bytes, BodyFault> {
        let mut counted = 0;
        loop {
            let here = self.inbox.len().min(length);
            if !share.grow(here - counted) {
                return Err(TOO_MANY);
            }
            counted = here;
            if here == length {
                return Ok(self.inbox.split_to(length).freeze());
            }
            if self.receive_until(deadline).await? == 0 {
                return Err(BodyFault::Gone);
            }
        }
    }

    /// Whether the present request has a body that was not read: it would be taken for the next
    /// request.
    pub(super) fn has_body_waiting(&self) -> bool {
        self.body_waits
    }

    /// A chunked body of at most `bytes_max` bytes.
    async fn receive_chunked(
        &mut self,
        bytes_max: usize,
        deadline: Instant,
        share: &mut Share,
    ) -> Result<Bytes, BodyFault> {
        let mut decoder = ChunkedDecoder::new();
        let mut body = BytesMut::new();
        loop {
            let mut input = self.inbox.split().freeze();
            let ended = loop {
                let Ok(event) = decoder.decode(&mut input) else {
                    let bad = BadRequest::new(400, "bad HTTP chunk");
                    return Err(BodyFault::Refused(bad));
                };
                if let ChunkedEvent::Payload(payload) = &event {
                    if !share.grow(payload.len()) {
                        return Err(TOO_MANY);
                    }
                    body.extend_from_slice(payload);
                }
                // What is only announced is too much already.
                let whole = decoder.announced().saturating_add(body.len() as u64);
                if whole > bytes_max as u64 {
                    return Err(TOO_LARGE);
                }
                match event {
                    ChunkedEvent::Payload(_) => {}
                    ChunkedEvent::End => break true,
                    ChunkedEvent::NeedMore => break false,
                }
            };
            if ended {
                self.unreceive(&input);
                return Ok(body.freeze());
            }
            if self.receive_until(deadline).await? == 0 {
                return Err(BodyFault::Gone);
            }
        }
    }

    /// Sends `parts`, one after the other.
    ///
    /// # Errors
    /// The connection is gone, or the peer takes nothing.
    pub(crate) async fn send(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        self.turn += slices.iter().map(|slice| slice.len()).sum::<usize>() / SENT_PER_COST;
        self.link.send_all(&mut slices, SEND_STEP_MAX).await
    }

    /// Waits until the connection has failed; an orderly end of the peer's side is no failure,
    /// since it may still read.
    pub(crate) async fn failed(&mut self) {
        if self.link.readable().await.is_ok() && !self.link.is_failed() {
            // Something to read: the next request, or the end. Either is for later.
            std::future::pending::<()>().await;
        }
    }

    /// Closes at once, after all was sent and nothing else is to come.
    pub(crate) fn close(mut self) {
        self.link.shut();
    }

    /// Closes so that what was sent arrives.
    pub(crate) async fn close_in_order(self) {
        self.link
            .close_in_order(LINGER_MAX, &self.shard.scratch)
            .await;
    }

    /// The connection for another protocol, and what was received of that.
    pub(crate) fn into_parts(self) -> (ConnectionSeat, Link, SocketAddr, Front, Bytes) {
        let first = self.inbox.freeze();
        (self.seat, self.link, self.other_end, self.front, first)
    }

    /// What was received behind the last request.
    pub(super) fn take_received(&mut self) -> Bytes {
        self.inbox.split().freeze()
    }

    /// Takes the socket away; the seat stays taken until the driver closes the socket.
    ///
    /// # Errors
    /// Where the process has no descriptor left that it needs for that; the connection is closed.
    pub(crate) fn into_steady(mut self) -> io::Result<LinkSocket> {
        let socket = self.link.into_socket()?;
        self.seat.held = false;
        Ok(socket)
    }
}
