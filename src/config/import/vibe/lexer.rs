//! Characters to tokens.

use super::{Error, ErrorCode, Position, TEXT_BYTES_MAX, is_bare};

/// A piece of a document.
#[derive(Debug, PartialEq)]
pub(super) enum Token<'a> {
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    /// Without quotation marks.
    Bare(&'a str),
    /// Decoded.
    Quoted(String),
    End,
}

/// Walks a document once.
pub(super) struct Lexer<'a> {
    text: &'a str,
    position: Position,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Lexer {
            text,
            position: Position::START,
        }
    }

    /// The next token and where it starts; [`Token::End`] again and again at the end.
    pub(super) fn token(&mut self) -> Result<(Token<'a>, Position), Error> {
        self.skip_blanks()?;
        let position = self.position;
        let Some(c) = self.peek() else {
            return Ok((Token::End, position));
        };
        let token = match c {
            '{' => self.bracket(Token::LeftBrace),
            '}' => self.bracket(Token::RightBrace),
            '[' => self.bracket(Token::LeftBracket),
            ']' => self.bracket(Token::RightBracket),
            '"' => Token::Quoted(self.quoted()?),
            c if is_bare(c) => Token::Bare(self.bare()?),
            _ => return Err(illegal(position)),
        };
        Ok((token, position))
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.position.offset..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.position.offset += c.len_utf8();
        if c == '\n' {
            self.position.line += 1;
            self.position.column = 1;
        } else {
            self.position.column += 1;
        }
        Some(c)
    }

    fn bracket(&mut self, token: Token<'a>) -> Token<'a> {
        self.bump();
        token
    }

    /// Skips blanks, line ends and comments.
    fn skip_blanks(&mut self) -> Result<(), Error> {
        let mut comment = false;
        while let Some(c) = self.peek() {
            match c {
                '\0' => return Err(illegal(self.position)),
                '\n' => comment = false,
                '#' => comment = true,
                ' ' | '\t' | '\r' => {}
                _ if comment => {}
                _ => break,
            }
            self.bump();
        }
        Ok(())
    }

    fn bare(&mut self) -> Result<&'a str, Error> {
        let start = self.position;
        while self.peek().is_some_and(is_bare) {
            self.bump();
        }
        let text = self.text.get(start.offset..self.position.offset);
        let text = text.unwrap_or("");
        if text.len() > TEXT_BYTES_MAX {
            return Err(too_long(start));
        }
        Ok(text)
    }

    fn quoted(&mut self) -> Result<String, Error> {
        let start = self.position;
        let unterminated = Error {
            code: ErrorCode::UnterminatedString,
            position: start,
            message: "the text that starts here does not end on its line",
        };
        self.bump();
        let mut text = String::new();
        loop {
            let position = self.position;
            match self.bump() {
                None | Some('\n') => return Err(unterminated),
                Some('"') => return Ok(text),
                Some('\\') => match self.peek() {
                    None | Some('\n') => return Err(unterminated),
                    Some(_) => text.push(self.escape(position)?),
                },
                Some(c) if c.is_ascii_control() && c != '\t' => return Err(illegal(position)),
                Some(c) => text.push(c),
            }
            if text.len() > TEXT_BYTES_MAX {
                return Err(too_long(start));
            }
        }
    }

    /// The character that an escape stands for; `start` is its backslash.
    fn escape(&mut self, start: Position) -> Result<char, Error> {
        let decoded = match self.bump() {
            Some('"') => Some('"'),
            Some('\\') => Some('\\'),
            Some('n') => Some('\n'),
            Some('t') => Some('\t'),
            Some('r') => Some('\r'),
            Some('u') => self.code_point(),
            _ => None,
        };
        decoded.ok_or(Error {
            code: ErrorCode::InvalidEscape,
            position: start,
            message: "the escapes are \\\" \\\\ \\n \\t \\r and \\u with four hexadecimal digits",
        })
    }

    /// Four hexadecimal digits; nothing for half of a pair of surrogates.
    fn code_point(&mut self) -> Option<char> {
        let mut code = 0_u32;
        for _ in 0..4 {
            code = code * 16 + self.peek()?.to_digit(16)?;
            self.bump();
        }
        char::from_u32(code)
    }
}

fn illegal(position: Position) -> Error {
    Error {
        code: ErrorCode::IllegalCharacter,
        position,
        message: "this character must not stand here; other than printable ASCII stands in \
                  quotation marks, control characters as escapes",
    }
}

fn too_long(position: Position) -> Error {
    Error {
        code: ErrorCode::LimitExceeded,
        position,
        message: "the text that starts here is longer than 1 MiB",
    }
}
