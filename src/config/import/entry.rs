//! A foreign setting, whatever its format.

/// A named setting: an XML element or attribute, a VIBE statement.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// Its name; of an attribute with `@` in front.
    pub(super) key: String,
    /// Its text, empty where it has children instead.
    pub(super) text: String,
    /// What stands in it.
    pub(super) children: Vec<Entry>,
    /// Where its name stands, from 1.
    pub(super) line: usize,
    /// The column there, in characters from 1.
    pub(super) column: usize,
}

impl Entry {
    /// The text of the last child called `key`, trimmed, where it says anything.
    pub(super) fn child_text(&self, key: &str) -> Option<&str> {
        let child = self.children.iter().rev().find(|child| child.key == key);
        let text = child.map(|child| child.text.trim());
        text.filter(|text| !text.is_empty())
    }

    /// Whether more than attributes stand in it.
    pub(super) fn has_elements(&self) -> bool {
        self.children
            .iter()
            .any(|child| !child.key.starts_with('@'))
    }

    /// Whether the last child called `key` says yes.
    pub(super) fn child_is_on(&self, key: &str) -> bool {
        self.child_text(key).and_then(switch) == Some(true)
    }
}

/// What a text means where yes or no is asked for.
pub(super) fn switch(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Some(true),
        "false" | "no" | "off" => Some(false),
        text => text.parse::<i64>().ok().map(|number| number != 0),
    }
}
