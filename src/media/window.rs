//! The newest runs of one mount, addressed by position in the mount's byte stream.

use std::time::Duration;

/// How a mount's bytes are handed to its readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Bytes aimed at for one send.
    pub quantum_bytes: u32,
    /// Each reader is served once in this time.
    pub period: Duration,
}
