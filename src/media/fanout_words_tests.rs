//! What a transport has to say itself, between the frames of what it carries.

use std::io::IoSlice;

use super::tests::{POLICY, run};
use super::*;

/// A peer that takes a number of bytes at each send, and whose transport has words.
#[derive(Debug, Default)]
struct Talker {
    got: Vec<u8>,
    takes: Vec<usize>,
    words: Option<&'static [u8]>,
    farewell: Option<&'static [u8]>,
}

impl Socket for Talker {
    fn send(&mut self, slices: &[IoSlice<'_>]) -> Sent {
        let all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        let taken = self.takes.pop().unwrap_or(all.len()).min(all.len());
        self.got.extend_from_slice(&all[..taken]);
        match taken {
            0 => Sent::Full,
            _ => Sent::Bytes(taken),
        }
    }

    fn is_closed(&mut self) -> bool {
        false
    }

    fn poll_words(&mut self) -> Option<Bytes> {
        self.words.take().map(Bytes::from_static)
    }

    fn poll_farewell(&mut self) -> Option<Bytes> {
        self.farewell.take().map(Bytes::from_static)
    }
}

/// Frames 0 to 19, of ten bytes each.
fn twenty() -> (Window, Vec<u8>) {
    let mut window = Window::new();
    window.push(run(0, Time::ZERO));
    window.push(run(10, Time::ZERO));
    let all = (0..20).flat_map(|frame| [frame; 10]).collect();
    (window, all)
}

fn serve(reader: &mut Reader<Talker>, window: &Window) -> Served {
    serve_at(Time::ZERO, reader, window)
}

fn serve_at(now: Time, reader: &mut Reader<Talker>, window: &Window) -> Served {
    let (none, mut tally) = (Stretch::default(), Tally::default());
    reader.serve(now, window, &none, POLICY, &mut tally)
}

#[test]
fn words_stand_between_frames_wherever_a_send_was_cut() {
    let (window, all) = twenty();
    for cut in 0..=200usize {
        let socket = Talker {
            takes: vec![0, cut],
            ..Talker::default()
        };
        let mut reader = Reader::new(Time::ZERO, socket, b"", 0, &window, 0);
        serve(&mut reader, &window);
        reader.socket.words = Some(b"<one>");
        serve(&mut reader, &window);
        // They wait; what came later waits behind them.
        reader.socket.words = Some(b"<two>");
        reader.socket.takes.clear();
        assert_eq!(serve(&mut reader, &window), Served::Steady);
        let border = cut.div_ceil(10) * 10;
        let (before, after) = all.split_at(border);
        let expected = [before, b"<one>", after, b"<two>"].concat();
        assert_eq!(reader.socket.got, expected, "cut at {cut}");
    }
}

#[test]
fn the_farewell_is_the_last_thing_that_is_said() {
    let (window, all) = twenty();
    for cut in 0..200usize {
        let socket = Talker {
            takes: vec![0, cut],
            farewell: Some(b"<bye>"),
            ..Talker::default()
        };
        let mut reader = Reader::new(Time::ZERO, socket, b"", 0, &window, 0);
        serve(&mut reader, &window);
        reader.leave(&window);
        reader.socket.words = Some(b"<late>");
        reader.socket.takes = vec![0, 1];
        assert_eq!(serve(&mut reader, &window), Served::Behind);
        reader.socket.takes.clear();
        let gone = Served::Ended(ReaderEnd::Left);
        assert_eq!(serve(&mut reader, &window), gone, "cut at {cut}");
        let border = cut.div_ceil(10) * 10;
        let expected = [&all[..border], b"<bye>"].concat();
        assert_eq!(reader.socket.got, expected, "cut at {cut}");
    }
}

#[test]
fn who_hears_its_source_to_the_end_gets_the_farewell_behind_it() {
    let (window, all) = twenty();
    let socket = Talker {
        takes: vec![95],
        farewell: Some(b"<bye>"),
        ..Talker::default()
    };
    let mut reader = Reader::new(Time::ZERO, socket, b"", 0, &window, 0);
    reader.finish(&window);
    assert_eq!(serve(&mut reader, &window), Served::Behind);
    assert_eq!(serve(&mut reader, &window), Served::Ended(ReaderEnd::Left));
    assert_eq!(reader.socket.got, [&all[..], b"<bye>"].concat());
    assert!(!reader.stay(), "it has said that it goes");
}

#[test]
fn who_does_not_take_the_farewell_is_let_go_of_without_it() {
    let (window, all) = twenty();
    let socket = Talker {
        farewell: Some(b"<bye>"),
        ..Talker::default()
    };
    let mut reader = Reader::new(Time::ZERO, socket, b"", 0, &window, 0);
    assert_eq!(serve(&mut reader, &window), Served::Steady);
    reader.leave(&window);
    reader.socket.takes = vec![0; 1_000];
    let mut now = Time::ZERO;
    while serve_at(now, &mut reader, &window) == Served::Behind {
        now = now + Duration::from_secs(1);
    }
    let patience = POLICY.budget * DEAD_BUDGETS;
    assert!(now.since(Time::ZERO) > patience, "{now:?}");
    assert!(
        now.since(Time::ZERO) < patience + Duration::from_secs(10),
        "{now:?}"
    );
    assert_eq!(reader.socket.got, all);
}
