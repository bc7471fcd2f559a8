//! A source of our own: plays [`mpeg`](super::mpeg) frames in real time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::http::{self, Answer};
use super::mpeg;
use super::server::{SOURCE_PASSWORD, Server};

/// What a [`Station`] says its name is.
pub(crate) const NAME: &str = "Radio of the tests";

/// Opens `mount` for a source: the connection, and what the server said. `headers` are whole lines;
/// a type other than MP3 stands among them.
pub(crate) fn open(address: SocketAddr, mount: &str, headers: &str) -> (TcpStream, Answer) {
    let authorization = http::basic("source", SOURCE_PASSWORD);
    let content_type = if headers.contains("Content-Type: ") {
        ""
    } else {
        "Content-Type: audio/mpeg\r\n"
    };
    let request = format!(
        "PUT {mount} HTTP/1.1\r\nHost: test\r\n{authorization}Expect: 100-continue\r\n\
         {content_type}{headers}\r\n"
    );
    let mut stream = http::connect(address).expect("the server takes connections");
    stream.write_all(request.as_bytes()).expect("a head fits");
    let mut answer = http::read_head(&mut stream).expect("the server answers");
    if answer.status == 100 {
        let after = std::mem::take(&mut answer.body);
        answer =
            http::read_head(&mut after.as_slice().chain(&mut stream)).expect("the server goes on");
    }
    (stream, answer)
}

/// Plays numbered frames to one mount on a thread of its own until it is dropped.
pub(crate) struct Station {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    socket: TcpStream,
    player: Option<JoinHandle<()>>,
}

impl Station {
    /// In real time, from frame 0.
    pub(crate) fn play(server: &Server, mount: &str) -> Self {
        Station::play_at(server, mount, 0, 1.0)
    }

    /// From frame `first`, at `speed` times real time.
    pub(crate) fn play_at(server: &Server, mount: &str, first: u64, speed: f64) -> Self {
        Station::play_to(server.address(), mount, first, speed)
    }

    /// As [`Station::play_at`], to any server.
    pub(crate) fn play_to(address: SocketAddr, mount: &str, first: u64, speed: f64) -> Self {
        let headers = format!("Ice-Name: {NAME}\r\n");
        let (socket, answer) = open(address, mount, &headers);
        assert_eq!(answer.status, 200, "{mount}: {}", answer.status_line);
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(first));
        let mut stream = socket.try_clone().expect("a socket can be shared");
        let (stopped, so_far) = (Arc::clone(&stop), Arc::clone(&sent));
        let player = std::thread::spawn(move || {
            let began = Instant::now();
            let mut next = first;
            while !stopped.load(Ordering::Relaxed) {
                let played = began.elapsed().as_secs_f64() * speed * mpeg::FRAMES_PER_S;
                let until = first + played as u64 + 1;
                if stream.write_all(&mpeg::frames(next..until)).is_err() {
                    return;
                }
                next = next.max(until);
                so_far.store(next, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Station {
            stop,
            sent,
            socket,
            player: Some(player),
        }
    }

    /// The number of the next frame.
    pub(crate) fn next_frame(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Whether the server still takes frames.
    pub(crate) fn is_playing(&self) -> bool {
        self.player
            .as_ref()
            .is_some_and(|player| !player.is_finished())
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        if let Some(player) = self.player.take() {
            let _ = player.join();
        }
    }
}
