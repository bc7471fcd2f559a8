//! MPEG transport streams (ISO/IEC 13818-1, also ITU-T H.222.0): [`packet`] (188 bytes with a
//! header), [`psi`] (the tables that say what is inside), [`elementary`] (access units in the form
//! that transport streams carry), [`mux`] (access units to packets) and [`demux`] (packets to
//! access units, with every fault named).

pub mod demux;
pub mod elementary;
pub mod mux;
pub mod packet;
pub mod psi;

pub use demux::Reader;
pub use mux::Writer;

/// The media type of a transport stream (RFC 3555 section 4.2.9).
pub const CONTENT_TYPE: &str = "video/mp2t";

/// Ticks per second of PTS and DTS (section 2.4.3.6).
pub const TICKS_HZ: u32 = 90_000;

/// PTS, DTS and the base of the PCR have 33 bits.
pub const TICKS_MASK: u64 = (1 << 33) - 1;

/// Ticks of the PCR for each tick of [`TICKS_HZ`] (section 2.4.3.5).
pub const PCR_PER_TICK: u64 = 300;

/// Where the PCR starts over, in ticks of 27 MHz.
pub const PCR_WRAP: u64 = (TICKS_MASK + 1) * PCR_PER_TICK;

const _: () = assert!(TICKS_HZ as u64 * PCR_PER_TICK == 27_000_000);

#[cfg(test)]
mod demux_tests;
#[cfg(test)]
mod elementary_tests;
#[cfg(test)]
mod tests;
