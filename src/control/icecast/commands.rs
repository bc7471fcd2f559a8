//! Commands of `/admin/` that change something: they end sessions, move listeners, and set where
//! listeners go when a source is gone.

use axum::response::Response;
use corecast_media::name::MountName;
use corecast_mesh::message::{EndReason, FromControl, MountReport};
use http::StatusCode;

use super::admin::Call;
use super::xml::Element;
use super::{Failure, answer, lists, response};
use crate::node::Order;

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

/// Users of the mount's listeners: a file that the operator keeps, a hook, or nobody decides.
pub(super) fn manage_auth(call: &Call<'_>, report: &MountReport) -> Result<Element, Failure> {
    let settings = call.config.mount(report.mount.as_str());
    let message = match super::authenticator(settings) {
        None => "missing parameter",
        Some(_) => "Users of this mount are not kept here",
    };
    Err(Failure::bad(message))
}
