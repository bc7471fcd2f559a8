//! The radio's frames and pages as access units: what its HLS is packed from.
//!
//! [`RadioUnits`] turns what the framers say ([`crate::audio::Framer`]) into tracks and units:
//! MPEG audio frames as they are, AAC without its ADTS headers (`sbr` looks for the band that
//! they do not speak of), the packets of Opus and FLAC out of their Ogg pages (`pages`, `packets`).
//! `clock` counts samples, so that times never drift.

mod clock;
mod frames;
mod packets;
mod pages;

use std::sync::Arc;

use corecast_media::codec::Codec;
use corecast_media::frame::{Frame, FrameKind, MediaEvent};
use corecast_media::track::{AccessUnit, Track, TrackId};

use clock::Clock;
use frames::{Adts, Mpa};
use pages::Pages;

pub use packets::PACKET_BYTES_MAX;

/// The radio's only track.
const TRACK: TrackId = TrackId(0);

/// Whether streams of `codec` have access units that HLS can carry. Vorbis, Speex, MPEG audio of
/// layers I and II and what is not known have none.
pub const fn has_units(codec: Codec) -> bool {
    matches!(codec, Codec::Mp3 | Codec::Aac | Codec::Opus | Codec::Flac)
}

/// Turns the frames of one source into units of one track, on a clock that starts at zero and
/// counts samples. Frames that are lost are noticed in Ogg only, by its positions.
#[derive(Debug)]
pub struct RadioUnits {
    kind: Kind,
    clock: Clock,
    /// What was said last; `None` before the first.
    said: Option<Arc<[Track]>>,
}

/// How the frames are read.
#[derive(Debug)]
enum Kind {
    /// No units: nothing is known yet, or HLS has no place for the coding.
    None,
    Mpa(Mpa),
    Adts(Adts),
    Pages(Box<Pages>),
}

/// What a kind of stream says of its frames, in their order.
#[derive(Debug)]
enum Said {
    /// What follows is of this track; said before the first unit, and again where it changes or a
    /// decoder starts anew.
    Track(Track),
    /// The next unit's bytes and the samples that it plays.
    Unit(bytes::Bytes, u32),
    /// Time without units, in samples.
    Gap(u32),
}

impl Default for RadioUnits {
    fn default() -> Self {
        RadioUnits::new()
    }
}

impl RadioUnits {
    /// At the start of a stream.
    pub fn new() -> Self {
        RadioUnits {
            kind: Kind::None,
            clock: Clock::default(),
            said: None,
        }
    }

    /// Takes the framer's next event and appends what follows from it:
    ///
    /// - [`MediaEvent::Tracks`] before the first unit, where the decoder's parameters change, and
    ///   at every chain link (then perhaps the same again: the decoder starts anew); without any
    ///   track where the stream has no units (see [`has_units`]);
    /// - [`MediaEvent::Unit`]s, whose times never fall;
    /// - [`MediaEvent::Metadata`] as it came.
    pub fn push(&mut self, event: &MediaEvent, out: &mut Vec<MediaEvent>) {
        match event {
            MediaEvent::Format(format) => self.on_codec(format.codec, out),
            MediaEvent::InitHeaders(pages) => {
                if let Kind::Pages(kind) = &mut self.kind {
                    let mut said = Vec::new();
                    kind.on_set_up(pages, &mut said);
                    self.say(said, out);
                }
            }
            MediaEvent::Frame(frame) => {
                let said = self.on_frame(frame);
                self.say(said, out);
            }
            MediaEvent::Metadata(_) => out.push(event.clone()),
            MediaEvent::Tracks(_) | MediaEvent::Unit(_) => {}
        }
    }

    /// Bytes that wait for more.
    pub fn buffered_bytes(&self) -> usize {
        match &self.kind {
            Kind::None | Kind::Mpa(_) => 0,
            Kind::Adts(kind) => kind.buffered_bytes(),
            Kind::Pages(kind) => kind.buffered_bytes(),
        }
    }

    fn on_codec(&mut self, codec: Codec, out: &mut Vec<MediaEvent>) {
        match (codec, &self.kind) {
            // Only numbers changed: the frames tell which.
            (Codec::Mp3, Kind::Mpa(_)) | (Codec::Aac, Kind::Adts(_)) => {}
            (Codec::Opus | Codec::Flac, Kind::Pages(_)) => {}
            (Codec::Mp3, _) => self.kind = Kind::Mpa(Mpa::default()),
            (Codec::Aac, _) => self.kind = Kind::Adts(Adts::default()),
            (Codec::Opus | Codec::Flac, _) => self.kind = Kind::Pages(Box::default()),
            _ => {
                self.kind = Kind::None;
                if self.said.as_ref().is_none_or(|said| !said.is_empty()) {
                    self.said = Some(Arc::from([]));
                    out.push(MediaEvent::Tracks(Arc::from([])));
                }
            }
        }
    }

    fn on_frame(&mut self, frame: &Frame) -> Vec<Said> {
        let mut said = Vec::new();
        match &mut self.kind {
            Kind::None => {}
            _ if frame.kind == FrameKind::Header => {}
            Kind::Mpa(kind) => kind.on_frame(&frame.payload, &mut said),
            Kind::Adts(kind) => kind.on_frame(&frame.payload, &mut said),
            Kind::Pages(kind) => kind.on_page(&frame.payload, &mut said),
        }
        said
    }

    fn say(&mut self, said: Vec<Said>, out: &mut Vec<MediaEvent>) {
        for said in said {
            match said {
                Said::Track(track) => {
                    self.clock.set_rate(track.format.sample_rate_hz);
                    let tracks: Arc<[Track]> = Arc::from([track]);
                    self.said = Some(Arc::clone(&tracks));
                    out.push(MediaEvent::Tracks(tracks));
                }
                Said::Unit(payload, samples) => {
                    let at = self.clock.now();
                    self.clock.advance(samples);
                    out.push(MediaEvent::Unit(AccessUnit {
                        track: TRACK,
                        dts: at,
                        pts: at,
                        keyframe: true,
                        payload,
                    }));
                }
                Said::Gap(samples) => self.clock.advance(samples),
            }
        }
    }
}

#[cfg(test)]
mod tests;
