//! Many connections that wait for the next part's playlist, part after part.

use std::collections::{HashMap, HashSet};
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

/// What became of one question.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// One for each that asked.
    answers: Vec<Answer>,
    /// The different bodies, by their hash.
    bodies: HashMap<u64, Vec<u8>>,
}

impl Answers {
    /// Takes one answer with its body.
    pub(super) fn push(&mut self, asked_ns: u64, done_ns: u64, body: &[u8]) {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let hash = hasher.hash_one(body);
        self.answers.push(Answer {
            asked_ns,
            done_ns,
            body: hash,
        });
        self.bodies.entry(hash).or_insert_with(|| body.to_vec());
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.answers.len()
    }

    fn append(&mut self, other: Answers) {
        self.answers.extend(other.answers);
        self.bodies.extend(other.bodies);
    }
}

/// Some who wait on connections of one kind.
pub(super) trait Waiters {
    /// Lets all of them ask for this path.
    fn ask(&mut self, path: &str) -> io::Result<()>;
    /// Waits until all have their answers.
    fn answers(&mut self) -> io::Result<Answers>;
}

/// All who wait.
pub(super) struct Crowd {
    watched: Watched,
    groups: Vec<Box<dyn Waiters>>,
    edge: Edge,
}

impl Crowd {
    /// These groups, who wait for one rendition.
    pub(super) fn new(watched: &Watched, groups: Vec<Box<dyn Waiters>>) -> io::Result<Crowd> {
        let list = watched.now(&mut Client::new(&watched.target))?;
        Ok(Crowd {
            watched: watched.clone(),
            groups,
            edge: list.edge(),
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
        let path = self.watched.path_after(self.edge);
        for group in &mut self.groups {
            group.ask(&path)?;
        }
        waiting()?;
        let mut all = Answers::default();
        for group in &mut self.groups {
            all.append(group.answers()?);
        }
        // The latest that any of them has.
        let lists: io::Result<Vec<Playlist>> =
            all.bodies.values().map(|body| parse(body)).collect();
        let latest = lists?.into_iter().max_by_key(Playlist::edge);
        let round = Round {
            answers: all.answers,
            pictures: None,
        };
        Ok((round, latest.ok_or_else(|| fault("nobody asked"))?))
    }
}

/// Those on connections of their own, over HTTP/1.1.
#[derive(Debug)]
pub(super) struct Plain {
    host: String,
    poll: OwnedFd,
    exchanges: Vec<Exchange>,
    asked_ns: Vec<u64>,
    scratch: Vec<u8>,
}

impl Plain {
    /// Connects so many.
    pub(super) fn connect(target: &Target, connections: u32) -> io::Result<Plain> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut exchanges = Vec::new();
        for index in 0..u64::from(connections) {
            let exchange = Exchange::connect(target)?;
            let data = epoll::EventData::new_u64(index);
            epoll::add(&poll, &exchange, data, epoll::EventFlags::IN)?;
            exchanges.push(exchange);
        }
        Ok(Plain {
            host: target.host.clone(),
            poll,
            exchanges,
            asked_ns: Vec::new(),
            scratch: vec![0; SCRATCH_BYTES],
        })
    }
}

impl Waiters for Plain {
    fn ask(&mut self, path: &str) -> io::Result<()> {
        let request = request(&self.host, path);
        self.asked_ns.clear();
        for exchange in &mut self.exchanges {
            exchange.ask(request.as_bytes())?;
            self.asked_ns.push(now_ns());
        }
        Ok(())
    }

    fn answers(&mut self) -> io::Result<Answers> {
        let mut answers = Answers::default();
        let mut events = Vec::with_capacity(256);
        while answers.len() < self.exchanges.len() {
            let left = self.exchanges.len() - answers.len();
            events.clear();
            match epoll::wait(&self.poll, spare_capacity(&mut events), Some(&WAIT)) {
                Ok(0) => return Err(fault(format!("{left} requests are not answered"))),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let index = event.data.u64() as usize;
                let (Some(exchange), Some(&asked_ns)) =
                    (self.exchanges.get_mut(index), self.asked_ns.get(index))
                else {
                    continue;
                };
                let Some(head) = exchange.take(Body::Kept, &mut self.scratch)? else {
                    continue;
                };
                if head.status != 200 {
                    return Err(fault(format!("the server answers {head:?}")));
                }
                answers.push(asked_ns, now_ns(), exchange.body());
            }
        }
        Ok(answers)
    }
}

/// A request for a playlist that may be pressed.
pub(super) fn request(host: &str, path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: loadtest\r\n\
         Accept-Encoding: gzip\r\n\r\n"
    )
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
