//! Documents as Icecast writes them: elements with text or with elements, escaped by us.
//!
//! Names of elements and attributes are ours; every text may come from a peer.

/// A document or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) name: String,
    /// The mount of a `source`.
    pub(crate) mount: Option<String>,
    pub(crate) content: Content,
}

/// What stands in an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Text; written with a closing tag even where it is empty.
    Text(String),
    /// Elements; without any the element closes itself.
    Elements(Vec<Element>),
}

impl Element {
    /// An element with text.
    pub(crate) fn text(name: impl Into<String>, text: impl ToString) -> Self {
        Element {
            name: name.into(),
            mount: None,
            content: Content::Text(text.to_string()),
        }
    }

    /// An element with elements.
    pub(crate) fn of(name: impl Into<String>, elements: Vec<Element>) -> Self {
        Element {
            name: name.into(),
            mount: None,
            content: Content::Elements(elements),
        }
    }

    /// The `source` element of a mount.
    pub(crate) fn source(mount: &str, elements: Vec<Element>) -> Self {
        Element {
            mount: Some(mount.to_owned()),
            ..Element::of("source", elements)
        }
    }

    /// Its elements, where it has some.
    pub(crate) fn elements(&self) -> &[Element] {
        match &self.content {
            Content::Text(_) => &[],
            Content::Elements(elements) => elements,
        }
    }

    /// The whole document.
    pub(crate) fn document(&self) -> String {
        let mut out = String::from("<?xml version=\"1.0\"?>\n");
        self.write(&mut out);
        out.push('\n');
        out
    }

    fn write(&self, out: &mut String) {
        out.push('<');
        out.push_str(&self.name);
        if let Some(mount) = &self.mount {
            out.push_str(" mount=\"");
            escape(out, mount, true);
            out.push('"');
        }
        match &self.content {
            Content::Elements(elements) if elements.is_empty() => return out.push_str("/>"),
            Content::Elements(elements) => {
                out.push('>');
                elements.iter().for_each(|element| element.write(out));
            }
            Content::Text(text) => {
                out.push('>');
                escape(out, text, false);
            }
        }
        out.push_str("</");
        out.push_str(&self.name);
        out.push('>');
    }
}

/// Appends `text` so that it stays text between tags, and where it is `quoted` in an attribute too.
/// What no document may contain becomes U+FFFD.
fn escape(out: &mut String, text: &str, quoted: bool) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' if quoted => out.push_str("&quot;"),
            '\'' if quoted => out.push_str("&#39;"),
            '\r' => out.push_str("&#13;"),
            '\t' | '\n' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

/// `text` so that it stays text between tags and in quoted attributes, in XML and in HTML.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    escape(&mut out, text, true);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_have_the_shape_of_icecasts() {
        let document = Element::of(
            "icestats",
            vec![
                Element::source(
                    "/a\"<b",
                    vec![Element::text("fallback", ""), Element::text("title", "\"<")],
                ),
                Element::source("/c", vec![]),
            ],
        );
        assert_eq!(
            document.document(),
            "<?xml version=\"1.0\"?>\n<icestats>\
             <source mount=\"/a&quot;&lt;b\"><fallback></fallback>\
             <title>\"&lt;</title></source><source mount=\"/c\"/></icestats>\n"
        );
    }

    #[test]
    fn no_text_leaves_its_place() {
        for (text, expected) in [
            ("a & b < c > d", "a &amp; b &lt; c &gt; d"),
            ("]]><!--x-->", "]]&gt;&lt;!--x--&gt;"),
            ("\"'", "&quot;&#39;"),
            (
                "a\0b\u{1b}c\u{7f}d\u{85}e\u{ffff}f",
                "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}e\u{fffd}f",
            ),
            ("a\r\n\tb", "a&#13;\n\tb"),
            ("Müsik 音楽 🎵", "Müsik 音楽 🎵"),
        ] {
            assert_eq!(escaped(text), expected);
        }
    }
}
