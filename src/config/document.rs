//! The configuration file: TOML, with the place of everything.

use std::ops::Range;

use toml_edit::{Document, Item, Table as TomlTable, TableLike};

use crate::fault::{Fault, Place};
use crate::load::{CERTIFICATE, Draft, File, Given, MASTER, MOUNT, MOUNT_NAME, MountDraft, RELAY};
use crate::property::{Named, Section};
use crate::section::{Listen, Mount};
use crate::value;

/// The most faults of syntax that are told at once.
const SYNTAX_FAULTS_MAX: usize = 16;

/// Reads the file into `draft`. `false` where its sections could not be made out, so that what
/// belongs to which is not known.
pub(crate) fn read(file: File<'_>, draft: &mut Draft) -> bool {
    let text = Text::new(file);
    let Some(document) = parse(&text, &mut draft.faults) else {
        return false;
    };
    for (key, item) in document.iter() {
        let place = text.key_place(document.as_table(), key);
        if draft.config.table_mut(key).is_some() {
            match item.as_table_like() {
                Some(table) => read_section(&text, key, table, draft),
                None => draft
                    .faults
                    .push(place.fault(key, format!("must be a table: [{key}]"))),
            }
        } else if key == Listen::NAME {
            for (table, place) in tables(&text, key, item, &place, draft) {
                read_listen(&text, table, place, draft);
            }
        } else if key == MOUNT {
            for (table, place) in tables(&text, key, item, &place, draft) {
                read_mount(&text, table, place, draft);
            }
        } else if key == RELAY {
            for (table, place) in tables(&text, key, item, &place, draft) {
                let relay = read_named(&text, table, place, draft);
                draft.relays.push(relay);
            }
        } else if key == MASTER {
            for (table, place) in tables(&text, key, item, &place, draft) {
                let master = read_named(&text, table, place, draft);
                draft.masters.push(master);
            }
        } else if key == CERTIFICATE {
            for (table, place) in tables(&text, key, item, &place, draft) {
                let certificate = read_named(&text, table, place, draft);
                draft.certificates.push(certificate);
            }
        } else {
            draft.unknown_section(key, &place);
        }
    }
    true
}

fn read_section(text: &Text<'_>, section: &str, table: &dyn TableLike, draft: &mut Draft) {
    for (key, item) in table.iter() {
        let known = draft
            .config
            .table_mut(section)
            .is_some_and(|table| table.value(key).is_some());
        let place = text.place_of(table, key, item, known);
        draft.set(section, key, given(item), place);
    }
}

fn read_listen(text: &Text<'_>, table: &dyn TableLike, place: Place, draft: &mut Draft) {
    let mut listen = Listen::default();
    let faults = draft.faults.len();
    for (key, item) in table.iter() {
        let place = text.setting_place::<Listen>(table, key, item);
        draft.set_listen(&mut listen, key, given(item), &place);
    }
    if !table.contains_key("address") {
        draft
            .faults
            .push(place.fault("listen.address", "is missing"));
    }
    let place = match table.get("address") {
        Some(item) => text.setting_place::<Listen>(table, "address", item),
        None => place,
    };
    if draft.faults.len() == faults {
        draft.places.insert(Listen::NAME.to_owned(), place.clone());
        draft.listen.push((listen, place));
    }
}

fn read_mount(text: &Text<'_>, table: &dyn TableLike, place: Place, draft: &mut Draft) {
    let (name, place) = match table.get(MOUNT_NAME) {
        Some(item) => (item.as_str(), text.place_of(table, MOUNT_NAME, item, true)),
        None => (None, place),
    };
    let bad = match name {
        Some(name) => value::check_mount_name(name).err(),
        None if table.contains_key(MOUNT_NAME) => Some("must be a text".to_owned()),
        None => Some("is missing".to_owned()),
    };
    if let Some(message) = &bad {
        draft
            .faults
            .push(place.fault("mount.name", message.as_str()));
    }
    let mut mount = MountDraft::new(name.unwrap_or("?").to_owned(), place);
    for (key, item) in table.iter().filter(|(key, _)| *key != MOUNT_NAME) {
        let place = text.setting_place::<Mount>(table, key, item);
        draft.set_mount(&mut mount, key, given(item), place);
    }
    if bad.is_none() {
        draft.mounts.push(mount);
    }
}

fn read_named<N: Named>(
    text: &Text<'_>,
    table: &dyn TableLike,
    place: Place,
    draft: &mut Draft,
) -> (N, Place) {
    let mut named = N::default();
    let place = match table.get(N::KEY) {
        Some(item) => text.setting_place::<N>(table, N::KEY, item),
        None => place,
    };
    // The name first: faults of the other keys tell it.
    let keys = || table.iter().map(|(key, _)| key);
    for key in keys()
        .filter(|key| *key == N::KEY)
        .chain(keys().filter(|key| *key != N::KEY))
    {
        let Some(item) = table.get(key) else { continue };
        let place = text.setting_place::<N>(table, key, item);
        draft.set_named(&mut named, key, given(item), place);
    }
    (named, place)
}

fn given(item: &Item) -> Given {
    match value::from_item(item) {
        Some(value) => Ok(value),
        None if matches!(item.as_value(), Some(toml_edit::Value::Array(_))) => {
            Err("a list of other things")
        }
        None => Err(match item.type_name() {
            "float" => "a number with a decimal point",
            "datetime" => "a date",
            _ => "a table",
        }),
    }
}

/// The tables of `[[key]]`, or of `key = [{ ... }]`, each with its place.
fn tables<'t>(
    text: &Text<'_>,
    key: &str,
    item: &'t Item,
    place: &Place,
    draft: &mut Draft,
) -> Vec<(&'t dyn TableLike, Place)> {
    let at = |span: Option<Range<usize>>| span.map_or(place.clone(), |span| text.place(span.start));
    if let Some(tables) = item.as_array_of_tables() {
        let with_place = |table: &'t TomlTable| (table as &dyn TableLike, at(table.span()));
        return tables.iter().map(with_place).collect();
    }
    let mut found: Vec<(&dyn TableLike, Place)> = Vec::new();
    let message = format!("must be a list of tables: [[{key}]]");
    match item.as_array() {
        Some(array) => {
            for element in array {
                match element.as_inline_table() {
                    Some(table) => found.push((table, at(element.span()))),
                    None => draft
                        .faults
                        .push(at(element.span()).fault(key, message.as_str())),
                }
            }
        }
        None => draft.faults.push(place.fault(key, message)),
    }
    found
}

/// Parses as much as there is. A line that is no TOML is told and left out, so that the others
/// are told too; nothing comes back where the line was the head of a section.
fn parse(text: &Text<'_>, faults: &mut Vec<Fault>) -> Option<Document<String>> {
    let mut rest = text.file.text.to_owned();
    for _ in 0..SYNTAX_FAULTS_MAX {
        let error = match Document::parse(rest.clone()) {
            Ok(document) => return Some(document),
            Err(error) => error,
        };
        let offset = error.span().map_or(0, |span| span.start);
        faults.push(text.place(offset).fault("", error.message()));
        let line = text.line(offset);
        let broken = rest.get(line.clone()).unwrap_or("");
        if broken.trim().is_empty() || broken.trim_start().starts_with('[') {
            return None;
        }
        rest.replace_range(line.clone(), &" ".repeat(line.len()));
    }
    None
}

/// A file with an index of its lines.
struct Text<'a> {
    file: File<'a>,
    line_starts: Vec<usize>,
}

impl<'a> Text<'a> {
    fn new(file: File<'a>) -> Self {
        let ends = file.text.match_indices('\n').map(|(end, _)| end + 1);
        Text {
            file,
            line_starts: std::iter::once(0).chain(ends).collect(),
        }
    }

    /// The position of the byte `offset`.
    fn place(&self, offset: usize) -> Place {
        let line = self.line(offset);
        let before = self.file.text.get(line.start..offset).unwrap_or("");
        Place {
            file: self.file.name.to_owned(),
            line: self.line_starts.partition_point(|start| *start <= offset),
            column: before.chars().count() + 1,
        }
    }

    /// The line of the byte `offset`, without its end.
    fn line(&self, offset: usize) -> Range<usize> {
        let number = self.line_starts.partition_point(|start| *start <= offset);
        let start = number
            .checked_sub(1)
            .and_then(|index| self.line_starts.get(index));
        let next = self.line_starts.get(number).map(|next| next - 1);
        start.copied().unwrap_or(0)..next.unwrap_or(self.file.text.len())
    }

    fn key_place(&self, table: &dyn TableLike, key: &str) -> Place {
        let span = table
            .get_key_value(key)
            .and_then(|(key, item)| key.span().or(item.span()));
        self.place(span.map_or(0, |span| span.start))
    }

    /// Where `key` is, or, of a declared setting, its value.
    fn setting_place<S: Section>(&self, table: &dyn TableLike, key: &str, item: &Item) -> Place {
        self.place_of(table, key, item, S::property(key).is_some())
    }

    fn place_of(&self, table: &dyn TableLike, key: &str, item: &Item, known: bool) -> Place {
        match item.span() {
            Some(span) if known && item.is_value() => self.place(span.start),
            _ => self.key_place(table, key),
        }
    }
}
