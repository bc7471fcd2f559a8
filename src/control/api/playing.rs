//! `/api/v1/mounts/{name}/now-playing`: the title, and those before it.

use axum::response::Response;
use corecast_mesh::message::MountReport;
use serde::Serialize;

use super::json;
use crate::clock;
use crate::node::Node;
use crate::titles::Played;

/// `GET /api/v1/mounts/{name}/now-playing`
pub(super) fn of(node: &Node, report: &MountReport) -> Response {
    let played = node.titles().of(report.mount.as_str());
    let now = &report.metadata;
    let since = match played.first() {
        Some(last) if last.metadata.title == now.title => Some(last.since),
        _ => report.live_since.map(|time| node.wall(time)),
    };
    json(&Playing {
        mount: report.mount.as_str(),
        title: &now.title,
        artist: now.artist.as_deref(),
        song: now.song.as_deref(),
        url: now.url.as_deref(),
        since: since.map(clock::rfc3339),
        history: played.iter().map(Title::from).collect(),
    })
}

#[derive(Serialize)]
struct Playing<'a> {
    mount: &'a str,
    title: &'a str,
    artist: Option<&'a str>,
    song: Option<&'a str>,
    url: Option<&'a str>,
    since: Option<String>,
    /// The latest first, the present one among them.
    history: Vec<Title<'a>>,
}

#[derive(Serialize)]
struct Title<'a> {
    title: &'a str,
    since: String,
}

impl<'a> From<&'a Played> for Title<'a> {
    fn from(played: &'a Played) -> Self {
        Title {
            title: &played.metadata.title,
            since: clock::rfc3339(played.since),
        }
    }
}
