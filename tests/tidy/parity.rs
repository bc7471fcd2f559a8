//! What `docs/icecast.md` claims is shown by a test that is there.

use super::assert_clean;
use super::tokens::tokens;
use super::tree;

const PAGE: &str = "docs/icecast.md";

/// Rows that claim something without a test, or name one that is no function. A table either has
/// a column on corecast, where only "yes" is a claim, or each of its rows is one; its last column
/// names the test.
fn parity_faults(page: &str, is_function: impl Fn(&str) -> bool) -> Vec<String> {
    let mut faults = Vec::new();
    let mut head: Option<Vec<&str>> = None;
    for line in page.lines() {
        if !line.starts_with('|') {
            head = None;
            continue;
        }
        let row = line.strip_prefix('|').and_then(|row| row.strip_suffix('|'));
        let cells: Vec<&str> = row.unwrap_or(line).split('|').map(str::trim).collect();
        let Some(head) = &head else {
            head = Some(cells);
            continue;
        };
        let ours = head.iter().position(|cell| *cell == "corecast");
        let claims =
            ours.is_none_or(|at| cells.get(at).is_some_and(|cell| cell.starts_with("yes")));
        if !claims || line.starts_with("|---") {
            continue;
        }
        let test = cells.last().map_or("", |cell| cell.trim_matches('`'));
        let what = cells.first().copied().unwrap_or_default();
        if test.is_empty() {
            faults.push(format!("{PAGE}: {what}: no test is named"));
        } else if !is_function(test) {
            faults.push(format!("{PAGE}: {what}: no function is called {test}"));
        }
    }
    faults
}

#[test]
fn claims_without_a_test_are_found() {
    let page = "| feature | 2.4 | 2.5 | KH | corecast | shown by |\n|---|---|---|---|---|---|\n\
                | one | yes | yes | yes | yes | `there` |\n\
                | two | yes | yes | yes | yes* | `gone` |\n\
                | three | yes | yes | yes | yes | |\n\
                | four | yes | yes | yes | no | |\n\n\
                | client | version | shown by |\n|---|---|---|\n\
                | player | 1 | `there` |\n\
                | encoder | 2 | |\n";
    let faults = parity_faults(page, |name| name == "there");
    assert_eq!(
        faults,
        [
            "docs/icecast.md: two: no function is called gone",
            "docs/icecast.md: three: no test is named",
            "docs/icecast.md: encoder: no test is named"
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
