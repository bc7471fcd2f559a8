//! What resources are called. Names hold the epoch and the media sequence number, so that none
//! ever names other bytes, also after a restart. All stand in one folder and are relative to the
//! playlist (RFC 3986 section 5.2), so that the mount's own name is never repeated.

use std::fmt;

use corecast_media::track::TrackKind;

/// The longest epoch, in bytes.
pub const EPOCH_BYTES_MAX: usize = 32;

/// The multivariant playlist, in the folder of the media playlists.
pub const MULTIVARIANT_NAME: &str = "main.m3u8";

const FRAGMENT_SUFFIX: &str = ".m4s";

/// Players know packed sound by its name (draft-pantos-hls-rfc8216bis section 3.4). Layer III is
/// all that we pack.
const PACKED_SUFFIX: &str = ".mp3";

/// One track as it is offered: `v0`, `a0`, `a1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RenditionId {
    /// Pictures or sound.
    pub kind: TrackKind,
    /// Counts the tracks of its kind from 0, in the order of their ids.
    pub index: u8,
}

impl fmt::Display for RenditionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.kind {
            TrackKind::Video => 'v',
            TrackKind::Audio => 'a',
        };
        write!(f, "{letter}{}", self.index)
    }
}

/// What a name in a mount's folder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'n> {
    /// The multivariant playlist.
    Multivariant,
    /// The DASH manifest, at the mount's own address only.
    Manifest,
    /// A media playlist.
    Playlist(RenditionId),
    /// An init segment.
    Init {
        /// Whose.
        rendition: RenditionId,
        /// The life of the packager that made it.
        epoch: &'n str,
        /// Counts the rendition's init segments from 0.
        number: u32,
    },
    /// A whole segment.
    Segment {
        /// Whose.
        rendition: RenditionId,
        /// The life of the packager that made it.
        epoch: &'n str,
        /// Its media sequence number.
        msn: u64,
        /// Whether it is packed sound, not fragments.
        packed: bool,
    },
    /// A part of a segment.
    Part {
        /// Whose.
        rendition: RenditionId,
        /// The life of the packager that made it.
        epoch: &'n str,
        /// The media sequence number of its segment.
        msn: u64,
        /// Its index in the segment.
        part: u32,
        /// Whether it is packed sound, not a fragment.
        packed: bool,
    },
}

impl<'n> Resource<'n> {
    /// Reads the last component of a path; none for what is no name of ours. Every resource has
    /// one name: a number with a leading zero is none.
    pub fn parse(name: &'n str) -> Option<Self> {
        if name == MULTIVARIANT_NAME {
            return Some(Resource::Multivariant);
        }
        if let Some(stem) = name.strip_suffix(".m3u8") {
            return Some(Resource::Playlist(rendition(stem)?));
        }
        let (first, rest) = name.split_once('-')?;
        let (epoch, last) = rest.split_once('-')?;
        let rendition = rendition(first)?;
        if !is_epoch(epoch) {
            return None;
        }
        if let Some(stem) = last.strip_suffix(".mp4") {
            let number = u32::try_from(number(stem.strip_prefix("init")?)?).ok()?;
            return Some(Resource::Init {
                rendition,
                epoch,
                number,
            });
        }
        let (stem, packed) = match last.strip_suffix(PACKED_SUFFIX) {
            Some(stem) => (stem, true),
            None => (last.strip_suffix(FRAGMENT_SUFFIX)?, false),
        };
        match stem.split_once('.') {
            None => Some(Resource::Segment {
                rendition,
                epoch,
                msn: number(stem)?,
                packed,
            }),
            Some((msn, part)) => Some(Resource::Part {
                rendition,
                epoch,
                msn: number(msn)?,
                part: u32::try_from(number(part)?).ok()?,
                packed,
            }),
        }
    }
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Resource::Multivariant => f.write_str(MULTIVARIANT_NAME),
            Resource::Manifest => f.write_str("main.mpd"),
            Resource::Playlist(rendition) => write!(f, "{rendition}.m3u8"),
            Resource::Init {
                rendition,
                epoch,
                number,
            } => write!(f, "{rendition}-{epoch}-init{number}.mp4"),
            Resource::Segment {
                rendition,
                epoch,
                msn,
                packed,
            } => write!(f, "{rendition}-{epoch}-{msn}{}", suffix(packed)),
            Resource::Part {
                rendition,
                epoch,
                msn,
                part,
                packed,
            } => write!(f, "{rendition}-{epoch}-{msn}.{part}{}", suffix(packed)),
        }
    }
}

/// Whether `text` may be an epoch: small letters and digits, within [`EPOCH_BYTES_MAX`].
pub fn is_epoch(text: &str) -> bool {
    (1..=EPOCH_BYTES_MAX).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

const fn suffix(packed: bool) -> &'static str {
    if packed {
        PACKED_SUFFIX
    } else {
        FRAGMENT_SUFFIX
    }
}

fn rendition(text: &str) -> Option<RenditionId> {
    let (kind, index) = match text.strip_prefix('v') {
        Some(index) => (TrackKind::Video, index),
        None => (TrackKind::Audio, text.strip_prefix('a')?),
    };
    let index = u8::try_from(number(index)?).ok()?;
    Some(RenditionId { kind, index })
}

/// A number as we write it.
pub(super) fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = text == "0" || !text.starts_with('0');
    if digits && canonical {
        text.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in [
            "main.m3u8",
            "v0.m3u8",
            "a15.m3u8",
            "v0-x1-init0.mp4",
            "a1-4kz-init12.mp4",
            "v0-x1-18446744073709551615.m4s",
            "v0-x1-7.0.m4s",
            "a0-x1-7.4294967295.m4s",
            "a0-x1-7.mp3",
            "a0-x1-7.0.mp3",
        ] {
            let resource = Resource::parse(name).expect(name);
            assert_eq!(resource.to_string(), name);
        }
    }

    #[test]
    fn whatever_is_no_name_of_ours_is_none() {
        for name in [
            "",
            ".m3u8",
            "x0.m3u8",
            "v.m3u8",
            "v00.m3u8",
            "v256.m3u8",
            "v0-x1-init.mp4",
            "v0-x1-0.mp4",
            "v0-x1-007.m4s",
            "v0-x1-+7.m4s",
            "v0-x1--7.m4s",
            "v0-x1-18446744073709551616.m4s",
            "v0-x1-7.4294967296.m4s",
            "v0-x1-7..m4s",
            "v0--7.m4s",
            "v0-X-7.m4s",
            "v0-x1-7.1.2.m4s",
            "v0-x1-7.m4s/",
            "v0-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-7.m4s",
        ] {
            assert_eq!(Resource::parse(name), None, "{name}");
        }
    }
}
