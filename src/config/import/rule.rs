//! Tables of foreign settings, walked over a file's entries.

use super::entry::Entry;
use super::note::Outcome;
use super::plan::{Plan, Unit};

/// What becomes of the foreign setting at a path inside the table's own.
pub(super) struct Rule {
    /// Keys with `/` between.
    pub(super) path: &'static str,
    pub(super) becomes: Becomes,
}

/// What becomes of a foreign setting.
pub(super) enum Becomes {
    /// What stands in it has rows of its own.
    Group,
    /// A setting of ours: section and key. In a mount's table the section is `mount`.
    Setting(&'static str, &'static str, Unit),
    /// Whatever the function does.
    Code(fn(&Entry, &str, &mut Plan)),
    /// Nothing: corecast has no such thing.
    Missing(&'static str),
    /// The same, but nothing is lost where it has one of these values.
    MissingUnless(&'static [&'static str], &'static str),
    /// Nothing: corecast does it untold or has no use for it.
    Unneeded(&'static str),
}

pub(super) const fn rule(path: &'static str, becomes: Becomes) -> Rule {
    Rule { path, becomes }
}

/// How deep paths of tables are.
const DEPTH_MAX: usize = 8;

/// Applies `rules` to `entries`, which stand in `inside` (a path for the report).
pub(super) fn walk(entries: &[Entry], inside: &str, rules: &[Rule], plan: &mut Plan) {
    walk_from(entries, inside, "", rules, plan, 0);
}

fn walk_from(
    entries: &[Entry],
    inside: &str,
    prefix: &str,
    rules: &[Rule],
    plan: &mut Plan,
    depth: usize,
) {
    if depth > DEPTH_MAX {
        return;
    }
    for entry in entries {
        let path = format!("{prefix}{}", entry.key);
        let shown = plan.path(inside, &entry.key);
        let Some(rule) = rules.iter().find(|rule| rule.path == path) else {
            plan.note(entry, &shown, Outcome::Unknown, UNKNOWN);
            continue;
        };
        match &rule.becomes {
            Becomes::Group if entry.children.is_empty() => {
                if !entry.text.trim().is_empty() {
                    plan.note(entry, &shown, Outcome::LeftOut, "settings belong inside");
                }
            }
            Becomes::Group => {
                let prefix = format!("{path}/");
                walk_from(&entry.children, &shown, &prefix, rules, plan, depth + 1);
            }
            Becomes::Setting(..) if entry.has_elements() => {
                plan.note(entry, &shown, Outcome::LeftOut, "one value belongs here");
            }
            Becomes::Setting(section, key, unit) => {
                plan.set(section, key, *unit, entry, &shown);
            }
            Becomes::Code(code) => code(entry, &shown, plan),
            Becomes::Missing(reason) => plan.note(entry, &shown, Outcome::Missing, *reason),
            Becomes::MissingUnless(harmless, reason) => {
                let nothing = entry.children.is_empty() && harmless.contains(&entry.text.trim());
                if !nothing {
                    plan.note(entry, &shown, Outcome::Missing, *reason);
                }
            }
            Becomes::Unneeded(reason) => plan.note(entry, &shown, Outcome::Unneeded, *reason),
        }
    }
}

const UNKNOWN: &str = "the importer does not know it";
