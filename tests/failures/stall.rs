//! A shard that is overloaded stays awake: its canary is late by 20 ms at most, 99 times in 100.
//! A build without optimisation has 50 ms: each of its steps takes several times as long.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::crowd::{self, Crowd};
use super::harness::{Backend, Server, Station};
use super::peers;

crate::clients::on_both_backends!(an_overloaded_shard_stays_awake);

/// How long one round of joins lasts: 80 songs of the canary, or fewer.
const ROUND: Duration = Duration::from_secs(8);

/// Rounds on a machine that is busy with something else.
const ROUNDS: usize = 3;

/// What counts as late, as the metric writes it.
const LATE: &str = if cfg!(debug_assertions) {
    "le=\"0.05\""
} else {
    "le=\"0.02\""
};

/// What counts as late where the shard often had no CPU: that is not its fault, starving is.
const LATE_WITHOUT_CPU: &str = "le=\"0.25\"";

/// The share of the time without a CPU from which a round says little about the shard.
const CPU_WAIT_MAX: f64 = 0.15;

/// What the metrics and the kernel say of the shard so far.
struct Figures {
    /// Songs of the canary: all, in time, and in time for a shard without a CPU.
    songs: [f64; 3],
    waited_for_cpu: Duration,
}

impl Figures {
    fn of(server: &Server) -> Self {
        let bucket = |labels| server.metric("corecast_shard_stall_seconds_bucket", labels);
        let shard = peers::thread_named(server.pid(), "shard-0");
        Figures {
            songs: [
                server.metric("corecast_shard_stall_seconds_count", ""),
                bucket(LATE),
                bucket(LATE_WITHOUT_CPU),
            ],
            waited_for_cpu: peers::waited_for_cpu(server.pid(), shard),
        }
    }
}

/// Joins without a pause, a hundred at a time that come at once; how many were served.
fn join_for(server: &Server, time: Duration) -> usize {
    let began = Instant::now();
    let mut served = 0;
    while began.elapsed() < time {
        let ask = b"GET /live HTTP/1.1\r\nHost: test\r\nIcy-MetaData: 1\r\n\r\n";
        let streams: Vec<TcpStream> = (0..100)
            .map(|_| peers::say(server.address(), ask))
            .collect();
        for mut stream in streams {
            let read = stream.read(&mut [0; 4_096]).expect("each join is served");
            served += usize::from(read > 0);
            peers::reset(stream);
        }
    }
    served
}

fn an_overloaded_shard_stays_awake(backend: Backend) {
    let settings = ["shards.count=1", "mount_defaults.latency=live"];
    let server = Server::start(backend, &settings);
    let station = Station::play(&server, "/live");
    server.wait_live("/live");
    let crowd = Crowd::join(server.address(), "/live", 300);
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let (before, began) = (Figures::of(&server), Instant::now());
        let served = join_for(&server, ROUND);
        assert!(served > 1_000, "{served} joins are no overload");
        let after = Figures::of(&server);
        let [all, in_time, not_starved] = std::array::from_fn(|i| after.songs[i] - before.songs[i]);
        assert!(all > 20.0, "the canary sang {all} times");
        assert!(
            not_starved / all >= 0.98,
            "starved: {not_starved} of {all} in time"
        );
        let waited = after.waited_for_cpu - before.waited_for_cpu;
        let waited = waited.as_secs_f64() / began.elapsed().as_secs_f64();
        rounds.push((in_time / all, waited));
        if in_time / all >= 0.99 {
            break;
        }
    }
    let in_time = rounds.iter().any(|(share, _)| *share >= 0.99);
    let alone = rounds.iter().any(|(_, waited)| *waited < CPU_WAIT_MAX);
    assert!(in_time || !alone, "(in time, without a CPU): {rounds:?}");
    let heard = crowd.leave();
    assert!(heard.iter().all(|heard| heard.end.is_none()));
    crowd::assert_exact(&heard, station.next_frame(), 4);
}
