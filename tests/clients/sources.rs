//! Encoders that people use, each heard by curl to its end.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::harness::server::{SOURCE_PASSWORD, Server};
use super::harness::{Backend, Client, Cut, Scratch, borders, fixture, program, wait_for};

super::on_both_backends!(
    ffmpeg_is_heard,
    shout_and_curl_are_heard,
    liquidsoap_is_heard
);

/// How long each of them plays.
pub(super) const PLAYED_S: u32 = 5;
/// What curl sends at three times that rate, 64 KiB at once.
const UPLOADED_S: u32 = 12;
/// Longer than any of them may take.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// What a source plays and what the server must know of it.
pub(super) struct Program {
    /// How its `User-Agent` begins.
    agent: &'static str,
    pub(super) mount: &'static str,
    codec: &'static str,
    rate: u32,
    content_type: &'static str,
    /// What every byte must be, where the source sends a file as it is.
    sent: Option<(Cut, PathBuf)>,
    /// What it says that it plays.
    title: Option<&'static str>,
    /// Whether it closes without having read our answer: its kernel then throws away what it has
    /// not sent yet, the last frames.
    resets: bool,
}

impl Program {
    pub(super) const fn new(
        agent: &'static str,
        mount: &'static str,
        codec: &'static str,
        rate: u32,
        content_type: &'static str,
    ) -> Self {
        Program {
            agent,
            mount,
            codec,
            rate,
            content_type,
            sent: None,
            title: None,
            resets: false,
        }
    }

    pub(super) fn exactly(mut self, cut: Cut, file: &Path) -> Self {
        self.sent = Some((cut, file.to_owned()));
        self
    }

    pub(super) const fn titled(mut self, title: &'static str) -> Self {
        self.title = Some(title);
        self
    }

    const fn resetting(mut self) -> Self {
        self.resets = true;
        self
    }

    /// Waits until the mount is live, checks what the server says of it, and listens.
    pub(super) fn listen(&self, server: &Server) -> Client {
        let Program { mount, codec, .. } = *self;
        let report = server.wait_live(mount);
        assert_eq!(report["codec"], codec, "{report}");
        assert_eq!(report["sample_rate_hz"], self.rate, "{report}");
        assert_eq!(report["channels"], 2, "{report}");
        assert_eq!(report["content_type"], self.content_type, "{report}");
        if let Some(title) = self.title {
            wait_for(&format!("{mount} has the title {title}"), LIMIT, || {
                (server.mount(mount)?["title"] == title).then_some(())
            });
        }
        let report = server
            .get_as_admin(&format!("/api/v1/mounts{mount}"))
            .json();
        let agent = report["source"]["user_agent"].as_str();
        let agent = agent.expect("the admin sees who plays");
        assert!(agent.starts_with(self.agent), "{agent}");
        let status = server.json(&format!("/status-json.xsl?mount={mount}"));
        let source = &status["icestats"]["source"];
        assert_eq!(source["server_type"], self.content_type, "{status}");
        assert_eq!(source["listenurl"], server.url(mount), "{status}");
        let subtype = match codec {
            "vorbis" => Value::from("Vorbis"),
            "opus" => Value::from("Opus"),
            _ => Value::Null,
        };
        assert_eq!(source["subtype"], subtype, "{status}");
        if codec == "vorbis" {
            assert_eq!(source["audio_samplerate"], self.rate, "{status}");
            assert_eq!(source["audio_channels"], 2, "{status}");
        }
        Client::spawn(program("curl").args(["-sS", &server.url(mount)]))
    }

    /// What the listener has at the end plays without a fault, and is what was sent.
    pub(super) fn check(&self, listener: Client) {
        let heard = listener.succeed(LIMIT).stdout;
        let seconds = seconds_decoded(self.mount, &heard);
        assert!(seconds > 2.0, "{}: {seconds} s were heard", self.mount);
        if let Some((cut, sent)) = &self.sent {
            let mut sent = std::fs::read(sent).expect("the fixture stays");
            if self.resets {
                let borders = cut.borders(&sent);
                let near_end = borders.iter().rev().take(3);
                let whole = near_end.copied().find(|end| sent[..*end].ends_with(&heard));
                sent.truncate(whole.unwrap_or(sent.len()));
            }
            eprintln!("{}:", self.mount);
            cut.assert_heard(&sent, &heard);
        }
    }
}

/// Decodes what was heard; anything that ffmpeg has to say is a failure, as its exit status tells
/// little. Each link of a chain is decoded by itself: ffmpeg complains of the clock of any chain.
pub(crate) fn seconds_decoded(what: &str, heard: &[u8]) -> f64 {
    let scratch = Scratch::new("heard");
    let file = scratch.file("heard");
    let seconds = borders::links(heard).into_iter().map(|link| {
        std::fs::write(&file, link).expect("a scratch folder takes files");
        let mut command = program("ffmpeg");
        command.args("-nostdin -v error -xerror -err_detect explode -i".split(' '));
        command.arg(&file);
        command.args("-map 0 -f s16le -ac 2 -ar 44100 -".split(' '));
        let decoded = Client::spawn(&mut command).succeed(LIMIT);
        assert_eq!(decoded.stderr, "", "{what}");
        decoded.stdout.len() as f64 / (44_100.0 * 4.0)
    });
    seconds.sum()
}

/// Listeners of a source that ended wait for it for a moment, then the mount ends.
pub(super) fn start(backend: Backend) -> Server {
    let settings = [
        "mount_defaults.latency=live",
        "mount_defaults.burst_bytes=8192",
        "mount_defaults.source_timeout_ms=2500",
    ];
    Server::start(backend, &settings)
}

/// All sources at once, each with its listener.
pub(super) fn play(server: &Server, programs: Vec<(Program, Command)>) {
    std::thread::scope(|scope| {
        for (played, mut command) in programs {
            scope.spawn(move || {
                let source = match &played.sent {
                    Some((_, file)) => Client::spawn_from(&mut command, file),
                    None => Client::spawn(&mut command),
                };
                let listener = played.listen(server);
                source.succeed(LIMIT);
                played.check(listener);
            });
        }
    });
}

/// ffmpeg that plays `file` in real time, as it is.
fn ffmpeg(server: &Server, played: &Program, file: &Path, more: &str) -> Command {
    let mut command = program("ffmpeg");
    command
        .args("-nostdin -v error -re -i".split(' '))
        .arg(file);
    command.args(["-c", "copy", "-content_type", played.content_type]);
    command.args(more.split(' '));
    let address = server.address();
    let mount = played.mount;
    command.arg(format!(
        "icecast://source:{SOURCE_PASSWORD}@{address}{mount}"
    ));
    command
}

fn ffmpeg_is_heard(backend: Backend) {
    let server = start(backend);
    let mp3 = fixture::mp3(PLAYED_S);
    let adts = fixture::adts(PLAYED_S);
    let as_it_is = "-id3v2_version 0 -write_xing 0 -f mp3";
    let legacy = "-legacy_icecast 1 -id3v2_version 0 -write_xing 0 -f mp3";
    let ogg = "-f ogg";
    let programs = [
        (
            Program::new("Lavf/", "/a.mp3", "mp3", 44_100, "audio/mpeg").exactly(Cut::Mp3, &mp3),
            &mp3,
            as_it_is,
        ),
        (
            Program::new("Lavf/", "/old", "mp3", 44_100, "audio/mpeg")
                .exactly(Cut::Mp3, &mp3)
                .resetting(),
            &mp3,
            legacy,
        ),
        (
            Program::new("Lavf/", "/a.aac", "aac", 44_100, "audio/aac").exactly(Cut::Adts, &adts),
            &adts,
            "-f adts",
        ),
        (
            Program::new("Lavf/", "/v.ogg", "vorbis", 44_100, "application/ogg"),
            &fixture::vorbis(PLAYED_S, "Ada", "One"),
            ogg,
        ),
        (
            Program::new("Lavf/", "/a.opus", "opus", 48_000, "audio/ogg"),
            &fixture::opus(PLAYED_S),
            ogg,
        ),
        (
            Program::new("Lavf/", "/f.ogg", "flac", 44_100, "application/ogg"),
            &fixture::flac(PLAYED_S),
            ogg,
        ),
    ];
    let programs = programs.into_iter().map(|(played, file, options)| {
        let command = ffmpeg(&server, &played, file, options);
        (played, command)
    });
    play(&server, programs.collect());
}

fn shout(server: &Server, mount: &str, options: &str) -> Command {
    let mut command = program("shout");
    // The order matters to it.
    command.args(options.split(' '));
    command.args(["--host", "127.0.0.1", "--port", &server.port().to_string()]);
    command.args([
        "--mount",
        mount,
        "--user",
        "source",
        "--pass",
        SOURCE_PASSWORD,
    ]);
    command
}

/// `upload` is what curl sends: a file has a length, `-` is sent in chunks.
fn curl(server: &Server, mount: &str, content_type: &str, upload: &Path) -> Command {
    let mut command = program("curl");
    command.args(["-sS", "--fail", "--limit-rate", "48k", "-u"]);
    command.arg(format!("source:{SOURCE_PASSWORD}"));
    command
        .arg("-H")
        .arg(format!("Content-Type: {content_type}"));
    command.arg("-T").arg(upload).arg(server.url(mount));
    command
}

fn shout_and_curl_are_heard(backend: Backend) {
    let server = start(backend);
    let mp3 = fixture::mp3(PLAYED_S);
    let long_mp3 = fixture::mp3(UPLOADED_S);
    let adts = fixture::adts(UPLOADED_S);
    let vorbis = fixture::vorbis(PLAYED_S, "Ada", "Two");
    let opus = fixture::opus(UPLOADED_S);
    let mpeg_type = "audio/mpeg";
    let ogg_type = "application/ogg";
    let stdin = Path::new("-");
    let programs = vec![
        (
            Program::new("libshout/", "/s.mp3", "mp3", 44_100, mpeg_type).exactly(Cut::Mp3, &mp3),
            shout(&server, "/s.mp3", "--usage audio --format mp3"),
        ),
        (
            Program::new("libshout/", "/s.ogg", "vorbis", 44_100, ogg_type)
                .exactly(Cut::Ogg, &vorbis),
            shout(&server, "/s.ogg", "--format ogg"),
        ),
        (
            Program::new("curl/", "/c.mp3", "mp3", 44_100, mpeg_type).exactly(Cut::Mp3, &long_mp3),
            curl(&server, "/c.mp3", mpeg_type, &long_mp3),
        ),
        (
            Program::new("curl/", "/k.mp3", "mp3", 44_100, mpeg_type).exactly(Cut::Mp3, &long_mp3),
            curl(&server, "/k.mp3", mpeg_type, stdin),
        ),
        (
            Program::new("curl/", "/k.aac", "aac", 44_100, "audio/aac").exactly(Cut::Adts, &adts),
            curl(&server, "/k.aac", "audio/aac", stdin),
        ),
        (
            Program::new("curl/", "/k.opus", "opus", 48_000, ogg_type).exactly(Cut::Ogg, &opus),
            curl(&server, "/k.opus", ogg_type, stdin),
        ),
    ];
    play(&server, programs);
}

fn liquidsoap_is_heard(backend: Backend) {
    let server = start(backend);
    let programs = [
        (
            Program::new("Liquidsoap/", "/l.mp3", "mp3", 44_100, "audio/mpeg"),
            "%mp3(bitrate=128)",
        ),
        (
            Program::new("Liquidsoap/", "/l.ogg", "vorbis", 44_100, "application/ogg"),
            "%vorbis",
        ),
        (
            Program::new("Liquidsoap/", "/l.opus", "opus", 48_000, "application/ogg"),
            "%opus",
        ),
        (
            Program::new("Liquidsoap/", "/l.flac", "flac", 44_100, "application/ogg"),
            "%ogg(%flac)",
        ),
    ];
    let mut script = "settings.init.allow_root.set(true)\n\
         settings.log.stdout.set(true)\n\
         settings.log.file.set(false)\n\
         s = mksafe(noise())\n\
         s = insert_metadata(s)\n\
         tags = [(\"artist\", \"Ada\"), (\"title\", \"Première\")]\n\
         thread.run(delay=1., {s.insert_metadata(tags)})\n"
        .to_owned();
    for (played, format) in &programs {
        script += &format!(
            "output.icecast({format}, host=\"127.0.0.1\", port={}, password=\"{SOURCE_PASSWORD}\", \
             mount=\"{}\", s)\n",
            server.port(),
            played.mount
        );
    }
    let file = server.scratch().file("radio.liq");
    std::fs::write(&file, script).expect("a scratch folder takes files");
    let source = Client::spawn(program("liquidsoap").arg(&file));
    for (played, _) in &programs {
        let what = format!("{} has the title", played.mount);
        wait_for(&what, LIMIT, || {
            let report = server.mount(played.mount)?;
            (report["title"] == "Ada - Première").then_some(())
        });
    }
    // The clock of the first page of its Opus is off, ffmpeg says: a burst shall not reach it.
    std::thread::sleep(Duration::from_secs(2));
    let listeners = programs.map(|(played, _)| {
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
