//! A soak: very many short connections of every kind against one server, whose open files and
//! memory must be flat at the end.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use rustix::net::sockopt;
use serde::{Deserialize, Serialize};

use crate::clock::{SECOND_NS, now_ns};
use crate::http::{Target, fault};
use crate::proc::{self, Memory};
use crate::run::draw_target;

/// Part of the connections that is made before the first figures are read: pools fill up.
const WARM_PART: u64 = 10;
/// Time for the server to let go of what ended.
const SETTLE_NS_MAX: u64 = 15 * SECOND_NS;
/// A server that says nothing for this long failed the connection.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Open files that may be more at the end.
const FILES_MORE_MAX: u64 = 8;
/// Memory that may be more at the end: this much, or a tenth.
const MEMORY_MORE_MAX_BYTES: u64 = 4 << 20;

/// What a soak is to do.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// A mount with a source, and the server's process.
    pub(crate) target: Target,
    /// The server's process.
    pub(crate) pid: u32,
    /// Connections in all.
    pub(crate) connections: u64,
    /// Connections at once.
    pub(crate) parallel: u32,
}

/// What the server holds at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holding {
    /// Open files.
    pub(crate) files: u64,
    /// Memory.
    pub(crate) memory: Memory,
}

impl Holding {
    fn read(pid: u32) -> io::Result<Holding> {
        Ok(Holding {
            files: proc::open_files(pid)?,
            memory: proc::memory(pid)?,
        })
    }

    /// Whether this is no more than `before`, within what is allowed.
    fn is_flat_since(&self, before: &Holding) -> bool {
        let was = before.memory.anon_bytes;
        let more_max = MEMORY_MORE_MAX_BYTES.max(was / 10);
        self.files <= before.files + FILES_MORE_MAX && self.memory.anon_bytes <= was + more_max
    }
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Whether open files and memory are flat and every connection went as it should.
    pub(crate) good: bool,
    /// Connections that were made.
    pub(crate) connections: u64,
    /// Those that could not connect or got no answer.
    pub(crate) failed: u64,
    /// Connections per second.
    pub(crate) per_second: f64,
    /// What the server held after the first tenth of the connections.
    pub(crate) before: Holding,
    /// What it held at the end.
    pub(crate) after: Holding,
}

impl Report {
    /// The report for people.
    pub(crate) fn text(&self) -> String {
        let line = |name: &str, holding: &Holding| {
            let Memory {
                rss_bytes,
                anon_bytes,
            } = holding.memory;
            let (rss, anon) = (rss_bytes / 1_024, anon_bytes / 1_024);
            format!(
                "{name:<12} {} open files, {rss} KiB resident, {anon} KiB own\n",
                holding.files
            )
        };
        format!(
            "connections  {} ({:.0}/s), {} failed\n{}{}result       {}\n",
            self.connections,
            self.per_second,
            self.failed,
            line("before", &self.before),
            line("after", &self.after),
            if self.good { "flat" } else { "NOT flat" }
        )
    }
}

/// How a connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Listens for a few bytes, then resets.
    ListenReset,
    /// Listens for a few bytes, then closes.
    ListenClose,
    /// Asks for a mount that is not there and reads the answer to its end.
    Missing,
    /// Leaves in the middle of its request.
    HalfRequest,
    /// Says nothing.
    Silent,
}

impl Manner {
    const ALL: [Manner; 5] = [
        Manner::ListenReset,
        Manner::ListenClose,
        Manner::Missing,
        Manner::HalfRequest,
        Manner::Silent,
    ];

    fn of(number: u64) -> Manner {
        let at = (number % Self::ALL.len() as u64) as usize;
        Self::ALL.get(at).copied().unwrap_or(Manner::Silent)
    }
}

/// Makes all connections and compares what the server held before and after.
pub(crate) fn run(settings: &Settings) -> io::Result<Report> {
    let warm = settings.connections / WARM_PART;
    let bar = ProgressBar::with_draw_target(Some(settings.connections), draw_target());
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} connections");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut failed = make(settings, 0, warm, &bar)?;
    let before = settle(settings.pid, None)?;
    let started_ns = now_ns();
    failed += make(settings, warm, settings.connections, &bar)?;
    let seconds = (now_ns() - started_ns) as f64 / SECOND_NS as f64;
    let after = settle(settings.pid, Some(&before))?;
    bar.finish_and_clear();
    Ok(Report {
        good: failed == 0 && after.is_flat_since(&before),
        connections: settings.connections,
        failed,
        per_second: (settings.connections - warm) as f64 / seconds.max(f64::EPSILON),
        before,
        after,
    })
}

/// Makes the connections `from..to`; gives how many failed.
fn make(settings: &Settings, from: u64, to: u64, bar: &ProgressBar) -> io::Result<u64> {
    let next = AtomicU64::new(from);
    let failed = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..settings.parallel {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= to {
                        return;
                    }
                    if connect_once(&settings.target, Manner::of(number)).is_err() {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                    bar.inc(1);
                }
            });
        }
    });
    if failed.load(Ordering::Relaxed) == to - from && to > from {
        return Err(fault(
            "every connection failed: is the server there, and the mount?",
        ));
    }
    Ok(failed.load(Ordering::Relaxed))
}

fn connect_once(target: &Target, manner: Manner) -> io::Result<()> {
    let mut socket = TcpStream::connect_timeout(&target.address, TIMEOUT)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.set_write_timeout(Some(TIMEOUT))?;
    let request = target.listen_request(true);
    match manner {
        Manner::ListenReset | Manner::ListenClose => {
            socket.write_all(&request)?;
            expect(&mut socket, b"HTTP/1.0 200", b"HTTP/1.1 200")?;
        }
        Manner::Missing => {
            let missing = Target {
                path: "/soak-no-such-mount".to_owned(),
                ..target.clone()
            };
            socket.write_all(&missing.listen_request(false))?;
            expect(&mut socket, b"HTTP/1.0 404", b"HTTP/1.1 404")?;
            io::copy(&mut socket.take(1 << 20), &mut io::sink())?;
            return Ok(());
        }
        Manner::HalfRequest => socket.write_all(request.get(..20).unwrap_or_default())?,
        Manner::Silent => {}
    }
    if manner != Manner::ListenClose {
        sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
    }
    Ok(())
}

/// Reads the first bytes of an answer, which must be `one` or `other`.
fn expect(socket: &mut TcpStream, one: &[u8; 12], other: &[u8; 12]) -> io::Result<()> {
    let mut first = [0_u8; 12];
    socket.read_exact(&mut first)?;
    if first == *one || first == *other {
        Ok(())
    } else {
        Err(fault("an unexpected answer"))
    }
}

/// Reads what the server holds once it has let go: when nothing shrinks any more, or is flat
/// since `before`.
fn settle(pid: u32, before: Option<&Holding>) -> io::Result<Holding> {
    let deadline_ns = now_ns() + SETTLE_NS_MAX;
    let mut last = Holding::read(pid)?;
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let now = Holding::read(pid)?;
        let settled = match before {
            Some(before) => now.is_flat_since(before),
            None => now.files == last.files && now.memory.anon_bytes >= last.memory.anon_bytes,
        };
        if settled || now_ns() > deadline_ns {
            return Ok(now);
        }
        last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(files: u64, mib: u64) -> Holding {
        let memory = Memory {
            rss_bytes: mib << 21,
            anon_bytes: mib << 20,
        };
        Holding { files, memory }
    }

    #[test]
    fn more_files_or_memory_than_allowed_is_not_flat() {
        let before = holding(20, 10);
        assert!(holding(28, 14).is_flat_since(&before));
        assert!(!holding(29, 10).is_flat_since(&before));
        assert!(!holding(20, 15).is_flat_since(&before));
        assert!(holding(20, 110).is_flat_since(&holding(20, 100)));
        assert!(!holding(20, 111).is_flat_since(&holding(20, 100)));
    }

    #[test]
    fn connections_come_in_every_manner() {
        let seen: Vec<Manner> = (0..5).map(Manner::of).collect();
        assert_eq!(seen, Manner::ALL);
    }
}
