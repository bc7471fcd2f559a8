//! Bytes to Ogg pages (RFC 3533 sections 4 and 6), with the set-up that a joiner needs.

use std::collections::VecDeque;

use bytes::Bytes;
use corecast_media::codec::AudioFormat;
use corecast_media::frame::{Frame, FrameKind, MediaEvent};

use super::link::{HEADER_BYTES_MAX, Link, Role};
use super::page::{self, CAPTURE, HEADER_BYTES, PAGE_BYTES_MAX, Page};
use crate::framing::input::Input;

/// The most bytes that a drained [`Framer`] holds: a page that is not whole, and the set-up of a
/// chain link, once as pages and once as the packet in them that goes on.
pub const BUFFER_BYTES_MAX: usize = PAGE_BYTES_MAX + 2 * HEADER_BYTES_MAX;

const _: () = assert!(
    HEADER_BYTES_MAX > 4 * PAGE_BYTES_MAX,
    "a set-up of some pages must fit"
);

/// How often a dropped byte may have been part of a wrong checksum, on average; and how many such
/// bytes are free. Pages that claim to overlap would cost more than they bring otherwise.
const CHECKS_MAX: u64 = 8;
const UNSOUND_BYTES_MIN: u64 = 8 * PAGE_BYTES_MAX as u64;

/// Finds the pages of one Ogg stream, links of a chain one after another. See
/// [`crate::audio::Framer`] for the contract.
#[derive(Debug, Default)]
pub struct Framer {
    input: Input,
    link: Option<Link>,
    due: VecDeque<MediaEvent>,
    format: AudioFormat,
    has_title: bool,
    /// No page is whole before the input has so many bytes; spares looking at its start again.
    needed_bytes: usize,
    discarded_bytes: u64,
    /// Bytes that were summed up for checksums that were wrong.
    unsound_bytes: u64,
    is_finished: bool,
}

impl Framer {
    /// A framer at the start of a stream.
    pub fn new() -> Self {
        Framer::default()
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: Bytes) {
        self.input.push(bytes);
    }

    /// The next event; `None` asks for more bytes.
    pub fn poll(&mut self) -> Option<MediaEvent> {
        loop {
            if let Some(event) = self.due.pop_front() {
                return Some(event);
            }
            let page = self.next_page()?;
            self.on_page(page);
        }
    }

    /// Says that no bytes follow.
    pub fn finish(&mut self) {
        self.is_finished = true;
    }

    /// Bytes that were dropped: junk, pages with a wrong checksum, pages of no known stream.
    pub fn discarded_bytes(&self) -> u64 {
        self.discarded_bytes
    }

    /// Bytes that wait for more; at most [`BUFFER_BYTES_MAX`] once [`Framer::poll`] said `None`.
    pub fn buffered_bytes(&self) -> usize {
        self.input.len() + self.link.as_ref().map_or(0, Link::held_bytes)
    }

    /// Takes the next page with a good checksum off the input.
    fn next_page(&mut self) -> Option<Page> {
        loop {
            if self.input.len() < self.needed_bytes && !self.is_finished {
                return None;
            }
            self.needed_bytes = 0;
            match self.page_at_front() {
                Front::Whole(bytes) if page::is_sound(self.input.front(bytes)) => {
                    return Page::parse(self.input.take(bytes));
                }
                Front::Whole(bytes) => self.discard_unsound(bytes),
                Front::Other => self.discard_to_candidate(),
                Front::Partial(_) if self.is_finished && !self.input.is_empty() => {
                    self.discard_to_candidate();
                }
                Front::Partial(needed) => {
                    self.needed_bytes = needed;
                    return None;
                }
            }
        }
    }

    fn page_at_front(&self) -> Front {
        for (at, wanted) in CAPTURE.into_iter().enumerate() {
            match self.input.byte(at) {
                None => return Front::Partial(at + 1),
                Some(byte) if byte != wanted => return Front::Other,
                Some(_) => {}
            }
        }
        let Some(header) = self.input.peek::<HEADER_BYTES>(0) else {
            return Front::Partial(HEADER_BYTES);
        };
        let [.., segments] = header;
        let head_bytes = HEADER_BYTES + usize::from(segments);
        if self.input.len() < head_bytes {
            return Front::Partial(head_bytes);
        }
        let segment = |at| self.input.byte(at).unwrap_or_default();
        match page::page_bytes(header, segment) {
            None => Front::Other,
            Some(bytes) if self.input.len() < bytes => Front::Partial(bytes),
            Some(bytes) => Front::Whole(bytes),
        }
    }

    /// Drops the first byte and what follows it up to the next that may start a page.
    fn discard_to_candidate(&mut self) {
        let [first, ..] = CAPTURE;
        let next = self.input.find(1, |byte| byte == first);
        self.discarded_bytes += self.input.skip(next.unwrap_or(self.input.len())) as u64;
    }

    /// Drops what looked like a page of `bytes` bytes: only its first byte, since a good page may
    /// begin inside, unless such searches have cost too much already.
    fn discard_unsound(&mut self, bytes: usize) {
        self.unsound_bytes += bytes as u64;
        let allowed = UNSOUND_BYTES_MIN + CHECKS_MAX * self.discarded_bytes;
        if self.unsound_bytes > allowed {
            self.discarded_bytes += self.input.skip(bytes) as u64;
        } else {
            self.discard_to_candidate();
        }
    }

    fn on_page(&mut self, page: Page) {
        if self.link.as_ref().is_none_or(|link| link.ends_with(&page)) && page.is_first {
            self.link = Some(Link::new());
        }
        let Some(link) = self.link.as_mut() else {
            self.discarded_bytes += page.bytes.len() as u64;
            return;
        };
        let role = link.on_page(&page);
        let format = link.format().filter(|format| *format != self.format);
        if let (Some(format), true) = (format, page.is_first) {
            self.format = format;
            self.due.push_back(MediaEvent::Format(format));
        }
        let frame = |kind, duration_us| {
            MediaEvent::Frame(Frame {
                payload: page.bytes.clone(),
                duration_us,
                kind,
            })
        };
        match role {
            Role::Stray => self.discarded_bytes += page.bytes.len() as u64,
            Role::Header => {
                self.due.push_back(frame(FrameKind::Header, 0));
                self.say_set_up(false);
            }
            Role::Data(duration_us) => {
                self.say_set_up(true);
                let is_entry = !page.is_continued && page.has_packet_start();
                let kind = if is_entry {
                    FrameKind::Entry
                } else {
                    FrameKind::Inner
                };
                self.due.push_back(frame(kind, duration_us));
            }
        }
    }

    /// Says what a joiner needs, and the title, once the set-up is over.
    fn say_set_up(&mut self, at_data: bool) {
        let Some(link) = self.link.as_mut() else {
            return;
        };
        let Some(headers) = link.take_init_headers(at_data) else {
            return;
        };
        self.due.push_back(MediaEvent::InitHeaders(headers));
        let metadata = link.take_metadata().unwrap_or_default();
        // A link without tags ends the title of the one before, but hides none from elsewhere.
        if !metadata.title.is_empty() || self.has_title {
            self.has_title = !metadata.title.is_empty();
            self.due.push_back(MediaEvent::Metadata(metadata));
        }
    }
}

/// What stands at the front of the input.
enum Front {
    /// Bytes of a page's form, as many.
    Whole(usize),
    /// No page.
    Other,
    /// Too few bytes to tell; so many are needed.
    Partial(usize),
}
