//! Whether every shard makes progress: what the service manager's watchdog is told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use corecast_media::name::ShardId;
use corecast_shard::ShardProbe;

/// The least time without progress after which a shard counts as stuck; an idle one shows
/// progress once a second.
const STUCK_MIN: Duration = Duration::from_secs(5);

/// Watches the canary of each shard.
pub(crate) struct Progress {
    shards: Vec<Shard>,
    wait: Option<Duration>,
}

struct Shard {
    id: ShardId,
    probe: Arc<ShardProbe>,
    canaries: u64,
    seen: Instant,
}

impl Progress {
    /// Watches shards from now on; `wait` is how long the service manager waits for a sign.
    pub(crate) fn new(now: Instant, probes: &[Arc<ShardProbe>], wait: Option<Duration>) -> Self {
        let shards = probes.iter().enumerate().map(|(index, probe)| Shard {
            id: ShardId(index as u16),
            probe: Arc::clone(probe),
            canaries: 0,
            seen: now,
        });
        Progress {
            shards: shards.collect(),
            wait,
        }
    }

    /// The shard has ended: no more is expected of it.
    pub(crate) fn forget(&mut self, ended: ShardId) {
        self.shards.retain(|shard| shard.id != ended);
    }

    /// How often the service manager wants a sign.
    pub(crate) fn ping_every(&self) -> Option<Duration> {
        self.wait.map(|wait| wait / 3)
    }

    /// A shard whose canary has not sung for too long.
    pub(crate) fn stuck_shard(&mut self, now: Instant) -> Option<ShardId> {
        let patience = self
            .wait
            .map_or(STUCK_MIN, |wait| (wait / 2).max(STUCK_MIN));
        let mut stuck = None;
        for shard in &mut self.shards {
            let canaries = shard.probe.stall.count();
            if canaries != shard.canaries {
                shard.canaries = canaries;
                shard.seen = now;
            } else if now.duration_since(shard.seen) > patience {
                stuck = Some(shard.id);
            }
        }
        stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_whose_canary_is_silent_is_named_until_it_sings_again() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let probes = [Arc::new(ShardProbe::new()), Arc::new(ShardProbe::new())];
        let mut progress = Progress::new(start, &probes, Some(Duration::from_secs(20)));
        assert_eq!(progress.stuck_shard(after(9)), None);
        probes[0].stall.record(1);
        assert_eq!(progress.stuck_shard(after(11)), Some(ShardId(1)));
        probes[1].stall.record(1);
        assert_eq!(progress.stuck_shard(after(12)), None);
        progress.forget(ShardId(1));
        probes[0].stall.record(1);
        assert_eq!(
            progress.stuck_shard(after(23)),
            None,
            "an ended one owes nothing"
        );
        assert_eq!(progress.stuck_shard(after(34)), Some(ShardId(0)));
        assert_eq!(progress.ping_every(), Some(Duration::from_secs(20) / 3));
    }
}
