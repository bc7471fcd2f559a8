//! The program on a port of its own.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::tls::{Authority, Certificate, NAMES};
use super::{Scratch, http, wait_for};

/// Password of the user `source`.
pub(crate) const SOURCE_PASSWORD: &str = "tests-play-this";
/// Password of the user `admin`.
pub(crate) const ADMIN_PASSWORD: &str = "tests-rule-this";

/// How long the program may take to be ready, on a machine that compiles beside the test.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How long the program may take to end after a signal.
const END_LIMIT: Duration = Duration::from_secs(20);

/// The I/O engine of the shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// `shards.backend=io_uring`
    IoUring,
    /// `shards.backend=epoll`
    Epoll,
}

impl Backend {
    const fn word(self) -> &'static str {
        match self {
            Backend::IoUring => "io_uring",
            Backend::Epoll => "epoll",
        }
    }
}

/// A running corecast. Dropped, it is killed; its log is shown where the test failed.
pub(crate) struct Server {
    command: Command,
    child: Child,
    port: Port,
    /// Where it speaks RTMP; none where a file says where it listens.
    rtmp: Option<Port>,
    tls: Option<Tls>,
    scratch: Scratch,
}

/// Where a server speaks TLS, and who says that it is the one.
pub(crate) struct Tls {
    https: Port,
    rtmps: Port,
    pub(crate) authority: Authority,
    /// Of every one of [`NAMES`].
    pub(crate) certificate: Certificate,
    /// Of [`OTHER_NAME`] alone.
    other: Certificate,
}

/// A name that has a certificate of its own.
pub(crate) const OTHER_NAME: &str = "other.test";

impl Tls {
    fn new() -> Self {
        let authority = Authority::new();
        let certificate = authority.issue("server", &NAMES);
        let other = authority.issue("other", &[OTHER_NAME]);
        let (https, rtmps) = (Port::take(), Port::take());
        Tls {
            https,
            rtmps,
            authority,
            certificate,
            other,
        }
    }

    /// The settings that are in no override: a second certificate.
    fn file(&self) -> PathBuf {
        let Certificate { chain, key, .. } = &self.other;
        let file = chain.with_file_name("corecast.toml");
        let text = format!(
            "[[certificate]]\nname = \"other\"\nfile = \"{}\"\nkey_file = \"{}\"\n",
            chain.display(),
            key.display()
        );
        std::fs::write(&file, text).expect("a scratch folder takes files");
        file
    }

    /// Where HTTP is spoken, by TCP and by UDP.
    pub(crate) fn address(&self) -> SocketAddr {
        self.https.address()
    }

    /// `https://localhost:PORT` and `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.https.number)
    }

    /// `rtmps://localhost:PORT` and `path`.
    pub(crate) fn rtmps_url(&self, path: &str) -> String {
        format!("rtmps://localhost:{}{path}", self.rtmps.number)
    }
}

impl Server {
    /// Starts the program with `settings` (each `section.key=value`, `{port}` for its port) and
    /// waits until it answers.
    pub(crate) fn start(backend: Backend, settings: &[&str]) -> Self {
        let server = Server::launch(backend, settings);
        server.wait_ready();
        server
    }

    /// As [`Server::start`], with HTTP and RTMP over TLS beside them.
    pub(crate) fn start_tls(backend: Backend, settings: &[&str]) -> Self {
        let command = Command::new(env!("CARGO_BIN_EXE_corecast"));
        Server::start_tls_with(command, backend, settings)
    }

    /// As [`Server::start_tls`], with the beginning of the command line given.
    pub(crate) fn start_tls_with(
        mut command: Command,
        backend: Backend,
        settings: &[&str],
    ) -> Self {
        let tls = Tls::new();
        command.arg("run").arg("--config").arg(tls.file());
        let server = Server::launch_on(command, backend, settings, Some(tls));
        server.wait_ready();
        server
    }

    /// As [`Server::start`], but does not wait.
    pub(crate) fn launch(backend: Backend, settings: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_corecast"));
        command.arg("run");
        Server::launch_with(command, backend, settings)
    }

    /// As [`Server::launch`], with the beginning of the command line given: a wrapper that sets
    /// limits, or `--config FILE`.
    pub(crate) fn launch_with(command: Command, backend: Backend, settings: &[&str]) -> Self {
        Server::launch_on(command, backend, settings, None)
    }

    fn launch_on(
        mut command: Command,
        backend: Backend,
        settings: &[&str],
        tls: Option<Tls>,
    ) -> Self {
        let scratch = Scratch::new("server");
        let (port, rtmp) = (Port::take(), Port::take());
        let mut ours = vec![
            format!("server.state_dir={}", scratch.path().display()),
            format!("shards.backend={}", backend.word()),
            "shards.count=2".to_owned(),
            // Several servers run at once: pinned, all of them would share the first CPUs.
            "shards.pin=false".to_owned(),
            format!("auth.source_password={SOURCE_PASSWORD}"),
            format!("auth.admin_password={ADMIN_PASSWORD}"),
        ];
        let mut listen = format!("{},rtmp:{}", port.address(), rtmp.address());
        if let Some(tls) = &tls {
            let (https, rtmps) = (tls.https.address(), tls.rtmps.address());
            listen.push_str(&format!(",https:{https},rtmps:{rtmps}"));
            let Certificate { chain, key, .. } = &tls.certificate;
            ours.push(format!("tls.certificate_file={}", chain.display()));
            ours.push(format!("tls.key_file={}", key.display()));
        }
        ours.push(format!("listen.address={listen}"));
        let all = ours
            .iter()
            .map(String::as_str)
            .chain(settings.iter().copied());
        for setting in all {
            let setting = setting.replace("{port}", &port.number.to_string());
            command.args(["--set", &setting]);
        }
        let mut server = Server::spawn(command, port, scratch);
        server.rtmp = Some(rtmp);
        server.tls = tls;
        server
    }

    /// Starts the program with what `file` says and nothing else; it listens at `port`.
    pub(crate) fn launch_from(file: &Path, port: Port) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_corecast"));
        command.arg("run").arg("--config").arg(file);
        Server::spawn(command, port, Scratch::new("server"))
    }

    fn spawn(mut command: Command, port: Port, scratch: Scratch) -> Self {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CORECAST_") {
                command.env_remove(name);
            }
        }
        let log = File::create(scratch.file("log")).expect("the scratch folder takes files");
        let out = log.try_clone().expect("a file can be shared");
        command.stdin(Stdio::null()).stdout(out).stderr(log);
        let child = command.spawn().expect("corecast was built and starts");
        Server {
            command,
            child,
            port,
            rtmp: None,
            tls: None,
            scratch,
        }
    }

    /// Kills the program, which says no goodbye, and starts it again.
    pub(crate) fn start_again(&mut self) {
        self.signal(Signal::KILL);
        self.wait_end();
        self.child = self.command.spawn().expect("it started before");
        self.wait_ready();
    }

    /// Waits until `/ready` says 200.
    pub(crate) fn wait_ready(&self) {
        wait_for("the server is ready", START_LIMIT, || {
            let answer = http::try_get(self.address(), "/ready").ok()?;
            (answer.status == 200).then_some(())
        });
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The port alone.
    pub(crate) fn port(&self) -> u16 {
        self.port.number
    }

    /// `http://127.0.0.1:PORT` and `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// `rtmp://127.0.0.1:PORT` and `path`.
    pub(crate) fn rtmp_url(&self, path: &str) -> String {
        let rtmp = self.rtmp.as_ref().expect("started with a port for RTMP");
        format!("rtmp://{}{path}", rtmp.address())
    }

    /// Where a source with our password publishes `path` by RTMP.
    pub(crate) fn publish_url(&self, path: &str) -> String {
        self.rtmp_url(&format!("{path}?password={SOURCE_PASSWORD}"))
    }

    /// Where it speaks TLS.
    pub(crate) fn tls(&self) -> &Tls {
        self.tls.as_ref().expect("started by `start_tls`")
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A folder that lives as long as the server.
    pub(crate) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Everything that it wrote to stdout and stderr so far.
    pub(crate) fn log(&self) -> String {
        let bytes = std::fs::read(self.scratch.file("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The answer to `GET path`.
    pub(crate) fn get(&self, path: &str) -> http::Answer {
        http::try_get(self.address(), path).expect("the server answers")
    }

    /// The answer to `GET path` as the admin.
    pub(crate) fn get_as_admin(&self, path: &str) -> http::Answer {
        let authorization = http::basic("admin", ADMIN_PASSWORD);
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{authorization}\r\n"
        );
        http::exchange(self.address(), request.as_bytes()).expect("the server answers")
    }

    /// The JSON document at `path`.
    pub(crate) fn json(&self, path: &str) -> Value {
        self.get(path).json()
    }

    /// What `/api/v1/mounts/…` says of `mount` (`/live`), if it is there.
    pub(crate) fn mount(&self, mount: &str) -> Option<Value> {
        let answer = self.get(&format!("/api/v1/mounts{mount}"));
        (answer.status == 200).then(|| answer.json())
    }

    /// Waits until `mount` is live and its format is known; answers what the API says of it.
    pub(crate) fn wait_live(&self, mount: &str) -> Value {
        let what = format!("{mount} is live");
        wait_for(&what, Duration::from_secs(20), || {
            self.mount(mount)
                .filter(|report| report["state"] == "live" && report["sample_rate_hz"] != 0)
        })
    }

    /// Sets the title of `mount` as its source would, in the request line.
    pub(crate) fn set_title(&self, mount: &str, title: &[u8]) {
        let authorization = http::basic("source", SOURCE_PASSWORD);
        let song: String = title.iter().map(|byte| format!("%{byte:02x}")).collect();
        let request = format!(
            "GET /admin/metadata?mode=updinfo&mount={mount}&song={song} HTTP/1.0\r\n\
             {authorization}\r\n"
        );
        let answer = http::exchange(self.address(), request.as_bytes());
        let answer = answer.expect("the server answers");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// The sum of all samples of a metric whose labels contain `labels`.
    pub(crate) fn metric(&self, name: &str, labels: &str) -> f64 {
        let page = self.get("/metrics").text();
        let samples = page.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (found, with) = series.split_once('{').unwrap_or((series, ""));
            (found == name && with.contains(labels)).then(|| value.parse::<f64>().ok())?
        });
        samples.sum()
    }

    /// Sends `signal`.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.expect("a child's pid is positive");
        kill_process(pid, signal).expect("the server is there");
    }

    /// Waits until it ended.
    pub(crate) fn wait_end(&mut self) -> ExitStatus {
        let child = &mut self.child;
        wait_for("the server ends", END_LIMIT, || {
            child.try_wait().expect("it is our child")
        })
    }

    /// Whether it ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_some()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let from = lines.len().saturating_sub(60);
            eprintln!("corecast's log ends:\n{}", lines[from..].join("\n"));
        }
    }
}

/// A port that no other test has, in this process or another. Servers share ports
/// (`SO_REUSEPORT`), so a bind alone would not tell; the same port of another loopback address,
/// bound for us alone, does.
pub(crate) struct Port {
    number: u16,
    _held: TcpListener,
}

/// Below the ports that the kernel gives to outgoing connections.
const PORTS: std::ops::Range<u16> = 18_000..30_000;
const HELD_AT: Ipv4Addr = Ipv4Addr::new(127, 77, 77, 77);

static TRIED: AtomicU16 = AtomicU16::new(0);

impl Port {
    /// The next free one.
    pub(crate) fn take() -> Self {
        let span = u32::from(PORTS.end - PORTS.start);
        let first = std::process::id().wrapping_mul(37);
        for _ in 0..span {
            let tried = u32::from(TRIED.fetch_add(1, Ordering::Relaxed));
            let offset = first.wrapping_add(tried) % span;
            let number = PORTS.start + u16::try_from(offset).expect("the span has 16 bits");
            let Ok(held) = TcpListener::bind((HELD_AT, number)) else {
                continue;
            };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Port {
                    number,
                    _held: held,
                };
            }
        }
        panic!("no free port in {PORTS:?}");
    }

    /// The port alone.
    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    /// On 127.0.0.1.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.number))
    }
}
