//! What was seen of a server, as plain data: the rules read nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::multivariant::Multivariant;
use super::playlist::{Edge, Part, Playlist, Segment};

/// Nanoseconds in a millisecond.
pub(crate) const MS: u64 = 1_000_000;

/// All that was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// The multivariant playlist, where the address names one.
    pub(crate) multivariant: Option<Multivariant>,
    /// The media playlists.
    pub(crate) renditions: Vec<Rendition>,
    /// Everything that was asked, playlists with status 200 among it.
    pub(crate) exchanges: Vec<Exchange>,
    /// How much later than the rules say something may come: what this machine needs to notice.
    pub(crate) slack_ns: u64,
}

/// One media playlist over time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rendition {
    /// Its address as the multivariant playlist says it.
    pub(crate) uri: String,
    /// Its states in the order in which they came.
    pub(crate) samples: Vec<Sample>,
    /// What its addresses led to, by address.
    pub(crate) media: BTreeMap<String, Media>,
}

/// One media playlist as it came.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// What was asked for.
    pub(crate) ask: Ask,
    /// When the request was sent, on the machine's clock.
    pub(crate) sent_ns: u64,
    /// When the last byte was there.
    pub(crate) done_ns: u64,
    /// What came.
    pub(crate) list: Arc<Playlist>,
}

/// The directives of a request for a playlist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ask {
    /// `_HLS_msn`.
    pub(crate) msn: Option<u64>,
    /// `_HLS_part`.
    pub(crate) part: Option<u64>,
    /// `_HLS_skip`.
    pub(crate) skip: Option<SkipAsk>,
}

/// Values of `_HLS_skip`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SkipAsk {
    /// `YES`.
    Segments,
    /// `v2`.
    Dateranges,
    /// A value that nobody defined.
    Unknown,
}

/// What was asked, and why; the rules know by it what must come.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Purpose {
    /// The multivariant playlist.
    Multivariant,
    /// A media playlist.
    Playlist(Ask),
    /// Directives that no server may take: 400 at once.
    Bad {
        /// The rule that says so.
        rule: u8,
    },
    /// The next part before it is there.
    Hint,
    /// An init segment, segment or part that is listed.
    Listed,
    /// A segment or part that is no longer listed, but must still be there.
    Removed {
        /// Whether it is a part.
        part: bool,
    },
    /// A part that neither is there nor is hinted.
    Missing,
    /// A playlist with `If-None-Match`, and whether it has changed since that tag came.
    Conditional { changed: bool },
    /// A playlist that may come gzipped, and what it is without.
    Gzip { plain: Digest },
    /// Media for a client that takes gzip.
    GzipMedia,
    /// These bytes of a segment, and what they are; none for a range behind its end.
    Range { expected: Option<Digest> },
    /// Two ranges of a segment.
    Ranges,
    /// `HEAD`, and the length that a `GET` has, where that does not change.
    Head { length: Option<u64> },
    /// `OPTIONS` with what a browser asks before a `GET` with `Range`.
    Preflight,
    /// A playlist with a token.
    Token,
}

/// One request and its answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Exchange {
    /// Which rendition it was about.
    pub(crate) rendition: usize,
    /// Why it was asked.
    pub(crate) purpose: Purpose,
    /// Path and query.
    pub(crate) target: String,
    /// When the request was sent.
    pub(crate) sent_ns: u64,
    /// When the first byte of the body was there; of the head where there is no body.
    pub(crate) first_ns: u64,
    /// When the last byte was there.
    pub(crate) done_ns: u64,
    /// The status.
    pub(crate) status: u16,
    /// The headers with their names in small letters.
    pub(crate) headers: Vec<(String, String)>,
    /// The body, after decompression.
    pub(crate) body: Digest,
    /// The body of a playlist.
    pub(crate) text: Option<String>,
    /// Seconds since 1970 when the head was there.
    pub(crate) wall_s: i64,
    /// A fault of the connection in place of an answer.
    pub(crate) broken: Option<String>,
}

impl Exchange {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether a list in a header has this word, in any case.
    pub(crate) fn has_word(&self, name: &str, word: &str) -> bool {
        let value = self.header(name).unwrap_or_default();
        value
            .split(',')
            .any(|found| found.trim().eq_ignore_ascii_case(word))
    }

    /// From the request to the last byte.
    pub(crate) fn took_ns(&self) -> u64 {
        self.done_ns.saturating_sub(self.sent_ns)
    }

    /// What people know it by.
    pub(crate) fn place(&self) -> String {
        format!("{} ({})", self.target, self.status)
    }
}

/// Length and fingerprint of some bytes; those of two pieces make that of both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digest {
    /// How many bytes.
    pub(crate) bytes: u64,
    hash: u64,
}

/// A Mersenne prime, and a number below it.
const PRIME: u128 = (1 << 61) - 1;
const BASE: u128 = 0x1357_9bdf_0246_8ace;

impl Digest {
    /// That of `bytes`.
    pub(crate) fn of(bytes: &[u8]) -> Digest {
        let step = |hash: u128, byte: &u8| (hash * BASE + u128::from(*byte) + 1) % PRIME;
        Digest {
            bytes: bytes.len() as u64,
            hash: bytes.iter().fold(0, step) as u64,
        }
    }

    /// That of these bytes and `next` behind them.
    pub(crate) fn then(self, next: Digest) -> Digest {
        let (mut power, mut square, mut left) = (1, BASE, next.bytes);
        while left > 0 {
            if left & 1 == 1 {
                power = power * square % PRIME;
            }
            square = square * square % PRIME;
            left >>= 1;
        }
        Digest {
            bytes: self.bytes + next.bytes,
            hash: ((u128::from(self.hash) * power + u128::from(next.hash)) % PRIME) as u64,
        }
    }
}

/// What an address led to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Media {
    /// Its bytes.
    pub(crate) body: Digest,
    /// What is in it, where it can be read.
    pub(crate) content: Content,
}

/// What is in an init segment, a segment or a part.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Content {
    /// Not fragmented MP4, or damaged: why.
    Unreadable(String),
    /// An init segment.
    Init(InitContent),
    /// Movie fragments.
    Fragments(FragmentContent),
    /// Packed sound.
    Packed(PackedContent),
    /// Nothing.
    #[default]
    Empty,
}

/// What an init segment says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct InitContent {
    pub(crate) track: u32,
    pub(crate) timescale: u32,
    pub(crate) is_video: bool,
    /// `CODECS` as it should be; only its first component where the rest is not read.
    pub(crate) codec: String,
    pub(crate) width: u16,
    pub(crate) height: u16,
}

/// What movie fragments hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FragmentContent {
    pub(crate) track: u32,
    /// Decode time of the first sample.
    pub(crate) start_ticks: u64,
    /// When the first of its samples is shown.
    pub(crate) shown_ticks: i64,
    /// Sum of the samples' durations.
    pub(crate) duration_ticks: u64,
    pub(crate) samples: u64,
    /// The longest sample.
    pub(crate) sample_ticks_max: u64,
    /// Whether a decoder may start with the first sample.
    pub(crate) starts_with_keyframe: bool,
    /// Whether it may start with any of them.
    pub(crate) has_keyframe: bool,
    /// Whether each fragment starts where the one before ends.
    pub(crate) is_gapless: bool,
}

/// What packed sound holds; any of its frames may be the first of a decoder.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PackedContent {
    /// When it begins, in ticks of 90 kHz that start over after 33 bits.
    pub(crate) start_ticks: u64,
    /// Sum of the frames' durations, in the same ticks.
    pub(crate) duration_ticks: u64,
    pub(crate) frames: u64,
}

impl Rendition {
    /// The samples that are whole lists.
    pub(crate) fn full(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(|sample| !sample.list.is_delta())
    }

    /// Whole lists, each state once, in their order.
    pub(crate) fn states(&self) -> Vec<&Sample> {
        let mut states: Vec<&Sample> = Vec::new();
        let mut full: Vec<&Sample> = self.full().collect();
        full.sort_by_key(|sample| (sample.list.edge(), sample.list.is_ended, sample.done_ns));
        for sample in full {
            let known = states.last().is_some_and(|last| {
                let edge = |sample: &Sample| (sample.list.edge(), sample.list.is_ended);
                edge(last) == edge(sample)
            });
            if !known {
                states.push(sample);
            }
        }
        states
    }

    /// Every sample with the largest `value` of all lists that were there when it was asked for.
    pub(crate) fn after_all_before<T: Copy + Default + Ord>(
        &self,
        value: impl Fn(&Playlist) -> T,
    ) -> Vec<(&Sample, T)> {
        let mut done: Vec<&Sample> = self.samples.iter().collect();
        done.sort_by_key(|sample| sample.done_ns);
        let mut sent = done.clone();
        sent.sort_by_key(|sample| sample.sent_ns);
        let (mut before, mut newest) = (done.into_iter().peekable(), T::default());
        let mut found = Vec::with_capacity(sent.len());
        for sample in sent {
            while let Some(before) = before.next_if(|before| before.done_ns <= sample.sent_ns) {
                newest = newest.max(value(&before.list));
            }
            found.push((sample, newest));
        }
        found
    }

    /// Each time that the list grew: how far, and when the first list with it was there.
    pub(crate) fn arrivals(&self) -> Vec<(Edge, u64)> {
        let mut samples: Vec<&Sample> = self.samples.iter().collect();
        samples.sort_by_key(|sample| sample.done_ns);
        let mut arrivals: Vec<(Edge, u64)> = Vec::new();
        for sample in samples {
            let edge = sample.list.edge();
            if arrivals.last().is_none_or(|(last, _)| edge > *last) {
                arrivals.push((edge, sample.done_ns));
            }
        }
        arrivals
    }

    /// All segments that were listed, as they were first.
    pub(crate) fn segments(&self) -> BTreeMap<u64, &Segment> {
        let mut segments = BTreeMap::new();
        for state in self.states() {
            for (msn, segment) in state.list.numbered() {
                segments.entry(msn).or_insert(segment);
            }
        }
        segments
    }

    /// All parts that were listed.
    pub(crate) fn parts(&self) -> BTreeMap<Edge, &Part> {
        let mut parts = BTreeMap::new();
        for state in self.states() {
            for (at, part) in state.list.all_parts() {
                parts.entry(at).or_insert(part);
            }
        }
        parts
    }

    /// How many parts each complete segment had, where they were still listed.
    pub(crate) fn complete_parts(&self) -> BTreeMap<u64, u64> {
        let mut counts = BTreeMap::new();
        for state in self.states() {
            let numbered = state.list.numbered();
            let with_parts = numbered.filter(|(_, segment)| !segment.parts.is_empty());
            counts.extend(with_parts.map(|(msn, segment)| (msn, segment.parts.len() as u64)));
        }
        counts
    }

    /// When the first list with the end came.
    pub(crate) fn ended_ns(&self) -> Option<u64> {
        let ended = self.samples.iter().filter(|sample| sample.list.is_ended);
        ended.map(|sample| sample.done_ns).min()
    }

    /// The latest whole list.
    pub(crate) fn last(&self) -> Option<&Playlist> {
        self.states().last().map(|sample| sample.list.as_ref())
    }

    /// The init segment of a map's address.
    pub(crate) fn init(&self, map: Option<&str>) -> Option<&InitContent> {
        match &self.media.get(map?)?.content {
            Content::Init(init) => Some(init),
            _ => None,
        }
    }

    /// What is in the segment or part of an address.
    pub(crate) fn fragments(&self, uri: &str) -> Option<&FragmentContent> {
        match &self.media.get(uri)?.content {
            Content::Fragments(fragments) => Some(fragments),
            _ => None,
        }
    }

    /// What is in the packed segment or part of an address.
    pub(crate) fn packed(&self, uri: &str) -> Option<&PackedContent> {
        match &self.media.get(uri)?.content {
            Content::Packed(packed) => Some(packed),
            _ => None,
        }
    }
}
