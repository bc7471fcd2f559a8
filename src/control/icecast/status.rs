//! `/status-json.xsl`: keys and types as Icecast 2.4.4 has them.
//!
//! Icecast makes the document from its statistics by a style sheet: keys in the order of their
//! bytes, digits as numbers, `dummy` last; `source` is an object for one mount, an array for
//! more, and absent for none.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use corecast_config::Config;
use corecast_media::codec::Codec;
use corecast_mesh::message::{MountReport, SourceState};
use http::StatusCode;
use http::header::HOST;
use percent_encoding::percent_decode_str;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::answer;
use crate::api::mounts::laid_over;
use crate::api::path_of;
use crate::api::server::VERSION;
use crate::auth::Rights;
use crate::clock;
use crate::form::Form;
use crate::node::Node;
use crate::problem::Problem;

/// `GET /status-json.xsl?mount=`
pub(crate) async fn show(
    State(node): State<Arc<Node>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let config = node.config();
    // Icecast looks at no credentials here, and some tools send the source's.
    let rights = Rights::of(&headers, &config).unwrap_or(Rights::Public);
    let form = Form::parse(query.unwrap_or_default().as_bytes());
    let wanted = form.text("mount");
    let snapshot = node.overview().await?;
    let base = base_url(&headers, &config);
    let shown = snapshot.mounts.iter().filter(|report| {
        let name = report.mount.as_str();
        !matches!(report.state, SourceState::Gone { .. })
            && wanted.as_deref().is_none_or(|wanted| wanted == name)
            && rights.sees(&config, name)
    });
    let sources = shown
        .map(|report| source(&node, &config, &base, report))
        .collect();
    let document = document(&node, &config, sources);
    let Ok(text) = serde_json::to_vec(&document) else {
        return Err(Problem::internal());
    };
    Ok(answer(
        StatusCode::OK,
        "application/json; charset=UTF-8",
        text,
    ))
}

/// Pairs in the order of the document.
struct Object(Vec<(String, Value)>);

impl Object {
    fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.0.push((key.to_owned(), value.into()));
    }

    /// The pairs in the order of their names; of two values the first counts.
    fn sort(&mut self) {
        self.0.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.0.dedup_by(|(a, _), (b, _)| a == b);
    }

    /// As [`Object::sort`], closed as Icecast closes it.
    fn close(mut self) -> Self {
        self.sort();
        self.put("dummy", Value::Null);
        self
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

#[derive(Serialize)]
struct Document {
    icestats: Stats,
}

/// `icestats`, whose `source` has three shapes.
#[derive(Serialize)]
struct Stats {
    #[serde(flatten)]
    server: Object,
    #[serde(flatten)]
    source: Sources,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Sources {
    None { dummy: () },
    One { source: Object },
    More { source: Vec<Object> },
}

fn document(node: &Node, config: &Config, mut sources: Vec<Object>) -> Document {
    let mut server = Object(Vec::new());
    server.put("admin", config.server.admin.as_str());
    server.put("host", config.server.hostname.as_str());
    server.put("location", config.server.location.as_str());
    server.put("server_id", format!("corecast {VERSION}"));
    server.put("server_start", clock::icecast(node.started_unix));
    server.put(
        "server_start_iso8601",
        clock::icecast_iso8601(node.started_unix),
    );
    let source = match (sources.pop(), sources.is_empty()) {
        (None, _) => Sources::None { dummy: () },
        (Some(source), true) => Sources::One { source },
        (Some(last), false) => {
            sources.push(last);
            Sources::More { source: sources }
        }
    };
    Document {
        icestats: Stats { server, source },
    }
}

/// One mount.
fn source(node: &Node, config: &Config, base: &str, report: &MountReport) -> Object {
    let name = report.mount.as_str();
    let settings = config.mount(name);
    let info = &report.info;
    let or = |text: &str, otherwise: &str| {
        if text.is_empty() {
            otherwise.to_owned()
        } else {
            text.to_owned()
        }
    };
    let mut object = Object(Vec::new());
    object.put(
        "genre",
        or(laid_over(&settings.genre, &info.genre), "various"),
    );
    object.put("listener_peak", report.listeners_peak);
    object.put("listeners", report.listeners);
    object.put("listenurl", format!("{base}{}", path_of(name)));
    let description = laid_over(&settings.description, &info.description);
    object.put(
        "server_description",
        or(description, "Unspecified description"),
    );
    let stream_name = laid_over(&settings.stream_name, &info.name);
    object.put("server_name", or(stream_name, "Unspecified name"));
    object.put("server_type", &*info.content_type);
    let url = laid_over(&settings.url, &info.url);
    if !url.is_empty() {
        object.put("server_url", url);
    }
    if let Some(time) = report.live_since {
        object.put("stream_start", clock::icecast(node.wall(time)));
        object.put(
            "stream_start_iso8601",
            clock::icecast_iso8601(node.wall(time)),
        );
    }
    put_title(&mut object, report);
    put_said(&mut object, report);
    put_format(&mut object, report);
    object.close()
}

/// Ogg streams tell artist and title apart; elsewhere the title is the whole line.
fn put_title(object: &mut Object, report: &MountReport) {
    let metadata = &report.metadata;
    match (&metadata.artist, &metadata.song) {
        (Some(artist), song) if report.format.codec.is_ogg() => {
            object.put("artist", &**artist);
            if let Some(song) = song {
                object.put("title", &**song);
            }
        }
        _ if metadata.title.is_empty() => {}
        _ => object.put("title", &*metadata.title),
    }
}

/// What was read from the stream itself.
fn put_format(object: &mut Object, report: &MountReport) {
    let format = &report.format;
    match format.codec {
        Codec::Vorbis => {
            object.put("audio_bitrate", format.bitrate_bps);
            object.put("audio_channels", format.channels);
            object.put("audio_samplerate", format.sample_rate_hz);
            object.put("ice-bitrate", format.bitrate_bps / 1_000);
            object.put("subtype", "Vorbis");
        }
        Codec::Opus => object.put("subtype", "Opus"),
        Codec::Speex => object.put("subtype", "Speex"),
        Codec::Flac => object.put("FLAC_version", 1),
        // Icecast repeats what the source said and nothing else; a rate is worth more than none.
        _ if format.bitrate_bps > 0 => object.put("bitrate", format.bitrate_bps / 1_000),
        _ => {}
    }
}

/// What the source said of its audio. Only these keys: a source must not overwrite others.
fn put_said(object: &mut Object, report: &MountReport) {
    let info = &report.info;
    if !info.bitrate.is_empty() {
        object.put("bitrate", number_or_text(&info.bitrate));
    }
    if info.audio_info.is_empty() {
        return;
    }
    object.put("audio_info", &*info.audio_info);
    for (key, value) in info
        .audio_info
        .split(';')
        .filter_map(|pair| pair.split_once('='))
    {
        let key = key.trim();
        let plain = key.strip_prefix("ice-").unwrap_or(key);
        if matches!(plain, "bitrate" | "channels" | "quality" | "samplerate") {
            let value = percent_decode_str(value.trim()).decode_utf8_lossy();
            object.put(key, number_or_text(&value));
        }
    }
}

/// Icecast's style sheet makes numbers of what looks like one.
fn number_or_text(text: &str) -> Value {
    let looks = !text.is_empty()
        && text.len() <= 15
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match text.parse::<f64>() {
        Ok(number) if looks && number.fract() == 0.0 => json!(number as u64),
        Ok(number) if looks => json!(number),
        _ => json!(text),
    }
}

/// Where the client reached us, where it says so in a plausible way; else the configured name.
fn base_url(headers: &HeaderMap, config: &Config) -> String {
    let host = headers
        .get(HOST)
        .and_then(|value| value.to_str().ok())
        .filter(|host| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
            !host.is_empty() && host.len() <= 260 && host.bytes().all(plain)
        });
    match host {
        Some(host) => format!("http://{host}"),
        None => {
            let port = config
                .listen
                .first()
                .map_or(8_000, |listen| listen.address.port());
            let name = &config.server.hostname;
            match name.parse() {
                Ok(ip) => format!("http://{}", SocketAddr::new(ip, port)),
                Err(_) => format!("http://{name}:{port}"),
            }
        }
    }
}
