//! Names of mounts and sessions.

use std::fmt;
use std::sync::Arc;

/// The longest mount name in bytes.
pub const MOUNT_NAME_BYTES_MAX: usize = 255;

/// The name of a mount: an absolute path such as `/radio.mp3`, percent-decoded.
///
/// It starts with `/`, has at least one more character, no empty, `.` or `..` segment, no
/// control characters, no trailing `/`, none of `?#"<>\`, and at most
/// [`MOUNT_NAME_BYTES_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MountName(Arc<str>);

/// Why a text is no mount name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadMountName;

impl fmt::Display for BadMountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a mount name (an absolute path without empty, `.` or `..` segments)")
    }
}

impl std::error::Error for BadMountName {}

impl MountName {
    /// Parses a decoded path.
    ///
    /// # Errors
    /// [`BadMountName`] where `path` breaks one of the rules of the type.
    pub fn parse(path: &str) -> Result<Self, BadMountName> {
        let rest = path.strip_prefix('/').ok_or(BadMountName)?;
        let good = path.len() <= MOUNT_NAME_BYTES_MAX
            && rest
                .split('/')
                .all(|segment| !matches!(segment, "" | "." | ".."))
            && !path.chars().any(|c| {
                c.is_control() || matches!(c, '?' | '#' | '"' | '<' | '>' | '\\' | '\u{fffd}')
            });
        if good {
            Ok(MountName(Arc::from(path)))
        } else {
            Err(BadMountName)
        }
    }

    /// The name as text, with its leading `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the stream that is written from this mount's tracks as `output`. Inside the
    /// node such a stream is a mount of its own; its name cannot be asked for, since `#` is not
    /// in any parsed name.
    #[must_use]
    pub fn with_output(&self, output: Output) -> Self {
        MountName(format!("{}#{}", self.base(), output.name()).into())
    }

    /// The mount as text, without the output.
    pub fn base(&self) -> &str {
        self.0.split_once('#').map_or(&self.0, |(base, _)| base)
    }

    /// The mount itself, where this is the name of one of its outputs; else the same.
    #[must_use]
    pub fn to_base(&self) -> Self {
        match self.0.split_once('#') {
            Some((base, _)) => MountName(base.into()),
            None => self.clone(),
        }
    }

    /// What is written from the mount's tracks there; nothing where this is the mount itself.
    pub fn output(&self) -> Option<Output> {
        let (_, name) = self.0.split_once('#')?;
        Output::ALL.into_iter().find(|output| output.name() == name)
    }
}

/// A stream of bytes that is written from a mount's tracks, once for all its readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// FLV over HTTP.
    Flv,
    /// FLV tags as WebSocket messages.
    WsFlv,
    /// MPEG-TS over HTTP.
    Mpegts,
    /// RTMP chunks for players.
    Rtmp,
}

impl Output {
    /// Every output.
    pub const ALL: [Output; 4] = [Output::Flv, Output::WsFlv, Output::Mpegts, Output::Rtmp];

    /// The word in names, metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Output::Flv => "flv",
            Output::WsFlv => "ws-flv",
            Output::Mpegts => "ts",
            Output::Rtmp => "rtmp",
        }
    }

    /// The MIME type of what is written.
    pub const fn content_type(self) -> &'static str {
        match self {
            Output::Flv | Output::WsFlv => "video/x-flv",
            Output::Mpegts => "video/mp2t",
            Output::Rtmp => "application/x-rtmp",
        }
    }
}

impl fmt::Display for MountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The index of a shard, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The index as a position in a table.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One publish, listen or request, unique while the node runs; the upper 16 bits are its shard.
/// Or a player of HLS ([`SessionId::of_player`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(u64);

impl SessionId {
    /// The `sequence`-th session of `shard` (48 bits are kept).
    pub const fn new(shard: ShardId, sequence: u64) -> Self {
        SessionId(((shard.0 as u64) << 48) | (sequence & ((1 << 48) - 1)))
    }

    /// What a player is called that asks many shards, by a number that is the same on all of them
    /// (48 bits are kept). It is no session of any: there are not so many shards. The whole number
    /// is still one that scripts take for positive.
    pub const fn of_player(number: u64) -> Self {
        SessionId::new(ShardId(i16::MAX as u16), number)
    }

    /// The shard that runs the session.
    pub const fn shard(self) -> ShardId {
        ShardId((self.0 >> 48) as u16)
    }

    /// The session whose whole number this is.
    pub const fn from_u64(number: u64) -> Self {
        SessionId(number)
    }

    /// The whole number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for SessionId {
    /// Sixteen hexadecimal digits at most: what logs and the API show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.0 >> 48, self.0 & ((1 << 48) - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_names_are_plain_absolute_paths() {
        for good in ["/a", "/live/radio.mp3", "/ünï", "/a b"] {
            assert_eq!(
                MountName::parse(good).map(|name| name.to_string()),
                Ok(good.into())
            );
        }
        let long = format!("/{}", "x".repeat(MOUNT_NAME_BYTES_MAX));
        for bad in [
            "", "/", "a", "//a", "/a/", "/../a", "/a/./b", "/a\n", "/a?b", "/a\\b", &long,
        ] {
            assert_eq!(MountName::parse(bad), Err(BadMountName), "{bad:?}");
        }
    }

    #[test]
    fn an_output_is_a_mount_of_its_own_that_nobody_can_name() {
        let mount = MountName::parse("/live/cam").expect("a good name");
        for output in Output::ALL {
            let written = mount.with_output(output);
            assert_eq!(written.output(), Some(output));
            assert_eq!(
                (written.base(), written.to_base()),
                ("/live/cam", mount.clone())
            );
            assert_eq!(MountName::parse(written.as_str()), Err(BadMountName));
            assert_eq!(written.with_output(output), written);
        }
        assert_eq!((mount.base(), mount.output()), ("/live/cam", None));
    }

    #[test]
    fn a_session_knows_its_shard() {
        let id = SessionId::new(ShardId(7), 0x1_0000);
        assert_eq!(
            (id.shard(), id.to_string().as_str()),
            (ShardId(7), "7-10000")
        );
    }

    #[test]
    fn players_are_sessions_of_no_shard_and_positive_to_scripts() {
        let player = SessionId::of_player(u64::MAX);
        assert_eq!(i64::try_from(player.as_u64()), Ok(i64::MAX));
        assert_eq!(player.to_string(), "7fff-ffffffffffff");
        assert_ne!(player, SessionId::of_player(u64::MAX - 1));
    }
}
