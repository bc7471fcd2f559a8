//! Many connections that wait for the next part's playlist, part after part.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::mpsc;

use flate2::read::GzDecoder;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use super::exchange::{Body, Exchange};
use super::playlist::{Watched, good, last_part};
use crate::clock::now_ns;
use crate::hls::client::Client;
use crate::hls::playlist::{Edge, Playlist};
use crate::http::{Target, fault};
use crate::video::film::{Stamp, stamps};

/// The longest silence.
const WAIT: Timespec = Timespec {
    tv_sec: 10,
    tv_nsec: 0,
};
/// Room for an answer.
const SCRATCH_BYTES: usize = 64 * 1_024;

/// One request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// When it was sent.
    pub(super) asked_ns: u64,
    /// When the last byte of the answer was there.
    pub(super) done_ns: u64,
    /// The hash of the answer's body.
    body: u64,
}

/// How one part's playlist came to all who waited.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// One for each connection.
    pub(super) answers: Vec<Answer>,
    /// The part's first and last picture; none if it could not be fetched.
    pub(super) pictures: Option<(Stamp, Stamp)>,
}

/// All connections.
#[derive(Debug)]
pub(super) struct Crowd {
    watched: Watched,
    poll: OwnedFd,
    exchanges: Vec<Exchange>,
    edge: Edge,
    scratch: Vec<u8>,
}

impl Crowd {
    /// Connects so many to one rendition.
    pub(super) fn connect(watched: &Watched, connections: u32) -> io::Result<Crowd> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut exchanges = Vec::new();
        for index in 0..u64::from(connections) {
            let exchange = Exchange::connect(&watched.target)?;
            let data = epoll::EventData::new_u64(index);
            epoll::add(&poll, &exchange, data, epoll::EventFlags::IN)?;
            exchanges.push(exchange);
        }
        let list = watched.now(&mut Client::new(&watched.target))?;
        Ok(Crowd {
            watched: watched.clone(),
            poll,
            exchanges,
            edge: list.edge(),
            scratch: vec![0; SCRATCH_BYTES],
        })
    }

    /// Waits for so many parts; between two parts it calls `waiting` once all have asked.
    pub(super) fn wait_parts(
        &mut self,
        parts: u32,
        mut waiting: impl FnMut() -> io::Result<()>,
    ) -> io::Result<Vec<Round>> {
        let (send, uris) = mpsc::channel::<String>();
        let target = self.watched.target.clone();
        let fetcher = std::thread::spawn(move || fetch(&target, &uris));
        let mut rounds = Vec::new();
        for _ in 0..parts {
            let (round, list) = self.wait_part(&mut waiting)?;
            self.edge = list.edge();
            let uri = last_part(&list).ok_or_else(|| fault("a playlist has no parts"))?;
            // It takes all until it is told that there are no more.
            let _ = send.send(self.watched.resolve(uri));
            rounds.push(round);
        }
        drop(send);
        let pictures = fetcher
            .join()
            .map_err(|_| fault("who fetches panicked"))??;
        for (round, pictures) in rounds.iter_mut().zip(pictures) {
            round.pictures = pictures;
        }
        Ok(rounds)
    }

    fn wait_part(
        &mut self,
        waiting: &mut impl FnMut() -> io::Result<()>,
    ) -> io::Result<(Round, Playlist)> {
        let host = &self.watched.target.host;
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: loadtest\r\n\
             Accept-Encoding: gzip\r\n\r\n",
            self.watched.path_after(self.edge)
        );
        let mut round = Round::default();
        for exchange in &mut self.exchanges {
            exchange.ask(request.as_bytes())?;
            round.answers.push(Answer {
                asked_ns: now_ns(),
                ..Answer::default()
            });
        }
        waiting()?;
        let list = self.take_answers(&mut round)?;
        Ok((round, list))
    }

    fn take_answers(&mut self, round: &mut Round) -> io::Result<Playlist> {
        let mut hashes = HashSet::new();
        let mut left = self.exchanges.len();
        let mut list = None;
        let mut events = Vec::with_capacity(256);
        while left > 0 {
            events.clear();
            match epoll::wait(&self.poll, spare_capacity(&mut events), Some(&WAIT)) {
                Ok(0) => return Err(fault(format!("{left} requests are not answered"))),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let index = event.data.u64() as usize;
                let (Some(exchange), Some(answer)) =
                    (self.exchanges.get_mut(index), round.answers.get_mut(index))
                else {
                    continue;
                };
                let Some(head) = exchange.take(Body::Kept, &mut self.scratch)? else {
                    continue;
                };
                answer.done_ns = now_ns();
                left -= 1;
                if head.status != 200 {
                    return Err(fault(format!("the server answers {head:?}")));
                }
                let hasher = BuildHasherDefault::<DefaultHasher>::default();
                answer.body = hasher.hash_one(exchange.body());
                if hashes.insert(answer.body) {
                    // The latest that any of them has.
                    list = Some(parse(exchange.body())?);
                }
            }
        }
        list.ok_or_else(|| fault("nobody asked"))
    }
}

fn parse(body: &[u8]) -> io::Result<Playlist> {
    let mut text = String::new();
    GzDecoder::new(body).read_to_string(&mut text)?;
    Ok(Playlist::parse(&text))
}

/// The first and the last picture of each part; none for one that is not there any more.
fn fetch(
    target: &Target,
    paths: &mpsc::Receiver<String>,
) -> io::Result<Vec<Option<(Stamp, Stamp)>>> {
    let mut client = Client::new(target);
    let mut found = Vec::new();
    for path in paths {
        let answer = good(client.get(&path)?);
        found.push(answer.ok().and_then(|answer| pictures(&answer.body)));
    }
    Ok(found)
}

/// The first and the last picture in a fragment.
pub(super) fn pictures(fragment: &[u8]) -> Option<(Stamp, Stamp)> {
    let mut all = stamps(fragment);
    let first = all.next()?;
    Some((first, all.last().unwrap_or(first)))
}

/// How long after its part was complete each answer was there, in nanoseconds, and how many asked
/// when it was complete already (those count from when they asked).
///
/// Complete is a part when the picture after it is sent: how long its last picture lasts is not
/// known before. That is taken from the first picture of the part that follows.
pub(super) fn delays(rounds: &[Round]) -> (Vec<u64>, u64) {
    let (mut delays, mut late) = (Vec::new(), 0);
    for (answers, complete_ns) in completed(rounds) {
        for answer in answers {
            late += u64::from(answer.asked_ns > complete_ns);
            delays.push(
                answer
                    .done_ns
                    .saturating_sub(answer.asked_ns.max(complete_ns)),
            );
        }
    }
    (delays, late)
}

/// The most different bodies that answered one question of those who waited for the part: who
/// asks when the next one is there as well gets a playlist with both.
pub(super) fn different_bodies(rounds: &[Round]) -> usize {
    let different = |(answers, complete_ns): (&[Answer], u64)| {
        let waited = answers
            .iter()
            .filter(|answer| answer.asked_ns <= complete_ns);
        waited
            .map(|answer| answer.body)
            .collect::<HashSet<_>>()
            .len()
    };
    completed(rounds).map(different).max().unwrap_or(usize::MAX)
}

/// The answers of each part, and when it was complete; parts of which that is not known are left
/// out.
fn completed(rounds: &[Round]) -> impl Iterator<Item = (&[Answer], u64)> {
    rounds.windows(2).filter_map(|pair| {
        let [round, next] = pair else { return None };
        let ((_, last), (follower, _)) = (round.pictures?, next.pictures?);
        (follower.number == last.number + 1).then_some((&round.answers[..], follower.sent_ns))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(first: u64, last: u64, answers: &[(u64, u64, u64)]) -> Round {
        let stamp = |number| Stamp {
            number,
            sent_ns: number * 100,
        };
        let answers = answers.iter().map(|&(asked_ns, done_ns, body)| Answer {
            asked_ns,
            done_ns,
            body,
        });
        Round {
            answers: answers.collect(),
            pictures: Some((stamp(first), stamp(last))),
        }
    }

    #[test]
    fn delays_count_from_the_picture_that_completes_the_part() {
        let rounds = [
            round(0, 5, &[(10, 650, 1), (620, 680, 2)]),
            round(6, 11, &[(700, 1_250, 1)]),
            round(13, 18, &[(1_300, 2_000, 1)]),
            Round::default(),
        ];
        // The second part is followed by a hole, the third by nothing known.
        assert_eq!(delays(&rounds), (vec![50, 60], 1));
    }

    #[test]
    fn only_who_waited_must_get_the_same() {
        let follower = round(6, 11, &[]);
        let same = [round(0, 5, &[(10, 650, 1), (620, 680, 2)]), follower];
        assert_eq!(different_bodies(&same), 1);
        let follower = round(6, 11, &[]);
        let other = [round(0, 5, &[(10, 650, 1), (600, 680, 2)]), follower];
        assert_eq!(different_bodies(&other), 2);
        assert_eq!(
            different_bodies(&[]),
            usize::MAX,
            "nothing known is no pass"
        );
    }
}
