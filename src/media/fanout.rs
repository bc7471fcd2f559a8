//! The reader side: listeners as small records in an array, driven by a plain state machine.
//!
//! Lives on: the shard that owns the reader's connection. A [`Reader`] knows how far it is in its
//! mount's [`Window`] and how its ICY blocks fall; [`Reader::serve`] sends what it lacks and never
//! waits. The [`Wheel`] spreads the readers of a mount over phase slots, so that a flush quantum
//! is not a storm.

use std::io::IoSlice;
use std::time::Duration;

use bytes::{Buf, Bytes};

use crate::time::Time;
use crate::window::{Stretch, Window};

/// A reader's transport. Never waits.
pub trait Socket {
    /// Sends as much of `slices`, in order, as the peer's window takes now.
    fn send(&mut self, slices: &[IoSlice<'_>]) -> Sent;

    /// Whether the peer is known to be gone (asked rarely, for readers that get no bytes).
    fn is_closed(&mut self) -> bool;
}

/// What [`Socket::send`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// This many bytes went out; fewer than asked means that the window is full.
    Bytes(usize),
    /// Nothing went out: the window is full.
    Full,
    /// The connection is gone.
    Failed,
}

/// The most slices in one send.
const SLICES_MAX: usize = 32;
/// No further slice is added to a send that has this many bytes.
const SEND_BYTES_MAX: usize = 64 * 1024;
/// The most sends in one [`Reader::serve`]: a burst or a backlog of 512 KiB.
const SENDS_MAX: usize = 8;
/// How often a reader that gets no bytes is asked whether its peer is there.
const CLOSED_CHECK: Duration = Duration::from_secs(5);
/// A reader that takes no byte for this many budgets is ended, even where it might skip.
const DEAD_BUDGETS: u32 = 2;
/// The block of an unchanged title.
const UNCHANGED: &[u8] = &[0];

/// How slow readers of a mount are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderPolicy {
    /// How far behind the place where it joined a reader may fall.
    pub budget: Duration,
    /// Past the budget: skip to a frame near the live edge (else it is ended).
    pub skip: bool,
    /// How near: bytes behind the live edge.
    pub skip_bytes: u64,
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
    /// Goes before `position`: a response head, the rest of a block, the rest of a frame of the
    /// mount it came from. Already framed.
    pending: Option<Box<Bytes>>,
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
    /// Whether it waits for an entry at or after `position`, to start there.
    seeking: bool,
    /// Whether it ends once `pending` is out.
    leaving: bool,
    /// Whether the rest of its frame was let go of before it was sent: nothing fits after it.
    torn: bool,
}

/// What a slice of a send is.
#[derive(Clone, Copy)]
enum Part {
    Pending,
    Block { title: u32 },
    Audio,
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
            pending: None,
            metaint,
            until_block: metaint,
            title: 0,
            progress: tenths(now),
            joined_behind: 0,
            headers: 0,
            seeking: true,
            leaving: false,
            torn: false,
        };
        reader.add_pending(head);
        reader.note_join(now, window);
        reader
    }

    /// Bytes taken by the peer so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// The next byte of the window that it has not got.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Bytes between ICY blocks; zero for none.
    pub fn metaint(&self) -> u32 {
        self.metaint
    }

    /// How long the oldest byte that it lacks has been there.
    pub fn lag(&self, now: Time, window: &Window) -> Duration {
        if self.seeking && self.pending.is_none() {
            return Duration::ZERO;
        }
        self.behind(now, window)
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
        if self.seeking {
            self.seek(window);
        }
        for _ in 0..SENDS_MAX {
            if self.pending.is_none() {
                if self.leaving {
                    return Served::Ended(ReaderEnd::Left);
                }
                if self.seeking || self.position >= window.end() {
                    return Served::Steady;
                }
            }
            let before = self.sent;
            let sent = self.send(window, stretch, tally);
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

    /// Goes on in another mount's window at its live edge, after the frame that it is in. What
    /// the window holds already is not for it: it may have been there before.
    pub fn go_to(&mut self, now: Time, old: &Window, new: &Window) {
        let rest = self.rest_of_frame(old);
        self.add_pending(&rest);
        self.position = new.end();
        (self.title, self.headers, self.seeking) = (0, 0, true);
        self.note_join(now, new);
    }

    /// Ends after the frame that it is in; [`Reader::serve`] says when.
    pub fn leave(&mut self, window: &Window) {
        if !self.leaving {
            let rest = self.rest_of_frame(window);
            self.add_pending(&rest);
            self.leaving = true;
        }
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
        if self.pending.is_none() && (self.seeking || self.position >= window.end()) {
            if idle < CLOSED_CHECK {
                return None;
            }
            self.progress = tenths(now);
            return self.socket.is_closed().then_some(ReaderEnd::Closed);
        }
        if self.leaving {
            return None;
        }
        if !self.seeking && self.position < window.start() {
            return Some(ReaderEnd::TooSlow);
        }
        if idle > policy.budget * DEAD_BUDGETS {
            return Some(ReaderEnd::TooSlow);
        }
        let allowed = policy.budget + Duration::from_millis(u64::from(self.joined_behind) * 100);
        if self.lag(now, window) <= allowed {
            return None;
        }
        if !policy.skip {
            return Some(ReaderEnd::TooSlow);
        }
        self.skip(now, window, window.join_position(policy.skip_bytes));
        tally.skips += 1;
        None
    }

    /// Goes on at `position` of the same window, after the frame that it is in.
    fn skip(&mut self, now: Time, window: &Window, position: u64) {
        let rest = self.rest_of_frame(window);
        self.add_pending(&rest);
        if position > self.position {
            if !self.seeking {
                self.headers = window
                    .headers_at(self.position)
                    .map_or(0, |headers| headers.id);
            }
            self.position = position;
            self.seeking = true;
            self.seek(window);
            self.note_join(now, window);
        }
    }

    /// Starts at the first entry, once there is one.
    fn seek(&mut self, window: &Window) {
        let Some(entry) = window.entry_at_or_after(self.position) else {
            return;
        };
        self.seeking = false;
        self.position = entry;
        if let Some(headers) = window.headers_at(entry)
            && headers.id != self.headers
        {
            let mut framed = Vec::new();
            self.write_framed(&mut framed, &headers.bytes, window);
            self.add_pending(&framed);
            self.headers = headers.id;
        }
    }

    /// One send of at most [`SLICES_MAX`] slices.
    fn send(&mut self, window: &Window, stretch: &Stretch, tally: &mut Tally) -> Sent {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut parts = [Part::Pending; SLICES_MAX];
        let mut count = 0;
        let mut bytes = 0;
        let mut add = |slice| {
            slices[count] = IoSlice::new(slice);
            bytes += slice.len();
            count += 1;
            (count < SLICES_MAX && bytes < SEND_BYTES_MAX, count - 1)
        };
        let mut more = true;
        if let Some(pending) = &self.pending {
            (more, _) = add(pending);
        }
        let (mut until_block, mut title) = (self.until_block, self.title);
        let mut position = self.position;
        let mut runs = window.slices_with(stretch, position);
        while more && !self.leaving && !self.seeking {
            let Some(mut run) = runs.next() else { break };
            while more && !run.is_empty() {
                if self.metaint > 0 && until_block == 0 {
                    let block = block_at(window, position, &mut title);
                    let index;
                    (more, index) = add(block);
                    parts[index] = Part::Block { title };
                    until_block = self.metaint;
                    continue;
                }
                let len = if self.metaint > 0 {
                    run.len().min(until_block as usize)
                } else {
                    run.len()
                };
                let (audio, rest) = run.split_at(len);
                let index;
                (more, index) = add(audio);
                parts[index] = Part::Audio;
                until_block = until_block.saturating_sub(len as u32);
                position += len as u64;
                run = rest;
            }
        }
        tally.sends += 1;
        let sent = self.socket.send(&slices[..count]);
        let Sent::Bytes(taken) = sent else {
            tally.short_sends += 1;
            return sent;
        };
        tally.short_sends += u64::from(taken < bytes);
        tally.bytes += taken as u64;
        let mut left = taken;
        let mut torn_block = None;
        let mut done = [(Part::Pending, 0usize, 0usize); SLICES_MAX];
        for (i, slice) in slices[..count].iter().enumerate() {
            let part_taken = left.min(slice.len());
            done[i] = (parts[i], part_taken, slice.len());
            left -= part_taken;
            if matches!(parts[i], Part::Block { .. }) && part_taken > 0 && part_taken < slice.len()
            {
                torn_block = Some(Bytes::copy_from_slice(&slice[part_taken..]));
            }
        }
        self.note_sent(&done[..count], torn_block);
        if taken < bytes { Sent::Full } else { sent }
    }

    /// Moves the record over what the peer took of each part.
    fn note_sent(&mut self, done: &[(Part, usize, usize)], torn_block: Option<Bytes>) {
        for &(part, taken, len) in done {
            self.sent += taken as u64;
            match part {
                Part::Pending if taken == len => self.pending = None,
                Part::Pending => {
                    if let Some(pending) = &mut self.pending {
                        pending.advance(taken);
                    }
                }
                Part::Block { title } if taken > 0 => {
                    self.until_block = self.metaint;
                    self.title = title;
                }
                Part::Block { .. } => {}
                Part::Audio => {
                    self.position += taken as u64;
                    self.until_block = self.until_block.saturating_sub(taken as u32);
                }
            }
        }
        if let Some(rest) = torn_block {
            self.pending = Some(Box::new(rest));
        }
    }

    /// The rest of the frame that the reader is in, framed; the position moves behind it.
    fn rest_of_frame(&mut self, window: &Window) -> Vec<u8> {
        if self.seeking {
            return Vec::new();
        }
        self.torn |= self.position < window.start();
        let border = window.border_at_or_after(self.position);
        let len = (border - self.position) as usize;
        let mut framed = Vec::new();
        if len > 0
            && let Some(run) = window.slices_from(self.position).next()
        {
            self.write_framed(&mut framed, &run[..len.min(run.len())], window);
            self.position = border;
        }
        framed
    }

    /// Writes `audio` to `out` with the ICY blocks that fall into it.
    fn write_framed(&mut self, out: &mut Vec<u8>, mut audio: &[u8], window: &Window) {
        while self.metaint > 0 && audio.len() > self.until_block as usize {
            let (before, after) = audio.split_at(self.until_block as usize);
            out.extend_from_slice(before);
            let mut title = self.title;
            out.extend_from_slice(block_at(window, self.position, &mut title));
            self.title = title;
            self.until_block = self.metaint;
            audio = after;
        }
        out.extend_from_slice(audio);
        self.until_block = self.until_block.saturating_sub(audio.len() as u32);
    }

    fn add_pending(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut all = self
            .pending
            .take()
            .map_or_else(Vec::new, |pending| pending.to_vec());
        all.extend_from_slice(bytes);
        self.pending = Some(Box::new(Bytes::from(all)));
    }

    fn note_join(&mut self, now: Time, window: &Window) {
        let behind = self.behind(now, window).as_millis() / 100;
        self.joined_behind = u16::try_from(behind).unwrap_or(u16::MAX);
    }
}

/// The block to stand at `position` for a peer that was last told `title`; `title` follows.
fn block_at<'a>(window: &'a Window, position: u64, title: &mut u32) -> &'a [u8] {
    match window.title_at(position) {
        Some(now) if now.id != *title => {
            *title = now.id;
            &now.block
        }
        _ => UNCHANGED,
    }
}

/// `now` in tenths of a second: 13 years in 32 bits.
fn tenths(now: Time) -> u32 {
    (now.as_millis() / 100) as u32
}

#[cfg(test)]
#[path = "fanout_tests.rs"]
mod tests;
