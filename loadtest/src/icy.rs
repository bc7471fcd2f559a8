//! Takes the ICY metadata blocks out of a listener's stream and judges their form.

use serde::{Deserialize, Serialize};

/// What the blocks of a stream were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Blocks {
    /// All blocks, empty ones included.
    pub(crate) total: u64,
    /// Blocks that say a title.
    pub(crate) titles: u64,
    /// Blocks that are no well-formed `StreamTitle='...';` with zero padding.
    pub(crate) malformed: u64,
    /// Well-formed blocks that are not UTF-8 (Icecast sends Latin-1 on MP3 mounts).
    pub(crate) not_utf8: u64,
}

impl Blocks {
    /// Adds the blocks of another stream.
    pub(crate) fn add(&mut self, other: &Blocks) {
        self.total += other.total;
        self.titles += other.titles;
        self.malformed += other.malformed;
        self.not_utf8 += other.not_utf8;
    }
}

/// Splits one stream into audio and metadata.
#[derive(Debug)]
pub(crate) struct Stripper {
    metaint: usize,
    place: Place,
    block: Vec<u8>,
    blocks: Blocks,
}

/// What the next byte is.
#[derive(Debug)]
enum Place {
    /// Audio, this many bytes of it.
    Audio(usize),
    /// The length byte of a block.
    Length,
    /// A block, this many bytes of it.
    Block(usize),
}

impl Stripper {
    /// A stripper for blocks every `metaint` bytes, which must not be 0.
    pub(crate) const fn new(metaint: usize) -> Self {
        let blocks = Blocks {
            total: 0,
            titles: 0,
            malformed: 0,
            not_utf8: 0,
        };
        Stripper {
            metaint,
            place: Place::Audio(metaint),
            block: Vec::new(),
            blocks,
        }
    }

    /// Takes the next bytes and hands their audio to `audio`.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut audio: impl FnMut(&[u8])) {
        while let Some((&first, after_first)) = bytes.split_first() {
            match self.place {
                Place::Audio(left) => {
                    let (now, later) = bytes.split_at(left.min(bytes.len()));
                    audio(now);
                    bytes = later;
                    let left = left - now.len();
                    self.place = if left == 0 {
                        Place::Length
                    } else {
                        Place::Audio(left)
                    };
                }
                Place::Length => {
                    self.blocks.total += 1;
                    bytes = after_first;
                    self.place = match usize::from(first) * 16 {
                        0 => Place::Audio(self.metaint),
                        len => Place::Block(len),
                    };
                }
                Place::Block(left) => {
                    let (now, later) = bytes.split_at(left.min(bytes.len()));
                    self.block.extend_from_slice(now);
                    bytes = later;
                    self.place = Place::Block(left - now.len());
                    if left == now.len() {
                        self.on_block();
                        self.place = Place::Audio(self.metaint);
                    }
                }
            }
        }
    }

    /// What the blocks so far were.
    pub(crate) const fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    fn on_block(&mut self) {
        self.blocks.titles += 1;
        if !well_formed(&self.block) {
            self.blocks.malformed += 1;
        } else if std::str::from_utf8(&self.block).is_err() {
            self.blocks.not_utf8 += 1;
        }
        self.block.clear();
    }
}

fn well_formed(block: &[u8]) -> bool {
    let end = block
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    let text = block.get(..end).unwrap_or_default();
    text.starts_with(b"StreamTitle='") && text.ends_with(b"';") && !text.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Stream;
    use crate::verify::{Findings, Verifier};

    const METAINT: usize = 1_000;

    fn block(text: &str) -> Vec<u8> {
        let mut block = vec![text.len().div_ceil(16) as u8];
        block.extend(text.as_bytes());
        block.resize(1 + text.len().div_ceil(16) * 16, 0);
        block
    }

    /// A stream with a block after each `METAINT` bytes; every third one says a title.
    fn interleaved() -> Vec<u8> {
        let mut audio = Vec::new();
        Stream::new(5).write_range(0, 20_500, &mut audio);
        let mut wire = Vec::new();
        for (at, run) in audio.chunks(METAINT).enumerate() {
            wire.extend(run);
            if run.len() == METAINT {
                let text = if at % 3 == 0 {
                    "StreamTitle='Caf\u{e9} one';"
                } else {
                    ""
                };
                wire.extend(block(text));
            }
        }
        wire
    }

    fn judge(wire: &[u8], piece: usize) -> (Findings, Blocks) {
        let mut verifier = Verifier::new(Stream::new(5));
        let mut stripper = Stripper::new(METAINT);
        for piece in wire.chunks(piece) {
            stripper.push(piece, |audio| verifier.push(audio));
        }
        (verifier.finish(), stripper.blocks().clone())
    }

    #[test]
    fn exact_framing_gives_the_audio_back() {
        for piece in [1, 3, 999, 1_000, 1_001, 16_384] {
            let (findings, blocks) = judge(&interleaved(), piece);
            assert!(findings.flawless(), "{findings:?}");
            assert_eq!(findings.bytes, 20_500);
            assert_eq!(
                blocks,
                Blocks {
                    total: 20,
                    titles: 7,
                    malformed: 0,
                    not_utf8: 0
                }
            );
        }
    }

    #[test]
    fn a_missing_length_byte_is_found() {
        let mut wire = interleaved();
        // After the first block (1 + 32 bytes) and the next interval.
        wire.remove(METAINT + 33 + METAINT);
        let (findings, blocks) = judge(&wire, 1_400);
        assert!(
            !findings.bytes_right() || blocks.malformed > 0,
            "{findings:?} {blocks:?}"
        );
        assert!(!findings.flawless());
    }

    #[test]
    fn a_block_one_byte_early_is_found() {
        let mut wire = interleaved();
        wire.remove(10);
        let (findings, blocks) = judge(&wire, 1_400);
        assert!(!findings.bytes_right());
        assert!(
            blocks.malformed > 0 || findings.torn > 0,
            "{findings:?} {blocks:?}"
        );
    }

    #[test]
    fn bad_blocks_are_malformed() {
        for text in ["StreamTitle='x'", "Title='x';", "StreamTitle='a\0b';"] {
            let padded = block(text);
            assert!(!well_formed(&padded[1..]), "{text:?}");
        }
        assert!(well_formed(b"StreamTitle='\xc3';\0\0"));
        assert!(well_formed(&block("StreamTitle='';")[1..]));
    }
}
