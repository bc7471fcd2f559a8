//! Boxes of ISO/IEC 14496-12 section 4.2, written one inside the other.

use bytes::{BufMut, Bytes, BytesMut};

/// A box's length and type.
pub(super) const HEADER_BYTES: usize = 8;

/// Writes boxes; lengths are filled in when a box is closed.
#[derive(Debug)]
pub(super) struct Writer {
    bytes: BytesMut,
}

impl Writer {
    /// A writer whose output is expected to have at most so many bytes.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Writer {
            bytes: BytesMut::with_capacity(bytes),
        }
    }

    /// One box of the type `kind`, whose body `body` writes.
    pub(super) fn atom(&mut self, kind: [u8; 4], body: impl FnOnce(&mut Writer)) {
        let start = self.bytes.len();
        self.bytes.put_u32(0);
        self.bytes.put_slice(&kind);
        body(self);
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        if let Some(field) = self.bytes.get_mut(start..start + 4) {
            field.copy_from_slice(&length.to_be_bytes());
        }
    }

    /// One box with a version and 24 bits of flags.
    pub(super) fn full(
        &mut self,
        kind: [u8; 4],
        version: u8,
        flags: u32,
        body: impl FnOnce(&mut Writer),
    ) {
        self.atom(kind, |atom| {
            atom.u32((u32::from(version) << 24) | (flags & 0x00ff_ffff));
            body(atom);
        });
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.bytes.put_u8(value);
    }

    pub(super) fn u16(&mut self, value: u16) {
        self.bytes.put_u16(value);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.bytes.put_u32(value);
    }

    pub(super) fn i32(&mut self, value: i32) {
        self.bytes.put_i32(value);
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.bytes.put_u64(value);
    }

    pub(super) fn slice(&mut self, bytes: &[u8]) {
        self.bytes.put_slice(bytes);
    }

    pub(super) fn zeros(&mut self, count: usize) {
        self.bytes.put_bytes(0, count);
    }

    pub(super) fn finish(self) -> Bytes {
        self.bytes.freeze()
    }
}
