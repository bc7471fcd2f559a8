//! What the mesh counts: its rings and doorbells keep the numbers, this sums them on scrape.

use std::sync::Arc;

use corecast_telemetry::metric::{Counter, Declaration, Family, Gauge};
use corecast_telemetry::probe;
use corecast_telemetry::registry::Probe;

use crate::port::{LinkStats, MeshStats, Plane};

/// Kinds of rings, in the order of [`ring_index`].
const RINGS: &[&str] = &["shard_to_shard", "shard_to_control", "control_to_shard"];

/// Kinds of planes, in the order of [`plane_index`].
const PLANES: &[&str] = &["shard", "control"];

probe! {
    /// The numbers of one scrape.
    pub struct MeshTotals {
        /// Messages that lie in rings between planes.
        depth: Family<Gauge> = "corecast_ring_messages" by "ring" in RINGS;
        /// Messages that were sent between planes.
        sent: Family<Counter> = "corecast_ring_sent_total" by "ring" in RINGS;
        /// Messages that a full ring gave back to their sender.
        refused: Family<Counter> = "corecast_ring_refused_total" by "ring" in RINGS;
        /// Doorbells that woke a sleeping plane, a system call each.
        doorbells: Family<Counter> = "corecast_doorbells_total" by "plane" in PLANES;
    }
}

/// The metrics of the whole mesh. Lives on: any plane.
#[derive(Debug)]
pub struct MeshProbe(Arc<MeshStats>);

impl MeshProbe {
    /// Reads `stats` at each scrape.
    pub fn new(stats: Arc<MeshStats>) -> Self {
        MeshProbe(stats)
    }
}

impl Probe for MeshProbe {
    fn declarations(&self) -> &'static [Declaration] {
        MeshTotals::DECLARATIONS
    }

    fn add_to(&self, totals: &mut [i64]) {
        let sums = MeshTotals::new();
        for link in self.0.links() {
            let kind = ring_index(link);
            sums.depth
                .at(kind)
                .add(i64::try_from(link.ring.depth()).unwrap_or(i64::MAX));
            sums.sent.at(kind).add(link.ring.sent());
            sums.refused.at(kind).add(link.ring.full());
        }
        for (plane, rung) in self.0.doorbells() {
            sums.doorbells.at(plane_index(plane)).add(rung);
        }
        sums.add_to(totals);
    }
}

fn ring_index(link: &LinkStats) -> usize {
    match (link.from, link.to) {
        (_, Plane::Control) => 1,
        (Plane::Control, _) => 2,
        (Plane::Shard(_), Plane::Shard(_)) => 0,
    }
}

fn plane_index(plane: Plane) -> usize {
    match plane {
        Plane::Shard(_) => 0,
        Plane::Control => 1,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::message::FromControl;
    use crate::port::{Capacities, mesh};
    use crate::topology::Topology;
    use corecast_media::name::ShardId;
    use corecast_telemetry::registry::Registry;

    #[test]
    fn rings_and_doorbells_are_summed_by_kind() {
        let topology = Topology::new(3);
        let capacities = Capacities {
            control_to_shard: 1,
            ..Capacities::of(topology)
        };
        let mut mesh = mesh(topology, capacities).expect("descriptors for four doorbells");
        assert!(mesh.shards[1].sleep());
        for shard in topology.ids() {
            mesh.control
                .send(
                    shard,
                    FromControl::Query {
                        query: 0,
                        sessions: false,
                    },
                )
                .expect("room for one");
        }
        mesh.control
            .send(
                ShardId(2),
                FromControl::Query {
                    query: 1,
                    sessions: false,
                },
            )
            .expect_err("full");
        mesh.control.flush();
        let mut registry = Registry::new();
        registry.register(Arc::new(MeshProbe::new(mesh.stats)));
        let page = registry.render();
        for line in [
            "corecast_ring_messages{ring=\"control_to_shard\"} 3",
            "corecast_ring_sent_total{ring=\"control_to_shard\"} 3",
            "corecast_ring_sent_total{ring=\"shard_to_shard\"} 0",
            "corecast_ring_refused_total{ring=\"control_to_shard\"} 1",
            "corecast_doorbells_total{plane=\"shard\"} 1",
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
    }
}
