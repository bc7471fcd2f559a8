//! Tags of Vorbis, Opus, FLAC and Speex: one layout for all (Vorbis I specification section 5.2.1,
//! RFC 7845 section 5.2, RFC 9639 section 8.6).

use corecast_media::metadata::Metadata;

use crate::text;

/// The most tags that are looked at, whatever number is declared.
pub const TAGS_MAX: u32 = 1_024;

/// Reads artist and title out of `block`, which starts with the vendor's length. Lengths that lead
/// out of the block end the search; what was found before counts.
pub fn parse(block: &[u8]) -> Metadata {
    let mut found = Found::default();
    // A block that is cut short is no fault here: its tags are simply fewer.
    let _ = read(block, &mut found);
    Metadata::from_parts(
        &found.artist.unwrap_or_default(),
        &found.title.unwrap_or_default(),
    )
}

#[derive(Default)]
struct Found {
    artist: Option<String>,
    title: Option<String>,
}

fn read(block: &[u8], found: &mut Found) -> Option<()> {
    let (_vendor, rest) = take_text(block)?;
    let (count, mut rest) = take_length(rest)?;
    for _ in 0..count.min(TAGS_MAX) {
        let (tag, behind) = take_text(rest)?;
        rest = behind;
        let Some(equals) = tag.iter().position(|&byte| byte == b'=') else {
            continue;
        };
        let (name, value) = tag.split_at_checked(equals)?;
        let slot = if name.eq_ignore_ascii_case(b"TITLE") {
            &mut found.title
        } else if name.eq_ignore_ascii_case(b"ARTIST") {
            &mut found.artist
        } else {
            continue;
        };
        if slot.is_none() {
            *slot = Some(text::decode(value.get(1..)?).into_owned());
        }
    }
    Some(())
}

fn take_length(block: &[u8]) -> Option<(u32, &[u8])> {
    let (length, rest) = block.split_first_chunk()?;
    Some((u32::from_le_bytes(*length), rest))
}

fn take_text(block: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = take_length(block)?;
    rest.split_at_checked(usize::try_from(length).ok()?)
}
