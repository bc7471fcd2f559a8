//! What new listeners hear before the stream.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::clients::seconds_decoded;
use super::harness::{
    Backend, Client, Cut, IcyReader, Scratch, Server, Station, fixture, http, mpeg, program,
    station, wait_for,
};

const LIMIT: Duration = Duration::from_secs(30);

crate::clients::on_both_backends!(
    a_listener_hears_the_intro_then_the_stream_framing_exact,
    an_ogg_intro_is_a_link_of_its_own_before_the_streams,
);

/// The first frame of the intro; stations begin at other numbers.
const INTRO: u64 = 9_000_000;
/// Frames of an intro: four seconds, twice a burst.
const FRAMES: u64 = 154;

/// `/live` falls back to `/spare`; every mount has the intro.
fn start(backend: Backend, scratch: &Scratch, intro: &Path) -> Server {
    let text = "[[mount]]\nname = \"/live\"\nfallback = \"/spare\"\n\
                [[mount]]\nname = \"/spare\"\n";
    let file = scratch.file("corecast.toml");
    std::fs::write(&file, text).expect("the folder takes files");
    let mut command = Command::new(env!("CARGO_BIN_EXE_corecast"));
    command.arg("run").arg("--config").arg(&file);
    let intro = format!("mount_defaults.intro={}", intro.display());
    let settings = [
        intro.as_str(),
        "mount_defaults.latency=live",
        "mount_defaults.source_timeout_ms=300",
        "mount_defaults.burst_bytes=20000",
        "mount_defaults.metaint_bytes=1000",
        "auth.relay_password=tests-relay-this",
    ];
    let server = Server::launch_with(command, backend, &settings);
    server.wait_ready();
    server
}

/// Reads until the listener has heard a frame from `from` on; every byte so far is right.
fn hear(reader: &mut IcyReader, from: u64) -> mpeg::Heard {
    let mut heard = mpeg::Heard::default();
    let came = reader.listen_until(LIMIT, |reader| {
        heard = mpeg::read(&reader.audio).expect("frames and titles are exact");
        let last = heard.frames.last().copied().unwrap_or_default();
        last >= from && last < INTRO
    });
    assert!(came, "{from} is heard: {:?}", heard.jumps());
    heard
}

/// The intro from `first` on, whole, then one jump into the stream.
fn assert_intro_first(heard: &mpeg::Heard, first: u64) {
    let intro: Vec<u64> = (first..first + FRAMES).collect();
    assert_eq!(heard.frames[..intro.len()], intro);
    assert_eq!(heard.jumps()[0].0, first + FRAMES - 1);
    let after = heard.frames.iter().skip(intro.len());
    assert!(after.clone().all(|frame| *frame < INTRO), "heard once");
}

fn a_listener_hears_the_intro_then_the_stream_framing_exact(backend: Backend) {
    let scratch = Scratch::new("intro");
    let file = scratch.file("intro.mp3");
    // What taggers leave behind, and a last frame that is cut.
    let sound = mpeg::frames(INTRO..INTRO + FRAMES);
    let part = mpeg::frames(INTRO..INTRO + 1);
    let tagged = [b"ID3\x04\0\0\0\0\0\x04hola", &sound[..], &part[..100]].concat();
    std::fs::write(&file, tagged).expect("the folder takes files");
    let server = start(backend, &scratch, &file);
    let station = Station::play(&server, "/live");
    let _spare = Station::play_at(&server, "/spare", 1_000_000, 1.0);
    server.wait_live("/live");
    server.wait_live("/spare");
    server.set_title("/live", "not in the intro".as_bytes());

    let mut reader = IcyReader::open(server.address(), "/live");
    let without_titles = "GET /live HTTP/1.1\r\nHost: test\r\n\r\n";
    let mut plain = IcyReader::ask(server.address(), without_titles).expect("an answer");
    let live = station.next_frame();
    for reader in [&mut reader, &mut plain] {
        let heard = hear(reader, live + 20);
        assert_intro_first(&heard, INTRO);
        assert_eq!(heard.jumps().len(), 1, "{:?}", heard.jumps());
        assert!(
            heard.jumps()[0].1 > live,
            "it joins where the stream is by then"
        );
    }
    assert!(reader.listen_until(LIMIT, |reader| !reader.blocks.is_empty()));
    let (at, _) = &reader.blocks[0];
    assert!(*at >= sound.len(), "a title comes with its sound: {at}");
    assert_eq!(reader.titles(), ["not in the intro"]);

    // Who relays it has listeners in the middle of the stream.
    let relay = http::basic("relay", "tests-relay-this");
    let request = format!("GET /live HTTP/1.1\r\nHost: test\r\n{relay}\r\n");
    let mut relay = IcyReader::ask(server.address(), &request).expect("an answer");
    assert_eq!(hear(&mut relay, 1).jumps(), []);

    // A fallback and its return are no new listener; the next one is.
    drop(station);
    let heard = hear(&mut reader, 1_000_000);
    assert_intro_first(&heard, INTRO);
    let _station = Station::play_at(&server, "/live", 2_000_000, 1.0);
    assert_intro_first(&hear(&mut reader, 2_000_000), INTRO);
    server.wait_live("/live");

    // Another file at a reload; those who listen do not notice.
    let second = INTRO + 500_000;
    let other = mpeg::frames(second..second + FRAMES);
    std::fs::write(&file, other).expect("the folder takes files");
    server.signal(Signal::HUP);
    wait_for("the intro is read again", LIMIT, || {
        (server.log().matches("intro read").count() == 2).then_some(())
    });
    wait_for("shards have heard of it", LIMIT, || {
        let mut next = IcyReader::open(server.address(), "/live");
        next.listen_until(LIMIT, |reader| reader.audio.len() >= 1_000);
        let heard = mpeg::read(&next.audio).expect("frames are exact");
        (heard.frames[0] == second).then_some(())
    });
    let mut next = IcyReader::open(server.address(), "/live");
    let heard = hear(&mut next, 2_000_000);
    assert_intro_first(&heard, second);
    assert_intro_first(&hear(&mut reader, 2_000_000), INTRO);
}

fn an_ogg_intro_is_a_link_of_its_own_before_the_streams(backend: Backend) {
    const MOUNT: &str = "/live.ogg";
    let read = |file: &Path| std::fs::read(file).expect("it stays");
    let file = fixture::opus(3);
    let intro = read(&file);
    let stream = read(&fixture::vorbis(4, "Ada", "One"));
    let scratch = Scratch::new("ogg-intro");
    let server = start(backend, &scratch, &file);
    let headers = "Content-Type: application/ogg\r\n";
    let (mut source, answer) = station::open(server.address(), MOUNT, headers);
    assert_eq!(answer.status, 200);
    let pages = Cut::Ogg.borders(&stream);
    let half = pages[pages.len() / 2];
    source.write_all(&stream[..half]).expect("it takes pages");
    server.wait_live(MOUNT);
    let url = server.url(MOUNT);
    let client = Client::spawn(program("curl").args(["-sS", &url]));
    wait_for("the intro is over", LIMIT, || {
        (client.stdout().len() > intro.len()).then_some(())
    });
    source.write_all(&stream[half..]).expect("it takes pages");
    drop(source);

    let heard = client.succeed(LIMIT).stdout;
    let (first, rest) = heard.split_at(intro.len());
    assert!(first == intro, "the whole file came first");
    Cut::Ogg.assert_heard(&stream, rest);
    let played = seconds_decoded("both", rest);
    assert!((1.0..4.1).contains(&played), "{played} s");
}

#[test]
fn an_intro_that_cannot_be_heard_is_left_out_and_told() {
    let scratch = Scratch::new("no-intro");
    let file = scratch.file("intro.mp3");
    let none = format!("mount_defaults.intro={}", file.display());
    let server = Server::start(Backend::Epoll, &[none.as_str()]);
    let told = |what: &str| {
        wait_for(what, LIMIT, || {
            let log = server.log();
            let mut lines = log.lines().filter(|line| line.contains("left out"));
            lines.find(|line| line.contains(what)).map(str::to_owned)
        })
    };
    assert!(told("No such file").contains("intro.mp3"));
    std::fs::write(&file, "hardly a sound").expect("the folder takes files");
    server.signal(Signal::HUP);
    told("it is no MPEG audio");

    let check = Command::new(env!("CARGO_BIN_EXE_corecast"))
        .args(["check", "--set", &none])
        .output()
        .expect("corecast starts");
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(
        check.status.success() && said.contains("it is no MPEG audio"),
        "{said}"
    );

    // Good, but not for what this source sends.
    let headers = "Content-Type: audio/aac\r\n";
    let (mut source, answer) = station::open(server.address(), "/aac", headers);
    assert_eq!(answer.status, 200);
    let sound = std::fs::read(fixture::adts(2)).expect("it stays");
    source.write_all(&sound).expect("the server takes frames");
    server.wait_live("/aac");
    let intro = mpeg::frames(INTRO..INTRO + FRAMES);
    std::fs::write(&file, intro).expect("the folder takes files");
    server.signal(Signal::HUP);
    assert!(told("audio/aac").contains("/aac"));
    let mut reader = IcyReader::open(server.address(), "/aac");
    reader.listen_until(LIMIT, |reader| reader.audio.len() > 1_000);
    assert_eq!(reader.audio[..2], sound[..2], "AAC from the first byte on");
}
