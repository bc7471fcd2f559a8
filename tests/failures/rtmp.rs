//! Clients of RTMP whose every word is allowed, but not so often, and names that are meant to lead
//! elsewhere: nothing stays of them, and no password is shown.

use std::fs;
use std::time::Duration;

use corecast_protocol::rtmp::{ClientEvent, MediaKind, Url};

use super::harness::server::SOURCE_PASSWORD;
use super::harness::{Backend, Scratch, Server, wait_for};
use super::peers;
use super::video::{assert_unhurt, first_tag, message, play, publisher, shown};
use crate::video::rtmp::{Publisher, Tag};

const SOON: Duration = Duration::from_secs(30);

/// How often each thing is done.
const TIMES: usize = 200;

/// A command without answers that matter: its name, and what stands behind its number.
fn command(name: &str, values: &[u8]) -> Vec<u8> {
    let length = (name.len() as u16).to_be_bytes();
    let number = [&[0][..], &5_f64.to_be_bytes()].concat();
    let body = [&[2][..], &length, name.as_bytes(), &number, &[5], values].concat();
    message(20, &body)
}

/// Fails unless nothing of those who came is there: `files` were open before.
fn assert_nothing_stays(server: &Server, files: usize) {
    wait_for("all of them are gone", SOON, || {
        let gauges = ["corecast_sources", "corecast_listeners"];
        let gone = gauges.iter().all(|gauge| server.metric(gauge, "") == 0.0);
        (gone && peers::open_files(server.pid()) <= files + 2).then_some(())
    });
    assert_unhurt(server);
}

#[test]
fn who_publishes_again_and_again_leaves_nothing() {
    let server = Server::start(Backend::IoUring, &["mount_defaults.source_timeout_ms=0"]);
    let files = peers::open_files(server.pid());
    let mut again = shown(&server, "/live/again");
    // On one connection: the stream is deleted, made anew, and fed once more.
    let Tag { body, .. } = first_tag();
    let one = [&[0][..], &1_f64.to_be_bytes()].concat();
    let name = format!("again?password={SOURCE_PASSWORD}");
    let length = (name.len() as u16).to_be_bytes();
    let name = [&[2][..], &length, name.as_bytes()].concat();
    let cycle = [
        command("deleteStream", &one),
        command("createStream", &[]),
        command("publish", &name),
        message(9, &body),
    ];
    let cycle = cycle.concat();
    for times in 1..=TIMES {
        std::io::Write::write_all(&mut again.socket, &cycle).expect("the server reads");
        wait_for("it publishes again", SOON, || {
            let ended = server.metric("corecast_sources_ended_total", "");
            (ended >= times as f64).then_some(())
        });
    }
    drop(again);
    // And on as many.
    for _ in 0..TIMES {
        let mut once = publisher(&server, "/live/once");
        once.send(&[first_tag()]);
    }
    assert_nothing_stays(&server, files);
    let report = server.get_as_admin("/api/v1/mounts").json();
    wait_for("the mounts are forgotten", SOON, || {
        let report = server.get_as_admin("/api/v1/mounts").json();
        let live = report.to_string().contains("\"live\"");
        (!live).then_some(())
    });
    assert!(!report.to_string().contains(SOURCE_PASSWORD));
}

#[test]
fn who_plays_what_nobody_publishes_leaves_nothing() {
    let server = Server::start(Backend::Epoll, &[]);
    let files = peers::open_files(server.pid());
    let mounts = server.get_as_admin("/api/v1/mounts").text();
    for n in 0..TIMES {
        let said = play(&server, &format!("/live/never{n}"));
        assert!(matches!(said, ClientEvent::Ended { .. }), "{said:?}");
    }
    assert_nothing_stays(&server, files);
    assert_eq!(server.get_as_admin("/api/v1/mounts").text(), mounts);
}

/// Names of streams that lead elsewhere where somebody takes them for paths, addresses or text.
const NAMES: [&str; 9] = [
    "../../../outside",
    "..%2f..%2foutside",
    "a/../../../outside",
    "/etc/outside",
    "outside\0.flv",
    "outside\n200 OK",
    "$(touch outside)",
    "<script>outside()</script>",
    "%n%n%s%s",
];

/// A publisher for each of the names; those that are let in.
fn odd_publishers(server: &Server) -> Vec<Publisher> {
    let mut taken = Vec::new();
    for name in NAMES {
        let mut url = Url::parse(&server.publish_url("/live/x")).expect("a good URL");
        url.stream = url.stream.replacen('x', name, 1);
        // It may be let in or not.
        if let Ok(mut publisher) = Publisher::connect(server, &url) {
            publisher.send(&[first_tag()]);
            let picture = [&[0x17, 1, 0, 0, 0, 0, 0, 0, 5, 0x65][..], &[0; 4]].concat();
            publisher.send(&[Tag {
                kind: MediaKind::Video,
                time_ms: 40,
                body: picture,
            }]);
            taken.push(publisher);
        }
    }
    taken
}

#[test]
fn names_lead_nowhere_and_passwords_are_not_shown() {
    let folder = Scratch::new("names");
    let access = folder.file("access");
    let inside = folder.file("inside");
    fs::create_dir(&inside).expect("a scratch folder takes folders");
    let settings = [
        "log.level=trace",
        &format!("log.access_path={}", access.display()),
        &format!(
            "mount_defaults.dump_file={}/rec-{{mount}}",
            inside.display()
        ),
    ];
    let server = Server::start(Backend::IoUring, &settings);
    let taken = odd_publishers(&server);
    let shown = [
        "/api/v1/mounts",
        "/api/v1/sessions",
        "/admin/stats",
        "/admin/listmounts",
        "/status-json.xsl",
        "/metrics",
    ];
    for page in shown {
        let text = server.get_as_admin(page).text();
        assert!(!text.contains(SOURCE_PASSWORD), "{page}: {text}");
    }
    let count = taken.len();
    assert!(count > 0, "some of them are only odd");
    drop(taken);
    wait_for("who published has a line", SOON, || {
        let log = fs::read_to_string(&access).unwrap_or_default();
        let published = log.lines().filter(|line| line.contains("\"PUBLISH "));
        let ended = published.filter(|line| line.contains("\" 200 ")).count();
        (ended == count).then_some(())
    });
    let told = [
        server.log(),
        fs::read_to_string(&access).expect("it is there"),
    ];
    assert!(!told.concat().contains(SOURCE_PASSWORD));
    // What was recorded is where the settings say, and has the names that they make.
    let names = |folder: &std::path::Path| -> Vec<String> {
        let files = fs::read_dir(folder).expect("it is there");
        let names = files.map(|file| file.expect("it is there").file_name());
        names
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    };
    let found = names(&inside);
    assert!(
        found.iter().all(|name| name.starts_with("rec-")),
        "{found:?}"
    );
    let mut outside = names(folder.path());
    outside.sort();
    assert_eq!(outside, ["access", "inside"]);
    assert_unhurt(&server);
}
