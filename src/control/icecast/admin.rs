//! `/admin/...`: which command a path is, who may give it, and in which form it is answered.
//!
//! A command about a mount may come from the mount's source too, the plain list of mounts from
//! servers that relay them, every other one only from the admin. Paths that end in `.xsl` are
//! answered with a page, the others with XML.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use corecast_config::Config;
use corecast_mesh::message::MountReport;
use http::StatusCode;

use super::xml::Element;
use super::{Failure, commands, error, html, is_on_air, lists, playlist, xml_answer};
use crate::auth::Credentials;
use crate::form::Form;
use crate::node::Node;
use crate::query::NodeSnapshot;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    Stats,
    ListMounts,
    StreamList,
    ListClients,
    KillClient,
    KillSource,
    MoveClients,
    Fallbacks,
    ManageAuth,
    UpdateMetadata,
    BuildM3u,
}

/// How it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Xml,
    Page,
    Text,
}

impl Command {
    /// The command and the shape of its answer that the path behind `/admin/` names.
    fn parse(path: &str) -> Option<(Self, Shape)> {
        let (name, shape) = match path.rsplit_once('.') {
            Some((name, "xsl")) => (name, Shape::Page),
            Some(("stats", "xml")) => ("stats", Shape::Xml),
            Some(("streamlist", "txt")) => ("streamlist", Shape::Text),
            Some(_) => return None,
            None => (path, Shape::Xml),
        };
        let command = match name {
            "stats" => Command::Stats,
            "listmounts" => Command::ListMounts,
            "streamlist" => Command::StreamList,
            "listclients" => Command::ListClients,
            "killclient" => Command::KillClient,
            "killsource" => Command::KillSource,
            "moveclients" => Command::MoveClients,
            "fallbacks" => Command::Fallbacks,
            "manageauth" => Command::ManageAuth,
            "updatemetadata" => Command::UpdateMetadata,
            "buildm3u" if shape == Shape::Xml => Command::BuildM3u,
            _ => return None,
        };
        Some((command, shape))
    }

    /// Whether it changes something.
    fn acts(self) -> bool {
        matches!(
            self,
            Command::KillClient
                | Command::KillSource
                | Command::MoveClients
                | Command::Fallbacks
                | Command::ManageAuth
        )
    }

    /// Whether it is about the whole server where no mount is named.
    fn is_general(self) -> bool {
        matches!(
            self,
            Command::Stats | Command::ListMounts | Command::StreamList
        )
    }
}

/// One command with everything that its answer is made of.
pub(super) struct Call<'a> {
    pub(super) node: &'a Node,
    pub(super) config: &'a Config,
    pub(super) headers: &'a HeaderMap,
    pub(super) form: &'a Form,
    pub(super) snapshot: &'a NodeSnapshot,
}

impl Call<'_> {
    /// The mount of this name, where it has a source.
    pub(super) fn source(&self, mount: &str) -> Option<&MountReport> {
        self.snapshot
            .mount(mount)
            .filter(|report| is_on_air(report))
    }

    /// Refuses what the page of somebody else makes a browser do with the admin's credentials.
    pub(super) fn is_ours(&self) -> Result<(), Failure> {
        let site = self.headers.get("sec-fetch-site");
        match site.map(|value| value.as_bytes()) {
            None | Some(b"same-origin" | b"none") => Ok(()),
            Some(_) => Err(Failure::Page(
                StatusCode::FORBIDDEN,
                "Another site may not ask for this",
            )),
        }
    }
}

/// `GET` or `POST /admin/{command}`; a form in the body is as good as the query.
pub(crate) async fn command(
    State(node): State<Arc<Node>>,
    Path(path): Path<String>,
    method: Method,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some((command, shape)) = Command::parse(&path) else {
        // libshout asks for `/admin/!POKE` and wants an error.
        let message = match method {
            Method::GET | Method::HEAD => "Unrecognised command",
            _ => "unknown request",
        };
        return error(StatusCode::BAD_REQUEST, message);
    };
    if method == Method::HEAD && command.acts() {
        return error(StatusCode::BAD_REQUEST, "unknown request");
    }
    let mut form = Form::parse(query.unwrap_or_default().as_bytes());
    form.extend(Form::parse(&body));
    run(&node, command, shape, &headers, &form)
        .await
        .unwrap_or_else(IntoResponse::into_response)
}

/// `GET /admin/`: the server at a glance.
pub(crate) async fn index(State(node): State<Arc<Node>>, headers: HeaderMap) -> Response {
    run(
        &node,
        Command::Stats,
        Shape::Page,
        &headers,
        &Form::default(),
    )
    .await
    .unwrap_or_else(IntoResponse::into_response)
}

async fn run(
    node: &Node,
    command: Command,
    shape: Shape,
    headers: &HeaderMap,
    form: &Form,
) -> Result<Response, Failure> {
    let config = node.config();
    let mount = form.text("mount");
    if command == Command::BuildM3u {
        let mount = mount.ok_or(Failure::bad("Unknown admin request"))?;
        return playlist::with_credentials(&config, headers, form, &mount);
    }
    check_rights(&config, headers, mount.as_deref(), shape)?;
    if mount.is_none() && !command.is_general() {
        return Err(Failure::bad("Unknown admin request"));
    }
    let snapshot = match command {
        Command::ListClients | Command::KillClient => node.snapshot().await?,
        _ => node.overview().await?,
    };
    let call = Call {
        node,
        config: &config,
        headers,
        form,
        snapshot: &snapshot,
    };
    let report = match mount.as_deref() {
        Some(mount) => Some(mount_of(&call, mount)?),
        None => None,
    };
    if shape == Shape::Text {
        return Ok(lists::plain(&call));
    }
    let document = match (command, report) {
        (Command::Stats, report) => lists::stats(&call, report),
        (Command::ListClients, Some(report)) => lists::clients(&call, report),
        (Command::KillClient, Some(report)) => commands::kill_client(&call, report)?,
        (Command::KillSource, Some(report)) => commands::kill_source(&call, report)?,
        (Command::MoveClients, Some(report)) => commands::move_clients(&call, report)?,
        (Command::Fallbacks, Some(report)) => return commands::set_fallback(&call, report),
        (Command::ManageAuth, Some(report)) => commands::manage_auth(&call, report).await?,
        (Command::UpdateMetadata, Some(report)) => {
            let source = Element::source(report.mount.as_str(), Vec::new());
            Element::of("icestats", vec![source])
        }
        _ => lists::mounts(&call),
    };
    Ok(match shape {
        Shape::Page if command == Command::ManageAuth => html::users(&document),
        Shape::Page => html::admin(&document),
        Shape::Xml | Shape::Text => xml_answer(&document),
    })
}

/// The admin may everything, a source what is about its own mount; whoever relays our mounts gets
/// the plain list of them.
fn check_rights(
    config: &Config,
    headers: &HeaderMap,
    mount: Option<&str>,
    shape: Shape,
) -> Result<(), Failure> {
    let credentials = Credentials::parse(headers);
    let good = credentials.is_some_and(|given| match mount {
        Some(mount) => given.are_source(config, mount),
        None if shape == Shape::Text && given.are_relay(&config.auth) => true,
        None => given.are_admin(&config.auth),
    });
    if good {
        Ok(())
    } else {
        Err(Failure::Unauthorized)
    }
}

fn mount_of<'a>(call: &'a Call<'_>, mount: &str) -> Result<&'a MountReport, Failure> {
    match call.source(mount) {
        Some(report) => Ok(report),
        None if call.snapshot.missing.is_empty() => Err(Failure::bad("Source does not exist")),
        None => Err(Failure::silent()),
    }
}
