//! AAC in ADTS: [`header`] (one frame's header) and [`demux`] (bytes to frames).

pub mod demux;
pub mod header;

pub(crate) use demux::Framer;

#[cfg(test)]
mod tests;
