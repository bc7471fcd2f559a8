//! HEVC: parameter sets, decoder configurations, keyframes (ISO/IEC 23008-2 and ISO/IEC 14496-15
//! section 8.3.3).

use bytes::{BufMut, Bytes, BytesMut};

use super::HeaderFault;
use super::bits::{BitReader, ByteReader, without_emulation};
use super::nal;
use super::video::{Picture, Timing, frame_rate_millihz};

/// The most bytes of one parameter set: its length has 16 bits in a configuration.
pub const PARAMETER_SET_BYTES_MAX: usize = u16::MAX as usize;

/// The most arrays of a configuration: its number has eight bits, and a kind has one.
const ARRAYS_MAX: usize = 64;
/// The most parameter sets of a configuration.
const SETS_MAX: usize = 256;

/// The types of NAL units that matter here (table 7-1).
pub mod nal_type {
    /// The last type of a coded slice.
    pub const SLICE_LAST: u8 = 31;
    /// The first type of pictures that decoding may start with (BLA).
    pub const IRAP_FIRST: u8 = 16;
    /// The last of them, reserved ones included.
    pub const IRAP_LAST: u8 = 23;
    /// A video parameter set.
    pub const VPS: u8 = 32;
    /// A sequence parameter set.
    pub const SPS: u8 = 33;
    /// A picture parameter set.
    pub const PPS: u8 = 34;
    /// An access unit delimiter.
    pub const DELIMITER: u8 = 35;
    /// Supplemental enhancement information in front of slices.
    pub const SEI_PREFIX: u8 = 39;
    /// The same behind them.
    pub const SEI_SUFFIX: u8 = 40;
}

/// The type of a NAL unit; the delimiter's for an empty one.
pub fn unit_type(unit: &[u8]) -> u8 {
    unit.first()
        .map_or(nal_type::DELIMITER, |byte| byte >> 1 & 0x3f)
}

/// Profile, tier and level (section 7.3.3), the general ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// `general_profile_space`.
    pub space: u8,
    /// Whether the tier is the high one.
    pub high_tier: bool,
    /// `general_profile_idc`.
    pub profile: u8,
    /// `general_profile_compatibility_flag`, the first in the highest bit.
    pub compatibility: u32,
    /// The six bytes of constraint flags.
    pub constraints: [u8; 6],
    /// `general_level_idc`: 30 times the level.
    pub level: u8,
}

impl Profile {
    fn read(bits: &mut BitReader<'_>) -> Result<Self, HeaderFault> {
        let mut profile = Profile {
            space: bits.small(2)?,
            high_tier: bits.flag()?,
            profile: bits.small(5)?,
            compatibility: bits.bits(32)?,
            ..Profile::default()
        };
        for byte in &mut profile.constraints {
            *byte = bits.small(8)?;
        }
        profile.level = bits.small(8)?;
        Ok(profile)
    }

    /// The `codecs` parameter with the sample entry `hvc1` (ISO/IEC 14496-15 annex E.3).
    pub fn rfc6381(&self) -> String {
        let space = ["", "A", "B", "C"]
            .get(usize::from(self.space))
            .copied()
            .unwrap_or_default();
        let tier = if self.high_tier { 'H' } else { 'L' };
        let mut text = format!(
            "hvc1.{space}{}.{:x}.{tier}{}",
            self.profile,
            self.compatibility.reverse_bits(),
            self.level
        );
        let zeros = self.constraints.iter().rev().take_while(|byte| **byte == 0);
        let kept = self.constraints.len() - zeros.count();
        for byte in self.constraints.iter().take(kept) {
            text.push_str(&format!(".{byte:x}"));
        }
        text
    }
}

/// What a sequence parameter set says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sps {
    /// Profile, tier and level.
    pub profile: Profile,
    /// The number of temporal layers, from 1.
    pub temporal_layers: u8,
    /// Whether layers are nested.
    pub is_nested: bool,
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
    /// Reads a NAL unit of type 33, its two header bytes included (section 7.3.2.2.1).
    ///
    /// # Errors
    /// Where it is no such unit, ends too early or has a size that cannot be.
    pub fn parse(unit: &[u8]) -> Result<Self, HeaderFault> {
        if unit_type(unit) != nal_type::SPS || unit.len() > PARAMETER_SET_BYTES_MAX {
            return Err(HeaderFault::Invalid("sequence parameter set"));
        }
        let raw = without_emulation(unit);
        let mut bits = BitReader::new(&raw);
        bits.skip(16 + 4)?;
        let layers = bits.small(3)?;
        if layers > 6 {
            return Err(HeaderFault::Invalid("temporal layers"));
        }
        let is_nested = bits.flag()?;
        let profile = Profile::read(&mut bits)?;
        skip_layer_profiles(&mut bits, layers)?;
        bits.ue()?;
        let (chroma_format, picture) = read_size(&mut bits)?;
        let (luma, chroma) = (bits.ue()?, bits.ue()?);
        if luma > 8 || chroma > 8 {
            return Err(HeaderFault::Invalid("bit depth"));
        }
        let mut sps = Sps {
            profile,
            temporal_layers: layers + 1,
            is_nested,
            chroma_format,
            luma_bits: 8 + luma as u8,
            chroma_bits: 8 + chroma as u8,
            picture,
            frame_rate_millihz: 0,
        };
        // Whatever is odd behind the size loses the frame rate and nothing else.
        sps.frame_rate_millihz = read_frame_rate(&mut bits, layers).unwrap_or(0);
        Ok(sps)
    }
}

fn is_set(unit: &[u8]) -> bool {
    (nal_type::VPS..=nal_type::PPS).contains(&unit_type(unit))
}

/// The number of a parameter set, by which others name it (sections 7.3.2.1 to 7.3.2.3).
fn set_id(unit: &[u8]) -> Option<u32> {
    let read = |bits: &mut BitReader<'_>| {
        bits.skip(16)?;
        match unit_type(unit) {
            nal_type::VPS => bits.bits(4),
            nal_type::SPS => {
                bits.skip(4)?;
                let layers = bits.small(3)?;
                bits.skip(1)?;
                Profile::read(bits)?;
                skip_layer_profiles(bits, layers.min(6))?;
                bits.ue()
            }
            _ => bits.ue(),
        }
    };
    // Seven layers of 12 bytes, and what stands around them.
    let head = unit.get(..unit.len().min(128))?;
    read(&mut BitReader::new(&without_emulation(head))).ok()
}

/// The profiles and levels of single layers (section 7.3.3).
fn skip_layer_profiles(bits: &mut BitReader<'_>, layers: u8) -> Result<(), HeaderFault> {
    let mut skipped_bits = 0;
    for _ in 0..layers {
        skipped_bits += if bits.flag()? { 88 } else { 0 };
        skipped_bits += if bits.flag()? { 8 } else { 0 };
    }
    if layers > 0 {
        bits.skip(2 * usize::from(8 - layers))?;
    }
    bits.skip(skipped_bits)
}

/// Chroma format, size and conformance window.
fn read_size(bits: &mut BitReader<'_>) -> Result<(u8, Picture), HeaderFault> {
    let chroma_format = bits.ue()?;
    if chroma_format > 3 {
        return Err(HeaderFault::Invalid("chroma format"));
    }
    let separate_planes = chroma_format == 3 && bits.flag()?;
    let size = (u64::from(bits.ue()?), u64::from(bits.ue()?));
    let mut crop = [0; 4];
    if bits.flag()? {
        for side in &mut crop {
            *side = u64::from(bits.ue()?);
        }
    }
    let [left, right, top, bottom] = crop;
    // Table 6-1.
    let (unit_x, unit_y) = match chroma_format {
        1 if !separate_planes => (2, 2),
        2 if !separate_planes => (2, 1),
        _ => (1, 1),
    };
    let cropped = ((left + right) * unit_x, (top + bottom) * unit_y);
    Ok((chroma_format as u8, Picture::cropped(size, cropped)?))
}

/// The frame rate of the VUI parameters, and all that stands in front of them.
fn read_frame_rate(bits: &mut BitReader<'_>, layers: u8) -> Result<u32, HeaderFault> {
    let order_bits = bits.ue()? + 4;
    if order_bits > 16 {
        return Err(HeaderFault::Invalid("picture order count"));
    }
    let first = if bits.flag()? { 0 } else { layers };
    for _ in first..=layers {
        bits.ue()?;
        bits.ue()?;
        bits.ue()?;
    }
    for _ in 0..6 {
        bits.ue()?;
    }
    if bits.flag()? && bits.flag()? {
        skip_scaling_lists(bits)?;
    }
    bits.skip(2)?;
    if bits.flag()? {
        bits.skip(8)?;
        bits.ue()?;
        bits.ue()?;
        bits.skip(1)?;
    }
    skip_reference_sets(bits)?;
    if bits.flag()? {
        let pictures = bits.ue()?;
        if pictures > 32 {
            return Err(HeaderFault::Invalid("long-term pictures"));
        }
        bits.skip(pictures as usize * (order_bits as usize + 1))?;
    }
    bits.skip(2)?;
    if bits.flag()? {
        read_vui_rate(bits)
    } else {
        Ok(0)
    }
}

/// Section 7.3.4.
fn skip_scaling_lists(bits: &mut BitReader<'_>) -> Result<(), HeaderFault> {
    for size in 0..4u32 {
        let step = if size == 3 { 3 } else { 1 };
        for _ in (0..6).step_by(step) {
            if !bits.flag()? {
                bits.ue()?;
                continue;
            }
            if size > 1 {
                bits.se()?;
            }
            for _ in 0..(1 << (4 + (size << 1))).min(64) {
                bits.se()?;
            }
        }
    }
    Ok(())
}

/// The short-term reference picture sets (section 7.3.7).
fn skip_reference_sets(bits: &mut BitReader<'_>) -> Result<(), HeaderFault> {
    /// Section 7.4.8: no set has more pictures than the buffer.
    const PICTURES_MAX: u32 = 16;
    let sets = bits.ue()?;
    if sets > 64 {
        return Err(HeaderFault::Invalid("reference picture sets"));
    }
    let mut pictures = 0;
    for set in 0..sets {
        if set > 0 && bits.flag()? {
            bits.skip(1)?;
            bits.ue()?;
            let mut kept = 0;
            for _ in 0..=pictures {
                let used = bits.flag()?;
                let delta = used || bits.flag()?;
                kept += u32::from(delta);
            }
            pictures = kept;
        } else {
            let (negative, positive) = (bits.ue()?, bits.ue()?);
            if negative > PICTURES_MAX || positive > PICTURES_MAX {
                return Err(HeaderFault::Invalid("reference picture sets"));
            }
            pictures = negative + positive;
            for _ in 0..pictures {
                bits.ue()?;
                bits.skip(1)?;
            }
        }
        if pictures > PICTURES_MAX {
            return Err(HeaderFault::Invalid("reference picture sets"));
        }
    }
    Ok(())
}

/// Section E.2.1, up to the timing.
fn read_vui_rate(bits: &mut BitReader<'_>) -> Result<u32, HeaderFault> {
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
    bits.skip(3)?;
    if bits.flag()? {
        for _ in 0..4 {
            bits.ue()?;
        }
    }
    if !bits.flag()? {
        return Ok(0);
    }
    let timing = Timing {
        units: bits.bits(32)?,
        scale: bits.bits(32)?,
    };
    Ok(frame_rate_millihz(timing, 1))
}

/// A HEVCDecoderConfigurationRecord taken apart (ISO/IEC 14496-15 section 8.3.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The video parameter sets.
    pub vps: Vec<Bytes>,
    /// The sequence parameter sets, of which the first is valid.
    pub sps: Vec<Bytes>,
    /// The picture parameter sets.
    pub pps: Vec<Bytes>,
    /// Supplemental enhancement information that holds for the whole stream.
    pub sei: Vec<Bytes>,
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
        // Some old encoders wrote 0 before the standard was final.
        if bytes.u8()? > 1 {
            return Err(HeaderFault::Invalid("configuration version"));
        }
        bytes.take(20)?;
        let length_bytes = usize::from(bytes.u8()? & 3) + 1;
        if length_bytes == 3 {
            return Err(HeaderFault::Invalid("length of lengths"));
        }
        let arrays = usize::from(bytes.u8()?);
        if arrays > ARRAYS_MAX {
            return Err(HeaderFault::Invalid("parameter sets"));
        }
        let mut sets = Vec::new();
        for _ in 0..arrays {
            bytes.u8()?;
            let count = usize::from(bytes.u16()?);
            if sets.len() + count > SETS_MAX {
                return Err(HeaderFault::Invalid("parameter sets"));
            }
            for _ in 0..count {
                let length = bytes.u16()?;
                sets.push(record.slice_ref(bytes.take(usize::from(length))?));
            }
        }
        Config::new(sets, length_bytes)
    }

    /// A configuration of parameter sets in any order, with lengths of [`nal::LENGTH_BYTES`].
    ///
    /// # Errors
    /// Where there is no sequence parameter set that can be read, or there are too many.
    pub fn from_parameter_sets(sets: Vec<Bytes>) -> Result<Self, HeaderFault> {
        Config::new(sets, nal::LENGTH_BYTES)
    }

    /// The configuration of the parameter sets that stand in a payload.
    ///
    /// # Errors
    /// Where the payload is damaged, or its sets make no configuration.
    pub fn of_payload(payload: &[u8]) -> Result<Self, HeaderFault> {
        let sets = nal::sets(payload, is_set)?.into_iter();
        Config::from_parameter_sets(sets.map(Bytes::copy_from_slice).collect())
    }

    fn new(sets: Vec<Bytes>, length_bytes: usize) -> Result<Self, HeaderFault> {
        let too_long = |set: &Bytes| set.len() > PARAMETER_SET_BYTES_MAX;
        if sets.len() > SETS_MAX || sets.iter().any(too_long) {
            return Err(HeaderFault::Invalid("parameter sets"));
        }
        // The units say themselves what they are.
        let (mut vps, mut sps, mut pps, mut sei) = (vec![], vec![], vec![], vec![]);
        for set in sets.into_iter().filter(|set| set.len() > 2) {
            match unit_type(&set) {
                nal_type::VPS => vps.push(set),
                nal_type::SPS => sps.push(set),
                nal_type::PPS => pps.push(set),
                nal_type::SEI_PREFIX | nal_type::SEI_SUFFIX => sei.push(set),
                _ => {}
            }
        }
        let first = sps
            .first()
            .ok_or(HeaderFault::Invalid("parameter sets"))
            .and_then(|set| Sps::parse(set))?;
        Ok(Config {
            vps,
            sps,
            pps,
            sei,
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
        let (mut vps, mut sps) = (self.vps.clone(), self.sps.clone());
        let mut pps = self.pps.clone();
        for unit in nal::sets(payload, is_set)? {
            match unit_type(unit) {
                nal_type::VPS => nal::put_set(&mut vps, unit, set_id),
                nal_type::SPS => nal::put_set(&mut sps, unit, set_id),
                _ => nal::put_set(&mut pps, unit, set_id),
            }
        }
        if vps == self.vps && sps == self.sps && pps == self.pps {
            return Ok(None);
        }
        let sets = vps.into_iter().chain(sps).chain(pps);
        let sets = sets.chain(self.sei.iter().cloned()).collect();
        Config::new(sets, self.length_bytes).map(Some)
    }

    /// The record; parameter sets are said to be nowhere else.
    pub fn record(&self) -> Bytes {
        let profile = &self.first.profile;
        let mut record = BytesMut::new();
        record.put_u8(1);
        record.put_u8(profile.space << 6 | u8::from(profile.high_tier) << 5 | profile.profile);
        record.put_u32(profile.compatibility);
        record.put_slice(&profile.constraints);
        record.put_u8(profile.level);
        // No spatial segmentation and no parallelism are said, both behind reserved ones.
        record.put_u16(0xf000);
        record.put_u8(0xfc);
        record.put_u8(0xfc | self.first.chroma_format);
        record.put_u8(0xf8 | (self.first.luma_bits - 8));
        record.put_u8(0xf8 | (self.first.chroma_bits - 8));
        record.put_u16(0);
        // At most 7 layers; 1, 2 or 4, less one.
        let nested = u8::from(self.first.is_nested);
        record
            .put_u8(self.first.temporal_layers << 3 | nested << 2 | (self.length_bytes as u8 - 1));
        let arrays = [
            (nal_type::VPS, &self.vps),
            (nal_type::SPS, &self.sps),
            (nal_type::PPS, &self.pps),
            (nal_type::SEI_PREFIX, &self.sei),
        ];
        let arrays = arrays.into_iter().filter(|(_, sets)| !sets.is_empty());
        record.put_u8(arrays.clone().count() as u8);
        for (kind, sets) in arrays {
            record.put_u8(0x80 | kind);
            // At most SETS_MAX of PARAMETER_SET_BYTES_MAX.
            record.put_u16(sets.len() as u16);
            for set in sets {
                record.put_u16(set.len() as u16);
                record.extend_from_slice(set);
            }
        }
        record.freeze()
    }
}

/// What an access unit is to somebody who wants to start with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Has slices of a picture that decoding may start with: IDR, CRA or BLA.
    pub irap: bool,
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
            let kind = unit_type(unit?);
            content.picture |= kind <= nal_type::SLICE_LAST;
            content.irap |= (nal_type::IRAP_FIRST..=nal_type::IRAP_LAST).contains(&kind);
            content.parameter_sets |= (nal_type::VPS..=nal_type::PPS).contains(&kind);
        }
        Ok(content)
    }
}
