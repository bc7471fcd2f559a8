//! A directory of ours that adds, touches and removes, or does not.

use std::time::Duration;

use corecast_mesh::message::Event;

use super::script::{Call, Manner, Script};
use super::*;

const ADDED: &str =
    "HTTP/1.0 200 OK\r\nYPResponse: 1\r\nYPMessage: Added\r\nSID: a b&c\r\nTouchFreq: 1\r\n\r\n";
const GOOD: &str =
    "HTTP/1.1 200 OK\r\nYPResponse: 1\r\nYPMessage: ok\r\nSID: id&1\r\nTouchFreq: 1\r\n\r\n";
const REFUSED: &str = "HTTP/1.1 200 OK\r\nYPResponse: 0\r\nYPMessage: not reachable\r\n\r\n";

fn settings(urls: Vec<String>) -> Config {
    let mut config = config();
    config.server.hostname = "radio.example".into();
    config.directory.urls = urls;
    config.directory.interval = Duration::from_secs(1);
    config.directory.timeout = Duration::from_millis(500);
    config
}

fn public(name: &str) -> MountReport {
    let mut report = report(name);
    report.info = Arc::new(SourceInfo {
        content_type: "audio/mpeg".into(),
        name: "Söul & more".into(),
        genre: "soul".into(),
        bitrate: "128".into(),
        public: true,
        ..SourceInfo::default()
    });
    report.metadata = Arc::new(Metadata::from_title("A & B\r\nSID: x"));
    report
}

impl Rig {
    /// Answers the plane's questions until `script` is called.
    fn call(&mut self, script: &Script) -> Call {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "no call yet");
            self.pump(SessionId::new(ShardId(9), 0), &mut Answer::default());
            if let Some(call) = script.call_within(Duration::from_millis(5)) {
                return call;
            }
        }
    }

    /// Changes what the first shard says, and tells that something changed.
    fn change(&mut self, change: impl FnOnce(&mut Vec<MountReport>)) {
        let shard = self.shards[0].as_mut().expect("not stalled");
        change(&mut shard.mounts);
        let mount = MountName::parse("/any").expect("a good name");
        self.tell(ToControl::Event(Box::new(Event::Metadata {
            mount,
            metadata: Arc::new(Metadata::default()),
        })));
    }

    fn listed(&mut self, result: &str) -> u64 {
        let page = self.get("/metrics");
        let name = format!("corecast_directory_calls_total{{result=\"{result}\"}} ");
        let found = page
            .text()
            .lines()
            .find_map(|line| line.strip_prefix(&name));
        found.expect("a metric").parse().expect("a number")
    }
}

#[test]
fn a_public_mount_is_added_touched_and_removed() {
    let script = Script::start(|_| Manner::Says(GOOD));
    let mut rig = Rig::new(1, settings(vec![script.url("/cgi-bin/yp-cgi")]))
        .with_mount(public("/live radio"))
        .with_mount(public("/hidden"))
        .with_mount(report("/private"));
    let add = rig.call(&script);
    assert!(add.head.starts_with("POST /cgi-bin/yp-cgi HTTP/1.1\r\n"));
    assert_eq!(
        add.body,
        "action=add&sn=S%C3%B6ul+%26+more&genre=soul&cpswd=&desc=&url=\
         &listenurl=http%3A%2F%2Fradio.example%3A8000%2Flive%2520radio&type=audio%2Fmpeg&stype=\
         &b=128"
    );
    let touch = rig.call(&script);
    let title = Metadata::from_title("A & B\r\nSID: x").title;
    assert_eq!(
        touch.field("action").as_deref(),
        Some("touch"),
        "hidden ones are not added"
    );
    assert_eq!(touch.field("sid").as_deref(), Some("id&1"));
    assert_eq!(touch.field("st").as_deref(), Some(&*title));
    assert_eq!(touch.field("listeners").as_deref(), Some("3"));
    assert_eq!(touch.field("max_listeners").as_deref(), Some("100000"));
    // A source that says something else is another entry.
    rig.change(|mounts| {
        mounts.retain(|report| report.info.public);
        for report in mounts {
            Arc::make_mut(&mut report.info).genre = "jazz".into();
        }
    });
    assert_eq!(rig.call(&script).body, "action=remove&sid=id%261");
    assert_eq!(rig.call(&script).field("genre").as_deref(), Some("jazz"));
    rig.change(Vec::clear);
    assert_eq!(rig.call(&script).body, "action=remove&sid=id%261");
    assert_eq!(
        (
            rig.listed("added"),
            rig.listed("touched"),
            rig.listed("removed")
        ),
        (2, 1, 2)
    );
    // What is listed at the end is taken out; so is what another setting leaves out.
    rig.change(|mounts| mounts.push(public("/live")));
    assert_eq!(rig.call(&script).field("action").as_deref(), Some("add"));
    rig.handle.reload(Arc::new(settings(Vec::new())));
    assert_eq!(rig.call(&script).body, "action=remove&sid=id%261");
    rig.handle.reload(Arc::new(settings(vec![script.url("/")])));
    assert_eq!(rig.call(&script).field("action").as_deref(), Some("add"));
    drop(rig);
    assert_eq!(script.call().body, "action=remove&sid=id%261");
}

#[test]
fn a_directory_that_forgets_refuses_or_hangs_is_asked_again_and_delays_no_other() {
    let hanging = Script::start(|_| Manner::Hangs);
    let babbling = Script::start(|_| Manner::Babbles);
    let lying = Script::start(|_| Manner::Says(ADDED));
    let forgetful = Script::start(|call| match call.field("action").as_deref() {
        Some("add") => Manner::Says(GOOD),
        _ => Manner::Says(REFUSED),
    });
    let all = [&hanging, &babbling, &lying, &forgetful];
    let urls = all.map(|script| script.url("/"));
    let mut rig = Rig::new(1, settings(urls.into())).with_mount(public("/live"));
    for action in ["add", "touch", "add"] {
        let call = rig.call(&forgetful);
        assert_eq!(call.field("action").as_deref(), Some(action));
    }
    for script in [hanging, babbling, lying] {
        for _ in 0..2 {
            assert_eq!(rig.call(&script).field("action").as_deref(), Some("add"));
        }
    }
    assert!(rig.listed("late") >= 1 && rig.listed("failed") >= 1);
    assert!(rig.listed("refused") >= 1);
}

#[test]
fn a_mount_whose_shard_does_not_answer_stays_listed() {
    let script = Script::start(|_| Manner::Says(GOOD));
    let mut rig = Rig::new(1, settings(vec![script.url("/")])).with_mount(public("/live"));
    assert_eq!(rig.call(&script).field("action").as_deref(), Some("add"));
    rig.shards[0] = None;
    rig.tell(ToControl::Event(Box::new(Event::Metadata {
        mount: MountName::parse("/live").expect("a good name"),
        metadata: Arc::new(Metadata::default()),
    })));
    assert!(
        script.is_quiet(Duration::from_secs(3)),
        "neither removed nor touched"
    );
}
