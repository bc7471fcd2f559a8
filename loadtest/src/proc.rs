//! What the operating system says about a process and about this machine, and where threads run.

use std::fs;
use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde::{Deserialize, Serialize};

use crate::clock::SECOND_NS;
use crate::http::fault;

/// Clock ticks per second in `/proc/stat`: the same on every Linux that runs Rust.
const TICKS_PER_SECOND: u64 = 100;

/// The program that runs now, even if its file was replaced by a newer build meanwhile.
pub(crate) const THIS_PROGRAM: &str = "/proc/self/exe";

/// Memory of one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// Everything that is resident: code, files and its own.
    pub(crate) rss_bytes: u64,
    /// Its own, anonymous memory.
    pub(crate) anon_bytes: u64,
}

/// What a figure was measured on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// The processor's name.
    pub(crate) cpu: String,
    /// Processors that the machine has.
    pub(crate) cores: usize,
    /// Kernel release.
    pub(crate) kernel: String,
    /// Memory of the machine.
    pub(crate) memory_bytes: u64,
}

impl Machine {
    /// This machine.
    pub(crate) fn read() -> Machine {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let name = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name"));
        Machine {
            cpu: name
                .unwrap_or("unknown")
                .trim_matches([' ', '\t', ':'])
                .to_owned(),
            cores: cpuinfo
                .lines()
                .filter(|line| line.starts_with("processor"))
                .count(),
            kernel: kernel.trim().to_owned(),
            memory_bytes: kib_field(&meminfo, "MemTotal").unwrap_or(0),
        }
    }
}

/// CPU time of all living threads of a process, in nanoseconds, as the scheduler counts it.
pub(crate) fn cpu_ns(pid: u32) -> io::Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between the listing and the reading.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else {
            continue;
        };
        let first = text
            .split_whitespace()
            .next()
            .and_then(|field| field.parse::<u64>().ok());
        sum += first.ok_or_else(|| fault("schedstat has no figure"))?;
    }
    Ok(sum)
}

/// Memory of a process.
pub(crate) fn memory(pid: u32) -> io::Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name| kib_field(&status, name).ok_or_else(|| fault("status has no memory"));
    Ok(Memory {
        rss_bytes: field("VmRSS")?,
        anon_bytes: field("RssAnon")?,
    })
}

/// Open files of a process.
pub(crate) fn open_files(pid: u32) -> io::Result<u64> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64)
}

/// Time that all processors together were not idle since boot, in nanoseconds, to a tick.
pub(crate) fn busy_ns() -> u64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1);
    let ticks: Vec<u64> = fields.filter_map(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guest time is part of user.
    let busy: u64 = [0, 1, 2, 5, 6, 7]
        .iter()
        .filter_map(|&at| ticks.get(at))
        .sum();
    busy * (SECOND_NS / TICKS_PER_SECOND)
}

/// Binds the calling thread, and what it starts later, to these processors.
pub(crate) fn pin(cpus: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    cpus.iter().for_each(|&cpu| set.set(cpu));
    Ok(sched_setaffinity(None, &set)?)
}

/// Raises the open-file limit as far as this process may; gives the limit.
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

/// The value of a `Name:   12 kB` line, in bytes.
fn kib_field(text: &str, name: &str) -> Option<u64> {
    let rest = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kib: u64 = rest.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_cpu_time_memory_and_open_files() {
        let pid = std::process::id();
        let before = cpu_ns(pid).expect("a process may read its own figures");
        let mut sum = 0_u64;
        while cpu_ns(pid).expect("a process may read its own figures") < before + 1_000_000 {
            sum = sum.wrapping_add(crate::stream::mix(sum));
        }
        let memory = memory(pid).expect("a process may read its own figures");
        assert!(
            memory.rss_bytes > memory.anon_bytes && memory.anon_bytes > 0,
            "{sum}"
        );
        assert!(open_files(pid).expect("a process may read its own figures") >= 3);
        assert!(busy_ns() > 0);
        assert!(Machine::read().cores > 0);
    }

    #[test]
    fn fields_in_kilobytes_are_read() {
        let text = "VmRSSx: 1 kB\nVmRSS:\t  12 kB\n";
        assert_eq!(kib_field(text, "VmRSS"), Some(12 * 1_024));
        assert_eq!(kib_field(text, "RssAnon"), None);
    }
}
