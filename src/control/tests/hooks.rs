//! Scripts that are asked and told, well behaved or not.

use std::time::Duration;

use corecast_mesh::message::{AccessRecord, EndReason, Event, Question, Verdict};

use super::script::{Manner, Script};
use super::*;

const WELCOME: &str = "HTTP/1.1 200 OK\r\nicecast-auth-user: 1\r\nContent-Length: 0\r\n\r\n";
const NO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno";

/// Settings in which each mount calls `script` and gives it `timeout_ms`.
fn settings(script: &Script, timeout_ms: u64) -> Config {
    let mut config = config();
    config.server.hostname = "radio.example".into();
    config.mounts = corecast_config::Mounts::default();
    let mount = &mut config.mount_defaults;
    mount.hook_listener_add = script.url("/add?key=1");
    mount.hook_listener_remove = script.url("/gone");
    mount.hook_stream_auth = script.url("/source");
    mount.hook_mount_add = script.url("/mount");
    mount.hook_mount_remove = script.url("/mount");
    mount.hook_timeout = Duration::from_millis(timeout_ms);
    config
}

fn question(sequence: u64, user_agent: &str) -> Question {
    Question {
        session: SessionId::new(ShardId(0), sequence),
        client: SessionId::new(ShardId(0), sequence),
        publisher: false,
        mount: MountName::parse("/live").expect("a good name"),
        peer: "192.0.2.9:5000".parse().expect("an address"),
        credentials: Some(("jo&mount=/x".into(), "pä=ss".into())),
        target: "/live?token=a%26b".into(),
        user_agent: user_agent.into(),
        referer: "http://page.example/".into(),
    }
}

impl Rig {
    fn put(&mut self, question: Question) {
        self.tell(ToControl::Ask(Box::new(question)));
    }

    /// The next verdict, about whomever it is.
    fn verdict(&mut self) -> (u64, Verdict) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "no verdict yet");
            self.pump(SessionId::new(ShardId(9), 0), &mut Answer::default());
            let is_verdict =
                |(_, message): &(_, FromControl)| matches!(message, FromControl::Verdict { .. });
            if let Some(at) = self.heard.iter().position(is_verdict)
                && let (_, FromControl::Verdict { session, verdict }) = self.heard.remove(at)
            {
                return (session.as_u64(), verdict);
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn counted(&mut self, result: &str) -> u64 {
        let page = self.get("/metrics");
        let name = format!("corecast_hook_calls_total{{result=\"{result}\"}} ");
        let found = page
            .text()
            .lines()
            .find_map(|line| line.strip_prefix(&name));
        found.expect("a metric").parse().expect("a number")
    }
}

#[test]
fn a_question_has_icecasts_form_and_the_login() {
    let script = Script::start(|_| Manner::Says(WELCOME));
    let mut config = settings(&script, 5_000);
    config.mount_defaults.hook_user = "us".into();
    config.mount_defaults.hook_password = "them".into();
    let mut rig = Rig::new(1, config);
    rig.put(question(7, "VLC/3.0 \"a\"&b"));
    assert_eq!(rig.verdict(), (7, Verdict::Allow(None)));
    let call = script.call();
    assert!(
        call.head.starts_with("POST /add?key=1 HTTP/1.1\r\n"),
        "{}",
        call.head
    );
    let said = format!("authorization: {}\r\n", basic("us:them"));
    assert!(call.head.contains(&said), "{}", call.head);
    assert!(
        call.head
            .contains("content-type: application/x-www-form-urlencoded\r\n")
    );
    assert_eq!(
        call.body,
        "action=listener_add&server=radio.example&port=8000&client=7\
         &mount=%2Flive%3Ftoken%3Da%2526b&user=jo%26mount%3D%2Fx&pass=p%C3%A4%3Dss&ip=192.0.2.9\
         &agent=VLC%2F3.0+%22a%22%26b&referer=http%3A%2F%2Fpage.example%2F"
    );
    rig.put(Question {
        publisher: true,
        client: SessionId::of_player(5),
        ..question(8, "ffmpeg")
    });
    assert_eq!(rig.verdict(), (8, Verdict::Allow(None)));
    let call = script.call();
    assert!(call.head.starts_with("POST /source HTTP/1.1\r\n"));
    assert_eq!(call.field("action").as_deref(), Some("stream_auth"));
    assert_eq!(call.field("mount").as_deref(), Some("/live"));
    let client = SessionId::of_player(5).as_u64().to_string();
    assert_eq!(call.field("client"), Some(client));
    assert_eq!(rig.counted("allowed"), 2);
}

#[test]
fn a_script_decides_and_limits() {
    let script = Script::start(|call| match call.field("agent").as_deref() {
        Some("no") => Manner::Says(NO),
        Some("why") => Manner::Says(
            "HTTP/1.1 401 No\r\nIcecast-Auth-User: 0\r\nicecast-auth-message: pay\tfirst\r\n\r\n",
        ),
        Some("limit") => Manner::Says(
            "HTTP/1.0 200 OK\r\nICECAST-AUTH-USER:  1 \r\nicecast-auth-timelimit: 90\r\n\r\n",
        ),
        _ => Manner::Says(
            "HTTP/1.1 200 OK\r\nicecast-auth-user: 1\r\nicecast-auth-timelimit: -1\r\n\r\n",
        ),
    });
    let mut rig = Rig::new(1, settings(&script, 5_000));
    let mut ask = |sequence, agent| {
        rig.put(question(sequence, agent));
        rig.verdict().1
    };
    assert!(matches!(ask(1, "no"), Verdict::Deny(_)));
    assert_eq!(ask(2, "why"), Verdict::Deny("payfirst".into()));
    assert_eq!(
        ask(3, "limit"),
        Verdict::Allow(Some(Duration::from_secs(90)))
    );
    assert!(matches!(ask(4, "odd limit"), Verdict::Unsaid(_)), "failed");
    assert_eq!((rig.counted("denied"), rig.counted("failed")), (2, 1));
}

#[test]
fn scripts_that_hang_lie_or_die_fail_alone_and_in_time() {
    let script = Script::start(|call| match call.field("agent").as_deref() {
        Some("hang") => Manner::Hangs,
        Some("babble") => Manner::Babbles,
        Some("close") => Manner::Closes,
        Some("reset") => Manner::Resets,
        Some("garbage") => Manner::Says("\u{0}\u{1}\u{2} icecast-auth-user: 1\r\n\r\n"),
        Some("half") => Manner::Says("HTTP/1.1 200 OK\r\nicecast-auth-user: 1\r\n"),
        _ => Manner::Says(WELCOME),
    });
    for allows in [false, true] {
        let mut config = settings(&script, 700);
        config.mount_defaults.hook_failure_allows = allows;
        let mut rig = Rig::new(1, config);
        let began = Instant::now();
        for (sequence, agent) in [(1, "hang"), (2, "babble"), (3, "close"), (4, "garbage")] {
            rig.put(question(sequence, agent));
        }
        rig.put(question(5, "half"));
        rig.put(question(7, "reset"));
        rig.put(question(6, "good"));
        let mut verdicts: Vec<_> = (0..7).map(|_| rig.verdict()).collect();
        assert!(began.elapsed() >= Duration::from_millis(700));
        assert_eq!(
            verdicts.last().map(|last| last.0),
            Some(1),
            "the one that hangs is last"
        );
        verdicts.sort_by_key(|(session, _)| *session);
        for (session, verdict) in verdicts {
            let good = session == 6 || allows;
            assert_eq!(
                verdict == Verdict::Allow(None),
                good,
                "{session}: {verdict:?}"
            );
        }
        assert_eq!(rig.counted("allowed"), 1);
        assert_eq!(rig.counted("late") + rig.counted("failed"), 6);
        assert!(rig.counted("late") >= 1);
    }
}

#[test]
fn nobody_listens_where_no_script_answers_and_all_do_where_none_is_asked() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = nobody.local_addr().expect("an address");
    drop(nobody);
    let mut config = config();
    config.mount_defaults.hook_listener_add = format!("http://{address}/");
    let mut rig = Rig::new(1, config);
    rig.put(question(1, ""));
    assert!(matches!(rig.verdict(), (1, Verdict::Unsaid(_))));
    rig.put(Question {
        publisher: true,
        ..question(2, "")
    });
    assert!(
        matches!(rig.verdict(), (2, Verdict::Deny(_))),
        "no script, no source"
    );
    rig.handle.reload(Arc::new(super::config()));
    assert_eq!(rig.get("/health").status, 200);
    rig.put(question(3, ""));
    assert_eq!(rig.verdict(), (3, Verdict::Allow(None)));
}

#[test]
fn scripts_hear_in_order_who_came_and_went() {
    let script = Script::start(|_| Manner::Says(WELCOME));
    let mut rig = Rig::new(1, settings(&script, 5_000));
    let mount = MountName::parse("/live").expect("a good name");
    let session = SessionId::new(ShardId(0), 1);
    for _ in 0..20 {
        rig.tell(ToControl::Event(Box::new(Event::SourceStarted {
            mount: mount.clone(),
            session,
            info: Arc::new(SourceInfo::default()),
        })));
        rig.tell(ToControl::Event(Box::new(Event::SourceEnded {
            mount: mount.clone(),
            session,
            reason: EndReason::PeerClosed,
        })));
    }
    for _ in 0..20 {
        let add = "action=mount_add&mount=%2Flive&server=radio.example&port=8000";
        assert_eq!(script.call().body, add);
        assert_eq!(
            script.call().field("action").as_deref(),
            Some("mount_remove")
        );
    }
    rig.put(question(9, "VLC"));
    assert_eq!(rig.verdict().0, 9);
    assert_eq!(
        script.call().field("action").as_deref(),
        Some("listener_add")
    );
    for (method, status, sequence) in [
        ("HEAD", 200, 2),
        ("PUT", 200, 3),
        ("GET", 403, 4),
        ("GET", 200, 9),
    ] {
        rig.tell(ToControl::Event(Box::new(Event::Access(AccessRecord {
            session: SessionId::new(ShardId(0), sequence),
            peer: "[::ffff:192.0.2.9]:5000".parse().expect("an address"),
            user: None,
            request: format!("{method} /live?token=1 HTTP/1.1").into(),
            status,
            bytes: 4_321,
            referer: "".into(),
            user_agent: "VLC".into(),
            duration: Duration::from_millis(61_900),
            reason: EndReason::PeerClosed,
            mount: Some(mount.clone()),
        }))));
    }
    assert_eq!(
        script.call().body,
        "action=listener_remove&server=radio.example&port=8000&client=9\
         &mount=%2Flive%3Ftoken%3D1&user=jo%26mount%3D%2Fx&pass=p%C3%A4%3Dss&ip=192.0.2.9\
         &agent=VLC&duration=61&sent=4321"
    );
    assert!(
        script.is_quiet(Duration::from_millis(200)),
        "only who was let in is told of"
    );
    // What is on its way at the end still arrives.
    rig.tell(ToControl::Event(Box::new(Event::SourceStarted {
        mount,
        session,
        info: Arc::new(SourceInfo::default()),
    })));
    drop(rig);
    assert_eq!(script.call().field("action").as_deref(), Some("mount_add"));
}

/// The access log's line of who listened.
fn listened(sequence: u64) -> ToControl {
    ToControl::Event(Box::new(Event::Access(AccessRecord {
        session: SessionId::new(ShardId(0), sequence),
        peer: "192.0.2.9:5000".parse().expect("an address"),
        user: None,
        request: "GET /live HTTP/1.1".into(),
        status: 200,
        bytes: 1,
        referer: "".into(),
        user_agent: "VLC".into(),
        duration: Duration::from_secs(1),
        reason: EndReason::PeerClosed,
        mount: Some(MountName::parse("/live").expect("a good name")),
    })))
}

#[test]
fn who_left_without_a_line_takes_nobodys_place() {
    let script = Script::start(|_| Manner::Says(WELCOME));
    let mut rig = Rig::new(1, settings(&script, 5_000));
    let many = crate::kept::KEPT_MAX as u64 + 2;
    let asked = |rig: &mut Rig, question: Question| {
        let session = question.session.as_u64();
        rig.put(question);
        assert_eq!(rig.verdict().0, session);
        assert_eq!(
            script.call().field("action").as_deref(),
            Some("listener_add")
        );
    };
    let password_of = |rig: &mut Rig, sequence| {
        rig.tell(listened(sequence));
        let call = script.call();
        assert_eq!(call.field("client"), Some(sequence.to_string()));
        call.field("pass")
    };
    let given = Some("pä=ss".to_owned());
    asked(&mut rig, question(1, "VLC"));
    // A player of HLS is asked about again and again.
    for sequence in 2..2 + many {
        let target = "/live.m3u8?token=a".into();
        asked(
            &mut rig,
            Question {
                target,
                ..question(sequence, "hls")
            },
        );
    }
    assert_eq!(password_of(&mut rig, 1), given);
    // These went while they were asked about.
    for sequence in 100..100 + many {
        asked(&mut rig, question(sequence, "gone"));
    }
    asked(&mut rig, question(200, "VLC"));
    assert_eq!(password_of(&mut rig, 200), given);
}

#[test]
fn a_file_of_listeners_that_hangs_keeps_nobody_waiting() {
    let folder = std::env::temp_dir().join(format!("corecast-guests-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let fifo = folder.join("users");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.expect("mkfifo is there").success());
    let mut config = config();
    config.mount_defaults.listener_htpasswd = fifo.clone();
    config.mount_defaults.hook_timeout = Duration::from_millis(300);
    let mut rig = Rig::new(1, config);
    for sequence in 1..=20 {
        rig.put(question(sequence, "VLC"));
    }
    // Two are at it, and wait for what the file says.
    for _ in 0..18 {
        let (session, verdict) = rig.verdict();
        assert!(
            matches!(verdict, Verdict::Unsaid(_)),
            "{session}: {verdict:?}"
        );
    }
    drop(
        std::fs::OpenOptions::new()
            .write(true)
            .open(&fifo)
            .expect("somebody reads it"),
    );
    for _ in 0..2 {
        assert!(
            matches!(rig.verdict().1, Verdict::Deny(_)),
            "nobody is in it"
        );
    }
    std::fs::remove_dir_all(&folder).expect("a folder of ours");
}

#[test]
fn questions_beyond_a_bound_fail_at_once() {
    let script = Script::start(|_| Manner::Hangs);
    let mut rig = Rig::new(1, settings(&script, 60_000));
    let (places, beyond) = (u64::from(crate::hooks::CALLS_MAX), 5);
    for sequence in 0..places + beyond {
        let mut message = ToControl::Ask(Box::new(question(sequence, "")));
        while let Err(back) = rig.ports[0].send_control(message) {
            rig.ports[0].flush();
            thread::sleep(Duration::from_millis(1));
            message = back;
        }
    }
    rig.ports[0].flush();
    for sequence in places..places + beyond {
        let (session, verdict) = rig.verdict();
        assert_eq!(session, sequence);
        assert!(matches!(verdict, Verdict::Unsaid(_)), "{verdict:?}");
    }
    assert_eq!((rig.counted("crowded"), rig.counted("late")), (beyond, 0));
}
