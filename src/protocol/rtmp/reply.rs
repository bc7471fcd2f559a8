//! Protocol messages and commands as bytes.

use bytes::{BufMut, Bytes, BytesMut};

use super::amf::Writer;
use super::chunk::{CHUNK_BYTES_DEFAULT, write_message};
use super::{BadPeer, MessageType};

/// The chunk stream of protocol messages (section 5.4).
const CSID_CONTROL: u8 = 2;
/// The chunk stream of commands, as most servers and clients have it.
const CSID_COMMAND: u8 = 3;

/// What is said, in chunks.
#[derive(Debug)]
pub(super) struct Outbox {
    bytes: BytesMut,
    body: BytesMut,
    chunk_bytes: u32,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Outbox {
            bytes: BytesMut::new(),
            body: BytesMut::new(),
            chunk_bytes: CHUNK_BYTES_DEFAULT,
        }
    }

    /// Where the handshake goes.
    pub(super) fn raw(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// What is to be sent next; never empty.
    pub(super) fn poll_transmit(&mut self) -> Option<Bytes> {
        (!self.bytes.is_empty()).then(|| self.bytes.split().freeze())
    }

    /// A message of our own.
    pub(super) fn message(
        &mut self,
        csid: u8,
        kind: MessageType,
        timestamp_ms: u32,
        stream_id: u32,
        body_parts: &[&[u8]],
    ) {
        let chunk_bytes = self.chunk_bytes;
        let out = &mut self.bytes;
        write_message(
            out,
            csid,
            kind,
            timestamp_ms,
            stream_id,
            body_parts,
            chunk_bytes,
        );
    }

    /// A protocol message of one number (section 5.4).
    pub(super) fn control(&mut self, kind: MessageType, number: u32) {
        self.message(CSID_CONTROL, kind, 0, 0, &[&number.to_be_bytes()]);
    }

    /// Chunks are of this size from here on.
    pub(super) fn set_chunk_bytes(&mut self, chunk_bytes: u32) {
        self.control(MessageType::SET_CHUNK_SIZE, chunk_bytes);
        self.chunk_bytes = chunk_bytes;
    }

    /// The peer sends as much as this without an acknowledgement (section 5.4.5): "dynamic".
    pub(super) fn set_peer_bandwidth(&mut self, bytes: u32) {
        let parts = [&bytes.to_be_bytes()[..], &[2]];
        self.message(CSID_CONTROL, MessageType::PEER_BANDWIDTH, 0, 0, &parts);
    }

    /// A user control message (section 7.1.7).
    pub(super) fn user_control(&mut self, event: UserControl, data: &[u32]) {
        let mut body = [0; 10];
        let mut rest = &mut body[..];
        rest.put_u16(event.0);
        for number in data.iter().take(2) {
            rest.put_u32(*number);
        }
        let unused = rest.len();
        let body = &body[..body.len() - unused];
        self.message(CSID_CONTROL, MessageType::USER_CONTROL, 0, 0, &[body]);
    }

    /// A command or data message of what `write` writes.
    pub(super) fn values(
        &mut self,
        kind: MessageType,
        stream_id: u32,
        write: impl FnOnce(&mut Writer<'_>),
    ) {
        let mut body = std::mem::take(&mut self.body);
        write(&mut Writer(&mut body));
        self.message(CSID_COMMAND, kind, 0, stream_id, &[&body]);
        body.clear();
        self.body = body;
    }

    /// A command.
    pub(super) fn command(&mut self, stream_id: u32, write: impl FnOnce(&mut Writer<'_>)) {
        self.values(MessageType::COMMAND, stream_id, write);
    }

    /// `onStatus` (section 7.2.2), with what `more` adds to it.
    pub(super) fn status(
        &mut self,
        stream_id: u32,
        status: Status<'_>,
        more: impl FnOnce(&mut Writer<'_>),
    ) {
        self.command(stream_id, |writer| {
            writer.string("onStatus").number(0.0).null().object();
            status.write_to(writer);
            more(writer);
            writer.end();
        });
    }
}

/// What a status says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Status<'a> {
    /// Whether it is bad news.
    pub(super) error: bool,
    pub(super) code: &'a str,
    pub(super) description: &'a str,
}

impl Status<'_> {
    pub(super) fn write_to(self, writer: &mut Writer<'_>) {
        writer
            .key("level")
            .string(if self.error { "error" } else { "status" });
        writer.key("code").string(self.code);
        writer.key("description").string(self.description);
    }
}

/// The event of a user control message (section 7.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UserControl(pub(super) u16);

impl UserControl {
    pub(super) const STREAM_BEGIN: UserControl = UserControl(0);
    pub(super) const STREAM_EOF: UserControl = UserControl(1);
    pub(super) const SET_BUFFER_LENGTH: UserControl = UserControl(3);
    pub(super) const PING: UserControl = UserControl(6);
    pub(super) const PONG: UserControl = UserControl(7);

    /// The event, and the number behind it where there is one.
    pub(super) fn parse(payload: &[u8]) -> Result<(Self, Option<u32>), BadPeer> {
        let Some((event, rest)) = payload.split_first_chunk() else {
            return Err(BadPeer("user control without an event"));
        };
        let number = rest.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        Ok((UserControl(u16::from_be_bytes(*event)), number))
    }
}
