//! How HTTP/1 frames an answer (RFC 9112 sections 4 and 6).

use std::io::{self, ErrorKind};
use std::rc::Rc;

use bytes::{BufMut, Bytes, BytesMut};
use corecast_config::Config;
use corecast_protocol::http::{Method, Request, Version};
use corecast_protocol::http1::{ResponseHead, ResponseVersion};

use super::connection::Connection;
use super::control::{Chunk, ControlBody};
use super::exchange::{Account, Front, Sent};
use super::response::{Body, Response, is_bodiless, version_for};
use crate::net::ReaderSocket;
use crate::task::{First, first};

/// Bytes of an answer that are copied together into one send.
const GATHER_BYTES_MAX: usize = 16 * 1024;

/// How the body of an answer is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// No body follows the head, whatever there is.
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
    fn of(request: &Request, status: u16, body: &Body) -> Self {
        match (body, body.length(), request.version()) {
            (Body::Reader(_), ..) => Framing::Close,
            _ if is_bodiless(status) || request.method() == Method::Head => Framing::None,
            (_, Some(length), _) => Framing::Length(length),
            (_, None, Version::Http11) => Framing::Chunked,
            (_, None, _) => Framing::Close,
        }
    }
}

/// Writes the head of an answer.
fn write_head(
    version: ResponseVersion,
    response: &Response,
    framing: Framing,
    keep_alive: bool,
) -> BytesMut {
    let fields = &response.fields;
    let mut out = BytesMut::with_capacity(256 + fields.lines().len());
    let mut head = ResponseHead::start(&mut out, version, response.status);
    head = head.fields(fields);
    head = match (framing, response.told_length()) {
        (Framing::Chunked, _) => head.header("Transfer-Encoding", "chunked"),
        (Framing::Length(length), _) => head.header_number("Content-Length", length),
        (Framing::None, Some(length)) => head.header_number("Content-Length", length),
        (Framing::None | Framing::Close, _) => head,
    };
    // What comes after a switch is said by its own fields.
    if response.status != 101 {
        let stays = if keep_alive { "keep-alive" } else { "close" };
        head = head.header("Connection", stays);
    }
    head.finish();
    out
}

/// A whole answer after which the connection ends.
pub(crate) fn render_last(
    version: ResponseVersion,
    mut response: Response,
    front: Front,
    config: &Config,
) -> BytesMut {
    response.complete(front, config);
    let length = response.body.length().unwrap_or_default();
    let mut out = write_head(version, &response, Framing::Length(length), false);
    if let Body::Pieces(pieces) = &response.body {
        out.extend(pieces.iter().flatten());
    }
    out
}

impl Connection {
    /// Sends an answer. The connection comes back where it may bring another request.
    pub(crate) async fn respond(
        mut self,
        account: Account,
        request: &Request,
        response: Response,
    ) -> Option<Self> {
        let shard = Rc::clone(&self.shard);
        let framing = Framing::of(request, response.status, &response.body);
        let keep_alive = request.keep_alive()
            && !response.last
            && !self.has_body_waiting()
            && framing != Framing::Close
            && response.status >= 200
            && !shard.is_draining();
        let head = write_head(
            version_for(request.version()),
            &response,
            framing,
            keep_alive,
        );
        let Response {
            status,
            body,
            hls,
            hold,
            ..
        } = response;
        let before = self.sent_bytes();
        let sent = match body {
            Body::Reader(joining) if request.method() != Method::Head => {
                let said = self.take_received();
                if let Ok(socket) = self.into_steady() {
                    joining.attach(ReaderSocket::from(socket), head.freeze(), said);
                }
                return None;
            }
            Body::Reader(_) => self.send(&[&head]).await,
            Body::Pieces(pieces) => self.send_pieces(&head, framing, &pieces).await,
            Body::Control(body) => self.relay(head, framing, body).await,
        };
        drop(hold);
        let bytes = self.sent_bytes().saturating_sub(before);
        account.settle(
            &shard,
            request,
            (status, hls),
            Sent::new(bytes, sent.is_ok()),
        );
        match sent {
            Ok(()) if keep_alive => return Some(self),
            Ok(()) => self.close_in_order().await,
            Err(_) => {}
        }
        None
    }

    async fn send_pieces(
        &mut self,
        head: &[u8],
        framing: Framing,
        pieces: &[Bytes],
    ) -> io::Result<()> {
        let mut parts: Vec<&[u8]> = Vec::with_capacity(1 + pieces.len());
        parts.push(head);
        if framing != Framing::None {
            parts.extend(pieces.iter().map(|piece| &piece[..]));
        }
        self.send(&parts).await
    }

    /// Sends control's answer on as it comes.
    async fn relay(
        &mut self,
        mut out: BytesMut,
        mut framing: Framing,
        mut body: ControlBody,
    ) -> io::Result<()> {
        loop {
            // What is there goes out together; only then is there a wait.
            let chunk = match body.try_next() {
                Some(chunk) => chunk,
                None => {
                    if !out.is_empty() {
                        self.send(&[&out]).await?;
                        out.clear();
                    }
                    match first(body.next(), self.failed()).await {
                        First::Left(chunk) => chunk,
                        First::Right(()) => return Err(ErrorKind::ConnectionReset.into()),
                    }
                }
            };
            match chunk {
                Chunk::Data(data) => self.send_chunk(&mut out, &mut framing, &data).await?,
                Chunk::End => break,
                Chunk::Broken => return Err(ErrorKind::UnexpectedEof.into()),
            }
        }
        if framing == Framing::Chunked {
            out.put_slice(b"0\r\n\r\n");
        }
        if !out.is_empty() {
            self.send(&[&out]).await?;
        }
        match framing {
            // Control promised more: only a cut connection tells the peer so.
            Framing::Length(1..) => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Adds `chunk` to `out` where it is small, or sends both.
    async fn send_chunk(
        &mut self,
        out: &mut BytesMut,
        framing: &mut Framing,
        chunk: &[u8],
    ) -> io::Result<()> {
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
                    .ok_or(ErrorKind::InvalidData)?;
                b""
            }
            Framing::Close => b"",
        };
        if out.len() + chunk.len() <= GATHER_BYTES_MAX {
            out.put_slice(chunk);
            out.put_slice(end);
            return Ok(());
        }
        self.send(&[out, chunk, end]).await?;
        out.clear();
        Ok(())
    }

    /// Sends a last answer and closes so that it arrives.
    pub(crate) async fn refuse(mut self, version: Version, response: Response) {
        let config = self.shard.config();
        let answer = render_last(version_for(version), response, self.front, &config);
        if self.send(&[&answer]).await.is_ok() {
            self.close_in_order().await;
        }
    }
}
