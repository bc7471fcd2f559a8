//! The reader on good and bad clients, in every split, and what the server says to them.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const LIMIT: u64 = 70_000;

/// A client's frame whose first byte is `first`.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(a, b)| a ^ b));
    out
}

/// What was said, whatever pieces it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Message(bool, Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
    Fault(u16),
}

/// Reads `stream` in pieces of `lengths`, over and over.
fn read(stream: &[u8], lengths: &[usize]) -> Vec<Said> {
    let mut frames = ClientFrames::new(LIMIT);
    let mut stream = stream.to_vec();
    let (mut rest, mut lengths) = (&mut stream[..], lengths.iter().cycle());
    let (mut all, mut open) = (Vec::new(), Vec::new());
    while !rest.is_empty() {
        let length = lengths.next().map_or(rest.len(), |length| *length);
        let (mut piece, after) = rest.split_at_mut(length.min(rest.len()));
        rest = after;
        loop {
            match frames.poll(&mut piece) {
                Ok(None) => break,
                Ok(Some(Event::Data { text, bytes, ends })) => {
                    open.extend_from_slice(bytes);
                    if ends {
                        all.push(Said::Message(text, std::mem::take(&mut open)));
                    }
                }
                Ok(Some(Event::Ping(payload))) => all.push(Said::Ping(payload)),
                Ok(Some(Event::Pong)) => all.push(Said::Pong),
                Ok(Some(Event::Close(code))) => {
                    all.push(Said::Close(code.map(CloseCode::number)));
                }
                Err(fault) => all.push(Said::Fault(fault.code.number())),
            }
        }
        assert!(piece.is_empty(), "what is not taken is lost");
    }
    all
}

/// The same whole, and byte by byte.
fn said(stream: &[u8]) -> Vec<Said> {
    let whole = read(stream, &[]);
    assert_eq!(whole, read(stream, &[1]));
    whole
}

fn text(of: &str) -> Said {
    Said::Message(true, of.into())
}

#[test]
fn messages_come_whole_and_in_fragments() {
    let long = vec![b'*'; 66_000];
    let cases: [(&[&[u8]], &[Said]); 9] = [
        (&[&frame(0x81, b"Hello")], &[text("Hello")]),
        (&[&frame(0x81, b"")], &[text("")]),
        (
            &[&frame(0x82, &[0, 0xff])],
            &[Said::Message(false, vec![0, 0xff])],
        ),
        (
            &[&frame(0x82, &long)],
            &[Said::Message(false, long.clone())],
        ),
        (
            &[&frame(0x82, &long[..126])],
            &[Said::Message(false, long[..126].to_vec())],
        ),
        (
            &[&frame(0x01, b"a"), &frame(0x00, b""), &frame(0x80, b"b")],
            &[text("ab")],
        ),
        (
            &[&frame(0x01, b""), &frame(0x00, b""), &frame(0x80, b"")],
            &[text("")],
        ),
        (
            &[
                &frame(0x02, b"a"),
                &frame(0x89, b"?"),
                &frame(0x8a, b""),
                &frame(0x80, b"b"),
            ],
            &[
                Said::Ping(b"?".to_vec()),
                Said::Pong,
                Said::Message(false, b"ab".to_vec()),
            ],
        ),
        (
            &[
                &frame(0x01, "κό".as_bytes().split_at(3).0),
                &frame(0x80, &[0xcc]),
            ],
            &[Said::Fault(1007)],
        ),
    ];
    for (frames, expected) in cases {
        assert_eq!(said(&frames.concat()), expected, "{:x?}", frames[0].first());
    }
}

/// Streams that break the protocol, and what their senders are told.
fn broken() -> Vec<(&'static str, Vec<u8>, u16)> {
    let declared = |first: u8, short: u8, long: &[u8]| {
        let mut head = vec![first, 0x80 | short];
        head.extend_from_slice(long);
        head
    };
    let after = |first: u8, then: Vec<u8>| [frame(first, b"a"), then].concat();
    vec![
        ("text without a mask", vec![0x81, 0x01], 1002),
        ("a ping without a mask", vec![0x89, 0x01], 1002),
        ("the first reserved bit", vec![0xc1], 1002),
        ("the second reserved bit", vec![0xa1], 1002),
        ("the third reserved bit", vec![0x91], 1002),
        ("a reserved bit of a ping", vec![0xc9], 1002),
        ("opcode 3", vec![0x83], 1002),
        ("opcode 7", vec![0x87], 1002),
        ("opcode 11", vec![0x8b], 1002),
        ("opcode 15", vec![0x8f], 1002),
        ("a ping in fragments", vec![0x09], 1002),
        ("a pong in fragments", vec![0x0a], 1002),
        ("a close in fragments", vec![0x08], 1002),
        ("a long ping", declared(0x89, 126, &[]), 1002),
        ("a very long close", declared(0x88, 127, &[]), 1002),
        ("more of nothing", vec![0x80], 1002),
        ("more of nothing, and more", vec![0x00], 1002),
        ("more behind the end", after(0x81, vec![0x80]), 1002),
        ("text inside text", after(0x01, vec![0x81]), 1002),
        ("bytes inside text", after(0x01, vec![0x02]), 1002),
        ("125 in two bytes", declared(0x82, 126, &[0, 125]), 1002),
        (
            "65535 in eight bytes",
            declared(0x82, 127, &[0, 0, 0, 0, 0, 0, 0xff, 0xff]),
            1002,
        ),
        (
            "the highest bit",
            declared(0x82, 127, &[0x80, 0, 0, 0, 0, 0, 0, 0]),
            1002,
        ),
        (
            "a huge message",
            declared(0x82, 127, &[0x7f, 0, 0, 0, 0, 0, 0, 0]),
            1009,
        ),
        (
            "one byte too many",
            declared(0x82, 127, &[0, 0, 0, 0, 0, 1, 0x11, 0x71]),
            1009,
        ),
        (
            "one byte too many in fragments",
            after(0x02, declared(0x80, 127, &[0, 0, 0, 0, 0, 1, 0x11, 0x70])),
            1009,
        ),
        ("a close of one byte", frame(0x88, &[3]), 1002),
        (
            "a close with a bad reason",
            frame(0x88, &[0x03, 0xe8, 0xff]),
            1007,
        ),
        ("a torn reason", frame(0x88, &[0x03, 0xe8, 0xc3]), 1007),
        ("text that is none", frame(0x81, &[0xff]), 1007),
        ("a torn end", frame(0x81, &[0xc3]), 1007),
        (
            "a torn end of fragments",
            after(0x01, frame(0x80, &[0xe2, 0x82])),
            1007,
        ),
    ]
}

#[test]
fn who_breaks_the_protocol_is_told_by_code() {
    for (what, stream, code) in broken() {
        assert_eq!(said(&stream).last(), Some(&Said::Fault(code)), "{what}");
        // Nothing that follows is heard.
        let longer = [stream.clone(), frame(0x89, b"?"), vec![0xff; 40]].concat();
        assert_eq!(said(&longer).last(), Some(&Said::Fault(code)), "{what}");
    }
    // Exactly the limit is good.
    let whole = frame(0x82, &vec![7; LIMIT as usize]);
    assert_eq!(
        said(&whole),
        [Said::Message(false, vec![7; LIMIT as usize])]
    );
}

#[test]
fn only_codes_that_may_be_sent_are_taken() {
    for number in 0..=u16::MAX {
        let stream = frame(0x88, &number.to_be_bytes());
        let good = matches!(number, 1000..=1003 | 1007..=1014 | 3000..=4999);
        let expected = match good {
            true => Said::Close(Some(number)),
            false => Said::Fault(1002),
        };
        assert_eq!(read(&stream, &[]), [expected], "{number}");
    }
    let with_reason = [&[0x03, 0xe8][..], "Tschüß".as_bytes()].concat();
    assert_eq!(said(&frame(0x88, &with_reason)), [Said::Close(Some(1000))]);
    assert_eq!(said(&frame(0x88, b"")), [Said::Close(None)]);
}

#[test]
fn bad_text_is_found_at_the_byte_that_makes_it_so() {
    // Each is good up to its last byte.
    for bad in [
        &[0x80][..],
        &[0xc0],
        &[0xc1],
        &[0xf5],
        &[0xfe],
        &[0xc3, 0x28],
        &[0xe0, 0x9f],
        &[0xed, 0xa0],
        &[0xf0, 0x8f],
        &[0xf4, 0x90],
        &[0xf1, 0x80, 0x80, 0x28],
        &[0xe2, 0x82, 0x41],
    ] {
        let payload = [b"good", bad, &[b'x'; 40]].concat();
        let stream = frame(0x01, &payload);
        let at = 6 + 4 + bad.len();
        assert_eq!(read(&stream[..at - 1], &[1]), [], "{bad:x?}");
        assert_eq!(read(&stream[..at], &[1]), [Said::Fault(1007)], "{bad:x?}");
        assert_eq!(read(&stream[..at], &[]), [Said::Fault(1007)], "{bad:x?}");
    }
    let all: String = ('\0'..=char::MAX).step_by(97).collect();
    let pieces: Vec<u8> = (all.as_bytes().chunks(7).enumerate())
        .flat_map(|(i, piece)| frame(u8::from(i == 0), piece))
        .collect();
    let stream = [pieces, frame(0x80, b"")].concat();
    assert_eq!(read(&stream, &[3]), [text(&all)]);
}

/// What a server says to `input`, and whether it is over then.
fn answer(talk: &mut Talk, mut input: Vec<u8>) -> (Vec<u8>, bool) {
    let mut rest = &mut input[..];
    while talk.handle_input(&mut rest).is_some() {}
    let mut out = talk.poll_transmit().unwrap_or_default().to_vec();
    if talk.ended().is_some() {
        out.extend(talk.poll_close(CloseCode::GOING_AWAY).unwrap_or_default());
    }
    (out, talk.ended().is_some())
}

#[test]
fn pings_are_answered_and_the_end_is_said_back() {
    let mut talk = Talk::new(LIMIT);
    assert_eq!(answer(&mut talk, frame(0x81, b"hi")), (vec![], false));
    let long = [b'p'; CONTROL_BYTES_MAX];
    let pong = [&[0x8a, 125], &long[..]].concat();
    assert_eq!(answer(&mut talk, frame(0x89, &long)), (pong, false));
    let two = [frame(0x89, b"1"), frame(0x8a, b"?"), frame(0x89, b"")].concat();
    assert_eq!(
        answer(&mut talk, two),
        (vec![0x8a, 1, b'1', 0x8a, 0], false)
    );
    let end = [frame(0x89, b"late"), frame(0x88, &[0x0b, 0xb8, b'!'])].concat();
    assert_eq!(answer(&mut talk, end), (vec![0x88, 2, 0x0b, 0xb8], true));
    // Nothing is said or heard after that.
    assert_eq!(answer(&mut talk, frame(0x89, b"?")), (vec![], true));
    assert_eq!(
        talk.ended(),
        Some(Ended::Closed(CloseCode::from_number(3000)))
    );

    for (stream, close) in [
        (frame(0x88, b""), vec![0x88, 0]),
        (vec![0x83], vec![0x88, 2, 0x03, 0xea]),
        (frame(0x81, &[0xff]), vec![0x88, 2, 0x03, 0xef]),
        (
            vec![0x82, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0],
            vec![0x88, 2, 0x03, 0xf1],
        ),
    ] {
        assert_eq!(answer(&mut Talk::new(LIMIT), stream), (close, true));
    }
    // Our own end.
    let mut talk = Talk::new(LIMIT);
    let close = talk.poll_close(CloseCode::GOING_AWAY);
    assert_eq!(close.as_deref(), Some(&[0x88, 2, 0x03, 0xe9][..]));
    assert_eq!(answer(&mut talk, frame(0x89, b"?")), (vec![], false));
    assert_eq!(talk.poll_close(CloseCode::GOING_AWAY), None);
}

#[test]
fn a_flood_of_pings_waits_in_little_room() {
    let mut talk = Talk::new(LIMIT);
    for round in 0..10_000u32 {
        let mut ping = frame(0x89, &[&round.to_be_bytes()[..], &[b'.'; 100]].concat());
        assert_eq!(talk.handle_input(&mut &mut ping[..]), None);
    }
    let pongs = talk.poll_transmit().expect("somebody asked");
    assert!(pongs.len() <= PONGS_BYTES_MAX, "{}", pongs.len());
    let newest = &pongs[pongs.len() - 104..][..4];
    assert_eq!(newest, 9_999u32.to_be_bytes());
}

#[derive(Clone, Debug)]
enum Speech {
    Message(bool, Vec<String>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

fn speech() -> impl Strategy<Value = Speech> {
    prop_oneof![
        3 => (any::<bool>(), vec(".{0,60}", 1..5))
            .prop_map(|(text, parts)| Speech::Message(text, parts)),
        1 => vec(any::<u8>(), 0..=125).prop_map(Speech::Ping),
        1 => vec(any::<u8>(), 0..=125).prop_map(Speech::Pong),
    ]
}

proptest! {
    #[test]
    fn what_is_said_is_heard_in_any_split(
        speeches in vec(speech(), 0..12),
        cut in 1usize..40,
        lengths in vec(1usize..300, 1..6),
    ) {
        let (mut stream, mut expected) = (Vec::new(), Vec::new());
        for speech in speeches {
            match speech {
                Speech::Message(text, parts) => {
                    let whole: Vec<u8> = parts.concat().into_bytes();
                    let kind = if text { 1 } else { 2 };
                    // Fragments need not end with a character; a ping comes between them.
                    for (i, piece) in whole.chunks(cut).enumerate() {
                        stream.extend(frame(if i == 0 { kind } else { 0 }, piece));
                        stream.extend(frame(0x89, &[i as u8]));
                        expected.push(Said::Ping(vec![i as u8]));
                    }
                    stream.extend(frame(if whole.is_empty() { 0x80 | kind } else { 0x80 }, b""));
                    expected.push(Said::Message(text, whole));
                }
                Speech::Ping(payload) => {
                    stream.extend(frame(0x89, &payload));
                    expected.push(Said::Ping(payload));
                }
                Speech::Pong(payload) => {
                    stream.extend(frame(0x8a, &payload));
                    expected.push(Said::Pong);
                }
            }
        }
        prop_assert_eq!(read(&stream, &[]), &expected[..]);
        prop_assert_eq!(read(&stream, &lengths), expected);
    }

    #[test]
    fn no_split_changes_what_is_heard_of_any_bytes(
        heads in vec((any::<u8>(), vec(any::<u8>(), 0..200)), 0..6),
        noise in vec(any::<u8>(), 0..60),
        lengths in vec(1usize..50, 1..6),
    ) {
        let mut stream: Vec<u8> = heads.iter().flat_map(|(first, payload)| {
            // Mostly without the bits of extensions, else nothing gets far.
            frame(first & 0x8b, payload)
        }).collect();
        stream.extend(noise);
        let whole = read(&stream, &[]);
        prop_assert_eq!(&whole, &read(&stream, &[1]));
        prop_assert_eq!(&whole, &read(&stream, &lengths));
        let ends = |said: &Said| matches!(said, Said::Close(_) | Said::Fault(_));
        prop_assert!(whole.iter().rev().skip(1).all(|said| !ends(said)));
    }

    #[test]
    fn text_in_pieces_is_judged_as_text_in_one(
        bytes in prop_oneof![vec(any::<u8>(), 0..40), ".{0,20}".prop_map(String::into_bytes)],
        cut in 1usize..8,
    ) {
        let mut utf8 = super::utf8::Utf8::default();
        let good = bytes.chunks(cut).all(|piece| utf8.push(piece).is_ok());
        prop_assert_eq!(good && utf8.is_whole(), std::str::from_utf8(&bytes).is_ok());
    }
}
