//! Connections of HTTP/2 over loopback: by a client's machine, and by hand where the peer does
//! what no client does.

mod cuts;
mod floods;
mod hogs;
mod life;
mod websocket;

use std::future::poll_fn;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use corecast_config::{Config, Mount};
use h2::client::SendRequest;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request};

use crate::session::tests::pattern;
use crate::testing::{BACKENDS, Node, Seen, config, publish};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The same for every engine.
fn on_each(test: impl AsyncFn(&mut Node) + Sync) {
    on_each_with(config, test);
}

/// The same with settings of its own.
fn on_each_with(config: impl Fn() -> Config, test: impl AsyncFn(&mut Node) + Sync) {
    std::thread::scope(|scope| {
        for backend in BACKENDS {
            let (test, config) = (&test, config());
            scope.spawn(move || run(&mut Node::start(backend, 1, config), test));
        }
    });
}

fn run(node: &mut Node, test: impl AsyncFn(&mut Node)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let test = async { tokio::time::timeout(PATIENCE, test(node)).await };
    runtime.block_on(test).expect("the test takes too long");
}

/// A client's end of a connection.
struct Client {
    requests: SendRequest<Bytes>,
    /// How the connection ended.
    end: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

/// An answer that came to its end.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Client {
    async fn connect(node: &Node) -> Self {
        Client::connect_with(node, 1024 * 1024).await
    }

    /// A connection whose streams may each be sent `window` bytes ahead.
    async fn connect_with(node: &Node, window: u32) -> Self {
        let tcp = tokio::net::TcpStream::connect(node.address).await;
        let tcp = tcp.expect("the node accepts");
        let mut builder = h2::client::Builder::new();
        builder
            .initial_window_size(window)
            .initial_connection_window_size(8 * 1024 * 1024)
            .enable_push(false);
        let (requests, connection) = builder.handshake(tcp).await.expect("a good preface");
        let end = tokio::spawn(connection);
        Client { requests, end }
    }

    async fn open(&mut self, request: Request<()>, ends: bool) -> Opened {
        poll_fn(|cx| self.requests.poll_ready(cx))
            .await
            .expect("the connection is open");
        let (answer, body) = self
            .requests
            .send_request(request, ends)
            .expect("a good request");
        Opened { answer, body }
    }

    async fn request(&mut self, request: Request<()>) -> Answer {
        self.open(request, true).await.whole().await
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.request(get(path)).await
    }
}

/// A stream on which a request was sent.
struct Opened {
    answer: h2::client::ResponseFuture,
    body: SendStream<Bytes>,
}

impl Opened {
    async fn head(self) -> (u16, HeaderMap, RecvStream, SendStream<Bytes>) {
        let (head, body) = self.answer.await.expect("an answer").into_parts();
        (head.status.as_u16(), head.headers, body, self.body)
    }

    async fn whole(self) -> Answer {
        let (status, headers, mut body, _) = self.head().await;
        let body = read(&mut body, usize::MAX).await;
        Answer {
            status,
            headers,
            body,
        }
    }

    /// Why the stream was reset.
    async fn reset(self) -> Option<Reason> {
        let answer = self.answer.await;
        answer.err().and_then(|error| error.reason())
    }
}

/// Reads until the end or until there are `bytes`.
async fn read(body: &mut RecvStream, bytes: usize) -> Bytes {
    let mut all = BytesMut::new();
    while all.len() < bytes {
        let Some(data) = body.data().await else { break };
        let data = data.expect("the stream is whole");
        let _ = body.flow_control().release_capacity(data.len());
        all.extend_from_slice(&data);
    }
    all.freeze()
}

fn get(path: &str) -> Request<()> {
    request("GET", path, &[])
}

fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method);
    request = request.uri(format!("http://radio.example{path}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a good request")
}

fn text(answer: &Answer) -> &str {
    std::str::from_utf8(&answer.body).expect("a text")
}

#[test]
fn requests_are_answered_as_over_http_1() {
    on_each(async |node| {
        let mut client = Client::connect(node).await;
        let page = client.get("/health").await;
        assert_eq!((page.status, text(&page)), (200, "GET /health "));
        assert_eq!(page.headers["x-test"], "yes");
        assert_eq!(page.headers["content-length"], "12");
        assert!(page.headers.contains_key("date") && page.headers.contains_key("server"));
        assert!(!page.headers.contains_key("connection"));

        let head = client.request(request("HEAD", "/health", &[])).await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(head.headers["content-length"], "13", "of HEAD /health");

        let length = [("content-length", "4")];
        let mut post = client.open(request("POST", "/api/a", &length), false).await;
        post.body.send_data("bo".into(), false).expect("it is open");
        post.body.send_data("dy".into(), true).expect("it is open");
        let post = post.whole().await;
        assert_eq!((post.status, text(&post)), (200, "POST /api/a body"));

        let open = client.get("/api/open").await;
        assert_eq!((open.status, text(&open)), (200, "GET /api/open "));
        assert!(!open.headers.contains_key("content-length"));

        let big = client.get("/api/big").await;
        assert_eq!(big.body.len(), 40 * 64 * 1024);
        assert!(big.body.iter().all(|byte| *byte == b'x'));

        assert_eq!(client.get("/nothing").await.status, 404);
        assert_eq!(client.get("/nothing.m3u8").await.status, 404);
        let preflight = client.request(request("OPTIONS", "/live", &[])).await;
        assert_eq!((preflight.status, preflight.body.len()), (204, 0));
        assert!(!preflight.headers.contains_key("content-length"));
    });
}

#[test]
fn what_no_request_is_allowed_to_be_is_refused() {
    on_each(async |node| {
        let mut client = Client::connect(node).await;
        for (method, path, status) in [
            ("BREW", "/health", 501),
            ("SOURCE", "/live", 501),
            ("PUT", "/live", 501),
        ] {
            let answer = client.request(request(method, path, &[])).await;
            assert_eq!(answer.status, status, "{method} {path}");
            assert!(!answer.body.is_empty() && answer.headers.contains_key("date"));
        }
        let many = [("a", "b"); 65];
        let answer = client.request(request("GET", "/health", &many)).await;
        assert_eq!(answer.status, 431);
        let long = "x".repeat(9_000);
        let answer = client.request(request("GET", "/", &[("a", &long)])).await;
        assert_eq!(answer.status, 431);
        for fields in [
            [("host", "other.example"), ("a", "b")],
            [("content-length", "7"), ("a", "b")],
            [("a", " b"), ("c", "d")],
        ] {
            let reset = client.open(request("GET", "/", &fields), true).await;
            let reset = reset.reset().await;
            assert_eq!(reset, Some(Reason::PROTOCOL_ERROR), "{fields:?}");
        }
        let long = [("content-length", "70000")];
        let post = client.open(request("POST", "/api/a", &long), false).await;
        let (status, _, mut body, _) = post.head().await;
        assert_eq!(status, 413);
        assert!(!read(&mut body, 1).await.is_empty());
        assert_eq!(client.get("/health").await.status, 200);
    });
}

#[test]
fn a_listener_hears_every_byte() {
    on_each(async |node| {
        let mut source = publish(node, "/live");
        let send = |from: usize, count: usize, source: &mut std::net::TcpStream| {
            std::io::Write::write_all(source, &pattern(from, count)).expect("the node reads");
        };
        send(0, 1_000, &mut source);
        let mut client = Client::connect(node).await;
        let mut listeners = Vec::new();
        for _ in 0..3 {
            let (status, headers, body, _) = client.open(get("/live"), true).await.head().await;
            assert_eq!(
                (status, &headers["icy-name"]),
                (200, &"N".parse().expect("a value"))
            );
            assert!(!headers.contains_key("content-length"));
            listeners.push(body);
        }
        // More than a stream may be sent ahead, and nobody far behind.
        let mut heard = vec![BytesMut::new(); listeners.len()];
        for step in 0..40 {
            send(1_000 + step * 50_000, 50_000, &mut source);
            for (listener, heard) in listeners.iter_mut().zip(&mut heard) {
                let lacks = (30_000 + step * 50_000).saturating_sub(heard.len());
                heard.extend_from_slice(&read(listener, lacks).await);
            }
        }
        drop(source);
        let sent = pattern(0, 2_001_000);
        for (mut listener, mut heard) in listeners.into_iter().zip(heard) {
            heard.extend_from_slice(&read(&mut listener, usize::MAX).await);
            assert!(heard.len() >= 2_000_000, "{} bytes", heard.len());
            assert!(sent.ends_with(&heard), "the end of what was sent");
        }
        let head = client.request(request("HEAD", "/live", &[])).await;
        assert_eq!(head.body.len(), 0);
        node.wait_until("all seats are free", |node| {
            node.seats.listeners.taken() == 0
        });
    });
}

#[test]
fn who_resets_is_forgotten() {
    on_each(async |node| {
        let _source = publish(node, "/live");
        let mut client = Client::connect(node).await;
        let (_, _, mut endless, mut handle) =
            client.open(get("/api/endless"), true).await.head().await;
        assert!(!read(&mut endless, 1_000).await.is_empty());
        let (status, _, listener, mut listening) =
            client.open(get("/live"), true).await.head().await;
        assert_eq!((status, node.seats.listeners.taken()), (200, 1));
        let mut waits = client.open(get("/api/silent"), true).await;
        assert_eq!(client.get("/health").await.status, 200);
        handle.send_reset(Reason::CANCEL);
        waits.body.send_reset(Reason::CANCEL);
        listening.send_reset(Reason::CANCEL);
        drop(listener);
        // The connection moves on while the test waits.
        assert_eq!(client.get("/health").await.status, 200);
        let mut ended = 0;
        node.wait_until("control is told of both", |node| {
            let seen = node.seen.try_iter();
            ended += seen
                .filter(|seen| matches!(seen, Seen::RequestEnded))
                .count();
            ended == 2
        });
        node.wait_until("the seat is free", |node| node.seats.listeners.taken() == 0);
    });
}

#[test]
fn a_stream_that_is_stuck_holds_up_no_other() {
    on_each(async |node| {
        let mut client = Client::connect_with(node, 1_000).await;
        let mut stuck = Vec::new();
        for path in ["/api/big", "/api/endless", "/api/silent"] {
            stuck.push(client.open(get(path), true).await);
        }
        for _ in 0..100 {
            stuck.push(client.open(get("/api/silent"), true).await);
        }
        for _ in 0..20 {
            assert_eq!(text(&client.get("/health").await), "GET /health ");
        }
        let big = stuck.remove(0).whole().await;
        assert_eq!(big.body.len(), 40 * 64 * 1024);
    });
}

#[test]
fn who_takes_nothing_is_cut_off() {
    let impatient = || Config {
        mount_defaults: Mount {
            slow_reader_budget: Duration::from_millis(400),
            ..config().mount_defaults
        },
        ..config()
    };
    on_each_with(impatient, async |node| {
        let mut source = publish(node, "/live");
        let mut client = Client::connect_with(node, 1_000).await;
        let (_, _, mut stuck, _handle) = client.open(get("/api/big"), true).await.head().await;
        let (_, _, mut slow, _handle) = client.open(get("/live"), true).await.head().await;
        let (_, _, mut keen, _handle) = client.open(get("/live"), true).await.head().await;
        let mut heard = 0;
        while node.seats.listeners.taken() == 2 {
            std::io::Write::write_all(&mut source, &pattern(0, 5_000)).expect("the node reads");
            heard += read(&mut keen, 4_000).await.len();
        }
        assert!(heard > 0);
        let cut = async |body: &mut RecvStream| {
            loop {
                match body.data().await {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => break error.reason(),
                    None => break None,
                }
            }
        };
        assert_eq!(cut(&mut slow).await, Some(Reason::CANCEL));
        assert_eq!(cut(&mut stuck).await, Some(Reason::CANCEL));
        assert_eq!(client.get("/health").await.status, 200);
    });
}
