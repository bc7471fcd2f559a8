//! FLV tags and what RTMP messages carry: classic (Adobe Flash Video File Format Specification
//! 10.1, annex E) and enhanced (Enhanced RTMP v1 and v2, Veovera).
//!
//! [`tag`] cuts a file or stream into tags, [`body`] takes them apart, [`demux`] makes access units
//! of them, and [`mux`] writes them: as a stream, as WebSocket messages, as RTMP messages.

pub mod body;
pub mod demux;
pub mod fault;
pub mod mux;
pub mod script;
pub mod tag;

#[cfg(test)]
mod demux_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use demux::Demuxer;
pub use fault::FlvFault;
pub use mux::{FlvWriter, RtmpWriter, WsFlvWriter};
pub use tag::{Tag, TagReader};
