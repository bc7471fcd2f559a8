//! Queries and forms as pairs of bytes: old encoders percent-encode Latin-1 as often as UTF-8.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// The pairs of a query or an `application/x-www-form-urlencoded` body, in order.
#[derive(Debug, Default)]
pub(crate) struct Form(Vec<(Vec<u8>, Vec<u8>)>);

/// The most pairs that are looked at.
const PAIRS_MAX: usize = 64;

impl Form {
    /// Parses pairs; never fails, since everything is some form.
    pub(crate) fn parse(encoded: &[u8]) -> Self {
        let pairs = encoded
            .split(|byte| *byte == b'&')
            .filter(|pair| !pair.is_empty());
        Form(pairs.take(PAIRS_MAX).map(parse_pair).collect())
    }

    /// The pairs of `other` behind these.
    pub(crate) fn extend(&mut self, other: Form) {
        self.0.extend(other.0);
    }

    /// The first value of this name, decoded.
    pub(crate) fn bytes(&self, name: &str) -> Option<&[u8]> {
        let (_, value) = self.0.iter().find(|(key, _)| key == name.as_bytes())?;
        Some(value)
    }

    /// The first value of this name as text; what is no UTF-8 becomes U+FFFD.
    pub(crate) fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        self.bytes(name).map(String::from_utf8_lossy)
    }
}

fn parse_pair(pair: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let at = pair
        .iter()
        .position(|byte| *byte == b'=')
        .unwrap_or(pair.len());
    let (name, value) = pair.split_at(at);
    (decode(name), decode(value.get(1..).unwrap_or_default()))
}

fn decode(encoded: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = encoded
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    percent_decode(&spaced).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_as_bytes_and_the_first_of_a_name_counts() {
        let form = Form::parse(b"a=1+2&&b=%E9%zz&c&=x&a=3&d=p%3Dq=r");
        assert_eq!(form.bytes("a"), Some(&b"1 2"[..]));
        assert_eq!(form.bytes("b"), Some(&b"\xe9%zz"[..]));
        assert_eq!(form.text("b").as_deref(), Some("\u{fffd}%zz"));
        assert_eq!(form.bytes("c"), Some(&b""[..]));
        assert_eq!(form.bytes(""), Some(&b"x"[..]));
        assert_eq!(form.bytes("d"), Some(&b"p=q=r"[..]));
        assert_eq!(form.bytes("e"), None);
    }
}
