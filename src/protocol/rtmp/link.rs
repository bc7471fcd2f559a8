//! What both sides do alike below commands: handshake, chunks, acknowledgements, pings.

use bytes::Bytes;

use super::chunk::ChunkReader;
use super::clock::Clock;
use super::command::SET_DATA_FRAME;
use super::handshake::Handshake;
use super::reply::{Outbox, UserControl};
use super::{BadPeer, Media, MediaKind, Message, MessageType, amf, message};

/// Bytes that peers send and receive without an acknowledgement, as Flash's servers have it.
pub(super) const WINDOW_BYTES: u32 = 2_500_000;

/// One side of a connection, below commands.
#[derive(Debug)]
pub(super) struct Link {
    handshake: Option<Handshake>,
    pub(super) reader: ChunkReader,
    pub(super) outbox: Outbox,
    /// Bytes received, modulo 2^32.
    received: u32,
    /// Of these, acknowledged.
    acknowledged: u32,
    /// What the peer wants acknowledged at the latest.
    window_bytes: u32,
    clock: Clock,
}

/// What [`Link::read`] gives.
#[derive(Debug)]
pub(super) enum Incoming {
    /// The handshake is done.
    Open,
    /// A command or data, or media.
    Message(Message),
    /// The peer is alive.
    Pong(u32),
}

impl Link {
    pub(super) fn new(handshake: Handshake, outbox: Outbox) -> Self {
        Link {
            handshake: Some(handshake),
            reader: ChunkReader::default(),
            outbox,
            received: 0,
            acknowledged: 0,
            window_bytes: WINDOW_BYTES,
            clock: Clock::default(),
        }
    }

    /// Counts what came, and acknowledges it where that is due (section 5.4.3).
    pub(super) fn on_received(&mut self, bytes: usize) {
        self.received = self.received.wrapping_add(bytes as u32);
        let due = (self.window_bytes / 2).max(1);
        // Before anything else was said there is nobody to read it.
        if self.handshake.is_none() && self.received.wrapping_sub(self.acknowledged) >= due {
            self.acknowledged = self.received;
            self.outbox
                .control(MessageType::ACKNOWLEDGEMENT, self.received);
        }
    }

    /// The next thing in `input`; `None` where all of it was taken.
    pub(super) fn read(&mut self, input: &mut Bytes) -> Result<Option<Incoming>, BadPeer> {
        if let Some(handshake) = &mut self.handshake {
            if !handshake.handle_input(input, self.outbox.raw())? {
                return Ok(None);
            }
            self.handshake = None;
            return Ok(Some(Incoming::Open));
        }
        while let Some(message) = self.reader.read(input)? {
            match message.kind {
                MessageType::ACKNOWLEDGEMENT | MessageType::PEER_BANDWIDTH => {}
                MessageType::WINDOW_SIZE => {
                    let Some(window) = message.payload.first_chunk() else {
                        return Err(BadPeer("no window size"));
                    };
                    self.window_bytes = u32::from_be_bytes(*window);
                }
                MessageType::USER_CONTROL => match UserControl::parse(&message.payload)? {
                    (UserControl::PING, Some(time)) => {
                        self.outbox.user_control(UserControl::PONG, &[time]);
                    }
                    (UserControl::PONG, Some(time)) => return Ok(Some(Incoming::Pong(time))),
                    _ => {}
                },
                _ => return Ok(Some(Incoming::Message(message))),
            }
        }
        Ok(None)
    }

    /// A new stream has a clock of its own.
    pub(super) fn restart_clock(&mut self) {
        self.clock = Clock::default();
    }

    /// The media in a message of a stream; nothing in others.
    pub(super) fn media(
        &mut self,
        message: Message,
        mut give: impl FnMut(Media),
    ) -> Result<(), BadPeer> {
        if message.kind == MessageType::AGGREGATE {
            for part in message::parts(&message)? {
                self.one(part, &mut give)?;
            }
            return Ok(());
        }
        self.one(message, &mut give)
    }

    fn one(&mut self, message: Message, give: &mut impl FnMut(Media)) -> Result<(), BadPeer> {
        let (kind, payload) = match message.kind {
            MessageType::AUDIO => (MediaKind::Audio, message.payload),
            MessageType::VIDEO => (MediaKind::Video, message.payload),
            MessageType::DATA | MessageType::DATA_AMF3 => match script(&message)? {
                Some(payload) => (MediaKind::Script, payload),
                None => return Ok(()),
            },
            _ => return Ok(()),
        };
        give(Media {
            kind,
            timestamp_ms: self.clock.unwrap_ms(message.timestamp_ms),
            payload,
        });
        Ok(())
    }
}

/// The values of a data message without what is an order to the server.
fn script(message: &Message) -> Result<Option<Bytes>, BadPeer> {
    let values = message.values();
    let mut decoder = amf::Decoder::new(&values, 1);
    match decoder.decode() {
        Ok(Some(amf::Value::String(name))) => match &*name {
            SET_DATA_FRAME => Ok(Some(values.slice_ref(decoder.rest()))),
            "@clearDataFrame" => Ok(None),
            _ => Ok(Some(values)),
        },
        Ok(_) => Ok(None),
        Err(_) => Err(BadPeer("bad data message")),
    }
}
