//! Other people's programs, with their output kept and a limit on their time.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{Scratch, wait_for};

/// The programs that the tests run, by their names, and the Debian package of each. `./x test`
/// installs them.
pub(crate) const PROGRAMS: &[(&str, &str)] = &[
    ("Xvfb", "xvfb"),
    ("butt", "butt"),
    ("chromium|chromium-browser|google-chrome", "chromium"),
    ("curl", "curl"),
    ("ezstream", "ezstream"),
    ("ffmpeg", "ffmpeg"),
    ("ffprobe", "ffmpeg"),
    ("firefox-esr|firefox", "firefox-esr"),
    ("gst-launch-1.0", "gstreamer1.0-tools"),
    ("gst-play-1.0", "gstreamer1.0-plugins-base-apps"),
    ("icecast2", "icecast2"),
    ("ices2", "ices2"),
    ("liquidsoap", "liquidsoap"),
    ("mpd", "mpd"),
    ("mplayer", "mplayer"),
    ("mpv", "mpv"),
    ("node", "nodejs"),
    ("obs", "obs-studio"),
    ("openssl", "openssl"),
    ("pebble", "pebble"),
    ("promtool", "prometheus"),
    ("pulseaudio", "pulseaudio"),
    ("python3", "python3"),
    ("rtmpdump", "rtmpdump"),
    ("shout", "libshout-tools"),
    ("slowhttptest", "slowhttptest"),
    ("streamripper", "streamripper"),
    ("vlc", "vlc-bin"),
];

/// How long a build of one program may take.
const BUILD_LIMIT: Duration = Duration::from_secs(600);

/// A command for `name`. A program that is missing fails the test: nothing is left out in silence.
pub(crate) fn program(name: &str) -> Command {
    let listed = PROGRAMS
        .iter()
        .find(|(names, _)| names.split('|').next() == Some(name));
    let (names, package) = listed.unwrap_or_else(|| panic!("{name} is not in PROGRAMS"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &&str| std::env::split_paths(&path).any(|at| at.join(name).is_file());
    match names.split('|').find(is_there) {
        Some(name) => Command::new(name),
        None => panic!("{name} is missing. `./x test` installs it, or: apt-get install {package}"),
    }
}

/// A library of the system that programs may be started with, by the end of its path. One that is
/// missing fails the test, as with [`program`].
pub(crate) fn library(name: &str, package: &str) -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .flatten();
    let found = folders
        .map(|folder| folder.path().join(name))
        .find(|path| path.is_file());
    match found {
        Some(path) => path,
        None => panic!("{name} is missing. `./x test` installs it, or: apt-get install {package}"),
    }
}

/// A command for an ffmpeg that speaks Enhanced RTMP, as [`program`]. `./x test` fetches it.
pub(crate) fn newer_ffmpeg() -> Command {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(".x/tools/ffmpeg/imageio_ffmpeg/binaries");
    let files = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let found = files.map(|file| file.path()).find(|path| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with("ffmpeg-")
    });
    match found {
        Some(path) => Command::new(path),
        None => panic!("no ffmpeg in {}: `./x test` fetches it", folder.display()),
    }
}

/// A command for `script`, a path in the tree, in a Python that has the packages of
/// `scripts/python.sh`. `./x test` fetches them.
pub(crate) fn python(script: &str) -> Command {
    let mut command = python_with_packages();
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script));
    command
}

/// As [`python`], with nothing to run yet.
pub(crate) fn python_with_packages() -> Command {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".x/tools/python");
    assert!(
        folder.join("list").is_file(),
        "no {}: `./x test` fetches it, by pip",
        folder.display()
    );
    let mut command = program("python3");
    command.env("PYTHONPATH", folder);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// A command for our own load generator, built first where it is not: only the program itself is
/// built with the tests.
pub(crate) fn loadtest() -> Command {
    let folder = Path::new(env!("CARGO_BIN_EXE_corecast"));
    let folder = folder.parent().expect("a program is in a folder");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", "corecast-loadtest"]);
    build.arg("--target-dir").arg(folder.join(".."));
    if folder.ends_with("release") {
        build.arg("--release");
    }
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    Client::spawn(&mut build).succeed(BUILD_LIMIT);
    Command::new(folder.join("loadtest"))
}

/// The path of a script that npm brings for tests, as [`program`]. `./x test` fetches it.
pub(crate) fn script_of_npm(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(".x/test-web")
        .join(name);
    assert!(
        path.exists(),
        "no {}: `./x test` fetches it, by npm",
        path.display()
    );
    path
}

/// A running program. Dropped, it is killed.
pub(crate) struct Client {
    name: String,
    child: Child,
    scratch: Scratch,
}

/// What a program left.
#[derive(Debug)]
pub(crate) struct Output {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// What it wrote to stdout.
    pub(crate) stdout: Vec<u8>,
    /// What it wrote to stderr.
    pub(crate) stderr: String,
}

impl Output {
    /// Stdout as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

impl Client {
    /// Starts `command` with nothing on its stdin.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        command.stdin(Stdio::null());
        Client::start(command)
    }

    /// Starts `command` with the file `path` on its stdin.
    pub(crate) fn spawn_from(command: &mut Command, path: &Path) -> Self {
        command.stdin(File::open(path).expect("the fixture is there"));
        Client::start(command)
    }

    fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let scratch = Scratch::new("client");
        let file = |name| File::create(scratch.file(name)).expect("a scratch folder takes files");
        let child = command
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        Client {
            name,
            child,
            scratch,
        }
    }

    /// What it wrote to stdout so far.
    pub(crate) fn stdout(&self) -> Vec<u8> {
        std::fs::read(self.scratch.file("stdout")).unwrap_or_default()
    }

    /// What it wrote to stderr so far.
    pub(crate) fn stderr(&self) -> String {
        let bytes = std::fs::read(self.scratch.file("stderr")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Sends `signal`; one that ended already does not mind.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let _ = kill_process(pid.expect("a child's pid is positive"), signal);
    }

    /// Waits until it ends by itself; fails after `limit`.
    pub(crate) fn wait(mut self, limit: Duration) -> Output {
        let what = format!("{} ends by itself", self.name);
        let child = &mut self.child;
        let status = wait_for(&what, limit, || child.try_wait().expect("it is our child"));
        self.output(status)
    }

    /// Waits as [`Client::wait`]; an end other than 0 fails the test with what it wrote.
    pub(crate) fn succeed(self, limit: Duration) -> Output {
        let name = self.name.clone();
        let output = self.wait(limit);
        let said = std::str::from_utf8(&output.stdout).unwrap_or("(and bytes on stdout)");
        let (status, stderr) = (output.status, &output.stderr);
        assert!(status.success(), "{name}: {status}\n{stderr}\n{said}");
        output
    }

    fn output(&self, status: ExitStatus) -> Output {
        Output {
            status,
            stdout: self.stdout(),
            stderr: self.stderr(),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let stderr = self.stderr();
            let lines: Vec<&str> = stderr.lines().collect();
            let from = lines.len().saturating_sub(15);
            eprintln!(
                "{} said at its end:\n{}",
                self.name,
                lines[from..].join("\n")
            );
        }
    }
}

/// Runs `name` with `args` to its end, which must be good.
pub(crate) fn run<S: AsRef<OsStr>>(name: &str, args: &[S], limit: Duration) -> Output {
    Client::spawn(program(name).args(args)).succeed(limit)
}

#[test]
fn the_set_up_installs_every_program() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/packages.sh"));
    let text = text.expect("the list of packages is in the tree");
    for (names, package) in PROGRAMS {
        let row = text.lines().map(|line| line.split_whitespace());
        let found = row.map(|words| words.collect::<Vec<_>>()).any(|words| {
            matches!(words.as_slice(), ["test" | "build", need, listed, ..]
                if need == names && listed == package)
        });
        assert!(
            found,
            "scripts/packages.sh installs no {package} for {names}"
        );
    }
}
