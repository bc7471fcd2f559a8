//! Drives a crowd's sockets. Only joins are registered with epoll; steady listeners are looked at
//! one slice after the other, so that the server does not pay for waking a reader and the
//! generator stays cheap.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, TryRecvError};

use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::slot::{Joining, Listener, Look, Slot, Temper, close_by_reset, start_connect};
use super::{Counts, Joins, Note, Order, Plan, Tally, new_histogram};
use crate::clock::{MS_NS, SECOND_NS, now_ns};
use crate::http::{fault, parse_head};
use crate::stream::mix;

/// Parts that the listeners are looked at in, spread over `scan_ms`.
const SLICES: usize = 10;
/// Most bytes discarded by one look.
const SCRATCH_BYTES: usize = 1 << 20;
/// Connects between two looks at epoll while joining.
const CONNECTS_PER_ROUND: u32 = 32;
/// Longest sleep, so that orders are heard.
const SLEEP_NS_MAX: u64 = 20 * MS_NS;
/// Time between two progress notes.
const PROGRESS_NS: u64 = SECOND_NS / 4;
/// Reset connections kept open at most while their request travels.
const RESETS_OPEN_MAX: usize = 256;

/// The window that is counted, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Window {
    Unknown,
    Ahead { start_ns: u64, end_ns: u64 },
    Open { start_ns: u64, end_ns: u64 },
    Over,
}

/// Takes what the engine has to say.
pub(super) type Tell = Box<dyn FnMut(&Note) -> io::Result<()> + Send>;

/// One crowd at work.
pub(super) struct Engine {
    plan: Plan,
    orders: Receiver<Order>,
    tell: Tell,
    epoll: OwnedFd,
    slots: Vec<Slot>,
    tempers: Vec<Temper>,
    requests: [Vec<u8>; 2],
    scratch: Vec<u8>,
    started_ns: u64,
    /// First joins that have been begun.
    begun: u32,
    served: u32,
    joins: Joins,
    joined_told: bool,
    window: Window,
    next_slice: usize,
    next_slice_ns: u64,
    next_progress_ns: u64,
    churned: u64,
    resets_open: VecDeque<OwnedFd>,
    random: u64,
    tally: Tally,
    join_us: Histogram<u64>,
    gap_us: Histogram<u64>,
    underrun_us: Histogram<u64>,
}

impl Engine {
    /// An engine that begins to join at once.
    pub(super) fn new(plan: Plan, orders: Receiver<Order>, tell: Tell) -> io::Result<Self> {
        let target = plan.target();
        let now = now_ns();
        Ok(Engine {
            orders,
            tell,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            slots: (0..plan.listeners).map(|_| Slot::Empty).collect(),
            tempers: deal_tempers(&plan),
            requests: [target.listen_request(false), target.listen_request(true)],
            scratch: vec![0; SCRATCH_BYTES],
            started_ns: now,
            begun: 0,
            served: 0,
            joins: Joins::default(),
            joined_told: false,
            window: Window::Unknown,
            next_slice: 0,
            next_slice_ns: now,
            next_progress_ns: now,
            churned: 0,
            resets_open: VecDeque::new(),
            random: mix(plan.seed ^ u64::from(plan.index)),
            tally: Tally::default(),
            join_us: new_histogram(),
            gap_us: new_histogram(),
            underrun_us: new_histogram(),
            plan,
        })
    }

    /// Runs until told to quit.
    pub(super) fn run(mut self) -> io::Result<()> {
        while !self.take_orders() {
            let busy = self.begin_joins(now_ns())?;
            self.poll_joins(if busy { 0 } else { self.sleep_ns(now_ns()) })?;
            let now = now_ns();
            self.churn(now);
            self.storm(now);
            self.scan_due(now);
            self.step_window()?;
            self.tell_progress(now)?;
        }
        Ok(())
    }

    /// Takes what the conductor said; true is the end.
    fn take_orders(&mut self) -> bool {
        loop {
            match self.orders.try_recv() {
                Ok(Order::Window { start_ns, end_ns }) => {
                    self.window = Window::Ahead { start_ns, end_ns };
                }
                Ok(Order::Start(_)) => {}
                Ok(Order::Quit) | Err(TryRecvError::Disconnected) => return true,
                Err(TryRecvError::Empty) => return false,
            }
        }
    }

    /// Begins the first joins that are due; true while more are due at once.
    fn begin_joins(&mut self, now: u64) -> io::Result<bool> {
        let due = match self.plan.ramp_per_s {
            0 => self.plan.listeners,
            rate => due_count(now - self.started_ns, rate, self.plan.listeners),
        };
        let round = due.saturating_sub(self.begun).min(CONNECTS_PER_ROUND);
        for _ in 0..round {
            let index = self.begun as usize;
            self.begun += 1;
            self.begin_join(index)?;
        }
        Ok(self.begun < due)
    }

    /// Connects the listener `index` and sends its request if the kernel lets it already.
    fn begin_join(&mut self, index: usize) -> io::Result<()> {
        let temper = self.tempers.get(index).copied().unwrap_or(Temper::Plain);
        let stubborn = matches!(temper, Temper::Slow | Temper::Dead);
        let started_ns = now_ns();
        let fd = match start_connect(self.plan.address, self.plan.index, stubborn) {
            Ok(fd) => fd,
            Err(error) if error.raw_os_error() == Some(Errno::MFILE.raw_os_error()) => {
                return Err(error);
            }
            Err(_) => {
                self.tally.failed += 1;
                return Ok(());
            }
        };
        let mut joining = Joining {
            fd,
            started_ns,
            asked: false,
            head: Vec::new(),
        };
        if ask(&mut joining, self.request(index)).is_err() {
            self.tally.failed += 1;
            return Ok(());
        }
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&self.epoll, &joining.fd, data, interest(&joining))?;
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = Slot::Joining(joining);
        }
        Ok(())
    }

    fn request(&self, index: usize) -> &[u8] {
        let icy = mix(index as u64) % 100 < u64::from(self.plan.icy_percent);
        &self.requests[usize::from(icy)]
    }

    /// Waits for joins to go on, at most `wait_ns`.
    fn poll_joins(&mut self, wait_ns: u64) -> io::Result<()> {
        let mut events = Vec::with_capacity(256);
        let wait = Timespec {
            tv_sec: 0,
            tv_nsec: wait_ns.min(SECOND_NS - 1) as i64,
        };
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&wait)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let now = now_ns();
        for event in events {
            self.go_on_joining(event.data.u64() as usize, now)?;
        }
        Ok(())
    }

    fn go_on_joining(&mut self, index: usize, now: u64) -> io::Result<()> {
        let request = self.request(index).to_vec();
        let Some(slot) = self.slots.get_mut(index) else {
            return Ok(());
        };
        let Slot::Joining(joining) = slot else {
            return Ok(());
        };
        if !joining.asked {
            if ask(joining, &request).is_err() {
                self.give_up_join(index);
                return Ok(());
            }
            let data = epoll::EventData::new_u64(index as u64);
            epoll::modify(&self.epoll, &joining.fd, data, interest(joining))?;
        }
        if !joining.asked {
            return Ok(());
        }
        match read_answer(joining) {
            Answer::Waiting => {}
            Answer::Audio { metaint, first } => {
                epoll::delete(&self.epoll, &joining.fd)?;
                self.on_served(index, metaint, &first, now);
            }
            Answer::Refused => {
                self.tally.refused += 1;
                *slot = Slot::Empty;
            }
            Answer::Failed => self.give_up_join(index),
        }
        Ok(())
    }

    fn give_up_join(&mut self, index: usize) {
        self.tally.failed += 1;
        if let Some(slot) = self.slots.get_mut(index) {
            // Closing the socket takes it out of epoll.
            *slot = Slot::Empty;
        }
    }

    fn on_served(&mut self, index: usize, metaint: Option<usize>, first: &[u8], now: u64) {
        let temper = self.tempers.get(index).copied().unwrap_or(Temper::Plain);
        let Some(slot) = self.slots.get_mut(index) else {
            return;
        };
        let Slot::Joining(joining) = std::mem::replace(slot, Slot::Empty) else {
            return;
        };
        self.join_us
            .saturating_record((now - joining.started_ns) / 1_000);
        let mut listener = Listener::new(joining, temper, metaint, self.plan.seed, now);
        listener.take_first(first);
        self.tally.bytes += first.len() as u64;
        if let Window::Open { .. } = self.window {
            self.tally.window_bytes += first.len() as u64;
        }
        *slot = Slot::Steady(Box::new(listener));
        self.served += 1;
        if !self.joined_told {
            self.joins.served += 1;
            self.joins.all_served_ns = now - self.started_ns;
        }
    }

    /// Looks at the slices whose time has come.
    fn scan_due(&mut self, now: u64) {
        let step = (self.plan.scan_ms * MS_NS / SLICES as u64).max(MS_NS);
        let mut budget = SLICES;
        while self.next_slice_ns <= now && budget > 0 {
            self.scan(self.next_slice);
            self.next_slice = (self.next_slice + 1) % SLICES;
            self.next_slice_ns += step;
            budget -= 1;
        }
        if self.next_slice_ns <= now {
            // Too late to keep the pace: every slice was looked at just now.
            self.next_slice_ns = now + step;
        }
    }

    fn scan(&mut self, slice: usize) {
        let now = now_ns();
        let counted = matches!(self.window, Window::Open { .. });
        let stall_ns = self.plan.stall_ms * MS_NS;
        for slot in self.slots.iter_mut().skip(slice).step_by(SLICES) {
            let Slot::Steady(listener) = slot else {
                continue;
            };
            let silent_ns = now.saturating_sub(listener.last_ns);
            match listener.look(now, self.plan.slow_percent, &mut self.scratch) {
                Look::Bytes(0) => {}
                Look::Bytes(count) => {
                    self.tally.bytes += count;
                    if counted {
                        self.tally.window_bytes += count;
                        self.tally.receipts += 1;
                        let reads = matches!(listener.temper, Temper::Plain | Temper::Sample);
                        self.tally.stalls += u64::from(reads && silent_ns > stall_ns);
                    }
                }
                Look::Gone => {
                    let Slot::Steady(mut listener) = std::mem::replace(slot, Slot::Empty) else {
                        continue;
                    };
                    self.served -= 1;
                    match listener.temper {
                        Temper::Plain | Temper::Sample => self.tally.hung_up += 1,
                        Temper::Slow | Temper::Dead => self.tally.slow_dropped += 1,
                    }
                    listener.close_findings(&mut self.tally);
                }
            }
        }
    }

    /// Lets as many listeners leave, and others join in their places, as are due.
    fn churn(&mut self, now: u64) {
        if self.plan.churn_per_s == 0 || !self.joined_told || self.window == Window::Over {
            return;
        }
        let due = (now - self.started_ns) * u64::from(self.plan.churn_per_s) / SECOND_NS;
        if self.churned == 0 {
            self.churned = due;
        }
        let mut tries = 4 * due.saturating_sub(self.churned);
        while self.churned < due && tries > 0 {
            tries -= 1;
            self.random = mix(self.random);
            let index = (self.random % self.slots.len().max(1) as u64) as usize;
            let Some(slot) = self.slots.get_mut(index) else {
                continue;
            };
            let leaves = match slot {
                Slot::Steady(listener) => {
                    matches!(listener.temper, Temper::Plain | Temper::Sample)
                }
                Slot::Empty => true,
                Slot::Joining(_) => false,
            };
            if !leaves {
                continue;
            }
            if let Slot::Steady(mut listener) = std::mem::replace(slot, Slot::Empty) {
                self.served -= 1;
                self.tally.left += 1;
                listener.close_findings(&mut self.tally);
            }
            self.churned += 1;
            if self.begin_join(index).is_err() {
                self.tally.failed += 1;
            }
        }
    }

    /// Opens connections that end in a reset: some at once, some after their request.
    fn storm(&mut self, now: u64) {
        if self.plan.resets_per_s == 0 || self.window == Window::Over {
            return;
        }
        let due = (now - self.started_ns) * u64::from(self.plan.resets_per_s) / SECOND_NS;
        let round = due.saturating_sub(self.tally.resets).min(64);
        for _ in 0..round {
            self.tally.resets += 1;
            let Ok(fd) = start_connect(self.plan.address, self.plan.index, false) else {
                continue;
            };
            close_by_reset(&fd);
            if self.tally.resets.is_multiple_of(2) {
                // A request that fails to go out is one more way to leave.
                let _ = send(&fd, &self.requests[1], SendFlags::NOSIGNAL);
                self.resets_open.push_back(fd);
            }
        }
        let keep = if round == 0 { 0 } else { RESETS_OPEN_MAX };
        while self.resets_open.len() > keep {
            self.resets_open.pop_front();
        }
    }

    /// Opens, closes and tells the window when its times come.
    fn step_window(&mut self) -> io::Result<()> {
        let now = now_ns();
        match self.window {
            Window::Ahead { start_ns, end_ns } if now >= start_ns => {
                self.scan_all();
                for slot in &mut self.slots {
                    if let Slot::Steady(listener) = slot {
                        listener.gap_max_ns = 0;
                    }
                }
                self.tally.listener_ns = 0;
                self.window = Window::Open { start_ns, end_ns };
            }
            Window::Open { start_ns, end_ns } if now >= end_ns => {
                self.scan_all();
                self.window = Window::Over;
                self.tally.listener_ns = u64::from(self.served) * (end_ns - start_ns);
                let tally = self.take_tally(now_ns());
                (self.tell)(&Note::Done(Box::new(tally)))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn scan_all(&mut self) {
        (0..SLICES).for_each(|slice| self.scan(slice));
    }

    /// What was counted; the compared listeners' findings are closed.
    fn take_tally(&mut self, now: u64) -> Tally {
        let mut tally = std::mem::take(&mut self.tally);
        tally.served = self.served;
        for slot in &mut self.slots {
            let Slot::Steady(listener) = slot else {
                continue;
            };
            if matches!(listener.temper, Temper::Plain | Temper::Sample) {
                self.gap_us.saturating_record(listener.gap_ns(now) / 1_000);
                self.underrun_us
                    .saturating_record(listener.underrun_max_ns / 1_000);
            }
            listener.close_findings(&mut tally);
        }
        tally.join_us = Counts::of(&self.join_us);
        tally.gap_us = Counts::of(&self.gap_us);
        tally.underrun_us = Counts::of(&self.underrun_us);
        tally
    }

    fn tell_progress(&mut self, now: u64) -> io::Result<()> {
        let late = now - self.started_ns >= self.plan.join_ms_max * MS_NS;
        let first = self.begun == self.plan.listeners && self.joins.served == self.plan.listeners;
        let lost = self.tally.failed + self.tally.refused;
        let settled = self.begun == self.plan.listeners
            && u64::from(self.joins.served) + lost >= u64::from(self.plan.listeners);
        if !self.joined_told && (late || first || settled) {
            self.joined_told = true;
            self.joins.unserved = self.plan.listeners - self.joins.served;
            (self.tell)(&Note::Joined(self.joins.clone()))?;
        }
        if now >= self.next_progress_ns {
            self.next_progress_ns = now + PROGRESS_NS;
            (self.tell)(&Note::Progress {
                served: self.served,
                bytes: self.tally.bytes,
            })?;
        }
        Ok(())
    }

    fn sleep_ns(&self, now: u64) -> u64 {
        let until_slice = self.next_slice_ns.saturating_sub(now);
        let until_edge = match self.window {
            Window::Ahead { start_ns: edge, .. } | Window::Open { end_ns: edge, .. } => {
                edge.saturating_sub(now)
            }
            Window::Unknown | Window::Over => SLEEP_NS_MAX,
        };
        until_slice.min(until_edge).min(SLEEP_NS_MAX)
    }
}

/// How many of `all` joins are due after `elapsed_ns` at `rate` per second.
fn due_count(elapsed_ns: u64, rate: u32, all: u32) -> u32 {
    let due = u128::from(elapsed_ns) * u128::from(rate) / u128::from(SECOND_NS) + 1;
    u32::try_from(due).unwrap_or(u32::MAX).min(all)
}

/// Which listener has which temper: the special ones are spread over all places.
fn deal_tempers(plan: &Plan) -> Vec<Temper> {
    let special = [
        (plan.sample, Temper::Sample),
        (plan.slow, Temper::Slow),
        (plan.dead, Temper::Dead),
    ];
    let special = special
        .iter()
        .flat_map(|&(count, temper)| (0..count).map(move |_| temper));
    let all = special.chain(std::iter::repeat(Temper::Plain));
    let mut tempers: Vec<Temper> = all.take(plan.listeners as usize).collect();
    let mut random = mix(plan.seed);
    for at in (1..tempers.len()).rev() {
        random = mix(random);
        tempers.swap(at, (random % (at as u64 + 1)) as usize);
    }
    tempers
}

fn interest(joining: &Joining) -> epoll::EventFlags {
    if joining.asked {
        epoll::EventFlags::IN
    } else {
        epoll::EventFlags::OUT
    }
}

/// Sends the request if the connection is up.
fn ask(joining: &mut Joining, request: &[u8]) -> io::Result<()> {
    match send(&joining.fd, request, SendFlags::NOSIGNAL) {
        Ok(sent) if sent == request.len() => {
            joining.asked = true;
            Ok(())
        }
        Ok(_) => Err(fault("the request went out in part")),
        // Not connected yet.
        Err(Errno::AGAIN | Errno::NOTCONN | Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What the server has said to a join so far.
enum Answer {
    /// Not enough yet.
    Waiting,
    /// A good head and first bytes of the body.
    Audio {
        metaint: Option<usize>,
        first: Vec<u8>,
    },
    /// A status other than 200.
    Refused,
    /// No HTTP, or the connection is gone.
    Failed,
}

/// Reads on until the head and a first audio byte are there.
fn read_answer(joining: &mut Joining) -> Answer {
    let mut piece = [0_u8; 16 * 1024];
    match recv(&joining.fd, &mut piece[..], RecvFlags::empty()) {
        Ok((_, 0)) => return Answer::Failed,
        Ok((_, len)) => joining.head.extend(piece.iter().take(len)),
        Err(Errno::AGAIN | Errno::INTR) => return Answer::Waiting,
        Err(_) => return Answer::Failed,
    }
    match parse_head(&joining.head) {
        Ok(None) => Answer::Waiting,
        Ok(Some(head)) if head.status != 200 => Answer::Refused,
        Ok(Some(head)) => match joining.head.get(head.len..) {
            Some(first) if !first.is_empty() => Answer::Audio {
                metaint: head.metaint,
                first: first.to_vec(),
            },
            _ => Answer::Waiting,
        },
        Err(_) => Answer::Failed,
    }
}
