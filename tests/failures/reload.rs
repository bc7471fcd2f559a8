//! SIGHUP under load.

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::crowd::{self, Crowd};
use super::harness::{Backend, IcyReader, Scratch, Server, Station, wait_for};

const SOON: Duration = Duration::from_secs(10);

crate::clients::on_both_backends!(a_reload_changes_limits_and_drops_nobody);

fn lines_with<'a>(log: &'a str, what: &str) -> Vec<&'a str> {
    log.lines().filter(|line| line.contains(what)).collect()
}

fn a_reload_changes_limits_and_drops_nobody(backend: Backend) {
    let folder = Scratch::new("reload");
    let file = folder.file("corecast.toml");
    let write = |text: &str| std::fs::write(&file, text).expect("the folder takes files");
    write("[limits]\nlisteners_max = 30\n[mount_defaults]\nlatency = \"live\"\n");
    let mut command = Command::new(env!("CARGO_BIN_EXE_corecast"));
    command.arg("run").arg("--config").arg(&file);
    let server = Server::launch_with(command, backend, &[]);
    server.wait_ready();
    let station = Station::play(&server, "/live");
    server.wait_live("/live");
    let crowd = Crowd::join(server.address(), "/live", 30);
    assert_eq!(server.get("/live").status, 503, "full");

    // More room, another block interval for those who come, and two things that must wait.
    write(
        "[limits]\nlisteners_max = 31\nidle_timeout_ms = 12345\nconnections_max = 500\n\
         [log]\njson = true\n\
         [mount_defaults]\nlatency = \"live\"\nmetaint_bytes = 4096\n",
    );
    server.signal(Signal::HUP);
    let reloaded = |count: usize| {
        wait_for("the server has reloaded", SOON, || {
            (lines_with(&server.log(), "reloaded ").len() == count).then_some(())
        });
    };
    reloaded(1);
    let reader = wait_for("there is room for one more", SOON, || {
        let ask = "GET /live HTTP/1.1\r\nHost: test\r\nIcy-MetaData: 1\r\n\r\n";
        let reader = IcyReader::ask(server.address(), ask).expect("the server answers");
        (reader.answer.status == 200).then_some(reader)
    });
    assert_eq!(reader.answer.header("icy-metaint"), Some("4096"));
    assert_eq!(server.get("/live").status, 503, "full again");
    let log = server.log();
    let changes = lines_with(&log, "reload: ");
    assert_eq!(changes.len(), 5, "{changes:#?}");
    for (key, waits) in [
        ("limits.listeners_max", false),
        ("limits.idle_timeout_ms", false),
        ("mount_defaults.metaint_bytes", false),
        ("limits.connections_max", true),
        ("log.json", true),
    ] {
        let line = changes.iter().find(|line| line.contains(key));
        let line = line.unwrap_or_else(|| panic!("{key} is not in {changes:#?}"));
        assert_eq!(line.contains("restart"), waits, "{line}");
    }
    let summary = lines_with(&log, "reloaded ");
    assert!(
        summary[0].contains("changes=5") && summary[0].contains("waiting=2"),
        "{summary:?}"
    );

    // A bad file: every fault is named, and what held goes on.
    write("[limits]\nlisteners_max = 0\nno_such_key = 1\n[mount_defaults]\nlatency = \"soon\"\n");
    server.signal(Signal::HUP);
    wait_for("the faults are told", SOON, || {
        server.log().contains("not reloaded").then_some(())
    });
    let log = server.log();
    let faults = lines_with(&log, "fault in the settings");
    for (what, place) in [
        ("listeners_max", "corecast.toml:2"),
        ("no_such_key", "corecast.toml:3"),
        ("latency", "corecast.toml:5"),
    ] {
        let told = faults
            .iter()
            .any(|line| line.contains(what) && line.contains(place));
        assert!(told, "{what} at {place}: {faults:#?}");
    }
    assert_eq!(faults.len(), 3, "{faults:#?}");
    assert_eq!(server.get("/live").status, 503, "still full at 31");

    // No file at all is a fault like any other; the same again is no change.
    std::fs::remove_file(&file).expect("it was there");
    server.signal(Signal::HUP);
    wait_for("the missing file is told", SOON, || {
        (lines_with(&server.log(), "not reloaded").len() == 2).then_some(())
    });
    write(
        "[limits]\nlisteners_max = 31\nidle_timeout_ms = 12345\n[mount_defaults]\n\
         latency = \"live\"\nmetaint_bytes = 4096\n",
    );
    server.signal(Signal::HUP);
    reloaded(2);
    let log = server.log();
    assert!(
        lines_with(&log, "reloaded ")[1].contains("changes=0"),
        "what waits for a restart was taken back: {log}"
    );
    wait_for("there is something to compare", SOON, || {
        (station.next_frame() > 120).then_some(())
    });
    let heard = crowd.leave();
    assert!(
        heard.iter().all(|heard| heard.end.is_none()),
        "nobody was dropped"
    );
    crowd::assert_exact(&heard, station.next_frame(), 1);
    assert!(station.is_playing());
}
