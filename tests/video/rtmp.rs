//! RTMP with peers of every kind: other people's encoders and players, clocks that wrap, URLs that
//! are cut in other places, and clients that mean no good.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use corecast_protocol::rtmp::{ClientEvent, ClientSession, MediaKind, Purpose, Url};
use rustix::process::Signal;

use super::{assert_of_film, packets, publish_to, wait_tracks};
use crate::harness::server::SOURCE_PASSWORD;
use crate::harness::{Backend, Client, Server, client, fixture, program, wait_for};

/// Longer than any of them may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Bytes of the film that a player must have before it is ended: some three seconds of it.
const PLAYED_BYTES: u64 = 250_000;

/// The length of the film that is used here.
const FILM_S: u32 = 14;

fn film() -> std::path::PathBuf {
    fixture::film("outputs.flv", FILM_S, &["-bf", "2", "-g", "30"])
}

/// GStreamer takes the film out of its file and publishes it at its own pace.
fn gst_publish(url: &str, film: &Path) -> Client {
    let mut command = program("gst-launch-1.0");
    command
        .args(["-q", "filesrc"])
        .arg(format!("location={}", film.display()));
    let elements = "! flvdemux name=d flvmux name=m streamable=true ! rtmp2sink";
    command
        .args(elements.split(' '))
        .arg(format!("location={url}"));
    let elements = "d.video ! queue ! h264parse ! video/x-h264,stream-format=avc ! m.video \
                    d.audio ! queue ! aacparse ! m.audio";
    Client::spawn(command.args(elements.split_whitespace()))
}

#[test]
fn gstreamer_publishes_and_rtmpdump_and_gstreamer_play() {
    let film = film();
    let of_film = packets(&film.to_string_lossy(), &[], "null")
        .into_iter()
        .collect();
    for backend in [Backend::IoUring, Backend::Epoll] {
        let server = Server::start(backend, &[]);
        let source = gst_publish(&server.publish_url("/live/gst"), &film);
        wait_tracks(&server, "/live/gst", 2);
        let url = server.rtmp_url("/live/gst");
        let files = ["dump.flv", "gst.flv"].map(|name| server.scratch().file(name));
        let mut dump = program("rtmpdump");
        dump.args(["-q", "-r", &url, "-o"]).arg(&files[0]);
        let mut gst = program("gst-launch-1.0");
        gst.args([
            "-q",
            "rtmp2src",
            &format!("location={url}"),
            "!",
            "filesink",
        ]);
        gst.arg("buffer-mode=unbuffered")
            .arg(format!("location={}", files[1].display()));
        let players = [dump, gst].map(|mut command| Client::spawn(&mut command));
        for file in &files {
            wait_for(&format!("{} has media", file.display()), LIMIT, || {
                let bytes = std::fs::metadata(file).ok()?.len();
                (bytes > PLAYED_BYTES).then_some(())
            });
        }
        for player in players {
            player.signal(Signal::INT);
            player.wait(LIMIT);
        }
        for file in &files {
            assert_of_film(
                &of_film,
                &packets(&file.to_string_lossy(), &[], "null"),
                [60, 90],
            );
        }
        drop(source);
    }
}

/// One tag of an FLV file.
pub(crate) struct Tag {
    pub(crate) kind: MediaKind,
    pub(crate) time_ms: u32,
    pub(crate) body: Vec<u8>,
}

/// The tags of an FLV file, which is whole.
fn tags(film: &Path) -> Vec<Tag> {
    let bytes = std::fs::read(film).expect("the film is there");
    let mut rest = &bytes[13..];
    let mut tags = Vec::new();
    while let Some((head, tail)) = rest.split_first_chunk::<11>() {
        let length = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
        tags.push(Tag {
            kind: match head[0] {
                8 => MediaKind::Audio,
                9 => MediaKind::Video,
                _ => MediaKind::Script,
            },
            time_ms: u32::from_be_bytes([head[7], head[4], head[5], head[6]]),
            body: tail[..length].to_vec(),
        });
        rest = &tail[length + 4..];
    }
    tags
}

/// A publisher of our own, whose clock and words can be chosen.
pub(crate) struct Publisher {
    pub(crate) socket: TcpStream,
    session: ClientSession,
}

impl Publisher {
    /// Connects; the end of the stream or of the connection is what it gives back otherwise.
    pub(crate) fn connect(server: &Server, url: &Url) -> Result<Self, String> {
        let mut publisher = Publisher {
            socket: TcpStream::connect(rtmp_address(server)).expect("the server listens"),
            session: ClientSession::new(Purpose::Publish, url, "script", [3; 32]),
        };
        let socket = &publisher.socket;
        socket
            .set_read_timeout(Some(LIMIT))
            .expect("a timeout can be set");
        let mut buffer = [0; 4_096];
        loop {
            publisher.flush();
            let read = publisher
                .socket
                .read(&mut buffer)
                .map_err(|error| error.to_string())?;
            if read == 0 {
                return Err("closed".to_owned());
            }
            let taken = publisher
                .session
                .handle_input(Bytes::copy_from_slice(&buffer[..read]));
            taken.expect("our server keeps to the protocol");
            match publisher.session.poll_event() {
                Some(ClientEvent::Ready) => return Ok(publisher),
                Some(event) => return Err(format!("{event:?}")),
                None => {}
            }
        }
    }

    /// What the server says next.
    fn wait_event(&mut self) -> ClientEvent {
        let mut buffer = [0; 4_096];
        loop {
            if let Some(event) = self.session.poll_event() {
                return event;
            }
            let read = self.socket.read(&mut buffer).expect("it is not cut off");
            assert_ne!(read, 0, "closed without a word");
            let bytes = Bytes::copy_from_slice(&buffer[..read]);
            let taken = self.session.handle_input(bytes);
            taken.expect("our server keeps to the protocol");
        }
    }

    /// Sends the tags at once.
    pub(crate) fn send(&mut self, tags: &[Tag]) {
        for tag in tags {
            self.session.send_media(tag.kind, tag.time_ms, &[&tag.body]);
        }
        self.flush();
    }

    fn flush(&mut self) {
        while let Some(bytes) = self.session.poll_transmit() {
            // One that the server has closed is found out by the read.
            let _ = self.socket.write_all(&bytes);
        }
    }

    /// Sends the tags at their own pace, their clock begun at `from`.
    pub(crate) fn play(&mut self, tags: &[Tag], from: u32) {
        let began = Instant::now();
        for tag in tags {
            let due = Duration::from_millis(tag.time_ms.into());
            std::thread::sleep(due.saturating_sub(began.elapsed()));
            let time_ms = match tag.kind {
                // Encoders say their name at zero, whatever the clock of their pictures.
                MediaKind::Script => 0,
                _ => tag.time_ms.wrapping_add(from),
            };
            self.session.send_media(tag.kind, time_ms, &[&tag.body]);
            self.flush();
        }
    }
}

pub(crate) fn rtmp_address(server: &Server) -> SocketAddr {
    let url = server.rtmp_url("");
    let address = url.trim_start_matches("rtmp://");
    address.parse().expect("the URL has an address and no path")
}

/// When each picture is decoded, in milliseconds, as ffmpeg writes it for what it plays.
fn picture_times(list: &str) -> Vec<i64> {
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    let times = lines.filter_map(|line| {
        let mut fields = line.split(',').map(str::trim);
        let (stream, time) = (fields.next()?, fields.next()?);
        (stream == "0").then(|| time.parse().ok())?
    });
    times.collect()
}

/// Plays `mount` to its end and lists its pictures; gives back once it plays.
fn list_pictures(server: &Server, mount: &str) -> Client {
    wait_tracks(server, mount, 2);
    let url = server.rtmp_url(mount);
    let args = [
        "-nostdin", "-v", "error", "-i", &url, "-map", "0:v", "-c", "copy",
    ];
    let list = ["-copyts", "-f", "framemd5", "-flush_packets", "1", "-"];
    let player = Client::spawn(program("ffmpeg").args(args).args(list));
    wait_for(&format!("{mount} plays"), LIMIT, || {
        let list = String::from_utf8(player.stdout()).ok()?;
        (!picture_times(&list).is_empty()).then_some(())
    });
    player
}

#[test]
fn clocks_wrap_and_the_pictures_go_on() {
    let film = film();
    // The end of a stream ends its players at once.
    let server = Server::start(Backend::IoUring, &["mount_defaults.source_timeout_ms=0"]);
    // Two seconds before the end of the film each clock comes to its wrap.
    let lead_ms = FILM_S * 1_000 - 2_000;
    let offsets = [("/live/24", 1_u64 << 24), ("/live/31", 1 << 31)];
    let mut sources: Vec<Client> = Vec::new();
    for (mount, wrap_ms) in offsets {
        let offset = format!("{}ms", wrap_ms - u64::from(lead_ms));
        let mut ffmpeg = program("ffmpeg");
        ffmpeg
            .args(["-nostdin", "-v", "error", "-re", "-i"])
            .arg(&film);
        ffmpeg.args(["-c", "copy", "-output_ts_offset", &offset, "-f", "flv"]);
        sources.push(Client::spawn(ffmpeg.arg(server.publish_url(mount))));
    }
    let url = Url::parse(&server.publish_url("/live/32")).expect("the URL is good");
    let tags = tags(&film);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let publisher = Publisher::connect(&server, &url);
            let mut publisher = publisher.expect("the script is let in");
            publisher.play(&tags, 0_u32.wrapping_sub(lead_ms));
            publisher.session.finish();
            publisher.flush();
        });
        let mounts = ["/live/24", "/live/31", "/live/32"];
        let players = mounts.map(|mount| list_pictures(&server, mount));
        for (mount, player) in mounts.iter().zip(players) {
            let list = player.wait(LIMIT).text();
            let times = picture_times(&list);
            for pair in times.windows(2) {
                let step = pair[1] - pair[0];
                assert!(
                    (1..=100).contains(&step),
                    "{mount}: {step} ms at {}",
                    pair[0]
                );
            }
            // To the film's last picture, from before the wrap.
            let last = list.lines().rfind(|line| line.starts_with("0,"));
            let last = last.and_then(|line| line.rsplit(',').next()).map(str::trim);
            assert_eq!(last, last_picture(&film).as_deref(), "{mount}");
            assert!(times.len() > 90, "{mount}: {} pictures", times.len());
        }
    });
}

/// The MD5 of the last picture of the film.
fn last_picture(film: &Path) -> Option<String> {
    let film = film.to_string_lossy();
    let args = [
        "-nostdin", "-v", "error", "-i", &film, "-map", "0:v", "-c", "copy",
    ];
    let output = client::run(
        "ffmpeg",
        &[&args[..], &["-f", "framemd5", "-"]].concat(),
        LIMIT,
    );
    let text = output.text();
    Some(text.lines().last()?.rsplit(',').next()?.trim().to_owned())
}

#[test]
fn mounts_are_named_whichever_way_the_url_is_cut() {
    let server = Server::start(Backend::IoUring, &[]);
    let password = format!("password={SOURCE_PASSWORD}");
    let base = server.rtmp_url("");
    let tags = tags(&film());
    for (app, stream, mount) in [
        ("live", format!("one?{password}"), "/live/one"),
        ("live", format!("a/two?{password}"), "/live/a/two"),
        ("live/b", format!("three?{password}"), "/live/b/three"),
        (
            &*format!("live?{password}"),
            "four".to_owned(),
            "/live/four",
        ),
        (
            "live",
            format!("five?vhost=v.example&token={SOURCE_PASSWORD}"),
            "/live/five",
        ),
    ] {
        let mut url = Url::parse(&format!("{base}/app/stream")).expect("the URL is good");
        url.app = app.to_owned();
        url.stream = stream;
        let mut publisher = Publisher::connect(&server, &url).expect("it is let in");
        // Set-up, the first pictures and sounds.
        publisher.send(&tags[..40]);
        wait_tracks(&server, mount, 2);
    }
    for stream in ["one", "one?password=wrong", "?password=", "a\rb"] {
        let mut url = Url::parse(&format!("{base}/app/stream")).expect("the URL is good");
        url.stream = stream.to_owned();
        let refused = Publisher::connect(&server, &url).err();
        let refused = refused.expect("it is not let in");
        assert!(
            refused.contains("NetStream.Publish."),
            "{stream:?}: {refused}"
        );
    }
}

#[test]
fn one_publisher_feeds_a_mount_and_the_next_takes_it_over_where_that_is_allowed() {
    let tags = tags(&film());
    for (takeover, outcome) in [(true, None), (false, Some("NetStream.Publish.BadName"))] {
        let setting = format!("mount_defaults.takeover={takeover}");
        let server = Server::start(Backend::IoUring, &[&setting]);
        let url = Url::parse(&server.publish_url("/live/x")).expect("the URL is good");
        let mut first = Publisher::connect(&server, &url).expect("nobody else is there");
        first.send(&tags[..40]);
        wait_tracks(&server, "/live/x", 2);
        let second = Publisher::connect(&server, &url);
        let Some(refusal) = outcome else {
            let mut second = second.expect("it takes over");
            let said = first.wait_event();
            let rejected = "NetStream.Publish.Rejected";
            assert!(matches!(said, ClientEvent::Ended { code, .. } if code == rejected));
            second.send(&tags[..40]);
            wait_tracks(&server, "/live/x", 2);
            continue;
        };
        let refused = second.err().expect("the mount is taken");
        assert!(refused.contains(refusal), "{refused}");
    }
}

#[test]
fn publishers_are_asked_to_come_again_where_the_server_goes() {
    let server = Server::start(Backend::IoUring, &[]);
    let url = Url::parse(&server.publish_url("/live/x")).expect("the URL is good");
    let mut publisher = Publisher::connect(&server, &url).expect("it is let in");
    publisher.send(&tags(&film())[..40]);
    wait_tracks(&server, "/live/x", 2);
    server.signal(Signal::TERM);
    assert_eq!(publisher.wait_event(), ClientEvent::Reconnect(None));
}

#[test]
fn players_stay_while_their_publisher_is_cut_off_and_comes_again() {
    let tags = tags(&film());
    let server = Server::start(Backend::IoUring, &[]);
    let url = Url::parse(&server.publish_url("/live/x")).expect("the URL is good");
    let pictures = |player: &Client| {
        let list = String::from_utf8(player.stdout()).ok()?;
        Some(picture_times(&list))
    };
    let (player, before) = std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            let first = Publisher::connect(&server, &url);
            first
                .expect("it is let in")
                .play(&tags[..tags.len() / 2], 0);
            // Without a word it is gone.
        });
        let player = list_pictures(&server, "/live/x");
        first.join().expect("it played");
        let before = pictures(&player).expect("it plays").len();
        (player, before)
    });
    wait_for("the mount waits for its publisher", LIMIT, || {
        (server.mount("/live/x")?["state"] != "live").then_some(())
    });
    let mut again = Publisher::connect(&server, &url).expect("it is let in");
    again.play(&tags, 0);
    let film_pictures = tags.iter().filter(|tag| tag.kind == MediaKind::Video);
    let wanted = before + film_pictures.count() / 2;
    let times = wait_for("the player has what came after", LIMIT, || {
        pictures(&player).filter(|times| times.len() > wanted)
    });
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
}

/// What a simple client says before its first chunk.
pub(crate) fn hello() -> Vec<u8> {
    [&[3][..], &[0; 2 * 1_536]].concat()
}

#[test]
fn clients_that_speak_no_rtmp_are_closed_and_hurt_nobody() {
    let server = Server::start(Backend::IoUring, &["limits.header_timeout_ms=2000"]);
    let film = film();
    let _source = publish_to(&server.publish_url("/live/x"), &film);
    wait_tracks(&server, "/live/x", 2);
    let huge = b"\x06\0\0\0\xff\xff\xff\x09\x01\0\0\0".to_vec();
    let flood = (0..1_000_u16).flat_map(|csid| {
        let [low, high] = csid.to_le_bytes();
        [1, low, high, 0, 0, 0, 0, 0, 0, 9, 1, 0, 0, 0]
    });
    let chunk_size_zero = b"\x02\0\0\0\0\0\x04\x01\0\0\0\0\0\0\0\0".to_vec();
    let deep = [
        b"\x03\0\0\0\0\x4e\x20\x14\0\0\0\0".to_vec(),
        vec![0x0A; 30_000],
    ]
    .concat();
    for (name, bytes) in [
        (
            "another protocol",
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        ),
        ("an encrypted kin", vec![6; 1_537]),
        ("noise", (0..=255).rev().collect()),
        (
            "noise behind the hello",
            [hello(), vec![0xA5; 10_000]].concat(),
        ),
        ("a huge message", [hello(), huge].concat()),
        ("many chunk streams", [hello(), flood.collect()].concat()),
        ("chunks of nothing", [hello(), chunk_size_zero].concat()),
        ("a deep command", [hello(), deep].concat()),
        ("half a hello", vec![3; 1_000]),
        ("nothing at all", Vec::new()),
        ("a hello and no more", hello()),
    ] {
        let mut socket = TcpStream::connect(rtmp_address(&server)).expect("the server listens");
        socket
            .set_read_timeout(Some(LIMIT))
            .expect("a timeout can be set");
        // The server may close before all of it is written.
        let _ = socket.write_all(&bytes);
        let mut answer = Vec::new();
        // A reset is an end, too; a timeout is none.
        let ended = socket.read_to_end(&mut answer);
        let late = ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!late, "{name}: still open");
        assert!(
            answer.len() <= 1 + 2 * 1_536,
            "{name}: {} bytes",
            answer.len()
        );
    }
    assert_eq!(
        server.mount("/live/x").expect("it is still there")["state"],
        "live"
    );
}
