//! TLS connections: like those of [`super::tcp`], with records between them and the socket.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use corecast_media::socket::{Sent, Socket};
use monoio::time::Instant;
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustls::ServerConfig;

use super::buffer::Scratch;
use super::records::Records;
use super::tcp::{self, TcpConnection, TcpSocket};
use super::wire::Wire;

/// The most bytes that a peer may send before the handshake is over: a hello with keys for
/// groups of the day and a ticket is two thousand bytes.
const HANDSHAKE_BYTES_MAX: usize = 16 * 1024;

/// What each TLS connection begins with: the type of a handshake record (RFC 8446, section 5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// The most bytes of a steady peer's words looked at at once.
const DISCARD_BYTES: usize = 4_096;

/// Why no TLS connection came to be.
#[derive(Debug)]
pub(crate) enum HandshakeFault {
    /// The handshake took too long.
    Late,
    /// The peer closed, failed, or sent too much.
    Gone,
    /// The first byte is not TLS; it lies in the socket still.
    Foreign(TcpConnection),
    /// Peer and settings do not fit together, or the peer broke the protocol; it was told so.
    Refused(rustls::Error),
}

impl fmt::Display for HandshakeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandshakeFault::Late => f.write_str("the handshake took too long"),
            HandshakeFault::Gone => f.write_str("the peer went away"),
            HandshakeFault::Foreign(_) => f.write_str("this is not TLS"),
            HandshakeFault::Refused(error) => write!(f, "{error}"),
        }
    }
}

/// A TLS connection that is served by a task.
pub(crate) struct TlsConnection {
    tcp: TcpConnection,
    records: Records,
    /// Plaintext taken so far.
    sent_bytes: u64,
}

impl fmt::Debug for TlsConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TlsConnection").field(&self.tcp).finish()
    }
}

impl TlsConnection {
    /// Shakes hands as the server, not past `deadline`. May be dropped.
    ///
    /// # Errors
    /// Why there is no connection.
    pub(crate) async fn accept(
        mut tcp: TcpConnection,
        config: Arc<ServerConfig>,
        deadline: Instant,
    ) -> Result<Box<Self>, HandshakeFault> {
        if first_byte(&mut tcp, deadline).await? != HANDSHAKE_RECORD {
            return Err(HandshakeFault::Foreign(tcp));
        }
        let records = Records::new(config).map_err(HandshakeFault::Refused)?;
        let mut connection = Box::new(TlsConnection {
            tcp,
            records,
            sent_bytes: 0,
        });
        match connection.shake(deadline).await {
            Ok(()) => Ok(connection),
            Err(fault) => {
                if let (HandshakeFault::Refused(_), Ok(socket)) =
                    (&fault, connection.tcp.into_socket())
                {
                    // So that the alert is not lost to a reset.
                    socket.close_in_order(&mut [0; DISCARD_BYTES]);
                }
                Err(fault)
            }
        }
    }

    async fn shake(&mut self, deadline: Instant) -> Result<(), HandshakeFault> {
        let mut left = HANDSHAKE_BYTES_MAX;
        while self.records.is_handshaking() {
            let shaken = match self.flush() {
                Ok(()) => self.tcp.fd().and_then(|fd| self.records.shake(fd)),
                Err(error) => Err(error),
            };
            match shaken {
                Ok(0) => return Err(HandshakeFault::Gone),
                // Who says its end with its request still gets an answer.
                Ok(_) if self.records.is_ended() && self.records.is_handshaking() => {
                    return Err(HandshakeFault::Gone);
                }
                Ok(n) => left = left.checked_sub(n).ok_or(HandshakeFault::Gone)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let came = match self.records.has_unsent() {
                        true => monoio::time::timeout_at(deadline, self.tcp.writable())
                            .await
                            .map_or(Ok(false), |result| result.map(|()| true)),
                        false => self.tcp.readable_until(deadline).await,
                    };
                    match came {
                        Ok(true) => {}
                        Ok(false) => return Err(HandshakeFault::Late),
                        Err(_) => return Err(HandshakeFault::Gone),
                    }
                }
                Err(error) => {
                    let refused = error.downcast().map(HandshakeFault::Refused);
                    return Err(refused.unwrap_or(HandshakeFault::Gone));
                }
            }
        }
        Ok(())
    }

    /// The protocol that peer and settings agreed on (RFC 7301); none where the peer named none.
    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        self.records.alpn()
    }

    /// Plaintext taken so far.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    /// What lies in the socket now, decrypted; 0 where the peer sends no more.
    ///
    /// # Errors
    /// `WouldBlock` where nothing whole has come yet; else the connection is gone.
    pub(crate) fn try_recv(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.records.receive(self.tcp.fd()?, buf)
    }

    /// Whether the connection failed (an orderly end of the peer's side is no failure).
    pub(crate) fn is_failed(&self) -> bool {
        self.tcp.is_failed()
    }

    /// Takes as much of `slices` as the window takes, or `WouldBlock`. The last of it may still
    /// lie here as ciphertext, at most eight records: [`TlsConnection::flush`] sends that.
    ///
    /// # Errors
    /// `WouldBlock` where the window is full; else the connection is gone.
    pub(crate) fn try_send(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let n = self.records.send(self.tcp.fd()?, slices)?;
        self.sent_bytes += n as u64;
        Ok(n)
    }

    /// Encrypts all of `slices` and sends nothing: [`TlsConnection::flush`] does.
    ///
    /// # Errors
    /// The connection is gone.
    pub(super) fn queue(&mut self, slices: &[IoSlice<'_>]) -> io::Result<()> {
        self.sent_bytes += self.records.queue(slices)? as u64;
        Ok(())
    }

    /// Sends what was taken and did not go out yet.
    ///
    /// # Errors
    /// `WouldBlock` where the window is full before it is all out; else the connection is gone.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.records.flush(self.tcp.fd()?)
    }

    /// Waits until there is something to receive (or an end, or a failure), or what looks like
    /// it: records that hold nothing for us. May be dropped.
    ///
    /// # Errors
    /// What the runtime says.
    pub(crate) async fn readable(&mut self) -> io::Result<()> {
        if self.records.holds_plaintext() {
            return Ok(());
        }
        self.tcp.readable().await
    }

    /// Waits until the window has room (or a failure). May be dropped.
    ///
    /// # Errors
    /// What the runtime says.
    pub(crate) async fn writable(&mut self) -> io::Result<()> {
        self.tcp.writable().await
    }

    /// Says that no more will be sent, and throws away what the peer still sends, as
    /// [`TcpConnection::close_in_order`] does.
    pub(crate) async fn close_in_order(mut self, silence_max: Duration, scratch: &Scratch) {
        if let Ok(fd) = self.tcp.fd() {
            self.records.close(fd);
        }
        let deadline = Instant::now() + silence_max;
        while self.records.has_unsent() {
            let waited = monoio::time::timeout_at(deadline, self.tcp.writable()).await;
            let flushed = self.flush();
            let full = matches!(&flushed, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
            if !matches!(waited, Ok(Ok(()))) || (flushed.is_err() && !full) {
                return;
            }
        }
        self.tcp.close_in_order(silence_max, scratch).await;
    }

    /// Says that no more will be sent, with an alert that may have to be flushed.
    pub(super) fn shut(&mut self) {
        if let Ok(fd) = self.tcp.fd() {
            self.records.close(fd);
        }
    }

    /// Takes the connection away from the runtime until it has to wait again.
    pub(crate) fn rest(&mut self) {
        self.tcp.rest();
    }

    /// Takes the connection away from the runtime for good.
    ///
    /// # Errors
    /// Where the descriptor has to be duplicated and the process has none left.
    pub(crate) fn into_socket(self) -> io::Result<TlsSocket> {
        Ok(TlsSocket {
            fd: self.tcp.into_fd()?,
            records: self.records,
            heard: false,
        })
    }

    /// The runtime's hold of the connection.
    ///
    /// # Errors
    /// What the runtime says.
    pub(super) fn tcp(&mut self) -> &mut TcpConnection {
        &mut self.tcp
    }
}

/// The first byte that comes, left where it is.
async fn first_byte(tcp: &mut TcpConnection, deadline: Instant) -> Result<u8, HandshakeFault> {
    loop {
        let mut byte = [0];
        let fd = tcp.fd().map_err(|_| HandshakeFault::Gone)?;
        match tcp::receive(fd, &mut byte, RecvFlags::PEEK) {
            Ok(1..) => return Ok(byte[0]),
            Err(Errno::AGAIN) => match tcp.readable_until(deadline).await {
                Ok(true) => {}
                Ok(false) => return Err(HandshakeFault::Late),
                Err(_) => return Err(HandshakeFault::Gone),
            },
            Ok(0) | Err(_) => return Err(HandshakeFault::Gone),
        }
    }
}

/// A TLS connection without a task: what the hub sends to.
pub struct TlsSocket {
    fd: OwnedFd,
    records: Records,
    /// What the peer says is asked for.
    heard: bool,
}

impl fmt::Debug for TlsSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TlsSocket").field(&self.fd).finish()
    }
}

impl AsFd for TlsSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl TlsSocket {
    /// What the peer said, which is not thrown away from now on; 0 where it says no more.
    ///
    /// # Errors
    /// `WouldBlock` where nothing whole has come yet; else the connection is gone.
    pub(super) fn try_recv(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.heard = true;
        self.records.receive(self.fd.as_fd(), buf)
    }

    /// Decrypts what the peer sent and throws it away, but for what TLS itself has to know of:
    /// its end, its faults, its new keys.
    fn discard_input(&mut self) {
        let mut waste = [0; DISCARD_BYTES];
        // What goes wrong here goes wrong at the next send too.
        let _ = self.records.receive(self.fd.as_fd(), &mut waste);
    }

    /// Closes so that what was sent still arrives, as [`TcpSocket::close_in_order`] does. What
    /// the window never took is lost.
    pub fn close_in_order(mut self, scratch: &mut [u8]) {
        self.records.close(self.fd.as_fd());
        TcpSocket::from(self.fd).close_in_order(scratch);
    }

    /// Closes with a reset: what is still unsent is thrown away.
    pub fn reset(self) {
        TcpSocket::from(self.fd).reset();
    }
}

impl Socket for TlsSocket {
    fn send(&mut self, slices: &[IoSlice<'_>]) -> Sent {
        if !self.heard && tcp::discards() {
            self.discard_input();
        }
        sent(self.records.send(self.fd.as_fd(), slices))
    }

    fn flush(&mut self) -> Sent {
        sent(self.records.flush(self.fd.as_fd()).map(|()| 0))
    }

    fn is_closed(&mut self) -> bool {
        if !self.heard {
            self.discard_input();
        }
        if self.records.is_ended() {
            return true;
        }
        let mut byte = [0u8; 1];
        match tcp::receive(self.fd.as_fd(), &mut byte, RecvFlags::PEEK) {
            Ok(n) => n == 0,
            Err(error) => error != Errno::AGAIN,
        }
    }
}

/// The outcome of a send as the hub knows it.
fn sent(result: io::Result<usize>) -> Sent {
    match result {
        Ok(n) => Sent::Bytes(n),
        Err(error) if Errno::from_io_error(&error).is_some_and(tcp::is_full) => Sent::Full,
        Err(_) => Sent::Failed,
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
pub(crate) mod tests;
