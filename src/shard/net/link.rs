//! A connection that carries a session, in plain or over TLS.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::Duration;

use corecast_media::socket::{Sent, Socket};
use monoio::net::TcpStream;

use super::buffer::Scratch;
use super::tcp::{TcpConnection, TcpSocket};
use super::tls::{TlsConnection, TlsSocket};
use super::wire::Wire;

/// A connection that is served by a task.
#[derive(Debug)]
pub(crate) enum Link {
    /// Plain TCP.
    Plain(TcpConnection),
    /// TLS, its handshake done.
    Tls(Box<TlsConnection>),
}

impl From<TcpConnection> for Link {
    fn from(tcp: TcpConnection) -> Self {
        Link::Plain(tcp)
    }
}

impl From<Box<TlsConnection>> for Link {
    fn from(tls: Box<TlsConnection>) -> Self {
        Link::Tls(tls)
    }
}

impl Link {
    /// Bytes sent so far, before encryption.
    pub(crate) fn sent_bytes(&self) -> u64 {
        match self {
            Link::Plain(tcp) => tcp.sent_bytes(),
            Link::Tls(tls) => tls.sent_bytes(),
        }
    }

    /// Whether the connection failed (an orderly end of the peer's side is no failure).
    pub(crate) fn is_failed(&self) -> bool {
        match self {
            Link::Plain(tcp) => tcp.is_failed(),
            Link::Tls(tls) => tls.is_failed(),
        }
    }

    /// Says that no more will be sent, and throws away what the peer still sends until it ends,
    /// falls silent for `silence_max` or has sent too much: so the last answer is not lost to a
    /// reset.
    pub(crate) async fn close_in_order(self, silence_max: Duration, scratch: &Scratch) {
        match self {
            Link::Plain(tcp) => tcp.close_in_order(silence_max, scratch).await,
            Link::Tls(tls) => tls.close_in_order(silence_max, scratch).await,
        }
    }

    /// Says that no more will be sent; to be flushed before and after.
    pub(crate) fn shut(&mut self) {
        match self {
            Link::Plain(tcp) => tcp.shut(),
            Link::Tls(tls) => tls.shut(),
        }
    }

    /// Takes the connection away from the runtime until it has to wait again.
    pub(crate) fn rest(&mut self) {
        match self {
            Link::Plain(tcp) => tcp.rest(),
            Link::Tls(tls) => tls.rest(),
        }
    }

    /// Takes the connection away from the runtime for good.
    ///
    /// # Errors
    /// Where the descriptor has to be duplicated and the process has none left.
    pub(crate) fn into_socket(self) -> io::Result<LinkSocket> {
        Ok(match self {
            Link::Plain(tcp) => LinkSocket::Plain(tcp.into_socket()?),
            Link::Tls(tls) => LinkSocket::Tls(Box::new(tls.into_socket()?)),
        })
    }

    /// The runtime's hold of the connection, for waits that own what they wait for.
    ///
    /// # Errors
    /// What the runtime says.
    pub(super) fn watched(&mut self) -> io::Result<Rc<TcpStream>> {
        match self {
            Link::Plain(tcp) => tcp.watched(),
            Link::Tls(tls) => tls.tcp().watched(),
        }
    }
}

impl Wire for Link {
    fn try_recv(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Link::Plain(tcp) => tcp.try_recv(buf),
            Link::Tls(tls) => tls.try_recv(buf),
        }
    }

    fn try_send(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Link::Plain(tcp) => tcp.try_send(slices),
            Link::Tls(tls) => tls.try_send(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Link::Plain(tcp) => tcp.flush(),
            Link::Tls(tls) => tls.flush(),
        }
    }

    async fn readable(&mut self) -> io::Result<()> {
        match self {
            Link::Plain(tcp) => tcp.readable().await,
            Link::Tls(tls) => tls.readable().await,
        }
    }

    async fn writable(&mut self) -> io::Result<()> {
        match self {
            Link::Plain(tcp) => tcp.writable().await,
            Link::Tls(tls) => tls.writable().await,
        }
    }
}

/// A connection without a task: what the hub sends to.
#[derive(Debug)]
pub enum LinkSocket {
    /// Plain TCP.
    Plain(TcpSocket),
    /// TLS.
    Tls(Box<TlsSocket>),
}

impl LinkSocket {
    /// What the peer said, from now on heard by who asks for it; 0 where it says no more.
    ///
    /// # Errors
    /// `WouldBlock` where nothing has come yet; else the connection is gone.
    pub(super) fn try_recv(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            LinkSocket::Plain(tcp) => tcp.try_recv(buf),
            LinkSocket::Tls(tls) => tls.try_recv(buf),
        }
    }

    /// Closes so that what was sent still arrives.
    pub fn close_in_order(self, scratch: &mut [u8]) {
        match self {
            LinkSocket::Plain(tcp) => tcp.close_in_order(scratch),
            LinkSocket::Tls(tls) => tls.close_in_order(scratch),
        }
    }

    /// Closes with a reset: what is still unsent is thrown away.
    pub fn reset(self) {
        match self {
            LinkSocket::Plain(tcp) => tcp.reset(),
            LinkSocket::Tls(tls) => tls.reset(),
        }
    }
}

impl AsFd for LinkSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            LinkSocket::Plain(tcp) => tcp.as_fd(),
            LinkSocket::Tls(tls) => tls.as_fd(),
        }
    }
}

impl Socket for LinkSocket {
    fn send(&mut self, slices: &[IoSlice<'_>]) -> Sent {
        match self {
            LinkSocket::Plain(tcp) => tcp.send(slices),
            LinkSocket::Tls(tls) => tls.send(slices),
        }
    }

    fn flush(&mut self) -> Sent {
        match self {
            LinkSocket::Plain(tcp) => tcp.flush(),
            LinkSocket::Tls(tls) => tls.flush(),
        }
    }

    fn is_closed(&mut self) -> bool {
        match self {
            LinkSocket::Plain(tcp) => tcp.is_closed(),
            LinkSocket::Tls(tls) => tls.is_closed(),
        }
    }
}
