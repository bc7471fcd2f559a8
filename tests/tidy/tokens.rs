//! Rust as the compiler sees it: no comments, no text inside strings.

use std::str::FromStr;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// One token of a file, groups taken apart.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name or keyword.
    Ident(String),
    /// One punctuation character, brackets among them.
    Punct(char),
    /// A literal.
    Literal,
}

impl Token {
    /// Whether it is this name.
    pub(super) fn is(&self, name: &str) -> bool {
        matches!(self, Token::Ident(ident) if ident == name)
    }

    /// The name, if it is one.
    pub(super) fn ident(&self) -> Option<&str> {
        match self {
            Token::Ident(ident) => Some(ident),
            Token::Punct(_) | Token::Literal => None,
        }
    }
}

/// A token and the line where it starts.
pub(super) type Placed = (Token, usize);

/// Every token of `text`, macro bodies included, doc comments left out.
pub(super) fn tokens(path: &str, text: &str) -> Vec<Placed> {
    let stream = TokenStream::from_str(text);
    let stream = stream.unwrap_or_else(|error| panic!("{path}: not Rust: {error}"));
    let mut found = Vec::new();
    flatten(stream, &mut found);
    found
}

fn flatten(stream: TokenStream, found: &mut Vec<Placed>) {
    for tree in stream {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Ident(ident) => found.push((Token::Ident(ident.to_string()), line)),
            TokenTree::Punct(punct) => found.push((Token::Punct(punct.as_char()), line)),
            TokenTree::Literal(_) => found.push((Token::Literal, line)),
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ('(', ')'),
                    Delimiter::Brace => ('{', '}'),
                    Delimiter::Bracket => ('[', ']'),
                    Delimiter::None => (' ', ' '),
                };
                found.push((Token::Punct(open), line));
                flatten(group.stream(), found);
                found.push((Token::Punct(close), group.span_close().end().line));
            }
        }
    }
}

/// The modules that follow `crate::`, each with its line.
pub(super) fn crate_modules(tokens: &[Placed]) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (at, window) in tokens.windows(4).enumerate() {
        let [(root, _), (first, _), (second, _), (next, line)] = window else {
            continue;
        };
        if !root.is("crate") || *first != Token::Punct(':') || *second != Token::Punct(':') {
            continue;
        }
        match next {
            Token::Ident(name) => found.push((name.clone(), *line)),
            Token::Punct('{') => found.extend(group_heads(&tokens[at + 4..])),
            Token::Punct(_) | Token::Literal => {}
        }
    }
    found
}

/// The first names of the items of a `use` group whose opening brace was just read.
fn group_heads(tokens: &[Placed]) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut depth = 0_usize;
    let mut head = true;
    for (token, line) in tokens {
        match token {
            Token::Punct('{') => depth += 1,
            Token::Punct('}') if depth == 0 => break,
            Token::Punct('}') => depth -= 1,
            Token::Punct(',') if depth == 0 => head = true,
            Token::Ident(name) if head => {
                found.push((name.clone(), *line));
                head = false;
            }
            _ => {}
        }
    }
    found
}

#[test]
fn tokens_leave_comments_and_strings_out() {
    let found = tokens(
        "sample",
        "fn a() {\n    // unsafe\n    b!(\"unsafe\", c);\n}\n",
    );
    let idents: Vec<&str> = found
        .iter()
        .filter_map(|(token, _)| token.ident())
        .collect();
    assert_eq!(idents, ["fn", "a", "b", "c"]);
    assert_eq!(found.last(), Some(&(Token::Punct('}'), 4)));
}

#[test]
fn crate_modules_are_found_in_paths_and_groups() {
    let text = "use crate::net::tcp;\nuse crate::{hub::{Hub, Seat}, http};\nfn f() { crate::x() }";
    let found = crate_modules(&tokens("sample", text));
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["net", "hub", "http", "x"]);
}
