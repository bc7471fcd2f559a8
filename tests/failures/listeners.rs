//! Listeners that are slow, dead or too many, beside those that are good.

use std::io::Read;
use std::mem;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::crowd::{self, Crowd};
use super::harness::{Backend, IcyReader, Scratch, Server, Station, http, mpeg, wait_for};
use super::peers;

/// A machine that compiles beside the test needs longer than one that does not.
const SOON: Duration = Duration::from_secs(30);
const ASK: &[u8] = b"GET /live HTTP/1.1\r\nHost: test\r\n\r\n";

/// The good, the dead and the slow.
const GOOD: usize = 500;
const DEAD: usize = 25;
const SLOW: usize = 25;

crate::clients::on_both_backends!(slow_and_dead_listeners_cost_the_others_nothing);

/// Listeners that read a quarter of what they should, on a thread of their own.
struct Slow {
    stopped: Arc<AtomicBool>,
    /// What each has heard so far.
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
    reader: JoinHandle<()>,
}

impl Slow {
    fn join(address: SocketAddr, count: usize) -> Self {
        Slow::join_from(peers::NARROW, address, count)
    }

    fn join_from(from: [u8; 4], address: SocketAddr, count: usize) -> Self {
        let join = |_| peers::narrow_from(from, address, ASK);
        let mut streams: Vec<TcpStream> = (0..count).map(join).collect();
        let stopped = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopped);
        let heard = Arc::new(Mutex::new(vec![Vec::new(); streams.len()]));
        let shared = Arc::clone(&heard);
        let reader = std::thread::spawn(move || {
            let all = || shared.lock().expect("nobody panics with it");
            let mut piece = [0; mpeg::BYTES_PER_S as usize / 4 / 10];
            for stream in &streams {
                stream.set_nonblocking(true).expect("a socket can be so");
            }
            while !stop.load(Ordering::Relaxed) {
                for (stream, heard) in streams.iter_mut().zip(&mut *all()) {
                    if let Ok(n) = stream.read(&mut piece) {
                        heard.extend_from_slice(&piece[..n]);
                    }
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            // Now quickly: what was kept for them in between, and then what is played now.
            let stopped = Instant::now();
            while stopped.elapsed() < Duration::from_secs(3) {
                for (stream, heard) in streams.iter_mut().zip(&mut *all()) {
                    while let Ok(n @ 1..) = stream.read(&mut piece) {
                        heard.extend_from_slice(&piece[..n]);
                    }
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Slow {
            stopped,
            heard,
            reader,
        }
    }

    /// Whether each of them has missed something.
    fn have_jumped(&self) -> bool {
        let heard = self.heard.lock().expect("nobody panics with it");
        heard.iter().all(|bytes| jumps(bytes) > 0)
    }

    fn leave(self) -> Vec<Vec<u8>> {
        self.stopped.store(true, Ordering::Relaxed);
        self.reader.join().expect("the slow ones' thread is fine");
        mem::take(&mut *self.heard.lock().expect("nobody panics with it"))
    }
}

/// How often one who heard these bytes, the head of the answer among them, missed something.
fn jumps(bytes: &[u8]) -> usize {
    let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return 0;
    };
    let heard = mpeg::read(&bytes[at + 4..]);
    heard
        .expect("they hear whole frames all the same")
        .jumps()
        .len()
}

fn slow_and_dead_listeners_cost_the_others_nothing(backend: Backend) {
    peers::raise_open_files();
    let settings = [
        "mount_defaults.latency=live",
        "mount_defaults.slow_reader_budget_ms=1000",
        "mount_defaults.slow_reader=skip",
    ];
    let server = Server::start(backend, &settings);
    let station = Station::play(&server, "/live");
    server.wait_live("/live");
    let crowd = Crowd::join(server.address(), "/live", GOOD);
    let dead: Vec<_> = (0..DEAD)
        .map(|_| peers::narrow(server.address(), ASK))
        .collect();
    let slow = Slow::join(server.address(), SLOW);
    wait_for("the dead are dropped for slowness", SOON, || {
        let dropped = server.metric("corecast_listeners_ended_total", "too_slow");
        (dropped >= DEAD as f64).then_some(())
    });
    wait_for("each of the slow has skipped", SOON, || {
        std::thread::sleep(Duration::from_millis(100));
        slow.have_jumped().then_some(())
    });
    let skips = server.metric("corecast_listener_skips_total", "");
    assert!(skips >= SLOW as f64, "{skips} skips");
    let report = server.mount("/live").expect("it is live");
    let played = station.next_frame();
    assert!(station.is_playing());
    drop(dead);
    let slow = slow.leave();
    let jumped: Vec<usize> = slow.iter().map(|bytes| jumps(bytes)).collect();
    assert!(jumped.iter().all(|jumps| *jumps > 0), "{jumped:?}");
    let heard = crowd.leave();
    assert!(heard.iter().all(|heard| heard.end.is_none()));
    crowd::assert_exact(&heard, played.max(station.next_frame()), 4);
    assert_eq!(report["slow_listeners"], DEAD, "{report}");
    assert_eq!(server.metric("corecast_runs_dropped_total", ""), 0.0);
    let dropped = server.metric("corecast_listeners_ended_total", "too_slow");
    assert_eq!(dropped, DEAD as f64, "nobody else");
}

#[test]
fn a_mount_may_drop_its_slow_listeners() {
    let settings = [
        "mount_defaults.latency=live",
        "mount_defaults.slow_reader_budget_ms=1000",
        "mount_defaults.slow_reader=drop",
        "log.level=debug",
    ];
    let server = Server::start(Backend::IoUring, &settings);
    let station = Station::play_at(&server, "/live", 0, 3.0);
    server.wait_live("/live");
    let mut good = IcyReader::open(server.address(), "/live");
    // From an address of their own: the lines about this one are used up by the questions.
    let slow = Slow::join_from([127, 0, 0, 9], server.address(), 3);
    wait_for("the slow ones are dropped", SOON, || {
        let dropped = server.metric("corecast_listeners_ended_total", "too_slow");
        (dropped >= 3.0).then_some(())
    });
    slow.leave();
    assert_eq!(server.metric("corecast_listener_skips_total", ""), 0.0);
    assert!(good.listen(Duration::from_millis(100)));
    let heard = mpeg::read(&good.audio).expect("every byte is right");
    assert_eq!(heard.jumps(), []);
    assert!(station.is_playing());
    wait_for("the log names the reason", SOON, || {
        server
            .log()
            .lines()
            .any(|line| line.contains("session ended") && line.contains("too_slow"))
            .then_some(())
    });
}

#[test]
fn listeners_over_a_limit_are_told_which() {
    let folder = Scratch::new("limits");
    let file = folder.file("corecast.toml");
    let text = "[limits]\nlisteners_max = 5\n[[mount]]\nname = \"/small\"\nlisteners_max = 2\n";
    std::fs::write(&file, text).expect("the folder takes files");
    let mut command = Command::new(env!("CARGO_BIN_EXE_corecast"));
    command.arg("run").arg("--config").arg(&file);
    let server = Server::launch_with(command, Backend::Epoll, &["mount_defaults.latency=live"]);
    server.wait_ready();
    let _stations = [
        Station::play(&server, "/small"),
        Station::play(&server, "/big"),
    ];
    server.wait_live("/small");
    server.wait_live("/big");
    let mut small: Vec<_> = (0..2)
        .map(|_| IcyReader::open(server.address(), "/small"))
        .collect();
    let refused = server.get("/small");
    assert_eq!(refused.status, 503);
    assert!(
        refused.text().contains("the mount has all"),
        "{}",
        refused.text()
    );
    assert!(refused.header("retry-after").is_some());
    let _big: Vec<_> = (0..3)
        .map(|_| IcyReader::open(server.address(), "/big"))
        .collect();
    let refused = server.get("/big");
    assert_eq!(refused.status, 503);
    assert!(
        refused.text().contains("the server has all"),
        "{}",
        refused.text()
    );
    assert_eq!(server.get("/none").status, 503, "no seat, no look");
    // A HEAD needs a seat for a moment; those who have one go on.
    assert_eq!(server.get("/health").status, 200);
    small.pop();
    wait_for("the seat is free again", SOON, || {
        let began = Instant::now();
        let reader = IcyReader::ask(
            server.address(),
            "GET /small HTTP/1.1\r\nHost: test\r\n\r\n",
        );
        let reader = reader.expect("the server answers");
        assert!(began.elapsed() < Duration::from_secs(5));
        (reader.answer.status == 200).then_some(())
    });
    assert!(server.metric("corecast_refused_total", "full") >= 3.0);
    let head = b"HEAD /big HTTP/1.0\r\n\r\n";
    wait_for("HEAD is answered", SOON, || {
        let answer = http::exchange(server.address(), head).expect("the server answers");
        (answer.status == 200 && answer.body.is_empty()).then_some(())
    });
}
