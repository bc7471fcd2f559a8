//! SIGTERM under load.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::crowd::{self, Crowd, End};
use super::harness::{Backend, Server, Station, http, mpeg, station, wait_for};
use super::peers;

const SOON: Duration = Duration::from_secs(10);
const ASK: &[u8] = b"GET /live HTTP/1.1\r\nHost: test\r\n\r\n";

crate::clients::on_both_backends!(a_drain_ends_listeners_at_a_frame_and_the_server_in_time);

/// A listener that takes nothing any more: it holds a drain up until the grace is over.
fn stuck(server: &Server) -> std::net::TcpStream {
    let stream = peers::narrow(server.address(), ASK);
    // So much is kept for it in between; what comes then is stuck.
    std::thread::sleep(Duration::from_secs(2));
    stream
}

fn a_drain_ends_listeners_at_a_frame_and_the_server_in_time(backend: Backend) {
    let settings = [
        "mount_defaults.latency=live",
        "mount_defaults.burst_bytes=300000",
        "server.drain_grace_ms=3000",
    ];
    let folder = super::harness::Scratch::new("drain");
    let access = folder.file("access.log");
    let access_setting = format!("log.access_path={}", access.display());
    let settings: Vec<&str> = settings.into_iter().chain([&*access_setting]).collect();
    let mut server = Server::start(backend, &settings);
    // Faster than real time, so that there is a big burst to be stuck with.
    let station = Station::play_at(&server, "/live", 0, 8.0);
    let second = Station::play(&server, "/second");
    server.wait_live("/live");
    std::thread::sleep(Duration::from_millis(2_500));
    let _stuck = stuck(&server);
    let crowd = Crowd::join(server.address(), "/live", 100);
    std::thread::sleep(Duration::from_millis(500));
    let began = Instant::now();
    server.signal(Signal::TERM);
    wait_for("the server drains", SOON, || {
        let answer = http::try_get(server.address(), "/ready").ok()?;
        (answer.status == 503).then_some(())
    });
    let refused = server.get("/live");
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.text().contains("shutting down"));
    let (_socket, answer) = station::open(server.address(), "/other", "");
    assert_eq!(answer.status, 503, "{}", answer.status_line);
    crowd.wait_gone(SOON);
    assert!(
        began.elapsed() < Duration::from_millis(2_900),
        "the good ones end at once"
    );
    wait_for("the sources are ended", SOON, || {
        (!station.is_playing() && !second.is_playing()).then_some(())
    });
    let status = server.wait_end();
    let took = began.elapsed();
    assert_eq!(status.code(), Some(0));
    assert!(
        (Duration::from_millis(2_900)..Duration::from_millis(5_000)).contains(&took),
        "the one that is stuck has its grace: {took:?}"
    );
    let played = station.next_frame();
    let heard = crowd.leave();
    for heard in &heard {
        assert_eq!(heard.end, Some(End::Closed), "in good order");
        let frames = mpeg::read(&heard.audio).expect("whole frames");
        assert_eq!(frames.tail, 0, "to the last byte");
    }
    crowd::assert_exact(&heard, played, 3);
    assert!(server.log().contains("drained: the server ends"));
    let lines = std::fs::read_to_string(&access).expect("an access log");
    let of = |start: &str| lines.lines().filter(|line| line.contains(start)).count();
    assert_eq!(
        of("\"GET /live HTTP/1.1\" 200"),
        101,
        "everybody has a line"
    );
    assert_eq!(of("\"PUT /live HTTP/1.1\" 200"), 1);
    assert_eq!(of("\"PUT /second HTTP/1.1\" 200"), 1);
    assert_eq!(of("\"PUT /other HTTP/1.1\" 503"), 1);
}

#[test]
fn a_server_without_sessions_ends_at_once() {
    for backend in [Backend::IoUring, Backend::Epoll] {
        for signal in [Signal::TERM, Signal::INT] {
            let mut server = Server::start(backend, &["server.drain_grace_ms=8000"]);
            // An idle connection is no session.
            let mut idle = peers::say(
                server.address(),
                b"GET /health HTTP/1.1\r\nHost: test\r\n\r\n",
            );
            assert_eq!(http::read_head(&mut idle).expect("an answer").status, 200);
            let began = Instant::now();
            server.signal(signal);
            assert_eq!(server.wait_end().code(), Some(0));
            let took = began.elapsed();
            assert!(took < Duration::from_secs(2), "{took:?}");
        }
    }
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let settings = [
        "mount_defaults.latency=live",
        "mount_defaults.burst_bytes=1000000",
        "server.drain_grace_ms=60000",
    ];
    let mut server = Server::start(Backend::IoUring, &settings);
    let _station = Station::play_at(&server, "/live", 0, 40.0);
    server.wait_live("/live");
    std::thread::sleep(Duration::from_millis(2_500));
    let _stuck = stuck(&server);
    server.signal(Signal::TERM);
    wait_for("the server drains", SOON, || {
        let answer = http::try_get(server.address(), "/ready").ok()?;
        (answer.status == 503).then_some(())
    });
    std::thread::sleep(Duration::from_millis(500));
    assert!(!server.has_ended(), "it waits for the one that is stuck");
    let began = Instant::now();
    server.signal(Signal::TERM);
    let status = server.wait_end();
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(status.code(), Some(128 + 15));
    assert!(server.log().contains("second time"));
}
