//! XML to entries. No document type is read, so there are no entities but XML's own and nothing
//! from outside the file.

use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::{Reader, XmlVersion, escape};

use super::entry::Entry;
use super::note::clean;
use crate::fault::{Fault, Place};

/// The most bytes of a file.
const BYTES_MAX: usize = 4 * 1_024 * 1_024;

/// The most elements and attributes.
const NODES_MAX: usize = 200_000;

/// The most attributes of an element.
const ATTRIBUTES_MAX: usize = 32;

/// The deepest nesting of elements.
const DEPTH_MAX: usize = 32;

/// The one root that is known.
const ROOT: &str = "icecast";

/// What editors may put before UTF-8.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The root `<icecast>` of the file `name`.
///
/// # Errors
/// It is no XML, has another root, or more than the limits allow.
pub(super) fn parse(name: &str, bytes: &[u8]) -> Result<Entry, Fault> {
    let fault = |(line, column): (usize, usize), message: String| {
        let file = name.to_owned();
        Place { file, line, column }.fault("", message)
    };
    if bytes.len() > BYTES_MAX {
        return Err(fault((1, 1), format!("larger than {BYTES_MAX} bytes")));
    }
    let Some(text) = decode(bytes) else {
        return Err(fault((1, 1), "neither UTF-8 nor ISO-8859-1".to_owned()));
    };
    let lines = Lines::new(&text);
    let mut tree = Tree::default();
    tree.read(&text, &lines)
        .map_err(|Wrong { offset, message }| fault(lines.place(offset), message))?;
    match tree.root {
        Some(root) if root.key == ROOT => Ok(root),
        Some(root) => {
            let message = format!("the root must be <{ROOT}>");
            Err(fault((root.line, root.column), message))
        }
        None => Err(fault((1, 1), format!("there is no <{ROOT}>"))),
    }
}

/// The text of a file that says or shows how it is encoded.
fn decode(bytes: &[u8]) -> Option<String> {
    const HEAD_BYTES: usize = 200;
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Some(text.to_owned());
    }
    let head = bytes.get(..HEAD_BYTES).unwrap_or(bytes);
    let head = String::from_utf8_lossy(head).to_lowercase();
    let declaration = head.split("?>").next().unwrap_or("");
    let latin = ["iso-8859-1", "latin1", "latin-1"];
    let is_latin = latin.iter().any(|name| declaration.contains(name));
    is_latin.then(|| bytes.iter().copied().map(char::from).collect())
}

/// What is wrong at a byte.
struct Wrong {
    offset: usize,
    message: String,
}

impl Wrong {
    fn at(offset: usize, message: impl Into<String>) -> Self {
        let message = message.into();
        Wrong { offset, message }
    }
}

/// Elements as they are read.
#[derive(Default)]
struct Tree {
    /// The element that is read, inside those before it.
    open: Vec<Entry>,
    root: Option<Entry>,
    nodes: usize,
}

impl Tree {
    fn read(&mut self, text: &str, lines: &Lines<'_>) -> Result<(), Wrong> {
        let mut reader = Reader::from_str(text);
        loop {
            let start = offset(reader.buffer_position());
            let event = reader.read_event().map_err(|error| {
                Wrong::at(offset(reader.error_position()), clean(&error.to_string()))
            })?;
            match event {
                Event::Start(tag) => self.start(&tag, start, lines)?,
                Event::Empty(tag) => {
                    self.start(&tag, start, lines)?;
                    self.end();
                }
                Event::End(_) => self.end(),
                Event::Text(text) => self.text(&text.xml10_content(), start)?,
                Event::CData(text) => self.text(&text.xml10_content(), start)?,
                Event::GeneralRef(reference) => {
                    let text = resolve(&reference).ok_or_else(|| {
                        Wrong::at(start, "XML itself has no such character or entity")
                    })?;
                    self.text(&text, start)?;
                }
                Event::DocType(_) => {
                    return Err(Wrong::at(start, "a document type is not read; take it out"));
                }
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
                Event::Eof if self.open.is_empty() => return Ok(()),
                Event::Eof => {
                    let key = self.open.last().map_or("", |open| open.key.as_str());
                    let message = format!("<{}> is never closed", clean(key));
                    return Err(Wrong::at(start, message));
                }
            }
        }
    }

    fn start(&mut self, tag: &BytesStart<'_>, at: usize, lines: &Lines<'_>) -> Result<(), Wrong> {
        if self.open.is_empty() && self.root.is_some() {
            return Err(Wrong::at(at, "there is a second root"));
        }
        if self.open.len() >= DEPTH_MAX {
            let message = format!("nested deeper than {DEPTH_MAX} elements");
            return Err(Wrong::at(at, message));
        }
        self.count(at)?;
        let (line, column) = lines.place(at);
        let mut element = Entry {
            key: tag.local_name().as_ref().to_owned(),
            line,
            column,
            ..Entry::default()
        };
        for attribute in tag.attributes() {
            self.count(at)?;
            let wrong = |error: &dyn std::fmt::Display| Wrong::at(at, clean(&error.to_string()));
            let attribute = attribute.map_err(|error| wrong(&error))?;
            let text = attribute.normalized_value(XmlVersion::default());
            let text = text.map_err(|error| wrong(&error))?;
            if element.children.len() >= ATTRIBUTES_MAX {
                let message = format!("more than {ATTRIBUTES_MAX} attributes");
                return Err(Wrong::at(at, message));
            }
            element.children.push(Entry {
                key: format!("@{}", attribute.key.local_name().as_ref()),
                text: text.into_owned(),
                line,
                column,
                ..Entry::default()
            });
        }
        self.open.push(element);
        Ok(())
    }

    fn end(&mut self) {
        let Some(mut element) = self.open.pop() else {
            return;
        };
        if element.has_elements() {
            element.text.clear();
        }
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
    }

    fn text(&mut self, text: &str, at: usize) -> Result<(), Wrong> {
        match self.open.last_mut() {
            Some(element) => element.text.push_str(text),
            None if text.trim().is_empty() => {}
            None => return Err(Wrong::at(at, "text outside the root")),
        }
        Ok(())
    }

    fn count(&mut self, at: usize) -> Result<(), Wrong> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            let message = format!("more than {NODES_MAX} elements and attributes");
            return Err(Wrong::at(at, message));
        }
        Ok(())
    }
}

/// What a reference stands for.
fn resolve(reference: &BytesRef<'_>) -> Option<String> {
    if reference.is_char_ref() {
        let c = reference.resolve_char_ref().ok().flatten()?;
        return Some(c.to_string());
    }
    escape::resolve_xml_entity(reference).map(str::to_owned)
}

/// The reader's position in a text that is in memory.
fn offset(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

/// Where the lines of a text start.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str) -> Self {
        let ends = text.match_indices('\n').map(|(end, _)| end + 1);
        Lines {
            text,
            starts: std::iter::once(0).chain(ends).collect(),
        }
    }

    /// Line and column of a byte. In very long lines the column stays at its greatest.
    fn place(&self, offset: usize) -> (usize, usize) {
        const COLUMNS_MAX: usize = 1_000;
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = line.checked_sub(1).and_then(|line| self.starts.get(line));
        let start = start.copied().unwrap_or(0);
        let text = self.text.get(start..).unwrap_or("");
        let before = text.char_indices().take(COLUMNS_MAX);
        let column = before.take_while(|(at, _)| start + at < offset).count() + 1;
        (line, column)
    }
}
