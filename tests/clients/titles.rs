//! Titles set through `/admin/metadata`, as an ICY reader sees them: byte by byte.

use std::time::Duration;

use super::harness::server::{ADMIN_PASSWORD, SOURCE_PASSWORD};
use super::harness::{Backend, IcyReader, Server, Station, http, icy, mpeg};

super::on_both_backends!(
    titles_arrive_whole_and_alone,
    who_may_set_titles,
    a_title_may_come_as_soon_as_its_source_is_taken
);

const MOUNT: &str = "/live";

/// How long a title may take: its block comes after at most a metaint and a flush.
const LIMIT: Duration = Duration::from_secs(5);

fn start(backend: Backend) -> (Server, Station) {
    let settings = [
        "mount_defaults.latency=live",
        "mount_defaults.metaint_bytes=1600",
    ];
    let server = Server::start(backend, &settings);
    let station = Station::play(&server, MOUNT);
    server.wait_live(MOUNT);
    (server, station)
}

/// Asks for `query` as `user` and answers what the server said.
fn update(server: &Server, query: &str, user: &str, password: &str) -> http::Answer {
    let authorization = http::basic(user, password);
    let request = format!(
        "GET /admin/metadata?{query} HTTP/1.0\r\nHost: test\r\n{authorization}\
         User-Agent: (Mozilla Compatible)\r\n\r\n"
    );
    http::exchange(server.address(), request.as_bytes()).expect("the server answers")
}

/// Sets the song of [`MOUNT`]: in the request line as encoders do, in a body where it is long.
fn set_song(server: &Server, song: &[u8], more: &str) {
    let form = format!("mount={MOUNT}&mode=updinfo&song={}{more}", percent(song));
    let answer = if song.len() < 2_000 {
        update(server, &form, "source", SOURCE_PASSWORD)
    } else {
        let authorization = http::basic("source", SOURCE_PASSWORD);
        let length = form.len();
        let request = format!(
            "POST /admin/metadata HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{authorization}\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n\
             {form}"
        );
        http::exchange(server.address(), request.as_bytes()).expect("the server answers")
    };
    let text = answer.text();
    assert_eq!(answer.status, 200, "{text}");
    assert!(text.contains("<return>1</return>"), "{text}");
    assert!(text.contains("Metadata update successful"), "{text}");
}

fn percent(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02x}")).collect()
}

/// What the reader hears next after `set`: one block, whole, with nothing but a title.
fn next_title(reader: &mut IcyReader, set: impl FnOnce()) -> String {
    let before = reader.blocks.len();
    set();
    assert!(
        reader.listen_until(LIMIT, |reader| reader.blocks.len() > before),
        "no title came"
    );
    let (_, fields) = reader.blocks.last().expect("one came");
    let text = std::str::from_utf8(fields).expect("no code point is cut");
    let title = icy::title(fields);
    let field = format!("StreamTitle='{title}';");
    assert_eq!(text.trim_end_matches('\0'), field, "and nothing else");
    assert!(
        fields.len() - field.len() < 16,
        "no more padding than needed"
    );
    assert!(!title.chars().any(char::is_control), "{title:?}");
    title
}

fn titles_arrive_whole_and_alone(backend: Backend) {
    let (server, station) = start(backend);
    let mut reader = IcyReader::open(server.address(), MOUNT);
    let mut changes = 0;
    let mut heard = |song: &[u8], more: &str| {
        changes += 1;
        next_title(&mut reader, || set_song(&server, song, more))
    };

    assert_eq!(
        heard("Björk – Jóga 🎵".as_bytes(), "&charset=UTF-8"),
        "Björk – Jóga 🎵"
    );
    // What is UTF-8 is taken as such even where nobody says so.
    assert_eq!(
        heard("Sigur Rós – Svefn".as_bytes(), ""),
        "Sigur Rós – Svefn"
    );
    assert_eq!(
        heard(b"Caf\xe9 del Mar", "&charset=ISO-8859-1"),
        "Café del Mar"
    );
    assert_eq!(heard(b"Mot\xf6rhead", ""), "Motörhead");
    assert_eq!(
        heard(b"Don't Stop 'Til You Get Enough", ""),
        "Don't Stop 'Til You Get Enough"
    );

    let hostile = heard(b"a'; StreamUrl='http://x';StreamTitle='b", "");
    assert!(hostile.starts_with("a' ;"), "{hostile}");
    assert!(hostile.ends_with('b'), "{hostile}");
    let broken = heard(b"one\r\nicy-name: two\0three", "");
    assert!(broken.starts_with("one"), "{broken}");
    assert!(broken.ends_with("three"), "{broken}");

    let long = "é".repeat(5_000);
    let cut = heard(long.as_bytes(), "&charset=UTF-8");
    assert!(long.starts_with(&cut), "{cut}");
    assert!((2_040..=2_048).contains(&cut.len()), "{} bytes", cut.len());
    for before in 0..4 {
        let long = "x".repeat(before) + &"🎵".repeat(2_500);
        let cut = heard(long.as_bytes(), "&charset=UTF-8");
        assert!(long.starts_with(&cut) && cut.len() > 2_040, "{cut}");
    }
    let last = heard(b"The End", "");

    let late = hear_late(&server, &last);
    assert!(
        reader.titles().ends_with(&late.titles()),
        "{:?}",
        late.titles()
    );
    assert!(reader.listen(Duration::from_secs(1)));
    let of_titles = reader
        .titles()
        .into_iter()
        .filter(|title| !title.is_empty());
    assert_eq!(of_titles.count(), changes);
    for reader in [reader, late] {
        let heard = mpeg::read(&reader.audio).expect("titles leave the audio alone");
        assert_eq!(heard.jumps(), []);
    }
    let report = server.mount(MOUNT).expect("it is live");
    assert_eq!(report["title"], "The End");
    assert!(station.is_playing());
}

/// A listener that comes after all titles: it hears one at once, and that of the end with the sound
/// of the end, as its burst begins before that.
fn hear_late(server: &Server, last: &str) -> IcyReader {
    let mut late = IcyReader::open(server.address(), MOUNT);
    let knows = |late: &IcyReader| late.titles().last().is_some_and(|title| title == last);
    assert!(late.listen_until(LIMIT, knows), "{:?}", late.titles());
    let first_at = late.blocks[0].0;
    assert!(
        first_at <= 1_600,
        "the first title came after {first_at} bytes"
    );
    late
}

fn who_may_set_titles(backend: Backend) {
    let (server, _station) = start(backend);
    let query = format!("mount={MOUNT}&mode=updinfo&song=Song");
    let status = |user, password| update(&server, &query, user, password).status;
    assert_eq!(status("source", SOURCE_PASSWORD), 200);
    assert_eq!(status("admin", ADMIN_PASSWORD), 200);
    assert_eq!(status("source", "wrong"), 401);
    assert_eq!(status("admin", SOURCE_PASSWORD), 401);
    assert_eq!(status("", ""), 401);

    let ask = |query: &str| update(&server, query, "admin", ADMIN_PASSWORD);
    assert_eq!(ask("mount=/nothing&mode=updinfo&song=x").status, 400);
    assert_eq!(ask("mode=updinfo&song=x").status, 400);
    let long = format!("mount={MOUNT}&mode=updinfo&song={}", "x".repeat(20_000));
    assert_eq!(ask(&long).status, 414);
    let both = ask(&format!(
        "mount={MOUNT}&mode=updinfo&artist=Ada&title=Steps"
    ));
    assert_eq!(both.status, 200);
    let title = server.mount(MOUNT).map(|report| report["title"].clone());
    assert_eq!(title.expect("it is live"), "Ada - Steps");
}

/// mpd and ezstream send it at once and never again.
fn a_title_may_come_as_soon_as_its_source_is_taken(backend: Backend) {
    let (server, _station) = start(backend);
    for number in 0..10 {
        let mount = format!("/new{number}");
        // An answer that may be given again, from before the mount.
        assert_eq!(server.mount(&mount), None);
        let _station = Station::play(&server, &mount);
        server.set_title(&mount, b"Ada - Steps");
        let title = server.mount(&mount).map(|report| report["title"].clone());
        assert_eq!(title.expect("it is live"), "Ada - Steps");
    }
}
