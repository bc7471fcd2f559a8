//! What the server tells while it happens: who listens, what plays, who comes and goes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::harness::server::ADMIN_PASSWORD;
use super::harness::{Backend, IcyReader, Server, Station, http, wait_for};

const SOON: Duration = Duration::from_secs(20);

/// How soon an event is there, where nothing holds it up.
const AT_ONCE: Duration = Duration::from_millis(100);

crate::clients::on_both_backends!(
    a_player_that_looks_first_is_one_visit,
    what_happens_is_told_at_once,
);

/// One who watches `/api/v1/events`.
struct Watcher {
    stream: TcpStream,
    text: String,
}

impl Watcher {
    fn open(server: &Server, headers: &str) -> Self {
        let authorization = http::basic("admin", ADMIN_PASSWORD);
        let request =
            format!("GET /api/v1/events HTTP/1.0\r\nHost: test\r\n{authorization}{headers}\r\n");
        let mut stream = http::connect(server.address()).expect("the server takes connections");
        stream.write_all(request.as_bytes()).expect("a head fits");
        let answer = http::read_head(&mut stream).expect("the server answers");
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
        let text = answer.text();
        Watcher { stream, text }
    }

    /// Reads until `what` is there; fails after a while.
    fn hear(&mut self, what: &str) {
        let began = Instant::now();
        while !self.text.contains(what) {
            assert!(began.elapsed() < SOON, "no {what} in {}", self.text);
            let mut piece = [0; 4_096];
            let n = self.stream.read(&mut piece).expect("the feed goes on");
            assert!(n > 0, "the feed ended without {what}: {}", self.text);
            self.text.push_str(&String::from_utf8_lossy(&piece[..n]));
        }
    }

    /// What the first event of this name tells.
    fn data(&self, name: &str) -> serde_json::Value {
        let (_, rest) = self
            .text
            .split_once(&format!("event: {name}\ndata: "))
            .expect("it was heard");
        let data = rest.lines().next().unwrap_or_default();
        serde_json::from_str(data).expect("JSON")
    }

    /// The number that was heard last.
    fn last(&self) -> &str {
        let mut numbers = self
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("id: "));
        numbers.next_back().expect("something was heard")
    }
}

fn what_happens_is_told_at_once(backend: Backend) {
    let mut server = Server::start(backend, &["mount_defaults.latency=live"]);
    assert_eq!(server.get("/api/v1/events").status, 401);
    let mut watcher = Watcher::open(&server, "");
    let station = Station::play(&server, "/live");
    watcher.hear("event: source_started");
    server.wait_live("/live");
    let soonest = (0..10).map(|title| {
        let title = format!("Title {title}");
        let began = Instant::now();
        server.set_title("/live", title.as_bytes());
        watcher.hear(&title);
        began.elapsed()
    });
    let soonest = soonest.min().expect("ten titles");
    assert!(soonest <= AT_ONCE, "the soonest event took {soonest:?}");
    let playing = server.json("/api/v1/mounts/live/now-playing");
    assert_eq!(playing["title"], "Title 9");
    assert_eq!(playing["history"].as_array().map(Vec::len), Some(10));

    let last = watcher.last().to_owned();
    drop(watcher);
    drop(listen(&server, "VLC/3.0.20 LibVLC/3.0.20"));
    wait_for("nobody listens", SOON, || {
        server
            .mount("/live")
            .filter(|mount| mount["listeners"] == 0)
    });
    let mut again = Watcher::open(&server, &format!("Last-Event-ID: {last}\r\n"));
    again.hear("event: listener_ended");
    let [started, ended] = ["listener_started", "listener_ended"].map(|name| again.data(name));
    for about in [&started, &ended] {
        assert_eq!(
            (&about["mount"], &about["agent"]),
            (&"/live".into(), &"vlc".into())
        );
        assert_eq!(about["address"], "127.0.0.1");
    }
    assert_eq!(started["session"], ended["session"]);
    assert!(started["at"].as_str() <= ended["at"].as_str());
    assert!(!again.text.contains("Title") && !again.text.contains("event: lost"));
    server.signal(Signal::HUP);
    again.hear("event: reloaded");
    drop(station);
    again.hear("event: source_ended");
    server.signal(Signal::TERM);
    let mut rest = Vec::new();
    again
        .stream
        .read_to_end(&mut rest)
        .expect("the feed ends in order");
    assert!(server.wait_end().success());
}

fn listen(server: &Server, user_agent: &str) -> IcyReader {
    let request = format!("GET /live HTTP/1.1\r\nHost: test\r\nUser-Agent: {user_agent}\r\n\r\n");
    let reader = IcyReader::ask(server.address(), &request).expect("the server answers");
    assert_eq!(reader.answer.status, 200);
    reader
}

fn a_player_that_looks_first_is_one_visit(backend: Backend) {
    let server = Server::start(backend, &["mount_defaults.latency=live"]);
    let _station = Station::play(&server, "/live");
    server.wait_live("/live");
    let path = "/api/v1/mounts/live/listeners";
    let look = listen(&server, "VLC/3.0.20 LibVLC/3.0.20");
    drop(look);
    wait_for("the look is over", SOON, || {
        let answer = server.get_as_admin(path).json();
        (answer["visits"] == 1 && answer["listeners"] == 0).then_some(())
    });
    let _vlc = listen(&server, "VLC/3.0.20 LibVLC/3.0.20");
    let _mpv = [listen(&server, "mpv 0.37.0"), listen(&server, "mpv 0.37.0")];
    let numbers = wait_for("three listen", SOON, || {
        let answer = server.get_as_admin(path).json();
        (answer["sessions"].as_array().map(Vec::len) == Some(3)).then_some(answer)
    });
    assert_eq!(numbers["listeners"], 3);
    assert_eq!(numbers["listeners_unique"], 2);
    assert_eq!(numbers["visits"], 3, "{numbers}");
    assert_eq!(numbers["by_agent"]["vlc"]["visits"], 1);
    assert_eq!(numbers["by_agent"]["mpv_ffmpeg"]["listeners"], 2);
    let listed = wait_for("the list is as young", SOON, || {
        server
            .mount("/live")
            .filter(|mount| mount["listeners_unique"] == 2)
    });
    assert_eq!(listed["listeners"], 3);
}
