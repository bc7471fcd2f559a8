//! One request's stream, as the task that answers it has it.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use corecast_media::socket::{Sent, Socket};
use quiche::h3::Header;

use super::code;
use super::connection::{Arrived, Connection};
use super::outbox::Stream;
use crate::net::StreamSocket;

/// Bytes of an answer that may wait for the peer's windows before its task, or its mount, waits.
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a body read at once.
const READ_BYTES: usize = 16 * 1024;

/// How long the peer may take nothing of an answer.
const SEND_STEP_MAX: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 30 });

/// The peer gave the request up, or is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// A request that waits for its answer. Dropped without a whole answer, it is reset.
pub(crate) struct RequestStream {
    stream: Held,
    head: Vec<Header>,
    ends: bool,
    early: bool,
}

/// A stream's place at its connection, given up when dropped.
struct Held {
    connection: Rc<Connection>,
    id: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.connection.let_go(self.id);
    }
}

impl Held {
    /// Ready where `look` finds something, or the peer is gone.
    fn poll_until<R>(
        &self,
        cx: &mut Context<'_>,
        look: impl FnOnce(&mut Stream) -> Option<R>,
    ) -> Poll<Result<R, Gone>> {
        let looked = self.connection.with_stream(self.id, |stream| {
            if stream.is_gone() {
                return Poll::Ready(Err(Gone));
            }
            match look(stream) {
                Some(found) => Poll::Ready(Ok(found)),
                None => {
                    stream.set_waker(cx.waker());
                    Poll::Pending
                }
            }
        });
        looked.unwrap_or(Poll::Ready(Err(Gone)))
    }

    fn is_gone(&self) -> bool {
        self.connection
            .with_stream(self.id, |stream| stream.is_gone())
            .unwrap_or(true)
    }
}

impl RequestStream {
    pub(super) fn new(connection: Rc<Connection>, arrived: Arrived) -> Self {
        RequestStream {
            stream: Held {
                connection,
                id: arrived.stream,
            },
            head: arrived.fields,
            ends: arrived.ends,
            early: arrived.early,
        }
    }

    /// Where the client was when its connection began.
    pub(crate) fn peer(&self) -> SocketAddr {
        let peer = self.stream.connection.peer;
        SocketAddr::new(peer.ip().to_canonical(), peer.port())
    }

    /// Pseudo fields and fields in their order, as they came.
    pub(crate) fn head(&self) -> &[Header] {
        &self.head
    }

    /// Whether no body follows.
    pub(crate) fn ends(&self) -> bool {
        self.ends
    }

    /// Whether the request came before the handshake was over: somebody may have sent it again.
    pub(crate) fn is_early(&self) -> bool {
        self.early
    }

    /// The next bytes of the request's body; none where it is complete.
    ///
    /// # Errors
    /// The peer gave the request up, or is gone.
    pub(crate) fn poll_body(&self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let mut buf = BytesMut::zeroed(READ_BYTES);
        match self.stream.connection.read_body(self.stream.id, &mut buf) {
            Some(0) => Poll::Ready(Ok(None)),
            Some(n) => {
                buf.truncate(n);
                Poll::Ready(Ok(Some(buf.freeze())))
            }
            None => self
                .stream
                .poll_until(cx, |_| None)
                .map_err(|Gone| io::ErrorKind::ConnectionReset.into()),
        }
    }

    /// Ready when the peer gave the request up.
    pub(crate) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_until(cx, |_| None::<()>).map(|_| ())
    }

    /// Sends the head of the answer: `:status` first. Where it `ends`, there is no body.
    pub(crate) fn send_head(&self, fields: Vec<Header>, urgency: u8, ends: bool) {
        let (connection, id) = (&self.stream.connection, self.stream.id);
        connection.push_head(id, fields, urgency, ends);
    }

    /// Sends the whole body of the answer. Nothing of it is copied.
    pub(crate) fn send_pieces(&self, pieces: impl IntoIterator<Item = Bytes>) {
        let (connection, id) = (&self.stream.connection, self.stream.id);
        connection.push_body(id, pieces, true);
    }

    /// Sends a piece of the body once there is room for it. May be dropped.
    ///
    /// # Errors
    /// The peer gave the request up, or is gone.
    pub(crate) async fn send(&self, piece: Bytes) -> Result<(), Gone> {
        let room = |stream: &mut Stream| (stream.waiting_bytes() < WAITING_BYTES_MAX).then_some(());
        self.until(room).await?;
        let (connection, id) = (&self.stream.connection, self.stream.id);
        connection.push_body(id, [piece], false);
        Ok(())
    }

    /// Says that the body ends here.
    pub(crate) fn end(&self) {
        self.send_pieces([]);
    }

    /// Waits until all of an answer that ended is on its way. May be dropped.
    ///
    /// # Errors
    /// The peer gave the request up, or is gone.
    pub(crate) async fn sent(&self) -> Result<(), Gone> {
        let sent = |stream: &mut Stream| stream.is_sent().then_some(());
        self.until(sent).await
    }

    /// Waits for `look` to find something, as long as the peer takes some of the answer.
    async fn until(&self, look: impl Fn(&mut Stream) -> Option<()>) -> Result<(), Gone> {
        loop {
            let before = self.waiting_bytes();
            let found = poll_fn(|cx| self.stream.poll_until(cx, &look));
            match monoio::time::timeout(SEND_STEP_MAX, found).await {
                Ok(found) => return found,
                Err(_) if self.waiting_bytes() < before => {}
                Err(_) => {
                    self.reset(code::REQUEST_CANCELLED);
                    return Err(Gone);
                }
            }
        }
    }

    /// Bytes of the answer that quiche has not taken.
    pub(crate) fn waiting_bytes(&self) -> usize {
        let (connection, id) = (&self.stream.connection, self.stream.id);
        let waiting = connection.with_stream(id, |stream| stream.waiting_bytes());
        waiting.unwrap_or_default()
    }

    /// Gives the request up.
    pub(crate) fn reset(&self, error: u64) {
        self.stream.connection.reset(self.stream.id, error);
    }

    /// What is left once the head is sent: the hub sends the rest.
    pub(crate) fn into_socket(self) -> Http3Socket {
        Http3Socket(self.stream)
    }
}

/// The body of an answer without a task: what the hub sends to.
pub(crate) struct Http3Socket(Held);

impl StreamSocket for Http3Socket {
    fn poll_receive(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let Held { connection, id } = &self.0;
        if let Some(n) = connection.read_body(*id, buf) {
            return Poll::Ready(Ok(n));
        }
        let looked = connection.with_stream(*id, |stream| match stream.is_gone() {
            true => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            false => {
                stream.set_ear(cx.waker());
                Poll::Pending
            }
        });
        looked.unwrap_or(Poll::Ready(Ok(0)))
    }

    fn close(self: Box<Self>, cut: bool) {
        let Held { connection, id } = &self.0;
        if cut {
            connection.reset(*id, code::REQUEST_CANCELLED);
        } else {
            connection.push_body(*id, [], true);
        }
    }
}

impl Socket for Http3Socket {
    fn send(&mut self, slices: &[IoSlice<'_>]) -> Sent {
        let (connection, id) = (&self.0.connection, self.0.id);
        let waiting = connection.with_stream(id, |stream| {
            (!stream.is_gone()).then(|| stream.waiting_bytes())
        });
        let Some(waiting) = waiting.flatten() else {
            return Sent::Failed;
        };
        let room = WAITING_BYTES_MAX.saturating_sub(waiting);
        if room == 0 {
            return Sent::Full;
        }
        let wanted: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut taken = BytesMut::with_capacity(wanted.min(room));
        for slice in slices {
            let rest = room - taken.len();
            taken.extend_from_slice(slice.get(..rest).unwrap_or(slice));
        }
        let n = taken.len();
        connection.push_body(id, [taken.freeze()], false);
        Sent::Bytes(n)
    }

    fn is_closed(&mut self) -> bool {
        self.0.is_gone()
    }
}
