//! One part of a rendition: `moof` and `mdat` (ISO/IEC 14496-12 section 8.8, ISO/IEC 23000-19
//! section 7.3.2), with the producer's clock and timed titles in front.

use bytes::Bytes;
use corecast_media::metadata::Metadata;
use corecast_media::track::{TrackCodec, TrackId, TrackKind};

use super::FILE_TRACK_ID;
use super::atom::{HEADER_BYTES, Writer};
use super::id3;

/// Seconds from the start of NTP's clock (1900) to that of Unix (RFC 5905 section 6).
const NTP_UNIX_SECONDS: u64 = 2_208_988_800;

/// `prft` flags: the time has a small and constant offset to that of what is shown (section
/// 8.16.5.3).
const PRFT_CAPTURED: u32 = 24;

/// Section 8.8.7.1.
const TFHD_DEFAULT_BASE_IS_MOOF: u32 = 0x02_0000;
const TFHD_DEFAULT_DURATION: u32 = 0x00_0008;
const TFHD_DEFAULT_FLAGS: u32 = 0x00_0020;

/// Section 8.8.8.1.
const TRUN_DATA_OFFSET: u32 = 0x001;
const TRUN_DURATIONS: u32 = 0x100;
const TRUN_SIZES: u32 = 0x200;
const TRUN_FLAGS: u32 = 0x400;
const TRUN_COMPOSITION_OFFSETS: u32 = 0x800;

/// Section 8.8.3.1: depends on no other sample.
pub(super) const FLAGS_SYNC: u32 = 0x0200_0000;

/// Depends on others, and decoding cannot start there.
pub(super) const FLAGS_NON_SYNC: u32 = 0x0101_0000;

/// What one access unit becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The coded bytes, in the form that [`TrackCodec`] says; they go out as they are.
    pub payload: Bytes,
    /// From its decode time to that of the next sample.
    pub duration_ticks: u32,
    /// From its decode time to when it is shown; may be negative.
    pub composition_offset_ticks: i32,
    /// Whether a decoder may start here.
    pub keyframe: bool,
}

/// A title on the media's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedId3 {
    /// Names the event: the same event may be repeated in other fragments under the same id.
    pub id: u32,
    /// Ticks per second of `time_ticks`; never 0.
    pub timescale: u32,
    /// When it begins, on the clock of the rendition's samples.
    pub time_ticks: u64,
    /// What is playing from then on.
    pub metadata: Metadata,
}

/// The wall clock's time of a fragment's first sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Produced {
    /// Nanoseconds since 1970, UTC.
    pub unix_nanos: u64,
}

/// The samples of one part, and what goes with them.
#[derive(Clone, Debug)]
pub struct Fragment<'a> {
    /// Counts the rendition's fragments from 1; rises with each.
    pub sequence: u32,
    /// The mount's track; in the file it is always [`FILE_TRACK_ID`].
    pub track: TrackId,
    /// How its samples are coded.
    pub codec: TrackCodec,
    /// The first sample's decode time, in ticks of [`super::timescale`].
    pub decode_time_ticks: u64,
    /// The samples in the order of decoding; fewer than 2 GiB together.
    pub samples: &'a [Sample],
    /// Titles that begin in this fragment.
    pub events: &'a [TimedId3],
    /// The wall clock's time of the first sample, where it is known.
    pub produced: Option<Produced>,
}

/// Writes `prft`, `emsg`, `moof` and `mdat` in one allocation.
pub fn write_fragment(fragment: &Fragment<'_>) -> Bytes {
    let layout = Layout::of(fragment);
    let tags: Vec<Bytes> = fragment
        .events
        .iter()
        .map(|event| id3::tag(&event.metadata))
        .collect();
    let mut writer = Writer::with_capacity(layout.fragment_bytes(fragment, &tags));
    if let Some(produced) = fragment.produced {
        write_prft(&mut writer, produced, fragment.decode_time_ticks);
    }
    for (event, tag) in fragment.events.iter().zip(&tags) {
        write_emsg(&mut writer, event, tag);
    }
    writer.atom(*b"moof", |moof| {
        moof.full(*b"mfhd", 0, 0, |mfhd| mfhd.u32(fragment.sequence));
        moof.atom(*b"traf", |traf| write_traf(traf, fragment, &layout));
    });
    writer.atom(*b"mdat", |mdat| {
        for sample in fragment.samples {
            mdat.slice(&sample.payload);
        }
    });
    writer.finish()
}

/// Which fields are said once for all samples, and which for each.
#[derive(Debug)]
struct Layout {
    default_duration: Option<u32>,
    default_flags: Option<u32>,
    has_composition_offsets: bool,
    payload_bytes: usize,
    moof_bytes: usize,
}

impl Layout {
    fn of(fragment: &Fragment<'_>) -> Self {
        let samples = fragment.samples;
        let default_duration = common(samples.iter().map(|sample| sample.duration_ticks));
        let default_flags = common(samples.iter().map(|sample| flags(fragment.codec, sample)));
        let has_composition_offsets = samples
            .iter()
            .any(|sample| sample.composition_offset_ticks != 0);
        let words_per_sample = 1
            + usize::from(default_duration.is_none())
            + usize::from(default_flags.is_none())
            + usize::from(has_composition_offsets);
        let defaults =
            usize::from(default_duration.is_some()) + usize::from(default_flags.is_some());
        let mfhd_bytes = HEADER_BYTES + 8;
        let tfhd_bytes = HEADER_BYTES + 8 + 4 * defaults;
        let tfdt_bytes = HEADER_BYTES + 12;
        let trun_bytes = HEADER_BYTES + 12 + 4 * words_per_sample * samples.len();
        Layout {
            default_duration,
            default_flags,
            has_composition_offsets,
            payload_bytes: samples.iter().map(|sample| sample.payload.len()).sum(),
            moof_bytes: 2 * HEADER_BYTES + mfhd_bytes + tfhd_bytes + tfdt_bytes + trun_bytes,
        }
    }

    fn fragment_bytes(&self, fragment: &Fragment<'_>, tags: &[Bytes]) -> usize {
        let prft_bytes = if fragment.produced.is_some() {
            PRFT_BYTES
        } else {
            0
        };
        let emsg_bytes: usize = tags.iter().map(|tag| EMSG_FIXED_BYTES + tag.len()).sum();
        prft_bytes + emsg_bytes + self.moof_bytes + HEADER_BYTES + self.payload_bytes
    }
}

/// The value of all, if they have the same.
fn common(mut values: impl Iterator<Item = u32>) -> Option<u32> {
    let first = values.next()?;
    values.all(|value| value == first).then_some(first)
}

fn flags(codec: TrackCodec, sample: &Sample) -> u32 {
    if sample.keyframe || codec.kind() == TrackKind::Audio {
        FLAGS_SYNC
    } else {
        FLAGS_NON_SYNC
    }
}

fn write_traf(traf: &mut Writer, fragment: &Fragment<'_>, layout: &Layout) {
    let mut tfhd_flags = TFHD_DEFAULT_BASE_IS_MOOF;
    let mut trun_flags = TRUN_DATA_OFFSET | TRUN_SIZES;
    match layout.default_duration {
        Some(_) => tfhd_flags |= TFHD_DEFAULT_DURATION,
        None => trun_flags |= TRUN_DURATIONS,
    }
    match layout.default_flags {
        Some(_) => tfhd_flags |= TFHD_DEFAULT_FLAGS,
        None => trun_flags |= TRUN_FLAGS,
    }
    if layout.has_composition_offsets {
        trun_flags |= TRUN_COMPOSITION_OFFSETS;
    }
    traf.full(*b"tfhd", 0, tfhd_flags, |tfhd| {
        tfhd.u32(FILE_TRACK_ID);
        layout
            .default_duration
            .iter()
            .for_each(|&value| tfhd.u32(value));
        layout
            .default_flags
            .iter()
            .for_each(|&value| tfhd.u32(value));
    });
    traf.full(*b"tfdt", 1, 0, |tfdt| tfdt.u64(fragment.decode_time_ticks));
    traf.full(*b"trun", 1, trun_flags, |trun| {
        trun.u32(u32::try_from(fragment.samples.len()).unwrap_or(u32::MAX));
        // From the moof's first byte to the mdat's body.
        trun.i32(i32::try_from(layout.moof_bytes + HEADER_BYTES).unwrap_or(i32::MAX));
        for sample in fragment.samples {
            if layout.default_duration.is_none() {
                trun.u32(sample.duration_ticks);
            }
            trun.u32(u32::try_from(sample.payload.len()).unwrap_or(u32::MAX));
            if layout.default_flags.is_none() {
                trun.u32(flags(fragment.codec, sample));
            }
            if layout.has_composition_offsets {
                trun.i32(sample.composition_offset_ticks);
            }
        }
    });
}

const PRFT_BYTES: usize = HEADER_BYTES + 4 + 20;

/// Section 8.16.5.
fn write_prft(writer: &mut Writer, produced: Produced, media_time_ticks: u64) {
    let seconds = produced.unix_nanos / 1_000_000_000 + NTP_UNIX_SECONDS;
    let fraction = ((produced.unix_nanos % 1_000_000_000) << 32) / 1_000_000_000;
    writer.full(*b"prft", 1, PRFT_CAPTURED, |prft| {
        prft.u32(FILE_TRACK_ID);
        // RFC 5905 section 6: the era is dropped with the high bits.
        prft.u64((seconds << 32) | fraction);
        prft.u64(media_time_ticks);
    });
}

const EMSG_FIXED_BYTES: usize = HEADER_BYTES + 4 + 20 + id3::SCHEME.len() + 1 + 1;

/// ISO/IEC 23009-1 section 5.10.3.3, version 1; how long the title holds is not known.
fn write_emsg(writer: &mut Writer, event: &TimedId3, tag: &[u8]) {
    writer.full(*b"emsg", 1, 0, |emsg| {
        emsg.u32(event.timescale);
        emsg.u64(event.time_ticks);
        emsg.u32(u32::MAX);
        emsg.u32(event.id);
        emsg.slice(id3::SCHEME.as_bytes());
        emsg.u8(0);
        emsg.u8(0);
        emsg.slice(tag);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_known_before() {
        let sample = |duration_ticks, composition_offset_ticks, keyframe| Sample {
            payload: Bytes::from_static(b"coded"),
            duration_ticks,
            composition_offset_ticks,
            keyframe,
        };
        let events = [TimedId3 {
            id: 1,
            timescale: 1,
            time_ticks: 0,
            metadata: Metadata::from_parts("A", "B"),
        }];
        for samples in [
            &[][..],
            &[sample(1, 0, true)],
            &[sample(1, 0, true), sample(1, 0, false)],
            &[sample(1, 0, true), sample(2, 0, true)],
            &[sample(1, 9, true), sample(2, -9, false)],
        ] {
            for (events, produced) in [(&[][..], None), (&events, Some(Produced { unix_nanos: 1 }))]
            {
                let fragment = Fragment {
                    sequence: 1,
                    track: TrackId(0),
                    codec: TrackCodec::H264,
                    decode_time_ticks: 0,
                    samples,
                    events,
                    produced,
                };
                let tags: Vec<Bytes> = events
                    .iter()
                    .map(|event| id3::tag(&event.metadata))
                    .collect();
                let expected = Layout::of(&fragment).fragment_bytes(&fragment, &tags);
                assert_eq!(write_fragment(&fragment).len(), expected);
            }
        }
    }
}
