//! Titles and their kin: one timed track, of which ICY blocks, status pages and playlists are
//! projections.

use std::sync::Arc;

/// What is playing. Every text is valid UTF-8 without control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The whole line as listeners see it (`Artist - Title`, or what the encoder sent).
    pub title: Arc<str>,
    /// The artist alone, where it was sent apart.
    pub artist: Option<Arc<str>>,
    /// The song alone, where it was sent apart.
    pub song: Option<Arc<str>>,
    /// A link that goes with the title (`StreamUrl`).
    pub url: Option<Arc<str>>,
}

/// The longest title, artist or URL that is kept, in bytes; longer ones are cut at a code point.
pub const METADATA_TEXT_BYTES_MAX: usize = 2_048;

impl Metadata {
    /// Metadata of one line of text, cleaned: control characters become spaces, the ends are
    /// trimmed, and it is cut at [`METADATA_TEXT_BYTES_MAX`].
    pub fn from_title(title: &str) -> Self {
        Metadata {
            title: clean(title),
            ..Metadata::default()
        }
    }

    /// Metadata of an artist and a song sent apart; either may be empty.
    pub fn from_parts(artist: &str, song: &str) -> Self {
        let artist = Some(clean(artist)).filter(|text| !text.is_empty());
        let song = Some(clean(song)).filter(|text| !text.is_empty());
        let title = match (&artist, &song) {
            (Some(artist), Some(song)) => clean(&format!("{artist} - {song}")),
            (Some(only), None) | (None, Some(only)) => Arc::clone(only),
            (None, None) => Arc::from(""),
        };
        Metadata {
            title,
            artist,
            song,
            url: None,
        }
    }

    /// The same with a link.
    #[must_use]
    pub fn with_url(mut self, url: &str) -> Self {
        self.url = Some(clean(url)).filter(|text| !text.is_empty());
        self
    }
}

/// `text` without control characters, trimmed and cut at a code point.
fn clean(text: &str) -> Arc<str> {
    let mut kept: String = text
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if kept.len() > METADATA_TEXT_BYTES_MAX {
        kept.truncate(kept.floor_char_boundary(METADATA_TEXT_BYTES_MAX));
    }
    Arc::from(kept.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_lose_control_characters_and_never_split_a_code_point() {
        assert_eq!(&*Metadata::from_title(" a\r\nb\0c ").title, "a  b c");
        let long = "é".repeat(METADATA_TEXT_BYTES_MAX);
        let kept = Metadata::from_title(&long).title;
        assert_eq!(kept.len(), METADATA_TEXT_BYTES_MAX);
        assert!(kept.chars().all(|c| c == 'é'));
    }

    #[test]
    fn an_artist_and_a_song_make_one_line() {
        assert_eq!(&*Metadata::from_parts("A", "B").title, "A - B");
        assert_eq!(&*Metadata::from_parts("", "B").title, "B");
        assert_eq!(Metadata::from_parts("", "").artist, None);
    }
}
