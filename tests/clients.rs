//! Sources and listeners that we did not write, against the whole program, on both backends.
//!
//! Reading order: [`sources`] (encoders), [`encoders`] (more of them), [`listeners`] and
//! [`players`], [`browser`] and [`firefox`] (the page), [`formats`] (what is in a stream), [`ogg`]
//! (chained streams), [`titles`] (our own reader, byte by byte), [`icecast`] and [`admin`] (what a
//! real one says beside us).

mod admin;
mod browser;
mod encoders;
mod firefox;
mod formats;
mod icecast;
mod listeners;
mod ogg;
mod players;
mod sources;
mod titles;

use super::harness;
pub(crate) use sources::seconds_decoded;

/// One test for each backend: `on_both_backends!(name)` runs `name(Backend)` on io_uring and epoll.
macro_rules! on_both_backends {
    ($($(#[$meta:meta])* $name:ident),* $(,)?) => {
        mod io_uring {
            $($(#[$meta])* #[test] fn $name() { super::$name(crate::harness::Backend::IoUring); })*
        }
        mod epoll {
            $($(#[$meta])* #[test] fn $name() { super::$name(crate::harness::Backend::Epoll); })*
        }
    };
}
pub(crate) use on_both_backends;
