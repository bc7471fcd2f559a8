//! A virtual listener: takes bytes as its temper allows, and checks every one of them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::IoSlice;
use std::rc::Rc;

use corecast_media::fanout::{Sent, Socket};
use corecast_media::name::Output;

use crate::dice::Dice;
use crate::film_ear::FilmEar;
use crate::origin::{FRAME_HEAD_BYTES, SETUP, SOUND, filling_byte};

/// How a listener behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temper {
    /// Takes all there is, at once.
    Good,
    /// Takes this many bytes a second.
    Slow(u64),
    /// Takes nothing after this many bytes.
    Stuck(u64),
    /// Closes after this many bytes.
    Leaving(u64),
}

/// What one listener got, and what is wrong with it.
#[derive(Debug)]
pub struct Peer {
    temper: Temper,
    /// Bytes that it takes now.
    window: u64,
    /// Whether it closed.
    pub closed: bool,
    /// Bytes got.
    pub got: u64,
    /// Bytes of sound got.
    pub sound: u64,
    /// Frames that were missed between two of the same origin.
    pub gaps: u32,
    /// The first thing that was wrong.
    pub fault: Option<String>,
    head_left: &'static [u8],
    metaint: u32,
    /// Whether sound is of use only after its origin's set-up.
    needs_setup: bool,
    until_block: u32,
    block: Vec<u8>,
    block_len: Option<usize>,
    frame: Vec<u8>,
    /// The last number of each origin.
    last: BTreeMap<u32, u32>,
    /// The origin whose set-up came last.
    setup: Option<u32>,
    /// What it checks where it plays an output of a film.
    film: Option<Box<FilmEar>>,
    /// Titles got, in order.
    pub titles: Vec<String>,
}

/// The response head of the simulation.
pub const HEAD: &[u8] = b"HTTP/1.0 200 OK\r\n\r\n";

impl Peer {
    /// A listener that expects [`HEAD`], then frames with a block after every `metaint` bytes;
    /// where `needs_setup`, each origin's sound after its set-up.
    pub fn new(temper: Temper, metaint: u32, needs_setup: bool) -> Self {
        Peer {
            temper,
            window: 0,
            closed: false,
            got: 0,
            sound: 0,
            gaps: 0,
            fault: None,
            head_left: HEAD,
            metaint,
            needs_setup,
            until_block: metaint,
            block: Vec::new(),
            block_len: None,
            frame: Vec::new(),
            last: BTreeMap::new(),
            setup: None,
            film: None,
            titles: Vec::new(),
        }
    }

    /// A player that expects [`HEAD`], then `output` of films; `lossy` as for [`FilmEar::new`].
    pub fn of_film(temper: Temper, output: Output, lossy: Rc<Cell<bool>>) -> Self {
        Peer {
            film: Some(Box::new(FilmEar::new(output, lossy))),
            ..Peer::new(temper, 0, false)
        }
    }

    /// `ms` milliseconds pass.
    pub fn breathe(&mut self, ms: u64) {
        match self.temper {
            Temper::Good => self.window = 1 << 20,
            Temper::Slow(rate) => self.window = (self.window + rate * ms / 1_000).min(64 * 1024),
            Temper::Stuck(bytes) => self.window = bytes.saturating_sub(self.got),
            Temper::Leaving(bytes) => {
                self.window = 1 << 20;
                self.closed |= self.got >= bytes;
            }
        }
    }

    /// Whether it takes all that it is given.
    pub const fn is_good(&self) -> bool {
        matches!(self.temper, Temper::Good)
    }

    /// Units of films that it got.
    pub fn units(&self) -> u64 {
        self.film.as_ref().map_or(0, |film| film.units)
    }

    /// Whether it got a frame of such an origin.
    pub fn heard(&self, wanted: impl Fn(u32) -> bool) -> bool {
        self.last.keys().any(|origin| wanted(*origin))
    }

    /// Whether the connection ended where a listener may be left: no frame or block is torn.
    pub fn is_at_border(&self) -> bool {
        let whole = self.film.as_ref().is_none_or(|film| film.is_at_border());
        whole && self.frame.is_empty() && self.block_len.is_none()
    }

    fn take(&mut self, bytes: &[u8]) {
        self.got += bytes.len() as u64;
        self.window = self.window.saturating_sub(bytes.len() as u64);
        for (at, byte) in bytes.iter().enumerate() {
            if self.fault.is_some() {
                return;
            }
            if self.film.is_some() && self.head_left.is_empty() {
                return self.take_film(&bytes[at..]);
            }
            self.take_byte(*byte);
        }
    }

    fn take_film(&mut self, bytes: &[u8]) {
        if let Some(film) = &mut self.film {
            self.fault = film.take(bytes).err();
            (self.sound, self.gaps) = (film.units, film.gaps);
        }
    }

    fn take_byte(&mut self, byte: u8) {
        if let Some((expected, rest)) = self.head_left.split_first() {
            if byte != *expected {
                self.fault = Some("the head is not the head".to_owned());
            }
            self.head_left = rest;
        } else if let Some(len) = self.block_len {
            self.block.push(byte);
            if self.block.len() == len {
                self.end_block();
            }
        } else if self.metaint > 0 && self.until_block == 0 {
            self.until_block = self.metaint;
            if byte > 0 {
                self.block_len = Some(usize::from(byte) * 16);
            }
        } else {
            self.until_block = self.until_block.saturating_sub(1);
            self.take_sound(byte);
        }
    }

    fn end_block(&mut self) {
        self.block_len = None;
        let block = std::mem::take(&mut self.block);
        let text = String::from_utf8_lossy(&block);
        let title = text
            .trim_end_matches('\0')
            .strip_prefix("StreamTitle='")
            .and_then(|rest| rest.split_once("';"))
            .map(|(title, _)| title.to_owned());
        match title {
            Some(title) => self.titles.push(title),
            None => self.fault = Some(format!("a block without a title: {text:?}")),
        }
    }

    fn take_sound(&mut self, byte: u8) {
        self.sound += 1;
        self.frame.push(byte);
        if self.frame.len() == 1 && byte != SOUND && byte != SETUP {
            self.fault = Some(format!(
                "no frame starts with {byte:#04x} at byte {}",
                self.got
            ));
        }
        if self.frame.len() >= FRAME_HEAD_BYTES {
            let filling = u16::from_be_bytes([self.frame[9], self.frame[10]]);
            if self.frame.len() == FRAME_HEAD_BYTES + usize::from(filling) {
                self.end_frame();
            }
        }
    }

    fn end_frame(&mut self) {
        let frame = std::mem::take(&mut self.frame);
        let word = |at: usize| {
            u32::from_be_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]])
        };
        let (mark, origin, number) = (frame[0], word(1), word(5));
        let filling = &frame[FRAME_HEAD_BYTES..];
        let exact = filling
            .iter()
            .zip(0u16..)
            .all(|(byte, i)| *byte == filling_byte(origin, number, i));
        if !exact {
            self.fault = Some(format!("frame {number} of origin {origin} is torn"));
        } else if mark == SETUP {
            self.setup = Some(origin);
        } else {
            self.note_sound(origin, number);
        }
    }

    fn note_sound(&mut self, origin: u32, number: u32) {
        if self.needs_setup && self.setup != Some(origin) {
            let setup = self.setup;
            self.fault = Some(format!(
                "sound {number} of origin {origin} after the set-up of {setup:?}"
            ));
        }
        if let Some(last) = self.last.insert(origin, number) {
            if number <= last {
                self.fault = Some(format!("origin {origin}: frame {number} after {last}"));
            }
            self.gaps += number.saturating_sub(last + 1).min(1);
        }
    }
}

/// One end of a virtual connection; the world holds the other.
#[derive(Clone, Debug)]
pub struct VirtualSocket {
    /// The listener.
    pub peer: Rc<RefCell<Peer>>,
    /// How the writes fall.
    pub dice: Rc<RefCell<Dice>>,
}

impl Socket for VirtualSocket {
    fn send(&mut self, slices: &[IoSlice<'_>]) -> Sent {
        let mut peer = self.peer.borrow_mut();
        if peer.closed {
            return Sent::Failed;
        }
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        let mut taken = offered.min(usize::try_from(peer.window).unwrap_or(usize::MAX));
        // Kernels take part of a write now and then, even of a good peer's.
        let mut dice = self.dice.borrow_mut();
        if taken > 1 && dice.chance(10) {
            taken = dice.within(1, taken as u64) as usize;
        }
        let mut left = taken;
        for slice in slices {
            let part = left.min(slice.len());
            peer.take(&slice[..part]);
            left -= part;
        }
        if taken == 0 {
            Sent::Full
        } else {
            Sent::Bytes(taken)
        }
    }

    fn is_closed(&mut self) -> bool {
        self.peer.borrow().closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::frame_bytes;

    /// What a listener says of `bytes` after the head.
    fn fault_of(metaint: u32, needs_setup: bool, bytes: &[u8]) -> Option<String> {
        let mut peer = Peer::new(Temper::Good, metaint, needs_setup);
        peer.take(HEAD);
        peer.take(bytes);
        peer.fault
    }

    fn frames(numbers: &[u32]) -> Vec<u8> {
        numbers
            .iter()
            .flat_map(|number| frame_bytes(SOUND, 9, *number, 50))
            .collect()
    }

    #[test]
    fn whole_frames_in_order_are_fine_and_every_damage_is_seen() {
        let good = frames(&[1, 2, 4]);
        assert_eq!(fault_of(0, false, &good), None);
        for at in 0..good.len() {
            let mut flipped = good.clone();
            flipped[at] ^= 0x10;
            flipped.extend(frames(&(5..1_500).collect::<Vec<u32>>()));
            assert!(fault_of(0, false, &flipped).is_some(), "byte {at}");
        }
        assert!(fault_of(0, false, &frames(&[2, 1])).is_some(), "order");
        assert!(fault_of(0, false, &frames(&[2, 2])).is_some(), "repeat");
        assert!(fault_of(0, true, &good).is_some(), "sound without set-up");
        assert!(
            fault_of(40, false, &frames(&(1..300).collect::<Vec<u32>>())).is_some(),
            "no blocks"
        );
    }
}
