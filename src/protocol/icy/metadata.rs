//! ICY metadata blocks: one length byte that counts units of 16, then fields such as
//! `StreamTitle='...';`, padded with NUL ("The SHOUTcast metadata protocol", section "Metadata").

use bytes::{BufMut, Bytes, BytesMut};
use corecast_media::metadata::Metadata;

/// The bytes that one step of the length byte stands for.
pub const UNIT_BYTES: usize = 16;

/// The most bytes of fields and padding in one block.
pub const BLOCK_BYTES_MAX: usize = 255 * UNIT_BYTES;

/// The block that says that nothing changed.
pub const EMPTY_BLOCK: Bytes = Bytes::from_static(&[0]);

const TITLE_START: &str = "StreamTitle='";
const URL_START: &str = "StreamUrl='";
const FIELD_END: &str = "';";

/// The most bytes of a title in a block, so that its field always fits.
const TITLE_BYTES_MAX: usize = BLOCK_BYTES_MAX - TITLE_START.len() - FIELD_END.len();

/// Renders the block of `metadata`, its length byte included.
///
/// Players read a field from `='` up to the first `';`, so both are broken inside texts by a space;
/// apostrophes stay otherwise. A title that does not fit is cut at a code point, a link that does
/// not fit is left out.
pub fn block(metadata: &Metadata) -> Bytes {
    let mut fields = String::with_capacity(256);
    push_field(&mut fields, TITLE_START, &metadata.title);
    if let Some(url) = &metadata.url {
        let before = fields.len();
        push_field(&mut fields, URL_START, url);
        if fields.len() > BLOCK_BYTES_MAX {
            fields.truncate(before);
        }
    }
    let units = fields.len().div_ceil(UNIT_BYTES);
    let mut out = BytesMut::with_capacity(1 + units * UNIT_BYTES);
    // The title is bounded and the link was checked: at most 255 units.
    out.put_u8(u8::try_from(units).unwrap_or(u8::MAX));
    out.put_slice(fields.as_bytes());
    out.put_bytes(0, units * UNIT_BYTES - fields.len());
    out.freeze()
}

fn push_field(fields: &mut String, start: &str, text: &str) {
    fields.push_str(start);
    let from = fields.len();
    let mut last = ' ';
    for c in text.chars() {
        let c = if c.is_control() { ' ' } else { c };
        if matches!((last, c), ('\'', ';') | ('=', '\'')) {
            fields.push(' ');
        }
        fields.push(c);
        last = c;
        if fields.len() - from > TITLE_BYTES_MAX {
            break;
        }
    }
    if fields.len() - from > TITLE_BYTES_MAX {
        fields.truncate(fields.floor_char_boundary(from + TITLE_BYTES_MAX));
    }
    fields.push_str(FIELD_END);
}

/// The fields of a block as a player reads them: its length byte is gone, padding may be there.
///
/// `None` where there is no `StreamTitle`. Texts that are no UTF-8 are read as Latin-1.
pub fn parse(fields: &[u8]) -> Option<Metadata> {
    let text = crate::text::decode(fields);
    let (mut title, mut url) = (None, None);
    let mut rest = text.trim_end_matches('\0');
    while let Some((name, after)) = rest.split_once("='") {
        let (value, next) = after.split_once(FIELD_END).unwrap_or((after, ""));
        match name {
            "StreamTitle" => title = title.or(Some(value)),
            "StreamUrl" => url = url.or(Some(value)),
            _ => {}
        }
        rest = next;
    }
    let metadata = Metadata::from_title(title?);
    Some(match url {
        Some(url) => metadata.with_url(url),
        None => metadata,
    })
}
