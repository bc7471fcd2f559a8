//! Players with ways of their own: one that looks before it listens, one of HTTP/1.0, and one that
//! takes titles apart from the sound.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::time::Duration;

use super::harness::icecast::NOBODY;
use super::harness::{Backend, Client, Scratch, Server, Station, program, station, wait_for};

super::on_both_backends!(vlc_listens_once, mplayer_listens, gstreamer_listens);

const MOUNT: &str = "/live";
const TITLE: &str = "Ada – Première";
/// Longer than any of them may take.
const LIMIT: Duration = Duration::from_secs(60);

fn start(backend: Backend) -> (Server, Station) {
    let settings = [
        "mount_defaults.latency=live",
        "mount_defaults.metaint_bytes=4000",
    ];
    let server = Server::start(backend, &settings);
    let station = Station::play(&server, MOUNT);
    server.wait_live(MOUNT);
    server.set_title(MOUNT, TITLE.as_bytes());
    (server, station)
}

/// Fails unless `said` has each of `words`.
fn assert_said(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "no {word:?} in {said}");
    }
}

/// VLC looks at the stream, closes it, and opens it again as what it saw: one visit.
fn vlc_listens_once(backend: Backend) {
    let (server, station) = start(backend);
    let home = Scratch::open_to_all("vlc");
    let mut command = program("vlc");
    command.args("-I dummy --aout=dummy --run-time=3 --play-and-exit -vv".split(' '));
    command.arg(server.url(MOUNT));
    command.env("HOME", home.path()).env("LC_ALL", "C.UTF-8");
    // It refuses to run as root.
    if fs::metadata(home.path()).expect("it was just made").uid() == 0 {
        chown(home.path(), Some(NOBODY), Some(NOBODY)).expect("root may");
        command.uid(NOBODY).gid(NOBODY);
    }
    let vlc = Client::spawn(&mut command);
    wait_for("VLC shows the title", LIMIT, || {
        vlc.stderr().contains(TITLE).then_some(())
    });
    wait_for("VLC is one listener", LIMIT, || {
        (server.mount(MOUNT)?["listeners"] == 1).then_some(())
    });
    let said = vlc.succeed(LIMIT).stderr;
    assert_said(
        &said,
        &[
            &format!("redirecting to: icyx://{}{MOUNT}", server.address()),
            &format!("Icy-Name: {}", station::NAME),
            &format!("New Icy-Title={TITLE}"),
            "MPGA channels:2 samplerate:44100 bitrate:128",
        ],
    );
    let visits = |agent: &str| server.metric("corecast_listener_visits_total", agent);
    wait_for("its end is counted", LIMIT, || {
        let report = server.mount(MOUNT)?;
        (report["listeners"] == 0 && visits("vlc") > 0.0).then_some(())
    });
    assert_eq!((visits("vlc"), visits("")), (1.0, 1.0));
    assert!(station.is_playing());
}

fn mplayer_listens(backend: Backend) {
    let (server, station) = start(backend);
    let mut command = program("mplayer");
    command.args("-noconfig all -nolirc -quiet -nocache -ao null -endpos 2".split(' '));
    command.arg(server.url(MOUNT)).env("LC_ALL", "C.UTF-8");
    let output = Client::spawn(&mut command).succeed(LIMIT);
    assert_said(
        &output.text(),
        &[
            &format!("Name   : {}", station::NAME),
            "Bitrate: 128kbit/s",
            &format!("ICY Info: StreamTitle='{TITLE}';"),
            "AUDIO: 44100 Hz, 2 ch, s16le, 128.0 kbit",
            "Exiting... (End of file)",
        ],
    );
    assert!(station.is_playing());
}

fn gstreamer_listens(backend: Backend) {
    let (server, station) = start(backend);
    let mut command = program("gst-launch-1.0");
    command.args(["-t", "souphttpsrc", "iradio-mode=true"]);
    command.arg(format!("location={}", server.url(MOUNT)));
    let sound = server.scratch().file("sound");
    let elements = "! icydemux ! mpegaudioparse ! mpg123audiodec ! audioconvert ! \
                    audio/x-raw,format=S16LE,channels=2,rate=44100 ! \
                    filesink buffer-mode=unbuffered";
    command.args(elements.split_whitespace());
    command.arg(format!("location={}", sound.display()));
    let gst = Client::spawn(command.env("LC_ALL", "C.UTF-8"));
    let two_seconds = 2 * 44_100 * 4;
    wait_for("GStreamer decodes two seconds", LIMIT, || {
        let bytes = fs::metadata(&sound).ok()?.len();
        (bytes > two_seconds).then_some(())
    });
    wait_for("GStreamer shows the title", LIMIT, || {
        let said = String::from_utf8(gst.stdout()).ok()?;
        said.contains(&format!("title: {TITLE}")).then_some(())
    });
    let said = String::from_utf8_lossy(&gst.stdout()).into_owned();
    let codec = [
        "audio codec: MPEG-1 Layer 3 (MP3)",
        "nominal bitrate: 128000",
    ];
    assert_said(&said, &codec);
    assert_eq!(gst.stderr(), "");
    assert!(station.is_playing());
}
