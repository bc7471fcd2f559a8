//! A reader of our playlists: what a player needs of them, and what is compared.

use std::collections::BTreeMap;

/// A media playlist.
#[derive(Clone, Debug, Default)]
pub struct List {
    /// EXT-X-TARGETDURATION in seconds.
    pub target_s: u64,
    /// EXT-X-MEDIA-SEQUENCE.
    pub first_msn: u64,
    /// Segments that EXT-X-SKIP leaves out; none where it has no such line.
    pub skipped: Option<u64>,
    /// Those that are listed, the last one may be open.
    pub segments: Vec<Segment>,
    /// The hinted part.
    pub hint: Option<String>,
    /// The init segments.
    pub maps: Vec<String>,
    /// Whether it has EXT-X-ENDLIST.
    pub ended: bool,
    /// What stands behind EXT-X-SKIP, or all of it.
    pub rest: String,
}

/// A listed segment.
#[derive(Clone, Debug, Default)]
pub struct Segment {
    /// Its media sequence number.
    pub msn: u64,
    /// Its lines but for those of its parts and init segments.
    pub lines: String,
    /// Its parts' addresses; those of gaps have none.
    pub parts: Vec<Option<String>>,
    /// Its address; none while it is open.
    pub uri: Option<String>,
    /// Whether it has EXT-X-GAP.
    pub gap: bool,
}

impl List {
    /// Reads a playlist.
    pub fn parse(text: &str) -> Result<List, String> {
        let mut list = List::default();
        let mut segment = Segment::default();
        let mut lines = text.lines();
        if lines.next() != Some("#EXTM3U") || !text.ends_with('\n') {
            return Err(format!("no playlist: {text:?}"));
        }
        for line in lines {
            list.line(line, &mut segment)
                .ok_or_else(|| format!("what is {line:?}?"))?;
        }
        if !segment.parts.is_empty() {
            list.push(segment);
        }
        if list.target_s == 0 {
            return Err("no target duration".to_owned());
        }
        Ok(list)
    }

    fn line(&mut self, line: &str, segment: &mut Segment) -> Option<()> {
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        if tag == "#EXT-X-SKIP" {
            self.rest.clear();
            let skipped = attributes(value).get("SKIPPED-SEGMENTS")?.parse().ok()?;
            self.skipped = Some(skipped);
            return Some(());
        }
        self.rest.push_str(line);
        self.rest.push('\n');
        match tag {
            "#EXT-X-TARGETDURATION" => self.target_s = value.parse().ok()?,
            "#EXT-X-MEDIA-SEQUENCE" => self.first_msn = value.parse().ok()?,
            "#EXT-X-MAP" => self.maps.push(attributes(value).get("URI")?.clone()),
            "#EXT-X-PART" => {
                let part = attributes(value);
                let gap = part.get("GAP").is_some_and(|gap| gap == "YES");
                let uri = part.get("URI")?.clone();
                segment.parts.push((!gap).then_some(uri));
            }
            "#EXT-X-PRELOAD-HINT" => {
                let hint = attributes(value);
                let uri = hint.get("URI")?.clone();
                match hint.get("TYPE")?.as_str() {
                    "PART" => self.hint = Some(uri),
                    // The file is there already: what is hinted at is answered.
                    _ => self.maps.push(uri),
                }
            }
            "#EXT-X-ENDLIST" => self.ended = true,
            "#EXT-X-DISCONTINUITY" | "#EXT-X-PROGRAM-DATE-TIME" | "#EXTINF" | "#EXT-X-GAP" => {
                segment.gap |= tag == "#EXT-X-GAP";
                segment.lines.push_str(line);
            }
            _ if line.starts_with('#') => {}
            _ => {
                segment.uri = Some(line.to_owned());
                let done = std::mem::take(segment);
                self.push(done);
            }
        }
        Some(())
    }

    fn push(&mut self, mut segment: Segment) {
        segment.msn = self.first_msn + self.skipped.unwrap_or(0) + self.segments.len() as u64;
        self.segments.push(segment);
    }

    /// The segment that is not complete, and how many of its parts are listed.
    pub fn edge(&self) -> (u64, u64) {
        match self.segments.last() {
            Some(open) if open.uri.is_none() => (open.msn, open.parts.len() as u64),
            Some(last) => (last.msn + 1, 0),
            None => (self.first_msn + self.skipped.unwrap_or(0), 0),
        }
    }

    /// Whether the segment, or the part of it, is listed.
    pub fn has(&self, msn: u64, part: Option<u64>) -> bool {
        let (open, parts) = self.edge();
        msn < open || part.is_some_and(|part| msn == open && part < parts)
    }

    /// The life of the packager, from a name of media such as `v0-lqv3-7.m4s`.
    pub fn epoch(&self) -> Option<&str> {
        self.maps.first()?.split('-').nth(1)
    }

    /// Every address of media that is listed.
    pub fn files(&self) -> impl Iterator<Item = &String> {
        let parts = self
            .segments
            .iter()
            .flat_map(|one| one.parts.iter().flatten());
        let whole = self.segments.iter().filter(|one| !one.gap);
        let whole = whole.filter_map(|one| one.uri.as_ref());
        self.maps.iter().chain(parts).chain(whole)
    }
}

/// An attribute list without the quotation marks; what is no list says nothing.
fn attributes(value: &str) -> BTreeMap<&str, String> {
    let mut found = BTreeMap::new();
    let mut rest = value;
    while let Some((name, after)) = rest.split_once('=') {
        let (text, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        found.insert(name, text.to_owned());
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_say_what_is_there_and_what_comes_next() {
        let text = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n\
            #EXT-X-MEDIA-SEQUENCE:5\n#EXT-X-MAP:URI=\"v0-e1-init0.mp4\"\n\
            #EXT-X-SKIP:SKIPPED-SEGMENTS=2\n#EXTINF:2.0,\nv0-e1-7.m4s\n#EXT-X-GAP\n\
            #EXTINF:2.0,\nv0-e1-8.m4s\n#EXT-X-PART:DURATION=0.2,URI=\"v0-e1-9.0.m4s\"\n\
            #EXT-X-PART:DURATION=0.2,URI=\"v0-e1-9.1.m4s\",GAP=YES\n\
            #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"v0-e1-9.2.m4s\"\n";
        let list = List::parse(text).expect("a list");
        assert_eq!((list.edge(), list.epoch()), ((9, 2), Some("e1")));
        assert!(list.has(8, None) && list.has(9, Some(1)) && list.has(7, Some(99)));
        assert!(!list.has(9, None) && !list.has(9, Some(2)) && !list.has(10, Some(0)));
        let files: Vec<&str> = list.files().map(String::as_str).collect();
        assert_eq!(files, ["v0-e1-init0.mp4", "v0-e1-9.0.m4s", "v0-e1-7.m4s"]);
        assert!(list.rest.starts_with("#EXTINF"));
        assert!(List::parse("#EXTM3U\n").is_err() && List::parse("").is_err());
        assert!(List::parse(&text.replace("=5", "")).is_err() || list.first_msn == 5);
    }
}
