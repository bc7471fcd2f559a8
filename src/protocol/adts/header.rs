//! The header of one ADTS frame (ISO/IEC 14496-3 section 1.A.2.2, tables 1.A.6 and 1.A.7).

use corecast_media::codec::{AudioFormat, Codec};

/// The bytes that tell a frame's length: the fixed and the variable header.
pub const HEADER_BYTES: usize = 7;

/// The longest frame: its length has 13 bits.
pub const FRAME_BYTES_MAX: usize = (1 << 13) - 1;

/// Samples per channel in one raw data block.
pub const BLOCK_SAMPLES: u32 = 1_024;

/// Section 1.6.3.4, table 1.18; the indices behind are reserved, and none are in ADTS.
const SAMPLE_RATES_HZ: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// The frame header's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    is_mpeg2: bool,
    has_crc: bool,
    profile: u8,
    rate_index: u8,
    sample_rate_hz: u32,
    channel_configuration: u8,
    frame_bytes: u16,
    blocks: u8,
}

impl Header {
    /// Reads a header; `None` for bytes that are none.
    pub fn parse(bytes: [u8; HEADER_BYTES]) -> Option<Self> {
        let [sync, b1, b2, b3, b4, b5, b6] = bytes;
        // Twelve bits of sync word, and two bits of layer that are always zero.
        if sync != 0xff || b1 & 0xf6 != 0xf0 {
            return None;
        }
        let has_crc = b1 & 1 == 0;
        let blocks = (b6 & 0b11) + 1;
        let frame_bytes = (u16::from(b3 & 0b11) << 11) | (u16::from(b4) << 3) | u16::from(b5 >> 5);
        // Table 1.A.8: one check word, and with several blocks a position for each but the first.
        let check_bytes = if has_crc { 2 * u16::from(blocks) } else { 0 };
        if frame_bytes <= HEADER_BYTES as u16 + check_bytes {
            return None;
        }
        let rate_index = (b2 >> 2) & 0b1111;
        Some(Header {
            is_mpeg2: b1 & 0b1000 != 0,
            has_crc,
            profile: b2 >> 6,
            rate_index,
            sample_rate_hz: *SAMPLE_RATES_HZ.get(usize::from(rate_index))?,
            channel_configuration: ((b2 & 1) << 2) | (b3 >> 6),
            frame_bytes,
            blocks,
        })
    }

    /// The frame's length in bytes, header included.
    pub fn frame_bytes(&self) -> usize {
        usize::from(self.frame_bytes)
    }

    /// Samples per channel in the frame, of the core coder where SBR doubles them.
    pub fn samples(&self) -> u32 {
        u32::from(self.blocks) * BLOCK_SAMPLES
    }

    /// Raw data blocks in the frame, 1 to 4.
    pub fn blocks(&self) -> u8 {
        self.blocks
    }

    /// Where the raw data block begins in a frame that has a single one.
    pub fn payload_at(&self) -> usize {
        HEADER_BYTES + if self.has_crc { 2 } else { 0 }
    }

    /// The same parameters as an AudioSpecificConfig (section 1.6.2.1): object type, index of the
    /// rate, channel configuration, and three zeros (table 4.1). Bands that are replicated are not
    /// spoken of.
    pub fn specific_config(&self) -> [u8; 2] {
        // Table 1.A.11: the profile is the object type less one.
        let word = (u16::from(self.profile) + 1) << 11
            | u16::from(self.rate_index) << 7
            | u16::from(self.channel_configuration) << 3;
        word.to_be_bytes()
    }

    /// The stream's parameters as the header has them: with implicit SBR the decoded sound has
    /// twice the rate, with PS twice the channels. AAC has no constant bit rate.
    pub fn format(&self) -> AudioFormat {
        AudioFormat {
            codec: Codec::Aac,
            sample_rate_hz: self.sample_rate_hz,
            // Table 1.19: configuration 7 is 7.1, and 0 leaves it to the first raw data block.
            channels: if self.channel_configuration == 7 {
                8
            } else {
                self.channel_configuration
            },
            bitrate_bps: 0,
        }
    }

    /// Whether frames with both headers can follow each other in one stream: the fixed header stays
    /// (section 1.A.2.2.1), but for bits that say nothing about the sound.
    pub fn agrees(&self, other: &Self) -> bool {
        (
            self.is_mpeg2,
            self.profile,
            self.sample_rate_hz,
            self.channel_configuration,
        ) == (
            other.is_mpeg2,
            other.profile,
            other.sample_rate_hz,
            other.channel_configuration,
        )
    }
}
