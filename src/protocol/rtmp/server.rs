//! The server's side of one connection.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::{BadPeer, Media};

/// What a client wants to publish or play. Texts are clean and bounded; nothing is unescaped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamRequest {
    /// The application, without slashes around it and without its query.
    pub app: String,
    /// The name of the stream (the "stream key"), likewise; may hold slashes and may be empty.
    pub stream: String,
    /// The queries of stream and application, joined by `&`, without `?`; empty for none.
    pub query: String,
    /// The parameter `vhost`, else the host of `tc_url` without its port; empty for none.
    pub vhost: String,
    /// The URL that the client says it connected to.
    pub tc_url: String,
    /// The client's name for itself (`flashVer`).
    pub agent: String,
    /// The page that the client says it is on (`pageUrl`); empty for none.
    pub page_url: String,
}

impl StreamRequest {
    /// `/app/stream`, whichever way the client's URL was cut into these two.
    pub fn path(&self) -> String {
        let mut path = String::with_capacity(self.app.len() + self.stream.len() + 2);
        for part in [&self.app, &self.stream] {
            if !part.is_empty() {
                path.push('/');
                path.push_str(part);
            }
        }
        path
    }
}

/// What [`ServerSession::poll_event`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The client wants to publish; [`ServerSession::accept_publish`] or
    /// [`ServerSession::refuse_publish`] is the answer.
    Publish(Box<StreamRequest>),
    /// The client wants to play; [`ServerSession::accept_play`] or
    /// [`ServerSession::refuse_play`] is the answer.
    Play(Box<StreamRequest>),
    /// Media of the publisher; comes only after it was accepted.
    Media(Media),
    /// The player pauses (true) or goes on (false). The client was answered.
    Paused(bool),
    /// The publisher is done. The connection may publish again.
    Unpublish,
    /// The player is done. The connection may play again.
    Stopped,
    /// The answer to [`ServerSession::ping`] with this time.
    Pong(u32),
}

/// Why [`ServerSession::end`] ends a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End<'a> {
    /// To a player: the publisher is gone (`NetStream.Play.UnpublishNotify`).
    Unpublished,
    /// To a publisher: its stream is taken from it; with a description for people.
    Rejected(&'a str),
    /// To a client that can (Enhanced RTMP v2, Reconnect Request): come again, to this `tcUrl` or
    /// to the same.
    Reconnect(Option<&'a str>),
}

/// One connection, from its first byte.
#[derive(Debug)]
pub struct ServerSession {
    events: VecDeque<Event>,
    out: BytesMut,
}

impl ServerSession {
    /// Waits for the client's handshake. `random` is new for each connection.
    pub fn new(random: [u8; 32]) -> Self {
        let _ = random;
        ServerSession {
            events: VecDeque::new(),
            out: BytesMut::new(),
        }
    }

    /// Takes what the client sent next. Media lie in `bytes` where they came in one piece.
    ///
    /// # Errors
    /// [`BadPeer`] where the client breaks the protocol; what was said before stays to be polled.
    pub fn handle_input(&mut self, bytes: Bytes) -> Result<(), BadPeer> {
        let _ = bytes;
        Err(BadPeer("no handshake"))
    }

    /// The next thing to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What is to be sent next; never empty.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        (!self.out.is_empty()).then(|| self.out.split().freeze())
    }

    /// Lets the client publish.
    pub fn accept_publish(&mut self) {}

    /// Keeps the client from publishing: `NetStream.Publish.BadName`, `NetStream.Publish.Denied`.
    pub fn refuse_publish(&mut self, code: &str, description: &str) {
        let _ = (code, description);
    }

    /// Lets the client play. What follows on the wire behind [`ServerSession::poll_transmit`] are
    /// messages by [`super::write_message`] on [`super::STREAM_ID`] with [`super::CHUNK_BYTES`].
    pub fn accept_play(&mut self) {}

    /// Keeps the client from playing: `NetStream.Play.StreamNotFound`, `NetStream.Play.Failed`.
    pub fn refuse_play(&mut self, code: &str, description: &str) {
        let _ = (code, description);
    }

    /// Says why the session ends. The driver closes the connection.
    pub fn end(&mut self, end: End<'_>) {
        let _ = end;
    }

    /// Asks the client for a sign of life.
    pub fn ping(&mut self, now_ms: u32) {
        let _ = now_ms;
    }
}
