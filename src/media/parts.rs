//! What the slices of one send are, and what of them a peer took.

use std::io::IoSlice;

use bytes::Bytes;

/// The most slices in one send.
const SLICES_MAX: usize = 32;

/// No further slice is added to a send that has this many bytes.
const SEND_BYTES_MAX: usize = 64 * 1024;

/// What a slice of a send is.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    /// Framed already.
    Pending,
    /// An ICY block that says `title`.
    Block { title: u32 },
    /// Bytes of a window.
    Audio,
}

/// A part of a send, and how many of its bytes were taken.
pub(crate) type Done = (Part, usize);

/// The slices of one send.
pub(crate) struct Offer<'a> {
    slices: [IoSlice<'a>; SLICES_MAX],
    parts: [Part; SLICES_MAX],
    count: usize,
    bytes: usize,
}

impl<'a> Offer<'a> {
    /// One without slices.
    pub(crate) fn new() -> Self {
        Offer {
            slices: [IoSlice::new(&[]); SLICES_MAX],
            parts: [Part::Pending; SLICES_MAX],
            count: 0,
            bytes: 0,
        }
    }

    /// Adds a slice; only where it is not full.
    pub(crate) fn add(&mut self, slice: &'a [u8], part: Part) {
        self.slices[self.count] = IoSlice::new(slice);
        self.parts[self.count] = part;
        self.count += 1;
        self.bytes += slice.len();
    }

    /// Whether the rest has to wait for the next send.
    pub(crate) fn is_full(&self) -> bool {
        self.count == SLICES_MAX || self.bytes >= SEND_BYTES_MAX
    }

    /// What there is, in order.
    pub(crate) fn slices(&self) -> &[IoSlice<'a>] {
        &self.slices[..self.count]
    }

    /// How long all of it is.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What of each slice is in the first `taken` bytes, and the rest of a block that was torn.
    pub(crate) fn split_taken(&self, taken: usize) -> (Vec<Done>, Option<Bytes>) {
        let mut left = taken;
        let mut torn_block = None;
        let parts = self.slices().iter().zip(&self.parts);
        let done = parts.map(|(slice, part)| {
            let part_taken = left.min(slice.len());
            left -= part_taken;
            if matches!(part, Part::Block { .. }) && part_taken > 0 && part_taken < slice.len() {
                torn_block = Some(Bytes::copy_from_slice(&slice[part_taken..]));
            }
            (*part, part_taken)
        });
        (done.collect(), torn_block)
    }
}
