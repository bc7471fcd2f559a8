//! The feed of events through the mesh, and titles.

use corecast_mesh::message::{EndReason, Event};
use serde_json::json;

use super::*;

fn title(text: &str) -> ToControl {
    ToControl::Event(Box::new(Event::Metadata {
        mount: report("/live").mount,
        metadata: Arc::new(Metadata::from_title(text)),
    }))
}

/// Watches as the admin; `last` is the number heard last.
fn watch(rig: &mut Rig, last: Option<&str>) -> SessionId {
    let admin = basic("admin:adm");
    let mut headers = vec![("authorization", admin.as_str())];
    headers.extend(last.map(|last| ("last-event-id", last)));
    rig.send(Ask {
        target: "/api/v1/events",
        headers: &headers,
        ..Ask::default()
    })
}

/// Takes what comes, without giving credit, until `enough`.
fn take(rig: &mut Rig, session: SessionId, answer: &mut Answer, enough: impl Fn(&Answer) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !enough(answer) {
        assert!(
            Instant::now() < deadline,
            "in vain: {} chunks",
            answer.chunks
        );
        rig.pump(session, answer);
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn events_reach_a_watcher_as_they_happen() {
    let mut rig = Rig::new(1, config());
    let session = watch(&mut rig, None);
    let mut answer = Answer::default();
    take(&mut rig, session, &mut answer, |answer| answer.chunks == 1);
    assert_eq!((answer.status, answer.length), (200, None));
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    rig.tell(title("Artist - Song"));
    take(&mut rig, session, &mut answer, |answer| answer.chunks == 2);
    rig.handle.reload(Arc::new(config()));
    take(&mut rig, session, &mut answer, |answer| answer.chunks == 3);
    rig.tell(ToControl::Event(Box::new(Event::SourceEnded {
        mount: report("/live").mount,
        session: SessionId::new(ShardId(0), 7),
        reason: EndReason::Timeout,
    })));
    take(&mut rig, session, &mut answer, |answer| answer.chunks == 4);
    let text = answer.text();
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("event: "))
        .collect();
    assert_eq!(names, ["title", "reloaded", "source_ended"], "{text}");
    assert!(
        text.contains(r#""title":"Artist - Song""#) && text.contains(r#""reason":"timeout""#),
        "{text}"
    );
    rig.handle.drain(Duration::ZERO);
    take(&mut rig, session, &mut answer, |answer| answer.ended);
}

#[test]
fn a_watcher_without_credit_gets_no_more_and_holds_up_nobody() {
    let mut rig = Rig::new(1, config());
    let session = watch(&mut rig, None);
    let mut answer = Answer::default();
    take(&mut rig, session, &mut answer, |answer| answer.chunks == 1);
    for chunk in 2..=8 {
        rig.tell(title(&format!("title {}", chunk - 2)));
        take(&mut rig, session, &mut answer, |answer| {
            answer.chunks == chunk
        });
    }
    for event in 7..200 {
        rig.tell(title(&format!("title {event}")));
    }
    assert_eq!(rig.get("/health").status, 200);
    rig.pump(session, &mut answer);
    assert_eq!(answer.chunks, 8, "no credit, no more");
    rig.tell(ToControl::Credit { session, chunks: 8 });
    take(&mut rig, session, &mut answer, |answer| {
        answer.text().contains("title 199")
    });
    assert_eq!(
        answer.text().matches("\nevent: title\n").count(),
        200,
        "nothing was lost"
    );

    let last = answer
        .text()
        .lines()
        .filter_map(|line| line.strip_prefix("id: "))
        .nth(189);
    let last = last.expect("a number").to_owned();
    let again = watch(&mut rig, Some(&last));
    let mut missed = Answer::default();
    take(&mut rig, again, &mut missed, |answer| answer.chunks == 1);
    assert_eq!(missed.text().matches("event: title").count(), 10);
    assert!(missed.text().contains("title 190") && !missed.text().contains("lost"));
}

#[test]
fn the_feed_is_the_admins_and_numbers_are_numbers() {
    let mut rig = Rig::new(1, config());
    assert_eq!(rig.get("/api/v1/events").status, 401);
    let session = watch(&mut rig, Some("x"));
    assert_eq!(rig.answer(session).status, 400);
}

#[test]
fn titles_and_those_before_them_are_public() {
    let mut live = report("/live");
    live.metadata = Arc::new(Metadata::from_title("B - Two"));
    let mut rig = Rig::new(2, config())
        .with_mount(live)
        .with_mount(report("/hidden"));
    let path = "/api/v1/mounts/live/now-playing";
    let untold = rig.get(path).json();
    assert_eq!(
        untold["since"], "2026-11-20T18:41:49.000Z",
        "since the source is there"
    );
    assert_eq!(untold["history"], json!([]));
    rig.tell(title("A - One"));
    rig.tell(title("B - Two"));
    let answer = rig.get(path);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let document = answer.json();
    assert_eq!(document["title"], "B - Two");
    let history = document["history"].as_array().expect("a list");
    let titles: Vec<&Value> = history.iter().map(|played| &played["title"]).collect();
    assert_eq!(titles, ["B - Two", "A - One"]);
    assert_eq!(document["since"], history[0]["since"]);
    for target in [
        "/api/v1/mounts/hidden/now-playing",
        "/api/v1/mounts/none/now-playing",
    ] {
        assert_eq!(rig.get(target).status, 404, "{target}");
    }
}
