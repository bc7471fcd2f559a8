//! Tokens of a node: what a client shows after Retry to prove that it lives where it says it does
//! (RFC 9000 section 8.1.2), and what ends a connection that we no longer know (section 10.3).
//!
//! Both are marked with a key of the node; nothing is kept for them.

use std::net::{IpAddr, SocketAddr};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::steering::ID_BYTES_MAX;

/// How long a client may take to come back after Retry, in seconds.
pub const RETRY_SECONDS_MAX: u64 = 20;

/// The longest token of ours.
pub const TOKEN_BYTES_MAX: usize = HEAD_BYTES + ID_BYTES_MAX + MARK_BYTES;

/// What a token begins with; another one is none of ours.
const KIND_RETRY: u8 = 0x52;

/// Kind and time.
const HEAD_BYTES: usize = 9;

/// Bytes of the mark at the end.
const MARK_BYTES: usize = 16;

/// Bytes of a stateless reset token (RFC 9000 section 10.3).
pub const RESET_BYTES: usize = 16;

/// The key of a node's tokens: the same on all its shards, and best the same after a restart.
#[derive(Clone)]
pub struct TokenKey([u8; 32]);

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

impl TokenKey {
    /// A key of secret bytes.
    pub const fn new(secret: [u8; 32]) -> Self {
        TokenKey(secret)
    }

    /// A key that follows from another secret, which it does not give away.
    pub fn derived(secret: &[u8]) -> Self {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
        mac.update(b"corecast tokens of QUIC");
        TokenKey(mac.finalize().into_bytes().into())
    }

    /// A token for the client at `peer`, whose first packet had the destination `original`, and
    /// which Retry tells to go on with `next`. `now` in seconds, of any clock that all shards
    /// share.
    pub fn retry_token(&self, now: u64, peer: SocketAddr, original: &[u8], next: &[u8]) -> Vec<u8> {
        let mut token = Vec::with_capacity(TOKEN_BYTES_MAX);
        token.push(KIND_RETRY);
        token.extend_from_slice(&now.to_be_bytes());
        token.extend_from_slice(original);
        let mark = self.retry_mark(&token, peer, next);
        token.extend_from_slice(&mark);
        token
    }

    /// The destination of the client's first packet, where `token` is one that
    /// [`Self::retry_token`] made for it not long ago; `next` is the destination of the packet that
    /// has the token.
    pub fn original<'t>(
        &self,
        now: u64,
        peer: SocketAddr,
        next: &[u8],
        token: &'t [u8],
    ) -> Option<&'t [u8]> {
        let said_bytes = token.len().checked_sub(MARK_BYTES)?;
        let (said, mark) = token.split_at_checked(said_bytes)?;
        let (head, original) = said.split_at_checked(HEAD_BYTES)?;
        let (kind, time) = head.split_first()?;
        let made = u64::from_be_bytes(time.try_into().ok()?);
        let fresh = made <= now && now - made <= RETRY_SECONDS_MAX;
        if *kind != KIND_RETRY || original.len() > ID_BYTES_MAX || !fresh {
            return None;
        }
        self.hashed(said, peer, next)
            .verify_truncated_left(mark)
            .ok()?;
        Some(original)
    }

    /// Whether `token` looks like one of [`Self::retry_token`]: a client that shows one cannot take
    /// another Retry.
    pub fn is_retry_token(token: &[u8]) -> bool {
        token.first() == Some(&KIND_RETRY)
    }

    /// What ends the connection with the id `id` of ours, wherever it is said.
    pub fn reset_token(&self, id: &[u8]) -> [u8; RESET_BYTES] {
        let mut mac = self.mac();
        mac.update(b"reset");
        mac.update(id);
        first_bytes(&mac.finalize().into_bytes())
    }

    fn retry_mark(&self, said: &[u8], peer: SocketAddr, next: &[u8]) -> [u8; MARK_BYTES] {
        first_bytes(&self.hashed(said, peer, next).finalize().into_bytes())
    }

    /// The lengths of all but the last part are fixed or said, so that no two lists of parts are
    /// the same bytes.
    fn hashed(&self, said: &[u8], peer: SocketAddr, next: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.mac();
        mac.update(b"retry");
        match peer.ip().to_canonical() {
            IpAddr::V4(ip) => mac.update(&ip.to_ipv6_mapped().octets()),
            IpAddr::V6(ip) => mac.update(&ip.octets()),
        }
        mac.update(&peer.port().to_be_bytes());
        mac.update(&(said.len() as u64).to_be_bytes());
        mac.update(said);
        mac.update(next);
        mac
    }

    fn mac(&self) -> Hmac<Sha256> {
        Hmac::new_from_slice(&self.0).expect("HMAC takes keys of any length")
    }
}

fn first_bytes(hash: &[u8]) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes
        .iter_mut()
        .zip(hash)
        .for_each(|(to, from)| *to = *from);
    bytes
}
