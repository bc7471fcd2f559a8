//! What stands once in Icecast's file.

use super::super::entry::{Entry, switch};
use super::super::lists::lines;
use super::super::note::{Outcome, clean};
use super::super::plan::{DEFAULTS, Plan, Unit};
use super::super::rule::Becomes::{Code, Group, Missing, MissingUnless, Setting, Unneeded};
use super::super::rule::{Rule, rule};
use super::socket;

const TLS: &str = "there is no TLS to other servers yet";
const CIPHERS: &str = "only good ciphers are spoken, and the client chooses among them";
pub(super) const ROLES: &str = "there are no roles yet, only a source's and the admin's password";
const SLAVES: &str = "a full server sends listeners to one other: mount_defaults.redirect_full";
const FILES: &str = "corecast serves no files of yours";
const PAGES: &str = "corecast brings its own pages";
pub(super) const HEADERS: &str = "headers cannot be set yet";
const LOG_FILES: &str = "the log goes to standard error, for journald or another keeper";
const TURNED: &str = "corecast turns no log files over; logrotate with copytruncate does";
const SERVICE: &str = "the service's own unit does that (systemd/corecast.service)";
const THREADS: &str = "shards take one thread for each CPU";
const QUEUE: &str = "a reader may fall behind by time, not by bytes: \
    mount_defaults.slow_reader_budget_ms; then slow_reader says whether it skips or goes";

/// Each path inside the root.
pub(super) const RULES: &[Rule] = &[
    rule("hostname", Setting("server", "hostname", Unit::Same)),
    rule("location", Setting("server", "location", Unit::Same)),
    rule("admin", Setting("server", "admin", Unit::Same)),
    rule("server-id", Missing("corecast says what it is")),
    rule("fileserve", MissingUnless(&["", "0"], FILES)),
    rule("@version", Unneeded("the format of the file")),
    // Limits.
    rule("limits", Group),
    rule(
        "limits/clients",
        Setting("limits", "listeners_max", Unit::Same),
    ),
    rule(
        "limits/max-listeners",
        Setting("limits", "listeners_max", Unit::Same),
    ),
    rule(
        "limits/sources",
        Setting("limits", "sources_max", Unit::Same),
    ),
    rule("limits/queue-size", Missing(QUEUE)),
    rule("limits/min-queue-size", Missing(QUEUE)),
    rule(
        "limits/client-timeout",
        Setting("limits", "idle_timeout_ms", Unit::Seconds),
    ),
    rule(
        "limits/header-timeout",
        Setting("limits", "header_timeout_ms", Unit::Seconds),
    ),
    rule(
        "limits/body-timeout",
        Unneeded("limits.idle_timeout_ms ends what stands still"),
    ),
    rule(
        "limits/body-size-limit",
        Setting("limits", "body_bytes_max", Unit::Same),
    ),
    rule(
        "limits/source-timeout",
        Setting(DEFAULTS, "source_timeout_ms", Unit::Seconds),
    ),
    rule("limits/burst-on-connect", Code(burst_on_connect)),
    rule("limits/burst-size", Code(burst_size)),
    rule("limits/threadpool", Unneeded(THREADS)),
    rule("limits/workers", Unneeded(THREADS)),
    rule(
        "limits/max-bandwidth",
        Missing("bandwidth has no limit of its own yet"),
    ),
    // Passwords.
    rule("authentication", Group),
    rule(
        "authentication/source-password",
        Setting("auth", "source_password", Unit::Same),
    ),
    rule(
        "authentication/admin-user",
        Setting("auth", "admin_user", Unit::Same),
    ),
    rule(
        "authentication/admin-password",
        Setting("auth", "admin_password", Unit::Same),
    ),
    rule(
        "authentication/relay-user",
        Setting("auth", "relay_user", Unit::Same),
    ),
    rule(
        "authentication/relay-password",
        Setting("auth", "relay_password", Unit::Same),
    ),
    rule("authentication/role", Missing(ROLES)),
    // Acceptors.
    rule("listen-socket", Code(socket::read)),
    rule("port", Code(socket::old_port)),
    rule("bind-address", Unneeded("goes with an old <port>")),
    rule("shoutcast-mount", Code(later)),
    // Relays and directories.
    rule("relay", Code(super::relay::read)),
    rule("master-server", Code(later)),
    rule("master-server-port", Code(later)),
    rule("master-update-interval", Code(later)),
    rule("master-username", Code(later)),
    rule("master-password", Code(later)),
    rule("master-redirect", MissingUnless(&["", "0"], SLAVES)),
    rule("master-ssl-port", Missing(TLS)),
    rule("max-redirect-slaves", MissingUnless(&["", "0"], SLAVES)),
    rule("relays-on-demand", Code(later)),
    rule("directory", Group),
    rule("directory/yp-url", Code(directory)),
    rule(
        "directory/yp-url-timeout",
        Setting("directory", "timeout_ms", Unit::Seconds),
    ),
    rule("yp-directory", Group),
    rule("yp-directory/@url", Code(directory)),
    rule("yp-directory/option", Code(directory_option)),
    // Mounts are read when everything else is known.
    rule("mount", Code(later)),
    rule("http-headers", Group),
    rule("http-headers/header", Code(header)),
    // Paths.
    rule("paths", Group),
    rule("paths/basedir", Unneeded(SERVICE)),
    rule("paths/logdir", Code(later)),
    rule(
        "paths/pidfile",
        Unneeded("the service's keeper knows the process"),
    ),
    rule("paths/webroot", Unneeded(PAGES)),
    rule("paths/adminroot", Unneeded(PAGES)),
    rule("paths/null-device", Unneeded("nothing is written there")),
    rule(
        "paths/reportxmldb",
        Unneeded("corecast has its own messages"),
    ),
    rule("paths/mime-types", Unneeded(FILES)),
    rule("paths/allow-ip", Code(addresses)),
    rule("paths/deny-ip", Code(addresses)),
    rule("paths/deny-agents", Code(agents)),
    rule("paths/x-forwarded-for", Code(proxies)),
    rule("paths/ssl-certificate", Code(certificate)),
    rule("paths/tls-certificate", Code(certificate)),
    rule("paths/ssl-allowed-ciphers", MissingUnless(&[""], CIPHERS)),
    rule("paths/tls-allowed-ciphers", MissingUnless(&[""], CIPHERS)),
    rule("paths/ssl-private-key", Code(certificate)),
    rule("paths/alias", Code(alias)),
    rule("paths/resource", Code(alias)),
    // Logs.
    rule("logging", Group),
    rule("logging/accesslog", Code(access_log)),
    rule("logging/accesslog_lines", Unneeded(LOG_FILES)),
    rule(
        "logging/accesslog_exclude_ext",
        Missing("every request is written"),
    ),
    rule("logging/errorlog", Unneeded(LOG_FILES)),
    rule("logging/errorlog_lines", Unneeded(LOG_FILES)),
    rule(
        "logging/playlistlog",
        Missing("there is no log of titles yet"),
    ),
    rule("logging/playlistlog_lines", Unneeded(LOG_FILES)),
    rule("logging/loglevel", Code(log_level)),
    rule("logging/logsize", Unneeded(TURNED)),
    rule("logging/logarchive", Unneeded(TURNED)),
    rule("logging/memorybacklog", Unneeded(LOG_FILES)),
    // Security.
    rule("security", Group),
    rule("security/chroot", Unneeded(SERVICE)),
    rule("security/changeowner", Unneeded(SERVICE)),
    rule(
        "security/prng-seed",
        Unneeded("the kernel gives randomness"),
    ),
    rule("security/tls-context", Group),
    rule("security/tls-context/tls-certificate", Code(certificate)),
    rule("security/tls-context/tls-key", Code(certificate)),
    rule(
        "security/tls-context/tls-allowed-ciphers",
        MissingUnless(&[""], CIPHERS),
    ),
];

/// Read later, when what it goes with is known.
fn later(_: &Entry, _: &str, _: &mut Plan) {}

/// A file of the certificate that is for all sockets, or of its key; it may hold both.
fn certificate(entry: &Entry, path: &str, plan: &mut Plan) {
    let file = entry.text.trim();
    if file.is_empty() {
        return;
    }
    let key = match entry.key.ends_with("certificate") {
        true => "certificate_file",
        false => "key_file",
    };
    plan.set_text("tls", key, Unit::Same, file, entry, path);
    if !file.starts_with('/') {
        let reason = "no full path: it is looked for where corecast starts";
        plan.note(entry, path, Outcome::Changed, reason);
    }
}

/// A file of addresses, for the whole server.
fn addresses(entry: &Entry, path: &str, plan: &mut Plan) {
    let (key, setting) = match entry.key.as_str() {
        "allow-ip" => ("allow_ips", "limits.allow_ips"),
        _ => ("deny_ips", "limits.deny_ips"),
    };
    if let Some(text) = plan.file(entry, path, setting) {
        plan.add_networks("limits", key, lines(&text), entry, path);
    }
}

fn agents(entry: &Entry, path: &str, plan: &mut Plan) {
    if let Some(text) = plan.file(entry, path, "limits.deny_agents") {
        plan.add_agents("limits", "deny_agents", lines(&text), entry, path);
    }
}

/// A proxy, or several with blanks or commas between them.
fn proxies(entry: &Entry, path: &str, plan: &mut Plan) {
    let texts = entry.text.split([',', ' ', '\n', '\t']);
    let texts = texts.map(str::trim).filter(|text| !text.is_empty());
    plan.add_networks("limits", "trusted_proxies", texts, entry, path);
}

fn directory(entry: &Entry, path: &str, plan: &mut Plan) {
    plan.add_directory(entry, path);
}

/// An option of version 2.5's `<yp-directory>`.
fn directory_option(entry: &Entry, path: &str, plan: &mut Plan) {
    let key = match entry.child_text("@name") {
        Some("timeout") => "timeout_ms",
        Some("touch-interval") => "interval_ms",
        _ => return plan.note(entry, path, Outcome::Missing, "corecast has no such option"),
    };
    let text = entry.child_text("@value").unwrap_or_default();
    plan.set_text("directory", key, Unit::Seconds, text, entry, path);
}

/// The access log's path is inside the directory that stands elsewhere in the file.
pub(super) fn settle_access_log(root: &Entry, plan: &mut Plan) {
    let find = |parent: &str, key: &str| {
        let parents = root.children.iter().filter(|entry| entry.key == parent);
        let mut children = parents.flat_map(|entry| &entry.children);
        children.rfind(|entry| entry.key == key)
    };
    let Some(entry) = find("logging", "accesslog") else {
        return;
    };
    let path = "icecast/logging/accesslog";
    let name = entry.child_text("name").unwrap_or(entry.text.trim());
    let folder = find("paths", "logdir").map_or("", |entry| entry.text.trim());
    let folder = folder.trim_end_matches('/');
    let full = match name {
        "" => return,
        "-" => {
            let reason = "an access log is a file";
            return plan.note(entry, path, Outcome::Missing, reason);
        }
        name if name.starts_with('/') => name.to_owned(),
        _ if folder.is_empty() => {
            let reason = "no <logdir> says where it is";
            return plan.note(entry, path, Outcome::LeftOut, reason);
        }
        name => format!("{folder}/{name}"),
    };
    plan.set_text("log", "access_path", Unit::Same, &full, entry, path);
}

/// What the access log has besides its name, which is read later.
fn access_log(entry: &Entry, path: &str, plan: &mut Plan) {
    for child in entry.children.iter().filter(|child| child.key != "name") {
        let path = plan.path(path, &child.key);
        plan.note(child, &path, Outcome::Unneeded, TURNED);
    }
}

/// The older form of a burst size: no burst or the usual one.
fn burst_on_connect(entry: &Entry, path: &str, plan: &mut Plan) {
    if switch(entry.text.trim()) == Some(false) {
        set_burst(DEFAULTS, "0", entry, path, plan);
    }
}

fn burst_size(entry: &Entry, path: &str, plan: &mut Plan) {
    set_burst(DEFAULTS, &entry.text, entry, path, plan);
}

/// No burst there is the least burst here, since 0 leaves the choice to corecast.
pub(super) fn set_burst(
    section: &'static str,
    text: &str,
    entry: &Entry,
    path: &str,
    plan: &mut Plan,
) {
    const LEAST: &str = "256";
    let text = if text.trim() == "0" {
        let reason = format!("{LEAST} bytes are the least burst");
        plan.note(entry, path, Outcome::Changed, reason);
        LEAST
    } else {
        text
    };
    plan.set_text(section, "burst_bytes", Unit::Same, text, entry, path);
}

fn header(entry: &Entry, path: &str, plan: &mut Plan) {
    let name = entry.child_text("@name").unwrap_or("");
    let value = entry.child_text("@value").unwrap_or("");
    let path = format!("{path}[{}]", clean(name));
    if name.eq_ignore_ascii_case("Access-Control-Allow-Origin") && value == "*" {
        plan.note(entry, &path, Outcome::Unneeded, "corecast always says so");
    } else {
        plan.note(entry, &path, Outcome::Missing, HEADERS);
    }
}

fn alias(entry: &Entry, path: &str, plan: &mut Plan) {
    let source = entry.child_text("@source").unwrap_or("");
    let path = format!("{path}[{}]", clean(source));
    if source == "/" {
        plan.note(entry, &path, Outcome::Unneeded, "corecast has a page there");
    } else {
        plan.note(entry, &path, Outcome::Missing, "there are no aliases yet");
    }
}

fn log_level(entry: &Entry, path: &str, plan: &mut Plan) {
    let level = match entry.text.trim().to_ascii_lowercase().as_str() {
        "" => return,
        "1" | "error" => "error",
        "2" | "warn" | "warning" => "warn",
        "3" | "info" | "information" => "info",
        "4" | "debug" => "debug",
        _ => {
            let reason = "neither 1 to 4 nor the name of a level";
            return plan.note(entry, path, Outcome::LeftOut, reason);
        }
    };
    plan.set_text("log", "level", Unit::Same, level, entry, path);
}
