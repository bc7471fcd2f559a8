//! Packed audio (draft-pantos-hls-rfc8216bis section 3.4): frames of sound without a file around
//! them, timed by an ID3 tag in front.
//!
//! Layer III goes so, with one part in a segment at most: Chromium takes it in MP4 by no name, and
//! hls.js puts the second and later parts of a packed segment at the place of the first.

use bytes::{BufMut, Bytes, BytesMut};
use corecast_media::track::TrackCodec;

use super::fragment::{Sample, TimedId3};
use super::id3;

/// Ticks per second of the clock in the tag.
const PTS_TIMESCALE: u64 = 90_000;

/// Whether browsers take sound of `codec` packed only, not in fragments. Such a rendition has no
/// header (`EXT-X-MAP`), and one part in a segment at most.
pub const fn is_packed_only(codec: TrackCodec) -> bool {
    matches!(codec, TrackCodec::Mp3)
}

/// One segment of packed audio: the time of its first sample, titles, and the samples as they are.
///
/// `time_ticks` is the first sample's time in ticks of `timescale` (not 0). The titles of `events`
/// are said to begin with the segment, because a tag has no other place.
pub fn write_packed(
    time_ticks: u64,
    timescale: u32,
    samples: &[Sample],
    events: &[TimedId3],
) -> Bytes {
    let pts = u128::from(time_ticks) * u128::from(PTS_TIMESCALE) / u128::from(timescale.max(1));
    let timestamp = id3::timestamp(pts as u64);
    let tags: Vec<Bytes> = events
        .iter()
        .map(|event| id3::tag(&event.metadata))
        .collect();
    let tags_bytes: usize = tags.iter().map(Bytes::len).sum();
    let payload_bytes: usize = samples.iter().map(|sample| sample.payload.len()).sum();
    let mut bytes = BytesMut::with_capacity(timestamp.len() + tags_bytes + payload_bytes);
    bytes.put_slice(&timestamp);
    for tag in &tags {
        bytes.put_slice(tag);
    }
    for sample in samples {
        bytes.put_slice(&sample.payload);
    }
    bytes.freeze()
}
