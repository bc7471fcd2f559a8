//! What `docs/icecast.md` claims is shown by a test that is there.

use super::assert_clean;
use super::tokens::tokens;
use super::tree;

const PAGE: &str = "docs/icecast.md";

/// Rows that claim a feature without a test, or name one that is no function.
fn parity_faults(page: &str, is_function: impl Fn(&str) -> bool) -> Vec<String> {
    let rows = page.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.filter_map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let (feature, ours, test) = (cells.first()?, cells.get(4)?, cells.get(5)?);
        let test = test.trim_matches('`');
        if !ours.starts_with("yes") {
            return None;
        }
        let fault = if test.is_empty() {
            "no test is named".to_owned()
        } else if is_function(test) {
            return None;
        } else {
            format!("no function is called {test}")
        };
        Some(format!("{PAGE}: {feature}: {fault}"))
    })
    .collect()
}

#[test]
fn claims_without_a_test_are_found() {
    let page = "| feature | 2.4 | 2.5 | KH | corecast | shown by |\n|---|---|---|---|---|---|\n\
                | one | yes | yes | yes | yes | `there` |\n\
                | two | yes | yes | yes | yes* | `gone` |\n\
                | three | yes | yes | yes | yes | |\n\
                | four | yes | yes | yes | no | |\n";
    let faults = parity_faults(page, |name| name == "there");
    assert_eq!(
        faults,
        [
            "docs/icecast.md: two: no function is called gone",
            "docs/icecast.md: three: no test is named"
        ]
    );
}

#[test]
fn the_tree_shows_what_it_claims_beside_icecast() {
    let files = tree::rust_files();
    let functions: Vec<String> = files
        .iter()
        .filter(|file| file.path.starts_with("tests/") || file.path.contains("/tests/"))
        .flat_map(|file| {
            let tokens = tokens(&file.path, file.text());
            let named = tokens.windows(2).filter(|pair| pair[0].0.is("fn"));
            let names = named.filter_map(|pair| pair[1].0.ident().map(str::to_owned));
            names.collect::<Vec<_>>()
        })
        .collect();
    let is_function = |name: &str| functions.iter().any(|function| function == name);
    let page = tree::text_of(PAGE);
    assert_clean("parity", &parity_faults(&page, is_function));
}
