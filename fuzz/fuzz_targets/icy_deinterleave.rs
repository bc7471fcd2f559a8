//! ICY metadata: any text makes one readable block, and a stream with blocks comes apart again,
//! whatever the reads.
#![no_main]

use std::num::NonZeroU32;

use bytes::Bytes;
use corecast_media::metadata::Metadata;
use corecast_protocol::icy::{BLOCK_BYTES_MAX, Deinterleaver, Piece, block, metadata};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (lengths, stream) = corecast_fuzz::cut(data);
    let Some((&first, stream)) = stream.split_first() else {
        return;
    };
    let metaint = NonZeroU32::new(u32::from(first) + 1).expect("not zero");

    // Any bytes at all: no byte is lost.
    let (audio, blocks) = apart(stream, lengths, metaint);
    let units: usize = blocks.iter().map(|fields| fields.len() + 1).sum();
    assert!(audio.len() + units <= stream.len());
    assert!(audio.len() + units + BLOCK_BYTES_MAX >= stream.len());
    assert_eq!((audio, blocks), apart(stream, &[], metaint));

    // A text becomes one field.
    let text = String::from_utf8_lossy(stream);
    let (title, url) = text.split_once('\n').unwrap_or((&text, ""));
    let title = Metadata::from_title(title).with_url(url);
    let rendered = block(&title);
    assert!(rendered.len() <= 1 + BLOCK_BYTES_MAX && rendered.len() % 16 == 1);
    let read = metadata::parse(&rendered[1..]).expect("a title");
    let shown = title.title.replace("';", "' ;").replace("='", "= '");
    assert_eq!(*read.title, *shown);
    assert!(read.url.is_none() || title.url.is_some());

    // Put together and taken apart.
    let mut mixed = Vec::new();
    for part in stream.chunks_exact(metaint.get() as usize) {
        mixed.extend_from_slice(part);
        mixed.extend_from_slice(&rendered);
    }
    let (audio, blocks) = apart(&mixed, lengths, metaint);
    assert_eq!(audio, stream[..audio.len()]);
    assert!(blocks.iter().all(|fields| *fields == rendered[1..]));
});

fn apart(stream: &[u8], lengths: &[u8], metaint: NonZeroU32) -> (Vec<u8>, Vec<Bytes>) {
    let mut reader = Deinterleaver::new(metaint);
    let (mut audio, mut blocks) = (Vec::new(), Vec::new());
    for mut input in corecast_fuzz::pieces(stream, lengths) {
        while let Some(piece) = reader.decode(&mut input) {
            match piece {
                Piece::Audio(bytes) => audio.extend_from_slice(&bytes),
                Piece::Block(fields) => blocks.push(fields),
            }
        }
    }
    (audio, blocks)
}
