//! Files of users, a line `name:hash` each: who is in them, and who comes and goes.
//!
//! Everything here waits for the disk, and a check of a password for a CPU, so it runs on the
//! blocking pool. A changed file is written beside the old one and put in its place as a whole:
//! whoever reads meanwhile reads one or the other.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use md5::{Digest, Md5};
use subtle::ConstantTimeEq;
use tokio::sync::Mutex;

/// The longest file of users.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The longest name that is added.
const NAME_BYTES_MAX: usize = 128;

/// The longest password that is added: bcrypt looks at no more.
const PASSWORD_BYTES_MAX: usize = 72;

/// The cost of a hash that is made here: some 50 ms of a CPU.
const COST: u32 = if cfg!(test) { 4 } else { 10 };

/// The greatest cost of a bcrypt hash that is checked: about a second of a CPU.
const COST_MAX: u32 = 14;

/// Who may read a file that is made here: its owner.
const MODE: u32 = 0o600;

/// A change of a file.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// A user who was not in it.
    Add {
        /// The name.
        user: String,
        /// The password, whose hash is kept.
        password: String,
    },
    /// The user's lines go.
    Delete {
        /// The name.
        user: String,
    },
}

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// The user is in the file now.
    Added,
    /// The user was in it before.
    Exists,
    /// The user is not in it now.
    Deleted,
}

/// Has changes made one after the other. Lives on: the control plane.
#[derive(Debug, Default)]
pub(crate) struct Editor {
    turn: Arc<Mutex<()>>,
}

impl Editor {
    /// Changes the file at `path`; one that is not there yet begins empty.
    ///
    /// # Errors
    /// The change is none that a file can hold, or the file cannot be read or written.
    pub(crate) async fn change(&self, path: PathBuf, change: Change) -> io::Result<Changed> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        // The turn goes along: whoever asked may be gone before the disk is done.
        let job = move || {
            let changed = self::change(&path, &change);
            drop(turn);
            changed
        };
        tokio::task::spawn_blocking(job).await?
    }
}

/// The names in the file at `path`, in its order.
///
/// # Errors
/// It is there and cannot be read.
pub(crate) fn names(path: &Path) -> io::Result<Vec<String>> {
    let text = read_or_empty(path)?;
    Ok(entries(&text).map(|(name, _)| name.to_owned()).collect())
}

/// What stands in the file at `path`.
///
/// # Errors
/// It cannot be read, is too long or no text.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = File::open(path)?;
    let bytes = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if bytes as u64 > FILE_BYTES_MAX {
        return Err(invalid("the file is longer than 4 MiB"));
    }
    Ok(text)
}

/// Whether the file has `user` with this password. The first line of a name counts.
pub(crate) fn may_enter(users: &str, user: &str, password: &str) -> bool {
    let found = entries(users).find(|(name, _)| *name == user);
    found.is_some_and(|(_, hash)| fits(hash, password))
}

fn read_or_empty(path: &Path) -> io::Result<String> {
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read,
    }
}

/// Name and hash of each line that has both.
fn entries(users: &str) -> impl Iterator<Item = (&str, &str)> {
    users.lines().filter_map(entry)
}

fn entry(line: &str) -> Option<(&str, &str)> {
    let pair = line.trim_end().split_once(':');
    pair.filter(|(name, _)| !name.is_empty() && !name.starts_with('#'))
}

fn change(path: &Path, change: &Change) -> io::Result<Changed> {
    let text = read_or_empty(path)?;
    let (text, changed) = match change {
        Change::Add { user, password } => {
            check_user(user, password)?;
            if entries(&text).any(|(name, _)| name == user) {
                return Ok(Changed::Exists);
            }
            let hash = bcrypt::hash(password, COST).map_err(io::Error::other)?;
            let end = if text.is_empty() || text.ends_with('\n') {
                ""
            } else {
                "\n"
            };
            (format!("{text}{end}{user}:{hash}\n"), Changed::Added)
        }
        Change::Delete { user } => {
            let is_meant = |line: &str| entry(line).is_some_and(|(name, _)| name == user);
            if !text.lines().any(is_meant) {
                return Ok(Changed::Deleted);
            }
            let kept = text.split_inclusive('\n').filter(|line| !is_meant(line));
            (kept.collect(), Changed::Deleted)
        }
    };
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(invalid("the file would be longer than 4 MiB"));
    }
    replace(path, &text)?;
    Ok(changed)
}

/// A name and a password that a line can hold and a login can say.
fn check_user(user: &str, password: &str) -> io::Result<()> {
    let banned = |c: char| c.is_control() || matches!(c, ':' | '\u{fffd}');
    if user.is_empty() || user.len() > NAME_BYTES_MAX {
        return Err(invalid("a name has 1 to 128 bytes"));
    }
    if user.contains(banned) || user.starts_with('#') {
        return Err(invalid(
            "a name has no control characters, no : and no # first",
        ));
    }
    if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
        return Err(invalid("a password has 1 to 72 bytes"));
    }
    if password.contains(|c: char| c.is_control() || c == '\u{fffd}') {
        return Err(invalid("a password has no control characters"));
    }
    Ok(())
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

/// Puts `text` in the place of what is at `path`, all of it or nothing; a link stays one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let (path, mode) = match fs::canonicalize(path) {
        Ok(real) => {
            let mode = fs::metadata(&real)?.permissions().mode();
            (real, mode & 0o777)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => (path.to_owned(), MODE),
        Err(error) => return Err(error),
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    match fs::remove_file(&beside) {
        // Left by one that was stopped half-way.
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let written = write_new(&beside, mode, text).and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        // Nothing more can be done about it.
        let _ = fs::remove_file(&beside);
    }
    written
}

fn write_new(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(MODE).open(path)?;
    file.write_all(text.as_bytes())?;
    // Only a file with everything in it is for others.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()
}

fn fits(hash: &str, password: &str) -> bool {
    if hash.starts_with("$2") {
        let cost = hash.split('$').nth(2).and_then(|cost| cost.parse().ok());
        let bearable = cost.is_some_and(|cost: u32| cost <= COST_MAX);
        return bearable && bcrypt::verify(password, hash).unwrap_or(false);
    }
    let digest = Md5::digest(password.as_bytes());
    let written: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let said = hash.to_ascii_lowercase();
    bool::from(said.as_bytes().ct_eq(written.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_enter_by_bcrypt_or_icecasts_md5() {
        let bcrypt = bcrypt::hash("gr\u{fc}n", 4).expect("a good cost");
        let users = format!(
            "ada:{bcrypt}\r\nbob:5EBE2294ECD0E0F08EAB7690D2A6EE69\n# a comment\nbob:{bcrypt}\n\
             slow:$2y$31$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyzabcde\nplain:open\n:x\n"
        );
        for (user, password, expected) in [
            ("ada", "gr\u{fc}n", true),
            ("ada", "grun", false),
            ("bob", "secret", true),
            ("bob", "Secret", false),
            ("bob", "gr\u{fc}n", false),
            ("slow", "x", false),
            ("plain", "open", false),
            ("eve", "", false),
            ("", "x", false),
        ] {
            assert_eq!(
                may_enter(&users, user, password),
                expected,
                "{user} {password}"
            );
        }
    }

    /// A folder of the test's own, gone with it.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("corecast-users-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).expect("the folder for such things takes it");
            Folder(path)
        }

        fn file(&self) -> PathBuf {
            self.0.join("users")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn add(user: &str, password: &str) -> Change {
        Change::Add {
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }

    fn delete(user: &str) -> Change {
        let user = user.to_owned();
        Change::Delete { user }
    }

    #[test]
    fn users_come_and_go_and_others_stay_as_they_are() {
        let folder = Folder::new("changes");
        let path = folder.file();
        let before = "# kept\nbob:5EBE2294ECD0E0F08EAB7690D2A6EE69\r\nnonsense\n#x:y\ncut:off";
        fs::write(&path, before).expect("the folder takes files");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("it is ours");
        let done = |what: &Change| change(&path, what).expect("the file takes it");
        assert_eq!(done(&add("ada", "gr\u{fc}n")), Changed::Added);
        assert_eq!(done(&add("ada", "other")), Changed::Exists);
        let text = read(&path).expect("a text");
        assert!(text.starts_with(&format!("{before}\nada:$2b$")), "{text}");
        assert!(may_enter(&text, "ada", "gr\u{fc}n") && may_enter(&text, "bob", "secret"));
        assert_eq!(names(&path).expect("a file"), ["bob", "cut", "ada"]);
        assert_eq!(done(&delete("nobody")), Changed::Deleted);
        assert_eq!(done(&delete("ada")), Changed::Deleted);
        assert_eq!(read(&path).expect("a text"), format!("{before}\n"));
        let mode = fs::metadata(&path)
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o640);
        let files = fs::read_dir(&folder.0).expect("a folder").count();
        assert_eq!(files, 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_begins_with_its_first_user_and_a_link_stays_one() {
        let folder = Folder::new("links");
        let (real, link) = (folder.0.join("real"), folder.file());
        assert_eq!(names(&real).expect("nobody yet"), Vec::<String>::new());
        change(&real, &add("ada", "x")).expect("a new file");
        let mode = fs::metadata(&real)
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, MODE);
        std::os::unix::fs::symlink(&real, &link).expect("the folder takes links");
        fs::write(folder.0.join("real.new"), "left over").expect("the folder takes files");
        change(&link, &add("bob", "y")).expect("the file behind the link");
        assert!(
            fs::symlink_metadata(&link)
                .expect("it is there")
                .is_symlink()
        );
        assert_eq!(names(&real).expect("a file"), ["ada", "bob"]);
    }

    #[test]
    fn what_would_break_the_file_is_refused() {
        let folder = Folder::new("hostile");
        let path = folder.file();
        let long = "x".repeat(200);
        for (user, password) in [
            ("", "x"),
            ("a:b", "x"),
            ("a\nroot", "x"),
            ("a\r", "x"),
            ("a\0", "x"),
            ("#a", "x"),
            ("\u{fffd}", "x"),
            (long.as_str(), "x"),
            ("a", ""),
            ("a", "x\0y"),
            ("a", long.as_str()),
        ] {
            let refused = change(&path, &add(user, password)).expect_err("no such line");
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{user:?}");
        }
        assert!(!path.exists());
        fs::write(&path, vec![b'x'; FILE_BYTES_MAX as usize + 1]).expect("room on the disk");
        assert!(change(&path, &add("a", "x")).is_err());
        fs::write(&path, b"\xff:x\n").expect("room on the disk");
        assert!(change(&path, &delete("a")).is_err(), "no text");
        assert!(
            change(&folder.0, &add("a", "x")).is_err(),
            "a folder is no file"
        );
    }
}
