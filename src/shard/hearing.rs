//! Steady listeners that may talk: who hears them.
//!
//! One task of a shard hears them all. It looks where the kernel or a stream says that something
//! came, and takes a little from each; between two looks it rests, so that nobody who never stops
//! talking costs more than his share.

use std::cell::OnceCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use corecast_media::name::SessionId;

use crate::driver::Shard;
use crate::net::ReaderSocket;
use crate::net::ears::Ears;
use crate::net::websocket::Talker;

/// How long the others have between two looks.
const REST: Duration = Duration::from_millis(2);

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
    let mut told = Vec::new();
    loop {
        ears.look(&mut told)?;
        if told.is_empty() {
            ears.wait(&mut told).await?;
            continue;
        }
        let rest = told.split_off(told.len().min(HEARS_MAX));
        let mut again = Vec::new();
        for session in told {
            if shard.with_hub(|hub, now| hub.hear(now, session)) {
                again.push(session);
            }
        }
        // Who waited goes first.
        told = rest;
        told.append(&mut again);
        monoio::time::sleep(REST).await;
    }
}
