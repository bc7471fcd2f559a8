//! Words from outside that want to be more than words, and the requests of Icecast's advisories:
//! whatever a source, a listener or an encoder says of itself stays one text wherever it is shown.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use quick_xml::events::Event;

use super::harness::script::{Call, Manner, Script};
use super::harness::server::SOURCE_PASSWORD;
use super::harness::{Backend, IcyReader, Scratch, Server, http, mpeg, station, wait_for};
use super::peers;

const SOON: Duration = Duration::from_secs(20);

/// What a source says of itself, in all headers and as its title.
const WORDS: &[(&str, &str)] = &[
    (
        "a header more",
        "a%0d%0aSet-Cookie:%20hostile=1%0d%0a%0d%0abody",
    ),
    ("a script", "</title></script><script>hostile()</script>"),
    ("an attribute", "a\" onload=\"hostile()\" x='hostile()'"),
    ("an element", "a]]></title><hostile/><title>&hostile;"),
    (
        "another field",
        "a';StreamUrl='http://hostile/';StreamTitle='b",
    ),
    ("a key", "a\\\",\"hostile\":{\"x\":1},\"y\":\"\\"),
    (
        "a line of a list",
        "a%0aFile2=http://hostile/%0a#EXTINF:0,%0ahttp://hostile/",
    ),
    (
        "a line of the log",
        "a%0a1970-01-01T00:00:00Z ERROR hostile: the end is near",
    ),
    (
        "a terminal's orders",
        "a%1b]0;hostile%07%1b[2J%00%7f\u{202e}",
    ),
    ("no UTF-8", "a%ff%fe%c0%80%ed%a0%80 hostile"),
    ("a path", "../../../../etc/passwd%00 hostile"),
    ("a format", "%n%n%s%s%25n{}${hostile}{{hostile}}"),
];

/// Where it is shown: the path with its mount, and how the document must read.
const PAGES: &[(&str, Form)] = &[
    ("/status-json.xsl", Form::Json),
    ("/api/v1/mounts", Form::Json),
    ("/api/v1/mounts{mount}", Form::Json),
    ("/api/v1/sessions", Form::Json),
    ("/api/v1/mounts{mount}/listeners", Form::Json),
    ("/admin/stats", Form::Xml),
    ("/admin/listmounts", Form::Xml),
    ("/admin/listclients?mount={mount}", Form::Xml),
    ("{mount}.xspf", Form::Xml),
    ("/status.xsl", Form::Page),
    ("/admin/stats.xsl", Form::Page),
    ("/admin/listclients.xsl?mount={mount}", Form::Page),
    ("/", Form::Page),
    ("{mount}.m3u", Form::Lines(1)),
    ("{mount}.pls", Form::Lines(8)),
    ("/metrics", Form::Lines(usize::MAX)),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Xml,
    Page,
    /// At most so many.
    Lines(usize),
}

/// The document at `path` is of its form, and no word in it became more than one.
fn assert_reads(form: Form, path: &str, text: &str) {
    let hostile = |what: &str| panic!("{path}: {what} in {text}");
    let controls = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    assert!(!text.contains(controls), "{path}: {}", text.escape_debug());
    match form {
        Form::Json => {
            let document: serde_json::Value = serde_json::from_str(text).expect("JSON");
            assert!(!has_key(&document, "hostile"), "{path}: {text}");
        }
        Form::Xml => {
            let mut reader = quick_xml::Reader::from_str(text);
            loop {
                match reader
                    .read_event()
                    .unwrap_or_else(|e| panic!("{path}: {e} in {text}"))
                {
                    Event::Eof => break,
                    Event::Start(start) | Event::Empty(start)
                        if start.name().as_ref() == "hostile" =>
                    {
                        hostile("an element");
                    }
                    _ => {}
                }
            }
        }
        Form::Page => {
            for bad in ["<script>hostile", "<hostile", "\" onload=", "' onload="] {
                if text.contains(bad) {
                    hostile(bad);
                }
            }
        }
        Form::Lines(most) => {
            assert!(text.lines().count() <= most, "{path}: {text}");
            let mut lines = text.lines();
            if lines.any(|line| line.starts_with("File2") || line.starts_with("http://hostile")) {
                hostile("a line");
            }
        }
    }
}

fn has_key(document: &serde_json::Value, wanted: &str) -> bool {
    match document {
        serde_json::Value::Object(fields) => fields
            .iter()
            .any(|(key, value)| key == wanted || has_key(value, wanted)),
        serde_json::Value::Array(items) => items.iter().any(|item| has_key(item, wanted)),
        _ => false,
    }
}

/// No line of the log or the access log is somebody else's.
fn assert_one_line_each(what: &str, log: &str) {
    for line in log.lines() {
        assert!(!line.contains(|c: char| c.is_control()), "{what}: {line:?}");
        let ours = line.starts_with("20") || line.starts_with("127.");
        assert!(ours, "{what}: {line:?}");
        assert!(!line.starts_with("1970"), "{what}: {line:?}");
    }
}

/// A source that calls itself `word` in every header, and whose title is that too.
fn feed(server: &Server, mount: &str, word: &str) -> TcpStream {
    let said = "Name Description Genre Url Audio-Info Bitrate".split(' ');
    let said = said.map(|name| format!("Ice-{name}: {word}\r\n"));
    let headers = format!("{}User-Agent: {word}\r\n", said.collect::<String>());
    let (mut source, answer) = station::open(server.address(), mount, &headers);
    assert_eq!(answer.status, 200, "{word}");
    let frames = mpeg::frames(0..60);
    source.write_all(&frames).expect("the server takes frames");
    server.wait_live(mount);
    // What is escaped already stays so.
    let escaped = |byte: u8| match byte {
        b'%' | b'0'..=b'9' | b'a'..=b'z' => char::from(byte).to_string(),
        _ => format!("%{byte:02x}"),
    };
    let song: String = word.bytes().map(escaped).collect();
    let authorization = http::basic("source", SOURCE_PASSWORD);
    let update = format!(
        "GET /admin/metadata?mode=updinfo&mount={mount}&song={song} HTTP/1.0\r\n\
         {authorization}\r\n"
    );
    let answer = http::exchange(server.address(), update.as_bytes());
    assert_eq!(answer.expect("the server answers").status, 200, "{word}");
    source.write_all(&frames).expect("the server takes frames");
    source
}

/// A listener that calls itself `word`. Its head and its titles are whole and alone.
fn listen(server: &Server, mount: &str, word: &str) -> IcyReader {
    let request = format!(
        "GET {mount}?x=%0d%0ahostile HTTP/1.1\r\nHost: test\r\nIcy-MetaData: 1\r\n\
         Referer: {word}\r\nUser-Agent: {word}\r\n\r\n"
    );
    let mut reader = IcyReader::ask(server.address(), &request).expect("the server answers");
    assert_eq!(reader.answer.status, 200, "{word}");
    for (name, value) in &reader.answer.headers {
        assert_ne!(name, "set-cookie", "{word}");
        assert!(!value.contains(char::is_control), "{name}: {value:?}");
    }
    let titled = reader.listen_until(SOON, |reader| !reader.blocks.is_empty());
    assert!(titled, "{word}");
    mpeg::read(&reader.audio).unwrap_or_else(|error| panic!("{word}: {error}"));
    for (_, fields) in &reader.blocks {
        let text = String::from_utf8_lossy(fields);
        assert_eq!(text.matches("';").count(), 1, "{word}: {text:?}");
        let title = text.trim_end_matches('\0');
        assert!(!title.contains(char::is_control), "{word}: {title:?}");
    }
    reader
}

#[test]
fn words_of_sources_and_listeners_stay_words_wherever_they_are_shown() {
    let scratch = Scratch::new("hostile");
    let access = format!("log.access_path={}", scratch.file("access").display());
    let settings = [
        access.as_str(),
        "mount_defaults.latency=instant",
        "mount_defaults.metaint_bytes=1000",
        "mount_defaults.source_timeout_ms=0",
    ];
    let server = Server::start(Backend::Epoll, &settings);
    let mut listeners = Vec::new();
    for (number, (what, word)) in WORDS.iter().enumerate() {
        let mount = format!("/h{number}");
        let source = feed(&server, &mount, word);
        let reader = listen(&server, &mount, word);
        for (path, form) in PAGES {
            let path = path.replace("{mount}", &mount);
            let answer = server.get_as_admin(&path);
            assert_eq!(answer.status, 200, "{what}: {path}");
            assert_reads(*form, &path, &answer.text());
        }
        listeners.push((reader, source));
    }
    drop(listeners);
    assert_one_line_each("the log", &server.log());
    let written = || std::fs::read_to_string(scratch.file("access")).ok();
    let access = wait_for("listeners are in the access log", SOON, || {
        let all = |log: &String| {
            let mut numbers = 0..WORDS.len();
            numbers.all(|number| log.contains(&format!("\"GET /h{number} HTTP/1.1\" 200 ")))
        };
        written().filter(all)
    });
    assert_one_line_each("the access log", &access);
}

/// What Icecast was once broken by, and the answers that are right.
const REQUESTS: &[(&str, &str, &[u16])] = &[
    (
        "CVE-2001-0784: a way out of the folder",
        "GET /../../etc/passwd HTTP/1.0",
        &[400, 404],
    ),
    (
        "the same, escaped",
        "GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.0",
        &[400, 404],
    ),
    (
        "the same, escaped twice",
        "GET /%252e%252e/etc/passwd HTTP/1.0",
        &[400, 404],
    ),
    (
        "the same, below a folder of ours",
        "GET /admin/../web/../../x HTTP/1.0",
        &[400, 401, 404],
    ),
    (
        "CVE-2001-1083: a slash at the end",
        "GET /live/ HTTP/1.0",
        &[404],
    ),
    (
        "CVE-2005-0837: a style sheet's source",
        "GET /status.xsl. HTTP/1.0",
        &[404],
    ),
    (
        "the same, with a NUL",
        "GET /status.xsl%00.txt HTTP/1.0",
        &[400],
    ),
    (
        "CVE-2011-4612: a line of the log",
        "GET /x%0d%0a1970 HTTP/1.0",
        &[400],
    ),
    ("the same, bare", "GET /x\x0b1970 HTTP/1.0", &[400]),
    ("a file of the server", "GET /icecast.xml HTTP/1.0", &[404]),
    (
        "CVE-2015-3026: a source without a word",
        "SOURCE /asked ICE/1.0",
        &[401],
    ),
    (
        "the same to an admin's command",
        "GET /admin/killsource?mount=/live HTTP/1.0",
        &[401],
    ),
    (
        "the same by PUT",
        "PUT /asked HTTP/1.1\r\nHost: test",
        &[401],
    ),
    ("a source without a mount", "SOURCE  ICE/1.0", &[400]),
    (
        "an empty password",
        "SOURCE /live ICE/1.0\r\nAuthorization: Basic ",
        &[400, 401],
    ),
    (
        "no Basic at all",
        "SOURCE /live ICE/1.0\r\nAuthorization: Basic Og==",
        &[401],
    ),
    (
        "a mount that is a page",
        "SOURCE /admin/stats ICE/1.0\r\n{source}",
        &[401, 403],
    ),
    (
        "a script as a mount",
        "GET /<script>hostile() HTTP/1.0",
        &[400, 404],
    ),
];

#[test]
fn the_requests_of_icecasts_advisories_do_nothing() {
    let script = Script::start(|_: &Call| Manner::Says("HTTP/1.1 200 OK\r\n\r\n"));
    let asked = format!("mount_defaults.hook_listener_add={}", script.url("/come"));
    let feeds = format!("mount_defaults.hook_stream_auth={}", script.url("/feed"));
    let scratch = Scratch::new("advisories");
    let access = format!("log.access_path={}", scratch.file("access").display());
    let settings = [asked.as_str(), feeds.as_str(), access.as_str()];
    let server = Server::start(Backend::Epoll, &settings);
    let station = super::harness::Station::play(&server, "/live");
    server.wait_live("/live");
    let say = |what: &str, request: &str| {
        let mut stream = peers::say(server.address(), request.as_bytes());
        let (said, ended) = peers::read_to_end(&mut stream, SOON);
        let answer = http::read_answer(&mut said.as_slice());
        let answer = answer.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(ended, "{what}");
        for shown in ["root:", "<xsl:", "<script>hostile"] {
            assert!(!answer.text().contains(shown), "{what}: {}", answer.text());
        }
        answer.status
    };
    let source = http::basic("source", SOURCE_PASSWORD);
    for (what, request, statuses) in REQUESTS {
        let request = request.replace("{source}", source.trim_end());
        let status = say(what, &format!("{request}\r\n\r\n"));
        assert!(statuses.contains(&status), "{what}: {status}");
    }
    // CVE-2018-18820: what is told to a script is longer than its buffer.
    let long = "A".repeat(12_000);
    let request = format!(
        "GET /live?{} HTTP/1.0\r\nUser-Agent: {long}\r\n\r\n",
        &long[..2_000]
    );
    assert_eq!(
        say("CVE-2018-18820", &request),
        401,
        "the script lets nobody in"
    );
    let call = script.call();
    assert!(
        call.field("agent")
            .is_some_and(|agent| agent.len() <= long.len())
    );
    assert!(
        call.field("mount")
            .is_some_and(|mount| mount.starts_with("/live"))
    );

    assert!(station.is_playing());
    assert_eq!(server.get("/health").status, 200);
    assert_one_line_each("the log", &server.log());
    let access = std::fs::read_to_string(scratch.file("access")).unwrap_or_default();
    assert_one_line_each("the access log", &access);
}
