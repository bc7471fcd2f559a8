//! A client: quiche's own, on a socket that loses packets and moves as a test likes.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use quiche::h3::{self, Event, Header, NameValue};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came on a stream.
#[derive(Debug, Default)]
pub(super) struct Got {
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    pub(super) complete: bool,
    pub(super) reset: Option<u64>,
}

impl Got {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        fields.find(|(n, _)| n == name).map(|(_, value)| &**value)
    }

    pub(super) fn status(&self) -> Option<&str> {
        self.field(":status")
    }

    fn is_over(&self) -> bool {
        self.complete || self.reset.is_some()
    }
}

pub(super) struct Client {
    pub(super) socket: UdpSocket,
    server: SocketAddr,
    /// What the client takes for its address; a NAT may show another one.
    local: SocketAddr,
    pub(super) quic: quiche::Connection,
    pub(super) h3: Option<h3::Connection>,
    pub(super) streams: BTreeMap<u64, Got>,
    /// One of so many packets is lost in each direction; none where it is 0.
    pub(super) loses: u32,
    /// So many of the packets that come next are lost.
    pub(super) loses_next: u32,
    packets: u32,
    /// Bytes that went out and came in.
    pub(super) bytes: (usize, usize),
    /// It takes nothing of what comes on streams.
    pub(super) is_deaf: bool,
}

/// A client's settings.
pub(super) fn settings() -> quiche::Config {
    let mut config = quiche::Config::new(quiche::PROTOCOL_VERSION).expect("a good version");
    set_up(&mut config);
    config
}

pub(super) fn set_up(config: &mut quiche::Config) {
    config
        .set_application_protos(h3::APPLICATION_PROTOCOL)
        .expect("good names");
    config.verify_peer(false);
    config.set_max_idle_timeout(20_000);
    config.set_initial_max_data(8_000_000);
    config.set_initial_max_stream_data_bidi_local(4_000_000);
    config.set_initial_max_stream_data_uni(100_000);
    config.set_initial_max_streams_uni(8);
    config.set_active_connection_id_limit(4);
    config.enable_early_data();
}

impl Client {
    /// A client that has said nothing yet.
    pub(super) fn new(server: SocketAddr, id: &[u8]) -> Self {
        Client::with_settings(server, id, Some("localhost"), &mut settings())
    }

    /// The same with settings and a server's name of its own.
    pub(super) fn with_settings(
        server: SocketAddr,
        id: &[u8],
        name: Option<&str>,
        settings: &mut quiche::Config,
    ) -> Self {
        let socket = super::socket();
        let local = socket.local_addr().expect("it is bound");
        let scid = quiche::ConnectionId::from_ref(id);
        let quic = quiche::connect(name, &scid, local, server, settings).expect("good settings");
        Client {
            socket,
            server,
            local,
            quic,
            h3: None,
            streams: BTreeMap::new(),
            loses: 0,
            loses_next: 0,
            packets: 0,
            bytes: (0, 0),
            is_deaf: false,
        }
    }

    /// A client whose connection is established.
    pub(super) fn connected(server: SocketAddr) -> Self {
        let mut client = Client::new(server, &[7; 16]);
        client.until("a handshake", |client| client.h3.is_some());
        client
    }

    /// Moves packets until `is_so`.
    pub(super) fn until(&mut self, what: &str, is_so: impl Fn(&Client) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            let (now, error) = (Instant::now(), self.quic.peer_error());
            assert!(now < deadline, "{what}: not in time, {error:?}");
            self.turn();
        }
    }

    /// Moves the packets of a moment.
    pub(super) fn turn(&mut self) {
        if self.is_deaf {
            // It lives, it only does not read.
            let _ = self.quic.send_ack_eliciting();
        }
        self.send();
        let wait = self.quic.timeout().unwrap_or(Duration::from_millis(5));
        let wait = wait.clamp(Duration::from_millis(1), Duration::from_millis(5));
        self.socket
            .set_read_timeout(Some(wait))
            .expect("a good time");
        let mut buf = [0; 65_536];
        match self.socket.recv(&mut buf) {
            Ok(n) => self.take(&mut buf[..n]),
            Err(_) => self.quic.on_timeout(),
        }
        self.look();
    }

    /// Takes one packet.
    pub(super) fn take(&mut self, packet: &mut [u8]) {
        self.bytes.1 += packet.len();
        if self.loses_next > 0 {
            self.loses_next -= 1;
        } else if !self.is_lost() {
            let info = quiche::RecvInfo {
                from: self.server,
                to: self.local,
            };
            let _ = self.quic.recv(packet, info);
        }
    }

    fn is_lost(&mut self) -> bool {
        self.packets += 1;
        self.loses > 0 && self.packets.is_multiple_of(self.loses)
    }

    /// Sends what there is to send.
    pub(super) fn send(&mut self) {
        let mut buf = [0; 1_500];
        while let Ok((n, _)) = self.quic.send(&mut buf) {
            if !self.is_lost() {
                self.bytes.0 += n;
                let _ = self.socket.send_to(&buf[..n], self.server);
            }
        }
    }

    /// Shows the server another address with the next packet, as a NAT does; what is on its way
    /// to the one from before is lost.
    pub(super) fn rebind(&mut self) {
        self.show(super::socket());
    }

    /// The same, from another host.
    pub(super) fn move_to(&mut self, host: u8) {
        let at = SocketAddr::from(([127, 0, 0, host], 0));
        self.show(UdpSocket::bind(at).expect("a port is free"));
    }

    fn show(&mut self, socket: UdpSocket) {
        self.socket = socket;
        // Else it may have nothing to say, and the server goes on to where it was.
        self.quic
            .send_ack_eliciting()
            .expect("the connection is open");
    }

    fn look(&mut self) {
        let open = self.quic.is_established() || self.quic.is_in_early_data();
        if self.h3.is_none() && open {
            let config = h3::Config::new().expect("good settings");
            self.h3 = h3::Connection::with_transport(&mut self.quic, &config).ok();
        }
        let Some(h3) = self.h3.as_mut().filter(|_| !self.is_deaf) else {
            return;
        };
        while let Ok((id, event)) = h3.poll(&mut self.quic) {
            let got = self.streams.entry(id).or_default();
            match event {
                Event::Headers { list, .. } => {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    let fields = list.iter().map(|f| (text(f.name()), text(f.value())));
                    got.fields.extend(fields);
                }
                Event::Data => {
                    let mut buf = [0; 16_384];
                    while let Ok(n) = h3.recv_body(&mut self.quic, id, &mut buf) {
                        got.body.extend_from_slice(&buf[..n]);
                    }
                }
                Event::Finished => got.complete = true,
                Event::Reset(error) => got.reset = Some(error),
                Event::PriorityUpdate | Event::GoAway => {}
            }
        }
    }

    /// Sends a request's head.
    pub(super) fn request(&mut self, fields: &[(&str, &str)], ends: bool) -> u64 {
        let fields: Vec<Header> = fields
            .iter()
            .map(|(name, value)| Header::new(name.as_bytes(), value.as_bytes()))
            .collect();
        let h3 = self.h3.as_mut().expect("the connection is established");
        h3.send_request(&mut self.quic, &fields, ends)
            .expect("a stream is free")
    }

    pub(super) fn ask(&mut self, method: &str, path: &str, ends: bool) -> u64 {
        let fields = [
            (":method", method),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", path),
        ];
        self.request(&fields, ends)
    }

    /// Asks for a WebSocket (RFC 9220).
    pub(super) fn connect_websocket(&mut self, path: &str) -> u64 {
        let fields = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", path),
        ];
        self.request(&fields, false)
    }

    /// Fails unless something comes, and three times `sent` bytes at most, to one who says nothing.
    pub(super) fn assert_amplification(&self, sent: usize) {
        let quiet = Some(Duration::from_millis(700));
        self.socket.set_read_timeout(quiet).expect("a good time");
        let (mut came, mut buf) = (0, [0; 2_000]);
        while let Ok(n) = self.socket.recv(&mut buf) {
            came += n;
        }
        assert!(came > 0 && came <= 3 * sent, "{came} for {sent}");
    }

    /// Waits for what comes of a request.
    pub(super) fn outcome(&mut self, id: u64) -> Got {
        self.until("an answer", |client| {
            client.streams.get(&id).is_some_and(Got::is_over)
        });
        self.streams.remove(&id).expect("it came")
    }

    pub(super) fn get(&mut self, path: &str) -> Got {
        let id = self.ask("GET", path, true);
        self.outcome(id)
    }
}
