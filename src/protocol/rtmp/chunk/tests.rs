//! Chunks of every kind, in every split, and what must not be taken.

use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;

use super::{ChunkReader, write_message};
use crate::rtmp::limits::{CHUNK_STREAMS_MAX, HELD_BYTES_MAX, STRANGER_BYTES_MAX};
use crate::rtmp::{BadPeer, Message, MessageType, message};

const AUDIO: u8 = 8;
const VIDEO: u8 = 9;

/// Bytes of chunks, written by hand.
#[derive(Default)]
struct Wire(BytesMut);

impl Wire {
    fn basic(mut self, fmt: u8, csid: u32) -> Self {
        match csid {
            2..64 => self.0.put_u8(fmt << 6 | csid as u8),
            64..320 => {
                self.0.put_u8(fmt << 6);
                self.0.put_u8((csid - 64) as u8);
            }
            _ => {
                self.0.put_u8(fmt << 6 | 1);
                self.0.put_u16_le((csid - 64) as u16);
            }
        }
        self
    }

    /// A chunk with a full header; its time may ask for an extended one.
    fn fmt0(self, csid: u32, time: u32, length: u32, kind: u8, stream_id: u32) -> Self {
        let mut wire = self.basic(0, csid);
        wire.0.put_uint(time.into(), 3);
        wire.0.put_uint(length.into(), 3);
        wire.0.put_u8(kind);
        wire.0.put_u32_le(stream_id);
        wire
    }

    fn fmt1(self, csid: u32, delta: u32, length: u32, kind: u8) -> Self {
        let mut wire = self.basic(1, csid);
        wire.0.put_uint(delta.into(), 3);
        wire.0.put_uint(length.into(), 3);
        wire.0.put_u8(kind);
        wire
    }

    fn fmt2(self, csid: u32, delta: u32) -> Self {
        let mut wire = self.basic(2, csid);
        wire.0.put_uint(delta.into(), 3);
        wire
    }

    fn fmt3(self, csid: u32) -> Self {
        self.basic(3, csid)
    }

    fn extended(self, time: u32) -> Self {
        self.body(&time.to_be_bytes())
    }

    fn body(mut self, bytes: &[u8]) -> Self {
        self.0.put_slice(bytes);
        self
    }

    /// Set Chunk Size.
    fn chunk_bytes(self, bytes: u32) -> Self {
        self.fmt0(2, 0, 4, 1, 0).body(&bytes.to_be_bytes())
    }
}

/// What a reader says of `bytes` that come in pieces of `step` bytes.
fn read(bytes: &[u8], step: usize, trusted: bool) -> Result<Vec<Message>, BadPeer> {
    let mut reader = ChunkReader::default();
    reader.set_trusted(trusted);
    let mut messages = Vec::new();
    for piece in bytes.chunks(step) {
        let mut input = Bytes::copy_from_slice(piece);
        while let Some(message) = reader.read(&mut input)? {
            messages.push(message);
        }
        assert!(input.is_empty());
        assert!(reader.held_bytes() <= HELD_BYTES_MAX as usize);
    }
    Ok(messages)
}

/// The same in every split; times and bodies of the messages.
fn check(wire: Wire, expected: &[(u32, &[u8])]) {
    for step in (1..40).chain([wire.0.len()]) {
        let messages = read(&wire.0, step, true).expect("the chunks are good");
        let found: Vec<(u32, &[u8])> = messages
            .iter()
            .map(|message| (message.timestamp_ms, &message.payload[..]))
            .collect();
        assert_eq!(found, expected, "by {step}");
    }
}

/// What is wrong, in every split.
fn check_bad(wire: &Wire, trusted: bool, expected: &'static str) {
    for step in [1, 5, wire.0.len()] {
        let found = read(&wire.0, step, trusted);
        assert_eq!(found, Err(BadPeer(expected)), "by {step}");
    }
}

#[test]
fn every_fmt_is_read() {
    let wire = Wire::default()
        .fmt0(4, 1_001, 2, AUDIO, 1)
        .body(b"ab")
        .fmt1(4, 20, 3, AUDIO)
        .body(b"cde")
        .fmt2(4, 21)
        .body(b"fgh")
        .fmt3(4)
        .body(b"ijk")
        .fmt3(4)
        .body(b"lmn");
    let expected: [(u32, &[u8]); 5] = [
        (1_001, b"ab"),
        (1_021, b"cde"),
        (1_042, b"fgh"),
        (1_063, b"ijk"),
        (1_084, b"lmn"),
    ];
    check(wire, &expected);
}

#[test]
fn a_short_chunk_behind_a_full_one_takes_its_time_for_a_delta_where_that_makes_sense() {
    let wire = |time| {
        let wire = Wire::default().fmt0(4, time, 1, AUDIO, 1).body(b"a");
        wire.fmt3(4).body(b"b")
    };
    check(wire(33), &[(33, b"a"), (66, b"b")]);
    check(wire(0), &[(0, b"a"), (0, b"b")]);
    check(wire(5_000_000), &[(5_000_000, b"a"), (5_000_000, b"b")]);
}

#[test]
fn ids_of_all_lengths_are_read_and_interleave() {
    let long = [7; 200];
    let wire = Wire::default()
        .fmt0(63, 1, 200, VIDEO, 1)
        .body(&long[..128])
        .fmt0(64, 2, 2, AUDIO, 1)
        .body(b"ab")
        .fmt0(319, 3, 200, VIDEO, 1)
        .body(&long[..128])
        .fmt0(65_599, 4, 2, AUDIO, 1)
        .body(b"cd")
        .fmt3(319)
        .body(&long[128..])
        .fmt3(63)
        .body(&long[128..])
        .fmt1(64, 8, 1, AUDIO)
        .body(b"e");
    let expected: [(u32, &[u8]); 5] = [(2, b"ab"), (4, b"cd"), (3, &long), (1, &long), (10, b"e")];
    check(wire, &expected);
}

#[test]
fn the_chunk_size_changes_inside_a_message() {
    let long: Vec<u8> = (0..=255).cycle().take(1_000).collect();
    let wire = Wire::default()
        .fmt0(6, 0, 1_000, VIDEO, 1)
        .body(&long[..128])
        .chunk_bytes(1)
        .fmt3(6)
        .body(&long[128..129])
        .fmt3(6)
        .body(&long[129..130])
        // In chunks of one byte, as announced.
        .fmt0(2, 0, 4, 1, 0)
        .body(&[0])
        .fmt3(2)
        .body(&[0])
        .fmt3(2)
        .body(&[1])
        .fmt3(2)
        .body(&[0])
        .fmt3(6)
        .body(&long[130..386])
        .chunk_bytes(0x7FFF_FFFF)
        .fmt3(6)
        .body(&long[386..]);
    check(wire, &[(0, &long)]);
}

#[test]
fn extended_times_are_read_whether_they_are_repeated_or_not() {
    let long = [0xAB; 300];
    let time = 0x0123_4567;
    let begin = || {
        Wire::default()
            .fmt0(6, 0xFF_FFFF, 300, VIDEO, 1)
            .extended(time)
    };
    let repeated = begin()
        .body(&long[..128])
        .fmt3(6)
        .extended(time)
        .body(&long[128..256])
        .fmt3(6)
        .extended(time)
        .body(&long[256..])
        .fmt1(6, 40, 1, VIDEO)
        .body(b"x")
        .fmt3(6)
        .body(b"y");
    let expected: [(u32, &[u8]); 3] = [(time, &long), (time + 40, b"x"), (time + 80, b"y")];
    check(repeated, &expected);
    let left_out = begin()
        .body(&long[..128])
        .fmt3(6)
        .body(&long[128..256])
        .fmt3(6)
        .body(&long[256..])
        .fmt1(6, 40, 1, VIDEO)
        .body(b"x");
    check(left_out, &[(time, &long), (time + 40, b"x")]);
    // The body begins as the time does, and goes on otherwise.
    let mut odd = long;
    odd[128..131].copy_from_slice(&[0x01, 0x23, 0x45]);
    let left_out = begin()
        .body(&odd[..128])
        .fmt3(6)
        .body(&odd[128..256])
        .fmt3(6)
        .body(&odd[256..]);
    check(left_out, &[(time, &odd)]);
    // Deltas, too; and the smallest extended time.
    let delta = Wire::default()
        .fmt0(4, 0xFF_FFFF, 1, AUDIO, 1)
        .extended(0xFF_FFFF)
        .body(b"a")
        .fmt2(4, 0xFF_FFFF)
        .extended(0x0100_0000)
        .body(b"b")
        .fmt3(4)
        .extended(0x0100_0000)
        .body(b"c");
    let expected: [(u32, &[u8]); 3] = [(0xFF_FFFF, b"a"), (0x01FF_FFFF, b"b"), (0x02FF_FFFF, b"c")];
    check(delta, &expected);
}

#[test]
fn times_wrap_at_32_bits() {
    let wire = Wire::default()
        .fmt0(4, 0xFF_FFFF, 1, AUDIO, 1)
        .extended(u32::MAX - 9)
        .body(b"a")
        .fmt2(4, 20)
        .body(b"b");
    check(wire, &[(u32::MAX - 9, b"a"), (10, b"b")]);
}

#[test]
fn aborted_messages_are_forgotten() {
    let wire = Wire::default()
        .fmt0(6, 0, 200, VIDEO, 1)
        .body(&[1; 128])
        .fmt0(2, 0, 4, 2, 0)
        .body(&6_u32.to_be_bytes())
        .fmt0(2, 0, 4, 2, 0)
        .body(&99_u32.to_be_bytes())
        .fmt1(6, 40, 2, VIDEO)
        .body(b"ab");
    check(wire, &[(40, b"ab")]);
}

#[test]
fn empty_messages_and_full_headers_inside_a_message_are_taken() {
    let wire = Wire::default()
        .fmt0(4, 5, 0, AUDIO, 1)
        .fmt0(6, 0, 200, VIDEO, 1)
        .body(&[1; 128])
        .fmt1(6, 0, 200, VIDEO)
        .body(&[1; 72])
        .fmt3(4);
    check(wire, &[(5, b""), (0, &[1; 200]), (10, b"")]);
}

#[test]
fn whole_messages_lie_in_the_input() {
    let wire = Wire::default().fmt0(4, 5, 100, AUDIO, 1).body(&[1; 100]);
    let mut input = wire.0.freeze();
    let range = input.as_ptr_range();
    let mut reader = ChunkReader::default();
    let message = reader.read(&mut input).expect("the chunk is good");
    let message = message.expect("it is whole");
    assert!(range.contains(&message.payload.as_ptr()));
}

#[test]
fn impossible_chunks_are_refused() {
    let wire = Wire::default;
    check_bad(&wire().chunk_bytes(0), true, "impossible chunk size");
    check_bad(&wire().chunk_bytes(1 << 31), true, "impossible chunk size");
    check_bad(
        &wire().fmt0(2, 0, 3, 1, 0).body(b"abc"),
        true,
        "no chunk size",
    );
    check_bad(&wire().fmt0(2, 0, 0, 2, 0), true, "nothing to abort");
    check_bad(&wire().fmt3(4), true, "chunk stream without a beginning");
    let first = || wire().fmt0(6, 0, 200, VIDEO, 1).body(&[1; 128]);
    let inside = "a message begins inside another";
    check_bad(&first().fmt0(6, 0, 100, VIDEO, 1), true, inside);
    check_bad(&first().fmt1(6, 0, 200, AUDIO), true, inside);
    let too_long = "message is too long";
    check_bad(&wire().fmt0(3, 0, 0xFF_FFFF, 20, 0), true, too_long);
    check_bad(&wire().fmt0(3, 0, 0xFF_FFFF, 18, 0), true, too_long);
    check_bad(
        &wire().fmt0(3, 0, STRANGER_BYTES_MAX + 1, VIDEO, 0),
        false,
        too_long,
    );
    let mut flood = wire();
    for csid in 0..=CHUNK_STREAMS_MAX as u32 {
        flood = flood.fmt0(1_000 + csid, 0, 0, AUDIO, 1);
    }
    check_bad(&flood, true, "too many chunk streams");
}

#[test]
fn what_is_held_is_bounded() {
    for (trusted, length) in [(true, 0xFF_FFFF), (false, STRANGER_BYTES_MAX)] {
        // Each stream has all of its message but the last byte.
        let mut wire = Wire::default().chunk_bytes(length - 1);
        let body = vec![0; length as usize - 1];
        for csid in 3..6 {
            wire = wire.fmt0(csid, 0, length, VIDEO, 1).body(&body);
        }
        let found = read(&wire.0, 65_536, trusted);
        assert_eq!(found, Err(BadPeer("too many messages under way")));
    }
}

#[test]
fn aggregates_come_apart() {
    let part = |kind: u8, time: u32, body: &[u8]| {
        let [t3, t2, t1, t0] = time.to_be_bytes();
        let length = body.len() as u8;
        let head = [kind, 0, 0, length, t2, t1, t0, t3, 0, 0, 0];
        [&head[..], body, &(11 + u32::from(length)).to_be_bytes()].concat()
    };
    let aggregate = |payload: Vec<u8>| Message {
        kind: MessageType::AGGREGATE,
        stream_id: 1,
        timestamp_ms: 5_000,
        payload: payload.into(),
    };
    let body = [
        part(AUDIO, 0x01FF_FFF0, b"ab"),
        part(VIDEO, 0x0200_0000, b""),
        part(AUDIO, 0x0200_0010, b"c"),
    ]
    .concat();
    let short = body[..body.len() - 4].to_vec();
    for whole in [body.clone(), short] {
        let parts = message::parts(&aggregate(whole)).expect("the aggregate is good");
        let found: Vec<_> = parts
            .iter()
            .map(|part| (part.kind.0, part.timestamp_ms, &part.payload[..]))
            .collect();
        let expected: [(u8, u32, &[u8]); 3] = [
            (AUDIO, 5_000, b"ab"),
            (VIDEO, 5_016, b""),
            (AUDIO, 5_032, b"c"),
        ];
        assert_eq!(found, expected);
    }
    let cut = message::parts(&aggregate(body[..12].to_vec()));
    assert_eq!(cut, Err(BadPeer("aggregate is cut short")));
    let many = part(AUDIO, 0, b"").repeat(5_000);
    let many = message::parts(&aggregate(many));
    assert_eq!(many, Err(BadPeer("too many messages in an aggregate")));
}

#[test]
fn written_messages_say_the_same_whatever_was_written_before() {
    let mut out = BytesMut::new();
    write_message(
        &mut out,
        6,
        MessageType::VIDEO,
        40,
        1,
        &[b"ab", b"", b"cde"],
        2,
    );
    let expected = b"\x06\0\0\x28\0\0\x05\x09\x01\0\0\0ab\xc6cd\xc6e";
    assert_eq!(out, &expected[..]);
    out.clear();
    write_message(&mut out, 4, MessageType::AUDIO, 0xFF_FFFF, 1, &[b"abc"], 2);
    let expected = b"\x04\xff\xff\xff\0\0\x03\x08\x01\0\0\0\0\xff\xff\xffab\xc4\0\xff\xff\xffc";
    assert_eq!(out, &expected[..]);
    out.clear();
    write_message(
        &mut out,
        4,
        MessageType::AUDIO,
        0,
        1,
        &[&vec![0; 1 << 24]],
        2,
    );
    assert!(out.is_empty());
    write_message(&mut out, 4, MessageType::AUDIO, 0, 1, &[], 0);
    assert_eq!(out.len(), 12);
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        messages in prop::collection::vec(
            (3_u8..8, any::<u32>(), prop::collection::vec(any::<u8>(), 0..700)),
            0..8,
        ),
        chunk_bytes in 1_u32..600,
        step in 1_usize..900,
    ) {
        let mut out = Wire::default().chunk_bytes(chunk_bytes).0;
        for (csid, time, body) in &messages {
            let (head, tail) = body.split_at(body.len() / 3);
            let parts = [head, tail];
            write_message(&mut out, *csid, MessageType::VIDEO, *time, 1, &parts, chunk_bytes);
        }
        let found = read(&out, step, true).expect("we write good chunks");
        prop_assert_eq!(found.len(), messages.len());
        for (found, (_, time, body)) in found.iter().zip(&messages) {
            prop_assert_eq!(found.timestamp_ms, *time);
            prop_assert_eq!(&found.payload[..], &body[..]);
        }
    }

    #[test]
    fn bytes_without_sense_are_read_alike_in_every_split(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        step in 1_usize..50,
    ) {
        prop_assert_eq!(read(&bytes, step, true), read(&bytes, 1_000, true));
    }
}
