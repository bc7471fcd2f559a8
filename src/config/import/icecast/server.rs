//! What stands once in Icecast's file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::super::entry::{Entry, switch};
use super::super::note::{Outcome, clean};
use super::super::plan::{DEFAULTS, Plan, Unit};
use super::super::rule::Becomes::{Code, Group, Missing, MissingUnless, Setting, Unneeded};
use super::super::rule::{Rule, rule};

/// Icecast's own port.
const PORT: u16 = 8_000;

/// What stands in for acceptors that cannot be had.
const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT);

const TLS: &str = "there is no TLS yet; put a proxy in front";
const RELAY_LOGIN: &str = "who relays from corecast logs in like any listener";
const RELAYS: &str = "each relay needs a [[relay]] of its own";
const SHOUTCAST: &str = "Shoutcast sources (password line, port + 1) cannot connect yet";
const ADDRESS_LISTS: &str = "there are no lists of addresses yet: everybody may connect";
const ROLES: &str = "there are no roles yet, only a source's and the admin's password";
const FILES: &str = "corecast serves no files of yours";
const PAGES: &str = "corecast brings its own pages";
const HEADERS: &str = "headers cannot be set yet";
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
        MissingUnless(&["", "relay"], RELAY_LOGIN),
    ),
    rule(
        "authentication/relay-password",
        MissingUnless(&[""], RELAY_LOGIN),
    ),
    rule("authentication/role", Missing(ROLES)),
    // Acceptors.
    rule("listen-socket", Code(listen_socket)),
    rule("port", Code(old_port)),
    rule("bind-address", Unneeded("goes with an old <port>")),
    rule("shoutcast-mount", Missing(SHOUTCAST)),
    // Relays and directories.
    rule("relay", Code(super::relay::read)),
    rule("master-server", Missing(RELAYS)),
    rule("master-server-port", Missing(RELAYS)),
    rule("master-update-interval", Missing(RELAYS)),
    rule("master-username", Missing(RELAYS)),
    rule("master-password", Missing(RELAYS)),
    rule("master-redirect", MissingUnless(&["", "0"], RELAYS)),
    rule("master-ssl-port", Missing(RELAYS)),
    rule("max-redirect-slaves", MissingUnless(&["", "0"], RELAYS)),
    rule("relays-on-demand", MissingUnless(&["", "0"], RELAYS)),
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
    rule("paths/allow-ip", Missing(ADDRESS_LISTS)),
    rule("paths/deny-ip", Missing(ADDRESS_LISTS)),
    rule(
        "paths/deny-agents",
        Missing("there are no lists of players yet"),
    ),
    rule(
        "paths/x-forwarded-for",
        Missing("proxies cannot be trusted yet"),
    ),
    rule("paths/ssl-certificate", Missing(TLS)),
    rule("paths/tls-certificate", Missing(TLS)),
    rule("paths/ssl-allowed-ciphers", Missing(TLS)),
    rule("paths/tls-allowed-ciphers", Missing(TLS)),
    rule("paths/ssl-private-key", Missing(TLS)),
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
    rule("security/tls-context", Missing(TLS)),
];

/// Read later, when what it goes with is known.
fn later(_: &Entry, _: &str, _: &mut Plan) {}

/// Where a file says how to listen and none of it can be had, listens on the machine itself
/// instead of on all addresses.
pub(super) fn settle_listen(root: &Entry, plan: &mut Plan) {
    let said = |entry: &&Entry| entry.key == "listen-socket" || entry.key == "port";
    let Some(entry) = root.children.iter().find(said) else {
        return;
    };
    if plan.listen.is_empty() {
        let path = plan.path(super::ROOT, &entry.key);
        let reason = format!("no socket of the file can be had; {LOOPBACK} stands in for them");
        plan.listen(LOOPBACK, entry, &path);
        plan.note(entry, &path, Outcome::Changed, reason);
    }
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

fn listen_socket(entry: &Entry, path: &str, plan: &mut Plan) {
    let mut own = true;
    for child in &entry.children {
        let path = plan.path(path, &child.key);
        let text = child.text.trim();
        let (outcome, reason) = match child.key.as_str() {
            "port" | "bind-address" => continue,
            "ssl" | "tls" if wants_tls(text) => {
                own = false;
                (Outcome::Missing, TLS)
            }
            "shoutcast-compat" if switch(text) == Some(true) => {
                own = false;
                (Outcome::Missing, SHOUTCAST)
            }
            "ssl" | "tls" | "shoutcast-compat" | "@id" => continue,
            "@type" if matches!(text, "" | "normal") => continue,
            "@type" => {
                own = false;
                (Outcome::Missing, "there are no virtual sockets")
            }
            "shoutcast-mount" => (Outcome::Missing, SHOUTCAST),
            "ssl-certificate" | "tls-certificate" => (Outcome::Missing, TLS),
            "allow-ip" | "deny-ip" => (Outcome::Missing, ADDRESS_LISTS),
            "authentication" => (Outcome::Missing, ROLES),
            "http-headers" => (Outcome::Missing, HEADERS),
            "queue-len" | "so-sndbuf" | "listen-backlog" => {
                (Outcome::Unneeded, "corecast chooses it")
            }
            _ => (Outcome::Unknown, "the importer does not know it"),
        };
        plan.note(child, &path, outcome, reason);
    }
    let port = entry.child_text("port");
    let address = entry.child_text("bind-address");
    match port.map_or(Some(PORT), port_of) {
        Some(port) if own => listen(address, port, entry, path, plan),
        Some(_) => {}
        None => plan.note(entry, path, Outcome::LeftOut, "its port is no port"),
    }
}

/// `auto` and `auto_no_plain` answer whoever speaks TLS; only the first answers others too.
fn wants_tls(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    !matches!(text.as_str(), "" | "auto" | "disabled") && switch(&text) != Some(false)
}

/// Very old files have one port outside of any socket.
fn old_port(entry: &Entry, path: &str, plan: &mut Plan) {
    match port_of(entry.text.trim()) {
        Some(port) => listen(None, port, entry, path, plan),
        None => plan.note(entry, path, Outcome::LeftOut, "no port"),
    }
}

pub(super) fn port_of(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port > 0)
}

fn listen(address: Option<&str>, port: u16, entry: &Entry, path: &str, plan: &mut Plan) {
    let ip = match address.map(str::to_ascii_lowercase).as_deref() {
        None | Some("" | "*") => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        Some("localhost") => LOOPBACK.ip(),
        Some(address) => match address.parse() {
            Ok(ip) => ip,
            Err(_) => {
                let shown = clean(address);
                let reason = format!("{shown} is no IP address; {} is used", LOOPBACK.ip());
                plan.note(entry, path, Outcome::Changed, reason);
                LOOPBACK.ip()
            }
        },
    };
    plan.listen(SocketAddr::new(ip, port), entry, path);
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
