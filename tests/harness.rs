//! What the tests that run the whole program share: the program itself, clients with a time limit,
//! a raw HTTP client, an MP3 source whose every frame is known, and fixtures.
//!
//! Reading order: [`server`] (the program on a port of its own), [`http`] (bytes in, bytes out),
//! [`http2`] (frames in, frames out), [`mpeg`] (frames that say their number), [`station`] (plays
//! them), [`icy`] (hears them), [`client`] (other people's programs), [`fixture`] (files that
//! ffmpeg makes once), [`borders`] (where their frames begin), [`chromium`] and [`firefox`]
//! (browsers), [`desktop`] (what programs with a window need), [`icecast`] (a real one), [`tls`]
//! (certificates), [`acme`] (who gives them), [`rough`] (a bad network), [`script`] (an operator's,
//! asked and told by HTTP).

pub(crate) mod acme;
pub(crate) mod borders;
pub(crate) mod chromium;
pub(crate) mod client;
pub(crate) mod desktop;
pub(crate) mod firefox;
pub(crate) mod fixture;
pub(crate) mod http;
pub(crate) mod http2;
pub(crate) mod icecast;
pub(crate) mod icy;
pub(crate) mod mpeg;
pub(crate) mod rough;
pub(crate) mod scratch;
#[path = "../src/control/tests/script.rs"]
pub(crate) mod script;
pub(crate) mod server;
pub(crate) mod station;
pub(crate) mod tls;

pub(crate) use borders::Cut;
pub(crate) use client::{Client, program};
pub(crate) use icecast::Icecast;
pub(crate) use icy::IcyReader;
pub(crate) use scratch::Scratch;
pub(crate) use server::{Backend, Server};
pub(crate) use station::Station;

use std::time::{Duration, Instant};

/// Asks `check` every few milliseconds until it answers; fails with `what` after `limit`.
pub(crate) fn wait_for<T>(what: &str, limit: Duration, mut check: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = check() {
            return answer;
        }
        let waited = began.elapsed();
        assert!(waited < limit, "waited {waited:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
