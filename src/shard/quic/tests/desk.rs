//! One endpoint and its clients without sockets or tasks: packets go from hand to hand.

use std::any::Any;
use std::cell::RefCell;
use std::future::ready;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use corecast_media::name::ShardId;
use corecast_protocol::quic::token::TokenKey;
use quiche::h3::{self, Event, Header};

use super::*;
use crate::net::udp::Arrival;
use crate::quic::connection::{Connection, Patience};
use crate::quic::endpoint::{Crossed, Endpoint, Host, Place};
use crate::quic::stream::RequestStream;
use crate::quic::{host, tls};
use crate::testing::seats;

/// What the endpoint did with its shard.
#[derive(Default)]
pub(super) struct Done {
    pub(super) asked: Vec<RequestStream>,
    pub(super) handed: Vec<(ShardId, Crossed)>,
    /// The next request is answered by a panic.
    pub(super) panics: bool,
}

struct FakeShard {
    tls: Arc<Credentials>,
    done: Rc<RefCell<Done>>,
    patience: Patience,
}

impl Host for FakeShard {
    fn renew(&self, config: &mut Option<quiche::Config>) {
        let certificates = host::certificates(Arc::clone(&self.tls));
        let made = tls::config(certificates, Duration::from_secs(30));
        *config = Some(made.expect("a good certificate"));
    }

    fn head_bytes_max(&self) -> u64 {
        16_384
    }

    fn patience(&self) -> Patience {
        self.patience
    }

    fn is_draining(&self) -> bool {
        false
    }

    fn answer(&self, stream: RequestStream) -> Pin<Box<dyn Future<Output = ()>>> {
        let mut done = self.done.borrow_mut();
        assert!(!std::mem::take(&mut done.panics), "as the test wants it");
        done.asked.push(stream);
        Box::pin(ready(()))
    }

    fn hand_over(&self, to: ShardId, crossed: Crossed) {
        self.done.borrow_mut().handed.push((to, crossed));
    }

    fn hold(&self) -> Box<dyn Any> {
        Box::new(())
    }
}

pub(super) fn ours() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 9], 443))
}

/// A client in memory.
pub(super) struct Peer {
    pub(super) from: SocketAddr,
    pub(super) quic: quiche::Connection,
    pub(super) h3: Option<h3::Connection>,
    pub(super) body: Vec<u8>,
    pub(super) complete: bool,
    /// Streams whose answers are complete, in the order in which they got so.
    pub(super) finished: Vec<u64>,
}

impl Peer {
    pub(super) fn new(port: u16, settings: &mut quiche::Config) -> Self {
        let from = SocketAddr::from(([192, 0, 2, 1], port));
        let scid = quiche::ConnectionId::from_ref(&[7; 16]);
        let quic = quiche::connect(Some("localhost"), &scid, from, ours(), settings);
        Peer {
            from,
            quic: quic.expect("good settings"),
            h3: None,
            body: Vec::new(),
            complete: false,
            finished: Vec::new(),
        }
    }

    pub(super) fn look(&mut self) {
        if self.h3.is_none() && self.quic.is_established() {
            let config = h3::Config::new().expect("good settings");
            self.h3 = h3::Connection::with_transport(&mut self.quic, &config).ok();
        }
        let Some(h3) = &mut self.h3 else { return };
        while let Ok((id, event)) = h3.poll(&mut self.quic) {
            let mut buf = [0; 4_096];
            match event {
                Event::Data => {
                    while let Ok(n) = h3.recv_body(&mut self.quic, id, &mut buf) {
                        self.body.extend_from_slice(&buf[..n]);
                    }
                }
                Event::Finished => {
                    self.complete = true;
                    self.finished.push(id);
                }
                _ => {}
            }
        }
    }

    pub(super) fn ask(&mut self, ends: bool) {
        let fields = [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", "/"),
        ];
        let fields = fields.map(|(name, value)| Header::new(name.as_bytes(), value.as_bytes()));
        let h3 = self.h3.as_mut().expect("it is connected");
        h3.send_request(&mut self.quic, &fields, ends)
            .expect("a stream is free");
    }
}

/// The first of two shards.
pub(super) struct Desk {
    pub(super) endpoint: Rc<Endpoint>,
    pub(super) done: Rc<RefCell<Done>>,
}

impl Desk {
    pub(super) fn new() -> Self {
        Desk::with(Patience {
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(30),
        })
    }

    /// An endpoint that waits so long for its clients.
    pub(super) fn with(patience: Patience) -> Self {
        let done = Rc::new(RefCell::new(Done::default()));
        let shard = FakeShard {
            tls: credentials(),
            done: Rc::clone(&done),
            patience,
        };
        let place = Place {
            shard: 0,
            shards: 2,
            seats: Arc::new(seats(&config())),
            probe: Arc::new(crate::ShardProbe::new()),
            tasks: Rc::default(),
            key: TokenKey::new([1; 32]),
            started: Instant::now(),
        };
        let endpoint = Endpoint::new(place, Box::new(shard)).expect("good settings");
        Desk { endpoint, done }
    }

    /// The endpoint takes what the client has to send.
    pub(super) fn hear(&self, peer: &mut Peer) {
        let mut packet = [0; 1_500];
        while let Ok((n, info)) = peer.quic.send(&mut packet) {
            let arrival = Arrival {
                from: info.from,
                to: info.to,
                stride: n,
            };
            self.endpoint.handle_packets(arrival, &mut packet[..n]);
        }
    }

    /// The endpoint serves its connections, and `peers` take what it has to send.
    pub(super) fn speak(&self, peers: &mut [&mut Peer]) {
        while let Some(connection) = self.serve() {
            let mut packet = [0; 1_500];
            loop {
                let sent = connection.inner.borrow_mut().quic.send(&mut packet);
                let Ok((n, info)) = sent else { break };
                deliver(peers, info, &mut packet[..n]);
            }
        }
        peers.iter_mut().for_each(|peer| peer.look());
    }

    pub(super) fn serve(&self) -> Option<Rc<Connection>> {
        loop {
            let connection = self.endpoint.at(self.endpoint.agenda.pop()?);
            let Some(connection) = connection else {
                continue;
            };
            connection.listed.set(false);
            let mut arrived = Vec::new();
            let served = self.endpoint.shield(&connection, || {
                self.endpoint.serve(&connection, &mut arrived);
                self.endpoint.settle(&connection);
            });
            if served.is_some() {
                return Some(connection);
            }
        }
    }

    pub(super) fn turn(&self, peer: &mut Peer) {
        self.hear(peer);
        self.speak(&mut [peer]);
    }

    pub(super) fn connect(&self, port: u16, settings: &mut quiche::Config) -> Peer {
        let mut peer = Peer::new(port, settings);
        for _ in 0..6 {
            self.turn(&mut peer);
        }
        assert!(peer.h3.is_some(), "it is connected");
        peer
    }

    /// The stream of a request of `peer`.
    pub(super) fn request(&self, peer: &mut Peer) -> RequestStream {
        self.begin(peer, true)
    }

    /// The same where a body may follow.
    pub(super) fn begin(&self, peer: &mut Peer, ends: bool) -> RequestStream {
        peer.ask(ends);
        self.turn(peer);
        self.done.borrow_mut().asked.pop().expect("it came")
    }
}

pub(super) fn deliver(peers: &mut [&mut Peer], info: quiche::SendInfo, packet: &mut [u8]) {
    let to = peers.iter_mut().find(|peer| peer.from == info.to);
    let info = quiche::RecvInfo {
        from: info.from,
        to: info.to,
    };
    let _ = to.expect("a client").quic.recv(packet, info);
}

/// Runs what needs a runtime, though nothing of it waits for one.
pub(super) fn on_a_shard(test: impl Future<Output = ()>) {
    BACKENDS[1].block_on(test).expect("the engine starts");
}

pub(super) fn ok() -> Vec<Header> {
    vec![Header::new(b":status", b"200")]
}
