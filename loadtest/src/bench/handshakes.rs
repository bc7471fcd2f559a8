//! TLS handshakes, one after the other on many connections, without a request.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rustls::HandshakeKind;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::task::JoinSet;

use super::drain::block_on;
use crate::clock::now_ns;
use crate::http::{Target, fault};
use crate::proc;
use crate::secure::{self, Stream, Tickets};

/// Handshakes at once.
const LANES: usize = 16;
/// Time that is not counted, at the beginning.
const WARM: Duration = Duration::from_millis(100);
/// The longest wait for a handshake.
const WAIT: Duration = Duration::from_secs(5);

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shaken {
    /// The server's CPU time per handshake, in microseconds.
    pub(super) cpu_us: f64,
    /// Handshakes per second.
    pub(super) rate: f64,
}

/// Shakes hands with the server of process `pid` for so long; with `resumes` by tickets.
pub(super) fn shake(
    target: &Target,
    pid: u32,
    window_ns: u64,
    resumes: bool,
) -> io::Result<Shaken> {
    block_on(async {
        let count = Rc::<Cell<u64>>::default();
        let mut shakers = JoinSet::new();
        for _ in 0..LANES {
            shakers.spawn_local(shaker(target.clone(), resumes, Rc::clone(&count)));
        }
        let measured = async {
            tokio::time::sleep(WARM).await;
            let (since_ns, cpu_ns, before) = (now_ns(), proc::cpu_ns(pid)?, count.get());
            tokio::time::sleep(Duration::from_nanos(window_ns)).await;
            let cpu_us = (proc::cpu_ns(pid)? - cpu_ns) as f64 / 1e3;
            let (count, seconds) = (count.get() - before, (now_ns() - since_ns) as f64 / 1e9);
            Ok(Shaken {
                cpu_us: cpu_us / count.max(1) as f64,
                rate: count as f64 / seconds,
            })
        };
        tokio::select! {
            measured = measured => measured,
            Some(ended) = shakers.join_next() => {
                let ended = ended.map_err(|error| fault(error.to_string()))?;
                Err(ended.err().unwrap_or_else(|| fault("a shaker ended")))
            }
        }
    })
}

async fn shaker(target: Target, resumes: bool, count: Rc<Cell<u64>>) -> io::Result<()> {
    let tickets = Arc::new(Tickets::new(resumes));
    let config = Arc::new(secure::client_config(b"http/1.1", &tickets)?);
    let mut wanted = HandshakeKind::Full;
    loop {
        let received = tickets.received();
        let once = async {
            let mut stream = secure::connect(target.address, &config).await?;
            let kind = stream.get_ref().1.handshake_kind();
            if kind != Some(wanted) {
                return Err(fault(format!("a handshake was {kind:?}, not {wanted:?}")));
            }
            // The server is done when it has sent its ticket.
            await_ticket(&mut stream, &tickets, received).await?;
            stream.shutdown().await
        };
        let done = tokio::time::timeout(WAIT, once).await;
        done.map_err(|_| fault("a handshake takes too long, or no ticket comes"))??;
        if resumes {
            wanted = HandshakeKind::Resumed;
        }
        count.set(count.get() + 1);
    }
}

/// Reads until one ticket more has come.
async fn await_ticket(stream: &mut Stream, tickets: &Tickets, received: u64) -> io::Result<()> {
    let mut byte = [0; 1];
    poll_fn(|context| {
        let mut room = ReadBuf::new(&mut byte);
        let read = Pin::new(&mut *stream).poll_read(context, &mut room);
        match read {
            Poll::Pending if tickets.received() > received => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => Poll::Ready(Err(fault("the server hung up"))),
        }
    })
    .await
}
