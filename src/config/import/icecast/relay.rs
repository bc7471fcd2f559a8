//! A stream that Icecast takes from another server.

use super::super::entry::{Entry, switch};
use super::super::note::{Outcome, clean};
use super::super::plan::Plan;
use super::socket::{PORT, port_of};
use crate::check::{HLS_NAME, is_hls_path, is_reserved_path};
use crate::property::Kind;
use crate::relay::{HttpUrl, RELAYS_MAX, Relay};
use crate::value;

/// Reads a `<relay>`.
pub(super) fn read(entry: &Entry, path: &str, plan: &mut Plan) {
    note_children(entry, path, plan);
    let relay = match relay(entry, plan.relays_on_demand) {
        Ok(relay) => relay,
        Err(reason) => return plan.note(entry, path, Outcome::LeftOut, reason),
    };
    let taken = |(other, _): &(Relay, usize)| other.mount == relay.mount;
    let fault = if plan.relays.iter().any(taken) {
        Some(format!("{} is relayed before", clean(&relay.mount)))
    } else if is_reserved_path(&relay.mount) {
        Some(format!("{} is a page of corecast's own", relay.mount))
    } else if is_hls_path(&relay.mount) {
        Some(format!("{} {HLS_NAME}", clean(&relay.mount)))
    } else if plan.relays.len() >= RELAYS_MAX {
        Some(format!("more than {RELAYS_MAX} relays"))
    } else {
        value::check(Kind::MountName, &value_of(&relay.mount)).err()
    };
    match fault {
        Some(reason) => plan.note(entry, path, Outcome::LeftOut, reason),
        None => plan.relays.push((relay, entry.line)),
    }
}

/// What it says, with Icecast's defaults.
fn relay(entry: &Entry, on_demand: bool) -> Result<Relay, String> {
    let text = |key: &str| {
        let text = entry.child_text(key).map(str::trim);
        text.filter(|text| !text.is_empty())
    };
    let server = text("server").ok_or("has no <server>")?;
    let port = text("port").map_or(Some(PORT), port_of);
    let port = port.ok_or("its port is no port")?;
    let host = host_of(server);
    let mount = text("mount").unwrap_or("/");
    let url = HttpUrl::parse(&format!("http://{host}:{port}{mount}"));
    let url = url.map_err(|fault| format!("its URL {fault}"))?;
    let on = |key: &str, default: bool| text(key).and_then(switch).unwrap_or(default);
    let mut relay = Relay {
        mount: text("local-mount").unwrap_or(mount).to_owned(),
        url: url.to_string(),
        on_demand: on("on-demand", on_demand),
        titles: on("relay-shoutcast-metadata", true),
        ..Relay::default()
    };
    if let Some(user) = text("username").filter(|user| is_good(Kind::Text { bytes_max: 128 }, user))
        && !user.contains(':')
    {
        relay.user = user.to_owned();
    }
    if let Some(password) = text("password").filter(|password| is_good(Kind::Secret, password)) {
        relay.password = password.to_owned();
    }
    Ok(relay)
}

/// A host as a URL has it.
pub(super) fn host_of(server: &str) -> String {
    match server.contains(':') {
        true => format!("[{server}]"),
        false => server.to_owned(),
    }
}

fn value_of(text: &str) -> crate::property::Value {
    crate::property::Value::Text(text.to_owned())
}

pub(super) fn is_good(kind: Kind, text: &str) -> bool {
    value::check(kind, &value_of(text)).is_ok()
}

/// What is not taken over as it stands.
fn note_children(entry: &Entry, path: &str, plan: &mut Plan) {
    for child in &entry.children {
        let path = plan.path(path, &child.key);
        let text = child.text.trim();
        let (outcome, reason) = match child.key.as_str() {
            "server"
            | "port"
            | "mount"
            | "local-mount"
            | "on-demand"
            | "relay-shoutcast-metadata" => continue,
            "username" if is_good(Kind::Text { bytes_max: 128 }, text) && !text.contains(':') => {
                continue;
            }
            "username" => (Outcome::LeftOut, "no user is called so"),
            "password" if is_good(Kind::Secret, text) => continue,
            "password" => (
                Outcome::LeftOut,
                "everybody tries it first, or it is no password",
            ),
            "bind" => (Outcome::Missing, "the system chooses the address"),
            _ => (Outcome::Unknown, "the importer does not know it"),
        };
        plan.note(child, &path, outcome, reason);
    }
}
