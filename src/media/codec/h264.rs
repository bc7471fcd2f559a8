//! H.264: sequence parameter sets, decoder configurations, keyframes (ISO/IEC 14496-10 and
//! ISO/IEC 14496-15 section 5.3.3).

use bytes::{BufMut, Bytes, BytesMut};

use super::HeaderFault;
use super::bits::{BitReader, ByteReader, without_emulation};
use super::nal;
use super::video::{Picture, Timing, frame_rate_millihz};

/// The most bytes of one parameter set: its length has 16 bits in a configuration.
pub const PARAMETER_SET_BYTES_MAX: usize = u16::MAX as usize;

/// The types of NAL units that matter here (table 7-1).
pub mod nal_type {
    /// A coded slice of a picture that is no IDR picture.
    pub const SLICE: u8 = 1;
    /// Partition A of such a slice.
    pub const PARTITION_A: u8 = 2;
    /// A coded slice of an IDR picture.
    pub const IDR: u8 = 5;
    /// Supplemental enhancement information.
    pub const SEI: u8 = 6;
    /// A sequence parameter set.
    pub const SPS: u8 = 7;
    /// A picture parameter set.
    pub const PPS: u8 = 8;
    /// An access unit delimiter.
    pub const DELIMITER: u8 = 9;
}

/// The type of a NAL unit; 0 for an empty one.
pub fn unit_type(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |byte| byte & 0x1f)
}

/// What a sequence parameter set says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sps {
    /// `profile_idc`.
    pub profile: u8,
    /// `constraint_set0_flag` to `constraint_set5_flag`, the first in the highest bit.
    pub constraints: u8,
    /// `level_idc`: ten times the level.
    pub level: u8,
    /// `chroma_format_idc`: 1 is 4:2:0.
    pub chroma_format: u8,
    /// Bits of a luma sample.
    pub luma_bits: u8,
    /// Bits of a chroma sample.
    pub chroma_bits: u8,
    /// The pictures' size as shown.
    pub picture: Picture,
    /// Pictures in 1,000 seconds; 0 where it is not said.
    pub frame_rate_millihz: u32,
}

impl Sps {
    /// Reads a NAL unit of type 7, its header byte included (section 7.3.2.1.1).
    ///
    /// # Errors
    /// Where it is no such unit, ends too early or has a size that cannot be.
    pub fn parse(unit: &[u8]) -> Result<Self, HeaderFault> {
        if unit_type(unit) != nal_type::SPS || unit.len() > PARAMETER_SET_BYTES_MAX {
            return Err(HeaderFault::Invalid("sequence parameter set"));
        }
        let raw = without_emulation(unit);
        let mut bits = BitReader::new(&raw);
        bits.skip(8)?;
        let profile = bits.small(8)?;
        let constraints = bits.small(8)?;
        let level = bits.small(8)?;
        bits.ue()?;
        let mut sps = Sps {
            profile,
            constraints,
            level,
            chroma_format: 1,
            luma_bits: 8,
            chroma_bits: 8,
            picture: Picture::default(),
            frame_rate_millihz: 0,
        };
        let separate_planes = if has_chroma_format(profile) {
            sps.read_chroma(&mut bits)?
        } else {
            false
        };
        skip_picture_order(&mut bits)?;
        // max_num_ref_frames, gaps_in_frame_num_value_allowed_flag.
        bits.ue()?;
        bits.skip(1)?;
        sps.read_size(&mut bits, separate_planes)?;
        if bits.flag()? {
            // A VUI that is cut short loses the frame rate and nothing else.
            sps.frame_rate_millihz = read_frame_rate(&mut bits).unwrap_or(0);
        }
        Ok(sps)
    }

    /// The fields that only some profiles have; says whether planes are coded apart.
    fn read_chroma(&mut self, bits: &mut BitReader<'_>) -> Result<bool, HeaderFault> {
        let chroma_format = bits.ue()?;
        if chroma_format > 3 {
            return Err(HeaderFault::Invalid("chroma format"));
        }
        self.chroma_format = chroma_format as u8;
        let separate_planes = chroma_format == 3 && bits.flag()?;
        let (luma, chroma) = (bits.ue()?, bits.ue()?);
        if luma > 6 || chroma > 6 {
            return Err(HeaderFault::Invalid("bit depth"));
        }
        self.luma_bits = 8 + luma as u8;
        self.chroma_bits = 8 + chroma as u8;
        bits.skip(1)?;
        if bits.flag()? {
            let lists = if chroma_format == 3 { 12 } else { 8 };
            for list in 0..lists {
                if bits.flag()? {
                    skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
        Ok(separate_planes)
    }

    /// Size and cropping (equations 7-13 to 7-22).
    fn read_size(
        &mut self,
        bits: &mut BitReader<'_>,
        separate_planes: bool,
    ) -> Result<(), HeaderFault> {
        let width = u64::from(bits.ue()?) + 1;
        let height = u64::from(bits.ue()?) + 1;
        let frames_only = bits.flag()?;
        let field_factor = if frames_only { 1 } else { 2 };
        if !frames_only {
            bits.skip(1)?;
        }
        bits.skip(1)?;
        let (width, height) = (width * 16, height * 16 * field_factor);
        let mut crop = [0; 4];
        if bits.flag()? {
            for side in &mut crop {
                *side = u64::from(bits.ue()?);
            }
        }
        let [left, right, top, bottom] = crop;
        let (unit_x, unit_y) = match (self.chroma_format, separate_planes) {
            (1, _) => (2, 2 * field_factor),
            (2, _) => (2, field_factor),
            _ => (1, field_factor),
        };
        self.picture = Picture::cropped(
            (width, height),
            ((left + right) * unit_x, (top + bottom) * unit_y),
        )?;
        Ok(())
    }

    /// The `codecs` parameter with the sample entry `avc1` (RFC 6381 section 3.3).
    pub fn rfc6381(&self) -> String {
        format!(
            "avc1.{:02x}{:02x}{:02x}",
            self.profile, self.constraints, self.level
        )
    }
}

/// Whether a profile's sets have the chroma format and what follows it (section 7.3.2.1.1).
fn has_chroma_format(profile: u8) -> bool {
    matches!(
        profile,
        100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
    )
}

/// Section 7.3.2.1.1.1.
fn skip_scaling_list(bits: &mut BitReader<'_>, size: usize) -> Result<(), HeaderFault> {
    let (mut last, mut next) = (8i64, 8i64);
    for _ in 0..size {
        if next != 0 {
            next = (last + i64::from(bits.se()?)).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Ok(())
}

fn skip_picture_order(bits: &mut BitReader<'_>) -> Result<(), HeaderFault> {
    // log2_max_frame_num_minus4, then by pic_order_cnt_type.
    bits.ue()?;
    match bits.ue()? {
        0 => {
            bits.ue()?;
        }
        1 => {
            bits.skip(1)?;
            bits.se()?;
            bits.se()?;
            let cycle = bits.ue()?;
            if cycle > 255 {
                return Err(HeaderFault::Invalid("picture order count"));
            }
            for _ in 0..cycle {
                bits.se()?;
            }
        }
        2 => {}
        _ => return Err(HeaderFault::Invalid("picture order count")),
    }
    Ok(())
}

/// The frame rate of the VUI parameters (section E.1.1); two ticks make a frame.
fn read_frame_rate(bits: &mut BitReader<'_>) -> Result<u32, HeaderFault> {
    if bits.flag()? && bits.bits(8)? == 255 {
        bits.skip(32)?;
    }
    if bits.flag()? {
        bits.skip(1)?;
    }
    if bits.flag()? {
        bits.skip(4)?;
        if bits.flag()? {
            bits.skip(24)?;
        }
    }
    if bits.flag()? {
        bits.ue()?;
        bits.ue()?;
    }
    if !bits.flag()? {
        return Ok(0);
    }
    let timing = Timing {
        units: bits.bits(32)?,
        scale: bits.bits(32)?,
    };
    Ok(frame_rate_millihz(timing, 2))
}

/// An AVCDecoderConfigurationRecord taken apart (ISO/IEC 14496-15 section 5.3.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The sequence parameter sets, at most 31, the first of which is valid.
    pub sps: Vec<Bytes>,
    /// The picture parameter sets, at most 255.
    pub pps: Vec<Bytes>,
    /// The bytes of a length in the payloads: 1, 2 or 4.
    pub length_bytes: usize,
    /// What the first sequence parameter set says.
    pub first: Sps,
}

impl Config {
    /// Reads a record; parameter sets are slices of it.
    ///
    /// # Errors
    /// Where it is none, or has no sequence parameter set that can be read.
    pub fn parse(record: &Bytes) -> Result<Self, HeaderFault> {
        let mut bytes = ByteReader::new(record);
        if bytes.u8()? != 1 {
            return Err(HeaderFault::Invalid("configuration version"));
        }
        bytes.take(3)?;
        let length_bytes = usize::from(bytes.u8()? & 3) + 1;
        if length_bytes == 3 {
            return Err(HeaderFault::Invalid("length of lengths"));
        }
        let count = bytes.u8()? & 0x1f;
        let sps = read_sets(&mut bytes, record, count)?;
        let count = bytes.u8()?;
        let pps = read_sets(&mut bytes, record, count)?;
        Config::new(sps, pps, length_bytes)
    }

    /// A configuration of parameter sets with lengths of [`nal::LENGTH_BYTES`].
    ///
    /// # Errors
    /// Where there are none, too many, or the first cannot be read.
    pub fn from_parameter_sets(sps: Vec<Bytes>, pps: Vec<Bytes>) -> Result<Self, HeaderFault> {
        Config::new(sps, pps, nal::LENGTH_BYTES)
    }

    /// The configuration of the parameter sets that stand in a payload.
    ///
    /// # Errors
    /// Where the payload is damaged, or its sets make no configuration.
    pub fn of_payload(payload: &[u8]) -> Result<Self, HeaderFault> {
        let (mut sps, mut pps) = (Vec::new(), Vec::new());
        for unit in nal::sets(payload, is_set)? {
            match unit_type(unit) {
                nal_type::SPS => nal::put_set(&mut sps, unit, set_id),
                _ => nal::put_set(&mut pps, unit, set_id),
            }
        }
        Config::from_parameter_sets(sps, pps)
    }

    fn new(sps: Vec<Bytes>, pps: Vec<Bytes>, length_bytes: usize) -> Result<Self, HeaderFault> {
        let mut sets = sps.iter().chain(&pps);
        if sps.len() > 31 || pps.len() > 255 || sets.any(too_long) {
            return Err(HeaderFault::Invalid("parameter sets"));
        }
        let first = sps
            .first()
            .ok_or(HeaderFault::Invalid("parameter sets"))
            .and_then(|set| Sps::parse(set))?;
        Ok(Config {
            sps,
            pps,
            length_bytes,
            first,
        })
    }

    /// The configuration with the parameter sets that stand in a payload, each in the place of the
    /// one with its number; `None` where that changes nothing.
    ///
    /// # Errors
    /// Where the payload is damaged, or the sets make no configuration.
    pub fn with_sets_of(&self, payload: &[u8]) -> Result<Option<Self>, HeaderFault> {
        let (mut sps, mut pps) = (self.sps.clone(), self.pps.clone());
        for unit in nal::sets(payload, is_set)? {
            match unit_type(unit) {
                nal_type::SPS => nal::put_set(&mut sps, unit, set_id),
                _ => nal::put_set(&mut pps, unit, set_id),
            }
        }
        if sps == self.sps && pps == self.pps {
            return Ok(None);
        }
        Config::new(sps, pps, self.length_bytes).map(Some)
    }

    /// The record, with the additions of the high profiles.
    pub fn record(&self) -> Bytes {
        let mut record = BytesMut::new();
        record.put_u8(1);
        record.put_u8(self.first.profile);
        record.put_u8(self.first.constraints);
        record.put_u8(self.first.level);
        // 1, 2 or 4, less one; at most 31; at most 255.
        record.put_u8(0xfc | (self.length_bytes as u8 - 1));
        record.put_u8(0xe0 | self.sps.len() as u8);
        put_sets(&mut record, &self.sps);
        record.put_u8(self.pps.len() as u8);
        put_sets(&mut record, &self.pps);
        if matches!(self.first.profile, 100 | 110 | 122 | 144) {
            record.put_u8(0xfc | self.first.chroma_format);
            record.put_u8(0xf8 | (self.first.luma_bits - 8));
            record.put_u8(0xf8 | (self.first.chroma_bits - 8));
            record.put_u8(0);
        }
        record.freeze()
    }
}

fn is_set(unit: &[u8]) -> bool {
    matches!(unit_type(unit), nal_type::SPS | nal_type::PPS)
}

/// The number of a parameter set, by which others name it: the first of its fields, behind profile
/// and level in a sequence parameter set.
fn set_id(unit: &[u8]) -> Option<u32> {
    let start = match unit_type(unit) {
        nal_type::SPS => 4,
        nal_type::PPS => 1,
        _ => return None,
    };
    // A number of at most 32 bits and its zeros lie in 8 bytes.
    let head = unit.get(start..unit.len().min(start + 12))?;
    BitReader::new(&without_emulation(head)).ue().ok()
}

fn too_long(set: &Bytes) -> bool {
    set.is_empty() || set.len() > PARAMETER_SET_BYTES_MAX
}

/// `count` parameter sets behind lengths of two bytes; empty ones are left out.
fn read_sets(
    bytes: &mut ByteReader<'_>,
    record: &Bytes,
    count: u8,
) -> Result<Vec<Bytes>, HeaderFault> {
    let mut sets = Vec::new();
    for _ in 0..count {
        let length = bytes.u16()?;
        let set = bytes.take(usize::from(length))?;
        if !set.is_empty() {
            sets.push(record.slice_ref(set));
        }
    }
    Ok(sets)
}

fn put_sets(record: &mut BytesMut, sets: &[Bytes]) {
    for set in sets {
        // Checked when the configuration was made.
        record.put_u16(set.len() as u16);
        record.extend_from_slice(set);
    }
}

/// What an access unit is to somebody who wants to start with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Has slices of an IDR picture.
    pub idr: bool,
    /// Has a recovery point (section D.1.8): decoding may start, and becomes right.
    pub recovery_point: bool,
    /// The first slice is coded without other pictures.
    pub intra: bool,
    /// Has any slice at all.
    pub picture: bool,
    /// Has parameter sets among its units.
    pub parameter_sets: bool,
}

impl Content {
    /// Looks through a payload with lengths of [`nal::LENGTH_BYTES`].
    ///
    /// # Errors
    /// Where the lengths do not fit the payload.
    pub fn parse(payload: &[u8]) -> Result<Self, HeaderFault> {
        let mut content = Content::default();
        for unit in nal::units(payload) {
            content.add(unit?);
        }
        Ok(content)
    }

    fn add(&mut self, unit: &[u8]) {
        match unit_type(unit) {
            nal_type::IDR => {
                self.idr = true;
                self.picture = true;
            }
            nal_type::SLICE | nal_type::PARTITION_A if !self.picture => {
                self.picture = true;
                self.intra = is_intra_slice(unit).unwrap_or(false);
            }
            nal_type::SEI => self.recovery_point |= has_recovery_point(unit),
            nal_type::SPS | nal_type::PPS => self.parameter_sets = true,
            _ => {}
        }
    }

    /// Whether a decoder may start here. `flagged` is what the container says: it is believed for
    /// intra pictures that are neither IDR pictures nor recovery points.
    pub fn is_keyframe(&self, flagged: bool) -> bool {
        self.idr || self.recovery_point || flagged && self.intra
    }
}

/// Section 7.3.3: the slice type is the second number of a slice header; 2 and 7 are I, 4 and 9
/// are SI.
fn is_intra_slice(unit: &[u8]) -> Result<bool, HeaderFault> {
    // Two numbers of at most 32 bits and their zeros lie in 16 bytes.
    let head = unit.get(1..unit.len().min(24)).unwrap_or_default();
    let raw = without_emulation(head);
    let mut bits = BitReader::new(&raw);
    bits.ue()?;
    Ok(matches!(bits.ue()?, 2 | 4 | 7 | 9))
}

/// Whether one of the messages of an SEI unit has type 6 (section 7.3.2.3.1).
fn has_recovery_point(unit: &[u8]) -> bool {
    const RECOVERY_POINT: u32 = 6;
    sei_types(unit).any(|kind| kind == RECOVERY_POINT)
}

/// The types of the messages of an SEI unit.
fn sei_types(unit: &[u8]) -> impl Iterator<Item = u32> {
    let raw = without_emulation(unit).into_owned();
    let mut at = 1;
    std::iter::from_fn(move || {
        // The trailing bits are one byte.
        if at + 2 >= raw.len() {
            return None;
        }
        let mut number = || {
            let mut value = 0u32;
            loop {
                let byte = *raw.get(at)?;
                at += 1;
                value = value.saturating_add(u32::from(byte));
                if byte != 0xff {
                    return Some(value);
                }
            }
        };
        let (kind, size) = (number()?, number()?);
        at = at.saturating_add(size as usize);
        Some(kind)
    })
}
