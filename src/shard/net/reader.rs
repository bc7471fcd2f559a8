//! What the hub sends to: a connection of its own, or a stream of one that many share.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use bytes::Bytes;
use corecast_media::socket::{Heard, Sent, Socket};

use super::link::LinkSocket;
use super::tcp::TcpSocket;
use super::websocket::Talker;

/// A stream of HTTP/2 or 3 that a reader is sent on. Its connection belongs to a task.
pub trait StreamSocket: Socket {
    /// What the peer said on its side, where that is open still; 0 at its end. The waker is woken
    /// once more comes.
    ///
    /// # Errors
    /// The stream or its connection is gone.
    fn poll_receive(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Ends the stream, in order or (`cut`) with what is unsent thrown away.
    fn close(self: Box<Self>, cut: bool);
}

/// A steady reader's transport.
pub enum ReaderSocket {
    /// A connection of its own.
    Link(LinkSocket),
    /// A stream of a connection that others use too.
    Stream(Box<dyn StreamSocket>),
    /// Either, where the peer talks WebSocket.
    Talker(Box<Talker>),
}

impl ReaderSocket {
    /// Closes so that what was sent still arrives, or (`cut`) at once. True where a whole
    /// connection ended with it.
    pub(crate) fn close(self, cut: bool, scratch: &mut [u8]) -> bool {
        match self {
            ReaderSocket::Link(socket) if cut => socket.reset(),
            ReaderSocket::Link(socket) => socket.close_in_order(scratch),
            ReaderSocket::Stream(stream) => {
                stream.close(cut);
                return false;
            }
            ReaderSocket::Talker(talker) => return talker.into_socket().close(cut, scratch),
        }
        true
    }

    /// What the peer said; 0 where it says no more. A stream wakes the waker once more comes.
    ///
    /// # Errors
    /// The peer is gone.
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            ReaderSocket::Link(socket) => match socket.try_recv(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
                received => Poll::Ready(received),
            },
            ReaderSocket::Stream(stream) => stream.poll_receive(cx, buf),
            // One does not stand in another.
            ReaderSocket::Talker(_) => Poll::Ready(Ok(0)),
        }
    }
}

impl From<LinkSocket> for ReaderSocket {
    fn from(socket: LinkSocket) -> Self {
        ReaderSocket::Link(socket)
    }
}

impl From<TcpSocket> for ReaderSocket {
    fn from(socket: TcpSocket) -> Self {
        ReaderSocket::Link(LinkSocket::Plain(socket))
    }
}

impl Socket for ReaderSocket {
    fn send(&mut self, slices: &[IoSlice<'_>]) -> Sent {
        match self {
            ReaderSocket::Link(socket) => socket.send(slices),
            ReaderSocket::Stream(stream) => stream.send(slices),
            ReaderSocket::Talker(talker) => talker.send(slices),
        }
    }

    fn flush(&mut self) -> Sent {
        match self {
            ReaderSocket::Link(socket) => socket.flush(),
            ReaderSocket::Stream(stream) => stream.flush(),
            ReaderSocket::Talker(talker) => talker.flush(),
        }
    }

    fn is_closed(&mut self) -> bool {
        match self {
            ReaderSocket::Link(socket) => socket.is_closed(),
            ReaderSocket::Stream(stream) => stream.is_closed(),
            ReaderSocket::Talker(talker) => talker.is_closed(),
        }
    }

    fn talks(&self) -> bool {
        matches!(self, ReaderSocket::Talker(_))
    }

    fn hear(&mut self) -> Heard {
        match self {
            ReaderSocket::Talker(talker) => talker.hear(),
            _ => Heard::Nothing,
        }
    }

    fn poll_words(&mut self) -> Option<Bytes> {
        match self {
            ReaderSocket::Talker(talker) => talker.poll_words(),
            _ => None,
        }
    }

    fn poll_farewell(&mut self) -> Option<Bytes> {
        match self {
            ReaderSocket::Talker(talker) => talker.poll_farewell(),
            _ => None,
        }
    }
}

impl std::fmt::Debug for ReaderSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ReaderSocket::Link(_) => "Link",
            ReaderSocket::Stream(_) => "Stream",
            ReaderSocket::Talker(_) => "Talker",
        })
    }
}
