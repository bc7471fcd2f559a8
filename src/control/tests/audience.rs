//! Listeners as the API counts them.

use corecast_mesh::message::{AccessRecord, EndReason, Event, SessionReport};
use serde_json::json;

use super::*;

fn listener(sequence: u64, last: u8, user_agent: &str) -> SessionReport {
    SessionReport {
        session: SessionId::new(ShardId(1), sequence),
        publisher: false,
        mount: report("/live").mount,
        peer: std::net::SocketAddr::from(([192, 0, 2, last], 4_000)),
        user_agent: user_agent.into(),
        since: Time::ZERO,
        bytes: 10,
        lag: Duration::ZERO,
    }
}

fn rig() -> Rig {
    let mut rig = Rig::new(2, config())
        .with_mount(report("/live"))
        .with_mount(report("/hidden"))
        .with_mount(report("/odd/listeners"));
    let sessions = vec![
        listener(1, 1, "VLC/3.0.20 LibVLC/3.0.20"),
        listener(2, 1, "VLC/3.0.20 LibVLC/3.0.20"),
        listener(3, 2, "Lavf/60"),
    ];
    rig.shards[1].as_mut().expect("there").sessions = sessions;
    rig
}

fn ended(ms: u64) -> ToControl {
    ToControl::Event(Box::new(Event::Access(AccessRecord {
        session: SessionId::default(),
        peer: "192.0.2.3:4000".parse().expect("an address"),
        user: None,
        request: "GET /live HTTP/1.1".into(),
        status: 200,
        bytes: 1,
        referer: "".into(),
        user_agent: "mpv".into(),
        duration: Duration::from_millis(ms),
        reason: EndReason::PeerClosed,
        mount: Some(report("/live").mount),
    })))
}

#[test]
fn everybody_sees_numbers_and_the_admin_sees_who() {
    let mut rig = rig();
    rig.tell(ended(3_600_000));
    let answer = rig.get("/api/v1/mounts/live/listeners");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let document = answer.json();
    for (key, value) in [
        ("mount", json!("/live")),
        ("listeners", json!(3)),
        ("listeners_unique", json!(2)),
        ("listeners_peak", json!(5)),
        ("visits", json!(4)),
        ("missing_shards", json!([])),
    ] {
        assert_eq!(document[key], value, "{key}");
    }
    let hours = document["listener_hours"].as_f64().expect("a number");
    assert!((1.0..1.1).contains(&hours), "{hours}");
    let by_agent = &document["by_agent"];
    assert_eq!(by_agent["vlc"]["listeners"], 2);
    assert_eq!(by_agent["mpv_ffmpeg"]["visits"], 2);
    assert_eq!(by_agent["browser"]["listeners"], 0);
    assert!(
        document.get("sessions").is_none(),
        "addresses are not public"
    );

    let admin = basic("admin:adm");
    let headers = [("authorization", admin.as_str())];
    let answer = rig.ask(Ask {
        target: "/api/v1/mounts/live/listeners?limit=2",
        headers: &headers,
        ..Ask::default()
    });
    assert_eq!(answer.text().matches("missing_shards").count(), 1);
    let document = answer.json();
    assert_eq!(
        (&document["total"], &document["next"]),
        (&json!(3), &json!("1-2"))
    );
    assert_eq!(document["sessions"][0]["address"], "192.0.2.1");
    assert_eq!(document["listeners_unique"], 2);
}

#[test]
fn lists_of_mounts_have_the_numbers_too() {
    let mut rig = rig();
    let document = rig.get("/api/v1/mounts/live").json();
    assert_eq!(
        (&document["listeners_unique"], &document["visits"]),
        (&json!(2), &json!(3))
    );
    let queries = rig.queries;
    let document = rig.get("/api/v1/mounts").json();
    assert_eq!(document["mounts"][0]["listeners_unique"], 2);
    assert!(
        rig.queries <= queries + 2,
        "one question to each shard at most"
    );
}

#[test]
fn a_mounts_own_name_goes_before_what_stands_below_another() {
    let mut rig = rig();
    assert_eq!(
        rig.get("/api/v1/mounts/odd/listeners").json()["name"],
        "/odd/listeners"
    );
    let below = rig.get("/api/v1/mounts/odd/listeners/listeners").json();
    assert_eq!(below["mount"], "/odd/listeners");
    for (target, status) in [
        ("/api/v1/mounts/none/listeners", 404),
        ("/api/v1/mounts/hidden/listeners", 404),
        ("/api/v1/mounts/live/listeners?limit=0", 400),
    ] {
        assert_eq!(rig.get(target).status, status, "{target}");
    }
}
