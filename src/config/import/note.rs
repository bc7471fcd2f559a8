//! What an import could not take over as it was.

use std::fmt;

use crate::fault::Place;

/// One thing that an import could not take over as it was, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Where it stands in the foreign file.
    pub place: Place,
    /// The foreign setting: `icecast/limits/queue-size`, `limits.queue_size`.
    pub path: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, or what to do about it.
    pub reason: String,
}

/// What became of a foreign setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// corecast has nothing like it.
    Missing,
    /// The importer does not know it.
    Unknown,
    /// Its value is not taken over.
    LeftOut,
    /// It is taken over with another value or meaning.
    Changed,
    /// corecast does it without being told, or has no use for it.
    Unneeded,
}

impl Outcome {
    /// All, what matters most first.
    pub const ALL: [Outcome; 5] = [
        Outcome::Missing,
        Outcome::Unknown,
        Outcome::LeftOut,
        Outcome::Changed,
        Outcome::Unneeded,
    ];

    /// The outcome in words.
    pub const fn words(self) -> &'static str {
        match self {
            Outcome::Missing => "no equivalent",
            Outcome::Unknown => "unknown",
            Outcome::LeftOut => "left out",
            Outcome::Changed => "changed",
            Outcome::Unneeded => "not needed",
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Note {
            place,
            path,
            outcome,
            reason,
        } = self;
        write!(f, "{place}: {path}: {}: {reason}", outcome.words())
    }
}

/// A text of the file or its name, fit for one line of a report.
pub(super) fn clean(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().take(CHARS_MAX).map(plain).collect()
}
