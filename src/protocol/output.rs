//! Byte streams that are written from a mount's tracks: what FLV, MPEG-TS and RTMP have in common.

use corecast_media::frame::MediaEvent;

/// One way of writing a mount's tracks as a stream of bytes that every reader gets alike.
///
/// Pure: what it writes follows from what it was given.
pub trait StreamWriter: std::fmt::Debug {
    /// Takes [`MediaEvent::Tracks`], [`MediaEvent::Unit`] or [`MediaEvent::Metadata`] (others say
    /// nothing to it) and appends what follows to `out`: [`MediaEvent::InitHeaders`] with what a
    /// joiner gets first, before the first frame they hold for, and [`MediaEvent::Frame`]s, of
    /// which those that a joiner may start with (a keyframe; any sound, where there are no
    /// pictures) are [`FrameKind::Entry`]. What changes in mid-stream (a new decoder
    /// configuration) goes to present readers as a [`FrameKind::Header`] frame.
    ///
    /// [`FrameKind::Entry`]: corecast_media::frame::FrameKind::Entry
    /// [`FrameKind::Header`]: corecast_media::frame::FrameKind::Header
    fn write(&mut self, event: &MediaEvent, out: &mut Vec<MediaEvent>);
}
