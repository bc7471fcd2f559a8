//! The rules of HLS on everything that comes out of a packager.

mod blocking;
mod dash;
mod faults;
mod packed;
mod parse;
mod scenes;
mod source;
mod station;
