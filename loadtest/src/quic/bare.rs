//! The bare HTTP/3 server: quiche in a loop that sends one file, with nothing around it. What QUIC
//! alone costs.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Instant;

use bytes::Bytes;
use quiche::h3::{self, Event, Header};
use quiche::{BufFactory, RecvInfo};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{ID_BYTES, PACKET_BYTES, Scratch, Socket, broken, connection_id};
use crate::secure::Certificate;

/// Buffers of the socket.
const RECEIVE_BYTES: usize = 8 << 20;
const SEND_BYTES: usize = 2 << 20;
/// Flow control: what clients may send is a few requests.
const WINDOW_BYTES: u64 = 1 << 20;
/// Requests at once on a connection, and streams of HTTP/3 itself.
const STREAMS: u64 = 256;
/// Silence after which a connection ends.
const IDLE_MS_MAX: u64 = 120_000;
/// The longest sleep.
const SLEEP_MS_MAX: u128 = 1_000;

/// What the server is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Loopback port to listen on.
    pub(crate) port: u16,
    /// The body of every answer.
    pub(crate) file: PathBuf,
    /// Where its certificate lies.
    pub(crate) certificate: PathBuf,
}

/// Buffers that are shared, not copied.
#[derive(Clone, Debug, Default)]
struct Shared;

impl BufFactory for Shared {
    type Buf = Bytes;
    type DgramBuf = Vec<u8>;

    fn buf_from_slice(buf: &[u8]) -> Bytes {
        Bytes::copy_from_slice(buf)
    }

    fn dgram_buf_from_slice(buf: &[u8]) -> Vec<u8> {
        buf.to_vec()
    }
}

/// A connection, and what is left to send on its streams.
struct Peer {
    connection: quiche::Connection<Shared>,
    http: Option<h3::Connection>,
    replies: HashMap<u64, Reply>,
}

/// What is left to send on a stream.
struct Reply {
    has_head: bool,
    left: Bytes,
}

/// Runs the server until the process is ended.
pub(crate) fn run(settings: &Settings) -> io::Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, settings.port));
    let mut server = Server {
        socket: Socket::bind(address, RECEIVE_BYTES, SEND_BYTES)?,
        config: config(&Certificate::in_folder(&settings.certificate))?,
        file: std::fs::read(&settings.file)?.into(),
        peers: Vec::new(),
        by_id: HashMap::new(),
        busy: Vec::new(),
    };
    // The benchmark waits for this line.
    println!("listening on port {}", settings.port);
    let mut scratch = Scratch::new();
    loop {
        server.turn(&mut scratch)?;
    }
}

fn config(certificate: &Certificate) -> io::Result<quiche::Config> {
    let mut config = quiche::Config::new(quiche::PROTOCOL_VERSION).map_err(broken)?;
    let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
    config
        .load_cert_chain_from_pem_file(&path(&certificate.chain))
        .map_err(broken)?;
    config
        .load_priv_key_from_pem_file(&path(&certificate.key))
        .map_err(broken)?;
    config
        .set_application_protos(h3::APPLICATION_PROTOCOL)
        .map_err(broken)?;
    config.set_max_idle_timeout(IDLE_MS_MAX);
    config.set_max_recv_udp_payload_size(PACKET_BYTES);
    config.set_max_send_udp_payload_size(PACKET_BYTES);
    config.set_initial_max_data(WINDOW_BYTES);
    config.set_initial_max_stream_data_bidi_remote(WINDOW_BYTES);
    config.set_initial_max_stream_data_uni(WINDOW_BYTES);
    config.set_initial_max_streams_bidi(STREAMS);
    config.set_initial_max_streams_uni(STREAMS);
    // Nothing may wait for a clock here.
    config.enable_pacing(false);
    Ok(config)
}

/// The server at work.
struct Server {
    socket: Socket,
    config: quiche::Config,
    file: Bytes,
    /// By number; those that ended leave a hole.
    peers: Vec<Option<Peer>>,
    by_id: HashMap<Vec<u8>, usize>,
    /// Who got packets in this turn.
    busy: Vec<usize>,
}

impl Server {
    /// Waits for packets or the next timer, then serves whom it concerns.
    fn turn(&mut self, scratch: &mut Scratch) -> io::Result<()> {
        let timeouts = self.peers.iter().flatten();
        let timeouts = timeouts.filter_map(|peer| peer.connection.timeout());
        let sleep = timeouts
            .min()
            .map_or(SLEEP_MS_MAX, |left| left.as_millis() + 1);
        let sleep_ms = sleep.min(SLEEP_MS_MAX) as i64;
        let wait = Timespec {
            tv_sec: sleep_ms / 1_000,
            tv_nsec: sleep_ms % 1_000 * 1_000_000,
        };
        let mut ready = [PollFd::new(&self.socket, PollFlags::IN)];
        let came = poll(&mut ready, Some(&wait))? > 0;
        self.busy.clear();
        if came {
            self.receive(scratch)?;
        } else {
            let now = Instant::now();
            for (index, slot) in self.peers.iter_mut().enumerate() {
                let Some(peer) = slot else { continue };
                if peer
                    .connection
                    .timeout_instant()
                    .is_some_and(|due| due <= now)
                {
                    peer.connection.on_timeout();
                    self.busy.push(index);
                }
            }
        }
        for index in &self.busy {
            let Some(slot) = self.peers.get_mut(*index) else {
                continue;
            };
            if let Some(peer) = slot {
                peer.serve(&self.file)?;
                scratch.flush(&self.socket, &mut peer.connection)?;
                if peer.connection.is_closed() {
                    *slot = None;
                }
            }
        }
        Ok(())
    }

    fn receive(&mut self, scratch: &mut Scratch) -> io::Result<()> {
        let Server {
            socket,
            config,
            peers,
            by_id,
            busy,
            ..
        } = self;
        let local = socket.local;
        scratch.receive(socket, |packet, from| {
            let Ok(header) = quiche::Header::from_slice(packet, ID_BYTES) else {
                return Ok(());
            };
            let index = match by_id.get(header.dcid.as_ref()) {
                Some(index) => *index,
                None if header.ty != quiche::Type::Initial => return Ok(()),
                None => {
                    let index = peers.len();
                    let id = connection_id(index as u64);
                    let accepted = quiche::accept_with_buf_factory(&id, None, local, from, config);
                    by_id.insert(id.to_vec(), index);
                    by_id.insert(header.dcid.to_vec(), index);
                    peers.push(Some(Peer {
                        connection: accepted.map_err(broken)?,
                        http: None,
                        replies: HashMap::new(),
                    }));
                    index
                }
            };
            if busy.last() != Some(&index) && !busy.contains(&index) {
                busy.push(index);
            }
            let info = RecvInfo { from, to: local };
            if let Some(Some(peer)) = peers.get_mut(index) {
                // A connection that fails says so to its client.
                let _ = peer.connection.recv(packet, info);
            }
            Ok(())
        })?;
        Ok(())
    }
}

impl Peer {
    /// Answers requests, and writes what fits of the answers.
    fn serve(&mut self, file: &Bytes) -> io::Result<()> {
        if self.http.is_none() && self.connection.is_established() {
            let settings = h3::Config::new().map_err(broken)?;
            let http = h3::Connection::with_transport(&mut self.connection, &settings);
            self.http = Some(http.map_err(broken)?);
        }
        let Some(http) = &mut self.http else {
            return Ok(());
        };
        loop {
            match http.poll(&mut self.connection) {
                Ok((stream, Event::Headers { .. })) => {
                    let left = file.clone();
                    let has_head = false;
                    self.replies.insert(stream, Reply { has_head, left });
                }
                Ok(_) => {}
                // A client that went away ends its connection itself.
                Err(_) => break,
            }
        }
        let connection = &mut self.connection;
        self.replies.retain(
            |stream, reply| match reply.send(http, connection, *stream) {
                Ok(()) => false,
                Err(error) => matches!(error, h3::Error::Done | h3::Error::StreamBlocked),
            },
        );
        Ok(())
    }
}

impl Reply {
    /// Sends what fits; `Done` or `StreamBlocked` if that is not all.
    fn send(
        &mut self,
        http: &mut h3::Connection,
        connection: &mut quiche::Connection<Shared>,
        stream: u64,
    ) -> h3::Result<()> {
        if !self.has_head {
            let fields = [
                Header::new(b":status", b"200"),
                Header::new(b"content-length", self.left.len().to_string().as_bytes()),
            ];
            http.send_response(connection, stream, &fields, false)?;
            self.has_head = true;
        }
        loop {
            let len = self.left.len();
            // What was sent is cut off, but for the last piece.
            if http.send_body_zc(connection, stream, &mut self.left, true)? == len {
                return Ok(());
            }
        }
    }
}
