//! What a request is answered, without the bytes of HTTP.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use corecast_media::time::Time;
use corecast_media::track::TrackKind;

use super::directive::BadDirective;
use super::origin::WaitKey;

/// Seconds for which a year-long answer may be kept: what a cache takes at most.
const IMMUTABLE_SECONDS: u32 = 31_536_000;

/// The answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Status 200.
    Ready(Response),
    /// Ask again when `key` is released, or at `until`; say nothing before.
    Wait {
        /// What it waits for.
        key: WaitKey,
        /// When it gets [`Answer::Unavailable`].
        until: Time,
    },
    /// Status 404.
    NotFound,
    /// Status 400.
    BadRequest(BadDirective),
    /// Status 503: it waited too long.
    Unavailable,
}

impl Answer {
    /// The status; none while it waits.
    pub fn status(&self) -> Option<u16> {
        match self {
            Answer::Ready(_) => Some(200),
            Answer::Wait { .. } => None,
            Answer::NotFound => Some(404),
            Answer::BadRequest(_) => Some(400),
            Answer::Unavailable => Some(503),
        }
    }

    /// How long it may be kept.
    pub fn cache(&self) -> Cache {
        match self {
            Answer::Ready(response) => response.cache,
            Answer::NotFound => Cache::Seconds(1),
            Answer::Wait { .. } | Answer::BadRequest(_) | Answer::Unavailable => Cache::Never,
        }
    }
}

/// An answer with status 200. Playlists also get `Vary: Accept-Encoding`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// What the body is.
    pub content_type: ContentType,
    /// How long it may be kept.
    pub cache: Cache,
    /// The entity tag, quoted. Media has none: its address says all.
    pub etag: Option<Arc<str>>,
    /// Whether the body is a gzip file (`Content-Encoding: gzip`).
    pub gzip: bool,
    /// The bytes.
    pub body: Body,
}

/// Bytes that many answers share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A playlist, an init segment or a part.
    One(Bytes),
    /// A segment: its parts.
    Pieces(Arc<[Bytes]>),
}

impl Body {
    /// The bytes in order.
    pub fn pieces(&self) -> &[Bytes] {
        match self {
            Body::One(bytes) => std::slice::from_ref(bytes),
            Body::Pieces(pieces) => pieces,
        }
    }

    /// How many bytes there are.
    pub fn bytes(&self) -> u64 {
        self.pieces().iter().map(|piece| piece.len() as u64).sum()
    }
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    /// A playlist.
    Playlist,
    /// Init segments, segments and parts of pictures.
    VideoMp4,
    /// The same of sound.
    AudioMp4,
    /// A DASH manifest.
    Manifest,
    /// Packed sound of layer III.
    AudioMpeg,
}

impl ContentType {
    /// That of a rendition's media.
    pub const fn of(kind: TrackKind) -> Self {
        match kind {
            TrackKind::Video => ContentType::VideoMp4,
            TrackKind::Audio => ContentType::AudioMp4,
        }
    }

    /// The header's value (draft-pantos-hls-rfc8216bis section 4, RFC 4337, RFC 3003,
    /// ISO/IEC 23009-1 annex C).
    pub const fn as_str(self) -> &'static str {
        match self {
            ContentType::Playlist => "application/vnd.apple.mpegurl",
            ContentType::VideoMp4 => "video/mp4",
            ContentType::AudioMp4 => "audio/mp4",
            ContentType::Manifest => "application/dash+xml",
            ContentType::AudioMpeg => "audio/mpeg",
        }
    }
}

/// How long an answer may be kept (RFC 9111 section 5.2.2). Displayed as the header's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// For ever: the address never names other bytes.
    Immutable,
    /// By everybody, for so many seconds.
    Seconds(u32),
    /// By everybody, if asked about it each time.
    Revalidate,
    /// By the client alone, for so many seconds.
    PrivateSeconds(u32),
    /// By the client alone, if it asks each time.
    PrivateRevalidate,
    /// Not at all.
    Never,
}

impl Cache {
    /// The same for one client alone.
    pub(super) fn private(self) -> Self {
        match self {
            Cache::Immutable => Cache::PrivateSeconds(IMMUTABLE_SECONDS),
            Cache::Seconds(seconds) => Cache::PrivateSeconds(seconds),
            Cache::Revalidate => Cache::PrivateRevalidate,
            private => private,
        }
    }
}

impl fmt::Display for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cache::Immutable => write!(f, "public, max-age={IMMUTABLE_SECONDS}, immutable"),
            Cache::Seconds(seconds) => write!(f, "public, max-age={seconds}"),
            Cache::Revalidate => f.write_str("no-cache"),
            Cache::PrivateSeconds(seconds) => write!(f, "private, max-age={seconds}"),
            Cache::PrivateRevalidate => f.write_str("private, no-cache"),
            Cache::Never => f.write_str("no-store"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_are_told_what_holds() {
        for (cache, expected) in [
            (Cache::Immutable, "public, max-age=31536000, immutable"),
            (Cache::Seconds(12), "public, max-age=12"),
            (Cache::Revalidate, "no-cache"),
            (Cache::Seconds(12).private(), "private, max-age=12"),
            (Cache::Revalidate.private(), "private, no-cache"),
            (Answer::NotFound.cache(), "public, max-age=1"),
            (Answer::Unavailable.cache(), "no-store"),
        ] {
            assert_eq!(cache.to_string(), expected);
        }
    }
}
