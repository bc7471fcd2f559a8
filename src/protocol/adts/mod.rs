//! AAC in ADTS: [`header`] (one frame's header), [`demux`] (bytes to frames) and `sbr` (the band
//! that no header speaks of).

pub mod demux;
pub mod header;
pub(crate) mod sbr;

pub(crate) use demux::Framer;

#[cfg(test)]
mod tests;
