//! The head that a listener gets (Icecast 2.4's, with CORS per the Fetch standard section 3.3).

use std::num::NonZeroU32;

use crate::http::{Fields, Request};

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
}

impl ListenerHead<'_> {
    /// The fields of an endless answer.
    pub fn fields(&self) -> Fields {
        let mut fields = Fields::with_capacity(768)
            .with_unless_empty("Content-Type", self.content_type)
            .with_unless_empty("icy-br", self.bitrate)
            .with_unless_empty("ice-audio-info", self.audio_info)
            .with_unless_empty("icy-description", self.description)
            .with_unless_empty("icy-genre", self.genre)
            .with_unless_empty("icy-name", self.name)
            .with("icy-pub", if self.public { "1" } else { "0" })
            .with_unless_empty("icy-url", self.url);
        if let Some(metaint) = self.metaint {
            fields.push_number("icy-metaint", u64::from(metaint.get()));
        }
        fields
            .with("Access-Control-Allow-Origin", "*")
            .with(
                "Access-Control-Allow-Headers",
                "Origin, Accept, Range, Icy-MetaData, Content-Type",
            )
            .with("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
            .with("Access-Control-Expose-Headers", EXPOSED_HEADERS)
            .with("Cache-Control", "no-cache, no-store")
            .with("Pragma", "no-cache")
            .with("Expires", EXPIRED)
    }
}

/// Whether the listener asks for ICY blocks.
pub fn wants_metadata(request: &Request) -> bool {
    request.headers().find("icy-metadata") == Some(b"1")
}
