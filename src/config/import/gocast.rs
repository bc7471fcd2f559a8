//! GoCast's settings.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::entry::Entry;
use super::note::Outcome;
use super::plan::{DEFAULTS, Plan, Unit};
use super::rule::Becomes::{Code, Group, Missing, MissingUnless, Setting, Unneeded};
use super::rule::{Rule, rule, walk};
use super::vibe::{Object, Scalar, Value};
use crate::load::MOUNT;

/// GoCast's own port.
const PORT: &str = "8000";

const TLS: &str = "name its files in [tls], and a [[listen]] of protocol \"https\"";
const PUBLIC: &str = "directories list a mount where its source says ice-public: 1";
const QUEUE: &str = "a reader may fall behind by time, not by bytes: \
    mount_defaults.slow_reader_budget_ms; then slow_reader says whether it skips or goes";
const LOG_FILES: &str = "the log goes to standard error, for journald or another keeper";
const LATER: &str = "corecast has no such thing yet";
const ADMIN: &str = "the admin surface is there as soon as auth.admin_password is";

/// Each path of the file, apart from what stands in `mounts`.
const RULES: &[Rule] = &[
    rule("server", Group),
    rule("server/hostname", Setting("server", "hostname", Unit::Same)),
    rule("server/listen", Code(read_later)),
    rule("server/listen_address", Code(read_later)),
    rule("server/port", Code(read_later)),
    rule("server/ssl_port", Code(read_later)),
    rule("server/ssl", Code(ssl)),
    rule("server/location", Setting("server", "location", Unit::Same)),
    rule(
        "server/server_id",
        MissingUnless(&["", "GoCast"], "corecast says what it is"),
    ),
    rule(
        "server/admin_root",
        MissingUnless(&["", "/admin"], "it is always /admin"),
    ),
    rule("auth", Group),
    rule(
        "auth/source_password",
        Setting("auth", "source_password", Unit::Same),
    ),
    rule(
        "auth/relay_password",
        Setting("auth", "relay_password", Unit::Same),
    ),
    rule("auth/admin_user", Setting("auth", "admin_user", Unit::Same)),
    rule(
        "auth/admin_password",
        Setting("auth", "admin_password", Unit::Same),
    ),
    rule("limits", Group),
    rule(
        "limits/max_clients",
        Setting("limits", "listeners_max", Unit::Same),
    ),
    rule(
        "limits/max_sources",
        Setting("limits", "sources_max", Unit::Same),
    ),
    rule(
        "limits/max_listeners_per_mount",
        Setting(DEFAULTS, "listeners_max", Unit::Same),
    ),
    rule("limits/queue_size", Missing(QUEUE)),
    rule(
        "limits/burst_size",
        Setting(DEFAULTS, "burst_bytes", Unit::Same),
    ),
    rule(
        "limits/client_timeout",
        Setting("limits", "idle_timeout_ms", Unit::Seconds),
    ),
    rule(
        "limits/header_timeout",
        Setting("limits", "header_timeout_ms", Unit::Seconds),
    ),
    rule(
        "limits/source_timeout",
        Setting(DEFAULTS, "source_timeout_ms", Unit::Seconds),
    ),
    rule("logging", Group),
    rule(
        "logging/access_log",
        Setting("log", "access_path", Unit::Same),
    ),
    rule("logging/error_log", Unneeded(LOG_FILES)),
    rule("logging/level", Code(log_level)),
    rule("logging/log_level", Code(log_level)),
    rule("logging/log_size", Unneeded(LOG_FILES)),
    rule("admin", Group),
    rule("admin/enabled", MissingUnless(&["", "true"], ADMIN)),
    rule("admin/user", Code(admin_again)),
    rule("admin/password", Code(admin_again)),
    rule("directory", Code(directory)),
    rule("ssl", Code(ssl)),
    rule("mounts", Code(mounts)),
    rule("hls", Missing(LATER)),
    rule("dash", Missing(LATER)),
    rule("api_keys", Missing(LATER)),
    rule("oauth", Missing(LATER)),
    rule("recording", Missing(LATER)),
    rule("transcoding", Missing(LATER)),
    rule("fallback", Missing(LATER)),
    rule("schedule", Missing(LATER)),
    rule("metadata", Missing(LATER)),
    rule("cluster", Missing(LATER)),
];

/// Each path inside a mount.
const MOUNT_RULES: &[Rule] = &[
    rule("name", Unneeded("its key is its name")),
    rule("password", Setting(MOUNT, "password", Unit::Same)),
    rule("max_listeners", Setting(MOUNT, "listeners_max", Unit::Same)),
    rule("fallback", Setting(MOUNT, "fallback", Unit::Same)),
    rule("stream_name", Setting(MOUNT, "stream_name", Unit::Same)),
    rule("genre", Setting(MOUNT, "genre", Unit::Same)),
    rule("description", Setting(MOUNT, "description", Unit::Same)),
    rule("url", Setting(MOUNT, "url", Unit::Same)),
    rule("bitrate", Unneeded("the bit rate is measured")),
    rule("type", Unneeded("the source says its type")),
    rule("public", MissingUnless(&[""], PUBLIC)),
    rule("hidden", Setting(MOUNT, "hidden", Unit::Same)),
    rule("burst_size", Setting(MOUNT, "burst_bytes", Unit::Same)),
    rule(
        "max_listener_duration",
        Setting(MOUNT, "listener_duration_max_ms", Unit::SecondsOrNone),
    ),
    rule("allowed_ips", Code(addresses)),
    rule("denied_ips", Code(addresses)),
    rule("dump_file", Code(dump_file)),
    rule("hls", Missing(LATER)),
    rule("dash", Missing(LATER)),
    rule("auth", Missing(LATER)),
    rule("recording", Missing(LATER)),
    rule("transcoding", Missing(LATER)),
    rule("schedule", Missing(LATER)),
    rule("metadata", Missing(LATER)),
];

/// Reads a whole file.
pub(super) fn read(root: &Object, plan: &mut Plan) {
    plan.join_paths_with('.');
    let mut entries = entries(root);
    // What says the same again comes after it: the admin block after the passwords.
    entries.sort_by_key(|entry| entry.key == "admin");
    walk(&entries, "", RULES, plan);
    settle_listen(&entries, plan);
}

fn entries(object: &Object) -> Vec<Entry> {
    let statements = object.statements.iter();
    statements
        .map(|statement| {
            let mut entry = Entry {
                key: statement.key.clone(),
                line: statement.position.line,
                column: statement.position.column,
                ..Entry::default()
            };
            match &statement.value {
                Value::Scalar(scalar) => entry.text = scalar.written().to_owned(),
                Value::Object(object) => entry.children = entries(object),
                Value::List(elements) => {
                    let element = |scalar: &Scalar| Entry {
                        text: scalar.written().to_owned(),
                        line: entry.line,
                        column: entry.column,
                        ..Entry::default()
                    };
                    entry.children = elements.iter().map(element).collect();
                }
            }
            entry
        })
        .collect()
}

/// Address and port make one acceptor.
fn settle_listen(entries: &[Entry], plan: &mut Plan) {
    let Some(server) = entries.iter().find(|entry| entry.key == "server") else {
        return;
    };
    let said = |key: &str| server.children.iter().rfind(|entry| entry.key == key);
    let address = said("listen").or_else(|| said("listen_address"));
    let port = said("port");
    let Some(entry) = port.or(address) else {
        return;
    };
    let path = plan.path("server", &entry.key);
    let ip = match address.map_or("", |entry| entry.text.trim()) {
        "" | "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        text => match text.parse() {
            Ok(ip) => ip,
            Err(_) => {
                let reason = "its address is no IP address; 127.0.0.1 is used";
                plan.note(entry, &path, Outcome::Changed, reason);
                IpAddr::V4(Ipv4Addr::LOCALHOST)
            }
        },
    };
    let text = port.map_or(PORT, |entry| entry.text.trim());
    match text.parse::<u16>() {
        Ok(port) if port > 0 => plan.listen(SocketAddr::new(ip, port), entry, &path),
        _ => plan.note(entry, &path, Outcome::LeftOut, "no port"),
    }
}

/// Read together with what it belongs to.
fn read_later(_: &Entry, _: &str, _: &mut Plan) {}

fn ssl(entry: &Entry, path: &str, plan: &mut Plan) {
    if entry.child_is_on("enabled") {
        plan.note(entry, path, Outcome::LeftOut, TLS);
    }
}

fn directory(entry: &Entry, path: &str, plan: &mut Plan) {
    if entry.child_is_on("enabled") {
        walk(&entry.children, path, DIRECTORY_RULES, plan);
    }
}

/// Only asked where it is enabled.
const DIRECTORY_RULES: &[Rule] = &[
    rule("enabled", Unneeded("so is every directory that is named")),
    rule("yp_urls", Code(directory_urls)),
    rule(
        "interval",
        Setting("directory", "interval_ms", Unit::Seconds),
    ),
];

fn directory_urls(entry: &Entry, path: &str, plan: &mut Plan) {
    for url in &entry.children {
        plan.add_directory(url, path);
    }
}

/// GoCast asks for the names of `auth`; those of `admin` count where `auth` has none to use.
fn admin_again(entry: &Entry, path: &str, plan: &mut Plan) {
    let key = if entry.key == "user" {
        "admin_user"
    } else {
        "admin_password"
    };
    match plan.given("auth", key) {
        None => plan.set("auth", key, Unit::Same, entry, path),
        Some(crate::property::Value::Text(text)) if *text == entry.text => {}
        Some(_) => {
            let reason = format!("auth.{key} says otherwise and is the one that counts");
            plan.note(entry, path, Outcome::LeftOut, reason);
        }
    }
}

fn log_level(entry: &Entry, path: &str, plan: &mut Plan) {
    let level = match entry.text.trim().to_ascii_lowercase().as_str() {
        "warning" => "warn".to_owned(),
        level => level.to_owned(),
    };
    plan.set_text("log", "level", Unit::Same, &level, entry, path);
}

fn addresses(entry: &Entry, path: &str, plan: &mut Plan) {
    let everybody = entry.key == "allowed_ips" && entry.children.iter().any(|ip| ip.text == "*");
    if everybody {
        return;
    }
    let key = match entry.key.as_str() {
        "allowed_ips" => "allow_ips",
        _ => "deny_ips",
    };
    let texts = entry.children.iter().map(|ip| ip.text.as_str());
    plan.add_networks(MOUNT, key, texts, entry, path);
}

/// Names of files have no escapes there.
fn dump_file(entry: &Entry, path: &str, plan: &mut Plan) {
    let text = entry.text.replace('%', "%%");
    plan.set_text(MOUNT, "dump_file", Unit::Same, &text, entry, path);
}

fn mounts(entry: &Entry, path: &str, plan: &mut Plan) {
    for mount in &entry.children {
        let path = plan.path(path, &mount.key);
        let name = match mount.key.strip_prefix('/') {
            Some(_) => mount.key.clone(),
            None => format!("/{}", mount.key),
        };
        if plan.enter_mount(&name, mount, &path) {
            walk(&mount.children, &path, MOUNT_RULES, plan);
        }
    }
}

/// The tables.
#[cfg(test)]
pub(super) fn tables() -> [&'static [Rule]; 2] {
    [RULES, MOUNT_RULES]
}
