//! A crowd against small servers of our own, good and bad.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::clock::{MS_NS, now_ns};
use crate::stream::{Stream, frame_start};

const METAINT: usize = 1_000;
const WINDOW_MS: u64 = 700;

/// What a test server sends on each connection, and whether it hangs up at the end.
#[derive(Clone)]
struct Script {
    head: &'static str,
    body: Vec<u8>,
    hang_up: bool,
}

impl Script {
    /// The first second of the stream, plain.
    fn plain() -> Script {
        let mut body = Vec::new();
        Stream::new(1).write_range(0, 16_000, &mut body);
        Script {
            head: "HTTP/1.0 200 OK\r\n\r\n",
            body,
            hang_up: false,
        }
    }

    /// The same with an empty block after each `METAINT` bytes.
    fn icy() -> Script {
        let plain = Script::plain();
        let mut body = Vec::new();
        for run in plain.body.chunks(METAINT) {
            body.extend(run);
            body.push(0);
        }
        Script {
            head: "ICY 200 OK\r\nicy-metaint:1000\r\n\r\n",
            body,
            ..plain
        }
    }
}

/// Plays `script` to everybody who connects to the address.
fn serve(script: Script) -> SocketAddr {
    let acceptor = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = acceptor
        .local_addr()
        .expect("a bound socket has an address");
    let script = Arc::new(script);
    std::thread::spawn(move || {
        for socket in acceptor.incoming() {
            let Ok(socket) = socket else { return };
            let script = Arc::clone(&script);
            // A listener that leaves ends its thread by the error.
            std::thread::spawn(move || play(socket, &script));
        }
    });
    address
}

fn play(mut socket: TcpStream, script: &Script) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte)?;
        request.extend(byte);
    }
    socket.write_all(script.head.as_bytes())?;
    for piece in script.body.chunks(1_300) {
        std::thread::sleep(Duration::from_millis(10));
        socket.write_all(piece)?;
    }
    if !script.hang_up {
        // Until the listener leaves.
        socket.read_exact(&mut [0])?;
    }
    Ok(())
}

/// Runs a crowd against the script.
fn hear(script: Script, change: impl FnOnce(&mut Plan)) -> (Joins, Tally) {
    let address = serve(script);
    let target = Target {
        address,
        host: address.to_string(),
        path: "/x".to_owned(),
    };
    let mut plan = Plan {
        listeners: 6,
        scan_ms: 20,
        join_ms_max: 2_000,
        ..Plan::plain(&target)
    };
    change(&mut plan);
    let (orders, of_engine) = mpsc::channel();
    let (notes, heard) = mpsc::channel();
    let tell = Box::new(move |note: &Note| {
        // The test may have what it wants already.
        let _ = notes.send(note.clone());
        Ok(())
    });
    let engine = engine::Engine::new(plan, of_engine, tell).expect("an epoll instance");
    let thread = std::thread::spawn(move || engine.run());
    let mut joins = Joins::default();
    let tally = loop {
        match heard
            .recv_timeout(Duration::from_secs(10))
            .expect("the engine tells")
        {
            Note::Progress { .. } => {}
            Note::Joined(all) => {
                joins = all;
                let (start_ns, end_ns) = (now_ns(), now_ns() + WINDOW_MS * MS_NS);
                orders
                    .send(Order::Window { start_ns, end_ns })
                    .expect("the engine listens");
            }
            Note::Done(tally) => break *tally,
        }
    };
    orders.send(Order::Quit).expect("the engine listens");
    thread
        .join()
        .expect("the engine does not panic")
        .expect("the engine does not fail");
    (joins, tally)
}

#[test]
fn a_good_server_is_heard_by_all_without_a_wrong_byte() {
    for script in [Script::plain(), Script::icy()] {
        let (joins, tally) = hear(script, |_| {});
        assert_eq!((joins.served, joins.unserved, tally.served), (6, 0, 6));
        assert!(tally.bytes_right(), "{tally:?}");
        assert_eq!(
            (tally.findings.streams, tally.findings.unaligned_starts),
            (4, 0)
        );
        assert_eq!(tally.findings.bytes, 4 * 16_000);
        assert_eq!(tally.join_us.histogram().len(), 6);
        assert_eq!(tally.gap_us.histogram().len(), 6);
        assert!(tally.window_bytes > 0 && tally.bytes >= 6 * 16_000);
    }
}

#[test]
fn a_flipped_byte_is_found_in_every_compared_stream() {
    let mut script = Script::plain();
    script.body[7_000] ^= 4;
    let (_, tally) = hear(script, |_| {});
    assert_eq!(tally.findings.wrong_bytes, 4);
}

#[test]
fn lost_and_repeated_frames_are_found() {
    let cut = frame_start(20) as usize;
    let mut script = Script::plain();
    script.body.drain(cut..frame_start(22) as usize);
    let (_, tally) = hear(script, |_| {});
    assert_eq!((tally.findings.gaps, tally.findings.frames_lost), (4, 8));
    let mut script = Script::plain();
    let again = script.body[cut..frame_start(21) as usize].to_vec();
    script.body.splice(cut..cut, again);
    let (_, tally) = hear(script, |_| {});
    assert_eq!(tally.findings.repeats, 4);
}

#[test]
fn a_block_in_the_wrong_place_is_found() {
    let mut script = Script::icy();
    script.body.remove(5 * (METAINT + 1) - 1);
    let (_, tally) = hear(script, |_| {});
    assert!(!tally.bytes_right(), "{tally:?}");
}

#[test]
fn refusals_and_silence_are_not_joins() {
    let script = Script {
        head: "HTTP/1.0 503 Full\r\n\r\n",
        hang_up: true,
        ..Script::plain()
    };
    let (joins, tally) = hear(script, |_| {});
    assert_eq!((joins.served, joins.unserved, tally.refused), (0, 6, 6));
    let script = Script {
        body: Vec::new(),
        ..Script::plain()
    };
    let (joins, tally) = hear(script, |plan| plan.join_ms_max = 300);
    assert_eq!((joins.served, joins.unserved, tally.refused), (0, 6, 0));
}

#[test]
fn a_server_that_hangs_up_is_counted() {
    let (joins, tally) = hear(
        Script {
            hang_up: true,
            ..Script::plain()
        },
        |_| {},
    );
    assert_eq!((joins.served, tally.hung_up), (6, 6));
}

#[test]
fn slow_and_dead_listeners_read_less() {
    let (_, tally) = hear(Script::plain(), |plan| {
        (plan.slow, plan.dead, plan.sample) = (2, 2, 2)
    });
    assert_eq!(
        (tally.findings.streams, tally.slow_findings.streams),
        (2, 2)
    );
    assert_eq!(tally.findings.bytes, 2 * 16_000);
    // Half a second at half the rate, and what came with the head.
    assert!(
        tally.slow_findings.bytes < 16_000,
        "{:?}",
        tally.slow_findings
    );
    assert!(tally.bytes_right(), "{tally:?}");
    // Two read all, two read half, two read the first bytes only.
    assert!(tally.bytes < 2 * 16_000 + 16_000 + 8_000, "{}", tally.bytes);
}

#[test]
fn who_leaves_makes_room_for_another() {
    let (joins, tally) = hear(Script::plain(), |plan| plan.churn_per_s = 50);
    assert_eq!(joins.served, 6);
    assert!(tally.left >= 10, "{}", tally.left);
    assert!(tally.findings.streams > 4);
    assert!(tally.bytes_right(), "{tally:?}");
}
