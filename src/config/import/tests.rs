//! Foreign files to ours, and that whatever comes out passes the check.

mod access;
mod gocast;
mod icecast;
mod xml;

use super::{Format, Imported, Note, Outcome, import};
use crate::{Config, File, Network, Sources, load};

/// Imports a file and reads what comes out as the server would.
fn imported(name: &str, text: &str) -> (Config, Imported) {
    let bytes = text.as_bytes();
    let imported = import(Format::of(name, bytes), name, bytes).expect("a file of its format");
    (loaded(&imported.toml), imported)
}

fn loaded(toml: &str) -> Config {
    let file = Some(File {
        name: "imported.toml",
        text: toml,
    });
    let loaded = load(Sources {
        file,
        ..Sources::default()
    });
    match loaded {
        Ok(loaded) => loaded.config,
        Err(faults) => panic!("{faults:?}\n{toml}"),
    }
}

fn networks(texts: &[&str]) -> Vec<Network> {
    let networks = texts.iter().map(|text| text.parse());
    networks.collect::<Result<_, _>>().expect("networks")
}

/// Line and path of the notes with one outcome.
fn told(imported: &Imported, outcome: Outcome) -> Vec<(usize, &str)> {
    let notes = imported.notes.iter();
    let notes = notes.filter(|note| note.outcome == outcome);
    notes
        .map(|note| (note.place.line, note.path.as_str()))
        .collect()
}

/// The one note about a path.
fn note<'i>(imported: &'i Imported, path: &str) -> &'i Note {
    let mut notes = imported.notes.iter().filter(|note| note.path == path);
    match (notes.next(), notes.next()) {
        (Some(note), None) => note,
        _ => panic!("not one note about {path}: {:#?}", imported.notes),
    }
}

#[test]
fn the_format_is_seen_from_the_content() {
    for (name, text, format) in [
        ("icecast.xml", "<icecast/>", Format::Icecast),
        ("-", "\n <?xml version='1.0'?>", Format::Icecast),
        ("a.vibe", "\u{feff}<icecast/>", Format::Icecast),
        ("a.XML", "", Format::Icecast),
        ("a.vibe", "", Format::GoCast),
        ("-", " \n", Format::GoCast),
        ("icecast.xml", "server { port 1 }", Format::GoCast),
    ] {
        assert_eq!(Format::of(name, text.as_bytes()), format, "{name} {text:?}");
    }
}

#[test]
fn a_name_cannot_break_out_of_its_comment() {
    let (config, imported) = imported("a\n[limits]\nsources_max = 1\n#", "x 1");
    assert_eq!(config, Config::default());
    assert!(
        imported
            .notes
            .iter()
            .all(|note| !note.to_string().contains('\n'))
    );
}

#[test]
fn notes_are_counted_when_there_are_too_many() {
    let relays = "<relay/>".repeat(1_500);
    let (_, imported) = imported("a.xml", &format!("<icecast>{relays}</icecast>"));
    assert_eq!(imported.notes.len(), 1_000);
    assert!(imported.toml.ends_with("\n# And 500 more of these.\n"));
}
