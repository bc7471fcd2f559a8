//! A listener's stream: what the hub sends to, while the connection's task moves the frames.

use std::io::{self, IoSlice};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use corecast_media::socket::{Sent, Socket};
use h2::{Reason, RecvStream, SendStream};

use crate::net::StreamSocket;

/// The most bytes copied at once, since the machine keeps them until the connection takes them.
const COPY_BYTES_MAX: usize = 64 * 1024;

/// A stream without an end of its own.
pub(super) struct StreamReader {
    stream: SendStream<Bytes>,
    /// What the peer says, where it may.
    input: Option<RecvStream>,
    /// What it said and nobody took.
    said: Bytes,
}

impl StreamReader {
    pub(super) fn new(stream: SendStream<Bytes>, input: Option<RecvStream>) -> Self {
        StreamReader {
            stream,
            input,
            said: Bytes::new(),
        }
    }

    fn poll_input(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let Some(input) = &mut self.input else {
            return Poll::Ready(Ok(0));
        };
        while self.said.is_empty() {
            match ready!(input.poll_data(cx)) {
                Some(Ok(data)) => {
                    // No more of it is kept than one frame.
                    let _ = input.flow_control().release_capacity(data.len());
                    self.said = data;
                }
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Ok(0)),
            }
        }
        let n = self.said.len().min(buf.len());
        let room = buf.get_mut(..n).unwrap_or_default();
        self.said.copy_to_slice(room);
        Poll::Ready(Ok(n))
    }

    fn is_reset(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.stream.poll_reset(&mut cx).is_ready()
    }
}

/// Asks the machine something, for somebody whom it must not take along: it panics wherever it
/// is asked once it has panicked in its own task.
fn guarded<T>(fallen: T, ask: impl FnOnce() -> T) -> T {
    // What the machine holds is in its mutex, which knows that it is of no use any more.
    catch_unwind(AssertUnwindSafe(ask)).unwrap_or(fallen)
}

impl StreamReader {
    fn try_send(&mut self, slices: &[IoSlice<'_>]) -> Sent {
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        let wanted = length.min(COPY_BYTES_MAX);
        self.stream.reserve_capacity(wanted);
        let room = self.stream.capacity().min(wanted);
        if room == 0 {
            let over = wanted > 0 && self.is_reset();
            return if over { Sent::Failed } else { Sent::Full };
        }
        let mut copy = BytesMut::with_capacity(room);
        for slice in slices {
            let part = slice.get(..(room - copy.len()).min(slice.len()));
            copy.extend_from_slice(part.unwrap_or_default());
        }
        match self.stream.send_data(copy.freeze(), false) {
            Ok(()) => Sent::Bytes(room),
            Err(_) => Sent::Failed,
        }
    }
}

impl Socket for StreamReader {
    fn send(&mut self, slices: &[IoSlice<'_>]) -> Sent {
        guarded(Sent::Failed, || self.try_send(slices))
    }

    fn is_closed(&mut self) -> bool {
        guarded(true, || self.is_reset())
    }
}

impl StreamSocket for StreamReader {
    fn poll_receive(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let fallen = Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        guarded(fallen, || self.poll_input(cx, buf))
    }

    fn close(mut self: Box<Self>, cut: bool) {
        guarded((), move || {
            if cut {
                self.stream.send_reset(Reason::CANCEL);
            } else {
                let _ = self.stream.send_data(Bytes::new(), true);
            }
        });
    }
}
