//! What one step of the fan-out costs without the kernel: a slot of listeners, each sent a
//! quantum with and without ICY blocks, and a joiner's burst.

use std::hint::black_box;
use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corecast_media::fanout::{Reader, ReaderPolicy, Sent, Socket, Tally};
use corecast_media::run::{Border, Run};
use corecast_media::time::Time;
use corecast_media::window::{Stretch, Window};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

/// Listeners of one slot.
const LISTENERS: usize = 800;
/// Bytes of an MPEG frame at 128 kbit/s.
const FRAME_BYTES: u32 = 418;
/// Frames of one run: a quarter of a quantum.
const FRAMES: u32 = 10;

const POLICY: ReaderPolicy = ReaderPolicy {
    budget: Duration::from_secs(15),
    skip: true,
    skip_bytes: 16_384,
    burst_bytes: 32_768,
    opening_bytes: 0,
};

/// A peer that takes everything.
struct Sink;

impl Socket for Sink {
    fn send(&mut self, slices: &[IoSlice<'_>]) -> Sent {
        Sent::Bytes(slices.iter().map(|slice| black_box(slice).len()).sum())
    }

    fn is_closed(&mut self) -> bool {
        false
    }
}

fn run() -> Run {
    let borders: Arc<[Border]> = (0..FRAMES)
        .map(|i| Border::new(i * FRAME_BYTES, true))
        .collect();
    let payload = Bytes::from(vec![7; (FRAMES * FRAME_BYTES) as usize]);
    Run {
        payload,
        borders,
        arrived: Time::ZERO,
    }
}

/// A mount's window with titles, and listeners at its live edge; then a quantum arrives.
fn slot(metaint: u32) -> (Window, Vec<Reader<Sink>>) {
    let mut window = Window::new();
    window.push_title(Bytes::from_static(&[1; 17]));
    (0..8).for_each(|_| window.push(run()));
    let end = window.end();
    let reader = || Reader::new(Time::ZERO, Sink, b"", metaint, &window, end);
    let listeners = (0..LISTENERS).map(|_| reader()).collect();
    (0..4).for_each(|_| window.push(run()));
    (window, listeners)
}

fn step(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fanout");
    group.throughput(Throughput::Elements(LISTENERS as u64));
    for (name, metaint) in [
        ("a quantum to 800 listeners", 0),
        ("the same with titles", 16_000),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                || slot(metaint),
                |(window, listeners)| {
                    let mut tally = Tally::default();
                    let mut stretch = Stretch::default();
                    stretch.gather(window, listeners[0].position().unwrap_or_default());
                    for listener in listeners {
                        let served =
                            listener.serve(Time::ZERO, window, &stretch, POLICY, &mut tally);
                        black_box(served);
                    }
                    tally
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn join(criterion: &mut Criterion) {
    let (window, _) = slot(16_000);
    criterion.bench_function("fanout/join with a burst of two quanta", |bencher| {
        bencher.iter(|| {
            let position = window.join_position(32_768);
            let mut tally = Tally::default();
            let mut reader = Reader::new(Time::ZERO, Sink, &[9; 400], 16_000, &window, position);
            black_box(reader.serve(Time::ZERO, &window, &Stretch::default(), POLICY, &mut tally))
        });
    });
}

criterion_group!(fanout, step, join);
criterion_main!(fanout);
