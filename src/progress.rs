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
    probe: Arc<ShardProbe>,
    canaries: u64,
    seen: Instant,
}

impl Progress {
    /// Watches shards from now on; `wait` is how long the service manager waits for a sign.
    pub(crate) fn new(probes: Vec<Arc<ShardProbe>>, wait: Option<Duration>) -> Self {
        let seen = Instant::now();
        let shard = |probe| Shard {
            probe,
            canaries: 0,
            seen,
        };
        Progress {
            shards: probes.into_iter().map(shard).collect(),
            wait,
        }
    }

    /// How often the service manager wants a sign.
    pub(crate) fn ping_every(&self) -> Option<Duration> {
        self.wait.map(|wait| wait / 3)
    }

    /// A shard whose canary has not sung for too long.
    pub(crate) fn stuck_shard(&mut self) -> Option<ShardId> {
        let now = Instant::now();
        let patience = self
            .wait
            .map_or(STUCK_MIN, |wait| (wait / 2).max(STUCK_MIN));
        let mut stuck = None;
        for (index, shard) in self.shards.iter_mut().enumerate() {
            let canaries = shard.probe.stall.count();
            if canaries != shard.canaries {
                shard.canaries = canaries;
                shard.seen = now;
            } else if now.duration_since(shard.seen) > patience {
                stuck = Some(ShardId(index as u16));
            }
        }
        stuck
    }
}
