//! An MP3 stream of which every byte is known: MPEG-1 layer III, 128 kbit/s, 44.1 kHz, stereo,
//! digital silence for a decoder, with the frame's number and a pattern in the part of each frame
//! that decoders skip.

/// Bytes of a second.
pub(crate) const BYTES_PER_S: u64 = 16_000;
/// Samples of a frame, for pacing: a frame is 1152 / 44,100 s.
pub(crate) const FRAMES_PER_S: f64 = 44_100.0 / 1_152.0;

const HEADER_BYTES: usize = 4;
const SIDE_BYTES: usize = 32;
const MARK: [u8; 4] = *b"n\x00f\x01";

/// Where frame `n` begins: 144 * 128,000 / 44,100 bytes a frame, rounded down by padding.
pub(crate) const fn frame_start(n: u64) -> u64 {
    n * 20_480 / 49
}

/// Appends frame `n`.
pub(crate) fn write_frame(n: u64, out: &mut Vec<u8>) {
    let len = frame_start(n + 1) - frame_start(n);
    let padded = len == 418;
    let from = out.len();
    out.extend([0xff, 0xfb, if padded { 0x92 } else { 0x90 }, 0x00]);
    out.extend([0; SIDE_BYTES]);
    out.extend(MARK);
    // Seven bits a byte, so that no sync word is ever inside a frame.
    out.extend((0..8).map(|byte| (n >> (7 * byte)) as u8 & 0x7f));
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while (out.len() - from) as u64 != len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.push((state >> 32) as u8 & 0x7f);
    }
}

/// The frames of `range`, end to end.
pub(crate) fn frames(range: std::ops::Range<u64>) -> Vec<u8> {
    let mut out = Vec::new();
    for n in range {
        write_frame(n, &mut out);
    }
    out
}

/// What a listener heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// The numbers of the whole frames, in the order in which they came.
    pub(crate) frames: Vec<u64>,
    /// Bytes of the frame that was not whole at the end.
    pub(crate) tail: usize,
}

impl Heard {
    /// Places where the next frame is not the next number: (before, after).
    pub(crate) fn jumps(&self) -> Vec<(u64, u64)> {
        let pairs = self.frames.windows(2).map(|pair| (pair[0], pair[1]));
        pairs.filter(|(a, b)| a + 1 != *b).collect()
    }
}

/// Reads `audio` as frames of this stream. The first byte must begin a frame, every frame must be
/// right to the last byte and be followed by another; numbers may jump. The end may cut a frame.
pub(crate) fn read(audio: &[u8]) -> Result<Heard, String> {
    let mut heard = Heard::default();
    let mut at = 0;
    let mut expected = Vec::new();
    loop {
        let rest = &audio[at..];
        let Some(n) = number(rest) else {
            let known = rest.len().min(HEADER_BYTES + SIDE_BYTES);
            let plausible = rest.len() < HEADER_BYTES + SIDE_BYTES + MARK.len() + 8
                && (rest.is_empty() || rest[0] == 0xff)
                && rest[HEADER_BYTES.min(known)..known].iter().all(|b| *b == 0);
            heard.tail = rest.len();
            return if plausible {
                Ok(heard)
            } else {
                Err(format!(
                    "no frame at byte {at} (after {:?})",
                    heard.frames.last()
                ))
            };
        };
        expected.clear();
        write_frame(n, &mut expected);
        let len = expected.len().min(rest.len());
        if expected[..len] != rest[..len] {
            let wrong = (0..len).find(|i| expected[*i] != rest[*i]).unwrap_or(0);
            return Err(format!(
                "frame {n} at byte {at} is wrong at its byte {wrong}"
            ));
        }
        if len < expected.len() {
            heard.tail = len;
            return Ok(heard);
        }
        heard.frames.push(n);
        at += len;
    }
}

/// The number of the frame that `bytes` begin with.
fn number(bytes: &[u8]) -> Option<u64> {
    let after = bytes.get(HEADER_BYTES + SIDE_BYTES..)?;
    let digits = after.strip_prefix(&MARK)?.get(..8)?;
    let number = digits.iter().rev();
    Some(number.fold(0, |sum, digit| sum << 7 | u64::from(*digit)))
}

#[test]
fn what_is_written_is_read_and_damage_is_seen() {
    let mut audio = frames(100..200);
    let whole = read(&audio).expect("right");
    assert_eq!(whole.frames, (100..200).collect::<Vec<_>>());
    assert_eq!((whole.tail, whole.jumps()), (0, vec![]));

    let jumped = [frames(5..7), frames(90..92)].concat();
    assert_eq!(read(&jumped).expect("right").jumps(), [(6, 90)]);
    assert_eq!(
        read(&audio[..audio.len() - 1]).expect("cut").frames.len(),
        99
    );
    assert!(read(&audio[1..]).is_err());
    audio.remove(1_000);
    assert!(read(&audio).is_err());
}
