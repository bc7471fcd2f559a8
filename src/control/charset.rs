//! Titles as text, whatever charset they came in.

use std::borrow::Cow;

use encoding_rs::{Encoding, WINDOWS_1252};

/// `bytes` as text: in the charset of this name where it is known and fits; else as UTF-8 where
/// they are valid UTF-8; else as Latin-1 (as browsers read it, with Windows' quotation marks).
pub(crate) fn decode<'a>(bytes: &'a [u8], charset: Option<&[u8]>) -> Cow<'a, str> {
    let named = charset.and_then(Encoding::for_label);
    if let Some(encoding) = named
        && let Some(text) = encoding.decode_without_bom_handling_and_without_replacement(bytes)
    {
        return text;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_read_in_the_charset_they_came_in() {
        assert_eq!(decode("Café".as_bytes(), None), "Café");
        assert_eq!(decode(b"Caf\xe9", None), "Café");
        assert_eq!(decode("Café".as_bytes(), Some(b"ISO-8859-1")), "CafÃ©");
        assert_eq!(
            decode(b"\xcc\xf3\xe7\xfb\xea\xe0", Some(b"windows-1251")),
            "Музыка"
        );
        assert_eq!(
            decode(b"Caf\xe9", Some(b"utf-8")),
            "Café",
            "what was said is not so"
        );
        assert_eq!(decode("Café".as_bytes(), Some(b"no-such-charset")), "Café");
        assert_eq!(decode(b"", Some(b"utf-8")), "");
    }
}
