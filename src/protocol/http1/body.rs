//! Where a request's body ends (RFC 9112 section 6.3).

use crate::http::error::BadRequest;
use crate::http::request::{BodyFraming, Headers, Method, Version};

/// Reads the framing from the headers and refuses what two programs could read in two ways.
pub(crate) fn framing(
    method: Method,
    version: Version,
    headers: &Headers,
) -> Result<BodyFraming, BadRequest> {
    let length = headers.content_length()?;
    match (transfer_encoding(version, headers)?, length) {
        // RFC 9112 section 6.3 item 3: an attempt to smuggle, to be handled as an error.
        (true, Some(_)) => Err(BadRequest::malformed(
            "both Content-Length and Transfer-Encoding",
        )),
        (true, None) => Ok(BodyFraming::Chunked),
        // Some encoders announce no bytes and then stream; nobody can tell SOURCE's end otherwise.
        (false, None | Some(0)) if method == Method::Source => Ok(BodyFraming::UntilClose),
        (false, None) if method == Method::Put => Ok(BodyFraming::UntilClose),
        (false, None | Some(0)) => Ok(BodyFraming::None),
        (false, Some(length)) => Ok(BodyFraming::Length(length)),
    }
}

/// RFC 9112 section 6.1: whether the body is chunked; any other coding is refused.
pub(crate) fn transfer_encoding(version: Version, headers: &Headers) -> Result<bool, BadRequest> {
    let mut values = headers.find_all("transfer-encoding");
    let Some(value) = values.next() else {
        return Ok(false);
    };
    if values.next().is_some() {
        return Err(BadRequest::malformed("more than one Transfer-Encoding"));
    }
    if version != Version::Http11 {
        return Err(BadRequest::malformed("Transfer-Encoding before HTTP/1.1"));
    }
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(true);
    }
    let mut codings = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    // Section 6.3 item 4: the length is unknown unless `chunked` is the last, and it is so once.
    match (
        codings.next_back().is_some_and(is_chunked),
        codings.any(is_chunked),
    ) {
        (true, false) => Err(BadRequest::new(501, "unknown transfer coding")),
        _ => Err(BadRequest::malformed("bad Transfer-Encoding")),
    }
}
