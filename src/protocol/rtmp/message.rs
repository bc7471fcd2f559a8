//! What kinds of messages there are, and what lies in an aggregate.

use bytes::{Buf, Bytes};

use super::BadPeer;
use super::limits::AGGREGATE_PARTS_MAX;

/// The type of a message (section 5.4 and 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessageType(pub u8);

impl MessageType {
    /// Set Chunk Size (section 5.4.1).
    pub const SET_CHUNK_SIZE: MessageType = MessageType(1);
    /// Abort Message (section 5.4.2).
    pub const ABORT: MessageType = MessageType(2);
    /// Acknowledgement (section 5.4.3).
    pub const ACKNOWLEDGEMENT: MessageType = MessageType(3);
    /// User Control (section 6.2).
    pub const USER_CONTROL: MessageType = MessageType(4);
    /// Window Acknowledgement Size (section 5.4.4).
    pub const WINDOW_SIZE: MessageType = MessageType(5);
    /// Set Peer Bandwidth (section 5.4.5).
    pub const PEER_BANDWIDTH: MessageType = MessageType(6);
    /// Audio (section 7.1.4).
    pub const AUDIO: MessageType = MessageType(8);
    /// Video (section 7.1.5).
    pub const VIDEO: MessageType = MessageType(9);
    /// Data in AMF3 (section 7.1.2).
    pub const DATA_AMF3: MessageType = MessageType(15);
    /// A command in AMF3 (section 7.1.1).
    pub const COMMAND_AMF3: MessageType = MessageType(17);
    /// Data in AMF0, such as `onMetaData` (section 7.1.2).
    pub const DATA: MessageType = MessageType(18);
    /// A command in AMF0 (section 7.1.1).
    pub const COMMAND: MessageType = MessageType(20);
    /// Several messages in one (section 7.1.6).
    pub const AGGREGATE: MessageType = MessageType(22);
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its type.
    pub kind: MessageType,
    /// The message stream that it is on; 0 for the connection itself.
    pub stream_id: u32,
    /// The sender's clock in milliseconds; wraps.
    pub timestamp_ms: u32,
    /// Its body.
    pub payload: Bytes,
}

impl Message {
    /// The AMF0 values of a command or data message. Those for AMF3 begin with the number of a
    /// format, of which there is one, 0 (Enhanced RTMP v2, Enabling AMF3 in RTMP); some leave it
    /// out.
    pub(super) fn values(&self) -> Bytes {
        let mut values = self.payload.clone();
        let with_format = matches!(
            self.kind,
            MessageType::COMMAND_AMF3 | MessageType::DATA_AMF3
        );
        if with_format && values.first() == Some(&0) {
            values.advance(1);
        }
        values
    }
}

/// The messages in an aggregate, as slices of it (section 7.1.6): FLV tags, whose times count from
/// that of the first.
///
/// # Errors
/// [`BadPeer`] where they are cut short, or more than [`AGGREGATE_PARTS_MAX`].
pub fn parts(aggregate: &Message) -> Result<Vec<Message>, BadPeer> {
    let mut rest = aggregate.payload.clone();
    let mut parts = Vec::new();
    let mut first = None;
    while let Some(&[kind, l2, l1, l0, t2, t1, t0, t3, _, _, _]) = rest.first_chunk() {
        if parts.len() >= AGGREGATE_PARTS_MAX {
            return Err(BadPeer("too many messages in an aggregate"));
        }
        let length = u32::from_be_bytes([0, l2, l1, l0]) as usize;
        let time = u32::from_be_bytes([t3, t2, t1, t0]);
        let offset = time.wrapping_sub(*first.get_or_insert(time));
        rest.advance(11);
        if rest.len() < length {
            return Err(BadPeer("aggregate is cut short"));
        }
        parts.push(Message {
            kind: MessageType(kind),
            stream_id: aggregate.stream_id,
            timestamp_ms: aggregate.timestamp_ms.wrapping_add(offset),
            payload: rest.split_to(length),
        });
        // The length again; some leave it out behind the last.
        rest.advance(rest.len().min(4));
    }
    Ok(parts)
}
