//! The rules of HLS on everything that comes out of a packager.

mod parse;
mod scenes;
mod source;
mod station;
