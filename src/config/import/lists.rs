//! Lists of addresses and of user agents, in the settings themselves or in files that they name.

use std::collections::BTreeMap;

use super::entry::Entry;
use super::note::{Outcome, clean};
use super::plan::{Plan, declaration};
use crate::network::Network;
use crate::property::Value;
use crate::value;

/// Files that foreign settings name and that are part of them, by the names that stand there.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The most files that are asked for.
const WANTED_MAX: usize = 64;

impl Plan {
    /// What stands in the file that `entry` names, where it was brought along. Where not, a note
    /// says where its lines belong.
    pub(super) fn file(&mut self, entry: &Entry, path: &str, belongs: &str) -> Option<String> {
        let name = entry.text.trim();
        if name.is_empty() {
            return None;
        }
        if let Some(bytes) = self.files.get(name) {
            return Some(String::from_utf8_lossy(bytes).into_owned());
        }
        if self.wants.len() < WANTED_MAX && !self.wants.iter().any(|wanted| wanted == name) {
            self.wants.push(name.to_owned());
        }
        let name = clean(name);
        let reason = format!("{name} was not read; its lines belong into {belongs}");
        self.note(entry, path, Outcome::Missing, reason);
        None
    }

    /// Adds the addresses `texts`, which `entry` says or names, to a list of ours.
    pub(super) fn add_networks<'t>(
        &mut self,
        section: &'static str,
        key: &'static str,
        texts: impl Iterator<Item = &'t str>,
        entry: &Entry,
        path: &str,
    ) {
        let mut bad = Vec::new();
        let mut networks = Vec::new();
        for (at, text) in texts.enumerate() {
            match networks_of(text) {
                Some(found) => networks.extend(found),
                None => bad.push(at + 1),
            }
        }
        // What it is instead may be a secret, in a file that was named by mistake.
        if let Some(first) = bad.first() {
            let reason = format!(
                "{} are no addresses; the first is number {first}",
                bad.len()
            );
            self.note(entry, path, Outcome::LeftOut, reason);
        }
        self.extend_list(section, key, networks, entry, path);
    }

    /// Adds user agents that are not let in to a list of ours.
    pub(super) fn add_agents<'t>(
        &mut self,
        section: &'static str,
        key: &'static str,
        texts: impl Iterator<Item = &'t str>,
        entry: &Entry,
        path: &str,
    ) {
        let texts = texts.map(str::to_owned).collect();
        self.extend_list(section, key, texts, entry, path);
    }

    fn extend_list(
        &mut self,
        section: &'static str,
        key: &'static str,
        more: Vec<String>,
        entry: &Entry,
        path: &str,
    ) {
        let Some(declaration) = declaration(section, key) else {
            return;
        };
        let mut list = match self.given_here(section, key) {
            Some(Value::Texts(list)) => list.clone(),
            _ => Vec::new(),
        };
        list.extend(more);
        list.dedup();
        if list.is_empty() {
            return;
        }
        let list = Value::Texts(list);
        if value::check(declaration.kind, &list).is_ok() {
            self.put(section, declaration.key, list, entry.line);
        } else {
            let expected = value::expected(declaration.kind);
            let reason = format!("too many or too long for {section}.{key}: {expected}");
            self.note(entry, path, Outcome::LeftOut, reason);
        }
    }
}

/// The lines of a file that say something.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// An address, a network, `*`, or the beginning of an IPv4 address with `*` for the rest, as
/// networks.
fn networks_of(text: &str) -> Option<Vec<String>> {
    let text = text.trim();
    if text == "*" {
        return Some(vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()]);
    }
    let network = match text.split_once(".*") {
        Some((head, rest)) if rest.split(".*").all(str::is_empty) => {
            let octets = head.split('.').count();
            let zeros = ".0".repeat(4_usize.checked_sub(octets).filter(|zeros| *zeros > 0)?);
            format!("{head}{zeros}/{}", octets * 8)
        }
        _ => text.to_owned(),
    };
    let network: Network = network.parse().ok()?;
    Some(vec![network.to_string()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_addresses_are_networks() {
        for (text, expected) in [
            ("192.0.2.7", Some("192.0.2.7/32")),
            (" 192.0.2.0/24 ", Some("192.0.2.0/24")),
            ("192.168.1.*", Some("192.168.1.0/24")),
            ("10.*.*.*", Some("10.0.0.0/8")),
            ("10.1.*", Some("10.1.0.0/16")),
            ("2001:db8::1", Some("2001:db8::1/128")),
            ("*", Some("0.0.0.0/0 ::/0")),
            ("1.2.3.4.*", None),
            ("1.2.3.4.5.*", None),
            ("192.*.1.7", None),
            ("300.1.*", None),
            (".*", None),
            ("host.example", None),
            ("", None),
        ] {
            let found = networks_of(text).map(|networks| networks.join(" "));
            assert_eq!(found.as_deref(), expected, "{text:?}");
        }
    }
}
