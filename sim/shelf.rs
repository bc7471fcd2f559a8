//! What was ever answered to a player: one address has one content over the whole run, on every
//! shard and whatever packager made it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::hash::Hasher;

use bytes::Bytes;
use corecast_media::name::ShardId;
use rustc_hash::{FxHashMap, FxHasher};

use crate::playlist::List;

/// A media playlist: the mount and the name.
pub type Playlist = (String, String);

/// All answers of a run.
#[derive(Debug, Default)]
pub struct Shelf {
    /// By address or entity tag: the content, and the shards that gave it, as bits.
    contents: FxHashMap<String, (u64, u64)>,
    /// The lines of complete segments, by mount and address.
    lines: FxHashMap<String, String>,
    /// How far each shard's answers came.
    edges: BTreeMap<(ShardId, Playlist), Edge>,
    /// The numbers that each packager used.
    used: BTreeMap<(Playlist, u64), (u64, u64)>,
}

#[derive(Debug)]
struct Edge {
    epoch: u64,
    first_msn: u64,
    edge: (u64, u64),
}

impl Shelf {
    /// Whether the shard gave this address before; then its content is known to be right.
    pub fn knows(&self, shard: ShardId, address: &str) -> bool {
        let known = self.contents.get(address);
        known.is_some_and(|(_, shards)| shards >> shard.0 & 1 == 1)
    }

    /// Notes an answer, or says that the same address was answered otherwise before.
    pub fn note(&mut self, shard: ShardId, address: &str, pieces: &[Bytes]) -> Result<u64, String> {
        let hash = hash(pieces);
        let known = self.contents.entry(address.to_owned());
        let known = known.or_insert((hash, 0));
        known.1 |= 1 << shard.0;
        match known.0 == hash {
            true => Ok(hash),
            false => Err(format!("{address} has two contents")),
        }
    }

    /// Notes how far a media playlist goes, or says what is wrong with it.
    pub fn note_list(
        &mut self,
        shard: ShardId,
        playlist: &Playlist,
        list: &List,
    ) -> Result<(), String> {
        let Some(epoch) = list
            .epoch()
            .and_then(|epoch| u64::from_str_radix(epoch, 36).ok())
        else {
            return Ok(());
        };
        self.note_lines(playlist, list)?;
        let (first_msn, edge) = (list.first_msn, list.edge());
        let before = self.edges.insert(
            (shard, playlist.clone()),
            Edge {
                epoch,
                first_msn,
                edge,
            },
        );
        if let Some(before) = before {
            let same = before.epoch == epoch;
            let falls = first_msn < before.first_msn || edge < before.edge;
            if before.epoch > epoch || same && falls {
                let now = (epoch, first_msn, edge);
                return Err(format!("{playlist:?} goes from {before:?} to {now:?}"));
            }
        }
        let last = if edge.1 > 0 {
            edge.0
        } else {
            edge.0.saturating_sub(1)
        };
        match self.used.entry((playlist.clone(), epoch)) {
            Entry::Occupied(mut used) => used.get_mut().1 = used.get().1.max(last),
            Entry::Vacant(used) => {
                used.insert((first_msn, last));
            }
        }
        let (first, last) = ((playlist.clone(), 0), (playlist.clone(), u64::MAX));
        let ranges: Vec<_> = self.used.range(first..=last).collect();
        let overlap = ranges.windows(2).find(|pair| pair[0].1.1 >= pair[1].1.0);
        match overlap {
            Some(pair) => Err(format!("numbers are used again: {pair:?}")),
            None => Ok(()),
        }
    }

    fn note_lines(&mut self, playlist: &Playlist, list: &List) -> Result<(), String> {
        for segment in &list.segments {
            let Some(uri) = &segment.uri else { continue };
            let known = self.lines.entry(format!("{}/{uri}", playlist.0));
            let known = known.or_insert_with(|| segment.lines.clone());
            if *known != segment.lines {
                let now = &segment.lines;
                return Err(format!("the lines of {uri} change from {known} to {now}"));
            }
        }
        Ok(())
    }

    /// Whether a list with its left out segments put back is as `full`, where `had` is what the
    /// player has.
    pub fn expand(had: &List, delta: &List, full: &List) -> Result<(), String> {
        let skipped = delta.skipped.unwrap_or(0);
        let first = delta.first_msn;
        if (first, delta.edge()) != (full.first_msn, full.edge()) {
            return Err(format!("{:?} is not {:?}", delta.edge(), full.edge()));
        }
        for segment in full.segments.iter().take(skipped as usize) {
            let mine = had.segments.iter().find(|mine| mine.msn == segment.msn);
            let same = mine.is_some_and(|mine| mine.uri.is_some() && mine.lines == segment.lines);
            if !same {
                return Err(format!("{mine:?} cannot stand for {segment:?}"));
            }
        }
        if !full.rest.ends_with(&delta.rest) {
            return Err(format!("{} is no end of {}", delta.rest, full.rest));
        }
        let kept = full.segments.iter().skip(skipped as usize);
        match kept
            .map(|one| one.msn)
            .eq(delta.segments.iter().map(|one| one.msn))
        {
            true => Ok(()),
            false => Err(format!("{skipped} segments are not what was left out")),
        }
    }
}

fn hash(pieces: &[Bytes]) -> u64 {
    let mut hasher = FxHasher::default();
    match pieces {
        [whole] => hasher.write(whole),
        // The same for a segment in one piece and in its parts.
        parts => hasher.write(&parts.concat()),
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARD: ShardId = ShardId(0);

    fn list(epoch: &str, first: u64, skipped: u64, rest: &[&str]) -> List {
        let skip = match skipped {
            0 => String::new(),
            count => format!("#EXT-X-SKIP:SKIPPED-SEGMENTS={count}\n"),
        };
        let text = format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n\
             #EXT-X-MAP:URI=\"v0-{epoch}-init0.mp4\"\n{skip}"
        );
        let lines = rest.iter().zip(first + skipped..);
        let lines = lines.map(|(inf, msn)| format!("#EXTINF:{inf},\nv0-{epoch}-{msn}.m4s\n"));
        List::parse(&(text + &lines.collect::<String>())).expect("a list")
    }

    fn fault(lists: &[List]) -> Option<String> {
        let mut shelf = Shelf::default();
        let playlist = ("/film".to_owned(), "v0.m3u8".to_owned());
        let noted = lists
            .iter()
            .try_for_each(|list| shelf.note_list(SHARD, &playlist, list));
        noted.err()
    }

    #[test]
    fn lists_go_forward_and_use_no_number_twice() {
        let good = [
            list("1", 5, 0, &["2.0", "2.0"]),
            list("1", 6, 0, &["2.0", "2.0"]),
            list("2", 8, 0, &["2.0"]),
        ];
        assert_eq!(fault(&good), None);
        for bad in [
            [list("1", 5, 0, &["2.0"]), list("1", 4, 0, &["2.0", "2.0"])],
            [list("1", 5, 0, &["2.0", "2.0"]), list("1", 5, 0, &["2.0"])],
            [list("1", 5, 0, &["2.0"]), list("1", 5, 0, &["2.1"])],
            [list("1", 5, 0, &["2.0", "2.0"]), list("2", 6, 0, &["2.0"])],
            [list("2", 5, 0, &["2.0"]), list("1", 9, 0, &["2.0"])],
        ] {
            assert!(fault(&bad).is_some(), "{bad:?}");
        }
    }

    #[test]
    fn a_delta_stands_for_the_whole_list_only_where_the_rest_is_known() {
        let full = list("1", 5, 0, &["2.0", "2.1", "2.2"]);
        let delta = list("1", 5, 2, &["2.2"]);
        assert_eq!(Shelf::expand(&full, &delta, &full), Ok(()));
        let had = list("1", 5, 0, &["2.0"]);
        assert!(Shelf::expand(&had, &delta, &full).is_err());
        assert!(Shelf::expand(&full, &list("1", 5, 2, &["2.3"]), &full).is_err());
        assert!(Shelf::expand(&full, &list("1", 5, 1, &["2.2"]), &full).is_err());
    }

    #[test]
    fn an_address_has_one_content() {
        let mut shelf = Shelf::default();
        let (one, two) = (Bytes::from_static(b"one"), Bytes::from_static(b"two"));
        let whole = [Bytes::from_static(b"onetwo")];
        assert!(shelf.note(SHARD, "/a", &[one.clone(), two]).is_ok());
        assert!(shelf.knows(SHARD, "/a") && !shelf.knows(ShardId(1), "/a"));
        assert!(shelf.note(ShardId(1), "/a", &whole).is_ok());
        assert!(shelf.note(SHARD, "/a", &[one]).is_err());
    }
}
