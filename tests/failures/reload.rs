//! SIGHUP under load.

use std::path::PathBuf;
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

/// What the file says after the first reload, but for what waits for a restart.
const RELOADED: &str = "[limits]\nlisteners_max = 31\nidle_timeout_ms = 12345\n[mount_defaults]\n\
     latency = \"live\"\nmetaint_bytes = 4096\n";

/// A server whose settings are in a file that changes.
struct Reloading {
    file: PathBuf,
    _folder: Scratch,
    server: Server,
}

impl Reloading {
    fn start(backend: Backend, text: &str) -> Self {
        let folder = Scratch::new("reload");
        let file = folder.file("corecast.toml");
        std::fs::write(&file, text).expect("the folder takes files");
        let mut command = Command::new(env!("CARGO_BIN_EXE_corecast"));
        command.arg("run").arg("--config").arg(&file);
        let server = Server::launch_with(command, backend, &[]);
        server.wait_ready();
        Reloading {
            file,
            _folder: folder,
            server,
        }
    }

    /// Tells the server of another text, or of no file, and waits until the log has `count` lines
    /// with `told`.
    fn reload(&self, text: Option<&str>, told: &str, count: usize) -> String {
        match text {
            Some(text) => std::fs::write(&self.file, text).expect("the folder takes files"),
            None => std::fs::remove_file(&self.file).expect("it was there"),
        }
        self.server.signal(Signal::HUP);
        wait_for(told, SOON, || {
            let log = self.server.log();
            (lines_with(&log, told).len() == count).then_some(log)
        })
    }
}

fn a_reload_changes_limits_and_drops_nobody(backend: Backend) {
    let text = "[limits]\nlisteners_max = 30\n[mount_defaults]\nlatency = \"live\"\n";
    let reloading = Reloading::start(backend, text);
    let server = &reloading.server;
    let station = Station::play(server, "/live");
    server.wait_live("/live");
    let crowd = Crowd::join(server.address(), "/live", 30);
    assert_eq!(server.get("/live").status, 503, "full");

    // More room, another block interval for those who come, and two things that must wait.
    let text = RELOADED.replace(
        "[mount",
        "connections_max = 500\n[log]\njson = true\n[mount",
    );
    let log = reloading.reload(Some(&text), "reloaded ", 1);
    let reader = wait_for("there is room for one more", SOON, || {
        let ask = "GET /live HTTP/1.1\r\nHost: test\r\nIcy-MetaData: 1\r\n\r\n";
        let reader = IcyReader::ask(server.address(), ask).expect("the server answers");
        (reader.answer.status == 200).then_some(reader)
    });
    assert_eq!(reader.answer.header("icy-metaint"), Some("4096"));
    assert_eq!(server.get("/live").status, 503, "full again");
    assert_changes(&log);

    // Bad settings: what held goes on. The same again is no change.
    let bad = "[limits]\nlisteners_max = 0\nno_such_key = 1\n\
         [mount_defaults]\nlatency = \"soon\"\n";
    assert_faults(&reloading.reload(Some(bad), "not reloaded", 1));
    assert_eq!(server.get("/live").status, 503, "still full at 31");
    reloading.reload(None, "not reloaded", 2);
    let log = reloading.reload(Some(RELOADED), "reloaded ", 2);
    assert!(
        lines_with(&log, "reloaded ")[1].contains("changes=0"),
        "what waited for a restart was taken back: {log}"
    );
    wait_for("there is something to compare", SOON, || {
        (station.next_frame() > 120).then_some(())
    });
    let heard = crowd.leave();
    assert!(
        heard.iter().all(|heard| heard.end.is_none()),
        "nobody was dropped"
    );
    crowd::assert_exact(&heard, station.next_frame(), 0);
    assert!(station.is_playing());
}

/// The log of the first reload names each change, and what waits for a restart.
fn assert_changes(log: &str) {
    let changes = lines_with(log, "reload: ");
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
    assert_eq!(changes.len(), 5, "{changes:#?}");
    let summary = lines_with(log, "reloaded ");
    assert!(
        summary[0].contains("changes=5") && summary[0].contains("waiting=2"),
        "{summary:?}"
    );
}

/// The log of the bad file names every fault and its place.
fn assert_faults(log: &str) {
    let faults = lines_with(log, "fault in the settings");
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
}
