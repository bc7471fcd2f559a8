//! Packets out of the pages of one logical stream (RFC 3533 section 6).

use bytes::{Bytes, BytesMut};

use crate::ogg::page::Page;

/// The longest packet that is put together, in bytes; longer ones are dropped. A FLAC frame of the
/// largest block, eight channels and 16 bits fits.
pub const PACKET_BYTES_MAX: usize = 1024 * 1024;

/// Puts packets together.
#[derive(Debug, Default)]
pub(super) struct Packets {
    /// The packet that goes on with the next page.
    open: BytesMut,
    state: Open,
    /// The number of the next page, where one was seen.
    sequence: Option<u32>,
}

/// What the last page left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Open {
    /// Nothing: it ended with a packet.
    #[default]
    Nothing,
    /// The start of a packet.
    Start,
    /// A packet that is dropped, because its start was lost or it is too long.
    Dropped,
}

impl Packets {
    pub(super) fn buffered_bytes(&self) -> usize {
        self.open.len()
    }

    /// Appends the packets that end in `page` and are whole.
    pub(super) fn push(&mut self, page: &Page, packets: &mut Vec<Bytes>) {
        let sequence = page.sequence();
        if self.sequence.is_some_and(|expected| expected != sequence) {
            self.drop_open();
        }
        self.sequence = Some(sequence.wrapping_add(1));
        if !page.is_continued {
            self.open.clear();
            self.state = Open::Nothing;
        } else if self.state == Open::Nothing {
            self.state = Open::Dropped;
        }
        for (piece, is_end) in page.pieces() {
            if self.open.len() + piece.len() > PACKET_BYTES_MAX {
                self.drop_open();
            }
            match (self.state, is_end) {
                (Open::Nothing, true) => packets.push(piece),
                (Open::Start, true) => {
                    self.open.extend_from_slice(&piece);
                    packets.push(self.open.split().freeze());
                    self.state = Open::Nothing;
                }
                (Open::Dropped, true) => self.state = Open::Nothing,
                (Open::Nothing | Open::Start, false) => {
                    self.open.extend_from_slice(&piece);
                    self.state = Open::Start;
                }
                (Open::Dropped, false) => {}
            }
        }
    }

    fn drop_open(&mut self) {
        self.open = BytesMut::new();
        self.state = Open::Dropped;
    }
}
