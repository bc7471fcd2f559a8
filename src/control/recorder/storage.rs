//! Where recordings go. Everything here may block, and runs on the blocking pool.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// A place for files.
pub(crate) trait Storage: Send + Sync {
    /// Makes a new file, and the directories above it.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] where the name is taken; whatever the place says.
    fn create(&self, path: &Path) -> io::Result<Box<dyn StoredFile>>;
}

/// A file that grows.
pub(crate) trait StoredFile: Send {
    /// Adds all of `parts` at the end, or nothing of them.
    ///
    /// # Errors
    /// Whatever the place says; the file is as it was before.
    fn append(&mut self, parts: &[&[u8]]) -> io::Result<()>;
}

/// The file system.
#[derive(Debug)]
pub(crate) struct Disk;

impl Storage for Disk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn StoredFile>> {
        if let Some(parent) = path.parent().filter(|path| !path.as_os_str().is_empty()) {
            fs::create_dir_all(parent)?;
        }
        let made = OpenOptions::new().write(true).create_new(true).open(path);
        let (file, cut) = match made {
            Ok(file) => (file, true),
            Err(error) if is_device(path) && error.kind() == io::ErrorKind::AlreadyExists => {
                (OpenOptions::new().write(true).open(path)?, false)
            }
            Err(error) => return Err(error),
        };
        Ok(Box::new(OnDisk {
            file,
            bytes: 0,
            cut,
        }))
    }
}

/// `/dev/null` and its kin take any number of recordings.
fn is_device(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| data.file_type().is_char_device())
}

/// A file, or a device.
#[derive(Debug)]
struct OnDisk {
    file: File,
    /// What was added whole.
    bytes: u64,
    /// Whether it can be cut.
    cut: bool,
}

impl StoredFile for OnDisk {
    fn append(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let added = parts.iter().try_for_each(|part| self.file.write_all(part));
        match added {
            Ok(()) => {
                let bytes = parts.iter().map(|part| part.len() as u64).sum::<u64>();
                self.bytes = self.bytes.saturating_add(bytes);
            }
            Err(_) if self.cut => {
                self.file.set_len(self.bytes)?;
                self.file.seek(SeekFrom::Start(self.bytes))?;
            }
            Err(_) => {}
        }
        added
    }
}
