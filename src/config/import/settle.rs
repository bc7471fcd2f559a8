//! What only our settings together can tell, put right before they are written.

use std::collections::BTreeMap;

use super::note::{Outcome, clean};
use super::plan::{DEFAULTS, Given, Plan, default_of};
use crate::check;
use crate::load::MOUNT;
use crate::property::Value;

const FALLBACK: &str = "fallback";

impl Plan {
    /// Puts right what `check` would find in the settings together.
    pub(super) fn finish(&mut self) {
        self.settle_admin();
        if self.given("tls", "certificate_file").is_none() {
            self.leave_out(
                "tls",
                "key_file",
                "there is no certificate that it belongs to",
            );
        }
        self.settle_fallbacks();
        self.settle_loops();
        self.separate_fallbacks();
    }

    fn settle_admin(&mut self) {
        let text = |value: Option<&Value>| match value {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        };
        let user = text(self.given("auth", "admin_user"));
        let fault = match user.as_deref() {
            Some("source") => Some("is the user of sources"),
            Some(user) if user.contains(':') => Some("must not contain \":\""),
            _ => None,
        };
        if let Some(fault) = fault {
            self.leave_out("auth", "admin_user", fault);
        }
        let relay = text(self.given("auth", "relay_user"));
        if relay.is_some_and(|user| user.contains(':')) {
            self.leave_out("auth", "relay_user", "must not contain \":\"");
        }
        let user = text(self.given("auth", "admin_user"));
        let user = user.or_else(|| text(default_of("auth", "admin_user").as_ref()));
        let password = text(self.given("auth", "admin_password"));
        if password.is_some() && password == user {
            self.leave_out("auth", "admin_password", "must not be the user's name");
        }
    }

    fn leave_out(&mut self, section: &str, key: &str, reason: &str) {
        let settings = self.sections.get_mut(section);
        if let Some(given) = settings.and_then(|settings| settings.remove(key)) {
            let path = format!("{section}.{key}");
            self.note_at((given.line, 1), &path, Outcome::LeftOut, reason);
        }
    }

    /// Every fallback is a mount with a section.
    fn settle_fallbacks(&mut self) {
        let wanted: Vec<(Value, usize, String)> = self
            .mounts
            .iter()
            .map(|mount| (mount.settings.get(FALLBACK), mount.name.as_str()))
            .chain([(
                self.sections
                    .get(DEFAULTS)
                    .and_then(|settings| settings.get(FALLBACK)),
                DEFAULTS,
            )])
            .filter_map(|(given, of)| {
                given.map(|given| (given.value.clone(), given.line, of.to_owned()))
            })
            .collect();
        for (value, line, of) in wanted {
            let Value::Text(name) = value else { continue };
            if name.is_empty() || self.has_mount(&name) {
                continue;
            }
            if self.mounts.len() < check::MOUNTS_MAX {
                self.add_mount(&name, Some(of), line);
            } else {
                self.forget_fallback(&of, line, "there are too many mounts to have its own");
            }
        }
    }

    /// Takes one fallback out of each loop of them.
    fn settle_loops(&mut self) {
        let fallbacks: BTreeMap<String, String> = self
            .mounts
            .iter()
            .filter_map(|mount| match mount.settings.get(FALLBACK)?.value {
                Value::Text(ref name) if !name.is_empty() => {
                    Some((mount.name.clone(), name.clone()))
                }
                _ => None,
            })
            .collect();
        let mut walked: BTreeMap<&str, usize> = BTreeMap::new();
        let mut last_of_loops = Vec::new();
        for (walk, start) in fallbacks.keys().enumerate() {
            let mut last = None;
            let mut next = Some(start);
            while let Some(name) = next.filter(|name| !walked.contains_key(name.as_str())) {
                walked.insert(name, walk);
                last = Some(name);
                next = fallbacks.get(name);
            }
            let round = next.is_some_and(|name| walked.get(name.as_str()) == Some(&walk));
            if let (Some(last), true) = (last, round) {
                last_of_loops.push(last.clone());
            }
        }
        for name in last_of_loops {
            let reason = "leads back to the mount itself";
            self.forget_fallback(&name, 0, reason);
        }
    }

    /// A default fallback is not that of mounts with a section.
    fn separate_fallbacks(&mut self) {
        if self.given(DEFAULTS, FALLBACK).is_none() {
            return;
        }
        for mount in &mut self.mounts {
            let none = Given {
                value: Value::Text(String::new()),
                line: 0,
                because: "the default fallback is not for this one",
            };
            mount.settings.entry(FALLBACK).or_insert(none);
        }
    }

    /// Takes away the fallback of the mount `of`, or the default one.
    fn forget_fallback(&mut self, of: &str, line: usize, reason: &str) {
        let mount = self.mounts.iter_mut().find(|mount| mount.name == of);
        let settings = match mount {
            Some(mount) => Some(&mut mount.settings),
            None => self.sections.get_mut(DEFAULTS),
        };
        let Some(given) = settings.and_then(|settings| settings.remove(FALLBACK)) else {
            return;
        };
        let path = format!("{MOUNT}.{}.{FALLBACK}", clean(of));
        let line = if line == 0 { given.line } else { line };
        self.note_at((line, 1), &path, Outcome::LeftOut, reason);
    }
}
