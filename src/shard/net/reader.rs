//! What the hub sends to: a connection of its own, or a stream of one that many share.

use std::io::IoSlice;

use corecast_media::socket::{Sent, Socket};

use super::link::LinkSocket;
use super::tcp::TcpSocket;

/// A stream of HTTP/2 or 3 that a reader is sent on. Its connection belongs to a task.
pub trait StreamSocket: Socket {
    /// Ends the stream, in order or (`cut`) with what is unsent thrown away.
    fn close(self: Box<Self>, cut: bool);
}

/// A steady reader's transport.
pub enum ReaderSocket {
    /// A connection of its own.
    Link(LinkSocket),
    /// A stream of a connection that others use too.
    Stream(Box<dyn StreamSocket>),
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
        }
        true
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
        }
    }

    fn flush(&mut self) -> Sent {
        match self {
            ReaderSocket::Link(socket) => socket.flush(),
            ReaderSocket::Stream(stream) => stream.flush(),
        }
    }

    fn is_closed(&mut self) -> bool {
        match self {
            ReaderSocket::Link(socket) => socket.is_closed(),
            ReaderSocket::Stream(stream) => stream.is_closed(),
        }
    }
}

impl std::fmt::Debug for ReaderSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ReaderSocket::Link(_) => "Link",
            ReaderSocket::Stream(_) => "Stream",
        })
    }
}
