//! What a new configuration changes, and what of it works without a restart.

use std::collections::BTreeSet;

use crate::load::{MOUNT, mount_path};
use crate::property::{Declaration, Named, Section, Table, TakesEffect};
use crate::section::{Config, Listen, ListenProtocol, Mount};
use crate::value;

/// One setting that a new configuration changes. Secrets are masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `section.key`, `mount./name.key`, `mount./name` for a whole mount, or `listen`.
    pub key: String,
    /// What it was, as TOML writes it; empty for a new mount.
    pub old: String,
    /// What it is to be, as TOML writes it; empty for a mount that is gone.
    pub new: String,
    /// Whether a reload is enough; otherwise it waits for a restart.
    pub reload: bool,
}

impl std::fmt::Display for Change {
    /// `limits.sources_max: 100 -> 200`, with a note where a restart is needed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |value: &str| {
            if value.is_empty() {
                "none".to_owned()
            } else {
                value.to_owned()
            }
        };
        write!(
            f,
            "{}: {} -> {}",
            self.key,
            shown(&self.old),
            shown(&self.new)
        )?;
        if self.reload {
            Ok(())
        } else {
            f.write_str(" (after a restart)")
        }
    }
}

/// Every setting in which `new` differs from `old`, in the order of the reference page.
///
/// A mount that only follows a changed default is not told apart from it.
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    let mut changes = Vec::new();
    let listen = |config: &Config| {
        let addresses: Vec<String> = config
            .listen
            .iter()
            .map(|listen| match listen.protocol {
                ListenProtocol::Http => format!("\"{}\"", listen.address),
                ListenProtocol::Https if !listen.http3 => {
                    format!("\"https:{} without HTTP/3\"", listen.address)
                }
                ListenProtocol::Https | ListenProtocol::Rtmp | ListenProtocol::Rtmps => {
                    format!("\"{}:{}\"", listen.protocol.word(), listen.address)
                }
                ListenProtocol::Shoutcast => {
                    format!("\"shoutcast:{}{}\"", listen.address, listen.shoutcast_mount)
                }
            })
            .collect();
        format!("[{}]", addresses.join(", "))
    };
    let (old_listen, new_listen) = (listen(old), listen(new));
    if old_listen != new_listen {
        let key = Listen::NAME.to_owned();
        changes.push(Change {
            key,
            old: old_listen,
            new: new_listen,
            reload: false,
        });
    }
    for (old, new) in old.tables().into_iter().zip(new.tables()) {
        let section = old.name();
        changes.extend(changes_of(old, new, |key| format!("{section}.{key}")));
    }
    changes.extend(named_changes(&old.certificates, &new.certificates));
    changes.extend(mount_changes(old, new));
    changes.extend(named_changes(&old.relays, &new.relays));
    changes.extend(named_changes(&old.masters, &new.masters));
    changes
}

/// `new` where a reload is enough, `old` where it is not.
pub fn apply_reloadable(old: &Config, new: &Config) -> Config {
    let mut applied = new.clone();
    applied.listen = old.listen.clone();
    for table in old.tables() {
        let restart = |known: &&Declaration| known.takes_effect == TakesEffect::Restart;
        for declaration in table.declarations().into_iter().filter(restart) {
            let value = table.value(declaration.key);
            if let (Some(section), Some(value)) = (applied.table_mut(table.name()), value) {
                section.set(declaration.key, value);
            }
        }
    }
    applied
}

fn changes_of(old: &dyn Table, new: &dyn Table, path: impl Fn(&str) -> String) -> Vec<Change> {
    let mut changes = Vec::new();
    for declaration in old.declarations() {
        let Declaration {
            key,
            kind,
            takes_effect,
            ..
        } = *declaration;
        if let (Some(old), Some(new)) = (old.value(key), new.value(key))
            && old != new
        {
            changes.push(Change {
                key: path(key),
                old: value::masked(kind, &old),
                new: value::masked(kind, &new),
                reload: takes_effect == TakesEffect::Reload,
            });
        }
    }
    changes
}

fn mount_changes(old: &Config, new: &Config) -> Vec<Change> {
    let names: BTreeSet<&str> = old
        .mounts
        .iter()
        .chain(&new.mounts)
        .map(|(name, _)| name.as_str())
        .collect();
    let mut changes = Vec::new();
    for name in names {
        let key = format!("{MOUNT}.{name}");
        let whole = |old: &str, new: &str| Change {
            key: key.clone(),
            old: old.to_owned(),
            new: new.to_owned(),
            reload: true,
        };
        match (old.configured_mount(name), new.configured_mount(name)) {
            (Some(was), Some(is)) => {
                let own = changes_of(was, is, |key| key.to_owned()).into_iter();
                let own = own.filter(|change| !follows_default(old, new, was, is, &change.key));
                changes.extend(own.map(|change| Change {
                    key: mount_path(name, &change.key),
                    ..change
                }));
            }
            (None, _) => changes.push(whole("", "configured")),
            (_, None) => changes.push(whole("configured", "")),
        }
    }
    changes
}

fn named_changes<N: Named>(old: &[N], new: &[N]) -> Vec<Change> {
    let names: BTreeSet<&str> = old.iter().chain(new).map(N::called).collect();
    let mut changes = Vec::new();
    for name in names {
        let whole = |old: &str, new: &str| Change {
            key: format!("{}.{name}", N::NAME),
            old: old.to_owned(),
            new: new.to_owned(),
            reload: true,
        };
        let is_meant = |named: &&N| named.called() == name;
        match (old.iter().find(is_meant), new.iter().find(is_meant)) {
            (Some(was), Some(is)) => {
                changes.extend(changes_of(was, is, |key| N::path_of(name, key)));
            }
            (None, _) => changes.push(whole("", "configured")),
            (_, None) => changes.push(whole("configured", "")),
        }
    }
    changes
}

/// Whether the mount had the old default and has the new one.
fn follows_default(old: &Config, new: &Config, was: &Mount, is: &Mount, key: &str) -> bool {
    was.value(key) == old.mount_defaults.value(key)
        && is.value(key) == new.mount_defaults.value(key)
}
