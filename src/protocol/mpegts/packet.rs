//! One packet: header, adaptation field, payload (ISO/IEC 13818-1 section 2.4.3).

use super::PCR_PER_TICK;

/// The length of a packet (section 2.4.3.2).
pub const PACKET_BYTES: usize = 188;

/// The first byte of a packet.
pub const SYNC: u8 = 0x47;

/// Identifiers of packets have 13 bits.
pub const PID_MASK: u16 = 0x1fff;

/// Packets of this PID say nothing.
pub const PID_NULL: u16 = 0x1fff;

const HEADER_BYTES: usize = 4;
/// What a packet without adaptation field carries.
pub(super) const PAYLOAD_BYTES_MAX: usize = PACKET_BYTES - HEADER_BYTES;
const COUNTER_MASK: u8 = 0x0f;

/// What stands in front of the payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Adaptation {
    /// The continuity counter, and on the PCR's PID the clock, may jump here.
    pub discontinuity: bool,
    /// A decoder may start here.
    pub random_access: bool,
    /// The program clock reference, in ticks of 27 MHz.
    pub pcr: Option<u64>,
}

impl Adaptation {
    /// Bytes of the field, its length included; zero for none.
    pub(super) fn bytes(self) -> usize {
        if self == Adaptation::default() {
            0
        } else {
            2 + self.pcr.map_or(0, |_| 6)
        }
    }

    fn flags(self) -> u8 {
        u8::from(self.discontinuity) << 7
            | u8::from(self.random_access) << 6
            | u8::from(self.pcr.is_some()) << 4
    }

    /// Writes the field with stuffing, `bytes` in all (at least [`Adaptation::bytes`]).
    fn write_to(self, out: &mut Vec<u8>, bytes: usize) {
        let Some(length) = bytes.checked_sub(1) else {
            return;
        };
        let end = out.len() + bytes;
        out.push(length as u8);
        if length == 0 {
            return;
        }
        out.push(self.flags());
        if let Some(pcr) = self.pcr {
            let (base, extension) = (pcr / PCR_PER_TICK, pcr % PCR_PER_TICK);
            // 33 bits of base, 6 reserved bits, 9 bits of extension.
            let field = (base << 15) | (0x3f << 9) | extension;
            out.extend_from_slice(&field.to_be_bytes()[2..]);
        }
        out.resize(end, 0xff);
    }
}

/// The continuity counter of one PID (section 2.4.3.3).
#[derive(Clone, Copy, Debug, Default)]
pub struct Counter(u8);

impl Counter {
    /// The count for a packet with payload.
    fn next(&mut self) -> u8 {
        let count = self.0;
        self.0 = (count + 1) & COUNTER_MASK;
        count
    }

    /// The count for a packet without payload: that of the packet before.
    fn last(self) -> u8 {
        self.0.wrapping_sub(1) & COUNTER_MASK
    }
}

/// Appends one packet that starts a payload unit if `starts`, with as much of `payload` as fits.
/// A short payload is filled up by stuffing in the adaptation field. Returns the bytes taken.
pub fn write_to(
    out: &mut Vec<u8>,
    pid: u16,
    counter: &mut Counter,
    starts: bool,
    adaptation: Adaptation,
    payload: &[u8],
) -> usize {
    let room = PAYLOAD_BYTES_MAX - adaptation.bytes();
    let taken = payload.len().min(room);
    let field = PAYLOAD_BYTES_MAX - taken;
    let has_payload = taken > 0;
    let count = if has_payload {
        counter.next()
    } else {
        counter.last()
    };
    let control = u8::from(field > 0) << 5 | u8::from(has_payload) << 4;
    let [pid_high, pid_low] = (pid & PID_MASK).to_be_bytes();
    out.extend_from_slice(&[
        SYNC,
        u8::from(starts) << 6 | pid_high,
        pid_low,
        control | count,
    ]);
    adaptation.write_to(out, field);
    out.extend_from_slice(payload.get(..taken).unwrap_or_default());
    taken
}

/// One packet as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// What it belongs to.
    pub pid: u16,
    /// Whether a PES packet or a section starts in it.
    pub starts: bool,
    /// Whether the sender marked it as damaged.
    pub is_damaged: bool,
    /// Its continuity counter.
    pub count: u8,
    /// What stands in front of the payload.
    pub adaptation: Adaptation,
    /// The payload; `None` where the header says that there is none.
    pub payload: Option<&'a [u8]>,
}

impl<'a> Packet<'a> {
    /// Reads a packet; `None` for bytes that are none.
    pub fn parse(bytes: &'a [u8; PACKET_BYTES]) -> Option<Self> {
        let [SYNC, b1, b2, b3, rest @ ..] = bytes else {
            return None;
        };
        let (mut adaptation, mut payload) = (Adaptation::default(), rest.as_slice());
        if b3 & 0x20 != 0 {
            let (&length, field) = payload.split_first()?;
            let length = usize::from(length);
            adaptation = parse_adaptation(field.get(..length)?)?;
            payload = field.get(length..)?;
        }
        Some(Packet {
            pid: u16::from_be_bytes([*b1, *b2]) & PID_MASK,
            starts: b1 & 0x40 != 0,
            is_damaged: b1 & 0x80 != 0,
            count: b3 & COUNTER_MASK,
            adaptation,
            payload: (b3 & 0x10 != 0).then_some(payload),
        })
    }
}

fn parse_adaptation(field: &[u8]) -> Option<Adaptation> {
    let Some((&flags, rest)) = field.split_first() else {
        return Some(Adaptation::default());
    };
    let pcr = if flags & 0x10 != 0 {
        let bytes: [u8; 6] = rest.get(..6)?.try_into().ok()?;
        let [a, b, c, d, e, f] = bytes.map(u64::from);
        let base = a << 25 | b << 17 | c << 9 | d << 1 | e >> 7;
        Some(base * PCR_PER_TICK + ((e & 1) << 8 | f))
    } else {
        None
    };
    Some(Adaptation {
        discontinuity: flags & 0x80 != 0,
        random_access: flags & 0x40 != 0,
        pcr,
    })
}
