//! Lines, functions and files that a reader can take in at once.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::assert_clean;
use super::tree;

const LINE_CHARS_MAX: usize = 100;
const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 600;
/// Where a longer file says why.
const FILE_REASON: &str = "Longer than 600 lines because";
const FILE_REASON_LINES_MAX: usize = 30;

/// Functions that may be longer, with the length they have now and why. They may only shrink.
const LONG_FUNCTIONS: &[LongFunction] = &[];

struct LongFunction {
    path: &'static str,
    name: &'static str,
    lines: usize,
    #[expect(dead_code, reason = "read by people")]
    because: &'static str,
}

fn long_lines(path: &str, text: &str) -> Vec<String> {
    let too_long = |(at, line): (usize, &str)| {
        let chars = line.chars().count();
        (chars > LINE_CHARS_MAX).then(|| format!("{path}:{}: {chars} characters", at + 1))
    };
    text.lines().enumerate().filter_map(too_long).collect()
}

fn long_file(path: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    let reason = text
        .lines()
        .take(FILE_REASON_LINES_MAX)
        .any(|line| line.contains(FILE_REASON));
    (lines > FILE_LINES_MAX && !reason).then(|| format!("{path}: {lines} lines"))
}

struct Functions {
    /// Name, first line, number of lines.
    found: Vec<(String, usize, usize)>,
}

impl Functions {
    fn add(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let first = signature.fn_token.span().start().line;
        let last = block.brace_token.span.close().end().line;
        self.found
            .push((signature.ident.to_string(), first, last - first + 1));
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.add(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.add(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

fn functions(path: &str, text: &str) -> Vec<(String, usize, usize)> {
    let file = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: not Rust: {error}"));
    let mut functions = Functions { found: Vec::new() };
    functions.visit_file(&file);
    functions.found
}

fn long_functions(path: &str, text: &str, allowed: &[LongFunction]) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, line, lines) in functions(path, text) {
        let may = allowed
            .iter()
            .find(|long| long.path == path && long.name == name);
        let max = may.map_or(FUNCTION_LINES_MAX, |long| long.lines);
        if lines > max {
            faults.push(format!(
                "{path}:{line}: fn {name} has {lines} lines, at most {max}"
            ));
        }
        if lines < max && may.is_some() {
            faults.push(format!(
                "{path}:{line}: fn {name} has shrunk to {lines}: say so here"
            ));
        }
    }
    faults
}

#[test]
fn the_tree_has_short_lines() {
    let files = tree::rust_files();
    let faults: Vec<_> = files
        .iter()
        .flat_map(|file| long_lines(&file.path, file.text()))
        .collect();
    assert_clean("line length", &faults);
}

#[test]
fn the_tree_has_short_functions() {
    let faults: Vec<_> = tree::rust_files()
        .iter()
        .flat_map(|file| long_functions(&file.path, file.text(), LONG_FUNCTIONS))
        .collect();
    assert_clean("function length", &faults);
}

#[test]
fn the_tree_has_short_files() {
    let files = tree::rust_files();
    let faults: Vec<_> = files
        .iter()
        .filter_map(|file| long_file(&file.path, file.text()))
        .collect();
    assert_clean("file length", &faults);
}

#[test]
fn a_long_line_is_found() {
    let text = format!("{}\n{}\n", "é".repeat(100), "x".repeat(101));
    assert_eq!(long_lines("a.rs", &text), ["a.rs:2: 101 characters"]);
}

#[test]
fn a_long_file_is_found_unless_it_says_why() {
    let long = "//\n".repeat(601);
    assert_eq!(long_file("a.rs", &long).as_deref(), Some("a.rs: 601 lines"));
    assert_eq!(long_file("a.rs", &"//\n".repeat(600)), None);
    assert_eq!(
        long_file("a.rs", &format!("//! {FILE_REASON} it is a table.\n{long}")),
        None
    );
    let late = format!(
        "{}//! {FILE_REASON} it is a table.\n{long}",
        "//\n".repeat(30)
    );
    assert!(long_file("a.rs", &late).is_some());
}

#[test]
fn a_long_function_is_found_wherever_it_stands() {
    let body = "    f();\n".repeat(69);
    let long = format!("fn long() {{\n{body}}}\n");
    let text = format!("mod m {{ impl A {{\n{long}}} trait B {{\n{long}}} }}\n{long}");
    assert_eq!(long_functions("a.rs", &text, &[]).len(), 3);
    let short = format!("fn short() {{\n{}}}\n", "    f();\n".repeat(68));
    assert!(long_functions("a.rs", &short, &[]).is_empty());
}

#[test]
fn the_ratchet_only_goes_down() {
    let text = |lines: usize| format!("fn long() {{\n{}}}\n", "    f();\n".repeat(lines - 2));
    let allowed = [LongFunction {
        path: "a.rs",
        name: "long",
        lines: 80,
        because: "a table",
    }];
    assert!(long_functions("a.rs", &text(80), &allowed).is_empty());
    assert_eq!(long_functions("a.rs", &text(81), &allowed).len(), 1);
    assert_eq!(long_functions("a.rs", &text(79), &allowed).len(), 1);
    assert_eq!(long_functions("b.rs", &text(80), &allowed).len(), 1);
}
