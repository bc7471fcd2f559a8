//! AC-3 and Enhanced AC-3: the header of a syncframe (ETSI TS 102 366).

use super::HeaderFault;
use super::bits::BitReader;
use super::sound::Sound;

/// Samples per channel of one audio block.
const BLOCK_SAMPLES: u32 = 256;

/// Table 4.13; each rate stands for two values of the code.
const BIT_RATES_KBPS: [u16; 19] = [
    32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640,
];

/// What a syncframe says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether it is Enhanced AC-3.
    pub is_enhanced: bool,
    /// Rate and channels, the low-frequency one included.
    pub sound: Sound,
    /// Samples per channel of the frame.
    pub samples: u32,
    /// The length of the syncframe in bytes.
    pub frame_bytes: usize,
    /// `fscod`.
    pub rate_code: u8,
    /// `bsid`.
    pub stream_id: u8,
    /// `bsmod`; 0 where it is not said.
    pub mode: u8,
    /// `acmod`.
    pub channel_mode: u8,
    /// Whether there is a low-frequency channel.
    pub has_low_frequency: bool,
    /// Half of `frmsizecod`: the index of the nominal bit rate; 0 for Enhanced AC-3.
    pub bit_rate_code: u8,
}

impl Header {
    /// Reads the header at the start of `frame`.
    ///
    /// # Errors
    /// Where there is none, or it is of a kind that is not carried alone.
    pub fn parse(frame: &[u8]) -> Result<Self, HeaderFault> {
        let mut bits = BitReader::new(frame);
        if bits.bits(16)? != 0x0b77 {
            return Err(HeaderFault::Invalid("syncword"));
        }
        // bsid stands at the same place in both.
        let stream_id = BitReader::new(frame.get(5..).unwrap_or_default()).small(5)?;
        match stream_id {
            0..=10 => Header::read_plain(&mut bits, stream_id),
            11..=16 => Header::read_enhanced(&mut bits, stream_id),
            _ => Err(HeaderFault::Unsupported("AC-3 version")),
        }
    }

    /// Sections 4.3.1 and 4.3.2.
    fn read_plain(bits: &mut BitReader<'_>, stream_id: u8) -> Result<Self, HeaderFault> {
        bits.skip(16)?;
        let rate_code = bits.small(2)?;
        let size_code = bits.small(6)?;
        bits.skip(5)?;
        let mode = bits.small(3)?;
        let channel_mode = bits.small(3)?;
        if channel_mode & 1 != 0 && channel_mode != 1 {
            bits.skip(2)?;
        }
        if channel_mode & 4 != 0 {
            bits.skip(2)?;
        }
        if channel_mode == 2 {
            bits.skip(2)?;
        }
        let has_low_frequency = bits.flag()?;
        let base_rate = base_rate_hz(rate_code)?;
        let kbps = BIT_RATES_KBPS
            .get(usize::from(size_code / 2))
            .copied()
            .ok_or(HeaderFault::Invalid("frame size"))?;
        // Six blocks in words of two bytes; at 44.1 kHz every other frame is one word longer.
        let words = u32::from(kbps) * 96_000 / base_rate;
        let longer = u32::from(rate_code == 1) & u32::from(size_code);
        // Versions 9 and 10 halve and quarter the rate, without a change to the frame.
        let sample_rate_hz = base_rate >> stream_id.saturating_sub(8);
        Ok(Header {
            is_enhanced: false,
            sound: Sound {
                sample_rate_hz,
                channels: channels(channel_mode, has_low_frequency),
            },
            samples: 6 * BLOCK_SAMPLES,
            frame_bytes: 2 * (words + longer) as usize,
            rate_code,
            stream_id,
            mode,
            channel_mode,
            has_low_frequency,
            bit_rate_code: size_code / 2,
        })
    }

    /// Annex E.1.2.1 and E.1.2.2.
    fn read_enhanced(bits: &mut BitReader<'_>, stream_id: u8) -> Result<Self, HeaderFault> {
        // Dependent substreams belong to the frame in front of them.
        if bits.bits(2)? == 1 {
            return Err(HeaderFault::Unsupported("a dependent substream alone"));
        }
        bits.skip(3)?;
        let words = bits.bits(11)? + 1;
        let rate_code = bits.small(2)?;
        let (sample_rate_hz, blocks) = if rate_code == 3 {
            (base_rate_hz(bits.small(2)?)? / 2, 6)
        } else {
            let blocks = [1, 2, 3, 6].get(bits.bits(2)? as usize).copied();
            (base_rate_hz(rate_code)?, blocks.unwrap_or(6))
        };
        let channel_mode = bits.small(3)?;
        let has_low_frequency = bits.flag()?;
        Ok(Header {
            is_enhanced: true,
            sound: Sound {
                sample_rate_hz,
                channels: channels(channel_mode, has_low_frequency),
            },
            samples: blocks * BLOCK_SAMPLES,
            frame_bytes: 2 * words as usize,
            rate_code,
            stream_id,
            mode: 0,
            channel_mode,
            has_low_frequency,
            bit_rate_code: 0,
        })
    }

    /// The body of the box that MP4 wants: `dac3` (annex F.4) or `dec3` (annex F.6) of one
    /// independent substream.
    pub fn specific_box(&self) -> Vec<u8> {
        let low = u64::from(self.has_low_frequency);
        let (rate, id) = (u64::from(self.rate_code), u64::from(self.stream_id));
        let (mode, channels) = (u64::from(self.mode), u64::from(self.channel_mode));
        if !self.is_enhanced {
            // 2, 5, 3, 3, 1 and 5 bits, and 5 reserved.
            let kbps = u64::from(self.bit_rate_code);
            let value = rate << 22 | id << 17 | mode << 14 | channels << 11 | low << 10 | kbps << 5;
            return value.to_be_bytes().into_iter().skip(5).collect();
        }
        let bits = self.frame_bytes as u64 * 8 * u64::from(self.sound.sample_rate_hz);
        let kbps = bits / u64::from(self.samples.max(1)) / 1_000;
        // 13 bits of rate and 3 of substreams less one; 2, 5, 1 reserved, 1 of asvc, 3, 3, 1, 3
        // reserved, 4 of dependent substreams, 1 reserved.
        let head = kbps.min(0x1fff) << 3;
        let value = rate << 22 | id << 17 | mode << 12 | channels << 9 | low << 8;
        let head = head.to_be_bytes().into_iter().skip(6);
        head.chain(value.to_be_bytes().into_iter().skip(5))
            .collect()
    }
}

/// Table 4.1.
fn base_rate_hz(code: u8) -> Result<u32, HeaderFault> {
    match code {
        0 => Ok(48_000),
        1 => Ok(44_100),
        2 => Ok(32_000),
        _ => Err(HeaderFault::Invalid("sample rate")),
    }
}

/// Table 4.3: the channels of `acmod`, and the low-frequency one.
fn channels(mode: u8, has_low_frequency: bool) -> u8 {
    let full = match mode & 7 {
        1 => 1,
        0 | 2 => 2,
        3 | 4 => 3,
        5 | 6 => 4,
        _ => 5,
    };
    full + u8::from(has_low_frequency)
}
