//! The one integration binary: everything that needs the whole program or the whole tree.
//!
//! Reading order: [`harness`] (the program, sources and listeners of our own), [`clients`]
//! (programs that we did not write), [`admission`] (who may come in), [`hooks`] (scripts that are
//! asked and told), [`cmaf`] (fragmented MP4 as ffmpeg reads it), [`coding`] (pages compressed),
//! [`directory`] (where stations are listed), [`failures`] (what goes wrong outside), [`feed`] (who
//! listens), [`import`] (files of other servers), [`intro`] (what new listeners hear first),
//! [`metrics`] (their page is current), [`mpegts`] (transport streams as ffmpeg reads them),
//! [`recording`] (media as files), [`relays`] (streams of other servers), [`tidy`] (the tree keeps
//! its own rules), [`tls`] (TLS, HTTP/2 and HTTP/3), [`video`] (RTMP and what is made of it).

mod admission;
mod clients;
mod cmaf;
mod coding;
mod directory;
mod failures;
mod feed;
mod harness;
mod hooks;
mod import;
mod intro;
mod metrics;
mod mpegts;
mod recording;
mod relays;
mod tidy;
mod tls;
mod video;
