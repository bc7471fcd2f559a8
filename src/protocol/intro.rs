//! A file to what a mount's new listeners hear first.

use bytes::Bytes;
use corecast_media::codec::Codec;
use corecast_media::frame::{Frame, MediaEvent};
use corecast_media::intro::Intro;

use crate::audio::Framer;
use crate::mpa::header::{HEADER_BYTES, Header};

/// One MIME type for each framer that knows whole frames.
const CONTENT_TYPES: [&str; 3] = ["audio/mpeg", "audio/aac", "application/ogg"];

/// Cuts a file of MPEG audio, AAC in ADTS or Ogg into its whole frames; the file tells which of
/// them it is. Tags, junk, a last frame that is not whole and an encoder's table of contents (it
/// counts the file's frames, not the stream's) are left out. Nothing where it is none of the
/// three.
pub fn cut(file: &Bytes) -> Option<Intro> {
    let cuts = CONTENT_TYPES.map(|content_type| {
        let mut framer = Framer::for_content_type(content_type);
        framer.push(file.clone());
        framer.finish();
        let events = std::iter::from_fn(|| framer.poll());
        Intro::gather(events.filter(|event| !is_contents_table(event)))
    });
    let cuts = cuts.into_iter().flatten();
    cuts.max_by_key(Intro::len_bytes)
}

/// Whether listeners of a mount of this `Content-Type` can go on from an intro in `codec`.
pub fn fits(content_type: &str, codec: Codec) -> bool {
    Framer::for_content_type(content_type).finds(codec)
}

fn is_contents_table(event: &MediaEvent) -> bool {
    let MediaEvent::Frame(Frame { payload, .. }) = event else {
        return false;
    };
    let head = payload.first_chunk::<HEADER_BYTES>();
    let header = head.and_then(|head| Header::parse(*head));
    header.is_some_and(|header| header.is_contents_table(payload))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Frames of MPEG-1 layer III at 128 kbit/s and 44.1 kHz, with `name` where a table of
    /// contents has its own.
    fn mpeg(count: usize, name: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 417];
        frame[..4].copy_from_slice(&[0xff, 0xfb, 0x90, 0x40]);
        let mut first = frame.clone();
        first[36..36 + name.len()].copy_from_slice(name);
        [first, frame.repeat(count - 1)].concat()
    }

    #[test]
    fn a_file_is_its_whole_frames_without_tags_and_tables() {
        let tag = b"ID3\x04\0\0\0\0\x01\x00".iter().copied().chain([7; 128]);
        let mut file: Vec<u8> = tag.collect();
        file.extend(mpeg(40, b"Xing"));
        file.extend_from_slice(&mpeg(1, b"")[..200]);
        let intro = cut(&file.into()).expect("it is MPEG audio");
        assert_eq!((intro.len_bytes(), intro.codec()), (39 * 417, Codec::Mp3));
        let lasts = intro.lasts().as_millis();
        assert_eq!(lasts, 39 * 1_152_000 / 44_100);
    }

    #[test]
    fn what_is_no_sound_is_no_intro() {
        for file in [
            &b""[..],
            b"a text about nothing, and no sound at all",
            &[0; 5_000],
        ] {
            assert!(cut(&Bytes::copy_from_slice(file)).is_none());
        }
        let intro = cut(&mpeg(9, b"").into()).expect("it is MPEG audio");
        assert!(intro.lasts() > Duration::from_millis(200));
    }

    #[test]
    fn an_intro_goes_with_the_types_of_its_framer() {
        for (content_type, fit) in [
            ("audio/mpeg", Codec::Mp3),
            ("audio/MPEG; x", Codec::Mp2),
            ("audio/aacp", Codec::Aac),
            ("application/ogg", Codec::Opus),
            ("video/ogg", Codec::Vorbis),
        ] {
            for codec in [
                Codec::Mp3,
                Codec::Mp2,
                Codec::Aac,
                Codec::Opus,
                Codec::Vorbis,
            ] {
                let same_kind = fit == codec
                    || (fit.is_ogg() && codec.is_ogg())
                    || matches!(
                        (fit, codec),
                        (Codec::Mp3 | Codec::Mp2, Codec::Mp3 | Codec::Mp2)
                    );
                assert_eq!(
                    fits(content_type, codec),
                    same_kind,
                    "{content_type} {codec}"
                );
            }
        }
        assert!(!fits("audio/webm", Codec::Opaque));
        assert!(!fits("application/ogg", Codec::Opaque));
    }
}
