//! VIBE 1.1, the format of GoCast's settings: text to a tree of named values and back.
//!
//! - [`parse`]: bytes to an [`Object`], or the first [`Error`] with its place; never half a tree.
//! - [`emit`]: the canonical text of a tree.
//!
//! Objects hold `key value`, lists hold scalars only, blanks and line ends only separate. The
//! later of two equal keys wins, at the place of the first.

mod emit;
mod lexer;
mod parser;

use std::fmt;

pub use emit::emit;
pub use parser::parse;

/// The most bytes of a document.
pub const DOCUMENT_BYTES_MAX: usize = 16 * 1_024 * 1_024;

/// The deepest nesting of objects and lists.
pub const DEPTH_MAX: usize = 64;

/// The most bytes of a text, decoded.
pub const TEXT_BYTES_MAX: usize = 1_024 * 1_024;

/// The most bytes of a key, decoded.
pub const KEY_BYTES_MAX: usize = 1_024;

/// The most elements of a list.
pub const ELEMENTS_MAX: usize = 65_536;

/// The most keys of an object.
pub const KEYS_MAX: usize = 65_536;

/// The most digits of a number. More than the format asks for (64), so that whatever a number
/// rounds to can be written without an exponent and read again.
pub const DIGITS_MAX: usize = 400;

/// Named values in the order in which their keys came first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    /// Each key once.
    pub statements: Vec<Statement>,
}

/// A key and its value.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The key, decoded; never empty.
    pub key: String,
    /// Its value.
    pub value: Value,
    /// Where the key that won stands.
    pub position: Position,
}

/// Places do not make trees different.
impl PartialEq for Statement {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.value == other.value
    }
}

/// What a key has.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// One value.
    Scalar(Scalar),
    /// A list of scalars.
    List(Vec<Scalar>),
    /// Named values.
    Object(Object),
}

/// One value. Its type follows from how it is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// `true` or `false`.
    Bool(bool),
    /// Digits, perhaps behind a minus sign.
    Int(Number<i64>),
    /// Digits on both sides of one point; always finite.
    Float(Number<f64>),
    /// Everything else, decoded.
    Text(String),
}

impl Scalar {
    /// The value as it is written, a text decoded. Whoever wants a text takes this, so that a
    /// password of digits stays what it is.
    pub fn written(&self) -> &str {
        match self {
            Scalar::Bool(true) => "true",
            Scalar::Bool(false) => "false",
            Scalar::Int(number) => &number.written,
            Scalar::Float(number) => &number.written,
            Scalar::Text(text) => text,
        }
    }
}

/// A number and the digits that were written for it.
#[derive(Clone, Debug)]
pub struct Number<T> {
    /// Its value.
    pub value: T,
    /// Its digits, such as `007`.
    pub written: Box<str>,
}

impl PartialEq for Number<i64> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// Minus zero is not zero.
impl PartialEq for Number<f64> {
    fn eq(&self, other: &Self) -> bool {
        self.value.to_bits() == other.value.to_bits()
    }
}

/// A place in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line from 1; only LF ends one.
    pub line: usize,
    /// The column from 1, in characters.
    pub column: usize,
    /// The byte from 0.
    pub offset: usize,
}

impl Position {
    /// Where a document starts.
    pub(crate) const START: Position = Position {
        line: 1,
        column: 1,
        offset: 0,
    };
}

/// Why a document is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorCode {
    /// Not UTF-8, or a byte order mark in front.
    Encoding,
    /// A character that may not stand here.
    IllegalCharacter,
    /// A bracket or the end where a key or a value belongs, or an empty key.
    UnexpectedToken,
    /// `{` without its `}`.
    UnclosedObject,
    /// `[` without its `]`.
    UnclosedArray,
    /// A quotation mark without another one on its line.
    UnterminatedString,
    /// An object or a list inside a list.
    NestedContainer,
    /// A backslash before something that is no escape.
    InvalidEscape,
    /// A number that is out of range.
    InvalidNumber,
    /// More or longer than the limits allow.
    LimitExceeded,
}

impl ErrorCode {
    /// The code's name as the format's documents have it.
    pub const fn name(self) -> &'static str {
        match self {
            ErrorCode::Encoding => "encoding-error",
            ErrorCode::IllegalCharacter => "illegal-character",
            ErrorCode::UnexpectedToken => "unexpected-token",
            ErrorCode::UnclosedObject => "unclosed-object",
            ErrorCode::UnclosedArray => "unclosed-array",
            ErrorCode::UnterminatedString => "unterminated-string",
            ErrorCode::NestedContainer => "nested-container",
            ErrorCode::InvalidEscape => "invalid-escape",
            ErrorCode::InvalidNumber => "invalid-number",
            ErrorCode::LimitExceeded => "limit-exceeded",
        }
    }
}

/// The first thing that is wrong with a document, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What kind of fault it is.
    pub code: ErrorCode,
    /// Where: what was opened and never closed, else the first wrong character.
    pub position: Position,
    /// What is wrong, for people; never holds text of the document.
    pub message: &'static str,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column, .. } = self.position;
        write!(f, "{line}:{column}: {}: {}", self.code.name(), self.message)
    }
}

impl std::error::Error for Error {}

/// Whether `text` can be a key without quotation marks.
fn is_identifier(text: &str) -> bool {
    text.chars()
        .enumerate()
        .all(|(at, c)| is_of_identifier(c, at == 0))
        && !text.is_empty()
}

/// Whether `c` may stand in a bare key; fewer may stand first.
fn is_of_identifier(c: char, first: bool) -> bool {
    c.is_ascii_alphabetic() || c == '_' || (!first && (c.is_ascii_digit() || c == '-'))
}

/// Whether `c` may stand in a value without quotation marks.
fn is_bare(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '{' | '}' | '[' | ']' | '#' | '"')
}

/// How a bare text reads as a number.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Numeric {
    Int,
    Float,
}

/// Whether the whole `text` is written like a number.
fn numeric(text: &str) -> Option<Numeric> {
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    match unsigned.split_once('.') {
        None => is_digits(unsigned).then_some(Numeric::Int),
        Some((whole, part)) => (is_digits(whole) && is_digits(part)).then_some(Numeric::Float),
    }
}

#[cfg(test)]
mod tests;
