//! Many good listeners on one thread, each of which must hear every byte.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use corecast_protocol::icy::deinterleave::{Deinterleaver, Piece};

use super::harness::{http, mpeg, wait_for};
use super::peers;

/// How often the crowd looks at its sockets.
const LOOK: Duration = Duration::from_millis(40);

/// How long a whole crowd may take to join.
const JOIN_LIMIT: Duration = Duration::from_secs(20);

/// Listeners that read all they can get; every second one asks for titles.
pub(super) struct Crowd {
    stopped: Arc<AtomicBool>,
    /// Those that got bytes, and those whose connection ended.
    heads: Arc<AtomicUsize>,
    gone: Arc<AtomicUsize>,
    count: usize,
    reader: JoinHandle<Vec<Member>>,
}

/// One listener and all that it got.
pub(super) struct Member {
    stream: TcpStream,
    bytes: Vec<u8>,
    /// How the connection ended, if it did.
    end: Option<End>,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// In good order.
    Closed,
    /// With a reset.
    Reset,
}

/// What a listener heard in the end.
pub(super) struct Heard {
    /// The audio, titles taken out.
    pub(super) audio: Vec<u8>,
    /// How the connection ended, if it did.
    pub(super) end: Option<End>,
}

impl Crowd {
    /// `count` listeners of `mount`; returns when each has its head.
    pub(super) fn join(address: SocketAddr, mount: &str, count: usize) -> Self {
        peers::raise_open_files();
        let mut members = Vec::with_capacity(count);
        for index in 0..count {
            let titles = if index % 2 == 0 {
                "Icy-MetaData: 1\r\n"
            } else {
                ""
            };
            let request = format!("GET {mount} HTTP/1.1\r\nHost: test\r\n{titles}\r\n");
            let stream = peers::say(address, request.as_bytes());
            stream.set_nonblocking(true).expect("a socket can be so");
            members.push(Member {
                stream,
                bytes: Vec::new(),
                end: None,
            });
        }
        let stopped = Arc::new(AtomicBool::new(false));
        let (heads, gone) = (Arc::default(), Arc::default());
        let reader = {
            let (stopped, heads, gone) =
                (Arc::clone(&stopped), Arc::clone(&heads), Arc::clone(&gone));
            std::thread::spawn(move || read_all(members, &stopped, &heads, &gone))
        };
        let crowd = Crowd {
            stopped,
            heads,
            gone,
            count,
            reader,
        };
        wait_for("the crowd has joined", JOIN_LIMIT, || {
            (crowd.heads.load(Ordering::Relaxed) == count).then_some(())
        });
        crowd
    }

    /// Those whose connection the server has ended.
    pub(super) fn gone(&self) -> usize {
        self.gone.load(Ordering::Relaxed)
    }

    /// Waits until the server has ended every connection.
    pub(super) fn wait_gone(&self, limit: Duration) {
        wait_for("every listener was ended", limit, || {
            (self.gone() == self.count).then_some(())
        });
    }

    /// Stops listening; what each heard, in no order. Heads that are no 200 fail the test.
    pub(super) fn leave(self) -> Vec<Heard> {
        self.stopped.store(true, Ordering::Relaxed);
        let members = self.reader.join().expect("the crowd's thread is fine");
        members.into_iter().map(Member::heard).collect()
    }
}

fn read_all(
    mut members: Vec<Member>,
    stopped: &AtomicBool,
    heads: &AtomicUsize,
    gone: &AtomicUsize,
) -> Vec<Member> {
    let mut piece = vec![0; 256 * 1024];
    while !stopped.load(Ordering::Relaxed) {
        for member in members.iter_mut().filter(|member| member.end.is_none()) {
            let waited = member.bytes.is_empty();
            member.read(&mut piece);
            if waited && !member.bytes.is_empty() {
                heads.fetch_add(1, Ordering::Relaxed);
            }
            if member.end.is_some() {
                gone.fetch_add(1, Ordering::Relaxed);
            }
        }
        std::thread::sleep(LOOK);
    }
    members
}

impl Member {
    fn read(&mut self, piece: &mut [u8]) {
        loop {
            match self.stream.read(piece) {
                Ok(0) => self.end = Some(End::Closed),
                Ok(n) => {
                    self.bytes.extend_from_slice(&piece[..n]);
                    continue;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => self.end = Some(End::Reset),
            }
            return;
        }
    }

    fn heard(self) -> Heard {
        let mut rest = self.bytes.as_slice();
        let answer = http::read_head(&mut rest).expect("a whole head came");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let metaint = answer.header("icy-metaint");
        let mut body = answer.body.clone();
        body.extend_from_slice(rest);
        let audio = match metaint {
            None => body,
            Some(metaint) => without_titles(metaint, body),
        };
        Heard {
            audio,
            end: self.end,
        }
    }
}

fn without_titles(metaint: &str, body: Vec<u8>) -> Vec<u8> {
    let metaint: NonZeroU32 = metaint.parse().expect("icy-metaint is a number");
    let mut deinterleaver = Deinterleaver::new(metaint);
    let mut audio = Vec::with_capacity(body.len());
    let mut body = Bytes::from(body);
    while let Some(piece) = deinterleaver.decode(&mut body) {
        if let Piece::Audio(bytes) = piece {
            audio.extend_from_slice(&bytes);
        }
    }
    audio
}

/// Checks that each heard the station's frames from some frame on, every byte and nothing else,
/// for `seconds` at least. `played` is how far the station came.
pub(super) fn assert_exact(heard: &[Heard], played: u64, seconds: u64) {
    assert!(!heard.is_empty());
    let first_of = |heard: &Heard| {
        let start = &heard.audio[..heard.audio.len().min(2_000)];
        let frames = mpeg::read(start).expect("it starts with whole frames");
        *frames.frames.first().expect("it heard a frame")
    };
    let earliest = heard.iter().map(first_of).min().unwrap_or_default();
    let all = mpeg::frames(earliest..played);
    for (index, heard) in heard.iter().enumerate() {
        let at = (mpeg::frame_start(first_of(heard)) - mpeg::frame_start(earliest)) as usize;
        let expected = all.get(at..at + heard.audio.len());
        let expected = expected.unwrap_or_else(|| panic!("listener {index} heard the future"));
        if heard.audio != expected {
            let wrong = expected
                .iter()
                .zip(&heard.audio)
                .position(|(a, b)| a != b)
                .unwrap_or_default();
            panic!("listener {index}: byte {wrong} is wrong");
        }
        let enough = seconds * mpeg::BYTES_PER_S;
        assert!(
            heard.audio.len() as u64 >= enough,
            "listener {index} heard {} bytes of {enough}",
            heard.audio.len()
        );
    }
}
