//! Masters that hang, lie and die take no relay away.

use super::harness::server::Port;
use super::harness::{Backend, IcyReader, Station, mpeg, wait_for};
use super::origin::{Origin, STREAM};
use super::{Relaying, SOON, master};

crate::clients::on_both_backends!(
    a_master_that_hangs_or_lies_takes_nothing_away,
    a_master_that_dies_is_waited_for,
    a_hostile_list_is_taken_within_bounds,
    a_long_list_is_no_storm,
);

const LOGIN: &str = "password = 'tell nobody'\ntimeout_ms = 500";

fn list(mounts: &str) -> Vec<u8> {
    let head = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n";
    [head.as_bytes(), mounts.as_bytes()].concat()
}

/// Waits until the master's error contains `why`.
fn wait_error(relaying: &Relaying, why: &str) {
    wait_for(&format!("the error says {why:?}"), SOON, || {
        let report = relaying.master();
        let error = report["error"].as_str()?;
        error.contains(why).then_some(())
    });
}

fn a_master_that_hangs_or_lies_takes_nothing_away(backend: Backend) {
    let port = Port::take();
    let origin = Origin::serve(port.address(), STREAM, 100);
    origin.set_list(Some(&list("/live\n")));
    let relaying = Relaying::start(backend, &master(port.address(), LOGIN));
    relaying.server.wait_live("/live");
    let since = relaying.wait_state("/live", "live")["since"].clone();
    let mut reader = IcyReader::open(relaying.server.address(), "/live");

    let huge = list(&"/live\n".repeat(60_000));
    let endless_head = vec![b'x'; 100_000];
    let answer = |text: &str| text.as_bytes().to_vec();
    for (lie, why) in [
        (None, "no answer in time"),
        (Some(huge), "more than"),
        (Some(endless_head), ""),
        (Some(Vec::new()), ""),
        (
            Some(list("<html>\n<p>Welcome</p>\n</html>\n")),
            "no list of mounts",
        ),
        (
            Some([list("\0\x01"), vec![0xff; 900]].concat()),
            "no list of mounts",
        ),
        (Some(answer("HTTP/1.0 401 No\r\n\r\n/x\n")), "answered 401"),
        (
            Some(answer(
                "HTTP/1.0 302 No\r\nLocation: /admin/streamlist.txt\r\n\r\n",
            )),
            "answered 302",
        ),
        (
            Some(answer("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n/x\n")),
            "",
        ),
    ] {
        origin.set_list(lie.as_deref());
        let asked = origin.list_requests().len();
        wait_error(&relaying, why);
        // The error may be that of the lie before: a whole new round has to say so too.
        wait_for("it is asked again", SOON, || {
            (origin.list_requests().len() >= asked + 3).then_some(())
        });
        wait_error(&relaying, why);
        assert!(relaying.relay("/x").is_none(), "half a list is none");
    }
    let asked = &origin.list_requests()[0];
    assert!(
        asked.contains("uthorization: Basic cmVsYXk6dGVsbCBub2JvZHk=\r\n"),
        "{asked}"
    );

    origin.set_list(Some(&list("/live\n/x\n")));
    relaying.wait_state("/x", "live");
    assert_eq!(relaying.wait_state("/live", "live")["since"], since);
    assert!(reader.listen_until(SOON, |reader| reader.audio.len() > 60_000));
    let heard = mpeg::read(&reader.audio).expect("every frame is right");
    assert_eq!(heard.jumps(), [], "the listener noticed nothing");
    assert!(relaying.master()["error"].is_null());
    assert!(!relaying.server.log().contains("tell nobody"));
    // An empty list is a list.
    origin.set_list(Some(&list("")));
    wait_for("nothing is relayed", SOON, || {
        (relaying.relay("/live").is_none() && relaying.relay("/x").is_none()).then_some(())
    });
}

fn a_master_that_dies_is_waited_for(backend: Backend) {
    let port = Port::take();
    let origin = Origin::serve(port.address(), STREAM, 1_000);
    origin.set_list(Some(&list("/live\n")));
    let relaying = Relaying::start(backend, &master(port.address(), LOGIN));
    relaying.server.wait_live("/live");
    let mut reader = IcyReader::open(relaying.server.address(), "/live");
    drop(origin);
    relaying.wait_state("/live", "waiting");
    wait_error(&relaying, "");
    let origin = Origin::serve(port.address(), STREAM, 5_000);
    origin.set_list(Some(&list("/live\n")));
    let heard = reader.listen_until(SOON, |reader| {
        let heard = mpeg::read(&reader.audio).expect("every frame is right");
        heard.frames.last().is_some_and(|last| *last >= 5_050)
    });
    assert!(heard, "the listener outlives its master");
    wait_for("the list is taken again", SOON, || {
        relaying.master()["error"].is_null().then_some(())
    });
}

fn a_hostile_list_is_taken_within_bounds(backend: Backend) {
    let port = Port::take();
    let origin = Origin::serve(port.address(), STREAM, 100);
    let names = [
        "/live",
        "http://elsewhere.example/x",
        "//elsewhere.example/x",
        "/../../etc/passwd",
        "/admin/stats",
        "/status-json.xsl",
        "/<script>",
        "/a\u{1b}[31m",
        "/live?x=y",
    ];
    let many: String = (0..2_000).map(|at| format!("/m{at}\n")).collect();
    origin.set_list(Some(&list(&format!("{}\n{many}", names.join("\n")))));
    let settings = format!("{LOGIN}\non_demand = true");
    let relaying = Relaying::start(backend, &master(port.address(), &settings));
    relaying.wait_state("/live", "idle");
    let relays = wait_for("a thousand are relayed", SOON, || {
        let document = relaying.server.get_as_admin("/api/v1/relays").json();
        let relays = document["relays"].as_array()?.clone();
        (relays.len() == 1_000).then_some(relays)
    });
    let bad = |relay: &serde_json::Value| {
        let mount = relay["mount"].as_str().unwrap_or_default();
        mount != "/live" && !mount.starts_with("/m")
    };
    assert!(!relays.iter().any(bad), "{relays:?}");
    assert!(
        origin
            .requests()
            .iter()
            .all(|request| request.starts_with("GET /admin/"))
    );
    assert_eq!(relaying.master()["mounts"], 1_000);
    // Only what was asked for is taken from it.
    let mut reader = IcyReader::open(relaying.server.address(), "/m7");
    assert!(reader.listen_until(SOON, |reader| reader.audio.len() > 20_000));
    assert_eq!(
        relaying.wait_state("/m7", "live")["url"],
        format!("http://{}/m7", port.address())
    );
}

fn a_long_list_is_no_storm(backend: Backend) {
    let port = Port::take();
    let origin = Origin::serve(port.address(), STREAM, 100);
    let many: String = (0..400).map(|at| format!("/m{at}\n")).collect();
    origin.set_list(Some(&list(&many)));
    let settings = ["limits.sources_max=5"];
    let relaying = Relaying::start_with(backend, &master(port.address(), LOGIN), &settings);
    let count = |state: &str| {
        let document = relaying.server.get_as_admin("/api/v1/relays").json();
        let relays = document["relays"].as_array().expect("a list").clone();
        let is_so = |relay: &&serde_json::Value| relay["state"] == state;
        relays.iter().filter(is_so).count()
    };
    wait_for("four are live and the others wait", SOON, || {
        (count("live") == 4 && count("waiting") == 396).then_some(())
    });
    let streams = origin.requests().len() - origin.list_requests().len();
    assert!(streams < 200, "{streams} streams were asked for");
    let _station = Station::play(&relaying.server, "/own");
    let why = "left to sources that come themselves";
    let document = relaying.server.get_as_admin("/api/v1/relays").text();
    assert!(document.matches(why).count() > 300, "{document}");
}
