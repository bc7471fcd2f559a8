//! What is written down about peers: the access log's lines, addresses that are cut, and a bound
//! on how much is said about one peer.

use std::io::Read;
use std::time::Duration;

use rustix::process::Signal;

use super::harness::{Backend, IcyReader, Scratch, Server, Station, http, station, wait_for};
use super::peers;

const SOON: Duration = Duration::from_secs(10);

/// The fields of a line in Icecast's combined form.
#[derive(Debug)]
struct Line {
    ip: String,
    request: String,
    status: u16,
    bytes: u64,
    agent: String,
    seconds: u64,
}

fn parse(line: &str) -> Line {
    // Between quotes: request, referer, agent; the texts here have no quotes of their own.
    let parts: Vec<&str> = line.split('"').collect();
    assert_eq!(parts.len(), 7, "{line}");
    let mut start = parts[0].split_whitespace();
    let ip = start.next().expect("an address").to_owned();
    assert_eq!(start.next(), Some("-"), "{line}");
    let mut numbers = parts[2].split_whitespace();
    let mut number = || numbers.next().and_then(|n| n.parse::<u64>().ok());
    let (status, bytes) = (number().expect("a status"), number().expect("a size"));
    let date = parts[0].split_once('[').map(|(_, date)| date.trim());
    let date = date.expect("a date");
    assert_eq!(date.len(), "10/Oct/2000:13:55:36 -0700]".len(), "{date}");
    Line {
        ip,
        request: parts[1].to_owned(),
        status: u16::try_from(status).expect("three digits"),
        bytes,
        agent: parts[5].to_owned(),
        seconds: parts[6].trim().parse().expect("whole seconds"),
    }
}

#[test]
fn each_session_has_its_line_with_the_seconds_it_listened() {
    let folder = Scratch::new("access");
    let path = folder.file("access.log");
    let setting = format!("log.access_path={}", path.display());
    let server = Server::start(Backend::IoUring, &[&setting, "mount_defaults.latency=live"]);
    let station = Station::play(&server, "/live");
    server.wait_live("/live");
    let ask = "GET /live?secret=1 HTTP/1.1\r\nHost: test\r\nUser-Agent: test ear\r\n\r\n";
    let mut reader = IcyReader::ask(server.address(), ask).expect("the server answers");
    assert!(reader.listen(Duration::from_millis(2_300)));
    let heard = reader.audio.len() as u64;
    drop(reader);
    assert_eq!(server.get("/none").status, 404);
    peers::say(server.address(), b"nonsense\r\n\r\n")
        .read_to_end(&mut Vec::new())
        .expect("an answer");
    let (_socket, answer) = station::open(server.address(), "/live", "");
    assert_eq!(answer.status, 409);
    drop(station);
    let find = |request: &str| {
        wait_for(request, SOON, || {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            text.lines().map(parse).find(|line| line.request == request)
        })
    };
    let line = find("GET /live HTTP/1.1");
    assert_eq!((&*line.ip, line.status), ("127.0.0.1", 200), "{line:?}");
    assert_eq!(line.agent, "test ear");
    assert!((2..=8).contains(&line.seconds), "{line:?}");
    assert!(
        line.bytes >= heard && line.bytes < heard + 200_000,
        "{line:?}"
    );
    assert_eq!(find("GET /none HTTP/1.1").status, 404);
    assert_eq!(find("- (bad request line)").status, 400);
    let lines = wait_for("both sources have a line", SOON, || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<Line> = text.lines().map(parse).collect();
        let of = |status| {
            lines
                .iter()
                .any(|line| line.request.starts_with("PUT /live") && line.status == status)
        };
        (of(200) && of(409)).then_some(lines)
    });
    assert!(lines.iter().all(|line| !line.request.contains("secret")));

    // Moved away by logrotate: SIGHUP opens a new one.
    std::fs::rename(&path, folder.file("access.log.1")).expect("one folder");
    server.signal(Signal::HUP);
    wait_for("a new access log", SOON, || {
        server.get("/none");
        path.exists().then_some(())
    });
}

#[test]
fn one_peer_fills_no_log() {
    let settings = [
        "mount_defaults.source_timeout_ms=0",
        "limits.auth_failures_max=0",
    ];
    let server = Server::start(Backend::Epoll, &settings);
    for n in 0..60 {
        let (socket, answer) = station::open(server.address(), &format!("/live{n}"), "");
        assert_eq!(answer.status, 200);
        drop(socket);
    }
    // Bad passwords are the peer's fault and no news at all.
    for _ in 0..200 {
        let request = b"SOURCE /x HTTP/1.0\r\nAuthorization: Basic eDp5\r\n\r\n";
        let answer = http::exchange(server.address(), request).expect("an answer");
        assert_eq!(answer.status, 401);
    }
    wait_for("all are gone", SOON, || {
        (server.metric("corecast_sources", "") == 0.0).then_some(())
    });
    let hushed = server.metric("corecast_log_lines_suppressed_total", "");
    let log = server.log();
    let said = log
        .lines()
        .filter(|line| line.contains("127.0.0.1:"))
        .count();
    assert!(hushed >= 60.0, "{hushed} lines were left out");
    assert!(said < 50, "{said} lines about one peer");
    assert_eq!(
        server.metric("corecast_refused_total", "unauthorized"),
        200.0
    );
}

#[test]
fn addresses_are_cut_wherever_they_are_written() {
    let folder = Scratch::new("redacted");
    let path = folder.file("access.log");
    let setting = format!("log.access_path={}", path.display());
    let settings = [&*setting, "log.redact_ip=true", "log.level=debug"];
    let server = Server::start(Backend::IoUring, &settings);
    let ask = b"GET /live HTTP/1.1\r\nHost: test\r\n\r\n";
    let mut stream = peers::narrow_from([127, 11, 12, 13], server.address(), ask);
    assert_eq!(http::read_head(&mut stream).expect("an answer").status, 404);
    let authorization = http::basic("source", super::harness::server::SOURCE_PASSWORD);
    let publish = format!("SOURCE /live HTTP/1.0\r\n{authorization}\r\n");
    let source = peers::narrow_from([127, 11, 12, 14], server.address(), publish.as_bytes());
    wait_for("the source is written down", SOON, || {
        server.log().contains("source started").then_some(())
    });
    drop(source);
    let text = wait_for("both are in the access log", SOON, || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        (text.contains("SOURCE /live") && text.contains("GET /live")).then_some(text)
    });
    let log = server.log();
    assert!(log.contains("127.11.12.0") && text.contains("127.11.12.0 "));
    assert!(
        !log.contains("127.11.12.1") && !text.contains("127.11.12.1"),
        "{log}{text}"
    );
}
