//! What connections do alike, plain or over TLS: what can be done at once, and the waits for more.

use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::Bytes;
use monoio::time::Instant;

use super::buffer::Scratch;

/// A connection that a task serves.
pub(crate) trait Wire {
    /// What has come; 0 where the peer sends no more.
    ///
    /// # Errors
    /// `WouldBlock` where nothing has come yet; else the connection is gone.
    fn try_recv(&mut self, buf: &mut [u8]) -> io::Result<usize>;

    /// Takes as much of `slices` as the window takes. TLS may keep some of it as ciphertext:
    /// [`Wire::flush`] sends that.
    ///
    /// # Errors
    /// `WouldBlock` where the window is full; else the connection is gone.
    fn try_send(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Sends what was taken and did not go out yet.
    ///
    /// # Errors
    /// `WouldBlock` where the window is full before it is all out; else the connection is gone.
    fn flush(&mut self) -> io::Result<()>;

    /// Waits until there is something to receive (or an end, or a failure), or what looks like
    /// it. May be dropped.
    ///
    /// # Errors
    /// What the runtime says.
    async fn readable(&mut self) -> io::Result<()>;

    /// Waits until the window has room (or a failure). May be dropped.
    ///
    /// # Errors
    /// What the runtime says.
    async fn writable(&mut self) -> io::Result<()>;

    /// Waits until there is something to receive, not past `deadline`; false if that came first.
    ///
    /// # Errors
    /// What the runtime says.
    async fn readable_until(&mut self, deadline: Instant) -> io::Result<bool> {
        match monoio::time::timeout_at(deadline, self.readable()).await {
            Ok(result) => result.map(|()| true),
            Err(_) => Ok(false),
        }
    }

    /// What comes until `deadline`, at once if something is there: nothing where nothing comes, no
    /// bytes where the peer sends no more. May be dropped.
    ///
    /// # Errors
    /// The connection is gone.
    async fn receive_until(
        &mut self,
        deadline: Instant,
        scratch: &Scratch,
    ) -> io::Result<Option<Bytes>> {
        loop {
            let received = scratch.with(|buf| {
                let n = self.try_recv(buf)?;
                Ok(Bytes::copy_from_slice(buf.get(..n).unwrap_or_default()))
            });
            match received {
                Err(error) if io::Error::kind(&error) == io::ErrorKind::WouldBlock => {
                    if !self.readable_until(deadline).await? {
                        return Ok(None);
                    }
                }
                received => return received.map(Some),
            }
        }
    }

    /// Sends all of `slices`; each step of it may take `step_max`.
    ///
    /// # Errors
    /// `TimedOut` where the peer takes nothing for `step_max`; else the connection is gone.
    async fn send_all(
        &mut self,
        mut slices: &mut [IoSlice<'_>],
        step_max: Duration,
    ) -> io::Result<()> {
        IoSlice::advance_slices(&mut slices, 0);
        loop {
            let sent = match slices.is_empty() {
                true => self.flush().map(|()| 0),
                false => self.try_send(slices),
            };
            match sent {
                Ok(_) if slices.is_empty() => return Ok(()),
                Ok(n) => IoSlice::advance_slices(&mut slices, n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    monoio::time::timeout(step_max, self.writable())
                        .await
                        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
                }
                Err(error) => return Err(error),
            }
        }
    }
}
