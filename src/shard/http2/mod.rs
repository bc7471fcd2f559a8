//! The front end of HTTP/2 (RFC 9113): connections whose streams each carry one request.
//!
//! Reading order: this file (a connection), [`carrier`] (what its machine reads from and writes
//! to), [`stream`] (a request), [`answer`] (how its answer is sent), [`reader`] (a listener's
//! stream).
//!
//! The task of a connection moves frames; each stream has a task of its own, so that none waits
//! for another. What a stream may hold is bounded: it is given room by the machine for what the
//! peer's windows take, and no more than [`STREAM_BYTES_MAX`].

mod answer;
mod carrier;
mod reader;
mod stream;

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use corecast_config::Config;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Ping, PingPong, Reason, RecvStream};
use monoio::time::{Instant, Sleep};

use self::carrier::Carrier;
use self::stream::Origin;
use crate::driver::Shard;
use crate::http::connection::ConnectionSeat;
use crate::http::exchange::Front;
use crate::http::response::Answering;
use crate::net::link::Link;
use crate::net::stream::Stream;
use crate::session;
use crate::task::Reached;

/// Streams that a peer may have open at once: a hundred requests that wait for a part, and media
/// beside them.
const STREAMS_MAX: u32 = 128;

/// Bytes of one stream that may wait to be sent.
const STREAM_BYTES_MAX: usize = 128 * 1024;

/// Bytes of request bodies that the peer may send ahead on one stream, and on all of them.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// Streams that the peer may reset before they were looked at.
const RESET_UNSEEN_MAX: usize = 32;

/// How long the peer may take nothing while there is something for it.
const SEND_STEP_MAX: Duration = Duration::from_secs(30);

/// How long the answer to a PING may take.
const PONG_MAX: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });

/// How long the peer may take to see that the connection ends.
const LINGER_MAX: Duration = Duration::from_secs(2);

/// Serves a connection until it ends. `first` was received on it already.
pub(crate) async fn serve(
    seat: ConnectionSeat,
    link: Link,
    peer: SocketAddr,
    front: Front,
    first: Bytes,
) {
    let shard = Rc::clone(seat.shard());
    let carrier = Carrier::new(&shard, Stream::new(link, first));
    if let Some(connection) = shake(&shard, &carrier).await {
        let origin = Rc::new(Origin {
            shard: Rc::clone(&shard),
            peer,
            front,
            tasks: Cell::new(0),
        });
        drive(connection, &carrier, &origin).await;
    }
    // The machine is gone: what it left in the carrier is on its way, or never will be.
    if let Some(stream) = carrier.into_stream() {
        stream.close_in_order(LINGER_MAX, &shard.scratch).await;
    }
    drop(seat);
}

fn builder(config: &Config) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(STREAMS_MAX)
        .max_send_buffer_size(STREAM_BYTES_MAX)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(config.limits.header_bytes_max)
        .max_pending_accept_reset_streams(RESET_UNSEEN_MAX)
        .enable_connect_protocol();
    builder
}

/// Exchanges prefaces (RFC 9113 section 3.4).
async fn shake(shard: &Shard, carrier: &Carrier) -> Option<Connection<Carrier, Bytes>> {
    let config = shard.config();
    let mut handshake = pin!(builder(&config).handshake(carrier.clone()));
    let shaken = poll_fn(|cx| {
        carrier.begin_turn();
        let state = handshake.as_mut().poll(cx);
        match carrier.end_turn(cx) {
            Ok(_) => state.map(Result::ok),
            Err(_) => Poll::Ready(None),
        }
    });
    let shaken = monoio::time::timeout(config.limits.header_timeout, shaken).await;
    shaken.ok().flatten()
}

/// Moves frames until the connection ends.
async fn drive(mut connection: Connection<Carrier, Bytes>, carrier: &Carrier, origin: &Rc<Origin>) {
    let shard = &origin.shard;
    let ping = connection.ping_pong();
    let draining = pin!(shard.draining.wait());
    let beat = pin!(monoio::time::sleep_until(next_look(shard)));
    let mut driver = Driver {
        connection,
        carrier: carrier.clone(),
        origin: Rc::clone(origin),
        draining,
        told: false,
        hold: None,
        pause: None,
        beat,
        watch: Watch::new(ping),
    };
    poll_fn(|cx| driver.poll(cx)).await;
}

/// When a connection is looked at next, whatever happens on it.
fn next_look(shard: &Shard) -> Instant {
    let (beats_min, beats_max) = (4, 64);
    let quarter = shard.config().limits.idle_timeout.as_millis() / (4 * 64);
    let beats = u32::try_from(quarter).unwrap_or(beats_max);
    shard.next_beat(beats.clamp(beats_min, beats_max))
}

struct Driver<'d, 's> {
    connection: Connection<Carrier, Bytes>,
    carrier: Carrier,
    origin: Rc<Origin>,
    draining: Pin<&'d mut Reached<'s>>,
    /// Whether the peer was told that the node drains.
    told: bool,
    /// While the node drains and there are streams.
    hold: Option<Answering>,
    /// Others have their turn.
    pause: Option<Pin<Box<Sleep>>>,
    beat: Pin<&'d mut Sleep>,
    watch: Watch,
}

impl Driver<'_, '_> {
    /// Ready when the connection has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.told && self.draining.as_mut().poll(cx).is_ready() {
            self.told = true;
            self.connection.graceful_shutdown();
        }
        while self.beat.as_mut().poll(cx).is_ready() {
            let next = next_look(&self.origin.shard);
            self.beat.as_mut().reset(next);
            match self
                .watch
                .look(&self.connection, &self.carrier, &self.origin)
            {
                Finding::Fine => {}
                Finding::Idle => self.end(Reason::NO_ERROR),
                Finding::Dead => return Poll::Ready(()),
            }
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        self.carrier.begin_turn();
        let moved = self.poll_frames(cx);
        match self.carrier.end_turn(cx) {
            Err(_) => return Poll::Ready(()),
            Ok(true) => {
                let mut pause = Box::pin(monoio::time::sleep(Duration::ZERO));
                // Its time has come, but the runtime mostly did not look at it yet.
                match pause.as_mut().poll(cx) {
                    Poll::Pending => self.pause = Some(pause),
                    // Nobody else knows that there may be more to read.
                    Poll::Ready(()) => cx.waker().wake_by_ref(),
                }
            }
            Ok(false) => {}
        }
        let busy = self.connection.has_streams() || self.carrier.is_blocked();
        match (self.told && busy, &self.hold) {
            (true, None) => self.hold = Some(Answering::new(&self.origin.shard)),
            (false, Some(_)) => self.hold = None,
            _ => {}
        }
        moved
    }

    /// Takes what came and what is to be sent; ready when the connection has ended.
    fn poll_frames(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => self.accept(request, respond),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending if self.carrier.is_flooded() && self.watch.ends.is_none() => {
                    let Origin { shard, peer, .. } = &*self.origin;
                    session::tell_malformed(shard, *peer, 429, "too many frames");
                    self.end(Reason::ENHANCE_YOUR_CALM);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn accept(&mut self, request: http::Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        // A stream that was reset is none any more to the peer, but its task may still be at it.
        if self.origin.tasks.get() >= 2 * STREAMS_MAX {
            respond.send_reset(Reason::REFUSED_STREAM);
            self.carrier.charge(RESET_COST);
            return;
        }
        self.watch.saw_request();
        stream::start(&self.origin, &self.carrier, request, respond);
    }

    /// Ends the connection: all streams at once.
    fn end(&mut self, reason: Reason) {
        self.watch.ends = Some(Instant::now() + LINGER_MAX);
        self.connection.abrupt_shutdown(reason);
    }
}

/// What a stream costs that is reset, in frames that are only looked at.
const RESET_COST: u32 = 8;

/// What is found when a connection is looked at.
enum Finding {
    Fine,
    /// Nobody has wanted anything for long.
    Idle,
    /// The peer is gone, or as good as that.
    Dead,
}

/// Whether a connection is of any use still.
struct Watch {
    ping: Option<PingPong>,
    /// When a PING was sent that is not answered yet.
    pinged: Option<Instant>,
    /// When there last was a stream.
    used: Instant,
    /// When the peer last was heard, and how much of it then.
    heard: (Instant, u64),
    /// When the peer last took something, and how much then.
    took: (Instant, u64),
    /// When it must be over, once it is ending.
    ends: Option<Instant>,
}

impl Watch {
    fn new(ping: Option<PingPong>) -> Self {
        let now = Instant::now();
        Watch {
            ping,
            pinged: None,
            used: now,
            heard: (now, 0),
            took: (now, 0),
            ends: None,
        }
    }

    fn saw_request(&mut self) {
        self.used = Instant::now();
    }

    fn look(
        &mut self,
        connection: &Connection<Carrier, Bytes>,
        carrier: &Carrier,
        origin: &Origin,
    ) -> Finding {
        let (now, patience) = (Instant::now(), origin.shard.config().limits.idle_timeout);
        let (sent, received) = (carrier.sent_bytes(), carrier.received_bytes());
        if self.heard.1 != received {
            self.heard = (now, received);
        }
        if !carrier.is_blocked() || self.took.1 != sent {
            self.took = (now, sent);
        }
        let since = |then: Instant| now.saturating_duration_since(then);
        if self.ends.is_some_and(|ends| ends <= now) || since(self.took.0) >= SEND_STEP_MAX {
            return Finding::Dead;
        }
        if self.ends.is_some() {
            return Finding::Fine;
        }
        if connection.has_streams() || origin.tasks.get() > 0 {
            self.used = now;
            return self.ask_whether_alive(now, patience);
        }
        if since(self.used) >= patience {
            Finding::Idle
        } else {
            Finding::Fine
        }
    }

    /// A peer that waits says nothing, and one that is gone neither.
    fn ask_whether_alive(&mut self, now: Instant, patience: Duration) -> Finding {
        let Some(ping) = &mut self.ping else {
            return Finding::Fine;
        };
        match self.pinged {
            Some(pinged) => {
                let mut cx = Context::from_waker(Waker::noop());
                if ping.poll_pong(&mut cx).is_ready() {
                    self.pinged = None;
                } else if now.saturating_duration_since(pinged) >= PONG_MAX {
                    return Finding::Dead;
                }
            }
            None => {
                let silent = now.saturating_duration_since(self.heard.0) >= patience;
                self.pinged = (silent && ping.send_ping(Ping::opaque()).is_ok()).then_some(now);
            }
        }
        Finding::Fine
    }
}
