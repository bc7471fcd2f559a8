//! Queries over real rings, reload, drain, and the end.

use std::time::{Duration, Instant};

use corecast_mesh::message::{EndReason, Event};

use super::*;

#[test]
fn a_stalled_shard_is_reported_missing_and_hangs_nobody() {
    let mut rig = Rig::new(3, config())
        .with_mount(report("/a"))
        .with_mount(report("/b"));
    let stalled = rig.topology.home(&report("/a").mount);
    assert_ne!(stalled, ShardId(0), "the test asks through the first shard");
    rig.shards[stalled.index()] = None;
    let start = Instant::now();
    let answer = rig.get("/api/v1/mounts");
    assert!(start.elapsed() < PATIENCE / 2, "about a second");
    assert_eq!(
        answer.json()["missing_shards"],
        serde_json::json!([stalled.0])
    );
    assert_eq!(answer.json()["mounts"].as_array().map(Vec::len), Some(1));
    assert_eq!(rig.get("/api/v1/mounts/a").status, 503, "maybe it is there");
    assert_eq!(rig.get("/health").status, 200);
}

#[test]
fn queries_close_together_ask_the_shards_once() {
    let mut rig = Rig::new(2, config());
    let sessions: Vec<SessionId> = (0..8)
        .map(|_| {
            rig.send(Ask {
                target: "/api/v1/mounts",
                ..Ask::default()
            })
        })
        .collect();
    let mut answers: Vec<Answer> = sessions.iter().map(|_| Answer::default()).collect();
    let deadline = Instant::now() + PATIENCE;
    while !answers.iter().all(|answer| answer.ended) {
        assert!(Instant::now() < deadline, "{answers:?}");
        let mut nobody = Answer::default();
        rig.pump(SessionId::new(ShardId(9), 0), &mut nobody);
        for (_, message) in std::mem::take(&mut rig.heard) {
            let mut rest = Some(message);
            for (session, answer) in sessions.iter().zip(&mut answers) {
                rest = rest.and_then(|message| answer.take(*session, message));
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert!(
        rig.queries <= 4,
        "{} questions to two shards for eight requests",
        rig.queries
    );
}

#[test]
fn a_reload_reaches_handlers_seats_and_every_shard() {
    let mut rig = Rig::new(2, config());
    let mut changed = config();
    changed.server.hostname = "new.example".into();
    changed.limits.listeners_max = 42;
    rig.handle.reload(Arc::new(changed));
    let server = rig.get("/api/v1/server").json();
    assert_eq!(
        (&server["hostname"], &server["listeners_max"]),
        (&"new.example".into(), &42.into())
    );
    let told = rig
        .heard
        .iter()
        .filter(|(_, message)| matches!(message, FromControl::Reload(_)));
    assert_eq!(told.count(), 2);
}

#[test]
fn a_drain_is_told_and_ends_readiness_but_not_the_plane() {
    let mut rig = Rig::new(2, config());
    assert_eq!(rig.get("/ready").status, 200);
    rig.handle.drain(Duration::ZERO);
    let answer = rig.get("/ready");
    assert_eq!((answer.status, answer.text()), (503, "draining\n"));
    let drains = rig.heard.iter().filter(
        |(_, message)| matches!(message, FromControl::Drain(grace) if *grace == Duration::ZERO),
    );
    assert_eq!(drains.count(), 2);
    assert_eq!(rig.get("/api/v1/server").json()["draining"], true);
}

#[test]
fn events_sent_before_the_end_are_written_down() {
    let dir = std::env::temp_dir().join(format!("corecast-life-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory");
    let path = dir.join("access.log");
    let mut config = config();
    config.log.access_path.clone_from(&path);
    let mut rig = Rig::new(1, config);
    for _ in 0..100 {
        rig.tell(ToControl::Event(Box::new(Event::Access(
            corecast_mesh::message::AccessRecord {
                session: SessionId::default(),
                peer: "192.0.2.9:5000".parse().expect("an address"),
                user: None,
                request: "GET /live HTTP/1.1".into(),
                status: 200,
                bytes: 1,
                referer: "".into(),
                user_agent: "".into(),
                duration: Duration::ZERO,
                reason: EndReason::Drained,
                mount: None,
            },
        ))));
    }
    drop(rig);
    let text = std::fs::read_to_string(&path).expect("a log");
    assert_eq!(text.lines().count(), 100);
    std::fs::remove_dir_all(&dir).expect("removed");
}

#[test]
fn metrics_are_in_the_text_format() {
    let mut rig = Rig::new(2, config());
    assert_eq!(rig.get("/health").status, 200);
    assert_eq!(rig.get("/none").status, 404);
    let answer = rig.get("/metrics");
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let lines: Vec<&str> = answer.text().lines().collect();
    for expected in [
        "corecast_control_requests_total{status=\"2xx\"} 1",
        "corecast_control_requests_total{status=\"4xx\"} 1",
        "corecast_control_panics_total 0",
        "# TYPE corecast_control_queries_total counter",
    ] {
        assert!(lines.contains(&expected), "{expected} in {lines:#?}");
    }
}
