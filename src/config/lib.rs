//! Settings: one declaration each, read from file, environment and flags.
//!
//! - [`section`]: every setting, as the planes read it. To add one, add its lines there, render
//!   the pages again (the failing test says how), and give it two values in
//!   `tests/failures/changes/table.rs`.
//! - [`property`]: what a declaration is made of.
//! - [`load`]: sources to a [`Config`], or all their faults at once.
//! - [`diff`], [`apply_reloadable`]: what SIGHUP changes, and what waits for a restart.
//! - [`Secrets`], [`state_dir`]: the passwords that the first start makes, and where they stay.
//! - [`mod@import`]: settings of Icecast and GoCast as ours.
//! - [`mod@reference`]: the reference page, the sample file, and what is in effect.
//!
//! Nothing here reads a file, the environment, a clock or randomness; the caller brings them.

mod acme;
mod check;
mod document;
mod fault;
pub mod import;
mod load;
mod log;
mod master;
mod mounts;
mod network;
mod overrides;
mod pattern;
pub mod property;
pub mod reference;
mod relay;
mod reload;
pub mod section;
mod state;
mod tls;
mod value;

pub use acme::{Acme, AcmeChallenge, LETS_ENCRYPT};
pub use check::{RESERVED_PATHS, RESERVED_PREFIXES, is_hls_path, is_reserved_path};
pub use fault::{Fault, Place};
pub use load::{File, Loaded, Sources, load};
pub use log::{HlsLines, LOG_LEVELS, Log, shown_ip};
pub use master::{LISTED_MAX, Listed, Master};
pub use mounts::Mounts;
pub use network::{Network, contains_ip, may_come};
pub use overrides::ENVIRONMENT_PREFIX;
pub use pattern::fits;
pub use relay::{HttpUrl, Relay};
pub use reload::{Change, apply_reloadable, diff};
pub use section::*;
pub use state::{SECRETS_FILE, Secret, Secrets, missing_secrets, state_dir};
pub use tls::{Certificate, DEFAULT_CERTIFICATE, Tls, TlsVersion};

#[cfg(test)]
mod tests;
