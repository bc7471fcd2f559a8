//! What a bad peer is told.

use std::fmt;

/// A request that is not served; the connection is closed after the answer, since what follows on
/// it cannot be trusted (RFC 9112 section 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRequest {
    /// The status of the answer: 400, 403, 413, 414, 431, 501, 503 or 505.
    pub status: u16,
    /// What was wrong, in a few words that may be shown to the peer.
    pub reason: &'static str,
}

impl BadRequest {
    /// A fault that is answered with `status`.
    pub const fn new(status: u16, reason: &'static str) -> Self {
        BadRequest { status, reason }
    }

    pub(crate) const fn malformed(reason: &'static str) -> Self {
        BadRequest {
            status: 400,
            reason,
        }
    }
}

impl fmt::Display for BadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason, self.status)
    }
}

impl std::error::Error for BadRequest {}
