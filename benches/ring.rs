//! What a message costs that crosses from shard to shard: ring and doorbell, both ends.

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use corecast_mesh::doorbell::Doorbell;
use corecast_mesh::ring::ring;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Messages that one turn of a shard sends.
const BATCH: u64 = 64;

/// Push and pop of one batch on one thread: the instructions, without the cache line's journey.
fn same_thread(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring");
    group.throughput(Throughput::Elements(BATCH));
    let (mut sender, mut receiver) = ring::<u64>(BATCH as usize);
    group.bench_function("push and pop, one thread", |bencher| {
        bencher.iter(|| {
            for message in 0..BATCH {
                let _ = black_box(sender.send(message));
            }
            while let Some(message) = receiver.recv() {
                black_box(message);
            }
        });
    });
    group.finish();
}

/// A batch to another thread that is awake, and its echo.
fn two_threads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring");
    group.throughput(Throughput::Elements(2 * BATCH));
    let (mut sender, mut far_receiver) = ring::<u64>(BATCH as usize);
    let (mut far_sender, mut receiver) = ring::<u64>(BATCH as usize);
    let echo = thread::spawn(move || {
        loop {
            match far_receiver.recv() {
                Some(u64::MAX) => return,
                Some(message) => {
                    let _ = far_sender.send(message);
                }
                None => thread::yield_now(),
            }
        }
    });
    group.bench_function("echo of a batch, two threads", |bencher| {
        bencher.iter(|| {
            for message in 0..BATCH {
                let _ = sender.send(message);
            }
            let mut echoed = 0;
            while echoed < BATCH {
                match receiver.recv() {
                    Some(message) => echoed += u64::from(black_box(message) < BATCH),
                    None => thread::yield_now(),
                }
            }
        });
    });
    let _ = sender.send(u64::MAX);
    echo.join().expect("the echo ends when it is told to");
    group.finish();
}

/// The button of a plane that is awake, and of one that sleeps (a system call each).
fn doorbell(criterion: &mut Criterion) {
    let bell = Doorbell::new().expect("a descriptor is left");
    let button = bell.button();
    criterion.bench_function("doorbell, awake", |bencher| bencher.iter(|| button.ring()));
    criterion.bench_function("doorbell, asleep", |bencher| {
        bencher.iter_custom(|rounds| {
            (0..rounds).fold(Duration::ZERO, |spent, _| {
                bell.sleep();
                let started = Instant::now();
                button.ring();
                let spent = spent + started.elapsed();
                bell.wake();
                spent
            })
        });
    });
}

criterion_group!(benches, same_thread, two_threads, doorbell);
criterion_main!(benches);
