//! The servers under test, each a child process that lives as long as its value.

mod peers;

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process};

use crate::clock::{MS_NS, SECOND_NS, now_ns};
use crate::http::{Target, fault};
use crate::proc;

/// User and group `nobody`: Icecast refuses to run as root.
const NOBODY: u32 = 65_534;
/// The mount of the benchmark.
const MOUNT: &str = "/bench.mp3";
/// The file that nginx serves.
pub(super) const FILE: &str = "segment.m4s";
/// A password that no server refuses.
const PASSWORD: &str = "side-by-side-4417";
/// Time for a server to answer its first request.
const READY_NS_MAX: u64 = 10 * SECOND_NS;
/// Time for a server to end by itself.
const END_NS_MAX: u64 = 8 * SECOND_NS;
/// Time between two tries of the first request.
const PROBE_PAUSE: Duration = Duration::from_micros(200);
/// Icecast crashes now and then when a request comes while it is still starting.
const ICECAST_PAUSE: Duration = Duration::from_millis(500);
/// How often a server that dies at its start is started.
const TRIES_MAX: u32 = 3;
/// Lines of a server's log that explain a failure.
const LOG_LINES: usize = 8;

/// Where the servers are, and how they run on this machine.
#[derive(Clone, Debug)]
pub(super) struct Software {
    pub(super) corecast: PathBuf,
    pub(super) icecast: PathBuf,
    pub(super) nginx: PathBuf,
    pub(super) caddy: PathBuf,
    /// Whether this process is root, so that Icecast must be made somebody else.
    pub(super) unprivileged: bool,
    /// Processors of this machine.
    pub(super) cpus: usize,
}

/// Which server, and how.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// corecast with so many shards and these `--set` overrides.
    Corecast {
        shards: usize,
        overrides: Vec<String>,
    },
    /// corecast with one shard, its port for RTMP and these `--set` overrides; if it is secure,
    /// with a port for HTTPS and HTTP/3 too.
    Video {
        overrides: Vec<String>,
        secure: bool,
    },
    /// icecast2 without burst on connect.
    Icecast,
    /// nginx with one worker, which sends this as [`FILE`] from a folder in here.
    Nginx {
        file: Bytes,
        place: PathBuf,
        wire: Wire,
    },
    /// Caddy, which does the same.
    Caddy { file: Bytes, place: PathBuf },
    /// The bare server of HTTP/3, which sends this whatever it is asked for.
    BareQuic { file: Bytes, place: PathBuf },
    /// The bare loop.
    Bare {
        listeners: u32,
        send_bytes: u64,
        rate_bytes: u64,
    },
}

/// What nginx speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    /// HTTP/1.1.
    Plain,
    /// HTTP/1.1 over TLS.
    Tls,
    /// HTTP/2 over TLS.
    Http2,
}

impl Kind {
    /// Processors that it runs on; the generator has processor 1.
    fn cpus(&self) -> Vec<usize> {
        match self {
            Kind::Corecast { shards, .. } => (0..*shards).collect(),
            _ => vec![0],
        }
    }
}

/// A running server. It is ended, and its folder removed, with this value.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    target: Target,
    credentials: Option<String>,
    /// Where it takes RTMP, and HTTPS where that is another port.
    rtmp: Option<SocketAddr>,
    secure: Option<SocketAddr>,
    /// What it serves.
    _files: Option<Folder>,
    folder: Folder,
    ready_ns: u64,
}

impl Server {
    /// Starts a server on a free port and waits until it answers; tries again if it dies.
    pub(super) fn start(software: &Software, kind: &Kind) -> io::Result<Server> {
        let mut tries = 1;
        loop {
            match Server::start_once(software, kind) {
                Err(_) if tries < TRIES_MAX => tries += 1,
                started => return started,
            }
        }
    }

    fn start_once(software: &Software, kind: &Kind) -> io::Result<Server> {
        let port = free_port()?;
        let folder = Folder::new()?;
        let Prepared {
            mut command,
            rtmp,
            secure,
            files,
        } = prepare(software, kind, &folder.0, port)?;
        let log = File::create(folder.0.join("log"))?;
        command.stdin(Stdio::null()).stderr(log.try_clone()?);
        let is_bare = matches!(kind, Kind::Bare { .. } | Kind::BareQuic { .. });
        command.stdout(if is_bare { Stdio::piped() } else { log.into() });
        let started_ns = now_ns();
        let child = spawn_on(
            command,
            if software.cpus > 1 {
                kind.cpus()
            } else {
                Vec::new()
            },
        )?;
        let credentials = (!is_bare).then(|| format!("source:{PASSWORD}"));
        let target = Target::parse(&format!("http://127.0.0.1:{port}{MOUNT}"))?;
        let mut server = Server {
            child,
            target,
            credentials,
            rtmp,
            secure,
            _files: files,
            folder,
            ready_ns: 0,
        };
        if matches!(kind, Kind::Icecast) {
            std::thread::sleep(ICECAST_PAUSE);
        }
        let ready = if is_bare {
            server.await_word()
        } else {
            server.await_answer()
        };
        ready.map_err(|error| server.explain(&error))?;
        server.ready_ns = now_ns() - started_ns;
        Ok(server)
    }

    /// The server's process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The mount.
    pub(super) const fn target(&self) -> &Target {
        &self.target
    }

    /// `path` where the server speaks TLS, if it has a port of its own for that.
    pub(super) fn secure(&self, path: &str) -> Target {
        let address = self.secure.unwrap_or(self.target.address);
        Target {
            address,
            host: address.to_string(),
            path: path.to_owned(),
        }
    }

    /// Who may publish; none if it has a stream of its own.
    pub(super) fn credentials(&self) -> Option<&str> {
        self.credentials.as_deref()
    }

    /// Where `mount` is published by RTMP, and its URL with the password.
    pub(super) fn rtmp(&self, mount: &str) -> io::Result<(SocketAddr, String)> {
        let address = self.rtmp.ok_or_else(|| fault("no port for RTMP"))?;
        let url = format!("rtmp://{address}{mount}?password={PASSWORD}");
        Ok((address, url))
    }

    /// Start of the process to its first answer, in milliseconds.
    pub(super) fn ready_ms(&self) -> f64 {
        self.ready_ns as f64 / MS_NS as f64
    }

    /// An error with the end of the server's log.
    pub(super) fn explain(&self, error: &io::Error) -> io::Error {
        let read = |name| fs::read(self.folder.0.join(name)).unwrap_or_default();
        // Icecast has a log of its own besides its output.
        let log = [read("log"), read("error.log")].concat();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let last = lines
            .get(lines.len().saturating_sub(LOG_LINES)..)
            .unwrap_or_default();
        fault(format!(
            "{error}; the server's last words:\n{}",
            last.join("\n")
        ))
    }

    /// Asks until there is an answer, whatever it is: the process has accepted and answered.
    fn await_answer(&mut self) -> io::Result<()> {
        let deadline_ns = now_ns() + READY_NS_MAX;
        let request = self.target.listen_request(false);
        loop {
            if let Ok(mut socket) = TcpStream::connect(self.target.address) {
                socket.set_read_timeout(Some(Duration::from_secs(2)))?;
                socket.write_all(&request)?;
                if socket.read(&mut [0_u8; 1]).is_ok_and(|len| len == 1) {
                    return Ok(());
                }
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(fault(format!("the server ended at once: {status}")));
            }
            if now_ns() > deadline_ns {
                return Err(fault("the server does not answer"));
            }
            std::thread::sleep(PROBE_PAUSE);
        }
    }

    /// Waits for the line that the bare loop prints when it listens.
    fn await_word(&mut self) -> io::Result<()> {
        let output = self
            .child
            .stdout
            .take()
            .ok_or_else(|| fault("the loop has no output"))?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        if line.is_empty() {
            Err(fault("the bare loop does not listen"))
        } else {
            Ok(())
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline_ns = now_ns() + END_NS_MAX;
        while now_ns() < deadline_ns && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that starts a server, and what belongs to it.
struct Prepared {
    command: Command,
    rtmp: Option<SocketAddr>,
    secure: Option<SocketAddr>,
    files: Option<Folder>,
}

fn prepare(software: &Software, kind: &Kind, folder: &Path, port: u16) -> io::Result<Prepared> {
    let (mut rtmp, mut secure, mut files) = (None, None, None);
    let command = match kind {
        Kind::Corecast { shards, overrides } => {
            peers::corecast(software, folder, port, *shards, overrides)
        }
        Kind::Video {
            overrides,
            secure: is_secure,
        } => {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
            rtmp = Some(address);
            let mut listen = format!("listen.address=127.0.0.1:{port},rtmp:{address}");
            if *is_secure {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
                secure = Some(address);
                listen.push_str(&format!(",https:{address}"));
            }
            let overrides: Vec<String> = [&[listen], &overrides[..]].concat();
            peers::corecast(software, folder, port, 1, &overrides)
        }
        Kind::Icecast => peers::icecast(software, folder, port)?,
        Kind::Nginx { file, place, wire } => {
            let root = files.insert(Folder::with_file(place, file)?);
            peers::nginx(software, folder, port, &root.0, *wire)?
        }
        Kind::Caddy { file, place } => {
            let root = files.insert(Folder::with_file(place, file)?);
            peers::caddy(software, folder, port, &root.0)?
        }
        Kind::BareQuic { file, place } => {
            let root = files.insert(Folder::with_file(place, file)?);
            peers::bare_quic(folder, port, &root.0)?
        }
        Kind::Bare {
            listeners,
            send_bytes,
            rate_bytes,
        } => peers::bare(port, *listeners, *send_bytes, *rate_bytes),
    };
    Ok(Prepared {
        command,
        rtmp,
        secure,
        files,
    })
}

/// Starts a process on these processors: it inherits them from the thread that starts it.
fn spawn_on(mut command: Command, cpus: Vec<usize>) -> io::Result<Child> {
    let starter = std::thread::spawn(move || {
        if !cpus.is_empty() {
            proc::pin(&cpus)?;
        }
        command.spawn()
    });
    let child = starter.join().map_err(|_| fault("the starter panicked"))?;
    child.map_err(|error| fault(format!("start the server: {error}")))
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// A folder of one server; removed with this value.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    /// A fresh one that any user may enter.
    fn new() -> io::Result<Folder> {
        Folder::new_in(&std::env::temp_dir())
    }

    /// One in `place`.
    fn new_in(place: &Path) -> io::Result<Folder> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("corecast-bench-{}-{count}", std::process::id());
        let folder = place.join(name);
        fs::create_dir(&folder)?;
        Ok(Folder(folder))
    }
}

impl Folder {
    /// One in `place` with this as [`FILE`].
    fn with_file(place: &Path, file: &[u8]) -> io::Result<Folder> {
        let folder = Folder::new_in(place)?;
        fs::write(folder.0.join(FILE), file)?;
        Ok(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is small and lies in a folder for such things.
        let _ = fs::remove_dir_all(&self.0);
    }
}
