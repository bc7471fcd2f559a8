//! What the machine of HTTP/2 reads from and writes to: the connection's stream, with an eye on
//! how much it takes at once and on what the peer asks of us.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use corecast_media::time::Time;
use corecast_protocol::http::frames::FrameMeter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::driver::Shard;
use crate::net::stream::Stream;

/// Bytes that are read before others have their turn.
const READ_TURN_BYTES_MAX: usize = 64 * 1024;

/// Bytes that are written before others have their turn, where the peer takes all at once.
const WRITE_TURN_BYTES_MAX: u64 = 1024 * 1024;

/// What a peer may ask of us at once, in the units of [`FrameMeter`]: that many frames that are
/// only looked at, or 250 streams that are reset.
const CREDIT_MAX: u64 = 2_000;

/// What it may ask in a second, for as long as it likes.
const CREDIT_PER_SECOND: u64 = 500;

/// For so many bytes that it takes, it may ask one more: it has to say that it has room for more.
const BYTES_PER_CREDIT: u64 = 2_048;

/// A hold of the connection.
#[derive(Clone)]
pub(super) struct Carrier(Rc<Inner>);

struct Inner {
    shard: Rc<Shard>,
    stream: Stream,
    gauge: RefCell<Gauge>,
}

struct Gauge {
    meter: FrameMeter,
    /// What the peer may still ask, in millionths.
    credit: u64,
    refilled: Time,
    /// Bytes sent for which it was given credit.
    credited: u64,
    received: u64,
    /// Bytes read in this turn.
    turn: usize,
    /// Bytes sent when the socket last was full or others last had their turn.
    sent_before: u64,
}

/// Units of credit are counted in millionths, so that each microsecond brings some.
const MICRO: u64 = 1_000_000;

impl Gauge {
    /// Takes `cost` from the credit, where there is some.
    fn charge(&mut self, now: Time, sent: u64, cost: u32) {
        let micros = now.since(self.refilled).as_micros();
        let since = u64::try_from(micros).unwrap_or(u64::MAX);
        self.refilled = now;
        let earned = sent.saturating_sub(self.credited) / BYTES_PER_CREDIT;
        self.credited += earned * BYTES_PER_CREDIT;
        let earned = earned.saturating_mul(MICRO);
        let refill = since
            .saturating_mul(CREDIT_PER_SECOND)
            .saturating_add(earned);
        self.credit = self.credit.saturating_add(refill).min(CREDIT_MAX * MICRO);
        self.credit = self.credit.saturating_sub(u64::from(cost) * MICRO);
    }
}

impl Carrier {
    pub(super) fn new(shard: &Rc<Shard>, stream: Stream) -> Self {
        let gauge = Gauge {
            meter: FrameMeter::default(),
            credit: CREDIT_MAX * MICRO,
            refilled: shard.now(),
            credited: 0,
            received: 0,
            turn: 0,
            sent_before: 0,
        };
        Carrier(Rc::new(Inner {
            shard: Rc::clone(shard),
            stream,
            gauge: RefCell::new(gauge),
        }))
    }

    /// Lets it read again.
    pub(super) fn begin_turn(&self) {
        self.0.gauge.borrow_mut().turn = 0;
    }

    /// Sends what was written. True where others must have their turn now: there may be more to
    /// read, or the peer takes all that comes as fast as it comes.
    ///
    /// # Errors
    /// The connection is gone.
    pub(super) fn end_turn(&self, cx: &mut Context<'_>) -> io::Result<bool> {
        self.0.stream.flush_now(cx)?;
        let sent = self.0.stream.sent_bytes();
        let mut gauge = self.0.gauge.borrow_mut();
        let much = sent.saturating_sub(gauge.sent_before) >= WRITE_TURN_BYTES_MAX;
        if much || self.0.stream.is_blocked() {
            gauge.sent_before = sent;
        }
        Ok(much || gauge.turn >= READ_TURN_BYTES_MAX)
    }

    /// Whether the peer asks more of us than it may.
    pub(super) fn is_flooded(&self) -> bool {
        self.0.gauge.borrow().credit == 0
    }

    /// The peer asked for something that costs as much as `cost` frames.
    pub(super) fn charge(&self, cost: u32) {
        let (now, sent) = (self.0.shard.now(), self.0.stream.sent_bytes());
        self.0.gauge.borrow_mut().charge(now, sent, cost);
    }

    /// Bytes received so far.
    pub(super) fn received_bytes(&self) -> u64 {
        self.0.gauge.borrow().received
    }

    /// Bytes sent so far.
    pub(super) fn sent_bytes(&self) -> u64 {
        self.0.stream.sent_bytes()
    }

    /// Whether something waits for room in the peer's window.
    pub(super) fn is_blocked(&self) -> bool {
        self.0.stream.is_blocked()
    }

    /// The stream, where nobody else holds the connection any more.
    pub(super) fn into_stream(self) -> Option<Stream> {
        Rc::into_inner(self.0).map(|inner| inner.stream)
    }
}

impl AsyncRead for Carrier {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_flooded() || self.0.gauge.borrow().turn >= READ_TURN_BYTES_MAX {
            // The driver sees to it that the connection is polled again, or ended.
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.0.stream.clone()).poll_read(cx, buf))?;
        let came = buf.filled().get(before..).unwrap_or_default();
        let mut gauge = self.0.gauge.borrow_mut();
        gauge.turn += came.len();
        gauge.received += came.len() as u64;
        let cost = gauge.meter.take(came);
        drop(gauge);
        if cost > 0 {
            self.charge(cost);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Carrier {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0.stream.clone()).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0.stream.clone()).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Sends nothing: [`Carrier::end_turn`] does.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.stream.clone()).poll_shutdown(cx)
    }
}
