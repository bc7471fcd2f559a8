//! A steady reader's transport whose peer talks WebSocket: what it says is heard and answered.

use std::io::IoSlice;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use corecast_media::socket::{Heard, Sent, Socket};
use corecast_protocol::websocket::{CloseCode, Ended, Talk};

use super::reader::ReaderSocket;

/// The longest message of a listener: it has nothing to say.
const MESSAGE_BYTES_MAX: u64 = if cfg!(test) { 1 << 26 } else { 1 << 16 };

/// The most bytes heard at once.
const HEAR_BYTES_MAX: usize = 4 * 1024;

/// A transport and the talk on it.
pub struct Talker {
    socket: ReaderSocket,
    talk: Talk,
    /// Said before it was given to the hub.
    said: Bytes,
    /// Rings for its session.
    bell: Waker,
    #[cfg(test)]
    echo: tests::Echo,
}

impl Talker {
    /// A talk right behind the handshake on `socket`; `said` came with that, and `bell` is woken
    /// once more comes on a stream.
    pub(crate) fn new(socket: ReaderSocket, said: Bytes, bell: Waker) -> Self {
        Talker {
            socket,
            talk: Talk::new(MESSAGE_BYTES_MAX),
            said,
            bell,
            #[cfg(test)]
            echo: tests::Echo::default(),
        }
    }

    /// The transport alone.
    pub(super) fn into_socket(self) -> ReaderSocket {
        self.socket
    }

    fn receive(&mut self, buf: &mut [u8]) -> Poll<std::io::Result<usize>> {
        if self.said.is_empty() {
            return self
                .socket
                .poll_receive(&mut Context::from_waker(&self.bell), buf);
        }
        let n = self.said.len().min(buf.len());
        self.said.copy_to_slice(&mut buf[..n]);
        Poll::Ready(Ok(n))
    }
}

impl Socket for Talker {
    fn send(&mut self, slices: &[IoSlice<'_>]) -> Sent {
        self.socket.send(slices)
    }

    fn flush(&mut self) -> Sent {
        self.socket.flush()
    }

    fn is_closed(&mut self) -> bool {
        self.socket.is_closed()
    }

    fn talks(&self) -> bool {
        true
    }

    fn hear(&mut self) -> Heard {
        if self.talk.ended().is_some() {
            return Heard::Nothing;
        }
        let mut buf = [0; HEAR_BYTES_MAX];
        let mut said = match self.receive(&mut buf) {
            Poll::Pending => return Heard::Nothing,
            Poll::Ready(Ok(0) | Err(_)) => return Heard::Lost,
            Poll::Ready(Ok(n)) => buf.get_mut(..n).unwrap_or_default(),
        };
        while let Some(data) = self.talk.handle_input(&mut said) {
            #[cfg(test)]
            self.echo.take(data, &mut self.talk);
            #[cfg(not(test))]
            let _ = data;
        }
        match self.talk.ended() {
            None => Heard::Something,
            Some(Ended::Closed(_)) => Heard::End,
            Some(Ended::Fault(fault)) => {
                tracing::debug!(%fault, "a WebSocket client broke the protocol");
                Heard::Fault
            }
        }
    }

    fn poll_words(&mut self) -> Option<Bytes> {
        #[cfg(test)]
        if let Some(words) = self.echo.poll_words() {
            return Some(words);
        }
        self.talk.poll_transmit()
    }

    fn poll_farewell(&mut self) -> Option<Bytes> {
        self.talk.poll_close(CloseCode::GOING_AWAY)
    }
}

#[cfg(test)]
#[path = "websocket_tests.rs"]
mod tests;
