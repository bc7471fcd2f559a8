//! The server's side of one connection.

use std::collections::VecDeque;

use bytes::Bytes;

use super::amf::{Value, Writer};
use super::command::Command;
use super::connect::Connect;
use super::handshake::Handshake;
use super::limits::WAITING_BYTES_MAX;
use super::link::{Incoming, Link, WINDOW_BYTES};
use super::reply::{Outbox, Status, UserControl};
use super::{BadPeer, CHUNK_BYTES, Media, Message, MessageType, STREAM_ID, address};

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
    /// What the publisher wants of its stream: `live`, `record` or `append`; empty for a player.
    pub purpose: String,
    /// Whether the client understands [`End::Reconnect`].
    pub reconnects: bool,
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

/// One connection, from its first byte. It publishes or plays one stream at a time.
#[derive(Debug)]
pub struct ServerSession {
    link: Link,
    events: VecDeque<Event>,
    /// What came while an answer is awaited.
    waiting: Bytes,
    connect: Option<Connect>,
    role: Role,
    /// What was wrong with what waited; said at the next input.
    fault: Option<BadPeer>,
}

/// What the connection is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    None,
    /// Wants to publish on this message stream, and waits.
    WantsToPublish(u32),
    /// Wants to play on this message stream, and waits.
    WantsToPlay(u32),
    Publishes(u32),
    Plays(u32),
}

impl ServerSession {
    /// Waits for the client's handshake. `random` is new for each connection.
    pub fn new(random: [u8; 32]) -> Self {
        ServerSession {
            link: Link::new(Handshake::server(random), Outbox::new()),
            events: VecDeque::new(),
            waiting: Bytes::new(),
            connect: None,
            role: Role::None,
            fault: None,
        }
    }

    /// Takes what the client sent next. Media are slices of `bytes` where they came in one piece.
    ///
    /// While [`Event::Publish`] or [`Event::Play`] waits for its answer, what comes is only kept.
    ///
    /// # Errors
    /// [`BadPeer`] where the client breaks the protocol; what was said before stays to be polled.
    pub fn handle_input(&mut self, bytes: Bytes) -> Result<(), BadPeer> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.link.on_received(bytes.len());
        if self.waits() {
            if self.waiting.len() + bytes.len() > WAITING_BYTES_MAX {
                return Err(BadPeer("too much before it was let in"));
            }
            self.waiting = if self.waiting.is_empty() {
                bytes
            } else {
                [&self.waiting[..], &bytes].concat().into()
            };
            return Ok(());
        }
        self.take(bytes)
    }

    /// The next thing to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What is to be sent next; never empty.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.link.outbox.poll_transmit()
    }

    /// Bytes of messages under way that are kept.
    pub fn held_bytes(&self) -> usize {
        self.link.reader.held_bytes() + self.waiting.len()
    }

    /// Lets the client publish. Nothing happens where it does not wait for that.
    pub fn accept_publish(&mut self) {
        let Role::WantsToPublish(stream_id) = self.role else {
            return;
        };
        self.role = Role::Publishes(stream_id);
        self.link.reader.set_trusted(true);
        self.link.restart_clock();
        let outbox = &mut self.link.outbox;
        outbox.user_control(UserControl::STREAM_BEGIN, &[stream_id]);
        self.status(stream_id, "NetStream.Publish.Start", "Publishing");
        self.resume();
    }

    /// Keeps the client from publishing: `NetStream.Publish.BadName`, `NetStream.Publish.Denied`.
    pub fn refuse_publish(&mut self, code: &str, description: &str) {
        let Role::WantsToPublish(stream_id) = self.role else {
            return;
        };
        self.refuse(stream_id, code, description);
        self.resume();
    }

    /// Lets the client play. What follows on the wire behind [`ServerSession::poll_transmit`] are
    /// messages by [`super::write_message`] on [`STREAM_ID`] with [`CHUNK_BYTES`]. Nothing
    /// happens where the client does not wait for that.
    pub fn accept_play(&mut self) {
        let Role::WantsToPlay(stream_id) = self.role else {
            return;
        };
        self.role = Role::Plays(stream_id);
        let outbox = &mut self.link.outbox;
        outbox.user_control(UserControl::STREAM_BEGIN, &[stream_id]);
        self.status(stream_id, "NetStream.Play.Reset", "Resetting");
        self.status(stream_id, "NetStream.Play.Start", "Playing");
        let outbox = &mut self.link.outbox;
        outbox.values(MessageType::DATA, stream_id, |writer| {
            writer
                .string("|RtmpSampleAccess")
                .boolean(true)
                .boolean(true);
        });
        self.resume();
    }

    /// Keeps the client from playing: `NetStream.Play.StreamNotFound`, `NetStream.Play.Failed`.
    pub fn refuse_play(&mut self, code: &str, description: &str) {
        let Role::WantsToPlay(stream_id) = self.role else {
            return;
        };
        self.refuse(stream_id, code, description);
        self.resume();
    }

    /// Says why the session ends, where there is something to say. The driver sends that and
    /// closes the connection; after [`End::Reconnect`] it leaves the client time to go by itself.
    pub fn end(&mut self, end: End<'_>) {
        match (end, self.role) {
            (End::Unpublished, Role::Plays(stream_id)) => {
                let outbox = &mut self.link.outbox;
                outbox.user_control(UserControl::STREAM_EOF, &[stream_id]);
                self.status(stream_id, "NetStream.Play.UnpublishNotify", "Not published");
                self.role = Role::None;
            }
            (End::Rejected(description), Role::Publishes(stream_id)) => {
                self.refuse(stream_id, "NetStream.Publish.Rejected", description);
            }
            (End::Reconnect(tc_url), _) => self.ask_to_reconnect(tc_url),
            _ => {}
        }
    }

    /// Asks the client for a sign of life.
    pub fn ping(&mut self, now_ms: u32) {
        self.link.outbox.user_control(UserControl::PING, &[now_ms]);
    }

    fn waits(&self) -> bool {
        matches!(self.role, Role::WantsToPublish(_) | Role::WantsToPlay(_))
    }

    fn status(&mut self, stream_id: u32, code: &str, description: &str) {
        let status = Status {
            error: false,
            code,
            description,
        };
        self.link.outbox.status(stream_id, status, |_| ());
    }

    /// Bad news, after which the stream is free again.
    fn refuse(&mut self, stream_id: u32, code: &str, description: &str) {
        self.role = Role::None;
        self.link.reader.set_trusted(false);
        let status = Status {
            error: true,
            code,
            description,
        };
        self.link.outbox.status(stream_id, status, |_| ());
    }

    /// Enhanced RTMP v2, Reconnect Request.
    fn ask_to_reconnect(&mut self, tc_url: Option<&str>) {
        if !self.connect.as_ref().is_some_and(Connect::reconnects) {
            return;
        }
        let status = Status {
            error: false,
            code: "NetConnection.Connect.ReconnectRequest",
            description: "The server goes away",
        };
        self.link.outbox.status(0, status, |writer| {
            if let Some(url) = tc_url {
                writer.key("tcUrl").string(url);
            }
        });
    }

    /// Goes on with what came while an answer was awaited.
    fn resume(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        self.fault = self.take(waiting).err();
    }

    fn take(&mut self, mut input: Bytes) -> Result<(), BadPeer> {
        while !self.waits() {
            match self.link.read(&mut input)? {
                None => return Ok(()),
                Some(Incoming::Open) => {}
                Some(Incoming::Pong(time)) => self.events.push_back(Event::Pong(time)),
                Some(Incoming::Message(message)) => self.on_message(message)?,
            }
        }
        self.waiting = input;
        Ok(())
    }

    fn on_message(&mut self, message: Message) -> Result<(), BadPeer> {
        match message.kind {
            MessageType::COMMAND | MessageType::COMMAND_AMF3 => {
                let command = Command::parse(&message)?;
                self.on_command(message.stream_id, &command)
            }
            _ if matches!(self.role, Role::Publishes(_)) => {
                let events = &mut self.events;
                self.link
                    .media(message, |media| events.push_back(Event::Media(media)))
            }
            // Shared objects, and what nobody knows.
            _ => Ok(()),
        }
    }

    fn on_command(&mut self, stream_id: u32, command: &Command) -> Result<(), BadPeer> {
        if *command.name == *"connect" {
            return self.on_connect(command);
        }
        if self.connect.is_none() {
            return Err(BadPeer("command before connect"));
        }
        match &*command.name {
            "createStream" => self.result(command, |writer| {
                writer.number(f64::from(STREAM_ID));
            }),
            "publish" => self.on_publish(stream_id, command),
            "play" => self.on_play(stream_id, command),
            "closeStream" | "deleteStream" => self.stop(),
            "FCUnpublish" => {
                self.notice(command, "onFCUnpublish", "NetStream.Unpublish.Success");
                self.stop();
            }
            "FCPublish" => self.notice(command, "onFCPublish", "NetStream.Publish.Start"),
            "FCSubscribe" => self.notice(command, "onFCSubscribe", "NetStream.Play.Start"),
            "pause" | "pauseRaw" => self.on_pause(stream_id, command),
            "seek" => {
                let status = Status {
                    error: true,
                    code: "NetStream.Seek.Failed",
                    description: "Live streams have no other place",
                };
                self.link.outbox.status(stream_id, status, |_| ());
            }
            // Live streams have none.
            "getStreamLength" => self.result(command, |writer| {
                writer.number(0.0);
            }),
            "releaseStream" | "_checkbw" | "checkBandwidth" | "set_playlist" | "FCUnsubscribe" => {
                self.result(command, |writer| {
                    writer.null();
                });
            }
            "_result" | "_error" | "onStatus" | "receiveAudio" | "receiveVideo" => {}
            _ => self.on_unknown(command),
        }
        Ok(())
    }

    fn on_connect(&mut self, command: &Command) -> Result<(), BadPeer> {
        if self.connect.is_some() {
            return Err(BadPeer("connect twice"));
        }
        let outbox = &mut self.link.outbox;
        let Some(connect) = Connect::from_object(&command.object) else {
            let status = Status {
                error: true,
                code: "NetConnection.Connect.InvalidApp",
                description: "Bad application",
            };
            outbox.command(0, |writer| {
                writer
                    .string("_error")
                    .number(command.transaction)
                    .null()
                    .object();
                status.write_to(writer);
                writer.end();
            });
            return Err(BadPeer("bad application"));
        };
        outbox.control(MessageType::WINDOW_SIZE, WINDOW_BYTES);
        outbox.set_peer_bandwidth(WINDOW_BYTES);
        outbox.set_chunk_bytes(CHUNK_BYTES);
        outbox.command(0, |writer| {
            connect.write_result(writer, command.transaction)
        });
        self.connect = Some(connect);
        Ok(())
    }

    fn on_publish(&mut self, stream_id: u32, command: &Command) {
        if command.boolean(0) == Some(false) {
            return self.stop();
        }
        let request = self.request(command);
        let Some(mut request) = request.filter(|_| self.role == Role::None) else {
            let status = Status {
                error: true,
                code: "NetStream.Publish.BadName",
                description: "Bad name, or a second stream",
            };
            return self.link.outbox.status(stream_id, status, |_| ());
        };
        request.purpose = command.text(1).map(address::text).unwrap_or_default();
        self.role = Role::WantsToPublish(stream_id);
        self.events.push_back(Event::Publish(Box::new(request)));
    }

    fn on_play(&mut self, stream_id: u32, command: &Command) {
        if command.boolean(0) == Some(false) {
            return self.stop();
        }
        let request = self.request(command);
        let Some(request) = request.filter(|_| self.role == Role::None) else {
            let status = Status {
                error: true,
                code: "NetStream.Play.Failed",
                description: "Bad name, or a second stream",
            };
            return self.link.outbox.status(stream_id, status, |_| ());
        };
        self.role = Role::WantsToPlay(stream_id);
        self.events.push_back(Event::Play(Box::new(request)));
    }

    fn request(&self, command: &Command) -> Option<StreamRequest> {
        self.connect.as_ref()?.request(command.text(0)?)
    }

    /// The stream is not used any more.
    fn stop(&mut self) {
        let (stream_id, event, code) = match self.role {
            Role::Publishes(id) => (id, Event::Unpublish, "NetStream.Unpublish.Success"),
            Role::Plays(id) => (id, Event::Stopped, "NetStream.Play.Stop"),
            _ => return,
        };
        self.role = Role::None;
        self.status(stream_id, code, "Stopped");
        self.events.push_back(event);
    }

    fn on_pause(&mut self, stream_id: u32, command: &Command) {
        let Role::Plays(_) = self.role else {
            return;
        };
        let paused = command.boolean(0).unwrap_or(true);
        let code = if paused {
            "NetStream.Pause.Notify"
        } else {
            "NetStream.Unpause.Notify"
        };
        self.status(stream_id, code, "Done");
        self.events.push_back(Event::Paused(paused));
    }

    /// The answer to a call, where one is wanted.
    fn result(&mut self, command: &Command, write: impl FnOnce(&mut Writer<'_>)) {
        if command.transaction == 0.0 {
            return;
        }
        self.link.outbox.command(0, |writer| {
            writer.string("_result").number(command.transaction).null();
            write(writer);
        });
    }

    /// The answers to what Flash's encoders call besides: a notice, and a result.
    fn notice(&mut self, command: &Command, name: &str, code: &str) {
        let status = Status {
            error: false,
            code,
            description: command.text(0).unwrap_or_default(),
        };
        self.link.outbox.command(0, |writer| {
            writer.string(name).number(0.0).null().object();
            status.write_to(writer);
            writer.end();
        });
        self.result(command, |writer| {
            writer.value(&Value::Undefined);
        });
    }

    fn on_unknown(&mut self, command: &Command) {
        if command.transaction == 0.0 {
            return;
        }
        let status = Status {
            error: true,
            code: "NetConnection.Call.Failed",
            description: "Unknown method",
        };
        self.link.outbox.command(0, |writer| {
            writer
                .string("_error")
                .number(command.transaction)
                .null()
                .object();
            status.write_to(writer);
            writer.end();
        });
    }
}
