//! Packets to access units, with every fault named: what the tests and the load generator read
//! streams with, ours and those of others.

use super::packet::{PACKET_BYTES, PID_NULL, Packet, SYNC};
use super::psi::{self, PID_PAT, Program, SECTION_BYTES_MAX, STREAMS_MAX};

/// The longest PES packet that is gathered.
pub const PES_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The most PIDs that are told apart; packets of further ones are counted as nothing.
pub const PIDS_MAX: usize = STREAMS_MAX + 2;

/// What a transport stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// What is inside became known or changed.
    Program(Program),
    /// A clock reference.
    Pcr(Pcr),
    /// A whole PES packet of one of the program's streams.
    Pes(Pes),
    /// Something that must not be.
    Fault(Fault),
}

/// A program clock reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pcr {
    /// The packet's PID.
    pub pid: u16,
    /// Ticks of 27 MHz, which start over at [`super::PCR_WRAP`].
    pub ticks: u64,
    /// Whether another clock starts here.
    pub discontinuity: bool,
    /// Where the packet starts in the stream, in packets.
    pub packet: u64,
}

/// A PES packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pes {
    /// The PID of its packets.
    pub pid: u16,
    /// Its stream id.
    pub stream_id: u8,
    /// When it is shown, in ticks of 90 kHz that start over at 2^33.
    pub pts: Option<u64>,
    /// When it is decoded, where that differs.
    pub dts: Option<u64>,
    /// Whether its first packet says that a decoder may start here.
    pub random_access: bool,
    /// What it carries.
    pub payload: Vec<u8>,
    /// Where its first packet starts in the stream, in packets.
    pub packet: u64,
}

/// Something that must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No sync byte where a packet should start; so many bytes were skipped.
    Sync {
        /// Bytes up to the next packet.
        bytes: usize,
    },
    /// A header or an adaptation field that contradicts itself.
    Packet,
    /// A packet that its sender marked as damaged.
    Damaged {
        /// The packet's PID.
        pid: u16,
    },
    /// Packets are missing or in wrong order.
    Continuity {
        /// The packets' PID.
        pid: u16,
        /// The counter that was due.
        expected: u8,
        /// The counter that came.
        found: u8,
    },
    /// A table that is damaged or of a wrong kind.
    Table {
        /// Where it stands.
        pid: u16,
    },
    /// A PES packet whose header is damaged, or that is shorter or longer than it says.
    Pes {
        /// Its PID.
        pid: u16,
    },
}

/// Reads a transport stream from its first program.
///
/// After every [`Reader::push`] and after [`Reader::finish`] the events lie in `out`. How the
/// bytes are cut into pushes changes nothing.
#[derive(Debug, Default)]
pub struct Reader {
    /// A packet that is not whole yet.
    rest: Vec<u8>,
    skipped: usize,
    packets: u64,
    pids: Vec<Pid>,
    pmt_pid: Option<u16>,
    program: Option<Program>,
}

/// What is known of one PID.
#[derive(Debug)]
struct Pid {
    pid: u16,
    count: Option<u8>,
    /// Whether the last packet was there twice already.
    repeated: bool,
    gathered: Gathered,
}

#[derive(Debug, Default)]
enum Gathered {
    #[default]
    Nothing,
    Section(Vec<u8>),
    /// The PES packet with its header, and what its first packet said.
    Pes(Pes),
}

impl Reader {
    /// A reader at the start of a stream.
    pub fn new() -> Self {
        Reader::default()
    }

    /// Packets that were read.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<Event>) {
        while !bytes.is_empty() {
            if self.rest.is_empty() && bytes.first() != Some(&SYNC) {
                let wrong = bytes
                    .iter()
                    .position(|&byte| byte == SYNC)
                    .unwrap_or(bytes.len());
                self.skipped = self.skipped.saturating_add(wrong);
                bytes = bytes.get(wrong..).unwrap_or_default();
                continue;
            }
            let missing = PACKET_BYTES - self.rest.len();
            let (taken, behind) = bytes.split_at(missing.min(bytes.len()));
            self.rest.extend_from_slice(taken);
            bytes = behind;
            if let Ok(packet) = <[u8; PACKET_BYTES]>::try_from(self.rest.as_slice()) {
                self.rest.clear();
                self.say_skipped(out);
                self.on_packet(&packet, out);
                self.packets += 1;
            }
        }
    }

    /// Says that no bytes follow: gives out what its successor would have ended.
    pub fn finish(&mut self, out: &mut Vec<Event>) {
        self.skipped = self.skipped.saturating_add(self.rest.len());
        self.rest.clear();
        self.say_skipped(out);
        for pid in &mut self.pids {
            pid.end(out);
        }
    }

    fn say_skipped(&mut self, out: &mut Vec<Event>) {
        let bytes = std::mem::take(&mut self.skipped);
        if bytes > 0 {
            out.push(Event::Fault(Fault::Sync { bytes }));
        }
    }

    fn on_packet(&mut self, bytes: &[u8; PACKET_BYTES], out: &mut Vec<Event>) {
        let Some(packet) = Packet::parse(bytes) else {
            out.push(Event::Fault(Fault::Packet));
            return;
        };
        let pid = packet.pid;
        if packet.is_damaged {
            out.push(Event::Fault(Fault::Damaged { pid }));
        }
        if pid == PID_NULL {
            return;
        }
        if let Some(ticks) = packet.adaptation.pcr {
            out.push(Event::Pcr(Pcr {
                pid,
                ticks,
                discontinuity: packet.adaptation.discontinuity,
                packet: self.packets,
            }));
        }
        let Some(at) = self.place_of(pid) else {
            return;
        };
        let Some(payload) = packet.payload else {
            return;
        };
        if !self.pids[at].counts(&packet, out) {
            return;
        }
        if pid == PID_PAT || Some(pid) == self.pmt_pid {
            self.on_section(at, packet.starts, payload, out);
        } else if self.is_stream(pid) {
            self.pids[at].on_pes(&packet, payload, self.packets, out);
        }
    }

    fn place_of(&mut self, pid: u16) -> Option<usize> {
        let known = self.pids.iter().position(|known| known.pid == pid);
        if known.is_none() && self.pids.len() < PIDS_MAX {
            self.pids.push(Pid {
                pid,
                count: None,
                repeated: false,
                gathered: Gathered::Nothing,
            });
            return Some(self.pids.len() - 1);
        }
        known
    }

    fn is_stream(&self, pid: u16) -> bool {
        let streams = self.program.iter().flat_map(|program| &program.streams);
        streams.into_iter().any(|stream| stream.pid == pid)
    }

    fn on_section(&mut self, at: usize, starts: bool, payload: &[u8], out: &mut Vec<Event>) {
        let state = &mut self.pids[at];
        let pid = state.pid;
        let mut payload = payload;
        if starts {
            // The pointer: so many bytes still belong to the section before.
            let Some(behind) = payload
                .split_first()
                .and_then(|(&pointer, behind)| behind.get(usize::from(pointer)..))
            else {
                out.push(Event::Fault(Fault::Table { pid }));
                return;
            };
            payload = behind;
            state.gathered = Gathered::Section(Vec::new());
        }
        let Gathered::Section(section) = &mut state.gathered else {
            return;
        };
        section.extend_from_slice(payload);
        let Some(length) = psi::section_bytes(section) else {
            return;
        };
        if length > SECTION_BYTES_MAX {
            state.gathered = Gathered::Nothing;
            out.push(Event::Fault(Fault::Table { pid }));
        } else if section.len() >= length {
            let section = std::mem::take(section);
            state.gathered = Gathered::Nothing;
            self.on_table(pid, &section, out);
        }
    }

    fn on_table(&mut self, pid: u16, section: &[u8], out: &mut Vec<Event>) {
        if pid == PID_PAT {
            match psi::parse_association(section) {
                Some(pmt_pid) => self.pmt_pid = Some(pmt_pid),
                None => out.push(Event::Fault(Fault::Table { pid })),
            }
            return;
        }
        match Program::parse(section) {
            Some(program) if self.program.as_ref() != Some(&program) => {
                self.program = Some(program.clone());
                out.push(Event::Program(program));
            }
            Some(_) => {}
            None => out.push(Event::Fault(Fault::Table { pid })),
        }
    }
}

impl Pid {
    /// Checks the continuity counter (section 2.4.3.3); false for a packet that is there twice.
    fn counts(&mut self, packet: &Packet<'_>, out: &mut Vec<Event>) -> bool {
        let last = self.count.replace(packet.count);
        let Some(last) = last.filter(|_| !packet.adaptation.discontinuity) else {
            self.repeated = false;
            return true;
        };
        let expected = (last + 1) & 0x0f;
        if packet.count == last && !self.repeated {
            self.repeated = true;
            return false;
        }
        self.repeated = false;
        if packet.count != expected {
            out.push(Event::Fault(Fault::Continuity {
                pid: self.pid,
                expected,
                found: packet.count,
            }));
        }
        true
    }

    fn on_pes(&mut self, packet: &Packet<'_>, payload: &[u8], number: u64, out: &mut Vec<Event>) {
        if packet.starts {
            self.end(out);
            self.gathered = Gathered::Pes(Pes {
                pid: self.pid,
                random_access: packet.adaptation.random_access,
                packet: number,
                ..Pes::default()
            });
        }
        let Gathered::Pes(pes) = &mut self.gathered else {
            return;
        };
        pes.payload.extend_from_slice(payload);
        let whole = declared_bytes(&pes.payload).is_some_and(|bytes| pes.payload.len() >= bytes);
        if whole || pes.payload.len() > PES_BYTES_MAX {
            self.end(out);
        }
    }

    /// Gives out the PES packet that was gathered.
    fn end(&mut self, out: &mut Vec<Event>) {
        let Gathered::Pes(pes) = std::mem::take(&mut self.gathered) else {
            return;
        };
        out.push(match open(pes) {
            Some(pes) => Event::Pes(pes),
            None => Event::Fault(Fault::Pes { pid: self.pid }),
        });
    }
}

/// How long a PES packet says that it is, where it does.
fn declared_bytes(bytes: &[u8]) -> Option<usize> {
    let length: [u8; 2] = bytes.get(4..6)?.try_into().ok()?;
    let length = usize::from(u16::from_be_bytes(length));
    (length > 0).then_some(6 + length)
}

/// Takes the header off (section 2.4.3.6); `None` where it is damaged or the length is wrong.
fn open(mut pes: Pes) -> Option<Pes> {
    let bytes = std::mem::take(&mut pes.payload);
    let &[0, 0, 1, stream_id, _, _, marks, flags, header_bytes] = bytes.first_chunk::<9>()? else {
        return None;
    };
    let too_long = bytes.len() > PES_BYTES_MAX;
    if marks & 0xc0 != 0x80 || too_long || declared_bytes(&bytes).is_some_and(|b| b != bytes.len())
    {
        return None;
    }
    let header = bytes.get(9..9 + usize::from(header_bytes))?;
    pes.stream_id = stream_id;
    if flags & 0x80 != 0 {
        pes.pts = Some(parse_time(header.get(..5)?)?);
    }
    if flags & 0xc0 == 0xc0 {
        pes.dts = Some(parse_time(header.get(5..10)?)?);
    }
    pes.payload = bytes.get(9 + header.len()..)?.to_vec();
    Some(pes)
}

/// 33 bits in three pieces; `None` where a marker bit is missing.
fn parse_time(field: &[u8]) -> Option<u64> {
    let field: [u8; 5] = field.try_into().ok()?;
    let [a, b, c, d, e] = field.map(u64::from);
    let marked = a & c & e & 1 == 1;
    marked.then_some((a >> 1 & 7) << 30 | b << 22 | c >> 1 << 15 | d << 7 | e >> 1)
}
