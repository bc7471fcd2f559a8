//! Icecast's statistics: names and values of the server and of each mount, in the order of the
//! names' bytes. `/status-json.xsl` shows some of them, `/admin/stats` all.

use corecast_config::{Config, shown_ip};
use corecast_media::codec::Codec;
use corecast_mesh::message::MountReport;
use percent_encoding::percent_decode_str;

use crate::api::mounts::laid_over;
use crate::api::path_of;
use crate::api::server::VERSION;
use crate::clock;
use crate::node::Node;
use crate::query::NodeSnapshot;

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A number of ours.
    Number(u64),
    /// What a source said; it may look like a number.
    Said(String),
    /// Text, whatever it looks like.
    Text(String),
}

/// Names and values.
#[derive(Debug, Default)]
pub(crate) struct Stats(pub(crate) Vec<(String, Value)>);

impl Stats {
    fn text(&mut self, name: &str, text: impl Into<String>) {
        self.0.push((name.to_owned(), Value::Text(text.into())));
    }

    fn number(&mut self, name: &str, number: impl Into<u64>) {
        self.0.push((name.to_owned(), Value::Number(number.into())));
    }

    fn said(&mut self, name: &str, said: impl Into<String>) {
        self.0.push((name.to_owned(), Value::Said(said.into())));
    }

    /// In the order of the names; of two values of one name the first counts.
    fn sorted(mut self) -> Self {
        self.0.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.0.dedup_by(|(a, _), (b, _)| a == b);
        self
    }
}

/// What everybody may know of the server.
pub(crate) fn server(node: &Node, config: &Config) -> Stats {
    let mut stats = Stats::default();
    stats.text("admin", &config.server.admin);
    stats.text("host", &config.server.hostname);
    stats.text("location", &config.server.location);
    stats.text("server_id", format!("corecast {VERSION}"));
    stats.text("server_start", clock::icecast(node.started_unix));
    let start = clock::icecast_iso8601(node.started_unix);
    stats.text("server_start_iso8601", start);
    stats.sorted()
}

/// What the admin sees of the server.
pub(crate) fn server_counts(node: &Node, config: &Config) -> Stats {
    let mut stats = server(node, config);
    let total = |metric: &str, label: Option<&str>| node.registry.total(metric, label);
    let requests = |kind| total("corecast_requests_total", Some(kind));
    let sources = total("corecast_sources", None) + total("corecast_sources_ended_total", None);
    stats.number(
        "client_connections",
        requests("listener") + requests("control"),
    );
    stats.number("clients", node.seats.connections.taken());
    let connections = total("corecast_connections_accepted_total", None);
    stats.number("connections", connections);
    stats.number("file_connections", 0_u32);
    let listeners = total("corecast_listeners_started_total", None);
    stats.number("listener_connections", listeners);
    stats.number("listeners", node.seats.listeners.taken());
    let relays = total("corecast_relays_started_total", None);
    stats.number("source_client_connections", sources.saturating_sub(relays));
    stats.number("source_relay_connections", relays);
    stats.number("source_total_connections", sources);
    stats.number("sources", node.seats.sources.taken());
    stats.number("stats", 0_u32);
    stats.number("stats_connections", 0_u32);
    stats.sorted()
}

/// What everybody may know of one mount; `base` is the start of its URL.
pub(crate) fn source(node: &Node, config: &Config, base: &str, report: &MountReport) -> Stats {
    let name = report.mount.as_str();
    let settings = config.mount(name);
    let info = &report.info;
    let mut stats = Stats::default();
    let genre = laid_over(&settings.genre, &info.genre);
    stats.text("genre", laid_over(genre, "various"));
    stats.number("listener_peak", report.listeners_peak);
    stats.number("listeners", report.listeners);
    stats.text("listenurl", format!("{base}{}", path_of(name)));
    let description = laid_over(&settings.description, &info.description);
    let description = laid_over(description, "Unspecified description");
    stats.text("server_description", description);
    let stream_name = laid_over(&settings.stream_name, &info.name);
    stats.text("server_name", laid_over(stream_name, "Unspecified name"));
    stats.text("server_type", &*info.content_type);
    let url = laid_over(&settings.url, &info.url);
    if !url.is_empty() {
        stats.text("server_url", url);
    }
    if let Some(time) = report.live_since {
        let time = node.wall(time);
        stats.text("stream_start", clock::icecast(time));
        stats.text("stream_start_iso8601", clock::icecast_iso8601(time));
    }
    put_title(&mut stats, report);
    put_said(&mut stats, report);
    put_format(&mut stats, report);
    stats.sorted()
}

/// What the admin sees of one mount.
pub(crate) fn source_counts(
    node: &Node,
    config: &Config,
    base: &str,
    snapshot: &NodeSnapshot,
    report: &MountReport,
) -> Stats {
    let settings = config.mount(report.mount.as_str());
    let info = &report.info;
    let mut stats = source(node, config, base, report);
    if let Some(authenticator) = super::authenticator(settings) {
        stats.text("authenticator", authenticator);
    }
    match settings.listeners_max {
        0 => stats.text("max_listeners", "unlimited"),
        max => stats.number("max_listeners", max),
    }
    stats.number("public", u8::from(info.public));
    stats.number("slow_listeners", report.slow_listeners);
    if let Some(peer) = info.address {
        let ip = shown_ip(peer.ip(), config.log.redact_ip);
        stats.text("source_ip", ip.to_string());
    }
    stats.number("total_bytes_read", report.bytes_read);
    let sent = snapshot.sent.get(&report.mount).copied().unwrap_or(0);
    stats.number("total_bytes_sent", sent);
    if !info.user_agent.is_empty() {
        stats.text("user_agent", &*info.user_agent);
    }
    stats.sorted()
}

/// Ogg streams tell artist and title apart; elsewhere the title is the whole line.
fn put_title(stats: &mut Stats, report: &MountReport) {
    let metadata = &report.metadata;
    match (&metadata.artist, &metadata.song) {
        (Some(artist), song) if report.format.codec.is_ogg() => {
            stats.text("artist", &**artist);
            if let Some(song) = song {
                stats.text("title", &**song);
            }
        }
        _ if metadata.title.is_empty() => {}
        _ => stats.text("title", &*metadata.title),
    }
}

/// What the source said of its audio. Only these names: a source must not overwrite others.
fn put_said(stats: &mut Stats, report: &MountReport) {
    let info = &report.info;
    if !info.bitrate.is_empty() {
        stats.said("bitrate", &*info.bitrate);
    }
    if info.audio_info.is_empty() {
        return;
    }
    stats.text("audio_info", &*info.audio_info);
    for (key, value) in info
        .audio_info
        .split(';')
        .filter_map(|pair| pair.split_once('='))
    {
        let key = key.trim();
        let plain = key.strip_prefix("ice-").unwrap_or(key);
        if matches!(plain, "bitrate" | "channels" | "quality" | "samplerate") {
            let value = percent_decode_str(value.trim()).decode_utf8_lossy();
            stats.said(key, value);
        }
    }
}

/// What was read from the stream itself.
fn put_format(stats: &mut Stats, report: &MountReport) {
    let format = &report.format;
    match format.codec {
        Codec::Vorbis => {
            stats.number("audio_bitrate", format.bitrate_bps);
            stats.number("audio_channels", format.channels);
            stats.number("audio_samplerate", format.sample_rate_hz);
            stats.number("ice-bitrate", format.bitrate_bps / 1_000);
            stats.text("subtype", "Vorbis");
        }
        Codec::Opus => stats.text("subtype", "Opus"),
        Codec::Speex => stats.text("subtype", "Speex"),
        Codec::Flac => stats.number("FLAC_version", 1_u32),
        // Icecast repeats what the source said and nothing else; a rate is worth more than none.
        _ if format.bitrate_bps > 0 => stats.number("bitrate", format.bitrate_bps / 1_000),
        _ => {}
    }
}
