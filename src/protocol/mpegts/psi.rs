//! The tables that say what is inside: PAT and PMT (ISO/IEC 13818-1 section 2.4.4).

use crc::{CRC_32_MPEG_2, Crc};

use super::packet::{self, Adaptation, Counter, PAYLOAD_BYTES_MAX, PID_MASK};

/// Where the program association table is.
pub const PID_PAT: u16 = 0;

/// Where our program map table is.
pub const PID_PMT: u16 = 0x1000;

/// The longest section of a PAT or PMT, its three bytes of header included.
pub const SECTION_BYTES_MAX: usize = 1_024;

/// The most elementary streams that are read from one PMT.
pub const STREAMS_MAX: usize = 64;

const TABLE_PAT: u8 = 0;
const TABLE_PMT: u8 = 2;
const TRANSPORT_STREAM_ID: u16 = 1;
const PROGRAM: u16 = 1;
const TAG_REGISTRATION: u8 = 5;
const CHECKSUM: Crc<u32> = Crc::<u32>::new(&CRC_32_MPEG_2);
const CHECKSUM_BYTES: usize = 4;
/// Table, length, id, version, section number, last section number.
const HEADER_BYTES: usize = 8;

/// One elementary stream of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Where its packets are.
    pub pid: u16,
    /// Its coding (table 2-34).
    pub stream_type: u8,
    /// Its descriptors as they stand there.
    pub descriptors: Vec<u8>,
}

impl Stream {
    /// The format identifier of the registration descriptor (section 2.6.8), if there is one.
    pub fn registration(&self) -> Option<[u8; 4]> {
        let mut rest = self.descriptors.as_slice();
        while let [tag, length, behind @ ..] = rest {
            let body = behind.get(..usize::from(*length))?;
            if *tag == TAG_REGISTRATION {
                return body.get(..4)?.try_into().ok();
            }
            rest = behind.get(body.len()..)?;
        }
        None
    }
}

/// A registration descriptor.
pub(super) fn registration(identifier: [u8; 4]) -> [u8; 6] {
    let [a, b, c, d] = identifier;
    [TAG_REGISTRATION, 4, a, b, c, d]
}

/// What a PMT says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Changes with the contents; five bits.
    pub version: u8,
    /// Whose packets carry the clock.
    pub pcr_pid: u16,
    /// The elementary streams in the table's order.
    pub streams: Vec<Stream>,
}

impl Program {
    /// The PMT's section.
    pub(super) fn section(&self) -> Vec<u8> {
        let mut body = Vec::new();
        body.extend_from_slice(&(0xe000 | (self.pcr_pid & PID_MASK)).to_be_bytes());
        body.extend_from_slice(&0xf000_u16.to_be_bytes());
        for stream in &self.streams {
            body.push(stream.stream_type);
            body.extend_from_slice(&(0xe000 | (stream.pid & PID_MASK)).to_be_bytes());
            let length = stream.descriptors.len() as u16 & 0x03ff;
            body.extend_from_slice(&(0xf000 | length).to_be_bytes());
            body.extend_from_slice(&stream.descriptors);
        }
        section(TABLE_PMT, PROGRAM, self.version, &body)
    }

    /// Reads a PMT's section; `None` for another table or a damaged one.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (version, body) = open(TABLE_PMT, bytes)?;
        let pcr_pid = word(body, 0)? & PID_MASK;
        let information = usize::from(word(body, 2)? & 0x0fff);
        let mut rest = body.get(4..)?.get(information..)?;
        let mut streams = Vec::new();
        while !rest.is_empty() && streams.len() < STREAMS_MAX {
            let (pid, length) = (word(rest, 1)? & PID_MASK, word(rest, 3)? & 0x0fff);
            let behind = rest.get(5..)?;
            let descriptors = behind.get(..usize::from(length))?;
            streams.push(Stream {
                pid,
                stream_type: *rest.first()?,
                descriptors: descriptors.to_vec(),
            });
            rest = behind.get(descriptors.len()..)?;
        }
        Some(Program {
            version,
            pcr_pid,
            streams,
        })
    }
}

/// The PAT's section: one program, ours.
pub(super) fn association() -> Vec<u8> {
    let mut body = PROGRAM.to_be_bytes().to_vec();
    body.extend_from_slice(&(0xe000 | PID_PMT).to_be_bytes());
    section(TABLE_PAT, TRANSPORT_STREAM_ID, 0, &body)
}

/// Where a PAT's section says that the PMT of its first program is; `None` for another table or
/// a damaged one.
pub fn parse_association(bytes: &[u8]) -> Option<u16> {
    let (_, body) = open(TABLE_PAT, bytes)?;
    // Program 0 is the network's table.
    let mut programs = body.chunks_exact(4).filter(|entry| entry[..2] != [0, 0]);
    programs
        .next()
        .and_then(|entry| Some(word(entry, 2)? & PID_MASK))
}

fn section(table: u8, id: u16, version: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![table];
    // What follows the length: five bytes of header, the body, the checksum.
    let length = (HEADER_BYTES - 3 + body.len() + CHECKSUM_BYTES) as u16;
    bytes.extend_from_slice(&(0xb000 | length).to_be_bytes());
    bytes.extend_from_slice(&id.to_be_bytes());
    bytes.extend_from_slice(&[0xc1 | (version & 0x1f) << 1, 0, 0]);
    bytes.extend_from_slice(body);
    let checksum = CHECKSUM.checksum(&bytes);
    bytes.extend_from_slice(&checksum.to_be_bytes());
    bytes
}

/// Version and body of a whole section.
fn open(table: u8, bytes: &[u8]) -> Option<(u8, &[u8])> {
    let length = section_bytes(bytes)?;
    let bytes = bytes.get(..length)?;
    // Over a section with its checksum the sum is zero.
    if bytes.first() != Some(&table) || CHECKSUM.checksum(bytes) != 0 {
        return None;
    }
    let version = (bytes.get(5)? >> 1) & 0x1f;
    let body = bytes.get(HEADER_BYTES..length.checked_sub(CHECKSUM_BYTES)?)?;
    Some((version, body))
}

/// The length of the section that starts with `bytes`; `None` while its header is incomplete.
pub(super) fn section_bytes(bytes: &[u8]) -> Option<usize> {
    Some(3 + usize::from(word(bytes, 1)? & 0x0fff))
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let pair: [u8; 2] = bytes.get(at..at + 2)?.try_into().ok()?;
    Some(u16::from_be_bytes(pair))
}

/// Appends `section` as packets of `pid`. With `discontinuity` the counter may jump there.
pub(super) fn write_to(
    out: &mut Vec<u8>,
    pid: u16,
    counter: &mut Counter,
    discontinuity: bool,
    section: &[u8],
) {
    // The pointer field: the section starts right behind it.
    let mut payload = vec![0];
    payload.extend_from_slice(section);
    let mut adaptation = Adaptation {
        discontinuity,
        ..Adaptation::default()
    };
    // A section's last packet is filled with 0xff (section 2.4.4.1).
    let room = PAYLOAD_BYTES_MAX - adaptation.bytes();
    let more = payload.len().saturating_sub(room);
    payload.resize(room + more.next_multiple_of(PAYLOAD_BYTES_MAX), 0xff);
    let (mut rest, mut starts) = (payload.as_slice(), true);
    while !rest.is_empty() {
        let taken = packet::write_to(out, pid, counter, starts, adaptation, rest);
        rest = rest.get(taken..).unwrap_or_default();
        (adaptation, starts) = (Adaptation::default(), false);
    }
}
