//! UDP for QUIC: one socket for each address on each shard, many packets to a system call.
//!
//! The kernel gives each packet to the shard that its connection id names (see
//! [`corecast_protocol::quic::steering`]). Where it does not let us say so, packets come to any
//! shard, and that one hands them on.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;

use corecast_protocol::quic::steering::{LONG_HEADER, LONG_ID_AT, SHORT_ID_AT};
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};

use super::fd;
use super::ready::Readiness;

/// What we ask the kernel to keep for us in each direction; it gives what it may.
const BUFFER_BYTES: usize = 8 * 1024 * 1024;

/// Messages received with one call; each may hold many packets (GRO).
const MESSAGES: usize = 4;

/// Room for one message.
const MESSAGE_BYTES: usize = 64 * 1024;

/// The most bytes of one send (IPv4's limit less its heads).
pub(crate) const BATCH_BYTES_MAX: usize = 65_507;

/// The most packets of one send, whatever the kernel's age.
pub(crate) const BATCH_PACKETS_MAX: usize = 64;

/// Binds `address` `count` times, once for each shard. Port 0 takes a free port, the same for all.
/// `[::]` takes IPv4 too.
///
/// # Errors
/// The address is in use, not ours, or not allowed.
pub fn bind(address: SocketAddr, count: u16) -> io::Result<Vec<UdpSocket>> {
    // Without this look a second corecast would take half of all packets.
    let exclusive = socket(address)?;
    exclusive.bind(&address.into())?;
    drop(exclusive);
    let mut sockets: Vec<UdpSocket> = Vec::with_capacity(usize::from(count));
    let mut address = address;
    for _ in 0..count {
        let socket = socket(address)?;
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        let socket = UdpSocket::from(socket);
        address.set_port(socket.local_addr()?.port());
        sockets.push(socket);
    }
    Ok(sockets)
}

/// Has the kernel give each packet to the shard that it belongs to, of `sockets` in the order in
/// which they were bound.
///
/// # Errors
/// The kernel does not let us say so, as in some containers: the shards then hand packets on among
/// themselves.
pub fn steer(sockets: &[UdpSocket]) -> io::Result<()> {
    let count = u16::try_from(sockets.len()).unwrap_or(u16::MAX);
    match sockets.first().filter(|_| count > 1) {
        Some(first) => fd::steer(first, &steering(count)),
        None => Ok(()),
    }
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM.nonblocking(),
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    let _ = socket.set_recv_buffer_size(BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(BUFFER_BYTES);
    Ok(socket)
}

/// A program for the kernel (classic BPF) that says which of `count` sockets, in the order in
/// which they were bound, gets a packet. It sees the bytes behind the UDP head; one that reads
/// behind the end answers 0.
fn steering(count: u16) -> [fd::Instruction; 7] {
    use fd::Instruction as I;
    [
        I::load_byte(0),
        // A short header skips to its own id.
        I::skip_unless_set(u32::from(LONG_HEADER), 2),
        I::load_byte(LONG_ID_AT as u32),
        I::skip(1),
        I::load_byte(SHORT_ID_AT as u32),
        I::modulo(u32::from(count)),
        I::answer(),
    ]
}

/// One message of a peer: whole packets, all of `stride` bytes but the last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// Where it came from.
    pub(crate) from: SocketAddr,
    /// To which of our addresses.
    pub(crate) to: SocketAddr,
    /// Bytes of each packet but the last; never zero.
    pub(crate) stride: usize,
}

/// Whole packets for a peer, all of `stride` bytes but the last, which may be shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Departure {
    /// From which of our addresses.
    pub(crate) from: SocketAddr,
    /// Where to.
    pub(crate) to: SocketAddr,
    /// Bytes of each packet but the last.
    pub(crate) stride: usize,
}

/// The buffers of one call.
pub(crate) struct Inbox(Vec<Box<[u8]>>);

impl Inbox {
    pub(crate) fn new() -> Self {
        Inbox(
            (0..MESSAGES)
                .map(|_| vec![0; MESSAGE_BYTES].into())
                .collect(),
        )
    }
}

/// A shard's socket for packets. Lives on: its shard.
pub(crate) struct UdpPort {
    socket: UdpSocket,
    state: UdpSocketState,
    readiness: Readiness,
    local: SocketAddr,
}

impl UdpPort {
    /// # Errors
    /// The runtime cannot watch the socket.
    pub(crate) fn new(socket: UdpSocket) -> io::Result<Self> {
        Ok(UdpPort {
            state: UdpSocketState::new(UdpSockRef::from(&socket))?,
            readiness: Readiness::new(OwnedFd::from(socket.try_clone()?))?,
            local: socket.local_addr()?,
            socket,
        })
    }

    /// Hands the messages that are there to `take`, as many as one call brings. False where there
    /// are no more.
    ///
    /// # Errors
    /// What the system says; errors of single peers are no errors.
    pub(crate) fn recv(
        &self,
        inbox: &mut Inbox,
        mut take: impl FnMut(Arrival, &mut [u8]),
    ) -> io::Result<bool> {
        let mut metas = [RecvMeta::default(); MESSAGES];
        let count = {
            let mut slices = inbox.0.iter_mut().map(|buffer| IoSliceMut::new(buffer));
            let mut slices: [IoSliceMut<'_>; MESSAGES] =
                std::array::from_fn(|_| slices.next().unwrap_or(IoSliceMut::new(&mut [])));
            self.state
                .recv(UdpSockRef::from(&self.socket), &mut slices, &mut metas)
        };
        let count = match count {
            Ok(count) => count,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => return Ok(false),
                // What ICMP said of a peer that we sent to.
                io::ErrorKind::ConnectionRefused
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::Interrupted => return Ok(true),
                _ => return Err(error),
            },
        };
        for (meta, buffer) in metas.iter().take(count).zip(&mut inbox.0) {
            let to = meta.dst_ip.unwrap_or(self.local.ip());
            let arrival = Arrival {
                from: meta.addr,
                to: SocketAddr::new(to, self.local.port()),
                stride: meta.stride.max(1),
            };
            take(arrival, buffer.get_mut(..meta.len).unwrap_or_default());
        }
        Ok(count == MESSAGES)
    }

    /// Sends packets. False where the socket has no room for them now; what else goes wrong is as
    /// good as lost on the way.
    pub(crate) fn send(&self, departure: Departure, packets: &[u8]) -> bool {
        let socket = UdpSockRef::from(&self.socket);
        let transmit = |contents| Transmit {
            destination: departure.to,
            ecn: None,
            contents,
            segment_size: Some(departure.stride),
            src_ip: Some(departure.from.ip()).filter(|ip| !ip.is_unspecified()),
        };
        let Err(error) = self.state.try_send(socket, &transmit(packets)) else {
            return true;
        };
        if error.kind() == io::ErrorKind::WouldBlock {
            return false;
        }
        if packets.len() > departure.stride {
            // Maybe the way takes no batches: then one by one.
            for packet in packets.chunks(departure.stride.max(1)) {
                let _ = self
                    .state
                    .try_send(UdpSockRef::from(&self.socket), &transmit(packet));
            }
        }
        true
    }

    /// Waits for messages. May be dropped.
    ///
    /// # Errors
    /// What the runtime says.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.readiness.wait().await
    }

    /// Waits for room to send. May be dropped.
    ///
    /// # Errors
    /// What the runtime says.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.readiness.wait_writable().await
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::testing::BACKENDS;

    #[test]
    fn many_packets_go_with_one_call_and_come_with_one() {
        let done = BACKENDS[1].block_on(async {
            let port = || {
                let socket = bind((Ipv4Addr::LOCALHOST, 0).into(), 1)?.pop();
                UdpPort::new(socket.ok_or(io::ErrorKind::NotFound)?)
            };
            let (from, to) = (port()?, port()?);
            let departure = Departure {
                from: from.local,
                to: to.local,
                stride: 1_200,
            };
            let sent: Vec<u8> = (0..9 * 1_200 + 700).map(|at| (at / 1_200) as u8).collect();
            assert!(from.send(departure, &sent));
            let (mut came, mut messages) = (Vec::new(), 0);
            while came.len() < sent.len() {
                to.readable().await?;
                to.recv(&mut Inbox::new(), |arrival, packets| {
                    assert_eq!(
                        (arrival.from, arrival.to, arrival.stride),
                        (from.local, to.local, 1_200.min(packets.len()))
                    );
                    messages += 1;
                    came.extend_from_slice(packets);
                })?;
            }
            assert_eq!(came, sent);
            // A kernel that has both (Linux 5.0) puts them together.
            let together = from.state.max_gso_segments() >= 10 && to.state.gro_segments() >= 10;
            assert!(!together || messages == 1, "{messages} messages");
            io::Result::Ok(())
        });
        done.expect("the engine starts").expect("a way to itself");
    }
}
