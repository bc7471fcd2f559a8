//! Scripts of the operator: asked who may come in, told who came and went; those that hang, lie
//! or die harm nobody but the one that they were asked about.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::harness::script::{Call, Manner, Script};
use super::harness::{
    Backend, Client, IcyReader, Server, Station, fixture, http, mpeg, program, wait_for,
};
use super::video;

const SOON: Duration = Duration::from_secs(10);

/// What a script has to answer.
const TIMEOUT: Duration = Duration::from_secs(8);

const WELCOME: &str = "HTTP/1.1 200 OK\r\nicecast-auth-user: 1\r\nContent-Length: 0\r\n\r\n";

crate::clients::on_both_backends!(
    scripts_decide_who_listens_and_a_hanging_one_delays_one_listener,
    scripts_decide_who_feeds_a_mount,
);

fn manner(call: &Call) -> Manner {
    match call.field("agent").as_deref() {
        Some("hang") => Manner::Hangs,
        Some("babble") => Manner::Babbles,
        Some("close") => Manner::Closes,
        Some("reset") => Manner::Resets,
        Some("garbage") => Manner::Says("icecast-auth-user: 1\r\n\r\n"),
        Some("no") => Manner::Says("HTTP/1.0 403 No\r\nicecast-auth-message: pay first\r\n\r\n"),
        Some("limit") => Manner::Says(
            "HTTP/1.0 200 OK\r\nIcecast-Auth-User: 1\r\nicecast-auth-timelimit: 2\r\n\r\n",
        ),
        _ => Manner::Says(WELCOME),
    }
}

fn start(backend: Backend, script: &Script) -> Server {
    let hook = |key: &str| {
        format!(
            "mount_defaults.hook_{key}={}",
            script.url(&format!("/{key}"))
        )
    };
    let mut settings: Vec<String> = [
        "listener_add",
        "listener_remove",
        "mount_add",
        "mount_remove",
        "stream_auth",
    ]
    .map(hook)
    .into();
    let timeout = TIMEOUT.as_millis();
    settings.push(format!("mount_defaults.hook_timeout_ms={timeout}"));
    settings.push("mount_defaults.latency=live".to_owned());
    settings.push("mount_defaults.source_timeout_ms=0".to_owned());
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    Server::start(backend, &settings)
}

fn ask(server: &Server, agent: &str) -> IcyReader {
    let request = format!(
        "GET /live?token=1 HTTP/1.1\r\nHost: test\r\nUser-Agent: {agent}\r\nIcy-MetaData: 1\r\n\r\n"
    );
    IcyReader::ask(server.address(), &request).expect("the server answers")
}

/// The next call that is `action`.
fn next(script: &Script, action: &str) -> Call {
    loop {
        let call = script.call();
        if call.field("action").as_deref() == Some(action) {
            return call;
        }
    }
}

fn scripts_decide_who_listens_and_a_hanging_one_delays_one_listener(backend: Backend) {
    let script = Script::start(manner);
    let server = start(backend, &script);
    let station = Station::play(&server, "/live");
    server.wait_live("/live");
    let told = script.call();
    assert!(
        told.head.starts_with("POST /mount_add HTTP/1.1\r\n"),
        "{}",
        told.head
    );
    assert_eq!(told.field("mount").as_deref(), Some("/live"));
    let mut good = ask(&server, "good");
    assert_eq!(good.answer.status, 200);
    assert_eq!(
        script.call().field("mount").as_deref(),
        Some("/live?token=1")
    );

    std::thread::scope(|scope| {
        let began = Instant::now();
        let waiting = ["hang", "babble"].map(|agent| {
            let server = &server;
            scope.spawn(move || (ask(server, agent).answer, began.elapsed()))
        });
        for agent in ["hang", "babble"] {
            let call = wait_for("both were asked about", SOON, || script.call_within(SOON));
            assert!(call.field("agent").is_some(), "{agent}");
        }
        // Meanwhile: one that is welcome, four that are not, and the media.
        let mut second = ask(&server, "second");
        assert_eq!(second.answer.status, 200);
        for agent in ["close", "reset", "garbage", "no"] {
            let answer = ask(&server, agent).answer;
            let expected = if agent == "no" { 401 } else { 503 };
            assert_eq!(answer.status, expected, "{agent}: {}", answer.text());
        }
        let enough = |reader: &IcyReader| reader.audio.len() > 20_000;
        assert!(
            second.listen_until(SOON, enough),
            "the second hears the stream"
        );
        assert!(good.listen_until(SOON, enough), "the first goes on");
        assert!(
            began.elapsed() < TIMEOUT,
            "nobody waited for the one that hangs"
        );
        for thread in waiting {
            let (answer, waited) = thread.join().expect("it was answered");
            assert_eq!(answer.status, 503, "{}", answer.text());
            assert!(waited < TIMEOUT + SOON, "{waited:?}");
        }
    });

    let heard = mpeg::read(&good.audio).expect("every byte is right");
    assert_eq!(heard.jumps(), []);
    assert_eq!(server.metric("corecast_hook_calls_total", "denied"), 1.0);
    let failed =
        ["late", "failed"].map(|result| server.metric("corecast_hook_calls_total", result));
    assert_eq!(failed.iter().sum::<f64>(), 5.0, "{failed:?}");
    assert!(station.is_playing());
    drop(station);
    let told = next(&script, "mount_remove");
    assert_eq!(told.field("mount").as_deref(), Some("/live"));
}

fn scripts_decide_who_feeds_a_mount(backend: Backend) {
    let script = Script::start(|call| {
        let fields = ["action", "pass"].map(|name| call.field(name).unwrap_or_default());
        match fields.each_ref().map(String::as_str) {
            ["stream_auth", "by-script"] => Manner::Says(WELCOME),
            ["stream_auth", _] => Manner::Says("HTTP/1.1 200 OK\r\n\r\n"),
            _ => manner(call),
        }
    });
    let server = start(backend, &script);
    let open = |password: &str| {
        let authorization = http::basic("dj", password);
        let head = format!(
            "PUT /live HTTP/1.1\r\nHost: test\r\n{authorization}Content-Type: audio/mpeg\r\n\r\n"
        );
        let mut stream = http::connect(server.address()).expect("the server takes connections");
        std::io::Write::write_all(&mut stream, head.as_bytes()).expect("a head fits");
        let status = http::read_head(&mut stream)
            .expect("the server answers")
            .status;
        (stream, status)
    };
    assert_eq!(open("wrong").1, 401);
    let call = script.call();
    assert_eq!(call.field("user").as_deref(), Some("dj"));
    let (mut stream, status) = open("by-script");
    assert_eq!(status, 200);
    std::io::Write::write_all(&mut stream, &mpeg::frames(0..400)).expect("frames are taken");
    server.wait_live("/live");
    next(&script, "mount_add");

    // A listener with a limit, and the news of its end.
    let mut limited = ask(&server, "limit");
    assert_eq!(limited.answer.status, 200);
    next(&script, "listener_add");
    assert!(
        script.is_quiet(Duration::from_millis(500)),
        "it is still there"
    );
    assert!(!limited.listen(SOON), "its time is over");
    let gone = next(&script, "listener_remove");
    assert_eq!(gone.field("mount").as_deref(), Some("/live?token=1"));
    assert_eq!(gone.field("duration").as_deref(), Some("2"));
    let sent: usize = gone
        .field("sent")
        .and_then(|sent| sent.parse().ok())
        .expect("a number");
    assert!(sent >= limited.audio.len(), "{sent}");
    assert_eq!(
        server.metric("corecast_listeners_ended_total", "time_limit"),
        1.0
    );
}

#[test]
fn players_by_rtmp_are_asked_about_and_told_of() {
    let script = Script::start(manner);
    let server = start(Backend::Epoll, &script);
    let film = fixture::film("player.flv", 90, &["-g", "30", "-bf", "0"]);
    let _source = video::publish(&server, &film, "/live/cam");
    next(&script, "mount_add");
    video::wait_tracks(&server, "/live/cam", 2);
    let url = server.rtmp_url("/live/cam");
    let mut ffmpeg = program("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-i", &url]);
    ffmpeg.args("-t 1 -c copy -f null -".split(' '));
    Client::spawn(&mut ffmpeg).succeed(Duration::from_secs(60));
    for action in ["listener_add", "listener_remove"] {
        let call = next(&script, action);
        assert_eq!(call.field("mount").as_deref(), Some("/live/cam"));
    }
}

#[test]
fn a_player_of_hls_is_one_client_whatever_shards_it_comes_to() {
    let script = Script::start(manner);
    let mut server = start(Backend::IoUring, &script);
    let _station = Station::play(&server, "/live");
    server.wait_live("/live");
    let get = |path: &str, agent: &str| {
        let head = "Host: test\r\nConnection: close";
        let request = format!("GET {path} HTTP/1.1\r\n{head}\r\nUser-Agent: {agent}\r\n\r\n");
        let answer = http::exchange(server.address(), request.as_bytes());
        answer.expect("the server answers").status
    };
    wait_for("there is a list", SOON, || {
        (get("/live/hls/a0.m3u8", "early") == 200).then_some(())
    });
    // So many connections that the kernel gives some to each shard.
    for _ in 0..24 {
        for path in ["/live.m3u8", "/live/hls/a0.m3u8"] {
            assert_eq!(get(path, "player"), 200);
        }
    }
    server.signal(Signal::TERM);
    server.wait_end();
    let (mut came, mut went) = (Vec::new(), Vec::new());
    while let Some(call) = script.call_within(Duration::from_secs(1)) {
        let [action, agent, client] =
            ["action", "agent", "client"].map(|name| call.field(name).unwrap_or_default());
        match action.as_str() {
            "listener_add" => came.push((agent, client)),
            "listener_remove" => went.push((agent, client)),
            _ => {}
        }
    }
    for clients in [&mut came, &mut went] {
        clients.sort();
        clients.dedup();
    }
    assert_eq!(came.len(), 2, "{came:?}");
    assert_eq!(went, came);
    assert_ne!(came[0].1, came[1].1);
}
