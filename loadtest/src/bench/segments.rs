//! Connections that ask for one file as fast as the server answers.

use std::io;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use super::exchange::{Body, Exchange};
use crate::clock::{MS_NS, now_ns};
use crate::http::{Target, fault};
use crate::proc;

/// Connections that ask at once.
const CONNECTIONS: u64 = 32;
/// Time that is not counted, at the beginning.
const WARM_NS: u64 = 50 * MS_NS;
/// The longest silence.
const WAIT: Timespec = Timespec {
    tv_sec: 5,
    tv_nsec: 0,
};
/// Bytes of one read.
const READ_BYTES: usize = 64 * 1_024;

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drained {
    /// The server's CPU time per request, in microseconds.
    pub(super) cpu_us: f64,
    /// Requests per second.
    pub(super) rate: f64,
}

/// Asks the server of process `pid` for `target`, which has `length` bytes, for `window_ns`.
pub(super) fn drain(target: &Target, length: u64, pid: u32, window_ns: u64) -> io::Result<Drained> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let (path, host) = (&target.path, &target.host);
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: loadtest\r\n\r\n");
    let mut exchanges = Vec::new();
    for index in 0..CONNECTIONS {
        let mut exchange = Exchange::connect(target)?;
        // Connects to this machine are done at once.
        exchange.ask(request.as_bytes())?;
        let data = epoll::EventData::new_u64(index);
        epoll::add(&poll, &exchange, data, epoll::EventFlags::IN)?;
        exchanges.push(exchange);
    }
    let start_ns = now_ns() + WARM_NS;
    let mut scratch = vec![0; READ_BYTES];
    let mut events = Vec::with_capacity(64);
    let (mut count, mut before) = (0_u64, None);
    loop {
        let now = now_ns();
        if before.is_none() && now >= start_ns {
            before = Some((now, proc::cpu_ns(pid)?));
            count = 0;
        }
        if let Some((since_ns, cpu_ns)) = before
            && now - since_ns >= window_ns
        {
            let cpu_us = (proc::cpu_ns(pid)? - cpu_ns) as f64 / 1e3;
            let seconds = (now - since_ns) as f64 / 1e9;
            return Ok(Drained {
                cpu_us: cpu_us / count.max(1) as f64,
                rate: count as f64 / seconds,
            });
        }
        events.clear();
        match epoll::wait(&poll, spare_capacity(&mut events), Some(&WAIT)) {
            Ok(0) => return Err(fault("the server is silent")),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let index = event.data.u64() as usize;
            let Some(exchange) = exchanges.get_mut(index) else {
                continue;
            };
            if let Some(head) = exchange.take(Body::Discarded, &mut scratch)? {
                if (head.status, head.length) != (200, length) {
                    return Err(fault(format!("the server answers {head:?}")));
                }
                count += 1;
                exchange.ask(request.as_bytes())?;
            }
        }
    }
}
