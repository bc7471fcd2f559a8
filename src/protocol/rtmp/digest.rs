//! The digests of Flash's handshake: HMAC-SHA256 with keys that everybody knows, which proves
//! nothing but that the peer is of a kind. Written down by those who watched Flash Player 9; no
//! standard has it. Clients that use it are told what they look for, since some go away otherwise.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of each packet of a handshake.
pub(super) const PACKET_BYTES: usize = 1_536;
/// Bytes of a digest.
pub(super) const DIGEST_BYTES: usize = 32;

/// One packet of a handshake.
pub(super) type Packet = [u8; PACKET_BYTES];
/// A digest.
pub(super) type Code = [u8; DIGEST_BYTES];

/// What all keys end in, for second packets.
const TAIL: [u8; 32] = [
    0xF0, 0xEE, 0xC2, 0x4A, 0x80, 0x68, 0xBE, 0xE8, 0x2E, 0x00, 0xD0, 0xD1, 0x02, 0x9E, 0x7E, 0x57,
    0x6E, 0xEC, 0x5D, 0x2D, 0x29, 0x80, 0x6F, 0xAB, 0x93, 0xB8, 0xE6, 0x36, 0xCF, 0xEB, 0x31, 0xAE,
];

/// A client's key for its first packet.
pub(super) const CLIENT_KEY: &[u8] = b"Genuine Adobe Flash Player 001";
/// A server's key for its first packet.
pub(super) const SERVER_KEY: &[u8] = b"Genuine Adobe Flash Media Server 001";
/// A client's key for its second packet.
pub(super) const CLIENT_KEY_LONG: &[u8] = &joined::<62>(CLIENT_KEY);
/// A server's key for its second packet.
pub(super) const SERVER_KEY_LONG: &[u8] = &joined::<68>(SERVER_KEY);

/// `name` and [`TAIL`].
const fn joined<const N: usize>(name: &[u8]) -> [u8; N] {
    let mut key = [0; N];
    let mut at = 0;
    while at < N {
        key[at] = if at < name.len() {
            name[at]
        } else {
            TAIL[at - name.len()]
        };
        at += 1;
    }
    key
}

/// Where in a first packet the digest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// In the first half.
    DigestFirst,
    /// In the second half, behind a key for encryption.
    KeyFirst,
}

impl Scheme {
    /// Where the digest is that the packet points to: at most at 1,503.
    fn offset(self, packet: &Packet) -> usize {
        let base = match self {
            Scheme::DigestFirst => 8,
            Scheme::KeyFirst => 772,
        };
        let pointer = &packet[base..base + 4];
        let sum: usize = pointer.iter().map(|&byte| usize::from(byte)).sum();
        base + 4 + sum % 728
    }

    /// The digest of a packet, around the place where it stands.
    fn digest(self, packet: &Packet, key: &[u8]) -> Code {
        let (before, rest) = packet.split_at(self.offset(packet));
        code(key, &[before, &rest[DIGEST_BYTES..]])
    }
}

/// The digest in a first packet, where there is a right one.
pub(super) fn find(packet: &Packet, key: &[u8]) -> Option<(Code, Scheme)> {
    let schemes = [Scheme::KeyFirst, Scheme::DigestFirst].into_iter();
    schemes.into_iter().find_map(|scheme| {
        let digest = scheme.digest(packet, key);
        let there = &packet[scheme.offset(packet)..];
        there.starts_with(&digest).then_some((digest, scheme))
    })
}

/// Puts the digest into a first packet.
pub(super) fn sign_first(packet: &mut Packet, key: &[u8], scheme: Scheme) {
    let digest = scheme.digest(packet, key);
    let at = scheme.offset(packet);
    packet[at..at + DIGEST_BYTES].copy_from_slice(&digest);
}

/// Puts the digest at the end of a second packet, which answers the `first` one's digest.
pub(super) fn sign_second(packet: &mut Packet, key: &[u8], first: &Code) {
    let key = code(key, &[first]);
    let (body, end) = packet.split_at_mut(PACKET_BYTES - DIGEST_BYTES);
    end.copy_from_slice(&code(&key, &[body]));
}

fn code(key: &[u8], parts: &[&[u8]]) -> Code {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}
