//! What the rules found, and the report of it.

use super::history::History;

/// How strongly a rule binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// The specification says must.
    Must,
    /// The specification says should.
    Should,
    /// A rule of this project on top.
    Project,
}

/// One rule.
pub(crate) struct Rule {
    /// Its number and what it is about.
    pub(crate) name: &'static str,
    /// How strongly it binds.
    pub(crate) level: Level,
    /// What checks it, or why nothing does.
    pub(crate) check: Check,
}

/// What checks a rule.
pub(crate) enum Check {
    /// This does; the text says what must be seen for it.
    By(fn(&History, &mut Findings), &'static str),
    /// Nothing here can.
    Nobody(&'static str),
}

/// What one rule found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// How often it was applied.
    pub(crate) checks: u64,
    /// Where it was broken; the first few.
    pub(crate) violations: Vec<String>,
    /// How often it was broken.
    pub(crate) broken: u64,
}

/// The most violations of one rule that are kept.
const VIOLATIONS_MAX: usize = 5;

impl Findings {
    /// Applies the rule once.
    pub(crate) fn check(&mut self, holds: bool, violation: impl FnOnce() -> String) {
        self.checks += 1;
        if !holds {
            self.broken += 1;
            if self.violations.len() < VIOLATIONS_MAX {
                self.violations.push(violation());
            }
        }
    }
}

/// What became of one rule.
pub(crate) struct Verdict {
    pub(crate) rule: &'static Rule,
    pub(crate) findings: Findings,
}

impl Verdict {
    /// Whether it was applied at all.
    pub(crate) fn is_checked(&self) -> bool {
        self.findings.checks > 0
    }

    /// Whether it was broken.
    pub(crate) fn is_broken(&self) -> bool {
        self.findings.broken > 0
    }
}

/// Applies all rules.
pub(crate) fn judge(rules: &'static [Rule], history: &History) -> Vec<Verdict> {
    let judge = |rule: &'static Rule| {
        let mut findings = Findings::default();
        if let Check::By(check, _) = rule.check {
            check(history, &mut findings);
        }
        Verdict { rule, findings }
    };
    rules.iter().map(judge).collect()
}

/// The table for people, and its last line.
pub(crate) fn report(verdicts: &[Verdict]) -> String {
    let mut text = String::new();
    for verdict in verdicts {
        let rule = verdict.rule;
        let findings = &verdict.findings;
        let level = match rule.level {
            Level::Must => 'M',
            Level::Should => 'S',
            Level::Project => 'P',
        };
        let outcome = match (&rule.check, verdict.is_checked(), verdict.is_broken()) {
            (Check::Nobody(reason), ..) => format!("not checked: {reason}"),
            (Check::By(_, wanted), false, _) => format!("not seen: {wanted}"),
            (_, _, false) => format!("ok, {} checks", findings.checks),
            (_, _, true) => format!("FAILED {} of {} checks", findings.broken, findings.checks),
        };
        text.push_str(&format!("{level} {:<32} {outcome}\n", rule.name));
        for violation in &findings.violations {
            text.push_str(&format!("    {violation}\n"));
        }
    }
    let failures = verdicts
        .iter()
        .filter(|verdict| verdict.is_broken())
        .count();
    let checked = verdicts
        .iter()
        .filter(|verdict| verdict.is_checked())
        .count();
    let others = verdicts.len() - checked;
    text.push_str(&format!(
        "hls-check: {failures} failures of {checked} rules ({others} not seen or not checked)\n"
    ));
    text
}
