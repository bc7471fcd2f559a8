//! Ogg in any split: every byte is in one page or dropped, and no more is held than allowed. Half
//! of the inputs are taken as they are; the others describe pages, whose checksums are then right.
#![no_main]

use corecast_protocol::ogg::demux::BUFFER_BYTES_MAX;
use corecast_protocol::ogg::page;
use libfuzzer_sys::fuzz_target;

/// What packets start with; the empty one is media.
const WORDS: [&[u8]; 12] = [
    b"",
    b"",
    b"\x01vorbis\0\0\0\0\x02\x80\xbb\0\0\0\0\0\0\0\xee\x02\0\0\0\0\0\xb8\x01",
    b"\x03vorbis\x01\0\0\0v\x02\0\0\0\x07\0\0\0TITLE=a",
    b"\x05vorbis",
    b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0",
    b"OpusTags\0\0\0\0\x01\0\0\0\x09\0\0\0ARTIST=b\n",
    b"\x7fFLAC\x01\0\0\0fLaC\0\0\0\x22\0\0\0\0\0\0\0\0\0\0\x0a\xc4\x42\xf0\0\0\0\0",
    b"\x04\0\0\x10\0\0\0\0\x01\0\0\0",
    b"\x81\0\0\0",
    b"Speex   ",
    b"\x80theora",
];

fuzz_target!(|data: &[u8]| {
    let (lengths, stream) = corecast_fuzz::cut(data);
    let composed;
    let stream = match data.first() {
        Some(first) if first & 0x80 != 0 => {
            composed = compose(stream);
            &composed
        }
        _ => stream,
    };
    corecast_fuzz::check_framer("application/ogg", BUFFER_BYTES_MAX, stream, lengths);
});

/// Pages as `plan` says, five bytes and some filling for each.
fn compose(mut plan: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    while let [flags, serial, granule, word, length, rest @ ..] = plan {
        let (filling, behind) = rest.split_at(rest.len().min(usize::from(*length)));
        plan = behind;
        let word = WORDS[usize::from(*word) % WORDS.len()];
        let body = [word, filling].concat();
        let granule = match granule {
            255 => u64::MAX,
            granule => u64::from(*granule) << (serial >> 4),
        };
        let mut lacing = vec![255; body.len() / 255];
        // Bit 3: the packet goes on in the next page.
        if flags & 8 == 0 || lacing.is_empty() {
            lacing.push((body.len() % 255) as u8);
        }
        let body = &body[..lacing.iter().map(|&size| usize::from(size)).sum()];
        let start = stream.len();
        stream.extend_from_slice(b"OggS\0");
        stream.push(flags & 7);
        stream.extend_from_slice(&granule.to_le_bytes());
        stream.extend_from_slice(&u32::from(serial & 3).to_le_bytes());
        stream.extend_from_slice(&[0; 8]);
        stream.push(lacing.len() as u8);
        stream.extend_from_slice(&lacing);
        stream.extend_from_slice(body);
        // Bit 7: a damaged page.
        if flags & 0x80 == 0 {
            let sum = page::checksum(&stream[start..]).expect("a header");
            stream[start + 22..start + 26].copy_from_slice(&sum.to_le_bytes());
        }
    }
    stream
}
