//! Whole servers relayed: a real Icecast as master and as slave, and one of us of another.

use std::process::Command;

use super::harness::server::SOURCE_PASSWORD;
use super::harness::{Backend, Icecast, IcyReader, Server, Station, http, mpeg, wait_for};
use super::icecast::hear_both_titles;
use super::{Relaying, SOON, master};

crate::clients::on_both_backends!(
    icecast_is_our_master,
    icecast_relays_all_of_ours,
    a_master_of_ours_tells_what_everybody_may_know,
    what_is_there_already_wins_over_a_list,
    a_guarded_mount_is_open_to_whoever_relays_all,
    two_nodes_may_be_masters_of_each_other,
    what_icecast_relayed_is_relayed_after_the_import,
);

/// The other server's relay password, which the harness sets.
fn login() -> String {
    format!("password = '{SOURCE_PASSWORD}'")
}

fn wait_gone(relaying: &Relaying, mount: &str) {
    wait_for(&format!("{mount} is relayed no more"), SOON, || {
        relaying.relay(mount).is_none().then_some(())
    });
}

/// The first number in the element `name` of our own statistics.
fn count(server: &Server, name: &str) -> u64 {
    let stats = server.get_as_admin("/admin/stats").text();
    let (start, end) = (format!("<{name}>"), format!("</{name}>"));
    let (_, rest) = stats.split_once(&start).expect("it is counted");
    let (number, _) = rest.split_once(&end).expect("it ends");
    number.parse().expect("a number")
}

fn icecast_is_our_master(backend: Backend) {
    let icecast = Icecast::start("");
    let first = Station::play_to(icecast.address(), "/live", 0, 1.0);
    let relaying = Relaying::start(backend, &master(icecast.address(), &login()));
    let server = &relaying.server;
    server.wait_live("/live");
    let report = relaying.wait_state("/live", "live");
    assert_eq!(report["listed"], true, "{report}");
    assert_eq!(report["url"], format!("http://{}/live", icecast.address()));
    hear_both_titles(server.address(), "/live", icecast.address(), "/live");

    // One more comes, and the first one goes.
    let _second = Station::play_to(icecast.address(), "/a/second", 0, 1.0);
    server.wait_live("/a/second");
    let mut reader = IcyReader::open(server.address(), "/a/second");
    drop(first);
    wait_gone(&relaying, "/live");
    assert!(reader.listen_until(SOON, |reader| reader.audio.len() > 60_000));
    let heard = mpeg::read(&reader.audio).expect("every frame is right");
    assert_eq!(heard.jumps(), [], "the other relay does not notice");
    let report = relaying.master();
    assert_eq!(
        (&report["mounts"], &report["error"]),
        (&1.into(), &().into())
    );
    assert!(report["listed_at"].is_string(), "{report}");

    assert_eq!(count(server, "source_client_connections"), 0);
    assert!(count(server, "source_relay_connections") >= 2);
    assert_eq!(
        count(server, "source_total_connections"),
        count(server, "source_relay_connections")
    );
}

fn icecast_relays_all_of_ours(backend: Backend) {
    let relay_password = format!("auth.relay_password={SOURCE_PASSWORD}");
    let settings = [
        "mount_defaults.latency=instant",
        "mount_defaults.source_timeout_ms=0",
        &relay_password,
    ];
    let server = Server::start(backend, &settings);
    let first = Station::play(&server, "/live");
    server.wait_live("/live");
    let port = server.port();
    let icecast = Icecast::start(&format!(
        "<master-server>127.0.0.1</master-server><master-server-port>{port}</master-server-port>\
         <master-update-interval>1</master-update-interval>\
         <master-password>{SOURCE_PASSWORD}</master-password>"
    ));
    let has = |mount: &str| {
        let status = http::try_get(icecast.address(), "/status-json.xsl").ok()?;
        Some(status.text().contains(&format!("{mount}\"")))
    };
    wait_for("Icecast relays it", SOON, || {
        (has("/live") == Some(true)).then_some(())
    });
    hear_both_titles(icecast.address(), "/live", server.address(), "/live");

    let _second = Station::play(&server, "/second");
    wait_for("Icecast relays the second", SOON, || {
        (has("/second") == Some(true)).then_some(())
    });
    drop(first);
    wait_for("Icecast relays the first no more", SOON, || {
        (has("/live") == Some(false)).then_some(())
    });
    for (user, status) in [("relay", 200), ("admin", 401), ("source", 401)] {
        let authorization = http::basic(user, SOURCE_PASSWORD);
        let request = format!("GET /admin/streamlist.txt HTTP/1.0\r\n{authorization}\r\n");
        let answer = http::exchange(server.address(), request.as_bytes()).expect("an answer");
        assert_eq!(answer.status, status, "{user}");
    }
    let authorization = http::basic("relay", SOURCE_PASSWORD);
    let request = format!("GET /admin/stats HTTP/1.0\r\n{authorization}\r\n");
    let answer = http::exchange(server.address(), request.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 401, "the list and nothing else");
}

fn a_master_of_ours_tells_what_everybody_may_know(backend: Backend) {
    let origin = Server::start(backend, &["mount_defaults.latency=instant"]);
    let _stations = ["/one.mp3", "/two words.mp3", "/three.ogg", "/test.mp3"]
        .map(|mount| Station::play(&origin, &mount.replace(' ', "%20")));
    origin.wait_live("/test.mp3");
    let settings = "prefix = '/far'\nmounts = ['*.mp3']\nexcept = ['test']";
    let relaying = Relaying::start(backend, &master(origin.address(), settings));
    relaying.wait_state("/far/one.mp3", "live");
    relaying.wait_state("/far/two words.mp3", "live");
    let document = relaying.server.get_as_admin("/api/v1/relays").json();
    assert_eq!(
        document["relays"].as_array().map(Vec::len),
        Some(2),
        "{document}"
    );

    // On demand from now on, without a new list.
    relaying.reload(&master(
        origin.address(),
        &format!("{settings}\non_demand = true"),
    ));
    relaying.wait_state("/far/one.mp3", "idle");
    let mut reader = IcyReader::open(relaying.server.address(), "/far/two%20words.mp3");
    assert!(reader.listen_until(SOON, |reader| reader.audio.len() > 20_000));
    mpeg::read(&reader.audio).expect("every frame is right");

    relaying.reload("");
    wait_gone(&relaying, "/far/one.mp3");
    wait_gone(&relaying, "/far/two words.mp3");
}

fn what_is_there_already_wins_over_a_list(backend: Backend) {
    let icecast = Icecast::start("");
    let stations = ["/live", "/configured"];
    let _stations = stations.map(|mount| Station::play_to(icecast.address(), mount, 1_000, 1.0));
    let elsewhere = Server::start(backend, &["mount_defaults.latency=instant"]);
    let _elsewhere = Station::play(&elsewhere, "/x");
    elsewhere.wait_live("/x");
    let settings = format!(
        "{}[[relay]]\nmount = '/configured'\nurl = '{}'\n",
        master(icecast.address(), &login()),
        elsewhere.url("/x"),
    );
    let relaying = Relaying::start(backend, &settings);
    let server = &relaying.server;
    server.wait_live("/live");
    let report = relaying.wait_state("/configured", "live");
    assert_eq!(report["url"], elsewhere.url("/x"), "{report}");
    assert_eq!(report["listed"], false, "{report}");

    // A source of our own takes the mount, whose listeners stay; then the relay has it again.
    let mut reader = IcyReader::open(server.address(), "/live");
    let hears = |reader: &mut IcyReader, frames: std::ops::Range<u64>| {
        let heard = reader.listen_until(SOON, |reader| {
            let heard = mpeg::read(&reader.audio).expect("every frame is right");
            heard
                .frames
                .last()
                .is_some_and(|last| frames.contains(last))
        });
        assert!(heard, "{frames:?} are heard");
    };
    hears(&mut reader, 1_000..500_000);
    let own = Station::play_at(server, "/live", 500_000, 1.0);
    hears(&mut reader, 500_050..600_000);
    let report = relaying.wait_state("/live", "waiting");
    assert!(report["error"].is_string(), "{report}");
    drop(own);
    hears(&mut reader, 1_000..500_000);
    relaying.wait_state("/live", "live");
}

fn a_guarded_mount_is_open_to_whoever_relays_all(backend: Backend) {
    let folder = super::Scratch::new("guarded");
    std::fs::write(folder.file("users"), "ada:x\n").expect("the folder takes files");
    let guard = format!(
        "mount_defaults.listener_htpasswd={}",
        folder.file("users").display()
    );
    let relay_password = format!("auth.relay_password={SOURCE_PASSWORD}");
    let settings = ["mount_defaults.latency=instant", &guard, &relay_password];
    let origin = Server::start(backend, &settings);
    let _station = Station::play(&origin, "/members");
    origin.wait_live("/members");
    assert_eq!(origin.get("/members").status, 401);
    let relaying = Relaying::start(backend, &master(origin.address(), &login()));
    relaying.server.wait_live("/members");
    let mut reader = IcyReader::open(relaying.server.address(), "/members");
    assert!(reader.listen_until(SOON, |reader| reader.audio.len() > 20_000));
}

fn two_nodes_may_be_masters_of_each_other(backend: Backend) {
    let relay_password = format!("auth.relay_password={SOURCE_PASSWORD}");
    let settings = ["mount_defaults.source_timeout_ms=1500", &relay_password];
    let first = Relaying::start_with(backend, "", &settings);
    let second = master(first.server.address(), &login());
    let second = Relaying::start_with(backend, &second, &settings);
    first.reload(&master(second.server.address(), &login()));
    let stations = [(&first, "/one"), (&second, "/two")]
        .map(|(node, mount)| Station::play(&node.server, mount));
    second.server.wait_live("/one");
    first.server.wait_live("/two");
    drop(stations);
    for node in [&first, &second] {
        wait_gone(node, "/one");
        wait_gone(node, "/two");
    }
}

fn what_icecast_relayed_is_relayed_after_the_import(backend: Backend) {
    let icecast = Icecast::start("");
    let _station = Station::play_to(icecast.address(), "/live", 0, 1.0);
    let folder = super::Scratch::new("imported");
    let port = icecast.address().port();
    let settings = format!(
        "<icecast><limits><sources>7</sources></limits><master-server>127.0.0.1</master-server>\
         <master-server-port>{port}</master-server-port>\
         <master-update-interval>1</master-update-interval>\
         <master-password>{SOURCE_PASSWORD}</master-password>\
         <relays-on-demand>1</relays-on-demand></icecast>"
    );
    std::fs::write(folder.file("icecast.xml"), settings).expect("the folder takes files");
    let program = env!("CARGO_BIN_EXE_corecast");
    let imported = Command::new(program)
        .arg("import")
        .arg(folder.file("icecast.xml"))
        .output()
        .expect("corecast starts");
    assert!(imported.status.success(), "{imported:?}");
    let settings = String::from_utf8(imported.stdout).expect("TOML is text");
    let relaying = Relaying::start(backend, &settings);
    relaying.wait_state("/live", "idle");
    let mut reader = IcyReader::open(relaying.server.address(), "/live");
    assert!(reader.listen_until(SOON, |reader| reader.audio.len() > 20_000));
    relaying.wait_state("/live", "live");
}
