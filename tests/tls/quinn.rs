//! HTTP/3 by quinn and h3: everything that is served, new keys and early requests, and a client
//! that moves in the middle of a download.

use std::future::poll_fn;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use h3::client::SendRequest;
use h3_quinn::OpenStreams;
use http::{HeaderMap, Method, Request};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, TransportConfig};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::quic::{assert_title_stays, big_segment};
use crate::failures::peers;
use crate::harness::client::python;
use crate::harness::server::ADMIN_PASSWORD;
use crate::harness::tls::NAMES;
use crate::harness::{Backend, Server, Station, http as raw, wait_for};
use crate::video::browsers::start_film;

crate::clients::on_both_backends!(quinn_gets_what_there_is, quinn_moves_while_it_downloads);

/// How long one test may take, on a machine that compiles beside it.
const LIMIT: Duration = Duration::from_secs(110);

/// Requests that one connection gives up, and how much the server may grow by them, in KiB.
const GIVEN_UP: usize = 30_000;
const GROWTH_KIB_MAX: u64 = 8 << 10;

/// A host of this machine.
fn socket(host: u8) -> UdpSocket {
    UdpSocket::bind(SocketAddr::from(([127, 0, 0, host], 0))).expect("a port is free")
}

/// A client that trusts `server` and remembers its tickets.
pub(crate) fn client(server: &Server) -> Endpoint {
    let mut roots = RootCertStore::empty();
    let all = CertificateDer::pem_file_iter(server.tls().authority.file());
    for one in all.expect("the authority has a file") {
        roots.add(one.expect("PEM")).expect("a root");
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider);
    let config = config.with_protocol_versions(&[&rustls::version::TLS13]);
    let config = config.expect("QUIC has TLS 1.3");
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h3".to_vec()];
    config.enable_early_data = true;
    let config = QuicClientConfig::try_from(config).expect("good ciphers");
    let mut config = ClientConfig::new(Arc::new(config));
    let mut transport = TransportConfig::default();
    let idle = Duration::from_secs(20);
    transport.max_idle_timeout(Some(idle.try_into().expect("a short time")));
    config.transport_config(Arc::new(transport));
    let runtime = quinn::default_runtime().expect("tokio runs");
    let mut endpoint = Endpoint::new(quinn::EndpointConfig::default(), None, socket(1), runtime)
        .expect("a good socket");
    endpoint.set_default_client_config(config);
    endpoint
}

/// What came for a request.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) fields: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .get(name)
            .map(|value| value.to_str().expect("ASCII"))
    }
}

/// HTTP/3 on a connection.
#[derive(Clone)]
pub(crate) struct Talk {
    pub(crate) quic: Connection,
    pub(crate) requests: SendRequest<OpenStreams, Bytes>,
}

impl Talk {
    pub(crate) async fn connect(endpoint: &Endpoint, server: &Server) -> Self {
        let connecting = endpoint.connect(server.tls().address(), "localhost");
        let quic = connecting.expect("a good name").await;
        Talk::over(quic.expect("a handshake")).await
    }

    async fn over(quic: Connection) -> Self {
        let transport = h3_quinn::Connection::new(quic.clone());
        let (mut driver, requests) = h3::client::new(transport).await.expect("HTTP/3");
        tokio::spawn(async move { poll_fn(|cx| driver.poll_close(cx)).await });
        Talk { quic, requests }
    }

    /// One request; of its answer so much as `enough` wants, which is asked after each piece.
    pub(crate) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
        mut enough: impl FnMut(&[u8]) -> bool,
    ) -> Reply {
        let mut request = Request::builder().method(method);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.uri(format!("https://localhost{path}")).body(());
        let request = request.expect("a good request");
        let mut stream = self.requests.send_request(request).await.expect(path);
        stream.finish().await.expect(path);
        let mut head = stream.recv_response().await.expect(path);
        // Hints of what comes.
        while head.status().is_informational() {
            head = stream.recv_response().await.expect(path);
        }
        let mut body = Vec::new();
        while let Some(mut piece) = stream.recv_data().await.expect(path) {
            body.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
            if enough(&body) {
                stream.stop_sending(h3::error::Code::H3_REQUEST_CANCELLED);
                break;
            }
        }
        Reply {
            status: head.status().as_u16(),
            fields: head.headers().clone(),
            body,
        }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Reply {
        self.ask(Method::GET, path, &[], |_| false).await
    }
}

/// Runs a client.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime starts");
    let ended = runtime.block_on(async { tokio::time::timeout(LIMIT, test).await });
    ended.expect("the client ends in time")
}

/// The newest list of a film, and the number of a segment that is not in it yet.
pub(crate) fn list_of(server: &Server) -> (String, usize) {
    wait_for("there is a whole segment", LIMIT, || {
        let list = server.get("/live/cam/hls/v0.m3u8").text();
        let first = list
            .lines()
            .find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"))?;
        let count = list.matches("#EXTINF:").count();
        let next = first.parse::<usize>().ok()? + count + 1;
        (count > 0).then_some((list, next))
    })
}

/// The first segment of a list.
pub(crate) fn first_segment(list: &str) -> String {
    let mut names = list.lines().filter(|line| !line.starts_with('#'));
    let segment = names.find(|line| line.ends_with(".m4s"));
    format!("/live/cam/hls/{}", segment.expect("a segment"))
}

fn quinn_gets_what_there_is(backend: Backend) {
    let settings = [
        "mount_defaults.hls_segment_ms=2000",
        "mount_defaults.metaint_bytes=4000",
    ];
    let server = Server::start_tls(backend, &settings);
    let _film = start_film(&server);
    let _station = Station::play(&server, "/live");
    server.wait_live("/live");
    server.set_title("/live", "Ada – Première".as_bytes());
    let (list, next) = list_of(&server);
    let segment = first_segment(&list);
    let whole = server.get(&segment).body;
    run(async {
        let endpoint = client(&server);
        let mut talk = Talk::connect(&endpoint, &server).await;
        pages(&mut talk).await;
        segments(&mut talk, &segment, &whole).await;
        blocked_reload(&mut talk, next).await;
        radio(&mut talk, &server).await;
        talk.quic.close(0x100_u32.into(), b"");
        endpoint.wait_idle().await;
    });
    assert_eq!(server.metric("corecast_task_panics_total", ""), 0.0);
}

async fn pages(talk: &mut Talk) {
    let page = talk.get("/health").await;
    assert_eq!((page.status, &page.body[..]), (200, &b"ok\n"[..]));
    // It is there already.
    assert_eq!(page.field("alt-svc"), None);
    assert_eq!(talk.get("/none").await.status, 404);
    let head = talk.ask(Method::HEAD, "/health", &[], |_| false).await;
    assert_eq!(
        (head.status, head.field("content-length")),
        (200, Some("3"))
    );
    assert_eq!(head.body, b"");
    let mut many = tokio::task::JoinSet::new();
    for _ in 0..300 {
        let mut talk = talk.clone();
        many.spawn(async move { talk.get("/health").await.body });
    }
    while let Some(body) = many.join_next().await {
        assert_eq!(body.expect("no panic"), b"ok\n");
    }
}

async fn segments(talk: &mut Talk, path: &str, whole: &[u8]) {
    assert!(
        talk.get(path).await.body == whole,
        "the same bytes as over HTTP/1.1"
    );
    let head = talk.ask(Method::HEAD, path, &[], |_| false).await;
    let length = whole.len().to_string();
    assert_eq!(head.field("content-length"), Some(&*length));
    let range = [("range", "bytes=100-299")];
    let part = talk.ask(Method::GET, path, &range, |_| false).await;
    assert_eq!(part.status, 206);
    let said = format!("bytes 100-299/{length}");
    assert_eq!(part.field("content-range"), Some(&*said));
    assert!(part.body == whole[100..300]);
}

async fn blocked_reload(talk: &mut Talk, next: usize) {
    let path = format!("/live/cam/hls/v0.m3u8?_HLS_msn={next}");
    let list = talk.get(&path).await;
    let text = String::from_utf8(list.body).expect("a list is text");
    assert_eq!(list.status, 200, "{text}");
    let first = text
        .lines()
        .find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"));
    let first: usize = first
        .and_then(|first| first.parse().ok())
        .expect("it says its first");
    assert!(first + text.matches("#EXTINF:").count() > next, "{text}");
}

async fn radio(talk: &mut Talk, server: &Server) {
    let fields = [("icy-metadata", "1")];
    let enough = |body: &[u8]| body.len() > 100_000;
    let heard = talk.ask(Method::GET, "/live", &fields, enough).await;
    assert_eq!(heard.field("icy-metaint"), Some("4000"));
    let file = server.scratch().file("heard");
    std::fs::write(&file, &heard.body).expect("a scratch folder takes files");
    super::icy::assert_heard(&file, 4_000, "Ada – Première");
}

fn quinn_moves_while_it_downloads(backend: Backend) {
    let server = Server::start_tls(backend, &["mount_defaults.hls_segment_ms=6000"]);
    let (path, whole) = big_segment(&server);
    run(async {
        let endpoint = client(&server);
        let mut talk = Talk::connect(&endpoint, &server).await;
        // Another port, another host, and back to one where it was.
        let mut hosts = [1, 9, 1, 10].into_iter();
        let mut next = whole.len() / 6;
        let came = talk.ask(Method::GET, &path, &[], |body| {
            if body.len() >= next
                && let Some(host) = hosts.next()
            {
                next += whole.len() / 6;
                endpoint.rebind(socket(host)).expect("a good socket");
            }
            false
        });
        assert!(came.await.body == whole, "the same bytes as over HTTP/1.1");
        assert_eq!(hosts.next(), None, "it moved each time");
    });
    assert_eq!(server.metric("corecast_quic_resets_total", ""), 0.0);
    // Wherever the client is, the kernel brings its packets to their shard.
    let is_steered = !server.log().contains("does not steer");
    let crossings = server.metric("corecast_quic_crossings_total", "");
    assert!(!is_steered || crossings == 0.0, "{crossings} crossings");
}

#[test]
fn downloads_are_whole_where_the_kernel_does_not_steer() {
    let mut sandbox = python("tests/tls/unsteered.py");
    sandbox.arg(env!("CARGO_BIN_EXE_corecast"));
    let settings = ["mount_defaults.hls_segment_ms=2000"];
    let server = Server::start_tls_with(sandbox, Backend::IoUring, &settings);
    wait_for("it says so", LIMIT, || {
        server.log().contains("does not steer").then_some(())
    });
    let _film = start_film(&server);
    let (list, _) = list_of(&server);
    let segment = first_segment(&list);
    let whole = server.get(&segment).body;
    run(async {
        // The kernel goes by ports: half of all clients come to the wrong shard.
        for _ in 0..20 {
            let endpoint = client(&server);
            let mut talk = Talk::connect(&endpoint, &server).await;
            assert!(talk.get(&segment).await.body == whole, "the same bytes");
            endpoint.rebind(socket(1)).expect("a good socket");
            assert!(talk.get(&segment).await.body == whole, "the same bytes");
        }
    });
    assert!(server.metric("corecast_quic_crossings_total", "") > 0.0);
}

#[test]
fn clients_of_a_node_that_was_started_anew_are_told() {
    let mut server = Server::start_tls(Backend::IoUring, &[]);
    run(async {
        let endpoint = client(&server);
        let mut all = Vec::new();
        for _ in 0..4 {
            let connecting = endpoint.connect(server.tls().address(), "localhost");
            all.push(connecting.expect("a good name").await.expect("a handshake"));
        }
        // With another certificate, as if it had been renewed too.
        server.tls().authority.issue("server", &NAMES);
        server.start_again();
        for quic in all {
            // Something to be answered, where it was not told yet.
            if let Ok(mut stream) = quic.open_uni().await {
                let _ = stream.write_all(b"x").await;
            }
            assert_eq!(quic.closed().await, quinn::ConnectionError::Reset);
        }
        assert!(server.metric("corecast_quic_resets_total", "") >= 4.0);
        let mut talk = Talk::connect(&endpoint, &server).await;
        assert_eq!(talk.get("/health").await.body, b"ok\n");
    });
}

#[test]
fn requests_that_are_given_up_leave_nothing() {
    let server = Server::start_tls(Backend::IoUring, &[]);
    run(async {
        let endpoint = client(&server);
        let mut talk = Talk::connect(&endpoint, &server).await;
        assert_eq!(talk.get("/health").await.body, b"ok\n");
        let before = peers::memory_kib(server.pid());
        for turn in 0..GIVEN_UP {
            let request = Request::get("https://localhost/health").body(());
            let request = request.expect("a good request");
            let stream = talk.requests.send_request(request).await;
            let mut stream = stream.expect("a stream is free");
            stream.stop_stream(h3::error::Code::H3_REQUEST_CANCELLED);
            stream.stop_sending(h3::error::Code::H3_REQUEST_CANCELLED);
            if turn % 1_000 == 0 {
                assert_eq!(talk.get("/health").await.body, b"ok\n");
            }
        }
        assert_eq!(talk.get("/health").await.body, b"ok\n");
        let grown = peers::memory_kib(server.pid()).saturating_sub(before);
        assert!(grown < GROWTH_KIB_MAX, "{grown} KiB more than before");
    });
    assert_eq!(server.metric("corecast_task_panics_total", ""), 0.0);
}

#[test]
fn keys_change_while_quinn_downloads() {
    let server = Server::start_tls(Backend::IoUring, &["mount_defaults.hls_segment_ms=6000"]);
    let (path, whole) = big_segment(&server);
    run(async {
        let endpoint = client(&server);
        let mut talk = Talk::connect(&endpoint, &server).await;
        let quic = talk.quic.clone();
        let (mut next, mut updates) = (0, 0);
        let came = talk.ask(Method::GET, &path, &[], |body| {
            if body.len() >= next {
                next += whole.len() / 10;
                updates += 1;
                quic.force_key_update();
            }
            false
        });
        assert!(came.await.body == whole, "the same bytes as over HTTP/1.1");
        assert!(updates >= 10);
        assert_eq!(talk.get("/health").await.body, b"ok\n");
    });
}

#[test]
fn early_requests_of_quinn_are_served_if_they_are_safe() {
    let server = Server::start_tls(Backend::IoUring, &[]);
    let _station = Station::play(&server, "/live");
    server.wait_live("/live");
    let basic = raw::basic("admin", ADMIN_PASSWORD);
    let (_, basic) = basic.trim_end().split_once(": ").expect("a header line");
    let fields = [("authorization", basic), ("content-length", "0")];
    let song = "/admin/metadata?mount=/live&mode=updinfo&song=Early";
    server.set_title("/live", b"Before");
    run(async {
        let endpoint = client(&server);
        // Icecast's clients change things by GET too.
        let methods = [Method::POST, Method::GET];
        let mut refused = [0; 2];
        for n in 0..30 {
            // A handshake that is quicker than the client makes its request a late one.
            let (mut talk, accepted) = early(&endpoint, &server).await;
            let page = talk.get("/health").await;
            assert_eq!((page.status, &page.body[..]), (200, &b"ok\n"[..]));
            assert!(accepted.await, "0-RTT is taken");
            let (mut talk, _) = early(&endpoint, &server).await;
            let method = methods[n % 2].clone();
            let told = talk.ask(method, song, &fields, |_| false).await;
            if told.status == 425 {
                refused[n % 2] += 1;
                assert_title_stays(&server, "Before");
            } else {
                assert_eq!(told.status, 200);
                server.set_title("/live", b"Before");
            }
        }
        assert!(
            refused.iter().all(|count| *count > 0),
            "an early request that changes something is refused: {refused:?}"
        );
    });
}

/// A connection that may be talked on before its handshake is over.
async fn early(endpoint: &Endpoint, server: &Server) -> (Talk, quinn::ZeroRttAccepted) {
    loop {
        let connecting = endpoint.connect(server.tls().address(), "localhost");
        match connecting.expect("a good name").into_0rtt() {
            Ok((quic, accepted)) => return (Talk::over(quic).await, accepted),
            // All tickets are used up: this brings new ones.
            Err(connecting) => {
                let mut talk = Talk::over(connecting.await.expect("a handshake")).await;
                talk.get("/health").await;
            }
        }
    }
}
