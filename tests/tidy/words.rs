//! One word per idea (docs/GLOSSARY.md), and nothing left unfinished.

use syn::visit::{self, Visit};

use super::assert_clean;
use super::tokens::{Token, tokens};
use super::tree;

/// Words that no name of ours holds, and what to say instead.
const AVOIDED: &[(&str, &str)] = &[
    ("util", "say what it does"),
    ("utils", "say what it does"),
    ("helper", "say what it does"),
    ("helpers", "say what it does"),
    ("manager", "say what it decides or owns"),
    ("misc", "say what it does"),
    ("viewer", "reader, listener or player"),
    ("ingest", "source or publisher"),
    ("prebuffer", "burst"),
    ("reactor", "shard"),
    ("lane", "shard"),
    ("restream", "forward"),
    ("extradata", "parameter sets or TrackConfig"),
    ("chunklet", "part"),
    ("slave", "edge"),
    ("iframe", "keyframe"),
    ("ts", "DTS, PTS or time; TS alone is the container"),
];

/// Marks of unfinished work in comments; written apart so that this file does not hold them.
const MARKS: [&str; 3] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];

struct Names {
    found: Vec<(String, usize)>,
    functions: Vec<(String, usize)>,
}

impl Names {
    fn add(&mut self, ident: &syn::Ident) {
        self.found
            .push((ident.to_string(), ident.span().start().line));
    }

    fn add_function(&mut self, ident: &syn::Ident) {
        self.functions
            .push((ident.to_string(), ident.span().start().line));
        self.add(ident);
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.add(&item.ident);
        visit::visit_item_mod(self, item);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.add(&item.ident);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.add(&item.ident);
        visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.add(&item.ident);
        visit::visit_item_trait(self, item);
    }

    fn visit_variant(&mut self, item: &'ast syn::Variant) {
        self.add(&item.ident);
        visit::visit_variant(self, item);
    }

    fn visit_field(&mut self, item: &'ast syn::Field) {
        if let Some(ident) = &item.ident {
            self.add(ident);
        }
        visit::visit_field(self, item);
    }

    fn visit_signature(&mut self, item: &'ast syn::Signature) {
        self.add_function(&item.ident);
        visit::visit_signature(self, item);
    }
}

/// `SourceManager` and `source_manager` as `source`, `manager`.
fn parts(name: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    for letter in name.chars() {
        if letter == '_' || letter.is_uppercase() {
            found.push(String::new());
        }
        if letter != '_' {
            found
                .last_mut()
                .expect("starts with one part")
                .extend(letter.to_lowercase());
        }
    }
    found.retain(|part| !part.is_empty());
    found
}

fn avoided_words(path: &str, text: &str) -> Vec<String> {
    let file = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: not Rust: {error}"));
    let mut names = Names {
        found: Vec::new(),
        functions: Vec::new(),
    };
    names.visit_file(&file);
    let mut faults = avoided_in(&format!("{path}: file"), &path.replace(['/', '.'], "_"));
    for (name, line) in &names.found {
        faults.extend(avoided_in(&format!("{path}:{line}: {name}"), name));
    }
    for (name, line) in &names.functions {
        // Elsewhere GET is the method of a request.
        if path.starts_with("src/") && name.starts_with("get_") && name != "get_mut" {
            faults.push(format!(
                "{path}:{line}: {name}: a getter is named by what it gives"
            ));
        }
    }
    faults
}

fn avoided_in(place: &str, name: &str) -> Vec<String> {
    let words = parts(name);
    AVOIDED
        .iter()
        .filter(|(word, _)| words.iter().any(|part| part == word))
        .map(|(word, instead)| format!("{place}: not `{word}`: {instead}"))
        .collect()
}

/// Tests that do not run or expect a panic, and code that is not there yet.
fn unfinished(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let tokens = tokens(path, text);
    for window in tokens.windows(3) {
        let [(first, line), (second, _), (third, _)] = window else {
            continue;
        };
        let attribute = *first == Token::Punct('#') && *second == Token::Punct('[');
        if attribute && (third.is("ignore") || third.is("should_panic")) {
            faults.push(format!(
                "{path}:{line}: #[{}]",
                third.ident().unwrap_or_default()
            ));
        }
        let called = *second == Token::Punct('!') && *third == Token::Punct('(');
        if called && (first.is("todo") || first.is("unimplemented")) {
            faults.push(format!(
                "{path}:{line}: {}!",
                first.ident().unwrap_or_default()
            ));
        }
    }
    for (at, line) in text.lines().enumerate() {
        let words = line.split(|letter: char| !(letter.is_alphanumeric() || letter == '_'));
        for mark in words.filter(|word| MARKS.contains(word)) {
            faults.push(format!("{path}:{}: {mark}", at + 1));
        }
    }
    faults
}

#[test]
fn the_tree_uses_the_glossary() {
    let files = tree::rust_files();
    let faults: Vec<_> = files
        .iter()
        .flat_map(|file| avoided_words(&file.path, file.text()))
        .collect();
    assert_clean("glossary", &faults);
}

#[test]
fn the_tree_is_finished() {
    let files = tree::rust_files();
    let faults: Vec<_> = files
        .iter()
        .flat_map(|file| unfinished(&file.path, file.text()))
        .collect();
    assert_clean("unfinished", &faults);
}

#[test]
fn avoided_words_are_found_in_names_of_every_kind() {
    let check = |text: &str| avoided_words("src/a.rs", text).len();
    for bad in [
        "struct SourceManager;",
        "mod utils {}",
        "fn helper_of_x() {}",
        "enum A { Viewer }",
        "struct A { ts: u64 }",
        "impl A { fn get_name(&self) {} }",
        "trait Helper {}",
    ] {
        assert_eq!(check(bad), 1, "{bad}");
    }
    for good in [
        "struct Mpegts;",
        "fn get(&self) {}",
        "fn f() { let s = \"utils\"; } // utils",
    ] {
        assert_eq!(check(good), 0, "{good}");
    }
    assert_eq!(avoided_words("src/shard/utils.rs", "").len(), 1);
}

#[test]
fn unfinished_places_are_found() {
    let check = |text: &str| unfinished("a.rs", text);
    for bad in [
        "#[test]\n#[ignore]\nfn f() {}".to_owned(),
        "#[should_panic(expected = \"x\")] fn f() {}".to_owned(),
        format!("fn f() {{ {}!() }}", "todo"),
        format!("select! {{ {}!(\"later\") }}", "unimplemented"),
        format!("// {}: later", MARKS[0]),
        format!("/* {} */", MARKS[1]),
    ] {
        assert_eq!(check(&bad).len(), 1, "{bad}");
    }
    assert!(check("fn todo() { let todo = 1; } // what is unimplemented").is_empty());
}
