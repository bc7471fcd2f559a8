//! A directory of ours is told of a public mount, its title and its listeners.

use std::io::Write;
use std::time::{Duration, Instant};

use super::harness::script::{Call, Manner, Script};
use super::harness::{Backend, IcyReader, Server, Station, mpeg, station};

const GOOD: &str =
    "HTTP/1.1 200 OK\r\nYPResponse: 1\r\nYPMessage: ok\r\nSID: 4711\r\nTouchFreq: 1\r\n\r\n";

const LIMIT: Duration = Duration::from_secs(30);

fn assert_fields(call: &Call, expected: &[(&str, &str)]) {
    for (field, value) in expected {
        assert_eq!(call.field(field).as_deref(), Some(*value), "{field}");
    }
}

fn start(urls: &str) -> Server {
    let directories = format!("directory.urls={urls}");
    let settings = [
        "server.hostname=radio.example",
        "mount_defaults.latency=live",
        "mount_defaults.source_timeout_ms=0",
        &directories,
        "directory.timeout_ms=2000",
    ];
    Server::start(Backend::IoUring, &settings)
}

#[test]
fn a_directory_hears_of_public_mounts_while_one_that_hangs_delays_nothing() {
    let directory = Script::start(|_| Manner::Says(GOOD));
    let hanging = Script::start(|_| Manner::Hangs);
    let urls = [hanging.url("/yp"), directory.url("/cgi-bin/yp-cgi")].join(",");
    let server = start(&urls);
    let _private = Station::play(&server, "/private");
    let headers = "Ice-Public: 1\r\nIce-Name: Rock & Roll\r\nIce-Genre: rock\r\n";
    let (mut source, answer) = station::open(server.address(), "/live", headers);
    assert_eq!(answer.status, 200);

    // Feeds the mount until the directory is called.
    let mut frame = 0;
    let mut call = |source: &mut std::net::TcpStream| -> Call {
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < LIMIT, "no call yet");
            source
                .write_all(&mpeg::frames(frame..frame + 8))
                .expect("frames are taken");
            frame += 8;
            if let Some(call) = directory.call_within(Duration::from_millis(200)) {
                return call;
            }
        }
    };
    let add = call(&mut source);
    assert!(
        add.head.starts_with("POST /cgi-bin/yp-cgi HTTP/1.1\r\n"),
        "{}",
        add.head
    );
    assert_fields(
        &add,
        &[
            ("action", "add"),
            ("sn", "Rock & Roll"),
            ("genre", "rock"),
            ("type", "audio/mpeg"),
            ("b", "128"),
        ],
    );
    let listen_url = format!("http://radio.example:{}/live", server.port());
    assert_eq!(add.field("listenurl"), Some(listen_url));

    let _reader = IcyReader::open(server.address(), "/live");
    server.set_title("/live", "Späti & action=remove".as_bytes());
    let touch = call(&mut source);
    assert_fields(
        &touch,
        &[
            ("action", "touch"),
            ("sid", "4711"),
            ("st", "Späti & action=remove"),
            ("listeners", "1"),
            ("max_listeners", "100000"),
        ],
    );
    drop(source);
    let remove = directory.call();
    assert_eq!(remove.body, "action=remove&sid=4711");
    assert_eq!(hanging.call().field("action").as_deref(), Some("add"));
    for result in ["added", "touched", "removed", "late"] {
        let count = server.metric("corecast_directory_calls_total", result);
        assert_eq!(count, 1.0, "{result}");
    }
}
