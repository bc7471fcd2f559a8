//! The control plane: one thread that answers every request that is no media request, through
//! the mesh; it owns no public socket and media never waits for it.
//!
//! Reading order: [`plane`] (its loop, what the program says to it), `outbox` (messages that a full
//! ring refused), `exchange` (a request as messages, a router's answer as messages), `query` (asks
//! every shard for its state), `node` (what handlers share), `router` (every path), `coding`
//! (compression, and what a reader has already), `api` (resources as JSON), `icecast` (the surfaces
//! of Icecast), `page` (the page at `/`), `health`, `problem`, `auth`, `form`, `charset`, `clock`;
//! `resolve` (names of hosts for shards); `client` (requests of our own), `guests` (listeners with
//! a password), `users` (their files), `hooks` (scripts that are asked and told), `kept` (what
//! listeners showed), `directory` (where stations are listed), `masters` (servers all of whose
//! mounts are relayed); `event` and `access_log` (what is written down), `recorder` (media as
//! files), `certificates` (what TLS is spoken with), `acme` (how they are got), `private` (files of
//! secrets), `audience` (who listens, counted), `viewers` (who watches HLS, put together), `titles`
//! (what was playing), `feed` (events for those who watch), `probe` (what is counted).

mod access_log;
mod acme;
mod api;
mod audience;
mod auth;
mod certificates;
mod charset;
mod client;
mod clock;
mod coding;
mod directory;
mod event;
mod exchange;
mod feed;
mod form;
mod guests;
mod health;
mod hooks;
mod icecast;
mod kept;
mod masters;
mod node;
mod outbox;
mod page;
pub mod plane;
mod private;
mod probe;
mod problem;
mod query;
mod recorder;
mod resolve;
mod router;
mod titles;
mod users;
mod viewers;

#[cfg(test)]
mod tests;

pub use certificates::Certificates;
pub use plane::{Control, ControlHandle, ControlSettings};
pub use private::write_private;
pub use probe::ControlProbe;
