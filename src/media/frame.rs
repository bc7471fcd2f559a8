//! The smallest piece of a stream that a reader gets whole.

use std::sync::Arc;

use bytes::Bytes;

use crate::codec::AudioFormat;
use crate::metadata::Metadata;
use crate::track::{AccessUnit, Track};

/// One MPEG audio or ADTS frame, one Ogg page, or one read of an opaque stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The bytes as they go out, header included; a slice of the receive buffer where possible.
    pub payload: Bytes,
    /// Playing time in microseconds; zero where the coding does not tell it.
    pub duration_us: u32,
    /// What a reader may do at the frame's start.
    pub kind: FrameKind,
}

/// What a reader may do at the start of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A joiner may start here, after the init headers where the format has them.
    Entry,
    /// Only readers that have the frames before it can use it; one may leave before it.
    Inner,
    /// Set-up of a chain link (Ogg header pages): present readers get it in the stream,
    /// joiners get it through [`MediaEvent::InitHeaders`].
    Header,
}

/// What a source's framer says, in the order of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaEvent {
    /// The next frame.
    Frame(Frame),
    /// The parameters became known or changed; said before the first frame they hold for.
    Format(AudioFormat),
    /// The bytes that a joiner must get before the next [`FrameKind::Entry`] frame; replaces
    /// what was said before. Said after the last [`FrameKind::Header`] frame of a chain link.
    InitHeaders(Bytes),
    /// Tags found in the stream (Vorbis comments, Opus tags); they hold from the next frame on.
    Metadata(Metadata),
    /// The tracks became known or changed: all of them, in the order of their ids. Said before
    /// the first unit that they hold for, by sources that send tracks instead of frames.
    Tracks(Arc<[Track]>),
    /// The next access unit of one of the tracks.
    Unit(AccessUnit),
}
