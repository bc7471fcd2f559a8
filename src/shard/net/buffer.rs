//! The receive buffer that all connections of a shard share.
//!
//! Connections wait for readiness, not with a buffer of their own: nine thousand that join at
//! once cost nine thousand request heads, not nine thousand buffers.

use std::cell::RefCell;

/// The most bytes received at once.
pub(crate) const SCRATCH_BYTES: usize = 64 * 1024;

/// One buffer for whoever receives now. Lives on: its shard.
#[derive(Debug)]
pub(crate) struct Scratch(RefCell<Box<[u8]>>);

impl Scratch {
    pub(crate) fn new() -> Self {
        Scratch(RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice()))
    }

    /// Lends the buffer. What `use_it` leaves in it means nothing afterwards.
    pub(crate) fn with<R>(&self, use_it: impl FnOnce(&mut [u8]) -> R) -> R {
        use_it(&mut self.0.borrow_mut())
    }
}
