//! A player of HTTP-FLV that compares every byte and notes how old each unit is when it comes.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::film::{Film, Kind, Stamp};
use super::flv::Tags;
use crate::clock::now_ns;
use crate::crowd::new_histogram;
use crate::http::{Target, fault, parse_head};

/// A server that sends nothing for this long is given up.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of one read.
const READ_BYTES: usize = 256 * 1_024;

/// What a player saw.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Units that were right and in their place.
    pub(crate) units: u64,
    /// Units that are not what was sent, came again or in a wrong order.
    pub(crate) wrong: u64,
    /// Units that are missing between others.
    pub(crate) lost: u64,
    /// Sending to arrival of what was sent after the player came, in microseconds.
    pub(crate) age_us: Histogram<u64>,
}

impl Seen {
    fn new() -> Seen {
        Seen {
            units: 0,
            wrong: 0,
            lost: 0,
            age_us: new_histogram(),
        }
    }

    /// Faults of any kind; one where nothing was seen at all.
    pub(crate) fn faults(&self) -> u64 {
        self.wrong + self.lost + u64::from(self.units == 0)
    }
}

/// Judges one stream of units.
#[derive(Debug)]
struct Judge {
    film: Film,
    /// The numbers that come next.
    next: [Option<u64>; 2],
    joined_ns: u64,
    seen: Seen,
}

impl Judge {
    fn new(film: Film, joined_ns: u64) -> Judge {
        Judge {
            film,
            next: [None; 2],
            joined_ns,
            seen: Seen::new(),
        }
    }

    fn take(&mut self, kind: Kind, body: &[u8], now: u64) {
        let Stamp { number, sent_ns } = match self.film.read_body(kind, body) {
            Ok(Some(stamp)) => stamp,
            Ok(None) => return,
            Err(()) => {
                self.seen.wrong += 1;
                return;
            }
        };
        let next = &mut self.next[usize::from(kind == Kind::Sound)];
        let expected = next.unwrap_or(number);
        *next = Some(number + 1);
        if number < expected {
            self.seen.wrong += 1;
            return;
        }
        self.seen.lost += number - expected;
        self.seen.units += 1;
        if sent_ns > self.joined_ns {
            self.seen
                .age_us
                .saturating_record(now.saturating_sub(sent_ns) / 1_000);
        }
    }
}

/// A player at work on its own thread.
#[derive(Debug)]
pub(crate) struct Player {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Seen>>,
}

impl Player {
    /// Connects to the mount's FLV and begins to read.
    pub(crate) fn start(target: &Target, film: Film) -> io::Result<Player> {
        let mut socket = TcpStream::connect_timeout(&target.address, TIMEOUT)?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        socket.write_all(&target.listen_request(false))?;
        let stop = Arc::new(AtomicBool::new(false));
        let of_thread = Arc::clone(&stop);
        let thread = std::thread::spawn(move || view(socket, film, &of_thread));
        Ok(Player { stop, thread })
    }

    /// Ends and tells what was seen.
    pub(crate) fn stop(self) -> io::Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.thread.join();
        seen.map_err(|_| fault("a player panicked"))?
    }
}

fn view(mut socket: TcpStream, film: Film, stop: &AtomicBool) -> io::Result<Seen> {
    let mut judge = Judge::new(film, now_ns());
    let (mut tags, mut head) = (Tags::default(), Vec::new());
    let mut buffer = vec![0; READ_BYTES];
    let mut answered = false;
    while !stop.load(Ordering::Relaxed) {
        let count = socket.read(&mut buffer)?;
        let now = now_ns();
        let mut bytes = buffer.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            return Err(fault("the server hung up on a player"));
        }
        let first;
        if !answered {
            head.extend_from_slice(bytes);
            let Some(found) = parse_head(&head)? else {
                continue;
            };
            if found.status != 200 {
                return Err(fault(format!("a player got status {}", found.status)));
            }
            answered = true;
            first = head.split_off(found.len);
            bytes = &first;
        }
        tags.push(bytes, |kind, body| judge.take(kind, body, now))?;
    }
    Ok(judge.seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_repeats_and_wrong_bytes_are_told_apart() {
        let film = Film::new(1, 650_000, 30, 60, true);
        let mut judge = Judge::new(film, 50);
        let mut body = Vec::new();
        let mut take = |number, sent_ns, flip: u8| {
            film.write_body(Kind::Picture, Stamp { number, sent_ns }, &mut body);
            if let Some(last) = body.last_mut() {
                *last ^= flip;
            }
            judge.take(Kind::Picture, &body, 5_100);
        };
        take(60, 10, 0);
        take(61, 100, 0);
        take(64, 100, 0);
        take(63, 100, 0);
        take(64, 100, 2);
        let seen = &judge.seen;
        assert_eq!((seen.units, seen.lost, seen.wrong), (3, 2, 2));
        assert_eq!(seen.age_us.len(), 2, "the first was sent before it came");
        assert_eq!(seen.age_us.max(), 5);
        assert_eq!(seen.faults(), 4);
        assert_eq!(Seen::new().faults(), 1);
    }
}
