//! Conducts one run: starts the source and the crowds, waits for the joins, opens the window and
//! reads the server's figures at its edges.

use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Deserialize, Serialize};

use crate::clock::{MS_NS, now_ns, sleep_until};
use crate::crowd::{Joins, Note, Order, Plan, Tally};
use crate::http::fault;
use crate::proc::{self, Memory};
use crate::source::{self, Sent, Source};

/// Open files that a crowd needs besides its listeners.
const SPARE_FILES: u64 = 512;
/// Time past a deadline after which a crowd is given up.
const GRACE_MS: u64 = 20_000;

/// What a run is.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// What the crowds do all together.
    pub(crate) plan: Plan,
    /// Crowd processes; 0 takes as few as the open-file limit allows.
    pub(crate) processes: u32,
    /// Time that the source is heard by nobody: after it a mount has its burst.
    pub(crate) lead_ms: u64,
    /// Time between the joins and the window.
    pub(crate) warm_ms: u64,
    /// Length of the window.
    pub(crate) window_ms: u64,
    /// The source, if the run brings its own.
    pub(crate) source: Option<source::Settings>,
    /// The server's process, if its use of the machine is to be measured.
    pub(crate) server_pid: Option<u32>,
}

/// What the server used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// CPU time inside the window.
    pub(crate) cpu_ns: u64,
    /// Memory at the window's end, everybody still listening.
    pub(crate) memory: Memory,
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// The first joins.
    pub(crate) joins: Joins,
    /// What the crowds counted.
    pub(crate) tally: Tally,
    /// What the source did, if there was one.
    pub(crate) sent: Option<Sent>,
    /// What the server used, if that was asked.
    pub(crate) usage: Option<Usage>,
    /// Length of the window as measured.
    pub(crate) window_ns: u64,
    /// CPU time of everything that is neither the server nor this run, inside the window.
    pub(crate) others_cpu_ns: u64,
}

impl Outcome {
    /// Whether everybody heard the right bytes for as long as they wanted to.
    pub(crate) fn is_good(&self) -> bool {
        let source_lasted = self.sent.as_ref().is_none_or(|sent| sent.lost.is_none());
        let served = self.joins.unserved == 0 && self.tally.hung_up == 0;
        self.tally.bytes_right() && served && source_lasted
    }
}

/// A crowd process.
struct Crowd {
    child: Child,
    orders: ChildStdin,
}

impl Crowd {
    fn start(index: usize, plan: Plan, notes: Sender<(usize, Note)>) -> io::Result<Crowd> {
        let mut command = Command::new(proc::THIS_PROGRAM);
        command
            .arg("crowd")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let orders = child
            .stdin
            .take()
            .ok_or_else(|| fault("a crowd has no input"))?;
        let output = child
            .stdout
            .take()
            .ok_or_else(|| fault("a crowd has no output"))?;
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { return };
                let Ok(note) = serde_json::from_str(&line) else {
                    return;
                };
                if notes.send((index, note)).is_err() {
                    return;
                }
            }
        });
        let mut crowd = Crowd { child, orders };
        crowd.order(&Order::Start(Box::new(plan)))?;
        Ok(crowd)
    }

    fn order(&mut self, order: &Order) -> io::Result<()> {
        let mut line = serde_json::to_vec(order).map_err(io::Error::from)?;
        line.push(b'\n');
        self.orders.write_all(&line)
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // A crowd that is gone already needs no order.
        let _ = self.order(&Order::Quit);
        if self.child.wait().is_err() {
            let _ = self.child.kill();
        }
    }
}

/// Runs it all. The progress bar is drawn only where standard error is a terminal.
pub(crate) fn conduct(settings: &Settings) -> io::Result<Outcome> {
    let source = settings.source.as_ref().map(Source::start).transpose()?;
    if source.is_some() {
        sleep_until(now_ns() + settings.lead_ms * MS_NS);
    }
    let (send, notes) = mpsc::channel();
    let plans = split_plan(&settings.plan, settings.processes)?;
    let mut crowds = Vec::new();
    for (index, plan) in plans.into_iter().enumerate() {
        crowds.push(Crowd::start(index, plan, send.clone())?);
    }
    drop(send);
    let mut score = Score::new(settings, notes, crowds.len());
    score.await_joins(settings.plan.join_ms_max)?;

    let start_ns = now_ns() + settings.warm_ms * MS_NS;
    let end_ns = start_ns + settings.window_ms * MS_NS;
    for crowd in &mut crowds {
        crowd.order(&Order::Window { start_ns, end_ns })?;
    }
    score.bar.set_message("warm-up");
    let ours: Vec<u32> = crowds
        .iter()
        .map(Crowd::pid)
        .chain([std::process::id()])
        .collect();
    sleep_until(start_ns);
    let before = Reading::take(settings.server_pid, &ours)?;
    score.bar.set_message("window");
    score.watch_until(end_ns);
    let after = Reading::take(settings.server_pid, &ours)?;
    score.await_tallies()?;
    let memory = settings.server_pid.map(proc::memory).transpose()?;
    drop(crowds);
    score.bar.finish_and_clear();
    let sent = source.map(Source::stop).transpose()?;
    Ok(Outcome {
        joins: score.joins,
        tally: score.tally,
        sent,
        usage: memory.map(|memory| Usage {
            cpu_ns: after.server_ns - before.server_ns,
            memory,
        }),
        window_ns: after.at_ns - before.at_ns,
        others_cpu_ns: after.others_ns().saturating_sub(before.others_ns()),
    })
}

/// CPU times at one moment.
struct Reading {
    at_ns: u64,
    server_ns: u64,
    ours_ns: u64,
    busy_ns: u64,
}

impl Reading {
    fn take(server: Option<u32>, ours: &[u32]) -> io::Result<Reading> {
        let server_ns = server.map(proc::cpu_ns).transpose()?.unwrap_or(0);
        let at_ns = now_ns();
        let ours_ns = ours.iter().map(|&pid| proc::cpu_ns(pid).unwrap_or(0)).sum();
        Ok(Reading {
            at_ns,
            server_ns,
            ours_ns,
            busy_ns: proc::busy_ns(),
        })
    }

    const fn others_ns(&self) -> u64 {
        self.busy_ns.saturating_sub(self.server_ns + self.ours_ns)
    }
}

/// Collects the crowds' notes.
struct Score {
    notes: Receiver<(usize, Note)>,
    crowds: usize,
    served: Vec<u32>,
    bytes: Vec<u64>,
    joins: Joins,
    joined: usize,
    tally: Tally,
    done: usize,
    bar: ProgressBar,
}

impl Score {
    fn new(settings: &Settings, notes: Receiver<(usize, Note)>, crowds: usize) -> Score {
        let listeners = Some(u64::from(settings.plan.listeners));
        let bar = ProgressBar::with_draw_target(listeners, draw_target());
        let style = ProgressStyle::with_template("{msg:9} {wide_bar} {pos}/{len} listeners");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message("joins");
        Score {
            notes,
            crowds,
            served: vec![0; crowds],
            bytes: vec![0; crowds],
            joins: Joins::default(),
            joined: 0,
            tally: Tally::default(),
            done: 0,
            bar,
        }
    }

    fn await_joins(&mut self, join_ms_max: u64) -> io::Result<()> {
        let deadline_ns = now_ns() + (join_ms_max + GRACE_MS) * MS_NS;
        while self.joined < self.crowds {
            self.take_note(deadline_ns)?;
        }
        Ok(())
    }

    fn await_tallies(&mut self) -> io::Result<()> {
        let deadline_ns = now_ns() + GRACE_MS * MS_NS;
        while self.done < self.crowds {
            self.take_note(deadline_ns)?;
        }
        Ok(())
    }

    /// Draws progress until the clock says `end_ns`.
    fn watch_until(&mut self, end_ns: u64) {
        while now_ns() < end_ns {
            if self.take_note(end_ns).is_err() {
                sleep_until(end_ns);
            }
        }
    }

    fn take_note(&mut self, deadline_ns: u64) -> io::Result<()> {
        let wait = Duration::from_nanos(deadline_ns.saturating_sub(now_ns()));
        let (index, note) = match self.notes.recv_timeout(wait) {
            Ok(told) => told,
            Err(RecvTimeoutError::Timeout) => return Err(fault("a crowd is silent")),
            Err(RecvTimeoutError::Disconnected) => return Err(fault("a crowd has died")),
        };
        match note {
            Note::Progress { served, bytes } => {
                if let (Some(known), Some(sum)) =
                    (self.served.get_mut(index), self.bytes.get_mut(index))
                {
                    (*known, *sum) = (served, bytes);
                }
                self.bar
                    .set_position(self.served.iter().map(|&served| u64::from(served)).sum());
            }
            Note::Joined(joins) => {
                self.joins.add(&joins);
                self.joined += 1;
            }
            Note::Done(tally) => {
                self.tally.add(&tally);
                self.done += 1;
            }
        }
        Ok(())
    }
}

/// Standard error, where that is a terminal.
pub(crate) fn draw_target() -> ProgressDrawTarget {
    match io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    }
}

/// Splits a plan over as many processes as asked, or as the open-file limit needs.
fn split_plan(plan: &Plan, processes: u32) -> io::Result<Vec<Plan>> {
    let files = proc::raise_open_files().saturating_sub(SPARE_FILES).max(1);
    let needed = u64::from(plan.listeners).div_ceil(files).max(1);
    let parts = if processes == 0 {
        needed
    } else {
        u64::from(processes).max(needed)
    };
    let parts = u8::try_from(parts).map_err(|_| fault("too many processes are needed"))?;
    let part = |total: u32, index: u8| {
        total / u32::from(parts) + u32::from(u32::from(index) < total % u32::from(parts))
    };
    // A part of a rate that is not zero must not become zero: that means "all at once".
    let rate = |total: u32, index| part(total, index).max(u32::from(total > 0));
    let of = |index: u8| Plan {
        index,
        listeners: part(plan.listeners, index),
        ramp_per_s: rate(plan.ramp_per_s, index),
        sample: part(plan.sample, index),
        slow: part(plan.slow, index),
        dead: part(plan.dead, index),
        churn_per_s: part(plan.churn_per_s, index),
        resets_per_s: part(plan.resets_per_s, index),
        ..plan.clone()
    };
    Ok((0..parts).map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Target;

    #[test]
    fn a_split_plan_is_the_whole_plan() {
        let target = Target::parse("http://127.0.0.1:8000/x").expect("a good URL");
        let plan = Plan {
            listeners: 1_001,
            slow: 10,
            dead: 1,
            ramp_per_s: 100,
            ..Plan::plain(&target)
        };
        let parts = split_plan(&plan, 3).expect("three processes are few");
        let sum = |part: fn(&Plan) -> u32| parts.iter().map(part).sum::<u32>();
        assert_eq!(parts.len(), 3);
        assert_eq!(sum(|part| part.listeners), 1_001);
        assert_eq!((sum(|part| part.slow), sum(|part| part.dead)), (10, 1));
        assert_eq!(
            (sum(|part| part.sample), sum(|part| part.ramp_per_s)),
            (4, 100)
        );
        let at_once = split_plan(
            &Plan {
                ramp_per_s: 2,
                ..plan
            },
            4,
        )
        .expect("four are few");
        assert!(at_once.iter().all(|part| part.ramp_per_s > 0));
    }
}
