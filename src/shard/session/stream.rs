//! Which stream a path names: a mount, or what is written from its tracks.

use corecast_config::Config;
use corecast_media::name::{MountName, Output};

use crate::http::hls_path::is_hls;

/// What the names of outputs end with.
const SUFFIXES: [(&str, Output); 2] = [(".flv", Output::Flv), (".ts", Output::Mpegts)];

/// The stream that `path` names. A mount that the settings name is meant itself, whatever its
/// name ends with.
pub(crate) fn stream_of(config: &Config, path: &str) -> Option<MountName> {
    let name = MountName::parse(path).ok()?;
    match output_of(config, path) {
        Some((base, output)) => Some(base.with_output(output)),
        None => Some(name),
    }
}

/// Whether no source may open a mount of this name: who asks for it gets another mount's output.
pub(crate) fn is_output(config: &Config, path: &str) -> bool {
    output_of(config, path).is_some() || path.ends_with(".m3u8") || is_hls(path)
}

fn output_of(config: &Config, path: &str) -> Option<(MountName, Output)> {
    if config.configured_mount(path).is_some() || config.relay(path).is_some() {
        return None;
    }
    SUFFIXES.into_iter().find_map(|(suffix, output)| {
        let base = MountName::parse(path.strip_suffix(suffix)?).ok()?;
        Some((base, output))
    })
}

#[cfg(test)]
mod tests {
    use corecast_config::Mount;

    use super::*;

    #[test]
    fn a_suffix_names_an_output_unless_a_mount_has_that_name() {
        let mounts = vec![("/old.ts".to_owned(), Mount::default())];
        let config = Config {
            mounts: mounts.into(),
            ..Config::default()
        };
        for (path, stream, closed) in [
            ("/live/cam", Some("/live/cam"), false),
            ("/live/cam.flv", Some("/live/cam#flv"), true),
            ("/live/cam.ts", Some("/live/cam#ts"), true),
            ("/old.ts", Some("/old.ts"), false),
            ("/old.ts.flv", Some("/old.ts#flv"), true),
            ("/cam.m3u8", Some("/cam.m3u8"), true),
            ("/cam/hls/v0-a-1.m4s", Some("/cam/hls/v0-a-1.m4s"), true),
            ("/cam/hls", Some("/cam/hls"), false),
            ("/.flv", Some("/.flv"), false),
            ("/a//b.flv", None, false),
        ] {
            let named = stream_of(&config, path);
            assert_eq!(named.as_ref().map(MountName::as_str), stream, "{path}");
            assert_eq!(is_output(&config, path), closed, "{path}");
        }
    }
}
