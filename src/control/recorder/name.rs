//! Names of recordings.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use corecast_media::name::MountName;
use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

/// What stands for the mount's name.
const MOUNT: &str = "{mount}";

/// The path of a file of `mount` that begins at `time`: `pattern` with its escapes filled in.
/// The mount's name is one component at most, and never a way out of the directory.
///
/// # Errors
/// The pattern has an escape that `strftime` does not know.
pub(crate) fn path_of(
    pattern: &str,
    mount: &MountName,
    time: SystemTime,
    zone: TimeZone,
) -> Result<PathBuf, String> {
    let time = Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH);
    let dated = strtime::format(pattern, &time.to_zoned(zone))
        .map_err(|error| format!("dump_file: {error}"))?;
    Ok(PathBuf::from(dated.replace(MOUNT, &component(mount))))
}

/// `path` as its `copy`th copy: `show.mp3`, `show-2.mp3`, `show-3.mp3`.
pub(crate) fn numbered(path: &Path, copy: u32) -> PathBuf {
    if copy < 2 {
        return path.to_owned();
    }
    let mut name = OsString::from(path.file_stem().unwrap_or_default());
    name.push(format!("-{copy}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// A mount's name as a file's.
fn component(mount: &MountName) -> String {
    let name = mount.as_str().trim_start_matches('/');
    let mut kept: String = name
        .chars()
        .map(|c| match c {
            c if c.is_alphanumeric() => c,
            '.' | '-' => c,
            _ => '_',
        })
        .collect();
    if kept.is_empty() || kept.starts_with('.') {
        kept.insert(0, '_');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn path(pattern: &str, mount: &str) -> Result<PathBuf, String> {
        let mount = MountName::parse(mount).expect("a good name");
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_200_107);
        path_of(pattern, &mount, time, TimeZone::UTC)
    }

    #[test]
    fn a_name_says_when_and_what() {
        let found = path("/rec/%Y/{mount}-%m%dT%H%M%S.mp3", "/live");
        assert_eq!(found, Ok("/rec/2026/live-1120T184147.mp3".into()));
        assert_eq!(path("100%%.mp3", "/live"), Ok("100%.mp3".into()));
        assert!(path("/rec/%!.mp3", "/live").is_err());
    }

    #[test]
    fn no_mount_leads_out_of_the_directory() {
        for mount in ["/..a", "/a/b", "/.hidden", "/%Y", "/a{mount}", "/über/x"] {
            let found = path("/rec/{mount}", mount).expect("a good pattern");
            let parts: Vec<_> = found.components().collect();
            assert_eq!(parts.len(), 3, "{found:?}");
            assert!(found.starts_with("/rec"), "{found:?}");
            let name = found.file_name().and_then(|name| name.to_str());
            let name = name.expect("a name of its own");
            assert!(
                !name.starts_with('.') && !name.contains(['%', '{']),
                "{name}"
            );
        }
    }

    #[test]
    fn copies_have_numbers() {
        let copy = |path: &str, copy| numbered(Path::new(path), copy);
        assert_eq!(copy("/r/a.mp3", 1), Path::new("/r/a.mp3"));
        assert_eq!(copy("/r/a.mp3", 2), Path::new("/r/a-2.mp3"));
        assert_eq!(copy("/r/a", 12), Path::new("/r/a-12"));
    }
}
