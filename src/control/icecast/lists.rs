//! Lists of `/admin/`: the statistics, the mounts, the listeners of a mount.

use std::collections::BTreeSet;

use axum::response::Response;
use corecast_config::shown_ip;
use corecast_mesh::message::{MountReport, SessionReport};
use http::StatusCode;

use super::admin::Call;
use super::stats::{self, Stats, Value};
use super::xml::Element;
use super::{answer, authenticator, base_url, is_on_air, name_node};
use crate::masters;

/// Everything that is counted, of all mounts or of one.
pub(super) fn stats(call: &Call<'_>, wanted: Option<&MountReport>) -> Element {
    let (node, config) = (call.node, call.config);
    let base = base_url(call.headers, config);
    let mut elements = elements(stats::server_counts(node, config));
    let shown =
        on_air(call).filter(|report| wanted.is_none_or(|wanted| wanted.mount == report.mount));
    elements.extend(shown.map(|report| {
        let counts = stats::source_counts(node, config, &base, call.snapshot, report);
        Element::source(report.mount.as_str(), self::elements(counts))
    }));
    Element::of("icestats", elements)
}

/// The mounts that have a source.
pub(super) fn mounts(call: &Call<'_>) -> Element {
    let sources = on_air(call).map(|report| mount(call, report));
    Element::of("icestats", sources.collect())
}

/// Where listeners of a mount could go.
pub(super) fn destinations(call: &Call<'_>, from: &MountReport) -> Element {
    let mut elements = vec![Element::text("current_source", &from.mount)];
    let others = on_air(call).filter(|report| report.mount != from.mount);
    elements.extend(others.map(|report| mount(call, report)));
    Element::of("icestats", elements)
}

/// The names of the mounts that have a source, or get one when somebody listens; a line each, for
/// those who relay all of them.
pub(super) fn plain(call: &Call<'_>) -> Response {
    let relays = call.config.relays.iter().filter(|relay| relay.on_demand);
    let theirs = masters::taken_from_asker(call.node, call.config, call.headers);
    let names: BTreeSet<&str> = on_air(call)
        .map(|report| report.mount.as_str())
        .chain(relays.map(|relay| relay.mount.as_str()))
        .filter(|name| !call.config.mount(name).hidden)
        .filter(|name| !theirs.contains(*name))
        .collect();
    let text: String = names.iter().map(|name| format!("{name}\n")).collect();
    let mut response = answer(StatusCode::OK, "text/plain; charset=utf-8", text);
    name_node(&mut response, call.node);
    response
}

/// Who listens to a mount.
pub(super) fn clients(call: &Call<'_>, report: &MountReport) -> Element {
    let sessions = call.snapshot.sessions.iter();
    let mut listeners: Vec<&SessionReport> = sessions
        .filter(|session| !session.publisher && session.mount == report.mount)
        .collect();
    listeners.sort_unstable_by_key(|session| session.session);
    let mut elements = vec![Element::text("Listeners", listeners.len())];
    elements.extend(listeners.into_iter().map(|session| client(call, session)));
    let source = Element::source(report.mount.as_str(), elements);
    Element::of("icestats", vec![source])
}

fn client(call: &Call<'_>, session: &SessionReport) -> Element {
    let ip = shown_ip(session.peer.ip(), call.config.log.redact_ip);
    let user_agent = match &*session.user_agent {
        "" => "Unknown",
        user_agent => user_agent,
    };
    let connected = call.node.now().since(session.since).as_secs();
    Element::of(
        "listener",
        vec![
            Element::text("IP", ip),
            Element::text("UserAgent", user_agent),
            Element::text("Connected", connected),
            Element::text("ID", session.session.as_u64()),
        ],
    )
}

fn mount(call: &Call<'_>, report: &MountReport) -> Element {
    let settings = call.config.mount(report.mount.as_str());
    let mut elements = vec![
        Element::text("fallback", &settings.fallback),
        Element::text("listeners", report.listeners),
    ];
    if let Some(authenticator) = authenticator(settings) {
        elements.push(Element::text("authenticator", authenticator));
    }
    if let Some(since) = report.live_since {
        let connected = call.node.now().since(since).as_secs();
        elements.push(Element::text("Connected", connected));
    }
    elements.push(Element::text("content-type", &report.info.content_type));
    Element::source(report.mount.as_str(), elements)
}

fn on_air<'a>(call: &'a Call<'_>) -> impl Iterator<Item = &'a MountReport> {
    let mounts = call.snapshot.mounts.iter();
    mounts.filter(|report| is_on_air(report))
}

fn elements(stats: Stats) -> Vec<Element> {
    let element = |(name, value)| match value {
        Value::Number(number) => Element::text(name, number),
        Value::Said(text) | Value::Text(text) => Element::text(name, text),
    };
    stats.0.into_iter().map(element).collect::<Vec<Element>>()
}
