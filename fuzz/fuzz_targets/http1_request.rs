//! Request heads in any split: the same answer, and a request that is read twice is the same.
#![no_main]

use bytes::{Bytes, BytesMut};
use corecast_protocol::http::{BodyFraming, Limits, Request};
use corecast_protocol::http1::{Parse, RequestParser, parse_request};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits {
    head_bytes_max: 4_096,
    request_line_bytes_max: 1_024,
    header_count_max: 32,
};

fuzz_target!(|data: &[u8]| {
    let (lengths, stream) = corecast_fuzz::cut(data);
    let whole = parse_request(&Bytes::copy_from_slice(stream), &LIMITS);
    let (pieces, left) = in_pieces(stream, lengths);
    match (whole, pieces) {
        (
            Ok(Parse::Done {
                request,
                head_bytes,
            }),
            Ok(Some(other)),
        ) => {
            assert_eq!(*request, other);
            assert_eq!(left, stream[head_bytes..]);
            check(&request, &stream[..head_bytes]);
        }
        (Ok(Parse::Incomplete), Ok(None)) => assert!(stream.len() <= LIMITS.head_bytes_max),
        (Err(fault), Err(other)) => {
            assert!(matches!(fault.status, 400 | 413 | 414 | 431 | 501 | 505));
            assert!((400..600).contains(&other.status));
        }
        (whole, pieces) => panic!("{whole:?} and {pieces:?}"),
    }
});

/// Parses `stream` in pieces; the answer, and the bytes behind the head.
fn in_pieces(
    stream: &[u8],
    lengths: &[u8],
) -> (
    Result<Option<Request>, corecast_protocol::http::BadRequest>,
    Vec<u8>,
) {
    let mut parser = RequestParser::new(LIMITS);
    let mut buffer = BytesMut::new();
    let mut pieces = corecast_fuzz::pieces(stream, lengths).into_iter();
    while let Some(piece) = pieces.next() {
        buffer.extend_from_slice(&piece);
        match parser.parse(&mut buffer) {
            Ok(None) => {}
            answer => {
                pieces.for_each(|piece| buffer.extend_from_slice(&piece));
                return (answer, buffer.to_vec());
            }
        }
    }
    (Ok(None), Vec::new())
}

fn check(request: &Request, head: &[u8]) {
    assert!(head.ends_with(b"\r\n\r\n"));
    assert!(request.path() == "*" || request.path().starts_with('/') || request.path().is_empty());
    assert!(!request.path().chars().any(char::is_control));
    assert!(request.headers().len() <= LIMITS.header_count_max);
    for (name, value) in request.headers().iter() {
        assert!(!name.is_empty() && name.is_ascii());
        assert!(!value.iter().any(|byte| b"\r\n\0".contains(byte)));
        assert!(request.headers().find(name).is_some());
    }
    for (name, value) in request.query_pairs() {
        assert!(name.len() + value.len() <= 4 * head.len());
    }
    // What an upstream could read in another way.
    let count = |name| request.headers().find_all(name).count();
    assert!(count("content-length") + count("transfer-encoding") <= 1);
    assert!(count("host") <= 1);
    assert!(request.body_framing() != BodyFraming::UntilClose || !request.keep_alive());
}
