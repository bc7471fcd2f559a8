//! MPEG audio, layers I to III of MPEG-1, MPEG-2 and the unofficial 2.5: [`header`] (one frame's
//! header) and [`demux`] (bytes to frames).

pub mod demux;
pub mod header;

pub(crate) use demux::Framer;

#[cfg(test)]
mod tests;
