//! The newest runs of one mount, addressed by position in the mount's byte stream.
//!
//! Lives on: the home shard (enough for a burst) and every shard with readers (enough for the
//! slowest reader's budget). Positions are local to one window: a run that a full ring lost makes
//! the stream shorter, never torn, since a run is whole frames.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::run::Run;
use crate::time::Time;

/// How a mount's bytes are handed to its readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Bytes aimed at for one send.
    pub quantum_bytes: u32,
    /// Each reader is served once in this time; zero serves all at every run.
    pub period: Duration,
}

/// The most bytes that one window holds, whatever its time limit says.
pub const WINDOW_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// The ICY block of an unchanged title.
const UNCHANGED: &[u8] = &[0];

/// A run and where it lies in the stream.
#[derive(Clone, Debug)]
struct Placed {
    start: u64,
    run: Run,
}

/// A title from a position on.
#[derive(Clone, Debug)]
struct TitleMark {
    start: u64,
    title: Title,
}

/// Init headers from a position on.
#[derive(Clone, Debug)]
struct HeadersMark {
    start: u64,
    headers: InitHeaders,
}

/// What a joiner must get first.
#[derive(Clone, Debug, Default)]
pub struct InitHeaders {
    /// Which set it is; differs from that of every other set of the window, and is never 0.
    pub id: u32,
    /// The bytes; empty where the format has none.
    pub bytes: Bytes,
}

/// A title as it stands in the stream of readers that asked for ICY blocks.
#[derive(Clone, Debug, Default)]
pub struct Title {
    /// Which title it is; differs from that of every other title of the window.
    pub id: u32,
    /// The whole block, length byte included.
    pub block: Bytes,
}

/// A stretch of a window, copied together: readers of one slot mostly lack the same bytes, and
/// get them as one slice. What that saves is within the noise of our measurements so far
/// (`docs/decisions/0002`). One serves a whole shard.
#[derive(Debug, Default)]
pub struct Stretch {
    start: u64,
    bytes: Vec<u8>,
}

/// The most bytes that are copied together.
const STRETCH_BYTES_MAX: usize = 64 * 1024;

impl Stretch {
    /// Takes what `window` has from `start` on.
    pub fn gather(&mut self, window: &Window, start: u64) {
        self.clear();
        self.start = start;
        for slice in window.slices_from(start) {
            let room = STRETCH_BYTES_MAX - self.bytes.len();
            self.bytes
                .extend_from_slice(&slice[..slice.len().min(room)]);
        }
    }

    /// Holds nothing from now on: what comes next is of another window.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// The bytes from `position` on, as far as they are held.
    fn from(&self, position: u64) -> &[u8] {
        let skip = position
            .checked_sub(self.start)
            .and_then(|skip| usize::try_from(skip).ok());
        skip.and_then(|skip| self.bytes.get(skip..))
            .unwrap_or_default()
    }
}

/// The newest runs of one mount, with the titles and init headers that belong to them.
#[derive(Clone, Debug, Default)]
pub struct Window {
    runs: VecDeque<Placed>,
    end: u64,
    titles: VecDeque<TitleMark>,
    titles_made: u32,
    headers: VecDeque<HeadersMark>,
    headers_made: u32,
}

impl Window {
    /// An empty window at position 0.
    pub fn new() -> Self {
        Window::default()
    }

    /// The position after the newest byte: the live edge.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The position of the oldest byte that is still held.
    pub fn start(&self) -> u64 {
        self.runs.front().map_or(self.end, |placed| placed.start)
    }

    /// Bytes held.
    pub fn len_bytes(&self) -> u64 {
        self.end - self.start()
    }

    /// The runs, oldest first.
    pub fn runs(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().map(|placed| &placed.run)
    }

    /// Appends a run at the live edge.
    pub fn push(&mut self, run: Run) {
        if run.payload.is_empty() {
            return;
        }
        let start = self.end;
        self.end += run.payload.len() as u64;
        self.runs.push_back(Placed { start, run });
    }

    /// Lets go of the oldest runs that are neither younger than `keep` nor among the newest
    /// `keep_bytes` nor needed by who joins at the newest entry, and of whatever is above
    /// [`WINDOW_BYTES_MAX`].
    pub fn trim(&mut self, now: Time, keep: Duration, keep_bytes: u64) {
        let entry = self.newest_entry_in(self.runs.len());
        while let Some(oldest) = self.runs.front() {
            let held = self.end - oldest.start;
            let next = oldest.start + oldest.run.payload.len() as u64;
            let unneeded = self.end - next >= keep_bytes && next <= entry;
            let old = now.since(oldest.run.arrived) > keep && unneeded;
            if self.runs.len() > 1 && (old || held > WINDOW_BYTES_MAX) {
                self.runs.pop_front();
            } else {
                break;
            }
        }
        let start = self.start();
        while self.titles.get(1).is_some_and(|next| next.start <= start) {
            self.titles.pop_front();
        }
        while self.headers.get(1).is_some_and(|next| next.start <= start) {
            self.headers.pop_front();
        }
    }

    /// The title from the live edge on, as a whole ICY block.
    pub fn push_title(&mut self, block: Bytes) {
        self.titles_made = self.titles_made.wrapping_add(1).max(1);
        let title = Title {
            id: self.titles_made,
            block,
        };
        match self.titles.back_mut() {
            Some(last) if last.start == self.end => last.title = title,
            _ => self.titles.push_back(TitleMark {
                start: self.end,
                title,
            }),
        }
    }

    /// The init headers for joiners from the live edge on.
    pub fn push_headers(&mut self, bytes: Bytes) {
        self.headers_made = self.headers_made.wrapping_add(1).max(1);
        let headers = InitHeaders {
            id: self.headers_made,
            bytes,
        };
        match self.headers.back_mut() {
            Some(last) if last.start == self.end => last.headers = headers,
            _ => self.headers.push_back(HeadersMark {
                start: self.end,
                headers,
            }),
        }
    }

    /// The title that holds at `position`, if any was set before it.
    pub fn title_at(&self, position: u64) -> Option<&Title> {
        let index = self.titles.partition_point(|mark| mark.start <= position);
        Some(&self.titles.get(index.checked_sub(1)?)?.title)
    }

    /// The ICY block to stand at `position` for a peer that was last told `title`; `title` follows.
    pub(crate) fn block_at(&self, position: u64, title: &mut u32) -> &[u8] {
        match self.title_at(position) {
            Some(now) if now.id != *title => {
                *title = now.id;
                &now.block
            }
            _ => UNCHANGED,
        }
    }

    /// The init headers for a joiner at `position`, if any were set before it.
    pub fn headers_at(&self, position: u64) -> Option<&InitHeaders> {
        let index = self.headers.partition_point(|mark| mark.start <= position);
        Some(&self.headers.get(index.checked_sub(1)?)?.headers)
    }

    /// The index of the run that holds `position`.
    fn index_of(&self, position: u64) -> Option<usize> {
        if position < self.start() || position >= self.end {
            return None;
        }
        // Readers are near the live edge: look from the newest run backwards.
        self.runs
            .iter()
            .rposition(|placed| placed.start <= position)
    }

    /// The slices from `position` to the live edge, in order: one for each run. Empty where
    /// `position` is the live edge or no longer held.
    pub fn slices_from(&self, position: u64) -> impl Iterator<Item = &[u8]> {
        let index = self.index_of(position).unwrap_or(self.runs.len());
        self.runs.range(index..).map(move |placed| {
            let skip = position.saturating_sub(placed.start) as usize;
            &placed.run.payload[skip..]
        })
    }

    /// The same, with as much as `stretch` holds in one slice.
    pub fn slices_with<'a>(
        &'a self,
        stretch: &'a Stretch,
        position: u64,
    ) -> impl Iterator<Item = &'a [u8]> {
        let together = stretch.from(position);
        let rest = self.slices_from(position + together.len() as u64);
        std::iter::once(together)
            .filter(|slice| !slice.is_empty())
            .chain(rest)
    }

    /// When the byte at `position` arrived; `None` at the live edge or where it is gone.
    pub fn arrived_at(&self, position: u64) -> Option<Time> {
        self.index_of(position)
            .map(|index| self.runs[index].run.arrived)
    }

    /// The end of the runs that arrived until `time`, where they arrived in order.
    pub fn end_of_arrived(&self, time: Time) -> u64 {
        let count = self
            .runs
            .partition_point(|placed| placed.run.arrived <= time);
        self.runs.get(count).map_or(self.end, |next| next.start)
    }

    /// Where the frame that `position` lies in ends; `position` itself at a frame border or
    /// where it is not held.
    pub fn border_at_or_after(&self, position: u64) -> u64 {
        self.index_of(position).map_or(position, |index| {
            let placed = &self.runs[index];
            let offset = (position - placed.start) as u32;
            placed.start + u64::from(placed.run.border_at_or_after(offset))
        })
    }

    /// The first place at or after `position` where a joiner may start.
    pub fn entry_at_or_after(&self, position: u64) -> Option<u64> {
        let first = self.index_of(position)?;
        self.runs.range(first..).find_map(|placed| {
            let offset = position.saturating_sub(placed.start) as u32;
            placed
                .run
                .entry_at_or_after(offset)
                .map(|entry| placed.start + u64::from(entry))
        })
    }

    /// Where a joiner starts who is to get about `burst_bytes` at once: the first entry within
    /// the newest `burst_bytes`, else the newest entry there is, else the live edge.
    pub fn join_position(&self, burst_bytes: u64) -> u64 {
        let wanted = self.end.saturating_sub(burst_bytes).max(self.start());
        let first = self.index_of(wanted).unwrap_or(self.runs.len());
        let count = self.runs.len().min(first + 1);
        self.entry_at_or_after(wanted)
            .unwrap_or_else(|| self.newest_entry_in(count))
    }

    /// The newest entry in the first `count` runs, else the live edge.
    fn newest_entry_in(&self, count: usize) -> u64 {
        let newest = self.runs.range(..count).rev().find_map(|placed| {
            let entry = placed
                .run
                .borders
                .iter()
                .rev()
                .find(|border| border.is_entry())?;
            Some(placed.start + u64::from(entry.offset()))
        });
        newest.unwrap_or(self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Border;

    /// A run of frames of `sizes` bytes; entries where `entry` says so.
    fn run(sizes: &[u32], entry: impl Fn(usize) -> bool, arrived_ms: u64) -> Run {
        let mut borders = Vec::new();
        let mut bytes = Vec::new();
        for (i, size) in sizes.iter().enumerate() {
            borders.push(Border::new(bytes.len() as u32, entry(i)));
            bytes.resize(bytes.len() + *size as usize, i as u8);
        }
        Run {
            payload: bytes.into(),
            borders: borders.into(),
            arrived: Time::from_millis(arrived_ms),
        }
    }

    #[test]
    fn positions_borders_and_arrival_are_found() {
        let mut window = Window::new();
        window.push(run(&[10, 10], |_| true, 1));
        window.push(run(&[5, 5], |_| true, 2));
        assert_eq!((window.start(), window.end()), (0, 30));
        assert_eq!(window.border_at_or_after(0), 0);
        assert_eq!(window.border_at_or_after(3), 10);
        assert_eq!(window.border_at_or_after(11), 20);
        assert_eq!(window.border_at_or_after(26), 30);
        assert_eq!(window.border_at_or_after(30), 30);
        assert_eq!(window.arrived_at(19), Some(Time::from_millis(1)));
        assert_eq!(window.arrived_at(20), Some(Time::from_millis(2)));
        assert_eq!(window.arrived_at(30), None);
        let lengths: Vec<usize> = window.slices_from(15).map(<[u8]>::len).collect();
        assert_eq!(lengths, [5, 10]);
        assert_eq!(window.slices_from(30).count(), 0);
    }

    #[test]
    fn a_stretch_is_the_same_bytes_in_one_slice() {
        let mut window = Window::new();
        (0..4).for_each(|i| window.push(run(&[10, 10], |_| true, i)));
        let mut stretch = Stretch::default();
        let all: Vec<u8> = window.slices_from(0).flatten().copied().collect();
        stretch.gather(&window, 15);
        window.push(run(&[10], |_| true, 9));
        for position in 0..=90 {
            let slices: Vec<&[u8]> = window.slices_with(&stretch, position).collect();
            let bytes = slices.concat();
            let held = (position as usize).min(all.len());
            assert_eq!(bytes.len() as u64, 90 - position);
            assert_eq!(bytes[..all.len() - held], all[held..]);
            let in_stretch = (15..80).contains(&position);
            assert!(
                !in_stretch || slices.len() == 2,
                "{position}: {}",
                slices.len()
            );
        }
        stretch.clear();
        assert_eq!(window.slices_with(&stretch, 0).count(), 5);
    }

    #[test]
    fn a_joiner_starts_at_an_entry_inside_its_burst() {
        let mut window = Window::new();
        window.push(run(&[10, 10], |i| i == 1, 1));
        window.push(run(&[10, 10], |_| false, 2));
        assert_eq!(window.join_position(35), 10);
        assert_eq!(window.join_position(1_000), 10);
        assert_eq!(
            window.join_position(25),
            10,
            "no entry within: the newest one before"
        );
        assert_eq!(Window::new().join_position(100), 0);
    }

    #[test]
    fn trimming_keeps_the_time_and_the_burst_and_the_title_that_holds() {
        let mut window = Window::new();
        window.push_title(Bytes::from_static(b"a"));
        window.push_headers(Bytes::from_static(b"h"));
        for i in 0..10 {
            window.push(run(&[10], |_| true, i * 1_000));
        }
        window.push_title(Bytes::from_static(b"b"));
        window.trim(Time::from_millis(9_000), Duration::from_secs(3), 20);
        assert_eq!((window.start(), window.end()), (60, 100));
        assert_eq!(
            window.title_at(60).map(|title| title.block.clone()),
            Some("a".into())
        );
        assert_eq!(
            window.title_at(100).map(|title| title.block.clone()),
            Some("b".into())
        );
        assert_eq!(
            window.headers_at(70).map(|headers| headers.bytes.clone()),
            Some("h".into())
        );
        window.trim(Time::from_millis(60_000), Duration::from_secs(3), 20);
        assert_eq!(window.len_bytes(), 20);
    }
}
