//! Settings of other radio servers to ours: what stands in their file as TOML, and a list of
//! what has no equivalent.
//!
//! Reading order: [`entry`] (what every foreign file becomes first), [`rule`] (one table row for
//! each foreign setting, walked over the entries), [`icecast`] and [`gocast`] (the tables),
//! [`lists`] (addresses, in files too), [`plan`] (our settings as they are put together, each
//! checked against its declaration), [`render`]. When corecast learns something new, its row in the
//! two tables changes from `Missing` to `Setting` or `Code`, and nothing else.

mod entry;
mod gocast;
mod icecast;
mod lists;
mod note;
mod plan;
mod render;
mod rule;
mod settle;
pub mod vibe;
mod xml;

use crate::fault::{Fault, Place};
use plan::Plan;

pub use lists::Files;
pub use note::{Note, Outcome};

/// The most bytes of a file that can be imported.
pub const FILE_BYTES_MAX: usize = vibe::DOCUMENT_BYTES_MAX;

/// Whose settings a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `icecast.xml` of Icecast 2.4, 2.5 and KH.
    Icecast,
    /// `gocast.vibe`.
    GoCast,
}

impl Format {
    /// Whose settings `bytes` hold: XML starts with `<`, which nothing in VIBE does. An empty
    /// file is what its name says.
    pub fn of(name: &str, bytes: &[u8]) -> Format {
        let bytes = bytes.strip_prefix(xml::BYTE_ORDER_MARK).unwrap_or(bytes);
        let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        let xml = match first {
            Some(first) => *first == b'<',
            None => name.to_ascii_lowercase().ends_with(".xml"),
        };
        if xml { Format::Icecast } else { Format::GoCast }
    }
}

/// Foreign settings as ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// A configuration file without faults, each line with the one that it comes from, the
    /// notes as comments at its end. Holds passwords.
    pub toml: String,
    /// What has no equivalent or became something else. Holds no values, so no passwords.
    pub notes: Vec<Note>,
    /// Files that belong to the settings and were not brought along, by the names that stand
    /// there.
    pub wants: Vec<String>,
}

/// Reads the file `name` that has `bytes` and gives its settings as ours. What is not said there
/// is not said in the result either, and so takes corecast's own default.
///
/// # Errors
/// The file is not of its format; the fault has line and column.
pub fn import(format: Format, name: &str, bytes: &[u8]) -> Result<Imported, Fault> {
    import_with(format, name, bytes, Files::new())
}

/// As [`import`], with files that the settings name; which these are says [`Imported::wants`].
///
/// # Errors
/// As of [`import`].
pub fn import_with(
    format: Format,
    name: &str,
    bytes: &[u8],
    files: Files,
) -> Result<Imported, Fault> {
    let name = note::clean(name);
    let mut plan = Plan::new(&name);
    plan.files = files;
    match format {
        Format::Icecast => icecast::read(&xml::parse(&name, bytes)?, &mut plan),
        Format::GoCast => gocast::read(&parse_vibe(&name, bytes)?, &mut plan),
    }
    plan.finish();
    Ok(render::render(plan))
}

fn parse_vibe(name: &str, bytes: &[u8]) -> Result<vibe::Object, Fault> {
    vibe::parse(bytes).map_err(|error| {
        let place = Place {
            file: name.to_owned(),
            line: error.position.line,
            column: error.position.column,
        };
        place.fault("", format!("{}: {}", error.code.name(), error.message))
    })
}

#[cfg(test)]
mod tests;
