//! What the pure crates must not know, and where `unsafe` may stand.

use super::assert_clean;
use super::imports::dependencies;
use super::tokens::tokens;
use super::tree;

/// Crates without sockets, clocks, randomness or tasks.
const PURE: [&str; 4] = [
    "src/config/",
    "src/media/",
    "src/protocol/",
    "src/telemetry/",
];

/// What a pure crate never names; clippy.toml of each knows the types of clocks and sockets.
const IMPURE: &[(&str, &str)] = &[
    ("async", "a task"),
    ("await", "a task"),
    ("TcpListener", "a socket"),
    ("TcpStream", "a socket"),
    ("UdpSocket", "a socket"),
    ("UnixStream", "a socket"),
    ("RandomState", "randomness"),
    ("sleep", "a wait"),
];

/// Dependencies that would bring a runtime, a clock, a socket or randomness.
const IMPURE_DEPENDENCIES: &[&str] = &[
    "async-io",
    "futures",
    "futures-channel",
    "futures-util",
    "getrandom",
    "glommio",
    "io-uring",
    "jiff",
    "libc",
    "mio",
    "monoio",
    "polling",
    "rand",
    "rustix",
    "smol",
    "socket2",
    "tokio",
];

/// Folders for `unsafe`: bindings to C.
const UNSAFE_FOLDERS: [&str; 2] = ["src/transcode/ffi/", "vendor/"];
/// In this folder one file may hold it: sockets as the runtime does not give them.
const UNSAFE_ONE_FILE_IN: &str = "src/shard/net/";

fn impure_names(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (token, line) in tokens(path, text) {
        if let Some((name, what)) = IMPURE.iter().find(|(name, _)| token.is(name)) {
            faults.push(format!(
                "{path}:{line}: `{name}` is {what}; it comes in as an argument"
            ));
        }
    }
    faults
}

fn impure_dependencies(path: &str, manifest: &str) -> Vec<String> {
    dependencies(path, manifest)
        .into_iter()
        .filter(|name| IMPURE_DEPENDENCIES.contains(&name.as_str()))
        .map(|name| format!("{path}: {name} has no place in a pure crate"))
        .collect()
}

/// Given path and text of every Rust file.
fn misplaced_unsafe<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut socket_files = Vec::new();
    for (path, text) in files {
        let mut lines = tokens(path, text).into_iter();
        let Some((_, line)) = lines.find(|(token, _)| token.is("unsafe")) else {
            continue;
        };
        if path.starts_with(UNSAFE_ONE_FILE_IN) {
            socket_files.push(path);
        } else if !UNSAFE_FOLDERS.iter().any(|folder| path.starts_with(folder)) {
            faults.push(format!("{path}:{line}: no `unsafe` here"));
        }
    }
    if socket_files.len() > 1 {
        faults.push(format!(
            "`unsafe` in more than one file: {}",
            socket_files.join(", ")
        ));
    }
    faults
}

#[test]
fn the_tree_keeps_pure_crates_pure() {
    let mut faults = Vec::new();
    for file in tree::files() {
        if !PURE.iter().any(|folder| file.path.starts_with(folder)) {
            continue;
        }
        if file.path.ends_with(".rs") {
            faults.extend(impure_names(&file.path, file.text()));
        } else if file.path.ends_with("/Cargo.toml") {
            faults.extend(impure_dependencies(&file.path, file.text()));
        }
    }
    assert_clean("pure crates", &faults);
}

#[test]
fn the_tree_keeps_unsafe_in_its_places() {
    let files = tree::rust_files();
    let faults = misplaced_unsafe(files.iter().map(|file| (file.path.as_str(), file.text())));
    assert_clean("unsafe", &faults);
}

#[test]
fn impure_code_is_found() {
    for bad in [
        "async fn f() {}",
        "fn f() { std::thread::sleep(wait); }",
        "use std::{net::TcpStream};",
        "fn f() { select! { a = b.await => {} } }",
    ] {
        assert_eq!(impure_names("src/media/a.rs", bad).len(), 1, "{bad}");
    }
    assert!(impure_names("src/media/a.rs", "/// Never async.\nfn f() {}").is_empty());
    let manifest = "[dependencies]\nbytes = \"1\"\n[dev-dependencies]\ntokio = \"1\"\n";
    assert_eq!(
        impure_dependencies("src/media/Cargo.toml", manifest).len(),
        1
    );
}

#[test]
fn misplaced_unsafe_is_found() {
    let text = "fn f() { unsafe { g() } }";
    let check = |paths: &[&str]| misplaced_unsafe(paths.iter().map(|path| (*path, text))).len();
    assert_eq!(check(&["src/media/a.rs"]), 1);
    assert_eq!(
        check(&["src/shard/net/fd.rs", "src/transcode/ffi/av.rs"]),
        0
    );
    assert_eq!(check(&["src/shard/net/fd.rs", "src/shard/net/udp.rs"]), 1);
    let quoted = [("src/media/a.rs", "// unsafe\nfn f() { g(\"unsafe\") }")];
    assert!(misplaced_unsafe(quoted.into_iter()).is_empty());
}
