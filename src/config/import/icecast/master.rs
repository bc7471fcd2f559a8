//! The server whose mounts an Icecast slave relays.

use super::super::entry::{Entry, switch};
use super::super::note::Outcome;
use super::super::plan::Plan;
use super::relay::{host_of, is_good};
use super::socket::{PORT, port_of};
use crate::master::Master;
use crate::property::{Kind, Section};
use crate::relay::HttpUrl;
use crate::value;

/// Keeps what relays go by that stands elsewhere.
pub(super) fn prepare(root: &Entry, plan: &mut Plan) {
    let on_demand = root.child_text("relays-on-demand").and_then(switch);
    plan.relays_on_demand = on_demand == Some(true);
}

/// Reads what the root says of a master.
pub(super) fn settle(root: &Entry, plan: &mut Plan) {
    let find = |key: &str| {
        let entry = root.children.iter().rfind(|entry| entry.key == key)?;
        let text = entry.text.trim();
        (!text.is_empty()).then_some((entry, text))
    };
    let Some((entry, server)) = find("master-server") else {
        return;
    };
    let path = |key: &str| format!("{}/{key}", super::ROOT);
    let port = find("master-server-port").map_or(Some(PORT), |(_, text)| port_of(text));
    let url = port.map(|port| format!("http://{}:{port}", host_of(server)));
    let is_root = |url: &String| HttpUrl::parse(url).is_ok_and(|url| url.target == "/");
    let Some(url) = url.filter(is_root) else {
        let reason = "its server and port are no address";
        return plan.note(entry, &path("master-server"), Outcome::LeftOut, reason);
    };
    let mut master = Master {
        name: "master".to_owned(),
        url,
        on_demand: plan.relays_on_demand,
        ..Master::default()
    };
    if let Some((entry, user)) = find("master-username") {
        if is_good(Kind::Text { bytes_max: 128 }, user) && !user.contains(':') {
            master.user = user.to_owned();
        } else {
            let reason = "no user is called so";
            plan.note(entry, &path("master-username"), Outcome::LeftOut, reason);
        }
    }
    if let Some((entry, _)) = find("master-password") {
        if is_good(Kind::Secret, &entry.text) {
            master.password = entry.text.clone();
        } else {
            let reason = "everybody tries it first, or it is no password";
            plan.note(entry, &path("master-password"), Outcome::LeftOut, reason);
        }
    }
    if let Some((entry, text)) = find("master-update-interval") {
        settle_interval(
            &mut master,
            entry,
            text,
            &path("master-update-interval"),
            plan,
        );
    }
    plan.masters.push((master, entry.line));
}

fn settle_interval(master: &mut Master, entry: &Entry, text: &str, path: &str, plan: &mut Plan) {
    const KEY: &str = "interval_ms";
    let Some(property) = Master::property(KEY) else {
        return;
    };
    let millis = text.parse::<u32>().ok().map(|s| i64::from(s) * 1_000);
    let wanted = millis.map(crate::property::Value::Int);
    match wanted.filter(|wanted| value::check(property.declaration.kind, wanted).is_ok()) {
        Some(wanted) => {
            (property.write)(master, wanted);
        }
        None => {
            let expected = value::expected(property.declaration.kind);
            let reason = format!("no such interval; ours is {expected}");
            plan.note(entry, path, Outcome::LeftOut, reason);
        }
    }
}
