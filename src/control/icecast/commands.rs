//! Commands of `/admin/` that change something: they end sessions, move listeners, set where
//! listeners go when a source is gone, and say who may listen.

use std::borrow::Cow;
use std::path::PathBuf;

use axum::response::Response;
use corecast_media::name::MountName;
use corecast_mesh::message::{EndReason, FromControl, MountReport};
use http::StatusCode;

use super::admin::Call;
use super::xml::Element;
use super::{Failure, answer, lists, response};
use crate::node::Order;
use crate::users::{self, Change, Changed};

/// Ends one listener of the mount.
pub(super) fn kill_client(call: &Call<'_>, report: &MountReport) -> Result<Element, Failure> {
    let id = call
        .form
        .text("id")
        .ok_or(Failure::bad("Missing parameter"))?;
    call.is_ours()?;
    // Icecast reads what is no number as 0, which is nobody's.
    let id: u64 = id.trim().parse().unwrap_or(0);
    let is_meant = |session: u64| session == id && id != 0;
    let sessions = call.snapshot.sessions.iter();
    let found = sessions
        .filter(|session| !session.publisher && session.mount == report.mount)
        .find(|session| is_meant(session.session.as_u64()));
    let Some(found) = found else {
        return Ok(response(false, format_args!("Client {id} not found")));
    };
    let session = found.session;
    tracing::info!(%session, mount = %report.mount, "listener ended by an admin");
    let message = FromControl::EndSession {
        session,
        reason: EndReason::Killed,
    };
    call.node.send(session.shard(), message);
    Ok(response(true, format_args!("Client {id} removed")))
}

/// Ends the source of the mount.
pub(super) fn kill_source(call: &Call<'_>, report: &MountReport) -> Result<Element, Failure> {
    call.is_ours()?;
    let mount = report.mount.clone();
    tracing::info!(%mount, "source ended by an admin");
    let home = call.node.topology.home(&mount);
    call.node.send(home, FromControl::EndSource { mount });
    Ok(response(true, "Source Removed"))
}

/// Takes the listeners of the mount to another one, or says which there are.
pub(super) fn move_clients(call: &Call<'_>, report: &MountReport) -> Result<Element, Failure> {
    let Some(destination) = call.form.text("destination") else {
        return Ok(lists::destinations(call, report));
    };
    call.is_ours()?;
    let to = call
        .source(&destination)
        .ok_or(Failure::bad("No such destination"))?;
    if to.mount == report.mount {
        return Err(Failure::bad("supplied mountpoints are identical"));
    }
    let (from, to_name) = (&report.mount, &to.mount);
    if !report.info.continues_as(&to.info) {
        let message = format_args!("Clients of {from} cannot read what {to_name} sends");
        return Ok(response(false, message));
    }
    tracing::info!(%from, to = %to_name, "listeners moved by an admin");
    for shard in call.node.topology.ids() {
        let message = FromControl::MoveListeners {
            from: from.clone(),
            to: to_name.clone(),
        };
        call.node.send(shard, message);
    }
    let message = format_args!("Clients moved from {from} to {to_name}");
    Ok(response(true, message))
}

/// Where the mount's listeners go when its source is gone, until the settings are read again.
pub(super) fn set_fallback(call: &Call<'_>, report: &MountReport) -> Result<Response, Failure> {
    let fallback = call
        .form
        .text("fallback")
        .ok_or(Failure::bad("Missing parameter"))?;
    call.is_ours()?;
    let fallback = match &*fallback {
        "" => None,
        name => Some(MountName::parse(name).map_err(|_| Failure::bad("No such destination"))?),
    };
    if fallback.as_ref() == Some(&report.mount) {
        return Err(Failure::bad("supplied mountpoints are identical"));
    }
    let mount = report.mount.clone();
    let shown = fallback.as_ref().map(|fallback| fallback.as_str());
    tracing::info!(%mount, fallback = shown, "fallback set by an admin");
    call.node.order(Order::SetFallback { mount, fallback });
    let page = "<html><head><title>Admin request successful</title></head>\
                <body><p>Fallback configured</p></body></html>";
    Ok(answer(StatusCode::OK, "text/html; charset=utf-8", page))
}

/// Lists, adds and deletes users of the mount's listeners, in the file that the settings name.
/// Where a hook decides there is none to list, and nothing can be changed.
pub(super) async fn manage_auth(call: &Call<'_>, report: &MountReport) -> Result<Element, Failure> {
    let mount = report.mount.as_str();
    let settings = call.config.mount(mount);
    let missing = || Failure::bad("missing parameter");
    if super::authenticator(settings).is_none() {
        return Err(missing());
    }
    let path = &settings.listener_htpasswd;
    let path = (!path.as_os_str().is_empty()).then_some(path);
    let text = |name| call.form.text(name).map(Cow::into_owned);
    let change = match text("action").as_deref() {
        Some("add") => Some(Change::Add {
            user: text("username").ok_or_else(missing)?,
            password: text("password").ok_or_else(missing)?,
        }),
        Some("delete") => Some(Change::Delete {
            user: text("username").ok_or_else(missing)?,
        }),
        _ => None,
    };
    let message = match change {
        Some(change) => {
            call.is_ours()?;
            Some(change_users(call, mount, path, change).await)
        }
        None => None,
    };
    let mut users = match path.cloned() {
        Some(path) => names(path).await?,
        None => Vec::new(),
    };
    users.sort_unstable();
    let user = |name| Element::of("User", vec![Element::text("username", name)]);
    let source = Element::source(mount, users.into_iter().map(user).collect());
    let message = message.map(|message| {
        let message = Element::text("message", message);
        Element::of("iceresponse", vec![message])
    });
    let elements = std::iter::once(source).chain(message);
    Ok(Element::of("icestats", elements.collect()))
}

/// What came of the change, in Icecast's words.
async fn change_users(
    call: &Call<'_>,
    mount: &str,
    path: Option<&PathBuf>,
    change: Change,
) -> &'static str {
    let failed = match change {
        Change::Add { .. } => "User add failed - check the icecast error log",
        Change::Delete { .. } => "User delete failed - check the icecast error log",
    };
    let Some(path) = path else {
        tracing::warn!(mount, "a hook knows the users of the mount, no file");
        return failed;
    };
    match call.node.users.change(path.clone(), change).await {
        Ok(changed) => {
            tracing::info!(mount, ?changed, "users changed by an admin");
            match changed {
                Changed::Added => "User added",
                Changed::Exists => "User already exists - not added",
                Changed::Deleted => "User deleted",
            }
        }
        Err(error) => {
            tracing::warn!(mount, path = %path.display(), %error, "users not changed");
            failed
        }
    }
}

async fn names(path: PathBuf) -> Result<Vec<String>, Failure> {
    let read = tokio::task::spawn_blocking(move || users::names(&path)).await;
    read.map_err(Into::into).flatten().map_err(|error| {
        tracing::warn!(%error, "cannot read the file of listeners");
        let message = "The file of users cannot be read";
        Failure::Page(StatusCode::INTERNAL_SERVER_ERROR, message)
    })
}
