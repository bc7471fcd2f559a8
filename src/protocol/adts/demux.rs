//! Bytes to ADTS frames (ISO/IEC 14496-3 section 1.A.2.2: frames follow each other, each with
//! its own header).

use bytes::Bytes;
use corecast_media::codec::AudioFormat;
use corecast_media::frame::MediaEvent;

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

/// Finds the frames of one ADTS stream. See [`crate::audio::Framer`] for the contract.
#[derive(Debug)]
pub struct Framer {
    inner: SyncFramer<Header>,
}

impl Default for Framer {
    fn default() -> Self {
        Framer::new()
    }
}

impl Framer {
    /// A framer at the start of a stream.
    pub fn new() -> Self {
        Framer {
            inner: SyncFramer::new(),
        }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: Bytes) {
        self.inner.push(bytes);
    }

    /// The next event; `None` asks for more bytes.
    pub fn poll(&mut self) -> Option<MediaEvent> {
        self.inner.poll()
    }

    /// Says that no bytes follow.
    pub fn finish(&mut self) {
        self.inner.finish();
    }

    /// Bytes that were no frames: tags and junk.
    pub fn discarded_bytes(&self) -> u64 {
        self.inner.discarded_bytes()
    }

    /// Bytes that wait for more; at most [`BUFFER_BYTES_MAX`] once [`Framer::poll`] said `None`.
    pub fn buffered_bytes(&self) -> usize {
        self.inner.buffered_bytes()
    }
}

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
}
