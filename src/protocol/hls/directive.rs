//! Delivery directives in a playlist request's query (draft-pantos-hls-rfc8216bis section
//! 6.2.5), and what else we read of it.

use std::fmt;
use std::sync::Arc;

/// The longest token that is carried on to the addresses in a playlist, in bytes.
pub const TOKEN_BYTES_MAX: usize = 2_048;

/// The parameter that is carried on to the addresses in a playlist.
pub const TOKEN_NAME: &str = "token";

/// What a client asks of a playlist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `_HLS_msn`: wait until this media sequence number is listed.
    pub msn: Option<u64>,
    /// `_HLS_part`: wait until this part of it is listed; only with `msn`.
    pub part: Option<u64>,
    /// `_HLS_skip`.
    pub skip: Skip,
    /// `token`, as it came (percent-encoded), with what could end a quoted string or a line
    /// encoded.
    pub token: Option<Arc<str>>,
}

/// How much of a playlist a client has already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Skip {
    /// It wants the whole list. So do those who send a value that is not known.
    #[default]
    Nothing,
    /// `YES`: older segments may be left out.
    Segments,
    /// `v2`: older segments and date ranges may be left out.
    SegmentsAndDateranges,
}

/// Why a request is answered with status 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadDirective {
    /// A directive's value is no number from 0 to 2^64 - 1, or empty.
    NotANumber,
    /// A directive stands twice.
    Duplicate,
    /// `_HLS_part` without `_HLS_msn`.
    PartWithoutMsn,
    /// The token is longer than [`TOKEN_BYTES_MAX`].
    LongToken,
    /// The asked segment or part is too far in the future.
    TooFarAhead,
}

impl fmt::Display for BadDirective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadDirective::NotANumber => "a delivery directive has no number that can be",
            BadDirective::Duplicate => "a delivery directive stands twice",
            BadDirective::PartWithoutMsn => "_HLS_part without _HLS_msn",
            BadDirective::LongToken => "the token is too long",
            BadDirective::TooFarAhead => "the asked part is too far in the future",
        })
    }
}

impl std::error::Error for BadDirective {}

impl Directives {
    /// Reads the query (without `?`). Other parameters say nothing, also those that start with
    /// `_HLS_`, as the draft demands.
    pub fn parse(query: &str) -> Result<Self, BadDirective> {
        let mut found = Directives::default();
        let mut has_skip = false;
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "_HLS_msn" => set_once(&mut found.msn, value)?,
                "_HLS_part" => set_once(&mut found.part, value)?,
                "_HLS_skip" => {
                    if std::mem::replace(&mut has_skip, true) {
                        return Err(BadDirective::Duplicate);
                    }
                    found.skip = match value {
                        "" => return Err(BadDirective::NotANumber),
                        "YES" => Skip::Segments,
                        "v2" => Skip::SegmentsAndDateranges,
                        _ => Skip::Nothing,
                    };
                }
                TOKEN_NAME if found.token.is_none() && !value.is_empty() => {
                    found.token = Some(token(value)?);
                }
                _ => {}
            }
        }
        if found.part.is_some() && found.msn.is_none() {
            return Err(BadDirective::PartWithoutMsn);
        }
        Ok(found)
    }
}

fn set_once(place: &mut Option<u64>, value: &str) -> Result<(), BadDirective> {
    if place.is_some() {
        return Err(BadDirective::Duplicate);
    }
    // `parse` alone would take a plus sign.
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadDirective::NotANumber);
    }
    *place = Some(value.parse().map_err(|_| BadDirective::NotANumber)?);
    Ok(())
}

/// The token as it may stand in a quoted string of a playlist.
fn token(value: &str) -> Result<Arc<str>, BadDirective> {
    if value.len() > TOKEN_BYTES_MAX {
        return Err(BadDirective::LongToken);
    }
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"#$<>\\^`{|}".contains(&byte);
    if value.bytes().all(plain) {
        return Ok(Arc::from(value));
    }
    let mut encoded = String::with_capacity(value.len() + 16);
    for byte in value.bytes() {
        if plain(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    Ok(Arc::from(encoded))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(msn: Option<u64>, part: Option<u64>, skip: Skip) -> Result<Directives, BadDirective> {
        Ok(Directives {
            msn,
            part,
            skip,
            token: None,
        })
    }

    #[test]
    fn directives_are_read_and_the_rest_is_let_be() {
        let nothing = Skip::Nothing;
        for (query, expected) in [
            ("", wanted(None, None, nothing)),
            ("&&=&a", wanted(None, None, nothing)),
            ("_HLS_msn=0", wanted(Some(0), None, nothing)),
            ("_HLS_part=3&_HLS_msn=7", wanted(Some(7), Some(3), nothing)),
            (
                "_HLS_msn=18446744073709551615",
                wanted(Some(u64::MAX), None, nothing),
            ),
            ("_HLS_skip=YES", wanted(None, None, Skip::Segments)),
            (
                "_HLS_skip=v2",
                wanted(None, None, Skip::SegmentsAndDateranges),
            ),
            ("_HLS_skip=v3", wanted(None, None, nothing)),
            ("_HLS_skip=yes", wanted(None, None, nothing)),
            ("_HLS_report=x&_hls_msn=x", wanted(None, None, nothing)),
            ("_HLS_msn=007", wanted(Some(7), None, nothing)),
        ] {
            assert_eq!(Directives::parse(query), expected, "{query}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        use BadDirective::{Duplicate, NotANumber, PartWithoutMsn};
        for (query, expected) in [
            ("_HLS_part=1", PartWithoutMsn),
            ("_HLS_msn=", NotANumber),
            ("_HLS_msn", NotANumber),
            ("_HLS_msn=-1", NotANumber),
            ("_HLS_msn=+1", NotANumber),
            ("_HLS_msn=1.5", NotANumber),
            ("_HLS_msn=%31", NotANumber),
            ("_HLS_msn=18446744073709551616", NotANumber),
            ("_HLS_msn=1&_HLS_part=x", NotANumber),
            ("_HLS_msn=1&_HLS_msn=1", Duplicate),
            ("_HLS_msn=1&_HLS_part=1&_HLS_part=2", Duplicate),
            ("_HLS_skip=YES&_HLS_skip=YES", Duplicate),
            ("_HLS_skip=", NotANumber),
        ] {
            assert_eq!(Directives::parse(query), Err(expected), "{query}");
        }
    }

    #[test]
    fn a_token_cannot_end_a_line_or_a_quoted_string() {
        let read = |query: &str| Directives::parse(query).map(|found| found.token);
        assert_eq!(read("token=a.b-c%2F=="), Ok(Some(Arc::from("a.b-c%2F=="))));
        assert_eq!(
            read("x=1&token=a\"\n#é"),
            Ok(Some(Arc::from("a%22%0A%23%C3%A9")))
        );
        assert_eq!(read("token="), Ok(None));
        let long = "x".repeat(TOKEN_BYTES_MAX + 1);
        assert_eq!(read(&format!("token={long}")), Err(BadDirective::LongToken));
    }
}
