//! What a client says, out of bytes in any split (RFC 6455 section 5).

use super::close::{self, CloseCode, Fault};
use super::utf8::Utf8;
use super::{CONTROL_BYTES_MAX, Opcode};

/// The longest head of a client's frame: two bytes, eight of length, four of mask.
const HEAD_BYTES_MAX: usize = 14;

const FINAL_BIT: u8 = 0x80;
const RESERVED_BITS: u8 = 0x70;
const MASK_BIT: u8 = 0x80;

/// Reads the frames of one client. It holds no more than a frame's head and the payload of a
/// control frame: what a head declares is not believed until it comes.
#[derive(Debug)]
pub struct ClientFrames {
    message_bytes_max: u64,
    stage: Stage,
    /// The message whose last frame has not come.
    open: Option<Message>,
    /// What came of a control frame's payload.
    control: Vec<u8>,
}

/// What a client said. Payloads are unmasked where they lie.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'i> {
    /// More of a message; frames and input cut it anywhere.
    Data {
        /// UTF-8, but a character may be torn between two pieces; else bytes.
        text: bool,
        /// May be empty where the message ends.
        bytes: &'i [u8],
        /// Whether the message ends here.
        ends: bool,
    },
    /// The client wants a pong with this payload.
    Ping(Vec<u8>),
    /// The client is there.
    Pong,
    /// The client ends the talk; nothing follows.
    Close(Option<CloseCode>),
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// So many bytes of a head came.
    Head {
        got: [u8; HEAD_BYTES_MAX],
        count: u8,
    },
    Payload(Frame),
    /// Nothing is said any more.
    Over,
}

impl Stage {
    const START: Stage = Stage::Head {
        got: [0; HEAD_BYTES_MAX],
        count: 0,
    };
}

/// A frame whose payload comes.
#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: Opcode,
    ends: bool,
    /// Bytes of it that have not come.
    left: u64,
    mask: [u8; 4],
    /// The byte of the mask for the next byte.
    at: u8,
}

#[derive(Clone, Copy, Debug)]
struct Message {
    text: bool,
    bytes: u64,
    utf8: Utf8,
}

impl ClientFrames {
    /// A reader right behind the handshake, for messages of at most `message_bytes_max` bytes.
    pub fn new(message_bytes_max: u64) -> Self {
        ClientFrames {
            message_bytes_max,
            stage: Stage::START,
            open: None,
            control: Vec::new(),
        }
    }

    /// Takes the next event off `input`; `None` asks for more bytes, or says that the client has
    /// closed: then all input is thrown away.
    ///
    /// # Errors
    /// What ends the talk; all input after it is thrown away.
    pub fn poll<'i>(&mut self, input: &mut &'i mut [u8]) -> Result<Option<Event<'i>>, Fault> {
        let event = self.poll_unfused(input);
        if matches!(event, Err(_) | Ok(Some(Event::Close(_)))) {
            (self.stage, self.open, self.control) = (Stage::Over, None, Vec::new());
        }
        event
    }

    fn poll_unfused<'i>(&mut self, input: &mut &'i mut [u8]) -> Result<Option<Event<'i>>, Fault> {
        loop {
            match self.stage {
                Stage::Head { got, count } => match self.take_head(got, count, input)? {
                    Some(frame) => self.stage = Stage::Payload(frame),
                    None => return Ok(None),
                },
                Stage::Payload(frame) if frame.left > 0 && input.is_empty() => return Ok(None),
                Stage::Payload(frame) => {
                    let event = self.take_payload(frame, input)?;
                    if event.is_some() {
                        return Ok(event);
                    }
                }
                Stage::Over => {
                    *input = &mut [];
                    return Ok(None);
                }
            }
        }
    }

    /// Takes what there is of a head; each byte is judged as it comes.
    fn take_head(
        &mut self,
        mut got: [u8; HEAD_BYTES_MAX],
        mut count: u8,
        input: &mut &mut [u8],
    ) -> Result<Option<Frame>, Fault> {
        while let Some((byte, rest)) = std::mem::take(input).split_first_mut() {
            *input = rest;
            if let Some(place) = got.get_mut(usize::from(count)) {
                *place = *byte;
            }
            count += 1;
            let head = got.get(..usize::from(count)).unwrap_or_default();
            if let Some(frame) = self.judge_head(head)? {
                return Ok(Some(frame));
            }
        }
        self.stage = Stage::Head { got, count };
        Ok(None)
    }

    /// Checks the last byte of `head`, the others being good; the frame where that is all.
    fn judge_head(&mut self, head: &[u8]) -> Result<Option<Frame>, Fault> {
        let (first, second) = match *head {
            [first] => return self.opcode_of(first).map(|_| None),
            [first, second, ..] => (first, second),
            [] => return Ok(None),
        };
        let opcode = self.opcode_of(first)?;
        let short = second & !MASK_BIT;
        if head.len() == 2 {
            if second & MASK_BIT == 0 {
                return Err(Fault::protocol("a frame without a mask"));
            }
            if opcode.is_control() && usize::from(short) > CONTROL_BYTES_MAX {
                return Err(Fault::protocol("a long control frame"));
            }
        }
        let length_bytes = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some(long) = head.get(2..2 + length_bytes) else {
            return Ok(None);
        };
        let length = match length_bytes {
            0 => u64::from(short),
            _ => long.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        };
        if head.len() == 2 + length_bytes {
            self.judge_length(opcode, length_bytes, length)?;
        }
        let Some(mask) = head.get(2 + length_bytes..).and_then(<[u8]>::first_chunk) else {
            return Ok(None);
        };
        self.begin(opcode);
        Ok(Some(Frame {
            opcode,
            ends: first & FINAL_BIT != 0,
            left: length,
            mask: *mask,
            at: 0,
        }))
    }

    /// What a frame is by its first byte, after those before it.
    fn opcode_of(&self, first: u8) -> Result<Opcode, Fault> {
        if first & RESERVED_BITS != 0 {
            return Err(Fault::protocol("a bit of an extension"));
        }
        let opcode = Opcode::from_bits(first & 0x0f);
        let opcode = opcode.ok_or(Fault::protocol("an opcode without a meaning"))?;
        match opcode {
            Opcode::Continuation if self.open.is_none() => {
                Err(Fault::protocol("more of a message that was not begun"))
            }
            Opcode::Text | Opcode::Binary if self.open.is_some() => {
                Err(Fault::protocol("a message inside another"))
            }
            _ if opcode.is_control() && first & FINAL_BIT == 0 => {
                Err(Fault::protocol("a control frame in fragments"))
            }
            _ => Ok(opcode),
        }
    }

    fn judge_length(&self, opcode: Opcode, length_bytes: usize, length: u64) -> Result<(), Fault> {
        // Section 5.2: the fewest bytes that hold it, and never the highest bit.
        let least = match length_bytes {
            0 => 0,
            2 => 126,
            _ => 0x1_0000,
        };
        if length < least || length > u64::MAX >> 1 {
            return Err(Fault::protocol("a length that is written wrong"));
        }
        let before = self.open.map_or(0, |message| message.bytes);
        if !opcode.is_control() && length > self.message_bytes_max.saturating_sub(before) {
            return Err(Fault::TOO_LONG);
        }
        Ok(())
    }

    fn begin(&mut self, opcode: Opcode) {
        if matches!(opcode, Opcode::Text | Opcode::Binary) {
            self.open = Some(Message {
                text: opcode == Opcode::Text,
                bytes: 0,
                utf8: Utf8::default(),
            });
        }
    }

    /// Takes what there is of a payload.
    fn take_payload<'i>(
        &mut self,
        mut frame: Frame,
        input: &mut &'i mut [u8],
    ) -> Result<Option<Event<'i>>, Fault> {
        let n = usize::try_from(frame.left).map_or(input.len(), |left| left.min(input.len()));
        let (piece, rest) = std::mem::take(input).split_at_mut(n);
        *input = rest;
        for (i, byte) in piece.iter_mut().enumerate() {
            *byte ^= frame.mask[(usize::from(frame.at) + i) % 4];
        }
        frame.at = ((usize::from(frame.at) + n) % 4) as u8;
        frame.left -= n as u64;
        let complete = frame.left == 0;
        self.stage = match complete {
            true => Stage::START,
            false => Stage::Payload(frame),
        };
        if frame.opcode.is_control() {
            return self.take_control(frame.opcode, piece, complete);
        }
        self.take_data(piece, complete && frame.ends)
    }

    fn take_control<'i>(
        &mut self,
        opcode: Opcode,
        piece: &[u8],
        complete: bool,
    ) -> Result<Option<Event<'i>>, Fault> {
        self.control.extend_from_slice(piece);
        if !complete {
            return Ok(None);
        }
        let payload = std::mem::take(&mut self.control);
        Ok(Some(match opcode {
            Opcode::Ping => Event::Ping(payload),
            Opcode::Close => Event::Close(close::parse(&payload)?),
            _ => Event::Pong,
        }))
    }

    fn take_data<'i>(&mut self, bytes: &'i [u8], ends: bool) -> Result<Option<Event<'i>>, Fault> {
        let message = self.open.as_mut();
        let message = message.ok_or(Fault::protocol("more of a message that was not begun"))?;
        message.bytes += bytes.len() as u64;
        let text = message.text;
        if text {
            let good = message.utf8.push(bytes).is_ok();
            if !good || (ends && !message.utf8.is_whole()) {
                return Err(Fault::NOT_TEXT);
            }
        }
        if ends {
            self.open = None;
        }
        let says = ends || !bytes.is_empty();
        Ok(says.then_some(Event::Data { text, bytes, ends }))
    }
}
