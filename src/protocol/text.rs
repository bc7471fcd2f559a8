//! Texts from peers: decoding, cleaning and bounding, the same way everywhere.

use std::borrow::Cow;

/// `bytes` as text: UTF-8 where they are valid UTF-8, Latin-1 (RFC 9110 section 5.5, the habit of
/// old encoders) otherwise.
pub fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|&byte| char::from(byte)).collect()),
    }
}

/// `text` with control characters as spaces, trimmed, and at most `bytes_max` bytes long; it is
/// cut at a code point.
pub fn clean(text: &str, bytes_max: usize) -> String {
    let mut kept: String = text
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if kept.len() > bytes_max {
        kept.truncate(kept.floor_char_boundary(bytes_max));
    }
    kept.truncate(kept.trim_end().len());
    kept
}

/// `text` with `%XX` and, where `plus` is set, `+` decoded; escapes that are none stay as they are.
/// The result is read by [`decode`].
pub fn percent_decode(text: &str, plus: bool) -> String {
    let spaced = if plus && text.contains('+') {
        Cow::Owned(text.replace('+', " "))
    } else {
        Cow::Borrowed(text)
    };
    let bytes: Cow<'_, [u8]> = percent_encoding::percent_decode_str(&spaced).into();
    decode(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_utf8_or_latin1() {
        for (bytes, expected) in [
            (&b"plain"[..], "plain"),
            ("Mot\u{f6}rhead".as_bytes(), "Mot\u{f6}rhead"),
            (b"Mot\xf6rhead", "Mot\u{f6}rhead"),
        ] {
            assert_eq!(decode(bytes), expected);
        }
    }

    #[test]
    fn cleaning_bounds_and_trims() {
        assert_eq!(clean(" a\r\nb\0 ", 64), "a  b");
        assert_eq!(clean("\u{e9}\u{e9}", 3), "\u{e9}");
        assert_eq!(clean("ab cd", 3), "ab");
    }

    #[test]
    fn escapes_are_decoded_or_left() {
        for (text, plus, expected) in [
            ("a+b%20c", true, "a b c"),
            ("a+b", false, "a+b"),
            ("%e9", true, "\u{e9}"),
            ("%C3%A9", true, "\u{e9}"),
            ("100%", true, "100%"),
            ("%zz%4", true, "%zz%4"),
        ] {
            assert_eq!(percent_decode(text, plus), expected, "{text}");
        }
    }
}
