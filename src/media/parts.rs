//! What the slices of one send are, and what of them a peer took.

use std::io::IoSlice;

use bytes::Bytes;

/// The most slices in one send.
pub(crate) const SLICES_MAX: usize = 32;

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

/// What of `slices` the first `taken` bytes are, and the rest of a block that was torn.
pub(crate) fn split_taken(
    slices: &[IoSlice<'_>],
    parts: &[Part; SLICES_MAX],
    taken: usize,
) -> ([Done; SLICES_MAX], Option<Bytes>) {
    let mut left = taken;
    let mut torn_block = None;
    let mut done = [(Part::Pending, 0); SLICES_MAX];
    for ((slice, part), done) in slices.iter().zip(parts).zip(&mut done) {
        let part_taken = left.min(slice.len());
        *done = (*part, part_taken);
        left -= part_taken;
        if matches!(part, Part::Block { .. }) && part_taken > 0 && part_taken < slice.len() {
            torn_block = Some(Bytes::copy_from_slice(&slice[part_taken..]));
        }
    }
    (done, torn_block)
}
