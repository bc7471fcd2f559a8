//! What was playing: the last titles of each mount.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

use corecast_media::metadata::Metadata;
use corecast_media::name::MountName;

/// Titles that are kept of a mount, the present one among them.
pub(crate) const TITLES_KEPT: usize = 20;

/// Mounts whose titles are kept; then the one that was silent longest is forgotten.
const MOUNTS_MAX: usize = 1_024;

/// A title and when it began.
#[derive(Clone, Debug)]
pub(crate) struct Played {
    pub(crate) metadata: Arc<Metadata>,
    pub(crate) since: SystemTime,
}

/// The last titles of each mount. Lives on: the control plane.
#[derive(Debug, Default)]
pub(crate) struct Titles {
    mounts: HashMap<MountName, VecDeque<Played>>,
}

impl Titles {
    /// A mount says what plays since `since`. The same again, or nothing, is no news.
    pub(crate) fn handle_title(
        &mut self,
        mount: &MountName,
        metadata: &Arc<Metadata>,
        since: SystemTime,
    ) {
        if metadata.title.is_empty() {
            return;
        }
        if !self.mounts.contains_key(mount) && self.mounts.len() >= MOUNTS_MAX {
            self.forget_one();
        }
        let played = self.mounts.entry(mount.clone()).or_default();
        if played
            .front()
            .is_some_and(|last| last.metadata.title == metadata.title)
        {
            return;
        }
        played.truncate(TITLES_KEPT - 1);
        let metadata = Arc::clone(metadata);
        played.push_front(Played { metadata, since });
    }

    /// The titles of a mount, the latest first.
    pub(crate) fn of(&self, mount: &str) -> Vec<Played> {
        let name = MountName::parse(mount).ok();
        let played = name.and_then(|name| self.mounts.get(&name));
        played.into_iter().flatten().cloned().collect()
    }

    fn forget_one(&mut self) {
        let last = |played: &VecDeque<Played>| played.front().map(|last| last.since);
        let oldest = self.mounts.iter().min_by_key(|(_, played)| last(played));
        if let Some(mount) = oldest.map(|(mount, _)| mount.clone()) {
            self.mounts.remove(&mount);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn tell(titles: &mut Titles, mount: &str, title: &str, second: u64) {
        let mount = MountName::parse(mount).expect("a good name");
        let since = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        titles.handle_title(&mount, &Arc::new(Metadata::from_title(title)), since);
    }

    fn shown(titles: &Titles, mount: &str) -> Vec<String> {
        let played = titles.of(mount).into_iter();
        played
            .map(|played| played.metadata.title.to_string())
            .collect()
    }

    #[test]
    fn the_latest_come_first_and_each_once_in_a_row() {
        let mut titles = Titles::default();
        for (second, title) in ["a", "b", "b", "", "a"].iter().enumerate() {
            tell(&mut titles, "/live", title, second as u64);
        }
        assert_eq!(shown(&titles, "/live"), ["a", "b", "a"]);
        assert!(shown(&titles, "/other").is_empty());
        for title in 0..50 {
            tell(&mut titles, "/live", &format!("{title}"), 10 + title);
        }
        let last = shown(&titles, "/live");
        assert_eq!(
            (last.len(), last[0].as_str(), last[19].as_str()),
            (20, "49", "30")
        );
    }

    #[test]
    fn mounts_that_are_silent_longest_are_forgotten() {
        let mut titles = Titles::default();
        for mount in 0..MOUNTS_MAX as u64 + 1 {
            tell(&mut titles, &format!("/m{mount}"), "a", mount);
        }
        assert!(shown(&titles, "/m0").is_empty());
        assert_eq!(shown(&titles, "/m1"), ["a"]);
        assert_eq!(titles.mounts.len(), MOUNTS_MAX);
    }
}
