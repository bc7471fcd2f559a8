//! Bytes to events and back, one folder for each protocol; no socket, clock or randomness.
//!
//! Reading order: [`text`] (texts from peers), [`http`] and [`http1`] (requests and answers),
//! [`icy`] (what radio adds to them), [`audio`] (the one face of the framers [`mpa`], [`adts`] and
//! [`ogg`]), [`intro`] (a whole file cut by them).

pub mod adts;
pub mod audio;
pub mod cmaf;
pub mod dash;
pub mod flv;
pub(crate) mod framing;
pub mod hls;
pub mod http;
pub mod http1;
pub mod icy;
pub mod intro;
pub mod mpa;
pub mod mpegts;
pub mod ogg;
pub mod output;
pub mod quic;
pub mod radio;
pub mod rtmp;
pub mod text;
pub mod websocket;
