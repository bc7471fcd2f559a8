//! Ogg: [`page`] (the container's unit), [`codec`] (what a logical stream holds, by its first
//! packet), [`comment`] (tags) and [`demux`] (bytes to pages, chain link by chain link).

pub mod codec;
pub mod comment;
pub mod demux;
mod link;
pub mod page;

pub use demux::Framer;

#[cfg(test)]
mod tests;
