//! `/admin/metadata`: an encoder or a script tells what is playing.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use corecast_config::{Config, Listen, ListenProtocol};
use corecast_media::metadata::Metadata;
use corecast_mesh::message::{FromControl, MountReport};

use super::xml::Element;
use super::{Failure, html, is_on_air, response, xml_answer};
use crate::auth::Credentials;
use crate::charset;
use crate::form::Form;
use crate::node::Node;
use crate::query::NodeSnapshot;

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
    match set(&node, &form, &mount, credentials).await {
        Ok(document) => xml_answer(&document),
        Err(failure) => failure.into_response(),
    }
}

/// `GET /admin/metadata.xsl`: as [`update`], from a page and with a page.
pub(crate) async fn update_from_page(
    State(node): State<Arc<Node>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let form = Form::parse(query.unwrap_or_default().as_bytes());
    let mount = form.text("mount").unwrap_or_default();
    let credentials = Credentials::parse(&headers);
    match set(&node, &form, &mount, credentials).await {
        Ok(document) => html::admin(&document),
        Err(failure) => failure.into_response(),
    }
}

/// `GET /admin.cgi?pass=&mode=updinfo&song=&url=`: what Shoutcast's sources send.
pub(crate) async fn update_by_password(
    State(node): State<Arc<Node>>,
    RawQuery(query): RawQuery,
) -> Response {
    let form = Form::parse(query.unwrap_or_default().as_bytes());
    let config = node.config();
    let mount = form.text("mount");
    let mount = mount.unwrap_or_else(|| shoutcast_mount(&config).into());
    let credentials = form.bytes("pass").map(Credentials::of_source);
    match set(&node, &form, &mount, credentials).await {
        Ok(document) => xml_answer(&document),
        Err(failure) => failure.into_response(),
    }
}

/// Where Shoutcast's sources play: they know only one station.
fn shoutcast_mount(config: &Config) -> &str {
    let is_shoutcast = |listen: &&Listen| listen.protocol == ListenProtocol::Shoutcast;
    let found = config.listen.iter().find(is_shoutcast);
    found.map_or("/stream", |listen| listen.shoutcast_mount.as_str())
}

async fn set(
    node: &Node,
    form: &Form,
    mount: &str,
    credentials: Option<Credentials>,
) -> Result<Element, Failure> {
    if !credentials.is_some_and(|given| given.are_source(&node.config(), mount)) {
        return Err(Failure::Unauthorized);
    }
    if mount.is_empty() {
        return Err(Failure::bad("Missing parameter"));
    }
    match form.bytes("mode") {
        None => return Err(Failure::bad("Missing parameter")),
        Some(b"updinfo") => {}
        Some(_) => return Ok(response(false, "No such action")),
    }
    let mut snapshot = node.overview().await?;
    let on_air = |snapshot: &NodeSnapshot| snapshot.mount(mount).is_some_and(is_on_air);
    if !on_air(&snapshot) {
        // Encoders say their first title as soon as they are taken.
        snapshot = node.overview_of_now().await?;
    }
    match snapshot.mount(mount).filter(|report| is_on_air(report)) {
        Some(report) => {
            let metadata = metadata_of(form, report);
            let home = node.topology.home(&report.mount);
            let mount = report.mount.clone();
            node.send(home, FromControl::SetMetadata { mount, metadata });
            Ok(response(true, "Metadata update successful"))
        }
        None if snapshot.missing.is_empty() => Err(Failure::bad("Source does not exist")),
        None => Err(Failure::silent()),
    }
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
