//! One listener: its socket, its temper, and what it heard.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SocketFlags, SocketType, bind, connect, recv, socket_with, sockopt,
};

use super::Tally;
use crate::clock::SECOND_NS;
use crate::icy::Stripper;
use crate::stream::{RATE_BYTES, Stream};
use crate::verify::Verifier;

/// Receive buffer of listeners that do not read: the kernel must not read for them.
const STUBBORN_BUFFER_BYTES: usize = 8 * 1024;

/// How a listener behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Temper {
    /// Reads everything at once and forgets it.
    Plain,
    /// Reads everything and compares it.
    Sample,
    /// Reads below the stream's rate and compares.
    Slow,
    /// Never reads.
    Dead,
}

/// Where a listener stands.
#[derive(Debug)]
pub(super) enum Slot {
    /// Not yet begun, refused, failed or hung up on.
    Empty,
    /// Connecting, or waiting for the head and the first audio byte.
    Joining(Joining),
    /// Has audio.
    Steady(Box<Listener>),
}

/// A join under way.
#[derive(Debug)]
pub(super) struct Joining {
    pub(super) fd: OwnedFd,
    pub(super) started_ns: u64,
    /// Whether the request is on its way.
    pub(super) asked: bool,
    /// The response so far.
    pub(super) head: Vec<u8>,
}

/// A listener with audio.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) fd: OwnedFd,
    pub(super) temper: Temper,
    pub(super) joined_ns: u64,
    pub(super) last_ns: u64,
    pub(super) gap_max_ns: u64,
    pub(super) underrun_max_ns: u64,
    pub(super) bytes: u64,
    check: Option<Check>,
}

/// What compares a listener's bytes.
#[derive(Debug)]
struct Check {
    stripper: Option<Stripper>,
    verifier: Verifier,
}

/// What a look at a listener's socket brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// This many bytes; none if there were none.
    Bytes(u64),
    /// The server hung up.
    Gone,
}

impl Listener {
    /// A listener whose first audio bytes are `first`.
    pub(super) fn new(
        joining: Joining,
        temper: Temper,
        metaint: Option<usize>,
        seed: u64,
        now_ns: u64,
    ) -> Self {
        let compared = matches!(temper, Temper::Sample | Temper::Slow);
        let check = compared.then(|| Check {
            stripper: metaint.map(Stripper::new),
            verifier: Verifier::new(Stream::new(seed)),
        });
        Listener {
            fd: joining.fd,
            temper,
            joined_ns: now_ns,
            last_ns: now_ns,
            gap_max_ns: 0,
            underrun_max_ns: 0,
            bytes: 0,
            check,
        }
    }

    /// Takes bytes that came with the head.
    pub(super) fn take_first(&mut self, first: &[u8]) {
        self.bytes += first.len() as u64;
        self.compare(first);
    }

    /// Reads what its temper lets it read.
    pub(super) fn look(&mut self, now_ns: u64, slow_percent: u8, scratch: &mut [u8]) -> Look {
        let look = match self.temper {
            Temper::Dead => return Look::Bytes(0),
            Temper::Plain => self.discard(scratch),
            Temper::Sample => self.read(u64::MAX, scratch),
            Temper::Slow => {
                let allowed = stream_bytes(now_ns - self.joined_ns) * u64::from(slow_percent) / 100;
                self.read(allowed.saturating_sub(self.bytes), scratch)
            }
        };
        if let Look::Bytes(count) = look
            && count > 0
        {
            self.on_bytes(now_ns, count);
        }
        look
    }

    /// The longest silence so far, the one that lasts included.
    pub(super) fn gap_ns(&self, now_ns: u64) -> u64 {
        self.gap_max_ns.max(now_ns.saturating_sub(self.last_ns))
    }

    /// Adds what was heard, if it was compared, to the tally.
    pub(super) fn close_findings(&mut self, tally: &mut Tally) {
        let Some(check) = self.check.take() else {
            return;
        };
        if let Some(stripper) = &check.stripper {
            tally.blocks.add(stripper.blocks());
        }
        let findings = check.verifier.finish();
        match self.temper {
            Temper::Slow => tally.slow_findings.add(&findings),
            Temper::Plain | Temper::Sample | Temper::Dead => tally.findings.add(&findings),
        }
    }

    fn on_bytes(&mut self, now_ns: u64, count: u64) {
        self.gap_max_ns = self.gap_max_ns.max(now_ns - self.last_ns);
        self.last_ns = now_ns;
        let played_ns = self.bytes * SECOND_NS / RATE_BYTES;
        let silent_ns = (now_ns - self.joined_ns).saturating_sub(played_ns);
        self.underrun_max_ns = self.underrun_max_ns.max(silent_ns);
        self.bytes += count;
    }

    /// Throws away what is there without a copy.
    fn discard(&self, scratch: &mut [u8]) -> Look {
        match recv(&self.fd, scratch, RecvFlags::TRUNC) {
            Ok((_, 0)) => Look::Gone,
            Ok((_, count)) => Look::Bytes(count as u64),
            Err(Errno::AGAIN | Errno::INTR) => Look::Bytes(0),
            Err(_) => Look::Gone,
        }
    }

    /// Reads and compares at most `allowed` bytes.
    fn read(&mut self, allowed: u64, scratch: &mut [u8]) -> Look {
        let mut count = 0_u64;
        while count < allowed {
            let room = usize::try_from(allowed - count)
                .unwrap_or(usize::MAX)
                .min(scratch.len());
            let Some(room) = scratch.get_mut(..room) else {
                break;
            };
            match recv(&self.fd, &mut *room, RecvFlags::empty()) {
                Ok((_, 0)) if count == 0 => return Look::Gone,
                Ok((_, 0)) => break,
                Ok((_, len)) => {
                    let bytes = room.get(..len).unwrap_or_default();
                    count += bytes.len() as u64;
                    if let Some(check) = &mut self.check {
                        check.push(bytes);
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) if count == 0 => return Look::Gone,
                Err(_) => break,
            }
        }
        Look::Bytes(count)
    }

    fn compare(&mut self, bytes: &[u8]) {
        if let Some(check) = &mut self.check {
            check.push(bytes);
        }
    }
}

impl Check {
    fn push(&mut self, bytes: &[u8]) {
        match &mut self.stripper {
            Some(stripper) => stripper.push(bytes, |audio| self.verifier.push(audio)),
            None => self.verifier.push(bytes),
        }
    }
}

/// Bytes of the stream in a time.
fn stream_bytes(elapsed_ns: u64) -> u64 {
    elapsed_ns / 1_000 * RATE_BYTES / 1_000_000
}

/// Begins to connect. `index` picks the local address, so that many crowds do not run out of
/// ports; `stubborn` listeners get a small receive buffer.
pub(crate) fn start_connect(address: SocketAddr, index: u8, stubborn: bool) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = socket_with(family, SocketType::STREAM, flags, None)?;
    if stubborn {
        sockopt::set_socket_recv_buffer_size(&fd, STUBBORN_BUFFER_BYTES)?;
    }
    if index > 0 && address.is_ipv4() {
        let local = IpAddr::V4(Ipv4Addr::new(127, 0, 1, index));
        bind(&fd, &SocketAddr::new(local, 0))?;
    }
    match connect(&fd, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(fd),
        Err(error) => Err(error.into()),
    }
}

/// Makes closing the socket send a reset.
pub(crate) fn close_by_reset(fd: &OwnedFd) {
    // If the option is refused, the close is a polite one: nothing else to do.
    let _ = sockopt::set_socket_linger(fd, Some(Duration::ZERO));
}
