//! The plan as a configuration file.

use super::Imported;
use super::note::{Note, Outcome, clean};
use super::plan::{DEFAULTS, Plan, Settings};
use crate::load::{MOUNT, MOUNT_NAME};
use crate::property::{Declaration, Named, Section, Table, Value};
use crate::section::{Config, Listen, ListenProtocol, Mount};
use crate::value;

const HEAD: &str = "\
# `corecast check --config` reads this file, docs/config.md explains it. What is not here has
# corecast's default. Passwords stand in it: keep it from others (chmod 600).
";

/// Writes the plan out.
pub(super) fn render(mut plan: Plan) -> Imported {
    plan.notes.sort_by(|a, b| {
        let key = |note: &Note| (note.outcome, note.place.line, note.place.column);
        key(a).cmp(&key(b)).then_with(|| a.path.cmp(&b.path))
    });
    let mut text = format!("# From {} by `corecast import`.\n{HEAD}", plan.file);
    let config = Config::default();
    for table in config.tables() {
        let name = table.name();
        if let Some(settings) = plan.sections.get(name).filter(|it| !it.is_empty()) {
            text.push_str(&format!("\n[{name}]\n"));
            push_settings(&mut text, &table.declarations(), settings);
        }
        if name == "server" {
            push_listen(&mut text, &plan);
        }
    }
    push_mounts(&mut text, &plan);
    push_named(&mut text, &plan.relays);
    push_named(&mut text, &plan.masters);
    push_notes(&mut text, &plan);
    Imported {
        toml: text,
        notes: plan.notes,
        wants: plan.wants,
    }
}

fn push_listen(text: &mut String, plan: &Plan) {
    for (listen, line) in &plan.listen {
        let shown = value::shown(&Value::Text(listen.address.to_string()));
        let origin = origin(*line, "");
        text.push_str(&format!(
            "\n[[{}]]\naddress = {shown}{origin}\n",
            Listen::NAME
        ));
        if listen.protocol != ListenProtocol::Http {
            text.push_str(&format!("protocol = \"{}\"\n", listen.protocol.word()));
        }
        if listen.protocol == ListenProtocol::Shoutcast {
            let mount = value::shown(&Value::Text(listen.shoutcast_mount.clone()));
            text.push_str(&format!("shoutcast_mount = {mount}\n"));
        }
    }
}

fn push_mounts(text: &mut String, plan: &Plan) {
    let declarations = Mount::default().declarations();
    for mount in &plan.mounts {
        let name = value::shown(&Value::Text(mount.name.clone()));
        let origin = match &mount.fallback_of {
            Some(of) if of == DEFAULTS => " # a fallback needs a section".to_owned(),
            Some(of) => format!(" # the fallback of {} needs a section", clean(of)),
            None => origin(mount.line, ""),
        };
        text.push_str(&format!("\n[[{MOUNT}]]\n{MOUNT_NAME} = {name}{origin}\n"));
        push_settings(text, &declarations, &mount.settings);
    }
}

fn push_named<N: Named>(text: &mut String, all: &[(N, usize)]) {
    let default = N::default();
    for (named, line) in all {
        text.push_str(&format!("\n[[{}]]{}\n", N::NAME, origin(*line, "")));
        for Declaration { key, .. } in named.declarations() {
            if let Some(value) = named
                .value(key)
                .filter(|it| Some(it) != default.value(key).as_ref())
            {
                text.push_str(&format!("{key} = {}\n", value::shown(&value)));
            }
        }
    }
}

fn push_settings(text: &mut String, declarations: &[&'static Declaration], settings: &Settings) {
    for Declaration { key, .. } in declarations {
        if let Some(given) = settings.get(key) {
            let origin = origin(given.line, given.because);
            text.push_str(&format!("{key} = {}{origin}\n", value::shown(&given.value)));
        }
    }
}

/// Where a line comes from, as a comment.
fn origin(line: usize, because: &str) -> String {
    if line > 0 {
        format!(" # line {line}")
    } else {
        format!(" # {because}")
    }
}

fn push_notes(text: &mut String, plan: &Plan) {
    for outcome in Outcome::ALL {
        let notes = plan.notes.iter().filter(|note| note.outcome == outcome);
        let lines: Vec<String> = notes.map(line).collect();
        if !lines.is_empty() {
            text.push_str(&format!("\n# {}:\n{}", heading(outcome), lines.concat()));
        }
    }
    if plan.notes_more > 0 {
        let more = plan.notes_more;
        text.push_str(&format!("\n# And {more} more of these.\n"));
    }
}

const fn heading(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Missing => "No equivalent",
        Outcome::Unknown => "Unknown to the importer",
        Outcome::LeftOut => "Left out",
        Outcome::Changed => "Taken over with another value",
        Outcome::Unneeded => "Not needed",
    }
}

fn line(note: &Note) -> String {
    let Note {
        place,
        path,
        reason,
        ..
    } = note;
    format!("# - {place}: {path}: {reason}\n")
}
