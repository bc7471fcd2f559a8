//! One connection: what came on it, what is to be sent, and who waits for either.

use std::cell::{Cell, RefCell};
use std::mem;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use corecast_protocol::quic::priority::{Priority, URGENCY_MAX};
use quiche::h3::{self, Event, Header, NameValue};
use quiche::{RecvInfo, Shutdown};
use rustc_hash::FxHashMap;

use super::endpoint::{Agenda, Id};
use super::outbox::{Head, Stream, pump_stream};
use super::ways::Ways;
use super::{Buffers, code};
use crate::net::udp::Arrival;

/// What quiche adds to the urgency of HTTP to get that of a stream: its own streams come first.
const URGENCY_OFFSET: u8 = 124;

/// Streams that are over for us, and remembered before they are looked through.
const FLYING_MAX: usize = 64;

/// How long a peer may be silent that has not said that it has all of its answers.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// A request's head, as it came.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// Its stream.
    pub(crate) stream: u64,
    /// Pseudo fields and fields in their order.
    pub(crate) fields: Vec<Header>,
    /// Whether no body follows.
    pub(crate) ends: bool,
    /// Whether it came as 0-RTT, which anybody may have sent again.
    pub(crate) early: bool,
}

/// What belongs to a connection and changes.
pub(crate) struct Inner {
    pub(crate) quic: quiche::Connection<Buffers>,
    pub(crate) h3: Option<h3::Connection>,
    streams: FxHashMap<u64, Stream>,
    /// Streams to which something was added since they were last looked at.
    fresh: Vec<u64>,
    /// The first stream that the peer has not used yet.
    next_request: u64,
    /// Requests from this stream on are refused (GOAWAY).
    refused_from: Option<u64>,
    /// Streams that are over for us: quiche has their answers, and the peer maybe not.
    flying: Vec<u64>,
    /// Packets that came, and when it was seen that there was a new one: only looked at while
    /// answers fly to somebody who is to go.
    heard: (usize, Instant),
    /// When it last had a request.
    used: Instant,
    pub(super) ways: Ways,
}

/// How long a connection may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// To be established.
    pub(crate) handshake: Duration,
    /// Without a request, whatever else comes on it.
    pub(crate) idle: Duration,
}

/// A connection. Lives on: its shard.
pub(crate) struct Connection {
    /// Where the endpoint has it.
    pub(crate) key: usize,
    /// Where the client was first.
    pub(crate) peer: SocketAddr,
    /// By when it must be established.
    handshake_until: Instant,
    /// How long it may be without a request.
    idle_time_max: Duration,
    pub(crate) inner: RefCell<Inner>,
    agenda: Rc<Agenda>,
    /// It is on the agenda.
    pub(crate) listed: Cell<bool>,
    /// Something came since it was last served.
    pub(crate) touched: Cell<bool>,
    /// It was seen as established.
    pub(crate) established: Cell<bool>,
    /// When its timer rings.
    pub(crate) armed: Cell<Option<Instant>>,
    /// Nothing is sent before then (pacing).
    pub(crate) release: Cell<Option<Instant>>,
    /// The ids under which packets find it.
    pub(crate) ids: RefCell<Vec<Id>>,
}

impl Connection {
    pub(crate) fn new(
        key: usize,
        peer: SocketAddr,
        patience: Patience,
        quic: quiche::Connection<Buffers>,
        agenda: Rc<Agenda>,
    ) -> Self {
        let now = Instant::now();
        Connection {
            key,
            peer,
            handshake_until: now + patience.handshake,
            idle_time_max: patience.idle,
            inner: RefCell::new(Inner {
                quic,
                h3: None,
                streams: FxHashMap::default(),
                fresh: Vec::new(),
                next_request: 0,
                refused_from: None,
                flying: Vec::new(),
                heard: (0, now),
                used: now,
                ways: Ways::new(peer),
            }),
            agenda,
            listed: Cell::new(false),
            touched: Cell::new(false),
            established: Cell::new(false),
            armed: Cell::new(None),
            release: Cell::new(None),
            ids: RefCell::default(),
        }
    }

    /// Takes a packet.
    pub(crate) fn take(&self, arrival: Arrival, packet: &mut [u8]) {
        self.inner.borrow_mut().take(arrival, packet);
        self.touched.set(true);
        self.list();
    }

    /// Its timer rang.
    pub(crate) fn handle_timeout(&self, now: Instant) {
        {
            let inner = &mut *self.inner.borrow_mut();
            let is_due = |until: Option<Instant>| until.is_some_and(|until| until <= now);
            if is_due(self.handshake_until(inner)) {
                inner.close(code::NO_ERROR);
            } else if is_due(self.idle_until(inner)) {
                inner.close_if_quiet(now);
            }
            inner.quic.on_timeout();
            inner.ways.handle_timeout(&mut inner.quic, now);
        }
        if self.release.get().is_some_and(|release| release <= now) {
            self.release.set(None);
        }
        self.touched.set(true);
        self.list();
    }

    /// Has the endpoint look at it in its next turn.
    pub(crate) fn list(&self) {
        if !self.listed.replace(true) {
            self.agenda.push(self.key);
        }
    }

    /// Looks at one stream; nothing where it is over.
    pub(crate) fn with_stream<R>(
        &self,
        stream: u64,
        look: impl FnOnce(&mut Stream) -> R,
    ) -> Option<R> {
        self.inner.borrow_mut().streams.get_mut(&stream).map(look)
    }

    /// Adds an answer's head.
    pub(crate) fn push_head(&self, id: u64, fields: Vec<Header>, urgency: u8, ends: bool) {
        let inner = &mut *self.inner.borrow_mut();
        if let Some(stream) = inner.streams.get_mut(&id).filter(|stream| !stream.gone) {
            let ours = Priority {
                urgency: urgency.min(URGENCY_MAX),
                incremental: false,
            };
            let priority = stream.said.unwrap_or(ours);
            stream.urgency = priority.urgency;
            stream.heads.push_back(Head {
                fields,
                priority,
                ends,
            });
            stream.ends |= ends;
            inner.fresh.push(id);
            self.list();
        }
    }

    /// Adds bytes of an answer's body, and says whether it ends with them.
    pub(crate) fn push_body(&self, id: u64, pieces: impl IntoIterator<Item = Bytes>, ends: bool) {
        let inner = &mut *self.inner.borrow_mut();
        if let Some(stream) = inner.streams.get_mut(&id).filter(|stream| !stream.gone) {
            for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
                stream.waiting_bytes += piece.len();
                stream.pieces.push_back(piece);
            }
            stream.ends |= ends;
            inner.fresh.push(id);
            self.list();
        }
    }

    /// Reads of a request's body: some bytes, none where it is complete, or nothing where more
    /// has to come first.
    pub(crate) fn read_body(&self, id: u64, buf: &mut [u8]) -> Option<usize> {
        let inner = &mut *self.inner.borrow_mut();
        let received = inner.streams.get(&id).is_none_or(|stream| stream.received);
        let read = inner.h3.as_mut()?.recv_body(&mut inner.quic, id, buf);
        // It may have opened a window, or come to the end.
        self.touched.set(true);
        self.list();
        match read {
            Ok(n) => Some(n),
            Err(_) => (received || inner.quic.stream_finished(id)).then_some(0),
        }
    }

    /// Gives a stream up in both directions.
    pub(crate) fn reset(&self, id: u64, error: u64) {
        self.inner.borrow_mut().reset(id, error);
        self.list();
    }

    /// The task that answers `id` is done with it.
    pub(crate) fn let_go(&self, id: u64) {
        let inner = &mut *self.inner.borrow_mut();
        let Some(stream) = inner.streams.get_mut(&id) else {
            return;
        };
        stream.held = false;
        if !stream.ends && !stream.gone {
            inner.reset(id, code::INTERNAL_ERROR);
        }
        inner.forget_if_over(id);
        self.list();
    }

    /// Tells all tasks that the peer is gone.
    pub(crate) fn end(&self) {
        let streams = mem::take(&mut self.inner.borrow_mut().streams);
        for (_, mut stream) in streams {
            stream.fail();
        }
    }

    /// When it must be looked at without anything that happens.
    pub(crate) fn due(&self) -> Option<Instant> {
        let inner = self.inner.borrow();
        let all = [
            inner.quic.timeout_instant(),
            inner.ways.due(),
            self.handshake_until(&inner),
            self.idle_until(&inner),
            self.release.get(),
        ];
        all.into_iter().flatten().min()
    }

    fn handshake_until(&self, inner: &Inner) -> Option<Instant> {
        let waits = !self.established.get() && !inner.is_over();
        waits.then_some(self.handshake_until)
    }

    /// When it ends should no request come. Packets alone do not keep it: a peer may send those for
    /// ever.
    fn idle_until(&self, inner: &Inner) -> Option<Instant> {
        let waits = self.established.get() && inner.streams.is_empty() && !inner.is_over();
        waits.then(|| inner.used + self.idle_time_max)
    }
}

impl Inner {
    fn take(&mut self, arrival: Arrival, packet: &mut [u8]) {
        let Inner { quic, ways, .. } = self;
        let info = RecvInfo {
            from: ways.known(arrival.from),
            to: arrival.to,
        };
        let way = (info.to, info.from);
        if ways.is_given_up(quic, way) {
            // As good as lost on the way, but its bytes allow for a challenge: quiche counts those
            // of packets that it cannot open too.
            packet.fill(0);
            ways.reopen(quic, way, Instant::now());
        }
        let before = (!ways.is_here(arrival.from)).then(|| quic.stats().recv);
        // Where it fails, quiche closes the connection and has something to send.
        let _ = quic.recv(packet, info);
        // Only a packet that could be opened says where the client is.
        if before.is_some_and(|before| quic.stats().recv > before) {
            ways.hear(arrival.from);
        }
    }

    /// Whether the peer has whole answers to all that it asked, or is gone with them.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.land();
        if !self.streams.is_empty() || self.flying.is_empty() {
            return self.streams.is_empty();
        }
        let (now, came) = (Instant::now(), self.quic.stats().recv);
        if self.heard.0 != came {
            self.heard = (came, now);
        }
        now.saturating_duration_since(self.heard.1) >= SILENCE_MAX
    }

    /// Takes what the peer said, and hands what is ready to quiche. Requests that begin go to
    /// `arrived`.
    pub(crate) fn serve(
        &mut self,
        touched: bool,
        settings: &h3::Config,
        arrived: &mut Vec<Arrived>,
    ) {
        if self.h3.is_none() && (self.quic.is_established() || self.quic.is_in_early_data()) {
            self.h3 = h3::Connection::with_transport(&mut self.quic, settings).ok();
        }
        if touched {
            self.ways.look(&mut self.quic, Instant::now());
            self.take_events(arrived);
        }
        let mut fresh = mem::take(&mut self.fresh);
        // Who is first may take all the room that there is.
        fresh.sort_by_key(|id| (self.streams.get(id).map(|stream| stream.urgency), *id));
        fresh.dedup();
        for id in fresh.drain(..) {
            self.pump(id);
        }
        self.fresh = fresh;
        while let Some(id) = self.quic.stream_writable_next() {
            self.pump(id);
        }
    }

    fn take_events(&mut self, arrived: &mut Vec<Arrived>) {
        while let Some(h3) = &mut self.h3 {
            // An error closes the connection with the code that goes with it.
            let Ok((id, event)) = h3.poll(&mut self.quic) else {
                return;
            };
            match event {
                Event::Headers { list, more_frames } => {
                    if let Some(request) = self.on_head(id, list, more_frames) {
                        arrived.push(request);
                    }
                }
                Event::Data => self.on_body(id, false),
                Event::Finished => self.on_body(id, true),
                Event::Reset(_) => {
                    self.fail(id);
                    self.shut(id, Shutdown::Write, code::REQUEST_CANCELLED);
                    self.see_off(id);
                }
                Event::PriorityUpdate => self.on_priority(id),
                Event::GoAway => {}
            }
        }
    }

    fn on_head(&mut self, id: u64, fields: Vec<Header>, more_frames: bool) -> Option<Arrived> {
        if self.streams.contains_key(&id) {
            // Trailers: nothing of ours reads them.
            return None;
        }
        if self.refused_from.is_some_and(|from| id >= from) {
            self.shut(id, Shutdown::Write, code::REQUEST_REJECTED);
            self.shut(id, Shutdown::Read, code::REQUEST_REJECTED);
            self.see_off(id);
            return None;
        }
        self.next_request = self.next_request.max(id.saturating_add(4));
        let said = self.said_before(id).or_else(|| {
            let field = fields.iter().find(|field| field.name() == b"priority");
            field.and_then(|field| Priority::parse(field.value()))
        });
        self.used = Instant::now();
        self.streams.insert(
            id,
            Stream {
                held: true,
                received: !more_frames,
                said,
                ..Stream::default()
            },
        );
        Some(Arrived {
            stream: id,
            fields,
            ends: !more_frames,
            early: self.quic.is_in_early_data(),
        })
    }

    fn on_body(&mut self, id: u64, complete: bool) {
        match self.streams.get_mut(&id) {
            Some(stream) => {
                stream.received |= complete;
                stream.wake();
                stream.wake_ear();
            }
            // A body that nobody wants (its request was answered already).
            None if !complete => self.shut(id, Shutdown::Read, code::NO_ERROR),
            // Its answer is on its way.
            None if self.flying.contains(&id) => {}
            // It ended without a request (RFC 9114 section 4.1), or was answered long ago.
            None => {
                self.shut(id, Shutdown::Write, code::REQUEST_INCOMPLETE);
                self.see_off(id);
            }
        }
    }

    /// The priority of a frame that came for a stream and was not looked at.
    fn said_before(&mut self, id: u64) -> Option<Priority> {
        let said = self.h3.as_mut()?.take_last_priority_update(id).ok()?;
        Priority::parse(&said)
    }

    /// A frame may come before the request that it is for: then it is looked at with that
    /// (RFC 9218 section 7).
    fn on_priority(&mut self, id: u64) {
        if !self.streams.contains_key(&id) {
            return;
        }
        let said = self.said_before(id);
        if let Some((stream, said)) = self.streams.get_mut(&id).zip(said) {
            stream.said = Some(said);
            stream.urgency = said.urgency;
            let urgency = URGENCY_OFFSET.saturating_add(said.urgency);
            let _ = self.quic.stream_priority(id, urgency, said.incremental);
        }
    }

    /// Hands as much of an answer to quiche as its windows take.
    fn pump(&mut self, id: u64) {
        let (Some(h3), Some(stream)) = (&mut self.h3, self.streams.get_mut(&id)) else {
            return;
        };
        if stream.sent {
            return;
        }
        let outcome = pump_stream(h3, &mut self.quic, id, stream);
        match outcome {
            Ok(()) => {
                stream.sent |= stream.heads.is_empty() && stream.pieces.is_empty() && stream.ends;
                stream.wake();
            }
            // Its end waits for room too.
            Err(h3::Error::Done | h3::Error::StreamBlocked) => stream.wake(),
            Err(_) => {
                stream.fail();
                self.shut(id, Shutdown::Write, code::REQUEST_CANCELLED);
            }
        }
        if self.streams.get(&id).is_some_and(|stream| stream.sent) {
            if self.streams.get(&id).is_some_and(|stream| !stream.received) {
                // The rest of the body is not needed (RFC 9114 section 4.1).
                self.shut(id, Shutdown::Read, code::NO_ERROR);
            }
            self.forget_if_over(id);
        }
    }

    fn fail(&mut self, id: u64) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.fail();
        }
        self.forget_if_over(id);
    }

    fn reset(&mut self, id: u64, error: u64) {
        self.shut(id, Shutdown::Write, error);
        self.shut(id, Shutdown::Read, error);
        self.fail(id);
    }

    fn shut(&mut self, id: u64, side: Shutdown, error: u64) {
        // Not there any more: it is shut.
        let _ = self.quic.stream_shutdown(id, side, error);
    }

    fn forget_if_over(&mut self, id: u64) {
        if self
            .streams
            .get(&id)
            .is_some_and(|stream| stream.sent && !stream.held)
        {
            self.streams.remove(&id);
            self.used = Instant::now();
            self.see_off(id);
        }
    }

    /// Nothing of ours is to be done with a stream any more.
    fn see_off(&mut self, id: u64) {
        if self.streams.contains_key(&id) || self.flying.contains(&id) {
            return;
        }
        if self.flying.len() >= FLYING_MAX {
            self.land();
        }
        self.flying.push(id);
    }

    /// Forgets the streams of which the peer has all. HTTP/3 of quiche keeps what it has of a
    /// stream that was reset, or whose request was not read to its end, until somebody wants to
    /// send on it.
    fn land(&mut self) {
        let Inner { quic, h3, .. } = self;
        self.flying.retain(|id| {
            let is_there = !matches!(
                quic.stream_capacity(*id),
                Err(quiche::Error::InvalidStreamState(_))
            );
            if let Some(h3) = h3.as_mut().filter(|_| !is_there) {
                // An empty list would not come so far that it looks.
                let head = [Header::new(b":status", b"500")];
                let _ = h3.send_response(quic, *id, &head, true);
                let _ = h3.send_body(quic, *id, &[], true);
            }
            is_there
        });
    }

    /// Takes no more requests; those that are there go on.
    pub(crate) fn refuse_more(&mut self) {
        if self.refused_from.is_some() {
            return;
        }
        if let Some(h3) = &mut self.h3
            && h3.send_goaway(&mut self.quic, self.next_request).is_ok()
        {
            self.refused_from = Some(self.next_request);
        }
    }

    /// Whether nothing more is to be heard or said but goodbye.
    fn is_over(&self) -> bool {
        let quic = &self.quic;
        quic.local_error().is_some() || quic.is_draining() || quic.is_closed()
    }

    /// Ends a connection that nobody asks anything of; where answers are on their way still, it
    /// stays for as long again.
    fn close_if_quiet(&mut self, now: Instant) {
        if self.is_quiet() {
            self.close(code::NO_ERROR);
        } else {
            self.used = now;
        }
    }

    /// Ends the connection.
    pub(crate) fn close(&mut self, error: u64) {
        let _ = self.quic.close(true, error, b"");
    }
}
