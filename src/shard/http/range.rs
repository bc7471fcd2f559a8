//! `Range` requests for bytes that do not change (RFC 9110 section 14).

use std::ops::Range;

use corecast_protocol::http::{Method, Request};

/// What a range header that we follow asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RangeOutcome {
    /// These bytes: status 206.
    Part(Range<u64>),
    /// None that are there: status 416.
    Unsatisfiable,
}

/// What the request wants of a body of `length` bytes; nothing where it wants the whole, or asks
/// in a way that a server may pass over (another unit, several ranges, bad grammar).
pub(crate) fn range_of(request: &Request, length: u64) -> Option<RangeOutcome> {
    // There is nothing that `If-Range` could name, so its condition is false (section 13.1.5).
    if request.method() != Method::Get || request.headers().find("if-range").is_some() {
        return None;
    }
    parse(request.headers().find_text("range")?, length)
}

fn parse(value: &str, length: u64) -> Option<RangeOutcome> {
    let spec = value.trim().strip_prefix("bytes=")?.trim();
    let (first, last) = spec.split_once('-')?;
    let number = |text: &str| -> Option<Option<u64>> {
        match text {
            "" => Some(None),
            _ if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(Some(text.parse().unwrap_or(u64::MAX)))
            }
            _ => None,
        }
    };
    let range = match (number(first)?, number(last)?) {
        (None, None) => return None,
        (None, Some(suffix)) => length.saturating_sub(suffix)..length,
        (Some(first), None) => first..length,
        (Some(first), Some(last)) if first > last => return None,
        (Some(first), Some(last)) => first..last.saturating_add(1).min(length),
    };
    Some(if range.start < range.end {
        RangeOutcome::Part(range)
    } else {
        RangeOutcome::Unsatisfiable
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_followed_as_the_rfc_says() {
        use RangeOutcome::{Part, Unsatisfiable};
        for (value, expected) in [
            ("bytes=0-9", Some(Part(0..10))),
            ("bytes=90-", Some(Part(90..100))),
            ("bytes=90-1000", Some(Part(90..100))),
            ("bytes=-10", Some(Part(90..100))),
            ("bytes=-1000", Some(Part(0..100))),
            ("bytes=100-", Some(Unsatisfiable)),
            ("bytes=-0", Some(Unsatisfiable)),
            ("bytes=99999999999999999999-", Some(Unsatisfiable)),
            ("bytes=5-4", None),
            ("bytes=0-1,5-6", None),
            ("bytes=-", None),
            ("bytes=a-b", None),
            ("lines=0-9", None),
            ("bytes 0-9", None),
        ] {
            assert_eq!(parse(value, 100), expected, "{value}");
        }
        assert_eq!(parse("bytes=0-", 0), Some(Unsatisfiable));
    }
}
