//! Files that run out: those whom there is no place for are told so, the others play on, and all
//! is well again once there is room.

use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::crowd::{self, Crowd};
use super::harness::{Backend, Server, Station, http, wait_for};
use super::peers;

const SOON: Duration = Duration::from_secs(15);

crate::clients::on_both_backends!(
    a_small_limit_is_kept_and_told,
    no_file_left_stops_nobody_who_is_there,
);

fn a_small_limit_is_kept_and_told(backend: Backend) {
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "ulimit -n 200; exec \"$0\" run \"$@\"",
        env!("CARGO_BIN_EXE_corecast"),
    ]);
    let server = Server::launch_with(command, backend, &["mount_defaults.latency=live"]);
    server.wait_ready();
    let station = Station::play(&server, "/live");
    server.wait_live("/live");
    let crowd = Crowd::join(server.address(), "/live", 15);
    // Far more than fit, and they stay.
    let mut held: Vec<TcpStream> = Vec::new();
    let mut told = 0;
    for _ in 0..80 {
        let asked = b"GET /health HTTP/1.1\r\nHost: test\r\n\r\n";
        let mut stream = peers::say(server.address(), asked);
        // Some over the limit are told, the others only closed.
        match http::read_head(&mut stream).map(|answer| answer.status) {
            Ok(200) => held.push(stream),
            Ok(503) => told += 1,
            Ok(other) => panic!("{other}"),
            Err(_) => {}
        }
    }
    assert!((10..60).contains(&held.len()), "{} were taken", held.len());
    assert!(told > 0, "nobody was told");
    assert!(peers::open_files(server.pid()) < 200);
    std::thread::sleep(Duration::from_secs(1));
    drop(held);
    wait_for("there is room again", SOON, || {
        let answer = http::try_get(server.address(), "/health").ok()?;
        (answer.status == 200).then_some(())
    });
    assert!(server.metric("corecast_refused_total", "connections_max") >= 20.0);
    let heard = crowd.leave();
    assert!(heard.iter().all(|heard| heard.end.is_none()));
    crowd::assert_exact(&heard, station.next_frame(), 0);
}

/// Lets the server have `current` files open.
fn limit_files(server: &Server, current: Option<u64>) {
    let pid = i32::try_from(server.pid()).ok().and_then(Pid::from_raw);
    // What we may have, the server may have again.
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let limit = Rlimit {
        current: current.or(maximum),
        maximum,
    };
    prlimit(pid, Resource::Nofile, limit).expect("it is our child");
}

fn no_file_left_stops_nobody_who_is_there(backend: Backend) {
    let server = Server::start(backend, &["mount_defaults.latency=live"]);
    let station = Station::play(&server, "/live");
    server.wait_live("/live");
    let crowd = Crowd::join(server.address(), "/live", 20);
    let open = peers::open_files(server.pid()) as u64;
    limit_files(&server, Some(open + 2));
    let ask = b"GET /health HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    let mut waiting: Vec<TcpStream> = (0..20).map(|_| peers::say(server.address(), ask)).collect();
    let (began, before) = (Instant::now(), peers::cpu_time(server.pid()));
    std::thread::sleep(Duration::from_secs(2));
    let used = peers::cpu_time(server.pid()).saturating_sub(before);
    assert!(
        used < began.elapsed() / 2,
        "{used:?} of CPU while no file is left: it spins"
    );
    limit_files(&server, None);
    for stream in &mut waiting {
        let answer = http::read_answer(stream).expect("those who waited are answered");
        assert_eq!(answer.status, 200);
    }
    assert!(server.metric("corecast_accepts_failed_total", "") >= 1.0);
    let heard = crowd.leave();
    assert!(heard.iter().all(|heard| heard.end.is_none()));
    crowd::assert_exact(&heard, station.next_frame(), 2);
    assert_eq!(server.metric("corecast_task_panics_total", ""), 0.0);
}
