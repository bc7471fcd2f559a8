//! `/status-json.xsl`: keys and types as Icecast 2.4.4 has them.
//!
//! Icecast makes the document from its statistics by a style sheet: keys in the order of their
//! bytes, digits as numbers, `dummy` last; `source` is an object for one mount, an array for
//! more, and absent for none.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use corecast_mesh::message::MountReport;
use http::StatusCode;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::stats::{self, Stats};
use super::{answer, base_url, is_on_air, name_node};
use crate::auth::Rights;
use crate::form::Form;
use crate::masters;
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
    let theirs = masters::taken_from_asker(&node, &config, &headers);
    let is_shown = |report: &&MountReport| {
        let name = report.mount.as_str();
        is_on_air(report)
            && !theirs.contains(name)
            && wanted.as_deref().is_none_or(|wanted| wanted == name)
            && rights.sees(&config, name)
    };
    let shown = snapshot.mounts.iter().filter(is_shown);
    let sources = shown.map(|report| Object::from(stats::source(&node, &config, &base, report)));
    let document = document(Object::from(stats::server(&node, &config)), sources);
    let Ok(text) = serde_json::to_vec(&document) else {
        return Err(Problem::internal());
    };
    let mut response = answer(StatusCode::OK, "application/json; charset=UTF-8", text);
    if headers.contains_key(masters::NODE_HEADER) {
        name_node(&mut response, &node);
    }
    Ok(response)
}

/// Pairs in the order of the document.
struct Object(Vec<(String, Value)>);

impl Object {
    /// Closed as Icecast closes the object of a source.
    fn close(mut self) -> Self {
        self.0.push(("dummy".to_owned(), Value::Null));
        self
    }
}

impl From<Stats> for Object {
    fn from(stats: Stats) -> Self {
        let value = |value| match value {
            stats::Value::Number(number) => json!(number),
            stats::Value::Said(said) => number_or_text(&said),
            stats::Value::Text(text) => json!(text),
        };
        let pairs = stats.0.into_iter();
        Object(pairs.map(|(name, said)| (name, value(said))).collect())
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

#[derive(Serialize)]
struct Document {
    icestats: IceStats,
}

/// `icestats`, whose `source` has three shapes.
#[derive(Serialize)]
struct IceStats {
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

fn document(server: Object, sources: impl Iterator<Item = Object>) -> Document {
    let mut sources: Vec<Object> = sources.map(Object::close).collect();
    let source = match (sources.pop(), sources.is_empty()) {
        (None, _) => Sources::None { dummy: () },
        (Some(source), true) => Sources::One { source },
        (Some(last), false) => {
            sources.push(last);
            Sources::More { source: sources }
        }
    };
    Document {
        icestats: IceStats { server, source },
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
