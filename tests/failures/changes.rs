//! One SIGHUP that changes every setting at once, with listeners on live mounts: nobody is cut,
//! each change is told, and what changed holds. A setting that is in the reference page and not
//! in the [`table`] fails the test.

mod table;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::crowd::{Crowd, Heard};
use super::harness::script::{Call, Manner, Script};
use super::harness::server::{ADMIN_PASSWORD, Port};
use super::harness::{Backend, IcyReader, Scratch, Server, Station, http, mpeg, station, wait_for};

const LIMIT: Duration = Duration::from_secs(30);

crate::clients::on_both_backends!(every_setting_changes_under_listeners_and_cuts_nobody);

/// The first frames of what is played.
const OWN: u64 = 10_000_000;
const SPARE: u64 = 30_000_000;
const AGAIN: u64 = 50_000_000;
const INTRO: u64 = 80_000_000;
const OWN_INTRO: u64 = 90_000_000;

/// Listeners of `/live`, `/own` and `/relayed`; the relay is one more at `/own` after the reload.
const CROWDS: [usize; 3] = [6, 4, 3];
const OWN_MAX: &str = "5";

/// Whom the files of users let in, and the MD5 that stands there.
const GUEST: (&str, &str) = ("guest", "listen-to-this");
const USERS: &str = "guest:b89d4aba62928e9e014a6e9f1f9c61bb\n";

const WELCOME: &str = "HTTP/1.1 200 OK\r\nicecast-auth-user: 1\r\nContent-Length: 0\r\n\r\n";

/// A row of the table: its section's head, its key, and both values.
struct Setting {
    head: &'static str,
    key: &'static str,
    values: [&'static str; 2],
}

fn settings() -> Vec<Setting> {
    let mut heads: Vec<&str> = Vec::new();
    let mut settings = Vec::new();
    for line in table::SETTINGS.trim().lines() {
        let Some((key, values)) = line.split_once(" = ") else {
            heads = line.split(" | ").collect();
            continue;
        };
        let values: Vec<&str> = values.split(" | ").collect();
        assert_eq!(values.len(), heads.len(), "{line}");
        for (head, values) in heads.iter().zip(values) {
            let (old, new) = values.split_once(" -> ").expect("two values");
            settings.push(Setting {
                head,
                key,
                values: [old, new],
            });
        }
    }
    settings
}

/// Each setting of the reference page, by head and key, and whether a reload is enough. Those of
/// `[mount_defaults]` are those of a mount too; names of sections are left out.
fn declared() -> BTreeMap<(String, String), bool> {
    let page = corecast_config::reference::page();
    let mut head = String::new();
    let mut declared = BTreeMap::new();
    for line in page.lines() {
        if let Some(found) = line.strip_prefix("## `") {
            head = found.trim_end_matches('`').to_owned();
        }
        let key = line
            .strip_prefix("| `")
            .and_then(|rest| rest.split_once('`'));
        let Some((key, rest)) = key else { continue };
        let reload = rest.contains(" | reload | ");
        assert!(reload || rest.contains(" | restart | "), "{line}");
        declared.insert((head.clone(), key.to_owned()), reload);
        if head == "[mount_defaults]" {
            declared.insert(("[[mount]]".to_owned(), key.to_owned()), reload);
        }
    }
    for (head, key, _) in table::NAMES {
        let name = declared.remove(&((*head).to_owned(), (*key).to_owned()));
        assert!(name.is_some(), "{head} has no {key}");
    }
    declared
}

/// How the log calls a changed setting.
fn told_as(head: &str, key: &str) -> String {
    let section = head.trim_matches(['[', ']']);
    let named = table::NAMES.iter().find(|(found, ..)| *found == head);
    match named {
        // Acceptors are told all together.
        _ if section == "listen" => "listen".to_owned(),
        Some((_, _, name)) => format!("{section}.{name}.{key}"),
        None => format!("{section}.{key}"),
    }
}

/// Every setting is in the table.
fn assert_whole() {
    let rows: Vec<(String, String)> = settings()
        .iter()
        .map(|row| (row.head.to_owned(), row.key.to_owned()))
        .collect();
    let mut declared = declared();
    let strange: Vec<_> = rows
        .iter()
        .filter(|row| declared.remove(row).is_none())
        .collect();
    assert!(strange.is_empty(), "rows of no setting: {strange:?}");
    assert!(declared.is_empty(), "settings without a row: {declared:#?}");
}

/// A server whose file says the first values of everything, and what it needs.
struct Stage {
    server: Server,
    script: Script,
    folder: Scratch,
    file: PathBuf,
    /// What stands for the names in braces.
    names: Vec<(&'static str, String)>,
    _other: Port,
}

impl Stage {
    fn start(backend: Backend) -> Self {
        let folder = Scratch::new("changes");
        let script = Script::start(|_: &Call| Manner::Says(WELCOME));
        for name in ["users", "guests"] {
            std::fs::write(folder.file(name), USERS).expect("the folder takes files");
        }
        for (name, first, count) in [("intro.mp3", INTRO, 900), ("own.mp3", OWN_INTRO, 100)] {
            let intro = mpeg::frames(first..first + count);
            std::fs::write(folder.file(name), intro).expect("the folder takes files");
        }
        let (port, other) = (Port::take(), Port::take());
        let (engine, other_engine) = match backend {
            Backend::IoUring => ("io_uring", "epoll"),
            Backend::Epoll => ("epoll", "io_uring"),
        };
        let names = vec![
            ("{folder}", folder.path().display().to_string()),
            ("{script}", script.url("")),
            ("{port}", port.number().to_string()),
            ("{other}", other.number().to_string()),
            ("{engine}", engine.to_owned()),
            ("{other_engine}", other_engine.to_owned()),
            ("{own_max}", OWN_MAX.to_owned()),
        ];
        let file = folder.file("corecast.toml");
        std::fs::write(&file, text(0, &names)).expect("the folder takes files");
        let server = Server::launch_from(&file, port);
        server.wait_ready();
        Stage {
            server,
            script,
            folder,
            file,
            names,
            _other: other,
        }
    }

    /// Has every setting changed; answers what the log says then.
    fn reload(&self) -> String {
        let text = text(1, &self.names);
        std::fs::write(&self.file, text).expect("the folder takes files");
        self.server.signal(Signal::HUP);
        wait_for("it has reloaded", LIMIT, || {
            let log = self.server.log();
            (log.contains(" reloaded ") || log.contains("not reloaded")).then_some(log)
        })
    }
}

/// The file with the first or second values.
fn text(which: usize, names: &[(&str, String)]) -> String {
    let mut sections: Vec<(&str, String)> = Vec::new();
    for Setting { head, key, values } in settings() {
        let line = format!("{key} = {}\n", values[which]);
        match sections.iter_mut().find(|(found, _)| *found == head) {
            Some((_, lines)) => lines.push_str(&line),
            None => sections.push((head, line)),
        }
    }
    let mut text = String::new();
    for (head, lines) in sections {
        let named = table::NAMES.iter().find(|(found, ..)| *found == head);
        let name = named.map(|(_, key, name)| format!("{key} = \"{name}\"\n"));
        text.push_str(&format!("{head}\n{}{lines}", name.unwrap_or_default()));
    }
    text.push_str("[[mount]]\nname = \"/spare\"\nfallback = \"\"\n");
    for (name, value) in names {
        text = text.replace(name, value);
    }
    text
}

/// The log names each setting, whether it waits for a restart, and how many there are.
fn assert_told(log: &str) {
    let told: Vec<&str> = log
        .lines()
        .filter(|line| line.contains(" reload: "))
        .collect();
    let mut expected = BTreeMap::new();
    for ((head, key), reload) in declared() {
        expected.insert(told_as(&head, &key), reload);
    }
    for (key, reload) in &expected {
        let start = format!(" reload: {key}: ");
        let lines: Vec<_> = told.iter().filter(|line| line.contains(&start)).collect();
        assert_eq!(lines.len(), 1, "{key} in {told:#?}");
        assert_eq!(
            !lines[0].contains("(after a restart)"),
            *reload,
            "{lines:?}"
        );
    }
    let waiting = expected.values().filter(|reload| !**reload).count();
    let summary = format!("reloaded changes={} waiting={waiting}", expected.len());
    assert!(log.contains(&summary), "{summary}: {told:#?}");
    for secret in [
        "tests-play-that",
        "tests-rule-that",
        "the-own-word",
        "calls-with-this",
    ] {
        assert!(!log.contains(secret), "{secret} is told");
    }
}

fn every_setting_changes_under_listeners_and_cuts_nobody(backend: Backend) {
    assert_whole();
    let stage = Stage::start(backend);
    let server = &stage.server;
    let live = Station::play(server, "/live");
    let own = Station::play_at(server, "/own", OWN, 1.0);
    let _spare = Station::play_at(server, "/spare", SPARE, 1.0);
    server.wait_live("/live");
    server.wait_live("/spare");
    server.wait_live("/relayed");
    let join = |mount, count| Crowd::join(server.address(), mount, count);
    let crowds = [
        join("/live", CROWDS[0]),
        join("/own", CROWDS[1]),
        join("/relayed", CROWDS[2]),
    ];
    let mut relayed = IcyReader::open(server.address(), "/relayed");
    wait_for("there is something to compare", LIMIT, || {
        (live.next_frame() > 100).then_some(())
    });

    assert_told(&stage.reload());
    let came = relayed.listen_until(LIMIT, |reader| last_frame(&reader.audio) / OWN == 1);
    assert!(came, "the relay takes another mount");
    assert!(live.is_playing() && own.is_playing());
    assert!(
        crowds.iter().all(|crowd| crowd.gone() == 0),
        "nobody was cut"
    );
    check_pages(server);
    check_listeners(&stage);
    check_refusals(server);
    check_patience(server.address());
    check_sources(&stage, live, own);

    let heard = crowds.map(Crowd::leave);
    let [at_live, at_own, at_relayed] = &heard;
    assert_ways(at_live, &[0, AGAIN, SPARE]);
    assert_ways(at_own, &[OWN]);
    assert_ways(at_relayed, &[0, OWN_INTRO, OWN]);
}

/// The number of the last whole frame.
fn last_frame(audio: &[u8]) -> u64 {
    let heard = mpeg::read(audio).expect("frames and titles are exact");
    heard.frames.last().copied().unwrap_or_default()
}

/// Everybody heard these, each from some frame on without a gap, in this order; and is still there.
fn assert_ways(heard: &[Heard], ways: &[u64]) {
    for heard in heard {
        assert_eq!(heard.end, None, "nobody was cut");
        let frames = mpeg::read(&heard.audio).expect("frames and titles are exact");
        let first = frames.frames.first().map(|first| (0, *first));
        let starts = first.into_iter().chain(frames.jumps());
        let starts: Vec<u64> = starts.map(|(_, to)| to / OWN * OWN).collect();
        assert_eq!(starts, ways, "{:?}", frames.jumps());
    }
}

fn ask(address: SocketAddr, path: &str, headers: &str) -> http::Answer {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n");
    let mut stream = http::connect(address).expect("the server takes connections");
    stream.write_all(request.as_bytes()).expect("a head fits");
    let mut answer = http::read_head(&mut stream).expect("the server answers");
    // A stream has no end.
    if answer.header("icy-name").is_none() {
        stream.read_to_end(&mut answer.body).expect("a body ends");
    }
    answer
}

/// Names, numbers and who sees what.
fn check_pages(server: &Server) {
    let status = server.json("/status-json.xsl");
    let told = &status["icestats"];
    let words = ["host", "location", "admin"].map(|key| told[key].as_str().unwrap_or_default());
    assert_eq!(words, ["two.example", "there", "b@two.example"], "{status}");
    // Only `/own` is not hidden any more.
    assert_eq!(told["source"]["server_name"], "Two", "{status}");
    assert_eq!(told["source"]["genre"], "Rock", "{status}");
    assert_eq!(server.get("/api/v1/mounts/live").status, 404, "hidden");

    let boss = http::basic("boss", "tests-rule-that");
    let live = ask(server.address(), "/api/v1/mounts/live", &boss).json();
    let words = ["stream_name", "description", "genre", "url"];
    let words = words.map(|key| live[key].as_str().unwrap_or_default());
    let expected = [
        "Default name",
        "Default text",
        "Default",
        "http://d.example",
    ];
    assert_eq!(words, expected, "{live}");
    let node = ask(server.address(), "/api/v1/server", "").json();
    assert_eq!(
        (&node["listeners_max"], &node["sources_max"]),
        (&60.into(), &8.into())
    );
    assert_eq!(node["connections_max"], 400, "it waits for a restart");
    let mirror = http::basic("mirror", "tests-relay-that");
    let list = ask(server.address(), "/admin/streamlist.txt", &mirror);
    assert_eq!(list.status, 200, "{}", list.text());
    wait_for("debug lines", LIMIT, || {
        server.log().contains(" DEBUG ").then_some(())
    });
}

/// Who listens now gets what is set now.
fn check_listeners(stage: &Stage) {
    let address = stage.server.address();
    let guest = http::basic(GUEST.0, GUEST.1);
    let request = format!("GET /live HTTP/1.1\r\nHost: test\r\nIcy-MetaData: 1\r\n{guest}\r\n");
    let began = Instant::now();
    let mut reader = IcyReader::ask(address, &request).expect("the server answers");
    let head = &reader.answer;
    assert_eq!(head.status, 200, "{}", head.status_line);
    assert_eq!(head.header("icy-metaint"), Some("4096"));
    assert_eq!(head.header("icy-name"), Some("Default name"));
    // At the pace of its sound with the burst of before it would take ten seconds.
    assert!(reader.listen_until(LIMIT, |reader| reader.audio.len() >= 200_000));
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    let heard = mpeg::read(&reader.audio).expect("frames and titles are exact");
    assert_eq!((heard.frames[0], heard.jumps()), (INTRO, vec![]));
    drop(reader);

    let called = |path: &str| loop {
        let call = stage.script.call();
        if call.head.starts_with(&format!("POST {path} ")) {
            return call;
        }
    };
    let caller = http::basic("caller", "calls-with-this");
    let caller = caller.trim_start_matches("Authorization: ").trim_end();
    let call = called("/come");
    assert!(call.head.contains(caller), "{}", call.head);
    called("/go");
    let full = ask(address, "/own", &guest);
    assert_eq!(full.status, 302, "{}", full.status_line);
    assert_eq!(full.header("location"), Some("http://full.example/own"));
}

/// Who may not come in, and what is too much.
fn check_refusals(server: &Server) {
    let address = server.address();
    let status = |path: &str, headers: &str| ask(address, path, headers).status;
    assert_eq!(status("/live", ""), 401, "there are users now");
    assert_eq!(status("/live", "User-Agent: worse-bot/1\r\n"), 403);
    assert_eq!(status("/live", "X-Forwarded-For: 198.51.100.7\r\n"), 403);
    assert_eq!(status("/", "User-Agent: bad-bot/1\r\n"), 403);
    assert_eq!(status("/", "X-Forwarded-For: 192.0.2.9\r\n"), 403);
    assert_eq!(
        status("/", "X-Forwarded-For: 203.0.113.9\r\n"),
        403,
        "not allowed"
    );
    assert_eq!(status("/", &format!("X: {}\r\n", "x".repeat(3_000))), 431);
    assert_eq!(status("/", &"X: y\r\n".repeat(40)), 431);
    let body = format!("Content-Length: 3000\r\n\r\n{}", "x".repeat(2_998));
    assert_eq!(status("/api/v1/server", &body), 413);

    let title = "/admin/metadata?mode=updinfo&song=a&mount=";
    for (mount, password) in [("/live", "default-word"), ("/own", "the-own-word")] {
        let source = http::basic("source", password);
        assert_eq!(status(&format!("{title}{mount}"), &source), 200, "{mount}");
    }
    // The words of before are two guesses, and the right one is refused for a second then.
    let sessions = "/api/v1/sessions";
    let old = http::basic("admin", ADMIN_PASSWORD);
    let boss = http::basic("boss", "tests-rule-that");
    wait_for("guesses are locked out", LIMIT, || {
        assert!(matches!(status(sessions, &old), 401 | 429));
        (status(sessions, &boss) == 429).then_some(())
    });
    wait_for("the lockout is over", LIMIT, || {
        (status(sessions, &boss) == 200).then_some(())
    });
}

/// Connections that say nothing do not stay for the ten minutes and the hour of before.
fn check_patience(address: SocketAddr) {
    let mut silent = http::connect(address).expect("the server takes connections");
    let mut idle = http::connect(address).expect("the server takes connections");
    let request = "GET /health HTTP/1.1\r\nHost: test\r\n\r\n";
    idle.write_all(request.as_bytes()).expect("a head fits");
    let answer = http::read_answer(&mut idle).expect("the server answers");
    assert_eq!(answer.status, 200);
    for stream in [&mut silent, &mut idle] {
        let mut rest = Vec::new();
        stream
            .read_to_end(&mut rest)
            .expect("the server ends it in good order");
    }
}

/// Sources: who may take over, what is asked about them, where their media goes and what follows
/// their end.
fn check_sources(stage: &Stage, live: Station, own: Station) {
    let server = &stage.server;
    // The password of before is nobody's: the script is asked, and lets it in.
    let (_socket, answer) = station::open(server.address(), "/own", "");
    assert_eq!(answer.status, 409, "{}", answer.status_line);
    let again = Station::play_at(server, "/live", AGAIN, 1.0);
    wait_for("the first one is taken over", LIMIT, || {
        (!live.is_playing()).then_some(())
    });
    assert!(own.is_playing());
    let called = |path: &str| loop {
        let call = stage.script.call();
        if call.head.starts_with(&format!("POST {path} ")) {
            return;
        }
    };
    called("/own-feed");
    called("/on");
    let log = server.log();
    let started = log.lines().rfind(|line| line.contains("source started"));
    assert!(
        started.is_some_and(|line| line.contains("127.0.0.0")),
        "{started:?}"
    );
    for name in ["rec-live", "own-own"] {
        wait_for(name, LIMIT, || {
            let len = std::fs::metadata(stage.folder.file(name)).ok()?.len();
            (len > 0).then_some(())
        });
    }

    let boss = http::basic("boss", "tests-rule-that");
    let spare = |key: &str| {
        let report = ask(server.address(), "/api/v1/mounts/spare", &boss).json();
        report[key].as_u64().unwrap_or_default()
    };
    assert_eq!(spare("listeners"), 0);
    wait_for("there is something to hear", LIMIT, || {
        (again.next_frame() > AGAIN + 80).then_some(())
    });
    let gone = Instant::now();
    drop(again);
    let all = CROWDS[0] as u64;
    wait_for("listeners go to the fallback", LIMIT, || {
        (spare("listeners") == all).then_some(())
    });
    assert!(
        gone.elapsed() > Duration::from_secs(4),
        "{:?}",
        gone.elapsed()
    );
    called("/off");
    wait_for("everybody hears it", LIMIT, || {
        (spare("bytes_sent") > all * 3 * mpeg::BYTES_PER_S).then_some(())
    });
}
