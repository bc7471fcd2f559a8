//! `/api/v1/mounts/{name}/listeners`: how many, how long, with what.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use corecast_media::name::MountName;
use serde::Serialize;

use super::mounts::find;
use super::sessions::{self, Page};
use super::{indices, json};
use crate::audience::agent::CLASSES;
use crate::audience::{Numbers, Tally};
use crate::auth::Rights;
use crate::form::Form;
use crate::node::Node;
use crate::problem::Problem;
use crate::query::NodeSnapshot;

/// The state of the node, and the numbers of its mounts, which may be a little older.
pub(super) async fn numbers(
    node: &Node,
) -> Result<(Arc<NodeSnapshot>, Arc<HashMap<MountName, Numbers>>), Problem> {
    let recent = node.audience().recent(node.now());
    if let Some(numbers) = recent {
        return Ok((node.overview().await?, numbers));
    }
    let snapshot = node.snapshot().await?;
    let numbers = node.audience().count(node.now(), &snapshot.sessions);
    Ok((snapshot, numbers))
}

/// `GET /api/v1/mounts/{name}/listeners`: numbers for everybody, the sessions of the page that
/// `form` wants for the admin.
pub(super) async fn of(
    node: &Node,
    mount: &str,
    rights: Rights,
    form: &Form,
) -> Result<Response, Problem> {
    let config = node.config();
    let page = Page::of_listeners(form, mount)?;
    let (snapshot, numbers) = match rights {
        Rights::Public => numbers(node).await?,
        Rights::Admin => {
            let snapshot = node.snapshot().await?;
            let numbers = node.audience().count(node.now(), &snapshot.sessions);
            (snapshot, numbers)
        }
    };
    let report = find(&snapshot, &config, mount, rights)?;
    let of_mount = numbers.get(&report.mount).cloned().unwrap_or_default();
    let total = of_mount.total();
    let sessions =
        (rights == Rights::Admin).then(|| sessions::list_of(node, &config, &page, &snapshot));
    Ok(json(&Listeners {
        mount,
        listeners: report.listeners,
        listeners_unique: of_mount.unique,
        listeners_peak: report.listeners_peak,
        visits: total.visits,
        listener_hours: hours(total.listened),
        by_agent: CLASSES
            .iter()
            .zip(&of_mount.classes)
            .map(|(name, tally)| (*name, Class::from(tally)))
            .collect(),
        missing_shards: sessions.is_none().then(|| indices(&snapshot.missing)),
        sessions,
    }))
}

#[derive(Serialize)]
struct Listeners<'a> {
    mount: &'a str,
    listeners: u32,
    listeners_unique: u32,
    listeners_peak: u32,
    visits: u64,
    listener_hours: f64,
    by_agent: BTreeMap<&'static str, Class>,
    /// The list of sessions says it too.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing_shards: Option<Vec<u16>>,
    /// What only the admin sees.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    sessions: Option<sessions::List<'a>>,
}

#[derive(Serialize)]
struct Class {
    listeners: u32,
    visits: u64,
    hours: f64,
}

impl From<&Tally> for Class {
    fn from(tally: &Tally) -> Self {
        Class {
            listeners: tally.listeners,
            visits: tally.visits,
            hours: hours(tally.listened),
        }
    }
}

/// Hours to the thousandth.
pub(super) fn hours(listened: Duration) -> f64 {
    (listened.as_secs_f64() / 3.6).round() / 1_000.0
}
