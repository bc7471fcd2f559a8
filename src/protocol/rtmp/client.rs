//! The client's side of one connection: publishes to another server, or plays from it.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::amf::{Value, Writer};
use super::command::{Command, SET_DATA_FRAME};
use super::handshake::Handshake;
use super::link::{Incoming, Link, WINDOW_BYTES};
use super::reply::{Outbox, UserControl};
use super::{BadPeer, CHUNK_BYTES, Media, MediaKind, Message, MessageType, Url, address, connect};

/// Numbers of our calls, which their results repeat.
const CONNECT: f64 = 1.0;
const CREATE_STREAM: f64 = 4.0;

/// What a player asks the server to have ahead, in milliseconds.
const BUFFER_MS: u32 = 3_000;

/// What a client is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To send a stream.
    Publish,
    /// To receive one.
    Play,
}

/// What [`ClientSession::poll_event`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// The stream is there: [`ClientSession::send_media`] may be called, or media follow.
    Ready,
    /// Media of the stream that is played.
    Media(Media),
    /// The server does not give or take the stream, or not any more. Nothing follows.
    Ended {
        /// What it calls that, such as `NetStream.Play.StreamNotFound`; clean and bounded.
        code: String,
        /// What it says to people; clean and bounded.
        description: String,
    },
    /// The server asks to come again, to this `tcUrl` or to the same, at the next good moment.
    Reconnect(Option<String>),
    /// The answer to [`ClientSession::ping`] with this time.
    Pong(u32),
}

/// One connection, from its first byte.
#[derive(Debug)]
pub struct ClientSession {
    link: Link,
    events: VecDeque<ClientEvent>,
    purpose: Purpose,
    app: String,
    stream: String,
    tc_url: String,
    agent: String,
    /// The message stream, once the server has named it.
    stream_id: Option<u32>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// On the way to the stream.
    Asking,
    Ready,
    Over,
}

impl ClientSession {
    /// Begins to speak: [`ClientSession::poll_transmit`] has the first bytes. `agent` is what we
    /// call ourselves; `random` is new for each connection.
    pub fn new(purpose: Purpose, url: &Url, agent: &str, random: [u8; 32]) -> Self {
        let mut outbox = Outbox::new();
        let handshake = Handshake::client(random, outbox.raw());
        let mut link = Link::new(handshake, outbox);
        link.reader.set_trusted(purpose == Purpose::Play);
        ClientSession {
            link,
            events: VecDeque::new(),
            purpose,
            app: url.app.clone(),
            stream: url.stream.clone(),
            tc_url: url.tc_url(),
            agent: address::text(agent),
            stream_id: None,
            stage: Stage::Asking,
        }
    }

    /// Takes what the server sent next. Media are slices of `bytes` where they came in one piece.
    ///
    /// # Errors
    /// [`BadPeer`] where the server breaks the protocol; what was said before stays to be polled.
    pub fn handle_input(&mut self, mut bytes: Bytes) -> Result<(), BadPeer> {
        self.link.on_received(bytes.len());
        while let Some(incoming) = self.link.read(&mut bytes)? {
            match incoming {
                Incoming::Open => self.on_open(),
                Incoming::Pong(time) => self.events.push_back(ClientEvent::Pong(time)),
                Incoming::Message(message) => self.on_message(message)?,
            }
        }
        Ok(())
    }

    /// The next thing to know.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// What is to be sent next; never empty.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.link.outbox.poll_transmit()
    }

    /// The message stream, once [`ClientEvent::Ready`] was said. Messages by
    /// [`super::write_message`] with [`CHUNK_BYTES`] may go there besides.
    pub fn stream_id(&self) -> Option<u32> {
        self.stream_id.filter(|_| self.stage == Stage::Ready)
    }

    /// Sends one media message of a publisher; nothing before [`ClientEvent::Ready`] and after
    /// the end. The body is what the parts come to, at most 2^24 - 1 bytes. Metadata begin with
    /// their name, such as `onMetaData`.
    pub fn send_media(&mut self, kind: MediaKind, timestamp_ms: u32, body_parts: &[&[u8]]) {
        let Some(stream_id) = self.stream_id() else {
            return;
        };
        let outbox = &mut self.link.outbox;
        match kind {
            MediaKind::Audio => {
                outbox.message(4, MessageType::AUDIO, timestamp_ms, stream_id, body_parts);
            }
            MediaKind::Video => {
                outbox.message(6, MessageType::VIDEO, timestamp_ms, stream_id, body_parts);
            }
            MediaKind::Script => {
                let mut order = BytesMut::new();
                Writer(&mut order).string(SET_DATA_FRAME);
                let parts = [&[&order[..]], body_parts].concat();
                outbox.message(5, MessageType::DATA, timestamp_ms, stream_id, &parts);
            }
        }
    }

    /// Says that the stream is over. The driver sends that and closes the connection.
    pub fn finish(&mut self) {
        let Some(stream_id) = self.stream_id() else {
            return;
        };
        self.stage = Stage::Over;
        let outbox = &mut self.link.outbox;
        if self.purpose == Purpose::Publish {
            outbox.command(0, |writer| {
                writer
                    .string("FCUnpublish")
                    .number(0.0)
                    .null()
                    .string(&self.stream);
            });
        }
        outbox.command(0, |writer| {
            let stream_id = f64::from(stream_id);
            writer
                .string("deleteStream")
                .number(0.0)
                .null()
                .number(stream_id);
        });
    }

    /// Asks the server for a sign of life.
    pub fn ping(&mut self, now_ms: u32) {
        self.link.outbox.user_control(UserControl::PING, &[now_ms]);
    }

    fn on_open(&mut self) {
        let outbox = &mut self.link.outbox;
        outbox.set_chunk_bytes(CHUNK_BYTES);
        outbox.command(0, |writer| {
            writer.string("connect").number(CONNECT).object();
            writer.key("app").string(&self.app);
            if self.purpose == Purpose::Publish {
                writer.key("type").string("nonprivate");
            } else {
                writer.key("fpad").boolean(false);
                // What servers for Flash's players want: all codings, seeking, AMF0.
                writer.key("capabilities").number(15.0);
                writer.key("audioCodecs").number(4_071.0);
                writer.key("videoCodecs").number(252.0);
                writer.key("videoFunction").number(1.0);
            }
            writer.key("flashVer").string(&self.agent);
            writer.key("tcUrl").string(&self.tc_url);
            connect::write_enhanced(writer);
            writer.end();
        });
    }

    fn on_message(&mut self, message: Message) -> Result<(), BadPeer> {
        match message.kind {
            MessageType::COMMAND | MessageType::COMMAND_AMF3 => {
                let command = Command::parse(&message)?;
                self.on_command(&command);
                Ok(())
            }
            _ if self.purpose == Purpose::Play && self.stage != Stage::Over => {
                // Servers send `onStatus` and what a sample may be used for as data, too.
                let on_stream = Some(message.stream_id) == self.stream_id;
                if self.stage == Stage::Asking && !on_stream {
                    return Ok(());
                }
                self.on_ready();
                let events = &mut self.events;
                self.link
                    .media(message, |media| events.push_back(ClientEvent::Media(media)))
            }
            _ => Ok(()),
        }
    }

    fn on_ready(&mut self) {
        if self.stage == Stage::Asking {
            self.stage = Stage::Ready;
            self.events.push_back(ClientEvent::Ready);
        }
    }

    fn on_command(&mut self, command: &Command) {
        match &*command.name {
            "_result" if command.transaction == CONNECT => self.on_connected(),
            "_result" if command.transaction == CREATE_STREAM => self.on_stream(command),
            "_error" if [CONNECT, CREATE_STREAM].contains(&command.transaction) => {
                self.on_end(command.arguments.first());
            }
            "onStatus" => self.on_status(command),
            "close" => self.on_end(None),
            "_result" | "_error" => {}
            _ if command.transaction == 0.0 => {}
            // Servers measure bandwidth by calls.
            _ => self.link.outbox.command(0, |writer| {
                writer
                    .string("_result")
                    .number(command.transaction)
                    .null()
                    .null();
            }),
        }
    }

    fn on_connected(&mut self) {
        let outbox = &mut self.link.outbox;
        if self.purpose == Purpose::Publish {
            for (number, name) in [(2.0, "releaseStream"), (3.0, "FCPublish")] {
                outbox.command(0, |writer| {
                    writer
                        .string(name)
                        .number(number)
                        .null()
                        .string(&self.stream);
                });
            }
        } else {
            outbox.control(MessageType::WINDOW_SIZE, WINDOW_BYTES);
        }
        outbox.command(0, |writer| {
            writer.string("createStream").number(CREATE_STREAM).null();
        });
    }

    fn on_stream(&mut self, command: &Command) {
        // Saturates; a stream that is none is refused by the server itself.
        let stream_id = command.number(0).unwrap_or(1.0) as u32;
        self.stream_id = Some(stream_id);
        let outbox = &mut self.link.outbox;
        if self.purpose == Purpose::Publish {
            outbox.command(stream_id, |writer| {
                writer.string("publish").number(5.0).null();
                writer.string(&self.stream).string("live");
            });
        } else {
            outbox.command(stream_id, |writer| {
                // Section 7.2.2.1: -2 is "live, else recorded".
                writer.string("play").number(5.0).null();
                writer.string(&self.stream).number(-2_000.0);
            });
            outbox.user_control(UserControl::SET_BUFFER_LENGTH, &[stream_id, BUFFER_MS]);
        }
    }

    fn on_status(&mut self, command: &Command) {
        let info = command.arguments.first();
        let text = |name| {
            info.and_then(|info| info.field(name))
                .and_then(Value::as_str)
        };
        match text("code").unwrap_or_default() {
            "NetStream.Publish.Start" | "NetStream.Play.Start" => self.on_ready(),
            "NetConnection.Connect.ReconnectRequest" => {
                let event = ClientEvent::Reconnect(text("tcUrl").map(address::text));
                self.events.push_back(event);
            }
            "NetStream.Play.UnpublishNotify"
            | "NetStream.Play.Stop"
            | "NetStream.Play.Complete"
            | "NetStream.Unpublish.Success"
            | "NetConnection.Connect.Closed" => self.on_end(info),
            _ if text("level") == Some("error") => self.on_end(info),
            _ => {}
        }
    }

    fn on_end(&mut self, info: Option<&Value>) {
        if self.stage == Stage::Over {
            return;
        }
        self.stage = Stage::Over;
        let text = |name| {
            let value = info.and_then(|info| info.field(name));
            address::text(value.and_then(Value::as_str).unwrap_or_default())
        };
        self.events.push_back(ClientEvent::Ended {
            code: text("code"),
            description: text("description"),
        });
    }
}
