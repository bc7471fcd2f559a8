//! Bytes to MPEG audio frames (ISO/IEC 11172-3 section 2.4.1: frames follow each other, each with
//! its own header).

use corecast_media::codec::AudioFormat;

use super::header::{self, Header};
use crate::framing::input::Input;
use crate::framing::sync::{self, Found, SyncFramer};
use crate::framing::tag;

/// The most bytes that a drained [`Framer`] holds: frames that wait to be borne out by the headers
/// behind them.
pub const BUFFER_BYTES_MAX: usize = sync::CONFIRM_HEADERS * header::FRAME_BYTES_MAX;

const _: () = assert!(
    tag::TAG_BYTES_MAX > BUFFER_BYTES_MAX as u64,
    "tags are never buffered"
);

/// Finds the frames of one MPEG audio stream. See [`crate::audio::Framer`] for the contract.
pub(crate) type Framer = SyncFramer<Header>;

impl sync::Header for Header {
    fn read(input: &Input, at: usize) -> Found<Self> {
        match input.peek(at) {
            Some(bytes) => Header::parse(bytes).map_or(Found::Other, Found::Header),
            None if input.byte(at).is_none_or(|byte| byte == Self::FIRST_BYTE) => Found::Partial,
            None => Found::Other,
        }
    }

    fn frame_bytes(&self) -> usize {
        Header::frame_bytes(self)
    }

    fn samples(&self) -> u32 {
        Header::samples(self)
    }

    fn agrees(&self, other: &Self) -> bool {
        Header::agrees(self, other)
    }

    fn format(&self) -> AudioFormat {
        Header::format(self)
    }

    fn is_contents_table(&self, frame: &[u8]) -> bool {
        Header::is_contents_table(self, frame)
    }
}
