//! What of QUIC stands outside of its cipher, and is ours: ids that say which shard a connection
//! lives on ([`steering`]), tokens that show where a client lives ([`token`]), and the order of
//! streams ([`priority`]).

pub mod priority;
pub mod steering;
pub mod token;

#[cfg(test)]
mod tests;
