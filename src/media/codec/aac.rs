//! AAC: the AudioSpecificConfig (ISO/IEC 14496-3 section 1.6.2.1).

use super::HeaderFault;
use super::bits::BitReader;
use super::sound::SAMPLE_RATE_HZ_MIN;

/// The longest configuration that is read.
pub const CONFIG_BYTES_MAX: usize = 1_024;

/// Sampling frequencies by their index (table 1.18); the indices behind are reserved.
pub const SAMPLE_RATES_HZ: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// The highest rate that is believed, written out or not.
const SAMPLE_RATE_HZ_MAX: u32 = 192_000;

/// Audio object types (table 1.17).
pub mod object_type {
    /// AAC Main.
    pub const MAIN: u8 = 1;
    /// AAC low complexity.
    pub const LC: u8 = 2;
    /// Spectral band replication on top of another type.
    pub const SBR: u8 = 5;
    /// BSAC with error resilience.
    pub const ER_BSAC: u8 = 22;
    /// AAC low delay with error resilience.
    pub const ER_LD: u8 = 23;
    /// Parametric stereo on top of SBR.
    pub const PS: u8 = 29;
    /// Says that six more bits follow.
    pub const ESCAPE: u8 = 31;
    /// MPEG layer III in MPEG-4.
    pub const LAYER_3: u8 = 34;
    /// AAC enhanced low delay.
    pub const ER_ELD: u8 = 39;
    /// Unified speech and audio coding (xHE-AAC).
    pub const USAC: u8 = 42;
}

/// What a configuration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The object type of the core coder.
    pub object_type: u8,
    /// The core coder's rate in Hz.
    pub core_rate_hz: u32,
    /// The channels of the core coder; 0 where they are not said.
    pub core_channels: u8,
    /// `channelConfiguration` as it stands (table 1.19).
    pub channel_configuration: u8,
    /// Samples per channel of one frame, at the core coder's rate.
    pub frame_samples: u32,
    /// The rate behind spectral band replication, where the configuration says that there is some.
    /// Configurations that are silent leave it to the decoder to find it in the sound.
    pub sbr_rate_hz: Option<u32>,
    /// Whether the configuration says that one channel becomes two by parametric stereo.
    pub has_parametric_stereo: bool,
}

impl Config {
    /// Reads an AudioSpecificConfig.
    ///
    /// # Errors
    /// Where it ends too early, or has a rate or channels that cannot be.
    pub fn parse(config: &[u8]) -> Result<Self, HeaderFault> {
        if config.len() > CONFIG_BYTES_MAX {
            return Err(HeaderFault::Invalid("length"));
        }
        let mut bits = BitReader::new(config);
        let mut kind = read_object_type(&mut bits)?;
        let core_rate_hz = read_rate(&mut bits)?;
        let channel_configuration = bits.small(4)?;
        let mut parsed = Config {
            object_type: kind,
            core_rate_hz,
            core_channels: channels(channel_configuration)?,
            channel_configuration,
            frame_samples: 1_024,
            sbr_rate_hz: None,
            has_parametric_stereo: kind == object_type::PS,
        };
        let hierarchical = matches!(kind, object_type::SBR | object_type::PS);
        if hierarchical {
            parsed.sbr_rate_hz = Some(read_rate(&mut bits)?);
            kind = read_object_type(&mut bits)?;
            if kind == object_type::ER_BSAC {
                bits.skip(4)?;
            }
            parsed.object_type = kind;
        }
        if kind == 0 || kind == object_type::SBR || kind == object_type::PS {
            return Err(HeaderFault::Invalid("audio object type"));
        }
        match kind {
            1..=4 | 6 | 7 | 17 | 19..=23 => {
                parsed.read_general(&mut bits)?;
                if kind >= 17 {
                    // epConfig: values above 1 bring more, which says nothing of the sound.
                    bits.skip(2)?;
                } else if !hierarchical {
                    // Set-up that is cut short behind its core is as if it said no more.
                    let _ = parsed.read_extension(&mut bits);
                }
            }
            object_type::ER_ELD => {
                parsed.frame_samples = if bits.flag()? { 480 } else { 512 };
            }
            _ => {}
        }
        Ok(parsed)
    }

    /// GASpecificConfig (section 4.4.1).
    fn read_general(&mut self, bits: &mut BitReader<'_>) -> Result<(), HeaderFault> {
        let short = bits.flag()?;
        self.frame_samples = match (self.object_type, short) {
            (object_type::ER_LD, false) => 512,
            (object_type::ER_LD, true) => 480,
            (_, false) => 1_024,
            (_, true) => 960,
        };
        if bits.flag()? {
            bits.skip(14)?;
        }
        let has_extension = bits.flag()?;
        if self.channel_configuration == 0 {
            self.core_channels = read_program(bits)?;
        }
        if matches!(self.object_type, 6 | 20) {
            bits.skip(3)?;
        }
        if has_extension {
            match self.object_type {
                object_type::ER_BSAC => bits.skip(16)?,
                17 | 19 | 20 | object_type::ER_LD => bits.skip(3)?,
                _ => {}
            }
            bits.skip(1)?;
        }
        Ok(())
    }

    /// SBR and PS said behind the core's set-up, where old decoders do not look (section 1.6.5.2).
    fn read_extension(&mut self, bits: &mut BitReader<'_>) -> Result<(), HeaderFault> {
        const SYNC_SBR: u32 = 0x2b7;
        const SYNC_PS: u32 = 0x548;
        if bits.bits_left() < 16 || bits.bits(11)? != SYNC_SBR {
            return Ok(());
        }
        if read_object_type(bits)? != object_type::SBR || !bits.flag()? {
            return Ok(());
        }
        self.sbr_rate_hz = Some(read_rate(bits)?);
        if bits.bits_left() >= 12 && bits.bits(11)? == SYNC_PS {
            self.has_parametric_stereo = bits.flag()?;
        }
        Ok(())
    }

    /// Samples per second of the decoded sound.
    pub fn sample_rate_hz(&self) -> u32 {
        self.sbr_rate_hz.unwrap_or(self.core_rate_hz)
    }

    /// Channels of the decoded sound; 0 where they are not said.
    pub fn channels(&self) -> u8 {
        if self.has_parametric_stereo && self.core_channels == 1 {
            2
        } else {
            self.core_channels
        }
    }

    /// The `codecs` parameter (RFC 6381 section 3.3): the outermost object type.
    pub fn rfc6381(&self) -> String {
        let kind = if self.has_parametric_stereo {
            object_type::PS
        } else if self.sbr_rate_hz.is_some() {
            object_type::SBR
        } else {
            self.object_type
        };
        format!("mp4a.40.{kind}")
    }

    /// The nanoseconds that one frame plays.
    pub fn frame_nanos(&self) -> u64 {
        let rate = u64::from(self.core_rate_hz.max(1));
        (u64::from(self.frame_samples) * 1_000_000_000 + rate / 2) / rate
    }
}

/// The configuration of AAC-LC at a rate of the table with 1 to 8 channels (7 are not coded).
pub fn low_complexity(sample_rate_hz: u32, channels: u8) -> Option<[u8; 2]> {
    let index = SAMPLE_RATES_HZ
        .iter()
        .position(|rate| *rate == sample_rate_hz)?;
    let configuration = match channels {
        1..=6 => channels,
        8 => 7,
        _ => return None,
    };
    // Five bits of type, four of rate, four of channels, three zeros. The index is below 13.
    let word =
        u16::from(object_type::LC) << 11 | (index as u16) << 7 | u16::from(configuration) << 3;
    Some(word.to_be_bytes())
}

fn read_object_type(bits: &mut BitReader<'_>) -> Result<u8, HeaderFault> {
    match bits.small(5)? {
        object_type::ESCAPE => Ok(32 + bits.small(6)?),
        kind => Ok(kind),
    }
}

fn read_rate(bits: &mut BitReader<'_>) -> Result<u32, HeaderFault> {
    let rate = match bits.bits(4)? {
        15 => bits.bits(24)?,
        index => SAMPLE_RATES_HZ.get(index as usize).copied().unwrap_or(0),
    };
    if !(SAMPLE_RATE_HZ_MIN..=SAMPLE_RATE_HZ_MAX).contains(&rate) {
        return Err(HeaderFault::Invalid("sample rate"));
    }
    Ok(rate)
}

/// Table 1.19; 0 leaves it to a program config element.
fn channels(configuration: u8) -> Result<u8, HeaderFault> {
    match configuration {
        0..=6 => Ok(configuration),
        7 | 12 | 14 => Ok(8),
        11 => Ok(7),
        13 => Ok(24),
        _ => Err(HeaderFault::Invalid("channel configuration")),
    }
}

/// The channels of a program config element (section 4.5.1.2): front, side and back elements of
/// one or two channels, low-frequency elements of one.
fn read_program(bits: &mut BitReader<'_>) -> Result<u8, HeaderFault> {
    bits.skip(4 + 2 + 4)?;
    let (front, side, back) = (bits.small(4)?, bits.small(4)?, bits.small(4)?);
    let low = bits.small(2)?;
    let (associated, coupling) = (bits.small(3)?, bits.small(4)?);
    for mixdown_bits in [4, 4, 3] {
        if bits.flag()? {
            bits.skip(mixdown_bits)?;
        }
    }
    let mut channels = low;
    for _ in 0..front + side + back {
        channels += if bits.flag()? { 2 } else { 1 };
        bits.skip(4)?;
    }
    bits.skip(4 * usize::from(low + associated) + 5 * usize::from(coupling))?;
    bits.align();
    let comment = bits.bits(8)?;
    bits.skip(8 * comment as usize)?;
    Ok(channels)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Object type, rate, channels, samples of a frame, and the `codecs` parameter.
    type Said = (u8, u32, u8, u32, &'static str);

    fn check(config: &[u8], expected: Said) {
        let parsed = Config::parse(config).expect("a configuration");
        let said = (
            parsed.object_type,
            parsed.sample_rate_hz(),
            parsed.channels(),
            parsed.frame_samples,
            parsed.rfc6381(),
        );
        let (kind, rate, channels, samples, codecs) = expected;
        assert_eq!(
            said,
            (kind, rate, channels, samples, codecs.to_owned()),
            "{config:02x?}"
        );
    }

    #[test]
    fn configurations_say_what_is_decoded() {
        // AAC-LC, 44.1 kHz stereo and 48 kHz 5.1.
        check(&[0x12, 0x10], (2, 44_100, 2, 1_024, "mp4a.40.2"));
        check(&[0x11, 0xb0], (2, 48_000, 6, 1_024, "mp4a.40.2"));
        // The last three bits: 960 samples.
        check(&[0x12, 0x14], (2, 44_100, 2, 960, "mp4a.40.2"));
        // SBR first, PS first, and both behind the core's set-up.
        check(
            &[0x2b, 0x92, 0x08, 0x00],
            (2, 44_100, 2, 1_024, "mp4a.40.5"),
        );
        check(
            &[0xeb, 0x8a, 0x08, 0x00],
            (2, 44_100, 2, 1_024, "mp4a.40.29"),
        );
        check(
            &[0x13, 0x90, 0x56, 0xe5, 0xa0],
            (2, 44_100, 2, 1_024, "mp4a.40.5"),
        );
        check(
            &[0x13, 0x88, 0x56, 0xe5, 0xa5, 0x48, 0x80],
            (2, 44_100, 2, 1_024, "mp4a.40.29"),
        );
        // The same bits with SBR absent.
        check(
            &[0x13, 0x90, 0x56, 0xe5, 0x00],
            (2, 22_050, 2, 1_024, "mp4a.40.2"),
        );
        // A rate written out: 12,345 Hz, stereo.
        check(
            &[0x17, 0x80, 0x18, 0x1c, 0x90, 0x00],
            (2, 12_345, 2, 1_024, "mp4a.40.2"),
        );
        // Escape: 32 + 10 is USAC, 48 kHz, stereo; enhanced low delay with 512 samples.
        check(&[0xf9, 0x46, 0x40], (42, 48_000, 2, 1_024, "mp4a.40.42"));
        check(
            &[0xf8, 0xe6, 0x40, 0x00],
            (39, 48_000, 2, 512, "mp4a.40.39"),
        );
    }

    #[test]
    fn a_program_config_counts_its_channels() {
        // Front: a single and a pair, back: a pair, one low-frequency element.
        let bits = "00010 0011 0000 000 0000 01 0011 0010 0000 0001 01 000 0000 0 0 0 \
                    0 0000 1 0000 1 0001 0000 00 00000000";
        let mut bytes = Vec::new();
        let digits: Vec<u8> = bits.bytes().filter(|byte| *byte != b' ').collect();
        for byte in digits.chunks(8) {
            let value = byte
                .iter()
                .fold(0u8, |value, bit| value << 1 | (bit - b'0'));
            bytes.push(value << (8 - byte.len()));
        }
        check(&bytes, (2, 48_000, 6, 1_024, "mp4a.40.2"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for config in [
            &[][..],
            &[0x12],
            // Reserved rate, reserved channels, type 0, SBR of SBR.
            &[0x16, 0x90],
            &[0x12, 0x50],
            &[0x02, 0x10],
            &[0x2b, 0x92, 0x14, 0x00],
            // A rate of 0 and one above all sense, written out.
            &[0x17, 0x80, 0x00, 0x00, 0x10, 0x00],
            &[0x17, 0xff, 0xff, 0xff, 0x90, 0x00],
        ] {
            assert!(Config::parse(config).is_err(), "{config:02x?}");
        }
    }

    #[test]
    fn made_configurations_are_read_back() {
        for (rate, channels) in [(48_000, 2), (44_100, 1), (8_000, 6), (96_000, 8)] {
            let config = low_complexity(rate, channels).expect("in the tables");
            check(&config, (2, rate, channels, 1_024, "mp4a.40.2"));
        }
        assert_eq!(low_complexity(44_101, 2), None);
        assert_eq!(low_complexity(44_100, 7), None);
    }

    #[test]
    fn frames_play_as_long_as_their_core_says() {
        let nanos = |config: &[u8]| {
            Config::parse(config)
                .expect("a configuration")
                .frame_nanos()
        };
        assert_eq!(nanos(&[0x11, 0x90]), 21_333_333);
        assert_eq!(nanos(&[0x2b, 0x92, 0x08, 0x00]), 46_439_909);
    }
}
