use std::net::IpAddr;
use std::sync::Arc;

use crate::log::{Limiter, Limits, Verdict};
use crate::metric::{Buckets, Counter, Family, Gauge, Histogram};
use crate::probe;
use crate::registry::Registry;

const STALL: Buckets = Buckets::micros(&[1_000, 5_000, 20_000]);
const ENDS: &[&str] = &["closed", "slow_reader"];

probe! {
    /// What a data plane counts.
    pub(crate) struct ShardProbe {
        /// Connections that were accepted,
        /// on every acceptor.
        connections: Counter = "corecast_connections_total";
        /// Listeners that ended, by reason.
        ended: Family<Counter> = "corecast_listeners_ended_total" by "reason" in ENDS;
        /// How late the canary timer was.
        stall: Histogram = "corecast_shard_stall_seconds", buckets STALL;
        /// Listeners that are steady now.
        listeners: Gauge = "corecast_listeners";
    }
}

probe! {
    /// What another plane counts.
    pub(crate) struct ControlProbe {
        /// Requests that were answered.
        requests: Counter = "corecast_api_requests_total";
    }
}

fn registry() -> Registry {
    let shards = [Arc::new(ShardProbe::new()), Arc::new(ShardProbe::default())];
    let control = Arc::new(ControlProbe::new());
    let mut registry = Registry::new();
    registry.register(Arc::clone(&shards[0]));
    registry.register(Arc::clone(&control));
    registry.register(Arc::clone(&shards[1]));

    shards[0].connections.add(1);
    shards[1].connections.add(2);
    shards[0].ended.at(1).add(4);
    shards[1].ended.of("slow_reader").add(1);
    shards[1].ended.at(2).add(9);
    shards[0].listeners.add(5);
    shards[1].listeners.add(-7);
    for late_us in [999, 1_000, 1_001, 20_001] {
        shards[1].stall.record(late_us);
    }
    control.requests.store(6);
    registry
}

fn page() -> String {
    registry().render()
}

#[test]
fn one_number_is_summed_like_the_page() {
    let registry = registry();
    for (name, label, expected) in [
        ("corecast_connections_total", None, 3),
        ("corecast_listeners_ended_total", None, 5),
        ("corecast_listeners_ended_total", Some("slow_reader"), 5),
        ("corecast_listeners_ended_total", Some("closed"), 0),
        ("corecast_listeners_ended_total", Some("other"), 0),
        ("corecast_api_requests_total", None, 6),
        ("corecast_api_requests_total", Some("x"), 0),
        ("corecast_listeners", None, 0),
        ("corecast_none", None, 0),
    ] {
        assert_eq!(registry.total(name, label), expected, "{name} {label:?}");
    }
}

#[test]
fn a_scrape_sums_the_shards() {
    let expected = "\
# HELP corecast_connections_total Connections that were accepted, on every acceptor.
# TYPE corecast_connections_total counter
corecast_connections_total 3
# HELP corecast_listeners_ended_total Listeners that ended, by reason.
# TYPE corecast_listeners_ended_total counter
corecast_listeners_ended_total{reason=\"closed\"} 0
corecast_listeners_ended_total{reason=\"slow_reader\"} 5
# HELP corecast_shard_stall_seconds How late the canary timer was.
# TYPE corecast_shard_stall_seconds histogram
corecast_shard_stall_seconds_sum 0.023001
corecast_shard_stall_seconds_count 4
corecast_shard_stall_seconds_bucket{le=\"0.001\"} 2
corecast_shard_stall_seconds_bucket{le=\"0.005\"} 3
corecast_shard_stall_seconds_bucket{le=\"0.02\"} 3
corecast_shard_stall_seconds_bucket{le=\"+Inf\"} 4
# HELP corecast_listeners Listeners that are steady now.
# TYPE corecast_listeners gauge
corecast_listeners -2
# HELP corecast_api_requests_total Requests that were answered.
# TYPE corecast_api_requests_total counter
corecast_api_requests_total 6
";
    assert_eq!(page(), expected);
}

#[test]
fn the_page_of_metrics_comes_from_the_declarations() {
    let page = crate::reference::render(&[ShardProbe::DECLARATIONS, ControlProbe::DECLARATIONS]);
    let rows: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    let connections = "Connections that were accepted, on every acceptor.";
    let ends = "`reason`: `closed`, `slow_reader`";
    assert_eq!(
        rows,
        [
            format!("| `corecast_connections_total` | counter |  | {connections} |"),
            format!(
                "| `corecast_listeners_ended_total` | counter | {ends} | \
             Listeners that ended, by reason. |"
            ),
            "| `corecast_shard_stall_seconds` | histogram | `le`: 0.001, 0.005, 0.02 | \
             How late the canary timer was. |"
                .to_owned(),
            "| `corecast_listeners` | gauge |  | Listeners that are steady now. |".to_owned(),
            "| `corecast_api_requests_total` | counter |  | Requests that were answered. |"
                .to_owned(),
        ]
    );
}

#[test]
fn another_thread_reads_what_one_writes() {
    let probe = Arc::new(ShardProbe::new());
    let writer = Arc::clone(&probe);
    let counted = std::thread::spawn(move || {
        for _ in 0..100_000 {
            writer.connections.add(1);
        }
    });
    let mut seen = 0;
    while !counted.is_finished() {
        let total = probe.connections.total();
        assert!(total >= seen, "a counter went back from {seen} to {total}");
        seen = total;
    }
    counted.join().expect("the writer does not panic");
    assert_eq!(probe.connections.total(), 100_000);
}

fn peer(last: u32) -> IpAddr {
    IpAddr::from((0x0a00_0000 + last).to_be_bytes())
}

#[test]
fn a_loud_peer_is_hushed_and_the_next_line_says_so() {
    let mut limiter = Limiter::new(Limits {
        lines_max: 2,
        window_ms: 1_000,
        peers_max: 8,
    });
    let mut at = |now_ms, last| limiter.allow(now_ms, peer(last));
    assert_eq!(
        [at(0, 1), at(1, 1), at(2, 1), at(3, 1)],
        [Verdict::Say, Verdict::Say, Verdict::Hush, Verdict::Hush]
    );
    assert_eq!(at(3, 2), Verdict::Say);
    assert_eq!(at(1_000, 1), Verdict::SayWithSuppressed(2));
    assert_eq!(at(1_000, 1), Verdict::Say);
    assert_eq!(at(1_999, 1), Verdict::Hush);
}

#[test]
fn a_flood_from_many_addresses_shares_one_allowance() {
    let mut limiter = Limiter::new(Limits {
        lines_max: 2,
        window_ms: 1_000,
        peers_max: 8,
    });
    let said = |limiter: &mut Limiter, now_ms| {
        let verdicts = (0..1_000).map(|last| limiter.allow(now_ms, peer(last)));
        verdicts.filter(|verdict| *verdict != Verdict::Hush).count()
    };
    assert_eq!(said(&mut limiter, 5_000), 8 + 2);
    assert_eq!(said(&mut limiter, 5_001), 8);
    assert_eq!(said(&mut limiter, 5_002), 0);
    // A window later the old peers are forgotten and others have their place.
    assert_eq!(limiter.allow(6_100, peer(5_000)), Verdict::Say);
}

#[test]
fn one_ipv6_network_is_one_peer() {
    let mut limiter = Limiter::new(Limits {
        lines_max: 1,
        window_ms: 1_000,
        peers_max: 8,
    });
    let mut at = |text: &str| limiter.allow(0, text.parse().expect("an address"));
    assert_eq!(at("2001:db8::1"), Verdict::Say);
    assert_eq!(at("2001:db8::2"), Verdict::Hush);
    assert_eq!(at("2001:db8:0:1::2"), Verdict::Say);
    assert_eq!(
        [at("192.0.2.1"), at("::ffff:192.0.2.1")],
        [Verdict::Say, Verdict::Hush]
    );
}
