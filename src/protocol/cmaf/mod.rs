//! CMAF: fragmented MP4 with one track (ISO/IEC 23000-19, ISO/IEC 14496-12).
//!
//! [`init`] (what a decoder gets once: one header per rendition), `entry` (how each codec stands
//! in it), [`fragment`] (samples of one part), [`packed`] (sound that browsers want without a file
//! around it), [`id3`] (titles on the media's clock) and [`reader`] (a bounded walk over boxes, for
//! tests, checks and load generators).

mod atom;
mod entry;
pub mod fragment;
pub mod id3;
pub mod init;
pub mod packed;
pub mod reader;

pub use fragment::{Fragment, Produced, Sample, TimedId3, write_fragment};
pub use init::{timescale, write_init};
pub use packed::{is_packed_only, write_packed};

/// The number of the only track of every rendition's file.
pub const FILE_TRACK_ID: u32 = 1;

#[cfg(test)]
mod tests;
