//! What the framers' tests share: one input in many splits.

use bytes::Bytes;
use corecast_media::frame::MediaEvent;

use crate::{adts, mpa, ogg};

/// The face that every framer has.
pub(crate) trait Face {
    fn push(&mut self, bytes: Bytes);
    fn poll(&mut self) -> Option<MediaEvent>;
    fn finish(&mut self);
    fn discarded_bytes(&self) -> u64;
    fn buffered_bytes(&self) -> usize;
}

macro_rules! face {
    ($framer:ty) => {
        impl Face for $framer {
            fn push(&mut self, bytes: Bytes) {
                <$framer>::push(self, bytes);
            }
            fn poll(&mut self) -> Option<MediaEvent> {
                <$framer>::poll(self)
            }
            fn finish(&mut self) {
                <$framer>::finish(self);
            }
            fn discarded_bytes(&self) -> u64 {
                <$framer>::discarded_bytes(self)
            }
            fn buffered_bytes(&self) -> usize {
                <$framer>::buffered_bytes(self)
            }
        }
    };
}

face!(mpa::Framer);
face!(adts::Framer);
face!(ogg::Framer);

/// How an input is cut into pushes: the longest push, and the seed of the lengths (0 for always
/// the longest).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Splits {
    bytes_max: usize,
    seed: u64,
}

impl Splits {
    pub(crate) fn all() -> Vec<Splits> {
        let mut splits = vec![
            Splits {
                bytes_max: usize::MAX,
                seed: 0,
            },
            Splits {
                bytes_max: 1,
                seed: 0,
            },
            Splits {
                bytes_max: 1_400,
                seed: 0,
            },
        ];
        splits.extend((1..=20).map(|seed| Splits {
            bytes_max: 1 << (1 + seed % 12),
            seed,
        }));
        splits
    }

    /// Few and long pieces, for inputs of megabytes.
    pub(crate) fn coarse() -> Vec<Splits> {
        vec![
            Splits {
                bytes_max: usize::MAX,
                seed: 0,
            },
            Splits {
                bytes_max: 1_400,
                seed: 0,
            },
            Splits {
                bytes_max: 16_384,
                seed: 1,
            },
        ]
    }

    /// The pieces of `input`.
    pub(crate) fn cut(self, input: &[u8]) -> Vec<Bytes> {
        let mut pieces = Vec::new();
        let mut rest = Bytes::copy_from_slice(input);
        let mut state = self.seed;
        while !rest.is_empty() {
            let length = if self.seed == 0 {
                self.bytes_max
            } else {
                // Knuth's multiplier; only the high bits are good.
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695);
                1 + (state >> 33) as usize % self.bytes_max
            };
            pieces.push(rest.split_to(length.min(rest.len())));
        }
        pieces
    }
}

/// Runs `input` through fresh framers, once for each of `splits`, and checks that all say the same
/// and that none holds more than its bound. Returns the events and the discarded bytes.
pub(crate) fn run<F: Face>(
    input: &[u8],
    fresh: impl Fn() -> (F, usize),
    splits: Vec<Splits>,
) -> (Vec<MediaEvent>, u64) {
    let mut first = None;
    for split in splits {
        let (mut framer, bytes_max) = fresh();
        let mut events = Vec::new();
        for piece in split.cut(input) {
            framer.push(piece);
            events.extend(std::iter::from_fn(|| framer.poll()));
            let held = framer.buffered_bytes();
            assert!(held <= bytes_max, "{held} bytes are held with {split:?}");
        }
        framer.finish();
        events.extend(std::iter::from_fn(|| framer.poll()));
        let said = (events, framer.discarded_bytes());
        let (expected, _) = first.get_or_insert_with(|| (said.clone(), split));
        assert!(&said == expected, "{split:?} changes the events");
    }
    first.expect("at least one split").0
}

/// The payloads of all frames, one after another.
pub(crate) fn payloads(events: &[MediaEvent]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for event in events {
        if let MediaEvent::Frame(frame) = event {
            bytes.extend_from_slice(&frame.payload);
        }
    }
    bytes
}
