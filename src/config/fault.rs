//! What is wrong with the settings, and where.

use std::fmt;

/// Where a setting was given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, the environment variable, or `--set`.
    pub file: String,
    /// The line from 1; 0 where the source has no lines.
    pub line: usize,
    /// The column from 1, in characters; 0 where the source has no lines.
    pub column: usize,
}

impl Place {
    /// A source that has no lines.
    pub(crate) fn whole(source: impl Into<String>) -> Self {
        Place {
            file: source.into(),
            line: 0,
            column: 0,
        }
    }

    /// `key` is wrong here.
    pub(crate) fn fault(&self, key: impl Into<String>, message: impl Into<String>) -> Fault {
        Fault {
            file: self.file.clone(),
            line: self.line,
            column: self.column,
            key: key.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        Ok(())
    }
}

/// One thing that is wrong, with its place. Never holds the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file, the environment variable, or `--set`.
    pub file: String,
    /// The line from 1; 0 where the source has no lines.
    pub line: usize,
    /// The column from 1, in characters; 0 where the source has no lines.
    pub column: usize,
    /// The setting (`limits.header_bytes_max`, `mount[/live].fallback`); empty where no setting
    /// could be made out.
    pub key: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for Fault {}

/// The known name that `unknown` most looks like, if any does.
pub(crate) fn did_you_mean<'a>(
    unknown: &str,
    known: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    const LIKENESS_MIN: f64 = 0.85;
    const NAME_BYTES_MAX: usize = 64;
    if unknown.len() > NAME_BYTES_MAX {
        return None;
    }
    let unknown = unknown.to_lowercase();
    known
        .map(|name| (strsim::jaro_winkler(&unknown, name), name))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
