//! How an answer is sent on its stream (RFC 9113 section 8.1).

use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use corecast_protocol::http::{Fields, Method, Request};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::StatusCode;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};

use super::reader::StreamReader;
use super::stream::Open;
use crate::driver::Shard;
use crate::http::answer::{self, Cut, Outlet};
use crate::http::exchange::Account;
use crate::http::response::{Body, Response, stream_fields};
use crate::net::StreamSocket;

/// How long the peer may take nothing of an answer.
const SEND_STEP_MAX: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 30 });

/// Room that a stream asks for at once: what it is given and does not use, others lack.
const ROOM_BYTES_MAX: usize = 64 * 1024;

/// Pieces up to this size are copied together: a frame of its own would cost more.
const SMALL_BYTES_MAX: usize = 2 * 1024;

/// Bytes that are copied together.
const GATHER_BYTES_MAX: usize = 16 * 1024;

/// Sends an answer, and counts it.
pub(super) async fn send(
    shard: &Rc<Shard>,
    open: Open,
    account: Account,
    request: &Request,
    response: Response,
) {
    let Open {
        body: input,
        mut respond,
    } = open;
    // What the peer says beside its request is no part of anything, but where both talk.
    let input = (request.method() == Method::Connect).then_some(input);
    let begin = |response: &Response, ends: bool| {
        let stream = respond.send_response(whole_head_of(response), ends);
        let stream = stream.map_err(|_| Cut)?;
        let sent_bytes = 0;
        Ok(StreamOutlet {
            stream,
            input,
            sent_bytes,
        })
    };
    answer::send(shard, account, request, response, begin).await;
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
struct StreamOutlet {
    stream: SendStream<Bytes>,
    input: Option<RecvStream>,
    /// Bytes that were handed over.
    sent_bytes: u64,
}

impl StreamOutlet {
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

    fn hand_over(&mut self, data: Bytes, ends: bool) -> Result<(), Cut> {
        self.sent_bytes += data.len() as u64;
        self.stream.send_data(data, ends).map_err(|_| Cut)
    }
}

impl Outlet for StreamOutlet {
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

    async fn send(&mut self, mut piece: Bytes, ends: bool) -> Result<(), Cut> {
        if piece.is_empty() {
            return self.hand_over(piece, ends);
        }
        while !piece.is_empty() {
            let wanted = piece.len().min(ROOM_BYTES_MAX);
            self.stream.reserve_capacity(wanted);
            let room = match self.stream.capacity() {
                0 => self.room().await?,
                room => room,
            };
            let part = piece.split_to(room.min(piece.len()));
            self.hand_over(part, ends && piece.is_empty())?;
        }
        Ok(())
    }

    /// What was handed over is the machine's to send.
    async fn flush(&mut self) -> Result<(), Cut> {
        Ok(())
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_reset(cx).map(|_| ())
    }

    fn fail(&mut self) {
        self.stream.send_reset(Reason::INTERNAL_ERROR);
    }

    fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    fn into_socket(self) -> Box<dyn StreamSocket> {
        Box::new(StreamReader::new(self.stream, self.input))
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
