//! Connections that take their time with heads, with bodies and with reading: by hundreds with
//! slowhttptest over HTTP/1, and byte by byte over HTTP/2 and 3. All of them are ended, others are
//! answered all the while, and the radio goes on.

use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;

use super::harness::http2::{Http2, block, frame, kind, request};
use super::harness::{Backend, Client, IcyReader, Server, Station, mpeg, program};
use super::peers;
use crate::tls::quinn::{Talk, client, run};

const LIMIT: Duration = Duration::from_secs(60);

/// How each attack is asked for, and what it goes to.
const ATTACKS: &[(&str, &str, &str)] = &[
    ("slow heads", "-H -i 1 -x 10", "/health"),
    ("slow bodies", "-B -i 1 -x 10 -s 8192", "/admin/metadata"),
    ("slow readers", "-X -w 8 -y 16 -n 1 -z 4 -k 3", "/watch.js"),
    ("many ranges", "-R -a 1 -b 3000", "/watch.js"),
];

#[test]
fn slow_peers_hold_up_nobody() {
    let server = Server::start(Backend::IoUring, &["limits.header_timeout_ms=2000"]);
    let station = Station::play(&server, "/live");
    server.wait_live("/live");
    let mut reader = IcyReader::open(server.address(), "/live");
    for (what, options, path) in ATTACKS {
        let mut slow = program("slowhttptest");
        slow.args(["-c", "400", "-r", "400", "-l", "4", "-p", "3", "-v", "1"]);
        slow.args(options.split(' '));
        let attack = Client::spawn(slow.args(["-u", &server.url(path)]));
        assert!(reader.listen(Duration::from_secs(4)), "{what}");
        let said = attack.succeed(LIMIT).text();
        // It says so in colours, once a second; the last word counts.
        let available = said.rsplit("service available:").next().unwrap_or_default();
        assert!(available.contains("YES"), "{what}: {said}");
        assert_eq!(server.get("/health").status, 200, "{what}");
    }
    assert!(station.is_playing());
    let heard = mpeg::read(&reader.audio).expect("every byte is right");
    assert_eq!(heard.jumps(), []);
    assert_eq!(server.metric("corecast_task_panics_total", ""), 0.0);
}

/// Slow clients of each kind at a time.
const CROWD: usize = 40;

/// Between two of their bytes.
const PAUSE: Duration = Duration::from_millis(100);

/// Where bodies are read before anything else is looked at.
const BODY_PATH: &str = "/admin/metadata";

/// Ends once the server has had enough of `talk`, which is said again and again.
fn talk_over_http2(server: &Server, begin: &dyn Fn(&mut Http2), talk: &dyn Fn(u32) -> Vec<u8>) {
    let mut crowd: Vec<Http2> = (0..CROWD)
        .map(|_| Http2::open(server.address(), &[]))
        .collect();
    crowd.iter_mut().for_each(begin);
    let began = Instant::now();
    while !crowd.is_empty() {
        assert!(began.elapsed() < LIMIT, "{} talk still", crowd.len());
        thread::sleep(PAUSE);
        // Whose request was answered is not kept waiting, but the body that comes is nobody's.
        crowd.retain_mut(|client| {
            client.try_say(&talk(1)) && {
                let frame = client.read(Duration::from_millis(1));
                !frame.is_some_and(|frame| matches!(frame.kind, kind::GOAWAY | kind::RST_STREAM))
            }
        });
    }
}

#[test]
fn slow_clients_of_http2_are_ended() {
    let settings = [
        "limits.header_timeout_ms=1500",
        "limits.idle_timeout_ms=3000",
    ];
    let server = Server::start(Backend::IoUring, &settings);
    let station = Station::play(&server, "/live");
    server.wait_live("/live");
    let mut reader = IcyReader::open(server.address(), "/live");
    thread::scope(|scope| {
        scope.spawn(|| {
            let head = |client: &mut Http2| {
                let fields = block(&request("GET", "/health"));
                client.say(&frame(kind::HEADERS, 1, 1, &fields));
            };
            let more = |stream| frame(kind::CONTINUATION, 0, stream, b"\0");
            talk_over_http2(&server, &head, &more);
            let body = |client: &mut Http2| {
                let fields = block(&request("POST", BODY_PATH));
                client.say(&frame(kind::HEADERS, 4, 1, &fields));
            };
            let more = |stream| frame(kind::DATA, 0, stream, b"x");
            talk_over_http2(&server, &body, &more);
            // Half of what a connection begins with.
            let mut half: Vec<_> = (0..CROWD)
                .map(|_| peers::say(server.address(), b"PRI * HTTP/2.0\r\n\r\nSM"))
                .collect();
            for stream in &mut half {
                let (_, ended) = peers::read_to_end(stream, LIMIT);
                assert!(ended);
            }
        });
        let mut served = 0;
        while served < 50 {
            assert!(reader.listen(Duration::from_millis(100)));
            assert_eq!(server.get("/health").status, 200);
            served += 1;
        }
    });
    assert_unmoved(&server, &station, &reader);
}

/// The radio lost nothing, and all that is left is what was there before.
fn assert_unmoved(server: &Server, station: &Station, reader: &IcyReader) {
    assert!(station.is_playing());
    let heard = mpeg::read(&reader.audio).expect("every byte is right");
    assert_eq!(heard.jumps(), []);
    assert_eq!(server.metric("corecast_task_panics_total", ""), 0.0);
    super::harness::wait_for("only the radio is left", LIMIT, || {
        // With the connection that asks.
        (server.metric("corecast_connections", "") <= 3.0).then_some(())
    });
}

/// Never finishes the head of a request (a frame of 100 bytes, byte by byte).
async fn half_a_head(talk: Talk) {
    let (mut send, _receive) = talk.quic.open_bi().await.expect("a stream is free");
    send.write_all(b"\x01\x40\x64\0\0").await.expect("it fits");
    let drip = async {
        while send.write_all(b"\0").await.is_ok() {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::select! {
        _ = talk.quic.closed() => {}
        () = drip => {}
        () = tokio::time::sleep(LIMIT) => panic!("it is there still"),
    }
}

/// Never finishes the body of a request.
async fn half_a_body(mut talk: Talk) {
    let request = Request::post(format!("https://localhost{BODY_PATH}")).body(());
    let request = request.expect("a good request");
    let stream = talk.requests.send_request(request).await.expect("a stream");
    let (mut send, mut receive) = stream.split();
    let drip = async {
        while send.send_data(Bytes::from_static(b"x")).await.is_ok() {
            tokio::time::sleep(PAUSE).await;
        }
        std::future::pending::<()>().await
    };
    tokio::select! {
        answer = receive.recv_response() => {
            let status = answer.expect("it is told why").status();
            assert!(status.is_client_error(), "{status}");
        }
        () = drip => {}
        () = tokio::time::sleep(LIMIT) => panic!("it is heard still"),
    }
}

#[test]
fn slow_clients_of_http3_are_ended() {
    let settings = [
        "limits.header_timeout_ms=1500",
        "limits.idle_timeout_ms=3000",
    ];
    let server = Server::start_tls(Backend::IoUring, &settings);
    let station = Station::play(&server, "/live");
    server.wait_live("/live");
    let mut reader = IcyReader::open(server.address(), "/live");
    let slow = async {
        let endpoint = client(&server);
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..CROWD {
            all.spawn(half_a_head(Talk::connect(&endpoint, &server).await));
            all.spawn(half_a_body(Talk::connect(&endpoint, &server).await));
        }
        while let Some(ended) = all.join_next().await {
            ended.expect("no panic");
        }
        endpoint.close(0x100_u32.into(), b"");
        endpoint.wait_idle().await;
    };
    thread::scope(|scope| {
        let slow = scope.spawn(|| run(slow));
        while !slow.is_finished() {
            assert!(reader.listen(Duration::from_millis(100)));
            assert_eq!(server.get("/health").status, 200);
        }
    });
    assert_unmoved(&server, &station, &reader);
}
