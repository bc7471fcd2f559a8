//! Messages in chunks (section 5.3).

mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use reader::ChunkReader;
pub use writer::write_message;

/// The chunk size before anyone announced another, in bytes (section 5.4.1).
pub const CHUNK_BYTES_DEFAULT: u32 = 128;

/// A timestamp of this value or above is written in full behind the header (section 5.3.1.3).
pub const TIMESTAMP_EXTENDED: u32 = 0xFF_FFFF;
