//! Titles as ID3v2.4 tags (id3.org, "ID3 tag version 2.4.0 - Main Structure" sections 3.1 and 4).

use bytes::{BufMut, Bytes, BytesMut};
use corecast_media::metadata::{METADATA_TEXT_BYTES_MAX, Metadata};

/// Names timed ID3 tags in `emsg` boxes ("Carriage of ID3 Timed Metadata in CMAF" section 4).
pub const SCHEME: &str = "https://aomedia.org/emsg/ID3";

/// A tag's header, and a frame's.
const HEADER_BYTES: usize = 10;

/// Section 4: the text is UTF-8.
const ENCODING_UTF8: u8 = 3;

const _: () = assert!(
    4 * (METADATA_TEXT_BYTES_MAX + HEADER_BYTES + 2) < 1 << 28,
    "a tag's length has 28 bits"
);

/// A tag with the title (`TIT2`), the artist (`TPE1`) and the link (`WXXX`), each where it is
/// known. Without a song of its own the whole line is the title.
pub fn tag(metadata: &Metadata) -> Bytes {
    let title = metadata.song.as_ref().unwrap_or(&metadata.title);
    let texts = [
        (b"TIT2", Some(title), 1),
        (b"TPE1", metadata.artist.as_ref(), 1),
        // Section 4.3.2: a description, here empty, stands before the link.
        (b"WXXX", metadata.url.as_ref(), 2),
    ];
    let frames = || {
        texts
            .iter()
            .filter_map(|(name, text, lead)| text.map(|text| (*name, text.as_bytes(), *lead)))
    };
    let body_bytes: usize = frames()
        .map(|(_, text, lead)| HEADER_BYTES + lead + text.len())
        .sum();
    let mut bytes = BytesMut::with_capacity(HEADER_BYTES + body_bytes);
    bytes.put_slice(b"ID3\x04\0\0");
    bytes.put_slice(&synchsafe(body_bytes));
    for (name, text, lead) in frames() {
        bytes.put_slice(name);
        bytes.put_slice(&synchsafe(lead + text.len()));
        bytes.put_u16(0);
        bytes.put_u8(ENCODING_UTF8);
        bytes.put_bytes(0, lead - 1);
        bytes.put_slice(text);
    }
    bytes.freeze()
}

/// Names the time of the samples behind a tag (draft-pantos-hls-rfc8216bis section 3.4).
const TIMESTAMP_OWNER: &[u8] = b"com.apple.streaming.transportStreamTimestamp\0";

/// A tag with the time of the first sample behind it, in ticks of 90 kHz; the clock has 33 bits and
/// starts over.
pub fn timestamp(pts: u64) -> Bytes {
    let body_bytes = TIMESTAMP_OWNER.len() + 8;
    let mut bytes = BytesMut::with_capacity(2 * HEADER_BYTES + body_bytes);
    bytes.put_slice(b"ID3\x04\0\0");
    bytes.put_slice(&synchsafe(HEADER_BYTES + body_bytes));
    bytes.put_slice(b"PRIV");
    bytes.put_slice(&synchsafe(body_bytes));
    bytes.put_u16(0);
    bytes.put_slice(TIMESTAMP_OWNER);
    bytes.put_u64(pts & ((1 << 33) - 1));
    bytes.freeze()
}

/// Section 6.2: seven bits in each byte.
fn synchsafe(value: usize) -> [u8; 4] {
    [21, 14, 7, 0].map(|shift| ((value >> shift) & 0x7f) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_has_what_is_known() {
        let whole = tag(&Metadata::from_title("Grüße"));
        assert_eq!(
            &whole[..],
            b"ID3\x04\0\0\0\0\0\x12TIT2\0\0\0\x08\0\0\x03Gr\xc3\xbc\xc3\x9fe"
        );
        let parts = tag(&Metadata::from_parts("A", "B").with_url("http://c/"));
        let expected = b"ID3\x04\0\0\0\0\0\x2d\
            TIT2\0\0\0\x02\0\0\x03BTPE1\0\0\0\x02\0\0\x03AWXXX\0\0\0\x0b\0\0\x03\0http://c/";
        assert_eq!(&parts[..], expected);
        assert_eq!(synchsafe(0x0fff_ffff), [0x7f; 4]);
    }
}
