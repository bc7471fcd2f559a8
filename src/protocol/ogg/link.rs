//! One chain link: a group of logical streams that begin together (RFC 3533 section 4).

use bytes::{Bytes, BytesMut};
use corecast_media::codec::{AudioFormat, Codec};
use corecast_media::metadata::Metadata;

use super::codec::{CommentAt, HEADER_PACKETS_MAX, Headers, Identity};
use super::comment;
use super::page::Page;

/// The most logical streams of one link; pages of others are dropped.
pub(super) const STREAMS_MAX: usize = 16;

/// The most bytes of a link's header pages.
pub(super) const HEADER_BYTES_MAX: usize = 1024 * 1024;

/// The longest time that one page can play; more is a jump of the clock and counts as nothing.
const PAGE_DURATION_MAX_US: u64 = 120_000_000;

/// The first page of a stream counts from zero only if it ends this early; later ones come from a
/// stream that was joined in its course.
const START_MAX_US: u64 = 5_000_000;

/// A chain link.
#[derive(Debug)]
pub(super) struct Link {
    streams: Vec<Stream>,
    phase: Phase,
    header_pages: Vec<Bytes>,
    header_bytes: usize,
    metadata: Option<Metadata>,
}

/// How far a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// First pages: every logical stream begins before any goes on.
    Beginning,
    /// The rest of the set-up.
    Headers,
    /// Media.
    Data,
    /// Its set-up was too large; its pages are dropped.
    Broken,
}

/// What a page is to its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Set-up.
    Header,
    /// Media, and the time that it plays in microseconds.
    Data(u32),
    /// Not of this link.
    Stray,
}

/// One logical stream.
#[derive(Debug)]
struct Stream {
    serial: u32,
    identity: Identity,
    /// Packets of set-up that were whole so far.
    header_packets: u32,
    is_set_up: bool,
    /// The packet of set-up that goes on, where it may hold tags.
    packet: BytesMut,
    /// Time at the last granule position.
    time_us: Option<u64>,
}

impl Link {
    pub(super) fn new() -> Self {
        Link {
            streams: Vec::new(),
            phase: Phase::Beginning,
            header_pages: Vec::new(),
            header_bytes: 0,
            metadata: None,
        }
    }

    /// Whether `page` begins another link.
    pub(super) fn ends_with(&self, page: &Page) -> bool {
        page.is_first
            && (self.phase != Phase::Beginning
                || self
                    .streams
                    .iter()
                    .any(|stream| stream.serial == page.serial))
    }

    /// The parameters of the first stream that is audio.
    pub(super) fn format(&self) -> Option<AudioFormat> {
        self.audio().map(|stream| stream.identity.format)
    }

    fn audio(&self) -> Option<&Stream> {
        self.streams
            .iter()
            .find(|stream| stream.identity.format.codec != Codec::Opaque)
    }

    /// Takes the next page of the link and says what it is.
    pub(super) fn on_page(&mut self, page: &Page) -> Role {
        if self.phase == Phase::Broken {
            return Role::Stray;
        }
        if page.is_first {
            return self.on_first_page(page);
        }
        let Some(index) = self
            .streams
            .iter()
            .position(|stream| stream.serial == page.serial)
        else {
            return Role::Stray;
        };
        // Until all streams are set up every page belongs to the set-up, whatever stream it is of:
        // RFC 3533 section 4 puts all header pages before all media.
        let is_header = match self.phase {
            Phase::Beginning => !self.is_set_up(),
            Phase::Headers => true,
            Phase::Data | Phase::Broken => false,
        };
        if !is_header {
            self.phase = Phase::Data;
            let is_audio = self.audio().is_none_or(|audio| audio.serial == page.serial);
            let stream = self.streams.get_mut(index);
            let time_us = stream.map_or(0, |stream| stream.advance(page.granule));
            return Role::Data(if is_audio { time_us } else { 0 });
        }
        self.phase = Phase::Headers;
        let tags = self
            .streams
            .get_mut(index)
            .and_then(|stream| stream.on_header_page(page));
        let is_audio = self
            .audio()
            .is_some_and(|audio| audio.serial == page.serial);
        if is_audio && tags.is_some() {
            self.metadata = tags;
        }
        self.keep(page)
    }

    fn on_first_page(&mut self, page: &Page) -> Role {
        if self.streams.len() >= STREAMS_MAX {
            return Role::Stray;
        }
        let packet = page
            .pieces()
            .next()
            .map(|(packet, _)| packet)
            .unwrap_or_default();
        let identity = Identity::parse(&packet);
        let mut stream = Stream {
            serial: page.serial,
            identity,
            header_packets: 0,
            is_set_up: false,
            packet: BytesMut::new(),
            time_us: None,
        };
        stream.on_header_page(page);
        self.streams.push(stream);
        self.keep(page)
    }

    fn keep(&mut self, page: &Page) -> Role {
        self.header_bytes += page.bytes.len();
        if self.header_bytes > HEADER_BYTES_MAX {
            self.phase = Phase::Broken;
            self.header_pages = Vec::new();
            self.streams = Vec::new();
            return Role::Stray;
        }
        self.header_pages.push(page.bytes.clone());
        Role::Header
    }

    fn is_set_up(&self) -> bool {
        self.streams.iter().all(|stream| stream.is_set_up)
    }

    /// The set-up pages, once, when the set-up is known to be over: after its last page, or with
    /// the first page of media where only that one tells (`at_data`).
    pub(super) fn take_init_headers(&mut self, at_data: bool) -> Option<Bytes> {
        let is_over = match self.phase {
            Phase::Beginning | Phase::Broken => false,
            Phase::Headers => self.is_set_up(),
            Phase::Data => at_data,
        };
        if !is_over || self.header_pages.is_empty() {
            return None;
        }
        self.phase = Phase::Data;
        let pages = std::mem::take(&mut self.header_pages);
        let mut all = BytesMut::with_capacity(self.header_bytes);
        for page in &pages {
            all.extend_from_slice(page);
        }
        Some(all.freeze())
    }

    /// The tags of the first audio stream, once.
    pub(super) fn take_metadata(&mut self) -> Option<Metadata> {
        self.metadata.take()
    }

    /// Bytes that are held beside pages that wait to be whole.
    pub(super) fn held_bytes(&self) -> usize {
        let packets: usize = self.streams.iter().map(|stream| stream.packet.len()).sum();
        let pages: usize = self.header_pages.iter().map(Bytes::len).sum();
        packets + pages
    }
}

impl Stream {
    /// Counts the packets of set-up that end in `page`; the tags, where they end in it.
    fn on_header_page(&mut self, page: &Page) -> Option<Metadata> {
        let mut tags = None;
        if page.is_continued && self.packet.is_empty() {
            // The start of that packet was lost; what follows can still be counted.
            self.packet.extend_from_slice(b"?");
        }
        for (piece, is_end) in page.pieces() {
            if self.is_set_up {
                break;
            }
            self.packet.extend_from_slice(&piece);
            if is_end {
                let packet = std::mem::take(&mut self.packet);
                tags = tags.or(self.on_header_packet(&packet));
            }
        }
        tags
    }

    fn on_header_packet(&mut self, packet: &[u8]) -> Option<Metadata> {
        self.header_packets += 1;
        let is_first = self.header_packets == 1;
        self.is_set_up = self.header_packets >= HEADER_PACKETS_MAX
            || match self.identity.headers {
                Headers::Count(count) => self.header_packets >= count,
                // RFC 9639 section 8.1: the high bit of a block's type marks the last one. The
                // first packet has its own form, and a frame's sync code is no block type.
                Headers::UntilLastBlock => !is_first && packet.first().is_none_or(|b| b >> 7 == 1),
            };
        let block = match self.identity.comment_at() {
            CommentAt::Word(word) => packet.strip_prefix(word),
            CommentAt::SecondPacket if self.header_packets == 2 => Some(packet),
            CommentAt::FlacBlock if !is_first && packet.first().is_some_and(|b| b & 0x7f == 4) => {
                packet.get(4..)
            }
            CommentAt::SecondPacket | CommentAt::FlacBlock | CommentAt::Nowhere => None,
        };
        block.map(comment::parse)
    }

    /// The time from the last granule position to this one, in microseconds.
    fn advance(&mut self, granule: Option<u64>) -> u32 {
        let rate = u128::from(self.identity.granule_rate_hz);
        let Some(granule) = granule.filter(|_| rate > 0) else {
            return 0;
        };
        let samples = u128::from(granule.saturating_sub(u64::from(self.identity.pre_skip)));
        let time_us = u64::try_from(samples * 1_000_000 / rate).unwrap_or(u64::MAX);
        let last_us = self.time_us.replace(time_us);
        let last_us = last_us.or((time_us <= START_MAX_US).then_some(0));
        let passed = last_us
            .and_then(|last_us| time_us.checked_sub(last_us))
            .unwrap_or(0);
        if passed > PAGE_DURATION_MAX_US {
            0
        } else {
            u32::try_from(passed).unwrap_or(0)
        }
    }
}
