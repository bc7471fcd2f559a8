//! Files that hold secrets.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Writes the file at `path` for its owner only. Whoever reads it finds all of it or what was there
/// before, also after the machine lost its power. Folders that are missing are made, for the owner
/// only too. Not for two writers of one file at once.
///
/// # Errors
/// The file or a folder cannot be written; the file is as it was before.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let Some((folder, name)) = path.parent().zip(path.file_name()) else {
        return Err(io::Error::other("this is no path of a file"));
    };
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    make_folder(folder)?;
    let mut fresh = name.to_owned();
    fresh.push(".new");
    let fresh = folder.join(fresh);
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let placed = write_new(&fresh, bytes).and_then(|()| fs::rename(&fresh, path));
    if let Err(error) = placed {
        // A full disk gets its room back; where that fails too, the next try begins with it.
        let _ = fs::remove_file(&fresh);
        return Err(error);
    }
    sync_folder(folder)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes a folder and those that it is in, where they are missing.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().filter(|it| !it.as_os_str().is_empty());
    if let Some(above) = above {
        make_folder(above)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists || !folder.is_dir() => Err(error),
        _ => sync_folder(above.unwrap_or(Path::new("."))),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_written_whole_and_for_its_owner_only() {
        let scratch = std::env::temp_dir().join(format!("corecast-private-{}", std::process::id()));
        let _ = fs::remove_dir_all(&scratch);
        let path = scratch.join("a/b/secret");
        write_private(&path, b"one").expect("a folder that can be made");
        let before = File::open(&path).expect("it is there");
        write_private(&path, b"two").expect("it can be replaced");
        let mode = |path: &Path| {
            let data = fs::metadata(path).expect("it is there");
            data.permissions().mode() & 0o777
        };
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&scratch.join("a")), 0o700);
        assert_eq!(fs::read(&path).expect("it is there"), b"two");
        let old = io::read_to_string(before).expect("who had it open reads on");
        assert_eq!(old, "one");
        let beside = fs::read_dir(scratch.join("a/b")).expect("a folder").count();
        assert_eq!(beside, 1, "nothing is left beside it");
        let taken = scratch.join("a/taken");
        fs::create_dir_all(taken.join("by")).expect("a folder");
        assert!(write_private(&taken, b"three").is_err());
        let beside = fs::read_dir(scratch.join("a")).expect("a folder").count();
        assert_eq!(beside, 2, "nor when it fails");
        assert!(
            write_private(&path.join("below"), b"").is_err(),
            "a file is no folder"
        );
        assert!(write_private(Path::new("/"), b"").is_err());
        fs::remove_dir_all(&scratch).expect("it is ours");
    }
}
