//! Players that people use, all at once on one mount.

use std::path::PathBuf;
use std::time::Duration;

use super::harness::server::Server;
use super::harness::{Backend, Client, IcyReader, Scratch, Station, mpeg, program, station};

super::on_both_backends!(players_hear_the_station, curl_hears_every_byte);

const MOUNT: &str = "/live";
const FIRST_TITLE: &str = "Ada – Première";
/// Longer than any of them may take.
const LIMIT: Duration = Duration::from_secs(60);

fn start(backend: Backend) -> (Server, Station) {
    let settings = [
        "mount_defaults.latency=live",
        "mount_defaults.metaint_bytes=4000",
    ];
    let server = Server::start(backend, &settings);
    let station = Station::play(&server, MOUNT);
    server.wait_live(MOUNT);
    server.set_title(MOUNT, FIRST_TITLE.as_bytes());
    // Longer than a burst, so that each of them joins in the middle.
    std::thread::sleep(Duration::from_millis(2_500));
    (server, station)
}

fn players_hear_the_station(backend: Backend) {
    let (server, station) = start(backend);
    let url = server.url(MOUNT);
    let rips = Scratch::new("rips");

    let mut mpv = program("mpv");
    mpv.args("--no-config --no-video --ao=null --length=2".split(' '));
    let mpv = Client::spawn(mpv.arg(&url));
    let mut ffmpeg = program("ffmpeg");
    ffmpeg.args(["-nostdin", "-hide_banner", "-v", "verbose", "-i", &url]);
    let ffmpeg = Client::spawn(ffmpeg.args("-t 2 -f null -".split(' ')));
    let mut streamripper = program("streamripper");
    streamripper.args([&url, "-l", "9", "-s", "--quiet", "--xs-none", "-d"]);
    let streamripper = Client::spawn(streamripper.arg(rips.path()).env("LC_ALL", "C.UTF-8"));

    for title in ["Ada - Second", "Bea - Third's", "Ada - Fourth"] {
        std::thread::sleep(Duration::from_secs(2));
        server.set_title(MOUNT, title.as_bytes());
    }

    let said = mpv.succeed(LIMIT).text();
    assert!(
        said.contains(&format!("icy-title: {FIRST_TITLE}")),
        "{said}"
    );
    assert!(said.contains("Audio --aid=1 (mp3 2ch 44100Hz)"), "{said}");
    let said = ffmpeg.succeed(LIMIT).stderr;
    for word in [
        &format!("icy-name        : {}", station::NAME),
        &format!("StreamTitle     : {FIRST_TITLE}"),
        "icy-br          : 128",
        "time=00:00:02.00",
        "Skipping 0 bytes of junk at 0",
    ] {
        assert!(said.contains(word), "no {word:?} in {said}");
    }
    streamripper.succeed(LIMIT);
    for title in ["Ada - Second", "Bea - Third's"] {
        let file = rips.file(&format!("{title}.mp3"));
        assert_ripped(&file);
    }
    assert!(station.is_playing());
}

/// streamripper cuts where the title changes, at a frame: about two seconds of whole frames behind
/// the ID3 tag that it writes.
fn assert_ripped(file: &PathBuf) {
    let Ok(bytes) = std::fs::read(file) else {
        let folder = file.parent().expect("it is in a folder");
        let there: Vec<_> = std::fs::read_dir(folder)
            .expect("streamripper made it")
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect();
        panic!("no {}, but {there:?}", file.display());
    };
    let audio = bytes
        .windows(2)
        .position(|two| two == [0xff, 0xfb])
        .expect("a frame is in it");
    let heard = mpeg::read(&bytes[audio..]).unwrap_or_else(|fault| {
        panic!("{}: {fault}", file.display());
    });
    assert_eq!(heard.jumps(), []);
    assert!((40..150).contains(&heard.frames.len()), "{heard:?}");
}

/// Asks with curl for two seconds; answers the head and what came.
fn curl(server: &Server, options: &str) -> Client {
    let mut command = program("curl");
    // 28: its time was up.
    command.args("-sS --max-time 2 --include".split(' '));
    command.args(options.split(' ').filter(|option| !option.is_empty()));
    Client::spawn(command.arg(server.url(MOUNT)))
}

fn curl_hears_every_byte(backend: Backend) {
    let (server, station) = start(backend);
    let heads = [
        ("", "HTTP/1.1 200 OK"),
        ("-H Icy-MetaData:0", "HTTP/1.1 200 OK"),
        ("--http1.0", "HTTP/1.0 200 OK"),
        // No part of a live stream is any other part: it is answered whole.
        ("-H Range:bytes=0-", "HTTP/1.1 200 OK"),
        ("-H Range:bytes=100-200", "HTTP/1.1 200 OK"),
        ("-H Origin:http://elsewhere.example", "HTTP/1.1 200 OK"),
    ];
    let asked = heads.map(|(options, head)| (curl(&server, options), options, head));
    let with_titles = IcyReader::open(server.address(), MOUNT);
    let head_alone = curl(&server, "--head");

    for (client, options, status_line) in asked {
        let output = client.wait(LIMIT);
        assert_eq!(
            output.status.code(),
            Some(28),
            "{options}: {}",
            output.stderr
        );
        let end = output
            .stdout
            .windows(4)
            .position(|four| four == b"\r\n\r\n");
        let (head, body) = output.stdout.split_at(end.expect("a head came") + 4);
        let head = String::from_utf8_lossy(head).to_lowercase();
        assert_head(&head, status_line);
        assert!(!head.contains("\r\nicy-metaint:"), "{options}: {head}");
        let heard = mpeg::read(body).unwrap_or_else(|fault| panic!("{options}: {fault}"));
        assert_eq!(heard.jumps(), [], "{options}");
        // Two seconds and the burst.
        assert!(heard.frames.len() > 100, "{options}: {heard:?}");
    }
    let head = head_alone.succeed(LIMIT).text().to_lowercase();
    assert_head(&head, "HTTP/1.1 200 OK");
    assert!(head.ends_with("\r\n\r\n"), "{head}");

    let mut with_titles = with_titles;
    assert_eq!(with_titles.answer.header("icy-metaint"), Some("4000"));
    assert!(with_titles.listen(Duration::from_millis(500)));
    assert_eq!(with_titles.titles(), [FIRST_TITLE]);
    let heard = mpeg::read(&with_titles.audio).expect("titles leave the audio alone");
    assert_eq!(heard.jumps(), []);
    assert!(station.is_playing());
}

fn assert_head(head: &str, status_line: &str) {
    let status_line = status_line.to_lowercase();
    assert!(head.starts_with(&status_line), "{head}");
    let name = station::NAME.to_lowercase();
    for line in [
        "content-type: audio/mpeg",
        &format!("icy-name: {name}"),
        "icy-br: 128",
        "access-control-allow-origin: *",
    ] {
        assert!(
            head.contains(&format!("\r\n{line}\r\n")),
            "no {line} in {head}"
        );
    }
    for name in ["content-length", "transfer-encoding", "content-range"] {
        assert!(!head.contains(&format!("\r\n{name}:")), "{head}");
    }
    assert!(head.contains("no-cache"), "{head}");
}
