//! What a peer may make us hold.

/// The most bytes of a message that is neither media nor data.
pub const COMMAND_BYTES_MAX: u32 = 64 * 1024;

/// The most bytes of a data message.
pub const DATA_BYTES_MAX: u32 = 1024 * 1024;

/// The most bytes of a message that are taken from a peer who was not let in yet, and of all its
/// messages under way.
pub const STRANGER_BYTES_MAX: u32 = COMMAND_BYTES_MAX;

/// The most bytes of media in one message: what its length can say.
pub const MESSAGE_BYTES_MAX: u32 = 0xFF_FFFF;

/// The most bytes of all messages under way on one connection.
pub const HELD_BYTES_MAX: u32 = 24 * 1024 * 1024;

/// The most chunk streams of one connection. Encoders use three to six.
pub const CHUNK_STREAMS_MAX: usize = 64;

/// The most messages in an aggregate.
pub const AGGREGATE_PARTS_MAX: usize = 4_096;

/// The most bytes of a client that wait while it is decided whether it may publish or play.
pub const WAITING_BYTES_MAX: usize = 1024 * 1024;

/// The longest name of an application or stream, in bytes.
pub const NAME_BYTES_MAX: usize = 1_024;

/// The longest query, in bytes: it may hold a signed token.
pub const QUERY_BYTES_MAX: usize = 8 * 1024;

/// The longest text of other kinds that is kept, in bytes; longer ones are cut.
pub const TEXT_BYTES_MAX: usize = 2_048;

const _: () = assert!(STRANGER_BYTES_MAX <= HELD_BYTES_MAX);
const _: () = assert!(MESSAGE_BYTES_MAX <= HELD_BYTES_MAX);
