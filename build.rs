//! Stamps the commit into the program; nothing else.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let log = Path::new(".git/logs/HEAD");
    if log.exists() {
        println!("cargo:rerun-if-changed={}", log.display());
    }
    let commit = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map_or_else(String::new, |commit| format!(" ({})", commit.trim()));
    println!(
        "cargo:rustc-env=CORECAST_VERSION={}{commit}",
        env!("CARGO_PKG_VERSION")
    );
}
