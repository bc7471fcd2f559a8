//! Chunked bodies: no split changes the payload, and what is encoded comes out again.
#![no_main]

use corecast_protocol::http1::{BadChunk, ChunkedDecoder, ChunkedEvent};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (lengths, body) = corecast_fuzz::cut(data);
    let whole = decode(body, &[]);
    assert_eq!(whole.is_ok(), decode(body, lengths).is_ok());
    if let (Ok(whole), Ok(split)) = (&whole, decode(body, lengths)) {
        assert_eq!(*whole, split);
        let (payload, left, _) = whole;
        assert!(payload.len() + left <= body.len());
    }

    let mut encoded = Vec::new();
    for piece in corecast_fuzz::pieces(body, lengths) {
        encoded.extend_from_slice(format!("{:X};x=y\r\n", piece.len()).as_bytes());
        encoded.extend_from_slice(&piece);
        encoded.extend_from_slice(b"\r\n");
        // Extensions are bounded over the whole body.
        if encoded.len() > 3 * 1_024 {
            return;
        }
    }
    encoded.extend_from_slice(b"0\r\nTrailer: 1\r\n\r\nnext");
    assert_eq!(
        decode(&encoded, lengths).expect("well-formed"),
        (body.to_vec(), 4, true)
    );
});

/// The payload, the bytes behind the body, and whether it ended.
fn decode(body: &[u8], lengths: &[u8]) -> Result<(Vec<u8>, usize, bool), BadChunk> {
    let mut decoder = ChunkedDecoder::new();
    let mut payload = Vec::new();
    let mut seen = 0;
    for mut input in corecast_fuzz::pieces(body, lengths) {
        seen += input.len();
        loop {
            match decoder.decode(&mut input)? {
                ChunkedEvent::Payload(bytes) => payload.extend_from_slice(&bytes),
                ChunkedEvent::NeedMore => break,
                ChunkedEvent::End => return Ok((payload, body.len() - seen + input.len(), true)),
            }
        }
    }
    Ok((payload, 0, false))
}
