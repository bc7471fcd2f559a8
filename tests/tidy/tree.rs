//! Which files the tree has: those that git tracks, or all that are ours where there is no git.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One tracked file.
pub(super) struct File {
    /// Its path from the root, with `/`.
    pub(super) path: String,
    /// What is in it.
    pub(super) bytes: Vec<u8>,
}

impl File {
    /// Its text; empty where it is not text.
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap_or_default()
    }
}

/// The root of the tree.
pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every tracked file that is there now, by path.
pub(super) fn files() -> Vec<File> {
    let names = git_names().unwrap_or_else(walked_names);
    assert!(
        names.len() > 20,
        "only {} files found: wrong place?",
        names.len()
    );
    let read = |path: String| {
        let bytes = std::fs::read(root().join(&path)).ok()?;
        Some(File { path, bytes })
    };
    names.into_iter().filter_map(read).collect()
}

/// Every tracked Rust file.
pub(super) fn rust_files() -> Vec<File> {
    files()
        .into_iter()
        .filter(|file| file.path.ends_with(".rs"))
        .collect()
}

/// The text of one file that must be there.
pub(super) fn text_of(path: &str) -> String {
    let read = std::fs::read_to_string(root().join(path));
    read.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The folders that hold these paths, and all above them.
pub(super) fn folders<'a>(paths: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    for path in paths {
        let borders = path.match_indices('/').map(|(at, _)| &path[..at]);
        found.extend(borders);
    }
    found
}

fn git_names() -> Option<Vec<String>> {
    let listed = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root())
        .output()
        .ok()?;
    if !listed.status.success() {
        return None;
    }
    let listed = String::from_utf8(listed.stdout).ok()?;
    let names: Vec<String> = listed.split_terminator('\0').map(str::to_owned).collect();
    (!names.is_empty()).then_some(names)
}

/// For a tree that came as an archive.
fn walked_names() -> Vec<String> {
    const NOT_OURS: [&str; 7] = [
        ".git",
        ".x",
        "target",
        "node_modules",
        "__pycache__",
        "corpus",
        "artifacts",
    ];
    let mut names = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(root().join(&folder)).expect("the folder was just listed");
        for entry in entries.map(|entry| entry.expect("the folder stays while it is read")) {
            let name = entry.file_name();
            if NOT_OURS.iter().any(|other| name == *other) {
                continue;
            }
            let path = folder.join(name);
            if entry.path().is_dir() {
                folders.push(path);
            } else {
                names.push(path.to_string_lossy().into_owned());
            }
        }
    }
    names.sort();
    names
}

#[test]
fn both_ways_to_list_the_tree_find_the_manifests() {
    let walked = walked_names();
    for path in ["Cargo.toml", "src/media/lib.rs", "tests/main.rs"] {
        assert!(walked.iter().any(|name| name == path), "{path}");
    }
    assert!(!walked.iter().any(|name| name.starts_with("target/")));
    assert!(files().iter().any(|file| file.path == "Cargo.toml"));
}

#[test]
fn folders_are_all_levels() {
    let found = folders(["src/shard/net/fd.rs", "x"].into_iter());
    assert_eq!(found, BTreeSet::from(["src", "src/shard", "src/shard/net"]));
}
