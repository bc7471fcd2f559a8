//! Rude peers, and what is needed to look at the server from outside.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};

use super::harness::http;

/// Raises the limit of open files as far as it goes: a crowd is many connections.
pub(crate) fn raise_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("a limit may be raised up to its maximum");
}

/// A connection on which `bytes` were sent.
pub(crate) fn say(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = http::connect(address).expect("the server takes connections");
    stream.write_all(bytes).expect("a few bytes fit");
    stream
}

/// A connection whose peer's window is so small that a listener that does not read is noticed
/// after a few seconds of audio, not after megabytes.
pub(crate) fn narrow(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    narrow_from(NARROW, address, bytes)
}

/// Where such peers are. The kernel remembers how fast it may send to an address, and what others
/// were sent at the usual one would fill its buffers for seconds.
pub(crate) const NARROW: [u8; 4] = [127, 0, 0, 7];

/// As [`narrow`], from an address of this machine.
pub(crate) fn narrow_from(from: [u8; 4], address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a socket");
    socket
        .set_recv_buffer_size(4_096)
        .expect("a buffer may be small");
    socket.set_tcp_mss(536).expect("segments may be small");
    socket
        .bind(&SocketAddr::from((from, 0)).into())
        .expect("127/8 is ours");
    socket
        .connect(&address.into())
        .expect("the server takes connections");
    let mut stream = TcpStream::from(socket);
    stream
        .set_read_timeout(Some(http::IO_LIMIT))
        .expect("never zero");
    stream.write_all(bytes).expect("a few bytes fit");
    stream
}

/// Closes with a reset.
pub(crate) fn reset(stream: TcpStream) {
    let socket = socket2::SockRef::from(&stream);
    socket
        .set_linger(Some(Duration::ZERO))
        .expect("a socket may be reset");
}

/// Everything up to the end of the connection, and whether it ended within `limit`. An end by a
/// reset is an end.
pub(crate) fn read_to_end(stream: &mut TcpStream, limit: Duration) -> (Vec<u8>, bool) {
    let deadline = Instant::now() + limit;
    let mut all = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return (all, false);
        }
        stream.set_read_timeout(Some(left)).expect("never zero");
        match stream.read(&mut piece) {
            Ok(0) => return (all, true),
            Ok(n) => all.extend_from_slice(&piece[..n]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return (all, true),
        }
    }
}

/// Descriptors that a process has open.
pub(crate) fn open_files(pid: u32) -> usize {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("the process is there");
    files.count()
}

/// Memory of a process in KiB (`VmRSS`).
pub(crate) fn memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
    let status = status.expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|n| n.parse().ok()).expect("a number")
}

/// CPU time of a process so far.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process is there");
    let (_, after) = stat.rsplit_once(')').expect("the name is in brackets");
    let ticks = after.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.map(|n| n.parse::<u64>().expect("ticks")).sum();
    Duration::from_millis(ticks * 1_000 / rustix::param::clock_ticks_per_second())
}

/// The number of the thread of a process that has this name.
pub(crate) fn thread_named(pid: u32, name: &str) -> i32 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process is there");
    let found = tasks.flatten().find(|task| {
        std::fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
    });
    let id = found.and_then(|task| task.file_name().to_str()?.parse().ok());
    id.unwrap_or_else(|| panic!("no thread is called {name}"))
}

/// How long a thread was ready to run so far and had no CPU.
pub(crate) fn waited_for_cpu(pid: u32, thread: i32) -> Duration {
    let path = format!("/proc/{pid}/task/{thread}/schedstat");
    let text = std::fs::read_to_string(path).expect("the thread is there");
    let waited = text
        .split_whitespace()
        .nth(1)
        .and_then(|ns| ns.parse().ok());
    Duration::from_nanos(waited.expect("nanoseconds"))
}
