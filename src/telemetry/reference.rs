//! The page of all metrics, rendered from their declarations.

use std::fmt::Write;

use crate::metric::{Declaration, Kind};

/// Renders `docs/metrics.md` from the declarations of every probe, in this order.
pub fn render(groups: &[&[Declaration]]) -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         `GET /metrics` answers in Prometheus' text format. Every number is summed over shards.\n\
         This page is rendered from the declarations in the `probe.rs` files.\n\n\
         | metric | type | labels | meaning |\n\
         |---|---|---|---|\n",
    );
    for declaration in groups.iter().copied().flatten() {
        let row = format!(
            "| `{}` | {} | {} | {} |\n",
            declaration.name,
            declaration.kind.word(),
            labels(declaration),
            cell(&declaration.help_line()),
        );
        page.push_str(&row);
    }
    page
}

fn labels(declaration: &Declaration) -> String {
    let mut cell = String::new();
    if let Some(label) = declaration.label {
        let values: Vec<String> = label
            .values
            .iter()
            .map(|value| format!("`{value}`"))
            .collect();
        write!(cell, "`{}`: {}", label.name, values.join(", "))
            .expect("writing to a String cannot fail");
    }
    if let (Kind::Histogram, Some(buckets)) = (declaration.kind, declaration.buckets) {
        let scale = f64::from(buckets.scale);
        let bounds: Vec<String> = buckets
            .bounds
            .iter()
            .map(|bound| (*bound as f64 / scale).to_string())
            .collect();
        write!(cell, "`le`: {}", bounds.join(", ")).expect("writing to a String cannot fail");
    }
    cell
}

/// A text that stays inside its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
