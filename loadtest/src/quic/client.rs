//! One connection that asks by HTTP/3.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use bytes::Bytes;
use quiche::h3::{self, Event, Header, NameValue};
use quiche::{Connection, RecvInfo};

use super::{PACKET_BYTES, Scratch, Socket, broken, connection_id};
use crate::http::fault;

/// Flow control windows of a stream and of a connection: as wide as browsers have them, so that
/// no server waits for them.
const STREAM_WINDOW_BYTES: u64 = 6 << 20;
const CONNECTION_WINDOW_BYTES: u64 = 8 << 20;
/// Room for all of a connection's window in small packets, as the kernel counts them.
const RECEIVE_BYTES: usize = 32 << 20;
const SEND_BYTES: usize = 1 << 20;
/// Silence after which a connection ends.
const IDLE_MS_MAX: u64 = 120_000;
/// All is well (RFC 9114 section 8.1).
const NO_ERROR: u64 = 0x100;
/// Streams that a server may open; HTTP/3 needs three.
const SERVER_STREAMS: u64 = 16;

/// What becomes of a body.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// It must be this.
    Same(Bytes),
    /// It is handed out.
    Kept,
}

/// An answer that is whole.
#[derive(Debug)]
pub(crate) struct Done {
    /// The body, where it was kept.
    pub(crate) body: Vec<u8>,
}

/// A request under way.
#[derive(Debug)]
struct Open {
    wanted: Wanted,
    status: Option<u16>,
    /// Bytes of the body so far.
    at: usize,
    body: Vec<u8>,
}

/// A connection.
pub(crate) struct Client {
    socket: Socket,
    peer: SocketAddr,
    connection: Connection,
    http: Option<h3::Connection>,
    open: HashMap<u64, Open>,
    done: Vec<Done>,
    bytes: u64,
    packets: u64,
    packet_bytes: u64,
}

/// What all clients speak.
pub(super) fn settings() -> io::Result<quiche::Config> {
    let mut config = quiche::Config::new(quiche::PROTOCOL_VERSION).map_err(broken)?;
    config
        .set_application_protos(h3::APPLICATION_PROTOCOL)
        .map_err(broken)?;
    config.set_curves_list("X25519").map_err(broken)?;
    // Servers here have made their own certificate.
    config.verify_peer(false);
    config.set_max_idle_timeout(IDLE_MS_MAX);
    config.set_max_recv_udp_payload_size(PACKET_BYTES);
    config.set_max_send_udp_payload_size(PACKET_BYTES);
    config.set_initial_max_data(CONNECTION_WINDOW_BYTES);
    config.set_max_connection_window(CONNECTION_WINDOW_BYTES);
    config.set_initial_max_stream_data_bidi_local(STREAM_WINDOW_BYTES);
    config.set_initial_max_stream_data_uni(STREAM_WINDOW_BYTES);
    config.set_max_stream_window(STREAM_WINDOW_BYTES);
    config.set_initial_max_streams_uni(SERVER_STREAMS);
    Ok(config)
}

impl Client {
    /// Begins to connect.
    pub(super) fn connect(
        peer: SocketAddr,
        number: u64,
        config: &mut quiche::Config,
    ) -> io::Result<Client> {
        let any = SocketAddr::new(peer.ip(), 0);
        let socket = Socket::bind(any, RECEIVE_BYTES, SEND_BYTES)?;
        let id = connection_id(number);
        let connection = quiche::connect(Some("localhost"), &id, socket.local, peer, config);
        Ok(Client {
            socket,
            peer,
            connection: connection.map_err(broken)?,
            http: None,
            open: HashMap::new(),
            done: Vec::new(),
            bytes: 0,
            packets: 0,
            packet_bytes: 0,
        })
    }

    /// Whether requests can be sent.
    pub(crate) const fn is_ready(&self) -> bool {
        self.http.is_some()
    }

    /// Bytes of all bodies so far.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Packets that came so far, and their bytes.
    pub(crate) const fn packets(&self) -> (u64, u64) {
        (self.packets, self.packet_bytes)
    }

    /// Requests that are not answered.
    pub(crate) fn open(&self) -> usize {
        self.open.len()
    }

    /// Takes an answer that is whole.
    pub(crate) fn take_done(&mut self) -> Option<Done> {
        self.done.pop()
    }

    /// Sends a request. With `gzip` the answer may be pressed.
    pub(crate) fn ask(
        &mut self,
        host: &str,
        path: &str,
        gzip: bool,
        wanted: Wanted,
    ) -> io::Result<()> {
        let http = self.http.as_mut().ok_or_else(|| fault("not connected"))?;
        let mut headers = vec![
            Header::new(b":method", b"GET"),
            Header::new(b":scheme", b"https"),
            Header::new(b":authority", host.as_bytes()),
            Header::new(b":path", path.as_bytes()),
            Header::new(b"user-agent", b"loadtest"),
        ];
        if gzip {
            headers.push(Header::new(b"accept-encoding", b"gzip"));
        }
        let stream = http.send_request(&mut self.connection, &headers, true);
        let stream = stream.map_err(broken)?;
        let open = Open {
            wanted,
            status: None,
            at: 0,
            body: Vec::new(),
        };
        self.open.insert(stream, open);
        Ok(())
    }

    /// Takes packets that have come, and what they say.
    pub(super) fn receive(&mut self, scratch: &mut Scratch) -> io::Result<()> {
        let info = RecvInfo {
            from: self.peer,
            to: self.socket.local,
        };
        let connection = &mut self.connection;
        let (mut packets, mut packet_bytes) = (0, 0);
        scratch.receive(&self.socket, |packet, _| {
            (packets, packet_bytes) = (packets + 1, packet_bytes + packet.len() as u64);
            match connection.recv(packet, info) {
                Ok(_) | Err(quiche::Error::Done) => Ok(()),
                Err(error) => Err(broken(error)),
            }
        })?;
        self.packets += packets;
        self.packet_bytes += packet_bytes;
        self.take_events(scratch)
    }

    /// Does what is due by time.
    pub(super) fn tick(&mut self, now: Instant, scratch: &mut Scratch) -> io::Result<bool> {
        let due = self.connection.timeout_instant();
        if due.is_none_or(|due| due > now) {
            return Ok(false);
        }
        self.connection.on_timeout();
        self.take_events(scratch)?;
        Ok(true)
    }

    /// Sends what there is to send.
    pub(super) fn flush(&mut self, scratch: &mut Scratch) -> io::Result<()> {
        scratch.flush(&self.socket, &mut self.connection)
    }

    /// Says goodbye.
    pub(super) fn close(&mut self, scratch: &mut Scratch) -> io::Result<()> {
        match self.connection.close(true, NO_ERROR, b"") {
            Ok(()) | Err(quiche::Error::Done) => self.flush(scratch),
            Err(error) => Err(broken(error)),
        }
    }

    fn take_events(&mut self, scratch: &mut Scratch) -> io::Result<()> {
        if self.connection.is_closed() || self.connection.is_draining() {
            let (theirs, ours) = (self.connection.peer_error(), self.connection.local_error());
            return Err(fault(format!("QUIC ended: {theirs:?}, {ours:?}")));
        }
        if self.http.is_none() && self.connection.is_established() {
            let settings = h3::Config::new().map_err(broken)?;
            let http = h3::Connection::with_transport(&mut self.connection, &settings);
            self.http = Some(http.map_err(broken)?);
        }
        let Some(http) = &mut self.http else {
            return Ok(());
        };
        loop {
            let (stream, event) = match http.poll(&mut self.connection) {
                Ok(event) => event,
                Err(h3::Error::Done) => return Ok(()),
                Err(error) => return Err(broken(error)),
            };
            match event {
                Event::Headers { list, .. } => {
                    if let Some(open) = self.open.get_mut(&stream) {
                        open.status = status(&list);
                    }
                }
                Event::Data => {
                    let open = self.open.get_mut(&stream);
                    let open = open.ok_or_else(|| fault("a body that nobody asked for"))?;
                    let room = scratch.body.as_mut_slice();
                    loop {
                        match http.recv_body(&mut self.connection, stream, room) {
                            Ok(count) => {
                                self.bytes += count as u64;
                                open.take(room.get(..count).unwrap_or_default())?;
                            }
                            Err(h3::Error::Done) => break,
                            Err(error) => return Err(broken(error)),
                        }
                    }
                }
                Event::Finished => {
                    if let Some(open) = self.open.remove(&stream) {
                        self.done.push(open.finish()?);
                    }
                }
                Event::Reset(code) => return Err(fault(format!("a stream was reset: {code}"))),
                Event::GoAway | Event::PriorityUpdate => {}
            }
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Open {
    fn take(&mut self, came: &[u8]) -> io::Result<()> {
        let end = self.at + came.len();
        match &self.wanted {
            Wanted::Same(body) if body.get(self.at..end) != Some(came) => {
                return Err(fault(format!("wrong bytes behind {}", self.at)));
            }
            Wanted::Same(_) => {}
            Wanted::Kept => self.body.extend_from_slice(came),
        }
        self.at = end;
        Ok(())
    }

    fn finish(self) -> io::Result<Done> {
        if self.status != Some(200) {
            return Err(fault(format!("the server answers {:?}", self.status)));
        }
        match &self.wanted {
            Wanted::Same(body) if body.len() != self.at => {
                Err(fault(format!("a body ends at {}", self.at)))
            }
            _ => Ok(Done { body: self.body }),
        }
    }
}

/// The status among the fields of an answer.
fn status(list: &[Header]) -> Option<u16> {
    let field = list.iter().find(|field| field.name() == b":status")?;
    std::str::from_utf8(field.value()).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(wanted: Wanted) -> Open {
        Open {
            wanted,
            status: Some(200),
            at: 0,
            body: Vec::new(),
        }
    }

    #[test]
    fn bodies_are_compared_to_the_last_byte() {
        let wanted = Wanted::Same(Bytes::from_static(b"abcd"));
        let mut good = open(wanted.clone());
        good.take(b"ab").expect("good bytes");
        good.take(b"cd").expect("good bytes");
        assert!(good.take(b"e").is_err(), "too long");
        assert!(good.finish().expect("whole").body.is_empty());
        let mut short = open(wanted.clone());
        assert!(short.take(b"b").is_err());
        short.take(b"abc").expect("good bytes");
        assert!(short.finish().is_err());
        let mut refused = open(Wanted::Kept);
        refused.take(b"no").expect("anything");
        refused.status = Some(404);
        assert!(refused.finish().is_err());
    }

    #[test]
    fn bodies_are_kept() {
        let mut kept = open(Wanted::Kept);
        kept.take(b"ab").expect("anything");
        let done = kept.finish().expect("whole");
        assert_eq!(done.body, b"ab");
    }
}
