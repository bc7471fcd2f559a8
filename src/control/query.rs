//! Asks every shard for its state and gathers the answers within a time limit.
//!
//! A shard that does not answer is reported missing and is not asked again until it has answered
//! or [`ASK_AGAIN_AFTER`] is over: so one stalled shard costs one wait now and then, and hardly a
//! place in its ring.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use corecast_media::name::{MountName, ShardId};
use corecast_mesh::message::{MountReport, RelayReport, SessionReport, ShardSnapshot};
use corecast_mesh::topology::Topology;
use tokio::sync::oneshot;

/// How long a query waits for the slowest shard.
pub(crate) const ANSWER_WAIT_MAX: Duration = Duration::from_secs(1);

/// How old an answer may be to be given again.
pub(crate) const ANSWER_AGE_MAX: Duration = Duration::from_millis(100);

/// How long a shard may owe an answer until it is asked once more.
pub(crate) const ASK_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// The state of the whole node, less the shards that did not answer.
#[derive(Debug, Default)]
pub(crate) struct NodeSnapshot {
    /// By name.
    pub(crate) mounts: Vec<MountReport>,
    /// In no order; empty where nobody asked for them.
    pub(crate) sessions: Vec<SessionReport>,
    /// By mount.
    pub(crate) relays: Vec<RelayReport>,
    /// Bytes sent to readers of each mount, by all shards. May for a moment lack, or count twice,
    /// what a shard hands over after its last reader.
    pub(crate) sent: HashMap<MountName, u64>,
    /// Who watches each mount as HLS, on all shards.
    pub(crate) viewers: HashMap<MountName, HashSet<u64>>,
    /// Shards that did not answer.
    pub(crate) missing: Vec<ShardId>,
}

impl NodeSnapshot {
    /// The report of one mount.
    pub(crate) fn mount(&self, name: &str) -> Option<&MountReport> {
        let at = self
            .mounts
            .binary_search_by(|report| report.mount.as_str().cmp(name))
            .ok()?;
        self.mounts.get(at)
    }

    fn add(&mut self, snapshot: ShardSnapshot) {
        let before = snapshot.mounts.iter();
        let before = before.map(|report| (report.mount.clone(), report.bytes_sent_before));
        for (mount, bytes) in before.chain(snapshot.sent) {
            let sum = self.sent.entry(mount).or_default();
            *sum = sum.saturating_add(bytes);
        }
        self.mounts.extend(snapshot.mounts);
        self.sessions.extend(snapshot.sessions);
        self.relays.extend(snapshot.relays);
        for (mount, viewers) in snapshot.viewers {
            self.viewers.entry(mount).or_default().extend(viewers);
        }
    }
}

type Waiter = oneshot::Sender<Arc<NodeSnapshot>>;

/// One query on its way.
#[derive(Debug)]
struct Gathering {
    query: u64,
    sessions: bool,
    until: Instant,
    asked: Vec<ShardId>,
    gathered: NodeSnapshot,
    waiters: Vec<Waiter>,
    /// Something changed since: those who ask now need a later query.
    outdated: bool,
}

/// An answer that was given.
#[derive(Debug)]
struct Given {
    at: Instant,
    sessions: bool,
    snapshot: Arc<NodeSnapshot>,
}

/// The queries of the control plane; one is on its way at a time.
#[derive(Debug)]
pub(crate) struct Queries {
    topology: Topology,
    query: u64,
    current: Option<Gathering>,
    /// Those who asked after the current query was outdated.
    next: Vec<Waiter>,
    /// Whether one of them wants sessions.
    next_sessions: bool,
    last: Option<Given>,
    /// Since when each shard owes an answer.
    silent: Vec<Option<Instant>>,
    transmits: VecDeque<(ShardId, u64, bool)>,
    missed: u64,
}

impl Queries {
    pub(crate) fn new(topology: Topology) -> Self {
        Queries {
            topology,
            query: 0,
            current: None,
            next: Vec::new(),
            next_sessions: false,
            last: None,
            silent: vec![None; usize::from(topology.shards())],
            transmits: VecDeque::new(),
            missed: 0,
        }
    }

    /// Somebody wants the node's state, with every session or without: a young answer is given
    /// again, a query on its way is shared.
    pub(crate) fn handle_ask(&mut self, now: Instant, sessions: bool, waiter: Waiter) {
        let young = |given: &&Given| now.duration_since(given.at) < ANSWER_AGE_MAX;
        let enough = |has: bool| has || !sessions;
        match (self.last.as_ref().filter(young), &mut self.current) {
            (Some(given), _) if enough(given.sessions) => {
                // A waiter that went away needs no answer.
                let _ = waiter.send(Arc::clone(&given.snapshot));
            }
            (_, Some(current)) if !current.outdated && enough(current.sessions) => {
                current.waiters.push(waiter);
            }
            (_, Some(_)) => {
                self.next.push(waiter);
                self.next_sessions |= sessions;
            }
            (_, None) => self.start(now, sessions, vec![waiter]),
        }
    }

    /// Something was changed on purpose: whoever asks from now on shall see it.
    pub(crate) fn handle_change(&mut self) {
        self.last = None;
        if let Some(current) = &mut self.current {
            current.outdated = true;
        }
    }

    /// A shard's answer.
    pub(crate) fn handle_answer(
        &mut self,
        now: Instant,
        from: ShardId,
        query: u64,
        snapshot: ShardSnapshot,
    ) {
        if let Some(silent) = self.silent.get_mut(from.index()) {
            *silent = None;
        }
        let Some(current) = self
            .current
            .as_mut()
            .filter(|current| current.query == query)
        else {
            return;
        };
        let Some(at) = current.asked.iter().position(|shard| *shard == from) else {
            return;
        };
        current.asked.swap_remove(at);
        current.gathered.add(snapshot);
        if current.asked.is_empty() {
            self.finish(now);
        }
    }

    /// Gives up the shards that are late.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self
            .current
            .as_ref()
            .is_some_and(|current| current.until <= now)
        {
            self.finish(now);
        }
    }

    /// When [`Queries::handle_timeout`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.current.as_ref().map(|current| current.until)
    }

    /// The next shard to ask, and whether for sessions too.
    pub(crate) fn poll_transmit(&mut self) -> Option<(ShardId, u64, bool)> {
        self.transmits.pop_front()
    }

    /// Queries so far.
    pub(crate) fn queries(&self) -> u64 {
        self.query
    }

    /// Answers that did not come in time so far.
    pub(crate) fn missed(&self) -> u64 {
        self.missed
    }

    fn start(&mut self, now: Instant, sessions: bool, waiters: Vec<Waiter>) {
        self.query += 1;
        let mut asked = Vec::new();
        let mut gathered = NodeSnapshot::default();
        for (shard, silent) in self.topology.ids().zip(&mut self.silent) {
            if silent.is_some_and(|since| now.duration_since(since) < ASK_AGAIN_AFTER) {
                gathered.missing.push(shard);
            } else {
                *silent = Some(now);
                asked.push(shard);
                self.transmits.push_back((shard, self.query, sessions));
            }
        }
        let everyone_is_silent = asked.is_empty();
        let until = now + ANSWER_WAIT_MAX;
        let query = self.query;
        self.current = Some(Gathering {
            query,
            sessions,
            until,
            asked,
            gathered,
            waiters,
            outdated: false,
        });
        if everyone_is_silent {
            self.finish(now);
        }
    }

    fn finish(&mut self, now: Instant) {
        let Some(current) = self.current.take() else {
            return;
        };
        let mut gathered = current.gathered;
        gathered.missing.extend(current.asked);
        gathered.missing.sort_unstable();
        self.missed += gathered.missing.len() as u64;
        gathered
            .mounts
            .sort_unstable_by(|a, b| a.mount.cmp(&b.mount));
        gathered
            .relays
            .sort_unstable_by(|a, b| a.mount.cmp(&b.mount));
        let gathered = Arc::new(gathered);
        for waiter in current.waiters {
            // A waiter that went away needs no answer.
            let _ = waiter.send(Arc::clone(&gathered));
        }
        self.last = (!current.outdated).then_some(Given {
            at: now,
            sessions: current.sessions,
            snapshot: gathered,
        });
        let next = std::mem::take(&mut self.next);
        let sessions = std::mem::take(&mut self.next_sessions);
        if !next.is_empty() {
            self.start(now, sessions, next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(queries: &mut Queries, now: Instant) -> oneshot::Receiver<Arc<NodeSnapshot>> {
        let (waiter, answer) = oneshot::channel();
        queries.handle_ask(now, true, waiter);
        answer
    }

    fn asked(queries: &mut Queries) -> Vec<(u16, u64)> {
        std::iter::from_fn(|| queries.poll_transmit())
            .map(|(shard, q, _)| (shard.0, q))
            .collect()
    }

    fn answer(queries: &mut Queries, now: Instant, shard: u16, query: u64) {
        queries.handle_answer(now, ShardId(shard), query, ShardSnapshot::default());
    }

    fn missing(answer: &mut oneshot::Receiver<Arc<NodeSnapshot>>) -> Option<Vec<u16>> {
        Some(
            answer
                .try_recv()
                .ok()?
                .missing
                .iter()
                .map(|shard| shard.0)
                .collect(),
        )
    }

    #[test]
    fn a_query_is_shared_and_a_young_answer_is_given_again() {
        let mut queries = Queries::new(Topology::new(2));
        let start = Instant::now();
        let mut first = ask(&mut queries, start);
        let mut second = ask(&mut queries, start);
        assert_eq!(asked(&mut queries), [(0, 1), (1, 1)]);
        answer(&mut queries, start, 1, 1);
        assert_eq!(missing(&mut first), None);
        answer(&mut queries, start, 0, 1);
        assert_eq!(
            (missing(&mut first), missing(&mut second)),
            (Some(vec![]), Some(vec![]))
        );
        let mut young = ask(&mut queries, start + ANSWER_AGE_MAX / 2);
        assert_eq!(
            (missing(&mut young), asked(&mut queries)),
            (Some(vec![]), vec![])
        );
        let mut old = ask(&mut queries, start + ANSWER_AGE_MAX);
        assert_eq!(asked(&mut queries), [(0, 2), (1, 2)]);
        assert_eq!(missing(&mut old), None);
    }

    #[test]
    fn a_silent_shard_is_missing_after_the_limit_and_costs_no_second_wait() {
        let mut queries = Queries::new(Topology::new(2));
        let start = Instant::now();
        let mut first = ask(&mut queries, start);
        assert_eq!(asked(&mut queries).len(), 2);
        answer(&mut queries, start, 0, 1);
        queries.handle_timeout(start + ANSWER_WAIT_MAX / 2);
        assert_eq!(missing(&mut first), None);
        let late = start + ANSWER_WAIT_MAX;
        assert_eq!(queries.poll_timeout(), Some(late));
        queries.handle_timeout(late);
        assert_eq!(
            (missing(&mut first), queries.poll_timeout()),
            (Some(vec![1]), None)
        );

        let later = late + ANSWER_AGE_MAX;
        let mut second = ask(&mut queries, later);
        assert_eq!(
            asked(&mut queries),
            [(0, 2)],
            "a shard that owes an answer is not asked"
        );
        answer(&mut queries, later, 0, 2);
        assert_eq!(missing(&mut second), Some(vec![1]));

        answer(&mut queries, later, 1, 1);
        let mut third = ask(&mut queries, later + ANSWER_AGE_MAX);
        assert_eq!(asked(&mut queries), [(0, 3), (1, 3)], "it is back");
        assert_eq!(missing(&mut third), None);
    }

    #[test]
    fn a_node_of_silent_shards_answers_at_once() {
        let mut queries = Queries::new(Topology::new(1));
        let start = Instant::now();
        let _first = ask(&mut queries, start);
        queries.handle_timeout(start + ANSWER_WAIT_MAX);
        let mut second = ask(&mut queries, start + ANSWER_WAIT_MAX * 2);
        assert_eq!(missing(&mut second), Some(vec![0]));
    }

    #[test]
    fn who_asks_after_a_change_sees_it() {
        let mut queries = Queries::new(Topology::new(1));
        let now = Instant::now();
        let mut before = ask(&mut queries, now);
        queries.handle_change();
        let mut after = ask(&mut queries, now);
        assert_eq!(asked(&mut queries), [(0, 1)]);
        answer(&mut queries, now, 0, 1);
        assert_eq!(
            (missing(&mut before), missing(&mut after)),
            (Some(vec![]), None)
        );
        assert_eq!(asked(&mut queries), [(0, 2)]);
        answer(&mut queries, now, 0, 2);
        assert_eq!(missing(&mut after), Some(vec![]));
        queries.handle_change();
        let mut later = ask(&mut queries, now);
        assert_eq!(
            missing(&mut later),
            None,
            "the answer from before is not given again"
        );
    }

    #[test]
    fn sessions_are_copied_only_for_who_wants_them() {
        let mut queries = Queries::new(Topology::new(1));
        let now = Instant::now();
        let plain = |queries: &mut Queries, sessions| {
            let (waiter, answer) = oneshot::channel();
            queries.handle_ask(now, sessions, waiter);
            answer
        };
        let mut page = plain(&mut queries, false);
        let mut list = plain(&mut queries, true);
        assert_eq!(queries.poll_transmit(), Some((ShardId(0), 1, false)));
        answer(&mut queries, now, 0, 1);
        assert_eq!(
            (missing(&mut page), missing(&mut list)),
            (Some(vec![]), None)
        );
        assert_eq!(queries.poll_transmit(), Some((ShardId(0), 2, true)));
        answer(&mut queries, now, 0, 2);
        assert_eq!(missing(&mut list), Some(vec![]));
        let mut again = plain(&mut queries, false);
        assert_eq!(missing(&mut again), Some(vec![]), "more than enough");
        assert_eq!(queries.poll_transmit(), None);
    }
}
