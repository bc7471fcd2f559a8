//! Peers that go in the middle of anything, and that nothing of them stays.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use corecast_config::{Config, Latency, Mount};
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::testing::{AUTH, BACKENDS, Node, OPAQUE, config, publish, read_head, self_signed};

/// A mount that has listeners wait for control, whose guard never answers.
const GUARDED: &str = "/guarded";

/// Who is not judged by the control of tests: `x:wait`.
pub(crate) const UNJUDGED: (&str, &str) = ("authorization", "Basic eDp3YWl0");

/// One frame of MPEG sound: 128 kbit/s at 44,100 Hz.
const FRAME_BYTES: usize = 417;
const FRAME_TIME: Duration = Duration::from_micros(26_122);

/// Settings under which there is something to wait for.
pub(crate) fn settings() -> Config {
    let mut config = config();
    config.mount_defaults = Mount {
        source_timeout: Duration::from_secs(60),
        latency: Latency::Live,
        hls_segment: Duration::from_secs(1),
        hls_part: Duration::from_millis(200),
        ..config.mount_defaults
    };
    let guarded = Mount {
        hook_listener_add: "http://127.0.0.1:1/".into(),
        hook_timeout: Duration::from_millis(200),
        ..config.mount_defaults.clone()
    };
    config.mounts.push(GUARDED.to_owned(), guarded);
    config
}

/// Sources whose listeners and players there are to cut off.
pub(crate) struct Sources {
    _guarded: TcpStream,
    _silent: TcpStream,
    stopped: Arc<AtomicBool>,
    radio: Option<JoinHandle<()>>,
}

impl Sources {
    pub(crate) fn start(node: &Node) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let mut radio = node.connect();
        let lines = format!("Host: test\r\n{AUTH}Content-Type: audio/mpeg\r\n");
        let head = format!("PUT /radio HTTP/1.1\r\n{lines}Expect: 100-continue\r\n\r\n");
        radio.write_all(head.as_bytes()).expect("the node reads");
        read_head(&mut radio);
        let stop = Arc::clone(&stopped);
        let radio = std::thread::spawn(move || {
            let mut frame = [0; FRAME_BYTES];
            frame[..4].copy_from_slice(&[0xff, 0xfb, 0x90, 0x00]);
            // Some are there at once, so that there soon is a playlist.
            let ahead = frame.repeat(100);
            radio.write_all(&ahead).expect("the node reads");
            while !stop.load(Ordering::SeqCst) {
                radio.write_all(&frame).expect("the node reads");
                std::thread::park_timeout(FRAME_TIME);
            }
        });
        Sources {
            _guarded: publish(node, GUARDED),
            _silent: publish(node, "/echo"),
            stopped,
            radio: Some(radio),
        }
    }

    /// What is asked for, and whether something comes of it at once.
    pub(crate) fn targets(node: &Node) -> Vec<(String, bool)> {
        let fixed = [
            ("/health", true),
            ("/api/silent", false),
            ("/api/endless", true),
            ("/api/big", true),
            ("/radio", true),
            ("/radio.m3u8", true),
            (GUARDED, false),
        ];
        let fixed = fixed.map(|(path, answered)| (path.to_owned(), answered));
        fixed.into_iter().chain([(blocked(node), false)]).collect()
    }

    pub(crate) fn end(mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let radio = self.radio.take().map(JoinHandle::join);
        radio.expect("once").expect("it plays to the end");
    }
}

/// A request for a playlist that waits for its next segment.
fn blocked(node: &Node) -> String {
    let get = |path: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        node.exchange(head.as_bytes())
    };
    let mut playlist = String::new();
    node.wait_until("a playlist with a segment", |_| {
        let list = get("/radio.m3u8");
        let is_name = |line: &&str| !line.starts_with('#') && line.contains(".m3u8");
        let name = list.lines().rev().find(is_name);
        playlist = name.map_or(String::new(), |name| format!("/{name}"));
        name.is_some() && get(&playlist).contains("#EXTINF")
    });
    let list = get(&playlist);
    let first = list
        .lines()
        .find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:"));
    let first: usize = first.map_or(0, |first| first.parse().expect("a number"));
    let next = first + list.matches("#EXTINF").count() + 1;
    let separator = if playlist.contains('?') { '&' } else { '?' };
    format!("{playlist}{separator}_HLS_msn={next}")
}

/// How a peer goes.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// Its machine closes what it has not read.
    Close,
    /// By a reset.
    Reset,
    /// It says that it sends no more, and goes then.
    Half,
}

/// A peer's end of a connection.
enum Peer {
    Plain(TcpStream),
    Secure(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Peer {
    fn connect(node: &Node, tls: Option<&Arc<ClientConfig>>) -> Self {
        let Some(tls) = tls else {
            return Peer::Plain(node.connect());
        };
        let name = "localhost".try_into().expect("a name");
        let client = ClientConnection::new(Arc::clone(tls), name).expect("a client");
        Peer::Secure(Box::new(StreamOwned::new(
            client,
            Node::connect_to(node.https),
        )))
    }

    /// Says `said`, hears something `reads` times, and goes. The node may have gone before.
    fn play(mut self, said: &[u8], reads: usize, cut: Cut) {
        let mut buf = [0; 4_096];
        let wire: &mut dyn Wire = match &mut self {
            Peer::Plain(tcp) => tcp,
            Peer::Secure(tls) => &mut **tls,
        };
        if wire.write_all(said).and_then(|()| wire.flush()).is_ok() {
            (0..reads).all(|_| matches!(wire.read(&mut buf), Ok(1..)));
        }
        let tcp = match &self {
            Peer::Plain(tcp) => tcp,
            Peer::Secure(tls) => &tls.sock,
        };
        match cut {
            Cut::Close => {}
            Cut::Reset => {
                let socket = socket2::SockRef::from(tcp);
                socket
                    .set_linger(Some(Duration::ZERO))
                    .expect("a good time");
            }
            Cut::Half => {
                let _ = tcp.shutdown(Shutdown::Write);
                std::thread::park_timeout(Duration::from_millis(2));
            }
        }
    }
}

trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

/// What is said, and how often something is heard before the cut.
fn scripts(targets: &[(String, bool)]) -> Vec<(String, usize)> {
    let host = "Host: test\r\n";
    let body = "x".repeat(30_000);
    let source = format!("{host}{AUTH}{OPAQUE}");
    let mut scripts: Vec<_> = targets
        .iter()
        .map(|(path, answered)| {
            let (name, value) = UNJUDGED;
            let login = if path == GUARDED {
                format!("{name}: {value}\r\n")
            } else {
                String::new()
            };
            let head = format!("GET {path} HTTP/1.1\r\n{host}{login}\r\n");
            (head, usize::from(*answered))
        })
        .collect();
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    scripts.extend([
        (
            format!("POST /api/a HTTP/1.1\r\n{host}Content-Length: 60000\r\n\r\n{body}"),
            0,
        ),
        (
            format!(
                "POST /api/a HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n7530\r\n{body}"
            ),
            0,
        ),
        (
            format!(
                "POST /api/a HTTP/1.1\r\n{host}Content-Length: 9\r\nExpect: 100-continue\r\n\r\n"
            ),
            1,
        ),
        (
            format!("GET /radio HTTP/1.1\r\n{host}\r\nGET /health HTTP/1.1\r\n{host}\r\n"),
            2,
        ),
        (format!("GET /echo HTTP/1.1\r\n{host}{upgrade}\r\n\u{1}"), 1),
        (
            format!("PUT /cut HTTP/1.1\r\n{source}Expect: 100-continue\r\n\r\n"),
            1,
        ),
        (
            format!(
                "PUT /cut HTTP/1.1\r\n{source}Transfer-Encoding: chunked\r\n\r\n7530\r\n{body}"
            ),
            0,
        ),
        (format!("PUT /radio HTTP/1.1\r\n{source}\r\n"), 1),
        (format!("SOURCE /other HTTP/1.0\r\n{source}\r\n{body}"), 1),
    ]);
    scripts
}

#[test]
fn of_peers_that_are_cut_off_nothing_stays() {
    std::thread::scope(|scope| {
        for backend in BACKENDS {
            scope.spawn(move || {
                let (credentials, tls) = self_signed();
                let mut node =
                    Node::start_with(backend, 3, settings(), Vec::new(), Some(credentials));
                let sources = Sources::start(&node);
                let mut places = (1u64..).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33);
                for (said, reads) in scripts(&Sources::targets(&node)) {
                    for (cut, tls) in [Cut::Close, Cut::Reset, Cut::Half]
                        .into_iter()
                        .flat_map(|cut| [(cut, None), (cut, Some(&tls))])
                    {
                        Peer::connect(&node, tls).play(said.as_bytes(), reads, cut);
                        let place = places.next().map_or(0, |place| place as usize % said.len());
                        Peer::connect(&node, tls).play(&said.as_bytes()[..place], 0, cut);
                    }
                }
                sources.end();
                node.end_empty();
            });
        }
    });
}
