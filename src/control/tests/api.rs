//! The API's documents and the page.

use std::time::Duration;

use corecast_mesh::message::SessionReport;
use serde_json::json;

use super::*;

fn hostile() -> MountReport {
    let mut hostile = report("/a b\u{fc}");
    hostile.metadata = Arc::new(Metadata::from_title(
        "</script><img src=x onerror=alert(1)> \"'&",
    ));
    hostile.bitrate_bps = 127_900;
    hostile
}

#[test]
fn a_mount_tells_what_is_public() {
    let mut live = report("/live");
    live.bytes_sent_before = 100;
    let mut rig = Rig::new(2, config())
        .with_mount(live)
        .with_mount(report("/hidden"));
    rig.shards[0]
        .as_mut()
        .expect("there")
        .sent
        .push((report("/live").mount, 40));
    rig.shards[1]
        .as_mut()
        .expect("there")
        .sent
        .push((report("/live").mount, 2));
    let answer = rig.get("/api/v1/mounts");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let document = answer.json();
    assert_eq!(document["missing_shards"], json!([]));
    let mounts = document["mounts"].as_array().expect("a list");
    assert_eq!(mounts.len(), 1, "hidden mounts are left out");
    let live = &mounts[0];
    for (key, value) in [
        ("name", json!("/live")),
        ("state", json!("live")),
        ("codec", json!("mp3")),
        ("listeners", json!(3)),
        ("listeners_peak", json!(5)),
        ("bytes_sent", json!(142)),
        ("live_since", json!("2026-11-20T18:41:49.000Z")),
        ("artist", Value::Null),
    ] {
        assert_eq!(live[key], value, "{key}");
    }
    assert!(
        live.get("source").is_none(),
        "the source's address is not public"
    );
    assert_eq!(rig.get("/api/v1/mounts/live").json()["name"], "/live");
    assert_eq!(rig.get("/api/v1/mounts/hidden").status, 404);
}

#[test]
fn the_admin_sees_hidden_mounts_and_addresses() {
    let mut live = report("/hidden");
    live.info = Arc::new(SourceInfo {
        address: Some("[::ffff:192.0.2.5]:999".parse().expect("an address")),
        user_agent: "butt".into(),
        ..SourceInfo::default()
    });
    let mut rig = Rig::new(1, config()).with_mount(live);
    let admin = basic("admin:adm");
    let headers = [("authorization", admin.as_str())];
    let answer = rig.ask(Ask {
        target: "/api/v1/mounts/hidden",
        headers: &headers,
        ..Ask::default()
    });
    let source = json!({"session": "0-4d", "address": "192.0.2.5", "user_agent": "butt"});
    assert_eq!(answer.json()["source"], source);

    let wrong = basic("admin:nope");
    let headers = [("authorization", wrong.as_str())];
    let answer = rig.ask(Ask {
        target: "/api/v1/mounts",
        headers: &headers,
        ..Ask::default()
    });
    assert_eq!(answer.status, 401);
    assert!(
        answer
            .header("www-authenticate")
            .is_some_and(|text| text.starts_with("Basic "))
    );
}

#[test]
fn no_document_tells_a_secret() {
    let mut rig = Rig::new(1, config()).with_mount(report("/own"));
    let admin = basic("admin:adm");
    let headers = [("authorization", admin.as_str())];
    for target in [
        "/api/v1/server",
        "/api/v1/mounts",
        "/api/v1/sessions",
        "/status-json.xsl",
        "/",
    ] {
        let answer = rig.ask(Ask {
            target,
            headers: &headers,
            ..Ask::default()
        });
        assert_eq!(answer.status, 200, "{target}");
        for secret in ["\"src\"", "\"own\"", "\"adm\"", "password"] {
            assert!(!answer.text().contains(secret), "{target} tells {secret}");
        }
    }
}

#[test]
fn hostile_texts_stay_texts() {
    let mut rig = Rig::new(1, config()).with_mount(hostile());
    let answer = rig.get("/api/v1/mounts/a%20b%C3%BC");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let mount = answer.json();
    assert_eq!(mount["title"], "</script><img src=x onerror=alert(1)> \"'&");
    assert_eq!(mount["bitrate_bps"], 127_900);
}

#[test]
fn the_page_holds_no_text_of_others_and_runs_no_code_of_others() {
    let mut rig = Rig::new(1, config()).with_mount(hostile());
    let page = rig.get("/");
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, Some("text/html; charset=utf-8"))
    );
    assert!(!page.text().contains("onerror=alert"));
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(
        policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    for (target, content_type) in [
        ("/web/corecast.css", "text/css; charset=utf-8"),
        ("/web/corecast.js", "text/javascript; charset=utf-8"),
        ("/web/icon.svg", "image/svg+xml"),
    ] {
        assert!(page.text().contains(target), "the page uses {target}");
        let answer = rig.get(target);
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some(content_type))
        );
    }
    for sink in [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
    ] {
        assert!(!rig.get("/web/corecast.js").text().contains(sink), "{sink}");
    }
    for outside in ["http://", "https://", "style=", "<script>", "onclick="] {
        assert!(!page.text().contains(outside), "{outside}");
    }
}

fn session(shard: u16, sequence: u64, publisher: bool) -> SessionReport {
    SessionReport {
        session: SessionId::new(ShardId(shard), sequence),
        publisher,
        mount: MountName::parse(if publisher { "/a" } else { "/b" }).expect("a good name"),
        peer: "192.0.2.77:4000".parse().expect("an address"),
        user_agent: "player".into(),
        since: Time::from_millis(1_000),
        bytes: 9,
        lag: Duration::from_millis(250),
    }
}

#[test]
fn sessions_come_in_pages_to_the_admin_only() {
    let mut rig = Rig::new(2, config());
    rig.shards[1].as_mut().expect("there").sessions =
        vec![session(1, 4, false), session(1, 3, false)];
    rig.shards[0].as_mut().expect("there").sessions =
        vec![session(0, 2, false), session(0, 1, true)];
    let admin = basic("admin:adm");
    let headers = [("authorization", admin.as_str())];
    let mut page = |query: &str| {
        let target = format!("/api/v1/sessions{query}");
        let answer = rig.ask(Ask {
            target: &target,
            headers: &headers,
            ..Ask::default()
        });
        assert_eq!(answer.status, 200, "{query}");
        let document = answer.json();
        let ids = document["sessions"].as_array().expect("a list").iter();
        let ids: Vec<String> = ids
            .map(|one| one["id"].as_str().expect("an id").into())
            .collect();
        (
            ids.join(" "),
            document["total"].as_u64(),
            document["next"].as_str().map(str::to_owned),
        )
    };
    assert_eq!(page(""), ("0-1 0-2 1-3 1-4".into(), Some(4), None));
    assert_eq!(
        page("?limit=3"),
        ("0-1 0-2 1-3".into(), Some(4), Some("1-3".into()))
    );
    assert_eq!(page("?limit=3&after=1-3"), ("1-4".into(), Some(4), None));
    assert_eq!(page("?role=publisher"), ("0-1".into(), Some(1), None));
    assert_eq!(
        page("?mount=/b&limit=1"),
        ("0-2".into(), Some(3), Some("0-2".into()))
    );
    let answer = rig.ask(Ask {
        target: "/api/v1/sessions",
        headers: &headers,
        ..Ask::default()
    });
    let first = &answer.json()["sessions"][0];
    assert_eq!(first["role"], "publisher");
    assert_eq!(
        (&first["address"], &first["lag_ms"]),
        (&json!("192.0.2.77"), &json!(250))
    );
    assert_eq!(first["since"], "2026-11-20T18:41:48.000Z");
    let answer = rig.ask(Ask {
        target: "/api/v1/sessions?limit=0",
        headers: &headers,
        ..Ask::default()
    });
    assert_eq!(answer.status, 400);
}
