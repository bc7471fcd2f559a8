//! What goes wrong outside, and what the server makes of it: peers that are rude, slow, dead or
//! too many, files that run out, parts that stop, signals under load.
//!
//! Reading order: [`crowd`] (many good listeners, bit for bit), [`peers`] (bad ones), then one file
//! for each kind of failure.

mod access;
mod changes;
mod control;
mod crowd;
mod descriptors;
mod drain;
mod farewells;
mod framing;
mod grammar;
mod heads;
mod hostile;
mod linger;
mod listeners;
pub(crate) mod peers;
mod reload;
mod rtmp;
mod slow;
mod sources;
mod stall;
mod storms;
mod versions;
mod video;

use super::harness;
