//! Ogg of several links: who comes late gets the headers of the link that plays, then whole pages.

use std::io::Write;
use std::time::Duration;

use super::harness::{
    Backend, Client, Cut, IcyReader, Server, fixture, program, station, wait_for,
};

use super::sources::seconds_decoded;

super::on_both_backends!(a_chained_stream_is_heard_from_any_place);

const MOUNT: &str = "/chain.ogg";
const LINK_S: u32 = 4;
const LIMIT: Duration = Duration::from_secs(30);

/// Waits until the title of [`MOUNT`] is `title`, in the API and as Icecast has it.
fn wait_title(server: &Server, artist: &str, song: &str) {
    let title = format!("{artist} - {song}");
    wait_for(&title, LIMIT, || {
        let report = server.mount(MOUNT)?;
        (report["title"] == title).then_some(())
    });
    let status = server.json("/status-json.xsl");
    let source = &status["icestats"]["source"];
    assert_eq!(source["artist"], artist, "{status}");
    assert_eq!(source["title"], song, "{status}");
}

fn listen(server: &Server) -> Client {
    let client = Client::spawn(program("curl").args(["-sS", &server.url(MOUNT)]));
    wait_for("curl has the headers", LIMIT, || {
        (client.stdout().len() > 4_000).then_some(())
    });
    client
}

fn a_chained_stream_is_heard_from_any_place(backend: Backend) {
    let settings = [
        "mount_defaults.latency=live",
        "mount_defaults.source_timeout_ms=1000",
        // Less than half a link.
        "mount_defaults.burst_bytes=8192",
    ];
    let server = Server::start(backend, &settings);
    let first = fixture::vorbis(LINK_S, "Ada", "One");
    let second = fixture::vorbis(LINK_S, "Bea", "Zwei – zwölf");
    let [first, second] = [first, second].map(|file| std::fs::read(file).expect("it stays"));
    let pages = Cut::Ogg.borders(&second);
    let half = pages[pages.len() / 2];

    let headers = "Content-Type: application/ogg\r\n";
    let (mut source, answer) = station::open(server.address(), MOUNT, headers);
    assert_eq!(answer.status, 200);
    let mut send = |bytes: &[u8]| source.write_all(bytes).expect("the server takes pages");
    send(&first);
    let report = server.wait_live(MOUNT);
    assert_eq!(report["codec"], "vorbis");
    wait_title(&server, "Ada", "One");
    let early = listen(&server);
    send(&second[..half]);
    wait_title(&server, "Bea", "Zwei – zwölf");
    // The flush of the pages before the middle.
    std::thread::sleep(Duration::from_millis(500));
    let late = listen(&server);
    let asks = IcyReader::open(server.address(), MOUNT);
    assert_eq!(asks.answer.header("icy-metaint"), None, "Ogg has its own");
    send(&second[half..]);
    drop(source);

    let both = [first, second.clone()].concat();
    let early = early.succeed(LIMIT).stdout;
    let missed = Cut::Ogg.assert_heard(&both, &early);
    assert!(missed > 0, "it came in the middle of the first link");
    let late = late.succeed(LIMIT).stdout;
    let missed = Cut::Ogg.assert_heard(&second, &late);
    assert!(missed > 0, "it came in the middle of the second link");
    let length = f64::from(LINK_S);
    let played = seconds_decoded("the second link", &late);
    assert!((length / 2.0..length).contains(&played), "{played} s");
    let played = seconds_decoded("both links", &early);
    assert!((length..length * 2.0).contains(&played), "{played} s");
}
