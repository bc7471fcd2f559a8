//! Opus, FLAC and MPEG layer III: their headers.

use super::HeaderFault;
use super::bits::{BitReader, ByteReader};

/// What a decoder of sound must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sound {
    /// Samples per second.
    pub sample_rate_hz: u32,
    /// Channels.
    pub channels: u8,
}

/// The lowest rate of sound that is believed: below it, one unit would play for minutes.
pub const SAMPLE_RATE_HZ_MIN: u32 = 1_000;

/// Opus always decodes at this rate (RFC 7845 section 5.1).
pub const OPUS_RATE_HZ: u32 = 48_000;

/// The identification header of Opus (RFC 7845 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpusHead {
    /// Channels, at least 1.
    pub channels: u8,
    /// Samples at 48 kHz that a decoder throws away at the start.
    pub pre_skip: u16,
    /// The rate of what was encoded, in Hz; 0 where it is not said.
    pub input_rate_hz: u32,
    /// Gain in 1/256 dB.
    pub gain: i16,
    /// The mapping family.
    pub mapping_family: u8,
}

impl OpusHead {
    /// Reads the header, its magic included.
    ///
    /// # Errors
    /// Where it is none, ends too early or has no channels.
    pub fn parse(head: &[u8]) -> Result<Self, HeaderFault> {
        let mut bytes = ByteReader::new(head);
        if bytes.take(8)? != b"OpusHead" || bytes.u8()? >> 4 != 0 {
            return Err(HeaderFault::Invalid("OpusHead"));
        }
        let channels = bytes.u8()?;
        // The numbers are little-endian.
        let pre_skip = bytes.u16()?.swap_bytes();
        let input_rate_hz = bytes.u32()?.swap_bytes();
        let gain = bytes.u16()?.swap_bytes() as i16;
        let mapping_family = bytes.u8()?;
        if channels == 0 || mapping_family == 0 && channels > 2 {
            return Err(HeaderFault::Invalid("channels"));
        }
        if mapping_family > 0 {
            // Stream and coupled counts, and one place for each channel.
            bytes.take(2 + usize::from(channels))?;
        }
        Ok(OpusHead {
            channels,
            pre_skip,
            input_rate_hz,
            gain,
            mapping_family,
        })
    }
}

/// The samples at 48 kHz that an Opus packet plays (RFC 6716 section 3.1); 0 for what is none.
pub fn opus_samples(packet: &[u8]) -> u32 {
    let Some((&head, rest)) = packet.split_first() else {
        return 0;
    };
    let config = head >> 3;
    let frame = match config {
        0..=11 => [480, 960, 1_920, 2_880][usize::from(config & 3)],
        12..=15 => [480, 960][usize::from(config & 1)],
        _ => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let frames = match head & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => rest.first().map_or(0, |byte| u32::from(byte & 0x3f)),
    };
    // Section 3.4: no packet plays longer than 120 ms.
    Some(frame * frames)
        .filter(|samples| *samples <= 5_760)
        .unwrap_or(0)
}

/// The bytes of a STREAMINFO block.
pub const STREAM_INFO_BYTES: usize = 34;

/// What STREAMINFO says (RFC 9639 section 8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// The fewest samples per channel of a frame.
    pub block_samples_min: u16,
    /// The most.
    pub block_samples_max: u16,
    /// Rate and channels.
    pub sound: Sound,
    /// Bits of a sample.
    pub sample_bits: u8,
}

impl StreamInfo {
    /// Reads the block, without its header.
    ///
    /// # Errors
    /// Where it ends too early, or has no rate from [`SAMPLE_RATE_HZ_MIN`] on.
    pub fn parse(block: &[u8]) -> Result<Self, HeaderFault> {
        if block.len() < STREAM_INFO_BYTES {
            return Err(HeaderFault::Truncated);
        }
        let mut bits = BitReader::new(block);
        let block_samples_min = bits.bits(16)? as u16;
        let block_samples_max = bits.bits(16)? as u16;
        bits.skip(48)?;
        let sample_rate_hz = bits.bits(20)?;
        let channels = bits.small(3)? + 1;
        let sample_bits = bits.small(5)? + 1;
        if sample_rate_hz < SAMPLE_RATE_HZ_MIN || block_samples_max < 16 {
            return Err(HeaderFault::Invalid("STREAMINFO"));
        }
        Ok(StreamInfo {
            block_samples_min,
            block_samples_max,
            sound: Sound {
                sample_rate_hz,
                channels,
            },
            sample_bits,
        })
    }
}

/// The STREAMINFO block in what may be a whole FLAC header: with or without the stream marker, with
/// or without the block's own header.
///
/// # Errors
/// Where there is none.
pub fn stream_info(header: &[u8]) -> Result<&[u8], HeaderFault> {
    let block = header.strip_prefix(b"fLaC").unwrap_or(header);
    let block = match block {
        // RFC 9639 section 8.1: type 0, the highest bit says that it is the last; 34 bytes long.
        [0x00 | 0x80, 0, 0, 34, rest @ ..] => rest,
        _ => block,
    };
    block.get(..STREAM_INFO_BYTES).ok_or(HeaderFault::Truncated)
}

/// The samples per channel of a FLAC frame (RFC 9639 section 9.1); 0 for what is none.
pub fn flac_samples(frame: &[u8]) -> u32 {
    let (Some(&[0xff, second, third, _]), rest) = (frame.first_chunk::<4>(), frame.get(4..)) else {
        return 0;
    };
    if second & 0xfe != 0xf8 {
        return 0;
    }
    let rest = rest.unwrap_or_default();
    // The number behind the header has as many bytes as its first has leading ones.
    let number_bytes = rest.first().map_or(0, |byte| match byte.leading_ones() {
        0 => 1,
        ones => ones as usize,
    });
    let written = rest.get(number_bytes..).unwrap_or_default();
    match third >> 4 {
        1 => 192,
        code @ 2..=5 => 144 << code,
        6 => written.first().map_or(0, |byte| u32::from(*byte) + 1),
        7 => written
            .first_chunk::<2>()
            .map_or(0, |bytes| u32::from(u16::from_be_bytes(*bytes)) + 1),
        code @ 8..=15 => 1 << code,
        _ => 0,
    }
}

/// The header of a layer III frame (ISO/IEC 11172-3 section 2.4.1.3, and 13818-3 and "MPEG 2.5"
/// for lower rates).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mp3Header {
    /// Rate and channels.
    pub sound: Sound,
    /// Samples per channel of the frame.
    pub samples: u32,
    /// Whether it is of MPEG-1, whose rates are the highest.
    pub is_mpeg1: bool,
}

impl Mp3Header {
    /// Reads the four bytes at the start of a frame.
    ///
    /// # Errors
    /// Where they are no header of layer III.
    pub fn parse(frame: &[u8]) -> Result<Self, HeaderFault> {
        let Some(&[0xff, second, third, fourth]) = frame.first_chunk::<4>() else {
            return Err(HeaderFault::Invalid("MPEG audio header"));
        };
        let (version, layer) = (second >> 3 & 3, second >> 1 & 3);
        let rate = match third >> 2 & 3 {
            0 => 44_100,
            1 => 48_000,
            2 => 32_000,
            _ => 0,
        };
        if second >> 5 != 7 || version == 1 || layer != 1 || rate == 0 || third >> 4 == 15 {
            return Err(HeaderFault::Invalid("MPEG audio header"));
        }
        let (divisor, samples) = match version {
            3 => (1, 1_152),
            2 => (2, 576),
            _ => (4, 576),
        };
        Ok(Mp3Header {
            sound: Sound {
                sample_rate_hz: rate / divisor,
                channels: if fourth >> 6 == 3 { 1 } else { 2 },
            },
            samples,
            is_mpeg1: version == 3,
        })
    }
}
