//! Lists of other servers, and the relays that follow from them.

use std::time::Duration;

use corecast_config::{Master, Relay};

use super::script::{Manner, Script};
use super::*;

/// Longer than a test: a list is fetched at the start, and after a reload of its master.
const RARELY: Duration = Duration::from_secs(3_600);

fn master(name: &str, script: &Script) -> Master {
    Master {
        name: name.to_owned(),
        url: script.url(""),
        password: "between us".to_owned(),
        interval: RARELY,
        ..Master::default()
    }
}

fn says(answer: &'static str) -> Script {
    Script::start(move |_| Manner::Says(answer))
}

impl Rig {
    /// Waits until the settings of the first shard have these relays from lists: mount and URL.
    fn wait_listed(&mut self, expected: &[(&str, String)]) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.pump(SessionId::new(ShardId(9), 0), &mut Answer::default());
            let last = self
                .heard
                .iter()
                .rev()
                .find_map(|(_, message)| match message {
                    FromControl::Reload(config) => Some(&config.relays_listed),
                    _ => None,
                });
            let pair = |relay: &Relay| (relay.mount.clone(), relay.url.clone());
            let found: Vec<_> = last.into_iter().flatten().map(pair).collect();
            let expected = expected
                .iter()
                .map(|(mount, url)| ((*mount).to_owned(), url.clone()));
            if last.is_some() && found.iter().cloned().eq(expected) {
                return;
            }
            assert!(Instant::now() < deadline, "{found:?}");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn of_several_masters_the_first_has_a_mount_and_settings_have_it_before_all() {
    let one = says("HTTP/1.0 200 OK\r\n\r\n/a\n/b\n/own\n");
    let two = says("HTTP/1.0 200 OK\r\n\r\n/b\n/c\n");
    let mut config = config();
    config.masters = vec![master("one", &one), master("two", &two)];
    config.relays = vec![Relay {
        mount: "/own".to_owned(),
        url: "http://elsewhere.example/own".to_owned(),
        ..Relay::default()
    }];
    let mut rig = Rig::new(1, config.clone());
    let all = [
        ("/a", one.url("/a")),
        ("/b", one.url("/b")),
        ("/c", two.url("/c")),
    ];
    rig.wait_listed(&all);
    let asked = one.call().head;
    assert!(
        asked.starts_with("GET /admin/streamlist.txt HTTP/1.1\r\n"),
        "{asked}"
    );

    // What was listed holds: neither is asked again.
    config.masters.remove(0);
    rig.handle.reload(Arc::new(config.clone()));
    rig.wait_listed(&[("/b", two.url("/b")), ("/c", two.url("/c"))]);
    config.relays.clear();
    config.masters.insert(0, master("one", &one));
    rig.handle.reload(Arc::new(config));
    let own = [&all[..2], &[("/own", one.url("/own"))], &all[2..]].concat();
    rig.wait_listed(&own);
}

#[test]
fn a_master_with_another_manner_keeps_its_mounts_and_one_elsewhere_does_not() {
    let script = Script::start(|call| match call.head.contains("YWdhaW4=") {
        // Base64 of what the new password ends with.
        true => Manner::Hangs,
        false => Manner::Says("HTTP/1.0 200 OK\r\n\r\n/a\n"),
    });
    let silent = Script::start(|_| Manner::Hangs);
    let mut config = config();
    config.masters = vec![master("main", &script)];
    let mut rig = Rig::new(1, config.clone());
    let listed = [("/a", script.url("/a"))];
    rig.wait_listed(&listed);
    config.masters[0].password = "!between us again".to_owned();
    rig.heard.clear();
    rig.handle.reload(Arc::new(config.clone()));
    rig.wait_listed(&listed);
    config.masters[0].url = silent.url("");
    rig.handle.reload(Arc::new(config));
    rig.wait_listed(&[]);
}

#[test]
fn the_status_of_a_master_without_a_password_is_read_for_its_mounts() {
    let script = says(concat!(
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"icestats\":{\"source\":[",
        "{\"listenurl\":\"http://x.example:1/a%20b\"},{\"listenurl\":\"http://x/admin/c\"}]}}"
    ));
    let mut config = config();
    config.masters = vec![Master {
        password: String::new(),
        ..master("main", &script)
    }];
    let mut rig = Rig::new(1, config);
    rig.wait_listed(&[("/a b", script.url("/a%20b"))]);
    let asked = script.call().head;
    assert!(
        asked.starts_with("GET /status-json.xsl HTTP/1.1\r\n"),
        "{asked}"
    );
    assert!(!asked.to_lowercase().contains("authorization"), "{asked}");
}

#[test]
fn a_node_is_not_told_of_what_we_take_from_it() {
    let answer = "HTTP/1.0 200 OK\r\ncorecast-node: theirs\r\n\r\n/a.mp3\n";
    let script = says(answer);
    let mut config = config();
    config.masters = vec![master("main", &script)];
    let mut rig = Rig::new(1, config)
        .with_mount(report("/a.mp3"))
        .with_mount(report("/b.mp3"));
    rig.wait_listed(&[("/a.mp3", script.url("/a.mp3"))]);
    for (node, list) in [
        ("theirs", "/b.mp3\n"),
        ("others", "/a.mp3\n/b.mp3\n"),
        ("", "/a.mp3\n/b.mp3\n"),
    ] {
        let admin = format!(
            "Basic {}",
            base64::prelude::BASE64_STANDARD.encode("admin:adm")
        );
        let headers = [("authorization", admin.as_str()), ("corecast-node", node)];
        let answer = rig.ask(Ask {
            target: "/admin/streamlist.txt",
            headers: &headers,
            ..Ask::default()
        });
        assert_eq!(answer.text(), list, "{node}");
        assert!(
            answer
                .header("corecast-node")
                .is_some_and(|ours| ours.len() == 16)
        );
        let answer = rig.ask(Ask {
            target: "/status-json.xsl",
            headers: &headers[1..],
            ..Ask::default()
        });
        let told = answer.text().contains("/a.mp3");
        assert_eq!(told, list.contains("/a.mp3"), "{node}: {}", answer.text());
    }
}
