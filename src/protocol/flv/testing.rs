//! Test support: tracks and units of every coding. Configurations are those of real encoders.

use std::sync::Arc;

use bytes::Bytes;
use corecast_media::codec::{describe, h265};
use corecast_media::frame::MediaEvent;
use corecast_media::track::{AccessUnit, MediaTime, Track, TrackCodec, TrackFormat, TrackId};

/// High profile, 322 by 182.
pub(super) const AVC: &str =
    "0164000dffe100196764000dacd941519e226c04400000fa40003a9803c50a658001000468ef8fcbfdf8f800";
/// Constrained baseline, 320 by 180.
pub(super) const AVC_SMALL: &str =
    "0142c00cffe100196742c00cd901419f9f011000000300100000030320f142a48001000568cb83cb20";
/// Parameter sets of HEVC; the record is made of them.
pub(super) const HEVC_SETS: [&str; 3] = [
    "40010c02ffff2408000003009d0800000300009900009598acc048",
    "4201022408000003009d080000030000990000b0112069c93e59598acd24995e02d01000003e900005dc0080",
    "4401c172b46240",
];
pub(super) const AV1: &str = "81004c000a0b000000043d06d4daf94040";
pub(super) const VP9: &str = "000b820202020000";
pub(super) const AAC: &str = "1190";
pub(super) const OPUS: &str = "4f707573486561640102380180bb0000000000";
pub(super) const FLAC: &str =
    "10001000000000000000 0bb802f0 00000000 00000000000000000000000000000000";

pub(super) fn hex(text: &str) -> Bytes {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// A configuration of HEVC as digits.
pub(super) fn hevc() -> String {
    let sets = HEVC_SETS.map(hex).to_vec();
    let record = h265::Config::from_parameter_sets(sets)
        .expect("sets")
        .record();
    record.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A format and a keyframe of each coding; that of VP9 is as its first keyframe completes it.
pub(super) fn coding(codec: TrackCodec) -> (TrackFormat, &'static str) {
    let (config, keyframe) = match codec {
        TrackCodec::H264 => (AVC, "00000002 6588"),
        TrackCodec::H265 => ("", "00000003 2801ac"),
        TrackCodec::Av1 => (AV1, "0a0b000000043d06d4daf94040 320110"),
        TrackCodec::Vp9 => (VP9, "824983420014100b560638"),
        TrackCodec::Aac => (AAC, "211049"),
        TrackCodec::Opus => (OPUS, "fc0102"),
        TrackCodec::Flac => (FLAC, "fff8caa800"),
        TrackCodec::Mp3 => ("", "fffb50c4"),
        TrackCodec::Ac3 => ("", "0b77fe95144043e106"),
        TrackCodec::Eac3 => ("", "0b77037f3f87c00020"),
    };
    let mut format = if codec == TrackCodec::H265 {
        describe::from_config(codec, &hex(&hevc())).expect("a configuration")
    } else if config.is_empty() {
        describe::from_unit(codec, &hex(keyframe)).expect("a frame")
    } else {
        describe::from_config(codec, &hex(config)).expect("a configuration")
    };
    if codec == TrackCodec::Vp9 {
        (format.width, format.height) = (322, 182);
    }
    (format, keyframe)
}

pub(super) fn tracks_of(codecs: &[TrackCodec]) -> Arc<[Track]> {
    let tracks = codecs.iter().zip(0..).map(|(codec, id)| Track {
        id: TrackId(id),
        format: coding(*codec).0,
    });
    tracks.collect()
}

pub(super) fn unit(
    track: u8,
    ms: i64,
    composition_ms: i64,
    keyframe: bool,
    payload: &str,
) -> MediaEvent {
    MediaEvent::Unit(AccessUnit {
        track: TrackId(track),
        dts: MediaTime::from_millis(ms),
        pts: MediaTime::from_millis(ms + composition_ms),
        keyframe,
        payload: hex(payload),
    })
}

/// Times at the borders of three and four bytes, never further apart than half of the latter.
pub(super) const TIMES_MS: [i64; 5] = [0, 0x00ff_ffff, 0x0100_0000, 0x7fff_8000, 0xffff_0000];

/// Tracks, a keyframe of each, and more of those that have it.
pub(super) fn stream(codecs: &[TrackCodec]) -> Vec<MediaEvent> {
    let mut events = vec![MediaEvent::Tracks(tracks_of(codecs))];
    for ms in TIMES_MS {
        for (codec, track) in codecs.iter().zip(0u8..) {
            let at = ms + i64::from(track);
            events.push(unit(track, at, 0, true, coding(*codec).1));
            match codec {
                TrackCodec::H264 => {
                    events.push(unit(track, at + 5, 80, false, "00000003 419a24"));
                    events.push(unit(track, at + 6, -40, false, "00000003 419a25"));
                }
                TrackCodec::H265 => events.push(unit(track, at + 5, 80, false, "00000003 0201d0")),
                TrackCodec::Av1 => events.push(unit(track, at + 5, 0, false, "320128")),
                TrackCodec::Vp9 => events.push(unit(track, at + 5, 0, false, "a6004092f1")),
                _ => {}
            }
        }
    }
    events
}
