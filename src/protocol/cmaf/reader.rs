//! A bounded walk over boxes (ISO/IEC 14496-12 section 4.2): for tests, the checker of playlists
//! and load generators. It reads what [`super::write_init`] and [`super::write_fragment`] write,
//! and the usual files of others.

use std::fmt;

/// The most boxes that are looked at in one file.
pub const BOXES_MAX: usize = 65_536;

/// The most samples of one fragment.
pub const SAMPLES_MAX: usize = 65_536;

/// Section 8.8.7.1 and 8.8.8.1.
const TFHD_BASE_DATA_OFFSET: u32 = 0x01;
const TFHD_DESCRIPTION: u32 = 0x02;
const TFHD_DURATION: u32 = 0x08;
const TFHD_SIZE: u32 = 0x10;
const TFHD_FLAGS: u32 = 0x20;
const TRUN_DATA_OFFSET: u32 = 0x001;
const TRUN_FIRST_FLAGS: u32 = 0x004;
const TRUN_DURATIONS: u32 = 0x100;
const TRUN_SIZES: u32 = 0x200;
const TRUN_FLAGS: u32 = 0x400;
const TRUN_COMPOSITION_OFFSETS: u32 = 0x800;

/// Section 8.8.3.1.
const SAMPLE_IS_NON_SYNC: u32 = 0x0001_0000;

/// Why bytes are not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A box, or a field in one, leads out of the bytes at hand.
    Cut,
    /// A box's length is smaller than its header.
    Length,
    /// More boxes or samples than [`BOXES_MAX`] and [`SAMPLES_MAX`] allow.
    TooMany,
    /// A box that must be there is missing.
    Missing([u8; 4]),
    /// A sample's bytes lie outside the media data.
    Outside,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Cut => f.write_str("a box leads out of the file"),
            Malformed::Length => f.write_str("a box is shorter than its header"),
            Malformed::TooMany => f.write_str("too many boxes or samples"),
            Malformed::Missing(kind) => write!(f, "no box {}", kind.escape_ascii()),
            Malformed::Outside => f.write_str("a sample lies outside the media data"),
        }
    }
}

impl std::error::Error for Malformed {}

/// One box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Atom<'a> {
    /// Its type.
    pub kind: [u8; 4],
    /// Where it starts in the bytes that were walked.
    pub at: usize,
    /// What is behind its header.
    pub body: &'a [u8],
    /// Its length, header included.
    pub bytes: usize,
}

/// The boxes of `bytes` one after another, without those inside of them; ends after a fault.
pub fn atoms(bytes: &[u8]) -> Atoms<'_> {
    Atoms {
        bytes,
        at: 0,
        count: 0,
    }
}

/// See [`atoms`].
#[derive(Clone, Debug)]
pub struct Atoms<'a> {
    bytes: &'a [u8],
    at: usize,
    count: usize,
}

impl<'a> Iterator for Atoms<'a> {
    type Item = Result<Atom<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        self.count += 1;
        let read = if self.count > BOXES_MAX {
            Err(Malformed::TooMany)
        } else {
            read_atom(rest, self.at)
        };
        self.at = match &read {
            Ok(atom) => self.at + atom.bytes,
            Err(_) => self.bytes.len(),
        };
        Some(read)
    }
}

fn read_atom(rest: &[u8], at: usize) -> Result<Atom<'_>, Malformed> {
    let mut fields = Fields(rest);
    let (length, kind) = (fields.u32()?, fields.kind()?);
    let length = match length {
        0 => rest.len() as u64,
        1 => fields.u64()?,
        length => u64::from(length),
    };
    let bytes = usize::try_from(length).map_err(|_| Malformed::Cut)?;
    let header_bytes = rest.len() - fields.0.len();
    if bytes < header_bytes {
        return Err(Malformed::Length);
    }
    let body = rest.get(header_bytes..bytes).ok_or(Malformed::Cut)?;
    Ok(Atom {
        kind,
        at,
        body,
        bytes,
    })
}

/// The first box of type `kind` directly in `bytes`.
pub fn child(bytes: &[u8], kind: [u8; 4]) -> Result<Atom<'_>, Malformed> {
    for atom in atoms(bytes) {
        let atom = atom?;
        if atom.kind == kind {
            return Ok(atom);
        }
    }
    Err(Malformed::Missing(kind))
}

/// The body of the box that `path` leads to, from one box into the next.
pub fn descend<'a>(bytes: &'a [u8], path: &[[u8; 4]]) -> Result<&'a [u8], Malformed> {
    path.iter()
        .try_fold(bytes, |bytes, &kind| Ok(child(bytes, kind)?.body))
}

/// What a rendition's header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Init<'a> {
    /// The track's number.
    pub track_id: u32,
    /// Ticks per second.
    pub timescale: u32,
    /// `vide` or `soun`.
    pub handler: [u8; 4],
    /// The type of the sample entry, such as `avc1`.
    pub entry: [u8; 4],
    /// Pixels of a video entry; zero for sound.
    pub width: u16,
    /// Pixels of a video entry; zero for sound.
    pub height: u16,
    /// Channels of a sound's entry; zero for video.
    pub channels: u16,
    /// The boxes in the entry: the decoder's configuration.
    pub config: &'a [u8],
}

/// Reads the header of a file with one track.
pub fn read_init(bytes: &[u8]) -> Result<Init<'_>, Malformed> {
    let trak = descend(bytes, &[*b"moov", *b"trak"])?;
    let mut tkhd = Fields(child(trak, *b"tkhd")?.body);
    skip_times(&mut tkhd)?;
    let track_id = tkhd.u32()?;
    let mdia = child(trak, *b"mdia")?.body;
    let mut mdhd = Fields(child(mdia, *b"mdhd")?.body);
    skip_times(&mut mdhd)?;
    let mut hdlr = Fields(child(mdia, *b"hdlr")?.body);
    hdlr.skip(8)?;
    let handler = hdlr.kind()?;
    let stsd = descend(mdia, &[*b"minf", *b"stbl", *b"stsd"])?;
    let entries = stsd.get(8..).ok_or(Malformed::Cut)?;
    let entry = atoms(entries)
        .next()
        .ok_or(Malformed::Missing(*b"stsd"))??;
    let mut fields = Fields(entry.body);
    let (mut width, mut height, mut channels) = (0, 0, 0);
    if handler == *b"vide" {
        fields.skip(24)?;
        (width, height) = (fields.u16()?, fields.u16()?);
        fields.skip(50)?;
    } else {
        fields.skip(16)?;
        channels = fields.u16()?;
        fields.skip(10)?;
    }
    Ok(Init {
        track_id,
        timescale: mdhd.u32()?,
        handler,
        entry: entry.kind,
        width,
        height,
        channels,
        config: fields.0,
    })
}

/// Passes over the times of creation and change, which have 64 bits in version 1.
fn skip_times(fields: &mut Fields<'_>) -> Result<(), Malformed> {
    let version = fields.u32()? >> 24;
    fields.skip(if version == 1 { 16 } else { 8 })
}

/// One sample of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadSample<'a> {
    /// When it is decoded, in ticks.
    pub decode_time_ticks: u64,
    /// Until the next one, in ticks.
    pub duration_ticks: u32,
    /// From its decode time to when it is shown, in ticks.
    pub composition_offset_ticks: i64,
    /// Whether a decoder may start here.
    pub keyframe: bool,
    /// Its bytes.
    pub payload: &'a [u8],
}

/// One `moof` with its `mdat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadFragment<'a> {
    /// The number of `mfhd`.
    pub sequence: u32,
    /// The track's number.
    pub track_id: u32,
    /// `tfdt`: the first sample's decode time in ticks.
    pub decode_time_ticks: u64,
    /// The samples in their order.
    pub samples: Vec<ReadSample<'a>>,
}

impl ReadFragment<'_> {
    /// The sum of the samples' durations in ticks.
    pub fn duration_ticks(&self) -> u64 {
        self.samples
            .iter()
            .map(|sample| u64::from(sample.duration_ticks))
            .sum()
    }

    /// Whether a decoder may start with its first sample.
    pub fn starts_with_keyframe(&self) -> bool {
        self.samples.first().is_some_and(|sample| sample.keyframe)
    }
}

/// Reads all fragments of a part, a segment, or a whole file; other boxes are passed over.
pub fn read_fragments(bytes: &[u8]) -> Result<Vec<ReadFragment<'_>>, Malformed> {
    let mut fragments = Vec::new();
    let mut samples_left = SAMPLES_MAX;
    for atom in atoms(bytes) {
        let atom = atom?;
        if atom.kind == *b"moof" {
            let fragment = read_moof(bytes, &atom, samples_left)?;
            samples_left -= fragment.samples.len().min(samples_left);
            fragments.push(fragment);
        }
    }
    Ok(fragments)
}

/// What holds for samples that do not say it themselves.
#[derive(Clone, Copy, Debug, Default)]
struct Defaults {
    duration: u32,
    size: u32,
    flags: u32,
}

fn read_moof<'a>(
    file: &'a [u8],
    moof: &Atom<'a>,
    samples_max: usize,
) -> Result<ReadFragment<'a>, Malformed> {
    let mut mfhd = Fields(child(moof.body, *b"mfhd")?.body);
    mfhd.skip(4)?;
    let traf = child(moof.body, *b"traf")?.body;
    let mut tfhd = Fields(child(traf, *b"tfhd")?.body);
    let flags = tfhd.u32()? & 0x00ff_ffff;
    let mut fragment = ReadFragment {
        sequence: mfhd.u32()?,
        track_id: tfhd.u32()?,
        decode_time_ticks: 0,
        samples: Vec::new(),
    };
    let mut base = moof.at;
    if flags & TFHD_BASE_DATA_OFFSET != 0 {
        base = usize::try_from(tfhd.u64()?).map_err(|_| Malformed::Outside)?;
    }
    if flags & TFHD_DESCRIPTION != 0 {
        tfhd.skip(4)?;
    }
    let mut field = |flag| if flags & flag != 0 { tfhd.u32() } else { Ok(0) };
    let defaults = Defaults {
        duration: field(TFHD_DURATION)?,
        size: field(TFHD_SIZE)?,
        flags: field(TFHD_FLAGS)?,
    };
    let mut tfdt = Fields(child(traf, *b"tfdt")?.body);
    fragment.decode_time_ticks = if tfdt.u32()? >> 24 == 1 {
        tfdt.u64()?
    } else {
        u64::from(tfdt.u32()?)
    };
    let mut at = base;
    for atom in atoms(traf) {
        let atom = atom?;
        if atom.kind == *b"trun" {
            at = read_trun(file, atom.body, base, at, defaults, &mut fragment)?;
            if fragment.samples.len() > samples_max {
                return Err(Malformed::TooMany);
            }
        }
    }
    Ok(fragment)
}

/// Reads one run of samples; gives back where its last sample's bytes end.
fn read_trun<'a>(
    file: &'a [u8],
    body: &[u8],
    base: usize,
    mut at: usize,
    defaults: Defaults,
    fragment: &mut ReadFragment<'a>,
) -> Result<usize, Malformed> {
    let mut trun = Fields(body);
    let head = trun.u32()?;
    let (version, flags) = (head >> 24, head & 0x00ff_ffff);
    let count = usize::try_from(trun.u32()?).map_err(|_| Malformed::TooMany)?;
    if count > SAMPLES_MAX {
        return Err(Malformed::TooMany);
    }
    if flags & TRUN_DATA_OFFSET != 0 {
        let offset = trun.u32()?.cast_signed();
        at = usize::try_from(offset)
            .ok()
            .and_then(|offset| base.checked_add(offset))
            .ok_or(Malformed::Outside)?;
    }
    let mut first_flags = if flags & TRUN_FIRST_FLAGS != 0 {
        Some(trun.u32()?)
    } else {
        None
    };
    let mut decode_time_ticks = fragment
        .decode_time_ticks
        .saturating_add(fragment.duration_ticks());
    for _ in 0..count {
        let mut field = |flag, default| {
            if flags & flag != 0 {
                trun.u32()
            } else {
                Ok(default)
            }
        };
        let duration_ticks = field(TRUN_DURATIONS, defaults.duration)?;
        let size = field(TRUN_SIZES, defaults.size)?;
        let sample_flags = field(TRUN_FLAGS, first_flags.take().unwrap_or(defaults.flags))?;
        let offset = field(TRUN_COMPOSITION_OFFSETS, 0)?;
        let end = usize::try_from(size)
            .ok()
            .and_then(|size| at.checked_add(size))
            .ok_or(Malformed::Outside)?;
        fragment.samples.push(ReadSample {
            decode_time_ticks,
            duration_ticks,
            composition_offset_ticks: match version {
                0 => i64::from(offset),
                _ => i64::from(offset.cast_signed()),
            },
            keyframe: sample_flags & SAMPLE_IS_NON_SYNC == 0,
            payload: file.get(at..end).ok_or(Malformed::Outside)?,
        });
        decode_time_ticks = decode_time_ticks.saturating_add(u64::from(duration_ticks));
        at = end;
    }
    Ok(at)
}

/// The rest of a box, field by field.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (field, rest) = self.0.split_first_chunk().ok_or(Malformed::Cut)?;
        self.0 = rest;
        Ok(*field)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), Malformed> {
        self.0 = self.0.get(bytes..).ok_or(Malformed::Cut)?;
        Ok(())
    }

    fn kind(&mut self) -> Result<[u8; 4], Malformed> {
        self.take()
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        self.take().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        self.take().map(u64::from_be_bytes)
    }
}
