//! A crowd: one process with many listeners. The run's conductor tells it what to do by JSON lines
//! on its standard input and hears from it by JSON lines on its standard output.

mod engine;
mod slot;

pub(crate) use slot::start_connect;

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::sync::mpsc;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::http::{Target, fault};
use crate::icy::Blocks;
use crate::verify::Findings;

/// What a crowd is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Where the server listens.
    pub(crate) address: SocketAddr,
    /// Host and port for the request.
    pub(crate) host: String,
    /// The mount's path.
    pub(crate) path: String,
    /// Seed of the source's stream.
    pub(crate) seed: u64,
    /// Which crowd this is: decides the address that it connects from.
    pub(crate) index: u8,
    /// Listeners at once, all tempers together.
    pub(crate) listeners: u32,
    /// Joins per second; 0 is all at once.
    pub(crate) ramp_per_s: u32,
    /// Time after which those who were not served count as unserved.
    pub(crate) join_ms_max: u64,
    /// Time between two looks at a socket.
    pub(crate) scan_ms: u64,
    /// How many in a hundred ask for ICY metadata.
    pub(crate) icy_percent: u8,
    /// Listeners whose every byte is compared.
    pub(crate) sample: u32,
    /// Listeners that read too slowly.
    pub(crate) slow: u32,
    /// How fast those read, in hundredths of the stream's rate.
    pub(crate) slow_percent: u8,
    /// Listeners that never read after their first bytes.
    pub(crate) dead: u32,
    /// Leaves and joins per second.
    pub(crate) churn_per_s: u32,
    /// Connections per second that end in a reset before or after their request.
    pub(crate) resets_per_s: u32,
    /// Silence that counts as a stall.
    pub(crate) stall_ms: u64,
}

impl Plan {
    /// A hundred plain listeners of `target`, four of them compared.
    pub(crate) fn plain(target: &Target) -> Plan {
        Plan {
            address: target.address,
            host: target.host.clone(),
            path: target.path.clone(),
            seed: 1,
            index: 0,
            listeners: 100,
            ramp_per_s: 0,
            join_ms_max: 30_000,
            scan_ms: 100,
            icy_percent: 100,
            sample: 4,
            slow: 0,
            slow_percent: 50,
            dead: 0,
            churn_per_s: 0,
            resets_per_s: 0,
            stall_ms: 3_000,
        }
    }

    /// The mount that the plan points at.
    pub(crate) fn target(&self) -> Target {
        Target {
            address: self.address,
            host: self.host.clone(),
            path: self.path.clone(),
        }
    }
}

/// What the conductor says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Begin to join.
    Start(Box<Plan>),
    /// Count between these two times of the monotonic clock.
    Window {
        /// Begin.
        start_ns: u64,
        /// End.
        end_ns: u64,
    },
    /// Hang up and exit.
    Quit,
}

/// What a crowd says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Note {
    /// How far it is.
    Progress {
        /// Listeners that have audio now.
        served: u32,
        /// Body bytes so far.
        bytes: u64,
    },
    /// Everybody is served, or the time for it is over.
    Joined(Joins),
    /// The window is over; the listeners are still connected.
    Done(Box<Tally>),
}

/// How the first joins went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Joins {
    /// Listeners that got audio.
    pub(crate) served: u32,
    /// Listeners that got none in time.
    pub(crate) unserved: u32,
    /// First connect to the last first byte, for those served.
    pub(crate) all_served_ns: u64,
}

impl Joins {
    /// Adds another crowd's joins, which ran at the same time.
    pub(crate) fn add(&mut self, other: &Joins) {
        self.served += other.served;
        self.unserved += other.unserved;
        self.all_served_ns = self.all_served_ns.max(other.all_served_ns);
    }
}

/// What a crowd counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Listeners that had audio at the window's end.
    pub(crate) served: u32,
    /// Listener-nanoseconds inside the window: served listeners times time.
    pub(crate) listener_ns: u64,
    /// Body bytes inside the window.
    pub(crate) window_bytes: u64,
    /// Looks at a socket that found bytes, inside the window.
    pub(crate) receipts: u64,
    /// Body bytes of the whole run.
    pub(crate) bytes: u64,
    /// Joins that were answered by something other than 200.
    pub(crate) refused: u64,
    /// Joins that failed before an answer.
    pub(crate) failed: u64,
    /// Listeners that the server hung up on while they read well.
    pub(crate) hung_up: u64,
    /// Slow listeners that the server hung up on.
    pub(crate) slow_dropped: u64,
    /// Listeners that left to make room for another.
    pub(crate) left: u64,
    /// Connections that were reset on purpose.
    pub(crate) resets: u64,
    /// Silences longer than `stall_ms` inside the window.
    pub(crate) stalls: u64,
    /// Connect to first audio byte, in microseconds.
    pub(crate) join_us: Counts,
    /// Longest silence of each listener inside the window, in microseconds.
    pub(crate) gap_us: Counts,
    /// How long a player that starts at its first byte would have been silent, in microseconds.
    pub(crate) underrun_us: Counts,
    /// What the verified listeners that read well heard.
    pub(crate) findings: Findings,
    /// What the slow listeners heard: gaps are theirs to have.
    pub(crate) slow_findings: Findings,
    /// Metadata blocks of the verified listeners.
    pub(crate) blocks: Blocks,
}

impl Tally {
    /// Adds another crowd's tally of the same window.
    pub(crate) fn add(&mut self, other: &Tally) {
        self.served += other.served;
        self.listener_ns += other.listener_ns;
        self.window_bytes += other.window_bytes;
        self.receipts += other.receipts;
        self.bytes += other.bytes;
        self.refused += other.refused;
        self.failed += other.failed;
        self.hung_up += other.hung_up;
        self.slow_dropped += other.slow_dropped;
        self.left += other.left;
        self.resets += other.resets;
        self.stalls += other.stalls;
        self.join_us.0.extend(&other.join_us.0);
        self.gap_us.0.extend(&other.gap_us.0);
        self.underrun_us.0.extend(&other.underrun_us.0);
        self.findings.add(&other.findings);
        self.slow_findings.add(&other.slow_findings);
        self.blocks.add(&other.blocks);
    }

    /// Whether every byte that was compared is right.
    pub(crate) const fn bytes_right(&self) -> bool {
        self.findings.flawless() && self.slow_findings.bytes_right() && self.blocks.malformed == 0
    }
}

/// A histogram as it travels between processes: values and how often each was seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counts(pub(crate) Vec<(u64, u64)>);

impl Counts {
    /// What `histogram` holds.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let seen = histogram.iter_recorded();
        Counts(
            seen.map(|step| (step.value_iterated_to(), step.count_at_value()))
                .collect(),
        )
    }

    /// The histogram again.
    pub(crate) fn histogram(&self) -> Histogram<u64> {
        let mut histogram = new_histogram();
        for &(value, count) in &self.0 {
            histogram.saturating_record_n(value, count);
        }
        histogram
    }
}

/// A histogram of microseconds up to an hour, exact to three digits.
pub(crate) fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("the bounds are in order")
}

/// Runs a crowd until the conductor tells it to quit or goes away.
pub(crate) fn run() -> io::Result<()> {
    let (send, orders) = mpsc::channel();
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let order = line.and_then(|line| {
                serde_json::from_str(&line).map_err(|error| fault(format!("read order: {error}")))
            });
            if send.send(order.unwrap_or(Order::Quit)).is_err() {
                return;
            }
        }
    });
    match orders.recv() {
        Ok(Order::Start(plan)) => engine::Engine::new(*plan, orders, Box::new(tell))?.run(),
        _ => Err(fault("a crowd begins with its plan")),
    }
}

/// Writes one note to the conductor.
fn tell(note: &Note) -> io::Result<()> {
    let mut line = serde_json::to_vec(note).map_err(io::Error::from)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}

#[cfg(test)]
mod tests;
