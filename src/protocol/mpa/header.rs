//! The header of one MPEG audio frame (ISO/IEC 11172-3 section 2.4.1.3, ISO/IEC 13818-3 section
//! 2.4.2.3; "2.5" halves MPEG-2's sampling rates again).

use corecast_media::codec::{AudioFormat, Codec};

/// The bytes of a header.
pub const HEADER_BYTES: usize = 4;

/// The longest frame: layer II at 160 kbit/s and the 8 kHz of MPEG-2.5, padded.
pub const FRAME_BYTES_MAX: usize = 144 * 160_000 / 8_000 + 1;

/// The frame header's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    version: MpegVersion,
    layer: Layer,
    has_crc: bool,
    is_mono: bool,
    is_padded: bool,
    sample_rate_hz: u32,
    bitrate_kbps: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MpegVersion {
    One,
    Two,
    TwoAndHalf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    One,
    Two,
    Three,
}

/// Kilobits per second by index, 1 to 14 (table in section 2.4.2.3); 0 is the free format.
const RATES_V1_L1: [u32; 14] = [
    32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448,
];
const RATES_V1_L2: [u32; 14] = [
    32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384,
];
const RATES_V1_L3: [u32; 14] = [
    32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
];
const RATES_V2_L1: [u32; 14] = [
    32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256,
];
const RATES_V2_L23: [u32; 14] = [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];

const SAMPLE_RATES_V1_HZ: [u32; 3] = [44_100, 48_000, 32_000];

impl Header {
    /// Reads a header; `None` for bytes that are none. Reserved values are none, and so is the free
    /// format, whose frames do not tell their length.
    pub fn parse(bytes: [u8; HEADER_BYTES]) -> Option<Self> {
        let [sync, b1, b2, b3] = bytes;
        if sync != 0xff || b1 & 0xe0 != 0xe0 || b3 & 0b11 == 0b10 {
            return None;
        }
        let version = match (b1 >> 3) & 0b11 {
            0b00 => MpegVersion::TwoAndHalf,
            0b10 => MpegVersion::Two,
            0b11 => MpegVersion::One,
            _ => return None,
        };
        let layer = match (b1 >> 1) & 0b11 {
            0b11 => Layer::One,
            0b10 => Layer::Two,
            0b01 => Layer::Three,
            _ => return None,
        };
        let rates = match (version, layer) {
            (MpegVersion::One, Layer::One) => &RATES_V1_L1,
            (MpegVersion::One, Layer::Two) => &RATES_V1_L2,
            (MpegVersion::One, Layer::Three) => &RATES_V1_L3,
            (_, Layer::One) => &RATES_V2_L1,
            (_, Layer::Two | Layer::Three) => &RATES_V2_L23,
        };
        let divisor = match version {
            MpegVersion::One => 1,
            MpegVersion::Two => 2,
            MpegVersion::TwoAndHalf => 4,
        };
        Some(Header {
            version,
            layer,
            has_crc: b1 & 1 == 0,
            is_mono: b3 >> 6 == 0b11,
            is_padded: b2 & 0b10 != 0,
            sample_rate_hz: *SAMPLE_RATES_V1_HZ.get(usize::from((b2 >> 2) & 0b11))? / divisor,
            bitrate_kbps: *rates.get(usize::from(b2 >> 4).checked_sub(1)?)?,
        })
    }

    /// The frame's length in bytes, header included (section 2.4.3.1).
    pub fn frame_bytes(&self) -> usize {
        let padding = u32::from(self.is_padded);
        let slots = |samples_per_bit: u32| {
            samples_per_bit * self.bitrate_kbps * 1_000 / self.sample_rate_hz + padding
        };
        let bytes = match (self.layer, self.version) {
            (Layer::One, _) => 4 * slots(12),
            (Layer::Two, _) | (Layer::Three, MpegVersion::One) => slots(144),
            (Layer::Three, MpegVersion::Two | MpegVersion::TwoAndHalf) => slots(72),
        };
        bytes as usize
    }

    /// Samples per channel in the frame.
    pub fn samples(&self) -> u32 {
        match (self.layer, self.version) {
            (Layer::One, _) => 384,
            (Layer::Two, _) | (Layer::Three, MpegVersion::One) => 1_152,
            (Layer::Three, MpegVersion::Two | MpegVersion::TwoAndHalf) => 576,
        }
    }

    /// The stream's parameters; the bit rate is this frame's.
    pub fn format(&self) -> AudioFormat {
        AudioFormat {
            codec: match self.layer {
                Layer::One => Codec::Mp1,
                Layer::Two => Codec::Mp2,
                Layer::Three => Codec::Mp3,
            },
            sample_rate_hz: self.sample_rate_hz,
            channels: if self.is_mono { 1 } else { 2 },
            bitrate_bps: self.bitrate_kbps * 1_000,
        }
    }

    /// Whether frames with both headers can follow each other in one stream: what a decoder is set
    /// up for stays, bit rate, padding and the kind of stereo may change.
    pub fn agrees(&self, other: &Self) -> bool {
        (self.version, self.layer, self.sample_rate_hz, self.is_mono)
            == (
                other.version,
                other.layer,
                other.sample_rate_hz,
                other.is_mono,
            )
    }

    /// Whether `frame` holds a Xing, Info or VBRI table in place of sound: side information of
    /// zeros, then the table's name.
    pub fn is_contents_table(&self, frame: &[u8]) -> bool {
        if self.layer != Layer::Three {
            return false;
        }
        let side_bytes = match (self.version, self.is_mono) {
            (MpegVersion::One, false) => 32,
            (MpegVersion::One, true) | (_, false) => 17,
            (_, true) => 9,
        };
        let side_at = HEADER_BYTES + if self.has_crc { 2 } else { 0 };
        let named = |at: usize, name: &[u8]| frame.get(at..at + name.len()) == Some(name);
        let is_named = named(side_at + side_bytes, b"Xing")
            || named(side_at + side_bytes, b"Info")
            || named(HEADER_BYTES + 32, b"VBRI");
        let side = frame.get(side_at..side_at + side_bytes).unwrap_or_default();
        is_named && side.iter().all(|&byte| byte == 0)
    }
}
