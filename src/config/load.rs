//! File, environment and command line, one over the other; all faults at once.

use std::collections::BTreeMap;

use crate::fault::{Fault, Place, did_you_mean};
use crate::master::Master;
use crate::property::{Declaration, Named, Section, Table, Value};
use crate::relay::Relay;
use crate::section::{Config, Listen, Mount};
use crate::tls::Certificate;
use crate::{check, document, overrides, value};

/// Where settings come from; what is listed later wins.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sources<'a> {
    /// The configuration file; none takes the defaults.
    pub file: Option<File<'a>>,
    /// The environment: `CORECAST_SECTION__KEY` and whatever else stands there.
    pub environment: &'a [(String, String)],
    /// The values of `--set section.key=value`.
    pub overrides: &'a [String],
}

/// A configuration file that was read.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    /// Its name as faults show it.
    pub name: &'a str,
    /// What stands in it.
    pub text: &'a str,
}

/// A configuration without faults.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Where each setting was given that is not a default, by `section.key`,
    /// `mount./name.key` or `listen`.
    pub places: BTreeMap<String, Place>,
}

/// Reads, checks and merges the sources.
///
/// # Errors
/// Everything that is wrong in any of them, in the order of their places.
pub fn load(sources: Sources<'_>) -> Result<Loaded, Vec<Fault>> {
    let mut draft = Draft::default();
    let whole = match sources.file {
        Some(file) => document::read(file, &mut draft),
        None => true,
    };
    overrides::read_environment(sources.environment, whole, &mut draft);
    overrides::read_arguments(sources.overrides, whole, &mut draft);
    draft.finish(whole)
}

/// What a source gives for a setting: a value, or the name of a type that no setting has.
pub(crate) type Given = Result<Value, &'static str>;

/// A configuration that is being put together.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) config: Config,
    /// The acceptors that were given; none takes the default.
    pub(crate) listen: Vec<(Listen, Place)>,
    pub(crate) mounts: Vec<MountDraft>,
    pub(crate) relays: Vec<(Relay, Place)>,
    pub(crate) masters: Vec<(Master, Place)>,
    pub(crate) certificates: Vec<(Certificate, Place)>,
    pub(crate) places: BTreeMap<String, Place>,
    pub(crate) faults: Vec<Fault>,
}

/// A mount's own settings, before the defaults are laid under them.
pub(crate) struct MountDraft {
    pub(crate) name: String,
    pub(crate) place: Place,
    own: Vec<(&'static str, Value)>,
}

impl MountDraft {
    pub(crate) fn new(name: String, place: Place) -> Self {
        MountDraft {
            name,
            place,
            own: Vec::new(),
        }
    }
}

/// The sections that stand in the file more than once, and the key that is no setting of theirs.
pub(crate) const MOUNT: &str = "mount";
pub(crate) const MOUNT_NAME: &str = "name";
pub(crate) const RELAY: &str = Relay::NAME;
pub(crate) const MASTER: &str = Master::NAME;
pub(crate) const CERTIFICATE: &str = Certificate::NAME;

impl Draft {
    /// Sets a key of a section that stands once.
    pub(crate) fn set(&mut self, section: &str, key: &str, given: Given, place: Place) {
        let path = format!("{section}.{key}");
        let Some(table) = self.config.table_mut(section) else {
            return;
        };
        match checked(&table.declarations(), key, given) {
            Ok((key, value)) => {
                table.set(key, value);
                self.places.insert(path, place);
            }
            Err(message) => self.faults.push(place.fault(path, message)),
        }
    }

    /// Sets a key of a mount's own section.
    pub(crate) fn set_mount(
        &mut self,
        mount: &mut MountDraft,
        key: &str,
        given: Given,
        place: Place,
    ) {
        let path = mount_path(&mount.name, key);
        match checked(&Mount::default().declarations(), key, given) {
            Ok((key, value)) => {
                mount.own.push((key, value));
                self.places.insert(path, place);
            }
            Err(message) => self.faults.push(place.fault(path, message)),
        }
    }

    /// Sets a key of an acceptor.
    pub(crate) fn set_listen(
        &mut self,
        listen: &mut Listen,
        key: &str,
        given: Given,
        place: &Place,
    ) {
        match checked(&listen.declarations(), key, given) {
            Ok((key, value)) => {
                listen.set(key, value);
            }
            Err(message) => self
                .faults
                .push(place.fault(format!("listen.{key}"), message)),
        }
    }

    /// Sets a key of a section that has a name.
    pub(crate) fn set_named<N: Named>(
        &mut self,
        named: &mut N,
        key: &str,
        given: Given,
        place: Place,
    ) {
        let path = N::path_of(named.called(), key);
        match checked(&named.declarations(), key, given) {
            Ok((key, value)) => {
                named.set(key, value);
                self.places.insert(path, place);
            }
            Err(message) => self.faults.push(place.fault(path, message)),
        }
    }

    /// There is no section `section`.
    pub(crate) fn unknown_section(&mut self, section: &str, place: &Place) {
        let names = section_names();
        let owner = names.iter().find(|name| keys_of(name).contains(&section));
        let message = match (owner, did_you_mean(section, names.iter().copied())) {
            (Some(owner), _) => format!("is no section; it is a setting of [{owner}]"),
            (None, Some(known)) => format!("is no section; did you mean \"{known}\"?"),
            (None, None) => format!("is no section; there are {}", names.join(", ")),
        };
        self.faults.push(place.fault(section, message));
    }

    fn finish(mut self, whole: bool) -> Result<Loaded, Vec<Fault>> {
        let own = |(certificate, _): &(Certificate, Place)| certificate.clone();
        self.config.certificates = self.certificates.iter().map(own).collect();
        if self.listen.is_empty() {
            let may_speak_tls = self.config.may_speak_tls();
            let listen = &mut self.config.listen;
            listen.retain(|listen| may_speak_tls || !listen.protocol.is_tls());
        } else {
            self.config.listen = self
                .listen
                .iter()
                .map(|(listen, _)| listen.clone())
                .collect();
        }
        for mount in &self.mounts {
            let mut settings = self.config.mount_defaults.clone();
            if settings.fallback == mount.name {
                // The default fallback has none itself.
                settings.fallback.clear();
            }
            for (key, value) in &mount.own {
                settings.set(key, value.clone());
            }
            self.config.mounts.push(mount.name.clone(), settings);
        }
        self.config.relays = self.relays.iter().map(|(relay, _)| relay.clone()).collect();
        self.config.masters = self
            .masters
            .iter()
            .map(|(master, _)| master.clone())
            .collect();
        if whole {
            check::check(&mut self);
        }
        if self.faults.is_empty() {
            return Ok(Loaded {
                config: self.config,
                places: self.places,
            });
        }
        self.faults
            .sort_by_key(|fault| (fault.line == 0, fault.line, fault.column));
        Err(self.faults)
    }
}

/// How a mount's setting is called in faults, changes and `--set`.
pub(crate) fn mount_path(name: &str, key: &str) -> String {
    format!("{MOUNT}.{name}.{key}")
}

/// The names of all sections, in the order of the reference page.
pub(crate) fn section_names() -> Vec<&'static str> {
    let config = Config::default();
    let mut names: Vec<&'static str> = config.tables().iter().map(|table| table.name()).collect();
    names.extend([Listen::NAME, CERTIFICATE, MOUNT, RELAY, MASTER]);
    names
}

fn keys_of(section: &str) -> Vec<&'static str> {
    let config = Config::default();
    let tables = config.tables();
    let table = tables.iter().find(|table| table.name() == section);
    let declarations = table.map(|table| table.declarations()).unwrap_or_default();
    declarations
        .iter()
        .map(|declaration| declaration.key)
        .collect()
}

/// The declared key and the value, where there is such a key and it may have such a value.
fn checked(
    declarations: &[&'static Declaration],
    key: &str,
    given: Given,
) -> Result<(&'static str, Value), String> {
    let Some(declaration) = declarations.iter().find(|known| known.key == key) else {
        let keys = declarations.iter().map(|known| known.key);
        return Err(match did_you_mean(key, keys) {
            Some(known) => format!("is no setting; did you mean \"{known}\"?"),
            None => "is no setting".to_owned(),
        });
    };
    let value = given.map_err(|type_name| value::wrong_type(declaration.kind, type_name))?;
    value::check(declaration.kind, &value)?;
    Ok((declaration.key, value))
}
