//! Publishes a film over RTMP, each unit at its time.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use corecast_protocol::rtmp::{ClientEvent, ClientSession, MediaKind, Purpose, Url};

use super::film::{Film, Kind, Stamp};
use crate::clock::{MS_NS, now_ns, sleep_until};
use crate::http::fault;
use crate::stream::mix;

/// A server that answers or reads nothing for this long is given up.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of one read of what the server says.
const READ_BYTES: usize = 4_096;

/// What a publisher did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    /// The latest unit, in microseconds: how busy this machine was.
    pub(crate) late_max_us: u64,
    /// Why it ended before it was told to, if it did.
    pub(crate) lost: Option<String>,
}

/// A publisher at work on its own thread.
#[derive(Debug)]
pub(crate) struct Publisher {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Sent>,
}

impl Publisher {
    /// Connects, waits until the server takes the stream, and begins to send.
    pub(crate) fn start(address: SocketAddr, url: &str, film: Film) -> io::Result<Publisher> {
        let url = Url::parse(url).map_err(fault)?;
        let mut link = Link::connect(address, &url)?;
        let stop = Arc::new(AtomicBool::new(false));
        let of_thread = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut sent = Sent::default();
            if let Err(error) = link.play(film, &of_thread, &mut sent) {
                sent.lost = Some(error.to_string());
            }
            sent
        });
        Ok(Publisher { stop, thread })
    }

    /// Ends the stream and tells what was sent.
    pub(crate) fn stop(self) -> io::Result<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.thread.join();
        let sent = sent.map_err(|_| fault("the publisher panicked"))?;
        match sent.lost {
            Some(lost) => Err(fault(format!("the publisher was lost: {lost}"))),
            None => Ok(sent),
        }
    }
}

/// The connection.
struct Link {
    socket: TcpStream,
    session: ClientSession,
}

impl Link {
    fn connect(address: SocketAddr, url: &Url) -> io::Result<Link> {
        let socket = TcpStream::connect_timeout(&address, TIMEOUT)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        socket.set_write_timeout(Some(TIMEOUT))?;
        let mut random = [0; 32];
        for (at, chunk) in random.chunks_mut(8).enumerate() {
            chunk.copy_from_slice(&mix(now_ns() + at as u64).to_le_bytes());
        }
        let session = ClientSession::new(Purpose::Publish, url, "loadtest", random);
        let mut link = Link { socket, session };
        loop {
            link.flush()?;
            link.read()?;
            match link.session.poll_event() {
                Some(ClientEvent::Ready) => return Ok(link),
                Some(other) => return Err(fault(format!("the server answers {other:?}"))),
                None => {}
            }
        }
    }

    /// Sends in real time until told to stop.
    fn play(&mut self, film: Film, stop: &AtomicBool, sent: &mut Sent) -> io::Result<()> {
        let mut body = Vec::new();
        for kind in [Kind::Picture, Kind::Sound] {
            if kind == Kind::Picture || film.has_sound {
                self.send(kind, 0, &Film::config_body(kind))?;
            }
        }
        self.socket.set_nonblocking(true)?;
        let started_ns = now_ns();
        let (mut pictures, mut sounds) = (0, 0);
        while !stop.load(Ordering::Relaxed) {
            let picture_ns = film.due_ns(Kind::Picture, pictures);
            let sound_ns = film.due_ns(Kind::Sound, sounds);
            let (kind, number, due_ns) = if film.has_sound && sound_ns < picture_ns {
                (Kind::Sound, &mut sounds, sound_ns)
            } else {
                (Kind::Picture, &mut pictures, picture_ns)
            };
            sleep_until(started_ns + due_ns);
            let sent_ns = now_ns();
            let late_us = sent_ns.saturating_sub(started_ns + due_ns) / 1_000;
            sent.late_max_us = sent.late_max_us.max(late_us);
            let stamp = Stamp {
                number: *number,
                sent_ns,
            };
            *number += 1;
            film.write_body(kind, stamp, &mut body);
            self.send(kind, due_ns / MS_NS, &body)?;
            self.listen()?;
        }
        self.session.finish();
        self.flush()
    }

    fn send(&mut self, kind: Kind, time_ms: u64, body: &[u8]) -> io::Result<()> {
        let kind = match kind {
            Kind::Picture => MediaKind::Video,
            Kind::Sound => MediaKind::Audio,
        };
        self.session.send_media(kind, time_ms as u32, &[body]);
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        let deadline_ns = now_ns() + TIMEOUT.as_nanos() as u64;
        while let Some(bytes) = self.session.poll_transmit() {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                match self.socket.write(rest) {
                    Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                    Err(error) if is_later(&error) && now_ns() < deadline_ns => {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Hears what the server has said meanwhile.
    fn listen(&mut self) -> io::Result<()> {
        match self.read() {
            Ok(()) => {}
            Err(error) if is_later(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
        while let Some(event) = self.session.poll_event() {
            if let ClientEvent::Ended { code, .. } = event {
                return Err(fault(code));
            }
        }
        self.flush()
    }

    fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0; READ_BYTES];
        let count = self.socket.read(&mut buffer)?;
        let bytes = buffer.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            return Err(fault("the server hung up on the publisher"));
        }
        let taken = self.session.handle_input(Bytes::copy_from_slice(bytes));
        taken.map_err(|bad| fault(bad.to_string()))
    }
}

/// Whether it is only not yet possible.
fn is_later(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
