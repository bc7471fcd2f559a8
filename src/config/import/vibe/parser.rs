//! Tokens to a tree.

use std::collections::BTreeMap;

use super::lexer::{Lexer, Token};
use super::{
    DEPTH_MAX, DIGITS_MAX, DOCUMENT_BYTES_MAX, ELEMENTS_MAX, Error, ErrorCode, KEY_BYTES_MAX,
    KEYS_MAX, Number, Numeric, Object, Position, Scalar, Statement, Value, is_identifier,
    is_of_identifier, numeric,
};

/// Parses a whole document.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn parse(document: &[u8]) -> Result<Object, Error> {
    if document.len() > DOCUMENT_BYTES_MAX {
        let message = "the document is larger than 16 MiB";
        return Err(limit(Position::START, message));
    }
    let text = std::str::from_utf8(document).map_err(|error| not_utf8(document, &error))?;
    if text.starts_with('\u{feff}') {
        return Err(Error {
            code: ErrorCode::Encoding,
            position: Position::START,
            message: "the document starts with a byte order mark",
        });
    }
    let mut parser = Parser {
        lexer: Lexer::new(text),
    };
    parser.object(None, 0)
}

struct Parser<'a> {
    lexer: Lexer<'a>,
}

impl<'a> Parser<'a> {
    /// The statements up to the brace that closes `opened`, or up to the end.
    fn object(&mut self, opened: Option<Position>, depth: usize) -> Result<Object, Error> {
        let mut object = Object::default();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        loop {
            let (token, position) = self.lexer.token()?;
            let key = match token {
                Token::RightBrace if opened.is_some() => return Ok(object),
                Token::End => match opened {
                    Some(opened) => return Err(unclosed_object(opened)),
                    None => return Ok(object),
                },
                Token::Bare(key) => bare_key(key, position)?.to_owned(),
                Token::Quoted(key) if !key.is_empty() => key,
                Token::Quoted(_) => return Err(unexpected(position, "a key must not be empty")),
                _ => return Err(unexpected(position, "a key belongs here")),
            };
            if key.len() > KEY_BYTES_MAX {
                return Err(limit(position, "the key is longer than 1 KiB"));
            }
            let value = self.value(opened, depth)?;
            match places
                .get(&key)
                .and_then(|at| object.statements.get_mut(*at))
            {
                Some(statement) => {
                    statement.value = value;
                    statement.position = position;
                }
                None if places.len() >= KEYS_MAX => {
                    return Err(limit(position, "the object has more than 65,536 keys"));
                }
                None => {
                    places.insert(key.clone(), object.statements.len());
                    object.statements.push(Statement {
                        key,
                        value,
                        position,
                    });
                }
            }
        }
    }

    /// The value of a key of the object `opened`.
    fn value(&mut self, opened: Option<Position>, depth: usize) -> Result<Value, Error> {
        let (token, position) = self.lexer.token()?;
        if matches!(token, Token::LeftBrace | Token::LeftBracket) && depth >= DEPTH_MAX {
            return Err(limit(position, "nested deeper than 64 levels"));
        }
        match token {
            Token::LeftBrace => Ok(Value::Object(self.object(Some(position), depth + 1)?)),
            Token::LeftBracket => Ok(Value::List(self.list(position)?)),
            Token::Bare(text) => Ok(Value::Scalar(bare_value(text, position)?)),
            Token::Quoted(text) => Ok(Value::Scalar(Scalar::Text(text))),
            Token::End => Err(match opened {
                Some(opened) => unclosed_object(opened),
                None => unexpected(position, "the last key has no value"),
            }),
            Token::RightBrace | Token::RightBracket => {
                Err(unexpected(position, "a value belongs here"))
            }
        }
    }

    fn list(&mut self, opened: Position) -> Result<Vec<Scalar>, Error> {
        let mut elements = Vec::new();
        loop {
            let (token, position) = self.lexer.token()?;
            let element = match token {
                Token::RightBracket => return Ok(elements),
                Token::Bare(text) => bare_value(text, position)?,
                Token::Quoted(text) => Scalar::Text(text),
                Token::LeftBrace | Token::LeftBracket => {
                    return Err(Error {
                        code: ErrorCode::NestedContainer,
                        position,
                        message: "a list holds neither objects nor lists; name them instead",
                    });
                }
                Token::RightBrace => {
                    return Err(unexpected(position, "a value or \"]\" belongs here"));
                }
                Token::End => {
                    return Err(Error {
                        code: ErrorCode::UnclosedArray,
                        position: opened,
                        message: "the list that starts here has no \"]\"",
                    });
                }
            };
            if elements.len() >= ELEMENTS_MAX {
                return Err(limit(position, "the list has more than 65,536 elements"));
            }
            elements.push(element);
        }
    }
}

fn bare_key(key: &str, position: Position) -> Result<&str, Error> {
    if is_identifier(key) {
        return Ok(key);
    }
    // Bare text is ASCII: characters, columns and bytes are the same.
    let wrong = key
        .chars()
        .enumerate()
        .position(|(at, c)| !is_of_identifier(c, at == 0));
    let wrong = wrong.unwrap_or(0);
    Err(Error {
        code: ErrorCode::IllegalCharacter,
        position: Position {
            line: position.line,
            column: position.column + wrong,
            offset: position.offset + wrong,
        },
        message: "a key without quotation marks is made of letters, digits, \"_\" and \"-\" and \
                  starts with a letter or \"_\"",
    })
}

fn bare_value(text: &str, position: Position) -> Result<Scalar, Error> {
    let Some(numeric) = numeric(text) else {
        return Ok(match text {
            "true" => Scalar::Bool(true),
            "false" => Scalar::Bool(false),
            _ => Scalar::Text(text.to_owned()),
        });
    };
    let out_of_range = Error {
        code: ErrorCode::InvalidNumber,
        position,
        message: "the number is out of range; a text of digits stands in quotation marks",
    };
    let written = text.into();
    let scalar = match numeric {
        Numeric::Int => match text.parse() {
            Ok(value) => Scalar::Int(Number { value, written }),
            Err(_) => return Err(out_of_range),
        },
        Numeric::Float => match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Scalar::Float(Number { value, written }),
            _ => return Err(out_of_range),
        },
    };
    if text.bytes().filter(u8::is_ascii_digit).count() > DIGITS_MAX {
        return Err(limit(position, "the number has more than 400 digits"));
    }
    Ok(scalar)
}

fn unexpected(position: Position, message: &'static str) -> Error {
    Error {
        code: ErrorCode::UnexpectedToken,
        position,
        message,
    }
}

fn unclosed_object(opened: Position) -> Error {
    Error {
        code: ErrorCode::UnclosedObject,
        position: opened,
        message: "the object that starts here has no \"}\"",
    }
}

fn limit(position: Position, message: &'static str) -> Error {
    Error {
        code: ErrorCode::LimitExceeded,
        position,
        message,
    }
}

fn not_utf8(document: &[u8], error: &std::str::Utf8Error) -> Error {
    let offset = error.valid_up_to();
    let good = document.get(..offset).unwrap_or_default();
    let good = std::str::from_utf8(good).unwrap_or("");
    let line_start = good.rfind('\n').map_or(0, |end| end + 1);
    let position = Position {
        line: good.bytes().filter(|byte| *byte == b'\n').count() + 1,
        column: good.get(line_start..).unwrap_or("").chars().count() + 1,
        offset,
    };
    Error {
        code: ErrorCode::Encoding,
        position,
        message: "this byte is not UTF-8",
    }
}
