//! What TLS and QUIC are spoken with: certificates and keys from the bytes of their files, which of
//! them answers to a name, tickets that all shards open.
//!
//! Reading order: [`Identity`] (a certificate with its key, checked), [`Credentials`] (all of them,
//! as rustls and QUIC take them), `names` (which one answers), [`development`] (one that signs
//! itself), [`acme`] (what it takes to be given one). No sockets and no files here; the one clock
//! is rustls's own, which turns the keys of its tickets.

pub mod acme;
pub mod development;

mod credentials;
mod identity;
mod names;
mod pem;
#[cfg(test)]
mod tests;

pub use credentials::{Credentials, MinVersion, Policy, Tickets};
pub use identity::{Files, Identity};

/// Why there are no credentials, in one line. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(String);

impl Fault {
    /// The fault of this text, which holds no secret.
    pub fn new(text: impl Into<String>) -> Self {
        Fault(text.into())
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}
