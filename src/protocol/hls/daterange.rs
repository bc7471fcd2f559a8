//! Titles as EXT-X-DATERANGE (draft-pantos-hls-rfc8216bis section 4.4.5.1): the same in every
//! rendition's playlist, before the segments.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::Arc;

use corecast_media::metadata::Metadata;

use super::list::iso_8601;

/// The most titles that are listed; older ones go before their time.
const DATERANGES_MAX: usize = 128;

/// What our date ranges are.
const CLASS: &str = "corecast.title";

#[derive(Debug)]
struct Daterange {
    id: Arc<str>,
    start_ns: i64,
    line: String,
}

/// The titles of a mount. Times are on the mount's line, in nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Dateranges {
    listed: VecDeque<Daterange>,
    /// When each was removed, and its id.
    removed: VecDeque<(i64, Arc<str>)>,
    current: Option<Metadata>,
    count: u64,
    now_ns: i64,
}

impl Dateranges {
    /// Begins a title; false where it is the one that plays already.
    pub(super) fn push(
        &mut self,
        epoch: &str,
        start_ns: i64,
        unix_ms: i64,
        metadata: &Metadata,
    ) -> bool {
        if self.current.as_ref() == Some(metadata) {
            return false;
        }
        self.current = Some(metadata.clone());
        let id: Arc<str> = Arc::from(format!("{epoch}-{}", self.count));
        self.count += 1;
        let mut line = String::with_capacity(160);
        let start = iso_8601(unix_ms);
        let _ = write!(
            line,
            "#EXT-X-DATERANGE:ID=\"{id}\",CLASS=\"{CLASS}\",START-DATE=\"{start}\",\
             END-ON-NEXT=YES"
        );
        attribute(&mut line, "X-TITLE", &metadata.title);
        for (name, text) in [
            ("X-ARTIST", &metadata.artist),
            ("X-SONG", &metadata.song),
            ("X-URL", &metadata.url),
        ] {
            if let Some(text) = text {
                attribute(&mut line, name, text);
            }
        }
        line.push('\n');
        self.listed.push_back(Daterange { id, start_ns, line });
        true
    }

    /// What plays now.
    pub(super) fn current(&self) -> Option<&Metadata> {
        self.current.as_ref()
    }

    /// How many titles began; the number of the newest is one less.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The live edge is at `now_ns` and the playlists start at `first_ns`: removes titles that
    /// ended before, and forgets removed ones that no client can still have.
    pub(super) fn advance(&mut self, first_ns: i64, now_ns: i64, skip_until_us: u64) {
        self.now_ns = now_ns;
        let ended = |next: Option<&Daterange>| next.is_some_and(|next| next.start_ns <= first_ns);
        while ended(self.listed.get(1)) || self.listed.len() > DATERANGES_MAX {
            if let Some(gone) = self.listed.pop_front() {
                self.removed.push_back((now_ns, gone.id));
            }
        }
        let skip_ns = nanos(skip_until_us);
        while self
            .removed
            .front()
            .is_some_and(|(at, _)| now_ns.saturating_sub(*at) > skip_ns)
        {
            self.removed.pop_front();
        }
    }

    /// How many of them a client that may skip has already.
    pub(super) fn skippable(&self, skip_until_us: u64) -> usize {
        let skip_ns = nanos(skip_until_us);
        self.listed
            .iter()
            .take_while(|listed| self.now_ns.saturating_sub(listed.start_ns) > skip_ns)
            .count()
    }

    /// Their lines, without the first `skipped`.
    pub(super) fn write_to(&self, text: &mut String, skipped: usize) {
        for listed in self.listed.iter().skip(skipped) {
            text.push_str(&listed.line);
        }
    }

    /// Ids with tabs between.
    pub(super) fn recently_removed(&self) -> String {
        let ids: Vec<&str> = self.removed.iter().map(|(_, id)| &**id).collect();
        ids.join("\t")
    }
}

fn nanos(micros: u64) -> i64 {
    i64::try_from(micros.saturating_mul(1_000)).unwrap_or(i64::MAX)
}

/// A quoted string holds no quotation mark and no line break (section 4.2).
fn attribute(line: &mut String, name: &str, text: &str) {
    let _ = write!(line, ",{name}=\"");
    for letter in text.chars() {
        match letter {
            '"' => line.push('\''),
            letter if letter.is_control() => line.push(' '),
            letter => line.push(letter),
        }
    }
    line.push('"');
}
