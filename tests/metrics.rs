//! `docs/metrics.md` says what `/metrics` shows.

use std::fs;
use std::path::Path;

use corecast_control::ControlProbe;
use corecast_mesh::probe::MeshTotals;
use corecast_shard::probe::ShardProbe;
use corecast_telemetry::metric::Declaration;
use corecast_telemetry::reference::render;

/// Every declaration of the program, in the order of the page.
const GROUPS: &[&[Declaration]] = &[
    ShardProbe::DECLARATIONS,
    ControlProbe::DECLARATIONS,
    MeshTotals::DECLARATIONS,
];

#[test]
fn the_page_of_metrics_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let wanted = render(GROUPS);
    if std::env::var_os("CORECAST_RENDER").is_some() {
        fs::write(&path, &wanted).expect("write docs/metrics.md");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/metrics.md is stale: CORECAST_RENDER=1 cargo test --test integration metrics"
    );
}
