//! What a mount sends out: runs of whole frames, made once per node.

use std::sync::Arc;

use bytes::Bytes;

use crate::time::Time;

/// An immutable run of whole frames. Cheap to clone; the bytes are shared.
#[derive(Clone, Debug)]
pub struct Run {
    /// The frames, one after another.
    pub payload: Bytes,
    /// Where frames start inside `payload`, in order; the first is 0.
    pub borders: Arc<[Border]>,
    /// When its last frame arrived at the home shard.
    pub arrived: Time,
}

/// The start of a frame inside a run: 31 bits of offset and whether a joiner may start there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Border(u32);

/// The most bytes in one run.
pub const RUN_BYTES_MAX: usize = 4 * 1024 * 1024;

const _: () = assert!(RUN_BYTES_MAX < (1 << 31));

impl Border {
    /// A frame start at `offset` (below [`RUN_BYTES_MAX`]).
    pub const fn new(offset: u32, entry: bool) -> Self {
        Border(((entry as u32) << 31) | (offset & 0x7fff_ffff))
    }

    /// Bytes from the start of the run.
    pub const fn offset(self) -> u32 {
        self.0 & 0x7fff_ffff
    }

    /// Whether a joiner may start here.
    pub const fn is_entry(self) -> bool {
        self.0 >> 31 == 1
    }
}

impl Run {
    /// The first frame start at or after `offset`; the end of the run where there is none.
    pub fn border_at_or_after(&self, offset: u32) -> u32 {
        let index = self
            .borders
            .partition_point(|border| border.offset() < offset);
        self.borders
            .get(index)
            .map_or(self.payload.len() as u32, |border| border.offset())
    }

    /// The first place at or after `offset` where a joiner may start.
    pub fn entry_at_or_after(&self, offset: u32) -> Option<u32> {
        let index = self
            .borders
            .partition_point(|border| border.offset() < offset);
        self.borders[index..]
            .iter()
            .find(|border| border.is_entry())
            .map(|b| b.offset())
    }
}
