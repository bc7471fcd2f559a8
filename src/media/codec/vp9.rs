//! VP9: configurations and frame headers (VP9 Bitstream & Decoding Process Specification, and VP
//! Codec ISO Media File Format Binding).

use bytes::{BufMut, Bytes, BytesMut};

use super::HeaderFault;
use super::bits::BitReader;
use super::video::Picture;

/// A VPCodecConfigurationRecord.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The profile, 0 to 3.
    pub profile: u8,
    /// Ten times the level; 0 where it is not known.
    pub level: u8,
    /// Bits of a sample: 8, 10 or 12.
    pub sample_bits: u8,
    /// `chromaSubsampling`: 0 and 1 are 4:2:0, 2 is 4:2:2, 3 is 4:4:4.
    pub chroma_subsampling: u8,
    /// Whether samples use their full range.
    pub full_range: bool,
    /// Colour primaries (ISO/IEC 23091-2).
    pub primaries: u8,
    /// Transfer characteristics.
    pub transfer: u8,
    /// Matrix coefficients.
    pub matrix: u8,
}

/// The bytes of a record.
const RECORD_BYTES: usize = 8;

impl Config {
    /// Reads a record, or the whole box body with its version and flags in front.
    ///
    /// # Errors
    /// Where it is none.
    pub fn parse(record: &[u8]) -> Result<Self, HeaderFault> {
        let record = match record {
            [1, 0, 0, 0, rest @ ..] if rest.len() >= RECORD_BYTES => rest,
            _ => record,
        };
        let Some(&[profile, level, depth, primaries, transfer, matrix, _, _]) =
            record.first_chunk::<RECORD_BYTES>()
        else {
            return Err(HeaderFault::Truncated);
        };
        let config = Config {
            profile,
            level,
            sample_bits: depth >> 4,
            chroma_subsampling: depth >> 1 & 7,
            full_range: depth & 1 != 0,
            primaries,
            transfer,
            matrix,
        };
        if profile > 3 || !matches!(config.sample_bits, 8 | 10 | 12) {
            return Err(HeaderFault::Invalid("VP9 configuration"));
        }
        Ok(config)
    }

    /// The record.
    pub fn record(&self) -> Bytes {
        let mut record = BytesMut::with_capacity(RECORD_BYTES);
        record.put_u8(self.profile);
        record.put_u8(self.level);
        record.put_u8(
            self.sample_bits << 4 | (self.chroma_subsampling & 7) << 1 | u8::from(self.full_range),
        );
        record.put_slice(&[self.primaries, self.transfer, self.matrix, 0, 0]);
        record.freeze()
    }

    /// The `codecs` parameter, in its short form.
    pub fn rfc6381(&self) -> String {
        // Levels start at 10; a text without one would be invalid.
        let level = self.level.max(10);
        format!(
            "vp09.{:02}.{level:02}.{:02}",
            self.profile, self.sample_bits
        )
    }
}

/// Ten times the lowest level whose pictures are as large (level definitions, section A); at the
/// rates that are usual for their size.
pub fn level_of(picture: Picture) -> u8 {
    const LEVELS: [(u32, u8); 9] = [
        (36_864, 10),
        (73_728, 11),
        (122_880, 20),
        (245_760, 21),
        (552_960, 30),
        (983_040, 31),
        (2_228_224, 40),
        (8_912_896, 50),
        (35_651_584, 60),
    ];
    let samples = u32::from(picture.width) * u32::from(picture.height);
    let level = LEVELS
        .iter()
        .find(|(samples_max, _)| samples <= *samples_max);
    level.map_or(62, |(_, level)| *level)
}

/// What the uncompressed header of a frame says (section 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Whether decoding may start here.
    pub is_key: bool,
    /// The size of pictures, of keyframes only.
    pub picture: Option<Picture>,
    /// The configuration of keyframes, without a level.
    pub config: Option<Config>,
}

impl FrameHeader {
    /// Reads the header at the start of a (super)frame.
    ///
    /// # Errors
    /// Where it is none or ends too early.
    pub fn parse(frame: &[u8]) -> Result<Self, HeaderFault> {
        let mut bits = BitReader::new(frame);
        if bits.bits(2)? != 2 {
            return Err(HeaderFault::Invalid("frame marker"));
        }
        let profile = bits.small(1)? | bits.small(1)? << 1;
        if profile == 3 {
            bits.skip(1)?;
        }
        let inter = FrameHeader {
            is_key: false,
            picture: None,
            config: None,
        };
        // show_existing_frame, then frame_type: 0 is a keyframe.
        if bits.flag()? || bits.flag()? {
            return Ok(inter);
        }
        bits.skip(2)?;
        if bits.bits(24)? != 0x49_8342 {
            return Err(HeaderFault::Invalid("sync code"));
        }
        let config = read_color(&mut bits, profile)?;
        let size = (u64::from(bits.bits(16)?) + 1, u64::from(bits.bits(16)?) + 1);
        Ok(FrameHeader {
            is_key: true,
            picture: Some(Picture::cropped(size, (0, 0))?),
            config: Some(config),
        })
    }
}

/// Section 6.2.2.
fn read_color(bits: &mut BitReader<'_>, profile: u8) -> Result<Config, HeaderFault> {
    const SRGB: u8 = 7;
    let sample_bits = if profile < 2 {
        8
    } else {
        10 + 2 * bits.small(1)?
    };
    let space = bits.small(3)?;
    let has_choice = profile & 1 == 1;
    let (full_range, chroma_subsampling) = if space == SRGB {
        if !has_choice {
            return Err(HeaderFault::Invalid("color space"));
        }
        bits.skip(1)?;
        (true, 3)
    } else {
        let full_range = bits.flag()?;
        let chroma = if has_choice {
            let (x, y) = (bits.flag()?, bits.flag()?);
            bits.skip(1)?;
            match (x, y) {
                (true, true) => 1,
                (true, false) => 2,
                _ => 3,
            }
        } else {
            1
        };
        (full_range, chroma)
    };
    // Table of color_space to ISO/IEC 23091-2: what is not said is 2.
    let (primaries, transfer, matrix) = match space {
        1 => (6, 6, 6),
        2 => (1, 1, 1),
        3 => (6, 6, 6),
        4 => (7, 7, 7),
        5 => (9, 14, 9),
        SRGB => (1, 13, 0),
        _ => (2, 2, 2),
    };
    Ok(Config {
        profile,
        level: 0,
        sample_bits,
        chroma_subsampling,
        full_range,
        primaries,
        transfer,
        matrix,
    })
}
