//! The bare `send()` loop: accepts so many listeners, then sends the same bytes to each of them
//! each period. No source, no state, no readiness: what the kernel alone costs.

use std::io::{self, Read, Write};
use std::net::TcpListener;

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, bind, listen, send};
use rustix::net::{SocketAddrV4, socket_with, sockopt};

use crate::clock::{SECOND_NS, now_ns, sleep_until};
use crate::http::{HEAD_BYTES_MAX, fault};
use crate::proc;
use crate::stream::Stream;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4_096;

/// What the loop is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Loopback port to listen on.
    pub(crate) port: u16,
    /// Listeners to wait for before the loop begins.
    pub(crate) listeners: u32,
    /// Bytes of one send.
    pub(crate) send_bytes: u64,
    /// Bytes per second to each listener.
    pub(crate) rate_bytes: u64,
    /// Which stream it sends.
    pub(crate) seed: u64,
}

/// Runs the loop until the process is ended or a listener does not keep up.
pub(crate) fn run(settings: Settings) -> io::Result<()> {
    proc::raise_open_files();
    let fd = socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    sockopt::set_socket_reuseaddr(&fd, true)?;
    bind(
        &fd,
        &SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, settings.port),
    )?;
    listen(&fd, BACKLOG)?;
    let acceptor = TcpListener::from(fd);
    // The benchmark waits for this line.
    println!("listening on port {}", settings.port);
    let mut sockets = Vec::new();
    while sockets.len() < settings.listeners as usize {
        let (mut socket, _) = acceptor.accept()?;
        read_request(&mut socket)?;
        socket.write_all(b"HTTP/1.0 200 OK\r\nContent-Type: audio/mpeg\r\n\r\n")?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        sockets.push(socket);
    }

    let stream = Stream::new(settings.seed);
    let started_ns = now_ns();
    let mut bytes = Vec::new();
    for period in 0_u64.. {
        let position = period * settings.send_bytes;
        sleep_until(started_ns + position * SECOND_NS / settings.rate_bytes);
        bytes.clear();
        stream.write_range(position, position + settings.send_bytes, &mut bytes);
        for socket in &sockets {
            if send(socket, &bytes, SendFlags::NOSIGNAL)? != bytes.len() {
                return Err(fault("a listener did not keep up with the bare loop"));
            }
        }
    }
    Ok(())
}

/// Reads a request up to its empty line.
fn read_request(socket: &mut impl Read) -> io::Result<()> {
    let mut request = Vec::new();
    let mut piece = [0_u8; 1_024];
    while !request.ends_with(b"\r\n\r\n") {
        let len = socket.read(&mut piece)?;
        if len == 0 || request.len() > HEAD_BYTES_MAX {
            return Err(fault("a listener sent no request"));
        }
        request.extend(piece.iter().take(len));
    }
    Ok(())
}
