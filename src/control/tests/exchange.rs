//! Requests as messages, answers as messages.

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use corecast_mesh::message::{RESPONSE_CHUNK_BYTES_MAX, RESPONSE_CHUNKS_MAX};
use tokio::sync::mpsc;

use super::*;
use crate::exchange::{Exchange, REQUESTS_MAX};
use crate::node::Order;
use crate::probe::ControlProbe;

#[test]
fn health_is_answered_through_the_mesh() {
    let mut rig = Rig::new(1, config());
    let answer = rig.get("/health");
    assert_eq!(
        (answer.status, answer.text(), answer.length),
        (200, "ok\n", Some(3))
    );
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert!(
        answer.header("content-length").is_none(),
        "the shard frames the body"
    );
    assert_eq!(rig.queries, 0, "health asks no shard");
}

#[test]
fn head_tells_the_length_of_what_get_would_get() {
    let mut rig = Rig::new(1, config());
    let answer = rig.ask(Ask {
        method: "HEAD",
        target: "/health",
        ..Ask::default()
    });
    assert_eq!(
        (answer.status, answer.length, answer.body.len()),
        (200, Some(3), 0)
    );
}

#[test]
fn errors_are_problem_details() {
    let mut rig = Rig::new(1, config());
    let cases = [
        ("GET", "/nothing/here", 404, "Not Found"),
        ("DELETE", "/api/v1/mounts", 405, "Method Not Allowed"),
        ("GET", "not a target", 400, "Bad Request"),
        ("G@T", "/health", 400, "Bad Request"),
        ("GET", "/api/v1/mounts/none", 404, "Not Found"),
        ("GET", "/api/v1/sessions", 401, "Unauthorized"),
    ];
    for (method, target, status, title) in cases {
        let answer = rig.ask(Ask {
            method,
            target,
            ..Ask::default()
        });
        assert_eq!(answer.status, status, "{method} {target}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{target}"
        );
        let problem = answer.json();
        assert_eq!(
            (&problem["status"], &problem["title"]),
            (&status.into(), &title.into())
        );
        assert_eq!(problem["type"], "about:blank");
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{target}"
        );
    }
}

#[test]
fn a_malformed_header_is_refused() {
    let mut rig = Rig::new(1, config());
    for headers in [[("bad name", "x")], [("x", "a\r\nb: c")]] {
        let answer = rig.ask(Ask {
            target: "/health",
            headers: &headers,
            ..Ask::default()
        });
        assert_eq!(answer.status, 400, "{headers:?}");
    }
}

#[test]
fn options_are_answered_for_browsers_and_for_libshout() {
    let mut rig = Rig::new(1, config());
    let answer = rig.ask(Ask {
        method: "OPTIONS",
        target: "/api/v1/mounts",
        ..Ask::default()
    });
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(
        answer.header("access-control-allow-methods"),
        Some("GET, HEAD, OPTIONS")
    );
    assert_eq!(
        rig.ask(Ask {
            method: "OPTIONS",
            target: "*",
            ..Ask::default()
        })
        .status,
        204
    );
    assert_eq!(rig.get("/admin/!POKE").status, 400, "as Icecast says it");
}

/// An exchange alone, over a router of the test.
struct Bench {
    exchange: Exchange,
    orders: mpsc::UnboundedReceiver<Order>,
    probe: Arc<ControlProbe>,
}

const BIG: usize = 20 * RESPONSE_CHUNK_BYTES_MAX + 1;

impl Bench {
    fn new() -> Self {
        let router = Router::new()
            .route(
                "/panic",
                get(async || -> &'static str { panic!("a fault of the test") }),
            )
            .route("/big", get(async || vec![7_u8; BIG]))
            .route("/never", get(std::future::pending::<&'static str>))
            .route("/torn", get(async || Body::from_stream(Torn(0))));
        let (sender, orders) = mpsc::unbounded_channel();
        let probe = Arc::new(ControlProbe::new());
        Bench {
            exchange: Exchange::new(router, sender, Arc::clone(&probe)),
            orders,
            probe,
        }
    }

    fn request(&mut self, sequence: u64, target: &str) -> SessionId {
        let session = SessionId::new(ShardId(0), sequence);
        self.exchange.handle_request(
            ShardId(0),
            ControlRequest {
                session,
                method: "GET".into(),
                target: target.into(),
                headers: Vec::new(),
                peer: "192.0.2.9:5000".parse().expect("an address"),
                body: Bytes::new(),
            },
        );
        session
    }

    /// Everything that is ordered until nothing more comes.
    async fn settle(&mut self, answer: &mut Answer, session: SessionId) {
        let mut quiet = 0;
        while quiet < 64 {
            tokio::task::yield_now().await;
            quiet += 1;
            while let Ok(order) = self.orders.try_recv() {
                quiet = 0;
                match order {
                    Order::Send(_, message) => {
                        answer.take(session, message);
                    }
                    Order::Answered(session) => self.exchange.handle_answered(session),
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

/// A body of one chunk that then panics.
struct Torn(u8);

impl futures_util::Stream for Torn {
    type Item = Result<&'static str, std::io::Error>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0 += 1;
        assert!(self.0 < 2, "a fault of the test");
        std::task::Poll::Ready(Some(Ok("first")))
    }
}

#[tokio::test]
async fn no_more_chunks_are_sent_than_there_is_credit_for() {
    let mut bench = Bench::new();
    let mut answer = Answer::default();
    let session = bench.request(1, "/big");
    bench.settle(&mut answer, session).await;
    assert_eq!((answer.status, answer.length), (200, Some(BIG as u64)));
    let max = usize::from(RESPONSE_CHUNKS_MAX);
    assert_eq!((answer.chunks, answer.ended), (max, false));
    assert_eq!(answer.body.len(), max * RESPONSE_CHUNK_BYTES_MAX);

    bench.exchange.handle_credit(session, 3);
    bench.settle(&mut answer, session).await;
    assert_eq!((answer.chunks, answer.ended), (max + 3, false));

    bench.exchange.handle_credit(session, u16::MAX);
    bench.settle(&mut answer, session).await;
    assert_eq!(
        (answer.chunks, answer.ended),
        (2 * max + 3, false),
        "credit has a bound"
    );

    bench.exchange.handle_credit(session, RESPONSE_CHUNKS_MAX);
    bench.settle(&mut answer, session).await;
    assert_eq!((answer.body, answer.ended), (vec![7; BIG], true));
    assert_eq!(
        bench.exchange.len(),
        0,
        "nothing is kept of an answered request"
    );
}

#[tokio::test]
async fn a_panic_ends_one_request_and_is_counted() {
    let mut bench = Bench::new();
    let mut answer = Answer::default();
    let session = bench.request(1, "/panic");
    bench.settle(&mut answer, session).await;
    assert_eq!(
        (
            answer.status,
            answer.ended,
            answer.json()["status"].as_u64()
        ),
        (500, true, Some(500))
    );

    let mut torn = Answer::default();
    let session = bench.request(2, "/torn");
    bench.settle(&mut torn, session).await;
    assert_eq!((torn.status, torn.text(), torn.ended), (200, "first", true));
    assert_eq!((bench.probe.panics.total(), bench.exchange.len()), (2, 0));
}

#[tokio::test]
async fn a_request_whose_peer_is_gone_ends() {
    let mut bench = Bench::new();
    let mut answer = Answer::default();
    let session = bench.request(1, "/never");
    bench.settle(&mut answer, session).await;
    assert_eq!((answer.status, bench.exchange.len()), (0, 1));
    bench.exchange.handle_ended(session);
    bench.settle(&mut answer, session).await;
    assert_eq!((answer.ended, bench.exchange.len()), (false, 0));
}

#[tokio::test]
async fn requests_in_work_are_bounded() {
    let mut bench = Bench::new();
    let mut answer = Answer::default();
    for sequence in 0..REQUESTS_MAX as u64 {
        bench.request(sequence, "/never");
    }
    let session = bench.request(1_000_000, "/never");
    bench.settle(&mut answer, session).await;
    assert_eq!((answer.status, answer.ended), (503, true));
    bench.exchange.handle_ended(SessionId::new(ShardId(0), 1));
    let mut answer = Answer::default();
    let session = bench.request(1_000_001, "/none");
    bench.settle(&mut answer, session).await;
    assert_eq!(answer.status, 404, "there is room again");
}
