//! A connection as a byte stream that is polled, for crates that speak a protocol themselves.

use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::buffer::Scratch;
use super::link::Link;
use super::records::RECORD_BYTES_MAX;
use super::wire::Wire;

/// The most bytes that wait to be sent, in plain and encrypted together; who writes more waits. So
/// much a peer costs that takes nothing, whatever it asked for.
const OUTGOING_BYTES_MAX: usize = 128 * 1024;

/// The most slices taken from one write.
const SLICES_MAX: usize = 64;

/// A wait that owns what it waits for.
type Wait = Pin<Box<dyn Future<Output = io::Result<()>>>>;

/// A hold of a connection. What is written is gathered, and goes out when
/// [`Stream::flush_now`] is called or much has come together: so many small writes make one send.
#[derive(Clone)]
pub(crate) struct Stream(Rc<RefCell<Polled>>);

struct Polled {
    link: Link,
    /// Received before this stream was made, and not yet read.
    first: Bytes,
    /// Written and not sent; over TLS what is no whole record yet, and not encrypted.
    outgoing: BytesMut,
    /// Encrypted since all that was encrypted went out.
    queued: usize,
    readable: Option<Wait>,
    writable: Option<Wait>,
    shut: bool,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

impl Stream {
    /// `first` was received from `link` already, and is read first.
    pub(crate) fn new(link: Link, first: Bytes) -> Self {
        Stream(Rc::new(RefCell::new(Polled {
            link,
            first,
            outgoing: BytesMut::new(),
            queued: 0,
            readable: None,
            writable: None,
            shut: false,
        })))
    }

    /// Sends what was written, as far as the window takes it; for the rest, wakes the task of
    /// `cx` when there is room, which then calls again.
    ///
    /// # Errors
    /// The connection is gone.
    pub(crate) fn flush_now(&self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.0.borrow_mut().poll_drain(cx) {
            Poll::Ready(result) => result,
            Poll::Pending => Ok(()),
        }
    }

    /// Sends what was written and closes so that it arrives: as [`Link::close_in_order`] where
    /// nobody else holds the connection any more.
    pub(crate) async fn close_in_order(self, silence_max: Duration, scratch: &Scratch) {
        let drained = poll_fn(|cx| self.0.borrow_mut().poll_drain(cx));
        if !matches!(
            monoio::time::timeout(silence_max, drained).await,
            Ok(Ok(()))
        ) {
            return;
        }
        match Rc::try_unwrap(self.0) {
            Ok(polled) => {
                let link = polled.into_inner().link;
                link.close_in_order(silence_max, scratch).await;
            }
            Err(shared) => shared.borrow_mut().link.shut(),
        }
    }

    /// Whether something waits for room in the peer's window.
    pub(crate) fn is_blocked(&self) -> bool {
        self.0.borrow().writable.is_some()
    }

    /// Bytes sent so far, before encryption.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.0.borrow().link.sent_bytes()
    }
}

impl Polled {
    /// Sends all that was written.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let sent = match self.outgoing.is_empty() {
                true => self.link.flush().map(|()| 0),
                false => self.link.try_send(&[IoSlice::new(&self.outgoing)]),
            };
            match sent {
                Ok(0) => {
                    self.queued = 0;
                    // Idle connections keep no buffer.
                    self.outgoing = BytesMut::new();
                    return Poll::Ready(Ok(()));
                }
                Ok(n) => self.outgoing.advance(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.poll_writable(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// What was taken and is not known to be out.
    fn waiting_bytes(&self) -> usize {
        self.outgoing.len() + self.queued
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.writable.is_none() {
            let stream = self.link.watched()?;
            self.writable = Some(Box::pin(async move { stream.writable(false).await }));
        }
        poll_wait(&mut self.writable, cx)
    }

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.readable.is_none() {
            let stream = self.link.watched()?;
            self.readable = Some(Box::pin(async move { stream.readable(false).await }));
        }
        poll_wait(&mut self.readable, cx)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.waiting_bytes() >= OUTGOING_BYTES_MAX {
            ready!(self.poll_drain(cx))?;
        }
        let slices = slices.get(..SLICES_MAX).unwrap_or(slices);
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        let taken = length.min(OUTGOING_BYTES_MAX.saturating_sub(self.waiting_bytes()));
        let mut rest = 0;
        if let Link::Tls(tls) = &mut self.link {
            let whole = (self.outgoing.len() + taken) / RECORD_BYTES_MAX * RECORD_BYTES_MAX;
            if whole > 0 {
                rest = whole.saturating_sub(self.outgoing.len());
                let mut parts = [IoSlice::new(&[]); SLICES_MAX + 1];
                parts[0] = IoSlice::new(&self.outgoing);
                for (part, slice) in parts[1..].iter_mut().zip(range(slices, 0, rest)) {
                    *part = IoSlice::new(slice);
                }
                tls.queue(&parts)?;
                self.queued += whole;
                self.outgoing.clear();
            }
        }
        for slice in range(slices, rest, taken) {
            self.outgoing.extend_from_slice(slice);
        }
        Poll::Ready(Ok(taken))
    }
}

/// The bytes of `slices` from `from` until `to`, counted over all of them.
fn range<'a>(slices: &'a [IoSlice<'_>], from: usize, to: usize) -> impl Iterator<Item = &'a [u8]> {
    slices.iter().scan(0, move |start, slice| {
        let (from, to) = (from.saturating_sub(*start), to.saturating_sub(*start));
        *start += slice.len();
        let end = to.min(slice.len());
        Some(slice.get(from.min(end)..end).unwrap_or_default())
    })
}

/// Polls a wait, and forgets it when it is over.
fn poll_wait(wait: &mut Option<Wait>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    let Some(waiting) = wait else {
        return Poll::Ready(Ok(()));
    };
    let result = ready!(waiting.as_mut().poll(cx));
    *wait = None;
    Poll::Ready(result)
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut polled = self.0.borrow_mut();
        if !polled.first.is_empty() {
            let n = polled.first.len().min(buf.remaining());
            buf.put_slice(&polled.first.split_to(n));
            return Poll::Ready(Ok(()));
        }
        loop {
            match polled.link.try_recv(buf.initialize_unfilled()) {
                Ok(n) => {
                    buf.advance(n);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(polled.poll_readable(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_write(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_write(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Sends nothing: [`Stream::flush_now`] does.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut polled = self.0.borrow_mut();
        ready!(polled.poll_drain(cx))?;
        if !std::mem::replace(&mut polled.shut, true) {
            polled.link.shut();
        }
        polled.poll_drain(cx)
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
