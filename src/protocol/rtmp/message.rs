//! What kinds of messages there are.

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
