//! Paths of HLS: `/live/cam.m3u8` is the mount's multivariant playlist, `/live/cam.mpd` its DASH
//! manifest, `/live/cam/hls/` the folder of everything else.

use corecast_media::name::MountName;
use corecast_protocol::hls::Resource;

/// The folder of a mount's media playlists and media.
const FOLDER: &str = "/hls/";

/// What the mount's own playlist ends with.
const PLAYLIST_SUFFIX: &str = ".m3u8";

/// What its DASH manifest ends with.
const MANIFEST_SUFFIX: &str = ".mpd";

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named<'p> {
    pub(crate) mount: MountName,
    pub(crate) resource: Resource<'p>,
    /// The mount's own address, not one in its folder.
    pub(crate) outside: bool,
}

/// Whether the path is one of HLS: then no mount is there.
pub(crate) fn is_hls(path: &str) -> bool {
    named(path).is_some()
}

/// What the path names; nothing where it is none of HLS.
pub(crate) fn named(path: &str) -> Option<Named<'_>> {
    for (suffix, resource) in [
        (PLAYLIST_SUFFIX, Resource::Multivariant),
        (MANIFEST_SUFFIX, Resource::Manifest),
    ] {
        if let Some(base) = path.strip_suffix(suffix)
            && !base.contains(FOLDER)
        {
            return Some(Named {
                mount: MountName::parse(base).ok()?,
                resource,
                outside: true,
            });
        }
    }
    let (base, name) = path.rsplit_once(FOLDER)?;
    Some(Named {
        mount: MountName::parse(base).ok()?,
        resource: Resource::parse(name)?,
        outside: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_mounts_and_their_files() {
        for (path, mount, outside) in [
            ("/live/cam.m3u8", Some("/live/cam"), true),
            ("/live/cam.mpd", Some("/live/cam"), true),
            ("/radio.mp3.m3u8", Some("/radio.mp3"), true),
            ("/live/cam/hls/main.m3u8", Some("/live/cam"), false),
            ("/live/cam/hls/v0.m3u8", Some("/live/cam"), false),
            ("/live/cam/hls/v0-abc-7.m4s", Some("/live/cam"), false),
            ("/live/cam/hls/v0-abc-7.1.m4s", Some("/live/cam"), false),
            ("/hls/hls/v0.m3u8", Some("/hls"), false),
            ("/live/cam/hls/x.png", None, false),
            ("/hls/v0.m3u8", None, false),
            ("/.m3u8", None, true),
            ("/live/cam", None, true),
        ] {
            let found = named(path);
            let found_mount = found.as_ref().map(|named| named.mount.as_str());
            assert_eq!(found_mount, mount, "{path}");
            // The settings say so too: nobody could feed it.
            let taken = mount.is_some() || path.ends_with(PLAYLIST_SUFFIX);
            assert_eq!(corecast_config::is_hls_path(path), taken, "{path}");
            if let Some(found) = found {
                assert_eq!(found.outside, outside, "{path}");
            }
        }
    }
}
