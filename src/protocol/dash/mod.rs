//! DASH: a manifest over the CMAF segments that HLS has too (ISO/IEC 23009-1).
//!
//! [`Manifest`] says what is on offer and writes itself as text. Where segments are as long as they
//! should be, they are counted (`SegmentTemplate@duration`), and players with low latency may
//! fetch the newest while it is made (DASH-IF "Low-latency Modes for DASH"); where keyframes come
//! as they like, every segment is listed (`SegmentTimeline`).

mod manifest;
mod text;

pub use manifest::{Clock, Live, Manifest, Period, Representation, Segment};

/// The longest manifest that is written, in bytes: what does not fit into it is older segments.
pub const MANIFEST_BYTES_MAX: usize = 1024 * 1024;

#[cfg(test)]
mod tests;
