//! What is inside a stream, as measured from its bytes.
//!
//! [`Codec`] and [`AudioFormat`] speak of framed sound (MPEG audio, ADTS, Ogg). The modules read
//! the headers of coded tracks: one for each coding, [`bits`] and [`nal`] below them, and
//! [`describe`] as their one face.

pub mod aac;
pub mod ac3;
pub mod av1;
pub mod bits;
pub mod describe;
pub mod h264;
pub mod h265;
pub mod nal;
pub mod sound;
pub mod video;
pub mod vp9;

use std::fmt;

/// A coding that corecast knows by its own bytes, or [`Codec::Opaque`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Codec {
    /// MPEG audio layer I.
    Mp1,
    /// MPEG audio layer II.
    Mp2,
    /// MPEG audio layer III.
    Mp3,
    /// AAC in ADTS.
    Aac,
    /// Vorbis in Ogg.
    Vorbis,
    /// Opus in Ogg.
    Opus,
    /// FLAC in Ogg.
    Flac,
    /// Speex in Ogg.
    Speex,
    /// Bytes that are passed through as they come.
    #[default]
    Opaque,
}

impl Codec {
    /// The short name shown to users and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Codec::Mp1 => "mp1",
            Codec::Mp2 => "mp2",
            Codec::Mp3 => "mp3",
            Codec::Aac => "aac",
            Codec::Vorbis => "vorbis",
            Codec::Opus => "opus",
            Codec::Flac => "flac",
            Codec::Speex => "speex",
            Codec::Opaque => "opaque",
        }
    }

    /// Whether the codec travels in Ogg pages; those carry their own titles, never ICY blocks.
    pub const fn is_ogg(self) -> bool {
        matches!(
            self,
            Codec::Vorbis | Codec::Opus | Codec::Flac | Codec::Speex
        )
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The audio parameters read from the stream's own headers. Zero means not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AudioFormat {
    /// The coding.
    pub codec: Codec,
    /// Samples per second of the decoded sound.
    pub sample_rate_hz: u32,
    /// Channels of the decoded sound.
    pub channels: u8,
    /// Nominal bits per second where the headers say it (CBR MPEG audio, Vorbis nominal rate).
    pub bitrate_bps: u32,
}

/// Why a header of a coded track was not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFault {
    /// It ends too early.
    Truncated,
    /// A field has a value that it must not have, or one beyond our limits.
    Invalid(&'static str),
    /// It is well formed and says something that corecast does not carry.
    Unsupported(&'static str),
}

impl fmt::Display for HeaderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeaderFault::Truncated => f.write_str("header ends too early"),
            HeaderFault::Invalid(field) => write!(f, "header has no possible {field}"),
            HeaderFault::Unsupported(what) => write!(f, "{what} is not supported"),
        }
    }
}

impl std::error::Error for HeaderFault {}

#[cfg(test)]
mod tests;
