//! Our settings as an import puts them together. Whatever is set here passes `check`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::entry::{Entry, switch};
use super::lists::Files;
use super::note::{self, Note, Outcome};
use crate::check;
use crate::fault::Place;
use crate::load::MOUNT;
use crate::master::Master;
use crate::property::{Bounds, Declaration, Kind, SECRET_BYTES_MAX, Table, Value};
use crate::relay::Relay;
use crate::section::{Config, Listen, ListenProtocol, Mount};
use crate::value;

/// The most notes that are kept.
const NOTES_MAX: usize = 1_000;

/// Section of what every mount is.
pub(super) const DEFAULTS: &str = "mount_defaults";

/// What one in the foreign file is in ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// The same.
    Same,
    /// Seconds; ours are milliseconds. Zero and less mean no limit there, which ours have.
    Seconds,
    /// The same, but zero and less are no limit in ours too.
    SecondsOrNone,
}

/// A setting of ours that was given.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) value: Value,
    /// The line that it comes from; 0 where it follows from others.
    pub(super) line: usize,
    /// Why it is there, where no line says it.
    pub(super) because: &'static str,
}

/// Settings of one table by their keys.
pub(super) type Settings = BTreeMap<&'static str, Given>;

/// A mount of ours.
#[derive(Clone, Debug)]
pub(super) struct PlannedMount {
    pub(super) name: String,
    /// Whose fallback it is, where it is there for that alone.
    pub(super) fallback_of: Option<String>,
    pub(super) line: usize,
    pub(super) settings: Settings,
}

/// Where settings of a mount go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Defaults,
    /// The last mount.
    Mount,
}

/// Our settings as an import puts them together.
#[derive(Debug)]
pub(super) struct Plan {
    /// The foreign file.
    pub(super) file: String,
    pub(super) listen: Vec<(Listen, usize)>,
    /// Sections that stand once, by name.
    pub(super) sections: BTreeMap<&'static str, Settings>,
    pub(super) mounts: Vec<PlannedMount>,
    /// Relays that are good, each with its line.
    pub(super) relays: Vec<(Relay, usize)>,
    /// Masters that are good, each with its line.
    pub(super) masters: Vec<(Master, usize)>,
    /// The mount of Shoutcast sources whose socket says none.
    pub(super) shoutcast_mount: String,
    /// Whether the file names a certificate.
    pub(super) has_certificate: bool,
    /// Whether relays are on demand that do not say so.
    pub(super) relays_on_demand: bool,
    /// Files that were brought along.
    pub(super) files: Files,
    /// Files that would be part of the settings and are not there.
    pub(super) wants: Vec<String>,
    pub(super) notes: Vec<Note>,
    /// Notes that are not kept.
    pub(super) notes_more: usize,
    /// What joins the keys of a path.
    separator: char,
    scope: Scope,
    names: BTreeSet<String>,
}

impl Plan {
    pub(super) fn new(file: &str) -> Self {
        Plan {
            file: file.to_owned(),
            listen: Vec::new(),
            sections: BTreeMap::new(),
            mounts: Vec::new(),
            relays: Vec::new(),
            masters: Vec::new(),
            shoutcast_mount: String::new(),
            has_certificate: false,
            relays_on_demand: false,
            files: Files::new(),
            wants: Vec::new(),
            notes: Vec::new(),
            notes_more: 0,
            separator: '/',
            scope: Scope::Defaults,
            names: BTreeSet::new(),
        }
    }

    /// Says what joins the keys of paths in notes.
    pub(super) fn join_paths_with(&mut self, separator: char) {
        self.separator = separator;
    }

    /// The path of `key` inside `inside`, for a note.
    pub(super) fn path(&self, inside: &str, key: &str) -> String {
        let separator = self.separator;
        let long = if inside.is_empty() {
            key.to_owned()
        } else {
            format!("{inside}{separator}{key}")
        };
        note::clean(&long)
    }

    /// Keeps a note of the foreign setting `entry`.
    pub(super) fn note(
        &mut self,
        entry: &Entry,
        path: &str,
        outcome: Outcome,
        reason: impl Into<String>,
    ) {
        self.note_at((entry.line, entry.column), path, outcome, reason);
    }

    /// The same by line and column.
    pub(super) fn note_at(
        &mut self,
        (line, column): (usize, usize),
        path: &str,
        outcome: Outcome,
        reason: impl Into<String>,
    ) {
        if self.notes.len() >= NOTES_MAX {
            self.notes_more += 1;
            return;
        }
        let file = self.file.clone();
        self.notes.push(Note {
            place: Place { file, line, column },
            path: path.to_owned(),
            outcome,
            reason: reason.into(),
        });
    }

    /// Settings of mounts are those of every mount from now on.
    pub(super) fn enter_defaults(&mut self) {
        self.scope = Scope::Defaults;
    }

    /// Settings of mounts are those of the mount `name` from now on; `false` and a note where
    /// there cannot be such a mount.
    pub(super) fn enter_mount(&mut self, name: &str, entry: &Entry, path: &str) -> bool {
        let fault = if self.names.contains(name) {
            Some(format!("{} stands there before", note::clean(name)))
        } else if self.mounts.len() >= check::MOUNTS_MAX {
            Some(format!("more than {} mounts", check::MOUNTS_MAX))
        } else {
            mount_name_fault(name)
        };
        if let Some(fault) = fault {
            self.note(entry, path, Outcome::LeftOut, fault);
            return false;
        }
        self.add_mount(name, None, entry.line);
        self.scope = Scope::Mount;
        true
    }

    /// Adds a mount that is not there and could be.
    pub(super) fn add_mount(&mut self, name: &str, fallback_of: Option<String>, line: usize) {
        self.names.insert(name.to_owned());
        self.mounts.push(PlannedMount {
            name: name.to_owned(),
            fallback_of,
            line,
            settings: Settings::new(),
        });
    }

    /// Whether there is a mount `name`.
    pub(super) fn has_mount(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// An acceptor at `address`, unless it is there already.
    pub(super) fn listen(&mut self, address: SocketAddr, entry: &Entry, path: &str) {
        let listen = Listen {
            address,
            ..Listen::default()
        };
        self.add_listen(listen, entry, path);
    }

    /// The same inside TLS.
    pub(super) fn listen_https(&mut self, address: SocketAddr, entry: &Entry, path: &str) {
        let listen = Listen {
            address,
            ..Listen::https()
        };
        self.add_listen(listen, entry, path);
    }

    /// An acceptor of Shoutcast sources, which feed `mount`.
    pub(super) fn listen_shoutcast(
        &mut self,
        address: SocketAddr,
        mount: &str,
        entry: &Entry,
        path: &str,
    ) {
        if let Some(fault) = mount_name_fault(mount) {
            return self.note(entry, path, Outcome::LeftOut, fault);
        }
        let listen = Listen {
            address,
            protocol: ListenProtocol::Shoutcast,
            shoutcast_mount: mount.to_owned(),
            ..Listen::default()
        };
        self.add_listen(listen, entry, path);
    }

    fn add_listen(&mut self, listen: Listen, entry: &Entry, path: &str) {
        let address = listen.address;
        let taken = self
            .listen
            .iter()
            .any(|(other, _)| check::overlap(other.address, address));
        if taken {
            let reason = format!("{address} is listened on already");
            self.note(entry, path, Outcome::Unneeded, reason);
        } else if self.listen.len() >= check::LISTEN_MAX {
            let reason = format!("more than {} acceptors", check::LISTEN_MAX);
            self.note(entry, path, Outcome::LeftOut, reason);
        } else {
            self.listen.push((listen, entry.line));
        }
    }

    /// The value of a setting that was given.
    pub(super) fn given(&self, section: &str, key: &str) -> Option<&Value> {
        let settings = self.sections.get(section)?;
        settings.get(key).map(|given| &given.value)
    }

    /// The same, of a mount where that is what settings go to now.
    pub(super) fn given_here(&self, section: &str, key: &str) -> Option<&Value> {
        let settings = match (section, self.scope) {
            (MOUNT, Scope::Mount) => self.mounts.last().map(|mount| &mount.settings),
            (MOUNT, Scope::Defaults) => self.sections.get(DEFAULTS),
            _ => self.sections.get(section),
        };
        settings?.get(key).map(|given| &given.value)
    }

    /// Sets `key` of `section` to what `entry` says.
    pub(super) fn set(
        &mut self,
        section: &'static str,
        key: &'static str,
        unit: Unit,
        entry: &Entry,
        path: &str,
    ) {
        self.set_text(section, key, unit, &entry.text, entry, path);
    }

    /// Sets `key` of `section` to what `text` says, which follows from `entry`.
    pub(super) fn set_text(
        &mut self,
        section: &'static str,
        key: &'static str,
        unit: Unit,
        text: &str,
        entry: &Entry,
        path: &str,
    ) {
        let Some(declaration) = declaration(section, key) else {
            self.note(
                entry,
                path,
                Outcome::Missing,
                "corecast has no such setting",
            );
            return;
        };
        let Converted { value, note } = convert(declaration, unit, text);
        if let Some((outcome, reason)) = note {
            self.note(entry, path, outcome, reason);
        }
        if let Some(value) = value {
            self.put(section, declaration.key, value, entry.line);
        }
    }

    /// Adds the directory of stations whose URL `entry` says.
    pub(super) fn add_directory(&mut self, entry: &Entry, path: &str) {
        let url = entry.text.trim();
        if url.is_empty() {
            return;
        }
        let mut urls = match self.given("directory", "urls") {
            Some(Value::Texts(urls)) => urls.clone(),
            _ => Vec::new(),
        };
        urls.push(url.to_owned());
        let urls = Value::Texts(urls);
        if value::check(Kind::Urls, &urls).is_ok() {
            self.put("directory", "urls", urls, entry.line);
        } else if url.starts_with("https://") {
            self.note(entry, path, Outcome::Missing, NO_TLS);
        } else {
            // The URL may hold a password, so the reason does not show it.
            let reason = format!("directories are {}", value::expected(Kind::Urls));
            self.note(entry, path, Outcome::LeftOut, reason);
        }
    }

    /// Sets `key` of `section` to a value that its declaration allows.
    pub(super) fn put(
        &mut self,
        section: &'static str,
        key: &'static str,
        value: Value,
        line: usize,
    ) {
        let given = Given {
            value,
            line,
            because: "",
        };
        let settings = match (section, self.scope) {
            (MOUNT, Scope::Mount) => self.mounts.last_mut().map(|mount| &mut mount.settings),
            (MOUNT, Scope::Defaults) => Some(self.sections.entry(DEFAULTS).or_default()),
            _ => Some(self.sections.entry(section).or_default()),
        };
        if let Some(settings) = settings {
            settings.insert(key, given);
        }
    }
}

const NO_TLS: &str = "there is no TLS to other servers yet";

/// Why no mount can be called `name`.
fn mount_name_fault(name: &str) -> Option<String> {
    if check::is_reserved_path(name) {
        return Some(format!("{} is a page of corecast's own", note::clean(name)));
    }
    if check::is_hls_path(name) {
        return Some(format!("{} {}", note::clean(name), check::HLS_NAME));
    }
    value::check_mount_name(name).err()
}

/// The declaration of a setting; those of a mount are in `mount` and in `mount_defaults`.
pub(super) fn declaration(section: &str, key: &str) -> Option<&'static Declaration> {
    let config = Config::default();
    let of = |table: &dyn Table| table.declarations().into_iter().find(|it| it.key == key);
    match section {
        MOUNT => of(&Mount::default()),
        "listen" => of(&Listen::default()),
        _ => {
            let tables = config.tables();
            let table = tables.into_iter().find(|table| table.name() == section)?;
            of(table)
        }
    }
}

/// What `key` of a section that stands once is where nothing says so.
pub(super) fn default_of(section: &str, key: &str) -> Option<Value> {
    let config = Config::default();
    let tables = config.tables();
    let table = tables.into_iter().find(|table| table.name() == section)?;
    table.value(key)
}

/// A value that its declaration allows, and what has to be said of it.
struct Converted {
    value: Option<Value>,
    note: Option<(Outcome, String)>,
}

impl Converted {
    fn left_out(reason: impl Into<String>) -> Self {
        Converted {
            value: None,
            note: Some((Outcome::LeftOut, reason.into())),
        }
    }

    fn changed(value: Value, reason: impl Into<String>) -> Self {
        Converted {
            value: Some(value),
            note: Some((Outcome::Changed, reason.into())),
        }
    }

    fn nothing() -> Self {
        Converted {
            value: None,
            note: None,
        }
    }
}

impl From<Value> for Converted {
    fn from(value: Value) -> Self {
        Converted {
            value: Some(value),
            note: None,
        }
    }
}

fn convert(declaration: &Declaration, unit: Unit, text: &str) -> Converted {
    let kind = declaration.kind;
    let trimmed = text.trim();
    let converted = match kind {
        Kind::Secret => return convert_secret(text),
        _ if trimmed.is_empty() => return Converted::nothing(),
        Kind::Bool => match switch(trimmed) {
            Some(bool) => Value::Bool(bool).into(),
            None => Converted::left_out("neither yes nor no"),
        },
        Kind::Int(bounds) => convert_int(bounds, unit, trimmed),
        Kind::Text { bytes_max } => convert_text(trimmed, bytes_max),
        Kind::MountName => convert_mount_name(trimmed),
        _ => Value::Text(trimmed.to_owned()).into(),
    };
    match &converted.value {
        Some(value) if value::check(kind, value).is_err() => {
            Converted::left_out(format!("must be {}", value::expected(kind)))
        }
        _ => converted,
    }
}

/// Secrets are taken as they are, blanks and all.
fn convert_secret(text: &str) -> Converted {
    if text.is_empty() {
        return Converted::nothing();
    }
    let value = Value::Text(text.to_owned());
    if value::check(Kind::Secret, &value).is_ok() {
        return value.into();
    }
    if text.len() > SECRET_BYTES_MAX || text.contains(char::is_control) {
        let expected = value::expected(Kind::Secret);
        return Converted::left_out(format!("a password must be {expected}"));
    }
    Converted::left_out(
        "a password that everybody tries first; choose another one. Where corecast's own are \
         empty, the first start makes and prints them",
    )
}

fn convert_int(bounds: Bounds, unit: Unit, text: &str) -> Converted {
    let Ok(number) = text.parse::<f64>() else {
        return Converted::left_out("no number");
    };
    let factor = match unit {
        Unit::Same => 1.0,
        Unit::Seconds if number <= 0.0 => {
            return Converted::left_out("means no limit there; corecast always has one");
        }
        Unit::SecondsOrNone if number <= 0.0 => 0.0,
        Unit::Seconds | Unit::SecondsOrNone => 1_000.0,
    };
    if !number.is_finite() {
        return Converted::left_out("no number");
    }
    // As a cast does it: towards zero, and what does not fit becomes the nearest that does.
    let int = (number * factor) as i64;
    let (min, max) = (i64::from(bounds.min), i64::from(bounds.max));
    if bounds.allow(int) {
        Value::Int(int).into()
    } else if int <= 0 {
        Converted::left_out(format!("{int} is out of range; the least is {min}"))
    } else {
        let nearest = int.clamp(min, max);
        Converted::changed(
            Value::Int(nearest),
            format!("{int} is out of range; {nearest} is the nearest that is not"),
        )
    }
}

fn convert_text(text: &str, bytes_max: usize) -> Converted {
    let words: Vec<&str> = text
        .split(|c: char| c.is_control() || c.is_whitespace())
        .filter(|word| !word.is_empty())
        .collect();
    let mut line = if text.contains(char::is_control) {
        words.join(" ")
    } else {
        text.to_owned()
    };
    if line.len() <= bytes_max {
        return Value::Text(line).into();
    }
    let end = (0..=bytes_max)
        .rev()
        .find(|end| line.is_char_boundary(*end));
    line.truncate(end.unwrap_or(0));
    let reason = format!("cut to {bytes_max} bytes");
    Converted::changed(Value::Text(line), reason)
}

fn convert_mount_name(name: &str) -> Converted {
    let rooted = match name.strip_prefix('/') {
        Some(_) => name.to_owned(),
        None => format!("/{name}"),
    };
    match mount_name_fault(&rooted) {
        Some(fault) => Converted::left_out(fault),
        None => Value::Text(rooted).into(),
    }
}
