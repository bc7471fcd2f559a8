//! The head that a listener gets (Icecast 2.4's, with CORS per the Fetch standard section 3.3).

use std::num::NonZeroU32;

use bytes::BytesMut;

use crate::http1::{Request, ResponseHead, ResponseVersion, Version};

/// What page scripts may read, beside what they always may.
const EXPOSED_HEADERS: &str = "icy-br, icy-description, icy-genre, icy-metaint, icy-name, \
                               icy-pub, icy-url, ice-audio-info, Content-Length, Date";

/// A date in the past, for caches that know nothing newer.
const EXPIRED: &str = "Mon, 26 Jul 1997 05:00:00 GMT";

/// What a listener's response head is made of. Empty texts are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenerHead<'t> {
    /// MIME type.
    pub content_type: &'t str,
    /// `icy-name`
    pub name: &'t str,
    /// `icy-description`
    pub description: &'t str,
    /// `icy-genre`
    pub genre: &'t str,
    /// `icy-url`
    pub url: &'t str,
    /// `icy-br`: kilobits per second.
    pub bitrate: &'t str,
    /// `ice-audio-info`
    pub audio_info: &'t str,
    /// `icy-pub`
    pub public: bool,
    /// Bytes between ICY blocks, where the body has them.
    pub metaint: Option<NonZeroU32>,
    /// `Server`
    pub server: &'t str,
    /// `Date`: seconds since 1970.
    pub unix_seconds: u64,
}

impl ListenerHead<'_> {
    /// Writes the head of an endless answer to a request of `version`.
    pub fn write_to(&self, out: &mut BytesMut, version: Version) {
        let version = match version {
            Version::Http11 => ResponseVersion::Http11,
            Version::Http10 | Version::Ice10 => ResponseVersion::Http10,
        };
        let mut head = ResponseHead::start(out, version, 200)
            .header_unless_empty("Content-Type", self.content_type)
            .header_unless_empty("icy-br", self.bitrate)
            .header_unless_empty("ice-audio-info", self.audio_info)
            .header_unless_empty("icy-description", self.description)
            .header_unless_empty("icy-genre", self.genre)
            .header_unless_empty("icy-name", self.name)
            .header("icy-pub", if self.public { "1" } else { "0" })
            .header_unless_empty("icy-url", self.url);
        if let Some(metaint) = self.metaint {
            head = head.header_number("icy-metaint", u64::from(metaint.get()));
        }
        write_common(head, self.server, self.unix_seconds)
            .header("Cache-Control", "no-cache, no-store")
            .header("Pragma", "no-cache")
            .header("Expires", EXPIRED)
            // RFC 9112 section 9.6: nothing follows a body without an end.
            .header("Connection", "close")
            .finish();
    }
}

/// Writes what every answer of the listening surface has: `Server`, `Date` and CORS, so that pages
/// from anywhere may play and read titles.
pub fn write_common<'b>(
    head: ResponseHead<'b>,
    server: &str,
    unix_seconds: u64,
) -> ResponseHead<'b> {
    head.header_unless_empty("Server", server)
        .date(unix_seconds)
        .header("Access-Control-Allow-Origin", "*")
        .header(
            "Access-Control-Allow-Headers",
            "Origin, Accept, Range, Icy-MetaData, Content-Type",
        )
        .header("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
        .header("Access-Control-Expose-Headers", EXPOSED_HEADERS)
}

/// Whether the listener asks for ICY blocks.
pub fn wants_metadata(request: &Request) -> bool {
    request.headers().find("icy-metadata") == Some(b"1")
}
