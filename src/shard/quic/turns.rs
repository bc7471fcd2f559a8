//! An endpoint's task: receive, look at timers, serve, send; a bounded piece of each in one turn.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::connection::Arrived;
use super::endpoint::Endpoint;
use super::flight::{Flight, Outcome};
use crate::net::ready::Turn;
use crate::net::udp::{Inbox, UdpPort};
use crate::task::shielded;

/// Calls that receive, in one turn.
const RECEIVES_MAX: usize = 4;

/// Connections whose timers are looked at in one turn.
const TIMEOUTS_MAX: usize = 256;

/// Connections that are served in one turn.
const SERVES_MAX: usize = 256;

/// Sends of one connection before others come.
const BATCHES_EACH: usize = 4;

/// Sends in one turn: half a millisecond, about.
const BATCHES_MAX: usize = 16;

/// Serves `endpoint` at `port` for ever. Dropped, it tells all peers that it is over.
///
/// # Errors
/// The socket cannot be read or watched.
pub(crate) async fn run(endpoint: Rc<Endpoint>, port: UdpPort) -> io::Result<()> {
    let turn = Turn::new()?;
    let task = Task {
        endpoint: &endpoint,
        port: &port,
    };
    let mut work = Work::new();
    let mut waits = Waits::default();
    let _farewell = Farewell(&task);
    loop {
        let more_came = task.receive(&mut work)?;
        endpoint.handle_timeouts(Instant::now(), TIMEOUTS_MAX);
        let sent = task.serve(&mut work);
        endpoint.look_for_drain();
        if more_came || sent == Served::More {
            turn.end().await;
        } else {
            waits.wait(&task, sent == Served::Blocked).await?;
        }
    }
}

/// What a turn left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Served {
    /// Nothing to do until something happens.
    All,
    /// There is more to do.
    More,
    /// There is more to send, and no room.
    Blocked,
}

/// Buffers of the task.
struct Work {
    inbox: Inbox,
    flight: Flight,
    arrived: Vec<Arrived>,
}

impl Work {
    fn new() -> Self {
        Work {
            inbox: Inbox::new(),
            flight: Flight::new(),
            arrived: Vec::new(),
        }
    }
}

pub(super) struct Task<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) port: &'a UdpPort,
}

impl Task<'_> {
    /// Takes messages; true where there may be more.
    fn receive(&self, work: &mut Work) -> io::Result<bool> {
        let mut crossed = 0;
        while crossed < SERVES_MAX
            && let Some(mut message) = self.endpoint.pop_crossed()
        {
            crossed += 1;
            self.endpoint
                .handle_packets(message.arrival, &mut message.packets);
        }
        for _ in 0..RECEIVES_MAX {
            let take = |arrival, packets: &mut [u8]| self.endpoint.handle_message(arrival, packets);
            if !self.port.recv(&mut work.inbox, take)? {
                return Ok(crossed == SERVES_MAX);
            }
        }
        Ok(true)
    }

    /// Serves connections and sends what they have to say.
    fn serve(&self, work: &mut Work) -> Served {
        if !work.flight.retry(self.port) {
            return Served::Blocked;
        }
        while let Some((departure, packet)) = self.endpoint.replies.borrow_mut().pop_front() {
            // Not sent, it is as good as lost on the way.
            self.port.send(departure, &packet);
        }
        let mut batches = 0;
        for _ in 0..SERVES_MAX {
            let Some(key) = self.endpoint.agenda.pop() else {
                return Served::All;
            };
            let Some(connection) = self.endpoint.at(key) else {
                continue;
            };
            connection.listed.set(false);
            let served = self.endpoint.shield(&connection, || {
                self.endpoint.serve(&connection, &mut work.arrived);
                let outcome = work.flight.send(&connection, self.port, BATCHES_EACH);
                match outcome {
                    Outcome::Done => connection.release.set(None),
                    Outcome::Later(release) => connection.release.set(Some(release)),
                    Outcome::More | Outcome::Blocked => connection.list(),
                }
                self.endpoint.settle(&connection);
                outcome
            });
            let Some(outcome) = served else {
                work.arrived.clear();
                continue;
            };
            match outcome {
                Outcome::Blocked => return Served::Blocked,
                Outcome::More => batches += BATCHES_EACH,
                Outcome::Done | Outcome::Later(_) => batches += 1,
            }
            if batches >= BATCHES_MAX {
                break;
            }
        }
        if self.endpoint.agenda.is_empty() {
            Served::All
        } else {
            Served::More
        }
    }
}

/// Says goodbye to all peers when the task ends.
struct Farewell<'a>(&'a Task<'a>);

impl Drop for Farewell<'_> {
    fn drop(&mut self) {
        let Task { endpoint, port } = self.0;
        endpoint.close_all();
        let mut flight = Flight::new();
        while let Some(key) = endpoint.agenda.pop() {
            if let Some(connection) = endpoint.at(key) {
                let _ = shielded(|| flight.send(&connection, port, 1));
                flight.retry(port);
            }
        }
        endpoint.forget_all();
    }
}

/// What the task waits for. Waits are kept from turn to turn: to begin one costs more than to
/// look at it.
#[derive(Default)]
pub(super) struct Waits<'a> {
    readable: Option<Wait<'a>>,
    writable: Option<Wait<'a>>,
    timer: Option<(Instant, Pin<Box<monoio::time::Sleep>>)>,
}

type Wait<'a> = Pin<Box<dyn Future<Output = io::Result<()>> + 'a>>;

impl<'a> Waits<'a> {
    /// Waits until there is something to do.
    pub(super) async fn wait(&mut self, task: &Task<'a>, blocked: bool) -> io::Result<()> {
        let due = task.endpoint.next_due();
        if let Some(due) = due
            && self.timer.as_ref().is_none_or(|(armed, _)| due < *armed)
        {
            let sleep = monoio::time::sleep_until(monoio::time::Instant::from_std(due));
            self.timer = Some((due, Box::pin(sleep)));
        }
        let port = task.port;
        if !blocked {
            self.writable = None;
        } else if self.writable.is_none() {
            self.writable = Some(Box::pin(port.writable()));
        }
        let readable = self
            .readable
            .get_or_insert_with(|| Box::pin(port.readable()));
        let mut news = pin!(task.endpoint.agenda.news.wait());
        let (mut came, mut left, mut rang) = (None, None, false);
        poll_fn(|cx: &mut Context<'_>| {
            if let Poll::Ready(result) = readable.as_mut().poll(cx) {
                came = Some(result);
            }
            if let Some(writable) = &mut self.writable
                && let Poll::Ready(result) = writable.as_mut().poll(cx)
            {
                left = Some(result);
            }
            if let Some((_, timer)) = &mut self.timer {
                rang = timer.as_mut().poll(cx).is_ready();
            }
            // While the socket has no room, news change nothing, and wait where they are.
            let told = !blocked && news.as_mut().poll(cx).is_ready();
            if came.is_some() || left.is_some() || rang || told {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        if rang {
            self.timer = None;
        }
        if let Some(result) = left {
            self.writable = None;
            result?;
        }
        if let Some(result) = came {
            self.readable = None;
            result?;
        }
        Ok(())
    }
}
