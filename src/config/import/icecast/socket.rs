//! Where Icecast listens.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::super::entry::{Entry, switch};
use super::super::note::{Outcome, clean};
use super::super::plan::Plan;
use super::server::{HEADERS, ROLES};

/// Icecast's own port.
pub(super) const PORT: u16 = 8_000;

/// Where a file names the certificate of all its sockets.
const CERTIFICATES: [&str; 2] = ["ssl-certificate", "tls-certificate"];

const NO_CERTIFICATE: &str = "the file names no certificate for it";
const ONE_FOR_ALL: &str =
    "certificates hold for all sockets: tls.certificate_file, [[certificate]]";

/// What stands in for acceptors that cannot be had.
const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT);

/// The mount of Shoutcast sources where nothing says another one.
const SHOUTCAST_MOUNT: &str = "/stream";

const LISTS: &str =
    "lists of addresses hold for the whole server: limits.allow_ips, limits.deny_ips";

/// Keeps what sockets go by that stands elsewhere.
pub(super) fn prepare(root: &Entry, plan: &mut Plan) {
    let mount = root.child_text("shoutcast-mount");
    plan.shoutcast_mount = mount.unwrap_or(SHOUTCAST_MOUNT).to_owned();
    let names_one = |entry: &Entry| {
        let text = |key: &str| entry.child_text(key).unwrap_or("").trim();
        CERTIFICATES.iter().any(|key| !text(key).is_empty())
    };
    let groups = root.children.iter();
    let mut groups = groups.filter(|group| group.key == "paths" || group.key == "security");
    plan.has_certificate = groups.any(|group| {
        let contexts = group.children.iter().filter(|it| it.key == "tls-context");
        (group.key == "paths" && names_one(group)) || contexts.into_iter().any(names_one)
    });
}

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

/// Reads a `<listen-socket>`.
pub(super) fn read(entry: &Entry, path: &str, plan: &mut Plan) {
    let mut own = true;
    let old = entry.child_is_on("shoutcast-compat");
    let mut secure = false;
    for child in &entry.children {
        let path = plan.path(path, &child.key);
        let text = child.text.trim();
        let (outcome, reason) = match child.key.as_str() {
            "port" | "bind-address" | "shoutcast-mount" | "shoutcast-compat" => continue,
            "ssl" | "tls" if wants_tls(text) && !old && plan.has_certificate => {
                secure = true;
                continue;
            }
            "ssl" | "tls" if wants_tls(text) => {
                own = false;
                (Outcome::Missing, NO_CERTIFICATE)
            }
            "ssl" | "tls" | "@id" => continue,
            "@type" if matches!(text, "" | "normal") => continue,
            "@type" => {
                own = false;
                (Outcome::Missing, "there are no virtual sockets")
            }
            "ssl-certificate" | "tls-certificate" => (Outcome::Missing, ONE_FOR_ALL),
            "allow-ip" | "deny-ip" => (Outcome::Missing, LISTS),
            "authentication" => (Outcome::Missing, ROLES),
            "http-headers" => (Outcome::Missing, HEADERS),
            "queue-len" | "so-sndbuf" | "listen-backlog" => {
                (Outcome::Unneeded, "corecast chooses it")
            }
            _ => (Outcome::Unknown, "the importer does not know it"),
        };
        plan.note(child, &path, outcome, reason);
    }
    let port = entry.child_text("port").map_or(Some(PORT), port_of);
    match port {
        Some(port) if own => listen_at(port, secure, entry, path, plan),
        Some(_) => {}
        None => plan.note(entry, path, Outcome::LeftOut, "its port is no port"),
    }
}

/// A socket of its own for Shoutcast sources, or one for everybody; where that names their mount,
/// they have the next port too.
fn listen_at(port: u16, secure: bool, entry: &Entry, path: &str, plan: &mut Plan) {
    let own_mount = entry.child_text("shoutcast-mount");
    let mount = own_mount.unwrap_or(&plan.shoutcast_mount).to_owned();
    let mount = match mount.strip_prefix('/') {
        Some(_) => mount,
        None => format!("/{mount}"),
    };
    let ip = ip_of(entry, path, plan);
    if entry.child_is_on("shoutcast-compat") {
        return plan.listen_shoutcast(SocketAddr::new(ip, port), &mount, entry, path);
    }
    let address = SocketAddr::new(ip, port);
    match secure {
        true => plan.listen_https(address, entry, path),
        false => plan.listen(address, entry, path),
    }
    if own_mount.is_some() {
        let path = plan.path(path, "shoutcast-mount");
        match port.checked_add(1) {
            Some(next) => plan.listen_shoutcast(SocketAddr::new(ip, next), &mount, entry, &path),
            None => plan.note(entry, &path, Outcome::LeftOut, "there is no next port"),
        }
    }
}

/// `auto` and `auto_no_plain` answer whoever speaks TLS; only the first answers others too.
fn wants_tls(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    !matches!(text.as_str(), "" | "auto" | "disabled") && switch(&text) != Some(false)
}

/// Very old files have one port outside of any socket.
pub(super) fn old_port(entry: &Entry, path: &str, plan: &mut Plan) {
    match port_of(entry.text.trim()) {
        Some(port) => {
            let everywhere = IpAddr::from(Ipv6Addr::UNSPECIFIED);
            plan.listen(SocketAddr::new(everywhere, port), entry, path);
        }
        None => plan.note(entry, path, Outcome::LeftOut, "no port"),
    }
}

pub(super) fn port_of(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port > 0)
}

/// The address that a socket is bound to.
fn ip_of(entry: &Entry, path: &str, plan: &mut Plan) -> IpAddr {
    let address = entry.child_text("bind-address");
    match address.map(str::to_ascii_lowercase).as_deref() {
        None | Some("" | "*") => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        Some("localhost") => LOOPBACK.ip(),
        Some(address) => address.parse().unwrap_or_else(|_| {
            let shown = clean(address);
            let reason = format!("{shown} is no IP address; {} is used", LOOPBACK.ip());
            plan.note(entry, path, Outcome::Changed, reason);
            LOOPBACK.ip()
        }),
    }
}
