//! What a stream of several tracks is made of: formats, access units, the source's clock.
//!
//! Sources that send coded video and audio side by side (RTMP, later SRT, RTP, WHIP) are taken
//! apart into access units here; every output (FLV, MPEG-TS, RTMP, CMAF) is written from them.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// The most tracks of one mount.
pub const TRACKS_MAX: usize = 16;

/// A point on the clock of a mount's media, in nanoseconds. Where zero is, is the source's
/// choice; only differences say something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaTime(i64);

impl MediaTime {
    /// Zero of the clock.
    pub const ZERO: MediaTime = MediaTime(0);

    /// A point from nanoseconds.
    pub const fn from_nanos(nanos: i64) -> Self {
        MediaTime(nanos)
    }

    /// A point from milliseconds; saturates.
    pub const fn from_millis(millis: i64) -> Self {
        MediaTime(millis.saturating_mul(1_000_000))
    }

    /// A point from `ticks` of a clock with `timescale` ticks a second (not 0), rounded to the
    /// nearest nanosecond; saturates.
    pub fn from_ticks(ticks: i64, timescale: u32) -> Self {
        let scale = i128::from(timescale.max(1));
        let nanos = (i128::from(ticks) * 1_000_000_000 + scale / 2).div_euclid(scale);
        MediaTime(nanos.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
    }

    /// Nanoseconds.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Whole milliseconds, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Ticks of a clock with `timescale` ticks a second, rounded to the nearest.
    pub fn to_ticks(self, timescale: u32) -> i64 {
        let ticks =
            (i128::from(self.0) * i128::from(timescale) + 500_000_000).div_euclid(1_000_000_000);
        ticks.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }

    /// Nanoseconds from `earlier` to `self`; negative where `earlier` is later; saturates.
    pub const fn since(self, earlier: MediaTime) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The point `nanos` later; saturates.
    #[must_use]
    pub const fn plus(self, nanos: i64) -> Self {
        MediaTime(self.0.saturating_add(nanos))
    }
}

impl fmt::Display for MediaTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.as_millis())
    }
}

/// A track of a mount, numbered by the source from 0 in the order of their appearance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrackId(pub u8);

/// What a track carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TrackKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// How a track is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TrackCodec {
    /// H.264 (ISO/IEC 14496-10): NAL units with lengths of 4 bytes, parameter sets in the
    /// configuration (AVCDecoderConfigurationRecord, ISO/IEC 14496-15 section 5.3.3.1).
    H264,
    /// HEVC (ISO/IEC 23008-2), in the same way (HEVCDecoderConfigurationRecord, section 8.3.3.1).
    H265,
    /// AV1: the OBUs of one temporal unit without temporal delimiters; the configuration is an
    /// AV1CodecConfigurationRecord (AV1 in ISOBMFF section 2.3).
    Av1,
    /// VP9: one (super)frame; the configuration is a VPCodecConfigurationRecord.
    Vp9,
    /// AAC: one raw data block; the configuration is an AudioSpecificConfig
    /// (ISO/IEC 14496-3 section 1.6.2.1).
    Aac,
    /// MPEG audio layer III: one frame with its header; no configuration.
    Mp3,
    /// Opus: one packet; the configuration is the identification header (RFC 7845 section 5.1).
    Opus,
    /// FLAC: one frame; the configuration is the STREAMINFO block, 34 bytes (RFC 9639
    /// section 8.2).
    Flac,
    /// AC-3: one syncframe; no configuration.
    Ac3,
    /// Enhanced AC-3: one syncframe; no configuration.
    Eac3,
}

impl TrackCodec {
    /// Pictures or sound.
    pub const fn kind(self) -> TrackKind {
        match self {
            TrackCodec::H264 | TrackCodec::H265 | TrackCodec::Av1 | TrackCodec::Vp9 => {
                TrackKind::Video
            }
            _ => TrackKind::Audio,
        }
    }

    /// The short name shown to users and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            TrackCodec::H264 => "h264",
            TrackCodec::H265 => "h265",
            TrackCodec::Av1 => "av1",
            TrackCodec::Vp9 => "vp9",
            TrackCodec::Aac => "aac",
            TrackCodec::Mp3 => "mp3",
            TrackCodec::Opus => "opus",
            TrackCodec::Flac => "flac",
            TrackCodec::Ac3 => "ac3",
            TrackCodec::Eac3 => "eac3",
        }
    }
}

impl fmt::Display for TrackCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a decoder must know of a track, read from the stream's own headers. Zero means not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackFormat {
    /// The coding.
    pub codec: TrackCodec,
    /// The decoder's configuration, in the form that [`TrackCodec`] says; empty for none.
    pub config: Bytes,
    /// The `codecs` parameter (RFC 6381), such as `avc1.64001f`.
    pub rfc6381: Arc<str>,
    /// Width of the pictures in pixels, as shown (cropped).
    pub width: u16,
    /// Height of the pictures in pixels, as shown (cropped).
    pub height: u16,
    /// Pictures in 1,000 seconds, where the headers say it.
    pub frame_rate_millihz: u32,
    /// Samples per second of the decoded sound.
    pub sample_rate_hz: u32,
    /// Channels of the decoded sound.
    pub channels: u8,
}

/// One track of a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// Its number.
    pub id: TrackId,
    /// What a decoder must know.
    pub format: TrackFormat,
}

/// What is decoded at once: one picture, one frame of sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessUnit {
    /// The track that it belongs to.
    pub track: TrackId,
    /// When it is decoded. Within a track this never falls, except where the source's clock
    /// jumped.
    pub dts: MediaTime,
    /// When it is shown.
    pub pts: MediaTime,
    /// Whether a decoder may start here. True for every unit of sound.
    pub keyframe: bool,
    /// The coded bytes, in the form that [`TrackCodec`] says.
    pub payload: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_and_nanoseconds_go_there_and_back() {
        for (ticks, scale) in [(1_024, 44_100), (-7, 90_000), (i64::from(u32::MAX), 48_000)] {
            assert_eq!(MediaTime::from_ticks(ticks, scale).to_ticks(scale), ticks);
        }
        assert_eq!(MediaTime::from_millis(-1).as_millis(), -1);
        assert_eq!(MediaTime::from_nanos(-1).as_millis(), -1);
        assert_eq!(MediaTime::from_ticks(i64::MAX, 1).as_nanos(), i64::MAX);
        assert_eq!(
            MediaTime::from_millis(2).since(MediaTime::from_millis(5)),
            -3_000_000
        );
    }
}
