//! HTTP Live Streaming with low latency (draft-pantos-hls-rfc8216bis).
//!
//! A [`Packager`] at a mount's home turns access units into [`Step`]s: parts, playlists plain and
//! pressed, made once per node. Each shard with readers has an [`Origin`], which takes the steps
//! and answers requests; [`Waiters`] holds those that wait for the next part.
//!
//! Reading order: [`settings`], [`step`], [`packager`], [`origin`], [`answer`], [`waiters`],
//! [`directive`] (what a request's query says), [`name`] (what files are called).

pub mod answer;
mod audio;
mod backlog;
mod cutter;
mod dash;
mod daterange;
pub mod directive;
mod line;
mod list;
mod multivariant;
pub mod name;
pub mod origin;
pub mod packager;
mod playlist;
mod rendition;
mod retention;
pub mod settings;
pub mod step;
mod timing;
pub mod waiters;

pub use answer::{Answer, Body, Cache, ContentType, Response};
pub use directive::{BadDirective, Directives, Skip};
pub use name::{MULTIVARIANT_NAME, RenditionId, Resource, is_epoch};
pub use origin::{Origin, Released, Request, WaitKey};
pub use packager::Packager;
pub use settings::PackagerSettings;
pub use step::{Rendered, Step};
pub use waiters::{WaiterId, Waiters};

#[cfg(test)]
mod tests;
