//! The reader side: listeners as small records in an array, driven by a plain state machine.
//!
//! Lives on: the shard that owns the reader's connection. A [`Reader`] knows how far it is in its
//! mount's [`Window`] and how its ICY blocks fall; [`Reader::serve`] sends what it lacks and never
//! waits. The [`Wheel`] spreads the readers of a mount over phase slots, so that a flush quantum
//! is not a storm.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::ahead::Ahead;
use crate::intro::{Intro, Playing};
use crate::parts::{Done, Offer, Part};
pub use crate::socket::{Heard, Sent, Socket};
use crate::time::Time;
use crate::window::{Stretch, Window};

/// The most sends in one [`Reader::serve`]: a burst or a backlog of 512 KiB.
const SENDS_MAX: usize = 8;
/// How often a reader that gets no bytes is asked whether its peer is there.
const CLOSED_CHECK: Duration = Duration::from_secs(5);
/// A reader that takes no byte for this many budgets is ended, even where it might skip.
const DEAD_BUDGETS: u32 = 2;

/// How slow readers of a mount are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderPolicy {
    /// How far behind the place where it joined a reader may fall.
    pub budget: Duration,
    /// Past the budget: skip to a frame near the live edge (else it is ended).
    pub skip: bool,
    /// How near: bytes behind the live edge.
    pub skip_bytes: u64,
    /// How much a joiner gets at once.
    pub burst_bytes: u64,
    /// How many bytes of init headers stand only at the start of what a peer gets, not where they
    /// come again: a file header.
    pub opening_bytes: u32,
}

/// Why a reader ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderEnd {
    /// The peer closed or was lost.
    Closed,
    /// It fell behind its budget, or took nothing for twice as long.
    TooSlow,
    /// It was told to leave and has its last whole frame.
    Left,
}

/// What [`Reader::serve`] left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// The reader has all there is.
    Steady,
    /// The peer's window is full, or there is more than one serve may send.
    Behind,
    /// The reader is done.
    Ended(ReaderEnd),
}

/// What serving did, summed by the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls of [`Socket::send`].
    pub sends: u64,
    /// Those that took less than was offered.
    pub short_sends: u64,
    /// Bytes taken.
    pub bytes: u64,
    /// Skips to the live edge.
    pub skips: u64,
}

/// One reader: all that is needed to go on with it, on this shard or in another process.
#[derive(Debug)]
pub struct Reader<S> {
    /// Its transport.
    pub socket: S,
    /// The next byte of the window that it has not got.
    position: u64,
    /// Bytes taken by the peer so far.
    sent: u64,
    /// Goes before `position`.
    ahead: Ahead,
    /// Audio bytes between ICY blocks; zero for none.
    metaint: u32,
    /// Audio bytes until the next block.
    until_block: u32,
    /// The title that the peer was told last; zero for none.
    title: u32,
    /// When the peer last took a byte, in tenths of a second.
    progress: u32,
    /// How far behind it joined, in tenths of a second.
    joined_behind: u16,
    /// The init headers that the peer has, as the window numbers them; zero for none.
    headers: u32,
    /// Whether the peer got any init headers.
    opened: bool,
    /// Whether it waits for an entry at or after `position`, to start there.
    seeking: bool,
    leaving: Leaving,
    /// Whether the rest of its frame was let go of before it was sent: nothing fits after it.
    torn: bool,
}

/// Whether a reader is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    /// It stays.
    No,
    /// Once it has all that the window holds.
    AtTheEnd,
    /// Once what is pending is out.
    Now,
}

impl<S: Socket> Reader<S> {
    /// A reader that gets `head`, then the window from the first entry at or after `position` on,
    /// the init headers that hold there before it.
    pub fn new(
        now: Time,
        socket: S,
        head: &[u8],
        metaint: u32,
        window: &Window,
        position: u64,
    ) -> Self {
        let mut reader = Reader {
            socket,
            position,
            sent: 0,
            ahead: Ahead::default(),
            metaint,
            until_block: metaint,
            title: 0,
            progress: tenths(now),
            joined_behind: 0,
            headers: 0,
            opened: false,
            seeking: true,
            leaving: Leaving::No,
            torn: false,
        };
        reader.ahead.add_pending(head);
        reader.note_join(now, window);
        reader
    }

    /// Gets `intro` first, and joins `window` when that is over; only before the first
    /// [`Reader::serve`]. ICY blocks go on being counted through it and say nothing in it.
    pub fn play(&mut self, now: Time, intro: Arc<Intro>, window: &Window) {
        self.ahead.set_intro(Playing::new(now, intro));
        (self.position, self.joined_behind) = (window.end(), 0);
    }

    /// Bytes taken by the peer so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// The next byte of the window that it has not got; none while it is in its intro.
    pub fn position(&self) -> Option<u64> {
        self.ahead.intro().is_none().then_some(self.position)
    }

    /// Bytes between ICY blocks; zero for none.
    pub fn metaint(&self) -> u32 {
        self.metaint
    }

    /// How long the oldest byte that it lacks has been there.
    pub fn lag(&self, now: Time, window: &Window) -> Duration {
        if let Some(playing) = self.ahead.intro() {
            return playing.lag(now);
        }
        if self.seeking && self.ahead.pending().is_none() {
            return Duration::ZERO;
        }
        self.behind(now, window)
    }

    /// Whether there is more of the intro or the window for it now.
    fn lacks(&self, now: Time, window: &Window, policy: ReaderPolicy) -> bool {
        match self.ahead.intro() {
            Some(playing) => playing.position < playing.due(now, policy.burst_bytes),
            None => !self.seeking && self.position < window.end(),
        }
    }

    fn behind(&self, now: Time, window: &Window) -> Duration {
        window
            .arrived_at(self.position)
            .map_or(Duration::ZERO, |arrived| now.since(arrived))
    }

    /// Sends what the reader lacks. `stretch` is of `window`, or empty.
    pub fn serve(
        &mut self,
        now: Time,
        window: &Window,
        stretch: &Stretch,
        policy: ReaderPolicy,
        tally: &mut Tally,
    ) -> Served {
        if let Some(end) = self.judge(now, window, policy, tally) {
            return Served::Ended(end);
        }
        if self.seeking && self.ahead.intro().is_none() {
            self.seek(window, policy);
        }
        for _ in 0..SENDS_MAX {
            if self.ahead.intro().is_some_and(Playing::is_over) {
                self.end_intro(now, window, policy);
            }
            if self.ahead.pending().is_none() && !self.takes_words(window) {
                let goes = self.leaving == Leaving::Now || !self.lacks(now, window, policy);
                if goes && !self.takes_farewell() {
                    return self.settle();
                }
            }
            let before = self.sent;
            let sent = match self.ahead.intro().cloned() {
                Some(playing) => {
                    let until = playing.due(now, policy.burst_bytes);
                    let window = playing.intro.window();
                    self.send(window, &Stretch::default(), playing.position, until, tally)
                }
                None => {
                    let position = if self.seeking {
                        window.end()
                    } else {
                        self.position
                    };
                    self.send(window, stretch, position, window.end(), tally)
                }
            };
            // A part of what was offered is progress too: slow is not dead.
            if self.sent > before {
                self.progress = tenths(now);
            }
            match sent {
                Sent::Failed => return Served::Ended(ReaderEnd::Closed),
                Sent::Full => return Served::Behind,
                Sent::Bytes(_) => {}
            }
        }
        Served::Behind
    }

    /// Puts what its transport has to say into the stream, between two frames.
    fn takes_words(&mut self, window: &Window) -> bool {
        if self.leaving == Leaving::Now {
            return false;
        }
        let words = self.socket.poll_words();
        words.is_some_and(|words| {
            self.interject(window, &words);
            true
        })
    }

    /// Where it leaves and has all: what its transport says at the end, if it has not said it.
    fn takes_farewell(&mut self) -> bool {
        if self.leaving == Leaving::No {
            return false;
        }
        let words = self.socket.poll_farewell();
        words.is_some_and(|words| {
            self.ahead.add_pending(&words);
            self.leaving = Leaving::Now;
            true
        })
    }

    /// It has all that there is for it, but for what its transport may hold on to.
    fn settle(&mut self) -> Served {
        match (self.socket.flush(), self.leaving) {
            (Sent::Failed, _) => Served::Ended(ReaderEnd::Closed),
            (Sent::Full, _) => Served::Behind,
            (Sent::Bytes(_), Leaving::No) => Served::Steady,
            (Sent::Bytes(_), _) => Served::Ended(ReaderEnd::Left),
        }
    }

    /// The intro is over: joins the live edge with what the peer lacks of a burst.
    fn end_intro(&mut self, now: Time, window: &Window, policy: ReaderPolicy) {
        let had = self.ahead.take_intro().map_or(0, |intro| intro.position);
        self.position = window.join_position(policy.burst_bytes.saturating_sub(had));
        self.seek(window, policy);
        self.note_join(now, window);
    }

    /// Goes on in another mount's window at its live edge, after the frame that it is in; an
    /// intro goes on before that. What the window holds already is not for it: it may have been
    /// there before.
    pub fn go_to(&mut self, now: Time, old: &Window, new: &Window) {
        if self.ahead.intro().is_none() {
            let rest = self.rest_of_frame(old);
            self.ahead.add_pending(&rest);
        }
        self.position = new.end();
        (self.title, self.headers, self.seeking) = (0, 0, true);
        self.note_join(now, new);
    }

    /// Ends after the frame that it is in; [`Reader::serve`] says when.
    pub fn leave(&mut self, window: &Window) {
        if self.leaving != Leaving::Now {
            let rest = self.rest_of_frame(window);
            self.ahead.add_pending(&rest);
            self.leaving = Leaving::Now;
        }
    }

    /// Puts `bytes` into the stream, after the frame that it is in.
    pub fn interject(&mut self, window: &Window, bytes: &[u8]) {
        if self.leaving != Leaving::Now {
            let rest = self.rest_of_frame(window);
            self.ahead.add_pending(&rest);
            self.ahead.add_pending(bytes);
        }
    }

    /// Ends once it has what it lacks of `window`, to which nothing is added for now; earlier
    /// where that takes longer than its budget, and at once where it is in its intro.
    pub fn finish(&mut self, window: &Window) {
        if self.ahead.intro().is_some() {
            self.leave(window);
        } else if self.leaving == Leaving::No {
            self.leaving = Leaving::AtTheEnd;
        }
    }

    /// Does not end after all: there is more to come. False where it is past that.
    pub fn stay(&mut self) -> bool {
        if self.leaving == Leaving::AtTheEnd {
            self.leaving = Leaving::No;
        }
        self.leaving == Leaving::No
    }

    /// Looks at how far behind the reader is; acts where that is too far.
    fn judge(
        &mut self,
        now: Time,
        window: &Window,
        policy: ReaderPolicy,
        tally: &mut Tally,
    ) -> Option<ReaderEnd> {
        if self.torn {
            return Some(ReaderEnd::TooSlow);
        }
        let idle = now.since(Time::from_millis(u64::from(self.progress) * 100));
        if self.ahead.pending().is_none() && !self.lacks(now, window, policy) {
            if idle < CLOSED_CHECK {
                return None;
            }
            self.progress = tenths(now);
            if self.leaving != Leaving::No {
                // Its transport may hold on to a rest that nobody takes.
                return (self.socket.flush() == Sent::Full).then_some(ReaderEnd::TooSlow);
            }
            return self.socket.is_closed().then_some(ReaderEnd::Closed);
        }
        if idle > policy.budget * DEAD_BUDGETS {
            return Some(ReaderEnd::TooSlow);
        }
        if self.leaving == Leaving::Now {
            return None;
        }
        if !self.seeking && self.position < window.start() {
            return Some(ReaderEnd::TooSlow);
        }
        let allowed = policy.budget + Duration::from_millis(u64::from(self.joined_behind) * 100);
        if self.lag(now, window) <= allowed {
            return None;
        }
        if self.leaving == Leaving::AtTheEnd {
            self.leave(window);
            return None;
        }
        if !policy.skip {
            return Some(ReaderEnd::TooSlow);
        }
        self.skip(now, window, policy);
        tally.skips += 1;
        None
    }

    /// Goes on near the live edge of the same window, after the frame that it is in; the rest of
    /// an intro is let go.
    fn skip(&mut self, now: Time, window: &Window, policy: ReaderPolicy) {
        let position = window.join_position(policy.skip_bytes);
        let rest = self.rest_of_frame(window);
        self.ahead.add_pending(&rest);
        if position > self.position {
            if !self.seeking {
                self.headers = window
                    .headers_at(self.position)
                    .map_or(0, |headers| headers.id);
            }
            self.position = position;
            self.seeking = true;
            self.seek(window, policy);
            self.note_join(now, window);
        }
    }

    /// Starts at the first entry, once there is one.
    fn seek(&mut self, window: &Window, policy: ReaderPolicy) {
        let Some(entry) = window.entry_at_or_after(self.position) else {
            return;
        };
        self.seeking = false;
        self.position = entry;
        if let Some(headers) = window.headers_at(entry)
            && headers.id != self.headers
        {
            let again = usize::from(self.opened) * policy.opening_bytes as usize;
            let bytes = headers.bytes.get(again..).unwrap_or_default();
            let mut framed = Vec::new();
            self.write_framed(&mut framed, bytes, window, self.position);
            self.ahead.add_pending(&framed);
            self.opened |= !bytes.is_empty();
            self.headers = headers.id;
        }
    }

    /// One send of what fits into an [`Offer`]: what is pending, then `window` (the intro's or
    /// the mount's) from `position` until `until`, a border of runs.
    fn send(
        &mut self,
        window: &Window,
        stretch: &Stretch,
        mut position: u64,
        until: u64,
        tally: &mut Tally,
    ) -> Sent {
        let mut offer = Offer::new();
        let pending = self.ahead.pending().map_or(&[][..], |pending| pending);
        let pending_bytes = pending.len();
        if !pending.is_empty() {
            offer.add(pending, Part::Pending);
        }
        let start = position;
        let (mut until_block, mut title) = (self.until_block, self.title);
        let mut runs = window.slices_with(stretch, position);
        while !offer.is_full() && self.leaving != Leaving::Now && position < until {
            let Some(mut run) = runs.next() else { break };
            while !offer.is_full() && !run.is_empty() {
                if self.metaint > 0 && until_block == 0 {
                    let block = window.block_at(position, &mut title);
                    offer.add(block, Part::Block { title });
                    until_block = self.metaint;
                    continue;
                }
                let len = if self.metaint > 0 {
                    run.len().min(until_block as usize)
                } else {
                    run.len()
                };
                let (audio, rest) = run.split_at(len);
                offer.add(audio, Part::Audio);
                until_block = until_block.saturating_sub(len as u32);
                position += len as u64;
                run = rest;
            }
        }
        tally.sends += 1;
        let sent = self.socket.send(offer.slices());
        let Sent::Bytes(taken) = sent else {
            tally.short_sends += 1;
            return sent;
        };
        tally.bytes += taken as u64;
        if taken == offer.bytes() {
            // By far the most sends: the record moves to where the walk above ended.
            self.sent += taken as u64;
            self.ahead.advance_pending(pending_bytes);
            (self.until_block, self.title) = (until_block, title);
            *self.place() += position - start;
            return sent;
        }
        tally.short_sends += 1;
        let (done, torn_block) = offer.split_taken(taken);
        self.note_sent(&done, torn_block);
        Sent::Full
    }

    /// Moves the record over what the peer took of each part.
    fn note_sent(&mut self, done: &[Done], torn_block: Option<Bytes>) {
        for &(part, taken) in done {
            self.sent += taken as u64;
            match part {
                Part::Pending => self.ahead.advance_pending(taken),
                Part::Block { title } if taken > 0 => {
                    self.until_block = self.metaint;
                    self.title = title;
                }
                Part::Block { .. } => {}
                Part::Audio => {
                    *self.place() += taken as u64;
                    self.until_block = self.until_block.saturating_sub(taken as u32);
                }
            }
        }
        // It was behind all that was pending.
        self.ahead.add_pending(&torn_block.unwrap_or_default());
    }

    /// Where it is in what it reads now: its intro or the window.
    fn place(&mut self) -> &mut u64 {
        let intro = self.ahead.intro_mut();
        intro.map_or(&mut self.position, |intro| &mut intro.position)
    }

    /// The rest of the frame that the reader is in, framed; the position moves behind it. An
    /// intro is over with it.
    fn rest_of_frame(&mut self, window: &Window) -> Vec<u8> {
        if let Some(playing) = self.ahead.take_intro() {
            return self
                .rest_of_frame_at(playing.intro.window(), playing.position)
                .0;
        }
        if self.seeking {
            return Vec::new();
        }
        self.torn |= self.position < window.start();
        let (framed, border) = self.rest_of_frame_at(window, self.position);
        self.position = border;
        framed
    }

    /// The rest of the frame that `position` of `window` lies in, framed, and where it ends.
    fn rest_of_frame_at(&mut self, window: &Window, position: u64) -> (Vec<u8>, u64) {
        let border = window.border_at_or_after(position);
        let len = (border - position) as usize;
        let mut framed = Vec::new();
        match window.slices_from(position).next() {
            Some(run) if len > 0 => {
                self.write_framed(&mut framed, &run[..len.min(run.len())], window, position);
                (framed, border)
            }
            _ => (framed, position),
        }
    }

    /// Writes `audio` to `out` with the ICY blocks that fall into it, titled as at `position`.
    fn write_framed(
        &mut self,
        out: &mut Vec<u8>,
        mut audio: &[u8],
        window: &Window,
        position: u64,
    ) {
        while self.metaint > 0 && audio.len() > self.until_block as usize {
            let (before, after) = audio.split_at(self.until_block as usize);
            out.extend_from_slice(before);
            let mut title = self.title;
            out.extend_from_slice(window.block_at(position, &mut title));
            self.title = title;
            self.until_block = self.metaint;
            audio = after;
        }
        out.extend_from_slice(audio);
        self.until_block = self.until_block.saturating_sub(audio.len() as u32);
    }

    fn note_join(&mut self, now: Time, window: &Window) {
        let behind = self.behind(now, window).as_millis() / 100;
        self.joined_behind = u16::try_from(behind).unwrap_or(u16::MAX);
    }
}

/// `now` in tenths of a second: 13 years in 32 bits.
fn tenths(now: Time) -> u32 {
    (now.as_millis() / 100) as u32
}

#[cfg(test)]
#[path = "fanout_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "fanout_words_tests.rs"]
mod words_tests;
