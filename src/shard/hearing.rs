//! Steady listeners that may talk: who hears them.
//!
//! One task of a shard hears them all. It looks where the kernel or a stream says that something
//! came, and takes a little from each; between two looks it rests, so that those who never stop
//! talking cost no more than their share.

use std::cell::OnceCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use corecast_media::name::SessionId;
use monoio::time::Instant;
use rustc_hash::FxHashSet;

use crate::driver::Shard;
use crate::net::ReaderSocket;
use crate::net::ears::Ears;
use crate::net::websocket::Talker;

/// How long the others have between two looks, at least.
const REST: Duration = Duration::from_millis(2);

/// The longest that they have, where a look took long because the machine did.
const REST_MAX: Duration = Duration::from_millis(50);

/// How many times as long as it took to hear: however many talk without an end, they have a
/// quarter of a shard.
const RESTS_PER_WORK: u32 = 3;

/// Sessions heard in one look.
const HEARS_MAX: usize = 128;

/// The ears of a shard, once somebody needs them. Lives on: its shard.
#[derive(Default)]
pub(crate) struct Hearing(OnceCell<Rc<Ears>>);

impl Hearing {
    fn ears(&self) -> io::Result<Rc<Ears>> {
        if let Some(ears) = self.0.get() {
            return Ok(Rc::clone(ears));
        }
        let ears = Rc::new(Ears::new()?);
        Ok(Rc::clone(self.0.get_or_init(|| ears)))
    }
}

/// Lets the peer of `session` talk WebSocket on `socket`, where `said` came already.
///
/// # Errors
/// The socket, where nobody could hear it.
pub(crate) fn listen(
    shard: &Shard,
    session: SessionId,
    socket: ReaderSocket,
    said: Bytes,
) -> Result<ReaderSocket, ReaderSocket> {
    let Ok(ears) = shard.hearing.ears() else {
        return Err(socket);
    };
    if let ReaderSocket::Link(link) = &socket
        && ears.watch(link, session).is_err()
    {
        return Err(socket);
    }
    // There may be more where the descriptor says nothing: decrypted, or in the stream.
    ears.ring(session);
    let talker = Talker::new(socket, said, ears.bell(session));
    Ok(ReaderSocket::Talker(Box::new(talker)))
}

/// Hears whoever talks for ever.
///
/// # Errors
/// No descriptor is left for the look, or it cannot be waited for.
pub(crate) async fn run(shard: &Rc<Shard>) -> io::Result<()> {
    let ears = shard.hearing.ears()?;
    let (mut told, mut turns) = (Vec::new(), Turns::default());
    loop {
        ears.look(&mut told)?;
        told.drain(..).for_each(|session| turns.add(session));
        if turns.waiting.is_empty() {
            ears.wait(&mut told).await?;
            continue;
        }
        let began = Instant::now();
        for session in turns.pop_some() {
            if shard.with_hub(|hub, now| hub.hear(now, session)) {
                turns.add(session);
            }
        }
        let rest = began.elapsed().saturating_mul(RESTS_PER_WORK);
        monoio::time::sleep(rest.clamp(REST, REST_MAX)).await;
    }
}

/// Who is to be heard, in turn: each once, however often it is said that he talks.
#[derive(Default)]
struct Turns {
    waiting: VecDeque<SessionId>,
    known: FxHashSet<SessionId>,
}

impl Turns {
    /// `session` is to be heard after all who wait.
    fn add(&mut self, session: SessionId) {
        if self.known.insert(session) {
            self.waiting.push_back(session);
        }
    }

    /// Those who are heard in one look.
    fn pop_some(&mut self) -> Vec<SessionId> {
        let count = self.waiting.len().min(HEARS_MAX);
        let some: Vec<SessionId> = self.waiting.drain(..count).collect();
        for session in &some {
            self.known.remove(session);
        }
        some
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_talks_without_an_end_waits_once_and_behind_the_others() {
        let mut turns = Turns::default();
        let [loud, late] = [1, 2].map(SessionId::from_u64);
        for _ in 0..1_000 {
            // The kernel says again that he talks before all of it is heard.
            turns.add(loud);
            turns.add(loud);
            assert_eq!(turns.pop_some(), [loud]);
            turns.add(loud);
        }
        turns.add(late);
        assert_eq!(turns.pop_some(), [loud, late]);
        assert!(turns.known.is_empty() && turns.pop_some().is_empty());
    }

    #[test]
    fn a_look_hears_no_more_than_some() {
        let mut turns = Turns::default();
        let all: Vec<SessionId> = (0..300).map(SessionId::from_u64).collect();
        all.iter().for_each(|session| turns.add(*session));
        let heard: Vec<Vec<SessionId>> = (0..3).map(|_| turns.pop_some()).collect();
        assert_eq!(heard.concat(), all);
        assert!(heard.iter().all(|some| some.len() <= HEARS_MAX));
    }
}
