//! Kinds of players, by what they say in `User-Agent`.

/// The kinds, as the API and the metrics name them.
pub(crate) const CLASSES: &[&str] = &[
    "vlc",
    "browser",
    "mpv_ffmpeg",
    "winamp",
    "bot",
    "app",
    "other",
];

/// How many kinds there are.
pub(crate) const CLASS_COUNT: usize = 7;

const _: () = assert!(CLASSES.len() == CLASS_COUNT);

const OTHER: usize = 6;

/// Words of each kind in lower case; the first kind with a word wins. Programs that also say
/// `Mozilla` come before browsers.
const WORDS: &[(usize, &[&str])] = &[
    (
        4,
        &[
            "bot",
            "crawl",
            "spider",
            "slurp",
            "monitor",
            "uptime",
            "streamripper",
            "validator",
        ],
    ),
    (0, &["vlc"]),
    (2, &["mpv", "lavf", "ffmpeg", "ffplay", "mplayer"]),
    (
        3,
        &[
            "winamp",
            "foobar2000",
            "aimp",
            "xmms",
            "audacious",
            "itunes",
            "nsplayer",
            "wmplayer",
            "windows-media-player",
            "realplayer",
            "rhythmbox",
            "clementine",
            "strawberry",
            "bass/",
        ],
    ),
    (
        5,
        &[
            "tunein",
            "radiodroid",
            "applecoremedia",
            "exoplayer",
            "androidxmedia3",
            "stagefright",
            "okhttp",
            "dalvik",
            "cfnetwork",
            "sonos",
            "alexa",
            "roku",
            "gstreamer",
            "lyrion",
            "squeeze",
            "radio",
            "dart/",
        ],
    ),
    (1, &["mozilla/", "opera/"]),
];

/// The kind of a player, as an index of [`CLASSES`].
pub(crate) fn class_of(user_agent: &str) -> usize {
    let said = user_agent.to_ascii_lowercase();
    let named = |(_, words): &&(usize, &[&str])| words.iter().any(|word| said.contains(word));
    WORDS.iter().find(named).map_or(OTHER, |(class, _)| *class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn players_are_told_apart() {
        for (user_agent, class) in [
            ("VLC/3.0.20 LibVLC/3.0.20", "vlc"),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
                "browser",
            ),
            (
                "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
                "bot",
            ),
            ("mpv 0.37.0", "mpv_ffmpeg"),
            ("Lavf/60.16.100", "mpv_ffmpeg"),
            ("WinampMPEG/5.8", "winamp"),
            ("foobar2000/1.6", "winamp"),
            (
                "AppleCoreMedia/1.0.0.21E219 (iPhone; U; CPU OS 17_4 like Mac OS X; en_us)",
                "app",
            ),
            ("TuneIn Radio/28.0; iPhone14,5", "app"),
            ("Streamripper/1.x", "bot"),
            ("curl/8.5.0", "other"),
            ("", "other"),
        ] {
            assert_eq!(CLASSES[class_of(user_agent)], class, "{user_agent}");
        }
    }
}
