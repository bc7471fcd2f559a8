//! TLS over real sockets, against the client of the same library.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::thread::JoinHandle;

use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};

use super::*;
use crate::net::backend::ResolvedBackend;
use crate::net::link::Link;
use crate::testing::BACKENDS;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// How long a step may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) type Client = StreamOwned<ClientConnection, TcpStream>;

/// What both sides of a connection are made with.
pub(crate) struct Pair {
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) client: Arc<ClientConfig>,
}

impl Pair {
    pub(crate) fn new(versions: &[&'static SupportedProtocolVersion], alpn: &[&str]) -> Pair {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])
            .expect("a certificate can be made");
        let certificate: CertificateDer<'static> = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let alpn: Vec<_> = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let crypto = Arc::new(provider::default_provider());
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&crypto))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .expect("key and certificate fit");
        server.ticketer = provider::Ticketer::new().expect("keys for tickets");
        server.alpn_protocols.clone_from(&alpn);
        let mut roots = RootCertStore::empty();
        roots.add(certificate).expect("it is a certificate");
        let mut client = ClientConfig::builder_with_provider(crypto)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.alpn_protocols = alpn;
        Pair {
            server: Arc::new(server),
            client: Arc::new(client),
        }
    }

    /// A client over `tcp`; the handshake comes with the first bytes.
    pub(crate) fn client(&self, tcp: TcpStream) -> Client {
        let name = ServerName::try_from("localhost").expect("a name");
        let client = ClientConnection::new(Arc::clone(&self.client), name).expect("a client");
        StreamOwned::new(client, tcp)
    }
}

/// Two ends of a loopback connection: who connected, and who accepted.
pub(crate) fn ends() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let peer = TcpStream::connect(address).expect("it listens");
    let (accepted, _) = listener.accept().expect("somebody came");
    accepted.set_nonblocking(true).expect("a socket can be so");
    peer.set_read_timeout(Some(PATIENCE)).expect("a time");
    peer.set_write_timeout(Some(PATIENCE)).expect("a time");
    (peer, accepted)
}

pub(crate) fn spawn<T: Send + 'static>(
    client: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    std::thread::spawn(client)
}

pub(crate) fn run<F: Future>(backend: ResolvedBackend, server: F) -> F::Output {
    backend.block_on(server).expect("the runtime starts")
}

async fn accept(tcp: TcpStream, pair: &Pair) -> Result<Box<TlsConnection>, HandshakeFault> {
    let tcp = TcpConnection::new(tcp.into());
    TlsConnection::accept(tcp, Arc::clone(&pair.server), Instant::now() + PATIENCE).await
}

/// Bytes that look like nothing.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_u32;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 8) as u8
        })
        .collect()
}

/// What comes until `deadline`.
async fn receive(link: &mut Link, deadline: Instant) -> Vec<u8> {
    let mut buf = vec![0; 64 * 1024];
    loop {
        match link.try_recv(&mut buf) {
            Err(error) if is_would_block(&error) => {
                let came = link.readable_until(deadline).await;
                assert!(came.expect("it is open"), "there is more");
            }
            received => {
                buf.truncate(received.expect("it is open"));
                return buf;
            }
        }
    }
}

fn small_buffers(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    socket.set_send_buffer_size(16_384).expect("a size");
    socket.set_recv_buffer_size(16_384).expect("a size");
}

fn is_would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

#[test]
fn every_byte_arrives_in_order_through_small_windows() {
    for backend in BACKENDS {
        for version in VERSIONS {
            let pair = Pair::new(&[version], &["h2", "http/1.1"]);
            let (peer, accepted) = ends();
            small_buffers(&peer);
            small_buffers(&accepted);
            let mut client = pair.client(peer);
            let said = noise(100_000);
            let heard = spawn({
                let said = said.clone();
                move || {
                    client.write_all(&said).expect("the server listens");
                    client.flush().expect("the server listens");
                    let mut heard = Vec::new();
                    client.read_to_end(&mut heard).expect("an orderly end");
                    heard
                }
            });
            let answer = noise(300_000);
            run(backend, async {
                let scratch = Scratch::new();
                let tls = accept(accepted, &pair).await.expect("hands are shaken");
                assert_eq!(tls.alpn(), Some(&b"h2"[..]));
                let mut link = Link::from(tls);
                let mut received = Vec::new();
                while received.len() < said.len() {
                    let until = Instant::now() + PATIENCE;
                    let came = receive(&mut link, until).await;
                    received.extend_from_slice(&came);
                }
                assert!(received == said);
                let mut slices: Vec<_> = answer.chunks(3_333).map(IoSlice::new).collect();
                link.send_all(&mut slices, PATIENCE)
                    .await
                    .expect("the client reads");
                assert_eq!(link.sent_bytes(), answer.len() as u64);
                link.close_in_order(PATIENCE, &scratch).await;
            });
            assert!(heard.join().expect("the client is well") == answer);
        }
    }
}

#[test]
fn a_receiver_with_little_room_gets_a_record_in_parts() {
    for backend in BACKENDS {
        let pair = Pair::new(&VERSIONS, &[]);
        let (peer, accepted) = ends();
        let mut client = pair.client(peer);
        let said = noise(50_000);
        let sent = spawn({
            let said = said.clone();
            move || {
                client.write_all(&said).expect("the server listens");
                client.conn.send_close_notify();
                client.flush().expect("the server listens");
                client
            }
        });
        let received = run(backend, async {
            let mut tls = accept(accepted, &pair).await.expect("hands are shaken");
            assert_eq!(tls.alpn(), None);
            let mut received = Vec::new();
            loop {
                let mut room = [0; 7];
                match tls.try_recv(&mut room) {
                    Ok(0) => return received,
                    Ok(n) => received.extend_from_slice(&room[..n]),
                    Err(error) => {
                        assert!(is_would_block(&error), "{error}");
                        tls.readable().await.expect("it is open");
                    }
                }
            }
        });
        assert!(received == said);
        drop(sent.join());
    }
}

#[test]
fn a_handshake_that_is_none_ends_in_time() {
    for backend in BACKENDS {
        let pair = Pair::new(&VERSIONS, &[]);
        let (mut peer, accepted) = ends();
        peer.write_all(b"GET / HTTP/1.1\r\n\r\n")
            .expect("it is open");
        match run(backend, accept(accepted, &pair)) {
            Err(HandshakeFault::Foreign(mut tcp)) => {
                let mut heard = [0; 64];
                let n = tcp.try_recv(&mut heard).expect("nothing was taken");
                assert_eq!(&heard[..n], b"GET / HTTP/1.1\r\n\r\n");
            }
            other => panic!("{other:?}"),
        }
        let (mut peer, accepted) = ends();
        peer.write_all(&[22, 3, 1, 0, 6, 1, 0, 0, 2, 9, 9])
            .expect("it is open");
        let fault = run(backend, accept(accepted, &pair)).expect_err("no hello");
        assert!(matches!(fault, HandshakeFault::Refused(_)), "{fault}");
        let mut alert = Vec::new();
        peer.read_to_end(&mut alert)
            .expect("it was closed in order");
        assert_eq!(alert.first(), Some(&21), "{alert:?}");
        // A hello of 60 kB.
        let (mut peer, accepted) = ends();
        let first = [&[22, 3, 1, 64, 0, 1, 0, 234, 96][..], &[3; 16_380]].concat();
        let next = [&[22, 3, 1, 64, 0][..], &[3; 16_384]].concat();
        let talk = spawn(move || peer.write_all(&[first, next.repeat(3)].concat()));
        let fault = run(backend, accept(accepted, &pair)).expect_err("too much");
        assert!(matches!(fault, HandshakeFault::Gone), "{fault}");
        drop(talk.join());
        let (peer, accepted) = ends();
        drop(peer);
        let fault = run(backend, accept(accepted, &pair)).expect_err("nobody is there");
        assert!(matches!(fault, HandshakeFault::Gone));
    }
}

#[test]
fn a_handshake_that_goes_on_for_ever_is_late() {
    for backend in BACKENDS {
        let pair = Pair::new(&VERSIONS, &[]);
        for silent in [true, false] {
            let (mut peer, accepted) = ends();
            // A byte of a hello now and then, or none.
            let talk = spawn(move || {
                let pause = Some(Duration::from_millis(20));
                peer.set_read_timeout(if silent { Some(PATIENCE) } else { pause })
                    .expect("a time");
                for byte in [22, 3, 1, 2, 0, 1, 0, 1, 252].into_iter().chain([3; 2_000]) {
                    if !silent && peer.write_all(&[byte]).is_err() {
                        return true;
                    }
                    match peer.read(&mut [0]) {
                        Err(error) if is_would_block(&error) && !silent => {}
                        ended => return matches!(ended, Ok(0)) || !silent,
                    }
                }
                false
            });
            let fault = run(backend, async {
                let tcp = TcpConnection::new(accepted.into());
                let deadline = Instant::now() + Duration::from_millis(200);
                TlsConnection::accept(tcp, Arc::clone(&pair.server), deadline).await
            });
            let fault = fault.expect_err("it never ends");
            assert!(matches!(fault, HandshakeFault::Late), "{fault}");
            drop(fault);
            assert!(talk.join().expect("the client is well"), "it was closed");
        }
    }
}

#[test]
fn a_peer_without_a_common_version_hears_why() {
    let pair = Pair::new(&[&rustls::version::TLS13], &[]);
    let old = Pair::new(&[&rustls::version::TLS12], &[]);
    let (peer, accepted) = ends();
    let mut client = old.client(peer);
    let told = spawn(move || client.read(&mut [0]).expect_err("no version"));
    let fault = run(ResolvedBackend::Epoll, accept(accepted, &pair));
    assert!(matches!(fault, Err(HandshakeFault::Refused(_))));
    let told = told.join().expect("the client is well").to_string();
    assert!(told.contains("ProtocolVersion"), "{told}");
}

#[test]
fn new_keys_of_either_side_are_followed() {
    for backend in BACKENDS {
        let pair = Pair::new(&[&rustls::version::TLS13], &[]);
        let (peer, accepted) = ends();
        let mut client = pair.client(peer);
        let heard = spawn(move || {
            let mut heard = vec![0; 3 * 1_000];
            for part in heard.chunks_mut(1_000) {
                client.write_all(b"more").expect("the server listens");
                client.conn.refresh_traffic_keys().expect("it is TLS 1.3");
                client.write_all(b"!").expect("the server listens");
                client.read_exact(part).expect("the server answers");
            }
            heard
        });
        let answer = noise(3_000);
        run(backend, async {
            let mut link = Link::from(accept(accepted, &pair).await.expect("hands are shaken"));
            for part in answer.chunks(1_000) {
                let mut asked = Vec::new();
                while asked.len() < 5 {
                    let until = Instant::now() + PATIENCE;
                    let came = receive(&mut link, until).await;
                    asked.extend_from_slice(&came);
                }
                assert_eq!(asked, b"more!");
                link.send_all(&mut [IoSlice::new(part)], PATIENCE)
                    .await
                    .expect("the client reads");
            }
        });
        assert!(heard.join().expect("the client is well") == answer);
    }
}

/// A steady connection, and the client at its other end.
fn steady(pair: &Pair) -> (Client, TlsSocket) {
    let (peer, accepted) = ends();
    let mut client = pair.client(peer);
    let shaken = spawn(move || {
        client
            .conn
            .complete_io(&mut client.sock)
            .expect("hands are shaken");
        client
    });
    let socket = run(ResolvedBackend::Epoll, async {
        let tls = accept(accepted, pair).await.expect("hands are shaken");
        tls.into_socket().expect("it needs no descriptor")
    });
    (shaken.join().expect("the client is well"), socket)
}

#[test]
fn a_steady_peer_that_takes_nothing_costs_a_bounded_rest() {
    for version in VERSIONS {
        let pair = Pair::new(&[version], &[]);
        let (mut client, mut socket) = steady(&pair);
        let media = noise(1_000_000);
        let mut taken = 0;
        // Until the window is full, and then ten thousand times more.
        let mut full = 0;
        while full < 10_000 {
            let at = taken % media.len();
            let end = media.len().min(at + 5_000);
            match socket.send(&[IoSlice::new(&media[at..end])]) {
                Sent::Bytes(n) => taken += n,
                Sent::Full => full += 1,
                Sent::Failed => panic!("the client is there"),
            }
        }
        assert!(socket.records.has_unsent());
        assert!(!socket.is_closed());
        let heard = spawn(move || {
            let mut heard = Vec::new();
            client.read_to_end(&mut heard).expect("an orderly end");
            heard
        });
        // What was taken arrives, though no more is offered.
        while socket.records.has_unsent() {
            assert_ne!(socket.send(&[]), Sent::Failed);
        }
        socket.close_in_order(&mut [0; 4_096]);
        let heard = heard.join().expect("the client is well");
        assert_eq!(heard.len(), taken);
        assert!(
            heard
                .chunks(media.len())
                .all(|part| media.starts_with(part))
        );
    }
}

#[test]
fn a_steady_peer_is_read_now_and_then_and_seen_to_go() {
    let pair = Pair::new(&[&rustls::version::TLS13], &[]);
    let (mut client, mut socket) = steady(&pair);
    // It asks for new keys of ours; what comes after that is under them.
    client.conn.refresh_traffic_keys().expect("it is TLS 1.3");
    client
        .write_all(b"words that nobody waits for")
        .expect("it is open");
    client.flush().expect("it is open");
    assert!(!socket.is_closed());
    for _ in 0..100 {
        assert_eq!(socket.send(&[IoSlice::new(b"media")]), Sent::Bytes(5));
    }
    let mut heard = [0; 500];
    client.read_exact(&mut heard).expect("media comes");
    assert!(heard.chunks(5).all(|part| part == b"media"));
    client.conn.send_close_notify();
    client.flush().expect("it is open");
    let deadline = std::time::Instant::now() + PATIENCE;
    while !socket.is_closed() {
        assert!(std::time::Instant::now() < deadline, "the end was said");
    }
}

#[test]
fn a_steady_peer_that_breaks_the_protocol_is_let_go() {
    let pair = Pair::new(&[&rustls::version::TLS13], &[]);
    let (client, mut socket) = steady(&pair);
    let (_, mut tcp) = (client.conn, client.sock);
    tcp.write_all(&[23, 3, 3, 0, 32]).expect("it is open");
    tcp.write_all(&[7; 32]).expect("it is open");
    let deadline = std::time::Instant::now() + PATIENCE;
    while socket.send(&[IoSlice::new(b"media")]) != Sent::Failed {
        let _ = socket.is_closed();
        assert!(std::time::Instant::now() < deadline, "no such record");
    }
    tcp.shutdown(Shutdown::Both).expect("it is open");
}

#[test]
fn a_request_and_an_end_that_come_with_the_handshake_are_heard() {
    let pair = Pair::new(&[&rustls::version::TLS13], &[]);
    let (mut peer, accepted) = ends();
    let mut client = pair
        .client(peer.try_clone().expect("a descriptor is left"))
        .conn;
    let heard = spawn(move || {
        while client.is_handshaking() {
            if client.wants_write() {
                client.write_tls(&mut peer).expect("the server listens");
            } else {
                client.read_tls(&mut peer).expect("the server answers");
                client.process_new_packets().expect("it is TLS");
            }
        }
        client.writer().write_all(b"hello").expect("it is open");
        client.send_close_notify();
        let mut all = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut all).expect("there is room");
        }
        peer.write_all(&all).expect("the server listens");
        let mut heard = String::new();
        let mut stream = StreamOwned::new(client, peer);
        stream.read_to_string(&mut heard).expect("an orderly end");
        heard
    });
    run(ResolvedBackend::Epoll, async {
        let mut link = Link::from(accept(accepted, &pair).await.expect("hands are shaken"));
        let until = Instant::now() + PATIENCE;
        assert_eq!(receive(&mut link, until).await, b"hello");
        assert_eq!(receive(&mut link, until).await, b"");
        let mut answer = [IoSlice::new(b"answer")];
        link.send_all(&mut answer, PATIENCE)
            .await
            .expect("it is open");
        link.close_in_order(PATIENCE, &Scratch::new()).await;
    });
    assert_eq!(heard.join().expect("the client is well"), "answer");
}

#[test]
fn sessions_are_resumed_on_another_shard() {
    for version in VERSIONS {
        let pair = Arc::new(Pair::new(&[version], &[]));
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let (peer, accepted) = ends();
            let mut client = pair.client(peer);
            // A thread of its own, as a shard is.
            let shard = spawn({
                let pair = Arc::clone(&pair);
                move || {
                    run(ResolvedBackend::Epoll, async {
                        let tls = accept(accepted, &pair).await.expect("hands are shaken");
                        let mut link = Link::from(tls);
                        let mut hello = [IoSlice::new(b"hello")];
                        link.send_all(&mut hello, PATIENCE)
                            .await
                            .expect("it is open");
                        link.close_in_order(PATIENCE, &Scratch::new()).await;
                    });
                }
            });
            let mut heard = String::new();
            client.read_to_string(&mut heard).expect("an orderly end");
            assert_eq!(heard, "hello");
            assert_eq!(client.conn.handshake_kind(), Some(kind));
            drop(client);
            shard.join().expect("the shard is well");
        }
    }
}

#[test]
fn old_keys_that_are_used_up_end_the_connection() {
    let pair = Pair::new(&[&rustls::version::TLS12], &[]);
    let (_client, mut socket) = steady(&pair);
    let left = socket.records.records_left.expect("they cannot be changed");
    assert!(left > 1_000_000, "{left} records");
    socket.records.records_left = Some(4);
    let large = [7; 2 * 16 * 1024 + 1];
    assert_eq!(
        socket.send(&[IoSlice::new(&large)]),
        Sent::Bytes(large.len())
    );
    let sent: Vec<_> = (0..3)
        .map(|_| socket.send(&[IoSlice::new(b"media")]))
        .collect();
    assert_eq!(sent, [Sent::Bytes(5), Sent::Failed, Sent::Failed]);
}
