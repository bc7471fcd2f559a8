use std::io::{Read, Write};
use std::time::{Duration, Instant};

use corecast_config::{Config, Mount};

use crate::session::tests::{OPAQUE, listen, publish};
use crate::testing::{BACKENDS, Node, config, read_head, read_to_end};

/// The same for every engine.
fn on_each(config: impl Fn() -> Config, test: impl Fn(&mut Node)) {
    for backend in BACKENDS {
        test(&mut Node::start(backend, 2, config()));
    }
}

/// The mount `/live` with settings of its own.
fn with_mount(change: impl Fn(&mut Mount)) -> Config {
    let mut config = config();
    let mut mount = config.mount_defaults.clone();
    change(&mut mount);
    config.mounts.push(("/live".to_owned(), mount));
    config
}

fn login(user: &str, password: &str) -> String {
    format!("ice-username: {user}\r\nice-password: {password}\r\n")
}

fn get(node: &Node, path: &str, lines: &str) -> String {
    let mut peer = node.connect();
    let head = format!("GET {path} HTTP/1.0\r\n{lines}\r\n");
    peer.write_all(head.as_bytes()).expect("the node reads");
    read_head(&mut peer)
}

fn hooked() -> Config {
    with_mount(|mount| {
        mount.hook_listener_add = "http://127.0.0.1:1/".into();
        mount.hook_stream_auth = "http://127.0.0.1:1/".into();
        mount.hook_timeout = Duration::from_millis(200);
    })
}

#[test]
fn listeners_of_a_guarded_mount_come_in_by_controls_leave_alone() {
    on_each(hooked, |node| {
        let mut source = publish(node, "/live");
        source.write_all(b"something").expect("the node reads");
        let refused = get(node, "/live", "");
        assert!(refused.starts_with("HTTP/1.0 401 "), "{refused}");
        assert!(
            refused.contains("\r\nWWW-Authenticate: Basic "),
            "{refused}"
        );
        let came = get(node, "/live", &login("guest", "come"));
        assert!(came.starts_with("HTTP/1.0 200 "), "{came}");
        let head = node.exchange(b"HEAD /live HTTP/1.0\r\n\r\n");
        assert!(head.starts_with("HTTP/1.0 200 "), "{head}");

        let mut short = node.connect();
        let lines = login("guest", "come-shortly");
        let request = format!("GET /live HTTP/1.0\r\n{lines}\r\n");
        let began = Instant::now();
        short.write_all(request.as_bytes()).expect("the node reads");
        source.write_all(b"more").expect("the node reads");
        let mut all = Vec::new();
        std::thread::scope(|scope| {
            let playing = scope.spawn(|| {
                while began.elapsed() < Duration::from_millis(900) {
                    let _ = source.write_all(b"and more");
                    std::thread::park_timeout(Duration::from_millis(20));
                }
            });
            short.read_to_end(&mut all).expect("an orderly end");
            playing.join().expect("it only writes");
        });
        assert!(all.starts_with(b"HTTP/1.0 200 "));
        assert!(began.elapsed() >= Duration::from_millis(300));
    });
}

#[test]
fn control_that_does_not_answer_delays_one_listener_alone() {
    on_each(hooked, |node| {
        let mut source = publish(node, "/live");
        let mut free = publish(node, "/free");
        for source in [&mut source, &mut free] {
            source.write_all(b"something").expect("the node reads");
        }
        let began = Instant::now();
        let mut waiting = node.connect();
        let request = format!("GET /live HTTP/1.0\r\n{}\r\n", login("guest", "wait"));
        waiting
            .write_all(request.as_bytes())
            .expect("the node reads");
        for _ in 0..10 {
            let _listener = listen(node, "/free");
        }
        assert!(
            began.elapsed() < Duration::from_millis(1_100),
            "nobody else waits"
        );
        let refused = read_to_end(&mut waiting);
        assert!(refused.starts_with("HTTP/1.0 503 "), "{refused}");
        assert!(began.elapsed() >= Duration::from_millis(1_200));
        node.wait_until("its seat is free", |node| node.seats.listeners.taken() == 0);
    });
}

#[test]
fn a_hook_that_fails_may_be_told_to_let_in() {
    let lenient = || {
        let mut config = hooked();
        config.mounts[0].1.hook_failure_allows = true;
        config
    };
    on_each(lenient, |node| {
        let mut source = publish(node, "/live");
        source.write_all(b"something").expect("the node reads");
        let came = get(node, "/live", &login("guest", "wait"));
        assert!(came.starts_with("HTTP/1.0 200 "), "{came}");
    });
}

#[test]
fn a_source_with_a_foreign_password_comes_in_by_controls_leave() {
    on_each(hooked, |node| {
        let ask = |lines: &str| {
            let mut source = node.connect();
            let head = format!("PUT /live HTTP/1.0\r\n{lines}{OPAQUE}\r\n");
            source.write_all(head.as_bytes()).expect("the node reads");
            let head = read_head(&mut source);
            (source, head)
        };
        for (lines, status) in [
            (String::new(), "401"),
            (login("dj", "stay-out"), "401"),
            (login("dj", "come-shortly"), "200"),
        ] {
            let (mut source, head) = ask(&lines);
            assert!(head.starts_with(&format!("HTTP/1.0 {status} ")), "{head}");
            if status == "200" {
                let began = Instant::now();
                while source.write_all(b"something").is_ok() {
                    assert!(
                        began.elapsed() < Duration::from_secs(5),
                        "its time was over"
                    );
                    std::thread::park_timeout(Duration::from_millis(20));
                }
                assert!(began.elapsed() >= Duration::from_millis(250));
            }
        }
    });
}
