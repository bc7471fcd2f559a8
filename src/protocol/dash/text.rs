//! Elements and values as XML writes them.

use std::fmt::{self, Display, Write};
use std::time::Duration;

/// A text inside of quotes or tags: what has a meaning there is written by its name (XML 1.0
/// section 2.4), and what XML has no place for is left out (section 2.2).
pub(super) struct Escaped<'t>(pub(super) &'t str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\t' | '\n' | '\r' => write!(f, "&#{};", u32::from(c))?,
                '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => {}
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// A length of time (XML Schema part 2 section 3.2.6), in seconds with milliseconds.
pub(super) struct Span(pub(super) Duration);

impl Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = (self.0.as_micros() + 500) / 1_000;
        write!(f, "PT{}.{:03}S", millis / 1_000, millis % 1_000)
    }
}

/// Writes elements, each on its line.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) text: String,
    depth: usize,
}

impl Writer {
    /// Starts an element; `attributes` begin with a space each.
    pub(super) fn open(&mut self, name: &str, attributes: fmt::Arguments<'_>) {
        self.line(format_args!("<{name}{attributes}>"));
        self.depth += 1;
    }

    pub(super) fn close(&mut self, name: &str) {
        self.depth = self.depth.saturating_sub(1);
        self.line(format_args!("</{name}>"));
    }

    /// An element with nothing inside.
    pub(super) fn empty(&mut self, name: &str, attributes: fmt::Arguments<'_>) {
        self.line(format_args!("<{name}{attributes}/>"));
    }

    pub(super) fn line(&mut self, line: fmt::Arguments<'_>) {
        for _ in 0..self.depth {
            self.text.push(' ');
        }
        // A string takes everything.
        let _ = self.text.write_fmt(line);
        self.text.push('\n');
    }
}
