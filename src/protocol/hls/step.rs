//! What the packager says and every origin hears: immutable, made once per node.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::directive::TOKEN_NAME;
use super::name::RenditionId;
use super::origin::Origin;

/// How hard playlists are pressed: they are small and made many times a second.
const GZIP_LEVEL: u32 = 5;

/// One message from the mount's home to each shard with readers. Lives on: every shard.
#[derive(Clone, Debug)]
pub enum Step {
    /// The renditions and the multivariant playlist that names them; the first step, and again
    /// when it changes. Renditions that are not in it are gone.
    Multivariant(Arc<Multivariant>),
    /// A new init segment; said before the first playlist that names it.
    Init {
        /// Whose.
        rendition: RenditionId,
        /// Counts the rendition's init segments from 0.
        number: u32,
        /// The file.
        bytes: Bytes,
    },
    /// The DASH manifest from now on, for requests to the mount's own address.
    Manifest(Arc<Rendered>),
    /// What is new in one rendition: usually one part and the playlist that lists it.
    Update(Arc<Update>),
    /// All that there is, for a shard that had no readers until now.
    Snapshot(Arc<Origin>),
}

/// The multivariant playlist and what holds for all renditions.
#[derive(Clone, Debug)]
pub struct Multivariant {
    /// The packager's life, in every name of media.
    pub epoch: Arc<str>,
    /// EXT-X-TARGETDURATION in seconds; never changes within an epoch.
    pub target_duration_s: u32,
    /// PART-TARGET; never changes within an epoch.
    pub part_target: Duration,
    /// Every rendition, in the order of ids.
    pub renditions: Arc<[RenditionId]>,
    /// The text for requests inside the folder of media playlists ([`super::MULTIVARIANT_NAME`]).
    pub inside: Rendered,
    /// The same for requests to the mount's own address: addresses start with the prefix of the
    /// settings.
    pub outside: Rendered,
}

/// What became known of one rendition at once.
#[derive(Clone, Debug)]
pub struct Update {
    /// Whose.
    pub rendition: RenditionId,
    /// Parts that are complete now, in order.
    pub pieces: Vec<Piece>,
    /// Segments below this number are not downloadable any more.
    pub kept_from: u64,
    /// The playlist from now on.
    pub playlist: Playlist,
}

/// A complete part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The media sequence number of its segment.
    pub msn: u64,
    /// Its index in the segment.
    pub part: u32,
    /// The file; none for media that never came (GAP).
    pub bytes: Option<Bytes>,
    /// Whether it is packed sound, not a fragment.
    pub packed: bool,
}

/// A media playlist in the forms that are asked for.
#[derive(Clone, Debug)]
pub struct Playlist {
    /// How far it goes.
    pub edge: Edge,
    /// Whether it has EXT-X-ENDLIST.
    pub ended: bool,
    /// Whether it has a complete segment.
    pub has_segments: bool,
    /// The whole list.
    pub full: Rendered,
    /// Without older segments (`_HLS_skip=YES`); none where nothing can be left out.
    pub delta: Option<Rendered>,
    /// Without older segments and date ranges (`_HLS_skip=v2`); none where it is as `delta`.
    pub delta_v2: Option<Rendered>,
}

/// How far a playlist goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    /// The segment that is not complete; every one below it is.
    pub msn: u64,
    /// How many parts of it are listed.
    pub parts: u32,
    /// How many parts the segment before it has; 0 for none such.
    pub parts_before: u32,
}

/// One text, as it goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The text.
    pub plain: Bytes,
    /// The text as a gzip file (RFC 1952).
    pub gzip: Bytes,
    /// The entity tag of `plain`, quoted; that of `gzip` is [`Self::gzip_etag`].
    pub etag: Arc<str>,
    /// The entity tag of `gzip`, quoted.
    pub gzip_etag: Arc<str>,
    /// Where addresses end in `plain`, rising.
    uri_ends: Arc<[u32]>,
}

impl Rendered {
    /// Presses a playlist and finds its addresses. `tag` names the text's content.
    pub fn new(text: String, tag: &str) -> Self {
        let ends = uri_ends(&text);
        Rendered::pressed(text, tag, ends)
    }

    /// The same of a DASH manifest.
    pub(super) fn manifest(text: String, tag: &str) -> Self {
        let ends = manifest_uri_ends(&text);
        Rendered::pressed(text, tag, ends)
    }

    fn pressed(text: String, tag: &str, uri_ends: Arc<[u32]>) -> Self {
        let mut encoder = GzEncoder::new(
            Vec::with_capacity(text.len() / 3),
            Compression::new(GZIP_LEVEL),
        );
        let written = encoder.write_all(text.as_bytes());
        debug_assert!(written.is_ok(), "a vector takes everything");
        Rendered {
            gzip: Bytes::from(encoder.finish().unwrap_or_default()),
            etag: Arc::from(format!("\"{tag}\"")),
            gzip_etag: Arc::from(format!("\"{tag}-g\"")),
            uri_ends,
            plain: Bytes::from(text),
        }
    }

    /// The text with `?token=<token>` behind every address. Made for one request: a list with a
    /// token belongs to one client.
    pub fn with_token(&self, token: &str) -> Bytes {
        let added = 2 + TOKEN_NAME.len() + token.len();
        let mut out = BytesMut::with_capacity(self.plain.len() + added * self.uri_ends.len());
        let mut from = 0;
        for &end in self.uri_ends.iter() {
            let end = end as usize;
            out.put_slice(self.plain.get(from..end).unwrap_or_default());
            out.put_slice(b"?");
            out.put_slice(TOKEN_NAME.as_bytes());
            out.put_slice(b"=");
            out.put_slice(token.as_bytes());
            from = end;
        }
        out.put_slice(self.plain.get(from..).unwrap_or_default());
        out.freeze()
    }
}

/// Lines without `#` are addresses, and so is every attribute `URI="..."` (section 4.1).
fn uri_ends(text: &str) -> Arc<[u32]> {
    let mut ends = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end_matches('\n');
        if !bare.is_empty() && !bare.starts_with('#') {
            ends.push(at + bare.len());
        } else if let Some(start) = attribute(bare) {
            let length = bare[start..].find('"').unwrap_or(0);
            ends.push(at + start + length);
        }
        at += line.len();
    }
    ends.into_iter()
        .filter_map(|end| u32::try_from(end).ok())
        .collect()
}

/// Those of templates and of the clock: what starts with one of these ends with a quotation mark.
fn manifest_uri_ends(text: &str) -> Arc<[u32]> {
    const STARTS: [&str; 3] = [
        " initialization=\"",
        " media=\"",
        "http-head:2014\" value=\"",
    ];
    let mut ends: Vec<u32> = STARTS
        .iter()
        .flat_map(|start| {
            text.match_indices(start)
                .map(|(at, start)| at + start.len())
        })
        .filter_map(|at| Some(at + text.get(at..)?.find('"')?))
        .filter_map(|end| u32::try_from(end).ok())
        .collect();
    ends.sort_unstable();
    ends.into()
}

/// Where the value of the attribute URI starts, outside of other quoted strings.
fn attribute(line: &str) -> Option<usize> {
    let mut quoted = false;
    let mut before = b':';
    for (at, byte) in line.bytes().enumerate() {
        let starts = !quoted && (before == b':' || before == b',');
        if starts && line[at..].starts_with("URI=\"") {
            return Some(at + "URI=\"".len());
        }
        if byte == b'"' {
            quoted = !quoted;
        }
        before = byte;
    }
    None
}
