//! `corecast import`: another server's settings as ours.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use corecast_config::Fault;
use corecast_config::import::{FILE_BYTES_MAX, Files, Format, import, import_with};

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
    let told = |fault: Fault| vec![fault.to_string()];
    let mut imported = import(format, &name, &bytes).map_err(told)?;
    if !imported.wants.is_empty() {
        let files = read_all(&imported.wants);
        imported = import_with(format, &name, &bytes, files).map_err(told)?;
    }
    for note in &imported.notes {
        complain(&format!("{note}\n"));
    }
    Ok(imported.toml)
}

/// Those files of `names` that can be read; the report tells of the others.
fn read_all(names: &[String]) -> Files {
    let read = names.iter().filter_map(|name| {
        // Standard input is the settings themselves.
        let path = Some(Path::new(name)).filter(|path| *path != Path::new(STANDARD_INPUT))?;
        let bytes = read(path).ok()?;
        (bytes.len() <= FILE_BYTES_MAX).then(|| (name.clone(), bytes))
    });
    read.collect()
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
