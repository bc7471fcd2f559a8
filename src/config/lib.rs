//! Settings: one declaration each, read from file, environment and flags.

pub mod property;
pub mod section;

pub use section::*;
