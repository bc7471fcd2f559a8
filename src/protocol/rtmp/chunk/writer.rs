//! Messages to chunks.

use bytes::{BufMut, BytesMut};

use super::TIMESTAMP_EXTENDED;
use crate::rtmp::MessageType;

/// The most bytes of a message's body; longer bodies are cut by nobody and must not be given.
const LENGTH_MAX: usize = 0xFF_FFFF;

/// Appends one message to `out`: a chunk with a full header (fmt 0), then chunks of the same
/// message (fmt 3) with `chunk_bytes` of body each (at least 1).
///
/// The bytes follow from the arguments alone, so every peer who was told this chunk size can be
/// given the same ones, between any two whole messages. `csid` is 2 to 63. The body is what
/// `body_parts` come to, at most 2^24 - 1 bytes; a longer one is not written.
pub fn write_message(
    out: &mut BytesMut,
    csid: u8,
    kind: MessageType,
    timestamp_ms: u32,
    stream_id: u32,
    body_parts: &[&[u8]],
    chunk_bytes: u32,
) {
    let length = body_parts.iter().map(|part| part.len()).sum::<usize>();
    if length > LENGTH_MAX {
        return;
    }
    let chunk_bytes = chunk_bytes.max(1) as usize;
    let chunks = length.div_ceil(chunk_bytes).max(1);
    out.reserve(length + 11 + chunks * 5);
    let csid = csid & 0x3F;
    let extended = timestamp_ms >= TIMESTAMP_EXTENDED;
    out.put_u8(csid);
    out.put_uint(u64::from(timestamp_ms.min(TIMESTAMP_EXTENDED)), 3);
    out.put_uint(length as u64, 3);
    out.put_u8(kind.0);
    out.put_u32_le(stream_id);
    if extended {
        out.put_u32(timestamp_ms);
    }
    let mut room = chunk_bytes;
    for part in body_parts {
        let mut rest = *part;
        while !rest.is_empty() {
            if room == 0 {
                out.put_u8(0xC0 | csid);
                if extended {
                    // Section 5.3.1.3: on fmt 3 too.
                    out.put_u32(timestamp_ms);
                }
                room = chunk_bytes;
            }
            let (now, later) = rest.split_at(rest.len().min(room));
            out.extend_from_slice(now);
            room -= now.len();
            rest = later;
        }
    }
}
