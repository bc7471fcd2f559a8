//! What the machine lets the process have: CPUs and open files.

use std::thread::available_parallelism;

use corecast_config::{SHARDS_MAX, ShardCount};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity};

/// Open files kept for everything that is no connection of a peer.
const FILES_RESERVED: u64 = 128;

/// The same, for each shard: its ring or epoll, doorbell and acceptors.
const FILES_RESERVED_PER_SHARD: u64 = 16;

/// The CPU of each shard, in order. More shards than CPUs share them in turn.
///
/// # Errors
/// What is wrong with `shards.count` on this machine.
pub(crate) fn shard_cpus(count: &ShardCount) -> Result<Vec<usize>, String> {
    let allowed = allowed_cpus().map_err(|error| format!("read the CPU affinity: {error}"))?;
    cpus_of(count, &allowed, quota())
}

/// CPUs that a control group's quota is worth.
fn quota() -> usize {
    available_parallelism().map_or(usize::MAX, usize::from)
}

/// The CPUs of the process's affinity mask, which the cpuset of its control group bounds.
fn allowed_cpus() -> rustix::io::Result<Vec<usize>> {
    let mask = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|cpu| mask.is_set(*cpu))
        .collect())
}

fn cpus_of(count: &ShardCount, allowed: &[usize], quota: usize) -> Result<Vec<usize>, String> {
    match count {
        ShardCount::Auto => {
            let shards = allowed.len().min(quota).clamp(1, usize::from(SHARDS_MAX));
            Ok(allowed.iter().copied().take(shards).collect())
        }
        ShardCount::Count(count) => Ok(allowed
            .iter()
            .copied()
            .cycle()
            .take(usize::from(*count))
            .collect()),
        ShardCount::Cpus(cpus) => {
            let cpus: Vec<usize> = cpus.iter().copied().map(usize::from).collect();
            match cpus.iter().find(|cpu| !allowed.contains(cpu)) {
                None => Ok(cpus),
                Some(cpu) => Err(format!(
                    "shards.count: the process may not use CPU {cpu} (it may use {allowed:?})"
                )),
            }
        }
    }
}

/// Raises the limit of open files as far as it goes, and says how far that was.
pub(crate) fn raise_open_files() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum.unwrap_or(u64::MAX),
        Err(_) => current.unwrap_or(u64::MAX),
    }
}

/// Connections that fit under a limit of open files.
pub(crate) fn connections_max(open_files: u64, shards: u16) -> u32 {
    let reserve = FILES_RESERVED + u64::from(shards) * FILES_RESERVED_PER_SHARD;
    let connections = open_files.saturating_sub(reserve).max(open_files / 4);
    u32::try_from(connections).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_take_the_cpus_they_may_use() {
        let allowed = [1, 3, 5, 7];
        let cpus = |count| cpus_of(&count, &allowed, usize::MAX);
        assert_eq!(cpus(ShardCount::Auto), Ok(vec![1, 3, 5, 7]));
        assert_eq!(
            cpus_of(&ShardCount::Auto, &allowed, 2),
            Ok(vec![1, 3]),
            "a quota of two"
        );
        assert_eq!(cpus(ShardCount::Count(6)), Ok(vec![1, 3, 5, 7, 1, 3]));
        assert_eq!(cpus(ShardCount::Cpus(vec![7, 1])), Ok(vec![7, 1]));
        let fault = cpus(ShardCount::Cpus(vec![1, 2])).expect_err("CPU 2 is not ours");
        assert!(fault.contains("CPU 2"), "{fault}");
    }

    #[test]
    fn connections_leave_room_for_the_servers_own_files() {
        assert_eq!(connections_max(20_000, 2), 20_000 - 128 - 32);
        assert_eq!(
            connections_max(64, 2),
            16,
            "a tiny limit still serves somebody"
        );
        assert_eq!(connections_max(u64::MAX, 2), u32::MAX);
    }
}
