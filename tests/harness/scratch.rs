//! A folder of a test's own, under `target/`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A new empty folder. It goes with the value, unless the test fails.
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A folder whose name begins with `name`.
    pub(crate) fn new(name: &str) -> Self {
        Scratch::under(Path::new(env!("CARGO_TARGET_TMPDIR")), name)
    }

    /// A folder where programs of other users can get to.
    pub(crate) fn open_to_all(name: &str) -> Self {
        Scratch::under(&std::env::temp_dir(), &format!("corecast-{name}"))
    }

    fn under(folder: &Path, name: &str) -> Self {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{name}-{}-{n}", std::process::id()));
        // Left by a test that failed in a process of the same number.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder under target/ can be made");
        Scratch { path }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of `name` in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kept for you: {}", self.path.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
