//! Encoders that are set up by files of their own, each heard by curl to its end.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::harness::desktop::{Screen, SoundCard};
use super::harness::server::{Port, SOURCE_PASSWORD, Server};
use super::harness::{Backend, Client, Cut, Scratch, fixture, program, wait_for};
use super::sources::{LIMIT, PLAYED_S, Program, play, start};

super::on_both_backends!(
    ezstream_and_ices_are_heard,
    gstreamer_is_heard,
    mpd_is_heard,
    butt_is_heard_and_sees_its_listeners
);

const TITLE: &str = "Ada - Première";

/// `file` in the folder of the server, with `text`, for nobody else to read.
fn written(server: &Server, name: &str, text: &str) -> PathBuf {
    let file = server.scratch().file(name);
    fs::write(&file, text).expect("a scratch folder takes files");
    let permissions = fs::Permissions::from_mode(0o600);
    fs::set_permissions(&file, permissions).expect("it is ours");
    file
}

fn ezstream(server: &Server, mount: &str, file: &Path) -> Command {
    let (port, file) = (server.port(), file.display());
    let config = format!(
        "<ezstream><servers><server><hostname>127.0.0.1</hostname><port>{port}</port>\
         <password>{SOURCE_PASSWORD}</password></server></servers>\
         <streams><stream><mountpoint>{mount}</mountpoint><format>MP3</format>\
         <stream_name>Radio Ada</stream_name></stream></streams>\
         <intakes><intake><type>file</type><filename>{file}</filename>\
         <stream_once>yes</stream_once></intake></intakes></ezstream>"
    );
    let mut command = program("ezstream");
    command.arg("-c").arg(written(server, "ez.xml", &config));
    command
}

fn ices(server: &Server, mount: &str, file: &Path) -> Command {
    let port = server.port();
    let list = written(server, "ices.m3u", &format!("{}\n", file.display()));
    let (list, logs) = (list.display(), server.scratch().path().display());
    let config = format!(
        "<ices><background>0</background><logpath>{logs}</logpath><logfile>ices.log</logfile>\
         <loglevel>4</loglevel><consolelog>1</consolelog><stream>\
         <metadata><name>Radio, 100% Ada</name><genre>News</genre></metadata>\
         <input><module>playlist</module><param name=\"type\">basic</param>\
         <param name=\"file\">{list}</param><param name=\"once\">1</param></input>\
         <instance><hostname>127.0.0.1</hostname><port>{port}</port>\
         <password>{SOURCE_PASSWORD}</password><mount>{mount}</mount></instance></stream></ices>"
    );
    let mut command = program("ices2");
    command.arg(written(server, "ices.xml", &config));
    command
}

fn ezstream_and_ices_are_heard(backend: Backend) {
    let server = start(backend);
    let mp3 = fixture::mp3(PLAYED_S);
    let vorbis = fixture::vorbis(PLAYED_S, "Ada", "Première");
    let programs = vec![
        (
            Program::new("libshout/", "/ez.mp3", "mp3", 44_100, "audio/mpeg")
                .exactly(Cut::Mp3, &mp3),
            ezstream(&server, "/ez.mp3", &mp3),
        ),
        (
            Program::new("IceS 2", "/ices.ogg", "vorbis", 44_100, "application/ogg").titled(TITLE),
            ices(&server, "/ices.ogg", &vorbis),
        ),
    ];
    play(&server, programs);
}

/// A pipeline whose last element is `shout2send`.
fn gst_launch(server: &Server, mount: &str, file: &Path, elements: &str) -> Command {
    let mut command = program("gst-launch-1.0");
    command.arg("-q").arg("filesrc");
    command.arg(format!("location={}", file.display()));
    command.args(elements.split(' ').filter(|word| !word.is_empty()));
    command.args(["!", "shout2send", "ip=127.0.0.1", "streamname=Radio Ada"]);
    command.arg(format!("port={}", server.port()));
    command.arg(format!("password={SOURCE_PASSWORD}"));
    command.arg(format!("mount={mount}"));
    command
}

fn gstreamer_is_heard(backend: Backend) {
    let server = start(backend);
    let mp3 = fixture::mp3(PLAYED_S);
    let flac = fixture::flac(PLAYED_S);
    let ogg_type = "application/ogg";
    let tagged = "! taginject tags=title=\"Première\",artist=Ada ! mpegaudioparse";
    let opus = "! oggdemux ! flacparse ! flacdec ! audioconvert ! audioresample ! opusenc ! oggmux";
    let programs = vec![
        (
            Program::new("GStreamer", "/g.mp3", "mp3", 44_100, "audio/mpeg")
                .exactly(Cut::Mp3, &mp3)
                .titled(TITLE),
            gst_launch(&server, "/g.mp3", &mp3, tagged),
        ),
        (
            Program::new("GStreamer", "/g.opus", "opus", 48_000, ogg_type),
            gst_launch(&server, "/g.opus", &flac, opus),
        ),
    ];
    play(&server, programs);
}

/// Says `line` to a player and answers what it says up to `OK`.
fn ask_mpd(socket: &mut BufReader<UnixStream>, line: &str) -> String {
    let stream = socket.get_mut();
    stream.write_all(line.as_bytes()).expect("mpd takes lines");
    let mut said = String::new();
    while !said.ends_with("OK\n") {
        let len = socket.read_line(&mut said).expect("mpd answers in time");
        assert!(len > 0 && !said.contains("ACK"), "{line:?}: {said}");
    }
    said
}

fn mpd_is_heard(backend: Backend) {
    let server = start(backend);
    // A short path, for a Unix socket.
    let home = Scratch::open_to_all("mpd");
    let socket = home.file("socket");
    // Its Opus takes bits a second, the others kilobits.
    let outputs = [
        ("vorbis", "/m.ogg", 44_100, "128"),
        ("opus", "/m.opus", 48_000, "96000"),
        ("mp3", "/m.mp3", 44_100, "128"),
    ];
    let outputs = outputs.map(|(encoding, mount, rate, bitrate)| {
        format!(
            "audio_output {{\ntype \"shout\"\nname \"{encoding}\"\nencoding \"{encoding}\"\n\
             host \"127.0.0.1\"\nport \"{}\"\nmount \"{mount}\"\n\
             password \"{SOURCE_PASSWORD}\"\nbitrate \"{bitrate}\"\nformat \"{rate}:16:2\"\n}}\n",
            server.port(),
        )
    });
    let config = format!(
        "bind_to_address \"{}\"\nlog_file \"{}\"\nzeroconf_enabled \"no\"\n{}",
        socket.display(),
        home.file("log").display(),
        outputs.concat()
    );
    let mut command = program("mpd");
    command.arg("--no-daemon");
    let source = Client::spawn(command.arg(written(&server, "mpd.conf", &config)));
    let stream = wait_for("mpd listens", LIMIT, || UnixStream::connect(&socket).ok());
    let limit = stream.set_read_timeout(Some(LIMIT));
    limit.expect("never zero");
    let mut stream = BufReader::new(stream);
    let song = fixture::vorbis(4 * PLAYED_S, "Ada", "Première");
    let song = format!("add \"file://{}\"\n", song.display());
    for line in ["status\n", &song, "play\n"] {
        ask_mpd(&mut stream, line);
    }

    let programs = [
        Program::new("MPD", "/m.ogg", "vorbis", 44_100, "audio/ogg").titled(TITLE),
        Program::new("MPD", "/m.opus", "opus", 48_000, "audio/ogg"),
        Program::new("MPD", "/m.mp3", "mp3", 44_100, "audio/mpeg").titled(TITLE),
    ];
    let listeners = programs.map(|played| {
        let listener = played.listen(&server);
        (played, listener)
    });
    std::thread::sleep(Duration::from_secs(3));
    source.signal(Signal::TERM);
    for (played, listener) in listeners {
        played.check(listener);
    }
    source.succeed(LIMIT);
}

fn butt_is_heard_and_sees_its_listeners(backend: Backend) {
    let server = start(backend);
    let (screen, card) = (Screen::start(), SoundCard::start());
    let config = format!(
        "[main]\nserver = here\nsrv_ent = here\nnum_of_srv = 1\nnum_of_icy = 0\n\
         connect_at_startup = 1\n[audio]\ndevice = default\nsamplerate = 44100\nbitrate = 128\n\
         channel = 2\ncodec = mp3\n[gui]\nshow_listeners = 1\n[here]\naddress = 127.0.0.1\n\
         port = {}\npassword = {SOURCE_PASSWORD}\ntype = 1\ntls = 0\nmount = b.mp3\n\
         usr = source\n",
        server.port()
    );
    let commands = Port::take();
    let port = commands.number().to_string();
    let mut command = program("butt");
    command.arg("-c").arg(written(&server, "buttrc", &config));
    command.args(["-p", &port]);
    let butt = Client::spawn(screen.lend(card.lend(&mut command)));

    let played = Program::new("butt", "/b.mp3", "mp3", 44_100, "audio/mpeg");
    let listener = played.listen(&server);
    wait_for("butt sees that there is a listener", LIMIT, || {
        let mut ask = program("butt");
        ask.args(["-S", "-p", &port]);
        let said = Client::spawn(screen.lend(card.lend(&mut ask))).wait(LIMIT);
        let said = said.text() + &said.stderr;
        let sees = said.contains("connected: 1\n") && said.contains("listeners: 1\n");
        sees.then_some(())
    });
    butt.signal(Signal::TERM);
    played.check(listener);
}
