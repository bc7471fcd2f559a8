//! What corecast counts, and what it says about itself.
//!
//! - [`metric`]: counters, gauges and histograms, written by one thread, read by any.
//! - [`registry`]: declarations, the sum over shards, and the text that Prometheus reads.
//! - [`mod@reference`]: the page of all metrics, rendered from their declarations.
//! - [`log`]: levels, field names, and a bound on what is said about one peer.
//!
//! A folder that counts something has a `probe.rs` with one [`probe!`]:
//!
//! ```
//! use std::sync::Arc;
//! use corecast_telemetry::metric::{Buckets, Counter, Family, Gauge, Histogram};
//! use corecast_telemetry::registry::Registry;
//! use corecast_telemetry::probe;
//!
//! /// Upper bounds in microseconds.
//! const STALL: Buckets = Buckets::micros(&[1_000, 5_000, 20_000, 100_000]);
//! const ENDS: &[&str] = &["closed", "slow_reader"];
//!
//! probe! {
//!     /// What the data plane counts; one for each shard.
//!     pub struct ShardProbe {
//!         /// Connections that were accepted.
//!         connections: Counter = "corecast_connections_total";
//!         /// Listeners that are steady now.
//!         listeners: Gauge = "corecast_listeners";
//!         /// Listeners that ended, by reason.
//!         ended: Family<Counter> = "corecast_listeners_ended_total" by "reason" in ENDS;
//!         /// How late the canary timer was.
//!         stall: Histogram = "corecast_shard_stall_seconds", buckets STALL;
//!     }
//! }
//!
//! let shards = [Arc::new(ShardProbe::new()), Arc::new(ShardProbe::new())];
//! let mut registry = Registry::new();
//! for probe in &shards {
//!     registry.register(Arc::clone(probe));
//! }
//! shards[0].connections.add(1);
//! shards[1].connections.add(2);
//! shards[0].ended.at(1).add(1);
//! shards[0].stall.record(1_500);
//! assert!(registry.render().contains("\ncorecast_connections_total 3\n"));
//! // `ShardProbe::DECLARATIONS` goes into `reference::render`.
//! ```

pub mod log;
pub mod metric;
pub mod reference;
pub mod registry;

#[cfg(test)]
mod tests;
