//! How an answer is sent on a stream of its own, as HTTP/2 and 3 have it.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use corecast_protocol::http::{Method, Request};

use super::control::{Chunk, ControlBody};
use super::exchange::{Account, Sent};
use super::response::{Body, Response, is_bodiless};
use crate::driver::Shard;
use crate::net::{ReaderSocket, StreamSocket};
use crate::task::{First, first};

/// The stream ended before its answer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut;

/// A stream whose head was sent: what the body goes out by. Each wait may be dropped.
pub(crate) trait Outlet: Sized {
    /// Sends a whole body, and waits until it is on its way.
    ///
    /// # Errors
    /// Where the stream ended before.
    async fn send_pieces(&mut self, pieces: Vec<Bytes>) -> Result<(), Cut>;

    /// Sends a piece of a body once there is room for it; with it, the body may end.
    ///
    /// # Errors
    /// Where the stream ended before.
    async fn send(&mut self, piece: Bytes, ends: bool) -> Result<(), Cut>;

    /// Waits until all of an answer that has ended is on its way.
    ///
    /// # Errors
    /// Where the stream ended before.
    async fn flush(&mut self) -> Result<(), Cut>;

    /// Ready once nobody waits for the answer.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Ends the stream so that the peer knows that the answer is not whole.
    fn fail(&mut self);

    /// Bytes of the body that were sent.
    fn sent_bytes(&self) -> u64;

    /// What a mount's stream goes out by.
    fn into_socket(self) -> Box<dyn StreamSocket>;
}

/// Sends an answer, and counts it. `begin` sends its head, with which the stream may end.
pub(crate) async fn send<O: Outlet>(
    shard: &Rc<Shard>,
    account: Account,
    request: &Request,
    response: Response,
    begin: impl FnOnce(&Response, bool) -> Result<O, Cut>,
) {
    let bodiless = is_bodiless(response.status) || request.method() == Method::Head;
    let ends = bodiless || response.body.length() == Some(0);
    let begun = begin(&response, ends);
    let Response {
        status,
        body,
        hls,
        hold,
        ..
    } = response;
    let (sent, whole) = match (begun, body) {
        (Err(Cut), _) => (0, false),
        (Ok(outlet), Body::Reader(joining)) if !ends => {
            let socket = ReaderSocket::Stream(outlet.into_socket());
            return joining.attach(socket, Bytes::new(), Bytes::new());
        }
        (Ok(mut outlet), body) => {
            let whole = match body {
                Body::Pieces(pieces) if !ends => outlet.send_pieces(pieces).await,
                Body::Control(body) if !ends => relay(&mut outlet, body).await,
                _ => outlet.flush().await,
            };
            (outlet.sent_bytes(), whole.is_ok())
        }
    };
    drop(hold);
    account.settle(shard, request, (status, hls), Sent::new(sent, whole));
}

/// Sends control's answer on as it comes.
async fn relay(outlet: &mut impl Outlet, mut body: ControlBody) -> Result<(), Cut> {
    let mut left = body.length();
    loop {
        let chunk = match body.try_next() {
            Some(chunk) => chunk,
            None => {
                let gone = poll_fn(|cx| outlet.poll_gone(cx));
                match first(body.next(), gone).await {
                    First::Left(chunk) => chunk,
                    First::Right(()) => return Err(Cut),
                }
            }
        };
        match chunk {
            Chunk::Data(data) if data.is_empty() => {}
            Chunk::Data(data) => {
                let rest = left.map(|left| left.checked_sub(data.len() as u64));
                if rest == Some(None) {
                    break;
                }
                left = rest.flatten();
                outlet.send(data, left == Some(0)).await?;
            }
            Chunk::End if left.is_none() => {
                outlet.send(Bytes::new(), true).await?;
                return outlet.flush().await;
            }
            Chunk::End if left == Some(0) => return outlet.flush().await,
            Chunk::End | Chunk::Broken => break,
        }
    }
    // Control promised something else: only a reset tells the peer so.
    outlet.fail();
    Err(Cut)
}
