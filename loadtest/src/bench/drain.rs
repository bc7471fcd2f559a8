//! Connections that ask for bodies as fast as a server sends them, over TLS, HTTP/2 or HTTP/3, and
//! what that costs the server. Every byte is compared.

pub(super) mod h2;
pub(super) mod h3;
pub(super) mod tls;

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::{JoinSet, LocalSet};

use crate::clock::{SECOND_NS, now_ns};
use crate::http::{Target, fault};
use crate::proc;

/// Bytes after which a connection is warm.
const WARM_BYTES: u64 = 1 << 20;
/// Time for all connections to become warm.
const WARM_NS_MAX: u64 = 20 * SECOND_NS;
/// Time between two looks whether they are.
const LOOK: Duration = Duration::from_millis(2);

/// A body and its path.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) body: Bytes,
}

/// What to ask, of whom and for how long.
#[derive(Clone, Debug)]
pub(super) struct Order {
    /// Where the server listens; the path is not used.
    pub(super) target: Target,
    /// What is asked for, one after the other, again and again.
    pub(super) files: Vec<File>,
    /// Connections, and requests at once on each.
    pub(super) connections: usize,
    pub(super) streams: usize,
    /// The server's process.
    pub(super) pid: u32,
    /// Time that is counted, once all connections are warm.
    pub(super) window_ns: u64,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drained {
    /// The server's CPU time per GB of bodies, in seconds.
    pub(super) cpu_s_per_gb: f64,
    /// GB per second.
    pub(super) gb_per_s: f64,
    /// Bytes of a packet as they came on average; only of HTTP/3.
    pub(super) packet_bytes: f64,
}

/// How far all connections are.
#[derive(Debug, Default)]
pub(super) struct Progress {
    asked: Cell<usize>,
    bytes: Cell<u64>,
}

impl Progress {
    /// The file to ask for next.
    fn next_file<'a>(&self, order: &'a Order) -> io::Result<&'a File> {
        let asked = self.asked.replace(self.asked.get() + 1);
        let file = order.files.get(asked % order.files.len().max(1));
        file.ok_or_else(|| fault("nothing to ask for"))
    }

    /// Compares what came of a file at `at`; says where the next byte belongs.
    fn compare(&self, file: &File, at: usize, came: &[u8]) -> io::Result<usize> {
        let end = at + came.len();
        if file.body.get(at..end) != Some(came) {
            return Err(fault(format!("wrong bytes in {} behind {at}", file.path)));
        }
        self.bytes.set(self.bytes.get() + came.len() as u64);
        Ok(end)
    }
}

/// Measures between two looks at the progress and at the server.
#[derive(Debug)]
struct Meter {
    since_ns: u64,
    cpu_ns: u64,
    bytes: u64,
}

impl Meter {
    fn start(order: &Order, bytes: u64) -> io::Result<Meter> {
        Ok(Meter {
            since_ns: now_ns(),
            cpu_ns: proc::cpu_ns(order.pid)?,
            bytes,
        })
    }

    fn stop(&self, order: &Order, bytes: u64) -> io::Result<Drained> {
        let now_ns = now_ns();
        let cpu_ns = proc::cpu_ns(order.pid)?.saturating_sub(self.cpu_ns);
        let gb = bytes.saturating_sub(self.bytes) as f64 / 1e9;
        if gb == 0.0 {
            return Err(fault("the server is silent"));
        }
        Ok(Drained {
            cpu_s_per_gb: cpu_ns as f64 / 1e9 / gb,
            gb_per_s: gb / ((now_ns - self.since_ns) as f64 / 1e9),
            packet_bytes: 0.0,
        })
    }
}

/// Runs one task for each connection and measures what they get.
fn measure<L>(order: &Order, fetcher: impl Fn(Rc<Progress>) -> L) -> io::Result<Drained>
where
    L: Future<Output = io::Result<()>> + 'static,
{
    block_on(async {
        let mut fetchers = JoinSet::new();
        let progress: Vec<Rc<Progress>> = (0..order.connections)
            .map(|_| Rc::<Progress>::default())
            .collect();
        for progress in &progress {
            fetchers.spawn_local(fetcher(Rc::clone(progress)));
        }
        let bytes = || progress.iter().map(|fetcher| fetcher.bytes.get()).sum();
        let measured = async {
            let deadline_ns = now_ns() + WARM_NS_MAX;
            while progress
                .iter()
                .any(|fetcher| fetcher.bytes.get() < WARM_BYTES)
            {
                if now_ns() > deadline_ns {
                    return Err(fault("the server does not serve all connections"));
                }
                tokio::time::sleep(LOOK).await;
            }
            let meter = Meter::start(order, bytes())?;
            tokio::time::sleep(Duration::from_nanos(order.window_ns)).await;
            meter.stop(order, bytes())
        };
        tokio::select! {
            measured = measured => measured,
            Some(ended) = fetchers.join_next() => Err(match ended {
                Ok(Err(error)) => error,
                Ok(Ok(())) => fault("a connection ended"),
                Err(error) => fault(error.to_string()),
            }),
        }
    })
}

/// Runs futures of one thread to the end of this one.
pub(super) fn block_on<T>(future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, future)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(body: &'static [u8]) -> File {
        File {
            path: "/a".to_owned(),
            body: Bytes::from_static(body),
        }
    }

    #[test]
    fn every_byte_is_compared() {
        let progress = Progress::default();
        let file = file(b"abcd");
        assert_eq!(progress.compare(&file, 0, b"abc").expect("good bytes"), 3);
        assert_eq!(progress.compare(&file, 3, b"d").expect("good bytes"), 4);
        assert!(progress.compare(&file, 0, b"b").is_err());
        assert!(progress.compare(&file, 4, b"e").is_err(), "too long");
        assert_eq!(progress.bytes.get(), 4);
    }
}
