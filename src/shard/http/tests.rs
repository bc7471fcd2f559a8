use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use corecast_mesh::message::Event;
use rustls::{ClientConnection, StreamOwned};

use crate::probe::RequestKind;
use crate::testing::{BACKENDS, Node, Seen, config, read_head, read_to_end, self_signed};

const HOST: &str = "Host: test\r\n";

/// The same for every engine.
fn on_each(test: impl Fn(&Node)) {
    for backend in BACKENDS {
        test(&Node::start(backend, 1, config()));
    }
}

fn status_of(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("none")
}

#[test]
fn a_head_may_come_byte_by_byte() {
    on_each(|node| {
        let mut stream = node.connect();
        for byte in format!("GET /health HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n").bytes() {
            stream.write_all(&[byte]).expect("the node reads");
            std::thread::park_timeout(Duration::from_micros(200));
        }
        let answer = read_to_end(&mut stream);
        assert_eq!(status_of(&answer), "200");
        assert!(answer.ends_with("\r\n\r\nGET /health "), "{answer}");
        assert!(answer.contains("\r\nx-test: yes\r\n") && answer.contains("\r\nDate: "));
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    on_each(|node| {
        let one = format!("GET /health HTTP/1.1\r\n{HOST}\r\n");
        let two = format!("POST /api/echo HTTP/1.1\r\n{HOST}Content-Length: 4\r\n\r\nbody");
        let chunked = "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
        let three = format!("POST /api/echo3 HTTP/1.1\r\n{HOST}{chunked}");
        let last = format!("GET /nothing HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n");
        let answer = node.exchange(format!("{one}{two}{three}{last}").as_bytes());
        let places: Vec<_> = [
            "GET /health ",
            "POST /api/echo body",
            "POST /api/echo3 abcde",
        ]
        .iter()
        .map(|part| answer.find(part))
        .collect();
        assert!(
            places.iter().all(Option::is_some) && places.is_sorted(),
            "{answer}"
        );
        assert_eq!(answer.matches("HTTP/1.1 200 OK\r\n").count(), 3, "{answer}");
        assert!(answer.contains("HTTP/1.1 404 "), "{answer}");
    });
}

#[test]
fn what_can_be_read_in_two_ways_is_refused_and_closed() {
    let second = format!("GET /second HTTP/1.1\r\n{HOST}\r\n");
    let cases = [
        format!(
            "POST /api/a HTTP/1.1\r\n{HOST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
        ),
        format!("POST /api/a HTTP/1.1\r\n{HOST}Content-Length: 4\r\nContent-Length: 5\r\n\r\n"),
        format!("POST /api/a HTTP/1.1\r\n{HOST}Content-Length: +4\r\n\r\n"),
        format!("GET / HTTP/1.1\n{HOST}\r\n"),
        format!("GET / HTTP/1.1\r\n{HOST}X: a\r\n b\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{HOST}X: \0\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{HOST}{HOST}\r\n"),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "GET /a b HTTP/1.1\r\n\r\n".to_owned(),
        "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".to_owned(),
        format!("POST /api/a HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
    ];
    on_each(|node| {
        for case in &cases {
            let answer = node.exchange(format!("{case}{second}").as_bytes());
            assert_eq!(status_of(&answer), "400", "{case:?}: {answer}");
            assert!(answer.contains("Connection: close") && !answer.contains("second"));
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{case:?}: {answer}");
        }
    });
}

#[test]
fn heads_and_bodies_have_their_limits() {
    let long = "x".repeat(10_000);
    let many = "X: y\r\n".repeat(100);
    let cases = [
        (format!("GET / HTTP/1.1\r\n{HOST}X: {long}\r\n\r\n"), "431"),
        (format!("GET / HTTP/1.1\r\n{HOST}{many}\r\n"), "431"),
        (format!("GET /{long} HTTP/1.1\r\n{HOST}\r\n"), "414"),
        (
            format!("POST /api/a HTTP/1.1\r\n{HOST}Content-Length: 65537\r\n\r\n"),
            "413",
        ),
        (format!("PUT /api/a HTTP/1.1\r\n{HOST}\r\n"), "411"),
        (format!("BREW /coffee HTTP/1.1\r\n{HOST}\r\n"), "501"),
        (format!("GET / HTTP/2.0\r\n{HOST}\r\n"), "505"),
    ];
    on_each(|node| {
        for (case, expected) in &cases {
            let answer = node.exchange(case.as_bytes());
            assert_eq!(status_of(&answer), *expected, "{answer}");
        }
        let chunk = format!("8000\r\n{}\r\n", "x".repeat(0x8000));
        let head = format!("POST /api/a HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n");
        let answer = node.exchange(format!("{head}{chunk}{chunk}{chunk}").as_bytes());
        assert_eq!(status_of(&answer), "413", "{answer}");
    });
}

#[test]
fn slow_heads_are_told_and_silent_peers_are_dropped() {
    on_each(|node| {
        let (mut slow, mut silent) = (node.connect(), node.connect());
        let started = Instant::now();
        slow.write_all(b"GET /health HTTP/1.1\r\nHost: te")
            .expect("the node reads");
        let answer = read_to_end(&mut slow);
        assert_eq!(status_of(&answer), "408", "{answer}");
        assert_eq!(read_to_end(&mut silent), "");
        assert!(started.elapsed() >= Duration::from_millis(500));
        node.wait_until("all seats are free", |node| {
            node.seats.connections.taken() == 0
        });
    });
}

#[test]
fn a_body_is_asked_for_where_the_peer_waits() {
    on_each(|node| {
        let mut stream = node.connect();
        let lines = "Content-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n";
        let head = format!("POST /api/a HTTP/1.1\r\n{HOST}{lines}");
        stream.write_all(head.as_bytes()).expect("the node reads");
        assert_eq!(read_head(&mut stream), "HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(b"body").expect("the node reads");
        assert!(read_to_end(&mut stream).ends_with("\r\n\r\nPOST /api/a body"));
    });
}

#[test]
fn answers_are_framed_as_the_peer_can_read_them() {
    on_each(|node| {
        let chunked = node.exchange(
            format!("GET /api/open HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n").as_bytes(),
        );
        assert!(
            chunked.contains("\r\nTransfer-Encoding: chunked\r\n"),
            "{chunked}"
        );
        assert!(
            chunked.ends_with("\r\n\r\ne\r\nGET /api/open \r\n0\r\n\r\n"),
            "{chunked}"
        );
        let closed = node.exchange(b"GET /api/open HTTP/1.0\r\n\r\n");
        assert!(closed.starts_with("HTTP/1.0 200 OK\r\n"), "{closed}");
        assert!(closed.ends_with("\r\n\r\nGET /api/open ") && !closed.contains("chunked"));
        let head = node.exchange(b"HEAD /api/head HTTP/1.0\r\n\r\n");
        assert!(
            head.contains("\r\nContent-Length: 15\r\n") && head.ends_with("\r\n\r\n"),
            "{head}"
        );
        let kept = node.exchange(
            b"GET /api/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /api/b HTTP/1.0\r\n\r\n",
        );
        assert_eq!(kept.matches("HTTP/1.0 200 OK\r\n").count(), 2, "{kept}");
    });
}

#[test]
fn a_big_answer_flows_by_credit_and_a_short_one_is_cut() {
    on_each(|node| {
        let mut stream = node.connect();
        stream
            .write_all(b"GET /api/big HTTP/1.0\r\n\r\n")
            .expect("the node reads");
        let answer = read_to_end(&mut stream);
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert_eq!(body.len(), 40 * 64 * 1024);
        let short = node.exchange(format!("GET /api/short HTTP/1.1\r\n{HOST}\r\n").as_bytes());
        assert!(
            short.contains("Content-Length: 1000") && short.ends_with("too little"),
            "{short}"
        );
    });
}

#[test]
fn control_hears_of_a_requester_that_went() {
    on_each(|node| {
        let mut stream = node.connect();
        let request = format!("GET /api/endless HTTP/1.1\r\n{HOST}\r\n");
        stream
            .write_all(request.as_bytes())
            .expect("the node reads");
        stream
            .read_exact(&mut [0; 4_096])
            .expect("an endless answer");
        drop(stream);
        node.wait_until("control is told", |node| {
            node.seen
                .try_iter()
                .any(|seen| matches!(seen, Seen::RequestEnded))
        });
        node.wait_until("its seat is free", |node| {
            node.seats.connections.taken() == 0
        });
    });
}

#[test]
fn silent_control_is_reported_and_blocks_nobody() {
    on_each(|node| {
        let mut waiting = node.connect();
        waiting
            .write_all(format!("GET /api/silent HTTP/1.1\r\n{HOST}\r\n").as_bytes())
            .expect("the node reads");
        let other = node.exchange(b"GET /api/other HTTP/1.0\r\n\r\n");
        assert_eq!(status_of(&other), "200");
        let answer = read_head(&mut waiting);
        assert_eq!(status_of(&answer), "504", "{answer}");
        assert_eq!(node.probes[0].control_late.total(), 1);
    });
}

#[test]
fn a_peer_that_is_done_sending_still_gets_its_answer() {
    on_each(|node| {
        let mut stream = node.connect();
        stream
            .write_all(b"GET /api/big HTTP/1.0\r\n\r\n")
            .expect("the node reads");
        stream.shutdown(Shutdown::Write).expect("connected");
        assert!(read_to_end(&mut stream).len() > 40 * 64 * 1024);
    });
}

#[test]
fn connections_over_the_limit_are_told_to_come_again() {
    for backend in BACKENDS {
        let mut config = config();
        config.limits.connections_max = 2;
        let node = Node::start(backend, 1, config);
        let held = [node.connect(), node.connect()];
        node.wait_until("both are seated", |node| {
            node.seats.connections.taken() == 2
        });
        let answer = node.exchange(b"GET /health HTTP/1.0\r\n\r\n");
        assert_eq!(status_of(&answer), "503", "{answer}");
        assert!(answer.contains("\r\nRetry-After: "));
        drop(held);
        node.wait_until("both are gone", |node| node.seats.connections.taken() == 0);
        assert_eq!(
            status_of(&node.exchange(b"GET /health HTTP/1.0\r\n\r\n")),
            "200"
        );
    }
}

#[test]
fn a_connection_that_is_idle_ends_with_a_word_over_tls() {
    for backend in BACKENDS {
        let (credentials, client) = self_signed();
        let node = Node::start_with(backend, 1, config(), Vec::new(), Some(credentials));
        let name = "localhost".try_into().expect("a name");
        let client = ClientConnection::new(client, name).expect("a client");
        let mut stream = StreamOwned::new(client, Node::connect_to(node.https));
        let request = format!("GET /health HTTP/1.1\r\n{HOST}\r\n");
        stream.write_all(request.as_bytes()).expect("it is open");
        let mut all = String::new();
        // An end that nobody announced would be an error.
        stream.read_to_string(&mut all).expect("an orderly end");
        assert!(all.ends_with("GET /health "), "{all}");
        assert!(all.contains("Connection: keep-alive\r\n"), "{all}");
    }
}

#[test]
fn a_peer_that_never_waits_keeps_nobody_waiting() {
    on_each(|node| {
        let many = format!("OPTIONS /live HTTP/1.1\r\n{HOST}\r\n").repeat(2_000);
        let flooding = node.connect();
        let mut requests = flooding.try_clone().expect("a descriptor is left");
        let mut answers = flooding.try_clone().expect("a descriptor is left");
        let writes =
            std::thread::spawn(move || while requests.write_all(many.as_bytes()).is_ok() {});
        let reads = std::thread::spawn(move || {
            let (mut buf, mut came) = (vec![0; 1 << 20], 0);
            while let Ok(n @ 1..) = answers.read(&mut buf) {
                came += n;
            }
            came
        });
        let answered = node.probes[0].requests.at(RequestKind::Control as usize);
        node.wait_until("the flood is on", |_| answered.total() > 5_000);
        for _ in 0..10 {
            let before = answered.total();
            let answer = node.exchange(b"GET /health HTTP/1.0\r\n\r\n");
            assert_eq!(status_of(&answer), "200", "{answer}");
            node.wait_until("the flood goes on", |_| answered.total() > before + 1);
        }
        flooding.shutdown(Shutdown::Both).expect("it is open");
        writes.join().expect("no panic");
        assert!(reads.join().expect("no panic") > 0);
    });
}

#[test]
fn what_a_proxy_sends_is_not_laid_at_the_door_of_who_came_before() {
    for backend in BACKENDS {
        let mut config = config();
        config.limits.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
        let node = Node::start(backend, 1, config);
        let good = format!("GET /api/a HTTP/1.1\r\n{HOST}X-Forwarded-For: 198.51.100.1\r\n\r\n");
        let answer = node.exchange(format!("{good}GET / b\r\n\r\n").as_bytes());
        assert!(answer.contains(" 400 "), "{answer}");
        let deadline = Duration::from_secs(5);
        let lines = std::iter::from_fn(|| node.seen.recv_timeout(deadline).ok());
        let lines = lines.filter_map(|seen| match seen {
            Seen::Event(Event::Access(record)) => Some((record.status, record.peer.ip())),
            _ => None,
        });
        let lines: Vec<_> = lines.take(2).collect();
        let from = |ip: [u8; 4]| std::net::IpAddr::from(ip);
        let expected = [(200, from([198, 51, 100, 1])), (400, from([127, 0, 0, 1]))];
        assert_eq!(lines, expected);
    }
}

#[test]
fn every_request_has_its_line_in_the_access_log() {
    on_each(|node| {
        let request = "GET /api/a?b HTTP/1.0\r\nUser-Agent: tester\r\nReferer: here\r\n\r\n";
        node.exchange(request.as_bytes());
        let deadline = Duration::from_secs(5);
        let record = std::iter::from_fn(|| node.seen.recv_timeout(deadline).ok()).find_map(
            |seen| match seen {
                Seen::Event(Event::Access(record)) => Some(record),
                _ => None,
            },
        );
        let record = record.expect("a line");
        assert_eq!(&*record.request, "GET /api/a?b HTTP/1.0");
        assert_eq!((&*record.user_agent, &*record.referer), ("tester", "here"));
        assert_eq!((record.status, record.bytes > 50), (200, true));
    });
}
