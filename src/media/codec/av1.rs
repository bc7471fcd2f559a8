//! AV1: open bitstream units, sequence headers, configurations, keyframes (AV1 Bitstream &
//! Decoding Process Specification, and AV1 in ISOBMFF).

use bytes::{BufMut, Bytes, BytesMut};

use super::HeaderFault;
use super::bits::{BitReader, leb128};
use super::video::{Picture, Timing, frame_rate_millihz};

/// The most units of one temporal unit: what is beyond is damage.
pub const OBUS_MAX: usize = 4_096;

/// The types of units that matter here (section 6.2.2).
pub mod obu_type {
    /// A sequence header.
    pub const SEQUENCE_HEADER: u8 = 1;
    /// The border between temporal units.
    pub const TEMPORAL_DELIMITER: u8 = 2;
    /// A frame header alone.
    pub const FRAME_HEADER: u8 = 3;
    /// A frame header with its tiles.
    pub const FRAME: u8 = 6;
    /// Filling.
    pub const PADDING: u8 = 15;
}

/// One open bitstream unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Obu<'a> {
    /// Its type.
    pub kind: u8,
    /// All of it, header and size included.
    pub whole: &'a [u8],
    /// What stands behind header and size.
    pub payload: &'a [u8],
}

/// The units of a temporal unit (section 5.3.1). One without a size takes what is left. Ends after
/// the first fault.
pub fn obus(bytes: &[u8]) -> impl Iterator<Item = Result<Obu<'_>, HeaderFault>> {
    let mut rest = bytes;
    let mut seen = 0;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        seen += 1;
        let split = if seen > OBUS_MAX {
            Err(HeaderFault::Invalid("number of OBUs"))
        } else {
            split_obu(rest)
        };
        rest = match &split {
            Ok(obu) => rest.get(obu.whole.len()..).unwrap_or_default(),
            Err(_) => &[],
        };
        Some(split)
    })
}

fn split_obu(bytes: &[u8]) -> Result<Obu<'_>, HeaderFault> {
    let head = *bytes.first().ok_or(HeaderFault::Truncated)?;
    if head & 0x80 != 0 {
        return Err(HeaderFault::Invalid("OBU header"));
    }
    let head_bytes = if head & 4 != 0 { 2 } else { 1 };
    let rest = bytes.get(head_bytes..).ok_or(HeaderFault::Truncated)?;
    let (size, size_bytes) = if head & 2 != 0 {
        let (size, size_bytes) = leb128(rest)?;
        (size as usize, size_bytes)
    } else {
        (rest.len(), 0)
    };
    let payload = rest
        .get(size_bytes..)
        .and_then(|rest| rest.get(..size))
        .ok_or(HeaderFault::Truncated)?;
    let whole_bytes = head_bytes + size_bytes + size;
    Ok(Obu {
        kind: head >> 3 & 15,
        whole: bytes.get(..whole_bytes).ok_or(HeaderFault::Truncated)?,
        payload,
    })
}

/// What a sequence header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceHeader {
    /// `seq_profile`.
    pub profile: u8,
    /// `seq_level_idx` of the first operating point.
    pub level: u8,
    /// `seq_tier` of the first operating point.
    pub tier: u8,
    /// Bits of a sample: 8, 10 or 12.
    pub sample_bits: u8,
    /// Whether there is luma only.
    pub is_monochrome: bool,
    /// Whether chroma is halved in width.
    pub subsampled_x: bool,
    /// Whether chroma is halved in height.
    pub subsampled_y: bool,
    /// `chroma_sample_position`.
    pub chroma_position: u8,
    /// Primaries, transfer and matrix (2 where they are not said), and full range.
    pub color: Color,
    /// The largest size of pictures.
    pub picture: Picture,
    /// Pictures in 1,000 seconds; 0 where it is not said.
    pub frame_rate_millihz: u32,
    /// Whether every picture is a whole one with a header without fields that others have.
    pub is_still: bool,
}

/// Colours by the numbers of ISO/IEC 23091-2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Color {
    /// Colour primaries.
    pub primaries: u8,
    /// Transfer characteristics.
    pub transfer: u8,
    /// Matrix coefficients.
    pub matrix: u8,
    /// Whether samples use their full range.
    pub full_range: bool,
}

impl Color {
    /// What holds where nothing is said.
    pub const UNSAID: Color = Color {
        primaries: 2,
        transfer: 2,
        matrix: 2,
        full_range: false,
    };
}

impl SequenceHeader {
    /// Reads the payload of a sequence header (section 5.5.1).
    ///
    /// # Errors
    /// Where it ends too early or says what it must not.
    pub fn parse(payload: &[u8]) -> Result<Self, HeaderFault> {
        let mut bits = BitReader::new(payload);
        let profile = bits.small(3)?;
        if profile > 2 {
            return Err(HeaderFault::Invalid("profile"));
        }
        bits.skip(1)?;
        let reduced = bits.flag()?;
        let mut header = SequenceHeader {
            profile,
            level: 0,
            tier: 0,
            sample_bits: 8,
            is_monochrome: false,
            subsampled_x: true,
            subsampled_y: true,
            chroma_position: 0,
            color: Color::UNSAID,
            picture: Picture::default(),
            frame_rate_millihz: 0,
            is_still: reduced,
        };
        if reduced {
            header.level = bits.small(5)?;
        } else {
            header.read_operating_points(&mut bits)?;
        }
        header.read_size(&mut bits, reduced)?;
        bits.skip(3)?;
        if !reduced {
            skip_tools(&mut bits)?;
        }
        bits.skip(3)?;
        header.read_color(&mut bits)?;
        Ok(header)
    }

    fn read_operating_points(&mut self, bits: &mut BitReader<'_>) -> Result<(), HeaderFault> {
        let mut delay_bits = None;
        if bits.flag()? {
            let timing = Timing {
                units: bits.bits(32)?,
                scale: bits.bits(32)?,
            };
            if bits.flag()? {
                let ticks = bits.uvlc()?.saturating_add(1);
                self.frame_rate_millihz = frame_rate_millihz(timing, ticks);
            }
            if bits.flag()? {
                delay_bits = Some(bits.bits(5)? as usize + 1);
                bits.skip(32 + 10)?;
            }
        }
        let has_initial_delay = bits.flag()?;
        let points = bits.bits(5)? + 1;
        for point in 0..points {
            bits.skip(12)?;
            let level = bits.small(5)?;
            let tier = if level > 7 { bits.small(1)? } else { 0 };
            if point == 0 {
                (self.level, self.tier) = (level, tier);
            }
            if let Some(delay_bits) = delay_bits
                && bits.flag()?
            {
                bits.skip(2 * delay_bits + 1)?;
            }
            if has_initial_delay && bits.flag()? {
                bits.skip(4)?;
            }
        }
        Ok(())
    }

    fn read_size(&mut self, bits: &mut BitReader<'_>, reduced: bool) -> Result<(), HeaderFault> {
        let (width_bits, height_bits) = (bits.bits(4)? + 1, bits.bits(4)? + 1);
        let width = u64::from(bits.bits(width_bits)?) + 1;
        let height = u64::from(bits.bits(height_bits)?) + 1;
        self.picture = Picture::cropped((width, height), (0, 0))?;
        if !reduced && bits.flag()? {
            bits.skip(4 + 3)?;
        }
        Ok(())
    }

    /// Section 5.5.2.
    fn read_color(&mut self, bits: &mut BitReader<'_>) -> Result<(), HeaderFault> {
        let high = bits.flag()?;
        self.sample_bits = match (self.profile, high) {
            (2, true) => 10 + 2 * bits.small(1)?,
            (_, true) => 10,
            (_, false) => 8,
        };
        self.is_monochrome = self.profile != 1 && bits.flag()?;
        if bits.flag()? {
            self.color.primaries = bits.small(8)?;
            self.color.transfer = bits.small(8)?;
            self.color.matrix = bits.small(8)?;
        }
        if self.is_monochrome {
            self.color.full_range = bits.flag()?;
            return Ok(());
        }
        // sRGB is never subsampled.
        if (self.color.primaries, self.color.transfer, self.color.matrix) == (1, 13, 0) {
            self.color.full_range = true;
            (self.subsampled_x, self.subsampled_y) = (false, false);
            return Ok(());
        }
        self.color.full_range = bits.flag()?;
        (self.subsampled_x, self.subsampled_y) = match (self.profile, self.sample_bits) {
            (0, _) => (true, true),
            (1, _) => (false, false),
            (_, 12) => {
                let x = bits.flag()?;
                (x, x && bits.flag()?)
            }
            _ => (true, false),
        };
        if self.subsampled_x && self.subsampled_y {
            self.chroma_position = bits.small(2)?;
        }
        Ok(())
    }

    /// The `codecs` parameter (AV1 in ISOBMFF section 5), in its short form where colours are not
    /// said.
    pub fn rfc6381(&self) -> String {
        let tier = if self.tier == 0 { 'M' } else { 'H' };
        let short = format!(
            "av01.{}.{:02}{tier}.{:02}",
            self.profile, self.level, self.sample_bits
        );
        let is_plain = self.color == Color::UNSAID
            && !self.is_monochrome
            && self.subsampled_x
            && self.subsampled_y;
        if is_plain {
            return short;
        }
        // A position is said of 4:2:0 only.
        let position = if self.subsampled_x && self.subsampled_y {
            self.chroma_position
        } else {
            0
        };
        format!(
            "{short}.{}.{}{}{position}.{:02}.{:02}.{:02}.{}",
            u8::from(self.is_monochrome),
            u8::from(self.subsampled_x),
            u8::from(self.subsampled_y),
            self.color.primaries,
            self.color.transfer,
            self.color.matrix,
            u8::from(self.color.full_range),
        )
    }
}

/// The flags of coding tools that stand between size and colours.
fn skip_tools(bits: &mut BitReader<'_>) -> Result<(), HeaderFault> {
    bits.skip(4)?;
    let has_order_hint = bits.flag()?;
    if has_order_hint {
        bits.skip(2)?;
    }
    let screen_tools = if bits.flag()? { 2 } else { bits.bits(1)? };
    if screen_tools > 0 && !bits.flag()? {
        bits.skip(1)?;
    }
    if has_order_hint {
        bits.skip(3)?;
    }
    Ok(())
}

/// An AV1CodecConfigurationRecord taken apart (AV1 in ISOBMFF section 2.3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The sequence header unit as it stands, empty where the record has none.
    pub sequence: Bytes,
    /// What it says.
    pub header: Option<SequenceHeader>,
    /// `seq_profile`, level and tier of the record itself.
    pub profile: u8,
    /// `seq_level_idx_0` of the record itself.
    pub level: u8,
    /// `seq_tier_0` of the record itself.
    pub tier: u8,
}

impl Config {
    /// Reads a record.
    ///
    /// # Errors
    /// Where it is none, or its sequence header cannot be read.
    pub fn parse(record: &Bytes) -> Result<Self, HeaderFault> {
        let Some((&[marker, levels, flags, _], rest)) = record.split_first_chunk::<4>() else {
            return Err(HeaderFault::Truncated);
        };
        if marker != 0x81 {
            return Err(HeaderFault::Invalid("configuration version"));
        }
        let mut config = Config {
            sequence: Bytes::new(),
            header: None,
            profile: levels >> 5,
            level: levels & 0x1f,
            tier: flags >> 7,
        };
        for obu in obus(rest) {
            let obu = obu?;
            if obu.kind == obu_type::SEQUENCE_HEADER {
                config.header = Some(SequenceHeader::parse(obu.payload)?);
                config.sequence = record.slice_ref(obu.whole);
                break;
            }
        }
        Ok(config)
    }
}

/// The record of a sequence header unit (its header and size included).
///
/// # Errors
/// Where the unit is none.
pub fn record(sequence: &[u8]) -> Result<Bytes, HeaderFault> {
    let obu = obus(sequence).next().ok_or(HeaderFault::Truncated)??;
    if obu.kind != obu_type::SEQUENCE_HEADER {
        return Err(HeaderFault::Invalid("sequence header"));
    }
    let header = SequenceHeader::parse(obu.payload)?;
    let mut record = BytesMut::with_capacity(4 + obu.whole.len());
    record.put_u8(0x81);
    record.put_u8(header.profile << 5 | header.level);
    record.put_u8(
        header.tier << 7
            | u8::from(header.sample_bits > 8) << 6
            | u8::from(header.sample_bits == 12) << 5
            | u8::from(header.is_monochrome) << 4
            | u8::from(header.subsampled_x) << 3
            | u8::from(header.subsampled_y) << 2
            | header.chroma_position,
    );
    record.put_u8(0);
    record.extend_from_slice(obu.whole);
    Ok(record.freeze())
}

impl Config {
    /// The record of the sequence header in a temporal unit, where it says something else than this
    /// one.
    ///
    /// # Errors
    /// Where the unit is damaged, or its sequence header cannot be read.
    pub fn changed_by(&self, unit: &[u8]) -> Result<Option<Bytes>, HeaderFault> {
        let Some(found) = Content::parse(unit)?.sequence else {
            return Ok(None);
        };
        let known = obus(&self.sequence).next().transpose()?;
        if known.is_some_and(|known| known.payload == found.payload) {
            return Ok(None);
        }
        record(found.whole).map(Some)
    }
}

/// A temporal unit without the delimiters that may stand first.
///
/// # Errors
/// Where what stands first is no unit.
pub fn without_delimiter(unit: &Bytes) -> Result<Bytes, HeaderFault> {
    let mut delimiters_bytes = 0;
    for obu in obus(unit) {
        let obu = obu?;
        if obu.kind != obu_type::TEMPORAL_DELIMITER {
            break;
        }
        delimiters_bytes += obu.whole.len();
    }
    Ok(unit.slice(delimiters_bytes..))
}

/// What a temporal unit is to somebody who wants to start with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content<'a> {
    /// Its first frame is a key frame that is shown (section 5.9.2).
    pub is_key: bool,
    /// Its first sequence header unit.
    pub sequence: Option<Obu<'a>>,
    /// Has any frame at all.
    pub picture: bool,
}

impl<'a> Content<'a> {
    /// Looks through a temporal unit.
    ///
    /// # Errors
    /// Where it does not consist of units.
    pub fn parse(unit: &'a [u8]) -> Result<Self, HeaderFault> {
        let mut content = Content::default();
        for obu in obus(unit) {
            let obu = obu?;
            match obu.kind {
                obu_type::SEQUENCE_HEADER if content.sequence.is_none() => {
                    content.sequence = Some(obu);
                }
                obu_type::FRAME | obu_type::FRAME_HEADER if !content.picture => {
                    content.picture = true;
                    // show_existing_frame 0, frame_type KEY_FRAME 00, show_frame 1.
                    let head = obu.payload.first().map_or(0xff, |byte| byte >> 4);
                    content.is_key = head == 0b0001;
                }
                _ => {}
            }
        }
        Ok(content)
    }

    /// Whether a decoder may start here: a key frame with its sequence header.
    pub fn is_keyframe(&self) -> bool {
        self.is_key && self.sequence.is_some()
    }
}
