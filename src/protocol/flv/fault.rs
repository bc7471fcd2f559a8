//! What a publisher of tags did wrong.

use std::fmt;

use corecast_media::codec::HeaderFault;

/// Why a tag was not taken. A demuxer goes on after each of them; only the tag is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlvFault {
    /// It ends before what it declares.
    Truncated,
    /// It has a value that it must not have.
    Malformed(&'static str),
    /// Its coding is not carried here; nothing else will come of this track.
    Unsupported(&'static str),
    /// The decoder configuration was not understood.
    Config(HeaderFault),
    /// There are [`TRACKS_MAX`] tracks already.
    ///
    /// [`TRACKS_MAX`]: corecast_media::track::TRACKS_MAX
    TooManyTracks,
}

impl fmt::Display for FlvFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FlvFault::Truncated => f.write_str("tag ends too early"),
            FlvFault::Malformed(what) => write!(f, "tag has no possible {what}"),
            FlvFault::Unsupported(what) => write!(f, "{what} is not supported"),
            FlvFault::Config(fault) => write!(f, "decoder configuration: {fault}"),
            FlvFault::TooManyTracks => f.write_str("too many tracks"),
        }
    }
}

impl std::error::Error for FlvFault {}

impl From<HeaderFault> for FlvFault {
    fn from(fault: HeaderFault) -> Self {
        FlvFault::Config(fault)
    }
}
