//! What a request head may cost.

/// Bounds of a request head. All are checked while bytes arrive, not after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole head, the empty line included; more is answered with 431.
    pub head_bytes_max: usize,
    /// Bytes of the request line; more is answered with 414.
    pub request_line_bytes_max: usize,
    /// Header lines; more is answered with 431. At most [`HEADER_COUNT_CAP`] count.
    pub header_count_max: usize,
}

/// No head has more header lines than this, whatever [`Limits`] say.
pub const HEADER_COUNT_CAP: usize = 128;

/// No head has more bytes than this, whatever [`Limits`] say (RFC 9112 section 3 asks for request
/// lines of 8,000 bytes at least; positions inside a head are 32 bits wide).
pub const HEAD_BYTES_CAP: usize = 1024 * 1024;

const _: () = assert!(HEAD_BYTES_CAP <= u32::MAX as usize);

impl Default for Limits {
    fn default() -> Self {
        Limits {
            head_bytes_max: 16_384,
            request_line_bytes_max: 8_192,
            header_count_max: 64,
        }
    }
}
