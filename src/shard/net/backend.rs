//! Which I/O engine works here.

use std::fmt;
use std::future::Future;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use corecast_config::Backend;
use monoio::io::AsyncReadRent;
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

/// Entries of the submission ring, and events taken from epoll at once. Small, so that one turn
/// of a busy shard stays short: all that one look brings in is served before the next look.
const ENTRIES: u32 = 256;

/// How long the probe's accept and receive may take.
const PROBE_MAX: Duration = Duration::from_secs(3);

/// The engine that the shards run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolvedBackend {
    /// io_uring.
    IoUring,
    /// epoll.
    Epoll,
}

impl fmt::Display for ResolvedBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ResolvedBackend::IoUring => "io_uring",
            ResolvedBackend::Epoll => "epoll",
        })
    }
}

impl ResolvedBackend {
    /// Runs `future` on a runtime of this engine, on this thread.
    ///
    /// # Errors
    /// The engine cannot be set up.
    pub(crate) fn block_on<F: Future>(self, future: F) -> io::Result<F::Output> {
        match self {
            ResolvedBackend::IoUring => RuntimeBuilder::<IoUringDriver>::new()
                .with_entries(ENTRIES)
                .enable_timer()
                .build()
                .map(|mut runtime| runtime.block_on(future)),
            ResolvedBackend::Epoll => RuntimeBuilder::<LegacyDriver>::new()
                .with_entries(ENTRIES)
                .enable_timer()
                .build()
                .map(|mut runtime| runtime.block_on(future)),
        }
    }
}

/// Chooses the engine: sets up a ring and does an accept and a receive through it, under the
/// rules that hold for this process. Where epoll is chosen because io_uring does not work, the
/// reason comes with it.
///
/// # Errors
/// io_uring is demanded and does not work: why.
pub fn probe_backend(wanted: Backend) -> Result<(ResolvedBackend, Option<String>), String> {
    if wanted == Backend::Epoll {
        return Ok((ResolvedBackend::Epoll, None));
    }
    match (probe_io_uring(), wanted) {
        (Ok(()), _) => Ok((ResolvedBackend::IoUring, None)),
        (Err(reason), Backend::IoUring) => Err(format!("io_uring does not work here: {reason}")),
        (Err(reason), _) => Ok((ResolvedBackend::Epoll, Some(reason))),
    }
}

fn probe_io_uring() -> Result<(), String> {
    let (report, outcome) = mpsc::channel();
    std::thread::Builder::new()
        .name("uring-probe".into())
        .spawn(move || {
            // The receiver may have given up.
            let _ = report.send(accept_and_receive());
        })
        .map_err(|error| format!("no thread for the probe: {error}"))?;
    outcome
        .recv_timeout(PROBE_MAX)
        .unwrap_or_else(|_| Err(format!("no completion within {} s", PROBE_MAX.as_secs())))
}

fn accept_and_receive() -> Result<(), String> {
    let step = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(step("bind loopback"))?;
    let address = listener.local_addr().map_err(step("read own address"))?;
    let mut peer = TcpStream::connect(address).map_err(step("connect to loopback"))?;
    peer.write_all(b"corecast")
        .map_err(step("write to loopback"))?;
    let outcome = ResolvedBackend::IoUring.block_on(async move {
        let listener =
            monoio::net::TcpListener::from_std(listener).map_err(step("watch listener"))?;
        listener.readable(false).await.map_err(step("poll"))?;
        let (mut stream, _) = listener.accept().await.map_err(step("accept"))?;
        let (received, buffer) = stream.read(Vec::with_capacity(16)).await;
        received.map_err(step("receive"))?;
        monoio::time::sleep(Duration::from_millis(1)).await;
        let whole = buffer == b"corecast";
        whole
            .then_some(())
            .ok_or_else(|| "receive: wrong bytes".to_owned())
    });
    outcome.map_err(step("set up a ring"))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epoll_is_taken_without_a_look_and_io_uring_after_one() {
        assert_eq!(
            probe_backend(Backend::Epoll),
            Ok((ResolvedBackend::Epoll, None))
        );
        match probe_backend(Backend::Auto) {
            Ok((ResolvedBackend::IoUring, None)) => {
                let demanded = probe_backend(Backend::IoUring);
                assert_eq!(demanded, Ok((ResolvedBackend::IoUring, None)));
            }
            Ok((ResolvedBackend::Epoll, Some(reason))) => {
                assert!(!reason.is_empty());
                assert!(probe_backend(Backend::IoUring).is_err());
            }
            other => panic!("{other:?}"),
        }
    }
}
