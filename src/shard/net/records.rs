//! TLS without its waits: what goes into the socket and comes out of it as records.
//!
//! Lives on: the shard that owns the connection. Nothing is kept for a connection but its keys,
//! what the peer's window did not take, and a record that is not whole yet.

use std::cell::RefCell;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use rustix::net::RecvFlags;
use rustls::{Error, ProtocolVersion, ServerConfig, ServerConnection, SupportedCipherSuite};

use super::tcp;

/// The most bytes in a record (RFC 8446, section 5.1).
pub(super) const RECORD_BYTES_MAX: usize = 16 * 1024;

/// The most bytes encrypted before they are sent: eight records in one system call, as many as
/// stay in the cache of a core until they are out.
const STEP_BYTES_MAX: usize = 8 * RECORD_BYTES_MAX;

/// The most slices encrypted before they are sent.
const SLICES_MAX: usize = 64;

/// The most ciphertext received at once.
const RECEIVE_BYTES_MAX: usize = 32 * 1024;

/// The most ciphertext received at once while hands are shaken: what follows the handshake is
/// decrypted with it and has to be kept until somebody takes it.
const SHAKE_BYTES_MAX: usize = 8 * 1024;

/// The most records that one step of encryption makes.
const STEP_RECORDS_MAX: u64 = (STEP_BYTES_MAX / RECORD_BYTES_MAX) as u64;

thread_local! {
    /// Where ciphertext of all connections of a shard comes in.
    static INCOMING: RefCell<Box<[u8]>> =
        RefCell::new(vec![0; RECEIVE_BYTES_MAX].into_boxed_slice());
}

/// The TLS side of one connection.
pub(super) struct Records {
    tls: ServerConnection,
    /// How many bytes are encrypted before the next send: few for a peer whose window was full,
    /// since all that it does not take is kept.
    step: usize,
    /// Records that the keys are good for, where the version cannot change them (TLS 1.2); none
    /// where it can.
    pub(super) records_left: Option<u64>,
    /// The peer sends no more.
    ended: bool,
}

/// A descriptor that records are written to.
struct Outgoing<'a>(BorrowedFd<'a>);

impl Write for Outgoing<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buf)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(tcp::send(self.0, slices)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Records {
    /// A connection whose peer has said nothing yet.
    ///
    /// # Errors
    /// The settings do not fit together.
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Self, Error> {
        let mut tls = ServerConnection::new(config)?;
        // What is encrypted at once is bounded by `step`.
        tls.set_buffer_limit(None);
        Ok(Records {
            tls,
            step: STEP_BYTES_MAX,
            records_left: None,
            ended: false,
        })
    }

    /// Whether the handshake goes on.
    pub(super) fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// What the peer and we agreed to speak.
    pub(super) fn alpn(&self) -> Option<&[u8]> {
        self.tls.alpn_protocol()
    }

    /// Whether plaintext, or the news of the peer's end, was left behind.
    pub(super) fn holds_plaintext(&self) -> bool {
        !self.tls.is_handshaking() && !self.tls.wants_read()
    }

    /// Whether the peer said that it sends no more.
    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether ciphertext waits for the window.
    pub(super) fn has_unsent(&self) -> bool {
        self.tls.wants_write()
    }

    /// Sends the ciphertext that waits.
    ///
    /// # Errors
    /// `WouldBlock` where the window is full before it is all out; else the connection is gone.
    pub(super) fn flush(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut Outgoing(fd))?;
        }
        Ok(())
    }

    /// Encrypts and sends as much of `slices` as the window takes. What was taken and did not go
    /// out is kept; nothing more is taken before it is out.
    ///
    /// # Errors
    /// `WouldBlock` where nothing was taken; else the connection is gone.
    pub(super) fn send(&mut self, fd: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.flush(fd)?;
        let mut taken = 0;
        let mut place = Place::default();
        loop {
            let encrypted = self.encrypt(slices, &mut place)?;
            if encrypted == 0 {
                return Ok(taken);
            }
            taken += encrypted;
            match self.flush(fd) {
                Ok(()) => self.step = STEP_BYTES_MAX.min(self.step * 2),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.step = RECORD_BYTES_MAX;
                    return Ok(taken);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Encrypts all of `slices`, which is for the caller to bound, and sends nothing.
    ///
    /// # Errors
    /// The connection is gone.
    pub(super) fn queue(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut taken = 0;
        let mut place = Place::default();
        loop {
            let encrypted = self.encrypt(slices, &mut place)?;
            if encrypted == 0 {
                return Ok(taken);
            }
            taken += encrypted;
        }
    }

    /// Encrypts the next step of `slices`; 0 at their end.
    fn encrypt(&mut self, slices: &[IoSlice<'_>], place: &mut Place) -> io::Result<usize> {
        let mut step = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        let mut left = self.step;
        while left > 0
            && let Some(slice) = slices.get(place.slice)
            && let Some(room) = step.get_mut(count)
        {
            let rest = slice.get(place.byte..).unwrap_or_default();
            let part = rest.get(..left.min(rest.len())).unwrap_or_default();
            if !part.is_empty() {
                *room = IoSlice::new(part);
                count += 1;
            }
            left -= part.len();
            place.byte += part.len();
            if place.byte == slice.len() {
                *place = Place {
                    slice: place.slice + 1,
                    byte: 0,
                };
            }
        }
        let wanted = self.step - left;
        let step = step.get(..count).unwrap_or_default();
        if wanted == 0 {
            return Ok(0);
        }
        if let Some(left) = &mut self.records_left {
            *left = left
                .checked_sub(wanted.div_ceil(RECORD_BYTES_MAX) as u64)
                .ok_or(io::ErrorKind::BrokenPipe)?;
        }
        self.tls.writer().write_vectored(step)
    }

    /// Receives plaintext; 0 where the peer sends no more.
    ///
    /// # Errors
    /// `WouldBlock` where no whole record came; else the connection is gone, or the peer broke
    /// the protocol (it was told so).
    pub(super) fn receive(&mut self, fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            let left = self.take(buf)?;
            if left > 0 || self.ended {
                return Ok(left);
            }
            let n = self.pull(fd, buf)?;
            if n > 0 {
                return Ok(n);
            }
        }
    }

    /// One step of the handshake: receives once; gives how many bytes came, 0 at the end.
    ///
    /// # Errors
    /// `WouldBlock` where nothing came; `InvalidData` with the cause where the peer broke the
    /// protocol; else the connection is gone.
    pub(super) fn shake(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        let n = INCOMING.with_borrow_mut(|incoming| {
            let room = incoming.get_mut(..SHAKE_BYTES_MAX).unwrap_or_default();
            let n = tcp::receive(fd, room, RecvFlags::empty())?;
            let mut came = room.get(..n).unwrap_or_default();
            while !came.is_empty() && !self.ended {
                self.digest(fd, &mut came)?;
            }
            Ok::<_, io::Error>(n)
        })?;
        if self.tls.protocol_version() == Some(ProtocolVersion::TLSv1_2) {
            let suite = self.tls.negotiated_cipher_suite();
            let limit = suite.map(|suite| match suite {
                SupportedCipherSuite::Tls12(suite) => suite.common.confidentiality_limit,
                SupportedCipherSuite::Tls13(suite) => suite.common.confidentiality_limit,
            });
            self.records_left = limit.map(|limit| limit.saturating_sub(STEP_RECORDS_MAX));
        }
        Ok(n)
    }

    /// Plaintext that was left behind.
    fn take(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.tls.reader().read(buf) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            taken => taken,
        }
    }

    /// Receives ciphertext once and decrypts it into `buf`; 0 where it held no plaintext.
    fn pull(&mut self, fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
        INCOMING.with_borrow_mut(|incoming| {
            // No more than `buf` holds, but for the record that it completes: that is left behind.
            let room = incoming.len().min(buf.len());
            let room = incoming.get_mut(..room).unwrap_or_default();
            let n = tcp::receive(fd, room, RecvFlags::empty())?;
            self.ended |= n == 0;
            let mut came = room.get(..n).unwrap_or_default();
            let mut taken = 0;
            while !came.is_empty() && !self.ended {
                self.digest(fd, &mut came)?;
                taken += self.take(buf.get_mut(taken..).unwrap_or_default())?;
            }
            Ok(taken)
        })
    }

    /// Decrypts a part of `came`, and answers what has to be answered.
    fn digest(&mut self, fd: BorrowedFd<'_>, came: &mut &[u8]) -> io::Result<()> {
        let before = came.len();
        self.tls.read_tls(came)?;
        let digested = self.tls.process_new_packets();
        if self.tls.wants_write() {
            match self.flush(fd) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
        let state = digested.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.ended |= state.peer_has_closed();
        if came.len() == before {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(())
    }

    /// Says that no more will be sent, as far as the window takes that.
    pub(super) fn close(&mut self, fd: BorrowedFd<'_>) {
        self.tls.send_close_notify();
        let _ = self.flush(fd);
    }
}

/// A place in a list of slices.
#[derive(Clone, Copy, Default)]
struct Place {
    slice: usize,
    byte: usize,
}
