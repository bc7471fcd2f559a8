//! The configured mounts, found by name: shards look them up for every request and every run.

use std::collections::HashMap;
use std::slice::Iter;

use crate::section::Mount;

/// Mounts with a section of their own, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mounts {
    list: Vec<(String, Mount)>,
    places: HashMap<String, usize>,
}

impl Mounts {
    /// The settings of the mount `name`.
    pub fn get(&self, name: &str) -> Option<&Mount> {
        let (_, settings) = self.list.get(*self.places.get(name)?)?;
        Some(settings)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Mount> {
        let (_, settings) = self.list.get_mut(*self.places.get(name)?)?;
        Some(settings)
    }

    /// Adds a mount at the end. Of two with one name the first is found.
    pub fn push(&mut self, name: String, settings: Mount) {
        self.places.entry(name.clone()).or_insert(self.list.len());
        self.list.push((name, settings));
    }

    /// All of them, with their names.
    pub fn iter(&self) -> Iter<'_, (String, Mount)> {
        self.list.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl<'a> IntoIterator for &'a Mounts {
    type Item = &'a (String, Mount);
    type IntoIter = Iter<'a, (String, Mount)>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl FromIterator<(String, Mount)> for Mounts {
    fn from_iter<I: IntoIterator<Item = (String, Mount)>>(all: I) -> Self {
        let mut mounts = Mounts::default();
        for (name, settings) in all {
            mounts.push(name, settings);
        }
        mounts
    }
}

impl From<Vec<(String, Mount)>> for Mounts {
    fn from(list: Vec<(String, Mount)>) -> Self {
        list.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_found_by_name_and_kept_in_order() {
        let named = |genre: &str| Mount {
            genre: genre.to_owned(),
            ..Mount::default()
        };
        let list = [("/b", "1"), ("/a", "2"), ("/b", "3")];
        let list = list.map(|(name, genre)| (name.to_owned(), named(genre)));
        let mut mounts = Mounts::from(list.to_vec());
        let genre = |mounts: &Mounts, name| mounts.get(name).map(|mount| mount.genre.clone());
        assert_eq!(genre(&mounts, "/b").as_deref(), Some("1"));
        assert_eq!(genre(&mounts, "/c"), None);
        mounts.get_mut("/a").expect("there").genre = "4".to_owned();
        assert_eq!(genre(&mounts, "/a").as_deref(), Some("4"));
        let names: Vec<&str> = mounts.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((names, mounts.len()), (vec!["/b", "/a", "/b"], 3));
    }
}
