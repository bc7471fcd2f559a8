//! Imports run downwards only: between crates, and inside the crates that have layers.

use toml_edit::{DocumentMut, Item, TableLike};

use super::assert_clean;
use super::tokens::{crate_modules, tokens};
use super::tree;

/// Each crate of ours and those of ours that it may import.
const CRATES: &[(&str, &[&str])] = &[
    ("corecast-config", &[]),
    ("corecast-telemetry", &[]),
    ("corecast-media", &[]),
    ("corecast-protocol", &["media"]),
    ("corecast-tls", &[]),
    (
        "corecast-mesh",
        &["config", "telemetry", "media", "protocol", "tls"],
    ),
    (
        "corecast-shard",
        &["config", "telemetry", "media", "protocol", "tls", "mesh"],
    ),
    (
        "corecast-control",
        &["config", "telemetry", "media", "tls", "mesh"],
    ),
    (
        "corecast-sim",
        &["config", "media", "protocol", "mesh", "shard"],
    ),
    ("corecast-loadtest", &["media", "protocol"]),
    ("corecast-fuzz", &["config", "media", "protocol"]),
    (
        "corecast",
        &[
            "config",
            "telemetry",
            "media",
            "protocol",
            "tls",
            "mesh",
            "shard",
            "control",
        ],
    ),
];

/// A module of a layered crate and the siblings that it may import.
type Layer = (&'static str, &'static [&'static str]);

/// The layered crates. A module that is not named is free to import and to be imported; in
/// `protocol` every folder is a protocol, and protocols do not meet unless it says so here.
const LAYERS: &[(&str, &[Layer])] = &[
    (
        "src/shard/",
        &[
            ("net", &[]),
            ("hub", &[]),
            ("admission", &["net"]),
            ("http", &["admission", "net"]),
            ("relay", &["hub", "http", "net"]),
            ("session", &["http", "hub", "admission", "net"]),
            ("http2", &["session", "http", "admission", "net"]),
            ("quic", &["session", "http", "admission", "net"]),
        ],
    ),
    (
        PROTOCOLS,
        &[
            ("flv", &["rtmp", "websocket"]),
            ("hls", &["cmaf", "dash"]),
            ("http1", &["http"]),
            ("icy", &["http", "http1"]),
            ("radio", &["adts", "mpa", "ogg"]),
        ],
    ),
];
const PROTOCOLS: &str = "src/protocol/";
/// Folders in `protocol` that are no protocol.
pub(super) const SHARED_BY_PROTOCOLS: [&str; 1] = ["framing"];

/// The names of all dependencies of a manifest, of every kind and target.
pub(super) fn dependencies(path: &str, manifest: &str) -> Vec<String> {
    let document: DocumentMut = manifest
        .parse()
        .unwrap_or_else(|error| panic!("{path}: not TOML: {error}"));
    let mut found = Vec::new();
    names_in(document.as_table(), &mut found);
    if let Some(targets) = document.get("target").and_then(Item::as_table_like) {
        for (_, target) in targets.iter() {
            if let Some(target) = target.as_table_like() {
                names_in(target, &mut found);
            }
        }
    }
    found
}

fn names_in(table: &dyn TableLike, found: &mut Vec<String>) {
    for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let Some(entries) = table.get(kind).and_then(Item::as_table_like) else {
            continue;
        };
        for (name, entry) in entries.iter() {
            let renamed = entry.as_table_like().and_then(|entry| entry.get("package"));
            found.push(renamed.and_then(Item::as_str).unwrap_or(name).to_owned());
        }
    }
}

fn package_name(manifest: &str) -> Option<String> {
    let document: DocumentMut = manifest.parse().ok()?;
    let name = document
        .get("package")?
        .as_table_like()?
        .get("name")?
        .as_str()?;
    Some(name.to_owned())
}

fn upward_dependencies(path: &str, manifest: &str) -> Vec<String> {
    let Some(package) = package_name(manifest) else {
        return vec![format!("{path}: no package name")];
    };
    let Some((_, allowed)) = CRATES.iter().find(|(name, _)| *name == package) else {
        return vec![format!("{path}: {package} has no place among the imports")];
    };
    dependencies(path, manifest)
        .into_iter()
        .filter_map(|name| name.strip_prefix("corecast-").map(str::to_owned))
        .filter(|name| !allowed.contains(&name.as_str()))
        .map(|name| format!("{path}: {package} must not import {name}"))
        .collect()
}

/// The module of a layered crate that `path` belongs to: `net` for `src/shard/net/tcp.rs`.
fn module_of<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    let inside = path.strip_prefix(folder)?;
    let module = inside.split('/').next()?;
    Some(module.strip_suffix(".rs").unwrap_or(module))
}

fn sideward_imports(path: &str, text: &str, folders: &[&str]) -> Vec<String> {
    let mut faults = Vec::new();
    for (crate_folder, modules) in LAYERS {
        let Some(from) = module_of(path, crate_folder) else {
            continue;
        };
        let rule = modules.iter().find(|(name, _)| *name == from);
        let is_protocol = |name: &str| {
            let folder = format!("{PROTOCOLS}{name}");
            folders.contains(&folder.as_str()) && !SHARED_BY_PROTOCOLS.contains(&name)
        };
        let strict = *crate_folder == PROTOCOLS;
        if rule.is_none() && !(strict && is_protocol(from)) {
            continue;
        }
        let allowed = rule.map_or(&[][..], |(_, allowed)| *allowed);
        for (to, line) in crate_modules(&tokens(path, text)) {
            let layered = modules.iter().any(|(name, _)| *name == to) || strict && is_protocol(&to);
            if layered && to != from && !allowed.contains(&to.as_str()) {
                faults.push(format!("{path}:{line}: {from} must not import {to}"));
            }
        }
    }
    faults
}

#[test]
fn the_tree_imports_downwards() {
    let files = tree::files();
    let manifests: Vec<_> = files
        .iter()
        .filter(|file| file.path.ends_with("Cargo.toml"))
        .collect();
    assert!(
        manifests.len() > CRATES.len() / 2,
        "the manifests are elsewhere"
    );
    let faults: Vec<_> = manifests
        .iter()
        .flat_map(|file| upward_dependencies(&file.path, file.text()))
        .collect();
    assert_clean("imports between crates", &faults);
}

#[test]
fn the_tree_keeps_its_layers() {
    let files = tree::rust_files();
    let folders = tree::folders(files.iter().map(|file| file.path.as_str()));
    let folders: Vec<&str> = folders.into_iter().collect();
    let faults: Vec<_> = files
        .iter()
        .flat_map(|file| sideward_imports(&file.path, file.text(), &folders))
        .collect();
    assert_clean("imports inside crates", &faults);
}

/// The one place where a crate may set its lints itself is where `unsafe` is needed.
#[test]
fn the_tree_shares_its_lints() {
    const OWN_LINTS: [&str; 2] = ["src/shard/Cargo.toml", "fuzz/Cargo.toml"];
    let shared = |manifest: &str| {
        let document: DocumentMut = manifest.parse().expect("parsed by the other tests");
        let lints = document.get("lints").and_then(Item::as_table_like);
        lints
            .and_then(|lints| lints.get("workspace"))
            .and_then(Item::as_bool)
            == Some(true)
    };
    assert!(shared("[lints]\nworkspace = true\n") && !shared("[lints.rust]\nunsafe_code = 1\n"));
    let faults: Vec<_> = tree::files()
        .iter()
        .filter(|file| file.path.ends_with("Cargo.toml"))
        .filter(|file| !shared(file.text()) && !OWN_LINTS.contains(&file.path.as_str()))
        .map(|file| file.path.clone())
        .collect();
    assert_clean("manifests without the shared lints", &faults);
}

#[test]
fn an_upward_dependency_is_found() {
    let check = |name: &str, rest: &str| {
        let manifest = format!("[package]\nname = \"{name}\"\n{rest}");
        upward_dependencies("Cargo.toml", &manifest).len()
    };
    let on = |name: &str| format!("[dependencies]\n{name}.workspace = true\n");
    assert_eq!(check("corecast-media", &on("corecast-config")), 1);
    assert_eq!(check("corecast-control", &on("corecast-shard")), 1);
    assert_eq!(check("corecast-control", &on("corecast-protocol")), 1);
    assert_eq!(check("corecast-shard", &on("corecast-mesh")), 0);
    assert_eq!(check("corecast-new", ""), 1);
    let renamed = "[target.'cfg(unix)'.dev-dependencies]\nm = { package = \"corecast-mesh\" }\n";
    assert_eq!(check("corecast-media", renamed), 1);
}

#[test]
fn a_sideward_import_is_found() {
    let folders = [
        "src/protocol/http1",
        "src/protocol/ogg",
        "src/protocol/framing",
    ];
    let check = |path: &str, text: &str| sideward_imports(path, text, &folders).len();
    assert_eq!(check("src/shard/net/tcp.rs", "use crate::hub::Hub;"), 1);
    assert_eq!(
        check("src/shard/hub.rs", "use crate::{hub::x, net::tcp};"),
        1
    );
    assert_eq!(check("src/shard/session/icy.rs", "use crate::net::tcp;"), 0);
    assert_eq!(check("src/shard/hub/a.rs", "use crate::limits::X;"), 0);
    assert_eq!(
        check("src/protocol/http1/head.rs", "use crate::ogg::page;"),
        1
    );
    assert_eq!(
        check("src/protocol/http1/head.rs", "use crate::pair::Pair;"),
        0
    );
}
