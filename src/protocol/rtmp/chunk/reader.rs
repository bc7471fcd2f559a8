//! Chunks to messages.

use bytes::{Buf, Bytes, BytesMut};

use super::{CHUNK_BYTES_DEFAULT, TIMESTAMP_EXTENDED};
use crate::rtmp::limits::{
    CHUNK_STREAMS_MAX, COMMAND_BYTES_MAX, DATA_BYTES_MAX, HELD_BYTES_MAX, MESSAGE_BYTES_MAX,
    STRANGER_BYTES_MAX,
};
use crate::rtmp::{BadPeer, Message, MessageType};

/// The longest header: 3 bytes of basic header, 11 of message header, 4 of extended timestamp.
const HEADER_BYTES_MAX: usize = 18;

/// A delta that a fmt 3 chunk takes over from the timestamp of a fmt 0 chunk, in milliseconds.
/// Section 5.3.1.2.4 asks for it and ffmpeg does so; others mean no delta there. Above this, the
/// section's reading makes no sense.
const TIMESTAMP_AS_DELTA_MS_MAX: u32 = 1_000;

/// Bytes that a message's buffer gets at first.
const BODY_BYTES_MIN: usize = 4_096;

/// Takes chunks apart.
///
/// Messages that lie in one chunk and in one input are slices of it; all others are copied once.
/// Memory grows with what came, never with what was declared. Set Chunk Size and Abort are obeyed
/// here and not given out.
#[derive(Debug)]
pub struct ChunkReader {
    streams: Vec<ChunkStream>,
    /// The chunk whose body is being read: index of its stream, bytes left.
    current: Option<(usize, usize)>,
    /// The beginning of a header whose end is still to come.
    carry: Header,
    chunk_bytes: u32,
    /// Bytes of all bodies under way.
    held_bytes: usize,
    /// Whether the peer was let in.
    trusted: bool,
}

/// What is known of one chunk stream.
#[derive(Debug, Default)]
struct ChunkStream {
    csid: u32,
    timestamp: u32,
    /// What a fmt 3 chunk adds that begins a message.
    delta: u32,
    /// The extended timestamp of the last chunk with a timestamp field.
    extended: Option<u32>,
    length: u32,
    kind: u8,
    stream_id: u32,
    /// What came of the message under way; none is under way where it is `None`.
    body: Option<BytesMut>,
}

/// The beginning of a chunk.
#[derive(Clone, Copy, Debug, Default)]
struct Header {
    bytes: [u8; HEADER_BYTES_MAX],
    length: usize,
}

impl Header {
    fn known(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// With as many bytes of `input` as fit.
    fn with(mut self, input: &[u8]) -> Self {
        let room = &mut self.bytes[self.length..];
        let count = room.len().min(input.len());
        room[..count].copy_from_slice(&input[..count]);
        self.length += count;
        self
    }
}

impl Default for ChunkReader {
    fn default() -> Self {
        ChunkReader {
            streams: Vec::new(),
            current: None,
            carry: Header::default(),
            chunk_bytes: CHUNK_BYTES_DEFAULT,
            held_bytes: 0,
            trusted: false,
        }
    }
}

impl ChunkReader {
    /// Takes messages of all sizes from now on (true), or only what strangers may send.
    pub fn set_trusted(&mut self, trusted: bool) {
        self.trusted = trusted;
    }

    /// Bytes of messages under way.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// The next message of `input`, of which it takes what it read; `None` where all of it was
    /// taken and more is needed.
    ///
    /// # Errors
    /// [`BadPeer`] where the bytes are no chunks, or go beyond a limit.
    pub fn read(&mut self, input: &mut Bytes) -> Result<Option<Message>, BadPeer> {
        loop {
            if self.current.is_none() && !self.begin_chunk(input)? {
                return Ok(None);
            }
            let Some(message) = self.continue_chunk(input)? else {
                if self.current.is_some() {
                    return Ok(None);
                }
                continue;
            };
            match message.kind {
                MessageType::SET_CHUNK_SIZE => self.set_chunk_bytes(&message.payload)?,
                MessageType::ABORT => self.abort(&message.payload)?,
                _ => return Ok(Some(message)),
            }
        }
    }

    /// Reads a header; false where its end is missing.
    fn begin_chunk(&mut self, input: &mut Bytes) -> Result<bool, BadPeer> {
        let head = self.carry.with(input);
        let carried = std::mem::take(&mut self.carry).length;
        let Some(size) = self.on_header(head.known())? else {
            self.carry = head;
            input.clear();
            return Ok(false);
        };
        match size.checked_sub(carried) {
            Some(fresh) => input.advance(fresh.min(input.len())),
            // What looked like an extended timestamp was the body.
            None => *input = [&head.bytes[size..carried], input].concat().into(),
        }
        Ok(true)
    }

    /// Takes the header at the front of `head` and gives its length; `None` where more is needed.
    fn on_header(&mut self, head: &[u8]) -> Result<Option<usize>, BadPeer> {
        let Some((fmt, csid, rest)) = basic_header(head) else {
            return Ok(None);
        };
        let known = self.streams.iter().position(|stream| stream.csid == csid);
        let Some(fields) = Fields::parse(fmt, rest) else {
            return Ok(None);
        };
        let basic_bytes = head.len() - rest.len();
        let rest = &rest[fields.bytes..];
        let extended = match (fields.time, known) {
            (Some(TIMESTAMP_EXTENDED), _) => match rest.first_chunk() {
                Some(time) => Some(u32::from_be_bytes(*time)),
                None => return Ok(None),
            },
            (Some(_), _) => None,
            (None, Some(at)) => match self.repeated(at, rest) {
                Some(repeated) => repeated,
                None => return Ok(None),
            },
            (None, None) => None,
        };
        let at = match known {
            Some(at) => at,
            None => self.open(fmt, csid)?,
        };
        self.on_fields(at, &fields, extended)?;
        let extended_bytes = if extended.is_some() { 4 } else { 0 };
        Ok(Some(basic_bytes + fields.bytes + extended_bytes))
    }

    /// The extended timestamp of a fmt 3 chunk on this stream, with `rest` behind its basic
    /// header; `None` where more bytes must be seen.
    ///
    /// Section 5.3.1.3 wants it repeated, and not every encoder does so. Those that do write what
    /// they wrote before, or the message's whole timestamp.
    fn repeated(&self, at: usize, rest: &[u8]) -> Option<Option<u32>> {
        let stream = &self.streams[at];
        let Some(extended) = stream.extended else {
            return Some(None);
        };
        let seen = &rest[..rest.len().min(4)];
        let is = |time: u32| time.to_be_bytes().starts_with(seen);
        if !is(extended) && !is(stream.timestamp) {
            return Some(None);
        }
        (seen.len() == 4).then_some(Some(extended))
    }

    /// A new chunk stream. Its first chunk has a full header; but there are encoders that leave
    /// out the message stream's id in it.
    fn open(&mut self, fmt: u8, csid: u32) -> Result<usize, BadPeer> {
        if fmt > 1 {
            return Err(BadPeer("chunk stream without a beginning"));
        }
        if self.streams.len() >= CHUNK_STREAMS_MAX {
            return Err(BadPeer("too many chunk streams"));
        }
        self.streams.push(ChunkStream {
            csid,
            ..ChunkStream::default()
        });
        Ok(self.streams.len() - 1)
    }

    /// What the header of a chunk says (section 5.3.1.2).
    fn on_fields(
        &mut self,
        at: usize,
        fields: &Fields,
        extended: Option<u32>,
    ) -> Result<(), BadPeer> {
        let stream = &mut self.streams[at];
        if fields.time.is_some() {
            stream.extended = extended;
        }
        let had = match &stream.body {
            Some(body) => {
                // The same message, whichever fmt says so.
                let same = |(length, kind)| length == stream.length && kind == stream.kind;
                if !fields.length_and_kind.is_none_or(same) {
                    return Err(BadPeer("a message begins inside another"));
                }
                body.len()
            }
            None => {
                stream.on_message(fields, extended);
                if stream.length > length_max(MessageType(stream.kind), self.trusted) {
                    return Err(BadPeer("message is too long"));
                }
                stream.body = Some(BytesMut::new());
                0
            }
        };
        let left = (stream.length as usize).saturating_sub(had);
        self.current = Some((at, left.min(self.chunk_bytes as usize)));
        Ok(())
    }

    /// Takes what is there of the chunk under way, and gives the message that it completes.
    fn continue_chunk(&mut self, input: &mut Bytes) -> Result<Option<Message>, BadPeer> {
        let Some((at, left)) = self.current else {
            return Ok(None);
        };
        let stream = &mut self.streams[at];
        let length = stream.length as usize;
        let body = stream.body.get_or_insert_default();
        if left == length && body.is_empty() && input.len() >= left {
            self.current = None;
            let payload = input.split_to(left);
            stream.body = None;
            return Ok(Some(stream.message(payload)));
        }
        let here = left.min(input.len());
        if body.capacity() - body.len() < here {
            let wanted = here.max(body.len()).max(BODY_BYTES_MIN);
            body.reserve(wanted.min(length - body.len()));
        }
        body.extend_from_slice(&input[..here]);
        input.advance(here);
        self.held_bytes += here;
        let held_max = if self.trusted {
            HELD_BYTES_MAX
        } else {
            STRANGER_BYTES_MAX
        };
        if self.held_bytes > held_max as usize {
            return Err(BadPeer("too many messages under way"));
        }
        if here < left {
            self.current = Some((at, left - here));
            return Ok(None);
        }
        self.current = None;
        if body.len() < length {
            return Ok(None);
        }
        let payload = std::mem::take(body).freeze();
        self.held_bytes -= payload.len();
        stream.body = None;
        Ok(Some(stream.message(payload)))
    }

    /// Section 5.4.1.
    fn set_chunk_bytes(&mut self, payload: &[u8]) -> Result<(), BadPeer> {
        let Some(bytes) = payload.first_chunk() else {
            return Err(BadPeer("no chunk size"));
        };
        let bytes = u32::from_be_bytes(*bytes);
        if bytes == 0 || bytes > i32::MAX as u32 {
            return Err(BadPeer("impossible chunk size"));
        }
        self.chunk_bytes = bytes;
        Ok(())
    }

    /// Section 5.4.2.
    fn abort(&mut self, payload: &[u8]) -> Result<(), BadPeer> {
        let Some(csid) = payload.first_chunk() else {
            return Err(BadPeer("nothing to abort"));
        };
        let csid = u32::from_be_bytes(*csid);
        let mut streams = self.streams.iter_mut();
        if let Some(stream) = streams.find(|stream| stream.csid == csid) {
            self.held_bytes -= stream.body.take().map_or(0, |body| body.len());
        }
        Ok(())
    }
}

impl ChunkStream {
    /// What the header says that begins a message.
    fn on_message(&mut self, fields: &Fields, extended: Option<u32>) {
        match (fields.time, fields.stream_id) {
            (Some(time), Some(stream_id)) => {
                self.timestamp = extended.unwrap_or(time);
                self.stream_id = stream_id;
                let as_delta = self.timestamp <= TIMESTAMP_AS_DELTA_MS_MAX;
                self.delta = if as_delta { self.timestamp } else { 0 };
            }
            (Some(delta), None) => {
                self.delta = extended.unwrap_or(delta);
                self.timestamp = self.timestamp.wrapping_add(self.delta);
            }
            (None, _) => self.timestamp = self.timestamp.wrapping_add(self.delta),
        }
        if let Some((length, kind)) = fields.length_and_kind {
            self.length = length;
            self.kind = kind;
        }
    }

    fn message(&self, payload: Bytes) -> Message {
        Message {
            kind: MessageType(self.kind),
            stream_id: self.stream_id,
            timestamp_ms: self.timestamp,
            payload,
        }
    }
}

/// The most bytes that a message may have.
fn length_max(kind: MessageType, trusted: bool) -> u32 {
    match kind {
        MessageType::AUDIO | MessageType::VIDEO | MessageType::AGGREGATE if trusted => {
            MESSAGE_BYTES_MAX
        }
        MessageType::DATA | MessageType::DATA_AMF3 if trusted => DATA_BYTES_MAX,
        _ if trusted => COMMAND_BYTES_MAX,
        _ => STRANGER_BYTES_MAX,
    }
}

/// A message header (section 5.3.1.2).
#[derive(Clone, Copy, Debug)]
struct Fields {
    /// Timestamp or delta: fmt 0 to 2.
    time: Option<u32>,
    /// Length and type of the message: fmt 0 and 1.
    length_and_kind: Option<(u32, u8)>,
    /// The message stream: fmt 0.
    stream_id: Option<u32>,
    /// Bytes of all that.
    bytes: usize,
}

impl Fields {
    /// Of the bytes behind the basic header; `None` where more are needed.
    fn parse(fmt: u8, rest: &[u8]) -> Option<Self> {
        let mut fields = Fields {
            time: None,
            length_and_kind: None,
            stream_id: None,
            bytes: 0,
        };
        if fmt < 3 {
            let &[a, b, c] = rest.first_chunk()?;
            fields.time = Some(u32::from_be_bytes([0, a, b, c]));
            fields.bytes = 3;
        }
        if fmt < 2 {
            let &[_, _, _, a, b, c, kind] = rest.first_chunk()?;
            fields.length_and_kind = Some((u32::from_be_bytes([0, a, b, c]), kind));
            fields.bytes = 7;
        }
        if fmt < 1 {
            let &[_, _, _, _, _, _, _, a, b, c, d] = rest.first_chunk()?;
            fields.stream_id = Some(u32::from_le_bytes([a, b, c, d]));
            fields.bytes = 11;
        }
        Some(fields)
    }
}

/// The fmt, the chunk stream's id and what follows (section 5.3.1.1).
fn basic_header(head: &[u8]) -> Option<(u8, u32, &[u8])> {
    let (&first, rest) = head.split_first()?;
    let fmt = first >> 6;
    Some(match first & 0x3F {
        0 => {
            let (&low, rest) = rest.split_first()?;
            (fmt, 64 + u32::from(low), rest)
        }
        1 => {
            let (&[low, high], rest) = rest.split_first_chunk()?;
            (fmt, 64 + u32::from(low) + u32::from(high) * 256, rest)
        }
        csid => (fmt, u32::from(csid), rest),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_grows_with_what_came_and_not_with_what_was_declared() {
        let mut reader = ChunkReader::default();
        reader.set_trusted(true);
        let begin = b"\x06\0\0\0\xff\xff\xff\x09\x01\0\0\0a";
        let mut input = Bytes::from_static(begin);
        assert_eq!(reader.read(&mut input), Ok(None));
        let body = reader.streams[0]
            .body
            .as_ref()
            .expect("a message is under way");
        assert!(body.capacity() <= 2 * BODY_BYTES_MIN);
        let mut sent = 1;
        while sent < 1_000_000 {
            // A chunk of 128 bytes, whose first byte came already.
            let left = if sent == 1 { 127 } else { 128 };
            let mut chunk = vec![0xC6; usize::from(sent != 1)];
            chunk.resize(chunk.len() + left, 0);
            assert_eq!(reader.read(&mut chunk.into()), Ok(None));
            sent += left;
            let body = reader.streams[0]
                .body
                .as_ref()
                .expect("it is still under way");
            assert_eq!((body.len(), reader.held_bytes()), (sent, sent));
            assert!(body.capacity() <= 2 * (sent + BODY_BYTES_MIN));
        }
    }
}
