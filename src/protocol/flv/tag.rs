//! FLV files and streams as tags (annex E.2 to E.4.1).

use bytes::{Buf, Bytes, BytesMut};

use super::fault::FlvFault;
use crate::rtmp::MediaKind;

/// The file header, with the length of the tag before the first.
pub const HEADER_BYTES: usize = 13;

/// What stands in front of a tag's body.
pub const TAG_HEADER_BYTES: usize = 11;

/// What stands behind a tag's body: its length with its header.
pub const TAG_TRAILER_BYTES: usize = 4;

/// The longest body: its length has 24 bits.
pub const BODY_BYTES_MAX: usize = (1 << 24) - 1;

/// The longest file header that is passed over; nobody writes one that differs from 9.
const DATA_OFFSET_MAX: usize = 64;

/// One tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// What it carries.
    pub kind: MediaKind,
    /// Its time in milliseconds, past the wrap of its 32 bits.
    pub timestamp_ms: i64,
    /// Its body.
    pub payload: Bytes,
}

/// Cuts an FLV file or stream into tags.
///
/// After every [`TagReader::push`], call [`TagReader::poll`] until it says `None`. Tags of
/// unknown types are passed over.
#[derive(Debug, Default)]
pub struct TagReader {
    buffer: BytesMut,
    /// Bytes to pass over before the next tag.
    skip_bytes: usize,
    has_header: bool,
    clock: Option<i64>,
}

impl TagReader {
    /// A reader before the file header.
    pub fn new() -> Self {
        TagReader::default()
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that wait for more.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The next tag; `None` asks for more bytes.
    ///
    /// # Errors
    /// Where the bytes are no FLV, or a tag is encrypted; nothing follows then.
    pub fn poll(&mut self) -> Result<Option<Tag>, FlvFault> {
        if !self.has_header && !self.read_header()? {
            return Ok(None);
        }
        loop {
            let skipped = self.skip_bytes.min(self.buffer.len());
            self.buffer.advance(skipped);
            self.skip_bytes -= skipped;
            if self.skip_bytes > 0 {
                return Ok(None);
            }
            let Some(&[kind, s2, s1, s0, t2, t1, t0, t3, _, _, _]) =
                self.buffer.first_chunk::<TAG_HEADER_BYTES>()
            else {
                return Ok(None);
            };
            let size = u32::from_be_bytes([0, s2, s1, s0]) as usize;
            if kind & 0x20 != 0 {
                return Err(FlvFault::Unsupported("an encrypted tag"));
            }
            let Some(kind) = MediaKind::from_code(kind & 0x1f) else {
                self.skip_bytes = TAG_HEADER_BYTES + size + TAG_TRAILER_BYTES;
                continue;
            };
            if self.buffer.len() < TAG_HEADER_BYTES + size {
                return Ok(None);
            }
            let timestamp_ms = self.unwrapped(u32::from_be_bytes([t3, t2, t1, t0]));
            self.buffer.advance(TAG_HEADER_BYTES);
            self.skip_bytes = TAG_TRAILER_BYTES;
            return Ok(Some(Tag {
                kind,
                timestamp_ms,
                payload: self.buffer.split_to(size).freeze(),
            }));
        }
    }

    /// The file header (annex E.2); says whether it was whole.
    fn read_header(&mut self) -> Result<bool, FlvFault> {
        let magic = b"FLV\x01";
        let known = self.buffer.len().min(magic.len());
        if self.buffer.get(..known) != magic.get(..known) {
            return Err(FlvFault::Malformed("file header"));
        }
        let Some(&[_, _, _, _, _, o3, o2, o1, o0]) = self.buffer.first_chunk::<9>() else {
            return Ok(false);
        };
        let offset = u32::from_be_bytes([o3, o2, o1, o0]) as usize;
        if !(9..=DATA_OFFSET_MAX).contains(&offset) {
            return Err(FlvFault::Malformed("file header"));
        }
        self.has_header = true;
        self.skip_bytes = offset + TAG_TRAILER_BYTES;
        Ok(true)
    }

    /// The time that is `timestamp_ms` modulo 2^32 and nearest to the tag before.
    fn unwrapped(&mut self, timestamp_ms: u32) -> i64 {
        let time = match self.clock {
            // The low 32 bits, and the shorter way round.
            Some(last) => last + i64::from(timestamp_ms.wrapping_sub(last as u32) as i32),
            None => i64::from(timestamp_ms),
        };
        self.clock = Some(time);
        time
    }
}
