//! A mount of Icecast.

use super::super::entry::{Entry, switch};
use super::super::note::{Outcome, clean};
use super::super::plan::{Plan, Unit};
use super::super::rule::Becomes::{Code, Missing, MissingUnless, Setting, Unneeded};
use super::super::rule::{Rule, rule, walk};
use super::server;
use crate::load::MOUNT;

const LOGINS: &str = "listeners log in by a file of users or by a hook only";
const ROLES: &str = "there are no roles yet: whoever the lists and hooks let in may listen";
const SCRIPTS: &str = "no programs are started when a source comes or goes";
const SHOWN: &str = "what the source says is shown";

/// Each path inside a `<mount>`.
pub(super) const RULES: &[Rule] = &[
    rule("@type", Code(known_before)),
    rule("mount-name", Code(known_before)),
    rule(
        "username",
        MissingUnless(&["", "source"], "sources log in as \"source\""),
    ),
    rule("password", Setting(MOUNT, "password", Unit::Same)),
    rule("max-listeners", Code(listeners_max)),
    rule(
        "max-listener-duration",
        Setting(MOUNT, "listener_duration_max_ms", Unit::SecondsOrNone),
    ),
    rule("dump-file", Setting(MOUNT, "dump_file", Unit::Same)),
    rule("intro", Setting(MOUNT, "intro", Unit::Same)),
    rule("fallback-mount", Setting(MOUNT, "fallback", Unit::Same)),
    rule("fallback", Setting(MOUNT, "fallback", Unit::Same)),
    rule("fallback-override", Code(fallback_override)),
    rule(
        "fallback-when-full",
        MissingUnless(&["", "0"], "a full mount answers 503 yet"),
    ),
    rule(
        "charset",
        MissingUnless(&["", "UTF-8", "utf-8", "UTF8", "utf8"], CHARSET),
    ),
    rule("public", MissingUnless(&["", "-1"], PUBLIC)),
    rule("no-yp", MissingUnless(&["", "0"], PUBLIC)),
    rule(
        "cluster-password",
        Missing("directories are told no cluster password"),
    ),
    rule("stream-name", Setting(MOUNT, "stream_name", Unit::Same)),
    rule(
        "stream-description",
        Setting(MOUNT, "description", Unit::Same),
    ),
    rule("stream-url", Setting(MOUNT, "url", Unit::Same)),
    rule("genre", Setting(MOUNT, "genre", Unit::Same)),
    rule("bitrate", Unneeded("the bit rate is measured")),
    rule("type", Missing(SHOWN)),
    rule("subtype", Unneeded("the codec is read from the stream")),
    rule("hidden", Setting(MOUNT, "hidden", Unit::Same)),
    rule("burst-size", Code(burst_size)),
    rule("queue-size", Missing(QUEUE)),
    rule("min-queue-size", Missing(QUEUE)),
    rule("queue-block-size", Unneeded("see quantum_bytes")),
    rule(
        "source-timeout",
        Setting(MOUNT, "source_timeout_ms", Unit::Seconds),
    ),
    rule(
        "wait-time",
        Setting(MOUNT, "source_timeout_ms", Unit::Seconds),
    ),
    rule(
        "mp3-metadata-interval",
        Setting(MOUNT, "metaint_bytes", Unit::Same),
    ),
    rule("filter-theora", Missing("streams are passed on whole")),
    rule("authentication", Code(authentication)),
    rule("event-bindings", Missing(SCRIPTS)),
    rule("http-headers", Missing("headers cannot be set yet")),
    rule("on-connect", MissingUnless(&[""], SCRIPTS)),
    rule("on-disconnect", MissingUnless(&[""], SCRIPTS)),
    rule(
        "ban-client",
        Missing("nobody is kept away for coming back too soon"),
    ),
    rule(
        "limit-rate",
        Missing("bandwidth has no limit of its own yet"),
    ),
    rule(
        "max-bandwidth",
        Missing("bandwidth has no limit of its own yet"),
    ),
    rule("redirect", Setting(MOUNT, "redirect_full", Unit::Same)),
    rule(
        "file-seekable",
        Unneeded("corecast serves no files of yours"),
    ),
    rule("so-sndbuf", Unneeded("corecast chooses it")),
    rule("max-history", Unneeded("there is no list of titles yet")),
    rule(
        "max-stream-duration",
        Missing("sources may stay as they like"),
    ),
];

const PUBLIC: &str = "directories list a mount where its source says ice-public: 1";
const CHARSET: &str = "titles are taken as UTF-8, or as `charset` of /admin/metadata says";
const QUEUE: &str = "a reader may fall behind by time, not by bytes: slow_reader_budget_ms";

/// Reads a `<mount>`.
pub(super) fn read(entry: &Entry, plan: &mut Plan) {
    let path = plan.path(super::ROOT, "mount");
    let mut name = entry.child_text("mount-name").unwrap_or("").to_owned();
    if entry.child_text("@type") == Some("default") {
        plan.enter_defaults();
        name = "default".to_owned();
    } else if name.is_empty() {
        return plan.note(entry, &path, Outcome::LeftOut, "it has no <mount-name>");
    } else if name.contains(['*', '?', '[']) {
        let path = format!("{path}[{}]", clean(&name));
        return plan.note(entry, &path, Outcome::Missing, "names are no patterns yet");
    } else {
        if !name.starts_with('/') {
            name.insert(0, '/');
        }
        let path = format!("{path}[{}]", clean(&name));
        if !plan.enter_mount(&name, entry, &path) {
            return;
        }
    }
    let path = format!("{path}[{}]", clean(&name));
    walk(&entry.children, &path, RULES, plan);
}

/// Read before the others.
fn known_before(_: &Entry, _: &str, _: &mut Plan) {}

/// No number above 0 means no limit.
fn listeners_max(entry: &Entry, path: &str, plan: &mut Plan) {
    let text = entry.text.trim();
    let text = if text.starts_with('-') { "0" } else { text };
    plan.set_text(MOUNT, "listeners_max", Unit::Same, text, entry, path);
}

/// Version 2.5 has words for it.
fn fallback_override(entry: &Entry, path: &str, plan: &mut Plan) {
    let text = match entry.text.trim() {
        "none" => "false",
        "all" | "own" => "true",
        text => text,
    };
    plan.set_text(MOUNT, "fallback_return", Unit::Same, text, entry, path);
}

fn burst_size(entry: &Entry, path: &str, plan: &mut Plan) {
    server::set_burst(MOUNT, &entry.text, entry, path, plan);
}

/// Hooks and files of users are taken over.
fn authentication(entry: &Entry, path: &str, plan: &mut Plan) {
    match entry.child_text("@type") {
        Some("url") => {
            for child in entry.children.iter().filter(|child| child.key != "@type") {
                let name = child.child_text("@name").unwrap_or("");
                let path = plan.path(path, &format!("{}[{}]", child.key, clean(name)));
                hook(child, name, &path, plan);
            }
        }
        Some("htpasswd") => users(entry, path, plan),
        Some(_) => plan.note(entry, path, Outcome::Missing, LOGINS),
        None => {
            // Version 2.5 has roles inside.
            for role in entry.children.iter().filter(|role| role.key == "role") {
                let path = plan.path(path, &role.key);
                match role.child_text("@type") {
                    Some("url" | "htpasswd") => authentication(role, &path, plan),
                    _ => plan.note(role, &path, Outcome::Missing, ROLES),
                }
            }
        }
    }
}

/// The options of `<authentication type="htpasswd">`.
fn users(entry: &Entry, path: &str, plan: &mut Plan) {
    for option in entry.children.iter().filter(|child| child.key == "option") {
        let name = option.child_text("@name").unwrap_or("");
        let value = option.child_text("@value").unwrap_or("");
        let path = plan.path(path, &format!("{}[{}]", option.key, clean(name)));
        match name {
            "filename" => {
                let key = "listener_htpasswd";
                plan.set_text(MOUNT, key, Unit::Same, value, option, &path);
                if !value.is_empty() && !value.starts_with('/') {
                    let reason = "no full path: it is looked for where corecast starts";
                    plan.note(option, &path, Outcome::Changed, reason);
                }
            }
            "allow_duplicate_users" if switch(value) == Some(false) => {
                let reason = "a user may listen more than once at a time";
                plan.note(option, &path, Outcome::Missing, reason);
            }
            "allow_duplicate_users" => {}
            _ => {
                let reason = "files of users have no such option";
                plan.note(option, &path, Outcome::Missing, reason);
            }
        }
    }
}

/// An option of `<authentication type="url">`.
fn hook(entry: &Entry, name: &str, path: &str, plan: &mut Plan) {
    let key = match name {
        "listener_add" => "hook_listener_add",
        "listener_remove" => "hook_listener_remove",
        "mount_add" => "hook_mount_add",
        "mount_remove" => "hook_mount_remove",
        "stream_auth" => "hook_stream_auth",
        "username" => "hook_user",
        "password" => "hook_password",
        "presume_innocent" => "hook_failure_allows",
        "auth_header" if is_usual_header(entry) => return,
        _ => {
            return plan.note(
                entry,
                path,
                Outcome::Missing,
                "hooks have no such option yet",
            );
        }
    };
    let value = entry.children.iter().rfind(|child| child.key == "@value");
    let value = value.map_or("", |value| value.text.as_str());
    plan.set_text(MOUNT, key, Unit::Same, value, entry, path);
}

/// The header that lets a listener in is `icecast-auth-user: 1` whatever was chosen.
fn is_usual_header(entry: &Entry) -> bool {
    let value = entry
        .child_text("@value")
        .unwrap_or("")
        .to_ascii_lowercase();
    value.replace(' ', "").trim_end() == "icecast-auth-user:1"
}
