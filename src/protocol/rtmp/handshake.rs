//! What is said before the first chunk (section 5.2), simple or with digests.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use sha2::{Digest, Sha256};

use super::BadPeer;
use super::digest::{self, DIGEST_BYTES, PACKET_BYTES, Packet};

/// Version 3 is the only one; 6 and 8 are its encrypted kin.
const VERSION: u8 = 3;

/// What a server with digests calls itself.
const SERVER_VERSION: [u8; 4] = [3, 5, 1, 1];
/// What a client with digests calls itself: the last that servers tell apart.
const CLIENT_VERSION: [u8; 4] = [9, 0, 124, 2];

/// One side of the handshake.
#[derive(Debug)]
pub(super) struct Handshake {
    side: Side,
    random: [u8; 32],
    /// What came of the step under way.
    inbox: BytesMut,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Server,
    Client,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Waits for version and first packet (C0 and C1, S0 and S1).
    First,
    /// Waits for the second packet (C2, S2), of which so many bytes are still to come.
    Second(usize),
}

impl Handshake {
    /// The server's side.
    pub(super) fn server(random: [u8; 32]) -> Self {
        Handshake {
            side: Side::Server,
            random,
            inbox: BytesMut::new(),
            step: Step::First,
        }
    }

    /// The client's side, which speaks first.
    pub(super) fn client(random: [u8; 32], out: &mut BytesMut) -> Self {
        let packet = first_packet(&random, CLIENT_VERSION, |packet| {
            digest::sign_first(packet, digest::CLIENT_KEY, digest::Scheme::DigestFirst);
        });
        out.put_u8(VERSION);
        out.put_slice(&packet);
        Handshake {
            side: Side::Client,
            ..Handshake::server(random)
        }
    }

    /// Takes its part of `input`, and appends what is to be said; true once all is said.
    pub(super) fn handle_input(
        &mut self,
        input: &mut Bytes,
        out: &mut BytesMut,
    ) -> Result<bool, BadPeer> {
        if self.step == Step::First {
            // At once: nobody waits for the rest of what is another protocol.
            match self.inbox.first().or(input.first()) {
                None | Some(&VERSION) => {}
                Some(6 | 8 | 9) => return Err(BadPeer("encrypted RTMP is not spoken here")),
                Some(_) => return Err(BadPeer("not RTMP")),
            }
            let missing = 1 + PACKET_BYTES - self.inbox.len();
            self.inbox
                .extend_from_slice(&input.split_to(missing.min(input.len())));
            let Some((_, packet)) = self.inbox.split_first_chunk::<1>() else {
                return Ok(false);
            };
            let Ok(packet) = <&Packet>::try_from(packet) else {
                return Ok(false);
            };
            match self.side {
                Side::Server => answer_client(packet, &self.random, out),
                Side::Client => answer_server(packet, &self.random, out),
            }
            self.inbox = BytesMut::new();
            self.step = Step::Second(PACKET_BYTES);
        }
        if let Step::Second(left) = &mut self.step {
            // Nobody looks into it: old clients do not echo what they should.
            let here = input.len().min(*left);
            input.advance(here);
            *left -= here;
        }
        Ok(self.step == Step::Second(0))
    }
}

/// S0, S1 and S2 to C1.
fn answer_client(packet: &Packet, random: &[u8; 32], out: &mut BytesMut) {
    out.put_u8(VERSION);
    // Section 5.2.3 wants zeros where those with digests name their version.
    let signed = packet[4..8] != [0; 4];
    let found = signed.then(|| digest::find(packet, digest::CLIENT_KEY));
    if let Some((digest, scheme)) = found.flatten() {
        let first = first_packet(random, SERVER_VERSION, |first| {
            digest::sign_first(first, digest::SERVER_KEY, scheme);
        });
        out.put_slice(&first);
        let mut second = second_packet(random);
        digest::sign_second(&mut second, digest::SERVER_KEY_LONG, &digest);
        out.put_slice(&second);
    } else {
        out.put_slice(&first_packet(random, [0; 4], |_| ()));
        out.put_slice(packet);
    }
}

/// C2 to S1.
fn answer_server(packet: &Packet, random: &[u8; 32], out: &mut BytesMut) {
    match digest::find(packet, digest::SERVER_KEY) {
        Some((digest, _)) => {
            let mut second = second_packet(random);
            digest::sign_second(&mut second, digest::CLIENT_KEY_LONG, &digest);
            out.put_slice(&second);
        }
        None => out.put_slice(packet),
    }
}

/// C1 or S1: time 0, a version or zeros, random bytes.
fn first_packet(random: &[u8; 32], version: [u8; 4], sign: impl FnOnce(&mut Packet)) -> Packet {
    let mut packet = stretched(random, 1);
    packet[..4].fill(0);
    packet[4..8].copy_from_slice(&version);
    sign(&mut packet);
    packet
}

/// C2 or S2 of those with digests.
fn second_packet(random: &[u8; 32]) -> Packet {
    stretched(random, 2)
}

/// As many bytes as a packet has, made of a few.
fn stretched(random: &[u8; 32], number: u8) -> Packet {
    let mut packet = [0; PACKET_BYTES];
    for (at, block) in packet.chunks_mut(DIGEST_BYTES).enumerate() {
        let mut hash = Sha256::new();
        hash.update(random);
        hash.update([number, at as u8]);
        block.copy_from_slice(&hash.finalize());
    }
    packet
}

const _: () = assert!(PACKET_BYTES.is_multiple_of(DIGEST_BYTES));

#[cfg(test)]
mod tests {
    use super::*;

    /// Both sides' bytes until both are done.
    fn check(mut client: Handshake, mut to_server: BytesMut, step: usize) {
        let mut server = Handshake::server([7; 32]);
        let mut to_client = BytesMut::new();
        let (mut client_done, mut server_done) = (false, false);
        for _ in 0..20_000 {
            if !server_done {
                let mut piece = to_server.split_to(step.min(to_server.len())).freeze();
                let done = server.handle_input(&mut piece, &mut to_client);
                server_done = done.expect("the client is good");
            }
            if !client_done {
                let mut piece = to_client.split_to(step.min(to_client.len())).freeze();
                let done = client.handle_input(&mut piece, &mut to_server);
                client_done = done.expect("the server is good");
            }
        }
        assert!(client_done && server_done);
        assert!(to_client.is_empty() && to_server.is_empty());
    }

    #[test]
    fn both_sides_come_to_an_end() {
        for step in [1, 7, 1_536, 1_537, 4_000] {
            let mut out = BytesMut::new();
            let client = Handshake::client([9; 32], &mut out);
            assert_eq!(out.len(), 1 + PACKET_BYTES);
            check(client, out, step);
        }
    }

    #[test]
    fn simple_clients_get_their_bytes_back() {
        let mut server = Handshake::server([7; 32]);
        let mut out = BytesMut::new();
        let mut hello = vec![VERSION];
        hello.extend((0..PACKET_BYTES).map(|at| if at < 8 { 0 } else { at as u8 }));
        let mut input = Bytes::from(hello.clone());
        assert_eq!(server.handle_input(&mut input, &mut out), Ok(false));
        assert_eq!(out.len(), 1 + 2 * PACKET_BYTES);
        assert_eq!(&out[1..9], [0; 8]);
        assert_eq!(out[1 + PACKET_BYTES..], hello[1..]);
        let mut input = Bytes::from(vec![0xFF; PACKET_BYTES + 3]);
        assert_eq!(server.handle_input(&mut input, &mut out), Ok(true));
        assert_eq!(input.len(), 3);
    }

    #[test]
    fn digests_are_answered_in_their_scheme() {
        use digest::Scheme;
        for scheme in [Scheme::DigestFirst, Scheme::KeyFirst] {
            let hello = first_packet(&[3; 32], CLIENT_VERSION, |packet| {
                digest::sign_first(packet, digest::CLIENT_KEY, scheme);
            });
            let mut server = Handshake::server([7; 32]);
            let mut out = BytesMut::new();
            let mut input = Bytes::from([&[VERSION], &hello[..]].concat());
            assert_eq!(server.handle_input(&mut input, &mut out), Ok(false));
            let answer = <&Packet>::try_from(&out[1..=PACKET_BYTES]).expect("S1");
            let found = digest::find(answer, digest::SERVER_KEY).expect("S1 has a digest");
            assert_eq!(found.1, scheme);
            assert_ne!(out[1 + PACKET_BYTES..], hello[..]);
        }
    }

    #[test]
    fn other_protocols_are_refused_at_their_first_byte() {
        for first in [0, 1, 2, 4, 6, 8, b'G', 0x16, 0xFF] {
            let mut server = Handshake::server([7; 32]);
            let mut input = Bytes::from(vec![first]);
            assert!(
                server
                    .handle_input(&mut input, &mut BytesMut::new())
                    .is_err()
            );
        }
    }
}
