//! `corecast import`: another server's settings as ours.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use corecast_config::import::{FILE_BYTES_MAX, Format, import};

use crate::complain;

/// What stands for standard input.
const STANDARD_INPUT: &str = "-";

/// Reads `file` and gives its settings as TOML; what could not be taken over goes to standard
/// error.
///
/// # Errors
/// It cannot be read, or is not of its format; one line.
pub(crate) fn run(file: &Path) -> Result<String, Vec<String>> {
    let name = if file == Path::new(STANDARD_INPUT) {
        "standard input".to_owned()
    } else {
        file.display().to_string()
    };
    let bytes = read(file).map_err(|error| vec![format!("{name}: {error}")])?;
    let format = Format::of(&name, &bytes);
    let imported = import(format, &name, &bytes).map_err(|fault| vec![fault.to_string()])?;
    for note in &imported.notes {
        complain(&format!("{note}\n"));
    }
    Ok(imported.toml)
}

/// The file's bytes; of one that is too long so many that this is seen.
fn read(file: &Path) -> io::Result<Vec<u8>> {
    let bytes_max = FILE_BYTES_MAX as u64 + 1;
    let mut bytes = Vec::new();
    if file == Path::new(STANDARD_INPUT) {
        io::stdin().lock().take(bytes_max).read_to_end(&mut bytes)?;
    } else {
        File::open(file)?.take(bytes_max).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}
