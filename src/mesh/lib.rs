//! How planes talk: bounded single-producer rings with coalesced wake-ups, and every message.
//!
//! Reading order: [`message`] (what planes tell each other), [`report`] (what a shard tells of
//! itself), [`topology`] (how many shards there are, which one is a mount's home), [`port`] (one
//! plane's end of the mesh), made of [`ring`] and [`doorbell`], [`seats`] (the few counts that hold
//! for the whole node), [`lockout`] (who failed to log in too often), [`probe`] (what is counted).

pub mod doorbell;
pub mod lockout;
pub mod message;
pub mod port;
pub mod probe;
pub mod report;
pub mod ring;
pub mod seats;
pub mod topology;
