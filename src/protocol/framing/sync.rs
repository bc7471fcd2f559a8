//! Streams of frames that each start with a header which tells the frame's length.
//!
//! A header's sync word may occur by chance, so a frame is believed only once
//! [`CONFIRM_HEADERS`] headers follow each other at the right distances and agree; from then on
//! every frame goes out as soon as it is whole, until a header does not fit.

use bytes::Bytes;
use corecast_media::codec::AudioFormat;
use corecast_media::frame::{Frame, FrameKind, MediaEvent};

use super::clock::SampleClock;
use super::input::Input;
use super::tag::{self, Tag};

/// Headers that must follow each other before the first is believed.
pub(crate) const CONFIRM_HEADERS: usize = 3;

/// A frame's header.
pub(crate) trait Header: Copy {
    /// The first byte of every header.
    const FIRST_BYTE: u8 = 0xff;

    /// Reads the bytes at `at`: a header, bytes that are none, or too few to tell.
    fn read(input: &Input, at: usize) -> Found<Self>;

    /// The frame's length in bytes, this header included; never zero.
    fn frame_bytes(&self) -> usize;

    /// Samples per channel in the frame.
    fn samples(&self) -> u32;

    /// Whether both can belong to one stream.
    fn agrees(&self, other: &Self) -> bool;

    /// What the header says about the stream; the bit rate is this frame's, zero if it has none.
    fn format(&self) -> AudioFormat;

    /// Whether the frame holds an encoder's table of contents and no sound.
    fn is_contents_table(&self, frame: &[u8]) -> bool {
        let _ = frame;
        false
    }
}

/// What stands at a place of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found<H> {
    /// A header.
    Header(H),
    /// Bytes that are no header.
    Other,
    /// Too few bytes to tell.
    Partial,
}

/// Finds the frames of one stream.
#[derive(Debug)]
pub(crate) struct SyncFramer<H> {
    input: Input,
    state: State<H>,
    /// What was said last, and what is to be said before the next frame.
    format: AudioFormat,
    format_is_due: bool,
    clock: SampleClock,
    frames: u64,
    discarded_bytes: u64,
    is_finished: bool,
}

#[derive(Clone, Copy, Debug)]
enum State<H> {
    /// No header is believed.
    Searching,
    /// The next header agrees with this one, or the stream was lost.
    Synced(H),
    /// Inside a tag, of which so many bytes are to come.
    InTag(u64),
}

/// What a step of the search led to.
enum Step {
    /// Something was done; go on.
    Again,
    /// More bytes are needed.
    NeedMore,
    /// A whole frame stands at the front.
    Frame,
}

impl<H: Header> SyncFramer<H> {
    pub(crate) fn new() -> Self {
        SyncFramer {
            input: Input::default(),
            state: State::Searching,
            format: AudioFormat::default(),
            format_is_due: false,
            clock: SampleClock::default(),
            frames: 0,
            discarded_bytes: 0,
            is_finished: false,
        }
    }

    pub(crate) fn push(&mut self, bytes: Bytes) {
        self.input.push(bytes);
    }

    pub(crate) fn finish(&mut self) {
        self.is_finished = true;
    }

    pub(crate) fn discarded_bytes(&self) -> u64 {
        self.discarded_bytes
    }

    pub(crate) fn buffered_bytes(&self) -> usize {
        self.input.len()
    }

    pub(crate) fn poll(&mut self) -> Option<MediaEvent> {
        loop {
            let step = match self.state {
                State::InTag(left) => self.skip_tag(left),
                State::Searching => self.search(),
                State::Synced(header) => self.follow(&header),
            };
            match step {
                Step::Again => {}
                Step::NeedMore => return None,
                Step::Frame if self.format_is_due => {
                    self.format_is_due = false;
                    return Some(MediaEvent::Format(self.format));
                }
                Step::Frame => return self.take_frame().map(MediaEvent::Frame),
            }
        }
    }

    fn skip_tag(&mut self, left: u64) -> Step {
        let count = usize::try_from(left).unwrap_or(usize::MAX);
        let left = left - self.discard(count) as u64;
        self.state = if left == 0 {
            State::Searching
        } else {
            State::InTag(left)
        };
        if left == 0 {
            Step::Again
        } else {
            Step::NeedMore
        }
    }

    /// Looks for [`CONFIRM_HEADERS`] headers in a row.
    fn search(&mut self) -> Step {
        if self.input.is_empty() {
            return Step::NeedMore;
        }
        match tag::at_front(&self.input) {
            Tag::Whole(bytes) => {
                self.state = State::InTag(bytes);
                return Step::Again;
            }
            Tag::Partial if !self.is_finished => return Step::NeedMore,
            Tag::Partial | Tag::None => {}
        }
        match self.confirm() {
            Found::Header(header) => {
                self.on_synced(header);
                Step::Again
            }
            Found::Partial => Step::NeedMore,
            Found::Other => {
                self.discard_to_candidate();
                Step::Again
            }
        }
    }

    /// The header at the front, if the ones behind it bear it out.
    fn confirm(&self) -> Found<H> {
        let mut at = 0;
        let mut first: Option<H> = None;
        for _ in 0..CONFIRM_HEADERS {
            match (H::read(&self.input, at), first) {
                (Found::Header(header), None) => {
                    first = Some(header);
                    at += header.frame_bytes();
                }
                (Found::Header(header), Some(known)) if known.agrees(&header) => {
                    at += header.frame_bytes();
                }
                (Found::Partial, None) if self.is_finished => return Found::Other,
                // At the end of the stream fewer headers must do, if they lead to its last byte.
                (Found::Partial, Some(known)) if self.is_finished => {
                    let exact = at == self.input.len();
                    return if exact {
                        Found::Header(known)
                    } else {
                        Found::Other
                    };
                }
                (Found::Partial, _) => return Found::Partial,
                (Found::Header(_) | Found::Other, _) => return Found::Other,
            }
        }
        first.map_or(Found::Other, Found::Header)
    }

    fn on_synced(&mut self, header: H) {
        self.state = State::Synced(header);
        let mut format = self.constant_format(header);
        // A stream that once changed its bit rate is not taken for constant after some junk.
        let constant = AudioFormat {
            bitrate_bps: self.format.bitrate_bps,
            ..format
        };
        if constant == self.format && self.format.bitrate_bps == 0 {
            format.bitrate_bps = 0;
        }
        if format != self.format {
            self.format = format;
            self.format_is_due = true;
        }
    }

    /// The format of the stream, with the bit rate if the headers at hand agree on it. A table of
    /// contents has a bit rate of its own.
    fn constant_format(&mut self, first: H) -> AudioFormat {
        let mut format = first.format();
        let mut at = first.frame_bytes();
        let mut counts = !first.is_contents_table(self.input.front(at));
        for _ in 1..CONFIRM_HEADERS {
            let Found::Header(header) = H::read(&self.input, at) else {
                break;
            };
            let bitrate_bps = header.format().bitrate_bps;
            if !counts {
                format.bitrate_bps = bitrate_bps;
            } else if bitrate_bps != format.bitrate_bps {
                format.bitrate_bps = 0;
            }
            counts = true;
            at += header.frame_bytes();
        }
        format
    }

    /// Drops the first byte and what follows it up to the next that may start a header or a tag.
    fn discard_to_candidate(&mut self) {
        let starts = |byte| byte == H::FIRST_BYTE || tag::FIRST_BYTES.contains(&byte);
        let count = self.input.find(1, starts).unwrap_or(self.input.len());
        self.discard(count);
    }

    /// Checks the header at the front of a stream that is known.
    fn follow(&mut self, known: &H) -> Step {
        match H::read(&self.input, 0) {
            Found::Header(header) if known.agrees(&header) => {
                if self.input.len() < header.frame_bytes() {
                    return self.need_more();
                }
                if header.is_contents_table(self.input.front(header.frame_bytes())) {
                    return self.on_contents_table(&header);
                }
                let bitrate_bps = header.format().bitrate_bps;
                if self.format.bitrate_bps != 0 && bitrate_bps != self.format.bitrate_bps {
                    self.format.bitrate_bps = 0;
                    self.format_is_due = true;
                }
                Step::Frame
            }
            Found::Partial => self.need_more(),
            Found::Header(_) | Found::Other => {
                self.state = State::Searching;
                Step::Again
            }
        }
    }

    /// The first frame of a stream may hold the table; later ones are leftovers of files that were
    /// played one after another, and their numbers are wrong.
    fn on_contents_table(&mut self, header: &H) -> Step {
        if self.frames == 0 {
            return Step::Frame;
        }
        self.discard(header.frame_bytes());
        Step::Again
    }

    /// Waits, or drops the rest where nothing can come any more.
    fn need_more(&mut self) -> Step {
        if self.is_finished {
            self.discard(usize::MAX);
        }
        Step::NeedMore
    }

    /// Takes the frame at the front, which is whole.
    fn take_frame(&mut self) -> Option<Frame> {
        let Found::Header(header) = H::read(&self.input, 0) else {
            return None;
        };
        let payload = self.input.take(header.frame_bytes());
        self.frames += 1;
        let duration_us = self
            .clock
            .advance(header.samples(), header.format().sample_rate_hz);
        Some(Frame {
            payload,
            duration_us,
            kind: FrameKind::Entry,
        })
    }

    fn discard(&mut self, count: usize) -> usize {
        let dropped = self.input.skip(count);
        self.discarded_bytes += dropped as u64;
        dropped
    }
}
