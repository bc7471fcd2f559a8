//! New connections: one listening socket for each address on each shard (SO_REUSEPORT).

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::time::Duration;

use corecast_config::Limits;
use rustix::io::Errno;
use rustix::net::SocketFlags;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use super::ready::{Readiness, Turn};

/// Connections that the kernel keeps for us until we accept them.
const BACKLOG: i32 = 4_096;

/// Connections accepted before the shard looks at anything else.
const BATCH: usize = 64;

/// How long the acceptor waits when the process has no file descriptor left; doubled each time.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// The longest such wait.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Binds `address` `count` times, once for each shard; the kernel spreads connections over them.
/// Port 0 takes a free port, the same for all. `[::]` takes IPv4 too.
///
/// # Errors
/// The address is in use (by another program, or by one of ours that was started twice), not
/// ours, or not allowed.
pub fn bind(address: SocketAddr, count: u16, limits: &Limits) -> io::Result<Vec<TcpListener>> {
    // Without this look a second corecast would bind the same port and take half of everything.
    let exclusive = socket(address, limits)?;
    exclusive.bind(&address.into())?;
    drop(exclusive);
    let mut listeners = Vec::with_capacity(usize::from(count));
    let mut address = address;
    for _ in 0..count {
        let socket = socket(address, limits)?;
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket);
        address.set_port(listener.local_addr()?.port());
        listeners.push(listener);
    }
    Ok(listeners)
}

/// A socket with what every connection accepted from it inherits.
fn socket(address: SocketAddr, limits: &Limits) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15))
        .with_retries(4);
    socket.set_tcp_keepalive(&keepalive)?;
    if !limits.tcp_user_timeout.is_zero() {
        socket.set_tcp_user_timeout(Some(limits.tcp_user_timeout))?;
    }
    Ok(socket)
}

/// What became of an accept.
#[derive(Debug)]
pub(crate) enum Accept {
    /// A connection and its peer.
    Connection(OwnedFd, SocketAddr),
    /// It failed; the acceptor goes on.
    Failed(io::Error),
}

/// Accepts for ever; every outcome goes to `handle_accept`.
///
/// # Errors
/// Only at the start: the runtime cannot watch the listener.
pub(crate) async fn run(
    listener: TcpListener,
    mut handle_accept: impl FnMut(Accept),
) -> io::Result<()> {
    let readiness = Readiness::new(OwnedFd::from(listener.try_clone()?))?;
    // Waiting is the runtime's part and accepting ours, so it must never block.
    listener.set_nonblocking(true)?;
    let turn = Turn::new()?;
    let mut pause = PAUSE_MIN;
    loop {
        let mut accepted = 0;
        let stopped = loop {
            if accepted == BATCH {
                break None;
            }
            accepted += 1;
            match accept(&listener) {
                Ok((fd, peer)) => handle_accept(Accept::Connection(fd, peer)),
                Err(error) => break Some(error),
            }
        };
        match stopped {
            None => turn.end().await,
            Some(Errno::AGAIN) => {
                pause = PAUSE_MIN;
                if readiness.wait().await.is_err() {
                    monoio::time::sleep(PAUSE_MIN).await;
                }
            }
            Some(error) => {
                handle_accept(Accept::Failed(error.into()));
                if is_shortage(error) {
                    monoio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                } else {
                    turn.end().await;
                }
            }
        }
    }
}

/// Whether waiting helps: the process or the machine is short of something.
fn is_shortage(error: Errno) -> bool {
    matches!(
        error,
        Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM
    )
}

fn accept(listener: &TcpListener) -> rustix::io::Result<(OwnedFd, SocketAddr)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (fd, peer) = rustix::io::retry_on_intr(|| rustix::net::acceptfrom_with(listener, flags))?;
    let peer = peer
        .and_then(|peer| SocketAddr::try_from(peer).ok())
        .ok_or(Errno::CONNABORTED)?;
    // A dual-stack socket shows IPv4 peers as ::ffff:a.b.c.d.
    Ok((fd, SocketAddr::new(peer.ip().to_canonical(), peer.port())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::backend::ResolvedBackend;
    use crate::task::first;
    use std::cell::RefCell;
    use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};

    fn limits() -> Limits {
        Limits {
            tcp_user_timeout: Duration::from_secs(30),
            ..Limits::default()
        }
    }

    #[test]
    fn shards_share_a_port_that_nobody_else_has() {
        let listeners = bind((Ipv4Addr::LOCALHOST, 0).into(), 3, &limits()).expect("loopback");
        let addresses: Vec<_> = listeners
            .iter()
            .map(|l| l.local_addr().expect("bound"))
            .collect();
        assert!(
            addresses.iter().all(|address| *address == addresses[0]),
            "{addresses:?}"
        );
        let again = bind(addresses[0], 1, &limits()).expect_err("a second program");
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_dual_stack_acceptor_shows_ipv4_peers_as_such() {
        for backend in [ResolvedBackend::IoUring, ResolvedBackend::Epoll] {
            let listener = bind((Ipv6Addr::UNSPECIFIED, 0).into(), 1, &limits())
                .expect("IPv6 is there")
                .remove(0);
            let port = listener.local_addr().expect("bound").port();
            let peers = RefCell::new(Vec::new());
            let clients: Vec<TcpStream> = (0..100)
                .map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connects"))
                .collect();
            let accept = |accepted| {
                if let Accept::Connection(_, peer) = accepted {
                    peers.borrow_mut().push(peer);
                }
            };
            let all_seen = async {
                while peers.borrow().len() < clients.len() {
                    monoio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            backend
                .block_on(first(run(listener, accept), all_seen))
                .expect("the runtime starts");
            let mut expected: Vec<_> = clients
                .iter()
                .map(|client| client.local_addr().expect("connected"))
                .collect();
            let mut seen = peers.take();
            expected.sort();
            seen.sort();
            assert_eq!(seen, expected);
        }
    }
}
