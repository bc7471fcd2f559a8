//! What is there is on the map, and what is on the map is there.

use std::collections::BTreeSet;

use toml_edit::{DocumentMut, Item};

use super::assert_clean;
use super::imports::SHARED_BY_PROTOCOLS;
use super::tokens::tokens;
use super::tree;

const MAP: &str = "docs/ARCHITECTURE.md";

/// Folders under `src/` that the map does not name, and `src/` paths of the map that are gone.
fn map_faults(map: &str, folders: &BTreeSet<&str>, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let named: BTreeSet<&str> = map
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|span| span.starts_with("src/"))
        .map(|span| span.trim_end_matches('/'))
        .collect();
    let missing = folders
        .iter()
        .filter(|folder| folder.starts_with("src/") && !named.contains(*folder))
        .map(|folder| format!("{MAP}: `{folder}/` is not named"));
    let gone = named
        .iter()
        .filter(|path| !exists(path))
        .map(|path| format!("{MAP}: `{path}` does not exist"));
    missing.chain(gone).collect()
}

/// Modules that no parent declares: files that the compiler never sees.
fn dead_files(files: &[(&str, &str)]) -> Vec<String> {
    let declares = |parent: &str, name: &str| {
        files
            .iter()
            .filter(|(path, _)| *path == parent)
            .any(|(path, text)| {
                let tokens = tokens(path, text);
                tokens
                    .windows(2)
                    .any(|pair| pair[0].0.is("mod") && pair[1].0.is(name))
            })
    };
    // A test module beside its subject may be named by its file.
    let named = |folder: &str, file: &str| {
        let attribute = format!("#[path = \"{file}\"]");
        let beside = |path: &str| {
            path.rsplit_once('/')
                .is_some_and(|(there, _)| there == folder)
        };
        files
            .iter()
            .any(|(path, text)| beside(path) && text.contains(&attribute))
    };
    let mut faults = Vec::new();
    for (path, _) in files.iter().filter(|(path, _)| path.starts_with("src/")) {
        let place = path.strip_suffix("/mod.rs").unwrap_or(path);
        let Some((folder, file)) = place.rsplit_once('/') else {
            continue;
        };
        let name = file.trim_end_matches(".rs");
        // Cargo itself runs a crate's `build.rs`.
        if matches!(name, "lib" | "main" | "build") {
            continue;
        }
        let parents = ["lib.rs", "main.rs", "mod.rs"].map(|root| format!("{folder}/{root}"));
        let beside = format!("{folder}.rs");
        let mut parents = parents.iter().chain([&beside]);
        if !parents.any(|parent| declares(parent, name)) && !named(folder, file) {
            faults.push(format!("{path}: no file says `mod {name}`"));
        }
    }
    faults
}

/// Name and path of each fuzz target.
fn fuzz_targets(manifest: &str) -> Vec<(String, String)> {
    let document: DocumentMut = manifest.parse().expect("fuzz/Cargo.toml is TOML");
    let Some(bins) = document.get("bin").and_then(Item::as_array_of_tables) else {
        return Vec::new();
    };
    let text = |table: &toml_edit::Table, key| {
        table
            .get(key)
            .and_then(Item::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    bins.iter()
        .map(|bin| (text(bin, "name"), text(bin, "path")))
        .collect()
}

fn fuzz_faults(
    targets: &[(String, String)],
    folders: &BTreeSet<&str>,
    exists: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, path) in targets {
        if !exists(&format!("fuzz/{path}")) {
            faults.push(format!("fuzz target {name}: {path} does not exist"));
        }
    }
    for folder in folders {
        let Some(protocol) = folder.strip_prefix("src/protocol/") else {
            continue;
        };
        if protocol.contains('/') || SHARED_BY_PROTOCOLS.contains(&protocol) {
            continue;
        }
        let fuzzes = |name: &str| name == protocol || name.starts_with(&format!("{protocol}_"));
        if !targets.iter().any(|(name, _)| fuzzes(name)) {
            faults.push(format!(
                "{folder}: no fuzz target {protocol} or {protocol}_*"
            ));
        }
    }
    faults
}

#[test]
fn the_tree_is_on_the_map() {
    let files = tree::files();
    let folders = tree::folders(files.iter().map(|file| file.path.as_str()));
    let exists = |path: &str| tree::root().join(path).exists();
    assert_clean("map", &map_faults(&tree::text_of(MAP), &folders, exists));
}

#[test]
fn the_tree_has_no_dead_files() {
    let files = tree::rust_files();
    let files: Vec<_> = files
        .iter()
        .map(|file| (file.path.as_str(), file.text()))
        .collect();
    assert_clean("dead files", &dead_files(&files));
}

#[test]
fn the_tree_fuzzes_every_parser() {
    let files = tree::files();
    let folders = tree::folders(files.iter().map(|file| file.path.as_str()));
    let targets = fuzz_targets(&tree::text_of("fuzz/Cargo.toml"));
    let exists = |path: &str| tree::root().join(path).exists();
    assert_clean("fuzz targets", &fuzz_faults(&targets, &folders, exists));
}

#[test]
fn what_the_map_lacks_or_invents_is_found() {
    let folders = BTreeSet::from(["src", "src/media", "src/shard/net", "tests"]);
    let check = |map: &str| map_faults(map, &folders, |path| path != "src/gone");
    assert!(check("`src/media/` and `src/shard/net`, not src/media2").is_empty());
    assert_eq!(check("`src/media/` and src/shard/net").len(), 1);
    assert_eq!(
        check("`src/media/`, `src/shard/net/`, `src/gone/`").len(),
        1
    );
}

#[test]
fn a_dead_file_is_found() {
    let lib = ("src/media/lib.rs", "pub mod a;\nmod b { }");
    let faults = dead_files(&[
        lib,
        (
            "src/media/a.rs",
            "#[cfg(test)]\nmod tests;\n#[path = \"e_tests.rs\"]\nmod e;",
        ),
        ("src/media/e_tests.rs", ""),
        ("src/media/b/mod.rs", "mod f;"),
        ("src/media/b/f.rs", ""),
        ("src/media/a/tests.rs", ""),
        ("src/media/c.rs", "// mod c;"),
        ("src/media/a/d.rs", ""),
    ]);
    assert_eq!(faults.len(), 2, "{faults:?}");
}

#[test]
fn a_parser_without_fuzz_target_is_found() {
    let manifest = "[[bin]]\nname = \"ogg\"\npath = \"targets/ogg.rs\"\n";
    let targets = fuzz_targets(manifest);
    assert_eq!(targets, [("ogg".to_owned(), "targets/ogg.rs".to_owned())]);
    let check = |folders: &[&'static str], there: bool| {
        fuzz_faults(&targets, &folders.iter().copied().collect(), |_| there).len()
    };
    assert_eq!(
        check(
            &["src/protocol", "src/protocol/ogg", "src/protocol/ogg/data"],
            true
        ),
        0
    );
    assert_eq!(check(&["src/protocol/ogg", "src/protocol/mpa"], true), 1);
    assert_eq!(check(&["src/protocol/ogg"], false), 1);
}
