//! How an answer is sent on its stream (RFC 9113 section 8.1).

use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use corecast_protocol::http::{Fields, Method, Request};
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::StatusCode;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};

use super::reader::StreamReader;
use super::stream::Open;
use crate::driver::Shard;
use crate::http::control::{Chunk, ControlBody};
use crate::http::exchange::{Account, Sent};
use crate::http::response::{Body, Response, is_bodiless, stream_fields};
use crate::net::ReaderSocket;
use crate::task::{First, first};

/// How long the peer may take nothing of an answer.
const SEND_STEP_MAX: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 30 });

/// Room that a stream asks for at once: what it is given and does not use, others lack.
const ROOM_BYTES_MAX: usize = 64 * 1024;

/// Pieces up to this size are copied together: a frame of its own would cost more.
const SMALL_BYTES_MAX: usize = 2 * 1024;

/// Bytes that are copied together.
const GATHER_BYTES_MAX: usize = 16 * 1024;

/// The stream ended before its answer did.
#[derive(Debug)]
struct Cut;

impl From<h2::Error> for Cut {
    fn from(_: h2::Error) -> Self {
        Cut
    }
}

/// Sends an answer, and counts it.
pub(super) async fn send(
    shard: &Rc<Shard>,
    open: Open,
    account: Account,
    request: &Request,
    response: Response,
) {
    let bodiless = is_bodiless(response.status) || request.method() == Method::Head;
    let head = whole_head_of(&response);
    let Response {
        status,
        body,
        hls,
        hold,
        ..
    } = response;
    let Open {
        body: input,
        mut respond,
    } = open;
    // What the peer says beside its request is no part of anything, but where both talk.
    let input = (request.method() == Method::Connect).then_some(input);
    let ends = bodiless || body.length() == Some(0);
    let mut sent = 0;
    let whole = match (respond.send_response(head, ends), body) {
        (Err(_), _) => Err(Cut),
        (Ok(_), _) if ends => Ok(()),
        (Ok(stream), Body::Reader(joining)) => {
            let reader = StreamReader::new(stream, input);
            joining.attach(ReaderSocket::Stream(Box::new(reader)), Bytes::new());
            return;
        }
        (Ok(stream), Body::Pieces(pieces)) => {
            let mut outlet = Outlet::new(stream, &mut sent);
            outlet.send_pieces(pieces).await
        }
        (Ok(stream), Body::Control(body)) => {
            let mut outlet = Outlet::new(stream, &mut sent);
            outlet.relay(body).await
        }
    };
    drop(hold);
    account.settle(
        shard,
        request,
        (status, hls),
        Sent::new(sent, whole.is_ok()),
    );
}

/// Sends an answer that is short enough to wait for room with nobody at it.
pub(super) fn send_short(mut respond: SendResponse<Bytes>, response: Response) {
    let head = whole_head_of(&response);
    let Body::Pieces(pieces) = response.body else {
        return;
    };
    if let Ok(mut stream) = respond.send_response(head, false) {
        let _ = stream.send_data(Bytes::from(pieces.concat()), true);
    }
}

/// The head of an answer, but for what says how long it is.
pub(super) fn head_of(status: StatusCode, fields: &Fields) -> http::Response<()> {
    let mut head = http::Response::new(());
    *head.status_mut() = status;
    let lines = head.headers_mut();
    for (name, value) in stream_fields(fields) {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            lines.append(name, value);
        }
    }
    head
}

/// The whole head of an answer.
fn whole_head_of(response: &Response) -> http::Response<()> {
    let status = StatusCode::from_u16(response.status).unwrap_or_default();
    let mut head = head_of(status, &response.fields);
    if let Some(length) = response.told_length() {
        head.headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    head
}

/// What an answer's body goes out by.
struct Outlet<'s> {
    stream: SendStream<Bytes>,
    /// Bytes that were handed over.
    sent: &'s mut u64,
}

impl<'s> Outlet<'s> {
    fn new(stream: SendStream<Bytes>, sent: &'s mut u64) -> Self {
        Outlet { stream, sent }
    }

    /// Hands `data` over as the peer's windows take it.
    async fn send(&mut self, mut data: Bytes, ends: bool) -> Result<(), Cut> {
        while !data.is_empty() {
            let wanted = data.len().min(ROOM_BYTES_MAX);
            self.stream.reserve_capacity(wanted);
            let room = match self.stream.capacity() {
                0 => self.room().await?,
                room => room,
            };
            let part = data.split_to(room.min(data.len()));
            *self.sent += part.len() as u64;
            self.stream.send_data(part, ends && data.is_empty())?;
        }
        Ok(())
    }

    /// Waits until there is room.
    async fn room(&mut self) -> Result<usize, Cut> {
        let room = poll_fn(|cx| self.stream.poll_capacity(cx));
        match monoio::time::timeout(SEND_STEP_MAX, room).await {
            Ok(Some(Ok(room))) => Ok(room),
            Ok(Some(Err(_)) | None) => Err(Cut),
            Err(_) => {
                self.stream.send_reset(Reason::CANCEL);
                Err(Cut)
            }
        }
    }

    async fn send_pieces(&mut self, pieces: Vec<Bytes>) -> Result<(), Cut> {
        let mut pieces = VecDeque::from(pieces);
        pieces.retain(|piece| !piece.is_empty());
        while let Some(piece) = pieces.pop_front() {
            let piece = gather(piece, &mut pieces);
            let ends = pieces.is_empty();
            self.send(piece, ends).await?;
        }
        Ok(())
    }

    /// Sends control's answer on as it comes.
    async fn relay(&mut self, mut body: ControlBody) -> Result<(), Cut> {
        let mut left = body.length();
        loop {
            let chunk = match body.try_next() {
                Some(chunk) => chunk,
                None => {
                    let gone = poll_fn(|cx| self.stream.poll_reset(cx));
                    match first(body.next(), gone).await {
                        First::Left(chunk) => chunk,
                        First::Right(_) => return Err(Cut),
                    }
                }
            };
            match chunk {
                Chunk::Data(data) if data.is_empty() => {}
                Chunk::Data(data) => {
                    let rest = left.map(|left| left.checked_sub(data.len() as u64));
                    if rest == Some(None) {
                        return self.fail();
                    }
                    left = rest.flatten();
                    self.send(data, left == Some(0)).await?;
                }
                Chunk::End if left == Some(0) => return Ok(()),
                Chunk::End if left.is_none() => {
                    self.stream.send_data(Bytes::new(), true)?;
                    return Ok(());
                }
                // Control promised something else: only a reset tells the peer so.
                Chunk::End | Chunk::Broken => return self.fail(),
            }
        }
    }

    fn fail(&mut self) -> Result<(), Cut> {
        self.stream.send_reset(Reason::INTERNAL_ERROR);
        Err(Cut)
    }
}

/// Copies small pieces together, `piece` and those after it.
fn gather(piece: Bytes, pieces: &mut VecDeque<Bytes>) -> Bytes {
    let small = |next: &Bytes| next.len() <= SMALL_BYTES_MAX;
    if !small(&piece) || !pieces.front().is_some_and(small) {
        return piece;
    }
    let mut together = BytesMut::with_capacity(GATHER_BYTES_MAX);
    together.extend_from_slice(&piece);
    while let Some(next) =
        pieces.pop_front_if(|next| small(next) && together.len() + next.len() <= GATHER_BYTES_MAX)
    {
        together.extend_from_slice(&next);
    }
    together.freeze()
}
