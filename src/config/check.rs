//! What only the settings together can tell.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::fault::Place;
use crate::load::{Draft, mount_path};
use crate::section::{Config, ListenProtocol};
use crate::{acme, master, relay, tls};

/// The most acceptors.
pub(crate) const LISTEN_MAX: usize = 64;

/// The most configured mounts.
pub(crate) const MOUNTS_MAX: usize = 10_000;

/// Paths that the server answers itself.
pub const RESERVED_PATHS: &[&str] = &[
    "/",
    "/admin.cgi",
    "/favicon.ico",
    "/health",
    "/metrics",
    "/ready",
    "/robots.txt",
    "/server_version.xsl",
    "/status-json.xsl",
    "/status.xsl",
];

/// What other paths start with that the server answers itself.
pub const RESERVED_PREFIXES: &[&str] = &[
    "/.well-known/acme-challenge/",
    "/admin/",
    "/api/",
    "/embed/",
    "/watch/",
    "/web/",
];

/// Whether the server answers `path` itself, so that no mount can have it.
pub fn is_reserved_path(path: &str) -> bool {
    RESERVED_PATHS.contains(&path)
        || RESERVED_PREFIXES
            .iter()
            .any(|prefix| path.starts_with(prefix))
}

/// What is wrong with a mount's name that [`is_hls_path`] has.
pub(crate) const HLS_NAME: &str = "is an address of another mount's HLS: no source could feed it";

/// Whether requests for `path` are for the HLS of a mount, so that no mount can have that name:
/// playlists, manifests, and the media in their folder.
pub fn is_hls_path(path: &str) -> bool {
    if path.ends_with(".m3u8") {
        return true;
    }
    if let Some(base) = path.strip_suffix(".mpd") {
        return base.len() > 1 && !base.contains("/hls/");
    }
    let split = path.rsplit_once("/hls/");
    split.is_some_and(|(base, name)| base.len() > 1 && is_hls_media(name))
}

/// Whether a file of the folder is called so: `v0-<epoch>-7.1.m4s` and the like.
fn is_hls_media(name: &str) -> bool {
    let mut words = name.splitn(3, '-');
    let [Some(rendition), Some(epoch), Some(last)] = [words.next(), words.next(), words.next()]
    else {
        return false;
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let index = rendition.strip_prefix(['v', 'a']).is_some_and(digits);
    let life = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let stem = [".m4s", ".mp3"]
        .iter()
        .find_map(|end| last.strip_suffix(end));
    let init = last
        .strip_suffix(".mp4")
        .and_then(|stem| stem.strip_prefix("init"));
    let numbered = init.is_some_and(digits)
        || stem.is_some_and(|stem| stem.split('.').count() <= 2 && stem.split('.').all(digits));
    index && !epoch.is_empty() && epoch.bytes().all(life) && numbered
}

/// Adds the faults that no setting has alone.
pub(crate) fn check(draft: &mut Draft) {
    check_listen(draft);
    check_auth(draft);
    check_mounts(draft);
    check_fallbacks(draft);
    let mut faults = relay::check(&draft.relays);
    faults.append(&mut master::check(&draft.masters));
    let place = |path: &str| place(draft, path);
    faults.append(&mut tls::check(&draft.config, &draft.certificates, place));
    faults.append(&mut acme::check(&draft.config, place));
    draft.faults.append(&mut faults);
}

fn check_listen(draft: &mut Draft) {
    let mut seen: Vec<(SocketAddr, &Place)> = Vec::new();
    let mut faults = Vec::new();
    for (listen, place) in draft.listen.iter().take(LISTEN_MAX) {
        let address = listen.address;
        if let Some((_, first)) = seen.iter().find(|(other, _)| overlap(*other, address)) {
            let message = format!("{address} is taken already at {first}");
            faults.push(place.fault("listen.address", message));
        }
        seen.push((address, place));
        if listen.protocol.is_tls() && !draft.config.may_speak_tls() {
            let message = "needs a certificate: tls.certificate_file, a [[certificate]], or \
                           tls.self_signed = true for development";
            faults.push(place.fault("listen.protocol", message));
        }
        let mount = &listen.shoutcast_mount;
        let takes_sources = listen.protocol == ListenProtocol::Shoutcast;
        let no_mount = mount.is_empty() || is_reserved_path(mount) || is_hls_path(mount);
        if takes_sources && no_mount {
            let message = "must be the name of a mount";
            faults.push(place.fault("listen.shoutcast_mount", message));
        }
    }
    if let Some((_, place)) = draft.listen.get(LISTEN_MAX) {
        faults.push(place.fault("listen", format!("more than {LISTEN_MAX} acceptors")));
    }
    draft.faults.append(&mut faults);
}

/// Whether two acceptors cannot both be had. Port 0 is another port each time.
pub(crate) fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let all = |ip: IpAddr| ip == IpAddr::from([0_u16; 8]);
    let all_v4 = |ip: IpAddr| ip == IpAddr::from([0_u8; 4]);
    let (a_ip, b_ip) = (a.ip().to_canonical(), b.ip().to_canonical());
    let same = a_ip == b_ip || (all(a_ip) && all_v4(b_ip)) || (all_v4(a_ip) && all(b_ip));
    same && a.port() == b.port() && a.port() != 0
}

fn check_auth(draft: &mut Draft) {
    let auth = &draft.config.auth;
    let mut found = Vec::new();
    if auth.admin_user.is_empty() {
        found.push(("auth.admin_user", "must not be empty"));
    }
    if auth.admin_user.contains(':') {
        found.push(("auth.admin_user", "must not contain \":\""));
    }
    if auth.admin_user == "source" {
        found.push(("auth.admin_user", "is the user of sources"));
    }
    if auth.relay_user.is_empty() {
        found.push(("auth.relay_user", "must not be empty"));
    }
    if auth.relay_user.contains(':') {
        found.push(("auth.relay_user", "must not contain \":\""));
    }
    if !auth.admin_password.is_empty() && auth.admin_password == auth.admin_user {
        found.push(("auth.admin_password", "must not be the user's name"));
    }
    for (path, message) in found {
        let fault = place(draft, path).fault(path, message);
        draft.faults.push(fault);
    }
}

fn place(draft: &Draft, path: &str) -> Place {
    draft
        .places
        .get(path)
        .cloned()
        .unwrap_or_else(|| Place::whole("defaults"))
}

fn check_mounts(draft: &mut Draft) {
    let mut seen: BTreeMap<&str, &Place> = BTreeMap::new();
    let mut faults = Vec::new();
    for mount in &draft.mounts {
        if is_reserved_path(&mount.name) {
            let message = format!("{} is a page of the server's own", mount.name);
            faults.push(mount.place.fault("mount.name", message));
        } else if is_hls_path(&mount.name) {
            let message = format!("{} {HLS_NAME}", mount.name);
            faults.push(mount.place.fault("mount.name", message));
        }
        if let Some(first) = seen.get(mount.name.as_str()) {
            let message = format!("{} is declared already at {first}", mount.name);
            faults.push(mount.place.fault("mount.name", message));
        } else {
            seen.insert(&mount.name, &mount.place);
        }
    }
    if let Some(mount) = draft.mounts.get(MOUNTS_MAX) {
        faults.push(
            mount
                .place
                .fault("mount", format!("more than {MOUNTS_MAX} mounts")),
        );
    }
    draft.faults.append(&mut faults);
}

fn check_fallbacks(draft: &mut Draft) {
    let config = &draft.config;
    let by_name: BTreeMap<&str, &str> = config
        .mounts
        .iter()
        .map(|(name, mount)| (name.as_str(), mount.fallback.as_str()))
        .collect();
    let mut faults = Vec::new();
    let default = config.mount_defaults.fallback.as_str();
    if !default.is_empty() && !by_name.contains_key(default) {
        let path = "mount_defaults.fallback";
        let message = format!("{default} is no configured mount");
        faults.push(place(draft, path).fault(path, message));
    }
    for (name, mount) in &config.mounts {
        let path = mount_path(name, "fallback");
        let own = draft.places.get(&path);
        if let Some(own) = own
            && !mount.fallback.is_empty()
            && !by_name.contains_key(mount.fallback.as_str())
        {
            faults.push(own.fault(
                path.as_str(),
                format!("{} is no configured mount", mount.fallback),
            ));
        }
    }
    for chain in loops(config, &by_name) {
        let path = mount_path(chain.first().copied().unwrap_or(""), "fallback");
        let inherited = "mount_defaults.fallback";
        let place = draft
            .places
            .get(&path)
            .cloned()
            .unwrap_or_else(|| place(draft, inherited));
        faults.push(place.fault(path, format!("goes round: {}", chain.join(" -> "))));
    }
    draft.faults.append(&mut faults);
}

/// Every loop of fallbacks once, from the member that is configured first back to itself.
fn loops<'c>(config: &'c Config, by_name: &BTreeMap<&'c str, &'c str>) -> Vec<Vec<&'c str>> {
    let mut done: BTreeMap<&str, usize> = BTreeMap::new();
    let mut loops = Vec::new();
    for (walk, (start, _)) in config.mounts.iter().enumerate() {
        let mut chain: Vec<&str> = Vec::new();
        let mut next = Some(start.as_str());
        while let Some(name) = next.filter(|name| !done.contains_key(name)) {
            done.insert(name, walk);
            chain.push(name);
            next = by_name
                .get(name)
                .copied()
                .filter(|fallback| !fallback.is_empty());
        }
        let met = next.filter(|name| done.get(name) == Some(&walk));
        let from = met.and_then(|met| chain.iter().position(|name| *name == met));
        if let (Some(met), Some(from)) = (met, from) {
            let mut found = chain.split_off(from);
            found.push(met);
            loops.push(found);
        }
    }
    loops
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_hls_are_no_mounts() {
        for path in [
            "/live.m3u8",
            "/.m3u8",
            "/live/hls/cam.m3u8",
            "/live.mpd",
            "/live/hls/v0-abc-7.m4s",
            "/live/hls/a12-0-7.1.m4s",
            "/live/hls/a0-x-7.mp3",
            "/live/hls/v0-abc-init3.mp4",
        ] {
            assert!(is_hls_path(path), "{path}");
            let text = format!("[[mount]]\nname = \"{path}\"\n");
            let file = Some(crate::File {
                name: "f",
                text: &text,
            });
            let faults = crate::load(crate::Sources {
                file,
                environment: &[],
                overrides: &[],
            });
            let faults = faults.expect_err("nobody could feed it");
            let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
            assert_eq!(told, [format!("f:2:8: mount.name: {path} {HLS_NAME}")]);
        }
        for path in [
            "/live",
            "/live.m3u",
            "/live.ts",
            "/hls/radio.mp3",
            "/live/hls/radio.mp3",
            "/live/hls/v0-abc-x.m4s",
            "/live/hls/v0-ABC-7.m4s",
            "/live/hls/v0-abc-7.1.2.m4s",
            "/hls/v0-abc-7.m4s",
            "/.mpd",
        ] {
            assert!(!is_hls_path(path), "{path}");
        }
    }
}
