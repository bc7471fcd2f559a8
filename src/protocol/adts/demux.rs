//! Bytes to ADTS frames (ISO/IEC 14496-3 section 1.A.2.2: frames follow each other, each with
//! its own header).

use bytes::Bytes;
use corecast_media::codec::AudioFormat;
use corecast_media::frame::MediaEvent;

use super::header::{self, Header};
use super::sbr;
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
pub(crate) struct Framer {
    frames: SyncFramer<Header>,
    /// What the headers say.
    core: AudioFormat,
    band: Band,
    /// A frame that waits behind a format.
    due: Option<MediaEvent>,
}

/// Whether the stream's frames carry a replicated band, which doubles the rate of the sound.
#[derive(Clone, Copy, Debug)]
enum Band {
    /// So many blocks were seen, and in so many of them there is one.
    Open { blocks: usize, bands: usize },
    /// It is known.
    Decided,
}

impl Band {
    const UNKNOWN: Band = Band::Open {
        blocks: 0,
        bands: 0,
    };
}

impl Framer {
    pub(crate) fn new() -> Self {
        Framer {
            frames: SyncFramer::new(),
            core: AudioFormat::default(),
            band: Band::UNKNOWN,
            due: None,
        }
    }

    pub(crate) fn push(&mut self, bytes: Bytes) {
        self.frames.push(bytes);
    }

    pub(crate) fn finish(&mut self) {
        self.frames.finish();
    }

    pub(crate) fn discarded_bytes(&self) -> u64 {
        self.frames.discarded_bytes()
    }

    pub(crate) fn buffered_bytes(&self) -> usize {
        self.frames.buffered_bytes()
    }

    pub(crate) fn poll(&mut self) -> Option<MediaEvent> {
        if let Some(event) = self.due.take() {
            return Some(event);
        }
        let event = self.frames.poll()?;
        match &event {
            MediaEvent::Format(format) => {
                self.core = *format;
                self.band = Band::UNKNOWN;
            }
            MediaEvent::Frame(frame) if self.finds_band(&frame.payload) => {
                let format = AudioFormat {
                    sample_rate_hz: 2 * self.core.sample_rate_hz,
                    ..self.core
                };
                self.due = Some(event);
                return Some(MediaEvent::Format(format));
            }
            _ => {}
        }
        Some(event)
    }

    /// Whether with `frame` it is clear that there is a band.
    fn finds_band(&mut self, frame: &[u8]) -> bool {
        let Band::Open { blocks, bands } = &mut self.band else {
            return false;
        };
        let header = frame.first_chunk().copied().and_then(Header::parse);
        // Several blocks have no borders that could be seen without decoding.
        let Some(header) = header.filter(|header| header.blocks() == 1) else {
            return false;
        };
        *blocks += 1;
        let block = frame.get(header.payload_at()..).unwrap_or_default();
        *bands += usize::from(sbr::is_in(block));
        let found = *bands >= sbr::BLOCKS_WITH_BAND;
        let is_decided =
            found || *blocks >= sbr::BLOCKS || self.core.sample_rate_hz > sbr::CORE_RATE_MAX_HZ;
        if is_decided {
            self.band = Band::Decided;
        }
        found
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
