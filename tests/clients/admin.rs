//! Icecast's admin commands, pages and playlists beside a real Icecast 2.4 with the same sources
//! and listeners: the same codes, elements, order, types and words.

mod users;

use std::net::SocketAddr;
use std::time::Duration;

use quick_xml::Reader;
use quick_xml::events::Event;

use super::harness::http::Answer;
use super::harness::server::{ADMIN_PASSWORD, SOURCE_PASSWORD};
use super::harness::{Backend, Client, Icecast, Server, fixture, http, program, wait_for};
use super::icecast::play;

const LIMIT: Duration = Duration::from_secs(20);

/// Texts that must be the same on both sides, where the documents have them.
const SAME: &[&str] = &[
    "IP",
    "Listeners",
    "UserAgent",
    "admin",
    "authenticator",
    "content-type",
    "current_source",
    "fallback",
    "genre",
    "host",
    "listener_connections",
    "listener_peak",
    "listeners",
    "location",
    "max_listeners",
    "message",
    "public",
    "return",
    "server_description",
    "server_name",
    "server_type",
    "server_url",
    "slow_listeners",
    "source_client_connections",
    "source_ip",
    "source_total_connections",
    "sources",
    "subtype",
    "title",
    "user_agent",
];

/// Both servers, ours first, with sources and listeners.
struct Pair {
    server: Server,
    icecast: Icecast,
}

impl Pair {
    fn addresses(&self) -> [SocketAddr; 2] {
        [self.server.address(), self.icecast.address()]
    }

    /// `GET target` as the admin, of both.
    fn get(&self, target: &str) -> [Answer; 2] {
        self.addresses()
            .map(|address| get(address, target, &admin()))
    }

    /// The texts of the element `name` in the answers of both.
    fn texts(&self, target: &str, name: &str) -> [Vec<String>; 2] {
        self.get(target).map(|answer| texts(&answer.text(), name))
    }

    /// Both are asked until the first element `name` has this text on both.
    fn wait_text(&self, target: &str, name: &str, text: &str) {
        let what = format!("{name} of {target} is {text} on both");
        wait_for(&what, LIMIT, || {
            let both = self.texts(target, name);
            let first = |found: &Vec<String>| found.first().is_some_and(|found| found == text);
            both.iter().all(first).then_some(())
        });
    }

    /// A listener of each, with words in its name that must be escaped.
    fn listen(&self, mount: &str) -> [Client; 2] {
        self.addresses().map(|address| {
            let mut curl = program("curl");
            curl.args(["-s", "-o", "/dev/null", "-A", "Player <1> & \"co\""]);
            Client::spawn(curl.arg(format!("http://{address}{mount}")))
        })
    }

    /// Both give the same answer to `target`.
    fn check(&self, target: &str, authorization: &str) {
        let [ours, theirs] = self
            .addresses()
            .map(|address| get(address, target, authorization));
        assert_eq!(ours.status, theirs.status, "{target}: {}", ours.text());
        for header in ["content-type", "cache-control", "expires", "pragma"] {
            assert_eq!(
                ours.header(header),
                theirs.header(header),
                "{target}: {header}"
            );
        }
        let challenges = [&ours, &theirs].map(|answer| answer.header("www-authenticate").is_some());
        assert_eq!(challenges[0], challenges[1], "{target}");
        let [ours, theirs] = [ours, theirs].map(|answer| answer.text());
        if theirs.starts_with("<?xml") {
            let (shape, expected) = (without_bitrate(&ours, &theirs), shape(&theirs));
            assert_eq!(shape, expected, "{target}:\n{ours}\n{theirs}");
        } else {
            assert_eq!(ours.trim_end(), theirs.trim_end(), "{target}");
        }
    }
}

fn admin() -> String {
    http::basic("admin", ADMIN_PASSWORD)
}

fn get(address: SocketAddr, target: &str, authorization: &str) -> Answer {
    let request = format!("GET {target} HTTP/1.0\r\nHost: both.example:99\r\n{authorization}\r\n");
    http::exchange(address, request.as_bytes()).expect("an answer")
}

/// A document as lines: where each element stands, with the mount of a source, what kind of text
/// it has, and the text where it must be the same.
fn shape(document: &str) -> Vec<String> {
    let mut reader = Reader::from_str(document);
    let (mut path, mut text, mut lines) = (Vec::<String>::new(), String::new(), Vec::new());
    loop {
        match reader
            .read_event()
            .unwrap_or_else(|error| panic!("{error}: {document}"))
        {
            Event::Start(start) => {
                path.push(tag(&start));
                lines.push(path.join("/"));
                text.clear();
            }
            Event::Empty(start) => lines.push(format!("{}/{}/", path.join("/"), tag(&start))),
            Event::Text(piece) => text.push_str(&piece),
            Event::GeneralRef(name) => {
                text.push_str(&format!("&{};", &*name));
            }
            Event::End(_) => {
                let name = path.last().cloned().unwrap_or_default();
                if lines.last() == Some(&path.join("/")) {
                    lines.pop();
                    let shown = if SAME.contains(&name.as_str()) {
                        &*text
                    } else {
                        kind(&text)
                    };
                    lines.push(format!("{}={shown}", path.join("/")));
                }
                path.pop();
            }
            Event::Eof => return lines,
            _ => {}
        }
    }
}

fn tag(start: &quick_xml::events::BytesStart<'_>) -> String {
    let attributes = start.attributes().map(|attribute| {
        let attribute = attribute.expect("a good attribute");
        format!("[{}={}]", attribute.key.as_ref(), attribute.value)
    });
    start.name().as_ref().to_owned() + &attributes.collect::<String>()
}

fn kind(text: &str) -> &'static str {
    let digits = |c: char| c.is_ascii_digit();
    match text.trim() {
        "" => "nothing",
        text if text.chars().all(digits) => "a number",
        _ => "words",
    }
}

/// The shape of ours, less the rate of a stream where Icecast has none: it only repeats what a
/// source tells; ours is read from the stream.
fn without_bitrate(ours: &str, theirs: &str) -> Vec<String> {
    let theirs = shape(theirs);
    let mut lines = shape(ours);
    lines.retain(|line| !line.ends_with("/bitrate=a number") || theirs.contains(line));
    lines
}

fn texts(document: &str, name: &str) -> Vec<String> {
    let (start, end) = (format!("<{name}>"), format!("</{name}>"));
    let parts = document.split(&start).skip(1);
    parts
        .filter_map(|part| part.split(&end).next())
        .map(str::to_owned)
        .collect()
}

fn start() -> (Pair, Vec<Client>) {
    let settings = [
        "server.location=Here",
        "server.admin=nobody@localhost",
        "mount_defaults.source_timeout_ms=0",
    ];
    let pair = Pair {
        server: Server::start(Backend::IoUring, &settings),
        icecast: Icecast::start(""),
    };
    let (mp3, vorbis) = (fixture::mp3(5), fixture::vorbis(5, "Bea", "Three"));
    let mut clients = Vec::new();
    for (file, mount, format) in [
        (&mp3, "/a.mp3", "-content_type audio/mpeg -f mp3"),
        (&vorbis, "/b.ogg", "-content_type application/ogg -f ogg"),
        (&mp3, "/c.mp3", "-content_type audio/mpeg -f mp3"),
    ] {
        clients.extend(play(&pair.server, &pair.icecast, file, mount, format));
        pair.server.wait_live(mount);
    }
    pair.wait_text("/admin/stats", "sources", "3");
    (pair, clients)
}

#[test]
fn admin_commands_answer_as_icecasts() {
    let (pair, _sources) = start();
    let _listeners = [pair.listen("/a.mp3"), pair.listen("/b.ogg")];
    pair.wait_text("/admin/stats", "listeners", "2");
    // Both answer a title with the same words; in every document it is the same afterwards.
    let title = "/admin/metadata?mount=/a.mp3&mode=updinfo&song=A+%26+%3Cb%3E";
    pair.check(title, &http::basic("source", SOURCE_PASSWORD));
    wait_for("both show the titles", LIMIT, || {
        let [ours, theirs] = pair.texts("/admin/stats", "title");
        (ours.len() == 2 && ours == theirs).then_some(())
    });
    for target in [
        "stats",
        "stats.xml",
        "stats?mount=/a.mp3",
        "stats?mount=/b.ogg",
        "stats?mount=/none",
        "listmounts",
        "streamlist",
        "listclients?mount=/a.mp3",
        "listclients?mount=/c.mp3",
        "listclients?mount=/none",
        "listclients",
        "killclient",
        "killclient?mount=/a.mp3",
        "killclient?mount=/a.mp3&id=99999999",
        "killclient?mount=/a.mp3&id=x",
        "killsource",
        "killsource?mount=/none",
        "moveclients",
        "moveclients?mount=/a.mp3",
        "moveclients?mount=/a.mp3&destination=/none",
        "moveclients?mount=/none&destination=/a.mp3",
        "moveclients?mount=/a.mp3&destination=/a.mp3",
        "fallbacks",
        "fallbacks?mount=/a.mp3",
        "fallbacks?mount=/none&fallback=/a.mp3",
        "manageauth",
        "manageauth?mount=/a.mp3",
        "manageauth?mount=/none",
        "metadata?mount=/a.mp3&mode=x",
        "metadata?mount=/none&mode=updinfo&song=x",
        "nonsense",
    ] {
        pair.check(&format!("/admin/{target}"), &admin());
    }
    for target in ["stats", "listmounts", "killsource?mount=/a.mp3", ""] {
        pair.check(&format!("/admin/{target}"), "");
        let wrong = http::basic("admin", "wrong");
        assert_eq!(
            pair.addresses()
                .map(|address| { get(address, &format!("/admin/{target}"), &wrong).status }),
            [401, 401]
        );
        // Four wrong passwords are not yet five.
    }
    pair.check("/admin/listmounts", &http::basic("source", SOURCE_PASSWORD));
}

#[test]
fn admin_commands_do_what_icecasts_do() {
    let (pair, _sources) = start();
    let first = pair.listen("/a.mp3");
    let list = "/admin/listclients?mount=/a.mp3";
    pair.wait_text(list, "Listeners", "1");
    let ids = pair.texts(list, "ID");
    for (address, id) in pair.addresses().into_iter().zip(ids.into_iter().flatten()) {
        let target = format!("/admin/killclient?mount=/a.mp3&id={id}");
        let answer = get(address, &target, &admin());
        let message = format!("Client {id} removed");
        assert_eq!(
            texts(&answer.text(), "message"),
            [message],
            "{}",
            answer.text()
        );
        assert_eq!(texts(&answer.text(), "return"), ["1"]);
    }
    for client in first {
        client.wait(LIMIT);
    }
    pair.wait_text(list, "Listeners", "0");

    let _second = pair.listen("/a.mp3");
    pair.wait_text(list, "Listeners", "1");
    let target = "/admin/moveclients?mount=/a.mp3&destination=/c.mp3";
    pair.check(target, &admin());
    pair.wait_text("/admin/listclients?mount=/c.mp3", "Listeners", "1");
    pair.wait_text(list, "Listeners", "0");

    pair.check("/admin/fallbacks?mount=/c.mp3&fallback=/a.mp3", &admin());
    pair.check("/admin/listmounts", &admin());
    let fallback = pair.texts("/admin/listmounts", "fallback");
    assert_eq!(fallback[0], ["", "", "/a.mp3"]);
    let source = http::basic("source", SOURCE_PASSWORD);
    pair.check("/admin/killsource?mount=/c.mp3", &source);
    pair.wait_text("/admin/stats", "sources", "2");
    // The fallback that was set by command takes the listener.
    pair.wait_text(list, "Listeners", "1");
    pair.check(list, &admin());
}

#[test]
fn pages_and_playlists_have_what_icecasts_have() {
    let (pair, _sources) = start();
    let title = "/admin/metadata?mount=/a.mp3&mode=updinfo&song=A+%26+%3Cb%3E";
    pair.check(title, &admin());
    pair.wait_text("/admin/stats?mount=/a.mp3", "title", "A &amp; &lt;b&gt;");
    for path in ["/a.mp3.m3u", "/b.ogg.m3u"] {
        let [ours, theirs] = pair.addresses().map(|address| get(address, path, ""));
        assert_eq!(ours.header("content-type"), theirs.header("content-type"));
        assert_eq!(ours.text().trim_end(), theirs.text().trim_end());
        assert!(
            ours.text().starts_with("http://both.example:99/"),
            "{}",
            ours.text()
        );
    }
    let [ours, theirs] = pair
        .addresses()
        .map(|address| get(address, "/a.mp3.xspf", ""));
    assert_eq!(ours.header("content-type"), theirs.header("content-type"));
    // The place of the stream follows our Host header; Icecast's is the configured name.
    let [ours, theirs] = [ours, theirs].map(|answer| {
        let mut lines = shape(&answer.text());
        lines.retain(|line| !line.contains("/location="));
        lines
    });
    assert_eq!(ours, theirs);
    let [ours, theirs] = pair
        .addresses()
        .map(|address| get(address, "/a.mp3.vclt", ""));
    assert_eq!(ours.header("content-type"), theirs.header("content-type"));
    let names = |answer: &Answer| {
        let text = answer.text();
        let lines = text.lines().filter_map(|line| line.split_once('='));
        lines.map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&ours), names(&theirs));
    let answer = get(pair.server.address(), "/none.m3u", "");
    assert_eq!(answer.status, 404);

    pages_are_icecasts(&pair);
}

/// What scrapers look for in the pages.
fn pages_are_icecasts(pair: &Pair) {
    let [ours, theirs] = pair
        .addresses()
        .map(|address| get(address, "/status.xsl", "").text());
    let labels = |page: &str| {
        let mut labels = texts(page, "td");
        labels.retain(|text| text.ends_with(':'));
        labels
    };
    let mut our_labels = labels(&ours);
    our_labels.retain(|label| label != "Bitrate:");
    assert_eq!(our_labels, labels(&theirs), "{ours}\n{theirs}");
    for mount in ["/a.mp3", "/b.ogg", "/c.mp3"] {
        let heading = format!("<h3 class=\"mount\">Mount Point {mount}</h3>");
        assert!(
            ours.contains(&heading) && theirs.contains(&heading),
            "{ours}\n{theirs}"
        );
    }
    let _ = shape(&ours.replace("<!DOCTYPE html>", ""));
    for page in [
        "",
        "stats.xsl",
        "listmounts.xsl",
        "moveclients.xsl?mount=/a.mp3",
    ] {
        let both = pair
            .get(&format!("/admin/{page}"))
            .map(|answer| answer.status);
        // Icecast looks for the sources of such a page under the page's own name.
        assert_eq!(both[0], 200, "{page}");
        let _ = shape(&pair.server.get_as_admin(&format!("/admin/{page}")).text());
    }
}
