//! HTTP/3 and QUIC by aioquic, frame by frame (`quic.py`): what is right works on every road, and
//! what is wrong ends as RFC 9000, 9001 and 9114 say.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::client::python;
use crate::harness::rough::{Road, RoughRoad};
use crate::harness::server::ADMIN_PASSWORD;
use crate::harness::{Backend, Client, Server, Station, fixture, http, mpeg, wait_for};
use crate::video::browsers::start_film;

crate::clients::on_both_backends!(aioquic_is_served, the_radio_is_heard_over_http3);

const LIMIT: Duration = Duration::from_secs(110);

/// Runs a task of `quic.py` against `address`; what it reports.
fn task(server: &Server, address: SocketAddr, name: &str, arguments: &[&str]) -> Value {
    let mut script = python("tests/tls/quic.py");
    script.env("CA_FILE", server.tls().authority.file());
    script.args([name, &address.ip().to_string(), &address.port().to_string()]);
    let said = Client::spawn(script.args(arguments)).succeed(LIMIT).text();
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{name}: {error} in {said}"))
}

fn direct(server: &Server, name: &str, arguments: &[&str]) -> Value {
    task(server, server.tls().address(), name, arguments)
}

fn aioquic_is_served(backend: Backend) {
    let server = Server::start_tls(backend, &[]);
    let report = direct(&server, "get", &["/health"]);
    assert_eq!(
        (&report["status"], &report["text"]),
        (&json!(200), &json!("ok\n"))
    );
    let report = direct(&server, "get", &["/none"]);
    assert_eq!(report["status"], 404);
    let statuses = json!({"statuses": [200, 200, 200, 200, 200]});
    assert_eq!(direct(&server, "key_update", &["/health"]), statuses);
    let statuses = json!({"statuses": [200, 200, 200, 200]});
    assert_eq!(direct(&server, "migrate", &["/health"]), statuses);
    let report = direct(&server, "harmless", &[]);
    assert_eq!(report["statuses"], json!([200, 200, 200]), "{report}");
    assert_eq!(server.metric("corecast_task_panics_total", ""), 0.0);
}

#[test]
fn versions_are_negotiated() {
    let server = Server::start_tls(Backend::IoUring, &[]);
    let report = direct(&server, "versions", &[]);
    let listed = report["listed"].as_array().expect("a list");
    assert!(listed.contains(&json!(1)), "{report}");
    assert_eq!(
        (&report["echoed"], &report["small"], &report["own"]),
        (&json!(true), &json!(0), &json!(0))
    );
}

#[test]
fn who_proves_nothing_gets_no_more_than_thrice_what_it_sent() {
    let server = Server::start_tls(Backend::IoUring, &[]);
    let report = direct(&server, "amplification", &["3"]);
    for (sent, came) in [("sent", "came"), ("sent_again", "came_again")] {
        let (sent, came) = (report[sent].as_u64(), report[came].as_u64());
        let (sent, came) = (sent.expect("a number"), came.expect("a number"));
        assert!(came > sent && came <= 3 * sent, "{report}");
    }
}

#[test]
fn resets_are_shorter_than_what_they_answer() {
    let server = Server::start_tls(Backend::IoUring, &[]);
    let report = direct(&server, "resets", &[]);
    for answer in report["answers"].as_array().expect("a list") {
        let size = answer[0].as_u64().expect("a number");
        let came = answer[1].as_array().expect("a list");
        // Smaller than what it answers, so that two that reset each other come to an end.
        assert!(
            came.iter().all(|length| length.as_u64() < Some(size)),
            "{report}"
        );
    }
}

/// More than a shard lets be under way without a proof of where they come from.
const BEGUN: &str = "700";

#[test]
fn who_comes_into_a_crowd_shows_where_he_is() {
    let server = Server::start_tls(Backend::IoUring, &[]);
    let report = direct(&server, "get", &["/health"]);
    assert_eq!(
        (&report["status"], &report["retries"]),
        (&json!(200), &json!(0))
    );
    let report = direct(&server, "crowded", &["/health", BEGUN]);
    assert_eq!(
        (&report["status"], &report["retries"]),
        (&json!(200), &json!(1))
    );
}

/// What of the table was not as it must be.
fn faults(report: &Value) -> Vec<&Value> {
    let cases = report["cases"].as_array().expect("a list");
    assert!(cases.len() > 20);
    cases.iter().filter(|case| case["good"] != true).collect()
}

#[test]
fn illegal_frames_end_connections_with_the_right_error() {
    let server = Server::start_tls(Backend::IoUring, &[]);
    let report = direct(&server, "frames", &[]);
    assert_eq!(faults(&report), Vec::<&Value>::new());
    assert_eq!(direct(&server, "get", &["/health"])["status"], 200);
    assert_eq!(server.metric("corecast_task_panics_total", ""), 0.0);
}

#[test]
fn bad_fields_are_refused_and_the_connection_goes_on() {
    let server = Server::start_tls(Backend::IoUring, &[]);
    let report = direct(&server, "messages", &[]);
    assert_eq!(faults(&report), Vec::<&Value>::new());
    assert_eq!(server.metric("corecast_task_panics_total", ""), 0.0);
}

/// Sets the title of `/live` by a request that is no early one.
fn set_title(server: &Server, title: &str) {
    server.set_title("/live", title.as_bytes());
    assert_eq!(title_of(server), title);
}

/// Fails unless the title of `/live` is `title`.
pub(super) fn assert_title_stays(server: &Server, title: &str) {
    assert_eq!(title_of(server), title);
}

fn title_of(server: &Server) -> String {
    let report = server.mount("/live").expect("it is live");
    report["title"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn early_requests_change_nothing_twice() {
    let server = Server::start_tls(Backend::IoUring, &[]);
    let _station = Station::play(&server, "/live");
    server.wait_live("/live");
    let basic = http::basic("admin", ADMIN_PASSWORD);
    let (_, basic) = basic.trim_end().split_once(": ").expect("a header line");
    let unsafe_path = "/admin/metadata?mount=/live&mode=updinfo&song=Early";
    let report = direct(&server, "early", &["/health", unsafe_path, basic]);
    assert_eq!(report["offered"], true, "{report}");
    assert_eq!(
        (&report["accepted"], &report["safe"]),
        (&json!(true), &json!(200))
    );
    // Too early (RFC 8470), or done once the handshake was.
    let status = report["unsafe"].as_u64().expect("a status");
    assert!(matches!(status, 425 | 200), "{report}");
    set_title(&server, "Later");
    let flight = report["flight"].as_array().expect("a list");
    let lines: Vec<&str> = flight.iter().filter_map(Value::as_str).collect();
    assert!(!lines.is_empty());
    let file = server.scratch().file("flight");
    std::fs::write(&file, lines.join("\n")).expect("a scratch folder takes files");
    for _ in 0..3 {
        let mut script = python("tests/tls/quic.py");
        script.env("CA_FILE", server.tls().authority.file());
        let address = server.tls().address();
        script.args([
            "replay",
            &address.ip().to_string(),
            &address.port().to_string(),
        ]);
        script.stderr(Stdio::inherit());
        Client::spawn_from(&mut script, &file).succeed(LIMIT);
        assert_eq!(title_of(&server), "Later");
    }
}

fn the_radio_is_heard_over_http3(backend: Backend) {
    let server = Server::start_tls(backend, &["mount_defaults.metaint_bytes=4000"]);
    let _station = Station::play(&server, "/live");
    server.wait_live("/live");
    server.set_title("/live", "Ada – Première".as_bytes());
    let file = server.scratch().file("heard");
    let place = file.to_string_lossy();
    let arguments = ["/live", &place, "100000", "icy-metadata", "1"];
    let report = direct(&server, "listen", &arguments);
    assert_eq!(report["status"], 200, "{report}");
    let fields = report["fields"].as_array().expect("a list");
    let value = |name: &str| {
        let found = fields.iter().find(|field| field[0] == name);
        found.map(|field| field[1].as_str().unwrap_or_default())
    };
    assert_eq!(value("icy-metaint"), Some("4000"));
    assert_eq!(value("content-type"), Some("audio/mpeg"));
    assert_eq!(
        (value("connection"), value("transfer-encoding")),
        (None, None)
    );
    super::icy::assert_heard(&file, 4_000, "Ada – Première");
    // Without metadata every byte is sound.
    let report = direct(&server, "listen", &["/live", &place, "60000"]);
    assert_eq!(report["status"], 200, "{report}");
    let heard = std::fs::read(&file).expect("the script wrote it");
    let heard = mpeg::read(&heard).expect("every byte is right");
    assert_eq!(heard.jumps(), []);
}

#[test]
fn flv_comes_by_websocket_over_http3() {
    let server = Server::start_tls(Backend::IoUring, &[]);
    let _source = start_film(&server);
    let file = server.scratch().file("film.flv");
    let place = file.to_string_lossy();
    let report = direct(&server, "websocket", &["/live/cam.flv", &place, "200000"]);
    assert_eq!(
        (&report["offered"], &report["status"]),
        (&json!(1), &json!(200)),
        "{report}"
    );
    let film = std::fs::read(&file).expect("the script wrote it");
    assert!(film.starts_with(b"FLV") && film.len() > 200_000);
    let others = json!([[0x8a, "ping"], [0x88, "\u{3}\u{e8}"]]);
    assert_eq!(report["others"], others, "{report}");
    // In order; that we need no more of its side is said without an error (H3_NO_ERROR).
    let end = (&report["rest"], &report["ended"]);
    assert_eq!(end, (&json!(0), &json!(true)), "{report}");
    let reset = report["reset"].as_u64();
    assert!(reset.is_none_or(|code| code == 0x100), "{report}");
}

/// Bytes of a segment: at least 20 MiB.
const BIG: usize = 20 << 20;

/// A film of noise with a keyframe each six seconds, and one segment of it.
pub(super) fn big_segment(server: &Server) -> (String, Vec<u8>) {
    let noise = "-g 180 -bf 0 -preset ultrafast -vf noise=alls=100:allf=t -qp 2";
    let noise: Vec<&str> = noise.split(' ').collect();
    let film = fixture::film("big.flv", 13, &noise);
    let _source = crate::video::publish(server, &film, "/live/big");
    let path = wait_for("there is a whole segment", LIMIT, || {
        let list = server.get("/live/big/hls/v0.m3u8").text();
        let mut lines = list.lines().skip_while(|line| !line.starts_with("#EXTINF"));
        lines.nth(1).map(|name| format!("/live/big/hls/{name}"))
    });
    let bytes = server.get(&path).body;
    assert!(bytes.len() >= BIG, "{} bytes", bytes.len());
    (path, bytes)
}

#[test]
fn what_a_client_calls_urgent_overtakes_what_it_does_not() {
    let server = Server::start_tls(Backend::IoUring, &["mount_defaults.hls_segment_ms=6000"]);
    let (path, bytes) = big_segment(&server);
    let report = direct(&server, "priorities", &[&path, &path]);
    assert_eq!(report["overtaken"], true, "{report}");
    assert_eq!(report["bytes"], bytes.len(), "{report}");
}

#[test]
fn a_segment_comes_whole_on_every_road() {
    let server = Server::start_tls(Backend::IoUring, &["mount_defaults.hls_segment_ms=6000"]);
    let (path, bytes) = big_segment(&server);
    let sum = Sha256::digest(&bytes);
    let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    let good = Road::default();
    let roads = [
        ("a good road", good),
        (
            "another port every half second",
            Road {
                rebind: Some(Duration::from_millis(500)),
                ..good
            },
        ),
        (
            "one of a hundred lost, all late and some overtaking",
            Road {
                lost_per_mille: 10,
                delay: Duration::from_millis(5),
                jitter: Duration::from_millis(5),
                ..good
            },
        ),
    ];
    for (what, road) in roads {
        let relay = RoughRoad::to(server.tls().address(), road);
        let report = task(&server, relay.address(), "get", &[&path]);
        assert_eq!(report["bytes"], bytes.len(), "{what}: {report}");
        assert_eq!(report["sha256"], sum.as_str(), "{what}");
        eprintln!("{what}: {} rebinds, {} lost", relay.rebinds(), relay.lost());
        assert!(road.rebind.is_none() || relay.rebinds() > 0);
    }
}
