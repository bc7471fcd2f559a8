//! The data plane: one pinned thread per shard, its connections, mounts and readers.
//!
//! Reading order: [`hub`] (what decides: this shard's mounts, sources and listeners, pure).

pub mod hub;
