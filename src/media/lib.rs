//! What live media is, without sockets, clocks or randomness.
//!
//! Reading order: [`time`] (the node's clock as a plain number), [`codec`] (what is inside),
//! [`frame`] (the smallest piece a reader gets whole), [`track`] (coded video and audio side by
//! side), [`timeline`] (their clock repaired), [`metadata`] (titles on the same clock), [`name`]
//! (mount and session names), [`run`] (what a mount sends out), [`window`] (the newest runs of one
//! mount), [`gop`] (the newest access units), [`mount`] (the home side: one source, one output),
//! [`fanout`] (the reader side: listeners as small records), [`intro`] (what they hear first).

pub(crate) mod ahead;
pub mod codec;
pub mod fanout;
pub mod frame;
pub mod gather;
pub mod gop;
pub mod intro;
pub mod metadata;
pub mod mount;
pub mod name;
pub(crate) mod parts;
pub mod run;
pub mod socket;
pub mod time;
pub mod timeline;
pub mod track;
pub mod wheel;
pub mod window;
