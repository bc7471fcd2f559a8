//! A checker of low-latency HLS: it samples the playlists of a mount in every way that players
//! ask for them, fetches what they name, and applies the rules to what it saw.
//!
//! Reading order: [`history`] (what was seen, as plain data), [`playlist`] and [`multivariant`]
//! (the texts), [`rules`] (what must hold), [`findings`] (the report).

mod attributes;
mod findings;
mod history;
mod multivariant;
mod playlist;
mod rules;

#[cfg(test)]
mod tests;
