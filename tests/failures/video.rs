//! Rude peers of video: players that stop reading, viewers that go while they wait, publishers
//! and requests that make no sense.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytes::Bytes;
use corecast_protocol::rtmp::{CHUNK_BYTES, ClientEvent, ClientSession, MediaKind, Purpose, Url};
use rustix::process::Signal;

use super::harness::{Backend, Scratch, Server, Station, http, wait_for};
use super::peers;
use crate::video::rtmp::{Publisher, Tag, hello, rtmp_address};
use crate::video::wait_tracks;

const SOON: Duration = Duration::from_secs(15);

/// Pictures in a second, and how many of them there are to a keyframe.
const RATE: u32 = 25;
const GROUP: u32 = 10;

/// Before a picture's number: frame and codec, kind, composition time; length and head of its NAL
/// unit.
const HEAD_BYTES: usize = 5 + 5;

crate::clients::on_both_backends!(
    a_player_that_is_stuck_skips_to_a_keyframe_and_others_miss_nothing,
    a_drain_answers_who_waits_for_a_part,
);

/// What stands before the first picture: H.264 of 640x360.
pub(super) fn first_tag() -> Tag {
    let sps = [
        0x67, 0x64, 0x00, 0x1e, 0xac, 0xd9, 0x40, 0xa0, 0x2f, 0xf9, 0x70, 0x11, 0x00, 0x00, 0x03,
        0x00, 0x01, 0x00, 0x00, 0x03, 0x00, 0x32, 0x0f, 0x16, 0x2d, 0x96,
    ];
    let pps = [0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0];
    let mut body = vec![
        0x17,
        0,
        0,
        0,
        0,
        1,
        0x64,
        0,
        0x1e,
        0xff,
        0xe1,
        0,
        sps.len() as u8,
    ];
    body.extend(sps);
    body.extend([1, 0, pps.len() as u8]);
    body.extend(pps);
    Tag {
        kind: MediaKind::Video,
        time_ms: 0,
        body,
    }
}

/// Pictures of `bytes` that say their number.
fn pictures(numbers: std::ops::Range<u32>, bytes: usize) -> Vec<Tag> {
    let picture = |number: u32| {
        let is_key = number.is_multiple_of(GROUP);
        let (frame, nal) = if is_key { (0x17, 0x65) } else { (0x27, 0x41) };
        let mut body = vec![frame, 1, 0, 0, 0];
        body.extend((bytes as u32 + 5).to_be_bytes());
        body.push(nal);
        body.extend(number.to_be_bytes());
        body.resize(body.len() + bytes, 0xA5);
        Tag {
            kind: MediaKind::Video,
            time_ms: number * 1_000 / RATE,
            body,
        }
    };
    numbers.map(picture).collect()
}

pub(super) fn publisher(server: &Server, mount: &str) -> Publisher {
    let url = Url::parse(&server.publish_url(mount)).expect("a good URL");
    Publisher::connect(server, &url).expect("it is let in")
}

/// One whose pictures have come.
pub(super) fn shown(server: &Server, mount: &str) -> Publisher {
    let mut publisher = publisher(server, mount);
    publisher.send(&[first_tag()]);
    publisher.send(&pictures(0..GROUP * 3, 100));
    wait_tracks(server, mount, 1);
    publisher
}

/// The numbers of the pictures in an FLV stream, and which of them are keyframes; every tag must
/// be whole but for the last.
fn numbers(flv: &[u8]) -> Vec<(u32, bool)> {
    assert!(flv.starts_with(b"FLV\x01"), "no FLV: {:?}", flv.get(..16));
    let mut rest = &flv[13..];
    let mut found = Vec::new();
    while let Some((head, tail)) = rest.split_first_chunk::<11>() {
        let length = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
        let Some(body) = tail.get(..length) else {
            break;
        };
        let Some((size, tail)) = tail[length..].split_first_chunk::<4>() else {
            break;
        };
        assert_eq!(u32::from_be_bytes(*size) as usize, length + 11);
        if head[0] == 9 && body[1] == 1 {
            let number = body[HEAD_BYTES..].first_chunk().expect("a number");
            found.push((u32::from_be_bytes(*number), body[0] == 0x17));
        }
        rest = tail;
    }
    found
}

pub(super) fn assert_unhurt(server: &Server) {
    assert_eq!(server.metric("corecast_task_panics_total", ""), 0.0);
}

fn a_player_that_is_stuck_skips_to_a_keyframe_and_others_miss_nothing(backend: Backend) {
    const ASK: &[u8] = b"GET /live/cam.flv HTTP/1.1\r\nHost: t\r\n\r\n";
    let settings = [
        "mount_defaults.latency=live",
        "mount_defaults.slow_reader_budget_ms=1000",
        "mount_defaults.source_timeout_ms=0",
    ];
    let server = Server::start(backend, &settings);
    let mut publisher = publisher(&server, "/live/cam");
    publisher.send(&[first_tag()]);
    let source = std::thread::spawn(move || publisher.play(&pictures(0..8 * RATE, 40_000), 0));
    wait_tracks(&server, "/live/cam", 1);
    let mut good = peers::say(server.address(), ASK);
    let good = std::thread::spawn(move || peers::read_to_end(&mut good, SOON).0);
    let mut stuck = peers::narrow(server.address(), ASK);
    wait_for("it skips", SOON, || {
        (server.metric("corecast_listener_skips_total", "") >= 1.0).then_some(())
    });
    let late = peers::read_to_end(&mut stuck, Duration::from_millis(1_500)).0;
    source.join().expect("the film is played");
    let (good, late) = (good.join().expect("it reads"), late);
    let body = |answer: Vec<u8>| {
        let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
        numbers(&answer[head.expect("a head") + 4..])
    };
    let good = body(good);
    assert!(good.len() > 100, "{} pictures", good.len());
    assert!(good.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1));
    let late = body(late);
    let jumps = late.windows(2).filter(|pair| pair[1].0 != pair[0].0 + 1);
    let jumps: Vec<_> = jumps.map(|pair| (pair[0].0, pair[1])).collect();
    assert!(!jumps.is_empty(), "{late:?}");
    for (before, (after, is_key)) in jumps {
        assert!(after > before && is_key, "{before} to {after}: {is_key}");
    }
    assert_unhurt(&server);
}

/// The list of the only track of `mount`, once there is one.
pub(super) fn wait_list(server: &Server, mount: &str) -> String {
    wait_for("the mount has a list", SOON, || {
        server.get(&format!("{mount}.m3u8"));
        let answer = server.get(&format!("{mount}/hls/a0.m3u8"));
        let text = answer.text();
        (answer.status == 200 && text.contains("#EXTINF")).then_some(text)
    })
}

/// The number of the segment that is not complete.
pub(super) fn edge(list: &str) -> u64 {
    let first = list
        .lines()
        .find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"));
    let first: u64 = first.and_then(|n| n.parse().ok()).expect("a number");
    first + list.matches("#EXTINF").count() as u64
}

fn blocked(mount: &str, msn: u64) -> Vec<u8> {
    format!("GET {mount}/hls/a0.m3u8?_HLS_msn={msn} HTTP/1.1\r\nHost: t\r\n\r\n").into()
}

fn a_drain_answers_who_waits_for_a_part(backend: Backend) {
    let mut server = Server::start(backend, &["mount_defaults.hls_segment_ms=10000"]);
    let _station = Station::play(&server, "/live");
    let list = wait_list(&server, "/live");
    let msn = edge(&list);
    let mut waiting: Vec<TcpStream> = (0..20)
        .map(|_| peers::say(server.address(), &blocked("/live", msn + 1)))
        .collect();
    let mut kept = http::connect(server.address()).expect("the server takes connections");
    kept.write_all(b"GET /live.m3u8 HTTP/1.1\r\nHost: t\r\n\r\n")
        .expect("a head fits");
    let answer = http::read_answer(&mut kept).expect("the server answers");
    assert_eq!(answer.header("connection"), Some("keep-alive"));
    wait_for("all of them wait", SOON, || {
        (server.metric("corecast_hls_waiting", "") >= 20.0).then_some(())
    });
    let began = Instant::now();
    server.signal(Signal::TERM);
    for stream in &mut waiting {
        let answer = http::read_answer(stream).expect("it is answered");
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.text().contains("shutting down"), "{}", answer.text());
    }
    // Whoever is late is told too, where the server is still there.
    if let Ok(late) = http::try_get(server.address(), "/live.m3u8") {
        assert_eq!(late.status, 503, "{}", late.text());
    }
    assert_eq!(server.wait_end().code(), Some(0));
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn viewers_who_go_while_they_wait_leave_nothing() {
    peers::raise_open_files();
    let server = Server::start(Backend::IoUring, &[]);
    let _station = Station::play(&server, "/live");
    wait_list(&server, "/live");
    let before = peers::open_files(server.pid());
    for _ in 0..10 {
        let request = blocked("/live", edge(&wait_list(&server, "/live")) + 1);
        for n in 0..500 {
            let stream = peers::say(server.address(), &request);
            if n % 2 == 0 {
                peers::reset(stream);
            }
        }
    }
    let blocked = server.metric("corecast_hls_blocked_total", "");
    assert!(blocked >= 1_000.0, "{blocked}");
    wait_for("all of them are gone", SOON, || {
        let waiting = server.metric("corecast_hls_waiting", "");
        let open = peers::open_files(server.pid());
        (waiting == 0.0 && open <= before + 2).then_some(())
    });
    wait_list(&server, "/live");
    assert_unhurt(&server);
}

#[test]
fn every_wrong_request_for_hls_has_its_answer_at_once() {
    let server = Server::start(Backend::IoUring, &[]);
    let _station = Station::play(&server, "/live");
    let list = wait_list(&server, "/live");
    let msn = edge(&list);
    let far = format!("/live/hls/a0.m3u8?_HLS_msn={}", msn + 3);
    let far_part = format!("/live/hls/a0.m3u8?_HLS_msn={msn}&_HLS_part=4000000000");
    let epoch = list.lines().find_map(|line| line.strip_prefix("a0-"));
    let epoch = epoch
        .and_then(|name| name.split('-').next())
        .expect("names");
    let later = format!("/live/hls/a0-{epoch}-{}.m4s", msn + 7);
    let huge = format!("/live/hls/a0-{epoch}-99999999999999999999.m4s");
    let token = format!("/live/hls/a0.m3u8?token={}", "t".repeat(3_000));
    for (target, statuses) in [
        (&*far, &[400][..]),
        (&*far_part, &[400]),
        ("/live/hls/a0.m3u8?_HLS_msn=18446744073709551615", &[400]),
        ("/live/hls/a0.m3u8?_HLS_msn=18446744073709551616", &[400]),
        ("/live/hls/a0.m3u8?_HLS_msn=-1", &[400]),
        ("/live/hls/a0.m3u8?_HLS_msn=", &[400]),
        ("/live/hls/a0.m3u8?_HLS_msn=1&_HLS_msn=2", &[400]),
        ("/live/hls/a0.m3u8?_HLS_part=1", &[400]),
        ("/live/hls/a0.m3u8?_HLS_msn=0&_HLS_part=0", &[200]),
        ("/live/hls/a0.m3u8?_HLS_push=9&_HLS_skip=maybe", &[200]),
        (&*token, &[400]),
        (&*later, &[404]),
        (&*huge, &[404]),
        ("/live/hls/a0-0-0.m4s", &[404]),
        ("/live/hls/v7.m3u8", &[404]),
        ("/live/hls/a0.m3u8/..", &[400, 404]),
        ("/live/hls/../../etc/passwd", &[400, 404]),
        ("/live/hls/%2e%2e%2f%2e%2e%2fetc%2fpasswd", &[400, 404]),
        ("/live/hls/a0%00.m3u8", &[400, 404]),
        ("/live/hls/", &[400, 404]),
        ("/live%23flv", &[400, 404]),
        ("/none.m3u8", &[404]),
        ("/none/hls/a0.m3u8?_HLS_msn=1", &[404]),
        ("/none.flv", &[404]),
        ("/none.ts", &[404]),
        ("/.m3u8", &[404]),
    ] {
        let began = Instant::now();
        let answer = server.get(target);
        assert!(
            statuses.contains(&answer.status),
            "{target}: {}",
            answer.status_line
        );
        assert!(began.elapsed() < Duration::from_secs(3), "{target}");
    }
    assert_unhurt(&server);
}

#[test]
fn odd_headers_of_requests_for_hls_are_taken_as_the_rfc_says() {
    let server = Server::start(Backend::IoUring, &[]);
    let _station = Station::play(&server, "/live");
    for (name, value, status) in [
        ("Range", "bytes=9-1", 200),
        ("Range", "bytes=999999999-", 416),
        ("Range", "bytes=0-0,5-9", 200),
        ("Range", "bytes=0-3", 206),
        ("Accept-Encoding", "gzip;q=;;,*;q=0", 200),
    ] {
        let list = wait_list(&server, "/live");
        let segment = list.lines().find(|line| line.starts_with("a0-"));
        let segment = segment.expect("a segment");
        let request = format!(
            "GET /live/hls/{segment} HTTP/1.1\r\nHost: t\r\n{name}: {value}\r\n\
             Connection: close\r\n\r\n"
        );
        let answer = http::exchange(server.address(), request.as_bytes());
        let answer = answer.expect("the server answers");
        assert_eq!(answer.status, status, "{name}: {value}");
    }
    assert_unhurt(&server);
}

/// What a player of RTMP is told first when it asks for `path`.
pub(super) fn play(server: &Server, path: &str) -> ClientEvent {
    let url = Url::parse(&server.rtmp_url(path)).expect("a good URL");
    let mut session = ClientSession::new(Purpose::Play, &url, "script", [5; 32]);
    let mut socket = http::connect(rtmp_address(server)).expect("the server listens");
    let mut piece = [0; 4_096];
    loop {
        while let Some(bytes) = session.poll_transmit() {
            socket.write_all(&bytes).expect("a few bytes fit");
        }
        if let Some(event) = session.poll_event() {
            return event;
        }
        let read = socket.read(&mut piece).expect("the server answers");
        assert_ne!(read, 0, "closed without a word");
        let taken = session.handle_input(Bytes::copy_from_slice(&piece[..read]));
        taken.expect("our server keeps to the protocol");
    }
}

#[test]
fn a_guarded_mount_is_guarded_in_every_output() {
    let folder = Scratch::new("guarded");
    let (file, users) = (folder.file("corecast.toml"), folder.file("users"));
    // The bare MD5 of `secret`, as Icecast writes it.
    std::fs::write(&users, "guest:5ebe2294ecd0e0f08eab7690d2a6ee69\n").expect("a file");
    let text = format!(
        "[limits]\nauth_failures_max = 0\n[[mount]]\nname = \"/live/x\"\n\
         listener_htpasswd = \"{}\"\n",
        users.display()
    );
    std::fs::write(&file, text).expect("the folder takes files");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_corecast"));
    command.arg("run").arg("--config").arg(&file);
    let server = Server::launch_with(command, Backend::IoUring, &[]);
    server.wait_ready();
    let _station = Station::play(&server, "/live/x");
    server.wait_live("/live/x");
    let ask = |path: &str, login: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: t\r\n{login}Connection: close\r\n\r\n");
        http::exchange(server.address(), request.as_bytes()).expect("the server answers")
    };
    let login = http::basic("guest", "secret");
    let list = wait_for("the list is there", SOON, || {
        let answer = ask("/live/x.m3u8", &login);
        assert!(matches!(answer.status, 200 | 503), "{}", answer.status_line);
        let answer = ask("/live/x/hls/a0.m3u8", &login);
        assert_ne!(answer.status, 401);
        Some(answer).filter(|list| list.text().contains("#EXTINF"))
    });
    assert_eq!(list.header("cache-control"), Some("private, no-cache"));
    let text = list.text();
    let segment = text.lines().rfind(|line| line.starts_with("a0-"));
    let map = text
        .split_once("URI=\"")
        .and_then(|(_, rest)| rest.split_once('"'));
    let (segment, (map, _)) = (segment.expect("a segment"), map.expect("a map"));
    for path in ["/live/x.flv", "/live/x.ts"] {
        assert_eq!(ask(path, "").status, 401, "{path}");
    }
    let heard = play(&server, "/live/x?user=guest&password=secret");
    assert!(matches!(heard, ClientEvent::Ready), "{heard:?}");
    for path in ["/live/x", "/live/x?user=guest&password=other"] {
        let heard = play(&server, path);
        let refused = matches!(&heard, ClientEvent::Ended { code, .. } if code.contains("Failed"));
        assert!(refused, "{path}: {heard:?}");
    }
    let wrong = http::basic("guest", "other");
    for path in ["/live/x.m3u8", "/live/x/hls/a0.m3u8"]
        .map(str::to_owned)
        .into_iter()
        .chain([segment, map].map(|name| format!("/live/x/hls/{name}")))
    {
        assert_eq!(ask(&path, "").status, 401, "{path}");
        assert_eq!(ask(&path, &wrong).status, 401, "{path}");
        let answer = ask(&path, &login);
        assert_eq!(answer.status, 200, "{path}");
        let cache = answer.header("cache-control").unwrap_or_default();
        assert!(cache.starts_with("private"), "{path}: {cache}");
    }
}

/// Chunks that break the rules, and whether the server must close at once.
fn broken_chunks() -> Vec<(&'static str, Vec<u8>, bool)> {
    // 200 bytes are told and 128 come, then chunks are said to have 4,096.
    let resized = [
        &b"\x04\0\0\0\0\0\xC8\x09\x01\0\0\0"[..],
        &[0x27; 128],
        b"\x02\0\0\0\0\0\x04\x01\0\0\0\0\0\0\x10\0\xC4",
        &[0; 72],
    ];
    let half = b"\x04\0\0\0\0\x40\0\x09\x01\0\0\0";
    let covered = [&half[..], &[0x27; 128], half];
    let nothing = b"\x02\0\0\0\0\0\x04\x01\0\0\0\0\0\0\0\0";
    vec![
        ("noise", vec![0xA5; 5_000], true),
        ("chunks of nothing", nothing.to_vec(), true),
        ("a size inside a message", resized.concat(), false),
        ("a message over a half one", covered.concat(), false),
    ]
}

/// Messages by their kind whose insides make no sense.
const BROKEN_MESSAGES: [(&str, u8, &[u8]); 17] = [
    ("an unknown message", 0x63, &[1; 50]),
    ("no video at all", 9, &[]),
    ("half a head", 9, &[0x17]),
    (
        "sets that end early",
        9,
        b"\x17\0\0\0\0\x01\x64\0\x1e\xff\xe1\xff\xff\x67",
    ),
    (
        "NAL units longer than their picture",
        9,
        b"\x17\x01\0\0\0\xff\xff\xff\xff\x65",
    ),
    (
        "tracks longer than their message",
        9,
        b"\x96\x20avc1\0\xff\xff\xff",
    ),
    ("extensions of extensions", 9, &[0x97; 300]),
    ("a coding that nobody knows", 9, b"\x90zzzz\x01\x02"),
    ("sound of no kind", 8, &[0xD0, 0, 1]),
    ("a sound configuration of nothing", 8, &[0xAF, 0]),
    (
        "data that ends early",
        18,
        b"\x02\0\x0aonMetaData\x08\xff\xff\xff\xff\0\x05wi",
    ),
    ("data without end", 18, &[0x0A; 2_000]),
    ("AMF3 of references", 15, &[0, 0x11, 0x0A, 1, 0x7F, 0xFF]),
    ("a command of nothing", 20, &[]),
    ("a command that ends early", 20, b"\x02\0\x07publ"),
    (
        "a stream of no number",
        20,
        b"\x02\0\x0cdeleteStream\0\x40\x10\0\0\0\0\0\0\x05\0\x7f\xf8\0\0\0\0\0\0",
    ),
    (
        "an aggregate inside out",
        22,
        &[9, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 1],
    ),
];

/// A message of one chunk on the publisher's stream.
pub(super) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    let mut chunks = [&[4, 0, 0, 0][..], &length[1..], &[kind, 1, 0, 0, 0]].concat();
    // What a client of ours says of its chunks.
    for (n, piece) in body.chunks(CHUNK_BYTES as usize).enumerate() {
        if n > 0 {
            chunks.push(0xC4);
        }
        chunks.extend(piece);
    }
    chunks
}

#[test]
fn publishers_that_send_nonsense_end_alone() {
    let server = Server::start(Backend::IoUring, &[]);
    let mut steady = shown(&server, "/live/steady");
    let messages = BROKEN_MESSAGES.map(|(name, kind, body)| (name, message(kind, body), false));
    for (n, (name, bytes, ends)) in broken_chunks().into_iter().chain(messages).enumerate() {
        let mount = format!("/live/x{n}");
        let mut rude = shown(&server, &mount);
        let _ = rude.socket.write_all(&bytes);
        if ends {
            let (_, ended) = peers::read_to_end(&mut rude.socket, SOON);
            assert!(ended, "{name}: still open");
        }
        drop(rude);
        wait_for(&format!("{name}: the mount has no source"), SOON, || {
            let report = server.mount(&mount);
            let live = report.is_some_and(|report| report["state"] == "live");
            (!live).then_some(())
        });
    }
    steady.send(&pictures(GROUP * 3..GROUP * 6, 100));
    let report = server.mount("/live/steady").expect("it is there");
    assert_eq!(report["state"], "live");
    // A picture of which no configuration tells.
    let mut early = publisher(&server, "/live/early");
    early.send(&pictures(1..2, 100));
    for reason in ["unconfigured", "damaged"] {
        let labels = format!("reason=\"{reason}\"");
        wait_for(reason, SOON, || {
            let left_out = server.metric("corecast_units_left_out_total", &labels);
            (left_out > 0.0).then_some(())
        });
    }
    assert_unhurt(&server);
}

/// How long the server bears with `talk`, which is said again and again.
fn time_until_closed(stream: &mut TcpStream, talk: &[u8], pause: Duration) -> Duration {
    stream
        .set_read_timeout(Some(Duration::from_millis(1)))
        .expect("never zero");
    let began = Instant::now();
    let mut heard = [0; 4_096];
    while began.elapsed() < SOON {
        if stream.write_all(talk).is_err() || matches!(stream.read(&mut heard), Ok(0)) {
            break;
        }
        std::thread::sleep(pause);
    }
    began.elapsed()
}

#[test]
fn clients_of_rtmp_that_never_come_to_the_point_are_closed_in_time() {
    let server = Server::start(Backend::IoUring, &["limits.header_timeout_ms=1500"]);
    let address = rtmp_address(&server);
    let acknowledged = b"\x02\0\0\0\0\0\x04\x03\0\0\0\0\0\0\0\x01".repeat(1_000);
    for (name, hello, talk, pause_ms) in [
        ("a hello in drops", vec![3], &[0][..], 50),
        ("a talk without end", hello(), &acknowledged, 0),
    ] {
        let pause = Duration::from_millis(pause_ms);
        let mut stream = peers::say(address, &hello);
        let took = time_until_closed(&mut stream, talk, pause);
        assert!(took < Duration::from_secs(9), "{name}: {took:?}");
    }
    assert_eq!(server.get("/ready").status, 200);
    assert_unhurt(&server);
}

#[test]
fn a_publisher_that_only_pings_loses_its_mount() {
    let server = Server::start(Backend::IoUring, &["mount_defaults.source_timeout_ms=0"]);
    let mut idle = shown(&server, "/live/idle");
    let ping = b"\x02\0\0\0\0\0\x06\x04\0\0\0\0\0\x06\0\0\0\x01";
    let title = message(18, b"\x02\0\x0aonMetaData\x08\0\0\0\0\0\0\x09");
    let talk = [&ping[..], &title].concat();
    let took = time_until_closed(&mut idle.socket, &talk, Duration::from_millis(200));
    assert!(took < SOON, "{took:?}");
    wait_for("the mount has no source", SOON, || {
        let report = server.mount("/live/idle");
        let live = report.is_some_and(|report| report["state"] == "live");
        (!live).then_some(())
    });
    let ended = server.metric("corecast_sources_ended_total", "reason=\"timeout\"");
    assert_eq!(ended, 1.0);
    assert_unhurt(&server);
}
