//! FLV as a player reads it (Adobe Flash Video File Format 10.1, annex E): a parser of our own.

use crate::http::fault;
use std::io;

use super::film::Kind;

/// Signature and flags, and the length of nothing before the first tag.
const FILE_HEAD_BYTES: usize = 13;
/// Type, length, time, stream.
const TAG_HEAD_BYTES: usize = 11;
/// The length of a tag that stands behind it.
const TAG_TAIL_BYTES: usize = 4;

/// Takes an FLV stream apart.
#[derive(Debug, Default)]
pub(crate) struct Tags {
    pending: Vec<u8>,
    began: bool,
}

impl Tags {
    /// Takes the next bytes; hands out the body of each whole tag of pictures or sound.
    pub(crate) fn push(
        &mut self,
        bytes: &[u8],
        mut on_tag: impl FnMut(Kind, &[u8]),
    ) -> io::Result<()> {
        self.pending.extend_from_slice(bytes);
        let mut rest = &self.pending[..];
        if !self.began {
            let Some((head, behind)) = rest.split_at_checked(FILE_HEAD_BYTES) else {
                return Ok(());
            };
            if !head.starts_with(b"FLV\x01") {
                return Err(fault("the stream is no FLV"));
            }
            (self.began, rest) = (true, behind);
        }
        while let Some((kind, body, behind)) = split_tag(rest)? {
            if let Some(kind) = kind {
                on_tag(kind, body);
            }
            rest = behind;
        }
        let used = self.pending.len() - rest.len();
        self.pending.drain(..used);
        Ok(())
    }
}

/// What a tag is, its body and what is behind it; none while it is incomplete.
type Split<'a> = Option<(Option<Kind>, &'a [u8], &'a [u8])>;

fn split_tag(bytes: &[u8]) -> io::Result<Split<'_>> {
    let Some((head, rest)) = bytes.split_first_chunk::<TAG_HEAD_BYTES>() else {
        return Ok(None);
    };
    let len = u32::from_be_bytes([0, head[1], head[2], head[3]]);
    let Some((body, rest)) = rest.split_at_checked(len as usize) else {
        return Ok(None);
    };
    let Some((tail, rest)) = rest.split_first_chunk::<TAG_TAIL_BYTES>() else {
        return Ok(None);
    };
    if u32::from_be_bytes(*tail) != len + TAG_HEAD_BYTES as u32 {
        return Err(fault("a tag's two lengths differ"));
    }
    let kind = match head[0] & 0x1f {
        8 => Some(Kind::Sound),
        9 => Some(Kind::Picture),
        18 => None,
        other => return Err(fault(format!("a tag has type {other}"))),
    };
    Ok(Some((kind, body, rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Vec<u8> {
        let mut bytes = b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec();
        for (kind, body) in [(18, &b"meta"[..]), (9, b"picture"), (8, b"")] {
            let len = body.len() as u32;
            bytes.push(kind);
            bytes.extend(&len.to_be_bytes()[1..]);
            bytes.extend([0; 7]);
            bytes.extend(body);
            bytes.extend((len + 11).to_be_bytes());
        }
        bytes
    }

    #[test]
    fn tags_are_the_same_however_the_bytes_come() {
        let expected = [
            (Kind::Picture, b"picture".to_vec()),
            (Kind::Sound, Vec::new()),
        ];
        for step in [1, 2, 7, 1_000] {
            let (mut tags, mut found) = (Tags::default(), Vec::new());
            for piece in stream().chunks(step) {
                let taken = tags.push(piece, |kind, body| found.push((kind, body.to_vec())));
                taken.expect("the stream is good");
            }
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn what_is_no_flv_is_told() {
        let mut wrong = stream();
        wrong[13 + 11 + 4 + 3] ^= 1;
        for bytes in [wrong, b"HTTP/1.0 404 nothing".to_vec()] {
            assert!(Tags::default().push(&bytes, |_, _| ()).is_err());
        }
    }
}
