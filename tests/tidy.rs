//! The tree checks itself. Each rule is a plain function from text to faults, so that its own
//! test can show that it finds what it is for; `the_tree_*` tests run it over the tracked files.
//!
//! Reading order: [`tree`] (which files there are), [`tokens`] (Rust without its comments and
//! strings), then one file per kind of rule.

mod imports;
mod maps;
mod parity;
mod purity;
mod size;
mod tokens;
mod tracked;
mod tree;
mod words;

/// Fails with every fault at once, one line each.
fn assert_clean(rule: &str, faults: &[String]) {
    let count = faults.len();
    assert!(
        faults.is_empty(),
        "{rule}: {count} faults\n  {}",
        faults.join("\n  ")
    );
}
