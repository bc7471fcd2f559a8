//! HTTP/3 with quiche: clients, and a bare server to compare with. Packets go and come in trains
//! (GSO and GRO), as many as one call takes.

pub(crate) mod bare;
mod client;
mod pool;

pub(crate) use client::{Client, Wanted};
pub(crate) use pool::Pool;

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use quiche::{BufFactory, ConnectionId};
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt;

use crate::http::fault;
use crate::stream::mix;

/// Bytes of a packet, the same for every server and client here: what fits through the internet.
pub(crate) const PACKET_BYTES: usize = 1_350;
/// Most packets, and most bytes, of one train.
const TRAIN_PACKETS_MAX: usize = 64;
const TRAIN_BYTES_MAX: usize = 65_507;
/// Trains that one call may bring.
const TRAINS: usize = 4;
/// Bytes of a connection's id.
const ID_BYTES: usize = 16;
/// Longest wait for room in a socket.
const ROOM_WAIT: Timespec = Timespec {
    tv_sec: 5,
    tv_nsec: 0,
};

/// An error of QUIC or HTTP/3.
fn broken(error: impl std::fmt::Display) -> io::Error {
    fault(format!("QUIC: {error}"))
}

/// The connection id of this number.
fn connection_id(number: u64) -> ConnectionId<'static> {
    let mut bytes = vec![0; ID_BYTES];
    let (first, second) = bytes.split_at_mut(ID_BYTES / 2);
    first.copy_from_slice(&mix(number).to_be_bytes());
    second.copy_from_slice(&number.to_be_bytes());
    ConnectionId::from_vec(bytes)
}

/// A UDP socket that takes trains of packets.
#[derive(Debug)]
struct Socket {
    socket: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
}

impl Socket {
    /// Binds to `address` with buffers of so many bytes, if this process may have them.
    fn bind(address: SocketAddr, receive_bytes: usize, send_bytes: usize) -> io::Result<Socket> {
        let socket = UdpSocket::bind(address)?;
        if sockopt::set_socket_recv_buffer_size_force(&socket, receive_bytes).is_err() {
            sockopt::set_socket_recv_buffer_size(&socket, receive_bytes)?;
        }
        if sockopt::set_socket_send_buffer_size_force(&socket, send_bytes).is_err() {
            sockopt::set_socket_send_buffer_size(&socket, send_bytes)?;
        }
        let state = UdpSocketState::new((&socket).into())?;
        let local = socket.local_addr()?;
        Ok(Socket {
            socket,
            state,
            local,
        })
    }

    /// Sends one train; waits while the socket is full.
    fn send(&self, to: SocketAddr, train: &[u8], packet_bytes: usize) -> io::Result<()> {
        let transmit = Transmit {
            destination: to,
            ecn: None,
            contents: train,
            segment_size: (train.len() > packet_bytes).then_some(packet_bytes),
            src_ip: None,
        };
        loop {
            match self.state.try_send((&self.socket).into(), &transmit) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut room = [PollFd::new(&self.socket, PollFlags::OUT)];
                    if poll(&mut room, Some(&ROOM_WAIT))? == 0 {
                        return Err(fault("nobody takes our packets"));
                    }
                }
                sent => return sent,
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Buffers that all connections of a thread use in turn.
#[derive(Debug)]
struct Scratch {
    incoming: Vec<u8>,
    metas: [RecvMeta; TRAINS],
    outgoing: Vec<u8>,
    body: Vec<u8>,
}

impl Scratch {
    fn new() -> Scratch {
        Scratch {
            incoming: vec![0; TRAINS * (TRAIN_BYTES_MAX + 1)],
            metas: [RecvMeta::default(); TRAINS],
            outgoing: vec![0; TRAIN_BYTES_MAX + PACKET_BYTES],
            body: vec![0; TRAIN_BYTES_MAX],
        }
    }

    /// Takes what has come on a socket, up to a few trains, and hands each packet on with its
    /// sender; false if nothing had come.
    fn receive(
        &mut self,
        socket: &Socket,
        mut take: impl FnMut(&mut [u8], SocketAddr) -> io::Result<()>,
    ) -> io::Result<bool> {
        let chunks = self.incoming.chunks_exact_mut(TRAIN_BYTES_MAX + 1);
        let mut buffers: Vec<IoSliceMut<'_>> = chunks.map(IoSliceMut::new).collect();
        let received = socket
            .state
            .recv((&socket.socket).into(), &mut buffers, &mut self.metas);
        let trains = match received {
            Ok(trains) => trains,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        for (buffer, meta) in buffers.iter_mut().zip(&self.metas).take(trains) {
            let train = buffer.get_mut(..meta.len).unwrap_or_default();
            for packet in train.chunks_mut(meta.stride.max(1)) {
                take(packet, meta.addr)?;
            }
        }
        Ok(true)
    }

    /// Sends all that a connection has to send.
    fn flush<F: BufFactory>(
        &mut self,
        socket: &Socket,
        connection: &mut quiche::Connection<F>,
    ) -> io::Result<()> {
        // What is in the train: so many bytes of so many packets of this size.
        let (mut len, mut packets, mut size) = (0, 0, 0);
        let mut to = socket.local;
        loop {
            let room = self.outgoing.get_mut(len..).unwrap_or_default();
            let room_len = room.len().min(PACKET_BYTES);
            let made = connection.send(room.get_mut(..room_len).unwrap_or_default());
            let (count, info) = match made {
                Ok(made) => made,
                Err(quiche::Error::Done) => break,
                Err(error) => return Err(broken(error)),
            };
            if packets > 0 && count > size {
                // It is longer than those before it: a train of its own.
                let train = self.outgoing.get(..len).unwrap_or_default();
                socket.send(to, train, size)?;
                self.outgoing.copy_within(len..len + count, 0);
                (len, packets) = (0, 0);
            }
            if packets == 0 {
                (size, to) = (count, info.to);
            }
            (len, packets) = (len + count, packets + 1);
            let is_full = packets == TRAIN_PACKETS_MAX || len + size > TRAIN_BYTES_MAX;
            if count < size || is_full {
                let train = self.outgoing.get(..len).unwrap_or_default();
                socket.send(to, train, size)?;
                (len, packets) = (0, 0);
            }
        }
        match self.outgoing.get(..len) {
            Some(train) if len > 0 => socket.send(to, train, size),
            _ => Ok(()),
        }
    }
}
