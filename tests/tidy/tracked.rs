//! What is tracked: text of ours, of a size to read, that fits any machine.

use super::assert_clean;
use super::tree;

const BYTES_MAX: usize = 200_000;

/// The one registry that crates come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn blob(path: &str, bytes: &[u8]) -> Option<String> {
    let binary = bytes.contains(&0) || std::str::from_utf8(bytes).is_err();
    if binary {
        return Some(format!("{path}: not text"));
    }
    let big = bytes.len() > BYTES_MAX && path != "Cargo.lock";
    big.then(|| format!("{path}: {} bytes, at most {BYTES_MAX}", bytes.len()))
}

/// Places of one machine: where this tree is checked out, and the home of who runs this.
fn machine_paths(path: &str, text: &str, places: &[String]) -> Vec<String> {
    let mut faults = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if places.iter().any(|place| holds_path(line, place)) {
            faults.push(format!("{path}:{}: a path of one machine", at + 1));
        }
    }
    faults
}

/// Whether `line` holds the path `place` itself, not the end of a longer one.
fn holds_path(line: &str, place: &str) -> bool {
    let of_a_path = |letter: char| letter.is_alphanumeric() || "._-/~".contains(letter);
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + place.len()..].chars().next();
        !before.is_some_and(of_a_path) && !after.is_some_and(char::is_alphanumeric)
    })
}

fn other_registries(lock: &str) -> Vec<String> {
    let sources = lock
        .lines()
        .filter_map(|line| line.strip_prefix("source = "));
    let other = sources.filter(|source| source.trim_matches('"') != REGISTRY);
    other
        .map(|source| format!("Cargo.lock: {source}"))
        .collect()
}

#[test]
fn the_tree_is_text_of_ours() {
    let files = tree::files();
    let faults: Vec<_> = files
        .iter()
        .filter_map(|file| blob(&file.path, &file.bytes))
        .collect();
    assert_clean("blobs", &faults);
}

#[test]
fn the_tree_fits_any_machine() {
    let mut places = vec![env!("CARGO_MANIFEST_DIR").to_owned()];
    let own = |home: &String| !["/", "/tmp"].contains(&home.as_str());
    places.extend(std::env::var("HOME").ok().filter(own));
    let faults: Vec<_> = tree::files()
        .iter()
        .flat_map(|file| machine_paths(&file.path, file.text(), &places))
        .collect();
    assert_clean("machine paths", &faults);
    assert_clean(
        "registries",
        &other_registries(&tree::text_of("Cargo.lock")),
    );
}

#[test]
fn blobs_are_found() {
    assert!(blob("a.png", b"\x89PNG\0").is_some());
    assert!(blob("a.txt", &[0xff, 0xfe]).is_some());
    assert!(blob("a.json", &vec![b' '; BYTES_MAX + 1]).is_some());
    assert_eq!(blob("a.json", &vec![b' '; BYTES_MAX]), None);
}

#[test]
fn machine_paths_are_found() {
    let places = ["/build/corecast".to_owned(), "/nobody".to_owned()];
    let check = |line: &str| machine_paths("a", line, &places).len();
    assert_eq!(check("cd /build/corecast && make"), 1);
    assert_eq!(check("`/build/corecast/x`"), 1);
    assert_eq!(check("see /nobody/.cargo"), 1);
    assert_eq!(check("/build/corecasting or my/build/corecast"), 0);
}

#[test]
fn another_registry_is_found() {
    let line = |source: &str| format!("name = \"a\"\nsource = \"{source}\"\n");
    assert!(other_registries(&line(REGISTRY)).is_empty());
    assert_eq!(
        other_registries(&line("git+https://example.org/a")).len(),
        1
    );
}
