//! Connections by the thousand: at once, with resets, and one after another.

use std::io::Read;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use super::crowd::{self, Crowd};
use super::harness::{Backend, Server, Station, wait_for};
use super::peers;

const SOON: Duration = Duration::from_secs(10);

crate::clients::on_both_backends!(
    a_thousand_connects_a_second_with_resets_disturb_nobody,
    twenty_thousand_short_connections_leave_nothing,
);

/// One short connection of the `n`th kind; what it leaves behind is the server's business.
fn visit(server: &Server, n: usize) {
    let address = server.address();
    match n % 8 {
        0 => peers::reset(peers::say(address, b"")),
        1 => peers::reset(peers::say(address, b"GET /live HT")),
        2 => peers::reset(peers::say(
            address,
            b"GET /live HTTP/1.1\r\nHost: test\r\n\r\n",
        )),
        3 => drop(peers::say(address, b"GET /none HTTP/1.0\r\n\r\n")),
        4 => peers::reset(peers::say(
            address,
            b"GET /health HTTP/1.1\r\nHost: test\r\n\r\n",
        )),
        5 => {
            let mut stream = peers::say(address, b"GET /live HTTP/1.0\r\nIcy-MetaData: 1\r\n\r\n");
            let mut piece = [0; 2_048];
            let read = stream.read(&mut piece).expect("the server answers");
            assert!(piece[..read].starts_with(b"HTTP/1.0 200"), "{n}");
            peers::reset(stream);
        }
        6 => drop(peers::say(address, b"\x16\x03\x01\x00\xa5\x01\x00\x00")),
        _ => {
            let mut stream = peers::say(address, b"HEAD /live HTTP/1.0\r\n\r\n");
            let _ = stream.shutdown(Shutdown::Write);
            let (bytes, ended) = peers::read_to_end(&mut stream, SOON);
            assert!(ended && bytes.starts_with(b"HTTP/1.0 200"), "{n}");
        }
    }
}

/// Waits until nobody is connected but `listeners` and a source.
fn wait_alone(server: &Server, listeners: usize) {
    wait_for("the visitors are gone", SOON, || {
        let seated = server.metric("corecast_listeners", "") == listeners as f64;
        // The one that asks is a connection too.
        let open = server.metric("corecast_connections", "") <= (listeners + 2) as f64;
        (seated && open).then_some(())
    });
}

fn a_thousand_connects_a_second_with_resets_disturb_nobody(backend: Backend) {
    let server = Server::start(backend, &["mount_defaults.latency=live"]);
    let station = Station::play(&server, "/live");
    server.wait_live("/live");
    let crowd = Crowd::join(server.address(), "/live", 20);
    let (began, mut visits) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(4) {
        for _ in 0..20 {
            visit(&server, visits);
            visits += 1;
        }
        // A thousand a second, not all the machine can do.
        let due = Duration::from_millis(visits as u64);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
    }
    assert!(visits > 2_000, "{visits} visits in {:?}", began.elapsed());
    wait_alone(&server, 20);
    let heard = crowd.leave();
    assert!(heard.iter().all(|heard| heard.end.is_none()));
    crowd::assert_exact(&heard, station.next_frame(), 3);
    assert_eq!(server.metric("corecast_task_panics_total", ""), 0.0);
    assert_eq!(server.metric("corecast_runs_dropped_total", ""), 0.0);
}

fn twenty_thousand_short_connections_leave_nothing(backend: Backend) {
    const WARM: usize = 4_000;
    let server = Server::start(backend, &["mount_defaults.latency=live"]);
    let _station = Station::play(&server, "/live");
    server.wait_live("/live");
    (0..WARM).for_each(|n| visit(&server, n));
    wait_alone(&server, 0);
    let (files, memory) = (
        peers::open_files(server.pid()),
        peers::memory_kib(server.pid()),
    );
    let began = Instant::now();
    (0..20_000).for_each(|n| visit(&server, n));
    assert!(began.elapsed() < Duration::from_secs(60));
    wait_alone(&server, 0);
    wait_for("every descriptor is closed", SOON, || {
        (peers::open_files(server.pid()) <= files + 2).then_some(())
    });
    let grown = peers::memory_kib(server.pid()).saturating_sub(memory);
    assert!(grown < 6 * 1_024, "{grown} KiB more after 20,000 visits");
    assert_eq!(server.metric("corecast_task_panics_total", ""), 0.0);
}
