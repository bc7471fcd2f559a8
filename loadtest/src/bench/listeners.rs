//! Listeners of a radio stream over TLS: what each costs the server's memory and CPU.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::SEED;
use super::drain::block_on;
use crate::clock::{SECOND_NS, now_ns};
use crate::http::{Target, fault, parse_head};
use crate::icy::Stripper;
use crate::proc;
use crate::secure::{self, Tickets};
use crate::stream::Stream;
use crate::verify::{Findings, Verifier};

/// Joins at once, and the pause behind them.
const JOINS: u32 = 8;
const JOIN_PAUSE: Duration = Duration::from_millis(8);
/// Time for all to have sound.
const JOIN_NS_MAX: u64 = 30 * SECOND_NS;
/// Time between the joins and the window.
const WARM: Duration = Duration::from_secs(3);
/// Listeners whose every byte is compared.
const COMPARED: u32 = 4;
/// Room for what one read brings.
const READ_BYTES: usize = 16 * 1_024;

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    /// Resident memory of the whole server at the end, and of its own.
    pub(super) rss_bytes: u64,
    pub(super) anon_bytes: u64,
    /// The server's CPU time per GB of sound, in seconds.
    pub(super) cpu_s_per_gb: f64,
    /// Share of real time at which sound came.
    pub(super) of_real_time: f64,
    /// Wrong bytes, gaps and listeners that were lost.
    pub(super) faults: u64,
}

/// What all listeners tell.
#[derive(Debug, Default)]
struct Heard {
    served: Cell<u32>,
    lost: Cell<u64>,
    bytes: Cell<u64>,
    ends: Cell<bool>,
    findings: RefCell<Findings>,
}

/// Lets so many listen for so long to the server of process `pid`.
pub(super) fn hold(target: &Target, count: u32, pid: u32, window_ns: u64) -> io::Result<Held> {
    let config = Arc::new(secure::client_config(
        b"http/1.1",
        &Arc::new(Tickets::new(false)),
    )?);
    block_on(async {
        let heard = Rc::<Heard>::default();
        let mut listeners = JoinSet::new();
        for number in 0..count {
            let compared = number < COMPARED;
            let (target, config) = (target.clone(), Arc::clone(&config));
            listeners.spawn_local(join(target, config, compared, Rc::clone(&heard)));
            if number % JOINS == 0 {
                tokio::time::sleep(JOIN_PAUSE).await;
            }
        }
        let deadline_ns = now_ns() + JOIN_NS_MAX;
        while heard.served.get() < count {
            if now_ns() > deadline_ns || heard.lost.get() > 0 {
                let served = heard.served.get();
                return Err(fault(format!("{served} of {count} listeners have sound")));
            }
            tokio::time::sleep(JOIN_PAUSE).await;
        }
        tokio::time::sleep(WARM).await;
        let (since_ns, cpu_ns, before) = (now_ns(), proc::cpu_ns(pid)?, heard.bytes.get());
        tokio::time::sleep(Duration::from_nanos(window_ns)).await;
        let cpu_s = (proc::cpu_ns(pid)? - cpu_ns) as f64 / 1e9;
        let bytes = (heard.bytes.get() - before) as f64;
        let seconds = (now_ns() - since_ns) as f64 / 1e9;
        let memory = proc::memory(pid)?;
        heard.ends.set(true);
        while listeners.join_next().await.is_some() {}
        let findings = heard.findings.borrow();
        let bad = u64::from(!findings.bytes_right()) + u64::from(findings.streams == 0);
        Ok(Held {
            rss_bytes: memory.rss_bytes,
            anon_bytes: memory.anon_bytes,
            cpu_s_per_gb: cpu_s / (bytes / 1e9),
            of_real_time: bytes / seconds / (f64::from(count) * crate::stream::RATE_BYTES as f64),
            faults: heard.lost.get() + bad,
        })
    })
}

async fn join(target: Target, config: Arc<ClientConfig>, compared: bool, heard: Rc<Heard>) {
    if listen(&target, &config, compared, &heard).await.is_err() {
        heard.lost.set(heard.lost.get() + 1);
    }
}

async fn listen(
    target: &Target,
    config: &Arc<ClientConfig>,
    compared: bool,
    heard: &Heard,
) -> io::Result<()> {
    let mut stream = secure::connect(target.address, config).await?;
    stream.write_all(&target.listen_request(true)).await?;
    let mut bytes = Vec::with_capacity(READ_BYTES);
    let head = loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(fault("the server hung up"));
        }
        if let Some(head) = parse_head(&bytes)? {
            break head;
        }
    };
    let metaint = head.metaint.ok_or_else(|| fault("no metadata"))?;
    bytes.drain(..head.len);
    heard.served.set(heard.served.get() + 1);
    let mut check = compared.then(|| (Stripper::new(metaint), Verifier::new(Stream::new(SEED))));
    loop {
        heard.bytes.set(heard.bytes.get() + bytes.len() as u64);
        if let Some((stripper, verifier)) = &mut check {
            stripper.push(&bytes, |sound| verifier.push(sound));
        }
        if heard.ends.get() {
            break;
        }
        bytes.clear();
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(fault("the server hung up"));
        }
    }
    if let Some((_, verifier)) = check {
        heard.findings.borrow_mut().add(&verifier.finish());
    }
    Ok(())
}
