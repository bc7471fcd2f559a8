//! TCP connections: while they are set up they wait through the runtime, once they are steady
//! they are a bare descriptor.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use corecast_media::fanout::{Sent, Socket};
use monoio::net::TcpStream;
use monoio::time::Instant;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};

use super::buffer::Scratch;
use super::fd;
use super::wire::Wire;

/// The most slices given to the kernel at once.
const SLICES_MAX: usize = 64;

/// The most bytes read and thrown away before a connection is closed.
pub(super) const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// A connection without a task: what the hub sends to.
#[derive(Debug)]
pub struct TcpSocket {
    fd: OwnedFd,
    /// Somebody else reads what the peer sends.
    heard: bool,
}

/// What a peer sends is thrown away at one of so many sends on average: players of RTMP
/// acknowledge and WebSocket clients answer, and who has filled our window with that waits for us.
const SENDS_PER_DISCARD: u32 = 64;

/// The most bytes thrown away at once: far more than a peer says between two times.
const DISCARD_BYTES: usize = 4_096;

thread_local! {
    /// The state of a small generator (xorshift): no socket may be passed over for ever because
    /// readers are served in the same order each time.
    static DICE: Cell<u32> = const { Cell::new(0x9E37_79B9) };
}

/// Whether it is time to throw away what a peer sent.
pub(super) fn discards() -> bool {
    DICE.with(|dice| {
        let mut state = dice.get();
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        dice.set(state);
        state.is_multiple_of(SENDS_PER_DISCARD)
    })
}

impl TcpSocket {
    /// What the peer sends is read by somebody else.
    pub(crate) fn leave_input(&mut self) {
        self.heard = true;
    }

    /// What the peer said, which is not thrown away from now on.
    ///
    /// # Errors
    /// `WouldBlock` where nothing has come yet; else the connection is gone.
    pub(super) fn try_recv(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.heard = true;
        Ok(receive(self.fd.as_fd(), buf, RecvFlags::empty())?)
    }

    fn discard_input(&self) {
        let mut waste = [0; DISCARD_BYTES];
        // What goes wrong here goes wrong at the next send too.
        let _ = receive(self.fd.as_fd(), &mut waste, RecvFlags::empty());
    }

    /// Closes so that what was sent still arrives: what the peer sent is read first, because the
    /// kernel answers unread bytes with a reset.
    pub fn close_in_order(self, scratch: &mut [u8]) {
        let _ = rustix::net::shutdown(&self.fd, Shutdown::Write);
        let mut left = LINGER_BYTES_MAX;
        while let Ok(n @ 1..) = receive(self.fd.as_fd(), scratch, RecvFlags::empty()) {
            left = left.saturating_sub(n);
            if left == 0 {
                break;
            }
        }
    }

    /// Closes with a reset: what is still unsent is thrown away.
    pub fn reset(self) {
        let _ = rustix::net::sockopt::set_socket_linger(&self.fd, Some(Duration::ZERO));
    }
}

impl AsFd for TcpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<OwnedFd> for TcpSocket {
    fn from(fd: OwnedFd) -> Self {
        TcpSocket { fd, heard: false }
    }
}

impl Socket for TcpSocket {
    fn send(&mut self, slices: &[IoSlice<'_>]) -> Sent {
        if discards() && !self.heard {
            self.discard_input();
        }
        match send(self.fd.as_fd(), slices) {
            Ok(n) => Sent::Bytes(n),
            Err(error) if is_full(error) => Sent::Full,
            Err(_) => Sent::Failed,
        }
    }

    fn is_closed(&mut self) -> bool {
        let mut byte = [0u8; 1];
        match receive(self.fd.as_fd(), &mut byte, RecvFlags::PEEK) {
            Ok(n) => n == 0,
            Err(error) => error != Errno::AGAIN,
        }
    }
}

/// A connection that is being set up or served by a task.
///
/// It is known to the runtime only after it had to wait once.
#[derive(Debug)]
pub(crate) struct TcpConnection {
    link: Link,
    /// Waits that were given up: their operations may still hold the stream for a moment.
    waits_dropped: u32,
    sent_bytes: u64,
}

#[derive(Debug)]
enum Link {
    Plain(OwnedFd),
    Watched(Rc<TcpStream>),
    /// The descriptor was lost while it was handed to the runtime.
    Lost,
}

impl TcpConnection {
    /// A connection as it was accepted, non-blocking.
    pub(crate) fn new(fd: OwnedFd) -> Self {
        TcpConnection {
            link: Link::Plain(fd),
            waits_dropped: 0,
            sent_bytes: 0,
        }
    }

    /// A connection of our own to `address`. May be dropped while it is made.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_addr(address).await?;
        Ok(TcpConnection {
            link: Link::Watched(Rc::new(stream)),
            waits_dropped: 0,
            sent_bytes: 0,
        })
    }

    /// Bytes sent so far.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    /// The descriptor, for what this type has no face for.
    ///
    /// # Errors
    /// It was lost while it was handed to the runtime.
    pub(super) fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        match &self.link {
            Link::Plain(owned) => Ok(owned.as_fd()),
            Link::Watched(stream) => Ok(fd::borrow(stream)),
            Link::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Whether the connection failed (an orderly end of the peer's side is no failure).
    pub(crate) fn is_failed(&self) -> bool {
        let mut byte = [0u8; 1];
        let peeked = self.fd().map(|fd| receive(fd, &mut byte, RecvFlags::PEEK));
        !matches!(peeked, Ok(Ok(_) | Err(Errno::AGAIN)))
    }

    /// Says that no more will be sent, and throws away what the peer still sends until it ends,
    /// falls silent for `silence_max` or has sent too much: so the last answer is not lost to a
    /// reset.
    pub(crate) async fn close_in_order(mut self, silence_max: Duration, scratch: &Scratch) {
        if self
            .fd()
            .is_ok_and(|fd| rustix::net::shutdown(fd, Shutdown::Write).is_err())
        {
            return;
        }
        let deadline = Instant::now() + silence_max;
        let mut left = LINGER_BYTES_MAX;
        while left > 0 {
            let read = scratch.with(|buf| self.try_recv(buf));
            match read {
                Ok(0) => return,
                Ok(n) => left = left.saturating_sub(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !matches!(self.readable_until(deadline).await, Ok(true)) {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }

    /// Says that no more will be sent.
    pub(super) fn shut(&mut self) {
        // What goes wrong here goes wrong for who waits for the peer's end too.
        let _ = self
            .fd()
            .map(|fd| rustix::net::shutdown(fd, Shutdown::Write));
    }

    /// Takes the connection away from the runtime until it has to wait again.
    pub(crate) fn rest(&mut self) {
        if self.waits_dropped == 0
            && matches!(self.link, Link::Watched(_))
            && let Link::Watched(stream) = std::mem::replace(&mut self.link, Link::Lost)
        {
            self.link = match Rc::try_unwrap(stream) {
                Ok(stream) => Link::Plain(fd::take(stream)),
                Err(shared) => Link::Watched(shared),
            };
        }
    }

    /// Takes the connection away from the runtime for good.
    ///
    /// # Errors
    /// Where the descriptor has to be duplicated and the process has none left.
    pub(crate) fn into_socket(self) -> io::Result<TcpSocket> {
        self.into_fd().map(TcpSocket::from)
    }

    /// As [`TcpConnection::into_socket`], but for who wraps the descriptor itself.
    ///
    /// # Errors
    /// As there.
    pub(super) fn into_fd(self) -> io::Result<OwnedFd> {
        let stream = match self.link {
            Link::Plain(owned) => return Ok(owned),
            Link::Watched(stream) => stream,
            Link::Lost => return Err(io::ErrorKind::NotConnected.into()),
        };
        if self.waits_dropped > 0 {
            return fd::borrow(&stream).try_clone_to_owned();
        }
        match Rc::try_unwrap(stream) {
            Ok(stream) => Ok(fd::take(stream)),
            Err(shared) => fd::borrow(&shared).try_clone_to_owned(),
        }
    }

    /// The runtime's hold of the connection, for waits that own what they wait for.
    ///
    /// # Errors
    /// What the runtime says.
    pub(super) fn watched(&mut self) -> io::Result<Rc<TcpStream>> {
        self.watch()?;
        // Nobody tells when such a wait is given up.
        self.waits_dropped = self.waits_dropped.saturating_add(1);
        match &self.link {
            Link::Watched(stream) => Ok(Rc::clone(stream)),
            Link::Plain(_) | Link::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Another hold of the same connection.
    ///
    /// # Errors
    /// Where the process has no descriptor left.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(TcpConnection::new(self.fd()?.try_clone_to_owned()?))
    }

    fn watch(&mut self) -> io::Result<()> {
        if let Link::Plain(_) = self.link
            && let Link::Plain(owned) = std::mem::replace(&mut self.link, Link::Lost)
        {
            let stream = TcpStream::from_std(std::net::TcpStream::from(owned))?;
            self.link = Link::Watched(Rc::new(stream));
        }
        Ok(())
    }
}

impl Wire for TcpConnection {
    fn try_recv(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(receive(self.fd()?, buf, RecvFlags::empty())?)
    }

    fn try_send(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let n = send(self.fd()?, slices)?;
        self.sent_bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    async fn readable(&mut self) -> io::Result<()> {
        self.watch()?;
        self.waits_dropped += 1;
        let Link::Watched(stream) = &self.link else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let result = stream.readable(false).await;
        self.waits_dropped -= 1;
        result
    }

    async fn writable(&mut self) -> io::Result<()> {
        self.watch()?;
        self.waits_dropped += 1;
        let Link::Watched(stream) = &self.link else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let result = stream.writable(false).await;
        self.waits_dropped -= 1;
        result
    }
}

pub(super) fn receive(
    fd: BorrowedFd<'_>,
    buf: &mut [u8],
    flags: RecvFlags,
) -> rustix::io::Result<usize> {
    rustix::io::retry_on_intr(|| {
        rustix::net::recv(fd, &mut *buf, flags | RecvFlags::DONTWAIT).map(|(_, n)| n)
    })
}

pub(super) fn send(fd: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> rustix::io::Result<usize> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    rustix::io::retry_on_intr(|| match slices {
        [] => Ok(0),
        [one] => rustix::net::send(fd, one, flags),
        many => {
            let some = &many[..many.len().min(SLICES_MAX)];
            rustix::net::sendmsg(fd, some, &mut SendAncillaryBuffer::default(), flags)
        }
    })
}

/// Whether a send failed for want of room only.
pub(super) fn is_full(error: Errno) -> bool {
    matches!(error, Errno::AGAIN | Errno::NOBUFS)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    const ROUNDS: usize = 30_000;

    /// Whether a client that talks while it is sent to is ever kept waiting.
    fn is_stuck(heard: bool) -> bool {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let mut client = std::net::TcpStream::connect(address).expect("it listens");
        let (accepted, _) = listener.accept().expect("somebody came");
        socket2::SockRef::from(&accepted)
            .set_recv_buffer_size(8_192)
            .expect("a buffer may be small");
        client.set_nonblocking(true).expect("a socket can be so");
        socket2::SockRef::from(&client)
            .set_send_buffer_size(8_192)
            .expect("a buffer may be small");
        let mut socket = TcpSocket::from(OwnedFd::from(accepted));
        socket.heard = heard;
        let mut told = 0;
        for _ in 0..ROUNDS {
            assert_ne!(socket.send(&[IoSlice::new(b"media")]), Sent::Failed);
            let mut media = [0; 64];
            let _ = client.read(&mut media);
            match client.write(&[0; 16]) {
                Ok(bytes) => told += bytes,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        // News of room come late at times: who is heard gets most of it said.
        told < ROUNDS * 16 / 2
    }

    #[test]
    fn who_talks_while_it_listens_is_not_kept_waiting() {
        assert!(!is_stuck(false));
        assert!(is_stuck(true));
    }
}
