//! A publisher: sends the deterministic stream to a mount, 20 ms of it at a time, in real time.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use crate::clock::{MS_NS, SECOND_NS, now_ns, sleep_until};
use crate::http::{HEAD_BYTES_MAX, Target, fault, parse_head};
use crate::stream::{RATE_BYTES, Stream};

/// Time between two writes.
const TICK_NS: u64 = 20 * MS_NS;
/// A server that answers or reads nothing for this long is given up.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How a source introduces itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// `SOURCE`, as old encoders do.
    Source,
    /// `PUT` with `Expect: 100-continue`.
    Put,
}

/// What a source is to do.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The mount.
    pub(crate) target: Target,
    /// `user:password`.
    pub(crate) credentials: String,
    /// How it introduces itself.
    pub(crate) method: Method,
    /// Which stream it sends.
    pub(crate) seed: u64,
    /// Time between two titles set through `/admin/metadata`; none for no titles.
    pub(crate) title_every: Option<Duration>,
}

/// What a source did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sent {
    /// Bytes written.
    pub(crate) bytes: u64,
    /// The latest tick, in microseconds: how busy this machine was.
    pub(crate) late_max_us: u64,
    /// The longest write, in microseconds: a source must never feel its listeners.
    pub(crate) blocked_max_us: u64,
    /// Titles that were set.
    pub(crate) titles: u64,
    /// Why it ended before it was told to, if it did.
    pub(crate) lost: Option<String>,
}

/// A source at work on its own thread.
#[derive(Debug)]
pub(crate) struct Source {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Sent>,
    titles: Option<JoinHandle<u64>>,
}

impl Source {
    /// Connects, waits until the server takes the source, and begins to send.
    pub(crate) fn start(settings: &Settings) -> io::Result<Source> {
        let socket = introduce(settings)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stream = Stream::new(settings.seed);
        let (of_thread, of_titles) = (Arc::clone(&stop), Arc::clone(&stop));
        let thread = std::thread::spawn(move || send(socket, stream, &of_thread));
        let titles = settings.title_every.map(|every| {
            let settings = settings.clone();
            std::thread::spawn(move || set_titles(&settings, every, &of_titles))
        });
        Ok(Source {
            stop,
            thread,
            titles,
        })
    }

    /// Whether the source is still sending.
    pub(crate) fn is_sending(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Ends the stream and tells what was sent.
    pub(crate) fn stop(self) -> io::Result<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        let mut sent = self
            .thread
            .join()
            .map_err(|_| fault("the source panicked"))?;
        if let Some(titles) = self.titles {
            sent.titles = titles.join().map_err(|_| fault("the titles panicked"))?;
        }
        Ok(sent)
    }
}

/// Connects and does the hand-shake of the method.
fn introduce(settings: &Settings) -> io::Result<TcpStream> {
    let mut socket = TcpStream::connect_timeout(&settings.target.address, TIMEOUT)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.set_write_timeout(Some(TIMEOUT))?;
    let (path, host) = (&settings.target.path, &settings.target.host);
    let first = match settings.method {
        Method::Source => format!("SOURCE {path} HTTP/1.0\r\n"),
        Method::Put => format!("PUT {path} HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\n"),
    };
    let auth = authorization(&settings.credentials);
    let request = format!(
        "{first}{auth}Content-Type: audio/mpeg\r\nUser-Agent: loadtest\r\nice-name: loadtest\r\n\
         ice-public: 0\r\nice-bitrate: 128\r\nice-audio-info: bitrate=128;samplerate=44100\r\n\r\n"
    );
    socket.write_all(request.as_bytes())?;
    match read_status(&mut socket)? {
        100 | 200 => Ok(socket),
        status => Err(fault(format!(
            "the server refuses the source with status {status}"
        ))),
    }
}

fn authorization(credentials: &str) -> String {
    format!(
        "Authorization: Basic {}\r\n",
        BASE64_STANDARD.encode(credentials)
    )
}

/// Reads one response head and gives its status.
fn read_status(socket: &mut TcpStream) -> io::Result<u16> {
    let mut head = Vec::with_capacity(256);
    let mut byte = [0_u8; 1];
    // One byte at a time: what follows the head is not ours.
    while head.len() <= HEAD_BYTES_MAX {
        if socket.read(&mut byte)? == 0 {
            return Err(fault("the server hung up on the source"));
        }
        head.extend(byte);
        if let Some(head) = parse_head(&head)? {
            return Ok(head.status);
        }
    }
    Err(fault("the response head is too long"))
}

/// Sends in ticks until told to stop or the server is gone.
fn send(mut socket: TcpStream, stream: Stream, stop: &AtomicBool) -> Sent {
    let mut sent = Sent::default();
    let started_ns = now_ns();
    let mut bytes = Vec::new();
    let mut tick = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        let due_ns = started_ns + tick * TICK_NS;
        sleep_until(due_ns);
        let now = now_ns();
        sent.late_max_us = sent.late_max_us.max(now.saturating_sub(due_ns) / 1_000);
        let to = (now - started_ns + TICK_NS) / 1_000 * RATE_BYTES / 1_000_000;
        bytes.clear();
        stream.write_range(sent.bytes, to, &mut bytes);
        if let Err(error) = socket.write_all(&bytes) {
            sent.lost = Some(error.to_string());
            return sent;
        }
        sent.blocked_max_us = sent.blocked_max_us.max((now_ns() - now) / 1_000);
        sent.bytes = to;
        tick = (now - started_ns) / TICK_NS + 1;
    }
    // The server sees the end anyway when the socket closes.
    let _ = socket.shutdown(Shutdown::Write);
    sent
}

/// Sets a new title again and again; gives how many were taken.
fn set_titles(settings: &Settings, every: Duration, stop: &AtomicBool) -> u64 {
    let mut taken = 0;
    let mut count = 0_u64;
    let every_ns = u64::try_from(every.as_nanos()).unwrap_or(SECOND_NS);
    let mut next_ns = now_ns();
    while !stop.load(Ordering::Relaxed) {
        if now_ns() < next_ns {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        }
        next_ns += every_ns;
        count += 1;
        taken += u64::from(set_title(settings, count).is_ok_and(|status| status == 200));
    }
    taken
}

fn set_title(settings: &Settings, count: u64) -> io::Result<u16> {
    let mut socket = TcpStream::connect_timeout(&settings.target.address, TIMEOUT)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    let (path, host) = (&settings.target.path, &settings.target.host);
    let auth = authorization(&settings.credentials);
    let request = format!(
        "GET /admin/metadata?mount={path}&mode=updinfo&charset=UTF-8&song=Caf%C3%A9+Ol%C3%A9\
         +-+Title+{count} HTTP/1.0\r\nHost: {host}\r\nUser-Agent: loadtest\r\n{auth}\r\n"
    );
    socket.write_all(request.as_bytes())?;
    read_status(&mut socket)
}
