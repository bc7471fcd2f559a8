//! What of an answer waits for the peer's windows.

use std::collections::VecDeque;
use std::task::Waker;

use bytes::{Bytes, BytesMut};
use corecast_protocol::quic::priority::Priority;
use quiche::Error;
use quiche::h3::{self, Header};

use super::Buffers;

/// Pieces shorter than this are copied together, so that each frame carries something.
const GATHER_BELOW: usize = 4 * 1024;

/// The most bytes copied together.
const GATHER_BYTES_MAX: usize = 16 * 1024;

/// An answer's head that waits to be sent.
pub(super) struct Head {
    pub(super) fields: Vec<Header>,
    pub(super) priority: Priority,
    pub(super) ends: bool,
}

/// One request's stream.
#[derive(Default)]
pub(crate) struct Stream {
    /// Heads that wait; all but the last are of informational answers.
    pub(super) heads: VecDeque<Head>,
    /// A head was sent: what follows is another one.
    pub(super) answered: bool,
    pub(super) pieces: VecDeque<Bytes>,
    /// Bytes of `pieces`.
    pub(super) waiting_bytes: usize,
    /// Nothing follows `pieces`.
    pub(super) ends: bool,
    /// quiche has all of it.
    pub(super) sent: bool,
    /// The peer has ended its side.
    pub(crate) received: bool,
    /// The peer does not want the answer, or gave the request up.
    pub(super) gone: bool,
    /// The task that answers holds it.
    pub(super) held: bool,
    /// The task that answers, where it waits.
    pub(super) waker: Option<Waker>,
    /// Who waits for what the peer says beside its answer.
    pub(super) ear: Option<Waker>,
    /// What the client said of the order of its streams, which wins over ours.
    pub(super) said: Option<Priority>,
    /// How urgent its answer is.
    pub(super) urgency: u8,
}

impl Stream {
    /// Whether the answer is of no use any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Whether quiche has all of the answer.
    pub(crate) fn is_sent(&self) -> bool {
        self.sent
    }

    /// Bytes that wait for the peer's windows.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Wakes the task at the next change.
    pub(crate) fn set_waker(&mut self, waker: &Waker) {
        match &self.waker {
            Some(set) if set.will_wake(waker) => {}
            _ => self.waker = Some(waker.clone()),
        }
    }

    /// Wakes `waker` once the peer says something.
    pub(crate) fn set_ear(&mut self, waker: &Waker) {
        self.ear = Some(waker.clone());
    }

    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Wakes who hears the peer: it said something, or says no more.
    pub(super) fn wake_ear(&mut self) {
        if let Some(ear) = self.ear.take() {
            ear.wake();
        }
    }

    pub(super) fn fail(&mut self) {
        self.gone = true;
        self.sent = true;
        self.heads.clear();
        self.pieces.clear();
        self.waiting_bytes = 0;
        self.wake();
        self.wake_ear();
    }

    /// The next bytes for one frame: small pieces together.
    fn pop_piece(&mut self) -> Option<Bytes> {
        let first = self.pieces.pop_front()?;
        let next = self.pieces.front().map_or(usize::MAX, Bytes::len);
        if first.len() >= GATHER_BELOW || first.len().saturating_add(next) > GATHER_BYTES_MAX {
            return Some(first);
        }
        let mut gathered = BytesMut::with_capacity(GATHER_BYTES_MAX);
        gathered.extend_from_slice(&first);
        while let Some(piece) = self.pieces.front() {
            if gathered.len() + piece.len() > GATHER_BYTES_MAX {
                break;
            }
            gathered.extend_from_slice(piece);
            self.pieces.pop_front();
        }
        Some(gathered.freeze())
    }
}

/// Hands as much of an answer to quiche as its windows take; `Done` where they are full.
pub(super) fn pump_stream(
    h3: &mut h3::Connection,
    quic: &mut quiche::Connection<Buffers>,
    id: u64,
    stream: &mut Stream,
) -> Result<(), h3::Error> {
    // Where the peer has said that it wants no more, this is the way to hear of it.
    if let Err(error @ Error::StreamStopped(_)) = quic.stream_capacity(id) {
        return Err(error.into());
    }
    while let Some(head) = stream.heads.front() {
        let (fields, ends) = (&head.fields, head.ends);
        if stream.answered {
            h3.send_additional_headers(quic, id, fields, false, ends)?;
        } else {
            let priority = h3::Priority::new(head.priority.urgency, head.priority.incremental);
            h3.send_response_with_priority(quic, id, fields, &priority, ends)?;
        }
        stream.answered = true;
        stream.sent |= ends;
        stream.heads.pop_front();
    }
    while let Some(mut piece) = stream.pop_piece() {
        let last = stream.ends && stream.pieces.is_empty();
        let length = piece.len();
        let sent = h3.send_body_zc(quic, id, &mut piece, last);
        let n = *sent.as_ref().unwrap_or(&0);
        stream.waiting_bytes -= n;
        if n < length {
            stream.pieces.push_front(piece);
            return sent.map(|_| ());
        }
        if last {
            stream.sent = true;
        }
    }
    if stream.ends && !stream.sent {
        h3.send_body(quic, id, &[], true)?;
    }
    Ok(())
}
