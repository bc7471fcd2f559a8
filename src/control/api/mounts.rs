//! `/api/v1/mounts`: what is on air.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use corecast_config::{Config, shown_ip};
use corecast_media::name::MountName;
use corecast_media::track::{Track, TrackKind};
use corecast_mesh::message::{MountReport, SourceState};
use serde::Serialize;

use super::{indices, json, listeners, path_of, playing};
use crate::audience::Numbers;
use crate::auth::Rights;
use crate::clock;
use crate::form::Form;
use crate::node::Node;
use crate::problem::Problem;
use crate::query::NodeSnapshot;

/// `GET /api/v1/mounts`
pub(crate) async fn list(
    State(node): State<Arc<Node>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let config = node.config();
    let rights = Rights::of(&headers, &config)?;
    let (snapshot, numbers) = listeners::numbers(&node).await?;
    let seen = |report: &&MountReport| rights.sees(&config, report.mount.as_str());
    let view = View {
        node: &node,
        config: &config,
        snapshot: &snapshot,
        numbers: &numbers,
        rights,
    };
    let mounts = snapshot
        .mounts
        .iter()
        .filter(seen)
        .map(|report| view.mount(report))
        .collect();
    Ok(json(&List {
        mounts,
        missing_shards: indices(&snapshot.missing),
    }))
}

/// `GET /api/v1/mounts/{name}`, and what stands below a mount: a mount's name may end as the path
/// of such a thing does, and goes before it.
pub(crate) async fn one(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (name, query) = (format!("/{name}"), query.unwrap_or_default());
    let config = node.config();
    let rights = Rights::of(&headers, &config)?;
    let overview = node.overview().await?;
    if overview.mount(&name).is_none() {
        if let Some(mount) = name.strip_suffix("/listeners") {
            return listeners::of(&node, mount, rights, &Form::parse(query.as_bytes())).await;
        }
        if let Some(mount) = name.strip_suffix("/now-playing") {
            let report = find(&overview, &config, mount, rights)?;
            return Ok(playing::of(&node, report));
        }
    }
    let (snapshot, numbers) = listeners::numbers(&node).await?;
    let view = View {
        node: &node,
        config: &config,
        snapshot: &snapshot,
        numbers: &numbers,
        rights,
    };
    Ok(json(&view.mount(find(&snapshot, &config, &name, rights)?)))
}

/// The mount, where there is one that who asks may see.
pub(super) fn find<'a>(
    snapshot: &'a NodeSnapshot,
    config: &Config,
    name: &str,
    rights: Rights,
) -> Result<&'a MountReport, Problem> {
    let report = snapshot.mount(name).filter(|_| rights.sees(config, name));
    report.ok_or_else(|| match snapshot.missing.is_empty() {
        true => Problem::not_found("there is no such mount"),
        false => Problem::unavailable("a shard that may have the mount did not answer"),
    })
}

#[derive(Serialize)]
struct List<'a> {
    mounts: Vec<Mount<'a>>,
    missing_shards: Vec<u16>,
}

#[derive(Serialize)]
struct Mount<'a> {
    name: &'a str,
    path: String,
    state: &'static str,
    fallback: Option<&'a str>,
    hidden: bool,
    stream_name: &'a str,
    description: &'a str,
    genre: &'a str,
    url: &'a str,
    public: bool,
    content_type: &'a str,
    codec: &'static str,
    sample_rate_hz: u32,
    channels: u8,
    bitrate_bps: u64,
    title: &'a str,
    artist: Option<&'a str>,
    song: Option<&'a str>,
    title_url: Option<&'a str>,
    tracks: Vec<TrackView<'a>>,
    viewers: usize,
    listeners: u32,
    listeners_peak: u32,
    listeners_unique: u32,
    visits: u64,
    listener_hours: f64,
    slow_listeners: u64,
    bytes_read: u64,
    bytes_sent: u64,
    live_since: Option<String>,
    live_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Source<'a>>,
}

/// One track as it was measured; 0 for what is not known or has no meaning for its kind.
#[derive(Serialize)]
struct TrackView<'a> {
    id: u8,
    kind: &'static str,
    codec: &'static str,
    rfc6381: &'a str,
    width: u16,
    height: u16,
    frame_rate: f64,
    sample_rate_hz: u32,
    channels: u8,
}

impl<'a> TrackView<'a> {
    fn of(track: &'a Track) -> Self {
        let format = &track.format;
        TrackView {
            id: track.id.0,
            kind: match format.codec.kind() {
                TrackKind::Video => "video",
                TrackKind::Audio => "audio",
            },
            codec: format.codec.name(),
            rfc6381: &format.rfc6381,
            width: format.width,
            height: format.height,
            frame_rate: f64::from(format.frame_rate_millihz) / 1_000.0,
            sample_rate_hz: format.sample_rate_hz,
            channels: format.channels,
        }
    }
}

/// What only the admin sees.
#[derive(Serialize)]
struct Source<'a> {
    session: Option<String>,
    address: Option<String>,
    user_agent: &'a str,
}

struct View<'a> {
    node: &'a Node,
    config: &'a Config,
    snapshot: &'a NodeSnapshot,
    numbers: &'a HashMap<MountName, Numbers>,
    rights: Rights,
}

impl<'a> View<'a> {
    fn mount(&self, report: &'a MountReport) -> Mount<'a> {
        let name = report.mount.as_str();
        let settings = self.config.mount(name);
        let info = &report.info;
        let numbers = self.numbers.get(&report.mount);
        let total = numbers.map(Numbers::total).unwrap_or_default();
        let fallback = match &report.state {
            SourceState::Gone {
                fallback: Some(mount),
            } => Some(mount.as_str()),
            _ => None,
        };
        Mount {
            name,
            path: path_of(name),
            state: state_name(&report.state),
            fallback: fallback.filter(|mount| self.rights.sees(self.config, mount)),
            hidden: settings.hidden,
            stream_name: laid_over(&settings.stream_name, &info.name),
            description: laid_over(&settings.description, &info.description),
            genre: laid_over(&settings.genre, &info.genre),
            url: laid_over(&settings.url, &info.url),
            public: info.public,
            content_type: &info.content_type,
            codec: report.format.codec.name(),
            sample_rate_hz: report.format.sample_rate_hz,
            channels: report.format.channels,
            bitrate_bps: bitrate_bps(report),
            title: &report.metadata.title,
            artist: report.metadata.artist.as_deref(),
            song: report.metadata.song.as_deref(),
            title_url: report.metadata.url.as_deref(),
            tracks: report.tracks.iter().map(TrackView::of).collect(),
            viewers: self
                .snapshot
                .viewers
                .get(&report.mount)
                .map_or(0, HashSet::len),
            listeners: report.listeners,
            listeners_peak: report.listeners_peak,
            listeners_unique: numbers.map_or(0, |numbers| numbers.unique),
            visits: total.visits,
            listener_hours: listeners::hours(total.listened),
            slow_listeners: report.slow_listeners,
            bytes_read: report.bytes_read,
            bytes_sent: self.snapshot.sent.get(&report.mount).copied().unwrap_or(0),
            live_since: report
                .live_since
                .map(|time| clock::rfc3339(self.node.wall(time))),
            live_seconds: report
                .live_since
                .map(|time| self.node.now().since(time).as_secs()),
            source: (self.rights == Rights::Admin).then(|| self.source(report)),
        }
    }

    fn source(&self, report: &'a MountReport) -> Source<'a> {
        let redact = self.config.log.redact_ip;
        let address = report
            .info
            .address
            .map(|peer| shown_ip(peer.ip(), redact).to_string());
        let session = report.publisher.map(|session| session.to_string());
        Source {
            session,
            address,
            user_agent: &report.info.user_agent,
        }
    }
}

/// The mount's own setting, or what the source said.
pub(crate) fn laid_over<'a>(setting: &'a str, said: &'a str) -> &'a str {
    if setting.is_empty() { said } else { setting }
}

/// The measured rate; what the headers say while nothing is measured.
fn bitrate_bps(report: &MountReport) -> u64 {
    match report.bitrate_bps {
        0 => u64::from(report.format.bitrate_bps),
        measured => measured,
    }
}

fn state_name(state: &SourceState) -> &'static str {
    match state {
        SourceState::Live => "live",
        SourceState::Waiting => "waiting",
        SourceState::Gone { .. } => "gone",
    }
}
