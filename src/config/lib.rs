//! Settings: one declaration each, read from file, environment and flags.

mod check;
mod document;
mod fault;
mod load;
mod overrides;
pub mod property;
pub mod reference;
mod reload;
pub mod section;
mod state;
mod value;

pub use check::{RESERVED_PATHS, is_reserved_path};
pub use fault::{Fault, Place};
pub use load::{File, Loaded, Sources, load};
pub use overrides::ENVIRONMENT_PREFIX;
pub use reload::{Change, apply_reloadable, diff};
pub use section::*;
pub use state::{SECRETS_FILE, Secret, Secrets, missing_secrets, state_dir};

#[cfg(test)]
mod tests;
