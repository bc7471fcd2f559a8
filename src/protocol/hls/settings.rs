//! How a mount is packaged.

use std::sync::Arc;
use std::time::Duration;

/// The longest target duration of a segment.
pub const TARGET_MAX: Duration = Duration::from_secs(30);

/// The longest part target; the draft wants parts well below a segment.
pub const PART_TARGET_MAX: Duration = Duration::from_secs(5);

/// How one mount becomes HLS. Values out of their range are taken as the nearest in it.
#[derive(Clone, Debug)]
pub struct PackagerSettings {
    /// How long a segment should be: it is cut at the first keyframe from then on. 200 ms to
    /// [`TARGET_MAX`].
    pub target: Duration,
    /// How long a part should be, 20 ms to [`PART_TARGET_MAX`]; what is announced is the nearest
    /// length that whole frames of every track fill.
    pub part_target: Duration,
    /// How far back the playlists reach; at least four target durations are kept.
    pub window: Duration,
    /// The most bytes of media that are held: older segments leave the playlists before their
    /// time. Three target durations are kept whatever they take.
    pub bytes_max: usize,
    /// The life of this packager; see [`super::is_epoch`]. No two packagers of a mount, on any
    /// node and after any restart, may have the same.
    pub epoch: Arc<str>,
    /// The first media sequence number. It must not be below any that an earlier packager of the
    /// mount used: seconds since 1970 divided by the target duration are.
    pub first_msn: u64,
    /// What leads from the multivariant playlist at the mount's own address to the folder of
    /// media playlists, percent-encoded, such as `cam/hls/`.
    pub prefix: Arc<str>,
}

impl Default for PackagerSettings {
    fn default() -> Self {
        PackagerSettings {
            target: Duration::from_secs(2),
            part_target: Duration::from_millis(200),
            window: Duration::from_secs(60),
            bytes_max: 256 << 20,
            epoch: Arc::from("0"),
            first_msn: 0,
            prefix: Arc::from(""),
        }
    }
}
