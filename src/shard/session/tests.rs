mod admission;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use corecast_media::name::MountName;
use corecast_mesh::message::{EndReason, Event, FromControl};
use corecast_mesh::topology::Topology;

use crate::testing::{AUTH, BACKENDS, Node, OPAQUE, Seen, config, publish, read_head, read_to_end};

/// The same for every engine, on one shard and on three.
pub(crate) fn on_each(test: impl Fn(&mut Node)) {
    for backend in BACKENDS {
        for shards in [1, 3] {
            test(&mut Node::start(backend, shards, config()));
        }
    }
}

/// Bytes that tell their own place.
pub(crate) fn pattern(from: usize, count: usize) -> Vec<u8> {
    (from..from + count)
        .map(|at| (at / 7 + at * 31) as u8)
        .collect()
}

pub(crate) fn listen(node: &Node, path: &str) -> TcpStream {
    let mut listener = node.connect();
    let head = format!("GET {path} HTTP/1.0\r\n\r\n");
    listener.write_all(head.as_bytes()).expect("the node reads");
    let head = read_head(&mut listener);
    assert!(head.starts_with("HTTP/1.0 200 OK\r\n"), "{head}");
    assert!(
        head.contains("\r\nicy-name: N\r\n") && !head.contains("\r\nicy-metaint"),
        "{head}"
    );
    listener
}

#[test]
fn what_a_source_sends_its_listeners_hear() {
    on_each(|node| {
        let mut source = publish(node, "/live");
        source
            .write_all(&pattern(0, 1_000))
            .expect("the node reads");
        let mut listeners: Vec<TcpStream> = (0..5).map(|_| listen(node, "/live")).collect();
        let mut heard = vec![Vec::new(); listeners.len()];
        for step in 0..20 {
            source
                .write_all(&pattern(1_000 + step * 500, 500))
                .expect("the node reads");
            std::thread::park_timeout(Duration::from_millis(5));
        }
        drop(source);
        for (listener, heard) in listeners.iter_mut().zip(&mut heard) {
            listener.read_to_end(heard).expect("an orderly end");
        }
        let sent = pattern(0, 11_000);
        for heard in heard {
            assert!(heard.len() >= 10_000, "{} bytes", heard.len());
            assert!(
                sent.ends_with(&heard),
                "a listener hears the end of what was sent"
            );
        }
        node.wait_until("all seats are free", |node| {
            node.seats.connections.taken() == 0
        });
        assert_eq!(
            (node.seats.listeners.taken(), node.seats.sources.taken()),
            (0, 0)
        );
    });
}

#[test]
fn every_framing_of_a_source_is_undone() {
    let chunk = |bytes: &[u8]| {
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend_from_slice(bytes);
        chunk.extend_from_slice(b"\r\n");
        chunk
    };
    let (first, second) = (pattern(0, 700), pattern(700, 300));
    let plain = [first.clone(), second.clone()].concat();
    let chunked = [chunk(&first), chunk(&second), b"0\r\n\r\n".to_vec()].concat();
    let cases = [
        (
            "PUT /m0 HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\n",
            &plain,
            "HTTP/1.1 200",
            true,
        ),
        (
            "PUT /m1 HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n",
            &chunked,
            "HTTP/1.1 200",
            true,
        ),
        (
            "SOURCE /m2 HTTP/1.0\r\nContent-Length: 0\r\n",
            &plain,
            "HTTP/1.0 200",
            false,
        ),
        ("SOURCE /m3 ICE/1.0\r\n", &plain, "HTTP/1.0 200", false),
        (
            "SOURCE /m4 HTTP/1.1\r\nHost: t\r\n",
            &plain,
            "HTTP/1.1 200",
            false,
        ),
    ];
    on_each(|node| {
        for (index, (head, body, ok, whole)) in cases.iter().enumerate() {
            let mut source = node.connect();
            let head = format!("{head}{AUTH}{OPAQUE}ice-name: N\r\n\r\n");
            let (start, rest) = body.split_at(10);
            source
                .write_all(&[head.as_bytes(), start].concat())
                .expect("the node reads");
            node.wait_until("the source feeds", |node| sources(node) == 1);
            let mut listener = listen(node, &format!("/m{index}"));
            source.write_all(rest).expect("the node reads");
            let mut heard = vec![0; 1_000];
            listener.read_exact(&mut heard).expect("all of it");
            assert!(heard == plain, "{head}");
            let answer = if *whole {
                read_to_end(&mut source)
            } else {
                read_head(&mut source)
            };
            assert!(answer.starts_with(ok), "{head}: {answer}");
            assert!(!answer.contains("100 Continue"), "nobody asked for it");
            drop(source);
            node.wait_until("the source is gone", |node| sources(node) == 0);
            assert_eq!(read_to_end(&mut listener), "");
        }
    });
}

fn sources(node: &Node) -> i64 {
    node.probes.iter().map(|probe| probe.sources.level()).sum()
}

#[test]
fn sources_without_a_right_are_told_why() {
    on_each(|node| {
        let _live = publish(node, "/used");
        let wrong = "Authorization: Basic c291cmNlOnNwYW0=\r\n";
        for (head, status) in [
            (
                format!("SOURCE /m HTTP/1.0\r\nContent-Length: 0\r\n{OPAQUE}"),
                "401 Unauthorized",
            ),
            (format!("PUT /m HTTP/1.0\r\n{wrong}"), "401 Unauthorized"),
            (format!("PUT /used HTTP/1.0\r\n{AUTH}"), "409 Conflict"),
            (format!("SOURCE /api/m HTTP/1.0\r\n{AUTH}"), "403 Forbidden"),
            (format!("SOURCE / HTTP/1.0\r\n{AUTH}"), "403 Forbidden"),
            (format!("PUT /a//b HTTP/1.0\r\n{AUTH}"), "400 Bad Request"),
        ] {
            // A source that sends at once must still get to read the answer.
            let mut bytes = format!("{head}\r\n").into_bytes();
            bytes.extend(pattern(0, 50_000));
            let answer = node.exchange(&bytes);
            assert!(
                answer.starts_with(&format!("HTTP/1.0 {status}\r\n")),
                "{head}: {answer}"
            );
            let asks = answer.contains("\r\nWWW-Authenticate: Basic realm=\"corecast\"\r\n");
            assert_eq!(asks, status.starts_with("401"));
        }
        assert_eq!(node.seats.sources.taken(), 1);
    });
}

#[test]
fn listeners_that_cannot_be_served_are_told_why() {
    on_each(|node| {
        let keep = "Host: t\r\nConnection: keep-alive\r\n\r\n";
        let one = format!("GET /none HTTP/1.1\r\n{keep}");
        let two = "HEAD /none HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n";
        let answer = node.exchange(format!("{one}{two}").as_bytes());
        assert_eq!(
            answer.matches("HTTP/1.1 404 Not Found\r\n").count(),
            2,
            "{answer}"
        );
        node.seats.listeners.set_max(1);
        let mut source = publish(node, "/live");
        source.write_all(b"something").expect("the node reads");
        let _seated = listen(node, "/live");
        let answer = node.exchange(b"GET /live HTTP/1.0\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.0 503 "), "{answer}");
        assert!(answer.contains("\r\nRetry-After: "), "{answer}");
    });
}

#[test]
fn a_listeners_head_says_what_was_asked() {
    on_each(|node| {
        let mut source = publish(node, "/live");
        source.write_all(b"something").expect("the node reads");
        let head = node.exchange(b"HEAD /live HTTP/1.1\r\nHost: t\r\nRange: bytes=0-\r\n\r\n");
        assert!(
            head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"),
            "{head}"
        );
        assert!(
            head.contains("\r\nAccess-Control-Allow-Origin: *\r\n"),
            "{head}"
        );
        node.wait_until("HEAD takes no seat", |node| {
            node.seats.listeners.taken() == 0
        });
        let mut listener = node.connect();
        listener
            .write_all(b"GET /live HTTP/1.1\r\nHost: t\r\nIcy-MetaData: 1\r\n\r\n")
            .expect("the node reads");
        let head = read_head(&mut listener);
        assert!(head.contains("\r\nicy-metaint: 16000\r\n"), "{head}");
    });
}

#[test]
fn a_silent_source_is_given_up() {
    on_each(|node| {
        let mut source = publish(node, "/live");
        let started = Instant::now();
        assert_eq!(read_to_end(&mut source), "");
        assert!(started.elapsed() >= Duration::from_millis(900));
        let ended = std::iter::from_fn(|| node.seen.recv_timeout(Duration::from_secs(5)).ok())
            .find_map(|seen| match seen {
                Seen::Event(Event::SourceEnded { reason, .. }) => Some(reason),
                _ => None,
            });
        assert_eq!(ended, Some(EndReason::Timeout));
    });
}

#[test]
fn draining_ends_sessions_and_then_the_shards() {
    on_each(|node| {
        let mut source = publish(node, "/live");
        source.write_all(b"something").expect("the node reads");
        let mut listener = listen(node, "/live");
        node.order(FromControl::Drain(Duration::from_secs(5)));
        node.drain(Duration::from_secs(5));
        let mut rest = Vec::new();
        listener.read_to_end(&mut rest).expect("an orderly end");
        assert!(b"something".ends_with(&rest));
        let mut byte = [0];
        let end = source.read(&mut byte);
        let reset = |error: &std::io::Error| error.kind() == ErrorKind::ConnectionReset;
        let ended = matches!(end, Ok(0)) || end.as_ref().is_err_and(reset);
        assert!(ended, "{end:?}");
        assert_eq!(node.seats.sources.taken(), 0);
    });
}

#[test]
fn a_source_that_never_stops_hears_that_the_node_drains() {
    on_each(|node| {
        let mut source = node.connect();
        let lines = format!("Host: test\r\n{AUTH}{OPAQUE}Transfer-Encoding: chunked\r\n");
        let head = format!("PUT /live HTTP/1.1\r\n{lines}Expect: 100-continue\r\n\r\n");
        source.write_all(head.as_bytes()).expect("the node reads");
        read_head(&mut source);
        let stopped = Arc::new(AtomicBool::new(false));
        let (mut feeding, stop) = (source.try_clone().expect("a copy"), Arc::clone(&stopped));
        let feed = std::thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) && feeding.write_all(b"4\r\nmore\r\n").is_ok() {
                std::thread::park_timeout(Duration::from_micros(100));
            }
        });
        let hears = std::thread::spawn(move || {
            let head = read_head(&mut source);
            // What it has sent until it looks does not matter.
            std::thread::park_timeout(Duration::from_millis(100));
            stopped.store(true, Ordering::SeqCst);
            source.shutdown(Shutdown::Write)?;
            source.read_to_end(&mut Vec::new()).map(|_| head)
        });
        let (began, grace) = (Instant::now(), Duration::from_secs(60));
        node.drain(grace);
        assert!(began.elapsed() < grace / 3, "{:?}", began.elapsed());
        feed.join().expect("no panic");
        let heard = hears.join().expect("no panic");
        let heard = heard.expect("an end in good order");
        assert!(heard.starts_with("HTTP/1.1 503 "), "{heard}");
    });
}

#[test]
fn a_reload_changes_who_may_publish() {
    on_each(|node| {
        let mut config = config();
        config.auth.source_password = "eggs".into();
        node.order(FromControl::Reload(Arc::new(config)));
        let request = format!("PUT /m HTTP/1.0\r\n{AUTH}{OPAQUE}\r\n");
        node.wait_until("the old password is refused", |node| {
            node.exchange(request.as_bytes())
                .starts_with("HTTP/1.0 401 ")
        });
    });
}

#[test]
fn homes_of_the_mounts_here_are_not_all_one_shard() {
    // The tests above are about crossing shards only where this holds.
    let topology = Topology::new(3);
    let homes = ["/live", "/m", "/used"]
        .map(|name| topology.home(&MountName::parse(name).expect("a good name")));
    assert!(homes.iter().any(|home| *home != homes[0]), "{homes:?}");
}
