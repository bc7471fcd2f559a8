//! Video over one connection of HTTP/2, without TLS, by the machine of another program.

use std::future::{Future, poll_fn};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{Request, StatusCode};

use super::{assert_of_film, packets, publish, wait_tracks};
use crate::harness::{Backend, Server, fixture};

/// Longer than anything here may take.
const LIMIT: Duration = Duration::from_secs(60);

/// The list of the pictures.
const LIST: &str = "/live/cam/hls/v0.m3u8";

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime
        .block_on(async { tokio::time::timeout(LIMIT, test).await })
        .expect("it takes too long")
}

struct Client(SendRequest<Bytes>);

impl Client {
    async fn connect(server: &Server) -> Self {
        let tcp = tokio::net::TcpStream::connect(server.address()).await;
        let handshake = h2::client::Builder::new()
            .initial_window_size(1024 * 1024)
            .initial_connection_window_size(8 * 1024 * 1024)
            .handshake(tcp.expect("the server accepts"));
        let (requests, connection) = handshake.await.expect("a good preface");
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Client(requests)
    }

    async fn send(&mut self, request: Request<()>) -> (ResponseFuture, SendStream<Bytes>) {
        let ready = poll_fn(|cx| self.0.poll_ready(cx));
        ready.await.expect("the connection is open");
        let ends = request.method() == http::Method::GET;
        let sent = self.0.send_request(request, ends);
        sent.expect("a good request")
    }

    async fn ask(&mut self, path: &str) -> ResponseFuture {
        let request = Request::get(format!("http://radio.example{path}"));
        self.send(request.body(()).expect("a good request")).await.0
    }

    async fn get(&mut self, path: &str) -> Bytes {
        whole(self.ask(path).await).await
    }
}

async fn whole(answer: ResponseFuture) -> Bytes {
    let answer = answer.await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    let (mut body, mut all) = (answer.into_body(), BytesMut::new());
    while let Some(data) = more(&mut body).await {
        all.extend_from_slice(&data);
    }
    all.freeze()
}

async fn more(body: &mut RecvStream) -> Option<Bytes> {
    let data = body.data().await?.expect("the stream is whole");
    let _ = body.flow_control().release_capacity(data.len());
    Some(data)
}

/// A client's frame; its mask is nought.
fn said(first: u8, payload: &[u8]) -> Bytes {
    let mut frame = vec![first, 0x80 | payload.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    frame.into()
}

/// Takes the first frame off `bytes`, where it is whole: its first byte and its payload.
fn pop_frame(bytes: &mut BytesMut) -> Option<(u8, BytesMut)> {
    let (head, length) = match **bytes {
        [_, 126, a, b, ..] => (4, usize::from(u16::from_be_bytes([a, b]))),
        [_, 127, _, _, _, _, a, b, c, d, ..] => (10, u32::from_be_bytes([a, b, c, d]) as usize),
        [_, length @ 0..126, ..] => (2, usize::from(length)),
        _ => return None,
    };
    if bytes.len() < head + length {
        return None;
    }
    let first = bytes[0];
    bytes.advance(head);
    Some((first, bytes.split_to(length)))
}

/// What the messages of `bytes` carry (RFC 6455 section 5.2); what is left is no whole message.
fn unwrap_messages(bytes: &mut BytesMut, payload: &mut Vec<u8>) {
    while let Some((first, message)) = pop_frame(bytes) {
        assert_eq!(first, 0x82, "a whole message of bytes");
        payload.extend_from_slice(&message);
    }
}

#[test]
fn a_websocket_on_a_stream_brings_the_film() {
    let film = fixture::film("outputs.flv", 40, &["-bf", "2", "-g", "30"]);
    let of_film = packets(&film.to_string_lossy(), &[], "null");
    let of_film = of_film.into_iter().collect();
    for backend in [Backend::IoUring, Backend::Epoll] {
        let server = Server::start(backend, &[]);
        let _source = publish(&server, &film, "/live/cam");
        wait_tracks(&server, "/live/cam", 2);
        let flv = run(async {
            let mut client = Client::connect(&server).await;
            // The settings of the server, which say that it takes the method, come first.
            client.get("/health").await;
            assert!(client.0.is_extended_connect_protocol_enabled());
            let request = Request::connect("http://radio.example/live/cam.flv")
                .extension(Protocol::from_static("websocket"))
                .header("sec-websocket-version", "13")
                .body(());
            let (answer, mut talk) = client.send(request.expect("a good request")).await;
            let answer = answer.await.expect("an answer");
            assert_eq!(answer.status(), StatusCode::OK);
            let (mut body, mut flv, mut rest) = (answer.into_body(), Vec::new(), BytesMut::new());
            let until = Instant::now() + Duration::from_secs(3);
            while Instant::now() < until {
                let data = more(&mut body).await.expect("the film goes on");
                rest.extend_from_slice(&data);
                unwrap_messages(&mut rest, &mut flv);
            }
            let listeners = || server.json("/api/v1/server")["listeners"].as_u64();
            assert_eq!(listeners(), Some(1));
            // Who ends its side has closed (RFC 8441 section 5).
            talk.send_data(Bytes::new(), true).expect("it is open");
            while more(&mut body).await.is_some() {}
            assert_eq!(listeners(), Some(0));
            flv
        });
        let path = server.scratch().file("heard.flv");
        std::fs::write(&path, flv).expect("there is room");
        let found = packets(&path.to_string_lossy(), &[], "null");
        assert_of_film(&of_film, &found, [45, 60]);
    }
}

#[test]
fn a_websocket_on_a_stream_is_answered() {
    let film = fixture::film("outputs.flv", 40, &["-bf", "2", "-g", "30"]);
    for backend in [Backend::IoUring, Backend::Epoll] {
        let server = Server::start(backend, &[]);
        let _source = publish(&server, &film, "/live/cam");
        wait_tracks(&server, "/live/cam", 2);
        run(async {
            let mut client = Client::connect(&server).await;
            client.get("/health").await;
            let request = Request::connect("http://radio.example/live/cam.flv")
                .extension(Protocol::from_static("websocket"))
                .body(());
            let (answer, mut talk) = client.send(request.expect("a good request")).await;
            let mut body = answer.await.expect("an answer").into_body();
            let (mut rest, mut pongs, mut tags) = (BytesMut::new(), 0u8, 0);
            let close = said(0x88, &[0x0f, 0xa0, b'!']);
            let mut last = None;
            talk.send_data(said(0x89, &[0]), false).expect("it is open");
            while let Some(data) = more(&mut body).await {
                rest.extend_from_slice(&data);
                while let Some((first, payload)) = pop_frame(&mut rest) {
                    assert_eq!(last, None, "nothing follows a close");
                    match first {
                        0x82 => tags += 1,
                        0x8a => {
                            assert_eq!(payload[..], [pongs]);
                            pongs += 1;
                            let next = match pongs {
                                20 => close.clone(),
                                _ => said(0x89, &[pongs]),
                            };
                            talk.send_data(next, false).expect("it is open");
                        }
                        _ => last = Some((first, payload.freeze())),
                    }
                }
            }
            assert_eq!((pongs, rest.len()), (20, 0));
            assert!(tags > 5, "{tags}");
            assert_eq!(last, Some((0x88, Bytes::from_static(&[0x0f, 0xa0]))));
            assert_eq!(server.json("/api/v1/server")["listeners"].as_u64(), Some(0));
        });
    }
}

#[test]
fn a_hundred_who_wait_for_a_segment_hold_up_no_media() {
    let film = fixture::film("outputs.flv", 40, &["-bf", "2", "-g", "30"]);
    let settings = [
        "mount_defaults.hls=always",
        "mount_defaults.hls_segment_ms=2000",
    ];
    let server = Server::start(Backend::IoUring, &settings);
    let _source = publish(&server, &film, "/live/cam");
    wait_tracks(&server, "/live/cam", 2);
    run(async {
        let mut client = Client::connect(&server).await;
        let list = loop {
            let list = client.get(LIST).await;
            let list = String::from_utf8_lossy(&list).into_owned();
            if list.contains("#EXTINF") {
                break list;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let line = |name: &str| list.lines().find_map(|line| line.strip_prefix(name));
        let first = line("#EXT-X-MEDIA-SEQUENCE:").and_then(|first| first.parse::<usize>().ok());
        let next = first.expect("it has a number") + list.matches("#EXTINF").count();
        let mut segments = list.lines().filter(|line| !line.starts_with('#'));
        let segment = segments.next_back().expect("it has a segment");
        let segment = format!("/live/cam/hls/{segment}");

        let mut waiting = Vec::new();
        for _ in 0..100 {
            let answer = client.ask(&format!("{LIST}?_HLS_msn={}", next + 1)).await;
            waiting.push(tokio::spawn(whole(answer)));
        }
        let path = format!("{LIST}?_HLS_msn={}", next + 1);
        let mut hinted = client.ask(&path).await;
        let hints = poll_fn(|cx| hinted.poll_informational(cx)).await;
        let hints = hints.expect("it is told before").expect("and well");
        assert_eq!(hints.status(), StatusCode::EARLY_HINTS);
        let link = hints.headers()["link"].to_str().expect("a text");
        let part = link.strip_prefix('<').and_then(|link| link.split_once('>'));
        let (part, rest) = part.expect("a link");
        assert!(
            part.ends_with(".m4s") && rest.contains("rel=preload"),
            "{link}"
        );
        let part = client.get(&format!("/live/cam/hls/{part}")).await;
        assert!(part.windows(4).any(|name| name == b"moof"));

        let media = client.get(&segment).await;
        for _ in 0..10 {
            assert_eq!(client.get(&segment).await, media);
        }
        assert!(!waiting.iter().any(|waits| waits.is_finished()));
        let mut lists = Vec::new();
        for waits in waiting {
            lists.push(waits.await.expect("no panic"));
        }
        assert!(lists.windows(2).all(|pair| pair[0] == pair[1]));
        assert_eq!(whole(hinted).await, lists[0]);
    });
}
