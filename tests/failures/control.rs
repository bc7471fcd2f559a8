//! A control plane that stands still, logs that nobody takes, and every way to ask it wrongly.

use std::process::Command;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::ptrace;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;

use super::crowd::{self, Crowd};
use super::harness::{
    Backend, Client, IcyReader, Scratch, Server, Station, http, program, wait_for,
};
use super::peers;

const SOON: Duration = Duration::from_secs(15);

crate::clients::on_both_backends!(media_goes_on_while_control_stands_still);

/// The control plane's thread, stopped from outside, as a hung disk or a debugger would.
struct Stopped {
    go_on: mpsc::Sender<()>,
    tracer: JoinHandle<()>,
}

impl Stopped {
    fn control_of(server: &Server) -> Self {
        let thread = Pid::from_raw(peers::thread_named(server.pid(), "control"));
        let (go_on, told) = mpsc::channel();
        let (stopped, wait) = mpsc::channel();
        // One thread does all of it: a tracer is a thread, not a process.
        let tracer = std::thread::spawn(move || {
            ptrace::seize(thread, ptrace::Options::empty()).expect("our child may be traced");
            ptrace::interrupt(thread).expect("it is traced");
            waitpid(thread, None).expect("it stops");
            stopped.send(()).expect("somebody waits");
            // However the test ends, the thread goes on.
            let _ = told.recv();
            ptrace::detach(thread, None).expect("it is stopped");
        });
        wait.recv_timeout(SOON).expect("control stops");
        Stopped { go_on, tracer }
    }

    fn resume(self) {
        drop(self.go_on);
        self.tracer.join().expect("control goes on");
    }
}

fn media_goes_on_while_control_stands_still(backend: Backend) {
    let server = Server::start(backend, &["mount_defaults.latency=live"]);
    let station = Station::play(&server, "/live");
    server.wait_live("/live");
    let crowd = Crowd::join(server.address(), "/live", 100);
    let stopped = Stopped::control_of(&server);
    let began = Instant::now();
    // Questions for control wait without anybody's thread, and are told so in the end.
    let ask = b"GET /health HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    let mut asked: Vec<_> = (0..5).map(|_| peers::say(server.address(), ask)).collect();
    // Far more lines for the logs than its ring holds.
    let none = b"GET /none HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    for _ in 0..12_000 {
        let answer = http::exchange(server.address(), none).expect("shards answer");
        assert_eq!(answer.status, 404);
    }
    // Sources and listeners need no leave of control.
    let _other = Station::play(&server, "/other");
    let joining = Instant::now();
    let mut reader = wait_for("a new mount is heard", SOON, || {
        let ask = "GET /other HTTP/1.1\r\nHost: test\r\n\r\n";
        let reader = IcyReader::ask(server.address(), ask).expect("shards answer");
        (reader.answer.status == 200).then_some(reader)
    });
    assert!(reader.listen_until(SOON, |reader| reader.audio.len() > 16_000));
    assert!(
        joining.elapsed() < Duration::from_secs(5),
        "{:?}",
        joining.elapsed()
    );
    for stream in &mut asked {
        let answer = http::read_answer(stream).expect("shards do not wait for ever");
        assert_eq!(answer.status, 504, "{}", answer.status_line);
    }
    assert!(began.elapsed() > Duration::from_secs(9));
    let played = station.next_frame();
    stopped.resume();
    wait_for("control answers again", SOON, || {
        let answer = http::try_get(server.address(), "/health").ok()?;
        (answer.status == 200).then_some(())
    });
    let lost = server.metric("corecast_ring_full_total", "control");
    assert!(
        lost > 0.0,
        "the ring to control was full and that is counted"
    );
    assert!(server.metric("corecast_control_late_total", "") >= 5.0);
    let heard = crowd.leave();
    assert!(heard.iter().all(|heard| heard.end.is_none()));
    crowd::assert_exact(&heard, played.max(station.next_frame()), 9);
    let late = server.metric("corecast_shard_stall_seconds_bucket", "le=\"0.1\"");
    let all = server.metric("corecast_shard_stall_seconds_count", "");
    assert!(
        late / all > 0.98,
        "{late} of {all} in time: shards did not wait"
    );
    server.wait_live("/other");
}

/// A FIFO in `folder` that nobody reads.
fn fifo(folder: &Scratch, name: &str) -> std::path::PathBuf {
    let path = folder.file(name);
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO can be made");
    path
}

/// Asks a lot of a server whose logs go nowhere, and ends it.
fn assert_serves_and_ends(mut server: Server) {
    let station = Station::play(&server, "/live");
    server.wait_live("/live");
    let mut reader = IcyReader::open(server.address(), "/live");
    for _ in 0..3_000 {
        assert_eq!(server.get("/none").status, 404);
    }
    let began = Instant::now();
    assert_eq!(server.get("/health").status, 200);
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "control does not wait for a log"
    );
    assert!(reader.listen(Duration::from_millis(300)));
    let heard = super::harness::mpeg::read(&reader.audio).expect("every byte is right");
    assert_eq!(heard.jumps(), []);
    assert!(station.is_playing());
    let began = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.wait_end().code(), Some(0));
    assert!(
        began.elapsed() < Duration::from_secs(6),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn an_access_log_that_blocks_stops_nobody() {
    let folder = Scratch::new("blocked");
    let path = fifo(&folder, "access.log");
    let setting = format!("log.access_path={}", path.display());
    let settings = [&*setting, "mount_defaults.latency=live"];
    assert_serves_and_ends(Server::start(Backend::IoUring, &settings));
}

#[test]
fn an_access_log_on_a_full_disk_stops_nobody() {
    let settings = ["log.access_path=/dev/full", "mount_defaults.latency=live"];
    let server = Server::start(Backend::IoUring, &settings);
    let told = |server: &Server| {
        let log = server.log();
        let lines = log.lines().filter(|line| line.contains("/dev/full"));
        lines.filter(|line| line.contains("ERROR")).count()
    };
    for _ in 0..200 {
        assert_eq!(server.get("/none").status, 404);
    }
    wait_for("the disk is told of", Duration::from_secs(10), || {
        (told(&server) > 0).then_some(())
    });
    assert_eq!(told(&server), 1, "once: {}", server.log());
    assert_serves_and_ends(server);
}

#[test]
fn a_log_that_nobody_reads_stops_nobody() {
    let folder = Scratch::new("blocked");
    let path = fifo(&folder, "stderr");
    let mut command = Command::new("sh");
    // Opened for both, so that it opens at once; what is written is never read.
    let script = "exec \"$0\" run \"$@\" 2<>\"$CORE_FIFO\"";
    command.args(["-c", script, env!("CARGO_BIN_EXE_corecast")]);
    command.env("CORE_FIFO", &path);
    let settings = ["log.level=trace", "mount_defaults.latency=live"];
    let server = Server::launch_with(command, Backend::Epoll, &settings);
    server.wait_ready();
    assert_serves_and_ends(server);
}

#[test]
fn the_metrics_page_is_good_for_prometheus() {
    let server = Server::start(Backend::IoUring, &["mount_defaults.latency=live"]);
    let _station = Station::play(&server, "/live");
    server.wait_live("/live");
    let _reader = IcyReader::open(server.address(), "/live");
    let answer = server.get("/metrics");
    let content_type = answer.header("content-type").unwrap_or_default();
    assert!(
        content_type.starts_with("text/plain; version=0.0.4")
            || content_type.starts_with("application/openmetrics-text"),
        "{content_type}"
    );
    let page = server.scratch().file("metrics");
    std::fs::write(&page, &answer.body).expect("the folder takes files");
    let client = Client::spawn_from(program("promtool").args(["check", "metrics"]), &page);
    let output = client.succeed(SOON);
    assert_eq!(
        (output.text(), output.stderr),
        (String::new(), String::new())
    );
}

#[test]
fn every_wrong_question_has_its_answer() {
    let server = Server::start(Backend::Epoll, &["limits.body_bytes_max=2048"]);
    let admin = http::basic("admin", super::harness::server::ADMIN_PASSWORD);
    let wrong = http::basic("admin", "wrong");
    for (request, status) in [
        ("GET /api/v1/none", 404),
        ("GET /api/v1/mounts/none", 404),
        ("DELETE /api/v1/mounts", 405),
        ("POST /health", 405),
        ("GET /api/v1/sessions", 401),
        ("POST /nowhere", 404),
    ] {
        let request = format!("{request} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        let answer = http::exchange(server.address(), request.as_bytes()).expect("an answer");
        assert_eq!(answer.status, status, "{request}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{request}"
        );
        let problem = answer.json();
        assert_eq!(problem["status"], status, "{problem}");
        assert!(problem["title"].is_string() && problem["detail"].is_string());
    }
    let request = format!("GET /api/v1/sessions HTTP/1.1\r\nHost: t\r\n{wrong}\r\n");
    let answer = http::exchange(server.address(), request.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 401);
    assert!(answer.header("www-authenticate").is_some());

    let long = "x".repeat(4_000);
    let chunked = format!("fa0\r\n{long}\r\n0\r\n\r\n");
    for (framing, body, status) in [
        ("Content-Length: 4000\r\n", long.as_str(), 413),
        ("Content-Length: 9999999999\r\n", "", 413),
        ("Transfer-Encoding: chunked\r\n", chunked.as_str(), 413),
        ("Transfer-Encoding: chunked\r\n", "zz\r\n", 400),
        ("Expect: 100-continue\r\nContent-Length: 4000\r\n", "", 413),
    ] {
        let head = format!("POST /admin/metadata HTTP/1.1\r\nHost: test\r\n{admin}{framing}\r\n");
        let mut stream = peers::say(server.address(), head.as_bytes());
        // The server may be done before all of it was sent.
        let _ = std::io::Write::write_all(&mut stream, body.as_bytes());
        let (said, ended) = peers::read_to_end(&mut stream, SOON);
        let answer = http::read_answer(&mut said.as_slice()).expect("an answer");
        assert_eq!(answer.status, status, "{framing}: {}", answer.status_line);
        assert!(ended, "{framing}: the rest is not read for a request");
    }
    // A body that never comes whole is no request, and nobody waits for it for ever.
    let head =
        format!("POST /admin/metadata HTTP/1.1\r\nHost: t\r\n{admin}Content-Length: 9\r\n\r\nx");
    let mut stream = peers::say(server.address(), head.as_bytes());
    stream
        .shutdown(std::net::Shutdown::Write)
        .expect("it is open");
    let (said, ended) = peers::read_to_end(&mut stream, SOON);
    assert!(ended && said.is_empty(), "{}", said.escape_ascii());
}
