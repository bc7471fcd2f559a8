//! Tags that players and encoders put between frames: ID3v1 (128 bytes at a file's end), ID3v2
//! (id3.org "ID3v2.4.0 main structure" section 3.1) and APEv2 ("APE Tags Header").

use super::input::Input;

/// The largest tag that is believed; a longer one is searched for frames like any junk.
pub(crate) const TAG_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What tags start with.
pub(crate) const FIRST_BYTES: [u8; 3] = [b'T', b'I', b'A'];

/// What stands at the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    /// No tag.
    None,
    /// The first bytes of what may be a tag; more are needed to tell.
    Partial,
    /// A tag of this many bytes, its header included.
    Whole(u64),
}

const APE_HEADER_BYTES: u64 = 32;

pub(crate) fn at_front(input: &Input) -> Tag {
    let Some(first) = input.byte(0) else {
        return Tag::None;
    };
    match first {
        b'T' => fixed(input, b"TAG", 128),
        b'I' => id3v2(input),
        b'A' => ape(input),
        _ => Tag::None,
    }
}

/// How much of `word` stands at the front.
fn fixed(input: &Input, word: &[u8], bytes: u64) -> Tag {
    for (at, &wanted) in word.iter().enumerate() {
        match input.byte(at) {
            None => return Tag::Partial,
            Some(byte) if byte != wanted => return Tag::None,
            Some(_) => {}
        }
    }
    Tag::Whole(bytes)
}

fn id3v2(input: &Input) -> Tag {
    let word = fixed(input, b"ID3", 0);
    if !matches!(word, Tag::Whole(_)) {
        return word;
    }
    let Some([_, _, _, major, revision, flags, size @ ..]) = input.peek::<10>(0) else {
        return Tag::Partial;
    };
    if major == 0xff || revision == 0xff || size.iter().any(|byte| byte & 0x80 != 0) {
        return Tag::None;
    }
    let body = size
        .iter()
        .fold(0_u64, |sum, &byte| (sum << 7) | u64::from(byte));
    let footer = if flags & 0x10 == 0 { 0 } else { 10 };
    bounded(10 + body + footer)
}

fn ape(input: &Input) -> Tag {
    let word = fixed(input, b"APETAGEX", 0);
    if !matches!(word, Tag::Whole(_)) {
        return word;
    }
    // Version, size (items and footer), item count and flags, all little-endian.
    let Some(fields) = input.peek::<16>(8) else {
        return Tag::Partial;
    };
    let [_, _, _, _, size @ .., _, _, _, _, _, _, _, flags] = fields;
    let [s0, s1, s2, s3] = size;
    let body = u64::from(u32::from_le_bytes([s0, s1, s2, s3]));
    let is_header = flags & 0x20 != 0;
    bounded(if is_header {
        APE_HEADER_BYTES + body
    } else {
        APE_HEADER_BYTES
    })
}

fn bounded(bytes: u64) -> Tag {
    if bytes <= TAG_BYTES_MAX {
        Tag::Whole(bytes)
    } else {
        Tag::None
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn check(bytes: &[u8], expected: Tag) {
        let mut input = Input::default();
        input.push(Bytes::copy_from_slice(bytes));
        assert_eq!(at_front(&input), expected, "{bytes:?}");
    }

    #[test]
    fn tags_are_measured_and_bounded() {
        check(b"", Tag::None);
        check(b"\xff\xfb", Tag::None);
        check(b"TA", Tag::Partial);
        check(b"TAX", Tag::None);
        check(b"TAG", Tag::Whole(128));
        check(b"ID3\x04\0", Tag::Partial);
        check(b"ID3\x04\0\0\0\0\x02\x01", Tag::Whole(10 + 257));
        check(b"ID3\x04\0\x10\0\0\0\0", Tag::Whole(20));
        check(b"ID3\x04\0\0\0\0\x80\0", Tag::None);
        check(b"ID3\x04\0\0\x7f\x7f\x7f\x7f", Tag::None);
        check(
            b"APETAGEX\xd0\x07\0\0\x40\0\0\0\x01\0\0\0\0\0\0\xa0",
            Tag::Whole(96),
        );
        check(
            b"APETAGEX\xd0\x07\0\0\x40\0\0\0\x01\0\0\0\0\0\0\x80",
            Tag::Whole(32),
        );
    }
}
