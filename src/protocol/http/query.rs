//! Query strings as name and value pairs (`application/x-www-form-urlencoded`, WHATWG URL
//! section 5.1; the query itself is RFC 3986 section 3.4).

use crate::text;

/// The pairs of a query string, in their order; see [`pairs`].
#[derive(Clone, Debug)]
pub struct QueryPairs<'q> {
    rest: std::str::Split<'q, char>,
}

/// Splits `query` into pairs and decodes `%XX` and `+`. Escapes that are none stay as they are;
/// bytes that are no UTF-8 are read as Latin-1, since old encoders send titles so.
pub fn pairs(query: &str) -> QueryPairs<'_> {
    QueryPairs {
        rest: query.split('&'),
    }
}

impl Iterator for QueryPairs<'_> {
    type Item = (String, String);

    fn next(&mut self) -> Option<Self::Item> {
        let pair = self.rest.by_ref().find(|pair| !pair.is_empty())?;
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((
            text::percent_decode(name, true),
            text::percent_decode(value, true),
        ))
    }
}
