//! A connection as a byte stream that is polled, for crates that speak a protocol themselves.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::link::Link;

/// The most bytes that wait to be sent; who writes more waits.
const OUTGOING_BYTES_MAX: usize = 128 * 1024;

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
    outgoing: BytesMut,
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
        match self.0.borrow_mut().poll_drain(cx, 0) {
            Poll::Ready(result) => result,
            Poll::Pending => Ok(()),
        }
    }

    /// The connection, to be closed in order; nothing where somebody else holds it still. What
    /// was not sent yet is lost.
    pub(crate) fn into_link(self) -> Option<Link> {
        Rc::into_inner(self.0).map(|polled| polled.into_inner().link)
    }

    /// Bytes sent so far, before encryption.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.0.borrow().link.sent_bytes()
    }

    /// Whether the connection failed.
    pub(crate) fn is_failed(&self) -> bool {
        self.0.borrow().link.is_failed()
    }

    /// Whether nobody in between can read along.
    pub(crate) fn is_secure(&self) -> bool {
        self.0.borrow().link.is_secure()
    }
}

impl Polled {
    /// Sends until at most `rest` bytes wait.
    fn poll_drain(&mut self, cx: &mut Context<'_>, rest: usize) -> Poll<io::Result<()>> {
        loop {
            let sent = match self.outgoing.len() {
                0 => self.link.flush().map(|()| 0),
                _ => self.link.try_send(&[IoSlice::new(&self.outgoing)]),
            };
            match sent {
                Ok(0) => return Poll::Ready(Ok(())),
                Ok(n) => {
                    self.outgoing.advance(n);
                    if self.outgoing.is_empty() {
                        // Idle connections keep no buffer.
                        self.outgoing = BytesMut::new();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.poll_writable(cx))?;
                    continue;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
            if rest > 0 && self.outgoing.len() <= rest {
                return Poll::Ready(Ok(()));
            }
        }
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
        if self.outgoing.len() >= OUTGOING_BYTES_MAX {
            ready!(self.poll_drain(cx, OUTGOING_BYTES_MAX / 2))?;
        }
        let mut written = 0;
        for slice in slices {
            let room = OUTGOING_BYTES_MAX.saturating_sub(self.outgoing.len());
            let part = slice.get(..room.min(slice.len())).unwrap_or_default();
            self.outgoing.extend_from_slice(part);
            written += part.len();
        }
        Poll::Ready(Ok(written))
    }
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
        ready!(polled.poll_drain(cx, 0))?;
        if !std::mem::replace(&mut polled.shut, true) {
            polled.link.shut();
        }
        polled.poll_drain(cx, 0)
    }
}
