//! One face for every framer: a source's bytes to [`MediaEvent`]s.

use std::collections::VecDeque;

use bytes::Bytes;
use corecast_media::codec::Codec;
use corecast_media::frame::{Frame, FrameKind, MediaEvent};

use crate::{adts, mpa, ogg};

/// Cuts a source's bytes at the borders of frames or pages.
///
/// After every [`Framer::push`], and after [`Framer::finish`], call [`Framer::poll`] until it says
/// `None`. How the bytes were cut into pushes changes nothing in the events, except for an opaque
/// stream. Payloads are slices of the pushed bytes; only frames across pushes are copied.
#[derive(Debug)]
pub struct Framer(Kind);

/// What the stream is cut as.
#[derive(Debug)]
enum Kind {
    /// MPEG audio.
    Mpa(mpa::Framer),
    /// AAC in ADTS.
    Adts(adts::Framer),
    /// Ogg with anything inside.
    Ogg(Box<ogg::Framer>),
    /// Anything else: every push is one frame.
    Opaque(VecDeque<Bytes>),
}

impl Framer {
    /// The framer for a `Content-Type` (any case, parameters ignored).
    pub fn for_content_type(content_type: &str) -> Self {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        Framer(match essence.to_ascii_lowercase().as_str() {
            "audio/mpeg" | "audio/mp3" | "audio/x-mpeg" | "audio/mpeg3" | "audio/x-mp3" => {
                Kind::Mpa(mpa::Framer::new())
            }
            "audio/aac" | "audio/aacp" | "audio/x-aac" | "audio/x-aacp" => {
                Kind::Adts(adts::Framer::new())
            }
            "application/ogg" | "application/x-ogg" | "audio/ogg" | "audio/x-ogg" | "video/ogg" => {
                Kind::Ogg(Box::default())
            }
            _ => Kind::Opaque(VecDeque::new()),
        })
    }

    /// Whether what it cuts may be in `codec`; never, where it knows no frames.
    pub fn finds(&self, codec: Codec) -> bool {
        match &self.0 {
            Kind::Mpa(_) => matches!(codec, Codec::Mp1 | Codec::Mp2 | Codec::Mp3),
            Kind::Adts(_) => codec == Codec::Aac,
            Kind::Ogg(_) => codec.is_ogg(),
            Kind::Opaque(_) => false,
        }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: Bytes) {
        match &mut self.0 {
            Kind::Mpa(framer) => framer.push(bytes),
            Kind::Adts(framer) => framer.push(bytes),
            Kind::Ogg(framer) => framer.push(bytes),
            Kind::Opaque(_) if bytes.is_empty() => {}
            Kind::Opaque(pushes) => pushes.push_back(bytes),
        }
    }

    /// The next event; `None` asks for more bytes.
    pub fn poll(&mut self) -> Option<MediaEvent> {
        match &mut self.0 {
            Kind::Mpa(framer) => framer.poll(),
            Kind::Adts(framer) => framer.poll(),
            Kind::Ogg(framer) => framer.poll(),
            Kind::Opaque(pushes) => pushes.pop_front().map(|payload| {
                MediaEvent::Frame(Frame {
                    payload,
                    duration_us: 0,
                    kind: FrameKind::Entry,
                })
            }),
        }
    }

    /// Says that no bytes follow, so that what waits for more is decided.
    pub fn finish(&mut self) {
        match &mut self.0 {
            Kind::Mpa(framer) => framer.finish(),
            Kind::Adts(framer) => framer.finish(),
            Kind::Ogg(framer) => framer.finish(),
            Kind::Opaque(_) => {}
        }
    }

    /// Bytes that belonged to no frame and were dropped.
    pub fn discarded_bytes(&self) -> u64 {
        match &self.0 {
            Kind::Mpa(framer) => framer.discarded_bytes(),
            Kind::Adts(framer) => framer.discarded_bytes(),
            Kind::Ogg(framer) => framer.discarded_bytes(),
            Kind::Opaque(_) => 0,
        }
    }

    /// Bytes that wait for more.
    pub fn buffered_bytes(&self) -> usize {
        match &self.0 {
            Kind::Mpa(framer) => framer.buffered_bytes(),
            Kind::Adts(framer) => framer.buffered_bytes(),
            Kind::Ogg(framer) => framer.buffered_bytes(),
            Kind::Opaque(pushes) => pushes.iter().map(Bytes::len).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_choose_the_framer() {
        for (content_type, expected) in [
            ("audio/mpeg", "Mpa"),
            ("Audio/MPEG; charset=x", "Mpa"),
            ("audio/aac", "Adts"),
            ("audio/aacp", "Adts"),
            ("audio/x-aac", "Adts"),
            ("application/ogg", "Ogg"),
            ("audio/ogg;codecs=opus", "Ogg"),
            ("video/ogg", "Ogg"),
            ("audio/webm", "Opaque"),
            ("", "Opaque"),
        ] {
            let framer = format!("{:?}", Framer::for_content_type(content_type));
            assert!(
                framer.starts_with(&format!("Framer({expected}")),
                "{content_type}: {framer}"
            );
        }
    }

    #[test]
    fn an_opaque_push_is_a_frame() {
        let mut framer = Framer::for_content_type("video/webm");
        for push in ["one", "", "two"] {
            framer.push(Bytes::from_static(push.as_bytes()));
        }
        assert_eq!(framer.buffered_bytes(), 6);
        framer.finish();
        let frame = |payload: &'static str| {
            let payload = Bytes::from_static(payload.as_bytes());
            MediaEvent::Frame(Frame {
                payload,
                duration_us: 0,
                kind: FrameKind::Entry,
            })
        };
        assert_eq!(framer.poll(), Some(frame("one")));
        assert_eq!(framer.poll(), Some(frame("two")));
        assert_eq!((framer.poll(), framer.discarded_bytes()), (None, 0));
    }
}
