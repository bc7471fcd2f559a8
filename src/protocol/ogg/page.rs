//! One Ogg page (RFC 3533 section 6).

use bytes::Bytes;
use crc::{Crc, Table};

/// The word that every page starts with.
pub const CAPTURE: [u8; 4] = *b"OggS";

/// The bytes of a page's header before its segment table.
pub const HEADER_BYTES: usize = 27;

/// The longest page: 255 segments of 255 bytes.
pub const PAGE_BYTES_MAX: usize = HEADER_BYTES + 255 + 255 * 255;

/// Section 6 item 7: generator 0x04c11db7, start and end value 0, nothing reflected.
const CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&crc::Algorithm {
    width: 32,
    poly: 0x04c1_1db7,
    init: 0,
    refin: false,
    refout: false,
    xorout: 0,
    check: 0x89a1_897f,
    residue: 0,
});

/// Where the checksum stands in a page.
const CRC_AT: std::ops::Range<usize> = 22..26;

/// A whole page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// All of its bytes.
    pub bytes: Bytes,
    /// The logical stream that it belongs to.
    pub serial: u32,
    /// The position at its end; `None` where no packet ends in it.
    pub granule: Option<u64>,
    /// Whether its first packet began on an earlier page.
    pub is_continued: bool,
    /// Whether it is the first of its logical stream.
    pub is_first: bool,
    /// Whether it is the last of its logical stream.
    pub is_last: bool,
}

/// The length of the page that starts with `header` and its segment table, if that is what it is:
/// version 0 (section 6 item 2) and the capture word in front.
pub fn page_bytes(header: [u8; HEADER_BYTES], segment: impl Fn(usize) -> u8) -> Option<usize> {
    let [c0, c1, c2, c3, version, .., segments] = header;
    if [c0, c1, c2, c3] != CAPTURE || version != 0 {
        return None;
    }
    let segments = usize::from(segments);
    let body: usize = (0..segments)
        .map(|index| usize::from(segment(HEADER_BYTES + index)))
        .sum();
    Some(HEADER_BYTES + segments + body)
}

impl Page {
    /// Reads a page from exactly its bytes, which [`is_sound`] was asked about; `None` where they
    /// are fewer than a header.
    pub fn parse(bytes: Bytes) -> Option<Self> {
        let flags = *bytes.get(5)?;
        let granule = u64::from_le_bytes(*bytes.get(6..14)?.first_chunk()?);
        Some(Page {
            serial: u32::from_le_bytes(*bytes.get(14..18)?.first_chunk()?),
            granule: (granule != u64::MAX).then_some(granule),
            is_continued: flags & 1 != 0,
            is_first: flags & 2 != 0,
            is_last: flags & 4 != 0,
            bytes,
        })
    }

    /// The pieces of packets in it, in their order, each with whether the packet ends there
    /// (section 6 item 8: a lacing value below 255 ends a packet).
    pub fn pieces(&self) -> Pieces<'_> {
        let segments = usize::from(self.bytes.get(26).copied().unwrap_or_default());
        let table = self
            .bytes
            .get(HEADER_BYTES..HEADER_BYTES + segments)
            .unwrap_or_default();
        Pieces {
            page: self,
            table,
            at: HEADER_BYTES + segments,
        }
    }

    /// Its number in its logical stream, which counts up by one and starts over (section 6 item 5).
    pub fn sequence(&self) -> u32 {
        let field = self.bytes.get(18..22).and_then(|field| field.first_chunk());
        field.map_or(0, |field| u32::from_le_bytes(*field))
    }

    /// Whether at least one packet begins in it that is not the rest of an earlier page's.
    pub fn has_packet_start(&self) -> bool {
        self.pieces().nth(usize::from(self.is_continued)).is_some()
    }
}

/// Whether the checksum in `page` is that of its bytes.
pub fn is_sound(page: &[u8]) -> bool {
    let said = page.get(CRC_AT).and_then(|field| field.first_chunk());
    said.is_some_and(|said| checksum(page) == Some(u32::from_le_bytes(*said)))
}

/// The checksum that `page` should have: its own field counts as zero.
pub fn checksum(page: &[u8]) -> Option<u32> {
    let mut digest = CRC.digest();
    digest.update(page.get(..CRC_AT.start)?);
    digest.update(&[0; 4]);
    digest.update(page.get(CRC_AT.end..)?);
    Some(digest.finalize())
}

/// Iterates over the pieces of packets in a page; see [`Page::pieces`].
#[derive(Clone, Debug)]
pub struct Pieces<'p> {
    page: &'p Page,
    table: &'p [u8],
    at: usize,
}

impl Iterator for Pieces<'_> {
    type Item = (Bytes, bool);

    fn next(&mut self) -> Option<Self::Item> {
        if self.table.is_empty() {
            return None;
        }
        let end = self.table.iter().position(|&lacing| lacing < 255);
        let (own, rest) = self
            .table
            .split_at(end.map_or(self.table.len(), |end| end + 1));
        self.table = rest;
        let from = self.at;
        self.at += own.iter().map(|&lacing| usize::from(lacing)).sum::<usize>();
        // A page's bytes are as many as its table says.
        let to = self.at.min(self.page.bytes.len());
        Some((self.page.bytes.slice(from.min(to)..to), end.is_some()))
    }
}
