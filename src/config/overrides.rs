//! Settings from the environment and the command line.

use crate::fault::Place;
use crate::load::{CERTIFICATE, Draft, MASTER, MOUNT, RELAY, section_names};
use crate::property::{Kind, Named, Section, Value};
use crate::section::{Listen, ListenProtocol, Mount};
use crate::value;

/// What the names of our environment variables start with.
pub const ENVIRONMENT_PREFIX: &str = "CORECAST_";

/// The sections whose overrides say which one of them is meant.
const NAMED: [&str; 4] = [MOUNT, RELAY, MASTER, CERTIFICATE];

/// The name of a setting's environment variable.
pub(crate) fn environment_name(section: &str, key: &str) -> String {
    format!(
        "{ENVIRONMENT_PREFIX}{}__{}",
        section.to_uppercase(),
        key.to_uppercase()
    )
}

/// A mount as the name of an environment variable has it: `/live/radio.mp3` is
/// `LIVE_RADIO_MP3`.
fn environment_mount(name: &str) -> String {
    let name = name.trim_start_matches('/');
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    name.chars().map(plain).collect()
}

/// Reads `CORECAST_SECTION__KEY` variables; `whole` tells that the mounts of the file are known.
pub(crate) fn read_environment(environment: &[(String, String)], whole: bool, draft: &mut Draft) {
    for (variable, text) in environment {
        let Some(name) = variable.strip_prefix(ENVIRONMENT_PREFIX) else {
            continue;
        };
        let place = Place::whole(variable.as_str());
        let Some((section, key)) = name.split_once("__") else {
            if let Some(meant) = with_two_underscores(name) {
                let message = format!("is no setting; did you mean \"{meant}\"?");
                draft.faults.push(place.fault("", message));
            }
            continue;
        };
        let section = section.to_lowercase();
        if !NAMED.contains(&section.as_str()) {
            set(&section, &key.to_lowercase(), text, place, draft);
            continue;
        }
        let Some((mount, key)) = key.rsplit_once("__") else {
            let message = "must name the one that is meant: CORECAST_MOUNT__NAME__KEY";
            draft.faults.push(place.fault(section, message));
            continue;
        };
        if whole {
            let is_meant = |name: &str| environment_mount(name) == mount;
            let key = key.to_lowercase();
            set_of_one(&section, is_meant, (&section, &key), text, place, draft);
        }
    }
}

/// Reads `section.key=value` and `mount./name.key=value`.
pub(crate) fn read_arguments(arguments: &[String], whole: bool, draft: &mut Draft) {
    for argument in arguments {
        let place = Place::whole("--set");
        let parts = argument.split_once('=').and_then(|(path, text)| {
            let (section, key) = path.split_once('.')?;
            Some((path, section, key, text))
        });
        let Some((path, section, key, text)) = parts else {
            // What was given may hold a secret.
            draft
                .faults
                .push(place.fault("", "must be section.key=value"));
            continue;
        };
        if !NAMED.contains(&section) {
            set(section, key, text, place, draft);
        } else if whole {
            let (mount, key) = key.rsplit_once('.').unwrap_or((key, ""));
            let is_meant = |known: &str| known == mount;
            set_of_one(section, is_meant, (path, key), text, place, draft);
        }
    }
}

/// The variable whose name was written with one underscore between section and key.
fn with_two_underscores(name: &str) -> Option<String> {
    let config = crate::section::Config::default();
    let mut meant = None;
    for table in config.tables() {
        for declaration in table.declarations() {
            let known = environment_name(table.name(), declaration.key);
            if known.strip_prefix(ENVIRONMENT_PREFIX)?.replace("__", "_") == name {
                meant = Some(known);
            }
        }
    }
    meant
}

fn set(section: &str, key: &str, text: &str, place: Place, draft: &mut Draft) {
    if section == Listen::NAME {
        return set_listen(key, text, &place, draft);
    }
    match draft
        .config
        .table_mut(section)
        .map(|table| table.declarations())
    {
        Some(declarations) => {
            let known = declarations.iter().find(|known| known.key == key);
            let value = known.map(|known| value::from_text(known.kind, text));
            draft.set(section, key, Ok(value.unwrap_or(Value::Bool(false))), place);
        }
        None if section_names().contains(&section) => {}
        None => draft.unknown_section(section, &place),
    }
}

/// All acceptors at once, separated by commas; those of the file are forgotten. A protocol before
/// an address (`rtmp:`) says what is spoken there.
fn set_listen(key: &str, text: &str, place: &Place, draft: &mut Draft) {
    const ADDRESS: &str = "address";
    if key != ADDRESS && Listen::property(key).is_some() {
        let message = "can be set in the file only";
        draft
            .faults
            .push(place.fault(format!("listen.{key}"), message));
        return;
    }
    draft.listen.clear();
    for address in text.split(',') {
        let mut listen = Listen::default();
        let mut address = address.trim();
        for (prefix, protocol) in [
            ("https:", ListenProtocol::Https),
            ("rtmp:", ListenProtocol::Rtmp),
            ("rtmps:", ListenProtocol::Rtmps),
            ("shoutcast:", ListenProtocol::Shoutcast),
        ] {
            if let Some(rest) = address.strip_prefix(prefix) {
                (address, listen.protocol) = (rest, protocol);
            }
        }
        let value = value::from_text(Kind::Address, address);
        draft.set_listen(&mut listen, key, Ok(value), place);
        draft.listen.push((listen, place.clone()));
    }
    draft.places.insert(Listen::NAME.to_owned(), place.clone());
}

/// Sets a key of the one mount, relay, master or certificate that is meant; `path` is how a fault
/// calls it.
fn set_of_one(
    section: &str,
    is_meant: impl Fn(&str) -> bool,
    path: (&str, &str),
    text: &str,
    place: Place,
    draft: &mut Draft,
) {
    match section {
        MOUNT => set_mount(is_meant, path, text, place, draft),
        RELAY => {
            let mut relays = std::mem::take(&mut draft.relays);
            set_named(&mut relays, is_meant, path, text, place, draft);
            draft.relays = relays;
        }
        CERTIFICATE => {
            let mut certificates = std::mem::take(&mut draft.certificates);
            set_named(&mut certificates, is_meant, path, text, place, draft);
            draft.certificates = certificates;
        }
        _ => {
            let mut masters = std::mem::take(&mut draft.masters);
            set_named(&mut masters, is_meant, path, text, place, draft);
            draft.masters = masters;
        }
    }
}

/// Sets a key of the one mount that is meant; `path` is how a fault calls it.
fn set_mount(
    is_meant: impl Fn(&str) -> bool,
    (path, key): (&str, &str),
    text: &str,
    place: Place,
    draft: &mut Draft,
) {
    let mut mounts = std::mem::take(&mut draft.mounts);
    let mut meant: Vec<_> = mounts
        .iter_mut()
        .filter(|mount| is_meant(&mount.name))
        .collect();
    match meant.as_mut_slice() {
        [mount] => {
            let kind = Mount::property(key).map_or(Kind::Bool, |known| known.declaration.kind);
            draft.set_mount(mount, key, Ok(value::from_text(kind, text)), place);
        }
        [] => draft
            .faults
            .push(place.fault(path, "there is no [[mount]] of that name")),
        _ => draft
            .faults
            .push(place.fault(path, "more than one [[mount]] has that name")),
    }
    draft.mounts = mounts;
}

/// The same for a section that has a name.
fn set_named<N: Named>(
    all: &mut [(N, Place)],
    is_meant: impl Fn(&str) -> bool,
    (path, key): (&str, &str),
    text: &str,
    place: Place,
    draft: &mut Draft,
) {
    let all = all.iter_mut().map(|(named, _)| named);
    let mut meant: Vec<_> = all.filter(|named| is_meant(named.called())).collect();
    let (section, by) = (N::NAME, N::KEY);
    match meant.as_mut_slice() {
        [named] => {
            let kind = N::property(key).map_or(Kind::Bool, |known| known.declaration.kind);
            draft.set_named(*named, key, Ok(value::from_text(kind, text)), place);
        }
        [] => {
            let message = format!("there is no [[{section}]] of that {by}");
            draft.faults.push(place.fault(path, message));
        }
        _ => {
            let message = format!("more than one [[{section}]] has that {by}");
            draft.faults.push(place.fault(path, message));
        }
    }
}
