//! Settings from file, environment and command line, with the passwords that nobody chose.

use std::env;
use std::fs;
use std::path::PathBuf;

use corecast_config::{Config, File, Loaded};

use crate::args::Sources;
use crate::{say, secrets};

/// Reads and checks what people chose; passwords that nobody chose are empty.
///
/// # Errors
/// Every fault, one line each.
pub(crate) fn read(sources: &Sources) -> Result<Loaded, Vec<String>> {
    let file = match &sources.file {
        None => None,
        Some(path) => match fs::read_to_string(path) {
            Ok(text) => Some((path.display().to_string(), text)),
            Err(error) => return Err(vec![format!("{}: {error}", path.display())]),
        },
    };
    let loaded = corecast_config::load(corecast_config::Sources {
        file: file.as_ref().map(|(name, text)| File { name, text }),
        environment: &environment(),
        overrides: &sources.overrides,
    });
    loaded.map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

/// Fills in the passwords that nobody chose; those that had to be made are printed.
///
/// # Errors
/// They cannot be read or kept, one line each.
pub(crate) fn complete(config: &mut Config) -> Result<(), Vec<String>> {
    let state_dir = state_dir(config);
    let made = secrets::complete(config, state_dir.as_deref())?;
    if let Some(state_dir) = state_dir.filter(|_| !made.is_empty()) {
        say(&secrets::announcement(&made, &state_dir));
    }
    Ok(())
}

/// Where what must survive a restart is kept; none where nothing says where.
pub(crate) fn state_dir(config: &Config) -> Option<PathBuf> {
    corecast_config::state_dir(config, &environment())
}

fn environment() -> Vec<(String, String)> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    env::vars_os()
        .map(|(name, value)| (text(name), text(value)))
        .collect()
}
