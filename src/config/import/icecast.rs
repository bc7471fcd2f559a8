//! Icecast's settings: versions 2.4 and 2.5, and the KH fork.
//!
//! [`server`] has the table of what stands once, [`mount`] that of a mount, [`socket`] reads where
//! it listens, [`relay`] streams of other servers, [`master`] whole servers.

mod master;
mod mount;
mod relay;
mod server;
mod socket;

use super::entry::Entry;
use super::plan::{DEFAULTS, Given, Plan, Settings, default_of};
use super::rule::walk;
use crate::property::Value;

/// The path of the root.
const ROOT: &str = "icecast";

/// Reads what stands in the root.
pub(super) fn read(root: &Entry, plan: &mut Plan) {
    socket::prepare(root, plan);
    master::prepare(root, plan);
    walk(&root.children, ROOT, server::RULES, plan);
    socket::settle_listen(root, plan);
    master::settle(root, plan);
    server::settle_access_log(root, plan);
    // A default mount of Icecast is for mounts without a section; ours is under all of them.
    let shared = plan.sections.get(DEFAULTS).cloned().unwrap_or_default();
    for entry in root.children.iter().filter(|entry| entry.key == "mount") {
        mount::read(entry, plan);
    }
    settle_intros(root, plan);
    separate_defaults(&shared, plan);
    settle_returns(plan);
}

/// Icecast looks for intros in the folder of its pages, whatever their path begins with.
fn settle_intros(root: &Entry, plan: &mut Plan) {
    let paths = root.children.iter().rfind(|entry| entry.key == "paths");
    let folder = paths.and_then(|paths| paths.child_text("webroot"));
    let Some(folder) = folder.map(|folder| folder.trim_end_matches('/')) else {
        return;
    };
    let defaults = plan.sections.get_mut(DEFAULTS).into_iter();
    let mounts = plan.mounts.iter_mut().map(|mount| &mut mount.settings);
    for settings in mounts.chain(defaults) {
        if let Some(given) = settings.get_mut("intro")
            && let Value::Text(file) = &given.value
            && !file.is_empty()
        {
            let file = file.trim_start_matches('/');
            given.value = Value::Text(format!("{folder}/{file}"));
        }
    }
}

/// Unsays in each mount's own section what the default mount said and Icecast would not merge;
/// `shared` is what holds for all mounts.
fn separate_defaults(shared: &Settings, plan: &mut Plan) {
    let merged = plan.sections.get(DEFAULTS).cloned().unwrap_or_default();
    for mount in &mut plan.mounts {
        for (key, given) in &merged {
            let before = shared.get(key).map(|given| given.value.clone());
            let value = before.or_else(|| default_of(DEFAULTS, key));
            if let Some(value) = value.filter(|value| *value != given.value) {
                let because = "the default mount is not for this one";
                mount.settings.entry(key).or_insert(Given {
                    value,
                    line: 0,
                    because,
                });
            }
        }
    }
}

/// Icecast's listeners return from a fallback only where it is told so; ours unless told
/// otherwise.
fn settle_returns(plan: &mut Plan) {
    let defaults = plan.sections.get_mut(DEFAULTS).into_iter();
    let mounts = plan.mounts.iter_mut().map(|mount| &mut mount.settings);
    for settings in mounts.chain(defaults) {
        let fallback = settings.get("fallback").map(|given| &given.value);
        if fallback.is_some_and(|name| *name != Value::Text(String::new())) {
            let given = Given {
                value: Value::Bool(false),
                line: 0,
                because: "without fallback-override listeners stay",
            };
            settings.entry("fallback_return").or_insert(given);
        }
    }
}

/// The tables.
#[cfg(test)]
pub(super) fn tables() -> [&'static [super::rule::Rule]; 2] {
    [server::RULES, mount::RULES]
}
