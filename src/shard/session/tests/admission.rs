use std::io::{Read, Write};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use corecast_config::{Config, Mount};
use corecast_mesh::message::Event;

use super::{OPAQUE, listen, publish};
use crate::testing::{BACKENDS, Node, Seen, config, read_head, read_to_end};

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
    config.mounts.push("/live".to_owned(), mount);
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
        let mount = config.mounts.get_mut("/live").expect("it is there");
        mount.hook_failure_allows = true;
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

fn limited() -> Config {
    let mut config = config();
    config.limits.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    config.limits.deny_ips = vec!["203.0.113.0/24".parse().expect("a network")];
    config.limits.deny_agents = vec!["badbot".into()];
    let mut mount = config.mount_defaults.clone();
    mount.allow_ips = vec!["198.51.100.0/24".parse().expect("a network")];
    mount.deny_ips = vec!["198.51.100.7".parse().expect("an address")];
    mount.deny_agents = vec!["VLC*".into()];
    config.mounts.push("/live".to_owned(), mount);
    config
}

#[test]
fn lists_of_addresses_and_agents_keep_out_whom_they_name() {
    on_each(limited, |node| {
        let mut source = publish(node, "/live");
        let mut free = publish(node, "/free");
        for source in [&mut source, &mut free] {
            source.write_all(b"something").expect("the node reads");
        }
        for (path, from, agent, status) in [
            ("/live", "198.51.100.1", "mpv", 200),
            ("/live", "198.51.100.7", "mpv", 403),
            ("/live", "192.0.2.1", "mpv", 403),
            ("/live", "198.51.100.1", "vlc/3.0", 403),
            ("/live", "198.51.100.1", "not VLC", 200),
            ("/free", "192.0.2.1", "VLC", 200),
            ("/free", "203.0.113.9", "mpv", 403),
            ("/api/v1/server", "203.0.113.9", "mpv", 403),
            ("/free", "192.0.2.1", "a BadBot/1", 403),
            ("/none", "192.0.2.1", "mpv", 404),
        ] {
            let lines = format!("X-Forwarded-For: {from}\r\nUser-Agent: {agent}\r\n");
            let head = get(node, path, &lines);
            let expected = format!("HTTP/1.0 {status} ");
            assert!(head.starts_with(&expected), "{path} {from} {agent}: {head}");
        }
        let mut named: Vec<IpAddr> = ["198.51.100.7", "192.0.2.1", "203.0.113.9"]
            .map(|ip| ip.parse().expect("an address"))
            .into();
        node.wait_until("logs to name each client", |node| {
            let told = std::iter::from_fn(|| node.seen.try_recv().ok());
            for seen in told {
                if let Seen::Event(Event::Access(record)) = seen
                    && record.status == 403
                {
                    named.retain(|ip| *ip != record.peer.ip());
                }
            }
            named.is_empty()
        });
    });
}

#[test]
fn a_guesser_is_locked_out_of_what_it_tried_and_nobody_else() {
    let trusting = || {
        let mut config = config();
        config.limits.trusted_proxies = vec!["127.0.0.1".parse().expect("an address")];
        config.limits.auth_failures_max = 3;
        config.limits.auth_lockout = Duration::from_secs(1);
        config
    };
    on_each(trusting, |node| {
        let put = |from: &str, lines: &str| {
            let lines = format!("X-Real-IP: {from}\r\n{lines}{OPAQUE}");
            node.exchange(format!("PUT /live HTTP/1.0\r\n{lines}\r\n").as_bytes())
        };
        let (guesser, other) = ("192.0.2.1", "192.0.2.2");
        for _ in 0..5 {
            let first_try = put(guesser, "");
            assert!(first_try.starts_with("HTTP/1.0 401 "), "{first_try}");
        }
        for _ in 0..3 {
            let wrong = put(guesser, &login("source", "spam"));
            assert!(wrong.starts_with("HTTP/1.0 401 "), "{wrong}");
        }
        let locked = put(guesser, &login("source", "ham"));
        assert!(locked.starts_with("HTTP/1.0 429 "), "{locked}");
        assert!(locked.contains("\r\nRetry-After: 1\r\n"), "{locked}");
        let elsewhere = get(node, "/api/x", &format!("X-Real-IP: {guesser}\r\n{BASIC}"));
        assert!(
            elsewhere.starts_with("HTTP/1.0 200 "),
            "another surface: {elsewhere}"
        );
        let wrong = put(other, &login("source", "spam"));
        assert!(
            wrong.starts_with("HTTP/1.0 401 "),
            "another address: {wrong}"
        );
        node.wait_until("the guesser may try again", |_| {
            let again = put(guesser, &login("source", "spam"));
            again.starts_with("HTTP/1.0 401 ")
        });
    });
}

const BASIC: &str = "Authorization: Basic c291cmNlOnNwYW0=\r\n";

#[test]
fn wrong_passwords_for_controls_pages_lock_out_too() {
    on_each(config, |node| {
        for _ in 0..5 {
            let wrong = get(node, "/api/denied", BASIC);
            assert!(wrong.starts_with("HTTP/1.0 401 "), "{wrong}");
        }
        let locked = get(node, "/api/denied", BASIC);
        assert!(locked.starts_with("HTTP/1.0 429 "), "{locked}");
        let open = get(node, "/api/open", "");
        assert!(
            open.starts_with("HTTP/1.0 200 "),
            "who brings no password: {open}"
        );
    });
}

#[test]
fn a_full_mount_sends_listeners_on() {
    let small = || {
        with_mount(|mount| {
            mount.listeners_max = 1;
            mount.redirect_full = "https://two.example/radio/".into();
        })
    };
    on_each(small, |node| {
        let mut source = publish(node, "/live");
        source.write_all(b"something").expect("the node reads");
        let _seated = listen(node, "/live");
        let head = get(node, "/live?a=b", "");
        assert!(head.starts_with("HTTP/1.0 302 Found\r\n"), "{head}");
        let location = "\r\nLocation: https://two.example/radio/live?a=b\r\n";
        assert!(head.contains(location), "{head}");
    });
}

#[test]
fn shoutcast_sources_of_old_come_in_by_their_own_door() {
    on_each(config, |node| {
        let say = |text: &str| {
            let mut source = Node::connect_to(node.shoutcast);
            source.write_all(text.as_bytes()).expect("the node reads");
            source
        };
        let mut wrong = say("spam\r\n");
        assert_eq!(read_to_end(&mut wrong), "invalid password\r\n");
        let mut source = say("ham\n");
        assert_eq!(read_head(&mut source), "OK2\r\nicy-caps:11\r\n\r\n");
        let lines = "icy-name:N\r\nicy-genre:G\r\nicy-pub:0\r\nicy-br:64\r\n\
                     content-type:application/x-test\r\nbad line\r\nX-Other: 1\r\n\r\nfirst";
        source.write_all(lines.as_bytes()).expect("the node reads");
        node.wait_until("it feeds its mount", |node| node.seats.sources.taken() == 1);
        let mut listener = listen(node, "/stream");
        source.write_all(b"second").expect("the node reads");
        let mut heard = [0; 6];
        while &heard != b"second" {
            heard.rotate_left(1);
            listener.read_exact(&mut heard[5..]).expect("all of it");
        }
        let mut late = say("ham\r\n");
        assert_eq!(read_head(&mut late), "OK2\r\nicy-caps:11\r\n\r\n");
        late.write_all(b"icy-name:M\r\n\r\n")
            .expect("the node reads");
        assert_eq!(read_to_end(&mut late), "", "the mount is in use");
        drop(source);
        node.wait_until("it is gone", |node| node.seats.sources.taken() == 0);
    });
}

#[test]
fn a_shoutcast_door_holds_out_against_noise() {
    on_each(config, |node| {
        for noise in [
            "x".repeat(10_000),
            "GET / HTTP/1.1\r\n\r\n".to_owned(),
            format!("ham\r\n{}", "icy-name:x\r\n".repeat(2_000)),
            format!("ham\r\nicy-name:\u{1}\r\n\r\n{}", "x".repeat(100)),
            "\n".to_owned(),
        ] {
            let mut peer = Node::connect_to(node.shoutcast);
            let _ = peer.write_all(noise.as_bytes());
            let mut all = Vec::new();
            let _ = peer.read_to_end(&mut all);
        }
        node.wait_until("nothing is left of it", |node| {
            node.seats.connections.taken() == 0 && node.seats.sources.taken() == 0
        });
    });
}
