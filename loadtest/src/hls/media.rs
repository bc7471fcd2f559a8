//! What is in init segments, segments and parts.

use corecast_protocol::cmaf::reader::{self, Init};

use super::history::{Content, Digest, FragmentContent, InitContent, Media};
use super::packed;

/// Reads what an address led to.
pub(super) fn read(bytes: &[u8]) -> Media {
    let content = if bytes.starts_with(b"ID3") {
        match packed::read(bytes) {
            Ok(packed) => Content::Packed(packed),
            Err(fault) => Content::Unreadable(fault.to_owned()),
        }
    } else {
        read_mp4(bytes)
    };
    Media {
        body: Digest::of(bytes),
        content,
    }
}

fn read_mp4(bytes: &[u8]) -> Content {
    match (reader::read_init(bytes), reader::read_fragments(bytes)) {
        (Ok(init), _) => Content::Init(read_init(&init)),
        (_, Ok(fragments)) if !fragments.is_empty() => read_fragments(&fragments),
        (_, Err(fault)) => Content::Unreadable(fault.to_string()),
        (Err(_), Ok(_)) => Content::Unreadable("no movie fragments".to_owned()),
    }
}

fn read_init(init: &Init<'_>) -> InitContent {
    InitContent {
        track: init.track_id,
        timescale: init.timescale,
        is_video: init.handler == *b"vide",
        codec: codec(init),
        width: init.width,
        height: init.height,
    }
}

/// How `CODECS` must start for a track (RFC 6381).
fn codec(init: &Init<'_>) -> String {
    let body = |kind: [u8; 4]| reader::child(init.config, kind).map(|found| found.body);
    let entry = String::from_utf8_lossy(&init.entry).into_owned();
    match &init.entry {
        b"avc1" | b"avc3" => match body(*b"avcC") {
            Ok([_, profile, flags, level, ..]) => {
                format!("{entry}.{profile:02x}{flags:02x}{level:02x}")
            }
            _ => entry,
        },
        b"mp4a" => match body(*b"esds").map(object_type) {
            Ok(Some(object_type)) => format!("mp4a.{object_type}"),
            _ => entry,
        },
        _ => entry,
    }
}

/// The object type of an `esds`, and for AAC that of its AudioSpecificConfig behind it
/// (ISO/IEC 14496-1 section 7.2.6).
fn object_type(esds: &[u8]) -> Option<String> {
    const ES: u8 = 3;
    const DECODER_CONFIG: u8 = 4;
    const SPECIFIC: u8 = 5;
    const AAC: u8 = 0x40;
    let (tag, body) = descriptor(esds.get(4..)?)?;
    // The id of the stream, and flags that say that nothing else follows.
    let (config, decoder) = descriptor(body.get(3..)?)?;
    if tag != ES || config != DECODER_CONFIG {
        return None;
    }
    let &kind = decoder.first()?;
    if kind != AAC {
        return Some(format!("{kind:02x}"));
    }
    let (specific, bits) = descriptor(decoder.get(13..)?)?;
    let &[first, second, ..] = bits else {
        return None;
    };
    let object = match first >> 3 {
        31 => 32 + ((first & 7) << 3 | second >> 5),
        object => object,
    };
    (specific == SPECIFIC).then(|| format!("40.{object}"))
}

/// Tag and body of a descriptor; its length has seven bits in each of at most four bytes.
fn descriptor(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (&tag, mut rest) = bytes.split_first()?;
    let mut length = 0;
    for _ in 0..4 {
        let (&byte, behind) = rest.split_first()?;
        rest = behind;
        length = length << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            break;
        }
    }
    Some((tag, rest.get(..length)?))
}

fn read_fragments(fragments: &[reader::ReadFragment<'_>]) -> Content {
    let Some(first) = fragments.first() else {
        return Content::Empty;
    };
    let samples = || fragments.iter().flat_map(|fragment| &fragment.samples);
    let end =
        |at: &reader::ReadFragment<'_>| at.decode_time_ticks.saturating_add(at.duration_ticks());
    let shown = |sample: &reader::ReadSample<'_>| {
        i64::try_from(sample.decode_time_ticks)
            .unwrap_or(i64::MAX)
            .saturating_add(sample.composition_offset_ticks)
    };
    Content::Fragments(FragmentContent {
        track: first.track_id,
        start_ticks: first.decode_time_ticks,
        shown_ticks: samples().map(shown).min().unwrap_or(0),
        duration_ticks: fragments.iter().map(|at| at.duration_ticks()).sum(),
        samples: samples().count() as u64,
        sample_ticks_max: samples()
            .map(|at| u64::from(at.duration_ticks))
            .max()
            .unwrap_or(0),
        starts_with_keyframe: first.starts_with_keyframe(),
        has_keyframe: samples().any(|sample| sample.keyframe),
        is_gapless: fragments
            .windows(2)
            .all(|pair| end(&pair[0]) == pair[1].decode_time_ticks),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_are_told_from_their_configurations() {
        // An esds with short lengths, and one with long ones.
        let short = [0, 0, 0, 0, 3, 22, 0, 1, 0, 4, 17, 0x40, 0x15, 0, 0, 0];
        let rest = [0, 0, 0, 0, 0, 0, 0, 0, 5, 2, 0x11, 0x90];
        assert_eq!(
            object_type(&[&short[..], &rest].concat()),
            Some("40.2".to_owned())
        );
        let mp3 = [0, 0, 0, 0, 3, 0x80, 0x80, 18, 0, 1, 0, 4, 13, 0x6b, 0, 0, 0];
        let rest = [0; 9];
        assert_eq!(
            object_type(&[&mp3[..], &rest].concat()),
            Some("6b".to_owned())
        );
        for length in 0..short.len() {
            assert_eq!(object_type(&short[..length]), None);
        }
    }

    #[test]
    fn what_is_no_media_is_unreadable() {
        for bytes in [&b""[..], b"<html>", &[0; 64]] {
            assert!(
                matches!(read(bytes).content, Content::Unreadable(_)),
                "{bytes:?}"
            );
        }
    }
}
