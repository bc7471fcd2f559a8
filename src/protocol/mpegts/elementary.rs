//! Access units in the form that transport streams carry: NAL units behind start codes, AAC in
//! ADTS, Opus behind control headers; and what the PMT says about each.

use bytes::Bytes;
use corecast_media::codec::{aac, h264, h265, nal};
use corecast_media::track::{AccessUnit, TrackCodec, TrackFormat};

use super::psi;

/// Stream types (ISO/IEC 13818-1 table 2-34; ATSC A/53 part 3 for AC-3 and E-AC-3).
pub mod stream_type {
    /// MPEG-1 audio.
    pub const MPEG1_AUDIO: u8 = 0x03;
    /// MPEG-2 audio: the low sampling rates.
    pub const MPEG2_AUDIO: u8 = 0x04;
    /// PES packets with private data, told by a registration descriptor.
    pub const PRIVATE: u8 = 0x06;
    /// AAC in ADTS.
    pub const ADTS: u8 = 0x0f;
    /// H.264.
    pub const H264: u8 = 0x1b;
    /// HEVC.
    pub const H265: u8 = 0x24;
    /// AC-3.
    pub const AC3: u8 = 0x81;
    /// Enhanced AC-3.
    pub const EAC3: u8 = 0x87;
}

/// The first id of PES packets with video (ISO/IEC 13818-1 table 2-22).
const ID_VIDEO: u8 = 0xe0;
/// The first id of PES packets with MPEG audio.
const ID_AUDIO: u8 = 0xc0;
/// The id of PES packets with private data.
const ID_PRIVATE: u8 = 0xbd;

const START_CODE: [u8; 4] = [0, 0, 0, 1];
/// Below this rate MPEG audio is of MPEG-2 or 2.5.
const MPEG1_RATE_HZ_MIN: u32 = 32_000;
const ADTS_HEADER_BYTES: usize = 7;
/// An ADTS frame's length has 13 bits.
const ADTS_FRAME_BYTES_MAX: usize = (1 << 13) - 1;

/// How the access units of one track are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coding {
    /// H.264 with the parameter sets that stand before keyframes, as NAL units.
    H264(Vec<Bytes>),
    /// HEVC, in the same way.
    H265(Vec<Bytes>),
    /// AAC with an ADTS header that lacks its length.
    Aac([u8; ADTS_HEADER_BYTES]),
    /// MPEG audio of this stream type.
    Mp3(u8),
    /// AC-3.
    Ac3,
    /// Enhanced AC-3.
    Eac3,
    /// Opus with its channel configuration code.
    Opus(u8),
}

impl Coding {
    /// How tracks of this format are written; `None` for those that transport streams do not
    /// carry, or whose configuration cannot be said there.
    pub fn of(format: &TrackFormat) -> Option<Self> {
        match format.codec {
            TrackCodec::H264 => Some(Coding::H264(avc_sets(&format.config))),
            TrackCodec::H265 => Some(Coding::H265(hevc_sets(&format.config))),
            TrackCodec::Aac => adts_header(&format.config).map(Coding::Aac),
            TrackCodec::Mp3 if format.sample_rate_hz >= MPEG1_RATE_HZ_MIN => {
                Some(Coding::Mp3(stream_type::MPEG1_AUDIO))
            }
            TrackCodec::Mp3 => Some(Coding::Mp3(stream_type::MPEG2_AUDIO)),
            TrackCodec::Ac3 => Some(Coding::Ac3),
            TrackCodec::Eac3 => Some(Coding::Eac3),
            TrackCodec::Opus => opus_channels(&format.config).map(Coding::Opus),
            TrackCodec::Av1 | TrackCodec::Vp9 | TrackCodec::Flac => None,
        }
    }

    /// What the PMT says of such a track in packets of `pid`.
    pub(super) fn stream(&self, pid: u16) -> psi::Stream {
        let (stream_type, descriptors) = match self {
            Coding::H264(_) => (stream_type::H264, Vec::new()),
            Coding::H265(_) => (stream_type::H265, psi::registration(*b"HEVC").to_vec()),
            Coding::Aac(_) => (stream_type::ADTS, Vec::new()),
            Coding::Mp3(stream_type) => (*stream_type, Vec::new()),
            Coding::Ac3 => (stream_type::AC3, psi::registration(*b"AC-3").to_vec()),
            Coding::Eac3 => (stream_type::EAC3, psi::registration(*b"EAC3").to_vec()),
            Coding::Opus(channels) => {
                let mut descriptors = psi::registration(*b"Opus").to_vec();
                // The extension descriptor, with the tag that is Opus's.
                descriptors.extend_from_slice(&[0x7f, 2, 0x80, *channels]);
                (stream_type::PRIVATE, descriptors)
            }
        };
        psi::Stream {
            pid,
            stream_type,
            descriptors,
        }
    }

    /// The id of its PES packets, for the `number`th track of its kind.
    pub(super) fn stream_id(&self, number: u8) -> u8 {
        match self {
            Coding::H264(_) | Coding::H265(_) => ID_VIDEO | (number & 0x0f),
            Coding::Aac(_) | Coding::Mp3(_) => ID_AUDIO | (number & 0x1f),
            Coding::Ac3 | Coding::Eac3 | Coding::Opus(_) => ID_PRIVATE,
        }
    }

    /// Appends a unit in its new form; false, with nothing appended, for one that has none.
    pub fn write_to(&self, unit: &AccessUnit, out: &mut Vec<u8>) -> bool {
        let payload = unit.payload.as_ref();
        let start = out.len();
        let written = match self {
            Coding::H264(sets) => write_nals(out, &AVC, sets, unit),
            Coding::H265(sets) => write_nals(out, &HEVC, sets, unit),
            Coding::Aac(header) => write_adts(out, *header, payload),
            Coding::Mp3(_) | Coding::Ac3 | Coding::Eac3 => {
                out.extend_from_slice(payload);
                Some(())
            }
            Coding::Opus(_) => {
                write_opus(out, payload);
                Some(())
            }
        };
        if written.is_none() || out.len() == start {
            out.truncate(start);
            return false;
        }
        true
    }
}

/// What the two codings of NAL units differ in.
struct NalKind {
    /// An access unit delimiter for pictures of any type.
    delimiter: &'static [u8],
    /// The delimiter's type.
    delimiter_type: u8,
    /// The types of the parameter sets.
    set_types: &'static [u8],
    type_of: fn(u8) -> u8,
}

/// ISO/IEC 14496-10 table 7-1.
const AVC: NalKind = NalKind {
    delimiter: &[0x09, 0xf0],
    delimiter_type: 9,
    set_types: &[7, 8],
    type_of: |first| first & 0x1f,
};

/// ISO/IEC 23008-2 table 7-1.
const HEVC: NalKind = NalKind {
    delimiter: &[0x46, 0x01, 0x50],
    delimiter_type: 35,
    set_types: &[32, 33, 34],
    type_of: |first| (first >> 1) & 0x3f,
};

/// NAL units behind start codes (ISO/IEC 14496-10 annex B), with a delimiter in front of every
/// unit and the parameter sets in front of every keyframe (ISO/IEC 13818-1 sections 2.14.1 and
/// 2.17.1). What the source itself sends of these is left as it is.
fn write_nals(out: &mut Vec<u8>, kind: &NalKind, sets: &[Bytes], unit: &AccessUnit) -> Option<()> {
    let nals: Vec<&[u8]> = nal::units(&unit.payload).collect::<Result<_, _>>().ok()?;
    let type_of = |nal: &&[u8]| nal.first().map(|&first| (kind.type_of)(first));
    let mut push = |nal: &[u8]| {
        out.extend_from_slice(&START_CODE);
        out.extend_from_slice(nal);
    };
    let first = nals.first()?;
    let mut behind = nals.as_slice();
    if type_of(first) == Some(kind.delimiter_type) {
        push(first);
        behind = behind.get(1..)?;
    } else {
        push(kind.delimiter);
    }
    let sent = |wanted: &u8| nals.iter().any(|nal| type_of(nal) == Some(*wanted));
    if unit.keyframe && !kind.set_types.iter().all(sent) {
        sets.iter().for_each(|set| push(set));
    }
    behind.iter().for_each(|nal| push(nal));
    Some(())
}

/// The parameter sets of an AVCDecoderConfigurationRecord; none where it cannot be read, since a
/// source may send them with its pictures.
fn avc_sets(config: &Bytes) -> Vec<Bytes> {
    h264::Config::parse(config)
        .map(|config| [config.sps, config.pps].concat())
        .unwrap_or_default()
}

/// Those of an HEVCDecoderConfigurationRecord, in the same way.
fn hevc_sets(config: &Bytes) -> Vec<Bytes> {
    h265::Config::parse(config)
        .map(|config| [config.vps, config.sps, config.pps].concat())
        .unwrap_or_default()
}

/// The ADTS header (ISO/IEC 14496-3 section 1.A.2.2) for an AudioSpecificConfig. It tells the core
/// coder and leaves SBR and PS to be found in the sound. `None` where ADTS has no field for it:
/// object types above 4, other rates and frame lengths, channels from a PCE.
fn adts_header(config: &[u8]) -> Option<[u8; ADTS_HEADER_BYTES]> {
    let config = aac::Config::parse(config).ok()?;
    // The index of the rate as such a configuration has it, behind five bits.
    let [high, low] = aac::low_complexity(config.core_rate_hz, 1)?;
    let rate = (high & 7) << 1 | low >> 7;
    let channels = config.channel_configuration;
    let object = config.object_type;
    if !matches!(object, 1..=4) || !matches!(channels, 1..=7) || config.frame_samples != 1_024 {
        return None;
    }
    let profile = (object - 1) << 6 | rate << 2 | channels >> 2;
    // Length follows; a buffer fullness of all ones means a variable rate.
    Some([0xff, 0xf1, profile, (channels & 3) << 6, 0, 0x1f, 0xfc])
}

fn write_adts(out: &mut Vec<u8>, header: [u8; ADTS_HEADER_BYTES], payload: &[u8]) -> Option<()> {
    let length = ADTS_HEADER_BYTES + payload.len();
    if payload.is_empty() || length > ADTS_FRAME_BYTES_MAX {
        return None;
    }
    let [b0, b1, b2, b3, _, b5, b6] = header;
    out.extend_from_slice(&[
        b0,
        b1,
        b2,
        b3 | (length >> 11) as u8,
        (length >> 3) as u8,
        b5 | ((length & 7) << 5) as u8,
        b6,
    ]);
    out.extend_from_slice(payload);
    Some(())
}

/// The channel configuration code for an identification header (RFC 7845 section 5.1): the number
/// of channels where their mapping is the usual one.
fn opus_channels(head: &[u8]) -> Option<u8> {
    /// Streams, coupled streams and mapping of 1 to 8 channels, as encoders map family 1.
    const USUAL: [(u8, u8, &[u8]); 8] = [
        (1, 0, &[0]),
        (1, 1, &[0, 1]),
        (2, 1, &[0, 2, 1]),
        (2, 2, &[0, 1, 2, 3]),
        (3, 2, &[0, 4, 1, 2, 3]),
        (4, 2, &[0, 4, 1, 2, 3, 5]),
        (4, 3, &[0, 4, 1, 2, 3, 5, 6]),
        (5, 3, &[0, 6, 1, 2, 3, 4, 5, 7]),
    ];
    let &channels = head.get(9)?;
    match (head.get(18)?, channels) {
        (0, 1 | 2) => Some(channels),
        (1, 1..=8) => {
            let (streams, coupled, mapping) = USUAL.get(usize::from(channels) - 1)?;
            let behind = head.get(19..)?.get(..2 + mapping.len())?;
            let usual = behind.starts_with(&[*streams, *coupled]) && behind.ends_with(mapping);
            usual.then_some(channels)
        }
        _ => None,
    }
}

/// The control header in front of each packet: eleven bits of prefix, no trims, the length as a
/// sum of bytes that ends with one below 255.
fn write_opus(out: &mut Vec<u8>, payload: &[u8]) {
    out.extend_from_slice(&[0x7f, 0xe0]);
    out.resize(out.len() + payload.len() / 255, 0xff);
    out.push((payload.len() % 255) as u8);
    out.extend_from_slice(payload);
}
