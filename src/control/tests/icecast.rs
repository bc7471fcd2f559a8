//! Icecast's surfaces: keys, types and answers as Icecast 2.4.4 gave them.

use serde_json::json;

use super::*;

fn keys(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect()
}

fn status(rig: &mut Rig, target: &str) -> Value {
    let answer = rig.ask(Ask {
        target,
        headers: &[("host", "radio.example:8000")],
        ..Ask::default()
    });
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some("application/json; charset=UTF-8")
    );
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    answer.json()["icestats"].clone()
}

const SERVER_KEYS: [&str; 6] = [
    "admin",
    "host",
    "location",
    "server_id",
    "server_start",
    "server_start_iso8601",
];

#[test]
fn without_mounts_there_is_no_source() {
    let mut rig = Rig::new(2, config());
    let stats = status(&mut rig, "/status-json.xsl");
    let mut expected = SERVER_KEYS.to_vec();
    expected.insert(1, "dummy");
    assert_eq!(keys(&stats), expected);
    assert_eq!(stats["dummy"], Value::Null);
    assert_eq!(
        (&stats["admin"], &stats["host"]),
        (&json!("ops@radio.example"), &json!("localhost"))
    );
}

#[test]
fn one_mount_is_an_object_and_two_are_an_array() {
    let mut rig = Rig::new(2, config())
        .with_mount(report("/b"))
        .with_mount(report("/hidden"));
    let stats = status(&mut rig, "/status-json.xsl");
    let mut expected = SERVER_KEYS.to_vec();
    expected.push("source");
    assert_eq!(keys(&stats), expected);
    assert_eq!(stats["source"]["listenurl"], "http://radio.example:8000/b");

    let mut rig = Rig::new(2, config())
        .with_mount(report("/b"))
        .with_mount(report("/a"));
    let stats = status(&mut rig, "/status-json.xsl");
    let sources = stats["source"].as_array().expect("an array");
    assert_eq!(sources[0]["listenurl"], "http://radio.example:8000/a");
    assert_eq!(sources[1]["listenurl"], "http://radio.example:8000/b");
    let one = status(&mut rig, "/status-json.xsl?mount=/b");
    assert_eq!(one["source"]["listenurl"], "http://radio.example:8000/b");
    assert_eq!(
        status(&mut rig, "/status-json.xsl?mount=/none").get("source"),
        None
    );
}

#[test]
fn a_plain_source_has_icecasts_keys_and_types() {
    let mut rig = Rig::new(1, config()).with_mount(report("/m.mp3"));
    let stats = status(&mut rig, "/status-json.xsl");
    let source = &stats["source"];
    let expected = [
        "dummy",
        "genre",
        "listener_peak",
        "listeners",
        "listenurl",
        "server_description",
        "server_name",
        "server_type",
        "stream_start",
        "stream_start_iso8601",
    ];
    assert_eq!(keys(source), expected);
    assert_eq!(
        (&source["listeners"], &source["listener_peak"]),
        (&json!(3), &json!(5))
    );
    assert_eq!(source["server_name"], "Unspecified name");
    assert_eq!(source["server_description"], "Unspecified description");
    assert_eq!(
        (&source["genre"], &source["server_type"]),
        (&json!("various"), &json!("audio/mpeg"))
    );
    let answer = rig.get("/status-json.xsl");
    assert!(
        answer.text().ends_with("\"dummy\":null}}}"),
        "{}",
        answer.text()
    );
}

#[test]
fn what_a_source_says_of_its_audio_is_repeated_as_numbers() {
    let mut said = report("/m.mp3");
    said.info = Arc::new(SourceInfo {
        content_type: "audio/mpeg".into(),
        bitrate: "128".into(),
        url: "http://u.example/".into(),
        audio_info: "ice-samplerate=44100;channels=2;quality=3%2e50;listeners=9;bitrate=64".into(),
        ..SourceInfo::default()
    });
    said.metadata = Arc::new(Metadata::from_title("12345"));
    let mut rig = Rig::new(1, config()).with_mount(said);
    let source = status(&mut rig, "/status-json.xsl")["source"].clone();
    for (key, value) in [
        ("bitrate", json!(128)),
        ("ice-samplerate", json!(44_100)),
        ("channels", json!(2)),
        ("quality", json!(3.5)),
        ("listeners", json!(3)),
        ("server_url", json!("http://u.example/")),
        ("title", json!("12345")),
        (
            "audio_info",
            json!("ice-samplerate=44100;channels=2;quality=3%2e50;listeners=9;bitrate=64"),
        ),
    ] {
        assert_eq!(source[key], value, "{key}");
    }
}

#[test]
fn a_rate_that_nobody_said_is_measured() {
    let mut silent = report("/m.mp3");
    silent.format.bitrate_bps = 96_000;
    let mut said = silent.clone();
    said.info = Arc::new(SourceInfo {
        audio_info: "bitrate=64".into(),
        ..SourceInfo::default()
    });
    for (report, expected) in [(silent, 96), (said, 64)] {
        let mut rig = Rig::new(1, config()).with_mount(report);
        let source = status(&mut rig, "/status-json.xsl")["source"].clone();
        assert_eq!(source["bitrate"], expected);
    }
}

#[test]
fn credentials_on_the_status_are_no_hindrance() {
    let mut rig = Rig::new(1, config()).with_mount(report("/hidden"));
    for (credentials, sources) in [("source:src", 0), ("admin:adm", 1), ("admin:x", 0)] {
        let authorization = basic(credentials);
        let headers = [("authorization", authorization.as_str())];
        let answer = rig.ask(Ask {
            target: "/status-json.xsl",
            headers: &headers,
            ..Ask::default()
        });
        assert_eq!(answer.status, 200, "{credentials}");
        let shown = answer.json()["icestats"].get("source").is_some();
        assert_eq!(u8::from(shown), sources, "{credentials}");
    }
}

#[test]
fn ogg_mounts_tell_artist_and_title_apart() {
    let mut vorbis = report("/v.ogg");
    vorbis.format.codec = Codec::Vorbis;
    vorbis.format.bitrate_bps = 80_000;
    vorbis.metadata = Arc::new(Metadata::from_parts("Ar", "Ti"));
    let mut rig = Rig::new(1, config()).with_mount(vorbis);
    let source = status(&mut rig, "/status-json.xsl")["source"].clone();
    for (key, value) in [
        ("artist", json!("Ar")),
        ("title", json!("Ti")),
        ("audio_bitrate", json!(80_000)),
        ("audio_channels", json!(2)),
        ("audio_samplerate", json!(44_100)),
        ("ice-bitrate", json!(80)),
        ("subtype", json!("Vorbis")),
    ] {
        assert_eq!(source[key], value, "{key}");
    }
}

#[test]
fn a_host_header_that_is_no_host_is_not_repeated() {
    let mut rig = Rig::new(1, config()).with_mount(report("/a b"));
    for host in ["evil/\"x", "a b", "", "x@y"] {
        let headers = [("host", host)];
        let answer = rig.ask(Ask {
            target: "/status-json.xsl",
            headers: &headers,
            ..Ask::default()
        });
        let url = &answer.json()["icestats"]["source"]["listenurl"];
        assert_eq!(url, "http://localhost:8000/a%20b", "{host}");
    }
}

/// The answer, and the title that went to the mount's home.
fn update(rig: &mut Rig, credentials: Option<&str>, ask: Ask<'_>) -> (Answer, Option<Metadata>) {
    rig.heard.clear();
    let credentials = credentials.map(basic);
    let headers: Vec<(&str, &str)> = credentials
        .iter()
        .map(|value| ("authorization", value.as_str()))
        .collect();
    let answer = rig.ask(Ask {
        headers: &headers,
        ..ask
    });
    let sent = rig
        .heard
        .drain(..)
        .find_map(|(shard, message)| match message {
            FromControl::SetMetadata { mount, metadata } => {
                assert_eq!(
                    shard,
                    rig.topology.home(&mount),
                    "it goes to the mount's home"
                );
                Some(metadata)
            }
            _ => None,
        });
    (answer, sent)
}

fn title(rig: &mut Rig, query: &str) -> Option<String> {
    let target = format!("/admin/metadata?mode=updinfo&mount=/live&{query}");
    let (answer, sent) = update(
        rig,
        Some("source:src"),
        Ask {
            target: &target,
            ..Ask::default()
        },
    );
    assert_eq!(answer.status, 200, "{query}");
    let expected = "<?xml version=\"1.0\"?>\n<iceresponse><message>Metadata update successful\
                    </message><return>1</return></iceresponse>\n";
    assert_eq!(answer.text(), expected);
    assert_eq!(
        answer.header("content-type"),
        Some("text/xml; charset=utf-8")
    );
    sent.map(|metadata| metadata.title.to_string())
}

#[test]
fn titles_arrive_whatever_their_shape_and_charset() {
    let mut rig = Rig::new(2, config()).with_mount(report("/live"));
    for (query, expected) in [
        ("song=Caf%C3%A9+%22q%22", "Café \"q\""),
        ("song=Caf%E9", "Café"),
        ("song=Caf%C3%A9&charset=latin1", "CafÃ©"),
        ("song=%CC%F3%E7%FB%EA%E0&charset=windows-1251", "Музыка"),
        ("artist=A&title=B", "A - B"),
        ("title=B", "B"),
        ("artist=A&title=B&song=S", "S"),
        ("song=a%0D%0Ab%00c", "a  b c"),
        ("song=", ""),
    ] {
        assert_eq!(title(&mut rig, query).as_deref(), Some(expected), "{query}");
    }
}

#[test]
fn what_an_update_leaves_out_stays() {
    let mut live = report("/live");
    live.metadata = Arc::new(Metadata::from_parts("A", "B"));
    let mut rig = Rig::new(1, config()).with_mount(live);
    let target = "/admin/metadata?mode=updinfo&mount=/live&url=http://x.example/";
    let (_, sent) = update(
        &mut rig,
        Some("admin:adm"),
        Ask {
            target,
            ..Ask::default()
        },
    );
    let sent = sent.expect("an update");
    assert_eq!(
        (&*sent.title, sent.url.as_deref()),
        ("A - B", Some("http://x.example/"))
    );
    assert_eq!(sent.artist.as_deref(), Some("A"));
}

#[test]
fn a_form_in_the_body_is_as_good_as_the_query() {
    let mut rig = Rig::new(1, config()).with_mount(report("/live"));
    let body = b"mount=/live&mode=updinfo&song=posted";
    let ask = Ask {
        method: "POST",
        target: "/admin/metadata",
        body,
        headers: &[],
    };
    let (answer, sent) = update(&mut rig, Some("source:src"), ask);
    assert_eq!(
        (answer.status, &*sent.expect("an update").title),
        (200, "posted")
    );
}

#[test]
fn only_the_source_and_the_admin_may_set_titles() {
    let mut rig = Rig::new(2, config())
        .with_mount(report("/live"))
        .with_mount(report("/own"));
    for (credentials, mount, good) in [
        (Some("source:src"), "/live", true),
        (Some("admin:adm"), "/live", true),
        (Some("source:own"), "/own", true),
        (Some("admin:adm"), "/own", true),
        (Some("source:src"), "/own", false),
        (Some("source:adm"), "/live", false),
        (Some("source:"), "/live", false),
        (Some("source:src"), "/none", false),
        (None, "/live", false),
    ] {
        let target = format!("/admin/metadata?mode=updinfo&song=x&mount={mount}");
        let (answer, sent) = update(
            &mut rig,
            credentials,
            Ask {
                target: &target,
                ..Ask::default()
            },
        );
        let status = match (good, mount) {
            (true, _) => 200,
            (false, "/none") => 400,
            (false, _) => 401,
        };
        assert_eq!(
            (answer.status, sent.is_some()),
            (status, good),
            "{credentials:?} {mount}"
        );
        let challenge = answer.header("www-authenticate").is_some();
        assert_eq!(challenge, status == 401, "{credentials:?} {mount}");
    }
}

#[test]
fn wrong_updates_get_icecasts_answers() {
    let mut gone = report("/gone");
    gone.state = SourceState::Gone { fallback: None };
    let mut rig = Rig::new(1, config())
        .with_mount(report("/live"))
        .with_mount(gone);
    for (query, status, message) in [
        (
            "mount=/none&mode=updinfo&song=x",
            400,
            "<b>400 - Source does not exist</b>",
        ),
        (
            "mount=/gone&mode=updinfo&song=x",
            400,
            "<b>400 - Source does not exist</b>",
        ),
        ("mount=/live&song=x", 400, "<b>400 - Missing parameter</b>"),
        ("mode=updinfo&song=x", 400, "<b>400 - Missing parameter</b>"),
        (
            "mount=/live&mode=x",
            200,
            "<message>No such action</message><return>0</return>",
        ),
    ] {
        let target = format!("/admin/metadata?{query}");
        let (answer, sent) = update(
            &mut rig,
            Some("admin:adm"),
            Ask {
                target: &target,
                ..Ask::default()
            },
        );
        assert_eq!((answer.status, sent), (status, None), "{query}");
        assert!(
            answer.text().contains(message),
            "{query}: {}",
            answer.text()
        );
    }
}
