use std::io::IoSlice;
use std::sync::Arc;

use super::*;
use crate::frame::{Frame, FrameKind, MediaEvent};
use crate::run::{Border, Run};

/// A peer that takes what it is told to, and remembers it.
#[derive(Debug, Default)]
struct Peer {
    got: Vec<u8>,
    /// Bytes that the next sends take; empty takes all.
    takes: Vec<usize>,
    closed: bool,
    /// It holds on to what it took.
    holds: bool,
}

impl Socket for Peer {
    fn send(&mut self, slices: &[IoSlice<'_>]) -> Sent {
        if self.closed {
            return Sent::Failed;
        }
        let all: Vec<u8> = slices
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect();
        let taken = self.takes.pop().unwrap_or(all.len()).min(all.len());
        self.got.extend_from_slice(&all[..taken]);
        if taken == 0 {
            Sent::Full
        } else {
            Sent::Bytes(taken)
        }
    }

    fn flush(&mut self) -> Sent {
        if self.holds {
            Sent::Full
        } else {
            Sent::Bytes(0)
        }
    }

    fn is_closed(&mut self) -> bool {
        self.closed
    }
}

pub(super) const POLICY: ReaderPolicy = ReaderPolicy {
    budget: Duration::from_secs(15),
    skip: true,
    skip_bytes: 400,
    burst_bytes: 300,
    opening_bytes: 0,
};

/// A run of ten frames of ten bytes; every byte tells its frame.
pub(super) fn run(first_frame: u8, arrived: Time) -> Run {
    let payload: Vec<u8> = (0..100).map(|i| first_frame + i / 10).collect();
    let borders: Arc<[Border]> = (0..10).map(|i| Border::new(i * 10, true)).collect();
    Run {
        payload: payload.into(),
        borders,
        arrived,
    }
}

fn block(text: &str) -> Bytes {
    let mut block = vec![1];
    block.extend_from_slice(text.as_bytes());
    block.resize(17, 0);
    block.into()
}

/// What is left of `got` without the blocks, and the titles with the audio bytes before each.
fn strip(got: &[u8], metaint: usize) -> (Vec<u8>, Vec<(usize, String)>) {
    let (mut audio, mut titles, mut rest) = (Vec::new(), Vec::new(), got);
    while rest.len() > metaint {
        audio.extend_from_slice(&rest[..metaint]);
        let len = usize::from(rest[metaint]) * 16;
        let text = &rest[metaint + 1..(metaint + 1 + len).min(rest.len())];
        if len > 0 {
            let text = String::from_utf8_lossy(text)
                .trim_end_matches('\0')
                .to_owned();
            titles.push((audio.len(), text));
        }
        rest = &rest[(metaint + 1 + len).min(rest.len())..];
    }
    audio.extend_from_slice(rest);
    (audio, titles)
}

fn small_numbers(seed: u64) -> impl Iterator<Item = usize> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % 60
    })
}

#[test]
fn a_record_is_small() {
    assert!(
        size_of::<Reader<i32>>() <= 56,
        "{} bytes",
        size_of::<Reader<i32>>()
    );
}

#[test]
fn framing_is_exact_whatever_the_writes() {
    for seed in 0..300 {
        let mut window = Window::new();
        let mut expected = Vec::new();
        window.push_title(block("one"));
        let peer = Peer {
            takes: small_numbers(seed).take(40).collect(),
            ..Peer::default()
        };
        let mut reader = Reader::new(Time::ZERO, peer, b"", 64, &window, 0);
        let mut tally = Tally::default();
        for step in 0..8u8 {
            if step == 4 {
                window.push_title(block("two"));
            }
            let next = run(step * 10, Time::from_millis(u64::from(step) * 100));
            expected.extend_from_slice(&next.payload);
            window.push(next);
            let mut stretch = Stretch::default();
            stretch.gather(&window, window.end().saturating_sub(150));
            for _ in 0..5 {
                let now = Time::from_millis(u64::from(step) * 100 + 10);
                assert!(!matches!(
                    reader.serve(now, &window, &Stretch::default(), POLICY, &mut tally),
                    Served::Ended(_)
                ));
            }
        }
        reader.socket.takes.clear();
        let served = reader.serve(
            Time::from_millis(900),
            &window,
            &Stretch::default(),
            POLICY,
            &mut tally,
        );
        assert_eq!(served, Served::Steady);
        let (audio, titles) = strip(&reader.socket.got, 64);
        assert_eq!(audio, expected, "seed {seed}");
        assert_eq!(
            titles,
            [(64, "one".to_owned()), (448, "two".to_owned())],
            "seed {seed}"
        );
        assert_eq!(reader.sent(), reader.socket.got.len() as u64);
    }
}

#[test]
fn a_slow_reader_skips_at_a_frame_border_and_its_framing_stays_exact() {
    for seed in 0..100 {
        let mut window = Window::new();
        window.push_title(block("t"));
        let mut peer = Peer {
            takes: vec![0; 30],
            ..Peer::default()
        };
        peer.takes.push(small_numbers(seed).next().unwrap_or(0) + 1);
        let mut reader = Reader::new(Time::ZERO, peer, b"", 64, &window, 0);
        let mut tally = Tally::default();
        for step in 0..20u8 {
            let now = Time::from_millis(u64::from(step) * 1_000);
            window.push(run(step * 10, now));
            let served = reader.serve(now, &window, &Stretch::default(), POLICY, &mut tally);
            assert!(!matches!(served, Served::Ended(_)), "{served:?} at {step}");
        }
        assert!(tally.skips >= 1);
        reader.socket.takes.clear();
        reader.serve(
            Time::from_millis(20_000),
            &window,
            &Stretch::default(),
            POLICY,
            &mut tally,
        );
        let (audio, _) = strip(&reader.socket.got, 64);
        let frames: Vec<u8> = audio.chunks(10).map(|frame| frame[0]).collect();
        assert!(
            audio
                .chunks(10)
                .all(|frame| frame.len() == 10 && frame == [frame[0]; 10])
        );
        assert!(
            frames.windows(2).all(|pair| pair[0] < pair[1]),
            "frames in order: {frames:?}"
        );
        assert_eq!(frames.last(), Some(&199));
    }
}

#[test]
fn a_reader_past_its_budget_is_dropped_where_the_mount_says_so() {
    let mut window = Window::new();
    window.push(run(0, Time::ZERO));
    let peer = Peer {
        takes: vec![0; 99],
        ..Peer::default()
    };
    let mut reader = Reader::new(Time::ZERO, peer, b"", 0, &window, 0);
    let mut tally = Tally::default();
    let policy = ReaderPolicy {
        skip: false,
        ..POLICY
    };
    let at = |ms| Time::from_millis(ms);
    assert_eq!(
        reader.serve(at(15_000), &window, &Stretch::default(), policy, &mut tally),
        Served::Behind
    );
    let end = Served::Ended(ReaderEnd::TooSlow);
    assert_eq!(
        reader.serve(at(15_001), &window, &Stretch::default(), policy, &mut tally),
        end
    );
}

#[test]
fn a_dead_reader_ends_even_where_it_might_skip() {
    let mut window = Window::new();
    let peer = Peer {
        takes: vec![0; 99],
        ..Peer::default()
    };
    let mut reader = Reader::new(Time::ZERO, peer, b"", 0, &window, 0);
    let mut tally = Tally::default();
    let mut served = Served::Steady;
    for second in 0..32 {
        let now = Time::from_millis(second * 1_000);
        window.push(run(0, now));
        window.trim(now, Duration::from_secs(20), 0);
        served = reader.serve(now, &window, &Stretch::default(), POLICY, &mut tally);
    }
    assert_eq!(served, Served::Ended(ReaderEnd::TooSlow));
}

#[test]
fn a_reader_that_always_takes_a_part_is_slow_and_not_dead() {
    let mut window = Window::new();
    let peer = Peer {
        takes: vec![60; 999],
        ..Peer::default()
    };
    let mut reader = Reader::new(Time::ZERO, peer, b"", 0, &window, 0);
    let mut tally = Tally::default();
    for second in 0..200 {
        let now = Time::from_millis(second * 1_000);
        window.push(run(0, now));
        window.trim(now, Duration::from_secs(20), 0);
        let served = reader.serve(now, &window, &Stretch::default(), POLICY, &mut tally);
        assert!(
            !matches!(served, Served::Ended(_)),
            "{served:?} after {second} s"
        );
    }
    assert!(tally.skips > 1, "{} skips", tally.skips);
}

#[test]
fn who_leaves_waits_for_what_the_transport_holds_but_not_for_ever() {
    for (let_go, expected) in [(true, ReaderEnd::Left), (false, ReaderEnd::TooSlow)] {
        let mut window = Window::new();
        window.push(run(0, Time::ZERO));
        let peer = Peer {
            holds: true,
            ..Peer::default()
        };
        let mut reader = Reader::new(Time::ZERO, peer, b"", 0, &window, 0);
        let serve = |reader: &mut Reader<Peer>, second: u64| {
            let now = Time::from_millis(second * 1_000);
            let mut tally = Tally::default();
            reader.serve(now, &window, &Stretch::default(), POLICY, &mut tally)
        };
        assert_eq!(serve(&mut reader, 0), Served::Behind);
        assert_eq!(reader.socket.got.len(), 100);
        reader.leave(&window);
        assert_eq!(serve(&mut reader, 1), Served::Behind);
        reader.socket.holds = !let_go;
        assert_eq!(serve(&mut reader, 6), Served::Ended(expected));
    }
}

#[test]
fn a_burst_older_than_the_budget_is_no_lag() {
    let mut window = Window::new();
    window.push(run(0, Time::ZERO));
    let now = Time::from_millis(60_000);
    let peer = Peer {
        takes: vec![0, 5],
        ..Peer::default()
    };
    let mut reader = Reader::new(now, peer, b"", 0, &window, 0);
    let mut tally = Tally::default();
    assert_eq!(
        reader.serve(now, &window, &Stretch::default(), POLICY, &mut tally),
        Served::Behind
    );
    reader.serve(
        Time::from_millis(61_000),
        &window,
        &Stretch::default(),
        POLICY,
        &mut tally,
    );
    assert_eq!(tally.skips, 0);
}

#[test]
fn a_file_header_stands_only_at_the_start_of_what_a_peer_gets() {
    let policy = ReaderPolicy {
        opening_bytes: 4,
        ..POLICY
    };
    let (mut old, mut new) = (Window::new(), Window::new());
    old.push_headers(Bytes::from_static(b"FILEone"));
    old.push(run(0, Time::ZERO));
    new.push_headers(Bytes::from_static(b"FILEtwo"));
    let mut reader = Reader::new(Time::ZERO, Peer::default(), b"", 0, &old, 0);
    let (none, mut tally) = (Stretch::default(), Tally::default());
    reader.serve(Time::ZERO, &old, &none, policy, &mut tally);
    reader.go_to(Time::ZERO, &old, &new);
    new.push(run(100, Time::ZERO));
    reader.serve(Time::ZERO, &new, &none, policy, &mut tally);
    let mut expected = b"FILEone".to_vec();
    expected.extend((0..100).map(|i| i / 10));
    expected.extend_from_slice(b"two");
    expected.extend((0..100).map(|i| 100 + i / 10));
    assert_eq!(reader.socket.got, expected);
}

#[test]
fn moves_and_leaves_wait_for_the_end_of_the_frame() {
    let (mut old, mut new) = (Window::new(), Window::new());
    old.push(run(0, Time::ZERO));
    new.push_headers(Bytes::from_static(b"HEADERS"));
    new.push(run(100, Time::ZERO));
    let peer = Peer {
        takes: vec![13],
        ..Peer::default()
    };
    let mut reader = Reader::new(Time::ZERO, peer, b"head", 0, &old, 0);
    let mut tally = Tally::default();
    assert_eq!(
        reader.serve(Time::ZERO, &old, &Stretch::default(), POLICY, &mut tally),
        Served::Behind
    );
    reader.go_to(Time::ZERO, &old, &new);
    assert_eq!(
        reader.serve(Time::ZERO, &new, &Stretch::default(), POLICY, &mut tally),
        Served::Steady
    );
    new.push(run(105, Time::ZERO));
    assert_eq!(
        reader.serve(Time::ZERO, &new, &Stretch::default(), POLICY, &mut tally),
        Served::Steady
    );
    let mut expected = b"head".to_vec();
    expected.extend_from_slice(&[0; 10]);
    expected.extend_from_slice(b"HEADERS");
    expected.extend((0..100).map(|i| 105 + i / 10));
    assert_eq!(reader.socket.got, expected);

    new.push(run(110, Time::ZERO));
    reader.socket.takes = vec![3];
    reader.serve(Time::ZERO, &new, &Stretch::default(), POLICY, &mut tally);
    reader.leave(&new);
    let end = reader.serve(Time::ZERO, &new, &Stretch::default(), POLICY, &mut tally);
    assert_eq!(end, Served::Ended(ReaderEnd::Left));
    expected.extend_from_slice(&[110; 10]);
    assert_eq!(reader.socket.got, expected);
}

#[test]
fn an_idle_readers_peer_is_asked_for_rarely() {
    let window = Window::new();
    let peer = Peer {
        closed: true,
        ..Peer::default()
    };
    let mut reader = Reader::new(Time::ZERO, peer, b"", 0, &window, 0);
    let mut tally = Tally::default();
    let early = reader.serve(
        Time::from_millis(4_900),
        &window,
        &Stretch::default(),
        POLICY,
        &mut tally,
    );
    assert_eq!(early, Served::Steady);
    let late = reader.serve(
        Time::from_millis(5_000),
        &window,
        &Stretch::default(),
        POLICY,
        &mut tally,
    );
    assert_eq!(late, Served::Ended(ReaderEnd::Closed));
}

/// An intro of thirty frames of ten bytes and 100 ms each; every byte tells its frame.
fn intro() -> Arc<Intro> {
    let frames = (200..230u8).map(|number| {
        MediaEvent::Frame(Frame {
            payload: vec![number; 10].into(),
            duration_us: 100_000,
            kind: FrameKind::Entry,
        })
    });
    Arc::new(Intro::gather(frames).expect("there is sound"))
}

/// Numbers of the whole frames in `audio`.
fn frames(audio: &[u8]) -> Vec<u8> {
    let frames = audio.chunks(10);
    frames
        .map(|frame| {
            assert_eq!(frame, [frame[0]; 10], "a frame is whole");
            frame[0]
        })
        .collect()
}

#[test]
fn an_intro_comes_first_at_its_pace_and_then_the_live_edge() {
    for seed in 0..100 {
        let mut window = Window::new();
        window.push_title(block("live"));
        window.push(run(0, Time::ZERO));
        let peer = Peer {
            takes: small_numbers(seed).take(20).collect(),
            ..Peer::default()
        };
        let mut reader = Reader::new(Time::ZERO, peer, b"", 64, &window, 0);
        reader.play(Time::ZERO, intro(), &window);
        assert_eq!(reader.position(), None);
        let mut tally = Tally::default();
        let burst = ReaderPolicy {
            burst_bytes: 60,
            ..POLICY
        };
        for ms in (0..6_000u64).step_by(50) {
            let now = Time::from_millis(ms);
            if ms % 1_000 == 0 && ms > 0 {
                window.push(run((ms / 100) as u8, now));
            }
            let served = reader.serve(now, &window, &Stretch::default(), burst, &mut tally);
            assert!(!matches!(served, Served::Ended(_)), "{served:?}");
            let most = 60 + 30 + 10 + (ms / 10) as usize;
            let got = reader.socket.got.len();
            assert!(ms > 1_500 || got <= most + most / 64, "{got} at {ms} ms");
        }
        let (audio, titles) = strip(&reader.socket.got, 64);
        // The intro ends at 2.3 s; the newest entry is then frame 29, of the run of 2 s.
        let live = [29].into_iter().chain(30..60);
        let expected: Vec<u8> = (200..230).chain(live).collect();
        assert_eq!(frames(&audio), expected, "seed {seed}");
        assert_eq!(titles, [(320, "live".to_owned())], "none in the intro");
        assert_eq!(reader.position(), Some(window.end()));
    }
}

#[test]
fn a_short_intro_leaves_the_rest_of_the_burst_to_the_stream() {
    let mut window = Window::new();
    (0..10).for_each(|i| window.push(run(i * 10, Time::ZERO)));
    let mut reader = Reader::new(Time::ZERO, Peer::default(), b"head", 0, &window, 0);
    reader.play(Time::ZERO, intro(), &window);
    let policy = ReaderPolicy {
        burst_bytes: 500,
        ..POLICY
    };
    let none = Stretch::default();
    let served = reader.serve(Time::ZERO, &window, &none, policy, &mut Tally::default());
    assert_eq!(served, Served::Steady);
    let (head, audio) = reader.socket.got.split_at(4);
    assert_eq!(head, b"head");
    let expected: Vec<u8> = (200..230).chain(80..100).collect();
    assert_eq!(frames(audio), expected, "500 bytes in all");
}

#[test]
fn a_reader_leaves_its_intro_at_a_frame_and_takes_it_along_when_it_moves() {
    let (mut old, mut new) = (Window::new(), Window::new());
    old.push(run(0, Time::ZERO));
    new.push(run(100, Time::ZERO));
    let none = Stretch::default();
    let mut tally = Tally::default();
    let mut join = || {
        let peer = Peer {
            takes: vec![0, 14],
            ..Peer::default()
        };
        let mut reader = Reader::new(Time::ZERO, peer, b"", 0, &old, 0);
        reader.play(Time::ZERO, intro(), &old);
        let served = reader.serve(Time::ZERO, &old, &none, POLICY, &mut tally);
        assert_eq!(served, Served::Behind);
        reader
    };
    let (mut leaves, mut moves, mut skips) = (join(), join(), join());

    leaves.leave(&old);
    leaves.socket.takes.clear();
    let end = leaves.serve(Time::ZERO, &old, &none, POLICY, &mut tally);
    assert_eq!(end, Served::Ended(ReaderEnd::Left));
    assert_eq!(frames(&leaves.socket.got), [200, 201]);

    moves.go_to(Time::ZERO, &old, &new);
    moves.socket.takes.clear();
    moves.serve(Time::ZERO, &new, &none, POLICY, &mut tally);
    let expected: Vec<u8> = (200..230).chain([109]).collect();
    assert_eq!(frames(&moves.socket.got), expected);

    // Its player would be at the end of the intro for longer than the budget.
    skips.socket.takes.clear();
    old.push(run(10, Time::from_millis(15_200)));
    let now = Time::from_millis(15_250);
    assert!(skips.lag(now, &old) > POLICY.budget);
    skips.serve(now, &old, &none, POLICY, &mut tally);
    assert_eq!(tally.skips, 1);
    let heard = frames(&skips.socket.got);
    assert_eq!(heard[..2], [200, 201], "{heard:?}");
    assert_eq!(heard[2..], (10..20).collect::<Vec<u8>>(), "{heard:?}");
}

#[test]
fn a_reader_hears_its_source_to_the_end_within_its_budget_before_it_goes() {
    let none = Stretch::default();
    let at = Time::from_millis;
    let mut tally = Tally::default();
    let mut window = Window::new();
    window.push(run(0, at(0)));
    window.push(run(10, at(1_000)));
    let join = || {
        let peer = Peer {
            takes: vec![60; 99],
            ..Peer::default()
        };
        Reader::new(at(1_000), peer, b"", 0, &window, 0)
    };
    let (mut good, mut stuck, mut kept) = (join(), join(), join());
    for reader in [&mut good, &mut stuck, &mut kept] {
        reader.serve(at(1_000), &window, &none, POLICY, &mut tally);
        reader.finish(&window);
    }
    let mut served = Served::Steady;
    for ms in [2_000, 3_000, 4_000] {
        served = good.serve(at(ms), &window, &none, POLICY, &mut tally);
    }
    assert_eq!(served, Served::Ended(ReaderEnd::Left));
    assert_eq!(frames(&good.socket.got), (0..20).collect::<Vec<u8>>());

    // One that takes too long for its budget goes at the next frame.
    stuck.serve(at(16_500), &window, &none, POLICY, &mut tally);
    let end = stuck.serve(at(16_600), &window, &none, POLICY, &mut tally);
    assert_eq!(end, Served::Ended(ReaderEnd::Left));
    assert!(frames(&stuck.socket.got).len() < 20, "not all");
    assert_eq!(tally.skips, 0);

    // Another source comes first.
    assert!(kept.stay());
    window.push(run(20, at(2_000)));
    kept.socket.takes.clear();
    let served = kept.serve(at(2_000), &window, &none, POLICY, &mut tally);
    assert_eq!(served, Served::Steady);
    assert_eq!(frames(&kept.socket.got), (0..30).collect::<Vec<u8>>());
    assert!(!stuck.stay(), "it has its last frame");
}
