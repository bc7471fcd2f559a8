//! `/admin/metadata`: an encoder or a script tells what is playing.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use corecast_media::metadata::Metadata;
use corecast_mesh::message::{FromControl, MountReport, SourceState};
use http::StatusCode;

use super::{done, error, unauthorized};
use crate::auth::Credentials;
use crate::charset;
use crate::form::Form;
use crate::node::Node;

/// `GET` or `POST /admin/metadata?mount=&mode=updinfo&song=&artist=&title=&url=&charset=`; a form
/// in the body is as good as the query.
pub(crate) async fn update(
    State(node): State<Arc<Node>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut form = Form::parse(query.unwrap_or_default().as_bytes());
    form.extend(Form::parse(&body));
    let mount = form.text("mount").unwrap_or_default();
    let credentials = Credentials::parse(&headers);
    if !credentials.is_some_and(|credentials| credentials.are_source(&node.config(), &mount)) {
        return unauthorized();
    }
    if mount.is_empty() {
        return error(StatusCode::BAD_REQUEST, "Missing parameter");
    }
    match form.bytes("mode") {
        None => return error(StatusCode::BAD_REQUEST, "Missing parameter"),
        Some(b"updinfo") => {}
        Some(_) => return done(false, "No such action"),
    }
    let snapshot = match node.overview().await {
        Ok(snapshot) => snapshot,
        Err(problem) => return problem.into(),
    };
    match snapshot.mount(&mount).filter(|report| has_source(report)) {
        Some(report) => {
            let metadata = metadata_of(&form, report);
            let home = node.topology.home(&report.mount);
            let mount = report.mount.clone();
            node.send(home, FromControl::SetMetadata { mount, metadata });
            done(true, "Metadata update successful")
        }
        None if snapshot.missing.is_empty() => {
            error(StatusCode::BAD_REQUEST, "Source does not exist")
        }
        None => error(StatusCode::SERVICE_UNAVAILABLE, "The mount does not answer"),
    }
}

fn has_source(report: &MountReport) -> bool {
    !matches!(report.state, SourceState::Gone { .. })
}

/// The title that `form` says; what it leaves out stays as it is.
fn metadata_of(form: &Form, report: &MountReport) -> Metadata {
    let charset = form.bytes("charset");
    let text = |name| {
        form.bytes(name)
            .map(|bytes| charset::decode(bytes, charset))
    };
    let metadata = match (text("song"), text("artist"), text("title")) {
        (Some(song), _, _) => Metadata::from_title(&song),
        (None, None, None) => Metadata::clone(&report.metadata),
        (None, artist, title) => {
            Metadata::from_parts(&artist.unwrap_or_default(), &title.unwrap_or_default())
        }
    };
    match text("url") {
        Some(url) => metadata.with_url(&url),
        None => metadata,
    }
}
