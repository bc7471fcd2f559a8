//! Icecast's admin commands, pages and playlists, as Icecast 2.4.4 answered them.

use corecast_mesh::message::{EndReason, SessionReport};

use super::*;

const ADMIN: &str = "admin:adm";

fn listener(mount: &str, shard: u16, number: u64, user_agent: &str) -> SessionReport {
    SessionReport {
        session: SessionId::new(ShardId(shard), number),
        publisher: false,
        mount: MountName::parse(mount).expect("a good name"),
        peer: "192.0.2.77:4000".parse().expect("an address"),
        user_agent: user_agent.into(),
        since: Time::from_millis(0),
        bytes: 10,
        lag: Duration::ZERO,
    }
}

/// Two shards with two mounts that are on air, one that is not, and listeners.
fn rig() -> Rig {
    let mut named = report("/a.mp3");
    named.info = Arc::new(SourceInfo {
        content_type: "audio/mpeg".into(),
        name: "R & <b>\"D\"</b>".into(),
        url: "javascript:alert(1)".into(),
        user_agent: "enc/1 <x>".into(),
        address: Some("192.0.2.5:99".parse().expect("an address")),
        public: true,
        ..SourceInfo::default()
    });
    named.metadata = Arc::new(Metadata::from_title("</title><script>1</script>"));
    let mut gone = report("/gone");
    gone.state = SourceState::Gone { fallback: None };
    let mut vorbis = report("/v.ogg");
    vorbis.info = Arc::new(SourceInfo {
        content_type: "application/ogg".into(),
        ..SourceInfo::default()
    });
    let mut rig = Rig::new(2, config())
        .with_mount(named)
        .with_mount(report("/b.mp3"))
        .with_mount(vorbis)
        .with_mount(gone);
    for (shard, number, agent) in [(1, 9, "</UserAgent>&\u{1b}"), (0, 4, "")] {
        let sessions = &mut rig.shards[usize::from(shard)]
            .as_mut()
            .expect("it runs")
            .sessions;
        sessions.push(listener("/a.mp3", shard, number, agent));
        sessions.push(listener("/b.mp3", shard, number + 1, "other"));
        sessions.push(SessionReport {
            publisher: true,
            ..listener("/a.mp3", shard, number + 2, "source")
        });
    }
    rig
}

fn ask(rig: &mut Rig, credentials: &str, target: &str) -> Answer {
    let authorization = basic(credentials);
    let mut headers = vec![("host", "radio.example:8000")];
    if !credentials.is_empty() {
        headers.push(("authorization", authorization.as_str()));
    }
    rig.heard.clear();
    rig.ask(Ask {
        target,
        headers: &headers,
        ..Ask::default()
    })
}

/// The message and the number of an `iceresponse`.
fn check_response(rig: &mut Rig, target: &str, message: &str, success: u8) {
    let answer = ask(rig, ADMIN, target);
    let expected = format!(
        "<?xml version=\"1.0\"?>\n<iceresponse><message>{message}</message>\
         <return>{success}</return></iceresponse>\n"
    );
    assert_eq!(
        (answer.status, answer.text()),
        (200, &*expected),
        "{target}"
    );
    assert_eq!(
        answer.header("content-type"),
        Some("text/xml; charset=utf-8")
    );
}

#[test]
fn wrong_commands_get_icecasts_errors() {
    let mut rig = rig();
    for (credentials, target, status, message) in [
        (ADMIN, "nonsense", 400, "Unrecognised command"),
        ("", "!POKE", 400, "Unrecognised command"),
        (ADMIN, "listmounts.xml", 400, "Unrecognised command"),
        (ADMIN, "buildm3u.xsl", 400, "Unrecognised command"),
        (ADMIN, "listclients", 400, "Unknown admin request"),
        (ADMIN, "killsource", 400, "Unknown admin request"),
        (ADMIN, "stats?mount=/none", 400, "Source does not exist"),
        (
            ADMIN,
            "listclients?mount=/gone",
            400,
            "Source does not exist",
        ),
        (
            ADMIN,
            "killsource?mount=a.mp3",
            400,
            "Source does not exist",
        ),
        (ADMIN, "killclient?mount=/a.mp3", 400, "Missing parameter"),
        (ADMIN, "fallbacks?mount=/a.mp3", 400, "Missing parameter"),
        (
            ADMIN,
            "fallbacks?mount=/a.mp3&fallback=x",
            400,
            "No such destination",
        ),
        (
            ADMIN,
            "moveclients?mount=/a.mp3&destination=/gone",
            400,
            "No such destination",
        ),
        (
            ADMIN,
            "moveclients?mount=/a.mp3&destination=/a.mp3",
            400,
            "supplied mountpoints are identical",
        ),
        (ADMIN, "manageauth?mount=/a.mp3", 400, "missing parameter"),
    ] {
        let answer = ask(&mut rig, credentials, &format!("/admin/{target}"));
        let page = format!(
            "<html><head><title>Error {status}</title></head>\
             <body><b>{status} - {message}</b></body></html>\r\n"
        );
        assert_eq!((answer.status, answer.text()), (status, &*page), "{target}");
    }
    assert!(rig.heard.is_empty(), "{:?}", rig.heard);
}

#[test]
fn a_source_may_only_what_is_about_its_mount() {
    let mut rig = rig();
    for (credentials, target, status) in [
        ("", "stats", 401),
        ("", "", 401),
        ("admin:x", "stats", 401),
        ("source:src", "stats", 401),
        ("source:src", "listmounts", 401),
        ("source:src", "listclients?mount=/a.mp3", 200),
        ("source:src", "stats?mount=/a.mp3", 200),
        ("source:src", "killsource?mount=/a.mp3", 200),
        ("source:own", "listclients?mount=/a.mp3", 401),
        ("source:src", "listclients?mount=/own", 401),
        (ADMIN, "", 200),
        (ADMIN, "streamlist", 200),
    ] {
        let answer = ask(&mut rig, credentials, &format!("/admin/{target}"));
        assert_eq!(answer.status, status, "{credentials} {target}");
        let challenge = answer.header("www-authenticate").is_some();
        assert_eq!(challenge, status == 401, "{credentials} {target}");
    }
}

#[test]
fn mounts_and_their_listeners_are_listed() {
    let mut rig = rig();
    let connected = |text: &str| {
        let mut cut = text.split("<Connected>");
        let mut out = cut.next().unwrap_or_default().to_owned();
        for part in cut {
            out.push_str("<Connected>N");
            out.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
        }
        out
    };
    let answer = ask(&mut rig, ADMIN, "/admin/listmounts");
    let mount = |name: &str, kind: &str| {
        format!(
            "<source mount=\"{name}\"><fallback></fallback><listeners>3</listeners>\
             <Connected>N</Connected><content-type>{kind}</content-type></source>"
        )
    };
    let (b, v) = (
        mount("/b.mp3", "audio/mpeg"),
        mount("/v.ogg", "application/ogg"),
    );
    let a = mount("/a.mp3", "audio/mpeg");
    let start = "<?xml version=\"1.0\"?>\n<icestats>";
    let expected = format!("{start}{a}{b}{v}</icestats>\n");
    assert_eq!(connected(answer.text()), expected);
    let answer = ask(&mut rig, ADMIN, "/admin/moveclients?mount=/a.mp3");
    let expected = format!("{start}<current_source>/a.mp3</current_source>{b}{v}</icestats>\n");
    assert_eq!(connected(answer.text()), expected);
    let answer = ask(&mut rig, ADMIN, "/admin/streamlist.txt");
    assert_eq!(answer.text(), "/a.mp3\n/b.mp3\n/v.ogg\n");

    let answer = ask(&mut rig, ADMIN, "/admin/listclients?mount=/a.mp3");
    let client = |agent: &str, id: u64| {
        format!(
            "<listener><IP>192.0.2.77</IP><UserAgent>{agent}</UserAgent>\
             <Connected>N</Connected><ID>{id}</ID></listener>"
        )
    };
    let (first, second) = (
        client("Unknown", 4),
        client("&lt;/UserAgent&gt;&amp;\u{fffd}", (1 << 48) + 9),
    );
    let expected = format!(
        "{start}<source mount=\"/a.mp3\"><Listeners>2</Listeners>{first}{second}</source>\
         </icestats>\n"
    );
    assert_eq!(connected(answer.text()), expected);
}

#[test]
fn what_decides_about_listeners_is_named() {
    let mut hooked = config();
    hooked.mount_defaults.hook_listener_add = "http://hook.example/".into();
    let mut filed = hooked.clone();
    filed.mount_defaults.listener_htpasswd = "/users".into();
    for (config, name) in [(hooked, "url"), (filed, "htpasswd")] {
        let mut rig = Rig::new(1, config).with_mount(report("/a.mp3"));
        let expected = format!("<authenticator>{name}</authenticator>");
        for target in ["/admin/listmounts", "/admin/stats"] {
            let answer = ask(&mut rig, ADMIN, target);
            assert!(answer.text().contains(&expected), "{}", answer.text());
        }
        let answer = ask(&mut rig, ADMIN, "/admin/manageauth?mount=/a.mp3");
        let nobody = "<icestats><source mount=\"/a.mp3\"/></icestats>\n";
        assert!(answer.text().ends_with(nobody), "{}", answer.text());
    }
}

#[test]
fn the_statistics_are_those_of_the_status_and_more() {
    let mut rig = rig();
    let answer = ask(&mut rig, ADMIN, "/admin/stats?mount=/a.mp3");
    assert_eq!(
        answer.text(),
        ask(&mut rig, ADMIN, "/admin/stats.xml?mount=/a.mp3").text()
    );
    let text = answer.text();
    for part in [
        "<icestats><admin>ops@radio.example</admin><client_connections>0</client_connections>",
        "<stats_connections>0</stats_connections><source mount=\"/a.mp3\"><genre>various</genre>",
        "<listenurl>http://radio.example:8000/a.mp3</listenurl>\
         <max_listeners>unlimited</max_listeners><public>1</public>",
        "<server_name>R &amp; &lt;b&gt;\"D\"&lt;/b&gt;</server_name>",
        "<slow_listeners>0</slow_listeners><source_ip>192.0.2.5</source_ip>",
        "<title>&lt;/title&gt;&lt;script&gt;1&lt;/script&gt;</title>\
         <total_bytes_read>1000</total_bytes_read><total_bytes_sent>0</total_bytes_sent>\
         <user_agent>enc/1 &lt;x&gt;</user_agent></source></icestats>",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let all = ask(&mut rig, ADMIN, "/admin/stats");
    assert_eq!(all.text().matches("<source mount=").count(), 3);
}

#[test]
fn a_listener_is_ended_by_the_number_that_was_listed() {
    let mut rig = rig();
    let id = (1_u64 << 48) + 9;
    let target = format!("/admin/killclient?mount=/a.mp3&id={id}");
    check_response(&mut rig, &target, &format!("Client {id} removed"), 1);
    let heard = rig.heard.pop();
    assert!(
        matches!(
            heard,
            Some((ShardId(1), FromControl::EndSession { session, reason: EndReason::Killed }))
                if session.as_u64() == id
        ),
        "{heard:?}"
    );
    for (id, shown) in [("5", "5"), ("6", "6"), ("x", "0"), ("-1", "0"), ("", "0")] {
        let target = format!("/admin/killclient?mount=/a.mp3&id={id}");
        check_response(&mut rig, &target, &format!("Client {shown} not found"), 0);
        assert!(rig.heard.is_empty(), "{:?}", rig.heard);
    }
}

#[test]
fn a_source_is_ended_at_the_home_of_its_mount() {
    let mut rig = rig();
    check_response(
        &mut rig,
        "/admin/killsource?mount=/a.mp3",
        "Source Removed",
        1,
    );
    let home = rig
        .topology
        .home(&MountName::parse("/a.mp3").expect("good"));
    let heard = rig.heard.pop();
    assert!(
        matches!(&heard, Some((shard, FromControl::EndSource { mount }))
            if *shard == home && mount.as_str() == "/a.mp3"),
        "{heard:?}"
    );
}

#[test]
fn listeners_move_on_every_shard_and_only_to_their_kind() {
    let mut rig = rig();
    let target = "/admin/moveclients?mount=/a.mp3&destination=/b.mp3";
    check_response(&mut rig, target, "Clients moved from /a.mp3 to /b.mp3", 1);
    let moved = |(shard, message): &(ShardId, FromControl)| match message {
        FromControl::MoveListeners { from, to } => {
            assert_eq!((from.as_str(), to.as_str()), ("/a.mp3", "/b.mp3"));
            shard.0
        }
        other => panic!("{other:?}"),
    };
    let mut shards: Vec<u16> = rig.heard.iter().map(moved).collect();
    shards.sort_unstable();
    assert_eq!(shards, [0, 1]);
    let message = "Clients of /a.mp3 cannot read what /v.ogg sends";
    let target = "/admin/moveclients?mount=/a.mp3&destination=/v.ogg";
    check_response(&mut rig, target, message, 0);
    assert!(rig.heard.is_empty(), "{:?}", rig.heard);
}

#[test]
fn a_fallback_holds_until_the_settings_are_read_again() {
    let mut rig = rig();
    let fallback = |rig: &mut Rig| {
        let answer = ask(rig, ADMIN, "/admin/listmounts");
        let text = answer.text();
        let from = text.find("<fallback>").expect("a fallback") + 10;
        let to = text.find("</fallback>").expect("its end");
        text[from..to].to_owned()
    };
    assert_eq!(fallback(&mut rig), "");
    let answer = ask(
        &mut rig,
        ADMIN,
        "/admin/fallbacks?mount=/a.mp3&fallback=/b.mp3",
    );
    let page = "<html><head><title>Admin request successful</title></head>\
                <body><p>Fallback configured</p></body></html>";
    assert_eq!((answer.status, answer.text()), (200, page));
    let told = |(_, message): &(ShardId, FromControl)| match message {
        FromControl::Reload(config) => config.mount("/a.mp3").fallback == "/b.mp3",
        _ => false,
    };
    let before = rig.heard.iter().filter(|heard| told(heard)).count();
    assert_eq!(fallback(&mut rig), "/b.mp3");
    let after = rig.heard.iter().filter(|heard| told(heard)).count();
    assert_eq!(before + after, 2, "each shard hears of it once");
    let answer = ask(&mut rig, ADMIN, "/admin/fallbacks?mount=/a.mp3&fallback=");
    assert_eq!((answer.status, fallback(&mut rig)), (200, String::new()));
    let _ = ask(
        &mut rig,
        ADMIN,
        "/admin/fallbacks?mount=/a.mp3&fallback=/b.mp3",
    );
    rig.handle.reload(Arc::new(config()));
    let deadline = Instant::now() + PATIENCE;
    while !fallback(&mut rig).is_empty() {
        assert!(Instant::now() < deadline, "the reload was not heard");
    }
}

#[test]
fn heads_and_pages_of_others_change_nothing() {
    let mut rig = rig();
    let authorization = basic(ADMIN);
    let headers = [("authorization", &*authorization)];
    let ask = Ask {
        method: "HEAD",
        target: "/admin/killsource?mount=/a.mp3",
        headers: &headers,
        ..Ask::default()
    };
    assert_eq!(rig.ask(ask).status, 400);
    assert!(rig.heard.is_empty(), "{:?}", rig.heard);
    for (site, status) in [
        ("cross-site", 403),
        ("same-site", 403),
        ("same-origin", 200),
    ] {
        let headers = [("authorization", &*authorization), ("sec-fetch-site", site)];
        for target in [
            "/admin/killsource?mount=/a.mp3",
            "/admin/killclient?mount=/a.mp3&id=7",
            "/admin/moveclients?mount=/a.mp3&destination=/b.mp3",
            "/admin/fallbacks?mount=/a.mp3&fallback=/b.mp3",
        ] {
            let headers = &headers;
            let answer = rig.ask(Ask {
                target,
                headers,
                ..Ask::default()
            });
            assert_eq!(answer.status, status, "{site} {target}");
        }
    }
}

#[test]
fn pages_show_hostile_words_as_words() {
    let mut rig = rig();
    for target in [
        "/status.xsl",
        "/server_version.xsl",
        "/admin/",
        "/admin/stats.xsl",
        "/admin/listmounts.xsl",
        "/admin/listclients.xsl?mount=/a.mp3",
        "/admin/moveclients.xsl?mount=/a.mp3",
        "/admin/updatemetadata.xsl?mount=/a.mp3",
        "/admin/killclient.xsl?mount=/a.mp3&id=1",
        "/admin/metadata.xsl?mount=/a.mp3&mode=updinfo&song=x",
    ] {
        let answer = ask(&mut rig, ADMIN, target);
        assert_eq!(answer.status, 200, "{target}");
        assert_eq!(
            answer.header("content-type"),
            Some("text/html; charset=UTF-8")
        );
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.starts_with("default-src 'none'"), "{target}");
        for bad in ["<script", "<b>", "<x>", "\"javascript:", "</UserAgent>"] {
            assert!(!answer.text().contains(bad), "{bad} in {target}");
        }
    }
    let answer = ask(&mut rig, "", "/status.xsl");
    for part in [
        "<h3 class=\"mount\">Mount Point /a.mp3</h3>",
        "<td>Stream Name:</td><td class=\"streamstats\">R &amp; &lt;b&gt;",
        "<td>Listeners (current):</td><td class=\"streamstats\">3</td>",
        "<td>Listeners (peak):</td><td class=\"streamstats\">5</td>",
        "<td>Stream URL:</td><td class=\"streamstats\">javascript:alert(1)</td>",
        "<td>Currently playing:</td><td class=\"streamstats\">&lt;/title&gt;",
    ] {
        assert!(answer.text().contains(part), "{part} in {}", answer.text());
    }
    assert!(!answer.text().contains("/gone"));
}

#[test]
fn players_find_playlists_of_mounts_that_there_are() {
    let mut rig = rig();
    for (path, status, kind, part) in [
        (
            "/a.mp3.m3u",
            200,
            "audio/x-mpegurl",
            "http://radio.example:8000/a.mp3\r\n",
        ),
        (
            "/own.m3u",
            200,
            "audio/x-mpegurl",
            "http://radio.example:8000/own\r\n",
        ),
        (
            "/a.mp3.pls",
            200,
            "audio/x-scpls",
            "\nFile1=http://radio.example:8000/a.mp3\n",
        ),
        (
            "/a.mp3.xspf",
            200,
            "application/xspf+xml; charset=UTF-8",
            "<location>http://radio.example:8000/a.mp3</location>",
        ),
        (
            "/a.mp3.vclt",
            200,
            "audio/x-vclt; charset=UTF-8",
            "STREAMURL=http://radio.example:8000/a.mp3\n",
        ),
        ("/none.m3u", 404, "application/problem+json", "404"),
        ("/gone.pls", 404, "application/problem+json", "404"),
    ] {
        let answer = ask(&mut rig, "", path);
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (status, Some(kind)),
            "{path}"
        );
        assert!(answer.text().contains(part), "{path}: {}", answer.text());
    }
    let answer = ask(
        &mut rig,
        "",
        "/admin/buildm3u?mount=/a.mp3&username=u@x&password=a%0D%0A%2Fb",
    );
    let expected = "http://u%40x:a%0D%0A%2Fb@radio.example:8000/a.mp3\r\n";
    assert_eq!((answer.status, answer.text()), (200, expected));
}

#[test]
fn shoutcast_sources_set_titles_by_their_password() {
    let mut rig = rig().with_mount(report("/stream"));
    for (query, status, good) in [
        ("pass=src&mode=updinfo&song=New", 200, true),
        ("pass=src&mode=updinfo&song=New&mount=/a.mp3", 200, true),
        ("pass=x&mode=updinfo&song=New", 401, false),
        ("mode=updinfo&song=New", 401, false),
        ("pass=adm&mode=updinfo&song=New", 401, false),
        ("pass=src&mode=viewxml", 200, false),
    ] {
        let answer = ask(&mut rig, "", &format!("/admin.cgi?{query}"));
        assert_eq!(answer.status, status, "{query}");
        let sent = rig.heard.iter().any(|(_, message)| {
            let FromControl::SetMetadata { metadata, .. } = message else {
                return false;
            };
            &*metadata.title == "New"
        });
        assert_eq!(sent, good, "{query}");
    }
}
